"""Convolution in groups of a few channels: a vector holds whole groups, side by side. The tables are those of ``conv``.

For every member j of a group there is a row of weights: what channel j of the group adds to each of its output channels. One shuffle
brings that channel to the group's lanes. There are at least as many channels as a vector has lanes; the last vector may repeat some.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .conv import FIRST, LAST
from .depthwise import share
from .launch import inline, kernel
from .pointwise import activate
from .tile import add_block, add_groups, outer_groups, row_count, start, store, zero
from .vector import lanes

u8 = np.uint64  # an index that is never negative: Numba leaves out its test

__all__ = ["BLOCK", "contract", "correlate"]

BLOCK = 32
"""Pixels after which a task of ``correlate`` goes on to its next vector of channels."""


@inline
def _pixels(tile, group, x, image, at, t, taps, rows, first, last, w, bias, y, out_image, to, C):
    """The tile's pixels from table entry t on, whose windows hold taps ``first`` to ``last``: all channels."""
    for block in range(0, C, lanes(x)):
        c = min(block, C - lanes(x))
        acc = start(tile, bias, c)
        for r in range(first, last):
            acc = outer_groups(acc, group, x, at, t, image + c + taps[u8(r)], w, rows[u8(r)] * C + c, C)
        store(acc, y, to, t, out_image + c)


@kernel
def contract(tile, single, group, x, at, to, tap_sets, taps, rows, plan, w, bias, activation_code, y):
    """y[n, pixel, :] = f(bias + sum over taps and members of x times w (taps * members, C)), all flat: forward and the input gradient.

    f = ACTIVATIONS[activation_code]; ``single`` is a tile of one pixel.

    A task owns one of ``shares`` of each tap set's pixels of one image.
    """
    C, M = len(bias), row_count(tile)
    for task in prange(plan[0].images * plan[0].shares):
        n = np.int64(task) // plan[0].shares
        s = np.int64(task) - n * plan[0].shares
        image, out_image = n * plan[0].x_image, n * plan[0].y_image
        for k in range(len(tap_sets)):
            begin, end = share(tap_sets, k, s, plan[0].shares)
            first, last = tap_sets[k, FIRST], tap_sets[k, LAST]
            whole = begin + (end - begin) // M * M
            for t in range(begin, whole, M):
                _pixels(tile, group, x, image, at, t, taps, rows, first, last, w, bias, y, out_image, to, C)
            for t in range(whole, end):
                _pixels(single, group, x, image, at, t, taps, rows, first, last, w, bias, y, out_image, to, C)
            if activation_code:
                for p in range(begin, end):
                    activate(y[out_image + to[p] : out_image + to[p] + C], activation_code)


@inline
def _sums(group, x, a, at, grad, g, to, begin, end, sums, o, width):
    """Rows of sums from o on, ``width`` apart, += members of x[a + at[p]] times grad[g + to[p]], over table entries p."""
    even, odd = zero(group), zero(group)  # one alone would wait for each addition
    pairs = begin + (end - begin) // 2 * 2
    for p in range(begin, pairs, 2):
        even = add_groups(even, x, a + at[u8(p)], grad, g + to[u8(p)])
        odd = add_groups(odd, x, a + at[u8(p + 1)], grad, g + to[u8(p + 1)])
    for p in range(pairs, end):
        even = add_groups(even, x, a + at[u8(p)], grad, g + to[u8(p)])
    add_block(even, sums, o, width)
    add_block(odd, sums, o, width)


@kernel
def correlate(group, x, at, to, tap_sets, taps, rows, plan, grad, part):
    """part (chunks, taps * members, V * lanes): each chunk's sums over pixels of x at a tap times flat grad (images, pixels, C).

    The V vectors of channels have places of their own, of which the last holds some channels again. A chunk is a share of each
    tap set's pixels of every so many images; the number of chunks depends on the shapes only: so do the bits.
    """
    chunks, T, width = part.shape
    sums = part.reshape(-1)
    L = lanes(x)
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
                for block in range(begin, end, BLOCK):
                    stop = min(end, block + BLOCK)
                    for v in range(0, width, L):
                        c = min(v, C - L)
                        for r in range(first, last):
                            a, o = n * plan[0].x_image + c + taps[u8(r)], (chunk * T + rows[u8(r)]) * width + v
                            _sums(group, x, a, at, grad, n * plan[0].y_image + c, to, block, stop, sums, o, width)
