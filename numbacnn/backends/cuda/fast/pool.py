"""Pooling of four channels a thread."""

from __future__ import annotations

from collections.abc import Sequence

from ....geometry import AdaptivePoolGeometry, Axis, PoolGeometry, in_front
from ....kernels.cuda.fast import pool as kernels
from .. import pool
from ..arrays import CudaArray
from .wide import are_wide, launch_wide

__all__ = ["Pool"]


def _axes(g: PoolGeometry | AdaptivePoolGeometry) -> tuple[int, ...]:
    """All axes as the kernels take them."""
    if isinstance(g, PoolGeometry):
        return tuple(v for a in in_front(g.axes, Axis(1)) for v in (a.size, a.outputs, a.kernel, a.stride, a.before, a.dilation))
    return tuple(v for axis in zip(in_front(g.sizes, 1), in_front(g.outputs, 1)) for v in axis)


class Pool(pool.Pool):
    """Maxima and means of windows."""

    def _pool(self, kernel: str, g: PoolGeometry | AdaptivePoolGeometry, out: CudaArray, arrays: Sequence[CudaArray], *flags: int) -> None:
        if are_wide(g.c, *arrays):
            launch_wide(getattr(kernels, kernel), out.size, *map(self.flat, arrays), _axes(g), g.c, *flags)
        else:
            super()._pool(kernel, g, out, arrays, *flags)
