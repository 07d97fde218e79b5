"""Indexing and joining."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import recording
from ...errors import message
from ...kernels.cpu import index as kernels
from ...kernels.cpu.launch import compute, launch
from . import packs
from .arrays import Array, Arrays, assign, c_ordered, filled, memory_axis, to_channels_first, to_channels_last
from .buffers import plain

__all__ = ["Index"]


def _beyond(index: Array, axis: int, size: int) -> str:
    """NumPy's words."""
    wrong = index[(index < -size) | (index >= size)][0]
    return f"index {wrong} is out of bounds for axis {axis} with size {size}"


def _out_of_bounds(shape: tuple[int, ...], axis: int, arrays: int, index: Array, *_: Any) -> IndexError:
    """The error of a replay."""
    return IndexError(message("index", f"an index into shape {shape}", ", ".join(["Tensor"] * arrays), _beyond(index, axis, shape[axis])))


def _entries(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _arrays(index: Any) -> bool:
    """Whether an index holds arrays, so that it gives a copy."""
    return any(isinstance(i, np.ndarray) for i in _entries(index))


def _rows(index: Any) -> list[Array] | None:
    """While a step is recorded: the integer arrays of an index that names rows by them, and nothing else."""
    if recording.now.tape is None or not _arrays(index):
        return None
    parts = [i for i in _entries(index) if i is not ...]
    while isinstance(parts[-1], slice) and parts[-1] == slice(None):
        parts.pop()
    if not all(isinstance(i, np.ndarray) and i.dtype.kind in "iu" for i in parts):
        recording.refuse("an index holds a mask, or arrays beside slices or numbers")
        return None
    return parts


class Index(Arrays):
    """Parts of arrays, by NumPy; while a step is recorded, rows at places that lie in memory by kernels."""

    def getitem(self, x: Array, index: Any) -> Array:
        if (rows := _rows(index)) is not None:
            return self._take_rows(x, rows)
        found = x[index]
        if isinstance(found, np.ndarray):
            return found
        return x[(*index, ...) if isinstance(index, tuple) else (index, ...)]  # one element: a view too, not a scalar

    def setitem(self, x: Array, index: Any, value: Any) -> None:
        packs.unlock(x)
        if index is ...:
            assign(x, value)
        elif (rows := _rows(index)) is not None:
            self._put_rows(x, rows, value, added=False)
        elif recording.now.tape is None or _arrays(index):
            compute(operator.setitem, x, index, value)
        else:
            assign(self.getitem(x, index), value)

    def add_at(self, x: Array, index: Any, value: Array) -> None:
        if (rows := _rows(index)) is not None:
            self._put_rows(x, rows, value, added=True)
        elif _arrays(index):
            compute(np.add.at, x, index, value)
        else:
            part = self.getitem(x, index)
            compute(np.add, part, value, part)

    def _take_rows(self, x: Array, index: list[Array]) -> Array:
        places, size = self._places(x, index, judge=True)
        out = plain((*places.shape, *x.shape[x.ndim - len(size) :]), x.dtype)
        if out.size:
            launch(kernels.take_rows, c_ordered(x).reshape(-1), places.reshape(-1), math.prod(size), out.reshape(-1))
        return out

    def _put_rows(self, x: Array, index: list[Array], value: Any, added: bool) -> None:
        """x[index] = value, or += it at each place as often as that is named."""
        places, size = self._places(x, index, judge=not added)
        rows, memory = plain((*places.shape, *size), x.dtype), c_ordered(x)
        assign(rows, value)
        if rows.size:
            launch(kernels.put_rows, memory.reshape(-1), places.reshape(-1), math.prod(size), int(added), rows.reshape(-1))
        if memory is not x:
            assign(x, memory)

    @staticmethod
    def _places(x: Array, index: list[Array], judge: bool) -> tuple[Array, tuple[int, ...]]:
        """The numbers of the rows of x that these arrays name along its first axes, and the shape of a row.

        ``judge``: a replay may find them out of bounds; they were not judged before.
        """
        count = len(index)
        found = filled(np.broadcast_shapes(*(i.shape for i in index)), 0, np.int64)
        for axis, part in enumerate(index):
            whole = plain(found.shape, np.int64)
            assign(whole, part)
            if judge:
                recording.now.tape.may_stop(functools.partial(_out_of_bounds, x.shape, axis, count))
            try:
                launch(kernels.places, whole.reshape(-1), x.shape[axis], math.prod(x.shape[axis + 1 : count]), found.reshape(-1))
            except IndexError:
                raise IndexError(_beyond(whole, axis, x.shape[axis])) from None
        return found, x.shape[count:]

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
