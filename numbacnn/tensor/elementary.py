"""Functions of each element that have no kernel of their own: NumPy computes them, on the host wherever the tensor lies.

Their gradients are composed of operations on tensors. Functions that are composed as a whole run on every device.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

from .. import backends, ops
from ..arguments import integer
from ..dtypes import is_floating
from .core import TensorBase, apply
from .create import zeros_like
from .operands import as_floating
from .pointwise import Pointwise
from .tape import no_grad

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Elementary", "in_place"]

P = ParamSpec("P")


class _ByNumpy(ops.Op):
    """A function of NumPy's, by its name there. What ``gradient`` is a function of is saved: g, and x or y."""

    def __init__(self, name: str, gradient: Callable[..., Tensor]) -> None:
        self.name, self.gradient = name, gradient

    @property
    def label(self) -> str:
        return self.name

    def forward(self, xp: backends.Backend, x: Any) -> Any:
        y = xp.unary(self.name, x)
        known = {"x": ((x,), (0,)), "y": ((y,), (-1,))}
        code = self.gradient.__code__
        self.saved, self.saved_inputs = known.get(code.co_varnames[code.co_argcount - 1], ((), ()))
        return y

    def backward(self, xp: backends.Backend, grad: Any) -> tuple[Any, ...]:
        with no_grad():
            return (self.gradient(*(TensorBase._new(a, xp.name) for a in (grad, *self.saved))).array,)


def _function(name: str, gradient: Callable[..., Any], says: str, numpy: str = "") -> Callable[[Any], Tensor]:
    """A method that applies a function of NumPy's to floating-point numbers; others become float32."""

    def method(self: Any) -> Tensor:
        return apply(_ByNumpy(numpy or name, gradient), as_floating(self))

    return _named(method, name, f"{says}, elementwise.")


def _step(name: str, says: str, numpy: str = "") -> Callable[[Any], Tensor]:
    """A method likewise, whose gradient is 0; integers stay as they are."""

    def method(self: Any) -> Tensor:
        return apply(_ByNumpy(numpy or name, _nothing), self) if is_floating(self.dtype) else self.clone()

    return _named(method, name, f"{says}, elementwise; integers stay as they are. The gradient is 0.")


def _nothing(g: Tensor) -> Tensor:
    return zeros_like(g)


def _named(method: Callable[P, Tensor], name: str, says: str) -> Callable[P, Tensor]:
    method.__name__, method.__qualname__, method.__doc__ = name, f"Tensor.{name}", says
    return method


def in_place(method: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """The method that writes what another gives into the tensor itself, as ``x.exp_()`` does with ``x.exp()``."""

    @functools.wraps(method)
    def write(self: Any, *args: Any, **options: Any) -> Any:
        before = self._before_write(*args, *options.values())
        return self._write(..., method(before, *args, **options))  # type: ignore[call-arg, arg-type]

    return _named(write, f"{method.__name__}_", f":meth:`{method.__name__}`, written into this tensor.")  # type: ignore[arg-type]


class Elementary(Pointwise):
    """Trigonometric, hyperbolic and other functions, and rounding."""

    __slots__ = ()

    sin = _function("sin", lambda g, x: g * x.cos(), "The sine")
    cos = _function("cos", lambda g, x: -g * x.sin(), "The cosine")
    tan = _function("tan", lambda g, y: g * (1 + y * y), "The tangent")
    asin = arcsin = _function("asin", lambda g, x: g * (1 - x * x).rsqrt(), "The angle with this sine", "arcsin")
    acos = arccos = _function("acos", lambda g, x: -g * (1 - x * x).rsqrt(), "The angle with this cosine", "arccos")
    atan = arctan = _function("atan", lambda g, x: g / (1 + x * x), "The angle with this tangent", "arctan")
    sinh = _function("sinh", lambda g, x: g * x.cosh(), "The hyperbolic sine")
    cosh = _function("cosh", lambda g, x: g * x.sinh(), "The hyperbolic cosine")
    asinh = arcsinh = _function("asinh", lambda g, x: g * (x * x + 1).rsqrt(), "The inverse of the hyperbolic sine", "arcsinh")
    acosh = arccosh = _function("acosh", lambda g, x: g * (x * x - 1).rsqrt(), "The inverse of the hyperbolic cosine", "arccosh")
    atanh = arctanh = _function("atanh", lambda g, x: g / (1 - x * x), "The inverse of the hyperbolic tangent", "arctanh")
    exp2 = _function("exp2", lambda g, y: g * y * math.log(2), "2**x")
    expm1 = _function("expm1", lambda g, y: g * (y + 1), "exp(x) - 1, accurate near 0")
    log2 = _function("log2", lambda g, x: g / (x * math.log(2)), "The logarithm to the base 2")
    log10 = _function("log10", lambda g, x: g / (x * math.log(10)), "The logarithm to the base 10")
    floor = _step("floor", "The largest integer that is not above x")
    ceil = _step("ceil", "The smallest integer that is not below x")
    trunc = fix = _step("trunc", "x without its fraction")
    _rint = _step("round", "The nearest integer", "rint")

    def round(self, *, decimals: int = 0) -> Tensor:
        """The nearest number with so many decimals, elementwise, the even one of two that are as near; the gradient is 0.

        >>> import numbacnn as nc
        >>> nc.tensor([0.5, 1.5, -2.345]).round(), nc.tensor([-2.345]).round(decimals=1)
        (tensor([ 0.,  2., -2.]), tensor([-2.3000]))
        """
        scale = 10.0 ** integer("round", "decimals", decimals, -300, 300)
        return self._rint() if decimals == 0 else (self * scale)._rint() / scale

    def sign(self) -> Tensor:
        """-1, 0 or 1 as the number is below, at or above 0, elementwise, in its dtype. The gradient is 0."""
        if is_floating(self.dtype):
            return apply(_ByNumpy("sign", _nothing), self)
        return ((self > 0).long() - (self < 0).long()).to(self.dtype)

    def frac(self) -> Tensor:
        """The fraction of x, with its sign, elementwise."""
        return self - self.trunc()

    def square(self) -> Tensor:
        """x * x, elementwise."""
        return self * self

    def reciprocal(self) -> Tensor:
        """1 / x, elementwise."""
        return 1 / self

    def rsqrt(self) -> Tensor:
        """1 / sqrt(x), elementwise."""
        return 1 / self.sqrt()

    absolute = Pointwise.abs

    # -- written into the tensor
    abs_ = in_place(Pointwise.abs)
    exp_ = in_place(Pointwise.exp)
    log_ = in_place(Pointwise.log)
    relu_ = in_place(Pointwise.relu)
    sigmoid_ = in_place(Pointwise.sigmoid)
    sqrt_ = in_place(Pointwise.sqrt)
    tanh_ = in_place(Pointwise.tanh)
    clamp_ = in_place(Pointwise.clamp)
    erf_ = in_place(Pointwise.erf)
    log1p_ = in_place(Pointwise.log1p)
    expm1_ = in_place(expm1)
    frac_ = in_place(frac)
    sin_ = in_place(sin)
    cos_ = in_place(cos)
    floor_ = in_place(floor)
    ceil_ = in_place(ceil)
    trunc_ = in_place(trunc)
    round_ = in_place(round)
    sign_ = in_place(sign)
    square_ = in_place(square)
    reciprocal_ = in_place(reciprocal)
    rsqrt_ = in_place(rsqrt)
