"""Random numbers: drawn on the host, from the library's generator or from one that is given."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .. import random
from ..arguments import integer, number
from ..dtypes import DType, as_dtype, float32, float64, int64, is_floating
from ..errors import DTypeError, ShapeError, message
from ..random import Generator
from ..signatures import judged
from .core import TensorBase, from_array
from .operands import check_sizes, like
from .pointwise import Pointwise
from .tape import no_grad

if TYPE_CHECKING:
    from . import Tensor

__all__ = [
    "Draw",
    "bernoulli",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
]

Stream = np.random.Generator


def _floats(
    op: str, shape: tuple[int, ...], draw: str, dtype: Any, device: str, requires_grad: bool, generator: Generator | None = None
) -> Tensor:
    found = float32 if dtype is None else as_dtype(op, dtype)
    if not is_floating(found):
        raise DTypeError(message(op, "a floating-point dtype", str(found)))
    return _drawn(op, lambda stream: getattr(stream, draw)(size=shape, dtype=found), device, requires_grad, generator)


def _drawn(op: str, make: Callable[[Stream], Any], device: str, requires_grad: bool, generator: Any) -> Tensor:
    if generator is not None and not isinstance(generator, Generator):
        raise TypeError(message(op, "a numbacnn.Generator or None", type(generator).__name__))
    return from_array(random.draw(lambda stream: np.asarray(make(stream)), generator), device, requires_grad)


@judged
def rand(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str = "cpu",
    requires_grad: bool = False,
) -> Tensor:
    """Uniform on [0, 1), from the library's generator or the one given; float32, or float64 where ``dtype`` says so."""
    return _floats("rand", check_sizes("rand", sizes if size is None else (size,)), "random", dtype, device, requires_grad, generator)


@judged
def randn(
    *sizes: Any,
    size: Any = None,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str = "cpu",
    requires_grad: bool = False,
) -> Tensor:
    """Standard normal, from the library's generator or the one given; float32, or float64 where ``dtype`` says so."""
    shape = check_sizes("randn", sizes if size is None else (size,))
    return _floats("randn", shape, "standard_normal", dtype, device, requires_grad, generator)


@judged
def rand_like(input: Tensor, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Uniform on [0, 1), in the shape and dtype of ``input``, on its device, unless ``dtype`` or ``device`` say otherwise."""
    return _floats("rand_like", input.shape, "random", requires_grad=requires_grad, **like(input, dtype, device))


@judged
def randn_like(input: Tensor, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Standard normal, in the shape and dtype of ``input``, on its device, unless ``dtype`` or ``device`` say otherwise."""
    return _floats("randn_like", input.shape, "standard_normal", requires_grad=requires_grad, **like(input, dtype, device))


@judged
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    device: str = "cpu",
    requires_grad: bool = False,
) -> Tensor:
    """Normal with this mean and standard deviation, float32: numbers with a ``size``, or Tensors that give an element each.

    >>> import numbacnn as nc
    >>> normal(0.0, 1.0, (2, 3)).shape, normal(nc.zeros(4), 0.1).shape
    ((2, 3), (4,))
    """
    for name, value in (("mean", mean), ("std", std)):
        if not isinstance(value, (TensorBase, np.ndarray)):
            number("normal", name, value, lambda v: True, "that is finite")
    if not np.all(np.asarray(std) >= 0):
        raise ValueError(message("normal", "std of at least 0", f"{std}"))
    given = [t for t in (mean, std) if isinstance(t, TensorBase)]
    if (size is None) != bool(given):
        raise ValueError(message("normal", "numbers with a size, or Tensors without one", f"size {size}"))
    shape = np.broadcast_shapes(*(t.shape for t in given)) if given else check_sizes("normal", (size,))
    with no_grad():
        drawn = _floats("normal", shape, "standard_normal", None, given[0].device if given else device, False, generator) * std + mean
    return drawn.requires_grad_(requires_grad)


