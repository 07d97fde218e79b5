"""Two-dimensional convolution."""

from __future__ import annotations

from ..backends import Array, Backend
from ..geometry import Conv2dGeometry, Pool2dGeometry
from .linear import Dense

__all__ = ["Conv2d"]


class Conv2d(Dense):
    """x (N, C, H, W), w (OC, C/groups, KH, KW), optionally b (OC,) -> (N, OC, OH, OW), or the means of ``pool``'s windows."""

    def __init__(self, geometry: Conv2dGeometry, activation: str = "none", pool: Pool2dGeometry | None = None) -> None:
        super().__init__(activation, pool)
        self.geometry = geometry

    def product(self, xp: Backend, x: Array, w: Array, b: Array | None) -> Array:
        return xp.conv2d_forward(x, w, b, self.geometry, self.activation)

    def grad_input(self, xp: Backend, grad: Array, w: Array) -> Array:
        return xp.conv2d_grad_input(grad, w, self.geometry)

    def grad_weight(self, xp: Backend, grad: Array, x: Array) -> Array:
        return xp.conv2d_grad_weight(grad, x, self.geometry)
