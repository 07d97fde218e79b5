"""Two-dimensional convolution."""

from __future__ import annotations

from ..backends import Array, Backend
from ..geometry import Conv2dGeometry
from .base import Gradients, Op

__all__ = ["Conv2d"]


class Conv2d(Op):
    """x (N, C, H, W), w (OC, C/groups, KH, KW), optionally b (OC,) -> (N, OC, OH, OW)."""

    fresh = True
    weight = 1

    def __init__(self, geometry: Conv2dGeometry) -> None:
        self.geometry = geometry

    def forward(self, xp: Backend, x: Array, w: Array, b: Array | None = None) -> Array:
        self.saved = (x, w)
        self.kept = (0,) * self.needs[1] + (1,) * self.needs[0]
        return xp.conv2d_forward(x, w, b, self.geometry)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        x, w = self.saved
        return (
            xp.conv2d_grad_input(grad, w, self.geometry) if self.needs[0] else None,
            xp.conv2d_grad_weight(grad, x, self.geometry) if self.needs[1] else None,
            xp.channel_sum(grad) if self.needs[2] else None,
        )
