"""Indices as NumPy takes them that mean what they mean in PyTorch."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["ints_first"]


def ints_first(shape: tuple[int, ...], index: Any) -> Any:
    """An index for NumPy that picks as PyTorch does: by its ints first, then by its arrays.

    NumPy counts an int beside an array as an array. Where a slice or None parts them, the arrays' axes go to the front then;
    in PyTorch they stay where they are, if they are neighbours without the ints. Other indices come back as they are, wrong ones too.

    >>> import numpy as np
    >>> x = np.zeros((3, 4, 5))
    >>> index = (0, slice(None), np.array([0, 1]))
    >>> x[index].shape, x[ints_first(x.shape, index)].shape
    ((2, 4), (4, 2))
    """
    entries = _entries(shape, index) if isinstance(index, tuple) else []
    chosen = [i for i, e in enumerate(entries) if isinstance(e, np.ndarray)]
    kept = [i for i, e in enumerate(entries) if not _is_int(e)]
    picked = [i for i, e in enumerate(entries) if isinstance(e, np.ndarray) or _is_int(e)]
    neighbours = [kept.index(i) for i in chosen]
    if chosen and len(shape) == sum(_width(i) for i in index):
        index = tuple(i for i in index if i is not ...)  # which stands for no axes, and would part arrays, too
    if not chosen or len(picked) == len(chosen) or _consecutive(picked) or not _consecutive(neighbours):
        return index
    try:
        ndim = np.broadcast(*(entries[i] for i in chosen)).ndim
    except ValueError:
        return index
    sizes = [ndim if i == chosen[0] else 0 if i in chosen or _is_int(e) else 1 for i, e in enumerate(entries)]
    rank, found, axis = sum(sizes), [], 0
    for i, e in enumerate(entries):
        if i == chosen[0]:
            arrays_end = rank - sum(sizes[: i + 1])
        if isinstance(e, np.ndarray):
            found.append(e.reshape(e.shape + (1,) * arrays_end))
        elif isinstance(e, slice):
            found.append(np.arange(shape[axis])[e].reshape((-1,) + (1,) * (rank - sum(sizes[: i + 1]))))
        elif e is not None:
            found.append(e)
        axis += e is not None
    front = (1,) * (rank - max(np.ndim(e) for e in found))  # a None before all else
    return tuple(e.reshape(front + e.shape) if isinstance(e, np.ndarray) else e for e in found)


def _entries(shape: tuple[int, ...], index: tuple[Any, ...]) -> list[Any]:
    """The index with an entry for each axis: masks as the places they hold, no ellipsis; empty where it does not fit."""
    free = len(shape) - sum(_width(i) for i in index)
    if free < 0 or sum(i is ... for i in index) > 1 or any(np.ndim(i) == 0 and np.asarray(i).dtype == bool for i in index):
        return []
    found: list[Any] = []
    for i in index if any(i is ... for i in index) else (*index, ...):
        axis = sum(e is not None for e in found)
        if i is ...:
            found += [slice(None)] * free
        elif isinstance(i, np.ndarray) and i.dtype == bool:
            if i.shape != shape[axis : axis + i.ndim]:
                return []
            found += i.nonzero()
        else:
            found.append(int(i) if np.ndim(i) == 0 and isinstance(i, (np.ndarray, np.integer)) else i)
    return found


def _width(i: Any) -> int:
    """How many axes a part of an index takes."""
    if isinstance(i, np.ndarray) and i.dtype == bool:
        return i.ndim
    return 0 if i is None or i is ... else 1


def _is_int(entry: Any) -> bool:
    return isinstance(entry, int)


def _consecutive(places: list[int]) -> bool:
    return all(b == a + 1 for a, b in pairwise(places))
