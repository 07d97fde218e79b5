"""Convolution as an implicit matrix product, in one launch: weights are read where they lie, activations are applied on the way out.

The sums are those of ``simt.conv``, which says how they go, in the same order.
"""

from numba import int32, uint32

from ..driver import cuda, kernel
from ..simt.conv import source
from ..simt.tile import ACROSS, BK, BM, BMP, BN, BNP, LOADS, THREADS, TM, TN, clear, multiply
from .activation import RELU, activate, rectify

I = int32
U = uint32


@kernel
def gather(
    x, w, w_start, w_group, w_row, w_column, w_in, w_out, bias, has_bias, activation, y, H, W, C, OH, OW, OC, KH, KW, CI, CO,
    scale_h, scale_w, shift_h, shift_w, step_h, step_w, divisor_h, divisor_w, M,
):  # fmt: skip
    """x (N, H, W, C), w (G, KH, KW, CI, CO), bias (OC,) -> y (N, OH, OW, OC); C = G * CI, OC = G * CO, M = N * OH * OW.

    ``w_in`` is the distance in memory from the weights of one input channel to those of the next, and so on.
    """
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
    g = U(cuda.blockIdx.z)
    m = U(m0 + t)  # the pixel that this thread loads
    s = U(m // OW)
    n = U(s // OH)
    top = I(I(U(U(s - U(n * OH)) * scale_h)) + shift_h)
    edge = I(I(U(U(m - U(s * OW)) * scale_w)) + shift_w)
    steps = U(U(CI + U(BK - 1)) // U(BK))
    buf = U(0)
    for kh in range(KH):
        h = source(top, kh, step_h, divisor_h, H)
        for kw in range(KW):
            iw = source(edge, kw, step_w, divisor_w, W)
            valid = m < M and h < H and iw < W
            pixel = U(U(U(U(U(U(n * H) + h) * W) + iw) * C) + U(g * CI))
            weight = U(U(U(w_start + U(g * w_group)) + U(U(kh) * w_row)) + U(U(kw) * w_column))
            for step in range(steps):
                c0 = U(U(step) * U(BK))
                for q in range(BK):
                    c = U(c0 + U(q))
                    v = zero
                    if valid and c < CI:
                        v = x[U(pixel + c)]
                    left[buf, q, t] = v
                for q in range(LOADS):
                    e = U(t + U(q * THREADS))
                    i = U(e // U(BN))
                    j = U(e % U(BN))
                    if w_in == U(1):  # neighbouring threads read neighbouring memory, as in a matrix product
                        j = U(e // U(BK))
                        i = U(e % U(BK))
                    c = U(c0 + i)
                    o = U(n0 + j)
                    v = zero
                    if c < CI and o < CO:
                        v = w[U(weight + U(U(c * w_in) + U(o * w_out)))]
                    right[buf, i, j] = v
                cuda.syncthreads()
                multiply(acc, av, bv, left, right, buf, row, col)
                buf = U(buf ^ U(1))
    for j in range(TN):
        o = U(n0 + U(col + U(j)))
        if o < CO:
            o = U(U(g * CO) + o)
            b = zero
            if has_bias:
                b = bias[o]
            for i in range(TM):
                m = U(m0 + U(row + U(i)))
                if m < M:
                    y[U(U(m * OC) + o)] = rectify(activation, acc[i, j] + b)
    if activation > RELU:
        m = U(m0 + row)
        o = U(n0 + col)
        activate(activation, y, m, M, o, CO, U(U(m * OC) + U(U(g * CO) + o)), OC)


@kernel
def grad_weight(x, grad, y, H, W, C, OH, OW, OC, KH, KW, CI, CO, SH, SW, PH, PW, DH, DW, G, lines, chunk):
    """x (N, H, W, C), grad (N, OH, OW, OC) -> y (slices, KH, KW, CI, OC); slice s sums the output lines (n, oh) from s * chunk."""
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
    z = U(cuda.blockIdx.z)
    part = U(z // G)
    g = U(z - U(part * G))
    M = U(U(KH * KW) * CI)
    m = U(m0 + t)  # the weight (kh, kw, c) whose inputs this thread loads
    tap = U(m // CI)
    kh = U(tap // KW)
    c = U(U(g * CI) + U(m - U(tap * CI)))
    top = I(I(U(kh * DH)) - I(PH))
    edge = I(I(U(U(tap - U(kh * KW)) * DW)) - I(PW))
    first = U(part * chunk)
    steps = U(U(OW + U(BK - 1)) // U(BK))
    buf = U(0)
    last = U(first + chunk)
    if last > lines:
        last = lines
    for line in range(first, last):
        n = U(U(line) // OH)
        h = I(I(U(U(U(line) - U(n * OH)) * SH)) + top)
        valid = m < M and h >= 0 and h < I(H)
        image = U(U(U(n * H) + U(h)) * W)
        for step in range(steps):
            ow0 = U(U(step) * U(BK))
            for q in range(BK):
                ow = U(ow0 + U(q))
                iw = I(I(U(ow * SW)) + edge)
                v = zero
                if valid and ow < OW and iw >= 0 and iw < I(W):
                    v = x[U(U(U(image + U(iw)) * C) + c)]
                left[buf, q, t] = v
            for q in range(LOADS):
                e = U(t + U(q * THREADS))
                i = U(e // U(BN))
                j = U(e % U(BN))
                ow = U(ow0 + i)
                o = U(n0 + j)
                v = zero
                if ow < OW and o < CO:
                    v = grad[U(U(U(U(U(line) * OW) + ow) * OC) + U(U(g * CO) + o))]
                right[buf, i, j] = v
            cuda.syncthreads()
            multiply(acc, av, bv, left, right, buf, row, col)
            buf = U(buf ^ U(1))
    for i in range(TM):
        m = U(m0 + U(row + U(i)))
        if m < M:
            for j in range(TN):
                o = U(n0 + U(col + U(j)))
                if o < CO:
                    y[U(U(U(U(part * M) + m) * OC) + U(U(g * CO) + o))] = acc[i, j]
