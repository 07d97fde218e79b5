"""Losses that are one kernel, or whose gradient is not that of their formula: the rest is composed in ``nn.functional``."""

from __future__ import annotations

from ..backends import Array, Backend
from .base import Gradients, Op

__all__ = ["BinaryCrossEntropy", "CrossEntropy"]


class CrossEntropy(Op):
    """logits (N, K) -> the loss of each row (N,), or their mean (), against class indices and with label smoothing.

    A row whose label is -1 has no loss and no gradient, and does not count.
    """

    def __init__(self, labels: Array, smoothing: float, mean: bool = False) -> None:
        self.labels, self.smoothing, self.mean = labels, smoothing, mean

    def forward(self, xp: Backend, logits: Array) -> Array:
        losses, softmax = xp.cross_entropy_forward(logits, self.labels, self.smoothing)
        self.saved = (softmax,)
        if not self.mean:
            return xp.getitem(losses, 0)
        total = xp.sum(losses, (1,), False)
        self.saved += (xp.getitem(total, 1),)
        return xp.binary("divide", xp.getitem(total, 0), self.saved[1])

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        if self.mean:
            grad = xp.binary("divide", grad, self.saved[1])
        return (xp.cross_entropy_backward(grad, self.saved[0], self.labels, self.smoothing),)


class BinaryCrossEntropy(Op):
    """Probabilities and targets -> the loss of each. Logarithms end at -100, and the gradient at 1e12: both are finite at 0 and 1."""

    def forward(self, xp: Backend, x: Array, target: Array) -> Array:
        self.saved, self.saved_inputs = (x, target), (0, 1)
        yes, no = self._logarithms(xp, x)
        return xp.binary("subtract", xp.binary("multiply", xp.binary("subtract", target, 1.0), no), xp.binary("multiply", target, yes))

    @staticmethod
    def _logarithms(xp: Backend, x: Array) -> tuple[Array, Array]:
        """Of the probability and of 1 less the probability."""
        logs = xp.unary("log", x), xp.unary("log1p", xp.unary("negative", x))
        return xp.binary("maximum", logs[0], -100.0), xp.binary("maximum", logs[1], -100.0)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        x, target = self.saved
        first = second = None
        if self.needs_grad[0]:
            slope = xp.binary("maximum", xp.binary("multiply", xp.binary("subtract", 1.0, x), x), 1e-12)
            first = xp.binary("divide", xp.binary("multiply", grad, xp.binary("subtract", x, target)), slope)
        if self.needs_grad[1]:
            yes, no = self._logarithms(xp, x)
            second = xp.binary("multiply", grad, xp.binary("subtract", no, yes))
        return first, second
