"""Adaptive average pooling over channels-last memory, one thread per element; the backward pass gathers."""

from numba import uint32

from ..driver import cuda, kernel
from .pool import flat, place

U = uint32


@cuda.jit(device=True, inline=True)
def window(o, size, count):
    """The part [first, last) of ``size`` places that window ``o`` of ``count`` covers; turned round: the windows over a place."""
    return U(U(o * size) // count), U(U(U(U(o + U(1)) * size) + U(count - U(1))) // count)


@kernel
def adaptive_avg_forward(x, y, H, W, C, OH, OW, total):
    i = U(cuda.grid(1))
    if i >= total:
        return
    n, oh, ow, c = place(i, OH, OW, C)
    top, bottom = window(oh, H, OH)
    left, right = window(ow, W, OW)
    value = x.dtype.type(0)
    for h in range(top, bottom):
        for w in range(left, right):
            value += x[flat(n, U(h), U(w), c, H, W, C)]
    y[i] = value / x.dtype.type(U(U(bottom - top) * U(right - left)))


@kernel
def adaptive_avg_backward(grad, dx, H, W, C, OH, OW, total):
    i = U(cuda.grid(1))
    if i >= total:
        return
    n, h, w, c = place(i, H, W, C)
    top, bottom = window(h, OH, H)
    left, right = window(w, OW, W)
    value = grad.dtype.type(0)
    for oh in range(top, bottom):
        first_row, last_row = window(U(oh), H, OH)
        for ow in range(left, right):
            first, last = window(U(ow), W, OW)
            value += grad[flat(n, U(oh), U(ow), c, OH, OW, C)] / grad.dtype.type(U(U(last_row - first_row) * U(last - first)))
    dx[i] = value
