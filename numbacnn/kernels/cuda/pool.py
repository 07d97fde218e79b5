"""Pooling along three axes over channels-last memory, a thread for each element; the backward passes gather, so that nobody shares a sum.

``axes`` holds for depth, height and width: size, outputs, kernel, stride, padding before, dilation; for adaptive pooling size and outputs.
"""

from numba import int32, uint32

from .conv import pixel, place, seen, window_of
from .driver import cuda, kernel
from .simt.adaptive import window
from .simt.pool import span, windows

I = int32
U = uint32

INF = float("inf")


@cuda.jit(device=True, inline=True)
def following(d, h, w, top, bottom, left, right):
    """The window after (d, h, w), of those from ``top`` and ``left`` on."""
    w = U(w + U(1))
    if w == right:
        w = left
        h = U(h + U(1))
    if h == bottom:
        h = top
        d = U(d + U(1))
    return d, h, w


@kernel
def max_forward(x, y, index, axes, C, total):
    """``index`` gets the place of each maximum among the pixels: the first of equals, the last NaN; -1 for a window without data."""
    i = U(cuda.grid(1))
    if i >= total:
        return
    D, OD, KD, SD, PD, DD = axes[0], axes[1], axes[2], axes[3], axes[4], axes[5]
    H, OH, KH, SH, PH, DH = axes[6], axes[7], axes[8], axes[9], axes[10], axes[11]
    W, OW, KW, SW, PW, DW = axes[12], axes[13], axes[14], axes[15], axes[16], axes[17]
    q = U(i // C)
    c = U(i - U(q * C))
    n, od, oh, ow = pixel(q, U(OD), U(OH), U(OW))
    best = x.dtype.type(-INF)
    where = I(-1)
    for kd in range(KD):
        d, on_d = seen(od, kd, D, SD, PD, DD)
        for kh in range(KH):
            h, on_h = seen(oh, kh, H, SH, PH, DH)
            for kw in range(KW):
                w, on_w = seen(ow, kw, W, SW, PW, DW)
                if on_d and on_h and on_w:
                    v = x[U(U(place(n, d, h, w, U(D), U(H), U(W)) * C) + c)]
                    if where < 0 or v > best or v != v:
                        best = v
                        where = I(place(U(0), d, h, w, U(D), U(H), U(W)))
    y[i] = best
    index[i] = where


@kernel
def max_backward(grad, index, dx, axes, C, total):
    """Each input element adds up the gradients of the windows that chose it."""
    i = U(cuda.grid(1))
    if i >= total:
        return
    D, OD, KD, SD, PD, DD = axes[0], axes[1], axes[2], axes[3], axes[4], axes[5]
    H, OH, KH, SH, PH, DH = axes[6], axes[7], axes[8], axes[9], axes[10], axes[11]
    W, OW, KW, SW, PW, DW = axes[12], axes[13], axes[14], axes[15], axes[16], axes[17]
    q = U(i // C)
    c = U(i - U(q * C))
    n, d, h, w = pixel(q, U(D), U(H), U(W))
    me = I(place(U(0), d, h, w, U(D), U(H), U(W)))
    value = grad.dtype.type(0)
    for kd in range(KD):
        od, on_d = window_of(d, kd, OD, SD, PD, DD)
        for kh in range(KH):
            oh, on_h = window_of(h, kh, OH, SH, PH, DH)
            for kw in range(KW):
                ow, on_w = window_of(w, kw, OW, SW, PW, DW)
                if on_d and on_h and on_w:
                    o = U(U(place(n, od, oh, ow, U(OD), U(OH), U(OW)) * C) + c)
                    if index[o] == me:
                        value += grad[o]
    dx[i] = value


@kernel
def avg_forward(x, y, axes, C, include_pad, total):
    i = U(cuda.grid(1))
    if i >= total:
        return
    D, OD, KD, SD, PD = axes[0], axes[1], axes[2], axes[3], axes[4]
    H, OH, KH, SH, PH = axes[6], axes[7], axes[8], axes[9], axes[10]
    W, OW, KW, SW, PW = axes[12], axes[13], axes[14], axes[15], axes[16]
    q = U(i // C)
    c = U(i - U(q * C))
    n, od, oh, ow = pixel(q, U(OD), U(OH), U(OW))
    front, back, planes = span(od, U(SD), U(PD), U(KD), U(D), include_pad)
    top, bottom, rows = span(oh, U(SH), U(PH), U(KH), U(H), include_pad)
    left, right, cols = span(ow, U(SW), U(PW), U(KW), U(W), include_pad)
    value = x.dtype.type(0)
    for d in range(front, back):
        for h in range(top, bottom):
            for w in range(left, right):
                value += x[U(U(place(n, U(d), U(h), U(w), U(D), U(H), U(W)) * C) + c)]
    if front < back and top < bottom and left < right:  # else the window saw no data, and its divisor may be zero
        value /= x.dtype.type(I(I(planes * rows) * cols))
    y[i] = value


@kernel
def avg_backward(grad, dx, axes, C, include_pad, total):
    i = U(cuda.grid(1))
    if i >= total:
        return
    D, OD, KD, SD, PD = axes[0], axes[1], axes[2], axes[3], axes[4]
    H, OH, KH, SH, PH = axes[6], axes[7], axes[8], axes[9], axes[10]
    W, OW, KW, SW, PW = axes[12], axes[13], axes[14], axes[15], axes[16]
    q = U(i // C)
    c = U(i - U(q * C))
    n, d, h, w = pixel(q, U(D), U(H), U(W))
    front, back = windows(d, U(SD), U(PD), U(KD), U(OD))
    top, bottom = windows(h, U(SH), U(PH), U(KH), U(OH))
    left, right = windows(w, U(SW), U(PW), U(KW), U(OW))
    value = grad.dtype.type(0)
    if left < right and top < bottom and front < back:
        od, oh, ow = front, top, left
        while od < back:  # one loop, which is not unrolled: three take too many registers
            _, _, planes = span(od, U(SD), U(PD), U(KD), U(D), include_pad)
            _, _, rows = span(oh, U(SH), U(PH), U(KH), U(H), include_pad)
            _, _, cols = span(ow, U(SW), U(PW), U(KW), U(W), include_pad)
            o = U(U(place(n, od, oh, ow, U(OD), U(OH), U(OW)) * C) + c)
            value += grad[o] / grad.dtype.type(I(I(planes * rows) * cols))
            od, oh, ow = following(od, oh, ow, top, bottom, left, right)
    dx[i] = value


@kernel
def adaptive_avg_forward(x, y, axes, C, total):
    i = U(cuda.grid(1))
    if i >= total:
        return
    D, OD, H, OH, W, OW = U(axes[0]), U(axes[1]), U(axes[2]), U(axes[3]), U(axes[4]), U(axes[5])
    q = U(i // C)
    c = U(i - U(q * C))
    n, od, oh, ow = pixel(q, OD, OH, OW)
    front, back = window(od, D, OD)
    top, bottom = window(oh, H, OH)
    left, right = window(ow, W, OW)
    value = x.dtype.type(0)
    for d in range(front, back):
        for h in range(top, bottom):
            for w in range(left, right):
                value += x[U(U(place(n, U(d), U(h), U(w), D, H, W) * C) + c)]
    y[i] = value / x.dtype.type(U(U(U(back - front) * U(bottom - top)) * U(right - left)))


@kernel
def adaptive_avg_backward(grad, dx, axes, C, total):
    i = U(cuda.grid(1))
    if i >= total:
        return
    D, OD, H, OH, W, OW = U(axes[0]), U(axes[1]), U(axes[2]), U(axes[3]), U(axes[4]), U(axes[5])
    q = U(i // C)
    c = U(i - U(q * C))
    n, d, h, w = pixel(q, D, H, W)
    front, back = window(d, OD, D)
    top, bottom = window(h, OH, H)
    left, right = window(w, OW, W)
    value = grad.dtype.type(0)
    od, oh, ow = front, top, left
    while od < back:
        d0, d1 = window(od, D, OD)
        h0, h1 = window(oh, H, OH)
        w0, w1 = window(ow, W, OW)
        o = U(U(place(n, od, oh, ow, OD, OH, OW) * C) + c)
        value += grad[o] / grad.dtype.type(U(U(U(d1 - d0) * U(h1 - h0)) * U(w1 - w0)))
        od, oh, ow = following(od, oh, ow, top, bottom, left, right)
    dx[i] = value
