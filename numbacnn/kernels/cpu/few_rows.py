"""Matrix products with few rows, such as a linear layer's of a single image: the weights are read once, as they lie.

``conv.contract`` packs weights first, which takes longer than all of this. A task is a fixed block of the result, so that no bit
depends on the number of threads.
"""

from __future__ import annotations

from numba import prange

from .launch import inline, kernel
from .pointwise import activate
from .softmax import dot
from .vector import lanes, load, put

__all__ = ["outer_sum", "product", "product_t"]

ROWS = 16
"""Rows of weights that a task reads."""

COLUMNS = 128
"""Columns of weights that a task reads: their sums stay in the first-level cache."""


@inline
def _add_scaled(a, x, y):
    """y += a * x."""
    for i in range(y.size):
        y[i] += a * x[i]


@inline
def _products(x, w, bias, activation_code, y, first, stop):
    """Columns first .. stop of y."""
    for n in range(first, stop):
        for m in range(len(x)):
            y[m, n] = dot(x[m], w[n])
            if bias.size:
                y[m, n] += bias[n]
    for m in range(len(x)):
        activate(y[m, first:stop], activation_code)


@kernel
def product_t(x, w, bias, activation_code, y):
    """y (M, N) = f(x (M, K) @ w (N, K)^T + bias), f = ACTIVATIONS[activation_code]; an empty bias is none."""
    for task in prange((len(w) + ROWS - 1) // ROWS):
        _products(x, w, bias, activation_code, y, task * ROWS, min(len(w), (task + 1) * ROWS))


@inline
def _add_four(x, w, k, o, y, to, width):
    """y[to : to + width] += x[k : k + 4] @ four rows of w, the first of which is at o in memory."""
    step, L = w.shape[1], lanes(w)
    flat = w.reshape(w.size)
    for j in range(0, width // L * L, L):
        v = load(y, to + j)
        for i in range(4):
            v = v + x[k + i] * load(flat, o + i * step + j)
        put(v, y, to + j)
    for j in range(width // L * L, width):
        for i in range(4):
            y[to + j] += x[k + i] * flat[o + i * step + j]


@inline
def _sums(x, w, y, first, stop):
    """Columns first .. stop of y."""
    (M, K), N = x.shape, w.shape[1]
    flat = y.reshape(y.size)
    for m in range(M):
        y[m, first:stop] = 0
    for k in range(0, K // 4 * 4, 4):
        for m in range(M):
            _add_four(x[m], w, k, k * N + first, flat, m * N + first, stop - first)
    for k in range(K // 4 * 4, K):
        for m in range(M):
            _add_scaled(x[m, k], w[k, first:stop], y[m, first:stop])


@kernel
def product(x, w, y):
    """y (M, N) = x (M, K) @ w (K, N)."""
    for task in prange((w.shape[1] + COLUMNS - 1) // COLUMNS):
        _sums(x, w, y, task * COLUMNS, min(w.shape[1], (task + 1) * COLUMNS))


@inline
def _outer(grad, x, out, n):
    """Row n of out."""
    for i in range(x.shape[1]):
        out[n, i] = grad[0, n] * x[0, i]
    for m in range(1, len(x)):
        _add_scaled(grad[m, n], x[m], out[n])


@kernel
def outer_sum(grad, x, out):
    """out (N, K) = grad (M, N)^T @ x (M, K), for at least one row."""
    for task in prange((len(out) + ROWS - 1) // ROWS):
        for n in range(task * ROWS, min(len(out), (task + 1) * ROWS)):
            _outer(grad, x, out, n)
