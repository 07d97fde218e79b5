"""Optimiser steps in place, in one launch for many parameters: blocks (x, p) stride through the p-th. Scalars have its dtype.

The kernels are given addresses, so that as many fit into a launch's arguments as a network has. Each parameter's arrays lie alike.
"""

from numba import uint32

from ..driver import cuda, kernel, sqrt
from .pointer import array_at

U = uint32


@kernel
def sgd_steps(ws, grads, velocities, sizes, firsts, lr, momentum, damping, decay, has_velocity, nesterov):
    """As ``simt.optim.sgd_step``; ``firsts``: whether the velocity starts as the gradient; without them ``velocities`` is any tuple."""
    p = U(cuda.blockIdx.y)
    n = U(sizes[p])
    w = array_at(ws[p], n, lr)
    grad = array_at(grads[p], n, lr)
    velocity = array_at(velocities[p], n, lr)
    first = firsts[p]
    i = U(cuda.grid(1))
    while i < n:
        q = w[i]
        d = grad[i] + decay * q
        if has_velocity:
            v = d
            if not first:
                v = momentum * velocity[i] + damping * d
            velocity[i] = v
            d = d + momentum * v if nesterov else v
        w[i] = q - lr * d
        i = U(i + U(cuda.blockDim.x * cuda.gridDim.x))


@kernel
def adam_steps(ws, grads, ms, vs, sizes, rates, roots, beta1, keep1, beta2, keep2, eps, decay, shrink):
    """As ``simt.optim.adam_step``, with a rate and a root for each parameter."""
    p = U(cuda.blockIdx.y)
    n = U(sizes[p])
    w = array_at(ws[p], n, eps)
    grad = array_at(grads[p], n, eps)
    m = array_at(ms[p], n, eps)
    v = array_at(vs[p], n, eps)
    rate = rates[p]
    root = roots[p]
    i = U(cuda.grid(1))
    while i < n:
        q = w[i] * shrink
        g = grad[i] + decay * q
        a = beta1 * m[i] + keep1 * g
        b = beta2 * v[i] + keep2 * g * g
        m[i] = a
        v[i] = b
        w[i] = q - rate * a / (sqrt(b) / root + eps)
        i = U(i + U(cuda.blockDim.x * cuda.gridDim.x))
