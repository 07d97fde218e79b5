"""The table of pointwise functions: what each of them and its gradient are, written once as scalar Python.

Both devices make their kernels of these functions, and the tests hold every device to them. They call the helpers below and nothing
else; the CPU compiles the helpers from polynomials (``kernels.cpu.vecmath``), CUDA from its library. A constant is ``type(x)(...)``: a
bare one would be float64. NaN gives NaN, and so does its gradient but where a comment says otherwise; there and on kinks it is PyTorch's.
"""

from __future__ import annotations

import itertools
import math
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .fingerprint import fingerprint

__all__ = ["BINARY", "UNARY", "Binary", "Unary", "forgiving", "leaky_relu_row", "own_row", "rebound"]


# -- what the functions of the table may call ----------------------------------------------------------------------------
def exp(x):
    """e**x."""
    return np.exp(x)


def exp_below(x):
    """e**x of x that is not positive."""
    return np.exp(x)


def log1p_below(x):
    """log(1 + x) of x from 0 to 1."""
    return np.log1p(x)


def tanh(x):
    """The hyperbolic tangent."""
    return np.tanh(x)


def erf(x):
    """The error function, 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x."""
    return type(x)(math.erf(x))


def two_sided_normal_tail(x):
    """The share of normal numbers further from 0 than x, which is not negative: 1 - erf(x / sqrt(2)); 0 for x > 5.6 in float32."""
    return type(x)(math.erfc(x * type(x)(ROOT_HALF)))


def sigmoid(x):
    """1 / (1 + exp(-x)); small results keep their digits: nothing cancels or overflows."""
    e, one = exp_below(-abs(x)), type(x)(1)
    return (e if x < 0 else one) / (one + e)


log, log1p, sqrt = np.log, np.log1p, np.sqrt

ROOT_HALF = math.sqrt(0.5)
DENSITY = 1 / math.sqrt(2 * math.pi)  # of the normal distribution, at 0
SLOPE, CUBE = math.sqrt(2 / math.pi), 0.044715  # tanh(SLOPE * (x + CUBE * x**3)) is about erf(x / sqrt(2))
ERF_SLOPE = 2 / math.sqrt(math.pi)


# -- functions of one number, and their gradients from g, the gradient of y = f(x), and x or y ------------------------------------
def absolute_backward(g, x):
    zero, one = type(x)(0), type(x)(1)
    return g * (one if x > zero else -one if x < zero else zero)  # 0 at 0 and NaN


def relu(x):
    zero = type(x)(0)
    return zero if x < zero else x


def relu_backward(g, y):
    zero = type(y)(0)
    return zero if y <= zero else g  # g at NaN


def relu6(x):
    zero, six = type(x)(0), type(x)(6)
    return zero if x < zero else six if x > six else x


def relu6_backward(g, y):
    zero = type(y)(0)
    return g if y > zero and y < type(y)(6) else zero  # 0 at NaN


def hardswish(x):
    zero, six = type(x)(0), type(x)(6)
    gate = x + type(x)(3)
    return x * (zero if gate < zero else six if gate > six else gate) / six


def hardswish_backward(g, x):
    three = type(x)(3)
    return type(x)(0) if x <= -three else g if x >= three else g * (x / three + type(x)(0.5))


BELOW: Any = None  # the slope below 0: each row of :func:`leaky_relu_row` has its own


def leaky_relu(x):
    return x if x > type(x)(0) else x * type(x)(BELOW)


def leaky_relu_backward(g, x):
    return g if x > type(x)(0) else g * type(x)(BELOW)


def elu(x):
    t = tanh(type(x)(0.5) * (x if x < type(x)(0) else type(x)(0)))
    return type(x)(2) * t / (type(x)(1) - t) if x <= type(x)(0) else x  # e**x - 1, of which no digit cancels near 0


def elu_backward(g, y):
    return g if y > type(y)(0) else g * (y + type(y)(1))


