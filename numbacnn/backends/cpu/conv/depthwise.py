"""One channel to a group, or a few: vectors of channels, or of whole groups."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ....geometry import Conv2dGeometry
from ....kernels.cpu import depthwise, grouped
from ....kernels.cpu.launch import compute, launch
from ....kernels.cpu.tile import LANES, Tile
from ...choice import DType
from ..arrays import Array, c_ordered
from ..buffers import Buffers
from ..plan.contract import Contraction
from ..plan.conv import forward_plan, grad_input_plan
from ..plan.depthwise import depthwise_chunks, depthwise_shares, lane_index
from ..plan.tiles import GROUPED
from ..run import Weights
from .algorithm import Algorithm

__all__ = ["Depthwise", "Grouped"]


class Depthwise(Algorithm):
    """One channel to a group: vectors of channels, no sum over them."""

    name = "depthwise"

    def declines(self, g: Conv2dGeometry, dtype: DType) -> str:
        if not g.groups == g.c == g.oc:
            return "not one channel to a group"
        return "" if g.c >= LANES else f"fewer than {LANES} channels"

    def declines_grad_input(self, g: Conv2dGeometry, dtype: DType) -> str:
        return self.declines(g, dtype)

    def pack(self, buffers: Buffers, w: Array, g: Conv2dGeometry) -> Array:
        return self._pack(w, forward_plan(g, w.dtype))

    @staticmethod
    def _pack(w: Array, p: Contraction) -> Array:
        """(K, channels)."""
        return c_ordered(w).reshape(-1).take(lane_index(p))

    def _contract_kernel(self, g: Conv2dGeometry, dtype: DType) -> tuple[Any, ...]:
        """The kernel for forward and the input gradient, and its first arguments."""
        return (depthwise.contract,)

    def _correlate_kernel(self, g: Conv2dGeometry, dtype: DType) -> tuple[Any, ...]:
        """The same for the weight gradient."""
        return (depthwise.correlate,)

    def _contract(self, g: Conv2dGeometry, p: Contraction, x: Array, packed: Array, bias: Array | None, code: int, out: Array) -> None:
        bias = np.zeros(packed.shape[1], x.dtype) if bias is None else c_ordered(bias)
        tables = p.input_offsets, p.output_offsets, p.tap_sets, p.taps, p.weight_rows
        sizes = p.images, p.x_image, p.y_image, depthwise_shares(p), code
        launch(*self._contract_kernel(g, x.dtype), x.reshape(-1), *tables, packed.reshape(-1), bias, out.reshape(-1), *sizes)

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, code: int, g: Conv2dGeometry, out: Array) -> None:
        packed = self._packed(buffers, w, g)
        self._contract(g, forward_plan(g, x.dtype), x, packed, bias, code, out)

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: Conv2dGeometry, out: Array) -> None:
        plan = grad_input_plan(g, grad.dtype)
        self._contract(g, plan, grad, self._pack(w, plan), None, 0, out)

    def grad_weight(self, buffers: Buffers, grad: Array, x: Array, g: Conv2dGeometry, out: Array) -> None:
        p, lanes = forward_plan(g, x.dtype), LANES * 4 // x.itemsize
        images, shares = depthwise_chunks(g.n)
        part = buffers.empty((images * shares, p.offsets.shape[1], -(-g.c // lanes) * lanes), x.dtype)
        tables = p.input_offsets, p.output_offsets, p.tap_sets, p.taps, p.weight_rows
        sizes = g.n, p.x_image, p.y_image, g.c, shares
        launch(*self._correlate_kernel(g, x.dtype), x.reshape(-1), *tables, grad.reshape(-1), part, *sizes)
        total = np.add.reduce(part)
        ragged = g.c % lanes  # the last vector's last lanes hold the channels that fill no vector
        total = np.concatenate([total[:, : g.c - ragged], total[:, total.shape[1] - ragged :]], 1)
        compute(operator.setitem, out.reshape(-1), lane_index(p), total)


class Grouped(Depthwise):
    """Groups of a few channels: vectors of whole groups."""

    name = "grouped"

    def declines(self, g: Conv2dGeometry, dtype: DType) -> str:
        size = g.c // g.groups
        if g.groups == 1 or g.oc != g.c or size not in (2, 4, 8):
            return "channels per group are not 2, 4 or 8 on both sides"
        if g.c < LANES:
            return f"fewer than {LANES} channels"
        return "" if size <= LANES * 4 // np.dtype(dtype).itemsize else "a group is wider than a vector"

    def _contract_kernel(self, g: Conv2dGeometry, dtype: DType) -> tuple[Any, ...]:
        return grouped.contract, *(Tile(rows, 1, str(dtype)) for rows in (GROUPED, 1, g.c // g.groups))

    def _correlate_kernel(self, g: Conv2dGeometry, dtype: DType) -> tuple[Any, ...]:
        return grouped.correlate, Tile(g.c // g.groups, 1, str(dtype))
