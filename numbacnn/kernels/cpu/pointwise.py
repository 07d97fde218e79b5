"""Activations and sums on flat arrays of one size and type. A task is a fixed block, so that no bit depends on the number of threads.

An ``activation_code`` is a place in ``names.ACTIVATIONS``.
"""

from __future__ import annotations

from numba import prange

from .launch import inline, kernel
from .vecmath import sigmoid as _sigmoid
from .vecmath import tanh as _tanh

__all__ = [
    "activate",
    "add",
    "block",
    "blocks",
    "derive",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "tanh",
    "tanh_backward",
]

BLOCK = 4096


@inline
def blocks(x):
    """How many blocks x has."""
    return (x.size + BLOCK - 1) // BLOCK


@inline(owns=True)
def block(x, b):
    """Block b of x."""
    return x[b * BLOCK : (b + 1) * BLOCK]


@inline
def _add(a, b, y):
    for i in range(y.size):
        y[i] = a[i] + b[i]


@inline
def _relu(x, y):
    zero = x.dtype.type(0)
    for i in range(x.size):
        y[i] = zero if x[i] < zero else x[i]  # NaN stays


@inline
def _relu_backward(grad, y, dx):
    zero = y.dtype.type(0)
    for i in range(dx.size):
        dx[i] = zero if y[i] <= zero else grad[i]


@inline
def _sigmoid_block(x, y):
    for i in range(x.size):
        y[i] = _sigmoid(x[i])


@inline
def _sigmoid_backward(grad, y, dx):
    one = y.dtype.type(1)
    for i in range(dx.size):
        dx[i] = grad[i] * (y[i] * (one - y[i]))


@inline
def _tanh_block(x, y):
    for i in range(x.size):
        y[i] = _tanh(x[i])


@inline
def _tanh_backward(grad, y, dx):
    one = y.dtype.type(1)
    for i in range(dx.size):
        dx[i] = grad[i] * (one - y[i] * y[i])


@inline
def activate(x, activation_code):
    """x = ACTIVATIONS[activation_code](x), in loops of their own.

    For two arrays LLVM would ask whether they overlap, and go one by one.
    """
    zero = x.dtype.type(0)
    if activation_code == 1:
        for i in range(x.size):
            x[i] = zero if x[i] < zero else x[i]  # NaN stays
    elif activation_code == 2:
        for i in range(x.size):
            x[i] = _sigmoid(x[i])
    elif activation_code == 3:
        for i in range(x.size):
            x[i] = _tanh(x[i])


@inline
def derive(grad, y, activation_code, dx):
    """dx = the gradient of what ACTIVATIONS[activation_code] made y of; activation_code is not 0."""
    if activation_code == 1:
        _relu_backward(grad, y, dx)
    elif activation_code == 2:
        _sigmoid_backward(grad, y, dx)
    else:
        _tanh_backward(grad, y, dx)


@kernel
def add(a, b, y):
    """y = a + b."""
    for t in prange(blocks(y)):
        _add(block(a, t), block(b, t), block(y, t))


@kernel
def relu(x, y):
    """y = max(x, 0)."""
    for b in prange(blocks(x)):
        _relu(block(x, b), block(y, b))


@kernel
def relu_backward(grad, y, dx):
    """dx = grad where y > 0 (or NaN), else 0."""
    for b in prange(blocks(y)):
        _relu_backward(block(grad, b), block(y, b), block(dx, b))


@kernel
def sigmoid(x, y):
    """y = 1 / (1 + exp(-x))."""
    for b in prange(blocks(x)):
        _sigmoid_block(block(x, b), block(y, b))


@kernel
def sigmoid_backward(grad, y, dx):
    """dx = grad * y * (1 - y)."""
    for b in prange(blocks(y)):
        _sigmoid_backward(block(grad, b), block(y, b), block(dx, b))


@kernel
def tanh(x, y):
    """y = tanh(x)."""
    for b in prange(blocks(x)):
        _tanh_block(block(x, b), block(y, b))


@kernel
def tanh_backward(grad, y, dx):
    """dx = grad * (1 - y * y)."""
    for b in prange(blocks(y)):
        _tanh_backward(block(grad, b), block(y, b), block(dx, b))
