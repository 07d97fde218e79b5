"""Pooling, of volumes as lines of pixels."""

from __future__ import annotations

import functools
import math
from typing import TypeVar

import numpy as np

from ...geometry import AdaptivePoolGeometry, Axis, PoolGeometry, in_front
from ...kernels.cpu import adaptive, pool
from ...kernels.cpu.launch import launch
from .arrays import Array, Arrays, to_channels_last

__all__ = ["Pool"]

SIGNALS = 16
"""Signals from which on each is one line; of fewer, each is an image of lines of one pixel, which are shared out."""

A = TypeVar("A")


def _volume(axes: tuple[A, ...], n: int, unit: A) -> tuple[A, ...]:
    """Depth, height and width for the kernels, whose tasks are lines."""
    return (unit, axes[0], unit) if len(axes) == 1 and n < SIGNALS else in_front(axes, unit)


@functools.lru_cache(maxsize=1024)
def _axes(g: PoolGeometry) -> Array:
    """The axes as the kernels take them."""
    axes = _volume(g.axes, g.n, Axis(1))
    return np.array([(a.size, a.outputs, a.kernel, a.stride, a.before, a.dilation) for a in axes], np.int64)


@functools.lru_cache(maxsize=1024)
def _adaptive_axes(g: AdaptivePoolGeometry) -> Array:
    return np.array(_volume(tuple(zip(g.sizes, g.outputs)), g.n, (1, 1)), np.int64)


def _lines(x: Array, last: int) -> Array:
    """(N, ..., C) as lines of ``last`` pixels: (N, D * H, W * C)."""
    n, *sizes, c = x.shape
    return x.reshape(n, math.prod(sizes) // last, last * c)


class Pool(Arrays):
    """Maxima and means of windows."""

    def max_pool_forward(self, x: Array, geometry: PoolGeometry) -> tuple[Array, Array]:
        axes, out, index = _axes(geometry), self.empty(geometry.output_shape, x.dtype), self.empty(geometry.output_shape, np.int32)
        lines = _lines(self.contiguous(x), axes[2, 0]), *(_lines(to_channels_last(a), axes[2, 1]) for a in (out, index))
        launch(pool.max_forward, *lines, geometry.c, axes)
        return out, index

    def max_pool_backward(self, grad: Array, index: Array, geometry: PoolGeometry) -> Array:
        axes, out = _axes(geometry), self.empty(geometry.input_shape, grad.dtype)
        lines = (_lines(a, axes[2, 1]) for a in (self.contiguous(grad), to_channels_last(index)))
        launch(pool.max_backward, *lines, _lines(to_channels_last(out), axes[2, 0]), geometry.c, axes)
        return out

    def avg_pool_forward(self, x: Array, geometry: PoolGeometry) -> Array:
        axes, out = _axes(geometry), self.empty(geometry.output_shape, x.dtype)
        lines = _lines(self.contiguous(x), axes[2, 0]), _lines(to_channels_last(out), axes[2, 1])
        launch(pool.avg_forward, *lines, geometry.c, axes, int(geometry.count_include_pad))
        return out

    def avg_pool_backward(self, grad: Array, geometry: PoolGeometry) -> Array:
        axes, out = _axes(geometry), self.empty(geometry.input_shape, grad.dtype)
        lines = _lines(self.contiguous(grad), axes[2, 1]), _lines(to_channels_last(out), axes[2, 0])
        launch(pool.avg_backward, *lines, geometry.c, axes, int(geometry.count_include_pad))
        return out

    def adaptive_avg_pool_forward(self, x: Array, geometry: AdaptivePoolGeometry) -> Array:
        axes, out = _adaptive_axes(geometry), self.empty(geometry.output_shape, x.dtype)
        lines = _lines(self.contiguous(x), axes[2, 0]), _lines(to_channels_last(out), axes[2, 1])
        launch(adaptive.adaptive_avg_forward, *lines, geometry.c, axes)
        return out

    def adaptive_avg_pool_backward(self, grad: Array, geometry: AdaptivePoolGeometry) -> Array:
        axes, out = _adaptive_axes(geometry), self.empty(geometry.input_shape, grad.dtype)
        lines = _lines(self.contiguous(grad), axes[2, 1]), _lines(to_channels_last(out), axes[2, 0])
        launch(adaptive.adaptive_avg_backward, *lines, geometry.c, axes)
        return out