def _range(op: str, low: Any, high: Any, dtype: DType) -> tuple[int, int]:
    low, high = (0, low) if high is None else (low, high)
    bounds = (-(1 << 24), 1 << 24) if dtype == float32 else (-(1 << 53), 1 << 53) if is_floating(dtype) else _of(dtype)
    low = integer(op, "low", low, bounds[0], bounds[1])
    return low, integer(op, "high", high, low + 1, bounds[1] + 1)


def _of(dtype: DType) -> tuple[int, int]:
    return (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))


def _integers(
    op: str, low: Any, high: Any, shape: Any, dtype: Any, device: str, requires_grad: bool = False, generator: Any = None
) -> Tensor:
    found = int64 if dtype is None else as_dtype(op, dtype)
    first, last = _range(op, low, high, found)
    draws = lambda stream: stream.integers(first, last, shape, np.int64 if is_floating(found) else found).astype(found)  # noqa: E731
    return _drawn(op, draws, device, requires_grad, generator)


@judged
def randint(
    low: int,
    high: Any = None,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: Any = None,
    device: str = "cpu",
    requires_grad: bool = False,
) -> Tensor:
    """Integers from ``low`` up to, but without, ``high``: ``randint(low, high, size)``, or ``randint(high, size)`` from 0; int64 unless
    ``dtype`` says otherwise.

    >>> randint(0, 10, (2, 3)).shape, randint(10, (4,)).dtype
    ((2, 3), dtype('int64'))
    """
    if size is None:
        low, high, size = 0, low, high
    return _integers("randint", low, high, check_sizes("randint", (size,)), dtype, device, requires_grad, generator)


@judged
def randint_like(input: Tensor, low: int, high: int | None = None, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """Integers of :func:`randint` in the shape and dtype of ``input``, on its device, unless ``dtype`` or ``device`` say otherwise."""
    return _integers("randint_like", low, high, input.shape, **like(input, dtype, device))


@judged
def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, device: str = "cpu") -> Tensor:
    """0 to n - 1 in a random order; int64 unless ``dtype`` says otherwise.

    >>> sorted(randperm(4).tolist())
    [0, 1, 2, 3]
    """
    found, size = int64 if dtype is None else as_dtype("randperm", dtype), integer("randperm", "n", n, 0)
    return _drawn("randperm", lambda stream: stream.permutation(size).astype(found), device, False, generator)


