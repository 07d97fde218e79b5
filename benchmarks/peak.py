"""What the processor can do: the rate of independent fused multiply-adds on registers."""

from __future__ import annotations

import time

import numpy as np
from numba import prange

from numbacnn.backends.cpu_plan import WIDE
from numbacnn.kernels.cpu.launch import inline, kernel, launch
from numbacnn.kernels.cpu.tile import Tile, columns, outer, store_block, zero


@inline
def _spin(tile, a, at, b, out, o, repeats):
    acc = zero(tile)
    for _ in range(repeats):
        acc = outer(acc, a, at, 0, 0, b, 0)
    store_block(acc, out, o, columns(tile))


@kernel
def _spins(tile, a, at, b, out, repeats, size):
    for t in prange(out.size // size):
        _spin(tile, a, at, b, out, t * size, repeats)


def fma_peak(threads: int) -> float:
    """GFLOP/s of so many threads, the best of ten runs."""
    tile, repeats = Tile(*WIDE), 1_000_000
    size = tile.m * tile.columns
    a, at, b = np.ones(1, np.float32), np.zeros(tile.m, np.int64), np.zeros(tile.columns, np.float32)
    out = np.empty(threads * size, np.float32)
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        launch(_spins, tile, a, at, b, out, repeats, size)
        best = min(best, time.perf_counter() - start)
    return 2e-9 * threads * size * repeats / best
