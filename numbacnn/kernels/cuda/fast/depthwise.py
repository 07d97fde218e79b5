"""Convolution of each channel by itself, along three axes over channels-last memory: a thread for four channels of a pixel.

``axes`` are those of ``kernels.cuda.conv``, weights lie as (KD, KH, KW, C), and C is a multiple of 4. Forward and input gradient add taps
up in the order of ``simt.conv``; the weight gradient adds pixels up in its own.
"""

from numba import int32, uint32

from ..conv import pixel, place, seen, window_of
from ..driver import cuda, exp, kernel, tanh
from .activation import SIGMOID, rectify
from .pool import four
from .wide import load4, store4

I = int32
U = uint32

THREADS = 256  # of a block that adds up a weight gradient, at most; a power of two
TANH = 3  # the place in ``names.ACTIVATIONS``


@cuda.jit(device=True, inline=True)
def add_products(s, a, b):
    return s[0] + a[0] * b[0], s[1] + a[1] * b[1], s[2] + a[2] * b[2], s[3] + a[3] * b[3]


@cuda.jit(device=True, inline=True)
def activated(activation, v):
    one = type(v)(1)
    if activation == SIGMOID:
        v = one / (one + exp(-v))
    elif activation == TANH:
        v = tanh(v)
    return rectify(activation, v)


@kernel
def forward(x, w, bias, has_bias, activation, y, axes, C, total):
    """x (N, D, H, W, C) -> y (N, OD, OH, OW, C)."""
    D, OD, KD, SD, PD, DD = axes[0], axes[1], axes[2], axes[3], axes[4], axes[5]
    H, OH, KH, SH, PH, DH = axes[6], axes[7], axes[8], axes[9], axes[10], axes[11]
    W, OW, KW, SW, PW, DW = axes[12], axes[13], axes[14], axes[15], axes[16], axes[17]
    i, c, n, od, oh, ow = four(C, OD, OH, OW)
    if i >= total:
        return
    zero = y.dtype.type(0)
    s = zero, zero, zero, zero
    for kd in range(KD):
        d, on_d = seen(od, kd, D, SD, PD, DD)
        for kh in range(KH):
            h, on_h = seen(oh, kh, H, SH, PH, DH)
            for kw in range(KW):
                v, on_w = seen(ow, kw, W, SW, PW, DW)
                if on_d and on_h and on_w:
                    tap = place(U(0), U(kd), U(kh), U(kw), U(KD), U(KH), U(KW))
                    values = load4(x, U(U(place(n, d, h, v, U(D), U(H), U(W)) * C) + c))
                    s = add_products(s, values, load4(w, U(U(tap * C) + c)))
    if has_bias:
        s = s[0] + bias[c], s[1] + bias[U(c + U(1))], s[2] + bias[U(c + U(2))], s[3] + bias[U(c + U(3))]
    store4(y, i, activated(activation, s[0]), activated(activation, s[1]), activated(activation, s[2]), activated(activation, s[3]))


@kernel
def grad_input(grad, w, dx, axes, C, total):
    """grad (N, OD, OH, OW, C) -> dx (N, D, H, W, C): what each window that sees an element hands back."""
    D, OD, KD, SD, PD, DD = axes[0], axes[1], axes[2], axes[3], axes[4], axes[5]
    H, OH, KH, SH, PH, DH = axes[6], axes[7], axes[8], axes[9], axes[10], axes[11]
    W, OW, KW, SW, PW, DW = axes[12], axes[13], axes[14], axes[15], axes[16], axes[17]
    i, c, n, d, h, v = four(C, D, H, W)
    if i >= total:
        return
    zero = dx.dtype.type(0)
    s = zero, zero, zero, zero
    for kd in range(KD):
        od, on_d = window_of(d, kd, OD, SD, PD, DD)
        for kh in range(KH):
            oh, on_h = window_of(h, kh, OH, SH, PH, DH)
            for kw in range(KW):
                ow, on_w = window_of(v, kw, OW, SW, PW, DW)
                if on_d and on_h and on_w:
                    tap = place(U(0), U(kd), U(kh), U(kw), U(KD), U(KH), U(KW))
                    values = load4(grad, U(U(place(n, od, oh, ow, U(OD), U(OH), U(OW)) * C) + c))
                    s = add_products(s, values, load4(w, U(U(tap * C) + c)))
    store4(dx, i, s[0], s[1], s[2], s[3])


@kernel
def grad_weight(x, grad, part, axes, C, across, lanes, chunk, pixels):
    """x, grad -> part (slices, KD, KH, KW, C); slice blockIdx.x sums the output pixels from blockIdx.x * chunk, block z a tap of it.

    Of the ``across`` quads of channels of a block each has as many ``lanes``, a power of two, which take pixels in turn.
    """
    sums = cuda.shared.array((THREADS, 4), x.dtype)
    D, OD, KD, SD, PD, DD = axes[0], axes[1], axes[2], axes[3], axes[4], axes[5]
    H, OH, KH, SH, PH, DH = axes[6], axes[7], axes[8], axes[9], axes[10], axes[11]
    W, OW, KW, SW, PW, DW = axes[12], axes[13], axes[14], axes[15], axes[16], axes[17]
    t = U(cuda.threadIdx.x)
    lane = U(t // across)
    c = U(U(U(U(cuda.blockIdx.y) * across) + U(t - U(lane * across))) * U(4))
    tap = U(cuda.blockIdx.z)
    _, kd, kh, kw = pixel(tap, U(KD), U(KH), U(KW))
    first = U(U(cuda.blockIdx.x) * chunk)
    last = U(first + chunk)
    if last > pixels:
        last = pixels
    zero = part.dtype.type(0)
    s = zero, zero, zero, zero
    q = U(first + lane)
    while c < C and q < last:
        n, od, oh, ow = pixel(q, U(OD), U(OH), U(OW))
        d, on_d = seen(od, kd, D, SD, PD, DD)
        h, on_h = seen(oh, kh, H, SH, PH, DH)
        v, on_w = seen(ow, kw, W, SW, PW, DW)
        if on_d and on_h and on_w:
            values = load4(x, U(U(place(n, d, h, v, U(D), U(H), U(W)) * C) + c))
            s = add_products(s, values, load4(grad, U(U(q * C) + c)))
        q = U(q + lanes)
    sums[t, 0], sums[t, 1], sums[t, 2], sums[t, 3] = s
    cuda.syncthreads()
    half = U(lanes >> U(1))
    while half > U(0):
        if lane < half:
            o = U(t + U(half * across))
            for k in range(4):
                sums[t, k] += sums[o, k]
        cuda.syncthreads()
        half = U(half >> U(1))
    if lane == U(0) and c < C:
        taps = U(U(U(KD) * U(KH)) * U(KW))
        at = U(U(U(U(U(cuda.blockIdx.x) * taps) + tap) * C) + c)
        store4(part, at, sums[t, 0], sums[t, 1], sums[t, 2], sums[t, 3])
