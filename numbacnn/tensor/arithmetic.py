"""Arithmetic under names, and what is composed of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

from ..arguments import one_of
from ..dtypes import is_floating
from ..errors import DTypeError, message
from ..ops import elementwise
from ..signatures import judged
from .core import Operand, Scalar, TensorBase, as_tensor
from .elementary import Elementary, in_place
from .operands import as_scalar, operands
from .pointwise import binary, where

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Arithmetic"]


class Arithmetic(Elementary):
    """The operators' names with PyTorch's options, and functions of several tensors."""

    __slots__ = ()

    def add(self, other: Operand, *, alpha: Scalar = 1) -> Tensor:
        """``self + alpha * other``.

        >>> import numbacnn as nc
        >>> nc.ones(2).add(nc.tensor([1.0, 2.0]), alpha=10)
        tensor([11., 21.])
        """
        return self + _scaled("add", self, other, alpha)

    def sub(self, other: Operand, *, alpha: Scalar = 1) -> Tensor:
        """``self - alpha * other``."""
        return self - _scaled("sub", self, other, alpha)

    def mul(self, other: Operand) -> Tensor:
        """``self * other``."""
        return self * other

    def div(self, other: Operand, *, rounding_mode: Literal["trunc", "floor"] | None = None) -> Tensor:
        """``self / other``; rounded towards zero with ``rounding_mode="trunc"``, and down with "floor", as ``//`` does.

        >>> import numbacnn as nc
        >>> x = nc.tensor([7, -7])
        >>> x.div(2), x.div(2, rounding_mode="trunc"), x.div(2, rounding_mode="floor")
        (tensor([ 3.5000, -3.5000]), tensor([ 3, -3]), tensor([ 3, -4]))
        """
        if rounding_mode is None:
            return self / other
        one_of("div", "rounding_mode", rounding_mode, ("trunc", "floor"))
        if rounding_mode == "floor":
            return self // other
        a, b = operands("div", self, other)
        return (a / b).trunc() if is_floating(a.dtype) else (a - a.fmod(b)) // b

    def floor_divide(self, other: Operand) -> Tensor:
        """``self // other``: the quotient rounded down."""
        return self // other

    def remainder(self, other: Operand) -> Tensor:
        """``self % other``: what the division that rounds down leaves, with the divisor's sign."""
        return self % other

    def fmod(self, other: Operand) -> Tensor:
        """What the division that rounds towards zero leaves, with the sign of ``self``.

        >>> import numbacnn as nc
        >>> nc.tensor([5.5, -5.5]).fmod(2), nc.tensor([5.5, -5.5]).remainder(2)
        (tensor([ 1.5000, -1.5000]), tensor([1.5000, 0.5000]))
        """
        return binary(elementwise.Fmod(), self, other)

    def pow(self, exponent: Operand) -> Tensor:
        """``self ** exponent``."""
        return self**exponent

    def neg(self) -> Tensor:
        """``-self``."""
        return -self

    def atan2(self, other: Operand) -> Tensor:
        """The angle of the point (other, self), from -pi to pi.

        >>> import numbacnn as nc
        >>> nc.tensor([1.0, 1.0]).atan2(nc.tensor([1.0, -1.0]))
        tensor([0.7854, 2.3562])
        """
        return binary(elementwise.Arctan2(), self, other, floating=True)

    subtract, multiply, divide, negative, arctan2 = sub, mul, div, neg, atan2

    def true_divide(self, other: Operand) -> Tensor:
        """``self / other``."""
        return self / other

    @judged
    def lerp(self, end: Tensor, weight: Operand) -> Tensor:
        """``self + weight * (end - self)``: ``self`` at the weight 0, and exactly ``end`` at 1."""
        w: Any = weight if isinstance(weight, TensorBase) else as_scalar(weight)
        away = end - self
        if isinstance(weight, TensorBase):
            return where(abs(w) < 0.5, self + away * w, end - away * (1 - w))
        return self + away * w if abs(w) < 0.5 else end - away * (1 - w)

    @judged
    def addcmul(self, tensor1: Tensor, tensor2: Tensor, *, value: Scalar = 1) -> Tensor:
        """``self + value * tensor1 * tensor2``."""
        return self + _scaled("addcmul", self, tensor1 * tensor2, value)

    @judged
    def addcdiv(self, tensor1: Tensor, tensor2: Tensor, *, value: Scalar = 1) -> Tensor:
        """``self + value * tensor1 / tensor2``."""
        return self + _scaled("addcdiv", self, tensor1 / tensor2, value)

    # -- written into the tensor
    def add_(self, other: Operand, *, alpha: Scalar = 1) -> Self:
        """``self + alpha * other``, written into this tensor."""
        return self.__iadd__(_scaled("add_", self, other, alpha))

    def sub_(self, other: Operand, *, alpha: Scalar = 1) -> Self:
        """``self - alpha * other``, written into this tensor."""
        return self.__isub__(_scaled("sub_", self, other, alpha))

    mul_ = in_place(mul)
    div_ = in_place(div)
    floor_divide_ = in_place(floor_divide)
    remainder_ = in_place(remainder)
    fmod_ = in_place(fmod)
    pow_ = in_place(pow)
    neg_ = in_place(neg)
    lerp_ = in_place(lerp)
    addcmul_ = in_place(addcmul)
    addcdiv_ = in_place(addcdiv)
    __ifloordiv__, __imod__, __ipow__ = floor_divide_, remainder_, pow_


def _scaled(op: str, to: Any, x: Operand, factor: Scalar) -> Any:
    """``factor * x``, which is added to a tensor: to integers no fraction may come from the factor."""
    x, factor = x if isinstance(x, (int, float)) else as_tensor(x, to.device), as_scalar(factor)
    if factor == 1:
        return x
    if isinstance(factor, float) and not is_floating(to.dtype) and not (isinstance(x, float) or is_floating(getattr(x, "dtype", to.dtype))):
        raise DTypeError(message(op, "an integer factor beside integers", repr(factor), "convert the tensor with .float()"))
    return x * factor
