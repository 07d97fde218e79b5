"""Elementwise operations, with NumPy's broadcasting. Operands are arrays of one dtype, or Python scalars."""

from __future__ import annotations

import math
from typing import Any

from ..backends import Array, Backend
from ..errors import message
from ..formulas import UNARY
from .base import Gradients, Op, shape_of, unbroadcast

__all__ = [
    "Add",
    "Arctan2",
    "Bitwise",
    "Cast",
    "ClampMax",
    "ClampMin",
    "Divide",
    "FloorDivide",
    "Fmod",
    "Maximum",
    "Minimum",
    "Multiply",
    "Pointwise",
    "Power",
    "Remainder",
    "Subtract",
    "Where",
]


class Pointwise(Op):
    """A function of one array, by its name in the table."""

    def __init__(self, name: str) -> None:
        self.row = UNARY[name]

    @property
    def label(self) -> str:
        return self.row.title or self.row.name.title().replace("_", "")

    def forward(self, xp: Backend, x: Array) -> Array:
        y = xp.unary(self.row.name, x)
        if self.row.saves:
            self.saved, self.saved_inputs = ((x,), (0,)) if self.row.saves == "x" else ((y,), (-1,))
        return y

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        if not self.row.saves:
            return (xp.unary(self.row.name, grad),)
        return (xp.unary_backward(self.row.name, grad, self.saved[0]),)


class Cast(Op):
    """The same values in another dtype."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def forward(self, xp: Backend, x: Array) -> Array:
        self.source = x.dtype
        return xp.astype(x, self.dtype)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.astype(grad, self.source),)


class _Binary(Op):
    """A function of two operands, each an array or a scalar."""

    name: str

    def forward(self, xp: Backend, a: Array | float, b: Array | float) -> Array:
        self.shapes = shape_of(a), shape_of(b)
        self.save(a, b)
        return xp.binary(self.name, a, b)

    def save(self, a: Array | float, b: Array | float) -> None:
        """Save the operands that backward needs."""

    def gradients(self, xp: Backend, grad: Array, of: int) -> Array:
        """The gradient of operand ``of``, still with the result's shape."""
        raise TypeError(f"{type(self).__name__} has no gradient")

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return tuple(unbroadcast(xp, self.gradients(xp, grad, i), self.shapes[i]) if self.needs_grad[i] else None for i in (0, 1))


class Add(_Binary):
    name = "add"

    def gradients(self, xp: Backend, grad: Array, of: int) -> Array:
        return grad


class Subtract(_Binary):
    name = "subtract"

    def gradients(self, xp: Backend, grad: Array, of: int) -> Array:
        return xp.unary("negative", grad) if of else grad


class Multiply(_Binary):
    name = "multiply"

    def save(self, a: Array | float, b: Array | float) -> None:
        self.saved = (a if self.needs_grad[1] else 0, b if self.needs_grad[0] else 0)
        self.saved_inputs = (0,) * self.needs_grad[1] + (1,) * self.needs_grad[0]

    def gradients(self, xp: Backend, grad: Array, of: int) -> Array:
        return xp.binary("multiply", grad, self.saved[1 - of])


class Divide(_Binary):
    name = "divide"

    def save(self, a: Array | float, b: Array | float) -> None:
        self.saved = (a if self.needs_grad[1] else 0, b)
        self.saved_inputs = (0, 1) if self.needs_grad[1] else (1,)

    def gradients(self, xp: Backend, grad: Array, of: int) -> Array:
        a, b = self.saved
        over = xp.binary("divide", grad, b)
        return xp.unary("negative", xp.binary("divide", xp.binary("multiply", over, a), b)) if of else over


class Power(_Binary):
    name = "power"

    def save(self, a: Array | float, b: Array | float) -> None:
        self.saved = (a, b)
        self.saved_inputs = (0, 1)

    def gradients(self, xp: Backend, grad: Array, of: int) -> Array:
        a, b = self.saved
        if of == 0:  # b * a ** (b - 1); where b is 0 the power is constant, whatever a is
            below = b - 1 if isinstance(b, (int, float)) else xp.binary("subtract", b, 1.0)
            slope, constant = xp.binary("multiply", xp.binary("power", a, below), b), xp.compare("equal", b, 0.0)
        else:  # a ** b * log(a); 0 where a is 0 and b is not negative
            slope = xp.binary("multiply", xp.binary("power", a, b), _log(a) if isinstance(a, (int, float)) else xp.unary("log", a))
            constant = xp.binary("multiply", xp.compare("equal", a, 0.0), xp.compare("greater_equal", b, 0.0))
        return xp.where(constant, 0.0, xp.binary("multiply", grad, slope))


