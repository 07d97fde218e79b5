"""Convolution in all directions, and matrix products, as two loops around a register tile, and what these need.

Memory is channels-last, so what one kernel row sees of the input is a contiguous run. Tables say where things lie:

    at[p]      where pixel p's window starts in an image of the input       (stride; before the image, where there is padding)
    taps[r]    where run r of the window starts, relative to that           (kernel rows, dilation)
    rows[r]    which of the packed weights it meets
    to[p]      where pixel p of the output lies in its image

(A plan calls them ``input_offsets``, ``taps``, ``weight_rows`` and ``output_offsets``.) ``plan`` is a plan's numbers, by the names that
they have there: see ``record``.

Pixels near the border see fewer taps, and each pixel of an input gradient only those that the stride brings to it. So pixels are
grouped into tap sets, those that see the same taps, and no zero is multiplied; only where a tap set would fill no tile, the input is
padded before.

``contract``    tile = pixels x output channels, summed over runs and channels: the forward pass, the input gradient (of the output's
                gradient, with other weights), linear layers and matrix products of more than a few rows
``correlate``   tile = (tap, channel) x output channels, summed over pixels: the weight gradient, of a padded input
``fold``        sums over the windows of a row, where ``contract`` made all pixels of a window's row at once

``contract``'s tables of pixels end with entries for a tile that crosses into the next images, and for the last, ragged tile, whose spare
rows point at a pixel that exists. So no input is ever read outside its buffer. ``correlate`` walks along lines of pixels: its ``at``
tells where lines start.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import inline, kernel
from .pointwise import activate
from .tile import add_block, columns, move_row, opaque, outer, row_count, start, store, store_block, zero
from .vector import lanes, load, move_few, put, zeros

__all__ = ["BLOCK", "MANY", "STRIP", "contract", "correlate", "fold", "pack", "pad"]

u8 = np.uint64  # an index that is never negative: Numba leaves out its test

ENTRY, PIXELS, FIRST, LAST, LENGTH = range(5)
"""Columns of ``tap_sets``: the first entry in ``at`` and ``to``, the pixels in an image, the first run and the one after the last, and
the length of these runs."""

SMALL_PACK, SMALL_PRODUCT = 256, 2048
"""Rows of packed weights, and steps of the tile, for which other threads would take longer to come than one takes alone."""

BLOCK = 128
"""Pixels over which ``correlate`` sums in registers, at most: their panel of the output gradient stays in the first-level cache."""

DENSE = 64
"""Channels of an output gradient up to which such a panel need not be copied together."""

STRIP = 8
"""Tiles of (tap, channel) rows that share a panel of the input, at most."""

MANY = 8
"""Blocks of output channels from which on such a panel pays."""

PADDED = 1 << 13
"""Elements that a task pads, about."""

SLICE = 64
"""Rows of packed weights that a task makes, or takes apart."""

FEW, FAR = 16, 64
"""Unpacking takes so many rows at a time, channel by channel where these lie further apart than so many elements; so does packing where
they are CROWDED."""

CROWDED = 512
"""Elements at whose multiples a block's channels fall into the same two sets of the first-level cache: packing takes each by itself."""


@inline
def _pad_rows(x, n, first, stop, rows, size, out, out_rows, width, top, left):
    """Rows first .. stop of image n of flat out."""
    for i in range(first, stop):
        o = (n * out_rows + i) * width
        source = (n * rows + i - top) * size
        inside = size if 0 <= i - top < rows else 0
        for j in range(o, o + left):
            out[u8(j)] = 0
        for j in range(inside):
            out[u8(o + left + j)] = x[u8(source + j)]
        for j in range(o + left + inside, o + width):
            out[u8(j)] = 0


