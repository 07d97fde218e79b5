"""Losses that are one kernel: the rest is composed in ``nn.functional``."""

from __future__ import annotations

from ..backends import Array, Backend
from .base import Gradients, Op

__all__ = ["CrossEntropy"]


class CrossEntropy(Op):
    """logits (N, K) -> the loss of each row (N,), against class indices and with label smoothing."""

    def __init__(self, labels: Array, smoothing: float) -> None:
        self.labels, self.smoothing = labels, smoothing

    def forward(self, xp: Backend, logits: Array) -> Array:
        losses, softmax = xp.cross_entropy_forward(logits, self.labels, self.smoothing)
        self.saved = (softmax,)
        return losses

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.cross_entropy_backward(grad, self.saved[0], self.labels, self.smoothing),)
