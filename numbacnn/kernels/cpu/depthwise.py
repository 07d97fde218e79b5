"""Depthwise convolution: one channel to a group, so a vector holds neighbouring channels. The tables are those of ``conv``.

There are at least as many channels as a vector has lanes; the last vector may repeat some of them. ``spare`` is how many entries
the two tails of a table have each.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .elementwise import activate
from .launch import inline, kernel
from .vector import lanes, load, put, zeros

u8 = np.uint64  # an index that is never negative: Numba leaves out its test

__all__ = ["BLOCK", "contract", "correlate"]

BLOCK = 32
"""Pixels after which a task of ``correlate`` goes on to its next block."""


@inline
def _pixel(x, a, taps, rows, first, last, w, c, C, v):
    """v + one pixel's window (at x[a]) times the weights, one vector of channels from c on."""
    for r in range(first, last):
        v = v + load(x, a + taps[u8(r)] + c) * load(w, rows[u8(r)] * C + c)
    return v


@inline
def _four_pixels(x, a0, a1, a2, a3, taps, rows, first, last, w, c, C, v):
    """The same for four pixels, which share the weights."""
    v0, v1, v2, v3 = v, v, v, v
    for r in range(first, last):
        weight = load(w, rows[u8(r)] * C + c)
        t = taps[u8(r)] + c
        v0 = v0 + load(x, a0 + t) * weight
        v1 = v1 + load(x, a1 + t) * weight
        v2 = v2 + load(x, a2 + t) * weight
        v3 = v3 + load(x, a3 + t) * weight
    return v0, v1, v2, v3


@inline
def _pixels(x, image, at, begin, end, taps, rows, first, last, w, bias, y, out_image, to, C, kind):
    """Table entries ``begin`` to ``end`` of one image, whose windows hold runs ``first`` to ``last``."""
    L = lanes(x)
    fours = begin + (end - begin) // 4 * 4
    for p in range(begin, fours, 4):
        a0, a1, a2, a3 = image + at[p], image + at[p + 1], image + at[p + 2], image + at[p + 3]
        o0, o1, o2, o3 = out_image + to[p], out_image + to[p + 1], out_image + to[p + 2], out_image + to[p + 3]
        for block in range(0, C, L):
            c = min(block, C - L)
            v0, v1, v2, v3 = _four_pixels(x, a0, a1, a2, a3, taps, rows, first, last, w, c, C, load(bias, c))
            put(v0, y, o0 + c)
            put(v1, y, o1 + c)
            put(v2, y, o2 + c)
            put(v3, y, o3 + c)
    for p in range(fours, end):
        for block in range(0, C, L):
            c = min(block, C - L)
            put(_pixel(x, image + at[p], taps, rows, first, last, w, c, C, load(bias, c)), y, out_image + to[p] + c)
    if kind:
        for p in range(begin, end):
            activate(y[out_image + to[p] : out_image + to[p] + C], kind)


@kernel
def contract(x, at, to, classes, taps, rows, w, bias, y, images, x_image, y_image, shares, kind):
    """y[n, pixel, :] = f(bias + sum over taps of x times w (taps, C)), all flat: the forward pass and the input gradient.

    f = ACTIVATIONS[kind].

    A task owns a share of each class's pixels of one image.
    """
    C = len(bias)
    for task in prange(images * shares):
        n = task // shares
        s = task - n * shares
        for k in range(len(classes)):
            entry, pixels, first, last = classes[k, 0], classes[k, 1], classes[k, 2], classes[k, 3]
            begin, end = entry + pixels * s // shares, entry + pixels * (s + 1) // shares
            _pixels(x, n * x_image, at, begin, end, taps, rows, first, last, w, bias, y, n * y_image, to, C, kind)


@inline
def _tap_sum(x, a, tap, at, grad, g, first, count, C, v0):
    """v0 + the sum over ``count`` pixels of x at a tap times grad, one vector of channels."""
    v1, v2, v3 = zeros(x), zeros(x), zeros(x)  # four sums, for one alone would wait for each addition
    for p in range(first, first + count - 3, 4):
        v0 = v0 + load(x, a + at[u8(p)] + tap) * load(grad, g + p * C)
        v1 = v1 + load(x, a + at[u8(p + 1)] + tap) * load(grad, g + (p + 1) * C)
        v2 = v2 + load(x, a + at[u8(p + 2)] + tap) * load(grad, g + (p + 2) * C)
        v3 = v3 + load(x, a + at[u8(p + 3)] + tap) * load(grad, g + (p + 3) * C)
    for p in range(first + count // 4 * 4, first + count):
        v0 = v0 + load(x, a + at[u8(p)] + tap) * load(grad, g + p * C)
    return (v0 + v1) + (v2 + v3)


@kernel
def correlate(x, at, taps, grad, part, images, x_image, C, spare):
    """part (chunks, taps, V * lanes): each chunk's sums over pixels of x at a tap times flat grad (images, pixels, C).

    The V vectors of channels have places of their own, of which the last holds some channels again. Chunks deal out the blocks of
    pixels; their number depends on the shapes only: so do the bits.
    """
    chunks, T, width = part.shape
    L = lanes(x)
    pixels = len(at) - 2 * spare
    blocks = (pixels + BLOCK - 1) // BLOCK
    sums = part.reshape(-1)
    for chunk in prange(chunks):
        for i in range(T * width):
            sums[chunk * T * width + i] = 0
        for block in range(chunk, images * blocks, chunks):
            n = block // blocks
            first = (block - n * blocks) * BLOCK
            count = min(BLOCK, pixels - first)
            for v in range(0, width, L):
                c = min(v, C - L)
                for r in range(T):
                    s = (chunk * T + r) * width + v
                    total = _tap_sum(x, n * x_image + c, taps[r], at, grad, n * pixels * C + c, first, count, C, load(sums, s))
                    put(total, sums, s)
