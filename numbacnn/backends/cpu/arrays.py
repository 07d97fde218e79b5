"""NumPy arrays: memory, copies, layout, views.

Activations of three to five axes lie channels-last in memory: their view ``to_channels_last`` is C-contiguous.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import recording
from ...errors import message
from ...kernels.cpu import pointwise
from ...kernels.cpu.launch import compute, is_kernel, launch
from ...kernels.cpu.transpose import transpose
from ...layout import CHANNELS_FIRST, CHANNELS_LAST
from ...signatures import shown
from . import packs
from .buffers import Buffers, give_back, keep_freed, plain

__all__ = [
    "EMPTY",
    "Array",
    "Arrays",
    "assign",
    "c_ordered",
    "empty_like",
    "filled",
    "memory_axis",
    "no_bias",
    "to_channels_first",
    "to_channels_last",
]

Array = np.ndarray

CAPSULES_HAVE_VERSIONS = np.lib.NumpyVersion(np.__version__) >= "2.1.0"

EMPTY = {dtype.itemsize: recording.constant(np.empty(0, dtype)) for dtype in (np.dtype("float32"), np.dtype("float64"))}
"""In place of an array that is not there, by the bytes of an element."""


def to_channels_last(x: Array) -> Array:
    """The axes in the order of memory: channels at the end of three to five axes. A view."""
    return x.transpose(CHANNELS_LAST[x.ndim]) if x.ndim in CHANNELS_LAST else x


def to_channels_first(x: Array) -> Array:
    """The reverse of ``to_channels_last``."""
    return x.transpose(CHANNELS_FIRST[x.ndim]) if x.ndim in CHANNELS_FIRST else x


def c_ordered(x: Array) -> Array:
    """``x`` itself in C order and writable, as parameters are; else a copy."""
    if x.flags.carray:
        return x
    out = plain(x.shape, x.dtype)
    assign(out, x)
    return out


@functools.lru_cache(maxsize=64)
def no_bias(size: int, dtype: Any) -> Array:
    """A bias of zeros, which nobody writes to."""
    return recording.constant(np.zeros(size, dtype))


def filled(shape: Sequence[int], value: float, dtype: Any) -> Array:
    """An array in C order with one value."""
    if recording.now.tape is None:
        return np.full(shape, value, dtype) if value else np.zeros(shape, dtype)
    out = plain(shape, dtype)
    launch(pointwise.fill, out.reshape(-1), float(value) if out.dtype.kind == "f" else int(value))
    return out


def empty_like(x: Array, dtype: Any = None) -> Array:
    """Uninitialised, and channels-last where ``x`` is."""
    dtype = x.dtype if dtype is None else dtype
    memory = to_channels_last(x)
    if memory is x or not memory.flags.c_contiguous:
        return plain(x.shape, dtype)
    return to_channels_first(plain(memory.shape, dtype))


def assign(out: Array, x: Array | float) -> None:
    """out[...] = x, which broadcasts. While a step is recorded, by a kernel where there is one."""
    if recording.now.tape is not None and out.size and not (isinstance(x, np.ndarray) and np.may_share_memory(out, x)):
        for turned in (lambda a: a, to_channels_last):
            like = isinstance(x, np.ndarray) and x.ndim == out.ndim
            if turned(out).flags.carray and _filled(turned(out), turned(x) if like else x):  # type: ignore[arg-type]
                return
    compute(np.copyto, out, x, "unsafe")


def _filled(out: Array, x: Array | float) -> bool:
    """Whether a kernel has made C-ordered memory of x: of a number, of matrices turned, of another type."""
    if not isinstance(x, np.ndarray):
        if out.dtype.kind == "f":
            launch(pointwise.fill, out.reshape(-1), float(x))
        return out.dtype.kind == "f"
    if out.shape != x.shape:
        return False
    if out.dtype == x.dtype:
        turned = _turned(x) if x.dtype.kind == "f" and x.flags.writeable else None
        if turned is not None:
            launch(transpose, *turned, out.reshape(-1))
        return turned is not None
    if out.dtype.kind == "b":
        compute(np.not_equal, x, 0, out)
    elif x.dtype.kind == "f" and out.dtype.kind != "f":
        return False  # what an integer is made of that it can't hold is the processor's
    else:
        launch(pointwise.convert, c_ordered(x).reshape(-1), out.reshape(-1))
    return True


def _turned(x: Array) -> tuple[Array, int, int, int] | None:
    """The memory of x, and of how many matrices with so many rows and columns it turns each, if that is what its axes say."""
    for lead in (0, 1):
        for split in range(lead + 1, x.ndim + 1):
            memory = x.transpose((*range(lead), *range(split, x.ndim), *range(lead, split)))
            if memory.flags.c_contiguous:
                rows, columns = math.prod(x.shape[split:]), math.prod(x.shape[lead:split])
                return memory.reshape(-1), math.prod(x.shape[:lead]), rows, columns
    return None if x.ndim else (x.reshape(-1), 1, 1, 1)


def memory_axis(axis: int, ndim: int) -> int:
    """Where a logical axis lies in ``to_channels_last``."""
    return CHANNELS_LAST[ndim].index(axis) if ndim in CHANNELS_LAST else axis


class Arrays:
    """Memory, and what looks at it."""

    def __init__(self) -> None:
        keep_freed()
        self.buffers = Buffers(limit=1 << 30)
        self.conversions = 0  # how many arrays had to be copied to another layout; a test reads it

    def empty(self, shape: Sequence[int], dtype: Any) -> Array:
        """Uninitialised, channels-last; ``shape`` has logical axes."""
        if 3 <= len(shape) <= 5:
            return to_channels_first(self.buffers.empty((shape[0], *shape[2:], shape[1]), dtype))
        return self.buffers.empty(shape, dtype)

    def contiguous(self, x: Array) -> Array:
        """``to_channels_last(x)``, C-contiguous and writable: what a kernel receives. Copies only where it must."""
        return self._c_contiguous(to_channels_last(x))

    def _c_contiguous(self, x: Array) -> Array:
        if x.flags.carray:
            return x
        self.conversions += 1
        out = self.buffers.empty(x.shape, x.dtype)
        assign(out, x)
        return out

    def dense(self, shape: Sequence[int], dtype: Any, order: Sequence[int]) -> Array:
        return self.buffers.empty([shape[a] for a in order], dtype).transpose(np.argsort(order))

    def memory(self, x: Array, order: Sequence[int]) -> Array:
        return self._c_contiguous(x.transpose(order))

    def borrow(self, array: Any) -> Array:
        return array if array.flags.writeable else array.copy()

    def launch(self, kernel: Any, args: Sequence[Any], grid: tuple[int, ...], block: tuple[int, ...]) -> None:
        if not is_kernel(kernel):
            raise TypeError(message("launch", "a function under @numba.njit", shown(kernel), "a @cuda.jit kernel needs grid and block"))
        launch(kernel, *args)

    def dlpack_device(self) -> tuple[int, int]:
        return 1, 0

    def dlpack(self, x: Array, stream: int | None, version: tuple[int, int] | None, copied: bool) -> Any:
        if stream is not None:
            raise BufferError(message("__dlpack__", "no stream for memory of the host", f"stream {stream}"))
        options: Any = {"max_version": version} if version and CAPSULES_HAVE_VERSIONS else {}
        try:
            return x.__dlpack__(**options)
        except BufferError:
            raise BufferError(
                message("__dlpack__", "memory that can be written to", "a view that repeats elements", "give a clone()")
            ) from None

    def from_dlpack(self, source: Any) -> Array:
        return self.borrow(np.from_dlpack(source))

    def from_numpy(self, a: Array) -> Array:
        return a

    def to_numpy(self, x: Array) -> Array:
        recording.refuse("values are read")
        return x

    def by_numpy(self, function: Callable[..., Any], args: Sequence[Any], shape: Sequence[int], dtype: Any) -> Array:
        out = plain(shape, dtype)
        compute(function, *args, out)
        return out

    def full(self, shape: Sequence[int], value: float, dtype: Any) -> Array:
        return filled(shape, value, dtype)

    def copy(self, x: Array) -> Array:
        return self.astype(x, x.dtype)

    def astype(self, x: Array, dtype: Any) -> Array:
        if recording.now.tape is not None:
            out = empty_like(x, dtype)
            assign(out, x)
            return out
        with np.errstate(all="ignore"):  # floats overflow with a warning
            return x.astype(dtype, order="C" if 0 in x.strides else "K")

    def item(self, x: Array) -> Any:
        recording.refuse("a value is read")
        return x.item()

    def reshape(self, x: Array, shape: Sequence[int]) -> Array:
        found = x.reshape(shape)
        if recording.now.tape is None or not x.size or np.may_share_memory(found, x):
            return found
        return c_ordered(x).reshape(shape)

    def transpose(self, x: Array, axes: Sequence[int]) -> Array:
        return x.transpose(axes)

    def broadcast_to(self, x: Array, shape: Sequence[int]) -> Array:
        return np.broadcast_to(x, shape)

    def diagonal(self, x: Array, offset: int) -> Array:
        found = x.diagonal(offset)
        found.flags.writeable = x.flags.writeable
        return found

    def shares_memory(self, x: Array, y: Array) -> bool:
        return np.may_share_memory(x, y)

    def is_dense(self, x: Array, order: Sequence[int]) -> bool:
        return x.transpose(order).flags.c_contiguous

    def parameter(self, x: Array) -> Array:
        return c_ordered(x)

    def lay(self, x: Array, order: Sequence[int]) -> None:
        """All lie as they are wanted."""

    lock = staticmethod(packs.lock)
    unlock = staticmethod(packs.unlock)

    def writable(self, x: Array) -> bool:
        return x.flags.writeable or not packs.repeats(x)

    def empty_cache(self) -> None:
        self.buffers.clear()
        give_back()

    def synchronize(self) -> None:
        """The CPU's kernels return when they are done."""
