"""Convolutions that read weights where they lie, and whose weight gradients come out as the weights lie: no launch moves either."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from .... import recording
from ....geometry import ConvGeometry
from ....kernels.cuda import views
from ....kernels.cuda.fast import conv as kernels
from ....layout import kernel_first
from ...choice import chooser
from .. import conv
from ..arrays import CudaArray
from ..pointwise import Pointwise

__all__ = ["Conv"]


def _as_parameter(total: CudaArray, g: ConvGeometry) -> CudaArray:
    """Memory (..., C/G, OC) as a weight (OC, C/G, ...)."""
    return total.viewed(views.dense(g.weight_shape, kernel_first(len(g.weight_shape))))


class Simt(conv.Simt):
    """The same sums, in one launch."""

    kernels = kernels  # type: ignore[assignment]
    fuses = True

    def _weights(self, xp: Pointwise, w: CudaArray, groups: int, channels: tuple[int, int]) -> tuple[Any, ...]:
        """Memory, where it begins, and the distances between groups, rows, columns and channels; a copy only where one is negative."""
        w = xp.contiguous(w) if min(w.view.strides) < 0 else w
        out, *others = w.view.strides
        by_axis = (out * (w.shape[0] // groups), out, *others)
        rows, columns = (0, *others[1:])[-2:]
        return w.buffer, w.view.start, by_axis[0], rows, columns, *(by_axis[axis] for axis in channels)

    def _summed(self, xp: Pointwise, part: CudaArray, g: ConvGeometry) -> CudaArray:
        return _as_parameter(self._added(xp, part), g)


class General(conv.General):
    """The same, whose weight gradient of a single group comes out as the weight lies."""

    def _summed(self, xp: Pointwise, part: CudaArray, g: ConvGeometry) -> CudaArray:
        return _as_parameter(self._added(xp, part), g) if g.groups == 1 else super()._summed(xp, part, g)


def _references(x: CudaArray) -> int:
    """How often the memory of an array is referred to."""
    return sys.getrefcount(x.buffer)


_ALONE = _references(CudaArray(np.empty(0), views.dense((0,), (0,)), np.float32))


ALGORITHMS: tuple[conv.Simt | conv.General, ...] = (Simt(), General())


class Conv(conv.Conv):
    """All passes of a convolution."""

    choose = staticmethod(chooser("cuda", ALGORITHMS))

    def parameter(self, x: CudaArray) -> CudaArray:
        return self.ordered(x, kernel_first(x.ndim))

    def lay(self, x: CudaArray, order: Sequence[int]) -> None:
        if x.ndim > 2 and tuple(order) == tuple(range(x.ndim)) and not self.is_dense(x, order) and _references(x) == _ALONE:
            recording.refuse("a weight is laid in another order")
            laid = self.contiguous(x)
            recording.changed()
            x.buffer, x.view = laid.buffer, laid.view

    def to_numpy(self, x: CudaArray) -> np.ndarray:
        """As elsewhere; what lies as a parameter comes in C order, as parameters lie on the host and in files."""
        found = super().to_numpy(x)
        return found.copy() if x.ndim > 2 and views.is_dense(x.view, kernel_first(x.ndim)) else found
