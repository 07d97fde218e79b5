"""NumPy arrays: memory, copies, layout, views.

Activations of three to five axes lie channels-last in memory: their view ``to_channels_last`` is C-contiguous.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import message
from ...kernels.cpu.launch import compute, is_kernel, launch
from ...layout import CHANNELS_FIRST, CHANNELS_LAST
from ...signatures import shown
from . import packs
from .buffers import Buffers

__all__ = ["EMPTY", "LARGE", "Array", "Arrays", "c_ordered", "memory_axis", "to_channels_first", "to_channels_last"]

Array = np.ndarray

LARGE = 1 << 15
"""Elements from which threads help with a sum."""

CAPSULES_HAVE_VERSIONS = np.lib.NumpyVersion(np.__version__) >= "2.1.0"

EMPTY = {dtype.itemsize: np.empty(0, dtype) for dtype in (np.dtype("float32"), np.dtype("float64"))}
"""In place of an array that is not there, by the bytes of an element."""


def to_channels_last(x: Array) -> Array:
    """The axes in the order of memory: channels at the end of three to five axes. A view."""
    return x.transpose(CHANNELS_LAST[x.ndim]) if x.ndim in CHANNELS_LAST else x


def to_channels_first(x: Array) -> Array:
    """The reverse of ``to_channels_last``."""
    return x.transpose(CHANNELS_FIRST[x.ndim]) if x.ndim in CHANNELS_FIRST else x


def c_ordered(x: Array) -> Array:
    """``x`` itself in C order and writable, as parameters are; else a copy."""
    return x if x.flags.carray else np.array(x, order="C")


def memory_axis(axis: int, ndim: int) -> int:
    """Where a logical axis lies in ``to_channels_last``."""
    return CHANNELS_LAST[ndim].index(axis) if ndim in CHANNELS_LAST else axis


class Arrays:
    """Memory, and what looks at it."""

    def __init__(self) -> None:
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
        compute(np.copyto, out, x)
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
        return x

    def full(self, shape: Sequence[int], value: float, dtype: Any) -> Array:
        return np.full(shape, value, dtype)

    def copy(self, x: Array) -> Array:
        return np.array(x, order="C") if 0 in x.strides else np.array(x, order="K")

    def astype(self, x: Array, dtype: Any) -> Array:
        if x.dtype.kind != "f":
            return x.astype(dtype)
        with np.errstate(all="ignore"):  # only floats overflow with a warning
            return x.astype(dtype)

    def item(self, x: Array) -> Any:
        return x.item()

    def reshape(self, x: Array, shape: Sequence[int]) -> Array:
        return x.reshape(shape)

    def transpose(self, x: Array, axes: Sequence[int]) -> Array:
        return x.transpose(axes)

    def broadcast_to(self, x: Array, shape: Sequence[int]) -> Array:
        return np.broadcast_to(x, shape)

    def shares_memory(self, x: Array, y: Array) -> bool:
        return np.may_share_memory(x, y)

    def is_dense(self, x: Array, order: Sequence[int]) -> bool:
        return x.transpose(order).flags.c_contiguous

    lock = staticmethod(packs.lock)
    unlock = staticmethod(packs.unlock)

    def writable(self, x: Array) -> bool:
        return x.flags.writeable or not packs.repeats(x)

    def empty_cache(self) -> None:
        self.buffers.clear()

    def synchronize(self) -> None:
        """The CPU's kernels return when they are done."""
