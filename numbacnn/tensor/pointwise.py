"""Elementwise arithmetic, comparisons and functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from .. import backends
from ..dtypes import bool_, is_floating
from ..errors import DeviceError, DTypeError, message
from ..ops import elementwise
from ..signatures import judged
from .convert import Convert
from .core import Operand, TensorBase, apply, as_tensor
from .index import Index
from .operands import as_floating, check_broadcast, check_values, operands
from .tape import mode

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Pointwise", "binary", "compare", "maximum", "minimum", "where"]


class Pointwise(Index, Convert):
    """Operators, comparisons and functions that act on each element."""

    __slots__ = ()

    # -- arithmetic
    def __add__(self, other: Operand) -> Tensor:
        return binary(elementwise.Add(), self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return binary(elementwise.Add(), other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return binary(elementwise.Subtract(), self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return binary(elementwise.Subtract(), other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return binary(elementwise.Multiply(), self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return binary(elementwise.Multiply(), other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return binary(elementwise.Divide(), self, other, floating=True)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return binary(elementwise.Divide(), other, self, floating=True)

    def __floordiv__(self, other: Operand) -> Tensor:
        return binary(elementwise.FloorDivide(), self, other)

    def __rfloordiv__(self, other: Operand) -> Tensor:
        return binary(elementwise.FloorDivide(), other, self)

    def __mod__(self, other: Operand) -> Tensor:
        return binary(elementwise.Remainder(), self, other)

    def __rmod__(self, other: Operand) -> Tensor:
        return binary(elementwise.Remainder(), other, self)

    def __pow__(self, other: Operand) -> Tensor:
        if isinstance(other, (int, float)) and is_floating(self.dtype):  # several times as fast as a power
            if other == 2:
                return self * self
            if other == 0.5:
                return self.sqrt()
        return binary(elementwise.Power(), self, other)

    def __rpow__(self, other: Operand) -> Tensor:
        return binary(elementwise.Power(), other, self)

    def __pos__(self) -> Self:
        return self

    def __neg__(self) -> Tensor:
        check_values("negative", self, self)
        return apply(elementwise.Pointwise("negative"), self)

    def __abs__(self) -> Tensor:
        return apply(elementwise.Pointwise("absolute"), self)

    # -- arithmetic in place
    def __iadd__(self, other: Operand) -> Self:
        return self._write(..., self + other)

    def __isub__(self, other: Operand) -> Self:
        return self._write(..., self - other)

    def __imul__(self, other: Operand) -> Self:
        return self._write(..., self._before_write(other) * other)

    def __itruediv__(self, other: Operand) -> Self:
        return self._write(..., self._before_write(other) / other)

    def _before_write(self, *others: Any) -> Pointwise:
        """Itself, or a copy for backward where the operation with others is recorded: it is about to be overwritten."""
        recorded = mode.grad and any(isinstance(t, TensorBase) and t.requires_grad for t in (self, *others))
        return self.clone() if recorded else self

    # -- comparison: bool tensors
    def __eq__(self, other: object) -> Any:
        if other is None:
            return False
        return compare("equal", self, other)

    def __ne__(self, other: object) -> Any:
        if other is None:
            return True
        return compare("not_equal", self, other)

    def __lt__(self, other: Any) -> Tensor:
        return compare("less", self, other)

    def __le__(self, other: Any) -> Tensor:
        return compare("less_equal", self, other)

    def __gt__(self, other: Any) -> Tensor:
        return compare("greater", self, other)

    def __ge__(self, other: Any) -> Tensor:
        return compare("greater_equal", self, other)

    __hash__ = object.__hash__

    # -- functions
    def erf(self) -> Tensor:
        """The error function."""
        return _unary("erf", self)

    def exp(self) -> Tensor:
        """The exponential function, elementwise."""
        return _unary("exp", self)

    def log(self) -> Tensor:
        """The natural logarithm, elementwise."""
        return _unary("log", self)

    def log1p(self) -> Tensor:
        """The natural logarithm of 1 + x, elementwise; accurate near 0."""
        return _unary("log1p", self)

    def sqrt(self) -> Tensor:
        """The square root, elementwise."""
        return _unary("sqrt", self)

    def abs(self) -> Tensor:
        """The absolute value, elementwise."""
        return abs(self)

    def relu(self) -> Tensor:
        """max(x, 0), elementwise; NaN stays NaN."""
        return _unary("relu", self) if is_floating(self.dtype) else self.clamp(min=0)

    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-x)), elementwise."""
        return _unary("sigmoid", self)

    def tanh(self) -> Tensor:
        """The hyperbolic tangent, elementwise."""
        return _unary("tanh", self)

    def clamp(self, min: Operand | None = None, max: Operand | None = None) -> Tensor:
        """Bounded below and above; the gradient flows where a value is within its bounds, and on them."""
        if min is None and max is None:
            raise ValueError(message("clamp", "a bound, min or max", "neither"))
        x: Any = self if min is None else binary(elementwise.ClampMin(), self, min, called="clamp")
        return x if max is None else binary(elementwise.ClampMax(), x, max, called="clamp")


def _unary(name: str, x: Any) -> Tensor:
    """A function of the table, of a floating-point tensor or what can become one."""
    return apply(elementwise.Pointwise(name), as_floating(x))


def binary(op: Any, a: Any, b: Any, floating: bool = False, called: str = "") -> Tensor:
    """An operation on two operands of one dtype, a floating one where ``floating``; ``called``: by a user, if not by its name."""
    name = called or op.name
    a, b = operands(name, a, b, floating)
    check_values(name, a, b)
    check_broadcast(name, a, b)
    return apply(op, a, b)


def compare(name: str, a: TensorBase, b: Any) -> Tensor:
    """A bool tensor; nothing is recorded."""
    first, second = operands(name, a, b, widen=True)
    check_broadcast(name, first, second)
    arrays = [v.array if isinstance(v, TensorBase) else v for v in (first, second)]
    return a._new(backends.get(a.device).compare(name, *arrays), a.device)


def maximum(input: Any, other: Any) -> Tensor:
    """The larger of two, elementwise; equal ones share the gradient."""
    return binary(elementwise.Maximum(), input, other)


def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of two, elementwise; equal ones share the gradient."""
    return binary(elementwise.Minimum(), input, other)


@judged
def where(condition: Tensor, input: Any = None, other: Any = None) -> Any:
    """``input`` where the condition holds, else ``other``; of a condition alone, the places where it holds, a vector for each axis."""
    if input is None and other is None:
        return condition.nonzero(as_tuple=True)
    if condition.dtype != bool_:
        raise DTypeError(message("where", "a bool condition", str(condition.dtype)))
    if not isinstance(input, TensorBase) and not isinstance(other, TensorBase):
        input = as_tensor(input, condition.device)
    a, b = operands("where", input, other)
    for value in (a, b):
        check_broadcast("where", condition, value)
    check_broadcast("where", a, b)
    first = a if isinstance(a, TensorBase) else b
    if first.device != condition.device:
        raise DeviceError(message("where", "tensors on one device", f"{condition.device} and {first.device}", "move one with .to()"))
    return apply(elementwise.Where(condition.array), a, b)
