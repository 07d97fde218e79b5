"""A free list of large NumPy buffers: the first touch of fresh memory costs as much as a kernel.

A buffer is free when nobody but the list refers to it. Every view of an array refers to the array that owns the memory, and so
does whoever holds a view, so memory that anybody can still see is never handed out again.
"""

from __future__ import annotations

import ctypes
import math
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ... import recording
from ...locks import lock

__all__ = ["SMALL", "Buffers", "give_back", "keep_freed", "plain"]

SMALL = 1 << 15
"""Bytes below which NumPy's own allocation is quick enough."""

LARGE = (1 << 25) - (1 << 13)
"""Bytes of the largest block from whose end glibc learns how much to keep."""

LINE = 64
"""Bytes of a cache line, on whose borders buffers start: vectors then do not straddle two."""


def _references(buffers: list[np.ndarray], i: int) -> int:
    return sys.getrefcount(buffers[i])


_FREE = _references([np.empty(0)], 0)  # measured: what a call adds to the list's own reference differs between Python versions


_NONE: tuple[list[np.ndarray], list[int]] = ([], [])


def plain(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """An uninitialised C-contiguous array that is not kept for later; while a step is recorded, of the memory that the plan keeps."""
    return np.empty(shape, dtype) if recording.now.tape is None else recording.now.tape.empty(shape, dtype)


def keep_freed() -> None:
    """Have glibc keep what is freed for the next array, as it does once a program has freed a large block.

    Until then it gives all but some kilobytes back to the system, and every photograph that is decoded gets its memory page by page anew.
    Afterwards arrays of up to 32 MB lie in its heap, which shrinks when 64 MB at its end are free; :func:`give_back` gives all back that
    is free. Whoever sets MALLOC_TRIM_THRESHOLD_ keeps what that says.
    """
    np.empty(LARGE, np.uint8)


def give_back() -> None:
    """Have the C library give freed memory back to the system, where it keeps it for later and can be told to."""
    trim = None if sys.platform == "win32" else getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Buffers:
    """Gives uninitialised arrays; keeps at most ``limit`` bytes of them for later, the most recently used first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffers: OrderedDict[int, tuple[list[np.ndarray], list[int]]] = OrderedDict()  # by size in bytes
        self.held = 0
        self._lock = lock()

    def empty(self, shape: Sequence[int], dtype: Any) -> np.ndarray:
        """An uninitialised C-contiguous array."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size < SMALL or recording.now.tape is not None:
            return plain(shape, dtype)
        with self._lock:
            buffer, start = self._take(size + LINE)
        return np.ndarray(shape, dtype, buffer, start)

    def keeps(self, memory: Any) -> bool:
        """Whether some memory is one of these buffers, so that this list refers to it too."""
        return isinstance(memory, np.ndarray) and any(kept is memory for kept in self._buffers.get(len(memory), _NONE)[0])

    def _take(self, size: int) -> tuple[np.ndarray, int]:
        """A free buffer, and where its first cache line starts."""
        size = -(-size // SMALL) * SMALL
        for fit in self._fitting(size):
            bucket, aligned = self._buffers.get(fit, _NONE)
            for i in range(len(bucket)):
                if _references(bucket, i) == _FREE:
                    self._buffers.move_to_end(fit)
                    return bucket[i], aligned[i]
        self._evict_smaller(size)
        bucket, aligned = self._buffers.setdefault(size, ([], []))
        self._buffers.move_to_end(size)
        bucket.append(np.empty(size, np.uint8))
        aligned.append(-bucket[-1].ctypes.data % LINE)
        self.held += size
        found = bucket[-1], aligned[-1]
        self._trim()
        return found

    def _fitting(self, size: int) -> Iterator[int]:
        """Sizes that serve, the best first: a net has many sizes, and would hold memory for each if none served another."""
        yield size
        yield from sorted(held for held in self._buffers if size < held <= 2 * size)

    def _evict_smaller(self, size: int) -> None:
        """Forget a free buffer that is only somewhat too small: the new one will serve in its place, so that both need not be held."""
        for held in sorted((held for held in self._buffers if size <= 2 * held < 2 * size), reverse=True):
            bucket, aligned = self._buffers[held]
            for i in range(len(bucket)):
                if _references(bucket, i) == _FREE:
                    del bucket[i], aligned[i]
                    self.held -= held
                    if not bucket:
                        del self._buffers[held]
                    return

    def _trim(self) -> None:
        """Let go of the longest unused sizes; buffers in use are then freed by their users."""
        while self.held > self.limit and len(self._buffers) > 1:
            size, (bucket, _) = self._buffers.popitem(last=False)
            self.held -= size * len(bucket)

    def clear(self) -> None:
        """Forget all buffers; :func:`give_back` has the system get their memory."""
        with self._lock:
            self._buffers.clear()
            self.held = 0
