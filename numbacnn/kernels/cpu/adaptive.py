"""Adaptive average pooling of channels-last images, as rows of pixels: x (N, H, W * C) and y (N, OH, OW * C); c channels.

Output o of an axis covers the pixels from floor(o * H / OH) to ceil((o + 1) * H / OH); so pixel h lies in the windows from
floor(h * OH / H) to ceil((h + 1) * OH / H): the same formula. First the sums down the columns, long runs however few the channels,
then along the row. A task owns some rows of one image of what it writes; how many, the shape decides.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import inline, kernel
from .pool import add_run, image_tasks

__all__ = ["adaptive_avg_backward", "adaptive_avg_forward"]

u8 = np.uint64


@inline
def _window(o, size, count):
    """The part [first, last) of ``size`` places that window o of ``count`` covers."""
    return o * size // count, ((o + 1) * size + count - 1) // count


@inline
def _mean_row(column, y, b, windows, width, c, tall):
    """y[b:] (OW, C) = the means of column (W, C), which holds sums of ``tall`` rows."""
    for k in range(windows):
        first, last = _window(k, width, windows)
        for w in range(first, last):
            add_run(column, w * c, y, b + k * c, c, w == first)
        count = y.dtype.type(tall * (last - first))
        for i in range(b + k * c, b + k * c + c):
            y[u8(i)] = y[u8(i)] / count


@inline(owns=True)
def _forward_rows(t, blocks, x, y, c):
    """Task t: some rows of windows of one image."""
    rows, windows, height, width = y.shape[1], y.shape[2] // c, x.shape[1], x.shape[2] // c
    n, b = t // blocks, t % blocks
    column = np.empty(width * c, x.dtype)
    x, y = x.reshape(x.size), y.reshape(y.size)
    for o in range(b * rows // blocks, (b + 1) * rows // blocks):
        first, last = _window(o, height, rows)
        for h in range(first, last):
            add_run(x, (n * height + h) * width * c, column, 0, width * c, h == first)
        _mean_row(column, y, (n * rows + o) * windows * c, windows, width, c, last - first)


@kernel
def adaptive_avg_forward(x, y, c):
    """y (N, OH, OW * C) = the means of the windows of x (N, H, W * C)."""
    blocks = image_tasks(y.shape[1], x.shape[1] * x.shape[2])
    for t in prange(y.shape[0] * blocks):
        _forward_rows(np.int64(t), blocks, x, y, c)


@inline
def _share_row(grad, a, column, windows, width, c, tall):
    """column (W, C) = what the windows of grad[a:] (OW, C), each ``tall`` rows high, hand to the pixels of a row."""
    for w in range(width):
        first, last = _window(w, windows, width)
        for k in range(first, last):
            left, right = _window(k, width, windows)
            count = grad.dtype.type(tall * (right - left))
            p, q = w * c, a + k * c
            if k == first:
                for i in range(c):
                    column[u8(p + i)] = grad[u8(q + i)] / count
            else:
                for i in range(c):
                    column[u8(p + i)] += grad[u8(q + i)] / count


@inline(owns=True)
def _backward_rows(t, blocks, grad, dx, c):
    """Task t: some rows of one image of dx."""
    rows, windows, height, width = grad.shape[1], grad.shape[2] // c, dx.shape[1], dx.shape[2] // c
    n, b = t // blocks, t % blocks
    first, last = b * height // blocks, (b + 1) * height // blocks
    column = np.empty(width * c, dx.dtype)
    grad, dx = grad.reshape(grad.size), dx.reshape(dx.size)
    done = first  # rows before this one hold sums
    for o in range(first * rows // height, (last * rows + height - 1) // height):
        top, bottom = _window(o, height, rows)
        _share_row(grad, (n * rows + o) * windows * c, column, windows, width, c, bottom - top)
        for h in range(max(first, top), min(last, bottom)):
            add_run(column, 0, dx, (n * height + h) * width * c, width * c, h >= done)
        done = max(done, min(last, bottom))


@kernel
def adaptive_avg_backward(grad, dx, c):
    """dx (N, H, W * C): the adjoint of ``adaptive_avg_forward`` of grad (N, OH, OW * C)."""
    blocks = image_tasks(dx.shape[1], dx.shape[1] * dx.shape[2])
    for t in prange(dx.shape[0] * blocks):
        _backward_rows(np.int64(t), blocks, grad, dx, c)
