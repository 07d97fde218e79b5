"""Matrix products."""

from __future__ import annotations

from ..backends import Array, Backend
from .base import Gradients, Op

__all__ = ["Linear", "Matmul"]


class Matmul(Op):
    """(M, K) @ (K, N)."""

    fresh = True

    def forward(self, xp: Backend, a: Array, b: Array) -> Array:
        self.saved = (a, b)
        self.kept = (0,) * self.needs[1] + (1,) * self.needs[0]
        return xp.matmul(a, b)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        a, b = self.saved
        return (
            xp.matmul(grad, xp.transpose(b, (1, 0))) if self.needs[0] else None,
            xp.matmul(xp.transpose(a, (1, 0)), grad) if self.needs[1] else None,
        )


class Linear(Op):
    """x (N, I), w (O, I), optionally b (O,): x @ w.T + b."""

    fresh = True
    weight = 1

    def forward(self, xp: Backend, x: Array, w: Array, b: Array | None = None) -> Array:
        self.saved = (x, w)
        self.kept = (0,) * self.needs[1] + (1,) * self.needs[0]
        return xp.linear_forward(x, w, b)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        x, w = self.saved
        return (
            xp.linear_grad_input(grad, w) if self.needs[0] else None,
            xp.linear_grad_weight(grad, x) if self.needs[1] else None,
            xp.channel_sum(grad) if self.needs[2] else None,
        )
