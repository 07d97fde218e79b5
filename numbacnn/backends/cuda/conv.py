"""Convolutions: the list of ways to do one, special ones first, and the choice among them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...geometry import Axis, ConvGeometry, in_front
from ...kernels.cuda import conv as volume
from ...kernels.cuda.driver import THREADS, launch, launch_flat
from ...kernels.cuda.simt import conv, tile
from ...layout import channels_last
from ...names import ACTIVATIONS
from ..choice import Algorithm, DType, chooser
from .arrays import CudaArray, ceil
from .pointwise import Pointwise
from .reduce import WANTED_BLOCKS

__all__ = ["ALGORITHMS", "Conv", "choose"]


def _packed(xp: Pointwise, w: CudaArray, groups: int, channels: tuple[int, int]) -> Any:
    """w (OC, C/G, ...) of axes (G, OC/G, C/G, ...) as flat memory (G, ..., and these two of the channels' axes)."""
    oc, ci, *kernel = w.shape
    split = xp.reshape(w, (groups, oc // groups, ci, *kernel))
    return xp.flat(xp.ordered(split, (0, *range(3, 3 + len(kernel)), *channels)))


class Cuda(Algorithm):
    """What the ways to convolve have in common. ``xp`` is the backend."""

    def _summed(self, xp: Pointwise, part: CudaArray, g: ConvGeometry) -> CudaArray:
        """The slices (slices, G, ..., C/G, OC/G) of a weight gradient added in order, as (OC, C/G, ...)."""
        shape = part.shape[1:]
        found, last = xp.reshape(self._added(xp, part), shape), len(shape) - 1
        return xp.reshape(xp.contiguous(xp.transpose(found, (0, last, last - 1, *range(1, last - 1)))), g.weight_shape)

    @staticmethod
    def _added(xp: Pointwise, part: CudaArray) -> CudaArray:
        """The slices of a weight gradient added in order."""
        total = part if part.shape[0] == 1 else xp.empty(part.shape[1:], part.dtype)
        if part.shape[0] > 1:
            launch_flat(conv.add_slices, total.size, part.buffer, total.buffer, part.shape[0])
        return total


class Simt(Cuda):
    """A tile over windows of an image; a signal is one of a single row."""

    name = "simt"
    kernels = conv
    fuses = False
    """Whether ``gather`` applies the activation."""

    def declines(self, g: ConvGeometry, dtype: DType) -> str:
        return "three axes" if len(g.axes) > 2 else ""

    def forward(self, xp: Pointwise, x: CudaArray, w: CudaArray, b: CudaArray | None, activation: str, g: ConvGeometry) -> CudaArray:
        rows, columns = in_front(g.axes, Axis(1), 2)
        out = xp.empty(g.output_shape, x.dtype, channels_last(x.ndim))
        sizes = (rows.size, columns.size, g.c, rows.outputs, columns.outputs, g.oc, rows.kernel, columns.kernel)
        shift, stride, dilation = (-rows.before, -columns.before), (rows.stride, columns.stride), (rows.dilation, columns.dilation)
        channels = g.c // g.groups, g.oc // g.groups
        return self._gather(xp, x, w, (2, 1), b, activation, out, (*sizes, *channels), (stride, shift, dilation, (1, 1)))

    def grad_input(self, xp: Pointwise, grad: CudaArray, w: CudaArray, g: ConvGeometry) -> CudaArray:
        rows, columns = in_front(g.axes, Axis(1), 2)
        out = xp.empty(g.input_shape, grad.dtype, channels_last(grad.ndim))
        sizes = (rows.outputs, columns.outputs, g.oc, rows.size, columns.size, g.c, rows.kernel, columns.kernel)
        shift, stride, steps = (rows.before, columns.before), (rows.stride, columns.stride), (-rows.dilation, -columns.dilation)
        channels = g.oc // g.groups, g.c // g.groups
        return self._gather(xp, grad, w, (1, 2), None, "none", out, (*sizes, *channels), ((1, 1), shift, steps, stride))

    def _gather(
        self,
        xp: Pointwise,
        x: CudaArray,
        w: CudaArray,
        channels: tuple[int, int],
        b: CudaArray | None,
        activation: str,
        out: CudaArray,
        sizes: tuple[int, ...],
        moves: tuple[tuple[int, int], ...],
    ) -> CudaArray:
        """Launch ``gather``, whose module says what ``moves`` are: scale, shift, step and divisor along both axes.

        ``channels``: of w as (G, OC/G, C/G, ...) the axis of what is summed, and that of what comes out.
        """
        ci, co = sizes[-2:]
        weights = self._weights(xp, w, sizes[2] // ci, channels)
        extra = (out.buffer, 0) if b is None else (xp.flat(xp.contiguous(b)), 1)
        pixels = out.size // out.shape[1]
        grid = (ceil(pixels, tile.BM), ceil(co, tile.BN), sizes[2] // ci)
        scale, shift, step, divisor = moves
        signed = [np.int32(v) for v in (*shift, *step)]
        memory = xp.flat(xp.channels_last(x))
        code = (ACTIVATIONS.index(activation),) if self.fuses else ()
        arguments = (memory, *weights, *extra, *code, out.buffer, *sizes, *scale, *signed, *divisor, pixels)
        launch(self.kernels.gather, grid, tile.THREADS, *arguments)
        return out if self.fuses else xp.activated(out, activation)

    def _weights(self, xp: Pointwise, w: CudaArray, groups: int, channels: tuple[int, int]) -> tuple[Any, ...]:
        """The weights as ``gather`` is given them."""
        return (_packed(xp, w, groups, channels),)

    def grad_weight(self, xp: Pointwise, grad: CudaArray, x: CudaArray, g: ConvGeometry) -> CudaArray:
        rows, columns = in_front(g.axes, Axis(1), 2)
        ci, co = g.c // g.groups, g.oc // g.groups
        weights, lines = math.prod(g.kernel) * ci, g.n * rows.outputs
        grid = (ceil(weights, tile.BM), ceil(co, tile.BN))
        slices = max(1, min(ceil(WANTED_BLOCKS, math.prod(grid) * g.groups), lines, 64))
        part = xp.empty((slices, g.groups, *g.kernel, ci, co), x.dtype)
        sizes = (rows.size, columns.size, g.c, rows.outputs, columns.outputs, g.oc, rows.kernel, columns.kernel, ci, co)
        moves = (rows.stride, columns.stride, rows.before, columns.before, rows.dilation, columns.dilation)
        memory = (xp.flat(xp.channels_last(x)), xp.flat(xp.channels_last(grad)), part.buffer)
        shape = (*grid, slices * g.groups)
        launch(self.kernels.grad_weight, shape, tile.THREADS, *memory, *sizes, *moves, g.groups, lines, ceil(lines, slices))
        return self._summed(xp, part, g)


class General(Cuda):
    """A thread for each element of the result, for one to three axes."""

    name = "general"

    def declines(self, g: ConvGeometry, dtype: DType) -> str:
        return ""

    @staticmethod
    def _axes(g: ConvGeometry) -> tuple[int, ...]:
        axes = in_front(g.axes, Axis(1))
        return tuple(v for axis in axes for v in (axis.size, axis.outputs, axis.kernel, axis.stride, axis.before, axis.dilation))

    def forward(self, xp: Pointwise, x: CudaArray, w: CudaArray, b: CudaArray | None, activation: str, g: ConvGeometry) -> CudaArray:
        out = xp.empty(g.output_shape, x.dtype, channels_last(x.ndim))
        extra = (out.buffer, 0) if b is None else (xp.flat(xp.contiguous(b)), 1)
        memory = xp.flat(xp.channels_last(x)), _packed(xp, w, g.groups, (2, 1))
        launch_flat(volume.forward, out.size, *memory, *extra, out.buffer, self._axes(g), g.c // g.groups, g.oc // g.groups, g.groups)
        return xp.activated(out, activation)

    def grad_input(self, xp: Pointwise, grad: CudaArray, w: CudaArray, g: ConvGeometry) -> CudaArray:
        out = xp.empty(g.input_shape, grad.dtype, channels_last(grad.ndim))
        memory = xp.flat(xp.channels_last(grad)), _packed(xp, w, g.groups, (1, 2))
        launch_flat(volume.grad_input, out.size, *memory, out.buffer, self._axes(g), g.c // g.groups, g.oc // g.groups, g.groups)
        return out

    def grad_weight(self, xp: Pointwise, grad: CudaArray, x: CudaArray, g: ConvGeometry) -> CudaArray:
        ci, co = g.c // g.groups, g.oc // g.groups
        weights, lines = math.prod(g.weight_shape), g.n * math.prod(g.outputs[:-1])
        slices = max(1, min(ceil(WANTED_BLOCKS * THREADS, weights), lines, 64))
        part = xp.empty((slices, g.groups, *g.kernel, ci, co), x.dtype)
        memory = (xp.flat(xp.channels_last(x)), xp.flat(xp.channels_last(grad)), part.buffer)
        launch_flat(volume.grad_weight, part.size, *memory, self._axes(g), ci, co, g.groups, lines, ceil(lines, slices))
        return self._summed(xp, part, g)


ALGORITHMS: tuple[Simt | General, ...] = (Simt(), General())

choose = chooser("cuda", ALGORITHMS)


class Conv(Pointwise):
    """All passes of a convolution, each by the first algorithm that takes it."""

    algorithms = tuple(algorithm.name for algorithm in ALGORITHMS)
    choose: Any = staticmethod(choose)

    def conv_forward(
        self, x: CudaArray, w: CudaArray, b: CudaArray | None, geometry: ConvGeometry, activation: str = "none", kept: bool = False
    ) -> CudaArray:
        return self.choose("forward", geometry, x.dtype).forward(self, x, w, b, activation, geometry)

    def conv_grad_input(self, grad: CudaArray, w: CudaArray, geometry: ConvGeometry) -> CudaArray:
        return self.choose("grad_input", geometry, grad.dtype).grad_input(self, grad, w, geometry)

    def conv_grad_weight(self, grad: CudaArray, x: CudaArray, geometry: ConvGeometry) -> CudaArray:
        return self.choose("grad_weight", geometry, x.dtype).grad_weight(self, grad, x, geometry)
