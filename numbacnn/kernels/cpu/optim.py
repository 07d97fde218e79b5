"""One step of an optimiser on flat arrays, in place. A task is a fixed block."""

from __future__ import annotations

import numpy as np
from numba import prange

from .elementwise import block, blocks
from .launch import ROUNDED, inline, kernel

__all__ = ["adam_step", "sgd_step"]


@inline(fastmath=ROUNDED)
def _sgd(w, grad, lr, decay):
    for i in range(w.size):
        w[i] -= lr * (grad[i] + decay * w[i])


@inline(fastmath=ROUNDED)
def _momentum(w, grad, velocity, lr, keep, take, decay, nesterov):
    for i in range(w.size):
        d = grad[i] + decay * w[i]
        v = keep * velocity[i] + take * d
        velocity[i] = v
        w[i] -= lr * (d + keep * v if nesterov else v)


@inline(fastmath=ROUNDED)
def _adam(w, grad, m, v, rate, take1, keep2, take2, eps, root, shrink, decay):
    for i in range(w.size):
        g = grad[i] + decay * w[i]
        m[i] += take1 * (g - m[i])
        v[i] = keep2 * v[i] + take2 * (g * g)
        w[i] = shrink * w[i] - rate * (m[i] / (np.sqrt(v[i]) / root + eps))


@inline(fastmath=ROUNDED)
def _sgd_block(w, grad, velocity, lr, momentum, dampening, decay, nesterov, first):
    real = w.dtype.type
    if momentum == 0:
        _sgd(w, grad, real(lr), real(decay))
        return
    if first:
        velocity.fill(0)
    take = real(1) if first else real(1 - dampening)
    _momentum(w, grad, velocity, real(lr), real(momentum), take, real(decay), nesterov)


@kernel
def sgd_step(w, grad, velocity, lr, momentum, dampening, decay, nesterov, first):
    """As ``torch.optim.SGD``: flat w and velocity change in place. Where momentum is 0, velocity (of any size) is left alone.

    ``nesterov`` and ``first`` are 0 or 1; where ``first``, the velocity starts as the gradient, whatever it held.
    """
    for b in prange(blocks(w)):
        _sgd_block(block(w, b), block(grad, b), block(velocity, b), lr, momentum, dampening, decay, nesterov, first)


@inline(fastmath=ROUNDED)
def _adam_block(w, grad, m, v, step, lr, beta1, beta2, eps, decay, decoupled):
    real = w.dtype.type
    rate = lr / (1 - beta1**step)
    root = np.sqrt(1 - beta2**step)
    shrink = real(1 - lr * decay) if decoupled else real(1)
    added = real(0) if decoupled else real(decay)
    # 1 - beta in double: in single precision it would lose four digits
    _adam(w, grad, m, v, real(rate), real(1 - beta1), real(beta2), real(1 - beta2), real(eps), real(root), shrink, added)


@kernel
def adam_step(w, grad, m, v, step, lr, beta1, beta2, eps, decay, decoupled):
    """As ``torch.optim.Adam``, or ``AdamW`` where ``decoupled`` (0 or 1): flat w, m and v change in place; step counts from 1.

    D. Kingma and J. Ba, "Adam", ICLR 2015; I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """
    for b in prange(blocks(w)):
        _adam_block(block(w, b), block(grad, b), block(m, b), block(v, b), step, lr, beta1, beta2, eps, decay, decoupled)
