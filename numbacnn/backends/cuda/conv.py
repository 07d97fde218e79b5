"""Convolutions: the list of ways to do one, and the way for every geometry."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...geometry import Conv2dGeometry
from ...kernels.cuda.driver import launch, launch_flat
from ...kernels.cuda.simt import conv, tile
from ...layout import channels_last
from ..choice import Algorithm, DType, chooser
from .arrays import CudaArray, ceil
from .pointwise import Pointwise
from .reduce import WANTED_BLOCKS

__all__ = ["ALGORITHMS", "Conv", "choose"]


class Simt(Algorithm):
    """A tile over windows, for every geometry; ``xp`` is the backend."""

    name = "simt"

    def declines(self, g: Conv2dGeometry, dtype: DType) -> str:
        return ""

    def _packed(self, xp: Pointwise, w: CudaArray, groups: int, axes: tuple[int, ...]) -> Any:
        """w (OC, C/G, KH, KW) as flat memory of its five axes (G, OC/G, C/G, KH, KW) in another order."""
        oc, ci, kh, kw = w.shape
        five = xp.reshape(w, (groups, oc // groups, ci, kh, kw))
        return xp.flat(xp.ordered(five, axes))

    def forward(self, xp: Pointwise, x: CudaArray, w: CudaArray, b: CudaArray | None, activation: str, g: Conv2dGeometry) -> CudaArray:
        (top, _), (left, _) = g.padding
        out = xp.empty(g.output_shape, x.dtype, channels_last(4))
        packed = self._packed(xp, w, g.groups, (0, 3, 4, 2, 1))
        extra = (out.buffer, 0) if b is None else (xp.flat(xp.contiguous(b)), 1)
        sizes = (g.h, g.w, g.c, g.oh, g.ow, g.oc, g.kh, g.kw, g.c // g.groups, g.oc // g.groups)
        self._gather(xp, x, packed, extra, out, sizes, g.stride, (-top, -left), g.dilation, (1, 1))
        return xp.activated(out, activation)

    def grad_input(self, xp: Pointwise, grad: CudaArray, w: CudaArray, g: Conv2dGeometry) -> CudaArray:
        (top, _), (left, _) = g.padding
        out = xp.empty((g.n, g.c, g.h, g.w), grad.dtype, channels_last(4))
        packed = self._packed(xp, w, g.groups, (0, 3, 4, 1, 2))
        sizes = (g.oh, g.ow, g.oc, g.h, g.w, g.c, g.kh, g.kw, g.oc // g.groups, g.c // g.groups)
        steps = (-g.dilation[0], -g.dilation[1])
        self._gather(xp, grad, packed, (out.buffer, 0), out, sizes, (1, 1), (top, left), steps, g.stride)
        return out

    def _gather(
        self,
        xp: Pointwise,
        x: CudaArray,
        packed: Any,
        bias: tuple[Any, int],
        out: CudaArray,
        sizes: tuple[int, ...],
        scale: tuple[int, int],
        shift: tuple[int, int],
        step: tuple[int, int],
        divisor: tuple[int, int],
    ) -> None:
        """Launch ``conv.gather``; its module says what the last four mean."""
        pixels = out.size // out.shape[1]
        ci, co = sizes[-2:]
        grid = (ceil(pixels, tile.BM), ceil(co, tile.BN), sizes[2] // ci)
        signed = [np.int32(v) for v in (*shift, *step)]
        memory = xp.flat(xp.channels_last(x))
        launch(conv.gather, grid, tile.THREADS, memory, packed, *bias, out.buffer, *sizes, *scale, *signed, *divisor, pixels)

    def grad_weight(self, xp: Pointwise, grad: CudaArray, x: CudaArray, g: Conv2dGeometry) -> CudaArray:
        ci, co = g.c // g.groups, g.oc // g.groups
        shape = (g.groups, g.kh, g.kw, ci, co)
        rows, lines = g.kh * g.kw * ci, g.n * g.oh
        grid = (ceil(rows, tile.BM), ceil(co, tile.BN))
        slices = max(1, min(ceil(WANTED_BLOCKS, math.prod(grid) * g.groups), lines, 64))
        part = xp.empty((slices, *shape), x.dtype)
        sizes = (g.h, g.w, g.c, g.oh, g.ow, g.oc, g.kh, g.kw, ci, co, *g.stride, g.padding[0][0], g.padding[1][0], *g.dilation)
        memory = (xp.flat(xp.channels_last(x)), xp.flat(xp.channels_last(grad)), part.buffer)
        launch(conv.grad_weight, (*grid, slices * g.groups), tile.THREADS, *memory, *sizes, g.groups, lines, ceil(lines, slices))
        total = part if slices == 1 else xp.empty(shape, x.dtype)
        if slices > 1:
            launch_flat(conv.add_slices, total.size, part.buffer, total.buffer, slices)
        found = xp.reshape(total, shape)
        return xp.reshape(xp.contiguous(xp.transpose(found, (0, 4, 3, 1, 2))), (g.oc, ci, g.kh, g.kw))


ALGORITHMS = (Simt(),)

choose = chooser(ALGORITHMS)


class Conv(Pointwise):
    """All passes of a convolution, each by the first algorithm that takes it."""

    def conv2d_forward(
        self, x: CudaArray, w: CudaArray, b: CudaArray | None, geometry: Conv2dGeometry, activation: str = "none"
    ) -> CudaArray:
        return choose("forward", geometry, x.dtype).forward(self, x, w, b, activation, geometry)

    def conv2d_grad_input(self, grad: CudaArray, w: CudaArray, geometry: Conv2dGeometry) -> CudaArray:
        return choose("grad_input", geometry, grad.dtype).grad_input(self, grad, w, geometry)

    def conv2d_grad_weight(self, grad: CudaArray, x: CudaArray, geometry: Conv2dGeometry) -> CudaArray:
        return choose("grad_weight", geometry, x.dtype).grad_weight(self, grad, x, geometry)
