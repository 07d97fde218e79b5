"""Pooling of four channels a thread."""

from __future__ import annotations

from collections.abc import Sequence

from ....geometry import AdaptivePoolGeometry, PoolGeometry, in_front
from ....kernels.cuda.fast import pool as kernels
from .. import pool
from ..arrays import CudaArray
from .wide import all_axes, are_wide, launch_wide

__all__ = ["Pool"]


def _adaptive_sizes(g: AdaptivePoolGeometry) -> tuple[int, ...]:
    return tuple(v for axis in zip(in_front(g.sizes, 1), in_front(g.outputs, 1)) for v in axis)


class Pool(pool.Pool):
    """Maxima and means of windows."""

    def _pool(self, kernel: str, g: PoolGeometry | AdaptivePoolGeometry, out: CudaArray, arrays: Sequence[CudaArray], *flags: int) -> None:
        if are_wide(g.c, *arrays):
            sizes = all_axes(g) if isinstance(g, PoolGeometry) else _adaptive_sizes(g)
            launch_wide(getattr(kernels, kernel), out.size, *map(self.flat, arrays), sizes, g.c, *flags)
        else:
            super()._pool(kernel, g, out, arrays, *flags)
