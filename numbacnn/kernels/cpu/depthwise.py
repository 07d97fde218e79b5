"""Depthwise convolution: one channel to a group, so a vector holds neighbouring channels. The tables are those of ``conv``.

There are at least as many channels as a vector has lanes; the last vector may repeat some of them.

Memory sets the pace, and is read a vector of some pixels at a time, in an order that no processor foresees. So kernels ask for what
the next pixels will need, in the order of memory.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .conv import ENTRY, FIRST, LAST, PIXELS
from .launch import inline, kernel
from .pointwise import activate
from .vector import lanes, load, prefetch, put, zeros

u8 = np.uint64  # an index that is never negative: Numba leaves out its test

__all__ = ["BLOCK", "contract", "correlate", "share"]

BLOCK = 32
"""Pixels after which a task of ``correlate`` goes on to the next vector of channels."""


@inline
def _one(x, a, taps, rows, first, last, w, bias, y, o, C):
    """y[o:] = one pixel's window (at x[a]) times the weights."""
    for block in range(0, C, lanes(x)):
        c = min(block, C - lanes(x))
        v = load(bias, c)
        for r in range(first, last):
            v = v + load(x, a + taps[u8(r)] + c) * load(w, rows[u8(r)] * C + c)
        put(v, y, o + c)


@inline
def _six_pixels(x, a0, a1, a2, a3, a4, a5, taps, rows, first, last, w, c, C, v):
    """v + six pixels' windows (at x[a0] ...) times the weights, which they share; one vector of channels from c on."""
    v0, v1, v2, v3, v4, v5 = v, v, v, v, v, v
    for r in range(first, last):
        weight = load(w, rows[u8(r)] * C + c)
        t = taps[u8(r)] + c
        v0, v1, v2 = v0 + load(x, a0 + t) * weight, v1 + load(x, a1 + t) * weight, v2 + load(x, a2 + t) * weight
        v3, v4, v5 = v3 + load(x, a3 + t) * weight, v4 + load(x, a4 + t) * weight, v5 + load(x, a5 + t) * weight
    return v0, v1, v2, v3, v4, v5


@inline
def _six_neighbours(x, a, taps, rows, first, last, w, c, C, v):
    """The same for six pixels side by side, whose taps come in threes side by side: what they see is loaded once."""
    v0, v1, v2, v3, v4, v5 = v, v, v, v, v, v
    for r in range(first, last, 3):
        i, j, k = load(w, rows[u8(r)] * C + c), load(w, rows[u8(r + 1)] * C + c), load(w, rows[u8(r + 2)] * C + c)
        t = a + taps[u8(r)] + c
        x0, x1, x2, x3 = load(x, t), load(x, t + C), load(x, t + 2 * C), load(x, t + 3 * C)
        x4, x5, x6, x7 = load(x, t + 4 * C), load(x, t + 5 * C), load(x, t + 6 * C), load(x, t + 7 * C)
        v0, v1, v2 = v0 + x0 * i + x1 * j + x2 * k, v1 + x1 * i + x2 * j + x3 * k, v2 + x2 * i + x3 * j + x4 * k
        v3, v4, v5 = v3 + x3 * i + x4 * j + x5 * k, v4 + x4 * i + x5 * j + x6 * k, v5 + x5 * i + x6 * j + x7 * k
    return v0, v1, v2, v3, v4, v5


@inline
def _side_by_side(at, p, end, C):
    """How many pixels from p on, before end, lie side by side."""
    count = 1
    while p + count < end and at[u8(p + count)] - at[u8(p)] == count * C:
        count += 1
    return count


@inline
def _in_threes(taps, first, last, C):
    """Whether the taps are threes of pixels side by side."""
    threes = (last - first) % 3 == 0
    for r in range(first, last - 2, 3):
        threes = threes and taps[r + 1] - taps[r] == C and taps[r + 2] - taps[r] == 2 * C
    return threes


