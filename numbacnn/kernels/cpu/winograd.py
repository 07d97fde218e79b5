"""Winograd's F(4x4, 3x3) for 3x3 convolutions of stride 1: a patch of 6x6 inputs gives 4x4 outputs with 36 products instead of 144.

    V = B' d B      6x6 from a patch d of 6x6 pixels         (``input_patches``)
    U = G g G'      6x6 from a kernel g of 3x3               (``weights``)
    y = A' (U V) A  4x4; U V is a sum over channels, one matrix product for each of the 36 places   (``output_patches``)

The algorithm is bilinear, so the weight gradient is its transpose: G' (V Z) G with Z = A dy A' (``grad_patches``, ``grad_weights``).
The matrix products are those of ``conv``, with the 36 places as groups. Patches lie in memory as (T, 36 * C + GAP): row after row, one
image after the other.

``plan`` says which patches a kernel transforms: an image has ``height`` and ``width``, ``channels``, and after ``top`` and ``left`` pixels
of padding ``rows`` times ``columns`` patches, counted through all images: ``patches`` of them from the ``first`` on, for so many ``tasks``.

Relative rms error against float64 at 64 to 512 channels: about 2e-6, ten times that of a direct sum (A has entries up to 8).
A NaN or an infinity spreads over its patch. No sum below has two products: see ``launch.ROUNDED``.

Source: A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016; the points are 0, 1, -1, 2, -2, infinity.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import inline, kernel
from .pointwise import activate
from .vector import lanes, load, prefetch, put

__all__ = ["GAP", "PLACES", "SIZE", "grad_patches", "grad_weights", "input_patches", "output_patches", "weights"]

SIZE = 4
"""Outputs of a patch along each axis."""

SLICE, FEWEST, TASKS = 16, 4, 32
"""Input channels whose weights a task transforms, at most and at least, and the tasks there should be."""

PATCH = 6
PLACES = PATCH * PATCH

GAP = 16
"""Elements left free after each patch, and after each place of a slice of weights. Channels are a multiple of a power of two in most
networks: whole patches apart, the rows of a register tile would fall into one set of the cache and drive each other out."""

f4 = np.float32
TWO, FOUR, SIX, EIGHT = f4(2), f4(4), f4(6), f4(8)
QUARTER, SIXTH, MINUS_SIXTH, TWELFTH, TWENTY_FOURTH = f4(1 / 4), f4(1 / 6), f4(-1 / 6), f4(1 / 12), f4(1 / 24)


@inline
def _b(d0, d1, d2, d3, d4, d5):
    """B' d."""
    r, s, t, u = d4 - FOUR * d2, d3 - FOUR * d1, d4 - d2, TWO * (d3 - d1)
    return FOUR * (d0 - d2) + t, r + s, r - s, t + u, t - u, FOUR * (d1 - d3) + (d5 - d3)


@inline
def _a(m0, m1, m2, m3, m4, m5):
    """A' m."""
    r, s, t, u = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return m0 + r + t, s + TWO * u, r + FOUR * t, s + EIGHT * u + m5


@inline
def _a_transposed(y0, y1, y2, y3):
    """A y."""
    r, s, t, u = y0 + y2, y1 + y3, y0 + FOUR * y2, TWO * (y1 + FOUR * y3)
    return y0, r + s, r - s, t + u, t - u, y3


@inline
def _g(g0, g1, g2):
    """G g."""
    r, s, t, u = MINUS_SIXTH * (g0 + g2), SIXTH * g1, TWENTY_FOURTH * (g0 + FOUR * g2), TWELFTH * g1
    return QUARTER * g0, r - s, r + s, t + u, t - u, g2


@inline
def _g_transposed(p0, p1, p2, p3, p4, p5):
    """G' p."""
    r, s, t, u = p1 + p2, p2 - p1, p3 + p4, p3 - p4
    return TWENTY_FOURTH * (SIX * p0 + (t - FOUR * r)), TWELFTH * (TWO * s + u), SIXTH * (t - r) + p5


@inline
def _line(x, o, step):
    """Six vectors of x, ``step`` apart."""
    return load(x, o), load(x, o + step), load(x, o + 2 * step), load(x, o + 3 * step), load(x, o + 4 * step), load(x, o + 5 * step)


@inline
def _put_six(v, y, o, step):
    a, b, c, d, e, f = v
    put(a, y, o)
    put(b, y, o + step)
    put(c, y, o + 2 * step)
    put(d, y, o + 3 * step)
    put(e, y, o + 4 * step)
    put(f, y, o + 5 * step)


@inline
def _cut_out(x, image, h, w, height, width, C, size, patch):
    """patch (size, size, C) = the pixels from (h, w) on of the image that starts at x[image]; zeros where there are none."""
    for i in range(size):
        for j in range(size):
            inside = 0 <= h + i < height and 0 <= w + j < width
            o = (i * size + j) * C
            first = image + ((h + i) * width + w + j) * C
            for c in range(C):
                patch[o + c] = x[first + c] if inside else f4(0)