def silu_backward(g, x):
    s, one = sigmoid(x), type(x)(1)
    return g * (s * (one + x * (one - s)))


def softplus(x):
    zero = type(x)(0)
    y = (zero if x < zero else x) + log1p_below(exp_below(-abs(x)))
    return x if x > type(x)(20) else y


def softplus_backward(g, x):
    return g if x > type(x)(20) else g * sigmoid(x)


def gelu(x):
    e = two_sided_normal_tail(abs(x))  # nothing cancels where x is far below 0
    return type(x)(0.5) * x * (e if x < type(x)(0) else type(x)(2) - e)


def gelu_backward(g, x):
    half = type(x)(0.5)
    e = two_sided_normal_tail(abs(x))
    return g * (half * (e if x < type(x)(0) else type(x)(2) - e) + x * (type(x)(DENSITY) * exp_below(-half * x * x)))


def gelu_tanh(x):
    return type(x)(0.5) * x * (type(x)(1) + tanh(type(x)(SLOPE) * (x + type(x)(CUBE) * x * x * x)))


def gelu_tanh_backward(g, x):
    half, one, slope, cube = type(x)(0.5), type(x)(1), type(x)(SLOPE), type(x)(CUBE)
    t = tanh(slope * (x + cube * x * x * x))
    return g * (half * (one + t) + half * x * (one - t * t) * (slope * (one + type(x)(3) * cube * x * x)))


def rebound(function: Callable[..., Any], name: str, /, **called: Any) -> types.FunctionType:
    """A copy of a function under a name of its own that calls these by the names that the function knows.

    A kernel is a copy of a pattern, and not a closure, whose machine code Numba would not keep; its files are found by its name.
    """
    return types.FunctionType(
        function.__code__, {**function.__globals__, **called}, name, function.__defaults__, getattr(function, "__closure__", None)
    )


Scalar = Callable[..., Any]

LARGE = 1 << 15
"""Elements from which threads help with what NumPy does as well, to the bit."""


@dataclass(frozen=True)
class Unary:
    """A function of one number."""

    name: str
    forward: Scalar
    """y of x."""

    backward: Scalar
    """The gradient of x, of the gradient of y and what ``saves`` says."""

    saves: Literal["x", "y", ""]
    """What backward is written in; "" for a linear function, which is its own backward."""

    fused: bool = False
    """Whether a convolution or a linear layer can apply it: each such function makes six kernels compile 60 ms longer."""

    numpy: float = 0
    """The CPU leaves forward to NumPy's function of this name for fewer elements than this, and in float64; 0: it never does."""

    contract: bool = True
    """Whether a product and a sum may become one instruction: not where two products meet in a sum, as LLVM would choose one of them."""

    derivative: Scalar | None = None
    """Of a user's function, whose ``backward`` is ``chain_rule``: what that calls."""

    kept: bool = True
    """Whether its kernels may be kept on disk: not those of a user's function that the name does not tell from every other."""

    title: str = ""
    """What a user's function is called in messages."""


