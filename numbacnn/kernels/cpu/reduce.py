"""Reductions in an order that the shape alone decides: sums over pixels, and softmax over rows."""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from .launch import DOT, inline, kernel
from .vecmath import exp

__all__ = [
    "channel_sum",
    "channel_sum_scratch",
    "log_softmax",
    "log_softmax_backward",
    "row_task",
    "row_tasks",
    "softmax",
    "softmax_backward",
    "softmax_row",
]

WIDE = 128  # elements: so many sums run side by side, however few channels there are
SLICE = 1 << 14  # elements of a slice, at least
SLICES = 64


def channel_sum_scratch(pixels: int, channels: int) -> tuple[int, int]:
    """The shape (slices, width) of ``channel_sum``'s scratch; the width is that of whole pixels."""
    width = -(-WIDE // channels) * channels
    slices = min(SLICES, pixels * channels // SLICE, pixels * channels // (16 * width))
    return max(1, slices), width


@inline
def _add_rows(x, acc):
    """acc (width,) += the sum of x (any number of whole pixels), width after width."""
    width = acc.size
    quads = x.size // (4 * width)
    for q in range(quads):
        o = 4 * q * width
        a, b, c, d = x[o : o + width], x[o + width : o + 2 * width], x[o + 2 * width : o + 3 * width], x[o + 3 * width : o + 4 * width]
        for j in range(width):
            acc[j] += (a[j] + b[j]) + (c[j] + d[j])
    for o in range(4 * quads * width, x.size, width):
        rest = x[o : o + width]
        for j in range(rest.size):
            acc[j] += rest[j]


@inline
def _sum_slice(x, part, s):
    pixels, channels = x.shape
    step = (pixels // part.shape[0] + 1) * channels
    part[s].fill(0)
    _add_rows(x.reshape(-1)[s * step : (s + 1) * step], part[s])


@inline
def _fold(part, out):
    """out (C,) = the sum of part (slices, pixels * C)."""
    total = part[0]
    for s in range(1, part.shape[0]):
        row = part[s]
        for j in range(total.size):
            total[j] += row[j]
    out.fill(0)
    for o in range(0, total.size, out.size):
        for c in range(out.size):
            out[c] += total[o + c]


@kernel
def channel_sum(x, part, out):
    """out (C,) = the sum over the pixels of x (P, C); part is scratch, shaped by ``channel_sum_scratch(P, C)``."""
    for s in prange(part.shape[0]):
        _sum_slice(x, part, np.int64(s))
    _fold(part, out)


# -- softmax over the rows of (R, K) -----------------------------------------------------------------------------------
@inline
def row_tasks(x):
    """How many tasks the rows of x (R, K) make: some 4096 elements each."""
    rows, columns = x.shape
    step = max(1, 4096 // max(1, columns))
    return (rows + step - 1) // step if columns else 0


@inline
def row_task(x, t):
    """The rows of task t."""
    rows, columns = x.shape
    step = max(1, 4096 // columns)
    return range(t * step, min(rows, (t + 1) * step))


@inline
def _maximum(x):
    m = x[0]
    for k in range(1, x.size):
        m = x[k] if x[k] > m else m  # a NaN that this misses comes back with the sum
    return m


@inline(fastmath=DOT)
def softmax_row(x, y):
    """y (K,) = exp(x - max(x)); returns max(x) and the sum of y."""
    m = _maximum(x)
    total = x.dtype.type(0)
    for k in range(x.size):
        e = exp(x[k] - m)
        y[k] = e
        total += e
    return m, total


@inline
def scale_row(y, factor):
    """y (K,) *= factor."""
    for k in range(y.size):
        y[k] *= factor


@inline(fastmath=DOT)
def _dot(x, y):
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k] * y[k]
    return total


@inline(fastmath=DOT)
def _sum(x):
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k]
    return total


@inline
def _softmax_row(x, y):
    _, total = softmax_row(x, y)
    scale_row(y, x.dtype.type(1) / total)


@inline
def _log_softmax_row(x, y):
    m, total = softmax_row(x, y)
    shift = x.dtype.type(math.log(total))
    for k in range(x.size):
        y[k] = (x[k] - m) - shift


@inline
def _softmax_backward_row(grad, y, dx):
    dot = _dot(grad, y)
    for k in range(dx.size):
        dx[k] = (grad[k] - dot) * y[k]


@inline
def _log_softmax_backward_row(grad, y, dx):
    total = _sum(grad)
    for k in range(dx.size):
        dx[k] = grad[k] - exp(y[k]) * total


@kernel
def softmax(x, y):
    """y = softmax of each row of x (R, K)."""
    for t in prange(row_tasks(x)):
        for r in row_task(x, np.int64(t)):
            _softmax_row(x[r], y[r])


@kernel
def softmax_backward(grad, y, dx):
    """dx = y * (grad - sum(grad * y)), row by row; y = softmax(x)."""
    for t in prange(row_tasks(y)):
        for r in row_task(y, np.int64(t)):
            _softmax_backward_row(grad[r], y[r], dx[r])


@kernel
def log_softmax(x, y):
    """y = log(softmax) of each row of x (R, K)."""
    for t in prange(row_tasks(x)):
        for r in row_task(x, np.int64(t)):
            _log_softmax_row(x[r], y[r])


@kernel
def log_softmax_backward(grad, y, dx):
    """dx = grad - exp(y) * sum(grad), row by row; y = log_softmax(x)."""
    for t in prange(row_tasks(y)):
        for r in row_task(y, np.int64(t)):
            _log_softmax_backward_row(grad[r], y[r], dx[r])
