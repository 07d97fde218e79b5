"""Sums over pixels, in an order that the shape alone decides; where the largest and the smallest numbers are."""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from .launch import inline, kernel
from .pointwise import derive
from .record import record
from .vector import lanes, load, put

__all__ = ["NO_WINDOW", "channel_sum", "channel_sum_scratch", "lanes_of_whole_pixels", "place"]

WIDE = 64  # elements: so many sums run side by side, at least; more would lie where their addresses look like those of waiting stores
LONG = 1024  # elements: no more run side by side for the sake of whole vectors
VECTOR = 16
MADE = 1 << 15  # elements that are made before they are summed, about: they stay in the second-level cache
SLICE = 1 << 14  # elements of a slice, at least
SLICES = 32
NO_WINDOW = record(kh=0, kw=0, line=0)
u8 = np.uint64  # an index that Numba does not test for being negative


def lanes_of_whole_pixels(channels: int) -> int:
    """How many elements of channels-last memory are taken at a time: whole pixels, and whole vectors if there are not too many then."""
    step = math.lcm(channels, VECTOR)
    step = step if step <= LONG else channels
    return -(-WIDE // step) * step


def channel_sum_scratch(pixels: int, channels: int) -> tuple[int, int]:
    """The shape (slices, width) of ``channel_sum``'s scratch."""
    width = lanes_of_whole_pixels(channels)
    slices = min(SLICES, pixels * channels // SLICE, pixels * channels // (16 * width))
    return max(1, slices), width


@inline
def _spread(grad, row, kh, kw, channels, line, means, spread):
    """spread (kh, line) = what the elements of kh lines get of row ``row`` of grad, the gradient of the means of kh x kw windows."""
    count = line // kw
    divisor = grad.dtype.type(kh * kw)
    for i in range(min(count + lanes(means), grad.size - row * count)):  # a few more: a rest would be divided one by one
        means[u8(i)] = grad[u8(row * count + i)] / divisor
    for k in range(0, count, channels):
        for j in range(kw):
            for c in range(0, channels, lanes(means)):  # spare lanes spill into what is written next
                put(load(means, k + c), spread, k * kw + j * channels + c)
    for i in range(1, kh):
        for j in range(0, line, lanes(means)):
            put(load(spread, j), spread, i * line + j)


@inline
def _fill_gradient_until(grad, y, activation_code, window, row, means, spread, x, channels, o, wanted, end):
    """Go on making flat x from o to ``wanted`` at least; returns how far it went, and the row of grad that is spread."""
    kh, kw, line = window[0].kh, window[0].kw, window[0].line
    source, first, stop = grad, o, wanted  # one call of ``derive``: LLVM would make a copy for each
    if kh:
        at = o // (kh * line)
        if at != row:
            row = at
            _spread(grad, row, kh, kw, channels, line, means, spread)
        source, first, stop = spread, o - at * kh * line, min(end, (at + 1) * kh * line)
    if activation_code:
        derive(source[first : first + stop - o], y[o:stop], activation_code, x[o:stop])
    elif kh:
        for i in range(stop - o):
            x[u8(o + i)] = source[u8(first + i)]
    return stop, row


@inline
def _add_four(x, o, step, acc):
    """acc += four rows of x, ``step`` apart from o on: fewer loads and stores of acc. Vectors, for LLVM would ask if the two overlap."""
    whole = acc.size // lanes(x) * lanes(x)
    for j in range(0, whole, lanes(x)):
        a, b, c, d = load(x, o + j), load(x, o + step + j), load(x, o + 2 * step + j), load(x, o + 3 * step + j)
        put(load(acc, j) + ((a + b) + (c + d)), acc, j)
    for j in range(whole, acc.size):
        a, b, c, d = x[u8(o + j)], x[u8(o + step + j)], x[u8(o + 2 * step + j)], x[u8(o + 3 * step + j)]
        acc[j] += (a + b) + (c + d)


@inline(owns=True)
def _sum_slice(grad, y, activation_code, window, x, part, s):
    """Row s of part (slices, width) = the sums of slice s of x (P, C), width after width; before, x is made."""
    pixels, channels = x.shape
    slices, width = part.shape
    flat, total, acc = x.reshape(x.size), part[s], np.empty(width, x.dtype)
    step = (pixels // slices + 1) * channels
    o, end = min(x.size, s * step), min(x.size, (s + 1) * step)
    kh, line = window[0].kh, window[0].line
    means, spread = np.empty(line + lanes(x), x.dtype), np.empty(kh * line + lanes(x), x.dtype)
    made, row, chunk = o, -1, max(1, MADE // (4 * width)) * 4 * width
    for j in range(width):
        total[j] = 0
    while o < end:
        stop = min(end, o + chunk)
        for j in range(width):
            acc[j] = 0
        while activation_code + kh and made < stop:
            made, row = _fill_gradient_until(grad, y, activation_code, window, row, means, spread, flat, channels, made, stop, end)
        quarter = (stop - o) // (4 * width) * width
        for i in range(o, o + quarter, width):  # four streams, each from its beginning to its end, as processors expect them
            _add_four(flat, i, quarter, acc)
        for i in range(o + 4 * quarter, stop, width):
            for j in range(min(width, stop - i)):
                acc[j] += flat[u8(i + j)]
        for j in range(width):  # a chunk's sums by themselves: long sums in float32 would lose digits
            total[j] += acc[j]
        o = stop


@inline
def _fold(part, out):
    """out (C,) = the sum of part (slices, pixels * C), slice after slice and pixel after pixel."""
    total = part[0]
    for s in range(1, part.shape[0]):
        row = part[s]
        for j in range(total.size):
            total[j] += row[j]
    for c in range(out.size):
        out[c] = total[c]
        for j in range(c + out.size, total.size, out.size):
            out[c] += total[j]


@kernel
def channel_sum(grad, y, activation_code, window, x, part, out):
    """out (C,) = the sum over the pixels of x (P, C); part is scratch, shaped by ``channel_sum_scratch(P, C)``.

    Where activation_code is not 0, x is first filled: with the gradient of what ACTIVATIONS[activation_code] made y of, from flat grad
    and y. With a ``window`` other than NO_WINDOW (``kh``, ``kw``, and the elements of a ``line`` of x), x is always filled: grad is then
    that of the means of such windows, side by side, of y.
    """
    for s in prange(part.shape[0]):
        _sum_slice(grad, y, activation_code, window, x, part, np.int64(s))
    _fold(part, out)


@inline
def _place(x, first, count, step, least):
    best, at = x[u8(first)], 0
    for i in range(1, count):
        if best != best:
            break
        value = x[u8(first + i * step)]
        if (value < best if least else value > best) or value != value:
            best, at = value, i
    return at


@kernel
def place(x, count, step, least, out):
    """out (outer, step) = where the largest of flat x (outer, count, step) are, or where ``least`` the smallest: the first; NaN wins."""
    for r in prange(out.size):
        line = np.int64(r) // step
        out[r] = _place(x, line * count * step + np.int64(r) - line * step, count, step, least)