UNARY = {
    row.name: row
    for row in (
        Unary("negative", lambda x: -x, lambda g: -g, "", numpy=LARGE),
        Unary("absolute", lambda x: abs(x), absolute_backward, "x", numpy=LARGE),
        Unary("exp", lambda x: exp(x), lambda g, y: g * y, "y", numpy=1),
        Unary("log", lambda x: log(x), lambda g, x: g / x, "x", numpy=math.inf),
        Unary("log1p", lambda x: log1p(x), lambda g, x: g / (x + type(x)(1)), "x", numpy=math.inf),
        Unary("sqrt", lambda x: sqrt(x), lambda g, y: g / (type(y)(2) * y), "y", numpy=LARGE),
        Unary("relu", relu, relu_backward, "y", fused=True),
        Unary("sigmoid", lambda x: sigmoid(x), lambda g, y: g * (y * (type(y)(1) - y)), "y", fused=True),
        Unary("tanh", lambda x: tanh(x), lambda g, y: g * (type(y)(1) - y * y), "y", fused=True),
        Unary("erf", lambda x: erf(x), lambda g, x: g * (type(x)(ERF_SLOPE) * exp_below(-x * x)), "x"),
        Unary("gelu", gelu, gelu_backward, "x", contract=False),
        Unary("gelu_tanh", gelu_tanh, gelu_tanh_backward, "x", contract=False),
        Unary("silu", lambda x: x * sigmoid(x), silu_backward, "x"),
        Unary("softplus", softplus, softplus_backward, "x"),
        Unary("hardswish", hardswish, hardswish_backward, "x"),
        Unary("relu6", relu6, relu6_backward, "y"),
        Unary("elu", elu, elu_backward, "y"),
    )
}


LEAKY_SLOPES = 8
"""Slopes of leaky ReLUs that get kernels of their own: a slope that changes all the time shall not have one compiled each time."""


def leaky_relu_row(slope: float) -> str | None:
    """The name of the row of a leaky ReLU with this slope, which joins the table; None where there are as many as there may be.

    >>> leaky_relu_row(0.25)
    'leaky_relu_0x1_0000000000000pm2'
    """
    name = "leaky_relu_" + float(slope).hex().translate(str.maketrans("-+.", "mp_"))
    if name not in UNARY:
        if sum(known.startswith("leaky_relu_") for known in UNARY) >= LEAKY_SLOPES:
            return None
        forward, backward = (rebound(f, f.__name__, BELOW=float(slope)) for f in (leaky_relu, leaky_relu_backward))
        UNARY[name] = Unary(name, forward, backward, "x", title="LeakyReLU")
    return name


# -- functions of the user's own -----------------------------------------------------------------------------------------------------
def own_row(function: Scalar, derivative: Scalar, saves: Literal["x", "y"], single: bool) -> Unary:
    """The row of a user's function, which joins the table; ``derivative`` is a function of x or y, as ``saves`` says.

    Its name holds a digest of both functions: kernels on disk are found again by it, and are not taken for those of a function that was
    written anew. A function that no digest can tell from another gets a number, and kernels that are not kept.

    ``single``: for float32, in which the functions' own numbers then are too.
    """
    title = re.sub(r"\W", "", getattr(function, "__name__", "")) or "own"
    digest = fingerprint(function, derivative)
    name = f"{title}_{digest or next(_numbers)}_{saves}{'_single' * single}"
    if name not in UNARY:
        own, slope = (_single(_plain(f)) if single else _plain(f) for f in (function, derivative))
        UNARY[name] = Unary(name, own, chain_rule, saves, contract=False, derivative=slope, kept=digest is not None, title=title)
    return UNARY[name]


_numbers = itertools.count()

slope: Any = None  # what the pattern below calls: each backward has its own


def chain_rule(g, x):
    return g * slope(x)


def _plain(function: Scalar) -> types.FunctionType:
    """A Python function, with the values of now for the names that it knows; one that calls what has no Python code, as ``math.tanh``."""
    if isinstance(function, types.FunctionType):
        return rebound(function, function.__name__, __name__=__name__)  # Numba imports a function's module, anew for a kept kernel
    return rebound(_call_slope, "call", slope=function)


def _call_slope(x):
    return slope(x)


def _single(function: types.FunctionType) -> types.FunctionType:
    """The function with its numbers in float32: those in its code, of global names, and of closures.

    Numba takes 0.5 for a float64, and float32 times int64 for another: a function would be computed in float64, up to ten times as slowly.
    float32 times int16 is float32, and what has to be an integer still is one.
    """
    code = function.__code__.replace(co_consts=tuple(map(_narrow, function.__code__.co_consts)))
    closure = tuple(types.CellType(_narrow(cell.cell_contents)) for cell in function.__closure__ or ())
    known = {name: _narrow(value) for name, value in function.__globals__.items()}
    return types.FunctionType(code, known, function.__name__, function.__defaults__, closure or None)


