"""Convolutions: the list of ways to do one, special ones first, and the choice among them."""

from __future__ import annotations

from ....geometry import ConvGeometry
from ....names import ACTIVATIONS
from ...choice import chooser
from .. import packs
from ..arrays import Array, Arrays, c_ordered, filled, to_channels_last
from ..buffers import plain
from .algorithm import Algorithm
from .column_sum import ColumnSum
from .depthwise import Depthwise, Grouped
from .direct import Direct, Superpixels
from .few_pixels import FewPixels
from .winograd import Winograd

__all__ = ["ALGORITHMS", "Conv", "choose"]

ALGORITHMS: tuple[Algorithm, ...] = (Depthwise(), Grouped(), FewPixels(), Winograd(), ColumnSum(), Superpixels(), Direct())

choose = chooser("cpu", ALGORITHMS)


class Conv(Arrays):
    """All passes of a convolution, each by the first algorithm that takes it."""

    algorithms = tuple(algorithm.name for algorithm in ALGORITHMS)

    def conv_forward(
        self, x: Array, w: Array, b: Array | None, geometry: ConvGeometry, activation: str = "none", kept: bool = False
    ) -> Array:
        g, out = geometry, self.empty(geometry.output_shape, x.dtype)
        if g.n:
            x = self.contiguous(x)
            algorithm = choose("forward", g, x.dtype, kept)
            packed = packs.cached(w, algorithm.name, algorithm.layout(g, x.dtype), lambda: algorithm.pack(self.buffers, w, g))
            algorithm.forward(self.buffers, x, (w, packed), b, ACTIVATIONS.index(activation), g, to_channels_last(out))
        return out

    def conv_grad_input(self, grad: Array, w: Array, geometry: ConvGeometry) -> Array:
        g = geometry
        out = self.empty(g.input_shape, grad.dtype)
        if g.n:
            algorithm = choose("grad_input", g, grad.dtype)
            algorithm.grad_input(self.buffers, self.contiguous(grad), c_ordered(w), g, to_channels_last(out))
        return out

    def conv_grad_weight(self, grad: Array, x: Array, geometry: ConvGeometry) -> Array:
        g, algorithm = geometry, choose("grad_weight", geometry, x.dtype)
        out = plain(g.weight_shape, x.dtype) if g.n and algorithm.writes_all else filled(g.weight_shape, 0, x.dtype)
        if g.n:
            algorithm.grad_weight(self.buffers, self.contiguous(grad), self.contiguous(x), g, out)
        return out
