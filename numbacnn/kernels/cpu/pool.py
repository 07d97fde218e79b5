"""Pooling of channels-last volumes, as lines of pixels: x (N, D * H, W * C) and y (N, OD * OH, OW * C); c is the number of channels.

``axes`` holds a row for depth, height and width: (size, outputs, kernel, stride, padding before, dilation). An image is a volume of one
slice.

Indices are cast to unsigned: Numba then leaves out its test for negative ones, and LLVM vectorises short loops without fuss.

Where there are few channels, a pixel does not fill a vector. Averages then use explicit vectors with spare lanes. Maxima take a
whole row of windows at once: what all of them see at one tap is copied together where it lies apart. With many channels each window is
a run of its own.

A task owns some lines of one example of what it writes; how many, the shape decides.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import inline, kernel
from .vector import full, greater, lanes, load, move_few, put, where_greater, zeros

__all__ = ["add_run", "avg_backward", "avg_forward", "image_tasks", "max_backward", "max_forward", "rows_of"]

NARROW = 32  # channels: with fewer, a run is a whole row of windows
TASK = 1 << 15  # elements of a task, about
u8 = np.uint64
i4 = np.int32


@inline
def image_tasks(rows, size):
    """How many tasks share an example of ``rows`` lines and ``size`` elements."""
    return max(1, min(rows, size // TASK))


@inline
def along(axes, i):
    """Size, outputs, kernel, stride, padding before and dilation of an axis."""
    return axes[i, 0], axes[i, 1], axes[i, 2], axes[i, 3], axes[i, 4], axes[i, 5]


@inline
def reach(first, last, outputs, kernel, stride, before, dilation):
    """The windows [begin, end) of an axis of which some may reach the places [first, last)."""
    return max(0, (first + before - dilation * (kernel - 1) - 1) // stride + 1), min(outputs, (last - 1 + before) // stride + 1)


@inline
def rows_of(first, last, height):
    """(first slice, the one after the last, first row, the one after the last) of the lines [first, last) of a volume."""
    d0, d1 = first // height, (last - 1) // height + 1
    if d1 - d0 > 1:
        return d0, d1, 0, height
    return d0, d1, first - d0 * height, last - d0 * height


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
def _max_run(x, image, axes, d, h, w, best, tap, pixels, count, c):
    """The maxima of ``count`` windows that start at pixels (d, h, w), (d, h, w + sw), ... of the volume that starts at x[image].

    ``tap`` gets the distance, in pixels, from a window's start to its maximum; -1 where the window holds no data.
    """
    depth, _, kd, _, _, dd = along(axes, 0)
    height, _, kh, _, _, dh = along(axes, 1)
    width, _, kw, sw, _, dw = along(axes, 2)
    for i in range(count * c):
        best[i] = -np.inf
        tap[i] = -1
    for k in range(kd):
        plane = d + k * dd
        if 0 <= plane < depth:
            for i in range(kh):
                row = h + i * dh
                if 0 <= row < height:
                    for j in range(kw):
                        start = w + j * dw
                        lo = min(count, max(0, (sw - 1 - start) // sw))  # the windows [lo, hi) whose tap is on the line
                        hi = max(lo, min(count, (width - start + sw - 1) // sw))
                        a = image + ((plane * height + row) * width + start + lo * sw) * c
                        together = sw == 1 or hi - lo <= 1
                        _gather_strided(x, a, sw * c, 0 if together else hi - lo, c, pixels)
                        source, first = (x, a) if together else (pixels, 0)
                        _max_into(source, first, best, tap, lo * c, (hi - lo) * c, i4((k * dd * height + i * dh) * width + j * dw))


@inline
def _on_data(start, kernel, dilation, size):
    """The taps [first, last) of a window that lie on data."""
    return max(0, (dilation - 1 - start) // dilation), min(kernel, (size - start + dilation - 1) // dilation)


@inline
def _max_window(x, image, axes, taps, d, h, w, best, places, c):
    """The same for one window of many channels, whose maxima and their distances stay in registers, a vector at a time.

    ``taps``: the planes and rows of taps that lie on data, each as first and the one after the last.
    """
    dd, height, dh = axes[0, 5], axes[1, 0], axes[1, 5]
    width, _, kw, _, _, dw = along(axes, 2)
    i0, i1, k0, k1 = taps
    j0, j1 = _on_data(w, kw, dw, width)
    first = (i0 * dd * height + k0 * dh) * width + j0 * dw  # where it is if nothing exceeds -inf
    nothing = x.dtype.type(first if i0 < i1 and k0 < k1 and j0 < j1 else -1)
    for block in range(0, c, lanes(x)):
        v0 = min(block, c - lanes(x))  # the last vector may repeat some channels
        m, t = full(x, x.dtype.type(-np.inf)), full(x, nothing)
        for i in range(i0, i1):
            plane = i * dd * height
            start = d * height + h + plane
            for k in range(k0, k1):
                for j in range(j0, j1):
                    v = load(x, image + ((start + k * dh) * width + w + j * dw) * c + v0)
                    t = where_greater(v, m, x.dtype.type((plane + k * dh) * width + j * dw), t)
                    m = greater(v, m)
        put(m, best, v0)
        put(t, places, v0)


@inline
def _keep(best, tap, steps, y, index, b, count, origin):
    """y, index = the maxima and where they are in the image, for windows whose starts lie ``steps`` behind ``origin``."""
    for i in range(count):
        t = i4(tap[u8(i)])
        y[u8(b + i)] = best[u8(i)]
        index[u8(b + i)] = t + i4(origin) + steps[u8(i)] if t >= 0 else i4(-1)


@inline(owns=True)
def _max_rows(t, blocks, x, y, index, c, axes):
    """Task t: some lines of windows of one example."""
    depth, _, kd, sd, pd, dd = along(axes, 0)
    height, rows, kh, sh, ph, dh = along(axes, 1)
    width, windows, _, sw, pw, _ = along(axes, 2)
    n, b = t // blocks, t % blocks
    lines = y.shape[1]
    many = c >= NARROW and (kd * dd * height + kh * dh) * width < 1 << 24  # a distance is then exact in float32
    count = 1 if c >= NARROW else windows
    best, pixels = np.empty(count * c, x.dtype), np.empty(count * c, x.dtype)
    tap, places, steps = np.empty(count * c, np.int32), np.empty(count * c, x.dtype), np.empty(count * c, np.int32)
    for k in range(count):
        for i in range(k * c, (k + 1) * c):
            steps[i] = k * sw
    x, y, index = x.reshape(x.size), y.reshape(y.size), index.reshape(index.size)
    image = n * depth * height * width * c
    first, last = b * lines // blocks, (b + 1) * lines // blocks
    plane, row = first // rows, first % rows
    for o in range(first, last):
        d, h = plane * sd - pd, row * sh - ph
        taps = (*_on_data(d, kd, dd, depth), *_on_data(h, kh, dh, height)) if many else (0, 0, 0, 0)
        for r in range(0, windows, count):
            w = r * sw - pw
            to, origin = ((n * lines + o) * windows + r) * c, (d * height + h) * width + w
            if many:
                _max_window(x, image, axes, taps, d, h, w, best, places, c)
                _keep(best, places, steps, y, index, to, c, origin)
            else:
                _max_run(x, image, axes, d, h, w, best, tap, pixels, count, c)
                _keep(best, tap, steps, y, index, to, count * c, origin)
        row += 1
        if row == rows:
            plane, row = plane + 1, 0


@kernel
def max_forward(x, y, index, c, axes):
    """y and index (int32: the place of each maximum among the pixels of x), both (N, OD * OH, OW * C), of x (N, D * H, W * C).

    NaN wins; of equal values the first, of NaNs the last, as in PyTorch. A window that holds no data gives -inf and index -1.
    """
    blocks = image_tasks(y.shape[1], y.shape[1] * y.shape[2] * axes[0, 3] * axes[1, 3] * axes[2, 3])
    for t in prange(y.shape[0] * blocks):
        _max_rows(np.int64(t), blocks, x, y, index, c, axes)


@inline
def _scatter(grad, index, o, dx, image, pixels, c, low, high):
    """dx[image:] += grad[o:] (pixels * C) at the pixels that index tells, if they lie in [low, high)."""
    for q in range(o, o + pixels * c, c):
        for i in range(c):
            p = index[u8(q + i)]
            if low <= p < high:
                dx[u8(image + p * c + i)] += grad[u8(q + i)]


@inline
def _max_backward_rows(t, blocks, grad, index, dx, c, axes):
    """Task t: some lines of one example of dx."""
    _, planes, kd, sd, pd, dd = along(axes, 0)
    height, rows, kh, sh, ph, dh = along(axes, 1)
    width, windows, _, _, _, _ = along(axes, 2)
    n, b = t // blocks, t % blocks
    lines, grad_lines = dx.shape[1], grad.shape[1]
    first, last = b * lines // blocks, (b + 1) * lines // blocks
    grad, index, dx = grad.reshape(grad.size), index.reshape(index.size), dx.reshape(dx.size)
    image = n * lines * width * c
    for i in range(first * width * c, last * width * c):
        dx[u8(image + i)] = 0
    d0, d1, h0, h1 = rows_of(first, last, height)
    p0, p1 = reach(d0, d1, planes, kd, sd, pd, dd)
    o0, o1 = reach(h0, h1, rows, kh, sh, ph, dh)
    for p in range(p0, p1):
        for o in range(o0, o1):
            at = (n * grad_lines + p * rows + o) * windows * c
            _scatter(grad, index, at, dx, image, windows, c, first * width, last * width)


@kernel
def max_backward(grad, index, dx, c, axes):
    """dx (N, D * H, W * C) = the sum of grad (N, OD * OH, OW * C) over the windows whose maximum, by ``index``, is here."""
    blocks = image_tasks(dx.shape[1], dx.shape[1] * dx.shape[2])
    for t in prange(dx.shape[0] * blocks):
        _max_backward_rows(np.int64(t), blocks, grad, index, dx, c, axes)


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
    """y[b:] = x[a:] / how many taps count, for a line of windows; ``tall`` is that number in its other axes."""
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
def _avg_rows(t, blocks, x, y, c, axes, include):
    """Task t: some lines of windows of one example. First the sums of the lines that a window sees, then along the line."""
    depth, _, kd, sd, pd, _ = along(axes, 0)
    height, rows, kh, sh, ph, _ = along(axes, 1)
    width, windows, kw, sw, pw, _ = along(axes, 2)
    n, b = t // blocks, t % blocks
    lines = y.shape[1]
    extent = (windows - 1) * sw + kw  # of a line of windows, in pixels
    column = np.zeros(extent * c + lanes(x), x.dtype)  # its padding stays zero
    total = np.empty(windows * c + lanes(x), x.dtype)
    x, y = x.reshape(x.size), y.reshape(y.size)
    first, last = b * lines // blocks, (b + 1) * lines // blocks
    p, row = first // rows, first % rows
    for o in range(first, last):
        d, h = p * sd - pd, row * sh - ph
        fresh = True
        for plane in range(max(0, d), min(depth, d + kd)):
            for i in range(max(0, h), min(height, h + kh)):
                at = ((n * depth + plane) * height + i) * width * c
                add_run(x, at, column, pw * c, min(width, extent - pw) * c, fresh)
                fresh = False
        _sum_windows(column, total, windows, c, kw, sw)
        tall = _counted(d, kd, depth, pd, include) * _counted(h, kh, height, ph, include)
        _divide_row(total, 0, y, (n * lines + o) * windows * c, windows, c, tall, kw, sw, pw, width, include)
        row += 1
        if row == rows:
            p, row = p + 1, 0


@kernel
def avg_forward(x, y, c, axes, include):
    """y (N, OD * OH, OW * C) of x (N, D * H, W * C); ``include`` (0 or 1): padding counts, as in PyTorch's ``count_include_pad``."""
    blocks = image_tasks(y.shape[1], y.shape[1] * y.shape[2] * axes[0, 3] * axes[1, 3] * axes[2, 3])
    for t in prange(y.shape[0] * blocks):
        _avg_rows(np.int64(t), blocks, x, y, c, axes, include)


