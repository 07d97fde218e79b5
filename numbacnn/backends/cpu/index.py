"""Indexing and joining."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...kernels.cpu.launch import compute
from . import packs
from .arrays import Array, Arrays, assign, memory_axis, to_channels_first, to_channels_last

__all__ = ["Index"]


class Index(Arrays):
    """Parts of arrays, by NumPy."""

    def getitem(self, x: Array, index: Any) -> Array:
        found = x[index]
        if isinstance(found, np.ndarray):
            return found
        return x[(*index, ...) if isinstance(index, tuple) else (index, ...)]  # one element: a view too, not a scalar

    def setitem(self, x: Array, index: Any, value: Any) -> None:
        packs.unlock(x)
        if index is ...:
            assign(x, value)
        else:
            compute(operator.setitem, x, index, value)

    def add_at(self, x: Array, index: Any, value: Array) -> None:
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(i, np.ndarray) for i in parts):
            compute(np.add.at, x, index, value)
        else:
            part = self.getitem(x, index)
            compute(np.add, part, value, part)

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        parts, place = [to_channels_last(a) for a in arrays], memory_axis(axis, arrays[0].ndim)
        shape, start = parts[0].shape, 0
        whole = sum(part.shape[place] for part in parts)
        out = self.buffers.empty((*shape[:place], whole, *shape[place + 1 :]), parts[0].dtype)
        for part in parts:
            stop = start + part.shape[place]
            assign(out[(slice(None),) * place + (slice(start, stop),)], part)
            start = stop
        return to_channels_first(out)
