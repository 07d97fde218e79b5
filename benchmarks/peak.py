"""What the machine can do: ``python -m benchmarks.peak --threads 2``.

The rate of independent fused multiply-adds on registers, and the bandwidth of memory by STREAM's triad (J. McCalpin, 1995).
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable

import numpy as np
from numba import prange

from numbacnn.kernels.cpu.launch import inline, kernel, launch
from numbacnn.kernels.cpu.pointwise import block, blocks
from numbacnn.testing.peak import fma_peak
from numbacnn.testing.timing import timed


@inline
def _triad_block(a, b, c, s):
    for i in range(a.size):
        a[i] = b[i] + s * c[i]


@kernel
def _triad(a, b, c, s):
    for k in prange(blocks(a)):
        _triad_block(block(a, k), block(b, k), block(c, k), s)


@inline
def _add_block(a, b, s):
    for i in range(a.size):
        a[i] += s * b[i]


@kernel
def _add(a, b, s):
    for k in prange(blocks(a)):
        _add_block(block(a, k), block(b, k), s)


def bandwidth() -> float:
    """GB/s of arrays larger than the cache: the best of a triad, an addition in place, and NumPy's copy (by one thread).

    As STREAM counts: what is read and what is written, not that a line may be fetched before it is written; in place it need not be.
    """
    a, b, c = (np.full(1 << 25, value, np.float32) for value in (0, 1, 2))
    tiny = np.float32(1e-3)
    triad = _best(lambda: launch(_triad, a, b, c, tiny))
    add = _best(lambda: launch(_add, a, b, tiny))
    copy = _best(lambda: np.copyto(a, b))
    return 1e-9 * a.nbytes * max(3 / triad, 3 / add, 2 / copy)


def _best(run: Callable[[], object]) -> float:
    """Seconds of the quickest of thirty runs."""
    return min(timed(run, 0.0, least=30))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    threads = parser.parse_args().threads
    print(json.dumps({"gflops": fma_peak(threads), "gb_s": bandwidth()}))
