"""What a step makes its arrays of while it is recorded, and where arrays lie."""

from __future__ import annotations

import bisect
import sys
from collections import Counter
from typing import Any

import numpy as np

from .. import backends

__all__ = ["FREE", "HOST", "LINE", "Memory", "address", "bounds", "dense", "place_of", "references", "root"]

LINE = 64
"""Bytes of a cache line, on whose borders memory starts."""


def references(holder: Any, key: Any) -> int:
    """How often what a holder has in a place is referred to; :data:`FREE` times where nobody else does."""
    return sys.getrefcount(holder[key])


FREE = references([np.empty(0)], 0)


class Memory:
    """What a step makes its arrays of while it is recorded. A chunk is free when nobody but this list refers to it."""

    def __init__(self) -> None:
        self.chunks: list[np.ndarray] = []  # by size

    def take(self, size: int, known: dict[int, Any]) -> np.ndarray:
        """The smallest free chunk that holds so many bytes, and is not more than twice as large.

        Where there is none, a new one takes the place of one that is only somewhat too small. ``known``: what is known of chunks by their
        ids, which others have when they are gone.
        """
        size = max(1, -(-size // LINE)) * LINE
        first = bisect.bisect_left(self.chunks, size, key=len)
        for i in range(first, len(self.chunks)):
            if len(self.chunks[i]) > 2 * size:
                break
            if references(self.chunks, i) == FREE:
                return self.chunks[i]
        for i in range(first - 1, -1, -1):
            if 2 * len(self.chunks[i]) < size:
                break
            if references(self.chunks, i) == FREE:
                del known[id(self.chunks[i])], self.chunks[i]
                first -= 1
                break
        self.chunks.insert(first, _on_a_line(size))
        return self.chunks[first]

    def trim(self, known: dict[int, Any]) -> None:
        """Give free chunks back."""
        for i in reversed(range(len(self.chunks))):
            if references(self.chunks, i) == FREE:
                del known[id(self.chunks[i])], self.chunks[i]

    def in_use(self, known: dict[int, int], left: Counter[int]) -> list[int]:
        """What is ``known`` of the chunks to which more refers than ``left`` says of that."""
        regions = [known[id(chunk)] for chunk in self.chunks]
        return [region for i, region in enumerate(regions) if references(self.chunks, i) - FREE > left[region]]


def _on_a_line(size: int) -> np.ndarray:
    """Bytes that start where a cache line does, in an array of their own: views of it refer to it, and not to what is around it."""
    room = np.empty(size + LINE, np.uint8)
    start = -address(room) % LINE
    return np.frombuffer(memoryview(room.data)[start : start + size], np.uint8)


def address(array: np.ndarray) -> int:
    """Where an array lies."""
    return array.__array_interface__["data"][0]


def bounds(array: np.ndarray) -> tuple[int, int]:
    """The first byte of an array and the one after the last."""
    low = high = address(array)
    if array.flags.c_contiguous:
        return low, low + array.nbytes
    for size, stride in zip(array.shape, array.strides):
        if stride < 0:
            low += (size - 1) * stride
        else:
            high += (size - 1) * stride
    return low, high + array.itemsize


def root(array: Any) -> Any:
    """What owns an array's memory."""
    return array if array.base is None else array.base


def dense(array: np.ndarray) -> np.ndarray | None:
    """The bytes of an array without gaps, in whatever order its axes lie; None for another."""
    turned = array.transpose(sorted(range(array.ndim), key=lambda axis: -array.strides[axis]))
    return turned.reshape(-1).view(np.uint8) if turned.flags.c_contiguous else None


class _Host:
    """What a plan asks of where its arrays lie: of NumPy's. The backend of another device says the same of its own: ``recorded``."""

    device = backends.DEFAULT
    address = staticmethod(address)
    bounds = staticmethod(bounds)
    whole = staticmethod(dense)
    meet = staticmethod(np.may_share_memory)

    @staticmethod
    def is_array(value: Any) -> bool:
        return isinstance(value, np.ndarray)

    @staticmethod
    def like(x: np.ndarray) -> tuple[Any, ...]:
        """What kernels' other arguments were made of: two arrays that agree can stand for each other."""
        return x.shape, x.strides, x.dtype, x.flags.aligned

    @staticmethod
    def memory(size: int, dtype: Any = np.uint8) -> np.ndarray:
        """So many bytes, uninitialised."""
        return np.empty(size, np.uint8)

    @staticmethod
    def shaped(like: Any, memory: Any, place: int = 0) -> np.ndarray:
        """An array in this memory, at this place: of an operand's shape, strides, dtype and offset."""
        made = np.ndarray(like.shape, like.dtype, memory, place + like.offset, like.strides)
        if not like.writable:
            made.flags.writeable = False
        return made

    @staticmethod
    def alike(x: np.ndarray, like: Any) -> bool:
        """Whether an array lies in memory as an operand does."""
        return x.strides == like.strides and x.dtype == like.dtype and x.flags.aligned and x.flags.writeable

    @staticmethod
    def zeros_like(x: np.ndarray) -> np.ndarray:
        """Zeros that lie in memory as an array does."""
        like = np.empty_like(x)
        return np.ndarray(like.shape, like.dtype, np.zeros(max(1, like.nbytes), np.uint8), 0, like.strides)

    @staticmethod
    def settle() -> None:
        """Nothing waits to be launched."""

    @staticmethod
    def again(x: np.ndarray) -> np.ndarray:
        """Another array that is the same."""
        return x.view()

    @staticmethod
    def move_watched(left: Any) -> None:
        """Nothing is judged later."""

    @staticmethod
    def assign(out: np.ndarray, x: np.ndarray) -> None:
        """out[...] = x."""
        np.copyto(out, x)


HOST = _Host()


def place_of(device: str) -> Any:
    """What a plan asks of a device."""
    return HOST if device == backends.DEFAULT else backends.get(device).recorded  # type: ignore[attr-defined]
