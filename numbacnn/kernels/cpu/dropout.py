"""Dropout's random numbers: Philox 4x32-10, a counter in, four numbers out, so that every element can be drawn by itself.

J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011. Elements 4 i to 4 i + 3 of memory have the counter i, on the CPU
and on CUDA alike: the mask depends on the key and on the place of an element, not on threads or devices.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import inline, kernel

__all__ = ["dropout", "philox"]

BLOCK = 4096
ROUNDS = 10
M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)  # what the key grows by in a round
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
u4, u8 = np.uint32, np.uint64


@inline
def _round(a, b, c, d, k0, k1):
    """One round of many counters, word by word: a loop that LLVM makes vectors of."""
    for i in range(a.size):
        p, q = M0 * u8(a[i]), M1 * u8(c[i])
        a[i] = u4(q >> HALF) ^ b[i] ^ k0
        b[i] = u4(q)
        c[i] = u4(p >> HALF) ^ d[i] ^ k1
        d[i] = u4(p)


@inline(owns=True)
def philox(first, key, numbers):
    """numbers (4, n): the four words of the counters from ``first`` on, after all rounds; key is two uint32."""
    a, b, c, d = numbers[0], numbers[1], numbers[2], numbers[3]
    for i in range(a.size):
        counter = u8(first) + u8(i)
        a[i], b[i], c[i], d[i] = u4(counter), u4(counter >> HALF), u4(0), u4(0)
    k0, k1 = key[0], key[1]
    for _ in range(ROUNDS):
        _round(a, b, c, d, k0, k1)
        k0, k1 = u4(k0 + W0), u4(k1 + W1)


@inline
def _drop(x, start, word, numbers, threshold, scale, y):
    """Those elements of a block whose numbers are these words of the counters."""
    zero = x.dtype.type(0)
    for i in range(numbers.size):
        at = start + 4 * i + word
        if at < x.size:
            y[at] = x[at] * (scale if numbers[i] >= threshold else zero)


@kernel
def dropout(x, key, factors, y):
    """y = x * scale where an element's number is at least threshold, else x * 0; x and y are flat, key is two uint32.

    ``factors`` holds threshold (of numbers below 2**32) and scale, as float64.
    """
    threshold, scale = u8(factors[0]), x.dtype.type(factors[1])
    for b in prange((x.size + BLOCK - 1) // BLOCK):
        numbers = np.empty((4, BLOCK // 4), np.uint32)
        philox(b * (BLOCK // 4), key, numbers)
        for word in range(4):
            _drop(x, b * BLOCK, word, numbers[word], threshold, scale, y)
