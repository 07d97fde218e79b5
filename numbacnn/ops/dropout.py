"""Dropout."""

from __future__ import annotations

from ..backends import Array, Backend
from .base import Gradients, Op

__all__ = ["Dropout"]

NUMBERS = 1 << 32
"""How many numbers an element can draw."""


class Dropout(Op):
    """x * mask: each element is zero with probability ``p``, the others are multiplied by 1 / (1 - p). The mask follows from ``key``.

    Nothing is saved: backward draws the same mask.
    """

    owns_gradient = True

    def __init__(self, p: float, key: Array) -> None:
        self.key = key
        self.threshold = min(round(p * NUMBERS), NUMBERS - 1)
        self.scale = 0.0 if p == 1 else 1 / (1 - p)

    def forward(self, xp: Backend, x: Array) -> Array:
        return xp.dropout(x, self.key, self.threshold, self.scale)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.dropout(grad, self.key, self.threshold, self.scale),)
