"""Comparisons under names, logic, and what depends on a condition."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backends
from ..arguments import flag, number
from ..dtypes import bool_, int64, is_floating, uint8
from ..errors import DTypeError, ShapeError, message
from ..ops import elementwise, reduce
from ..signatures import shown
from .arithmetic import Arithmetic
from .core import Operand, TensorBase, apply, as_tensor
from .elementary import in_place
from .operands import as_number, as_scalar, check_axes, check_broadcast, check_cast, operands
from .pointwise import binary, compare, maximum, minimum, where

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Logic", "check_mask"]


class Logic(Arithmetic):
    """Comparisons, logic, and masks."""

    __slots__ = ()

    # -- comparison: bool tensors
    def eq(self, other: Operand) -> Tensor:
        """``self == other``, elementwise."""
        return compare("equal", self, other)

    def ne(self, other: Operand) -> Tensor:
        """``self != other``, elementwise."""
        return compare("not_equal", self, other)

    def lt(self, other: Operand) -> Tensor:
        """``self < other``, elementwise."""
        return compare("less", self, other)

    def le(self, other: Operand) -> Tensor:
        """``self <= other``, elementwise."""
        return compare("less_equal", self, other)

    def gt(self, other: Operand) -> Tensor:
        """``self > other``, elementwise."""
        return compare("greater", self, other)

    def ge(self, other: Operand) -> Tensor:
        """``self >= other``, elementwise."""
        return compare("greater_equal", self, other)

    not_equal, less, less_equal, greater, greater_equal = ne, lt, le, gt, ge

    def equal(self, other: Tensor) -> bool:
        """Whether both have one shape and the same values: True or False.

        >>> import numbacnn as nc
        >>> nc.ones(2).equal(nc.ones(2)), nc.ones(2).equal(nc.ones(2, 1))
        (True, False)
        """
        other = as_tensor(other, self.device)
        return self.shape == other.shape and bool((self == other).all())

    def isclose(self, other: Operand, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
        """Whether ``abs(self - other) <= atol + rtol * abs(other)``, elementwise; equal infinities are close, NaNs with ``equal_nan``."""
        number("isclose", "rtol", rtol)
        number("isclose", "atol", atol)
        a, b = operands("isclose", self, other)
        if a.dtype == bool_:
            return a == b
        near = (a == b) | (((a - b).abs() <= atol + rtol * abs(b)) & (a - b).isfinite())
        return near | (a.isnan() & as_tensor(b, a.device).isnan()) if flag("isclose", "equal_nan", equal_nan) else near

    def allclose(self, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
        """Whether all elements are close, as :meth:`isclose` has it: True or False."""
        return bool(self.isclose(other, rtol, atol, equal_nan).all())

    def isnan(self) -> Tensor:
        """Whether each element is not a number."""
        return self != self

    def isinf(self) -> Tensor:
        """Whether each element is infinite."""
        return abs(self) == math.inf if is_floating(self.dtype) else self != self

    def isfinite(self) -> Tensor:
        """Whether each element is neither infinite nor NaN."""
        return abs(self) < math.inf if is_floating(self.dtype) else self == self

    # -- logic: what is not 0 is true
    def logical_not(self) -> Tensor:
        """Whether each element is 0."""
        return self == 0

    def logical_and(self, other: Operand) -> Tensor:
        """Whether both are not 0, elementwise."""
        return (self != 0) & _truth(other, self.device)

    def logical_or(self, other: Operand) -> Tensor:
        """Whether one at least is not 0, elementwise."""
        return (self != 0) | _truth(other, self.device)

    def logical_xor(self, other: Operand) -> Tensor:
        """Whether one is 0 and the other is not, elementwise."""
        return (self != 0) ^ _truth(other, self.device)

    def bitwise_and(self, other: Operand) -> Tensor:
        """``self & other``, bit by bit: of bools and of integers."""
        return _bitwise("bitwise_and", self, other)

    def bitwise_or(self, other: Operand) -> Tensor:
        """``self | other``, bit by bit: of bools and of integers."""
        return _bitwise("bitwise_or", self, other)

    def bitwise_xor(self, other: Operand) -> Tensor:
        """``self ^ other``, bit by bit: of bools and of integers."""
        return _bitwise("bitwise_xor", self, other)

    def bitwise_not(self) -> Tensor:
        """``~self``, bit by bit: of bools and of integers."""
        if is_floating(self.dtype):
            raise DTypeError(message("bitwise_not", "bools or integers", str(self.dtype)))
        return self._new(backends.get(self.device).unary("logical_not" if self.dtype == bool_ else "invert", self.array), self.device)

    __and__ = __rand__ = bitwise_and
    __or__ = __ror__ = bitwise_or
    __xor__ = __rxor__ = bitwise_xor
    __invert__ = bitwise_not

    def all(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None) -> Tensor:
        """Whether all elements are not 0: a bool tensor without axes, or without ``dim`` (an axis or a tuple).

        >>> import numbacnn as nc
        >>> (nc.eye(2) >= 0).all(), nc.eye(2).any(1)
        (tensor(True), tensor([True, True]))
        """
        return self._told(self._counted("all", self == 0, dim if axis is None else axis, keepdim) == 0)

    def __contains__(self, value: Any) -> bool:
        """Whether an element equals a number, or its counterpart in a tensor that may have to be broadcast."""
        return bool((self == value).any())

    def any(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None) -> Tensor:
        """Whether an element is not 0: a bool tensor without axes, or without ``dim`` (an axis or a tuple)."""
        return self._told(self._counted("any", self != 0, dim if axis is None else axis, keepdim) != 0)

    def count_nonzero(self, dim: Any = None) -> Tensor:
        """How many elements are not 0, in all or along ``dim`` (an axis or a tuple); int64."""
        return self._counted("count_nonzero", self != 0, dim, False)

    def _counted(self, op: str, condition: Any, dim: Any, keepdim: bool) -> Any:
        axes, keepdim = check_axes(op, dim, self.ndim), flag(op, "keepdim", keepdim)
        return apply(reduce.Sum(axes, keepdim), condition.to(int64))

    def _told(self, answer: Any) -> Tensor:
        """In bool; of uint8, which was PyTorch's bool once, in uint8."""
        return answer.to(uint8) if self.dtype == uint8 else answer

    # -- bounds and masks
    def maximum(self, other: Operand) -> Tensor:
        """The larger of two, elementwise; equal ones share the gradient."""
        return maximum(self, other)

    def minimum(self, other: Operand) -> Tensor:
        """The smaller of two, elementwise; equal ones share the gradient."""
        return minimum(self, other)

    clip = Arithmetic.clamp

    def clamp_min(self, min: Operand) -> Tensor:
        """Bounded below, as :meth:`clamp` does it."""
        return self.clamp(min=min)

    def clamp_max(self, max: Operand) -> Tensor:
        """Bounded above, as :meth:`clamp` does it."""
        return self.clamp(max=max)

    def where(self, condition: Tensor, other: Operand) -> Tensor:
        """``self`` where the condition holds, else ``other``."""
        return where(condition, self, other)

    def nan_to_num(self, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None) -> Tensor:
        """Other numbers in place of NaN and of the infinities: 0, and the largest and the smallest of the dtype, unless they are given."""
        if not is_floating(self.dtype):
            return self.clone()
        bounds = np.finfo(self.dtype)
        high, low = (float(b) if given is None else given for given, b in ((posinf, bounds.max), (neginf, bounds.min)))
        x = where(self.isnan(), nan, self)
        return where(x == -math.inf, low, where(x == math.inf, high, x))

    def masked_fill(self, mask: Tensor, value: Any) -> Tensor:
        """``value``, a number or a tensor without axes, where the mask holds, else ``self``; both broadcast.

        >>> import numbacnn as nc
        >>> x = nc.arange(4)
        >>> x.masked_fill(x > 2, -1)
        tensor([ 0,  1,  2, -1])
        """
        check_mask("masked_fill", self, mask)
        if isinstance(value, TensorBase) and value.ndim:
            raise ShapeError(message("masked_fill", "a number, or a tensor without axes", f"shape {value.shape}"))
        if not isinstance(value, TensorBase):
            return where(mask, as_number("masked_fill", as_scalar(value), self.dtype), self)
        check_cast(value.dtype, self.dtype)
        filling: Any = value
        return where(mask, filling.to(self.dtype), self)

    masked_fill_ = in_place(masked_fill)
    clip_ = Arithmetic.clamp_
    clamp_min_ = in_place(clamp_min)
    clamp_max_ = in_place(clamp_max)
    logical_not_ = in_place(logical_not)
    logical_and_ = in_place(logical_and)
    logical_or_ = in_place(logical_or)
    __iand__, __ior__, __ixor__ = in_place(bitwise_and), in_place(bitwise_or), in_place(bitwise_xor)


def _truth(other: Any, device: str) -> Any:
    return as_tensor(other, device) != 0


_OF_BOOLS: dict[str, Any] = {"bitwise_and": operator.mul, "bitwise_or": maximum, "bitwise_xor": operator.ne}


def _bitwise(name: str, a: Any, b: Any) -> Any:
    """Of bools by what every device has a kernel for."""
    a, b = operands(name, a, b)
    if is_floating(a.dtype):
        raise DTypeError(message(name, "bools or integers", str(a.dtype)))
    return _OF_BOOLS[name](a, b) if a.dtype == bool_ else binary(elementwise.Bitwise(name), a, b)


def check_mask(op: str, x: TensorBase, mask: Any) -> None:
    """Refuse what is no bool tensor that broadcasts with ``x``."""
    if not isinstance(mask, TensorBase) or mask.dtype != bool_:
        raise DTypeError(message(op, "a bool mask", str(mask.dtype) if isinstance(mask, TensorBase) else shown(mask)))
    check_broadcast(op, x, mask)
