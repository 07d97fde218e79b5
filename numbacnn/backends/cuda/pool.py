"""Pooling: of signals and images by the kernels for images, of volumes by those for volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...geometry import AdaptivePoolGeometry, Axis, PoolGeometry, in_front
from ...kernels.cuda import pool as volume
from ...kernels.cuda.driver import launch_flat
from ...kernels.cuda.simt import adaptive, pool
from ...layout import channels_last
from ..choice import first_in_front
from .arrays import Arrays, CudaArray

__all__ = ["Pool"]


def _sizes(g: PoolGeometry, dilation: bool) -> tuple[Any, ...]:
    """The geometry as the kernels take it: of volumes as one tuple; dilation is for maxima."""
    if len(g.axes) == 3:
        return tuple(v for a in g.axes for v in (a.size, a.outputs, a.kernel, a.stride, a.before, a.dilation)), g.c
    rows, columns = in_front(g.axes, Axis(1), 2)
    sizes = (rows.size, columns.size, g.c, rows.outputs, columns.outputs, rows.kernel, columns.kernel)
    moves = (rows.stride, columns.stride, rows.before, columns.before)
    return (*sizes, *moves, rows.dilation, columns.dilation) if dilation else (*sizes, *moves)


def _adaptive_sizes(g: AdaptivePoolGeometry) -> tuple[Any, ...]:
    if len(g.sizes) == 3:
        return tuple(v for axis in zip(g.sizes, g.outputs) for v in axis), g.c
    return (*in_front(g.sizes, 1, 2), g.c, *in_front(g.outputs, 1, 2))


class Pool(Arrays):
    """Maxima and means of windows."""

    def _like(self, x: CudaArray, shape: tuple[int, ...], dtype: Any = None) -> CudaArray:
        return self.empty(shape, dtype or x.dtype, channels_last(x.ndim))

    def _pool(self, kernel: str, g: PoolGeometry | AdaptivePoolGeometry, out: CudaArray, arrays: Sequence[CudaArray], *flags: int) -> None:
        """Launch the kernel of this name on channels-last arrays, a thread for each element of ``out``."""
        images: Any = pool if isinstance(g, PoolGeometry) else adaptive
        sizes = _sizes(g, dilation=kernel.startswith("max")) if isinstance(g, PoolGeometry) else _adaptive_sizes(g)
        found = getattr(volume if out.ndim == 5 else images, kernel)
        launch_flat(found, out.size, *map(self.flat, arrays), *sizes, *flags)

    def max_pool_forward(self, x: CudaArray, geometry: PoolGeometry) -> tuple[CudaArray, CudaArray]:
        if own := first_in_front("cuda", "max_pool", "forward", geometry, x.dtype):
            return own.forward(self, x, geometry, x.dtype, np.int32)
        out, index = self._like(x, geometry.output_shape), self._like(x, geometry.output_shape, np.int32)
        self._pool("max_forward", geometry, out, (self.channels_last(x), out, index))
        return out, index

    def max_pool_backward(self, grad: CudaArray, index: CudaArray, geometry: PoolGeometry) -> CudaArray:
        if own := first_in_front("cuda", "max_pool", "grad_input", geometry, grad.dtype):
            return own.grad_input(self, (grad, index), geometry)
        out = self._like(grad, geometry.input_shape)
        self._pool("max_backward", geometry, out, (self.channels_last(grad), self.channels_last(index), out))
        return out

    def avg_pool_forward(self, x: CudaArray, geometry: PoolGeometry) -> CudaArray:
        if own := first_in_front("cuda", "avg_pool", "forward", geometry, x.dtype):
            return own.forward(self, x, geometry, x.dtype)[0]
        out = self._like(x, geometry.output_shape)
        self._pool("avg_forward", geometry, out, (self.channels_last(x), out), int(geometry.count_include_pad))
        return out

    def avg_pool_backward(self, grad: CudaArray, geometry: PoolGeometry) -> CudaArray:
        if own := first_in_front("cuda", "avg_pool", "grad_input", geometry, grad.dtype):
            return own.grad_input(self, (grad,), geometry)
        out = self._like(grad, geometry.input_shape)
        self._pool("avg_backward", geometry, out, (self.channels_last(grad), out), int(geometry.count_include_pad))
        return out

    def adaptive_avg_pool_forward(self, x: CudaArray, geometry: AdaptivePoolGeometry) -> CudaArray:
        out = self._like(x, geometry.output_shape)
        self._pool("adaptive_avg_forward", geometry, out, (self.channels_last(x), out))
        return out

    def adaptive_avg_pool_backward(self, grad: CudaArray, geometry: AdaptivePoolGeometry) -> CudaArray:
        out = self._like(grad, geometry.input_shape)
        self._pool("adaptive_avg_backward", geometry, out, (self.channels_last(grad), out))
        return out
