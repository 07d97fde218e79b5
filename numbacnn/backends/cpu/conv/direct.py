"""A register tile over windows."""

from __future__ import annotations

from collections.abc import Hashable

from ....geometry import Conv2dGeometry
from ...choice import DType
from ..arrays import Array
from ..buffers import Buffers
from ..plan.conv import forward_plan, grad_input_plan, grad_weight_plan, prepadded, transposed_plan
from ..plan.shapes import superpixel
from ..run import Weights, contract, correlate, pack, padded
from .algorithm import Algorithm

__all__ = ["Direct", "Superpixels"]


class Direct(Algorithm):
    """A register tile over windows, for every geometry."""

    name = "direct"

    def declines(self, g: Conv2dGeometry, dtype: DType) -> str:
        return ""

    def declines_grad_input(self, g: Conv2dGeometry, dtype: DType) -> str:
        return ""

    def pack(self, buffers: Buffers, w: Array, g: Conv2dGeometry) -> Array:
        return pack(buffers, forward_plan(g, w.dtype), w)

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, code: int, g: Conv2dGeometry, out: Array) -> None:
        whole = prepadded(g, x.dtype)
        if whole is not None:
            (top, bottom), (left, right) = g.padding
            x = padded(buffers, x, (top, bottom, left, right))
        contract(buffers, forward_plan(whole or g, x.dtype), x, w, bias, out, code)

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: Conv2dGeometry, out: Array) -> None:
        contract(buffers, grad_input_plan(g, grad.dtype), grad, (w, None), None, out)

    def grad_weight(self, buffers: Buffers, grad: Array, x: Array, g: Conv2dGeometry, out: Array) -> None:
        correlate(buffers, grad_weight_plan(g, x.dtype), x, grad, out)


class Superpixels(Direct):
    """Few output channels: neighbouring pixels are one with more channels, see ``superpixel``."""

    name = "superpixels"

    def declines(self, g: Conv2dGeometry, dtype: DType) -> str:
        return "" if superpixel(g, dtype) > 1 else "the channels fill the vectors as they are, or a row can't be shared out"

    declines_grad_input = Algorithm.declines_grad_input  # unlike Direct's, by a convolution with the kernels turned around

    def layout(self, g: Conv2dGeometry, dtype: DType) -> Hashable:
        return superpixel(g, dtype), g.stride[1]

    def pack(self, buffers: Buffers, w: Array, g: Conv2dGeometry) -> Array:
        return pack(buffers, forward_plan(g, w.dtype, superpixel(g, w.dtype)), w)

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, code: int, g: Conv2dGeometry, out: Array) -> None:
        contract(buffers, forward_plan(g, x.dtype, superpixel(g, x.dtype)), x, w, bias, out, code)

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: Conv2dGeometry, out: Array) -> None:
        contract(buffers, transposed_plan(g, grad.dtype), grad, (w, None), None, out)
