"""Max and average pooling over channels-last memory, one thread per element; the backward passes gather, so that nobody shares a sum."""

from numba import int32, uint32

from ..driver import cuda, kernel

I = int32
U = uint32

INF = float("inf")


@cuda.jit(device=True, inline=True)
def place(i, H, W, C):
    """The element (n, h, w, c) of a channels-last array (N, H, W, C)."""
    t = U(i // C)
    c = U(i - U(t * C))
    s = U(t // W)
    w = U(t - U(s * W))
    n = U(s // H)
    return n, U(s - U(n * H)), w, c


@cuda.jit(device=True, inline=True)
def flat(n, h, w, c, H, W, C):
    return U(U(U(U(U(U(n * H) + h) * W) + w) * C) + c)


@kernel
def max_forward(x, y, index, H, W, C, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW, total):
    """``index`` gets h * W + w of each maximum: the first of equals, the last NaN; -1 for a window that lies wholly in the padding."""
    i = U(cuda.grid(1))
    if i >= total:
        return
    n, oh, ow, c = place(i, OH, OW, C)
    best = x.dtype.type(-INF)
    where = I(-1)
    for kh in range(KH):
        h = I(I(oh * SH) + I(I(U(kh) * DH) - I(PH)))
        if h >= 0 and h < I(H):
            for kw in range(KW):
                w = I(I(ow * SW) + I(I(U(kw) * DW) - I(PW)))
                if w >= 0 and w < I(W):
                    v = x[flat(n, U(h), U(w), c, H, W, C)]
                    if where < 0 or v > best or v != v:
                        best = v
                        where = I(I(h * I(W)) + w)
    y[i] = best
    index[i] = where


@kernel
def max_backward(grad, index, out, H, W, C, OH, OW, KH, KW, SH, SW, PH, PW, DH, DW, total):
    """Each input element adds up the gradients of the windows that chose it."""
    i = U(cuda.grid(1))
    if i >= total:
        return
    n, h, w, c = place(i, H, W, C)
    me = I(U(h * W) + w)
    value = grad.dtype.type(0)
    for kh in range(KH):
        th = I(I(U(h + PH)) - I(U(kh) * DH))
        oh = U(U(th) // SH)
        if th >= 0 and U(oh * SH) == U(th) and oh < OH:
            for kw in range(KW):
                tw = I(I(U(w + PW)) - I(U(kw) * DW))
                ow = U(U(tw) // SW)
                if tw >= 0 and U(ow * SW) == U(tw) and ow < OW:
                    o = flat(n, oh, ow, c, OH, OW, C)
                    if index[o] == me:
                        value += grad[o]
    out[i] = value


@cuda.jit(device=True, inline=True)
def span(o, S, P, K, size, include_pad):
    """The taps of window ``o`` along one axis that lie in the data, and how many the average counts."""
    start = I(I(o * S) - I(P))
    stop = I(start + I(K))
    if stop > I(size + P):
        stop = I(size + P)
    first = start if start > 0 else I(0)
    last = stop if stop < I(size) else I(size)
    return first, last, I(stop - start) if include_pad else I(last - first)


@kernel
def avg_forward(x, y, H, W, C, OH, OW, KH, KW, SH, SW, PH, PW, include_pad, total):
    i = U(cuda.grid(1))
    if i >= total:
        return
    n, oh, ow, c = place(i, OH, OW, C)
    top, bottom, rows = span(oh, SH, PH, KH, H, include_pad)
    left, right, cols = span(ow, SW, PW, KW, W, include_pad)
    value = x.dtype.type(0)
    for h in range(top, bottom):
        for w in range(left, right):
            value += x[flat(n, U(h), U(w), c, H, W, C)]
    if top < bottom and left < right:  # else the window saw no data, and its divisor may be zero
        value /= x.dtype.type(I(rows * cols))
    y[i] = value


@cuda.jit(device=True, inline=True)
def windows(h, S, P, K, count):
    """The windows [first, last) that cover input row ``h``."""
    t = U(h + P)
    first = U(0)
    if t >= K:
        first = U(U(U(t - K) // S) + U(1))
    last = U(U(t // S) + U(1))
    return first, last if last < count else count


@kernel
def avg_backward(grad, out, H, W, C, OH, OW, KH, KW, SH, SW, PH, PW, include_pad, total):
    i = U(cuda.grid(1))
    if i >= total:
        return
    n, h, w, c = place(i, H, W, C)
    top, bottom = windows(h, SH, PH, KH, OH)
    left, right = windows(w, SW, PW, KW, OW)
    value = grad.dtype.type(0)
    for oh in range(top, bottom):
        _, _, rows = span(U(oh), SH, PH, KH, H, include_pad)
        for ow in range(left, right):
            _, _, cols = span(U(ow), SW, PW, KW, W, include_pad)
            value += grad[flat(n, U(oh), U(ow), c, OH, OW, C)] / grad.dtype.type(I(rows * cols))
    out[i] = value
