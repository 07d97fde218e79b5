"""Pooling."""

from __future__ import annotations

from typing import Any

from ..backends import Array, Backend
from ..geometry import AdaptivePoolGeometry, PoolGeometry
from .base import Gradients, Op

__all__ = ["AdaptiveAvgPool", "AvgPool", "MaxPool"]


class _Pool(Op):
    def __init__(self, geometry: PoolGeometry | AdaptivePoolGeometry) -> None:
        self.geometry: Any = geometry

    @property
    def label(self) -> str:
        return f"{type(self).__name__}{len(self.geometry.sizes)}d"


class MaxPool(_Pool):
    """x (N, C, ...) -> (N, C, ...); the gradient goes to the first of equal maxima."""

    def forward(self, xp: Backend, x: Array) -> Array:
        y, index = xp.max_pool_forward(x, self.geometry)
        self.saved = (index,)
        return y

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.max_pool_backward(grad, self.saved[0], self.geometry),)


class AvgPool(_Pool):
    """x (N, C, ...) -> (N, C, ...)."""

    def forward(self, xp: Backend, x: Array) -> Array:
        return xp.avg_pool_forward(x, self.geometry)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.avg_pool_backward(grad, self.geometry),)


class AdaptiveAvgPool(_Pool):
    """x (N, C, ...) -> (N, C, ...), windows of nearly equal sizes."""

    def forward(self, xp: Backend, x: Array) -> Array:
        return xp.adaptive_avg_pool_forward(x, self.geometry)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.adaptive_avg_pool_backward(grad, self.geometry),)
