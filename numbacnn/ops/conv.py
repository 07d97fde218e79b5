"""Convolution."""

from __future__ import annotations

from ..backends import Array, Backend
from ..geometry import ConvGeometry, PoolGeometry
from .linear import Dense

__all__ = ["Conv"]


class Conv(Dense):
    """x (N, C, ...), w (OC, C/groups, ...), optionally b (OC,) -> (N, OC, ...), or the means of ``pool``'s windows."""

    def __init__(self, geometry: ConvGeometry, activation: str = "none", pool: PoolGeometry | None = None) -> None:
        super().__init__(activation, pool)
        self.geometry = geometry

    @property
    def label(self) -> str:
        return f"Conv{len(self.geometry.axes)}d"

    def product(self, xp: Backend, x: Array, w: Array, b: Array | None) -> Array:
        return xp.conv_forward(x, w, b, self.geometry, self.activation, kept=not self.needs_grad[1])

    def grad_input(self, xp: Backend, grad: Array, w: Array) -> Array:
        return xp.conv_grad_input(grad, w, self.geometry)

    def grad_weight(self, xp: Backend, grad: Array, x: Array) -> Array:
        return xp.conv_grad_weight(grad, x, self.geometry)
