"""Convolutions: the list of ways to do one, special ones first, and the choice among them."""

from __future__ import annotations

import numpy as np

from ....geometry import ConvGeometry
from ....names import ACTIVATIONS
from ...choice import chooser
from .. import packs
from ..arrays import LARGE, Array, Arrays, c_ordered, to_channels_last
from ..reduce import channel_sum
from .algorithm import Algorithm
from .column_sum import ColumnSum
from .depthwise import Depthwise, Grouped
from .direct import Direct, Superpixels
from .winograd import Winograd

__all__ = ["ALGORITHMS", "Conv", "choose"]

DIRECT, SUPERPIXELS = Direct(), Superpixels()
ALGORITHMS: tuple[Algorithm, ...] = (Depthwise(), Grouped(), Winograd(), ColumnSum(), SUPERPIXELS, DIRECT)

choose = chooser(ALGORITHMS)


class Conv(Arrays):
    """All passes of a convolution, each by the first algorithm that takes it."""

    def conv_forward(self, x: Array, w: Array, b: Array | None, geometry: ConvGeometry, activation: str = "none") -> Array:
        g, out = geometry, self.empty(geometry.output_shape, x.dtype)
        if g.n:
            x = self.contiguous(x)
            algorithm = self._chosen("forward", g, x)
            packed = packs.cached(w, algorithm.name, algorithm.layout(g, x.dtype), lambda: algorithm.pack(self.buffers, w, g))
            algorithm.forward(self.buffers, x, (w, packed), b, ACTIVATIONS.index(activation), g, to_channels_last(out))
        return out

    def conv_grad_input(self, grad: Array, w: Array, geometry: ConvGeometry) -> Array:
        g = geometry
        out = self.empty(g.input_shape, grad.dtype)
        if g.n:
            grad = self.contiguous(grad)
            self._chosen("grad_input", g, grad).grad_input(self.buffers, grad, c_ordered(w), g, to_channels_last(out))
        return out

    def conv_grad_weight(self, grad: Array, x: Array, geometry: ConvGeometry) -> Array:
        g = geometry
        out = np.zeros(g.weight_shape, x.dtype)
        if g.n:
            choose("grad_weight", g, x.dtype).grad_weight(self.buffers, self.contiguous(grad), self.contiguous(x), g, out)
        return out

    def _chosen(self, op: str, g: ConvGeometry, x: Array) -> Algorithm:
        algorithm = choose(op, g, x.dtype)
        # the zero taps that superpixels add would carry an infinity to neighbours, as NaN
        return DIRECT if algorithm is SUPERPIXELS and not self._finite(x) else algorithm

    def _finite(self, x: Array) -> bool:
        """Whether no element of x (N, ..., C) is infinite or NaN; of a large one False as well where their sum overflows."""
        if x.size < LARGE:
            return bool(np.isfinite(x).all())
        lines = x.reshape(len(x) * x.shape[1], -1)
        return bool(np.isfinite(channel_sum(self.buffers, 0, x, x, lines)).all())
