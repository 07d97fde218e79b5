"""Rewrite an index so that NumPy reads it as PyTorch would."""

from __future__ import annotations

import functools
import operator
from itertools import pairwise
from typing import Any

import numpy as np

from .recording import constant

__all__ = ["counting", "ints_first"]


@functools.lru_cache(maxsize=64)
def counting(n: int) -> np.ndarray:
    """0 to n - 1, which nobody writes to."""
    return constant(np.arange(n))


def ints_first(shape: tuple[int, ...], index: Any) -> Any:
    """An index for NumPy that picks as PyTorch does: by its ints first, then by its arrays.

    NumPy counts an int beside an array as an array. Where a slice or None parts them, the arrays' axes go to the front then;
    in PyTorch they stay where they are, if they are neighbours without the ints. Other indices mean the same to both and come back,
    wrong ones too; only an ellipsis that stands for no axes goes. A mask without elements that does not fit is an IndexError here.

    >>> import numpy as np
    >>> x = np.zeros((3, 4, 5))
    >>> index = (0, slice(None), np.array([0, 1]))
    >>> x[index].shape, x[ints_first(x.shape, index)].shape
    ((2, 4), (4, 2))
    """
    arrays = [i for i in (index if isinstance(index, tuple) else (index,)) if isinstance(i, np.ndarray)]
    if any(i.dtype == bool and not i.size for i in arrays) and not _entries(shape, index if isinstance(index, tuple) else (index,)):
        raise IndexError("a mask does not have the shape of its axes")  # NumPy lets one without elements pass
    if not isinstance(index, tuple) or not arrays:
        return index
    entries = _entries(shape, index)
    if entries and len(shape) == sum(_width(i) for i in index):
        index = tuple(i for i in index if i is not ...)  # which stands for no axes, and would part arrays, too
    return _as_arrays(shape, entries) if _parted(entries) else index


def _parted(entries: list[Any]) -> bool:
    """Whether only ints keep the arrays from being neighbours in NumPy's eyes."""
    arrays = [i for i, e in enumerate(entries) if isinstance(e, np.ndarray)]
    ints = [i for i, e in enumerate(entries) if isinstance(e, int)]
    without = [i - sum(j < i for j in ints) for i in arrays]
    return bool(arrays and ints) and _consecutive(without) and not _consecutive(sorted(arrays + ints))


def _as_arrays(shape: tuple[int, ...], entries: list[Any]) -> tuple[Any, ...]:
    """The same with arrays in place of slices, all shaped so that the result's axes come in the order of the entries."""
    arrays = [i for i, e in enumerate(entries) if isinstance(e, np.ndarray)]
    sizes = [0 if isinstance(e, (int, np.ndarray)) else 1 for e in entries]
    sizes[arrays[0]] = max(entries[i].ndim for i in arrays)
    behind = [sum(sizes[i + 1 :]) for i in range(len(sizes))]  # axes of the result
    found, axis = [], 0
    for i, e in enumerate(entries):
        if e is None:
            continue
        if isinstance(e, slice):
            e = np.arange(shape[axis])[e]
        if isinstance(e, np.ndarray):
            own = e.reshape(e.shape + (1,) * behind[arrays[0] if i in arrays else i])
            e = own.reshape((1,) * (sum(sizes) - own.ndim) + own.shape)
        found.append(e)
        axis += 1
    return tuple(found)


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
            found.append(operator.index(i) if np.ndim(i) == 0 and np.asarray(i).dtype.kind in "iu" else i)
    return found


def _width(i: Any) -> int:
    """How many axes a part of an index takes."""
    if isinstance(i, np.ndarray) and i.dtype == bool:
        return i.ndim
    return 0 if i is None or i is ... else 1


def _consecutive(places: list[int]) -> bool:
    return all(b == a + 1 for a, b in pairwise(places))