@inline(owns=True)
def _avg_backward_rows(t, blocks, grad, dx, c, axes, include):
    """Task t: some lines of one example of dx, by the steps of ``_avg_rows`` turned round."""
    depth, planes, kd, sd, pd, _ = along(axes, 0)
    height, rows, kh, sh, ph, _ = along(axes, 1)
    width, windows, kw, sw, pw, _ = along(axes, 2)
    n, b = t // blocks, t % blocks
    lines, grad_lines = dx.shape[1], grad.shape[1]
    first, last = b * lines // blocks, (b + 1) * lines // blocks
    extent = (windows - 1) * sw + kw
    column = np.empty(extent * c + lanes(dx), dx.dtype)
    total = np.empty(windows * c + lanes(dx), dx.dtype)
    grad, dx = grad.reshape(grad.size), dx.reshape(dx.size)
    seen = min(width, extent - pw)  # pixels of a line that windows reach
    done = first  # lines before this one hold sums
    if depth > 1 or kh < sh or seen < width or (rows - 1) * sh - ph + kh < height:  # windows leave gaps, or come back to a line
        for i in range((n * lines + first) * width * c, (n * lines + last) * width * c):
            dx[u8(i)] = 0
        done = last
    d0, d1, h0, h1 = rows_of(first, last, height)
    p0, p1 = reach(d0, d1, planes, kd, sd, pd, 1)
    o0, o1 = reach(h0, h1, rows, kh, sh, ph, 1)
    for p in range(p0, p1):
        d = p * sd - pd
        for o in range(o0, o1):
            h = o * sh - ph
            tall = _counted(d, kd, depth, pd, include) * _counted(h, kh, height, ph, include)
            at = (n * grad_lines + p * rows + o) * windows * c
            _divide_row(grad, at, total, 0, windows, c, tall, kw, sw, pw, width, include)
            _spread_windows(total, column, windows, c, kw, sw)
            for plane in range(max(0, d), min(depth, d + kd)):
                for line in range(max(first, plane * height + max(0, h)), min(last, plane * height + min(height, h + kh))):
                    add_run(column, pw * c, dx, (n * lines + line) * width * c, seen * c, line >= done)
            done = max(done, min(last, h + kh))


@kernel
def avg_backward(grad, dx, c, axes, include):
    """dx (N, D * H, W * C): the adjoint of ``avg_forward`` of grad (N, OD * OH, OW * C)."""
    blocks = image_tasks(dx.shape[1], dx.shape[1] * dx.shape[2])
    for t in prange(dx.shape[0] * blocks):
        _avg_backward_rows(np.int64(t), blocks, grad, dx, c, axes, include)
