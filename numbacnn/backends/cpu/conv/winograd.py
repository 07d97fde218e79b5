"""Winograd's F(4x4, 3x3)."""

from __future__ import annotations

from collections.abc import Iterator

from .... import config
from ....geometry import ConvGeometry
from ....kernels.cpu import conv, winograd
from ....kernels.cpu.launch import launch
from ....kernels.cpu.tile import LANES
from ...choice import DType
from ..arrays import EMPTY, Array, c_ordered, no_bias
from ..buffers import Buffers
from ..plan.shapes import transposed_geometry
from ..plan.tiles import tile_for
from ..plan.winograd import WinogradPlan, winograd_pays, winograd_plans
from ..run import Weights, contract
from .algorithm import Algorithm

__all__ = ["Winograd"]


class Winograd(Algorithm):
    """F(4x4, 3x3)."""

    name = "winograd"
    writes_all = True

    def declines(self, g: ConvGeometry, dtype: DType) -> str:
        if not config.winograd:
            return "config.winograd is off"
        if (g.kernel, g.stride, g.dilation, g.groups, dtype) != ((3, 3), (1, 1), (1, 1), 1, "float32"):
            return "not a plain 3x3 convolution of stride 1 in float32"
        if min(g.c, g.oc) < LANES:
            return f"fewer than {LANES} channels"
        return ""

    def costs_more(self, op: str, g: ConvGeometry, dtype: DType, kept: bool) -> str:
        taken = transposed_geometry(g) if op == "grad_input" else g
        pays = taken is not None and winograd_pays(taken, op == "grad_weight")
        return "" if pays else "the transforms would cost more than they save"

    def pack(self, buffers: Buffers, w: Array, g: ConvGeometry) -> Array:
        return self._pack(buffers, w, (0, 1), 9, 9 * g.c, g)

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: ConvGeometry, out: Array) -> None:
        transposed = transposed_geometry(g)
        if transposed is None:
            raise ValueError(f"the input gradient of {g} is no plain convolution")
        packed = self._pack(buffers, w, (8, -1), 9 * transposed.oc, 9, transposed)  # from the last tap to the first
        self.forward(buffers, grad, (w, packed), None, 0, transposed, out)

    @staticmethod
    def _pack(buffers: Buffers, w: Array, taps: tuple[int, int], k_stride: int, lane_stride: int, g: ConvGeometry) -> Array:
        columns = tile_for("float32").columns
        packed = buffers.empty((winograd.PLACES, -(-g.oc // columns), g.c, columns), w.dtype)
        launch(winograd.weights, c_ordered(w).reshape(-1), *taps, k_stride, lane_stride, g.oc, packed)
        return packed

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, code: int, g: ConvGeometry, out: Array) -> None:
        packed = self._packed(buffers, w, g)
        bias = no_bias(g.oc, x.dtype) if bias is None else c_ordered(bias)
        for plan, patches in self._patches(buffers, x, g):
            products = buffers.empty((plan.patches, winograd.PLACES * g.oc + winograd.GAP), x.dtype)
            contract(buffers, plan.contraction, patches, (packed, packed), None, products)
            launch(winograd.output_patches, products.reshape(-1), bias, plan.outputs, code, out.reshape(-1))

    def grad_weight(self, buffers: Buffers, grad: Array, x: Array, g: ConvGeometry, out: Array) -> None:
        part = None
        for plan, patches in self._patches(buffers, x, g):
            grads = buffers.empty((plan.patches, winograd.PLACES * g.oc + winograd.GAP), x.dtype)
            launch(winograd.grad_patches, grad.reshape(-1), plan.outputs, grads.reshape(-1))
            fresh = part is None
            part = buffers.empty(plan.correlation.part_shape, x.dtype) if part is None else part
            p, nothing = plan.correlation, EMPTY[x.itemsize]
            launch(conv.correlate, p.tile, patches.reshape(-1), *p.tables, grads.reshape(-1), part, fresh, nothing)
        launch(winograd.grad_weights, part, g.c, g.oc, out.reshape(-1))

    @staticmethod
    def _patches(buffers: Buffers, x: Array, g: ConvGeometry) -> Iterator[tuple[WinogradPlan, Array]]:
        """The transformed patches of x, so many rows of them at a time as stay in the cache."""
        for plan in winograd_plans(g):
            patches = buffers.empty((plan.patches, winograd.PLACES * g.c + winograd.GAP), x.dtype)
            launch(winograd.input_patches, x.reshape(-1), plan.inputs, patches.reshape(-1))
            yield plan, patches