@inline
def _input_patch(x, o, row, C, c, scratch, v, to):
    """One vector of channels of one patch."""
    L = lanes(x)
    for j in range(PATCH):
        _put_six(_b(*_line(x, o + j * C + c, row)), scratch, j * L, PATCH * L)
    for i in range(PATCH):
        _put_six(_b(*_line(scratch, i * PATCH * L, L)), v, to + i * PATCH * C + c, C)


@inline
def _share(task, plan):
    """Of the patches those that a task owns: the first, and the one after the last."""
    return plan[0].patches * task // plan[0].tasks, plan[0].patches * (task + 1) // plan[0].tasks


@inline
def _place(t, plan):
    """(image, first pixel row, first pixel column) of a patch."""
    row, column = divmod(plan[0].first + t, plan[0].columns)
    n, row = divmod(row, plan[0].rows)
    return n, row * SIZE - plan[0].top, column * SIZE - plan[0].left


@kernel
def input_patches(x, plan, v):
    """v (patches, 36 * C + GAP) = B' d B of the patches of flat x (N, H, W, C); C is at least a vector's lanes."""
    L = lanes(x)
    for task in prange(plan[0].tasks):
        height, width, C = plan[0].height, plan[0].width, plan[0].channels
        patch, scratch = np.empty(PLACES * C, x.dtype), np.empty(PLACES * L, x.dtype)
        begin, stop = _share(np.int64(task), plan)
        for t in range(begin, stop):
            n, h, w = _place(t, plan)
            image = n * height * width * C
            inside = h >= 0 and w >= 0 and h + PATCH <= height and w + PATCH <= width
            if not inside:
                _cut_out(x, image, h, w, height, width, C, PATCH, patch)
            source, o, row = (x, image + (h * width + w) * C, width * C) if inside else (patch, 0, PATCH * C)
            for c in range(0, C, L):  # the last vector may repeat some channels
                _input_patch(source, o, row, C, min(c, C - L), scratch, v, t * (PLACES * C + GAP))


@inline
def _grad_patch(x, o, row, C, c, scratch, v, to):
    L = lanes(x)
    for j in range(SIZE):
        a, b, d, e = (
            load(x, o + j * C + c),
            load(x, o + row + j * C + c),
            load(x, o + 2 * row + j * C + c),
            load(x, o + 3 * row + j * C + c),
        )
        _put_six(_a_transposed(a, b, d, e), scratch, j * L, SIZE * L)
    for i in range(PATCH):
        s = i * SIZE * L
        a, b, d, e = load(scratch, s), load(scratch, s + L), load(scratch, s + 2 * L), load(scratch, s + 3 * L)
        _put_six(_a_transposed(a, b, d, e), v, to + i * PATCH * C + c, C)


@kernel
def grad_patches(grad, plan, v):
    """v (patches, 36 * C + GAP) = A dy A' of the patches of flat grad (N, OH, OW, C)."""
    L = lanes(grad)
    for task in prange(plan[0].tasks):
        height, width, C = plan[0].height, plan[0].width, plan[0].channels
        patch, scratch = np.empty(SIZE * SIZE * C, grad.dtype), np.empty(PATCH * SIZE * L, grad.dtype)
        begin, stop = _share(np.int64(task), plan)
        for t in range(begin, stop):
            n, h, w = _place(t, plan)
            image = n * height * width * C
            inside = h + SIZE <= height and w + SIZE <= width
            if not inside:
                _cut_out(grad, image, h, w, height, width, C, SIZE, patch)
            source, o, row = (grad, image + (h * width + w) * C, width * C) if inside else (patch, 0, SIZE * C)
            for c in range(0, C, L):
                _grad_patch(source, o, row, C, min(c, C - L), scratch, v, t * (PLACES * C + GAP))


@inline
def _output_patch(m, at, C, c, bias, scratch, y, o, row, high, wide):
    """One vector of channels of one patch, of which ``high`` times ``wide`` pixels exist."""
    L = lanes(m)
    for j in range(PATCH):
        p, q, r, s = _a(*_line(m, at + j * C + c, PATCH * C))
        put(p, scratch, j * L)
        put(q, scratch, (PATCH + j) * L)
        put(r, scratch, (2 * PATCH + j) * L)
        put(s, scratch, (3 * PATCH + j) * L)
    b = load(bias, c)
    for i in range(high):
        p, q, r, s = _a(*_line(scratch, i * PATCH * L, L))
        to = o + i * row + c
        put(p + b, y, to)
        if wide > 1:
            put(q + b, y, to + C)
        if wide > 2:
            put(r + b, y, to + 2 * C)
        if wide > 3:
            put(s + b, y, to + 3 * C)


