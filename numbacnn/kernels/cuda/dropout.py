"""Dropout's random numbers: Philox 4x32-10, the numbers of ``kernels.cpu.dropout``. One thread draws one counter, for four elements."""

from numba import uint32, uint64

from .driver import cuda, kernel

M0, M1 = uint64(0xD2511F53), uint64(0xCD9E8D57)
W0, W1 = uint64(0x9E3779B9), uint64(0xBB67AE85)
LOW, HALF = uint64(0xFFFFFFFF), uint64(32)
ROUNDS = 10
U = uint32


@cuda.jit(device=True, inline=True)
def draw(group, low, high):
    """The numbers of a group of four elements; ``low`` and ``high`` are the key."""
    a, b, c, d = uint64(group), uint64(0), uint64(0), uint64(0)
    k0, k1 = uint64(low), uint64(high)
    for _ in range(ROUNDS):
        p, q = M0 * a, M1 * c
        a, b, c, d = (q >> HALF) ^ b ^ k0, q & LOW, (p >> HALF) ^ d ^ k1, p & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    return a, b, c, d


@kernel
def dropout(x, low, high, threshold, scale, y, size, groups):
    """y = x * scale where an element's number is at least threshold, else x * 0; x and y are flat."""
    group = U(cuda.grid(1))
    if group >= groups:
        return
    a, b, c, d = draw(group, low, high)
    i = U(U(4) * group)
    zero = x.dtype.type(0)
    y[i] = x[i] * (scale if U(a) >= threshold else zero)
    if U(i + U(1)) < size:
        y[U(i + U(1))] = x[U(i + U(1))] * (scale if U(b) >= threshold else zero)
    if U(i + U(2)) < size:
        y[U(i + U(2))] = x[U(i + U(2))] * (scale if U(c) >= threshold else zero)
    if U(i + U(3)) < size:
        y[U(i + U(3))] = x[U(i + U(3))] * (scale if U(d) >= threshold else zero)
