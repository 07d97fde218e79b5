"""The input gradient of few channels."""

from __future__ import annotations

from ....geometry import ConvGeometry
from ....kernels.cpu import conv
from ....kernels.cpu.launch import launch
from ....kernels.cpu.tile import LANES
from ...choice import DType
from ..arrays import Array
from ..buffers import Buffers
from ..plan.column_sum import column_sum_fold, column_sum_pays, column_sum_plans
from ..run import contract
from .algorithm import Algorithm

__all__ = ["ColumnSum"]


class ColumnSum(Algorithm):
    """The input gradient of few channels: all pixels of a window's row at once, then the sum over the windows of a row."""

    name = "column sum"

    def declines(self, g: ConvGeometry, dtype: DType) -> str:
        return "for input gradients"

    def declines_grad_input(self, g: ConvGeometry, dtype: DType) -> str:
        return "groups, or a window whose pixels are not side by side" if g.groups > 1 or g.axes[-1].dilation > 1 else ""

    def costs_more(self, op: str, g: ConvGeometry, dtype: DType, kept: bool) -> str:
        if len(g.axes) == 1:
            return "a signal is one line, and lines are not shared out"
        return "" if column_sum_pays(g, dtype) else "a window's row would not fill the vectors better"

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: ConvGeometry, out: Array) -> None:
        windows = column_sum_fold(g, grad.dtype)
        for part, plan in column_sum_plans(g, grad.dtype):
            sums = buffers.empty((plan.images * plan.y_image + LANES,), grad.dtype)
            contract(buffers, plan, grad[part], (w, None), None, sums)
            launch(conv.fold, sums, windows, out[part].reshape(-1))
