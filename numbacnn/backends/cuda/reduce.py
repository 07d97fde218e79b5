"""Reductions, in an order that the shape alone decides."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...kernels.cuda import views
from ...kernels.cuda.driver import launch
from ...kernels.cuda.simt import reduce, softmax
from ...layout import channels_last
from .arrays import CudaArray, ceil
from .pointwise import Pointwise

__all__ = ["WANTED_BLOCKS", "Reduce"]

WANTED_BLOCKS = 264  # two for each of an H100's multiprocessors; a constant, so that sums have one order on every machine
ROW_CHUNK = 2048  # elements of a row that a block reduces at least, where a row is cut into slices
COLUMN_CHUNK = 64  # likewise rows, where columns are
SHORT_ROW = 32  # a block for each row would be idle below this: such rows are turned into columns


def _axis_last(ndim: int, axis: int) -> tuple[int, ...]:
    return (*(d for d in range(ndim) if d != axis % ndim), axis % ndim)


class Reduce(Pointwise):
    """Sums, maxima, softmax."""

    def sum(self, x: CudaArray, axes: tuple[int, ...], keepdims: bool) -> CudaArray:
        wide = x if x.dtype.kind == "f" or x.dtype == np.int64 else self.astype(x, np.int64)
        return self._reduce(reduce.SUM, wide, axes, keepdims)

    def max(self, x: CudaArray, axes: tuple[int, ...], keepdims: bool) -> CudaArray:
        (number,) = self._numbers([x])
        out = self._reduce(reduce.MAX, number, axes, keepdims)
        return out if number is x else self.astype(out, x.dtype)

    def min(self, x: CudaArray, axes: tuple[int, ...], keepdims: bool) -> CudaArray:
        return self._reversed(self.max(self._reversed(x), axes, keepdims))

    def _reversed(self, x: CudaArray) -> CudaArray:
        """The same values in reverse order, and reversed once more themselves. Nothing overflows: integers become their complement."""
        if x.dtype == np.bool_:
            return self.unary("logical_not", x)
        return self.unary("negative", x) if x.dtype.kind == "f" else self.binary("subtract", int(~x.dtype.type(0)), x)

    def _reduce(self, op: int, x: CudaArray, axes: tuple[int, ...], keepdims: bool) -> CudaArray:
        """The road and the order depend on the shape alone, never on how ``x`` happens to lie in memory."""
        axes = tuple(a % x.ndim for a in axes)
        gone = [a for a in channels_last(x.ndim) if a in axes]
        kept = [a for a in channels_last(x.ndim) if a not in axes]
        count, n = math.prod(x.shape[a] for a in kept), math.prod(x.shape[a] for a in gone)
        if not x.size:
            flat = self.full((count,), 0, x.dtype)
        elif kept and (n < SHORT_ROW or (*gone, *kept) == channels_last(x.ndim)):
            flat = self._reduce_columns(op, self.ordered(x, (*gone, *kept)), n, count)
        else:
            flat = self._reduce_rows(op, self.ordered(x, (*kept, *gone)), count, n)
        out = flat.viewed(views.dense([1 if a in axes else size for a, size in enumerate(x.shape)], (*gone, *kept)))
        return out if keepdims else self.reshape(out, [size for a, size in enumerate(x.shape) if a not in axes])

    def _bands(self, rows: int, cols: int) -> tuple[int, int, int]:
        """Blocks across the columns, slices of the rows, and the rows of a slice."""
        across = ceil(cols, reduce.COLUMNS)
        chunk = max(ceil(rows, max(1, WANTED_BLOCKS // max(across, 1))), COLUMN_CHUNK)
        return across, ceil(rows, chunk), chunk

    def _reduce_columns(self, op: int, x: CudaArray, rows: int, cols: int) -> CudaArray:
        """(rows, cols) -> (cols,): bands of rows first, then the bands."""
        across, slices, chunk = self._bands(rows, cols)
        kernel, threads = self._block(reduce.reduce_columns, reduce.COLUMNS * reduce.LANES, (x,), cols)
        memory = self.flat(x)
        if slices > 1:
            part = self.empty((slices, cols), x.dtype)
            launch(kernel, (across, slices), threads, op, memory, part.buffer, rows, cols, chunk)
            memory, rows = part.buffer, slices
        out = self.empty((cols,), x.dtype)
        launch(kernel, (across, 1), threads, op, memory, out.buffer, rows, cols, rows)
        return out

    def _reduce_rows(self, op: int, x: CudaArray, rows: int, cols: int) -> CudaArray:
        """(rows, cols) -> (rows,): slices of long rows first, then the slices."""
        kernel, threads = self._block(reduce.reduce_rows, reduce.THREADS, (x,))
        memory = self.flat(x)
        chunk = max(ceil(cols, max(1, WANTED_BLOCKS // max(rows, 1))), ROW_CHUNK)
        slices = ceil(cols, chunk)
        if slices > 1:
            part = self.empty((rows, slices), x.dtype)
            launch(kernel, (rows * slices,), threads, op, memory, part.buffer, cols, chunk, slices)
            memory, cols = part.buffer, slices
        out = self.empty((rows,), x.dtype)
        launch(kernel, (rows,), threads, op, memory, out.buffer, cols, cols, 1)
        return out

    def argmax(self, x: CudaArray, axis: int) -> CudaArray:
        (x,) = self._numbers([x])
        axes = _axis_last(x.ndim, axis)
        rows = self.ordered(x, axes)
        shape = [x.shape[a] for a in axes[:-1]]
        out = self.empty(shape, np.int64)
        if x.size:
            launch(reduce.argmax_rows, (math.prod(shape),), reduce.THREADS, self.flat(rows), out.buffer, x.shape[axis])
        return out

    def argmin(self, x: CudaArray, axis: int) -> CudaArray:
        return self.argmax(self._reversed(x), axis)

    def channel_sum(self, grad: CudaArray) -> CudaArray:
        return self._reduce(reduce.SUM, grad, (0, *range(2, grad.ndim)), False)

    def _rows(self, kernel: Any, logarithm: int, axis: int, *arrays: CudaArray) -> CudaArray:
        """A kernel over rows along one axis; the result has the shape of the arrays."""
        x = arrays[0]
        order = _axis_last(x.ndim, axis) if x.ndim else ()
        out = self.empty(x.shape, x.dtype, order)
        cols = x.shape[axis] if x.ndim else 1
        dense = [self.ordered(a, order) for a in arrays]
        kernel, threads = self._block(kernel, reduce.THREADS, dense)
        launch(kernel, (x.size // max(cols, 1),), threads, logarithm, *map(self.flat, dense), out.buffer, cols)
        return out

    def softmax(self, x: CudaArray, axis: int) -> CudaArray:
        return self._rows(softmax.softmax_rows, 0, axis, x)

    def softmax_backward(self, grad: CudaArray, y: CudaArray, axis: int) -> CudaArray:
        return self._rows(softmax.softmax_backward_rows, 0, axis, grad, y)

    def log_softmax(self, x: CudaArray, axis: int) -> CudaArray:
        return self._rows(softmax.softmax_rows, 1, axis, x)

    def log_softmax_backward(self, grad: CudaArray, y: CudaArray, axis: int) -> CudaArray:
        return self._rows(softmax.softmax_backward_rows, 1, axis, grad, y)
