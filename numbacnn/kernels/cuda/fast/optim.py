"""Optimiser steps in place, in one launch for many parameters: blocks (x, p) stride through the p-th. Scalars have its dtype.

The kernels are given addresses, so that as many fit into a launch's arguments as a network has. Each parameter's arrays lie alike; where
all start at a multiple of 16 bytes a thread moves four neighbours at a time.
"""

from numba import uint32, uint64

from ..driver import cuda, kernel, sqrt
from .pointer import array_at
from .wide import read4, write4

U = uint32
L = uint64


@cuda.jit(device=True, inline=True)
def sgd_moved(w, g, v, first, lr, momentum, damping, decay, has_velocity, nesterov):
    """A weight and its velocity, moved; as ``simt.optim.sgd_step``, of whose products the compiler rounds these and no others."""
    d = cuda.fma(decay, w, g)
    if has_velocity:
        if first:
            v = d
        else:
            v = cuda.fma(damping, d, momentum * v)
        d = cuda.fma(momentum, v, d) if nesterov else v
    return w - lr * d, v


@kernel
def sgd_steps(ws, grads, velocities, sizes, firsts, lr, momentum, damping, decay, has_velocity, nesterov):
    """``firsts``: whether the velocity starts as the gradient; without velocities, ``velocities`` are any addresses."""
    p = U(cuda.blockIdx.y)
    n = U(sizes[p])
    at = ws[p], grads[p], velocities[p]
    w, grad, velocity = array_at(at[0], n, lr), array_at(at[1], n, lr), array_at(at[2], n, lr)
    first = firsts[p]
    i = U(cuda.grid(1))
    step = U(cuda.blockDim.x * cuda.gridDim.x)
    if L(at[0] | at[1] | at[2]) & L(15):
        while i < n:
            v = velocity[i] if has_velocity else lr
            w[i], v = sgd_moved(w[i], grad[i], v, first, lr, momentum, damping, decay, has_velocity, nesterov)
            if has_velocity:
                velocity[i] = v
            i = U(i + step)
        return
    i = U(i * U(4))
    while i < n:
        left = U(n - i)
        w0, w1, w2, w3 = read4(w, i, 1, left)
        g0, g1, g2, g3 = read4(grad, i, 1, left)
        v0 = v1 = v2 = v3 = lr
        if has_velocity:
            v0, v1, v2, v3 = read4(velocity, i, 1, left)
        w0, v0 = sgd_moved(w0, g0, v0, first, lr, momentum, damping, decay, has_velocity, nesterov)
        w1, v1 = sgd_moved(w1, g1, v1, first, lr, momentum, damping, decay, has_velocity, nesterov)
        w2, v2 = sgd_moved(w2, g2, v2, first, lr, momentum, damping, decay, has_velocity, nesterov)
        w3, v3 = sgd_moved(w3, g3, v3, first, lr, momentum, damping, decay, has_velocity, nesterov)
        write4(w, i, left, w0, w1, w2, w3)
        if has_velocity:
            write4(velocity, i, left, v0, v1, v2, v3)
        i = U(i + U(step * U(4)))


@cuda.jit(device=True, inline=True)
def adam_moved(w, g, m, v, rate, root, beta1, keep1, beta2, keep2, eps, decay, shrink):
    """A weight and its moments, moved; as ``simt.optim.adam_step``."""
    p = w * shrink
    g = cuda.fma(decay, p, g)
    a = cuda.fma(beta1, m, keep1 * g)
    b = cuda.fma(beta2, v, keep2 * g * g)
    return p - rate * a / (sqrt(b) / root + eps), a, b


@kernel
def adam_steps(ws, grads, ms, vs, sizes, rates, roots, beta1, keep1, beta2, keep2, eps, decay, shrink):
    """With a rate and a root for each parameter."""
    p = U(cuda.blockIdx.y)
    n = U(sizes[p])
    at = ws[p], grads[p], ms[p], vs[p]
    w, grad, m, v = array_at(at[0], n, eps), array_at(at[1], n, eps), array_at(at[2], n, eps), array_at(at[3], n, eps)
    rate, root = rates[p], roots[p]
    i = U(cuda.grid(1))
    step = U(cuda.blockDim.x * cuda.gridDim.x)
    if L(at[0] | at[1] | at[2] | at[3]) & L(15):
        while i < n:
            w[i], m[i], v[i] = adam_moved(w[i], grad[i], m[i], v[i], rate, root, beta1, keep1, beta2, keep2, eps, decay, shrink)
            i = U(i + step)
        return
    i = U(i * U(4))
    while i < n:
        left = U(n - i)
        w0, w1, w2, w3 = read4(w, i, 1, left)
        g0, g1, g2, g3 = read4(grad, i, 1, left)
        m0, m1, m2, m3 = read4(m, i, 1, left)
        v0, v1, v2, v3 = read4(v, i, 1, left)
        w0, m0, v0 = adam_moved(w0, g0, m0, v0, rate, root, beta1, keep1, beta2, keep2, eps, decay, shrink)
        w1, m1, v1 = adam_moved(w1, g1, m1, v1, rate, root, beta1, keep1, beta2, keep2, eps, decay, shrink)
        w2, m2, v2 = adam_moved(w2, g2, m2, v2, rate, root, beta1, keep1, beta2, keep2, eps, decay, shrink)
        w3, m3, v3 = adam_moved(w3, g3, m3, v3, rate, root, beta1, keep1, beta2, keep2, eps, decay, shrink)
        write4(w, i, left, w0, w1, w2, w3)
        write4(m, i, left, m0, m1, m2, m3)
        write4(v, i, left, v0, v1, v2, v3)
        i = U(i + U(step * U(4)))