@judged
def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element tells, else 0, in its dtype.

    >>> import numbacnn as nc
    >>> bernoulli(nc.tensor([0.0, 1.0]))
    tensor([0., 1.])
    """
    p = np.asarray(input)
    if not is_floating(input.dtype) or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(message("bernoulli", "floating-point probabilities from 0 to 1", f"{input.dtype}, or numbers beyond"))
    return _drawn("bernoulli", lambda stream: (stream.random(p.shape) < p).astype(p.dtype), input.device, False, generator)


@judged
def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None) -> Tensor:
    """Places drawn by their weights, int64: ``num_samples`` of a vector (K,), or of each row of (N, K).

    Without ``replacement`` no place comes twice.

    >>> import numbacnn as nc
    >>> sorted(multinomial(nc.tensor([0.2, 0.0, 0.8]), 2).tolist())
    [0, 2]
    """
    weights = np.asarray(input, np.float64)
    if weights.ndim not in (1, 2) or not (weights.shape[-1] and np.isfinite(weights).all() and (weights >= 0).all()):
        expected, received = "weights (K,) or (N, K), finite and of at least 0", f"shape {weights.shape}, or other numbers"
        raise ShapeError(message("multinomial", expected, received))
    least = int((weights > 0).sum(-1).min(initial=weights.shape[-1]))
    samples = integer("multinomial", "num_samples", num_samples)
    if least < (1 if replacement else samples):
        raise ValueError(message("multinomial", f"at least {1 if replacement else samples} weights above 0 in a row", f"{least}"))

    def make(stream: Stream) -> np.ndarray:
        if replacement:
            steps = np.cumsum(weights, -1)
            steps /= steps[..., -1:]
            draws = stream.random((*weights.shape[:-1], samples))
            return (draws[..., None] >= steps[..., None, :]).sum(-1)
        with np.errstate(divide="ignore"):  # the first to come of exponential waiting times
            waits = stream.standard_exponential(weights.shape) / weights
        return np.argsort(waits, -1)[..., :samples]

    return _drawn("multinomial", make, input.device, False, generator)


class Draw(Pointwise):
    """The methods that fill a tensor with random numbers."""

    __slots__ = ()

    def _fill(self, op: str, make: Callable[..., Any], generator: Generator | None) -> Self:
        """``make(stream, shape, dtype)``; a plan keeps the call, which must not keep the tensor."""
        shape, dtype = self.shape, self.dtype
        return self.copy_(_drawn(op, lambda stream: make(stream, shape, dtype), self.device, False, generator).to(dtype))

    def uniform_(self, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None) -> Self:
        """Fill with numbers from U(a, b)."""
        number("uniform_", "a", a, math.isfinite, "that is finite")
        number("uniform_", "b", b, lambda v: a <= v, f"of at least {a}")
        _check_real("uniform_", self)
        return self._fill("uniform_", lambda s, shape, dtype: s.random(shape, dtype) * (b - a) + a, generator)

    def normal_(self, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Self:
        """Fill with numbers from N(mean, std^2).

        >>> import numbacnn as nc
        >>> nc.empty(2, 3).normal_(0.0, 0.02).shape
        (2, 3)
        """
        number("normal_", "mean", mean, math.isfinite, "that is finite")
        number("normal_", "std", std)
        _check_real("normal_", self)
        return self._fill("normal_", lambda s, shape, dtype: s.standard_normal(shape, dtype) * std + mean, generator)

    def exponential_(self, lambd: float = 1.0, *, generator: Generator | None = None) -> Self:
        """Fill with numbers from the exponential distribution whose mean is ``1 / lambd``."""
        number("exponential_", "lambd", lambd, lambda v: v > 0, "above 0")
        _check_real("exponential_", self)
        return self._fill("exponential_", lambda s, shape, dtype: s.standard_exponential(shape, dtype) / lambd, generator)

    def bernoulli_(self, p: Any = 0.5, *, generator: Generator | None = None) -> Self:
        """Fill with 1 with the probability ``p``, a number or a Tensor that broadcasts, and with 0 elsewhere."""
        if isinstance(p, TensorBase):
            return self.copy_(bernoulli(p.expand(self.shape), generator=generator).to(self.dtype))  # type: ignore[attr-defined]
        number("bernoulli_", "p", p, lambda v: 0 <= v <= 1, "from 0 to 1")
        return self._fill("bernoulli_", lambda s, shape, dtype: s.random(shape) < p, generator)

    @judged
    def random_(self, low: int = 0, high: int | None = None, *, generator: Generator | None = None) -> Self:
        """Fill with integers from ``low`` up to, but without, ``high``; with one number from 0 up to it, without any all of the dtype."""
        if (low, high) == (0, None):
            high = 1 << {float32: 24, float64: 53}[self.dtype] if is_floating(self.dtype) else min(_of(self.dtype)[1] + 1, (1 << 63) - 1)
        first, last = _range("random_", low, high, self.dtype)
        return self._fill("random_", lambda s, shape, dtype: s.integers(first, last, shape, np.int64), generator)

    def bernoulli(self, *, generator: Generator | None = None) -> Tensor:
        """1 with the probability that each element tells, else 0."""
        return bernoulli(self, generator=generator)  # type: ignore[arg-type]

    def multinomial(self, num_samples: int, replacement: bool = False, *, generator: Generator | None = None) -> Tensor:
        """Places drawn by their weights, as :func:`numbacnn.multinomial` does."""
        return multinomial(self, num_samples, replacement, generator=generator)  # type: ignore[arg-type]


def _check_real(op: str, x: TensorBase) -> None:
    if not is_floating(x.dtype):
        raise DTypeError(message(op, "a floating-point tensor", str(x.dtype)))
