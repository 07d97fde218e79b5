"""Convolutions of few pixels and many channels: the weights are read once, as they lie, and their gradient is written once.

C-ordered weights (OC, C, taps...) are a matrix of OC rows and K = C * taps columns. What the P pixels of the output see of the input is
one of P rows with the same columns (im2col), small beside the weights. So a convolution is three matrix products:

    y = windows @ w'     ``forward``       tile = pixels x output channels, of vectors of columns whose lanes are added up at last
    dx = dy @ w          ``grad_input``    tile = pixels x columns; then the columns of all windows that a pixel lies in are added up
    dw = dy' @ windows   ``grad_weight``   tile = output channels x columns

``conv.contract`` packs weights before, and so moves each of them twice more: of few pixels that takes longer than the products.

``at`` (P, taps) tells where in flat x or dx the channels lie that a pixel sees by a tap, negative where those are padding. Channels
are multiples of CHANNELS. A task owns a slice of channels, of one size, so that no bit depends on the number of threads.

Source: K. Chellapilla, S. Puri and P. Simard, "High performance convolutional neural networks for document processing", 2006.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import DOT, inline, kernel
from .pointwise import activate
from .tile import add_block, columns, inner, opaque, outer, row_count, store_block, zero
from .vector import lanes, prefetch

__all__ = ["CHANNELS", "forward", "grad_input", "grad_weight"]

u8 = np.uint64  # an index that is never negative: Numba leaves out its test

CHANNELS = 16
"""Channels of a task's slice in the gradients: whole vectors on every processor."""

OUTPUTS = 8
"""Output channels of a task's slice in the forward pass."""

SEEN = 64
"""Channels of what a pixel sees that a task copies together."""

PIECE = 512
"""Columns of the weights that stay in the first-level cache while all pixels meet them."""

ROWS = 32
"""Rows of the weights after which ``grad_input`` goes on to its next columns. Meanwhile it asks for as many rows more: they lie too far
apart for the processor to guess."""


@inline
def _see(x, at, p, first, stop, windows):
    """Row p of windows: the columns of the channels first .. stop; zeros in rows after the last pixel."""
    P, taps = at.shape
    row = windows[p]
    for t in range(taps):
        a = at[p, t] if p < P else -1
        if a < 0:
            for c in range(first, stop):
                row[u8(c * taps + t)] = 0
        else:
            for c in range(first, stop):
                row[u8(c * taps + t)] = x[u8(a + c)]


@inline(fastmath=DOT)
def _sum(x, i):
    """The sum of the elements of a vector of x."""
    total = x.dtype.type(0)
    for l in range(lanes(x)):
        total += x[u8(i + l)]
    return total


@inline(owns=True)
def _products(tile, windows, w, first, bias, activation_code, y):
    """Output channels from ``first`` on of all pixels."""
    rows, K = windows.shape
    L, M, N = lanes(w), row_count(tile), columns(tile) // lanes(w)
    seen, weights = windows.reshape(-1), w.reshape(-1)
    sums = np.empty(rows * OUTPUTS * L, y.dtype)
    for k0 in range(0, K, PIECE):
        for p in range(0, rows, M):
            for o in range(0, OUTPUTS, N):
                acc = zero(tile)
                for k in range(k0, min(K, k0 + PIECE), L):
                    acc = inner(acc, seen, p * K + k, K, weights, (first + o) * K + k, K)
                if k0:
                    add_block(acc, sums, (p * OUTPUTS + o) * L, OUTPUTS * L)
                else:
                    store_block(acc, sums, (p * OUTPUTS + o) * L, OUTPUTS * L)
    for p in range(len(y)):
        out = y[p, first : first + OUTPUTS]
        for o in range(OUTPUTS):
            out[o] = _sum(sums, (p * OUTPUTS + o) * L)
            if bias.size:
                out[o] += bias[first + o]
        if activation_code:
            activate(out, activation_code)


