"""Matrix products with an activation, in one launch."""

from numba import uint32

from ..driver import cuda, kernel
from ..simt.tile import ACROSS, BK, BM, BMP, BN, BNP, LOADS, THREADS, TM, TN, clear, multiply
from .activation import RELU, activate, rectify

U = uint32


@kernel
def matmul(a, a_start, a_row, a_col, b, b_start, b_row, b_col, bias, has_bias, activation, y, M, N, K):
    """y (M, N) = activation(a (M, K) @ b (K, N) + bias (N,)), as ``simt.matmul``."""
    left = cuda.shared.array((2, BK, BMP), y.dtype)
    right = cuda.shared.array((2, BK, BNP), y.dtype)
    acc = cuda.local.array((TM, TN), y.dtype)
    av = cuda.local.array(TM, y.dtype)
    bv = cuda.local.array(TN, y.dtype)
    zero = y.dtype.type(0)
    clear(acc, zero)
    t = U(cuda.threadIdx.x)
    row = U(U(t // U(ACROSS)) * U(TM))
    col = U(U(t % U(ACROSS)) * U(TN))
    m0 = U(U(cuda.blockIdx.x) * U(BM))
    n0 = U(U(cuda.blockIdx.y) * U(BN))
    m = U(m0 + t)
    at = U(a_start + U(m * a_row))
    buf = U(0)
    for step in range(U(U(K + U(BK - 1)) // U(BK))):
        k0 = U(U(step) * U(BK))
        for q in range(BK):
            k = U(k0 + U(q))
            v = zero
            if m < M and k < K:
                v = a[U(at + U(k * a_col))]
            left[buf, q, t] = v
        for q in range(LOADS):
            e = U(t + U(q * THREADS))
            i = U(e // U(BN))
            j = U(e % U(BN))
            if b_row == U(1):  # neighbouring threads read neighbouring memory: along k where that is the contiguous axis
                j = U(e // U(BK))
                i = U(e % U(BK))
            k = U(k0 + i)
            n = U(n0 + j)
            v = zero
            if k < K and n < N:
                v = b[U(b_start + U(U(k * b_row) + U(n * b_col)))]
            right[buf, i, j] = v
        cuda.syncthreads()
        multiply(acc, av, bv, left, right, buf, row, col)
        buf = U(buf ^ U(1))
    for j in range(TN):
        n = U(n0 + U(col + U(j)))
        if n < N:
            shift = zero
            if has_bias:
                shift = bias[n]
            for i in range(TM):
                m = U(m0 + U(row + U(i)))
                if m < M:
                    y[U(U(m * N) + n)] = rectify(activation, acc[i, j] + shift)
    if activation > RELU:
        m = U(m0 + row)
        n = U(n0 + col)
        activate(activation, y, m, M, n, N, U(U(m * N) + n), N)
