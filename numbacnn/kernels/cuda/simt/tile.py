"""The tile that a thread block computes in the dense kernels: BM x BN results as a sum over k, BK at a time through shared memory.

Each of the THREADS threads owns TM x TN results, loads one row of the left tile (hence THREADS == BM) and strides through the right one.
Two buffers in turn need one barrier per step: who writes a buffer again has passed the barrier behind which all had finished reading it.
"""

from numba import uint32

from ..driver import cuda

U = uint32

BM, BN, BK = 128, 64, 8
TM = TN = 8
THREADS = (BM // TM) * (BN // TN)
BMP, BNP = BM + 4, BN + 4  # padded rows: threads that store to one column of k meet no bank twice
LOADS = BN * BK // THREADS  # elements of the right tile per thread
ACROSS = BN // TN  # threads side by side


@cuda.jit(device=True, inline=True)
def rank_one(acc, a, b, left, right, buf, k, row, col):
    for i in range(TM):
        a[i] = left[buf, k, U(row + U(i))]
    for j in range(TN):
        b[j] = right[buf, k, U(col + U(j))]
    for i in range(TM):
        for j in range(TN):
            acc[i, j] += a[i] * b[j]


@cuda.jit(device=True, inline=True)
def multiply(acc, a, b, left, right, buf, row, col):
    """acc += left[buf].T @ right[buf], restricted to this thread's rows and columns. Written out: NVVM would not unroll it (BK is 8)."""
    rank_one(acc, a, b, left, right, buf, U(0), row, col)
    rank_one(acc, a, b, left, right, buf, U(1), row, col)
    rank_one(acc, a, b, left, right, buf, U(2), row, col)
    rank_one(acc, a, b, left, right, buf, U(3), row, col)
    rank_one(acc, a, b, left, right, buf, U(4), row, col)
    rank_one(acc, a, b, left, right, buf, U(5), row, col)
    rank_one(acc, a, b, left, right, buf, U(6), row, col)
    rank_one(acc, a, b, left, right, buf, U(7), row, col)


@cuda.jit(device=True, inline=True)
def clear(acc, zero):
    for i in range(TM):
        for j in range(TN):
            acc[i, j] = zero
