"""Elementwise operations, with NumPy's broadcasting. Operands are arrays of one dtype, or Python scalars."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backends import Array, Backend
from ..errors import message
from .base import Gradients, Op, shape_of, unbroadcast

__all__ = [
    "Absolute",
    "Add",
    "Cast",
    "Divide",
    "Erf",
    "Exp",
    "FloorDivide",
    "Gelu",
    "Log",
    "Log1p",
    "Maximum",
    "Minimum",
    "Multiply",
    "Negative",
    "Power",
    "Relu",
    "Remainder",
    "Sigmoid",
    "Sqrt",
    "Subtract",
    "Tanh",
    "Where",
]


class _Unary(Op):
    """A function of one array; ``saves`` names what backward needs: "input", "output" or nothing."""

    name: str
    saves: str = ""

    def forward(self, xp: Backend, x: Array) -> Array:
        y = xp.unary(self.name, x)
        if self.saves:
            self.saved = (x if self.saves == "input" else y,)
            self.saved_inputs = (0 if self.saves == "input" else -1,)
        return y


class Negative(_Unary):
    name = "negative"

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.unary("negative", grad),)


class Exp(_Unary):
    name, saves = "exp", "output"

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.binary("multiply", grad, self.saved[0]),)


class Log(_Unary):
    name, saves = "log", "input"

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.binary("divide", grad, self.saved[0]),)


class Log1p(_Unary):
    name, saves = "log1p", "input"

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.binary("divide", grad, xp.binary("add", self.saved[0], 1.0)),)


class Sqrt(_Unary):
    name, saves = "sqrt", "output"

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.binary("divide", grad, xp.binary("multiply", self.saved[0], 2.0)),)


class Absolute(_Unary):
    name, saves = "absolute", "input"

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.binary("multiply", grad, xp.unary("sign", self.saved[0])),)


class Relu(_Unary):
    name, saves = "relu", "output"

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.relu_backward(grad, self.saved[0]),)


class Sigmoid(_Unary):
    name, saves = "sigmoid", "output"

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.sigmoid_backward(grad, self.saved[0]),)


class Tanh(_Unary):
    name, saves = "tanh", "output"

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.tanh_backward(grad, self.saved[0]),)


class Erf(_Unary):
    name, saves = "erf", "input"

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        x = self.saved[0]
        slope = xp.unary("exp", xp.unary("negative", xp.binary("multiply", x, x)))
        return (xp.binary("multiply", grad, xp.binary("multiply", slope, 2 / math.sqrt(math.pi))),)


class Gelu(Op):
    """x times the normal distribution function of x; ``approximate``: by tanh in place of erf."""

    def __init__(self, approximate: bool) -> None:
        self.approximate = approximate

    def forward(self, xp: Backend, x: Array) -> Array:
        self.saved, self.saved_inputs = (x,), (0,)
        return xp.gelu(x, self.approximate)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.gelu_backward(grad, self.saved[0], self.approximate),)


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
        if of == 0:  # b * a ** (b - 1); where b is 0 the power is constant, also at a = 0
            if isinstance(b, (int, float)):
                slope = xp.binary("multiply", xp.binary("power", a, b - 1), b) if b else xp.binary("multiply", a, 0)
            else:
                slope = xp.binary("multiply", xp.binary("power", a, xp.binary("subtract", b, 1.0)), b)
                slope = xp.where(xp.compare("equal", b, 0.0), 0.0, slope)
            return xp.binary("multiply", grad, slope)
        # a ** b * log(a); 0 where a is 0 and b is not negative
        if isinstance(a, (int, float)):
            return xp.binary("multiply", grad, xp.binary("multiply", xp.binary("power", a, b), float(np.log(a)) if a else 0.0))
        log = xp.where(xp.compare("equal", a, 0.0), 0.0, xp.unary("log", xp.where(xp.compare("equal", a, 0.0), 1.0, a)))
        return xp.binary("multiply", grad, xp.binary("multiply", xp.binary("power", a, b), log))


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


class _Extremum(_Binary):
    """The larger or smaller of two; equal operands share the gradient."""

    wins: str

    def save(self, a: Array | float, b: Array | float) -> None:
        self.saved = (a, b)
        self.saved_inputs = (0, 1)

    def gradients(self, xp: Backend, grad: Array, of: int) -> Array:
        a, b = self.saved if of == 0 else self.saved[::-1]
        share = xp.where(xp.compare("equal", a, b), xp.binary("multiply", grad, 0.5), grad)
        return xp.where(xp.compare(self.wins, a, b), share, 0.0)


class Maximum(_Extremum):
    name, wins = "maximum", "greater_equal"


class Minimum(_Extremum):
    name, wins = "minimum", "less_equal"


class Where(Op):
    """``a`` where the condition holds, else ``b``. The condition is a hyper-parameter: nothing flows back through it."""

    def __init__(self, condition: Array) -> None:
        self.condition = condition

    def forward(self, xp: Backend, a: Array | float, b: Array | float) -> Array:
        self.shapes = shape_of(a), shape_of(b)
        return xp.where(self.condition, a, b)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        parts = ((grad, 0.0), (0.0, grad))
        return tuple(unbroadcast(xp, xp.where(self.condition, *parts[i]), self.shapes[i]) if self.needs_grad[i] else None for i in (0, 1))
