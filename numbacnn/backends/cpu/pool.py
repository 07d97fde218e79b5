"""Pooling, of volumes as lines of pixels."""

from __future__ import annotations

import functools
from typing import NamedTuple, TypeVar

import numpy as np

from ...geometry import AdaptivePoolGeometry, Axis, PoolGeometry, in_front
from ...kernels.cpu import adaptive, pool
from ...kernels.cpu.launch import launch
from ...kernels.cpu.record import record
from ...recording import constant
from ..choice import first_in_front
from .arrays import Array, Arrays, to_channels_last

__all__ = ["Pool"]

SIGNALS = 16
"""Signals from which on each is one line; of fewer, each is an image of lines of one pixel, which are shared out."""

A = TypeVar("A")


class Lines(NamedTuple):
    """A pooling as the kernels take it: its numbers, and the shapes (N, lines, pixels of a line * C) of input and output."""

    plan: Array
    input: tuple[int, int, int]
    output: tuple[int, int, int]


def _volume(axes: tuple[A, ...], n: int, unit: A) -> tuple[A, ...]:
    """Depth, height and width for the kernels, whose tasks are lines."""
    return (unit, axes[0], unit) if len(axes) == 1 and n < SIGNALS else in_front(axes, unit)


@functools.lru_cache(maxsize=1024)
def _windows(g: PoolGeometry) -> Lines:
    axes = depth, height, width = _volume(g.axes, g.n, Axis(1))
    plan = constant(np.array([(a.size, a.outputs, a.kernel, a.stride, a.before, a.dilation) for a in axes], np.int64))
    return Lines(plan, (g.n, depth.size * height.size, width.size * g.c), (g.n, depth.outputs * height.outputs, width.outputs * g.c))


@functools.lru_cache(maxsize=1024)
def _adaptive_windows(g: AdaptivePoolGeometry) -> Lines:
    (depth, planes), (height, rows), (width, windows) = _volume(tuple(zip(g.sizes, g.outputs)), g.n, (1, 1))
    plan = record(channels=g.c, depth=depth, height=height, width=width, planes=planes, rows=rows, windows=windows)
    return Lines(plan, (g.n, depth * height, width * g.c), (g.n, planes * rows, windows * g.c))


class Pool(Arrays):
    """Maxima and means of windows."""

    def max_pool_forward(self, x: Array, geometry: PoolGeometry) -> tuple[Array, Array]:
        g, p = geometry, _windows(geometry)
        out, index = self.empty(g.output_shape, x.dtype), self.empty(g.output_shape, np.int32)
        memory, made = self.contiguous(x), (to_channels_last(out), to_channels_last(index))
        if own := first_in_front("cpu", "max_pool", "forward", g, x.dtype):
            own.forward(self.buffers, memory, g, *made)
        else:
            launch(pool.max_forward, memory.reshape(p.input), *(a.reshape(p.output) for a in made), g.c, p.plan)
        return out, index

    def max_pool_backward(self, grad: Array, index: Array, geometry: PoolGeometry) -> Array:
        g, p = geometry, _windows(geometry)
        out = self.empty(g.input_shape, grad.dtype)
        given, made = (self.contiguous(grad), to_channels_last(index)), to_channels_last(out)
        if own := first_in_front("cpu", "max_pool", "grad_input", g, grad.dtype):
            own.grad_input(self.buffers, given, g, made)
        else:
            launch(pool.max_backward, *(a.reshape(p.output) for a in given), made.reshape(p.input), g.c, p.plan)
        return out

    def avg_pool_forward(self, x: Array, geometry: PoolGeometry) -> Array:
        g, p = geometry, _windows(geometry)
        out = self.empty(g.output_shape, x.dtype)
        memory, made = self.contiguous(x), to_channels_last(out)
        if own := first_in_front("cpu", "avg_pool", "forward", g, x.dtype):
            own.forward(self.buffers, memory, g, made)
        else:
            launch(pool.avg_forward, memory.reshape(p.input), made.reshape(p.output), g.c, p.plan, int(g.count_include_pad))
        return out

    def avg_pool_backward(self, grad: Array, geometry: PoolGeometry) -> Array:
        g, p = geometry, _windows(geometry)
        out = self.empty(g.input_shape, grad.dtype)
        memory, made = self.contiguous(grad), to_channels_last(out)
        if own := first_in_front("cpu", "avg_pool", "grad_input", g, grad.dtype):
            own.grad_input(self.buffers, (memory,), g, made)
        else:
            launch(pool.avg_backward, memory.reshape(p.output), made.reshape(p.input), g.c, p.plan, int(g.count_include_pad))
        return out

    def adaptive_avg_pool_forward(self, x: Array, geometry: AdaptivePoolGeometry) -> Array:
        g, p = geometry, _adaptive_windows(geometry)
        out = self.empty(g.output_shape, x.dtype)
        launch(adaptive.adaptive_avg_forward, self.contiguous(x).reshape(p.input), to_channels_last(out).reshape(p.output), p.plan)
        return out

    def adaptive_avg_pool_backward(self, grad: Array, geometry: AdaptivePoolGeometry) -> Array:
        g, p = geometry, _adaptive_windows(geometry)
        out = self.empty(g.input_shape, grad.dtype)
        launch(adaptive.adaptive_avg_backward, self.contiguous(grad).reshape(p.output), to_channels_last(out).reshape(p.input), p.plan)
        return out
