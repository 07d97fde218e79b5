"""Pooling of channels-last images, as rows of pixels: x (N, H, W * C) and y (N, OH, OW * C); c is the number of channels.

Indices are cast to unsigned: Numba then leaves out its test for negative ones, and LLVM vectorises short loops without fuss.

Where there are few channels, a pixel does not fill a vector. Averages then use explicit vectors with spare lanes. Maxima take a
whole row of windows at once: what all of them see at one tap is copied together where it lies apart. With many channels each window is
a run of its own.

A task owns some rows of one image of what it writes; how many, the shape decides.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import inline, kernel
from .vector import full, greater, lanes, load, move_few, put, where_greater, zeros

__all__ = ["add_run", "avg_backward", "avg_forward", "image_tasks", "max_backward", "max_forward"]

NARROW = 32  # channels: with fewer, a run is a whole row of windows
TASK = 1 << 15  # elements of a task, about
u8 = np.uint64
i4 = np.int32


@inline
def image_tasks(rows, size):
    """How many tasks share an image of ``rows`` rows and ``size`` elements."""
    return max(1, min(rows, size // TASK))


# -- maxima ------------------------------------------------------------------------------------------------------------
@inline
def _max_into(x, a, best, tap, b, count, offset):
    """best[b:] = max(best[b:], x[a:]), ``count`` elements, with the tap that it came from; NaN wins.

    Arithmetic instead of conditions, out of which LLVM would make masked stores: some processors take 20 cycles for each.
    """
    zero = x.dtype.type(0)
    for i in range(count):
        v, m, t = x[u8(a + i)], best[u8(b + i)], tap[u8(b + i)]
        best[u8(b + i)] = (v if v > m else m) + (v if v != v else zero)
        take = -i4((v > m) | (v != v) | (t < 0))  # all bits or none
        tap[u8(b + i)] = t ^ ((t ^ offset) & take)


@inline
def _gather_strided(x, a, step, count, c, out):
    """out = runs of c elements of x, fewer than 32 each and ``step`` apart, side by side."""
    for k in range(count):
        move_few(x, a + k * step, out, k * c, c)


@inline
def _max_run(x, image, h, w, height, width, best, tap, pixels, count, sw, c, kh, kw, dh, dw):
    """The maxima of ``count`` windows that start at pixels (h, w), (h, w + sw), ... of the image that starts at x[image].

    ``tap`` gets the distance, in pixels, from a window's start to its maximum; -1 where the window holds no data.
    """
    for i in range(count * c):
        best[i] = -np.inf
        tap[i] = -1
    for i in range(kh):
        row = h + i * dh
        if 0 <= row < height:
            for j in range(kw):
                start = w + j * dw
                lo = min(count, max(0, (sw - 1 - start) // sw))  # the windows [lo, hi) whose tap is on the row
                hi = max(lo, min(count, (width - start + sw - 1) // sw))
                a = image + (row * width + start + lo * sw) * c
                together = sw == 1 or hi - lo <= 1
                _gather_strided(x, a, sw * c, 0 if together else hi - lo, c, pixels)
                source, first = (x, a) if together else (pixels, 0)
                _max_into(source, first, best, tap, lo * c, (hi - lo) * c, i4(i * dh * width + j * dw))


@inline
def _max_window(x, image, h, w, height, width, best, tap, c, kh, kw, dh, dw):
    """The same for one window of many channels, whose maxima and their distances stay in registers, a vector at a time."""
    k0, k1 = max(0, (dh - 1 - h) // dh), min(kh, (height - h + dh - 1) // dh)  # the taps that lie on the image
    j0, j1 = max(0, (dw - 1 - w) // dw), min(kw, (width - w + dw - 1) // dw)
    first = x.dtype.type(k0 * dh * width + j0 * dw if k0 < k1 and j0 < j1 else -1)  # where it is if nothing exceeds -inf
    for block in range(0, c, lanes(x)):
        i = min(block, c - lanes(x))  # the last vector may repeat some channels
        m, t = full(x, x.dtype.type(-np.inf)), full(x, first)
        for k in range(k0, k1):
            for j in range(j0, j1):
                v = load(x, image + ((h + k * dh) * width + w + j * dw) * c + i)
                t = where_greater(v, m, x.dtype.type(k * dh * width + j * dw), t)
                m = greater(v, m)
        put(m, best, i)
        put(t, tap, i)


@inline
def _keep(best, tap, steps, y, index, b, count, origin):
    """y, index = the maxima and where they are in the image, for windows whose starts lie ``steps`` behind ``origin``."""
    for i in range(count):
        t = i4(tap[u8(i)])
        y[u8(b + i)] = best[u8(i)]
        index[u8(b + i)] = t + i4(origin) + steps[u8(i)] if t >= 0 else i4(-1)


@inline(owns=True)
def _max_rows(t, blocks, x, y, index, c, kh, kw, sh, sw, ph, pw, dh, dw):
    """Task t: some rows of windows of one image."""
    rows, windows, height, width = y.shape[1], y.shape[2] // c, x.shape[1], x.shape[2] // c
    n, b = t // blocks, t % blocks
    many = c >= NARROW and kh * dh * width < 1 << 24  # a distance is then exact in float32
    count = 1 if c >= NARROW else windows
    best, pixels = np.empty(count * c, x.dtype), np.empty(count * c, x.dtype)
    tap, places, steps = np.empty(count * c, np.int32), np.empty(count * c, x.dtype), np.empty(count * c, np.int32)
    for k in range(count):
        for i in range(k * c, (k + 1) * c):
            steps[i] = k * sw
    x, y, index = x.reshape(x.size), y.reshape(y.size), index.reshape(index.size)
    for o in range(b * rows // blocks, (b + 1) * rows // blocks):
        h = o * sh - ph
        for r in range(0, windows, count):
            w = r * sw - pw
            image, to = n * height * width * c, ((n * rows + o) * windows + r) * c
            if many:
                _max_window(x, image, h, w, height, width, best, places, c, kh, kw, dh, dw)
                _keep(best, places, steps, y, index, to, c, h * width + w)
            else:
                _max_run(x, image, h, w, height, width, best, tap, pixels, count, sw, c, kh, kw, dh, dw)
                _keep(best, tap, steps, y, index, to, count * c, h * width + w)


@kernel
def max_forward(x, y, index, c, kh, kw, sh, sw, ph, pw, dh, dw):
    """y and index (int32: h * W + w of each maximum), both (N, OH, OW * C), of x (N, H, W * C).

    NaN wins; of equal values the first, of NaNs the last, as in PyTorch. A window that holds no data gives -inf and index -1.
    """
    blocks = image_tasks(y.shape[1], y.shape[1] * y.shape[2] * sh * sw)
    for t in prange(y.shape[0] * blocks):
        _max_rows(np.int64(t), blocks, x, y, index, c, kh, kw, sh, sw, ph, pw, dh, dw)


@inline
def _scatter(grad, index, o, dx, image, pixels, c, low, high):
    """dx[image:] += grad[o:] (pixels * C) at the pixels that index tells, if they lie in [low, high)."""
    for q in range(o, o + pixels * c, c):
        for i in range(c):
            p = index[u8(q + i)]
            if low <= p < high:
                dx[u8(image + p * c + i)] += grad[u8(q + i)]


@inline
def _max_backward_rows(t, blocks, grad, index, dx, c, kh, sh, ph, dh):
    """Task t: some rows of one image of dx."""
    rows, windows, height, width = grad.shape[1], grad.shape[2] // c, dx.shape[1], dx.shape[2] // c
    n, b = t // blocks, t % blocks
    first, last = b * height // blocks, (b + 1) * height // blocks
    grad, index, dx = grad.reshape(grad.size), index.reshape(index.size), dx.reshape(dx.size)
    image = n * height * width * c
    for i in range(first * width * c, last * width * c):
        dx[u8(image + i)] = 0
    begin = (first + ph - dh * (kh - 1) - 1) // sh + 1  # the rows of windows that reach these rows
    for o in range(max(0, begin), min(rows, (last - 1 + ph) // sh + 1)):
        _scatter(grad, index, (n * rows + o) * windows * c, dx, image, windows, c, first * width, last * width)


@kernel
def max_backward(grad, index, dx, c, kh, sh, ph, dh):
    """dx (N, H, W * C) = the sum of grad (N, OH, OW * C) over the windows whose maximum, by ``index``, is here."""
    blocks = image_tasks(dx.shape[1], dx.shape[1] * dx.shape[2])
    for t in prange(dx.shape[0] * blocks):
        _max_backward_rows(np.int64(t), blocks, grad, index, dx, c, kh, sh, ph, dh)


# -- averages ----------------------------------------------------------------------------------------------------------
@inline
def add_run(x, a, y, b, count, fresh):
    """y[b:] += x[a:]; where ``fresh``, y holds nothing yet."""
    if fresh:
        for i in range(count):
            y[u8(b + i)] = x[u8(a + i)]
    else:
        for i in range(count):
            y[u8(b + i)] += x[u8(a + i)]


@inline
def _counted(start, taps, size, pad, include):
    """How many taps of a window count: those on the padded extent, or those on data."""
    return min(start + taps, size + pad) - start if include else min(start + taps, size) - max(start, 0)


@inline
def _divide_row(x, a, y, b, windows, c, tall, kw, sw, pw, width, include):
    """y[b:] = x[a:] / how many taps count, for a row of windows; ``tall`` is that number vertically."""
    k = 0
    while k < windows:  # in runs of windows with the same divisor
        taps = _counted(k * sw - pw, kw, width, pw, include)
        end = windows if taps == kw and _counted((windows - 1) * sw - pw, kw, width, pw, include) == kw else k + 1
        while end < windows and _counted(end * sw - pw, kw, width, pw, include) == taps:
            end += 1
        divisor = y.dtype.type(max(1, tall * taps))
        for i in range(k * c, end * c):
            y[u8(b + i)] = x[u8(a + i)] / divisor
        k = end


@inline
def _sum_windows(column, total, windows, c, kw, sw):
    """total (OW, C) = the sums of kw pixels of column, which starts where the first window does.

    The spare lanes of each window's last vector spill into the next window, which is written later, or into the slack.
    """
    for k in range(windows):
        for i in range(0, c, lanes(total)):
            v = zeros(total)
            for j in range(k * sw, k * sw + kw):
                v = v + load(column, j * c + i)
            put(v, total, k * c + i)


@inline
def _spread_windows(total, column, windows, c, kw, sw):
    """The adjoint: each pixel of column gets the sum over the windows [lo, hi) that cover it."""
    lo = hi = 0
    for p in range((windows - 1) * sw + kw):
        if hi < windows and hi * sw <= p:
            hi += 1
        if lo * sw + kw <= p:
            lo += 1
        for i in range(0, c, lanes(total)):
            v = zeros(total)
            for k in range(lo, hi):
                v = v + load(total, k * c + i)
            put(v, column, p * c + i)


@inline(owns=True)
def _avg_rows(t, blocks, x, y, c, kh, kw, sh, sw, ph, pw, include):
    """Task t: some rows of windows of one image. First the sums down the columns, then along the row."""
    rows, windows, height, width = y.shape[1], y.shape[2] // c, x.shape[1], x.shape[2] // c
    n, b = t // blocks, t % blocks
    extent = (windows - 1) * sw + kw  # of a row of windows, in pixels
    column = np.zeros(extent * c + lanes(x), x.dtype)  # its padding stays zero
    total = np.empty(windows * c + lanes(x), x.dtype)
    x, y = x.reshape(x.size), y.reshape(y.size)
    for o in range(b * rows // blocks, (b + 1) * rows // blocks):
        h = o * sh - ph
        for i in range(max(0, h), min(height, h + kh)):
            add_run(x, (n * height + i) * width * c, column, pw * c, min(width, extent - pw) * c, i == max(0, h))
        _sum_windows(column, total, windows, c, kw, sw)
        tall = _counted(h, kh, height, ph, include)
        _divide_row(total, 0, y, (n * rows + o) * windows * c, windows, c, tall, kw, sw, pw, width, include)


@kernel
def avg_forward(x, y, c, kh, kw, sh, sw, ph, pw, include):
    """y (N, OH, OW * C) of x (N, H, W * C); ``include`` (0 or 1): padding counts, as in PyTorch's ``count_include_pad``."""
    blocks = image_tasks(y.shape[1], y.shape[1] * y.shape[2] * sh * sw)
    for t in prange(y.shape[0] * blocks):
        _avg_rows(np.int64(t), blocks, x, y, c, kh, kw, sh, sw, ph, pw, include)


