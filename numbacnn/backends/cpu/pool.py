"""Pooling, of images as rows of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...geometry import AdaptivePool2dGeometry, Pool2dGeometry
from ...kernels.cpu import adaptive, pool
from ...kernels.cpu.launch import launch
from .arrays import Array, Arrays, to_channels_last

__all__ = ["Pool"]


def _scanlines(x: Array) -> Array:
    """(N, H, W, C) as rows (N, H, W * C)."""
    n, h, w, c = x.shape
    return x.reshape(n, h, w * c)


class Pool(Arrays):
    """Maxima and means of windows."""

    def max_pool2d_forward(self, x: Array, geometry: Pool2dGeometry) -> tuple[Array, Array]:
        g = geometry
        out, index = self.empty(g.output_shape, x.dtype), self.empty(g.output_shape, np.int32)
        lines = (_scanlines(a) for a in (self.contiguous(x), to_channels_last(out), to_channels_last(index)))
        launch(pool.max_forward, *lines, g.c, *g.kernel, *g.stride, *g.padding, *g.dilation)
        return out, index

    def max_pool2d_backward(self, grad: Array, index: Array, geometry: Pool2dGeometry) -> Array:
        g = geometry
        out = self.empty((g.n, g.c, g.h, g.w), grad.dtype)
        lines = (_scanlines(a) for a in (self.contiguous(grad), to_channels_last(index), to_channels_last(out)))
        launch(pool.max_backward, *lines, g.c, g.kernel[0], g.stride[0], g.padding[0], g.dilation[0])
        return out

    def avg_pool2d_forward(self, x: Array, geometry: Pool2dGeometry) -> Array:
        out = self.empty(geometry.output_shape, x.dtype)
        self._average(pool.avg_forward, x, out, geometry)
        return out

    def avg_pool2d_backward(self, grad: Array, geometry: Pool2dGeometry) -> Array:
        out = self.empty((geometry.n, geometry.c, geometry.h, geometry.w), grad.dtype)
        self._average(pool.avg_backward, grad, out, geometry)
        return out

    def _average(self, kernel: Any, source: Array, out: Array, g: Pool2dGeometry) -> None:
        lines = _scanlines(self.contiguous(source)), _scanlines(to_channels_last(out))
        launch(kernel, *lines, g.c, *g.kernel, *g.stride, *g.padding, int(g.count_include_pad))

    def adaptive_avg_pool2d_forward(self, x: Array, geometry: AdaptivePool2dGeometry) -> Array:
        out = self.empty(geometry.output_shape, x.dtype)
        launch(adaptive.adaptive_avg_forward, _scanlines(self.contiguous(x)), _scanlines(to_channels_last(out)), geometry.c)
        return out

    def adaptive_avg_pool2d_backward(self, grad: Array, geometry: AdaptivePool2dGeometry) -> Array:
        out = self.empty((geometry.n, geometry.c, geometry.h, geometry.w), grad.dtype)
        launch(adaptive.adaptive_avg_backward, _scanlines(self.contiguous(grad)), _scanlines(to_channels_last(out)), geometry.c)
        return out
