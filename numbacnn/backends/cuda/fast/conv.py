"""Convolutions that read weights where they lie, and whose weight gradients come out as the weights lie: no launch moves either."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from .... import recording
from ....geometry import ConvGeometry
from ....kernels.cuda import views
from ....kernels.cuda.driver import launch
from ....kernels.cuda.fast import conv as kernels
from ....kernels.cuda.fast import depthwise
from ....layout import channels_last, kernel_first
from ....names import ACTIVATIONS
from ...choice import DType, chooser
from .. import conv
from ..arrays import CudaArray, ceil
from ..pointwise import Pointwise
from ..reduce import WANTED_BLOCKS
from .wide import all_axes, launch_wide

__all__ = ["Conv"]

TAPS = 65535  # a launch's blocks along the third axis, at most
ACROSS = 16  # quads of channels that a block adds up: 256 bytes of a pixel


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


class Depthwise(conv.Cuda):
    """Each channel by itself, four channels a thread."""

    name = "depthwise"

    def declines(self, g: ConvGeometry, dtype: DType) -> str:
        if not g.groups == g.c == g.oc:
            return "channels that are not each by itself"
        if math.prod(g.kernel) > TAPS:
            return f"more than {TAPS} taps"
        return "" if g.c % 4 == 0 else "a number of channels that is no multiple of 4"

    @staticmethod
    def _memory(xp: Pointwise, x: CudaArray, order: tuple[int, ...]) -> Any:
        """Flat memory in this order of axes that begins at a multiple of 16 bytes; a copy only where it does not."""
        x = xp.ordered(x, order)
        return xp.flat(xp.copy(x) if x.view.start % 4 else x)

    def forward(self, xp: Pointwise, x: CudaArray, w: CudaArray, b: CudaArray | None, activation: str, g: ConvGeometry) -> CudaArray:
        out = xp.empty(g.output_shape, x.dtype, channels_last(x.ndim))
        extra = (out.buffer, 0) if b is None else (xp.flat(xp.contiguous(b)), 1)
        memory = self._memory(xp, x, channels_last(x.ndim)), self._memory(xp, w, kernel_first(w.ndim))
        launch_wide(depthwise.forward, out.size, *memory, *extra, ACTIVATIONS.index(activation), out.buffer, all_axes(g), g.c)
        return out

    def grad_input(self, xp: Pointwise, grad: CudaArray, w: CudaArray, g: ConvGeometry) -> CudaArray:
        out = xp.empty(g.input_shape, grad.dtype, channels_last(grad.ndim))
        memory = self._memory(xp, grad, channels_last(grad.ndim)), self._memory(xp, w, kernel_first(w.ndim))
        launch_wide(depthwise.grad_input, out.size, *memory, out.buffer, all_axes(g), g.c)
        return out

    def grad_weight(self, xp: Pointwise, grad: CudaArray, x: CudaArray, g: ConvGeometry) -> CudaArray:
        across = min(g.c // 4, ACROSS, depthwise.THREADS)
        lanes = 1 << (depthwise.THREADS // across).bit_length() - 1
        columns, taps, pixels = ceil(g.c // 4, across), math.prod(g.kernel), g.n * math.prod(g.outputs)
        slices = max(1, min(ceil(4 * WANTED_BLOCKS, columns * taps), ceil(pixels, 8 * lanes), 64))  # eight blocks a multiprocessor
        part = xp.empty((slices, *g.kernel, 1, g.c), x.dtype)
        memory = (*(self._memory(xp, a, channels_last(a.ndim)) for a in (x, grad)), part.buffer)
        sizes = (all_axes(g), g.c, across, lanes, ceil(pixels, slices), pixels)
        launch(depthwise.grad_weight, (slices, columns, taps), across * lanes, *memory, *sizes)
        return _as_parameter(self._added(xp, part), g)


ALGORITHMS: tuple[Depthwise | Simt | General, ...] = (Depthwise(), Simt(), General())


class Conv(conv.Conv):
    """All passes of a convolution."""

    algorithms = tuple(algorithm.name for algorithm in ALGORITHMS)
    choose = staticmethod(chooser("cuda", ALGORITHMS))

    def parameter(self, x: CudaArray) -> CudaArray:
        return self.ordered(x, kernel_first(x.ndim))

    def lay(self, x: CudaArray, order: Sequence[int]) -> None:
        is_weight = self.is_dense(x, kernel_first(x.ndim)) and not self.is_dense(x, order)
        if is_weight and tuple(order) == tuple(range(x.ndim)) and _references(x) == _ALONE:
            recording.refuse("a weight is laid in another order")
            laid = self.contiguous(x)
            recording.changed()
            x.buffer, x.view = laid.buffer, laid.view

    def to_numpy(self, x: CudaArray) -> np.ndarray:
        """As elsewhere; what lies as a parameter comes in C order, as parameters lie on the host and in files."""
        found = super().to_numpy(x)
        return found.copy() if x.ndim > 2 and views.is_dense(x.view, kernel_first(x.ndim)) else found
