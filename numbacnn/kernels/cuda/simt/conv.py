"""Convolution as an implicit matrix product over channels-last memory.

Forward and input gradient are one kernel: both gather, for each target pixel and each tap of the window, one source pixel's channels.
Along an axis the source of target ``t`` at tap ``k`` is ``(t * scale + shift + k * step) / divisor``, where that is a whole number
inside the source:

    forward         scale = stride    shift = -padding    step = dilation     divisor = 1
    input gradient  scale = 1         shift = padding     step = -dilation    divisor = stride

The weight gradient sums over pixels; slices of them are summed by separate blocks and added in order by ``add_slices``.
"""

from numba import int32, uint32

from ..driver import cuda, kernel
from .tile import ACROSS, BK, BM, BMP, BN, BNP, LOADS, THREADS, TM, TN, clear, multiply

I = int32
U = uint32


@cuda.jit(device=True, inline=True)
def source(first, k, step, divisor, size):
    """The source coordinate of tap ``k``; ``size`` or more where there is none."""
    t = I(first + I(I(k) * I(step)))
    s = U(U(t) // divisor)
    if t < 0 or U(s * divisor) != U(t):
        s = size
    return s


@kernel
def gather(
    x, w, bias, has_bias, y, H, W, C, OH, OW, OC, KH, KW, CI, CO,
    scale_h, scale_w, shift_h, shift_w, step_h, step_w, divisor_h, divisor_w, M,
):  # fmt: skip
    """x (N, H, W, C), w (G, KH, KW, CI, CO), bias (OC,) -> y (N, OH, OW, OC); C = G * CI, OC = G * CO, M = N * OH * OW."""
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
            weight = U(U(U(U(U(U(g * KH) + U(kh)) * KW) + U(kw)) * CI) * CO)
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
                    c = U(c0 + i)
                    o = U(n0 + j)
                    v = zero
                    if c < CI and o < CO:
                        v = w[U(weight + U(U(c * CO) + o))]
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
                    y[U(U(m * OC) + o)] = acc[i, j] + b


@kernel
def grad_weight(x, grad, y, H, W, C, OH, OW, OC, KH, KW, CI, CO, SH, SW, PH, PW, DH, DW, G, lines, chunk):
    """x (N, H, W, C), grad (N, OH, OW, OC) -> y (slices, G, KH, KW, CI, CO); slice s sums the output lines (n, oh) from s * chunk."""
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
                    y[U(U(U(U(z * M) + m) * CO) + o)] = acc[i, j]


@kernel
def add_slices(x, y, slices, n):
    """x (slices, n) -> y (n,), the slices added in order."""
    i = U(cuda.grid(1))
    if i < n:
        v = x[i]
        for s in range(1, slices):
            v += x[U(U(U(s) * n) + i)]
        y[i] = v
