"""Functions that make tensors: constants, ranges and random numbers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backends, random
from ..dtypes import as_dtype, float32, int64, is_floating
from ..errors import DTypeError, message
from ..recording import constant, now
from ..signatures import judged
from .core import Scalar, TensorBase, check_fit, from_array
from .exchange import Layout, memory_order
from .operands import as_scalar, check_sizes, scalar_dtype
from .tape import no_grad

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["arange", "empty", "eye", "full", "normal", "ones", "ones_like", "rand", "randn", "zeros", "zeros_like"]


@judged
def full(size: Sequence[int], value: Scalar, *, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A Tensor of this shape filled with a value; float32, int64 or bool as the value is, unless ``dtype`` says otherwise."""
    shape = check_sizes("full", (size,))
    value = as_scalar(value)
    found = scalar_dtype(value) if dtype is None else as_dtype("full", dtype)
    check_fit("full", np.asarray(value), found)
    return TensorBase._new(backends.get(device).full(shape, value, found), device, requires_grad)


@judged
def empty(
    *sizes: Any, size: Any = None, dtype: Any = None, device: str = "cpu", layout: Layout = "nchw", requires_grad: bool = False
) -> Tensor:
    """A Tensor to be filled, whose values are whatever was in memory: ``empty(2, 3)`` or ``empty((2, 3))``; float32 unless ``dtype`` says.

    ``layout="nhwc"`` puts the channels of (N, C, ...) last in memory, as layers do; see :meth:`Tensor.numba`.

    >>> empty(2, 8, 4, 3, layout="nhwc").numba("nhwc", copy=False).shape
    (2, 4, 3, 8)
    """
    shape = check_sizes("empty", sizes if size is None else (size,))
    found, order = float32 if dtype is None else as_dtype("empty", dtype), memory_order("empty", layout, len(shape))
    return TensorBase._new(backends.get(device).dense(shape, found, order), device, requires_grad)


@judged
def zeros(*sizes: Any, size: Any = None, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Zeros: ``zeros(2, 3)``, ``zeros((2, 3))`` or ``zeros(size=(2, 3))``; float32 unless ``dtype`` says otherwise."""
    return full(check_sizes("zeros", sizes if size is None else (size,)), 0.0, dtype=dtype, device=device, requires_grad=requires_grad)


@judged
def ones(*sizes: Any, size: Any = None, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Ones: ``ones(2, 3)``, ``ones((2, 3))`` or ``ones(size=(2, 3))``; float32 unless ``dtype`` says otherwise."""
    return full(check_sizes("ones", sizes if size is None else (size,)), 1.0, dtype=dtype, device=device, requires_grad=requires_grad)


@judged
def eye(n: int, m: int | None = None, *, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Ones on the diagonal of (n, m), by default (n, n), and zeros elsewhere; float32 unless ``dtype`` says otherwise.

    >>> eye(2, 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    rows, columns = check_sizes("eye", (n, n if m is None else m))
    found = float32 if dtype is None else as_dtype("eye", dtype)
    return _same_each_time(np.eye, (rows, columns, 0, found), device, requires_grad)


@judged
def zeros_like(x: Tensor) -> Tensor:
    """Zeros of the shape and dtype of ``x``, on its device."""
    return zeros(x.shape, dtype=x.dtype, device=x.device)


@judged
def ones_like(x: Tensor) -> Tensor:
    """Ones of the shape and dtype of ``x``, on its device."""
    return ones(x.shape, dtype=x.dtype, device=x.device)


@judged
def arange(*bounds: Scalar, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """``arange(stop)``, ``arange(start, stop)`` or ``arange(start, stop, step)``; int64 unless a bound is a float.

    With an integer ``dtype`` the bounds and the step lose their fractions first.
    """
    if not 1 <= len(bounds) <= 3:
        raise TypeError(message("arange", "stop; start and stop; or start, stop and step", f"{len(bounds)} arguments"))
    start, stop, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    found = (float32 if any(isinstance(b, float) for b in bounds) else int64) if dtype is None else as_dtype("arange", dtype)
    if found.kind in "iu" and all(map(math.isfinite, (start, stop, step))):
        start, stop, step = int(start), int(stop), int(step)
    if not all(map(math.isfinite, (start, stop, step))) or step == 0 or (stop - start) * step < 0:
        raise ValueError(message("arange", "finite numbers and a step, not 0, from start towards stop", f"{start}, {stop}, {step}"))
    check_fit("arange", np.arange(start, stop, step), found)
    return _same_each_time(_range, (start, stop, step, found), device, requires_grad)


def _range(start: float, stop: float, step: float, dtype: Any) -> np.ndarray:
    return np.arange(start, stop, step).astype(dtype)


def _same_each_time(make: Callable[..., np.ndarray], args: tuple[Any, ...], device: str, requires_grad: bool) -> Tensor:
    """A Tensor of what ``make(*args)`` gives; while a step is recorded a copy of an array that is kept."""
    if now.tape is None:
        return from_array(make(*args), device, requires_grad)
    xp = backends.get(device)
    return TensorBase._new(xp.copy(xp.from_numpy(_kept(make, *args))), device, requires_grad)


@functools.lru_cache(maxsize=64, typed=True)
def _kept(make: Callable[..., np.ndarray], *args: Any) -> np.ndarray:
    return constant(make(*args))


def _draw(op: str, size: tuple[Any, ...], draw: str, dtype: Any, device: str, requires_grad: bool) -> Tensor:
    found = float32 if dtype is None else as_dtype(op, dtype)
    if not is_floating(found):
        raise DTypeError(message(op, "a floating-point dtype", str(found)))
    shape = check_sizes(op, size)
    return from_array(random.draw(lambda generator: np.asarray(getattr(generator, draw)(size=shape, dtype=found))), device, requires_grad)


@judged
def rand(*sizes: Any, size: Any = None, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Uniform on [0, 1), from the library's generator; float32, or float64 where ``dtype`` says so."""
    return _draw("rand", sizes if size is None else (size,), "random", dtype, device, requires_grad)


@judged
def randn(*sizes: Any, size: Any = None, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Standard normal, from the library's generator; float32, or float64 where ``dtype`` says so."""
    return _draw("randn", sizes if size is None else (size,), "standard_normal", dtype, device, requires_grad)


@judged
def normal(mean: float, std: float, size: Sequence[int], *, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Normal with this mean and standard deviation, float32."""
    if std < 0:
        raise ValueError(message("normal", "std of at least 0", f"{std}"))
    with no_grad():
        drawn = randn(size, device=device) * std + mean
    return drawn.requires_grad_(requires_grad)
