"""Softmax and its logarithm: a thread block per row. The order of every sum depends on the shape alone."""

from numba import uint32

from ..driver import cuda, exp, kernel, log
from .reduce import MAX, SUM, THREADS, combine, tree

U = uint32


@cuda.jit(device=True, inline=True)
def row_max(part, x, base, cols, t):
    value = x[base]
    i = t
    while i < cols:
        value = combine(MAX, value, x[U(base + i)])
        i = U(i + U(THREADS))
    return tree(MAX, part, value, t)


@cuda.jit(device=True, inline=True)
def row_exp_sum(part, x, top, base, cols, t):
    value = x.dtype.type(0)
    i = t
    while i < cols:
        value += exp(x[U(base + i)] - top)
        i = U(i + U(THREADS))
    return tree(SUM, part, value, t)


@kernel
def softmax_rows(logarithm, x, y, cols):
    """x (rows, cols) -> y: softmax of each row, or its logarithm."""
    part = cuda.shared.array(THREADS, x.dtype)
    t = U(cuda.threadIdx.x)
    base = U(U(cuda.blockIdx.x) * cols)
    top = row_max(part, x, base, cols, t)
    total = row_exp_sum(part, x, top, base, cols, t)
    i = t
    while i < cols:
        v = x[U(base + i)] - top
        if logarithm:
            y[U(base + i)] = v - log(total)
        else:
            y[U(base + i)] = exp(v) / total
        i = U(i + U(THREADS))


@kernel
def softmax_backward_rows(logarithm, grad, y, out, cols):
    """grad, y (rows, cols) -> out: y (g - sum(g y)), or of the logarithm g - exp(y) sum(g)."""
    part = cuda.shared.array(THREADS, y.dtype)
    t = U(cuda.threadIdx.x)
    base = U(U(cuda.blockIdx.x) * cols)
    value = y.dtype.type(0)
    i = t
    while i < cols:
        g = grad[U(base + i)]
        value += g if logarithm else g * y[U(base + i)]
        i = U(i + U(THREADS))
    total = tree(SUM, part, value, t)
    i = t
    while i < cols:
        g = grad[U(base + i)]
        v = y[U(base + i)]
        if logarithm:
            out[U(base + i)] = g - exp(v) * total
        else:
            out[U(base + i)] = v * (g - total)
        i = U(i + U(THREADS))
