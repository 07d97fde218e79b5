"""What an operation is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ..backends import Array, Backend

__all__ = ["Gradients", "Op", "shape_of", "unbroadcast"]

Gradients = tuple[Array | None, ...]


class Op:
    """One application of an operation: hyper-parameters in the constructor, then ``forward`` once and ``backward`` at most once.

    ``forward`` leaves in ``saved`` what ``backward`` needs, and in ``saved_inputs`` which inputs are among it (-1: the output): the
    tape then refuses a backward after a write into them. ``needs_grad`` says which gradients are wanted; ``backward`` gives None for
    others.
    """

    owns_gradient: ClassVar[bool] = False
    """True where ``backward`` makes new arrays in C order, which a leaf may keep."""

    view: ClassVar[bool] = False
    """True where the result may share its input's memory."""

    weight: ClassVar[int | None] = None
    """Index of the input that is a layer's weight: backends may pack it once and keep it packed while it is unchanged."""

    needs_grad: tuple[bool, ...] = ()
    saved_inputs: tuple[int, ...] = ()
    saved: tuple[Array, ...] = ()

    @property
    def label(self) -> str:
        """What messages call it."""
        return type(self).__name__

    def forward(self, xp: Backend, *inputs: Array) -> Array:
        raise TypeError(f"{type(self).__name__} has no forward")

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        raise TypeError(f"{type(self).__name__} has no backward")

    def macs(self, inputs: Sequence[tuple[int, ...]], output: tuple[int, ...]) -> int:
        """The multiply-adds of a forward with inputs and a result of these shapes; counted of matrix products and convolutions only."""
        return 0


def shape_of(x: Array | float) -> tuple[int, ...]:
    """The shape of an operand; a Python scalar has none."""
    return getattr(x, "shape", ())


def unbroadcast(xp: Backend, grad: Array, shape: Sequence[int]) -> Array:
    """The gradient of an operand of this shape that was broadcast to the gradient's shape: summed over the axes that it lacked."""
    if grad.shape == tuple(shape):
        return grad
    extra = grad.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(i + extra for i, size in enumerate(shape) if size == 1 and grad.shape[i + extra] != 1)
    return xp.reshape(xp.sum(grad, axes, False), shape)
