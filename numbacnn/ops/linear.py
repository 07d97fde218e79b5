"""Matrix products."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..backends import Array, Backend
from ..geometry import PoolGeometry
from .base import Gradients, Op
from .shape import Contiguous

__all__ = ["BatchedMatmul", "Dense", "Linear", "Matmul"]


class Matmul(Op):
    """(M, K) @ (K, N)."""

    owns_gradient = True

    def forward(self, xp: Backend, a: Array, b: Array) -> Array:
        self.saved = (a, b)
        self.saved_inputs = (0,) * self.needs_grad[1] + (1,) * self.needs_grad[0]
        return xp.matmul(a, b)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        a, b = self.saved
        if not xp.is_dense(grad, range(grad.ndim)):  # on how it lies the order of a sum would depend
            grad = Contiguous().forward(xp, grad)
        turned = (*range(a.ndim - 2), a.ndim - 1, a.ndim - 2)
        return (
            xp.matmul(grad, xp.transpose(b, turned)) if self.needs_grad[0] else None,
            xp.matmul(xp.transpose(a, turned), grad) if self.needs_grad[1] else None,
        )

    def macs(self, inputs: Sequence[tuple[int, ...]], output: tuple[int, ...]) -> int:
        return math.prod(output) * inputs[0][-1]


class BatchedMatmul(Matmul):
    """(B, M, K) @ (B, K, N)."""

    owns_gradient = False


class Dense(Op):
    """y = activation(x . w + b), then average-pooled if ``pool`` is given: the base of Linear and Conv."""

    owns_gradient = True
    weight = 1

    def __init__(self, activation: str = "none", pool: PoolGeometry | None = None) -> None:
        self.activation, self.pool = activation, pool

    def forward(self, xp: Backend, x: Array, w: Array, b: Array | None = None) -> Array:
        y = self.product(xp, x, w, b)
        active = self.activation != "none"
        self.saved = (x, w, y) if active else (x, w)
        self.saved_inputs = (0,) * self.needs_grad[1] + (1,) * self.needs_grad[0] + (-1,) * (active and self.pool is None)
        return y if self.pool is None else xp.avg_pool_forward(y, self.pool)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        x, w, *y = self.saved
        total = None
        if y and self.pool is not None:
            grad, total = xp.average_backward(self.activation, grad, y[0], self.pool)
        elif y:
            grad, total = xp.activation_backward(self.activation, grad, *y)
        elif self.pool is not None:
            grad = xp.avg_pool_backward(grad, self.pool)
        return (
            self.grad_input(xp, grad, w) if self.needs_grad[0] else None,
            self.grad_weight(xp, grad, x) if self.needs_grad[1] else None,
            (xp.channel_sum(grad) if total is None else total) if self.needs_grad[2] else None,
        )

    def macs(self, inputs: Sequence[tuple[int, ...]], output: tuple[int, ...]) -> int:
        _, *taps = inputs[1]  # the weight's, of one output
        return math.prod(output) * math.prod(taps)

    def product(self, xp: Backend, x: Array, w: Array, b: Array | None) -> Array:
        raise NotImplementedError

    def grad_input(self, xp: Backend, grad: Array, w: Array) -> Array:
        raise NotImplementedError

    def grad_weight(self, xp: Backend, grad: Array, x: Array) -> Array:
        raise NotImplementedError


class Linear(Dense):
    """x (N, I), or (N, C, H, W) with C * H * W = I, w (O, I), optionally b (O,): x.flatten(1) @ w.T + b."""

    def product(self, xp: Backend, x: Array, w: Array, b: Array | None) -> Array:
        return xp.linear_forward(x, w, b, self.activation)

    def grad_input(self, xp: Backend, grad: Array, w: Array) -> Array:
        return xp.linear_grad_input(grad, w, self.saved[0].shape)

    def grad_weight(self, xp: Backend, grad: Array, x: Array) -> Array:
        return xp.linear_grad_weight(grad, x)
