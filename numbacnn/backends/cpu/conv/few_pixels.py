"""Few pixels and many channels."""

from __future__ import annotations

from ....geometry import ConvGeometry
from ....kernels.cpu import few_pixels
from ....kernels.cpu.launch import launch
from ....kernels.cpu.tile import Tile
from ...choice import DType
from ..arrays import EMPTY, Array, c_ordered
from ..buffers import Buffers
from ..plan.few_pixels import few_pixels_pay, seen_at
from ..plan.tiles import DOTS, SIDE
from ..run import Weights
from .algorithm import Algorithm

__all__ = ["FewPixels"]


class FewPixels(Algorithm):
    """Products with the weights as they lie: few pixels and many channels."""

    name = "few pixels"
    writes_all = True

    def declines(self, g: ConvGeometry, dtype: DType) -> str:
        if g.groups > 1:
            return "groups"
        return f"channels are no multiples of {few_pixels.CHANNELS}" if (g.c | g.oc) % few_pixels.CHANNELS else ""

    def declines_grad_input(self, g: ConvGeometry, dtype: DType) -> str:
        return self.declines(g, dtype)

    def costs_more(self, op: str, g: ConvGeometry, dtype: DType, kept: bool) -> str:
        if kept and op == "forward":
            return "packed weights are kept"
        return "" if few_pixels_pay(g, op == "grad_weight") else "so many pixels make up for packing the weights"

    def pack(self, buffers: Buffers, w: Array, g: ConvGeometry) -> Array:
        return c_ordered(w)  # kernels take no array that is read-only

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, code: int, g: ConvGeometry, out: Array) -> None:
        tile, at, weights = Tile(*DOTS, str(x.dtype)), seen_at(g), self._packed(buffers, w, g).reshape(g.oc, -1)
        windows = buffers.empty((-(-len(at) // tile.m) * tile.m, weights.shape[1]), x.dtype)
        bias = EMPTY[x.itemsize] if bias is None else c_ordered(bias)
        launch(few_pixels.forward, tile, x.reshape(-1), at, weights, windows, bias, code, out.reshape(-1, g.oc))

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: ConvGeometry, out: Array) -> None:
        tile, at = Tile(SIDE, 1, str(w.dtype), SIDE), seen_at(g)
        turned = buffers.empty((g.oc, -(-len(at) // tile.m) * tile.m), w.dtype)
        launch(few_pixels.grad_input, tile, grad.reshape(-1, g.oc), at, w.reshape(g.oc, -1), turned, out.reshape(-1, g.c))

    def grad_weight(self, buffers: Buffers, grad: Array, x: Array, g: ConvGeometry, out: Array) -> None:
        tile, at, sums = Tile(SIDE, 1, str(x.dtype), SIDE), seen_at(g), out.reshape(g.oc, -1)
        windows = buffers.empty((len(at), sums.shape[1]), x.dtype)
        launch(few_pixels.grad_weight, tile, x.reshape(-1), at, grad.reshape(-1, g.oc), windows, sums)
