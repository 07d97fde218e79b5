"""One channel to a group, or a few: vectors of channels, or of whole groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....geometry import ConvGeometry
from ....kernels.cpu import depthwise, grouped
from ....kernels.cpu import index as kernels
from ....kernels.cpu.launch import compute, launch
from ....kernels.cpu.tile import LANES, Tile
from ...choice import DType
from ..arrays import Array, c_ordered, no_bias
from ..buffers import Buffers, plain
from ..plan.contract import Contraction
from ..plan.conv import Plans, forward_plans, grad_input_plans
from ..plan.depthwise import depthwise_chunks, lane_index, lane_source
from ..plan.tiles import GROUPED
from ..run import Weights
from .algorithm import Algorithm

__all__ = ["Depthwise", "Grouped"]


class Depthwise(Algorithm):
    """One channel to a group: vectors of channels, no sum over them."""

    name = "depthwise"
    writes_all = True

    def declines(self, g: ConvGeometry, dtype: DType) -> str:
        if not g.groups == g.c == g.oc:
            return "not one channel to a group"
        return "" if g.c >= LANES else f"fewer than {LANES} channels"

    def declines_grad_input(self, g: ConvGeometry, dtype: DType) -> str:
        return self.declines(g, dtype)

    def pack(self, buffers: Buffers, w: Array, g: ConvGeometry) -> Array:
        return self._pack(w, forward_plans(g, w.dtype)[0][1])

    @staticmethod
    def _pack(w: Array, p: Contraction) -> Array:
        """(K, channels)."""
        index = lane_index(p)
        out = plain(index.shape, w.dtype)
        launch(kernels.take_rows, c_ordered(w).reshape(-1), index.reshape(-1), 1, out.reshape(-1))
        return out

    def _contract_kernel(self, g: ConvGeometry, dtype: DType) -> tuple[Any, ...]:
        """The kernel for forward and the input gradient, and its first arguments."""
        return (depthwise.contract,)

    def _correlate_kernel(self, g: ConvGeometry, dtype: DType) -> tuple[Any, ...]:
        """The same for the weight gradient."""
        return (depthwise.correlate,)

    def _contract(self, g: ConvGeometry, plans: Plans, x: Array, packed: Array, bias: Array | None, code: int, out: Array) -> None:
        bias = no_bias(packed.shape[1], x.dtype) if bias is None else c_ordered(bias)
        kernel, weights = self._contract_kernel(g, x.dtype), packed.reshape(-1)
        for part, p in plans:
            launch(*kernel, x[part].reshape(-1), *p.tables, weights, bias, code, out[part].reshape(-1))

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, code: int, g: ConvGeometry, out: Array) -> None:
        packed = self._packed(buffers, w, g)
        self._contract(g, forward_plans(g, x.dtype), x, packed, bias, code, out)

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: ConvGeometry, out: Array) -> None:
        plans = grad_input_plans(g, grad.dtype)
        self._contract(g, plans, grad, self._pack(w, plans[0][1]), None, 0, out)

    def grad_weight(self, buffers: Buffers, grad: Array, x: Array, g: ConvGeometry, out: Array) -> None:
        plans, lanes = forward_plans(g, x.dtype), LANES * 4 // x.itemsize
        shape = plans[0][1].offsets.shape[1], -(-g.c // lanes) * lanes
        total, sums = plain(shape, x.dtype), plain(shape, x.dtype)
        for first, (some, p) in enumerate(plans):
            images, shares = depthwise_chunks(p.images)
            part = buffers.empty((images * shares, *shape), x.dtype)
            launch(*self._correlate_kernel(g, x.dtype), x[some].reshape(-1), *p.tables, grad[some].reshape(-1), part)
            compute(np.add.reduce, part, (0,), None, (sums if first else total)[None], True)
            if first:
                compute(np.add, total, sums, total)
        launch(kernels.take_rows, total.reshape(-1), lane_source(plans[0][1], lanes), 1, out.reshape(-1))


class Grouped(Depthwise):
    """Groups of a few channels: vectors of whole groups."""

    name = "grouped"

    def declines(self, g: ConvGeometry, dtype: DType) -> str:
        size = g.c // g.groups
        if g.groups == 1 or g.oc != g.c or size not in (2, 4, 8):
            return "channels per group are not 2, 4 or 8 on both sides"
        if g.c < LANES:
            return f"fewer than {LANES} channels"
        return "" if size <= LANES * 4 // np.dtype(dtype).itemsize else "a group is wider than a vector"

    def _contract_kernel(self, g: ConvGeometry, dtype: DType) -> tuple[Any, ...]:
        return grouped.contract, *(Tile(rows, 1, str(dtype)) for rows in (GROUPED, 1, g.c // g.groups))

    def _correlate_kernel(self, g: ConvGeometry, dtype: DType) -> tuple[Any, ...]:
        return grouped.correlate, Tile(g.c // g.groups, 1, str(dtype))
