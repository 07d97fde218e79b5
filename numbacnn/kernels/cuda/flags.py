"""Flags that kernels set, looked at without waiting: each is copied to page-locked memory behind the kernel, and seen when that is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np

from ...locks import lock
from . import api, memory

__all__ = ["Flags"]

T = TypeVar("T")


class Flags(Generic[T]):
    """A queue of flags and what each is about.

    Args:
        places: how many flags there can be whose kernels have not ended.
    """

    def __init__(self, places: int) -> None:
        self._values = api.page_locked(4 * places).view(np.int32)
        self._events = [api.event() for _ in range(places)]
        self._waiting: list[tuple[int, T]] = []
        self._next = 0
        self._lock = lock()

    def add(self, flag: memory.Buffer, about: T) -> None:
        """A kernel that was launched sets a flag, an int32, or not. What has ended without one is forgotten."""
        with self._lock:
            self._forget(len(self._values) - 1)
            if len(self._waiting) == len(self._values):
                return  # the first is set, and no other is ever told
            place, self._next = self._next, (self._next + 1) % len(self._values)
            api.call("cuMemcpyDtoHAsync_v2", self._values[place:].ctypes.data, flag.address, 4, None)
            api.call("cuEventRecord", self._events[place], None)
            self._waiting.append((place, about))  # the flag's memory may be used again: by launches behind the copy

    def _forget(self, most: int) -> None:
        """At most so many may wait then: the device is far behind where it takes a wait."""
        while self._waiting:
            place = self._waiting[0][0]
            if len(self._waiting) <= most and not api.is_over(self._events[place]):
                return
            api.wait_for(self._events[place])
            if self._values[place]:
                return
            del self._waiting[0]

    def replace(self, other: Callable[[T], T]) -> None:
        """Say otherwise what the flags are about."""
        with self._lock:
            self._waiting = [(place, other(about)) for place, about in self._waiting]

    def first_set(self) -> T | None:
        """Wait for all, and give what the first flag that is set is about; then none is waited for."""
        with self._lock:
            found = None
            for place, about in self._waiting:
                api.wait_for(self._events[place])
                if self._values[place]:
                    found = about
                    break
            self._waiting = []
            return found
