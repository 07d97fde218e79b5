"""One step of an optimiser on any number of parameters, in place and in one launch. A task is a fixed block of one of them.

Column p of ``table`` is about parameter p: its size, then the addresses of its arrays, flat and of the dtype of ``like``; ``numbers[p]``
is one of its own. Row t of ``tasks`` is a task's parameter and block. (Numba would compile a kernel anew for each number of arrays.)
"""

from __future__ import annotations

import ctypes

import numba
import numpy as np
from numba import carray, prange, types
from numba.extending import intrinsic

from ...recording import constant
from .launch import ROUNDED, inline, kernel
from .pointwise import BLOCK

__all__ = ["adam_step", "cut", "sgd_step"]


def cut(sizes: tuple[int, ...]) -> np.ndarray:
    """The tasks for parameters of so many elements."""
    rows = [(p, b) for p, size in enumerate(sizes) for b in range(-(-size // BLOCK))]
    return constant(np.array(rows, np.int64).reshape(-1, 2))


if numba.config.DISABLE_JIT:

    def _pointer(address):
        return ctypes.c_void_p(int(address))

else:

    @intrinsic
    def _pointer(typingctx, address):
        def codegen(context, builder, sig, args):
            return builder.inttoptr(args[0], context.get_value_type(types.voidptr))

        return types.voidptr(types.int64), codegen


@inline(owns=True)
def _block(like, table, task, i):
    """The task's block of array i of its parameter."""
    p, first = task[0], task[1] * BLOCK
    return carray(_pointer(table[1 + i, p]), (table[0, p],), like.dtype)[first : first + BLOCK]


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
def sgd_step(like, table, numbers, tasks, rates):
    """As ``torch.optim.SGD``. Arrays: w, which changes, the gradient, and velocity; the number: whether it is the first step.

    The velocity changes too; at the first step it starts as the gradient, whatever it held. Where momentum is 0 there need be none.
    ``rates``: the learning rate, momentum, dampening, weight decay, and whether the momentum is Nesterov's.
    """
    lr, momentum, dampening, decay, nesterov = rates[0], rates[1], rates[2], rates[3], rates[4]
    last = 2 if momentum != 0 else 0
    for t in prange(len(tasks)):
        w, grad, velocity = _block(like, table, tasks[t], 0), _block(like, table, tasks[t], 1), _block(like, table, tasks[t], last)
        _sgd_block(w, grad, velocity, lr, momentum, dampening, decay, nesterov != 0, numbers[tasks[t, 0]])


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
def adam_step(like, table, numbers, tasks, rates, decoupled):
    """As ``torch.optim.Adam``, or ``AdamW`` where ``decoupled`` (0 or 1). Arrays: w, which changes, the gradient, m and v, which change.

    The number counts the steps, from 1. ``rates``: the learning rate, beta1, beta2, eps and the weight decay.

    D. Kingma and J. Ba, "Adam", ICLR 2015; I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """
    lr, beta1, beta2, eps, decay = rates[0], rates[1], rates[2], rates[3], rates[4]
    for t in prange(len(tasks)):
        w, grad = _block(like, table, tasks[t], 0), _block(like, table, tasks[t], 1)
        m, v = _block(like, table, tasks[t], 2), _block(like, table, tasks[t], 3)
        _adam_block(w, grad, m, v, numbers[tasks[t, 0]], lr, beta1, beta2, eps, decay, decoupled)
