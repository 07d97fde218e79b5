"""Softmax and its logarithm, four elements a load: sums in the order of ``simt.softmax``, with lanes as ``reduce`` has them."""

from numba import uint32

from ..driver import cuda, exp, kernel, log
from ..simt.reduce import MAX, SUM, THREADS
from .reduce import either4, first_quad, fold, four, inside, some4, tree
from .wide import add4, store4

U = uint32


@cuda.jit(device=True, inline=True)
def write_some4(y, q, begin, end, v):
    """y[q : q + 4] = v, of which some lie between these."""
    if q >= begin and U(q + U(4)) <= end:
        store4(y, q, v[0], v[1], v[2], v[3])
    else:
        m = inside(q, begin, end)
        if m[0]:
            y[q] = v[0]
        if m[1]:
            y[U(q + U(1))] = v[1]
        if m[2]:
            y[U(q + U(2))] = v[2]
        if m[3]:
            y[U(q + U(3))] = v[3]


@cuda.jit(device=True, inline=True)
def less4(v, b):
    return v[0] - b, v[1] - b, v[2] - b, v[3] - b


@cuda.jit(device=True, inline=True)
def exp4(v):
    return exp(v[0]), exp(v[1]), exp(v[2]), exp(v[3])


@cuda.jit(device=True, inline=True)
def over4(v, b):
    return v[0] / b, v[1] / b, v[2] / b, v[3] / b


@cuda.jit(device=True, inline=True)
def times4(v, w):
    return v[0] * w[0], v[1] * w[1], v[2] * w[2], v[3] * w[3]


@cuda.jit(device=True, inline=True)
def row_max(part, x, t, begin, end):
    return tree(MAX, part, fold(MAX, x, four(x[begin]), t, begin, end), t, begin)


@cuda.jit(device=True, inline=True)
def row_exp_sum(part, x, top, t, begin, end):
    s = four(x.dtype.type(0))
    q = first_quad(t, begin)
    while q < end:
        s = either4(inside(q, begin, end), add4(s, exp4(less4(some4(x, q, begin, end), top))), s)
        q = U(q + U(THREADS))
    return tree(SUM, part, s, t, begin)


@kernel
def softmax_rows(logarithm, x, y, cols):
    """x (rows, cols) -> y: softmax of each row, or its logarithm."""
    part = cuda.shared.array(THREADS, x.dtype)
    t = U(cuda.threadIdx.x)
    begin = U(U(cuda.blockIdx.x) * cols)
    end = U(begin + cols)
    top = row_max(part, x, t, begin, end)
    total = row_exp_sum(part, x, top, t, begin, end)
    q = first_quad(t, begin)
    while q < end:
        v = less4(some4(x, q, begin, end), top)
        if logarithm:
            v = less4(v, log(total))
        else:
            v = over4(exp4(v), total)
        write_some4(y, q, begin, end, v)
        q = U(q + U(THREADS))


@kernel
def softmax_backward_rows(logarithm, grad, y, out, cols):
    """grad, y (rows, cols) -> out: y (g - sum(g y)), or of the logarithm g - exp(y) sum(g)."""
    part = cuda.shared.array(THREADS, y.dtype)
    t = U(cuda.threadIdx.x)
    begin = U(U(cuda.blockIdx.x) * cols)
    end = U(begin + cols)
    s = four(y.dtype.type(0))
    q = first_quad(t, begin)
    while q < end:
        g = some4(grad, q, begin, end)
        if not logarithm:
            g = times4(g, some4(y, q, begin, end))
        s = either4(inside(q, begin, end), add4(s, g), s)
        q = U(q + U(THREADS))
    total = tree(SUM, part, s, t, begin)
    q = first_quad(t, begin)
    while q < end:
        g, v = some4(grad, q, begin, end), some4(y, q, begin, end)
        if logarithm:
            e = exp4(v)
            v = g[0] - e[0] * total, g[1] - e[1] * total, g[2] - e[2] * total, g[3] - e[3] * total
        else:
            v = times4(v, less4(g, total))
        write_some4(out, q, begin, end, v)
        q = U(q + U(THREADS))
