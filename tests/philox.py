"""Philox 4x32-10 on Python's integers, as the paper defines it; dropout's masks are held against it."""

from __future__ import annotations

import numpy as np

WORD = 0xFFFFFFFF


def philox(counter: tuple[int, ...], key: tuple[int, int]) -> tuple[int, ...]:
    a, b, c, d = counter
    k0, k1 = key
    for _ in range(10):
        p, q = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (q >> 32) ^ b ^ k0, q & WORD, (p >> 32) ^ d ^ k1, p & WORD
        k0, k1 = (k0 + 0x9E3779B9) & WORD, (k1 + 0xBB67AE85) & WORD
    return a, b, c, d


def dropped(x: np.ndarray, key: np.ndarray, p: float) -> np.ndarray:
    """What dropout makes of x: elements are numbered as they lie in memory, channels last for three to five axes."""
    order = (0, *range(2, x.ndim), 1) if 3 <= x.ndim <= 5 else tuple(range(x.ndim))
    memory = np.array(x.transpose(order), order="C")
    numbers = [n for i in range(-(-x.size // 4)) for n in philox((i, 0, 0, 0), (int(key[0]), int(key[1])))][: x.size]
    scale = x.dtype.type(0 if p == 1 else 1 / (1 - p))
    mask = np.where(np.array(numbers, np.uint64) >= min(round(p * 2**32), WORD), scale, x.dtype.type(0))
    return (memory * mask.reshape(memory.shape).astype(x.dtype)).transpose(np.argsort(order))