@inline(owns=True)
def _avg_backward_rows(t, blocks, grad, dx, c, kh, kw, sh, sw, ph, pw, include):
    """Task t: some rows of one image of dx, by the steps of ``_avg_rows`` turned round."""
    rows, windows, height, width = grad.shape[1], grad.shape[2] // c, dx.shape[1], dx.shape[2] // c
    n, b = t // blocks, t % blocks
    first, last = b * height // blocks, (b + 1) * height // blocks
    extent = (windows - 1) * sw + kw
    column = np.empty(extent * c + lanes(dx), dx.dtype)
    total = np.empty(windows * c + lanes(dx), dx.dtype)
    grad, dx = grad.reshape(grad.size), dx.reshape(dx.size)
    seen = min(width, extent - pw)  # pixels of a row that windows reach
    done = first  # rows before this one hold sums
    if kh < sh or seen < width or (rows - 1) * sh - ph + kh < height:  # windows leave gaps
        for i in range((n * height + first) * width * c, (n * height + last) * width * c):
            dx[u8(i)] = 0
        done = last
    begin = (first + ph - kh) // sh + 1  # the rows of windows that reach these rows
    for o in range(max(0, begin), min(rows, (last - 1 + ph) // sh + 1)):
        h = o * sh - ph
        tall = _counted(h, kh, height, ph, include)
        _divide_row(grad, (n * rows + o) * windows * c, total, 0, windows, c, tall, kw, sw, pw, width, include)
        _spread_windows(total, column, windows, c, kw, sw)
        for i in range(max(first, h), min(last, h + kh)):
            add_run(column, pw * c, dx, (n * height + i) * width * c, seen * c, i >= done)
        done = max(done, min(last, h + kh))


@kernel
def avg_backward(grad, dx, c, kh, kw, sh, sw, ph, pw, include):
    """dx (N, H, W * C): the adjoint of ``avg_forward`` of grad (N, OH, OW * C)."""
    blocks = image_tasks(dx.shape[1], dx.shape[1] * dx.shape[2])
    for t in prange(dx.shape[0] * blocks):
        _avg_backward_rows(np.int64(t), blocks, grad, dx, c, kh, kw, sh, sw, ph, pw, include)
