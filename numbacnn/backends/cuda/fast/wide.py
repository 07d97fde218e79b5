"""Four neighbours a thread wherever they lie side by side and the first at a multiple of 16 bytes, which an array's view tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....geometry import Axis, ConvGeometry, PoolGeometry, in_front
from ....kernels.cuda import driver
from ....kernels.cuda import dropout as narrow_dropout
from ....kernels.cuda.fast import dropout, loss, pointwise, reduce, softmax
from ....kernels.cuda.simt import copy
from ....kernels.cuda.simt import loss as narrow_loss
from ....kernels.cuda.simt import reduce as narrow_reduce
from ....kernels.cuda.simt import softmax as narrow_softmax
from ....kernels.cuda.views import View
from ..arrays import Arrays, CudaArray, Strided, ceil

__all__ = ["Wide", "all_axes", "are_wide", "launch_wide"]


OF_QUADS: dict[Any, Any] = {
    narrow_reduce.reduce_rows: reduce.reduce_rows,
    narrow_reduce.reduce_columns: reduce.reduce_columns,
    narrow_softmax.softmax_rows: softmax.softmax_rows,
    narrow_softmax.softmax_backward_rows: softmax.softmax_backward_rows,
    narrow_loss.cross_entropy_forward: loss.cross_entropy_forward,
    narrow_loss.cross_entropy_backward: loss.cross_entropy_backward,
    narrow_dropout.dropout: dropout.dropout,
}
"""Kernels whose threads each do the work of four."""


def _is_wide(x: CudaArray, strides: tuple[int, ...]) -> bool:
    """Whether each four elements of the last axis are neighbours from a multiple of four on."""
    return strides[-1] == 1 and not x.view.start % 4 and not any(s % 4 for s in strides[:-1])


def are_wide(cols: int, *arrays: CudaArray) -> bool:
    """Whether rows of so many elements can be read four at a time, in dense arrays."""
    return not cols % 4 and all(not x.view.start % 4 for x in arrays)


def launch_wide(kernel: Any, n: int, *args: Any) -> None:
    """As ``driver.launch_flat``, a thread for four of n elements."""
    driver.launch(kernel, (ceil(n, 4 * driver.THREADS),), driver.THREADS, *args, n)


def all_axes(g: ConvGeometry | PoolGeometry) -> tuple[int, ...]:
    """Three axes as kernels take them: each one's size, outputs, kernel, stride, padding before, dilation."""
    return tuple(v for a in in_front(g.axes, Axis(1)) for v in (a.size, a.outputs, a.kernel, a.stride, a.before, a.dilation))


class Wide(Arrays):
    """Copies and elementwise operations."""

    alignment = 16

    def borrow(self, array: Any) -> CudaArray:
        """What holds the memory begins at a multiple of 16 bytes, as what is allocated does: then the view alone says what is aligned."""
        x = super().borrow(array)
        size, found = x.dtype.itemsize, driver.interface(x.buffer)
        address = found["data"][0]
        before = address % self.alignment // size
        if before:
            described = {**found, "shape": (len(x.buffer) + before,), "data": (address - before * size, False)}
            view = View(x.view.start + before, x.view.shape, x.view.strides)
            x = CudaArray(self.lend(x.buffer, described), view, x.dtype)
        return x

    def _block(self, kernel: Any, threads: int, arrays: Sequence[CudaArray], cols: int = 0) -> tuple[Any, int]:
        return (OF_QUADS[kernel], threads // 4) if are_wide(cols, *arrays) else super()._block(kernel, threads, arrays, cols)

    def _each(self, kernel: Any, n: int, code: tuple[int, ...], shape: tuple[int, ...], operands: Sequence[Strided], *out: Any) -> None:
        in_quads = len(shape) == 1 or not shape[-1] % 4
        if not in_quads or any(strides[-1] and not _is_wide(x, strides) for x, strides in operands):  # one element may serve many
            return super()._each(kernel, n, code, shape, operands, *out)
        kernel = pointwise.copy if kernel is copy.copy else pointwise.wide(kernel, *code)
        arguments = (arg for x, strides in operands for arg in (x.buffer, np.int32(x.view.start), strides))
        launch_wide(kernel, n, shape, *arguments, *out)

    def _fill(self, out: CudaArray, value: Any) -> None:
        launch_wide(pointwise.fill, out.size, out.buffer, value)