@kernel
def pad(x, rows, size, out, out_rows, width, top, left):
    """Flat x of images with ``rows`` rows of ``size`` elements -> flat out, ``out_rows`` rows of ``width``, zeros around x.

    In out, the rows of x come after ``top`` rows of zeros and their elements after ``left`` zeros.
    """
    shares = max(1, min(out_rows, out_rows * width // PADDED))
    for task in prange(len(out) // (out_rows * width) * shares):
        n = np.int64(task) // shares
        s = np.int64(task) - n * shares
        _pad_rows(x, n, s * out_rows // shares, (s + 1) * out_rows // shares, rows, size, out, out_rows, width, top, left)


@inline
def _fold_line(x, row, plan, line):
    """line (width, channels) = the sums of what the windows of a row add to each of its pixels."""
    windows, step, c, stride, left = plan[0].windows, plan[0].step, plan[0].channels, plan[0].stride, plan[0].left
    first = last = 0  # windows that cover a pixel
    for p in range(plan[0].width):
        while last < windows and last * stride <= p + left:
            last += 1
        while first * stride + plan[0].taps <= p + left:
            first += 1
        begin, jump = (row * windows + first) * step + (p + left - first * stride) * c, step - stride * c
        for i in range(0, c, lanes(x)):  # spare lanes spill into the next pixel, which is written later
            v, o = zeros(x), begin + i
            for _ in range(last - first):
                v = v + load(x, o)
                o += jump
            put(v, line, p * c + i)


@kernel
def fold(x, plan, out):
    """Flat out (images, rows, width, channels): the sums over a row's windows, of some taps each and ``stride`` pixels apart, of flat x.

    x holds, for each row of out and each window, what it adds to its pixels (taps, channels), ``step`` elements from one window to the
    next, and a vector more at its end. The first window starts ``left`` pixels before the row.
    """
    rows, size = plan[0].rows, plan[0].width * plan[0].channels
    shares = max(1, min(rows, rows * size // PADDED))
    for task in prange(len(out) // (rows * size) * shares):
        n = np.int64(task) // shares
        s = np.int64(task) - n * shares
        line = np.empty(size + lanes(x), x.dtype)
        for r in range(n * rows + s * rows // shares, n * rows + (s + 1) * rows // shares):
            _fold_line(x, r, plan, line)
            for i in range(size):
                out[u8(r * size + i)] = line[u8(i)]


@inline
def _slices(offsets):
    """How many tasks share a block of packed weights: one where lanes share weights."""
    parts, K = offsets.shape
    return 1 if parts > 1 else (K + SLICE - 1) // SLICE


@inline
def _slice(task, offsets, blocks):
    """(group, block, first row, row after the last) of a task."""
    slices = _slices(offsets)
    gb = task // slices
    s = task - gb * slices
    g = gb // blocks
    K = offsets.shape[1]
    return g, gb - g * blocks, s * SLICE, K if s == slices - 1 else (s + 1) * SLICE


@inline
def _pack_slice(task, w, plan, offsets, packed):
    """Some rows of one block of packed (G, B, K, NR)."""
    group_stride, lane_stride, channels = plan[0].group_stride, plan[0].lane_stride, plan[0].y_group
    _, blocks, K, NR = packed.shape
    flat = packed.reshape(-1)
    g, b, first, stop = _slice(task, offsets, blocks)
    size, crowded = channels // len(offsets), lane_stride % CROWDED == 0 and len(offsets) == 1
    lane, last = b * NR, min(channels, (b + 1) * NR)
    while lane < last:
        part = lane // size
        count = min(last, (part + 1) * size) - lane
        base, v0 = g * group_stride + (lane - part * size) * lane_stride, lane - b * NR
        for k0 in range(first, stop if crowded else first, FEW):
            for v in range(count):
                for k in range(k0, min(stop, k0 + FEW)):
                    flat[u8(((g * blocks + b) * K + k) * NR + v0 + v)] = w[u8(base + v * lane_stride + offsets[0, k])]
        for k in range(stop if crowded else first, stop):
            to, at = ((g * blocks + b) * K + k) * NR + v0, base + offsets[part, k]
            if offsets[part, k] < 0:
                for v in range(count):
                    flat[u8(to + v)] = 0
            elif lane_stride == 1:
                for v in range(count):
                    flat[u8(to + v)] = w[u8(at + v)]
            else:
                for v in range(count):
                    flat[u8(to + v)] = w[u8(at + v * lane_stride)]
        lane += count
    for k in range(first, stop):
        for v in range(last - b * NR, NR):
            flat[u8(((g * blocks + b) * K + k) * NR + v)] = 0


@kernel
def pack(w, plan, offsets, packed):
    """packed (G, B, K, NR): for each k, NR output channels side by side; zeros past the ``y_group`` channels of a group.

    w is flat; channel v of group g lies at g * group_stride + v * lane_stride + offsets[0, k].

    With more rows of ``offsets`` the channels are so many equal parts that share the same weights, each with offsets of its own; a
    negative offset stands for a zero.
    """
    groups, blocks, _, _ = packed.shape
    for task in prange(groups * blocks * _slices(offsets)):
        _pack_slice(np.int64(task), w, plan, offsets, packed)


@inline
def _accumulate(x, to, o, count):
    """x[to :] += x[o :], ``count`` elements, whole vectors of them."""
    for v in range(0, count, lanes(x)):
        put(load(x, to + v) + load(x, o + v), x, to + v)


@inline
def _unpack_slice(task, sums, plan, offsets, w):
    """The reverse of ``_pack_slice`` for sums (chunks, G, B, KP, NR): the chunks, and lanes of the same weight, added in index order to w.

    Channels that lie far apart in w are written one after the other, a few elements each: all together they would fall into the same few
    sets of the cache.
    """
    group_stride, lane_stride, channels = plan[0].group_stride, plan[0].lane_stride, plan[0].y_group
    chunks, groups, blocks, KP, NR = sums.shape
    flat = sums.reshape(-1)
    g, b, first, stop = _slice(task, offsets, blocks)
    size = channels // len(offsets)
    for k0 in range(first, stop, FEW):
        k1 = min(stop, k0 + FEW)
        at = ((g * blocks + b) * KP + k0) * NR
        for chunk in range(1, chunks):
            _accumulate(flat, at, at + chunk * groups * blocks * KP * NR, (k1 - k0) * NR)
        lane, last = b * NR, min(channels, (b + 1) * NR)
        while lane < last:
            part = lane // size
            count = min(last, (part + 1) * size) - lane
            to, source = g * group_stride + (lane - part * size) * lane_stride, at + lane - b * NR
            if lane_stride > FAR:
                for v in range(count):
                    for k in range(k0, k1):
                        if offsets[part, k] >= 0:
                            w[u8(to + v * lane_stride + offsets[part, k])] += flat[u8(source + (k - k0) * NR + v)]
            else:
                for k in range(k0, k1):
                    if offsets[part, k] >= 0:
                        for v in range(count):
                            w[u8(to + v * lane_stride + offsets[part, k])] += flat[u8(source + (k - k0) * NR + v)]
            lane += count


@inline
def _sum_runs(tile, acc, x, at, t, q, taps, rows, first, last, length, packed, b):
    """acc[r, :] += runs ``first`` to ``last`` of the window of tile row r (at x[at[t + r] + q]) times the packed weights from b on."""
    r, left = first, 0
    a = w = 0
    for _ in range((last - first) * length):
        if left == 0:
            a, w, left = q + taps[u8(r)], b + rows[u8(r)] * columns(tile), length
            r += 1
        acc = outer(acc, x, at, t, a, packed, w)
        a += 1
        w += columns(tile)
        left -= 1
    return acc


@inline
def _store_part(tile, acc, scratch, activation_code, rows, count, y, to, t, o):
    """Store only so many rows and elements of them, after an activation."""
    L = lanes(scratch)
    store_block(acc, scratch, 0, count)  # a row's spare elements are overwritten by the next row
    whole = (rows * count + 4 * L - 1) // (4 * L) * 4 * L  # a rest would be activated one by one
    activate(scratch[: min(whole, scratch.size)], activation_code)
    for r in range(rows):
        s, d = r * count, to[u8(t + r)] + o
        if count >= L:
            for v in range(0, count, L):  # the last vector may repeat some elements
                i = min(v, count - L)
                put(load(scratch, s + i), y, d + i)
        else:
            move_few(scratch, s, y, d, count)


@inline
def _bias_row(bias, first, used, NR, row):
    """row (NR,) = ``used`` elements of bias from ``first`` on, if there is one, over and over; zeros elsewhere."""
    for v in range(NR):
        row[v] = 0
    if bias.size:
        i = first % bias.size
        for v in range(used):
            row[v] = bias[i]
            i = i + 1 if i + 1 < bias.size else 0


@inline
def _any_nan(scratch, count):
    """Whether one of so many elements is NaN; without a branch, so that LLVM makes vectors of it."""
    found = np.int32(0)
    for i in range(count):
        found |= np.int32(scratch[i] != scratch[i])
    return found != np.int32(0)


@inline
def _share(tile, task, plan, pixels):
    """Of a tap set with so many pixels an image, those of all images that a task owns: the first, and the one after the last."""
    M, total, s = row_count(tile), plan[0].images * pixels, task // plan[0].channel_tasks
    tiles = (total + M - 1) // M
    return tiles * s // plan[0].pixel_tasks * M, min(tiles * (s + 1) // plan[0].pixel_tasks * M, total)


@inline
def _blocks(task, plan, packed):
    """Of the blocks of all groups' output channels those that a task owns: the first, and the one after the last."""
    blocks, tasks = packed.shape[0] * packed.shape[1], plan[0].channel_tasks
    split = task - task // tasks * tasks
    return split * blocks // tasks, (split + 1) * blocks // tasks


@inline
def _without_added_taps(x, a, tap_sets, k, taps, rows, offsets, part, packed, b, v, total):
    """total + what channel v of block b sees of a window (at x[a]) by its own taps; those that a superpixel adds have negative offsets."""
    for r in range(tap_sets[k, FIRST], tap_sets[k, LAST]):
        for i in range(tap_sets[k, LENGTH]):
            row = rows[r] + i
            if offsets[part, row] >= 0:
                total += x[a + taps[r] + i] * packed[0, b, row, v]
    return total


@inline(owns=True)
def _repair_task(tile, task, x, at, to, tap_sets, taps, rows, plan, offsets, packed, bias, activation_code, y):
    """The NaNs of one of ``contract``'s tasks once more, without the taps that superpixels add: 0 * inf is NaN, and no tap of theirs.

    Superpixels have one group. Apart from the loop that is in a hurry.
    """
    sizes, NR = plan[0], packed.shape[3]
    bias_row = np.empty(NR, y.dtype)
    block0, block1 = _blocks(task, plan, packed)
    for b in range(block0, block1):
        used = min(NR, sizes.y_group - b * NR)
        _bias_row(bias, b * NR, used, NR, bias_row)
        for k in range(len(tap_sets)):
            entry, pixels = tap_sets[k, ENTRY], tap_sets[k, PIXELS]
            begin, stop = _share(tile, task, plan, pixels)
            for p in range(begin, stop):
                n = p // pixels
                t = entry + p - n * pixels
                a, o = n * sizes.x_image + at[t], n * sizes.y_image + to[t] + b * NR
                for v in range(used):
                    if y[o + v] != y[o + v]:
                        part = (b * NR + v) // (sizes.y_group // len(offsets))
                        y[o + v] = _without_added_taps(x, a, tap_sets, k, taps, rows, offsets, part, packed, b, v, bias_row[v])
                        activate(y[o + v : o + v + 1], activation_code)


@inline(owns=True)
def _contract_task(tile, task, x, at, to, tap_sets, taps, rows, plan, offsets, packed, bias, activation_code, y):
    """One of ``contract``'s tasks; whether it has results that ``_repair_task`` must compute once more."""
    sizes, y_group, may_overstore = plan[0], plan[0].y_group, plan[0].may_overstore
    _, blocks, K, NR = packed.shape
    M = row_count(tile)
    weights = packed.reshape(-1)
    scratch = np.empty(M * NR, y.dtype)
    bias_row = np.empty(NR, y.dtype)
    added, spoilt = len(offsets) > 1 and offsets[0, K - 1] < 0, False  # whether superpixels add taps, which turn an infinity into NaN
    block0, block1 = _blocks(task, plan, packed)
    # from the last block to the first: what a ragged last block spills is the next pixel's first block, written later
    for gb in range(block1 - 1, block0 - 1, -1):
        g = gb // blocks
        channel = (gb - g * blocks) * NR
        used = min(NR, y_group - channel)
        _bias_row(bias, g * y_group + channel, used, NR, bias_row)
        for k in range(len(tap_sets)):
            entry, pixels = tap_sets[k, ENTRY], tap_sets[k, PIXELS]
            first, last, length = tap_sets[k, FIRST], tap_sets[k, LAST], tap_sets[k, LENGTH]
            begin, stop = _share(tile, task, plan, pixels)
            for p in range(begin, stop, M):
                n = p // pixels
                t = entry + (p - n * pixels if p + M <= sizes.images * pixels else pixels + M)
                acc = start(tile, bias_row, 0)
                q = n * sizes.x_image + g * sizes.x_group
                acc = _sum_runs(tile, acc, x, at, t, q, taps, rows, first, last, length, weights, gb * K * NR)
                o = n * sizes.y_image + g * y_group + channel
                behind = (stop - p - M) * y_group  # elements of this task that are still to be written
                if activation_code == 0 and not added and behind >= 0 and (used == NR or (may_overstore and behind >= NR - used)):
                    store(acc, y, to, t, o)
                else:
                    _store_part(tile, acc, scratch, activation_code, min(M, stop - p), used, y, to, t, o)
                    spoilt |= added and _any_nan(scratch, min(M, stop - p) * used)
    return spoilt


@kernel
def contract(tile, x, at, to, tap_sets, taps, rows, plan, offsets, w, packed, bias, activation_code, y):
    """y[n, pixel, g, :] = f(bias + sum over runs and channels of x times packed (G, B, K, NR)), x and y are flat.

    f = ACTIVATIONS[activation_code]. First flat w is packed, unless it is empty: then packed holds it already. An empty bias is none; one
    of fewer channels is repeated.

    The columns of ``tap_sets`` are ENTRY to LENGTH. ``plan``: the ``images``; ``x_image`` and ``y_image``, the elements of an image;
    ``x_group`` and ``y_group``, the channels of a group; the tile's ``steps`` in all; for ``pack`` ``group_stride`` and ``lane_stride``.

    A task owns one of ``pixel_tasks`` shares of each tap set's tiles, of all images, and one of ``channel_tasks`` shares of the blocks of
    output channels. ``may_overstore``: what a store wider than the channels spills is a gap of y, or is written later by the same task.
    """
    if w.size:
        blocks = packed.shape[0] * packed.shape[1]
        if blocks * packed.shape[2] < SMALL_PACK:
            for task in range(blocks * _slices(offsets)):
                _pack_slice(task, w, plan, offsets, packed)
        else:
            for task in prange(blocks * _slices(offsets)):
                _pack_slice(np.int64(task), w, plan, offsets, packed)
    tasks = plan[0].pixel_tasks * plan[0].channel_tasks
    if plan[0].steps < SMALL_PRODUCT:
        for task in range(tasks):
            if _contract_task(tile, task, x, at, to, tap_sets, taps, rows, plan, offsets, packed, bias, activation_code, y):
                _repair_task(tile, task, x, at, to, tap_sets, taps, rows, plan, offsets, packed, bias, activation_code, y)
    else:
        for task in prange(tasks):
            if _contract_task(tile, np.int64(task), x, at, to, tap_sets, taps, rows, plan, offsets, packed, bias, activation_code, y):
                _repair_task(tile, np.int64(task), x, at, to, tap_sets, taps, rows, plan, offsets, packed, bias, activation_code, y)


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
def _lines(at, line, step, first, stop, origin, x_image, starts, lengths):
    """Cut the pixels first .. stop of consecutive images where a line ends: starts in x, and lengths; returns how many pieces.

    Lines of ``line`` pixels, ``step`` apart, begin at the entries of ``at`` after the ``origin`` of each image.
    """
    pieces, p = 0, first
    while p < stop:
        row = p // line
        n, column = row // len(at), p - row * line
        starts[pieces] = origin + n * x_image + at[row - n * len(at)] + column * step
        lengths[pieces] = min(line - column, stop - p)
        p += lengths[pieces]
        pieces += 1
    return pieces


@inline
def _input_panel(tile, x, starts, lengths, pieces, step, rows, k, panel, to):
    """What the pixels of so many pieces of lines see at the offsets rows[k : k + M], pixel after pixel, in panel from ``to`` on."""
    M = row_count(tile)
    contiguous = True
    for r in range(M):  # each of them: the repeated rows at the end may span as much by chance
        contiguous = contiguous and rows[k + r] - rows[k] == r
    for i in range(pieces):
        first = starts[i]
        for _ in range(lengths[i]):
            if contiguous:
                move_row(tile, x, first + rows[k], panel, to)
            else:
                for r in range(M):
                    panel[to + r] = x[first + rows[k + r]]
            first += step
            to += M


@inline(owns=True)
def _on_a_line(size, like):
    """An array that starts on a cache line, so that vectors do not straddle two."""
    room = np.empty(size + 64 // like.itemsize, like.dtype)
    return room[(-room.ctypes.data % 64) // like.itemsize :]


@kernel
def correlate(tile, x, at, rows, plan, offsets, grad, part, fresh, w):
    """part (chunks, G, B, KP, NR): sums over each chunk's pixels of x[window of the pixel, rows[k]] * grad (images, pixels, G * y_group).

    At last the chunks' sums are added in index order, and unpacked into flat w, which holds zeros, unless that is empty.

    The windows of an image's pixels begin in lines of ``line`` pixels, ``step`` apart, the lines at the entries of ``at``. ``plan``: the
    ``images``; ``x_image``, the elements of an image of x; ``x_group`` and ``y_group``, the channels of a group of x and of the gradient;
    ``y_pixel``, the elements from a pixel of the gradient to the next; ``group_stride`` and ``lane_stride`` as for ``pack``.

    ``rows`` holds the offsets of (tap, channel) in a window, the last run repeated to KP, those of whole tiles. A task owns, of one group
    and chunk, one of ``channel_tasks`` shares of the blocks and every ``tap_tasks``-th strip of ``strip`` tiles, and sums over ``block``
    pixels in registers. The number of chunks depends on the shapes only: so do the bits. Where not ``fresh``, the sums go on from what
    part holds.

    ``gather``: what a strip's pixels see is copied together first, because pixels lie far apart in x, at distances that fall into the
    same few sets of the cache. An output gradient of few channels is read in place, into the next pixel's channels too, whose sums
    nobody wants; of many channels, each block's panel is copied together.
    """
    chunks, groups, blocks, KP, NR = part.shape
    M = row_count(tile)
    total = plan[0].images * len(at) * plan[0].line
    sums = part.reshape(-1)
    sums_of_pixels = (total + plan[0].block - 1) // plan[0].block
    for task in prange(chunks * groups * plan[0].channel_tasks * plan[0].tap_tasks):
        x_image, x_group, y_group, width = plan[0].x_image, plan[0].x_group, plan[0].y_group, plan[0].y_pixel
        line, step, block, strip, gather = plan[0].line, plan[0].step, plan[0].block, plan[0].strip, plan[0].gather
        channel_tasks, tap_tasks = plan[0].channel_tasks, plan[0].tap_tasks
        cgs = task // tap_tasks
        split = task - cgs * tap_tasks
        cg = cgs // channel_tasks
        chunk = cg // groups
        g = cg - chunk * groups
        share = cgs - cg * channel_tasks
        block0, block1 = share * blocks // channel_tasks, (share + 1) * blocks // channel_tasks
        grads = _on_a_line((block1 - block0) * block * NR, part)
        window = np.empty(strip * block * M, part.dtype)
        starts, lengths = np.empty(block, np.int64), np.empty(block, np.int64)
        whole, near = np.zeros(1, np.int64), np.empty(M, np.int64)
        for r in range(M):
            near[r] = r
        begin = chunk * sums_of_pixels // chunks * block
        for first in range(begin, min(total, (chunk + 1) * sums_of_pixels // chunks * block), block):
            count = min(block, total - first)
            pieces = _lines(at, line, step, first, first + count, g * x_group, x_image, starts, lengths)
            # choices as numbers, not as branches inside the loops: LLVM would make a copy of the loops for each
            in_place = width <= DENSE and (first + count) * width + NR <= len(grad)
            source, grad_step, origin = (grad, width, first * width + g * y_group) if in_place else (grads, NR, 0)
            block_step, copied = (NR, block0) if in_place else (block * NR, block1)
            seen, seen_at, seen_rows, seen_step = (window, whole, near, M) if gather else (x, starts, rows, step)
            gathered, seen_pieces = (pieces, 1) if gather else (0, pieces)
            for b in range(block0, copied):
                o = g * y_group + b * NR
                _grad_panel(grad, first, first + count, width, o, min(NR, y_group - b * NR), NR, grads, (b - block0) * block * NR)
            for k0 in range(split * strip * M, KP, tap_tasks * strip * M):
                tiles = min(strip, (KP - k0) // M)
                for i in range(tiles):
                    _input_panel(tile, x, starts, lengths, gathered, step, rows, k0 + i * M, window, i * count * M)
                for b in range(block0, block1):
                    o = origin + (b if in_place else b - block0) * block_step
                    for i in range(tiles):
                        k = k0 + i * M
                        t, shift = (0, i * count * M) if gather else (k, 0)
                        acc = zero(tile)
                        d = o
                        for piece in range(seen_pieces):
                            q = seen_at[piece] + shift
                            for _ in range(count if gather else lengths[piece]):
                                acc = outer(acc, seen, seen_rows, t, opaque(q), source, d)
                                q += seen_step
                                d += grad_step
                        to = ((cg * blocks + b) * KP + k) * NR
                        if fresh and first == begin:
                            store_block(acc, sums, to, NR)
                        else:
                            add_block(acc, sums, to, NR)
    if w.size:
        for task in prange(groups * blocks * _slices(offsets)):
            _unpack_slice(np.int64(task), part, plan, offsets, w)
