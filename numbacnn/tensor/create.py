"""Functions that make tensors: constants, ranges and random numbers."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backends
from ..arguments import number
from ..dtypes import as_dtype, float32, int64
from ..errors import message
from ..recording import constant, now
from ..signatures import judged
from .core import Scalar, TensorBase, check_fit, from_array, tensor
from .exchange import Layout, memory_order
from .operands import as_scalar, as_sizes, check_sizes, like, scalar_dtype

if TYPE_CHECKING:
    from . import Tensor

__all__ = [
    "Create",
    "arange",
    "as_tensor",
    "empty",
    "empty_like",
    "eye",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "logspace",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
]


@judged
def as_tensor(data: Any, *, dtype: Any = None, device: str | None = None) -> Tensor:
    """A Tensor as it is, an array as a Tensor that shares its memory, and other data as :func:`tensor` makes one.

    Only where ``dtype`` or ``device`` asks for something else are the values copied.
    """
    if isinstance(data, np.ndarray) or backends.holder(data) is not None:
        data = from_array(data, device)
    elif not isinstance(data, TensorBase):
        return tensor(data, dtype=dtype, device=device or backends.DEFAULT)
    return data.to(device=device, dtype=None if dtype is None else as_dtype("as_tensor", dtype))  # type: ignore[attr-defined]


@judged
def from_numpy(array: np.ndarray) -> Tensor:
    """A Tensor of a NumPy array, which shares its memory where that can be written.

    >>> a = np.zeros(2, np.float32)
    >>> x = from_numpy(a)
    >>> a[0] = 1
    >>> x
    tensor([1., 0.])
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(message("from_numpy", "a NumPy array", type(array).__name__, "make a Tensor of it with tensor()"))
    return from_array(array)


@judged
def full(size: Sequence[int], fill_value: Scalar, *, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A Tensor of this shape filled with a value; float32, int64 or bool as the value is, unless ``dtype`` says otherwise."""
    shape = check_sizes("full", (size,))
    value = as_scalar(fill_value)
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
def full_like(input: Tensor, fill_value: Scalar, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """One value in the shape and dtype of ``input``, on its device, unless ``dtype`` or ``device`` say otherwise."""
    return full(input.shape, fill_value, **like(input, dtype, device), requires_grad=requires_grad)


@judged
def zeros_like(input: Tensor, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Zeros of the shape and dtype of ``input``, on its device, unless ``dtype`` or ``device`` say otherwise."""
    return full(input.shape, 0, **like(input, dtype, device), requires_grad=requires_grad)


@judged
def ones_like(input: Tensor, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """Ones of the shape and dtype of ``input``, on its device, unless ``dtype`` or ``device`` say otherwise."""
    return full(input.shape, 1, **like(input, dtype, device), requires_grad=requires_grad)


@judged
def empty_like(input: Tensor, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor to be filled, of the shape and dtype of ``input``, on its device, unless ``dtype`` or ``device`` say otherwise."""
    return empty(input.shape, **like(input, dtype, device), requires_grad=requires_grad)


@judged
def linspace(start: float, end: float, steps: int, *, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """``steps`` numbers from ``start`` to ``end``, both among them, at equal distances; float32 unless ``dtype`` says otherwise.

    >>> linspace(0, 1, 5).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    return _spaced("linspace", _steps, (start, end, steps), dtype, device, requires_grad)


@judged
def logspace(
    start: float, end: float, steps: int, base: float = 10.0, *, dtype: Any = None, device: str = "cpu", requires_grad: bool = False
) -> Tensor:
    """``base`` to the powers of :func:`linspace`.

    >>> logspace(0, 2, 3).tolist()
    [1.0, 10.0, 100.0]
    """
    number("logspace", "base", base, math.isfinite, "that is finite")
    return _spaced("logspace", _powers, (start, end, steps, base), dtype, device, requires_grad)


def _powers(start: float, end: float, steps: int, base: float, dtype: Any) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.logspace(start, end, steps, base=base).astype(dtype)


def _steps(start: float, end: float, steps: int, dtype: Any) -> np.ndarray:
    return np.linspace(start, end, steps).astype(dtype)


def _spaced(op: str, make: Any, args: tuple[Any, ...], dtype: Any, device: str, requires_grad: bool) -> Tensor:
    found = float32 if dtype is None else as_dtype(op, dtype)
    for name, value in zip(("start", "end"), args):
        number(op, name, value, math.isfinite, "that is finite")
    (count,) = check_sizes(op, (args[2],))
    return _same_each_time(make, (*args[:2], count, *args[3:], found), device, requires_grad)


@judged
def arange(
    start: Scalar | None = None,
    end: Scalar | None = None,
    step: Scalar = 1,
    *,
    dtype: Any = None,
    device: str = "cpu",
    requires_grad: bool = False,
) -> Tensor:
    """``arange(end)``, ``arange(start, end)`` or ``arange(start, end, step)``; int64 unless a bound is a float.

    With an integer ``dtype`` the bounds and the step lose their fractions first.
    """
    if end is None:
        start, end = None, start
    if end is None:
        raise TypeError(message("arange", "end; start and end; or start, end and step", "no argument"))
    bounds: tuple[Scalar, ...] = (0 if start is None else start, end, step)
    found = (float32 if any(isinstance(b, float) for b in bounds) else int64) if dtype is None else as_dtype("arange", dtype)
    if found.kind in "iu" and all(map(math.isfinite, bounds)):
        bounds = tuple(map(int, bounds))
    first, last, step = bounds
    if not all(map(math.isfinite, bounds)) or step == 0 or (last - first) * step < 0:
        raise ValueError(message("arange", "finite numbers and a step, not 0, from start towards end", f"{first}, {last}, {step}"))
    check_fit("arange", np.arange(*bounds), found)
    return _same_each_time(_range, (*bounds, found), device, requires_grad)


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


class Create(TensorBase):
    """The methods that make other tensors of a tensor's dtype, on its device, unless ``dtype`` or ``device`` say otherwise."""

    __slots__ = ()

    @judged
    def new_zeros(self, *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
        """Zeros of this shape, of the tensor's dtype, on its device."""
        return self.new_full(as_sizes("new_zeros", size), 0, dtype=dtype, device=device, requires_grad=requires_grad)

    @judged
    def new_ones(self, *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
        """Ones of this shape, of the tensor's dtype, on its device."""
        return self.new_full(as_sizes("new_ones", size), 1, dtype=dtype, device=device, requires_grad=requires_grad)

    @judged
    def new_full(
        self, size: Any, fill_value: Scalar, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False
    ) -> Tensor:
        """One value in this shape, of the tensor's dtype, on its device."""
        return full(as_sizes("new_full", (size,)), fill_value, **like(self, dtype, device), requires_grad=requires_grad)

    @judged
    def new_empty(self, *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
        """A tensor to be filled, of this shape, of the tensor's dtype, on its device."""
        return empty(*size, **like(self, dtype, device), requires_grad=requires_grad)

    @judged
    def new_tensor(self, data: Any, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False) -> Tensor:
        """A copy of data, as :func:`tensor` makes one, of the tensor's dtype, on its device.

        >>> zeros(2).new_tensor([1, 2])
        tensor([1., 2.])
        """
        return tensor(data, **like(self, dtype, device), requires_grad=requires_grad)
