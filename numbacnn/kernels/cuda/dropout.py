"""Dropout's random numbers: Philox 4x32-10, the numbers of ``kernels.cpu.dropout``. One thread draws one counter, four elements."""

from numba import uint32, uint64

from .driver import cuda

M0, M1 = uint64(0xD2511F53), uint64(0xCD9E8D57)
W0, W1 = uint64(0x9E3779B9), uint64(0xBB67AE85)
LOW, HALF = uint64(0xFFFFFFFF), uint64(32)
ROUNDS = 10


@cuda.jit
def dropout(x, key, threshold, scale, y, groups):
    """y = x * scale where an element's number is at least threshold, else x * 0; x and y are flat, key is two uint32."""
    group = cuda.grid(1)
    if group >= groups:
        return
    a, b, c, d = uint64(group), uint64(0), uint64(0), uint64(0)
    k0, k1 = uint64(key[0]), uint64(key[1])
    for _ in range(ROUNDS):
        p, q = M0 * a, M1 * c
        a, b, c, d = (q >> HALF) ^ b ^ k0, q & LOW, (p >> HALF) ^ d ^ k1, p & LOW
        k0, k1 = (k0 + W0) & LOW, (k1 + W1) & LOW
    zero, kept = x.dtype.type(0), x.dtype.type(scale)
    first = 4 * group
    for word in range(4):
        i = first + word
        if i < x.size:
            number = a if word == 0 else (b if word == 1 else (c if word == 2 else d))
            y[i] = x[i] * (kept if uint32(number) >= threshold else zero)
