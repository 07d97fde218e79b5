"""Adaptive average pooling of channels-last volumes, as lines of pixels: x (N, D * H, W * C) and y (N, OD * OH, OW * C).

``plan``: the ``channels``, the ``depth``, ``height`` and ``width`` of x, and the ``planes``, ``rows`` and ``windows`` (of a row) of y. An
image is a volume of one slice.

Output o of an axis covers the pixels from floor(o * H / OH) to ceil((o + 1) * H / OH); so pixel h lies in the windows from
floor(h * OH / H) to ceil((h + 1) * OH / H): the same formula. First the sums of the lines that a window sees, long runs however few the
channels, then along the line. A task owns some lines of one example of what it writes; how many, the shape decides.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import inline, kernel
from .pool import add_run, image_tasks, rows_of

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
def _forward_rows(t, blocks, x, y, plan):
    """Task t: some lines of windows of one example."""
    depth, height, width, c = plan[0].depth, plan[0].height, plan[0].width, plan[0].channels
    planes, rows, windows = plan[0].planes, plan[0].rows, plan[0].windows
    n, b = t // blocks, t % blocks
    lines = y.shape[1]
    column = np.empty(width * c, x.dtype)
    x, y = x.reshape(x.size), y.reshape(y.size)
    for o in range(b * lines // blocks, (b + 1) * lines // blocks):
        front, back = _window(o // rows, depth, planes)
        first, last = _window(o % rows, height, rows)
        for d in range(front, back):
            for h in range(first, last):
                add_run(x, ((n * depth + d) * height + h) * width * c, column, 0, width * c, d == front and h == first)
        _mean_row(column, y, (n * lines + o) * windows * c, windows, width, c, (back - front) * (last - first))


@kernel
def adaptive_avg_forward(x, y, plan):
    """y (N, OD * OH, OW * C) = the means of the windows of x (N, D * H, W * C)."""
    blocks = image_tasks(y.shape[1], x.shape[1] * x.shape[2])
    for t in prange(y.shape[0] * blocks):
        _forward_rows(np.int64(t), blocks, x, y, plan)


@inline
def _share_row(grad, a, column, windows, width, c, tall):
    """column (W, C) = what the windows of grad[a:] (OW, C), each over ``tall`` lines, hand to the pixels of a line."""
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
def _backward_rows(t, blocks, grad, dx, plan):
    """Task t: some lines of one example of dx."""
    depth, height, width, c = plan[0].depth, plan[0].height, plan[0].width, plan[0].channels
    planes, rows, windows = plan[0].planes, plan[0].rows, plan[0].windows
    n, b = t // blocks, t % blocks
    lines, grad_lines = dx.shape[1], grad.shape[1]
    start, stop = b * lines // blocks, (b + 1) * lines // blocks
    column = np.empty(width * c, dx.dtype)
    grad, dx = grad.reshape(grad.size), dx.reshape(dx.size)
    done = start  # lines before this one hold sums
    if depth > 1:  # windows come back to a line
        for i in range((n * lines + start) * width * c, (n * lines + stop) * width * c):
            dx[u8(i)] = 0
        done = stop
    d0, d1, h0, h1 = rows_of(start, stop, height)
    for p in range(d0 * planes // depth, (d1 * planes + depth - 1) // depth):
        front, back = _window(p, depth, planes)
        for o in range(h0 * rows // height, (h1 * rows + height - 1) // height):
            top, bottom = _window(o, height, rows)
            at = (n * grad_lines + p * rows + o) * windows * c
            _share_row(grad, at, column, windows, width, c, (back - front) * (bottom - top))
            for d in range(front, back):
                for line in range(max(start, d * height + top), min(stop, d * height + bottom)):
                    add_run(column, 0, dx, (n * lines + line) * width * c, width * c, line >= done)
            done = max(done, min(stop, bottom))


@kernel
def adaptive_avg_backward(grad, dx, plan):
    """dx (N, D * H, W * C): the adjoint of ``adaptive_avg_forward`` of grad (N, OD * OH, OW * C)."""
    blocks = image_tasks(dx.shape[1], dx.shape[1] * dx.shape[2])
    for t in prange(dx.shape[0] * blocks):
        _backward_rows(np.int64(t), blocks, grad, dx, plan)
