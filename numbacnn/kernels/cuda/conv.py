"""Convolution along three axes over channels-last memory: a thread for each element of the result, sums in a fixed order.

``axes`` holds for depth, height and width: size, outputs, kernel, stride, padding before, dilation. Groups of CI input and CO output
channels. Weights lie as (G, KD, KH, KW, CI, CO), for the input gradient as (G, KD, KH, KW, CO, CI).
"""

from numba import int32, uint32

from .driver import cuda, kernel

I = int32
U = uint32


@cuda.jit(device=True, inline=True)
def pixel(i, D, H, W):
    """(n, d, h, w) of the i-th pixel of volumes."""
    s = U(i // W)
    w = U(i - U(s * W))
    t = U(s // H)
    h = U(s - U(t * H))
    n = U(t // D)
    return n, U(t - U(n * D)), h, w


@cuda.jit(device=True, inline=True)
def place(n, d, h, w, D, H, W):
    """The reverse of ``pixel``."""
    return U(U(U(U(U(U(n * D) + d) * H) + h) * W) + w)


@cuda.jit(device=True, inline=True)
def seen(o, k, size, stride, before, dilation):
    """Where tap ``k`` of window ``o`` lies, and whether there is data."""
    at = I(I(I(o) * stride) + I(I(I(k) * dilation) - before))
    return U(at), at >= 0 and at < size


@cuda.jit(device=True, inline=True)
def window_of(at, k, outputs, stride, before, dilation):
    """The window whose tap ``k`` lies at ``at``, and whether there is one."""
    t = I(I(I(at) + before) - I(I(k) * dilation))
    o = U(U(t) // U(stride))  # of 32 bits, as a division of signed numbers is not
    return o, t >= 0 and U(o * U(stride)) == U(t) and o < U(outputs)


@kernel
def forward(x, w, bias, has_bias, y, axes, CI, CO, G, total):
    """x (N, D, H, W, G * CI) -> y (N, OD, OH, OW, G * CO)."""
    i = U(cuda.grid(1))
    if i >= total:
        return
    D, OD, KD, SD, PD, DD = axes[0], axes[1], axes[2], axes[3], axes[4], axes[5]
    H, OH, KH, SH, PH, DH = axes[6], axes[7], axes[8], axes[9], axes[10], axes[11]
    W, OW, KW, SW, PW, DW = axes[12], axes[13], axes[14], axes[15], axes[16], axes[17]
    q = U(i // U(G * CO))
    channel = U(i - U(q * U(G * CO)))
    g = U(channel // CO)
    o = U(channel - U(g * CO))
    n, od, oh, ow = pixel(q, U(OD), U(OH), U(OW))
    value = y.dtype.type(0)
    for kd in range(KD):
        d, on_d = seen(od, kd, D, SD, PD, DD)
        for kh in range(KH):
            h, on_h = seen(oh, kh, H, SH, PH, DH)
            for kw in range(KW):
                v, on_w = seen(ow, kw, W, SW, PW, DW)
                if on_d and on_h and on_w:
                    a = U(U(U(place(n, d, h, v, U(D), U(H), U(W)) * G) + g) * CI)
                    b = U(U(place(g, U(kd), U(kh), U(kw), U(KD), U(KH), U(KW)) * U(CI * CO)) + o)
                    for c in range(CI):
                        value += x[U(a + U(c))] * w[U(b + U(U(c) * CO))]
    if has_bias:
        value += bias[channel]
    y[i] = value


@kernel
def grad_input(grad, w, dx, axes, CI, CO, G, total):
    """grad (N, OD, OH, OW, G * CO) -> dx (N, D, H, W, G * CI): what each window that sees an element hands back."""
    i = U(cuda.grid(1))
    if i >= total:
        return
    D, OD, KD, SD, PD, DD = axes[0], axes[1], axes[2], axes[3], axes[4], axes[5]
    H, OH, KH, SH, PH, DH = axes[6], axes[7], axes[8], axes[9], axes[10], axes[11]
    W, OW, KW, SW, PW, DW = axes[12], axes[13], axes[14], axes[15], axes[16], axes[17]
    q = U(i // U(G * CI))
    channel = U(i - U(q * U(G * CI)))
    g = U(channel // CI)
    c = U(channel - U(g * CI))
    n, d, h, v = pixel(q, U(D), U(H), U(W))
    value = dx.dtype.type(0)
    for kd in range(KD):
        od, on_d = window_of(d, kd, OD, SD, PD, DD)
        for kh in range(KH):
            oh, on_h = window_of(h, kh, OH, SH, PH, DH)
            for kw in range(KW):
                ow, on_w = window_of(v, kw, OW, SW, PW, DW)
                if on_d and on_h and on_w:
                    a = U(U(U(place(n, od, oh, ow, U(OD), U(OH), U(OW)) * G) + g) * CO)
                    b = U(U(place(g, U(kd), U(kh), U(kw), U(KD), U(KH), U(KW)) * U(CI * CO)) + c)
                    for o in range(CO):
                        value += grad[U(a + U(o))] * w[U(b + U(U(o) * CI))]
    dx[i] = value


@kernel
def grad_weight(x, grad, part, axes, CI, CO, G, lines, chunk, total):
    """x, grad -> part (slices, G, KD, KH, KW, CI, CO); slice s sums the output lines (n, od, oh) from s * chunk."""
    i = U(cuda.grid(1))
    if i >= total:
        return
    D, OD, KD, SD, PD, DD = axes[0], axes[1], axes[2], axes[3], axes[4], axes[5]
    H, OH, KH, SH, PH, DH = axes[6], axes[7], axes[8], axes[9], axes[10], axes[11]
    W, OW, KW, SW, PW, DW = axes[12], axes[13], axes[14], axes[15], axes[16], axes[17]
    s = U(i // CO)
    o = U(i - U(s * CO))
    t = U(s // CI)
    c = U(s - U(t * CI))
    gs, kd, kh, kw = pixel(t, U(KD), U(KH), U(KW))
    part_of = U(gs // G)
    g = U(gs - U(part_of * G))
    first = U(part_of * chunk)
    last = U(first + chunk)
    if last > lines:
        last = lines
    value = part.dtype.type(0)
    for line in range(first, last):
        n, od, oh, _ = pixel(U(line), U(OD), U(OH), U(1))
        d, on_d = seen(od, kd, D, SD, PD, DD)
        h, on_h = seen(oh, kh, H, SH, PH, DH)
        if on_d and on_h:
            for ow in range(OW):
                v, on_w = seen(U(ow), kw, W, SW, PW, DW)
                if on_w:
                    a = U(U(U(U(place(n, d, h, v, U(D), U(H), U(W)) * G) + g) * CI) + c)
                    b = U(U(U(U(U(U(U(line) * U(OW)) + U(ow)) * G) + g) * CO) + o)
                    value += x[a] * grad[b]
    part[i] = value
