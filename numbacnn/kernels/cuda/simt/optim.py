"""Optimiser steps in place over flat arrays: one launch a parameter, one thread an element. Scalars have the dtype of ``w``."""

from numba import uint32

from ..driver import cuda, kernel, sqrt

U = uint32


@kernel
def sgd_step(w, grad, velocity, lr, momentum, damping, decay, has_velocity, nesterov, first, n):
    """``damping`` is 1 - dampening; ``first``: the velocity starts as the gradient; without one, ``velocity`` is any array."""
    i = U(cuda.grid(1))
    if i < n:
        d = grad[i] + decay * w[i]
        if has_velocity:
            v = d
            if not first:
                v = momentum * velocity[i] + damping * d
            velocity[i] = v
            d = d + momentum * v if nesterov else v
        w[i] -= lr * d


@kernel
def adam_step(w, grad, m, v, rate, beta1, keep1, beta2, keep2, eps, decay, shrink, root, n):
    """``keep`` is 1 - beta, ``rate`` lr / (1 - beta1^t), ``root`` sqrt(1 - beta2^t), ``shrink`` 1 - lr * decay where decay is decoupled."""
    i = U(cuda.grid(1))
    if i < n:
        p = w[i] * shrink
        g = grad[i] + decay * p
        a = beta1 * m[i] + keep1 * g
        b = beta2 * v[i] + keep2 * g * g
        m[i] = a
        v[i] = b
        w[i] = p - rate * a / (sqrt(b) / root + eps)