@kernel
def forward(tile, x, at, w, windows, bias, activation_code, y):
    """y (P, OC) = f(what the pixels see of flat x, times w (OC, K), + bias), f = ACTIVATIONS[activation_code]; an empty bias is none.

    ``windows`` (rows, K) is room for what they see, in whole tiles.
    """
    rows, K = windows.shape
    slices = (K // at.shape[1] + SEEN - 1) // SEEN
    for task in prange(rows * slices):
        p = task // slices
        c = (task - p * slices) * SEEN
        _see(x, at, p, c, min(K // at.shape[1], c + SEEN), windows)
    for task in prange(len(w) // OUTPUTS):
        _products(tile, windows, w, np.int64(task) * OUTPUTS, bias, activation_code, y)


@inline(owns=True)
def _input_sums(tile, turned, w, at, first, dx):
    """Channels from ``first`` on of all pixels of dx."""
    (OC, rows), (_, K), (P, taps), (pixels, C) = turned.shape, w.shape, at.shape, dx.shape
    L, M, width = lanes(w), row_count(tile), CHANNELS * taps
    grads, weights, out = turned.reshape(-1), w.reshape(-1), dx.reshape(-1)
    sums, near = np.empty(rows * width, dx.dtype), np.arange(M)
    for o0 in range(0, OC, ROWS):
        for p in range(0, rows, M):
            for v in range(0, width, L):
                acc = zero(tile)
                for o in range(o0, min(OC, o0 + ROWS)):
                    prefetch(weights, (o + ROWS) * K + first * taps + v)
                    acc = outer(acc, grads, near, 0, opaque(o * rows + p), weights, o * K + first * taps + v)
                if o0:
                    add_block(acc, sums, p * width + v, width)
                else:
                    store_block(acc, sums, p * width + v, width)
    for i in range(pixels):
        for c in range(CHANNELS):
            out[u8(i * C + first + c)] = 0
    for p in range(P):
        for t in range(taps):
            a, s = at[p, t] + first, p * width + t
            if at[p, t] >= 0:
                for c in range(CHANNELS):
                    out[u8(a + c)] += sums[u8(s + c * taps)]


@kernel
def grad_input(tile, grad, at, w, turned, dx):
    """dx (pixels, C) = the sums over the windows that a pixel lies in of grad (P, OC) times w (OC, K).

    ``turned`` (OC, rows) is room for the gradient with its pixels side by side, in whole tiles.
    """
    (P, OC), rows = grad.shape, turned.shape[1]
    for task in prange(OC // CHANNELS):
        for o in range(task * CHANNELS, (task + 1) * CHANNELS):
            for p in range(P):
                turned[o, p] = grad[p, o]
            for p in range(P, rows):
                turned[o, p] = 0
    for task in prange(dx.shape[1] // CHANNELS):
        _input_sums(tile, turned, w, at, np.int64(task) * CHANNELS, dx)


@inline(owns=True)
def _weight_sums(tile, windows, grad, first, dw):
    """Rows from ``first`` on of dw, as many as the tile has."""
    (P, OC), K = grad.shape, dw.shape[1]
    grads, seen, out = grad.reshape(-1), windows.reshape(-1), dw.reshape(-1)
    near = np.arange(row_count(tile))
    for k in range(0, K, lanes(dw)):
        acc = zero(tile)
        for p in range(P):
            acc = outer(acc, grads, near, 0, opaque(p * OC + first), seen, p * K + k)
        store_block(acc, out, first * K + k, K)


@kernel
def grad_weight(tile, x, at, grad, windows, dw):
    """dw (OC, K) = grad (P, OC)' times what the pixels see of flat x, for which ``windows`` (P, K) is room."""
    rows, K = windows.shape
    slices, M = (K // at.shape[1] + SEEN - 1) // SEEN, row_count(tile)
    for task in prange(rows * slices):
        p = task // slices
        c = (task - p * slices) * SEEN
        _see(x, at, p, c, min(K // at.shape[1], c + SEEN), windows)
    for task in prange(len(dw) // M):
        _weight_sums(tile, windows, grad, np.int64(task) * M, dw)
