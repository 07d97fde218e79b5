"""Indexing and joining."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...kernels.cpu.launch import compute
from . import packs
from .arrays import Array, Arrays, memory_axis, to_channels_first, to_channels_last

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
        compute(operator.setitem, x, index, value)

    def add_at(self, x: Array, index: Any, value: Array) -> None:
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(i, np.ndarray) for i in parts):
            compute(np.add.at, x, index, value)
        else:
            compute(operator.setitem, x, index, x[index] + value)

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        return to_channels_first(np.concatenate([to_channels_last(a) for a in arrays], memory_axis(axis, arrays[0].ndim)))
