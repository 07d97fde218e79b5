"""Pooling."""

from __future__ import annotations

import numpy as np

from ...geometry import AdaptivePool2dGeometry, Pool2dGeometry
from ...kernels.cuda.driver import launch_flat
from ...kernels.cuda.simt import adaptive, pool
from ...layout import channels_last
from .arrays import Arrays, CudaArray

__all__ = ["Pool"]


class Pool(Arrays):
    """Maxima and means of windows."""

    @staticmethod
    def _pool_sizes(g: Pool2dGeometry) -> tuple[int, ...]:
        return (g.h, g.w, g.c, g.oh, g.ow, *g.kernel, *g.stride, *g.padding)

    def max_pool2d_forward(self, x: CudaArray, geometry: Pool2dGeometry) -> tuple[CudaArray, CudaArray]:
        g = geometry
        out = self.empty(g.output_shape, x.dtype, channels_last(4))
        index = self.empty(g.output_shape, np.int32, channels_last(4))
        memory = self.flat(self.channels_last(x))
        launch_flat(pool.max_forward, out.size, memory, out.buffer, index.buffer, *self._pool_sizes(g), *g.dilation)
        return out, index

    def max_pool2d_backward(self, grad: CudaArray, index: CudaArray, geometry: Pool2dGeometry) -> CudaArray:
        g = geometry
        out = self.empty((g.n, g.c, g.h, g.w), grad.dtype, channels_last(4))
        memory = (self.flat(self.channels_last(grad)), self.flat(self.channels_last(index)))
        launch_flat(pool.max_backward, out.size, *memory, out.buffer, *self._pool_sizes(g), *g.dilation)
        return out

    def avg_pool2d_forward(self, x: CudaArray, geometry: Pool2dGeometry) -> CudaArray:
        g = geometry
        out = self.empty(g.output_shape, x.dtype, channels_last(4))
        memory = self.flat(self.channels_last(x))
        launch_flat(pool.avg_forward, out.size, memory, out.buffer, *self._pool_sizes(g), int(g.count_include_pad))
        return out

    def avg_pool2d_backward(self, grad: CudaArray, geometry: Pool2dGeometry) -> CudaArray:
        g = geometry
        out = self.empty((g.n, g.c, g.h, g.w), grad.dtype, channels_last(4))
        memory = self.flat(self.channels_last(grad))
        launch_flat(pool.avg_backward, out.size, memory, out.buffer, *self._pool_sizes(g), int(g.count_include_pad))
        return out

    def adaptive_avg_pool2d_forward(self, x: CudaArray, geometry: AdaptivePool2dGeometry) -> CudaArray:
        g = geometry
        out = self.empty(g.output_shape, x.dtype, channels_last(4))
        memory = self.flat(self.channels_last(x))
        launch_flat(adaptive.adaptive_avg_forward, out.size, memory, out.buffer, g.h, g.w, g.c, g.oh, g.ow)
        return out

    def adaptive_avg_pool2d_backward(self, grad: CudaArray, geometry: AdaptivePool2dGeometry) -> CudaArray:
        g = geometry
        out = self.empty((g.n, g.c, g.h, g.w), grad.dtype, channels_last(4))
        memory = self.flat(self.channels_last(grad))
        launch_flat(adaptive.adaptive_avg_backward, out.size, memory, out.buffer, g.h, g.w, g.c, g.oh, g.ow)
        return out