@kernel
def output_patches(m, bias, plan, activation_code, y):
    """Flat y (N, OH, OW, C) = f(A' m A + bias) for the patches m (patches, 36 * C + GAP).

    f = ACTIVATIONS[activation_code].
    """
    L = lanes(m)
    for task in prange(plan[0].tasks):
        height, width, C = plan[0].height, plan[0].width, plan[0].channels
        scratch = np.empty(SIZE * PATCH * L, m.dtype)
        begin, stop = _share(np.int64(task), plan)
        for t in range(begin, stop):
            n, h, w = _place(t, plan)
            o, high, wide = ((n * height + h) * width + w) * C, min(SIZE, height - h), min(SIZE, width - w)
            for c in range(0, C, L):
                _output_patch(m, t * (PLACES * C + GAP), C, min(c, C - L), bias, scratch, y, o, width * C, high, wide)
            for i in range(high if activation_code else 0):
                activate(y[o + i * width * C : o + (i * width + wide) * C], activation_code)


@inline
def _weight(g, scratch, u, o, step):
    """U of the kernels in g (3, 3, lanes)."""
    L = lanes(g)
    for j in range(3):
        _put_six(_g(load(g, j * L), load(g, (3 + j) * L), load(g, (6 + j) * L)), scratch, j * L, 3 * L)
    for i in range(PATCH):
        _put_six(
            _g(load(scratch, i * 3 * L), load(scratch, (i * 3 + 1) * L), load(scratch, (i * 3 + 2) * L)), u, o + i * PATCH * step, step
        )


@inline
def _slice(blocks, K):
    """How many input channels' weights a task transforms."""
    return min(SLICE, max(FEWEST, blocks * K // TASKS))


@kernel
def weights(w, origin, tap, k_stride, lane_stride, channels, u):
    """u (36, B, K, NR) = G g G' of the kernels g[i, j] = w[origin + (3 i + j) * tap + k * k_stride + channel * lane_stride].

    ``tap`` is -1, from the last tap on, for the input gradient, whose kernels are turned around. A slice goes through scratch: the 36
    places lie so far apart that their lines would drive each other out of the cache.
    """
    _, blocks, K, NR = u.shape
    L = lanes(w)
    flat = u.reshape(-1)
    size = _slice(blocks, K)
    slices = (K + size - 1) // size
    for task in prange(blocks * slices):
        b = task // slices
        first = (task - b * slices) * size
        count, step = min(size, K - first), size * NR + GAP
        for k in range(count):  # kernels lie far apart: the processor would not guess the next one
            for l in range(min(NR, channels - b * NR)):
                prefetch(w, origin + (first + k) * k_stride + (b * NR + l) * lane_stride)
        g, scratch, near = np.zeros(9 * L, w.dtype), np.empty(18 * L, w.dtype), np.empty(PLACES * step, w.dtype)
        for v in range(0, NR, L):
            used = max(0, min(L, channels - b * NR - v))
            for l in range(9 * L if used < L else 0):
                g[l] = 0
            for k in range(count):
                for l in range(used):
                    at = origin + (first + k) * k_stride + (b * NR + v + l) * lane_stride
                    for i in range(9):
                        g[i * L + l] = w[at + i * tap]
                _weight(g, scratch, near, k * NR + v, step)
        _copy_places(near, 0, step, flat, (b * K + first) * NR, blocks * K * NR, count * NR)


@inline
def _copy_places(x, a, x_step, y, b, y_step, count):
    """``count`` elements, a multiple of the lanes, for each place."""
    for place in range(PLACES):
        for i in range(0, count, lanes(x)):
            put(load(x, a + place * x_step + i), y, b + place * y_step + i)


@inline
def _grad_weight(part, o, step, scratch, g):
    """g (3, 3, lanes) = G' p G."""
    L = lanes(part)
    for j in range(PATCH):
        p, q, r = _g_transposed(*_line(part, o + j * step, PATCH * step))
        put(p, scratch, j * L)
        put(q, scratch, (PATCH + j) * L)
        put(r, scratch, (2 * PATCH + j) * L)
    for i in range(3):
        p, q, r = _g_transposed(*_line(scratch, i * PATCH * L, L))
        put(p, g, i * 3 * L)
        put(q, g, (i * 3 + 1) * L)
        put(r, g, (i * 3 + 2) * L)


@kernel
def grad_weights(part, K, channels, w):
    """w (OC, K, 3, 3), flat = G' p G of the sums part (1, 36, B, KP, NR)."""
    _, _, blocks, KP, NR = part.shape
    L = lanes(w)
    flat = part.reshape(-1)
    size = _slice(blocks, K)
    slices = (K + size - 1) // size
    for task in prange(blocks * slices):
        b = task // slices
        first = (task - b * slices) * size
        count, step = min(size, K - first), size * NR + GAP
        g, scratch, near = np.empty(9 * L, w.dtype), np.empty(18 * L, w.dtype), np.empty(PLACES * step, w.dtype)
        _copy_places(flat, (b * KP + first) * NR, blocks * KP * NR, near, 0, step, count * NR)
        for v in range(0, NR, L):
            for k in range(count):
                _grad_weight(near, k * NR + v, step, scratch, g)
                for l in range(min(L, channels - b * NR - v)):
                    at = ((b * NR + v + l) * K + first + k) * 9
                    for i in range(9):
                        w[at + i] = g[i * L + l]
