"""Pooling, of volumes as lines of pixels."""

from __future__ import annotations

import functools
from typing import NamedTuple, TypeVar

import numpy as np

from ...geometry import AdaptivePoolGeometry, Axis, PoolGeometry, in_front
from ...kernels.cpu import adaptive, pool
from ...kernels.cpu.launch import launch
from .arrays import Array, Arrays, to_channels_last

__all__ = ["Pool"]

SIGNALS = 16
"""Signals from which on each is one line; of fewer, each is an image of lines of one pixel, which are shared out."""

A = TypeVar("A")


class Lines(NamedTuple):
    """A pooling as the kernels take it: its axes, and the shapes (N, lines, pixels of a line * C) of input and output."""

    axes: Array
    input: tuple[int, int, int]
    output: tuple[int, int, int]


def _volume(axes: tuple[A, ...], n: int, unit: A) -> tuple[A, ...]:
    """Depth, height and width for the kernels, whose tasks are lines."""
    return (unit, axes[0], unit) if len(axes) == 1 and n < SIGNALS else in_front(axes, unit)


def _lines(axes: list[tuple[int, ...]], n: int, c: int) -> Lines:
    """Of axes that begin with size and outputs."""
    (depth, planes, *_), (height, rows, *_), (width, columns, *_) = axes
    return Lines(np.array(axes, np.int64), (n, depth * height, width * c), (n, planes * rows, columns * c))


@functools.lru_cache(maxsize=1024)
def _windows(g: PoolGeometry) -> Lines:
    axes = _volume(g.axes, g.n, Axis(1))
    return _lines([(a.size, a.outputs, a.kernel, a.stride, a.before, a.dilation) for a in axes], g.n, g.c)


@functools.lru_cache(maxsize=1024)
def _adaptive_windows(g: AdaptivePoolGeometry) -> Lines:
    return _lines([*_volume(tuple(zip(g.sizes, g.outputs)), g.n, (1, 1))], g.n, g.c)


class Pool(Arrays):
    """Maxima and means of windows."""

    def max_pool_forward(self, x: Array, geometry: PoolGeometry) -> tuple[Array, Array]:
        g, p = geometry, _windows(geometry)
        out, index = self.empty(g.output_shape, x.dtype), self.empty(g.output_shape, np.int32)
        made = to_channels_last(out).reshape(p.output), to_channels_last(index).reshape(p.output)
        launch(pool.max_forward, self.contiguous(x).reshape(p.input), *made, g.c, p.axes)
        return out, index

    def max_pool_backward(self, grad: Array, index: Array, geometry: PoolGeometry) -> Array:
        g, p = geometry, _windows(geometry)
        out = self.empty(g.input_shape, grad.dtype)
        given = self.contiguous(grad).reshape(p.output), to_channels_last(index).reshape(p.output)
        launch(pool.max_backward, *given, to_channels_last(out).reshape(p.input), g.c, p.axes)
        return out

    def avg_pool_forward(self, x: Array, geometry: PoolGeometry) -> Array:
        g, p = geometry, _windows(geometry)
        out = self.empty(g.output_shape, x.dtype)
        lines = self.contiguous(x).reshape(p.input), to_channels_last(out).reshape(p.output)
        launch(pool.avg_forward, *lines, g.c, p.axes, int(g.count_include_pad))
        return out

    def avg_pool_backward(self, grad: Array, geometry: PoolGeometry) -> Array:
        g, p = geometry, _windows(geometry)
        out = self.empty(g.input_shape, grad.dtype)
        lines = self.contiguous(grad).reshape(p.output), to_channels_last(out).reshape(p.input)
        launch(pool.avg_backward, *lines, g.c, p.axes, int(g.count_include_pad))
        return out

    def adaptive_avg_pool_forward(self, x: Array, geometry: AdaptivePoolGeometry) -> Array:
        g, p = geometry, _adaptive_windows(geometry)
        out = self.empty(g.output_shape, x.dtype)
        launch(adaptive.adaptive_avg_forward, self.contiguous(x).reshape(p.input), to_channels_last(out).reshape(p.output), g.c, p.axes)
        return out

    def adaptive_avg_pool_backward(self, grad: Array, geometry: AdaptivePoolGeometry) -> Array:
        g, p = geometry, _adaptive_windows(geometry)
        out = self.empty(g.input_shape, grad.dtype)
        launch(adaptive.adaptive_avg_backward, self.contiguous(grad).reshape(p.output), to_channels_last(out).reshape(p.input), g.c, p.axes)
        return out
