"""Pooling along three axes over channels-last memory, a thread for four channels; signals and images have axes of one element in front.

The sums have the order of those in ``kernels.cuda.pool``, which says what ``axes`` hold. ``C`` is a multiple of 4.
"""

from numba import int32, uint32

from ..conv import pixel, place, seen, window_of
from ..driver import cuda, kernel
from ..pool import following
from ..simt.adaptive import window
from ..simt.pool import span, windows
from .wide import add4, load4, store4

I = int32
U = uint32

INF = float("inf")


@cuda.jit(device=True, inline=True)
def four(C, D, H, W):
    """The first of this thread's elements, its channel and its pixel (n, d, h, w)."""
    i = U(U(cuda.grid(1)) * U(4))
    q = U(i // C)
    n, d, h, w = pixel(q, U(D), U(H), U(W))
    return i, U(i - U(q * C)), n, d, h, w


@cuda.jit(device=True, inline=True)
def greater(best, where, v, here):
    """The maximum so far and its place, with one more value: the first of equals, the last NaN."""
    if where < 0 or v > best or v != v:
        return v, here
    return best, where


@kernel
def max_forward(x, y, index, axes, C, total):
    D, OD, KD, SD, PD, DD = axes[0], axes[1], axes[2], axes[3], axes[4], axes[5]
    H, OH, KH, SH, PH, DH = axes[6], axes[7], axes[8], axes[9], axes[10], axes[11]
    W, OW, KW, SW, PW, DW = axes[12], axes[13], axes[14], axes[15], axes[16], axes[17]
    i, c, n, od, oh, ow = four(C, OD, OH, OW)
    if i >= total:
        return
    a0 = a1 = a2 = a3 = x.dtype.type(-INF)
    k0 = k1 = k2 = k3 = I(-1)
    for kd in range(KD):
        d, on_d = seen(od, kd, D, SD, PD, DD)
        for kh in range(KH):
            h, on_h = seen(oh, kh, H, SH, PH, DH)
            for kw in range(KW):
                w, on_w = seen(ow, kw, W, SW, PW, DW)
                if on_d and on_h and on_w:
                    v0, v1, v2, v3 = load4(x, U(U(place(n, d, h, w, U(D), U(H), U(W)) * C) + c))
                    here = I(place(U(0), d, h, w, U(D), U(H), U(W)))
                    a0, k0 = greater(a0, k0, v0, here)
                    a1, k1 = greater(a1, k1, v1, here)
                    a2, k2 = greater(a2, k2, v2, here)
                    a3, k3 = greater(a3, k3, v3, here)
    store4(y, i, a0, a1, a2, a3)
    store4(index, i, k0, k1, k2, k3)


@kernel
def max_backward(grad, index, dx, axes, C, total):
    D, OD, KD, SD, PD, DD = axes[0], axes[1], axes[2], axes[3], axes[4], axes[5]
    H, OH, KH, SH, PH, DH = axes[6], axes[7], axes[8], axes[9], axes[10], axes[11]
    W, OW, KW, SW, PW, DW = axes[12], axes[13], axes[14], axes[15], axes[16], axes[17]
    i, c, n, d, h, w = four(C, D, H, W)
    if i >= total:
        return
    me = I(place(U(0), d, h, w, U(D), U(H), U(W)))
    zero = grad.dtype.type(0)
    s = zero, zero, zero, zero
    for kd in range(KD):
        od, on_d = window_of(d, kd, OD, SD, PD, DD)
        for kh in range(KH):
            oh, on_h = window_of(h, kh, OH, SH, PH, DH)
            for kw in range(KW):
                ow, on_w = window_of(w, kw, OW, SW, PW, DW)
                if on_d and on_h and on_w:
                    o = U(U(place(n, od, oh, ow, U(OD), U(OH), U(OW)) * C) + c)
                    k, g = load4(index, o), load4(grad, o)
                    chosen = (
                        g[0] if k[0] == me else zero,  # which changes no bit of the sum
                        g[1] if k[1] == me else zero,
                        g[2] if k[2] == me else zero,
                        g[3] if k[3] == me else zero,
                    )
                    s = add4(s, chosen)
    store4(dx, i, s[0], s[1], s[2], s[3])


@kernel
def avg_forward(x, y, axes, C, include_pad, total):
    D, OD, KD, SD, PD = axes[0], axes[1], axes[2], axes[3], axes[4]
    H, OH, KH, SH, PH = axes[6], axes[7], axes[8], axes[9], axes[10]
    W, OW, KW, SW, PW = axes[12], axes[13], axes[14], axes[15], axes[16]
    i, c, n, od, oh, ow = four(C, OD, OH, OW)
    if i >= total:
        return
    front, back, planes = span(od, U(SD), U(PD), U(KD), U(D), include_pad)
    top, bottom, rows = span(oh, U(SH), U(PH), U(KH), U(H), include_pad)
    left, right, cols = span(ow, U(SW), U(PW), U(KW), U(W), include_pad)
    zero = x.dtype.type(0)
    s = zero, zero, zero, zero
    for d in range(front, back):
        for h in range(top, bottom):
            for w in range(left, right):
                s = add4(s, load4(x, U(U(place(n, U(d), U(h), U(w), U(D), U(H), U(W)) * C) + c)))
    count = x.dtype.type(I(I(planes * rows) * cols))
    if front >= back or top >= bottom or left >= right:  # the window saw no data, and its divisor may be zero
        count = x.dtype.type(1)
    store4(y, i, s[0] / count, s[1] / count, s[2] / count, s[3] / count)


@kernel
def avg_backward(grad, dx, axes, C, include_pad, total):
    D, OD, KD, SD, PD = axes[0], axes[1], axes[2], axes[3], axes[4]
    H, OH, KH, SH, PH = axes[6], axes[7], axes[8], axes[9], axes[10]
    W, OW, KW, SW, PW = axes[12], axes[13], axes[14], axes[15], axes[16]
    i, c, n, d, h, w = four(C, D, H, W)
    if i >= total:
        return
    front, back = windows(d, U(SD), U(PD), U(KD), U(OD))
    top, bottom = windows(h, U(SH), U(PH), U(KH), U(OH))
    left, right = windows(w, U(SW), U(PW), U(KW), U(OW))
    zero = grad.dtype.type(0)
    s = zero, zero, zero, zero
    if left < right and top < bottom and front < back:
        od, oh, ow = front, top, left
        while od < back:
            _, _, planes = span(od, U(SD), U(PD), U(KD), U(D), include_pad)
            _, _, rows = span(oh, U(SH), U(PH), U(KH), U(H), include_pad)
            _, _, cols = span(ow, U(SW), U(PW), U(KW), U(W), include_pad)
            count = grad.dtype.type(I(I(planes * rows) * cols))
            g = load4(grad, U(U(place(n, od, oh, ow, U(OD), U(OH), U(OW)) * C) + c))
            s = add4(s, (g[0] / count, g[1] / count, g[2] / count, g[3] / count))
            od, oh, ow = following(od, oh, ow, top, bottom, left, right)
    store4(dx, i, s[0], s[1], s[2], s[3])


@kernel
def adaptive_avg_forward(x, y, axes, C, total):
    D, OD, H, OH, W, OW = U(axes[0]), U(axes[1]), U(axes[2]), U(axes[3]), U(axes[4]), U(axes[5])
    i, c, n, od, oh, ow = four(C, OD, OH, OW)
    if i >= total:
        return
    front, back = window(od, D, OD)
    top, bottom = window(oh, H, OH)
    left, right = window(ow, W, OW)
    zero = x.dtype.type(0)
    s = zero, zero, zero, zero
    for d in range(front, back):
        for h in range(top, bottom):
            for w in range(left, right):
                s = add4(s, load4(x, U(U(place(n, U(d), U(h), U(w), D, H, W) * C) + c)))
    count = x.dtype.type(U(U(U(back - front) * U(bottom - top)) * U(right - left)))
    store4(y, i, s[0] / count, s[1] / count, s[2] / count, s[3] / count)


@kernel
def adaptive_avg_backward(grad, dx, axes, C, total):
    D, OD, H, OH, W, OW = U(axes[0]), U(axes[1]), U(axes[2]), U(axes[3]), U(axes[4]), U(axes[5])
    i, c, n, d, h, w = four(C, D, H, W)
    if i >= total:
        return
    front, back = window(d, OD, D)
    top, bottom = window(h, OH, H)
    left, right = window(w, OW, W)
    zero = grad.dtype.type(0)
    s = zero, zero, zero, zero
    od, oh, ow = front, top, left
    while od < back:
        d0, d1 = window(od, D, OD)
        h0, h1 = window(oh, H, OH)
        w0, w1 = window(ow, W, OW)
        count = grad.dtype.type(U(U(U(d1 - d0) * U(h1 - h0)) * U(w1 - w0)))
        g = load4(grad, U(U(place(n, od, oh, ow, OD, OH, OW) * C) + c))
        s = add4(s, (g[0] / count, g[1] / count, g[2] / count, g[3] / count))
        od, oh, ow = following(od, oh, ow, top, bottom, left, right)
    store4(dx, i, s[0], s[1], s[2], s[3])
