"""The activations that dense kernels apply to their results: by their places in ``names.ACTIVATIONS``."""

from numba import uint32

from ..driver import cuda, exp, tanh
from ..simt.tile import TM, TN

U = uint32

RELU, SIGMOID = 1, 2


@cuda.jit(device=True, inline=True)
def rectify(activation, v):
    """v, or where the activation is relu what ``simt.pointwise.unary`` makes of it; NaN passes."""
    zero = type(v)(0)
    if activation == RELU and v < zero:
        v = zero
    return v


@cuda.jit(device=True, inline=True)
def slope(activation, g, v):
    """What ``simt.pointwise.activation_backward`` makes of a gradient g behind an activation whose result is v."""
    zero = type(v)(0)
    one = type(v)(1)
    if activation == RELU:
        g = zero if v <= zero else g
    elif activation == SIGMOID:
        g = g * v * (one - v)
    else:
        g = g * (one - v * v)
    return g


@cuda.jit(device=True, inline=True)
def activate(activation, y, m, M, n, N, at, width):
    """Sigmoid or tanh of the TM x TN results from row m and column n on that this thread has stored in y, from ``at`` on.

    It reads them again: written out for each of them in registers, the functions would push these into memory.
    """
    one = y.dtype.type(1)
    for i in range(TM):
        for j in range(TN):
            if U(m + U(i)) < M and U(n + U(j)) < N:
                k = U(U(at + U(U(i) * width)) + U(j))
                if activation == SIGMOID:
                    y[k] = one / (one + exp(-y[k]))
                else:
                    y[k] = tanh(y[k])