@inline
def _six(x, image, at, p, taps, rows, first, last, w, bias, y, out_image, to, C, neighbours):
    """Six table entries from p on."""
    a0, a1, a2 = image + at[u8(p)], image + at[u8(p + 1)], image + at[u8(p + 2)]
    a3, a4, a5 = image + at[u8(p + 3)], image + at[u8(p + 4)], image + at[u8(p + 5)]
    o0, o1, o2 = out_image + to[u8(p)], out_image + to[u8(p + 1)], out_image + to[u8(p + 2)]
    o3, o4, o5 = out_image + to[u8(p + 3)], out_image + to[u8(p + 4)], out_image + to[u8(p + 5)]
    ahead, behind = a5 + (a5 - a4) + taps[u8(last - 1)], o5 + (o5 - o4)
    for block in range(0, C, lanes(x)):
        c = min(block, C - lanes(x))
        b = load(bias, c)
        for line in range(6 * block, 6 * (block + lanes(x)), lanes(x)):
            prefetch(x, ahead + line)
            prefetch(y, behind + line)
        if neighbours:
            v0, v1, v2, v3, v4, v5 = _six_neighbours(x, a0, taps, rows, first, last, w, c, C, b)
        else:
            v0, v1, v2, v3, v4, v5 = _six_pixels(x, a0, a1, a2, a3, a4, a5, taps, rows, first, last, w, c, C, b)
        put(v0, y, o0 + c)
        put(v1, y, o1 + c)
        put(v2, y, o2 + c)
        put(v3, y, o3 + c)
        put(v4, y, o4 + c)
        put(v5, y, o5 + c)


@inline
def _pixels(x, image, at, begin, end, taps, rows, first, last, w, bias, y, out_image, to, C, activation_code):
    """Table entries ``begin`` to ``end`` of one image, whose windows hold runs ``first`` to ``last``."""
    threes, p = _in_threes(taps, first, last, C), begin
    while p < end:
        count = _side_by_side(at, p, min(p + 6, end), C)
        back = p - 6 + count  # at the end of a line, six may repeat some pixels
        if threes and (count == 6 or (back >= begin and _side_by_side(at, back, back + 6, C) == 6)):
            _six(x, image, at, back, taps, rows, first, last, w, bias, y, out_image, to, C, True)
            p += count
        elif end - begin >= 6:
            p = min(p, end - 6)
            _six(x, image, at, p, taps, rows, first, last, w, bias, y, out_image, to, C, False)
            p += 6
        else:
            _one(x, image + at[p], taps, rows, first, last, w, bias, y, out_image + to[p], C)
            p += 1
    if activation_code:
        for p in range(begin, end):
            activate(y[out_image + to[p] : out_image + to[p] + C], activation_code)


@inline
def share(tap_sets, k, s, shares):
    """The table entries [first, stop) of share s of the pixels of tap set k."""
    entry, pixels = tap_sets[k, ENTRY], tap_sets[k, PIXELS]
    return entry + pixels * s // shares, entry + pixels * (s + 1) // shares


@kernel
def contract(x, at, to, tap_sets, taps, rows, plan, w, bias, activation_code, y):
    """y[n, pixel, :] = f(bias + sum over taps of x times w (taps, C)), all flat: the forward pass and the input gradient.

    f = ACTIVATIONS[activation_code].

    A task owns one of ``shares`` of each tap set's pixels of one image.
    """
    C = len(bias)
    for task in prange(plan[0].images * plan[0].shares):
        n = np.int64(task) // plan[0].shares
        s = np.int64(task) - n * plan[0].shares
        image, out_image = n * plan[0].x_image, n * plan[0].y_image
        for k in range(len(tap_sets)):
            begin, end = share(tap_sets, k, s, plan[0].shares)
            first, last = tap_sets[k, FIRST], tap_sets[k, LAST]
            _pixels(x, image, at, begin, end, taps, rows, first, last, w, bias, y, out_image, to, C, activation_code)


