"""A register tile over windows."""

from __future__ import annotations

from collections.abc import Hashable

from ....geometry import ConvGeometry
from ...choice import DType
from ..arrays import Array
from ..buffers import Buffers
from ..plan.conv import forward_plans, grad_input_plans, grad_weight_plan, prepadded, transposed_plans
from ..plan.shapes import superpixel
from ..run import Weights, contract_parts, correlate, pack, padded
from .algorithm import Algorithm

__all__ = ["Direct", "Superpixels"]


class Direct(Algorithm):
    """A register tile over windows, for every geometry."""

    name = "direct"

    def declines(self, g: ConvGeometry, dtype: DType) -> str:
        return ""

    def declines_grad_input(self, g: ConvGeometry, dtype: DType) -> str:
        return ""

    def pack(self, buffers: Buffers, w: Array, g: ConvGeometry) -> Array:
        return pack(buffers, forward_plans(g, w.dtype)[0][1], w)

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, code: int, g: ConvGeometry, out: Array) -> None:
        whole = prepadded(g, x.dtype)
        if whole is not None:
            x = padded(buffers, x, g.padding)
        contract_parts(buffers, forward_plans(whole or g, x.dtype), x, w, bias, out, code)

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: ConvGeometry, out: Array) -> None:
        contract_parts(buffers, grad_input_plans(g, grad.dtype), grad, (w, None), None, out)

    def grad_weight(self, buffers: Buffers, grad: Array, x: Array, g: ConvGeometry, out: Array) -> None:
        correlate(buffers, grad_weight_plan(g, x.dtype), x, grad, out)


class Superpixels(Direct):
    """Few output channels: neighbouring pixels are one with more channels, see ``superpixel``."""

    name = "superpixels"

    def declines(self, g: ConvGeometry, dtype: DType) -> str:
        return "" if superpixel(g, dtype) > 1 else "the channels fill the vectors as they are, or a row can't be shared out"

    declines_grad_input = Algorithm.declines_grad_input  # unlike Direct's, by a convolution with the kernels turned around

    def layout(self, g: ConvGeometry, dtype: DType) -> Hashable:
        return superpixel(g, dtype), g.axes[-1].stride

    def pack(self, buffers: Buffers, w: Array, g: ConvGeometry) -> Array:
        return pack(buffers, forward_plans(g, w.dtype, superpixel(g, w.dtype))[0][1], w)

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, code: int, g: ConvGeometry, out: Array) -> None:
        contract_parts(buffers, forward_plans(g, x.dtype, superpixel(g, x.dtype)), x, w, bias, out, code)

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: ConvGeometry, out: Array) -> None:
        contract_parts(buffers, transposed_plans(g, grad.dtype), grad, (w, None), None, out)
