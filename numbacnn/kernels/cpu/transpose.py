"""Matrices turned: between channels first and channels last."""

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import inline, kernel

__all__ = ["transpose"]

TASK = 1 << 14
"""Elements of a task, about."""
TILE = 16
"""Rows and columns that are read together: their lines stay in the first-level cache."""
u8 = np.uint64  # an index that Numba does not test for being negative


@inline
def _turn(x, o, rows, columns, first, last, y):
    """Columns first .. last of a matrix that begins at o, as rows of the other."""
    for c0 in range(first, last, TILE):
        for r0 in range(0, rows, TILE):
            for c in range(c0, min(last, c0 + TILE)):
                for r in range(r0, min(rows, r0 + TILE)):
                    y[u8(o + c * rows + r)] = x[u8(o + r * columns + c)]


@kernel
def transpose(x, matrices, rows, columns, y):
    """y = each (columns, rows) matrix of flat x (matrices, rows, columns)."""
    parts = max(1, min(columns, rows * columns // TASK))
    for t in prange(matrices * parts):
        m = np.int64(t) // parts
        p = np.int64(t) - m * parts
        _turn(x, m * rows * columns, rows, columns, p * columns // parts, (p + 1) * columns // parts, y)
