"""The rate of independent fused multiply-adds on registers: what no kernel for this processor can exceed."""

from __future__ import annotations

import numpy as np
from numba import prange

from ..backends.cpu.plan.tiles import WIDE
from ..kernels.cpu.launch import SMALL, inline, kernel, launch
from ..kernels.cpu.tile import Tile, columns, outer, store_block, zero
from .timing import timed

__all__ = ["fma_peak"]


@inline
def _spin(tile, a, at, b, out, o, repeats):  # type: ignore[no-untyped-def]
    acc = zero(tile)
    for i in range(repeats):
        acc = outer(acc, a, at, 0, i & 1, b, 0)  # of one number LLVM would load all rows before the loop, and spill them
    store_block(acc, out, o, columns(tile))


@kernel
def _spins(tile, a, at, b, out, repeats, size):  # type: ignore[no-untyped-def]
    for t in prange(out.size // size):
        _spin(tile, a, at, b, out, t * size, repeats)


def fma_peak(threads: int) -> float:
    """GFLOP/s of so many threads in float32, the best of thirty runs."""
    tile, repeats = Tile(*WIDE), 1_000_000
    size = tile.m * tile.columns
    a, at = np.ones(2, np.float32), np.zeros(tile.m, np.int64)
    b = np.zeros(max(SMALL, tile.columns), np.float32)  # so long that no threading layer takes it for tiny work
    out = np.empty(threads * size, np.float32)
    return 2e-9 * threads * size * repeats / min(timed(lambda: launch(_spins, tile, a, at, b, out, repeats, size), 0.0, least=30))
