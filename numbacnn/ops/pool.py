"""Two-dimensional pooling."""

from __future__ import annotations

from ..backends import Array, Backend
from ..geometry import AdaptivePool2dGeometry, Pool2dGeometry
from .base import Gradients, Op

__all__ = ["AdaptiveAvgPool2d", "AvgPool2d", "MaxPool2d"]


class MaxPool2d(Op):
    """x (N, C, H, W) -> (N, C, OH, OW); the gradient goes to the first of equal maxima."""

    def __init__(self, geometry: Pool2dGeometry) -> None:
        self.geometry = geometry

    def forward(self, xp: Backend, x: Array) -> Array:
        y, index = xp.max_pool2d_forward(x, self.geometry)
        self.saved = (index,)
        return y

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.max_pool2d_backward(grad, self.saved[0], self.geometry),)


class AvgPool2d(Op):
    """x (N, C, H, W) -> (N, C, OH, OW)."""

    def __init__(self, geometry: Pool2dGeometry) -> None:
        self.geometry = geometry

    def forward(self, xp: Backend, x: Array) -> Array:
        return xp.avg_pool2d_forward(x, self.geometry)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.avg_pool2d_backward(grad, self.geometry),)


class AdaptiveAvgPool2d(Op):
    """x (N, C, H, W) -> (N, C, OH, OW), windows of nearly equal sizes."""

    def __init__(self, geometry: AdaptivePool2dGeometry) -> None:
        self.geometry = geometry

    def forward(self, xp: Backend, x: Array) -> Array:
        return xp.adaptive_avg_pool2d_forward(x, self.geometry)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.adaptive_avg_pool2d_backward(grad, self.geometry),)
