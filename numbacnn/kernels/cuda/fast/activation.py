"""The activations that dense kernels apply to their results: by their places in ``names.ACTIVATIONS``."""

from ..driver import cuda, exp, tanh


@cuda.jit(device=True, inline=True)
def activate(activation, v):
    """What ``simt.pointwise.unary`` makes of v; NaN passes."""
    zero = type(v)(0)
    one = type(v)(1)
    if activation == 1:
        v = zero if v < zero else v
    elif activation == 2:
        v = one / (one + exp(-v))
    elif activation == 3:
        v = tanh(v)
    return v