@inline
def _tap_sum(x, a, at, grad, g, to, begin, end, v0):
    """v0 + the sum over table entries ``begin`` to ``end`` of x[a + at[p]] times grad[g + to[p]], one vector of channels."""
    v1, v2, v3 = zeros(x), zeros(x), zeros(x)  # four sums, for one alone would wait for each addition
    fours = begin + (end - begin) // 4 * 4
    for p in range(begin, fours, 4):
        v0 = v0 + load(x, a + at[u8(p)]) * load(grad, g + to[u8(p)])
        v1 = v1 + load(x, a + at[u8(p + 1)]) * load(grad, g + to[u8(p + 1)])
        v2 = v2 + load(x, a + at[u8(p + 2)]) * load(grad, g + to[u8(p + 2)])
        v3 = v3 + load(x, a + at[u8(p + 3)]) * load(grad, g + to[u8(p + 3)])
    for p in range(fours, end):
        v0 = v0 + load(x, a + at[u8(p)]) * load(grad, g + to[u8(p)])
    return (v0 + v1) + (v2 + v3)


@inline
def _three_tap_sums(x, a0, a1, a2, at, grad, g, to, begin, end, v0, v1, v2):
    """The same for three taps, which share the gradient."""
    w0, w1, w2 = zeros(x), zeros(x), zeros(x)
    pairs = begin + (end - begin) // 2 * 2
    for p in range(begin, pairs, 2):
        d, e, i, j = load(grad, g + to[u8(p)]), load(grad, g + to[u8(p + 1)]), at[u8(p)], at[u8(p + 1)]
        v0, w0 = v0 + load(x, a0 + i) * d, w0 + load(x, a0 + j) * e
        v1, w1 = v1 + load(x, a1 + i) * d, w1 + load(x, a1 + j) * e
        v2, w2 = v2 + load(x, a2 + i) * d, w2 + load(x, a2 + j) * e
    for p in range(pairs, end):
        d, i = load(grad, g + to[u8(p)]), at[u8(p)]
        v0, v1, v2 = v0 + load(x, a0 + i) * d, v1 + load(x, a1 + i) * d, v2 + load(x, a2 + i) * d
    return v0 + w0, v1 + w1, v2 + w2


@inline
def _nine_sums(x, a, grad, g, count, taps, rows, first, C, sums, o, width):
    """``_tap_sums`` for a 3x3 window over pixels side by side, one vector of channels: what it sees moves along, and is loaded once."""
    t0, t1, t2 = a + taps[u8(first)], a + taps[u8(first + 3)], a + taps[u8(first + 6)]
    o0, o1, o2 = o + rows[u8(first)] * width, o + rows[u8(first + 1)] * width, o + rows[u8(first + 2)] * width
    o3, o4, o5 = o + rows[u8(first + 3)] * width, o + rows[u8(first + 4)] * width, o + rows[u8(first + 5)] * width
    o6, o7, o8 = o + rows[u8(first + 6)] * width, o + rows[u8(first + 7)] * width, o + rows[u8(first + 8)] * width
    v0, v1, v2, v3, v4 = load(sums, o0), load(sums, o1), load(sums, o2), load(sums, o3), load(sums, o4)
    v5, v6, v7, v8 = load(sums, o5), load(sums, o6), load(sums, o7), load(sums, o8)
    x0, x1, y0, y1, z0, z1 = load(x, t0), load(x, t0 + C), load(x, t1), load(x, t1 + C), load(x, t2), load(x, t2 + C)
    for i in range(0, count * C, C):
        d = load(grad, g + i)
        x2, y2, z2 = load(x, t0 + 2 * C + i), load(x, t1 + 2 * C + i), load(x, t2 + 2 * C + i)
        v0, v1, v2 = v0 + x0 * d, v1 + x1 * d, v2 + x2 * d
        v3, v4, v5 = v3 + y0 * d, v4 + y1 * d, v5 + y2 * d
        v6, v7, v8 = v6 + z0 * d, v7 + z1 * d, v8 + z2 * d
        x0, x1, y0, y1, z0, z1 = x1, x2, y1, y2, z1, z2
    put(v0, sums, o0)
    put(v1, sums, o1)
    put(v2, sums, o2)
    put(v3, sums, o3)
    put(v4, sums, o4)
    put(v5, sums, o5)
    put(v6, sums, o6)
    put(v7, sums, o7)
    put(v8, sums, o8)


