"""Losses that are one kernel: the rest is composed in ``nn.functional``."""

from __future__ import annotations

import math

from ..backends import Array, Backend
from .base import Gradients, Op

__all__ = ["CrossEntropy"]


class CrossEntropy(Op):
    """logits (N, K) -> the loss of each row (N,), or their mean (), against class indices and with label smoothing."""

    def __init__(self, labels: Array, smoothing: float, mean: bool = False) -> None:
        self.labels, self.smoothing, self.mean = labels, smoothing, mean

    def forward(self, xp: Backend, logits: Array) -> Array:
        losses, softmax = xp.cross_entropy_forward(logits, self.labels, self.smoothing)
        self.saved = (softmax,)
        if not self.mean:
            return losses
        return xp.binary("divide", xp.sum(losses, (0,), False), losses.shape[0] or math.nan)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        if self.mean:
            grad = xp.binary("divide", grad, self.labels.shape[0] or math.nan)
        return (xp.cross_entropy_backward(grad, self.saved[0], self.labels, self.smoothing),)
