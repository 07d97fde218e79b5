"""Softmax and its logarithm over the rows of (R, K), in an order that the shape alone decides."""

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import DOT, inline, kernel
from .vecmath import exp_below
from .vector import greater as larger
from .vector import lanes, load, put

__all__ = ["dot", "log_softmax", "log_softmax_backward", "scale_row", "softmax", "softmax_backward", "softmax_row"]


@inline
def _long_maximum(x, scratch):
    """The maximum of whole pairs of vectors of x; LLVM would compare one by one."""
    a, b = load(x, 0), load(x, lanes(x))
    for k in range(2 * lanes(x), x.size - 2 * lanes(x) + 1, 2 * lanes(x)):
        a, b = larger(load(x, k), a), larger(load(x, k + lanes(x)), b)
    put(larger(a, b), scratch, 0)
    return _maximum(scratch[: lanes(x)])


@inline
def _maximum(x):
    m = x.dtype.type(-np.inf)
    for k in range(x.size):
        m = x[k] if x[k] > m else m  # a NaN that this misses comes back with the sum
    return m


@inline
def softmax_row(x, y):
    """y (K,) = exp(x - max(x)); returns max(x) and the sum of y."""
    pairs = x.size // (2 * lanes(x)) * 2 * lanes(x)
    m = _maximum(x[pairs:])
    if pairs:
        long = _long_maximum(x, y)
        m = long if long > m else m
    for k in range(x.size):
        y[k] = exp_below(x[k] - m)
    return m, _sum(y)  # in a loop that also stores, the order of the sum would depend on how near x and y lie


@inline
def scale_row(y, factor):
    """y (K,) *= factor."""
    for k in range(y.size):
        y[k] *= factor


@inline(fastmath=DOT)
def dot(x, y):
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k] * y[k]
    return total


@inline(fastmath=DOT)
def _sum(x):
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k]
    return total


@inline
def _softmax_row(x, y):
    _, total = softmax_row(x, y)
    scale_row(y, x.dtype.type(1) / total)


@inline
def _log_softmax_row(x, y):
    m, total = softmax_row(x, y)
    shift = np.log(total)
    for k in range(x.size):
        y[k] = (x[k] - m) - shift


@inline
def _softmax_backward_row(grad, y, dx):
    mean = dot(grad, y)
    for k in range(dx.size):
        dx[k] = (grad[k] - mean) * y[k]


@inline
def _log_softmax_backward_row(grad, y, dx):
    total = _sum(grad)
    for k in range(dx.size):
        dx[k] = grad[k] - exp_below(y[k]) * total


@kernel
def softmax(x, y):
    """y = softmax of each row of x (R, K)."""
    for r in prange(x.shape[0]):
        _softmax_row(x[r], y[r])


@kernel
def softmax_backward(grad, y, dx):
    """dx = y * (grad - sum(grad * y)), row by row; y = softmax(x)."""
    for r in prange(y.shape[0]):
        _softmax_backward_row(grad[r], y[r], dx[r])


@kernel
def log_softmax(x, y):
    """y = log(softmax) of each row of x (R, K)."""
    for r in prange(x.shape[0]):
        _log_softmax_row(x[r], y[r])


@kernel
def log_softmax_backward(grad, y, dx):
    """dx = grad - exp(y) * sum(grad), row by row; y = log_softmax(x)."""
    for r in prange(y.shape[0]):
        _log_softmax_backward_row(grad[r], y[r], dx[r])
