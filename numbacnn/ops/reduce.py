"""Reductions, and the softmax family, which reduces along one axis and keeps it."""

from __future__ import annotations

import math

from ..backends import Array, Backend
from ..indexing import counting
from .base import Gradients, Op

__all__ = ["LogSoftmax", "Max", "MaxAlong", "Mean", "Min", "MinAlong", "Softmax", "Sum"]


class _Reduction(Op):
    def __init__(self, axes: tuple[int, ...], keepdims: bool) -> None:
        self.axes, self.keepdims = axes, keepdims

    def spread(self, xp: Backend, x: Array) -> Array:
        """The reduced array with the reduced axes back, each of size 1."""
        return xp.reshape(x, tuple(1 if i in self.axes else size for i, size in enumerate(self.shape)))

    shape: tuple[int, ...]


class Sum(_Reduction):
    def forward(self, xp: Backend, x: Array) -> Array:
        self.shape = x.shape
        return xp.sum(x, self.axes, self.keepdims)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.broadcast_to(self.spread(xp, grad), self.shape),)


class Mean(Sum):
    """NaN where there is nothing to take it of."""

    def forward(self, xp: Backend, x: Array) -> Array:
        self.count = math.prod(x.shape[a] for a in self.axes) or math.nan
        return xp.binary("divide", super().forward(xp, x), self.count)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return super().backward(xp, xp.binary("divide", grad, self.count))


class Max(_Reduction):
    """The largest; equal ones, or NaNs, share the gradient."""

    extreme = "max"

    def forward(self, xp: Backend, x: Array) -> Array:
        self.shape = x.shape
        y = getattr(xp, self.extreme)(x, self.axes, self.keepdims)
        self.saved, self.saved_inputs = (x, y), (0, -1)
        return y

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        x, y = self.saved
        hits = xp.where(xp.compare("not_equal", x, x), True, xp.compare("equal", x, self.spread(xp, y)))  # a NaN in x is in y too
        share = xp.binary("divide", self.spread(xp, grad), xp.sum(xp.astype(hits, x.dtype), self.axes, True))
        return (xp.where(hits, share, 0.0),)


class Min(Max):
    """The smallest; the gradient likewise."""

    extreme = "min"


class MaxAlong(_Reduction):
    """The largest along one axis; the gradient goes to the first of equal ones, whose position ``index`` tells."""

    extreme = "max"

    def __init__(self, axis: int, keepdims: bool) -> None:
        super().__init__((axis,), keepdims)

    index: Array

    def forward(self, xp: Backend, x: Array) -> Array:
        self.shape, self.index = x.shape, getattr(xp, f"arg{self.extreme}")(x, self.axes[0])
        return getattr(xp, self.extreme)(x, self.axes, self.keepdims)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        positions = counting(self.shape[self.axes[0]]).reshape([-1 if i in self.axes else 1 for i in range(len(self.shape))])
        hits = xp.compare("equal", self.spread(xp, self.index), xp.from_numpy(positions))
        return (xp.where(hits, self.spread(xp, grad), 0.0),)


class MinAlong(MaxAlong):
    """The smallest along one axis; the gradient likewise."""

    extreme = "min"


class Softmax(Op):
    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, xp: Backend, x: Array) -> Array:
        y = xp.softmax(x, self.axis)
        self.saved, self.saved_inputs = (y,), (-1,)
        return y

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.softmax_backward(grad, self.saved[0], self.axis),)


class LogSoftmax(Op):
    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, xp: Backend, x: Array) -> Array:
        y = xp.log_softmax(x, self.axis)
        self.saved, self.saved_inputs = (y,), (-1,)
        return y

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.log_softmax_backward(grad, self.saved[0], self.axis),)
