"""Convolution in all directions, and every matrix product, as two loops around a register tile.

Memory is channels-last, so what one kernel row sees of the input is a contiguous run. Tables say where things lie:

    at[p]      where pixel p's window starts in an image of the input       (stride; before the image, where there is padding)
    taps[r]    where run r of the window starts, relative to that           (kernel rows, dilation)
    rows[r]    which of the packed weights it meets
    to[p]      where pixel p of the output lies in its image

Pixels near the border see fewer taps, and each pixel of an input gradient only those that the stride brings to it. So pixels come in
classes that see the same taps: padding is never copied, and no zero is multiplied.

``contract``    tile = pixels x output channels, summed over runs and channels: the forward pass, the input gradient (of the output's
                gradient, with other weights), linear layers and matrix products
``correlate``   tile = (tap, channel) x output channels, summed over pixels: the weight gradient, of a padded input

The tables of pixels end with entries for a tile that crosses into the next images, and for the last, ragged tile, whose spare rows
point at a pixel that exists. So no input is ever read outside its buffer.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .elementwise import activate
from .launch import inline, kernel
from .tile import add_block, columns, outer, row_count, start, store, store_block, zero
from .vector import lanes, load, put

__all__ = ["BLOCK", "MANY", "STRIP", "contract", "correlate", "pack", "pad", "unpack"]

u8 = np.uint64  # an index that is never negative: Numba leaves out its test

BLOCK = 128
"""Pixels over which ``correlate`` sums in registers: their panel of the output gradient stays in the first-level cache."""

DENSE = 64
"""Channels of an output gradient up to which such a panel need not be copied together."""

STRIP = 8
"""Tiles of (tap, channel) rows that share a panel of the input."""

MANY = 8
"""Blocks of output channels from which on such a panel pays."""


@inline
def _pad_row(x, first, size, out, o, left, width):
    """``width`` elements of flat out from o on: zeros, with ``size`` elements of flat x from ``first`` after the ``left`` first ones."""
    for i in range(o, o + left):
        out[i] = 0
    for i in range(size):
        out[o + left + i] = x[first + i]
    for i in range(o + left + size, o + width):
        out[i] = 0


@kernel
def pad(x, rows, size, out, out_rows, width, top, left):
    """Flat x of images with ``rows`` rows of ``size`` elements -> flat out, ``out_rows`` rows of ``width``, zeros around x.

    In out, the rows of x come after ``top`` rows of zeros and their elements after ``left`` zeros.
    """
    for task in prange(len(out) // width):
        n = task // out_rows
        i = task - n * out_rows - top
        inside = 0 <= i < rows
        _pad_row(x, (n * rows + i) * size, size if inside else 0, out, task * width, left, width)


@kernel
def pack(w, offsets, group_stride, lane_stride, channels, packed):
    """packed (G, B, K, NR): for each k, NR output channels side by side; zeros past the ``channels`` of a group.

    w is flat; channel v of group g lies at g * group_stride + v * lane_stride + offsets[k].
    """
    groups, blocks, K, NR = packed.shape
    step = 256
    slices = (K + step - 1) // step
    for task in prange(groups * blocks * slices):
        gb = task // slices
        s = task - gb * slices
        g = gb // blocks
        b = gb - g * blocks
        used = min(NR, channels - b * NR)
        base = g * group_stride + b * NR * lane_stride
        for k in range(s * step, min(K, (s + 1) * step)):
            row = packed[g, b, k]
            at = base + offsets[k]
            for v in range(used):
                row[v] = w[at + v * lane_stride]
            for v in range(used, NR):
                row[v] = 0


@kernel
def unpack(part, offsets, group_stride, lane_stride, channels, w):
    """The reverse of ``pack`` for sums: part (chunks, G, B, K, NR) -> flat w, the chunks added in index order."""
    chunks, groups, blocks, _, NR = part.shape
    step = 256
    slices = (len(offsets) + step - 1) // step
    for task in prange(groups * blocks * slices):
        gb = task // slices
        s = task - gb * slices
        g = gb // blocks
        b = gb - g * blocks
        base = g * group_stride + b * NR * lane_stride
        for k in range(s * step, min(len(offsets), (s + 1) * step)):
            first = part[0, g, b, k]
            for chunk in range(1, chunks):
                other = part[chunk, g, b, k]
                for v in range(NR):
                    first[v] += other[v]
            for v in range(min(NR, channels - b * NR)):
                w[base + offsets[k] + v * lane_stride] = first[v]


@inline
def _sum_runs(tile, acc, x, at, t, q, taps, rows, first, last, length, packed, b):
    """acc[r, :] += runs ``first`` to ``last`` of the window of tile row r (at x[at[t + r] + q]) times the packed weights from b on."""
    for r in range(first, last):
        a = q + taps[u8(r)]
        w = b + rows[u8(r)] * columns(tile)
        for c in range(length):
            acc = outer(acc, x, at, t, a + c, packed, w)
            w += columns(tile)
    return acc


@inline
def _store_part(tile, acc, scratch, kind, rows, count, y, to, t, o):
    """Store only so many rows and elements of them, after an activation."""
    store_block(acc, scratch, 0, columns(tile))
    activate(scratch, kind)
    L = lanes(scratch)
    for r in range(rows):
        s, d = r * columns(tile), to[u8(t + r)] + o
        if count < L:
            for v in range(count):
                y[u8(d + v)] = scratch[u8(s + v)]
        else:
            for v in range(0, count, L):  # the last vector may repeat some elements
                i = min(v, count - L)
                put(load(scratch, s + i), y, d + i)


@kernel
def contract(
    tile, x, at, to, classes, taps, rows, packed, bias, y, images, x_image, y_image, x_group, y_group, shares, splits, dense, kind
):  # fmt: skip
    """y[n, pixel, g, :] = f(bias + sum over runs and channels of x times packed (G, B, K, NR)), f = ACTIVATIONS[kind]; x and y are flat.

    Row i of ``classes``: a class's first entry in ``at`` and ``to``, its pixels in an image, its first run and the one after its
    last, and their length. ``x_image`` and ``y_image`` are the sizes of an image, ``x_group`` and ``y_group`` the channels of a group.

    A task owns a share of each class's tiles, of all images, and one of ``splits`` shares of the blocks of output channels.
    ``dense``: pixels follow each other in y and no other task writes between them, so that a store wider than the channels may spill
    onto what is written next.
    """
    groups, blocks, K, NR = packed.shape
    M = row_count(tile)
    weights = packed.reshape(-1)
    for task in prange(shares * splits):
        s = task // splits
        split = task - s * splits
        scratch = np.empty(M * NR, y.dtype)
        # from the last block to the first: what a ragged last block spills is the next pixel's first block, written later
        for gb in range((split + 1) * groups * blocks // splits - 1, split * groups * blocks // splits - 1, -1):
            g = gb // blocks
            channel = (gb - g * blocks) * NR
            used = min(NR, y_group - channel)
            for k in range(len(classes)):
                entry, pixels = classes[k, 0], classes[k, 1]
                total = images * pixels
                tiles = (total + M - 1) // M
                stop = min(tiles * (s + 1) // shares * M, total)
                for p in range(tiles * s // shares * M, stop, M):
                    n = p // pixels
                    t = entry + (p - n * pixels if p + M <= total else pixels + M)
                    acc = start(tile, bias, gb * NR)
                    q = n * x_image + g * x_group
                    acc = _sum_runs(tile, acc, x, at, t, q, taps, rows, classes[k, 2], classes[k, 3], classes[k, 4], weights, gb * K * NR)
                    o = n * y_image + g * y_group + channel
                    behind = (stop - p - M) * y_group  # elements of this task that are still to be written
                    if kind == 0 and behind >= 0 and (used == NR or (dense and behind >= NR - used)):
                        store(acc, y, to, t, o)
                    else:
                        _store_part(tile, acc, scratch, kind, min(M, stop - p), used, y, to, t, o)


@inline
def _grad_panel(grad, first, stop, width, o, used, NR, panel, at):
    """Pixels first .. stop of the output gradient, channels from o on, side by side in panel from ``at``; zeros in the spare lanes."""
    for p in range(first, stop):
        out = panel[at : at + NR]
        channels = grad[p * width + o : p * width + o + used]
        for v in range(used):
            out[v] = channels[v]
        for v in range(used, NR):
            out[v] = 0
        at += NR


@inline
def _input_panel(x, starts, count, shift, rows, k, size, panel):
    """What ``count`` pixels see at the offsets rows[k : k + size], pixel after pixel."""
    contiguous = True
    for r in range(size):  # each of them: the repeated rows at the end may span as much by chance
        contiguous = contiguous and rows[k + r] - rows[k] == r
    for p in range(count):
        first = starts[p] + shift
        out = panel[p * size : (p + 1) * size]
        if contiguous:
            seen = x[first + rows[k] : first + rows[k] + size]
            for r in range(size):
                out[r] = seen[r]
        else:
            for r in range(size):
                out[r] = x[first + rows[k + r]]


@inline
def _starts(at, first, stop, pixels, x_image, starts):
    """starts[p - first] = where the window of pixel p begins in x, for pixels of consecutive images."""
    n = first // pixels
    t = first - n * pixels
    for p in range(stop - first):
        starts[p] = n * x_image + at[t]
        t += 1
        if t == pixels:
            t = 0
            n += 1


@inline
def _count(x, step):
    """0, step, 2 * step ..."""
    for i in range(len(x)):
        x[i] = i * step


@kernel
def correlate(tile, x, at, rows, grad, part, images, x_image, x_group, y_group, strip, shares, splits, fresh):
    """part (chunks, G, B, KP, NR): sums over each chunk's pixels of x[window of the pixel, rows[k]] * grad (images, pixels, G * y_group).

    ``rows`` holds the offsets of (tap, channel) in a window, repeated at its end to KP, a multiple of ``strip``. A task owns, of one
    group and chunk, one of ``shares`` shares of the blocks and every ``splits``-th strip. The number of chunks depends on the shapes
    only: so do the bits. Where not ``fresh``, the sums go on from what part holds.

    A strip of several tiles' rows meets many output channels: what its pixels see is copied together first, because pixels lie far
    apart in x, at distances that fall into the same few sets of the cache. An output gradient of few channels is read in place,
    into the next pixel's channels too, whose sums nobody wants; of many channels, each block's panel is copied together.
    """
    chunks, groups, blocks, KP, NR = part.shape
    M = row_count(tile)
    pixels = len(at) - 2 * M
    total = images * pixels
    width = groups * y_group
    sums = part.reshape(-1)
    gather = strip > M
    for task in prange(chunks * groups * shares * splits):
        cgs = task // splits
        split = task - cgs * splits
        cg = cgs // shares
        chunk = cg // groups
        g = cg - chunk * groups
        block0, block1 = (cgs - cg * shares) * blocks // shares, (cgs - cg * shares + 1) * blocks // shares
        grads = np.empty((block1 - block0) * BLOCK * NR, part.dtype)
        window = np.empty(BLOCK * strip, part.dtype)
        starts, steps, near = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.int64), np.empty(strip, np.int64)
        _count(steps, strip)
        _count(near, 1)
        for first in range(chunk * BLOCK, total, chunks * BLOCK):
            count = min(BLOCK, total - first)
            _starts(at, first, first + count, pixels, x_image, starts)
            # choices as numbers, not as branches inside the loops: LLVM would make a copy of the loops for each
            in_place = width <= DENSE and (first + count) * width + NR <= len(grad)
            source, step, origin = (grad, width, first * width + g * y_group) if in_place else (grads, NR, 0)
            block_step, copied = (NR, block0) if in_place else (BLOCK * NR, block1)
            seen, seen_at, offsets = (window, steps, near) if gather else (x, starts, rows)
            shift, gathered = (0, count) if gather else (g * x_group, 0)
            for b in range(block0, copied):
                o = g * y_group + b * NR
                _grad_panel(grad, first, first + count, width, o, min(NR, y_group - b * NR), NR, grads, (b - block0) * BLOCK * NR)
            for strip0 in range(split * strip, KP, splits * strip):
                _input_panel(x, starts, gathered, g * x_group, rows, strip0, strip, window)
                for b in range(block0, block1):
                    o = origin + (b if in_place else b - block0) * block_step
                    for k in range(strip0, strip0 + strip, M):
                        t = k - strip0 if gather else k
                        acc = zero(tile)
                        for p in range(count):
                            acc = outer(acc, seen, offsets, t, seen_at[p] + shift, source, o + p * step)
                        to = ((cg * blocks + b) * KP + k) * NR
                        if fresh and first == chunk * BLOCK:
                            store_block(acc, sums, to, NR)
                        else:
                            add_block(acc, sums, to, NR)
