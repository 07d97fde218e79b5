"""Pooling of channels-last images, as rows of pixels: x (N, H, W * C) and y (N, OH, OW * C); c is the number of channels.

Where there are few channels, a pixel does not fill a vector. So a whole row of windows is taken at once, as if the horizontal
stride were 1 (then pixels and channels are one long contiguous run), and every stride-th window is kept. With many channels each
window is a run of its own. Both are the same code: ``kept`` windows a run, ``count`` at stride 1.

A task owns some rows of one image of what it writes; how many, the shape decides.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import inline, kernel

__all__ = ["avg_backward", "avg_forward", "max_backward", "max_forward"]

NARROW = 32  # channels: with fewer, whole rows are runs
TASK = 1 << 15  # elements of a task, about


@inline
def _blocks(rows, size):
    """How many tasks share an image of ``rows`` rows and ``size`` elements."""
    return max(1, min(rows, size // TASK))


# -- maxima ------------------------------------------------------------------------------------------------------------
@inline
def _larger(x, best, tap, offset):
    """Elementwise best = max(best, x), with the tap that it came from."""
    for i in range(x.size):
        v = x[i]
        take = (v > best[i]) | (v != v) | (tap[i] < 0)
        best[i] = v if take else best[i]
        tap[i] = offset if take else tap[i]


@inline
def _max_run(x, h, w, best, tap, c, kh, kw, dh, dw):
    """The maxima of the windows that start at pixels (h, w), (h, w + 1), ... of the image x (H, W * C).

    ``tap`` gets the distance, in pixels, from a window's start to its maximum; -1 where the window holds no data.
    """
    height, width, count = x.shape[0], x.shape[1] // c, best.size // c
    for i in range(best.size):
        best[i] = -np.inf
        tap[i] = -1
    for i in range(kh):
        if 0 <= h + i * dh < height:
            for j in range(kw):
                start = w + j * dw
                lo = min(count, max(0, -start))
                hi = max(lo, min(count, width - start))
                data = x[h + i * dh, (start + lo) * c : (start + hi) * c]
                _larger(data, best[lo * c : hi * c], tap[lo * c : hi * c], np.int32(i * dh * width + j * dw))


@inline
def _keep(best, tap, y, index, origin):
    for i in range(y.size):
        y[i] = best[i]
        index[i] = tap[i] + origin if tap[i] >= 0 else -1


@inline
def _max_rows(x, y, index, first, last, c, kh, kw, sh, sw, ph, pw, dh, dw):
    """Rows [first, last) of the windows of one image."""
    windows = y.shape[1] // c
    kept = windows if c < NARROW else 1
    count = (kept - 1) * sw + 1
    best = np.empty(count * c, x.dtype)
    tap = np.empty(count * c, np.int32)
    for o in range(first, last):
        for r in range(0, windows, kept):
            _max_run(x, o * sh - ph, r * sw - pw, best, tap, c, kh, kw, dh, dw)
            for k in range(r, r + kept):
                a, b = (k - r) * sw * c, k * c
                origin = (o * sh - ph) * (x.shape[1] // c) + k * sw - pw
                _keep(best[a : a + c], tap[a : a + c], y[o, b : b + c], index[o, b : b + c], origin)


@kernel
def max_forward(x, y, index, c, kh, kw, sh, sw, ph, pw, dh, dw):
    """y and index (int32: h * W + w of each maximum), both (N, OH, OW * C), of x (N, H, W * C).

    NaN wins; of equal values the first, of NaNs the last, as in PyTorch. A window that holds no data gives -inf and index -1.
    """
    images, rows, size = y.shape
    blocks = _blocks(rows, rows * size * sh * sw)
    for t in prange(images * blocks):
        n, b = t // blocks, t % blocks
        _max_rows(x[n], y[n], index[n], b * rows // blocks, (b + 1) * rows // blocks, c, kh, kw, sh, sw, ph, pw, dh, dw)


@inline
def _scatter(grad, index, dx, c, low, high):
    """dx (H * W * C) += grad (OW * C) at the pixels that index tells, if they lie in [low, high)."""
    for o in range(0, grad.size, c):
        for i in range(c):
            p = index[o + i]
            if low <= p < high:
                dx[p * c + i] += grad[o + i]


@inline
def _max_backward_rows(grad, index, dx, first, last, c, kh, sh, ph, dh):
    """Rows [first, last) of dx (H, W * C)."""
    width = dx.shape[1] // c
    flat = dx.reshape(dx.size)
    for i in range(first * width * c, last * width * c):
        flat[i] = 0
    begin = (first + ph - dh * (kh - 1) - 1) // sh + 1  # the rows of windows that reach these rows
    end = (last - 1 + ph) // sh + 1
    for o in range(max(0, begin), min(grad.shape[0], end)):
        _scatter(grad[o], index[o], flat, c, first * width, last * width)


@kernel
def max_backward(grad, index, dx, c, kh, sh, ph, dh):
    """dx (N, H, W * C) = the sum of grad (N, OH, OW * C) over the windows whose maximum, by ``index``, is here."""
    images, rows, size = dx.shape
    blocks = _blocks(rows, rows * size)
    for t in prange(images * blocks):
        n, b = t // blocks, t % blocks
        _max_backward_rows(grad[n], index[n], dx[n], b * rows // blocks, (b + 1) * rows // blocks, c, kh, sh, ph, dh)


# -- averages ----------------------------------------------------------------------------------------------------------
@inline
def _counted(start, taps, size, pad, include):
    """How many taps of a window count: those on the padded extent, or those on data."""
    return min(start + taps, size + pad) - start if include else min(start + taps, size) - max(start, 0)


@inline
def _add(x, y):
    for i in range(y.size):
        y[i] += x[i]


@inline
def _divide(x, y, count):
    """y = x / count."""
    divisor = y.dtype.type(max(1, count))
    inverse = 1 / divisor
    exact = count & (count - 1) == 0  # a power of two: then the product is the quotient
    for i in range(y.size):
        y[i] = x[i] * inverse if exact else x[i] / divisor


@inline
def _shift(x, y, start, c):
    """The pixels [lo, hi) of y (Q * C) that, moved by ``start``, lie on x (W * C)."""
    count, width = y.size // c, x.size // c
    lo = min(count, max(0, -start))
    return lo, max(lo, min(count, width - start))


@inline
def _avg_rows(x, y, first, last, c, kh, kw, sh, sw, ph, pw, include):
    """Rows [first, last) of the windows of one image: first the sums down the columns, then along the row."""
    height, width, windows = x.shape[0], x.shape[1] // c, y.shape[1] // c
    kept = windows if c < NARROW else 1
    column = np.empty(width * c, x.dtype)
    total = np.empty(((kept - 1) * sw + 1) * c, x.dtype)
    for o in range(first, last):
        h = o * sh - ph
        tall = _counted(h, kh, height, ph, include)
        column[:] = 0
        for i in range(max(0, h), min(height, h + kh)):
            _add(x[i], column)
        for r in range(0, windows, kept):
            total[:] = 0
            for start in range(r * sw - pw, r * sw - pw + kw):
                lo, hi = _shift(column, total, start, c)
                _add(column[(start + lo) * c : (start + hi) * c], total[lo * c : hi * c])
            for k in range(r, r + kept):
                a, b = (k - r) * sw * c, k * c
                _divide(total[a : a + c], y[o, b : b + c], tall * _counted(k * sw - pw, kw, width, pw, include))


@kernel
def avg_forward(x, y, c, kh, kw, sh, sw, ph, pw, include):
    """y (N, OH, OW * C) of x (N, H, W * C); ``include`` (0 or 1): padding counts, as in PyTorch's ``count_include_pad``."""
    images, rows, size = y.shape
    blocks = _blocks(rows, rows * size * sh * sw)
    for t in prange(images * blocks):
        n, b = t // blocks, t % blocks
        _avg_rows(x[n], y[n], b * rows // blocks, (b + 1) * rows // blocks, c, kh, kw, sh, sw, ph, pw, include)


@inline
def _avg_backward_rows(grad, dx, first, last, c, kh, kw, sh, sw, ph, pw, include):
    """Rows [first, last) of dx (H, W * C): the steps of ``_avg_rows`` turned round."""
    height, width, windows = dx.shape[0], dx.shape[1] // c, grad.shape[1] // c
    kept = windows if c < NARROW else 1
    column = np.empty(width * c, dx.dtype)
    total = np.empty(((kept - 1) * sw + 1) * c, dx.dtype)
    total[:] = 0  # stays so between the windows that are kept
    for i in range(first, last):
        dx[i, :] = 0
    begin = (first + ph - kh) // sh + 1  # the rows of windows that reach these rows
    end = (last - 1 + ph) // sh + 1
    for o in range(max(0, begin), min(grad.shape[0], end)):
        h = o * sh - ph
        tall = _counted(h, kh, height, ph, include)
        column[:] = 0
        for r in range(0, windows, kept):
            for k in range(r, r + kept):
                a, b = (k - r) * sw * c, k * c
                _divide(grad[o, b : b + c], total[a : a + c], tall * _counted(k * sw - pw, kw, width, pw, include))
            for start in range(r * sw - pw, r * sw - pw + kw):
                lo, hi = _shift(column, total, start, c)
                _add(total[lo * c : hi * c], column[(start + lo) * c : (start + hi) * c])
        for i in range(max(first, h), min(last, h + kh)):
            _add(column, dx[i])


@kernel
def avg_backward(grad, dx, c, kh, kw, sh, sw, ph, pw, include):
    """dx (N, H, W * C): the adjoint of ``avg_forward`` of grad (N, OH, OW * C)."""
    images, rows, size = dx.shape
    blocks = _blocks(rows, rows * size)
    for t in prange(images * blocks):
        n, b = t // blocks, t % blocks
        _avg_backward_rows(grad[n], dx[n], b * rows // blocks, (b + 1) * rows // blocks, c, kh, kw, sh, sw, ph, pw, include)