@inline
def _window_sums(x, image, at, grad, out_image, to, begin, end, taps, rows, first, last, C, sums, s, width):
    """``_tap_sums`` for 3x3 windows that move by one pixel."""
    L, p = lanes(x), begin
    while p < end:
        count = min(_side_by_side(at, p, min(end, p + BLOCK), C), _side_by_side(to, p, min(end, p + BLOCK), C))
        a, g = image + at[u8(p)], out_image + to[u8(p)]
        ahead, behind = a + taps[u8(last - 1)] + count * C, g + count * C
        for v in range(0, width, L):
            for line in range(v * count, (v + L) * count, L):
                prefetch(x, ahead + line)
                prefetch(grad, behind + line)
            c = min(v, C - L)
            _nine_sums(x, a + c, grad, g + c, count, taps, rows, first, C, sums, s + v, width)
        p += count


@inline
def _tap_sums(x, image, at, grad, out_image, to, begin, end, taps, rows, first, last, C, sums, s, width):
    """Row rows[r] of sums (taps, width), from s on, += what tap r of these pixels adds."""
    L = lanes(x)
    threes = first + (last - first) // 3 * 3
    for block in range(begin, end, BLOCK):
        stop = min(end, block + BLOCK)
        for v in range(0, width, L):
            c = min(v, C - L)
            a, g, o = image + c, out_image + c, s + v
            for r in range(first, threes, 3):
                o0, o1, o2 = o + rows[u8(r)] * width, o + rows[u8(r + 1)] * width, o + rows[u8(r + 2)] * width
                a0, a1, a2 = a + taps[u8(r)], a + taps[u8(r + 1)], a + taps[u8(r + 2)]
                old = load(sums, o0), load(sums, o1), load(sums, o2)
                v0, v1, v2 = _three_tap_sums(x, a0, a1, a2, at, grad, g, to, block, stop, *old)
                put(v0, sums, o0)
                put(v1, sums, o1)
                put(v2, sums, o2)
            for r in range(threes, last):
                q = o + rows[u8(r)] * width
                put(_tap_sum(x, a + taps[u8(r)], at, grad, g, to, block, stop, load(sums, q)), sums, q)


@kernel
def correlate(x, at, to, tap_sets, taps, rows, plan, grad, part):
    """part (chunks, taps, V * lanes): each chunk's sums over pixels of x at a tap times flat grad (images, pixels, C).

    The V vectors of channels have places of their own, of which the last holds some channels again. A chunk is a share of each
    tap set's pixels of every so many images; the number of chunks depends on the shapes only: so do the bits.
    """
    chunks, T, width = part.shape
    sums = part.reshape(-1)
    for task in prange(chunks):
        chunk, images, C = np.int64(task), plan[0].images, plan[0].groups * plan[0].y_group
        beside = min(images, chunks)
        shares = chunks // beside
        for i in range(chunk * T * width, (chunk + 1) * T * width):
            sums[i] = 0
        for n in range(chunk // shares, images, beside):
            for k in range(len(tap_sets)):
                begin, end = share(tap_sets, k, chunk % shares, shares)
                first, last = tap_sets[k, FIRST], tap_sets[k, LAST]
                image, out_image, s = n * plan[0].x_image, n * plan[0].y_image, chunk * T * width
                if last - first == 9 and _in_threes(taps, first, last, C) and _side_by_side(at, begin, min(begin + 2, end), C) == 2:
                    _window_sums(x, image, at, grad, out_image, to, begin, end, taps, rows, first, last, C, sums, s, width)
                else:
                    _tap_sums(x, image, at, grad, out_image, to, begin, end, taps, rows, first, last, C, sums, s, width)
