"""Rows of an array by their places: taken, put and added up."""

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import ROUNDED, inline, kernel
from .pointwise import block, blocks

__all__ = ["places", "put_rows", "take_rows"]

COLUMNS = 256
"""Those of a task that writes to rows, each of which it goes through."""
u8 = np.uint64  # an index that Numba does not test for being negative


@inline
def _judge(index, size):
    for n in range(index.size):
        if index[n] < -size or index[n] >= size:
            raise IndexError("an index is out of bounds")


@inline
def _add_places(index, size, step, found):
    for n in range(found.size):
        found[n] += step * (index[n] + size if index[n] < 0 else index[n])


@kernel
def places(index, size, step, found):
    """found += step * index, flat, along an axis of so many places; a negative index counts from the end.

    Raises:
        IndexError: one is out of bounds; nothing is written then.
    """
    _judge(index, size)
    for b in prange(blocks(found)):
        _add_places(block(index, b), size, step, block(found, b))


@inline
def _take(x, start, y, first, size):
    for i in range(size):
        y[u8(first + i)] = x[u8(start + i)]


@kernel
def take_rows(x, places, size, y):
    """y = the rows of x (R, size) at these places; flat."""
    for n in prange(places.size):
        _take(x, places[n] * size, y, np.int64(n) * size, size)


@inline(fastmath=ROUNDED)
def _put(y, places, size, added, x, first):
    last = min(size, first + COLUMNS)
    for n in range(places.size):
        for i in range(first, last):
            if added:
                y[u8(places[n] * size + i)] += x[u8(n * size + i)]
            else:
                y[u8(places[n] * size + i)] = x[u8(n * size + i)]


@kernel(fastmath=ROUNDED)
def put_rows(y, places, size, added, x):
    """The rows of y (R, size) at these places = those of x, or += them where ``added``; flat, one row after the other."""
    for t in prange((size + COLUMNS - 1) // COLUMNS):
        _put(y, places, size, added, x, np.int64(t) * COLUMNS)