def _narrow(value: Any) -> Any:
    with np.errstate(over="ignore"):
        return np.float32(value) if type(value) is float else np.int16(value) if type(value) is int and abs(value) < 1 << 15 else value


def forgiving(function: types.FunctionType) -> types.FunctionType:
    """The function for Python, where ``math`` raises what compiled code gives as infinity or NaN."""
    known = {name: value for name, value in function.__globals__.items() if name in function.__code__.co_names}
    calls: dict[str, Any] = {name: _Math() for name, value in known.items() if value is math}
    calls |= {name: _forgiven(value) for name, value in known.items() if getattr(value, "__module__", "") == "math"}
    return rebound(function, function.__name__, **calls)


class _Math:
    """``math`` for Python, as :func:`forgiving` says."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(math, name)
        return _forgiven(value) if callable(value) else value


def _forgiven(function: Scalar) -> Scalar:
    def call(*values: Any) -> Any:
        kind = type(values[0]) if isinstance(values[0], np.floating) else np.float64
        try:
            return kind(function(*values))
        except (OverflowError, ValueError):
            with np.errstate(all="ignore"):
                return kind(getattr(np, function.__name__, lambda *_: np.nan)(*map(np.float64, values)))

    return call


# -- functions of two numbers, and their gradients from g, the gradient of y = f(a, b) -----------------------------------------------
def power_backward(g, a, b):
    return type(a)(0) if b == type(b)(0) else g * (b * a ** (b - type(b)(1)))


def power_backward_exponent(g, a, b):
    zero = type(a)(0)
    return zero if a == zero and b >= zero else g * (a**b * log(a))


def maximum(a, b):
    return a if a > b or a != a else b


def minimum(a, b):
    return a if a < b or a != a else b


def maximum_backward(g, a, b):
    return type(a)(0.5) * g if a == b else type(a)(0) if a < b else g  # g of both at NaN


def minimum_backward(g, a, b):
    return type(a)(0.5) * g if a == b else type(a)(0) if a > b else g


@dataclass(frozen=True)
class Binary:
    """A function of two numbers."""

    name: str
    forward: Scalar
    """y of a and b."""

    backward: tuple[Scalar, Scalar]
    """The gradients of a and b, of the gradient of y, a and b."""

    numpy: float = math.inf
    """The CPU leaves forward to NumPy's function of this name for fewer elements than this, and for arrays that lie differently."""


BINARY = {
    row.name: row
    for row in (
        Binary("add", lambda a, b: a + b, (lambda g, a, b: g, lambda g, a, b: g), numpy=LARGE),
        Binary("subtract", lambda a, b: a - b, (lambda g, a, b: g, lambda g, a, b: -g), numpy=LARGE),
        Binary("multiply", lambda a, b: a * b, (lambda g, a, b: g * b, lambda g, a, b: g * a), numpy=LARGE),
        Binary("divide", lambda a, b: a / b, (lambda g, a, b: g / b, lambda g, a, b: -(g / b * a / b)), numpy=LARGE),
        Binary("power", lambda a, b: a**b, (power_backward, power_backward_exponent)),
        Binary("maximum", maximum, (maximum_backward, lambda g, a, b: maximum_backward(g, b, a))),
        Binary("minimum", minimum, (minimum_backward, lambda g, a, b: minimum_backward(g, b, a))),
        Binary("clamp_min", maximum, (lambda g, a, b: g if a >= b else type(a)(0), lambda g, a, b: g if a < b else type(a)(0))),
        Binary("clamp_max", minimum, (lambda g, a, b: g if a <= b else type(a)(0), lambda g, a, b: g if a > b else type(a)(0))),
    )
}