def _log(x: float) -> float:
    """As NumPy's, without a warning."""
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


class FloorDivide(_Binary):
    name = "floor_divide"

    def gradients(self, xp: Backend, grad: Array, of: int) -> Array:
        raise RuntimeError(message("backward", "operations with a gradient", "a floor division", "call detach() before //"))


class Remainder(_Binary):
    """a - b * floor(a / b)."""

    name = "remainder"

    def save(self, a: Array | float, b: Array | float) -> None:
        if self.needs_grad[1]:
            self.saved, self.saved_inputs = (a, b), (0, 1)

    def gradients(self, xp: Backend, grad: Array, of: int) -> Array:
        return xp.unary("negative", xp.binary("multiply", grad, xp.binary("floor_divide", *self.saved))) if of else grad


class Fmod(_Binary):
    """a - b * trunc(a / b); by NumPy."""

    name = "fmod"

    def save(self, a: Array | float, b: Array | float) -> None:
        if self.needs_grad[1]:
            self.saved, self.saved_inputs = (a, b), (0, 1)

    def gradients(self, xp: Backend, grad: Array, of: int) -> Array:
        if not of:
            return grad
        return xp.unary("negative", xp.binary("multiply", grad, xp.unary("trunc", xp.binary("divide", *self.saved))))


class Arctan2(_Binary):
    """The angle of the point (b, a); by NumPy."""

    name = "arctan2"

    def save(self, a: Array | float, b: Array | float) -> None:
        self.saved, self.saved_inputs = (a, b), (0, 1)

    def gradients(self, xp: Backend, grad: Array, of: int) -> Array:
        a, b = self.saved
        squared = xp.binary("add", xp.binary("multiply", a, a), xp.binary("multiply", b, b))
        slope = xp.binary("divide", a if of else b, squared)
        return xp.binary("multiply", xp.unary("negative", grad) if of else grad, slope)


class Bitwise(_Binary):
    """Bit by bit, of integers; by NumPy. No gradient."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Extremum(_Binary):
    """The larger or smaller of two; the gradient is 0 where an operand ``loses``, and equal ones share it."""

    loses: str

    def save(self, a: Array | float, b: Array | float) -> None:
        self.saved = (a, b)
        self.saved_inputs = (0, 1)

    def gradients(self, xp: Backend, grad: Array, of: int) -> Array:
        a, b = self.saved if of == 0 else self.saved[::-1]
        share = xp.where(xp.compare("equal", a, b), xp.binary("multiply", grad, 0.5), grad)
        return xp.where(xp.compare(self.loses, a, b), 0.0, share)


class Maximum(_Extremum):
    name, loses = "maximum", "less"


class Minimum(_Extremum):
    name, loses = "minimum", "greater"


class _Clamp(_Extremum):
    """``a`` within the bound ``b``: the gradient is a's where it ``holds`` the bound, also on it, and the bound's where a ``loses``."""

    holds: str
    label = "Clamp"

    def gradients(self, xp: Backend, grad: Array, of: int) -> Array:
        a, b = self.saved
        return xp.where(xp.compare(self.loses if of else self.holds, a, b), grad, 0.0)


class ClampMin(_Clamp):
    name, holds, loses = "maximum", "greater_equal", "less"


class ClampMax(_Clamp):
    name, holds, loses = "minimum", "less_equal", "greater"


class Where(Op):
    """``a`` where the condition holds, else ``b``. The condition is a hyper-parameter: nothing flows back through it."""

    def __init__(self, condition: Array) -> None:
        self.condition = condition

    def forward(self, xp: Backend, a: Array | float, b: Array | float) -> Array:
        self.shapes, condition = (shape_of(a), shape_of(b)), self.condition
        if True in self.needs_grad:
            self.condition = xp.copy(condition)  # which may be written to before the backward
        return xp.where(condition, a, b)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        parts = ((grad, 0.0), (0.0, grad))
        return tuple(unbroadcast(xp, xp.where(self.condition, *parts[i]), self.shapes[i]) if self.needs_grad[i] else None for i in (0, 1))
