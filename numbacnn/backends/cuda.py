"""CUDA: arrays in flat device buffers with a strided view, and the kernels of ``kernels.cuda``.

Views are made on the host without touching the device. Elementwise kernels read any strides; the others get flat, dense memory:
channels-last for activations, C order for matrices and parameters. Nothing here waits for the device but ``to_numpy`` and ``item``,
and what goes through them: an index that is an array.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import DeviceError, message
from ..geometry import AdaptivePool2dGeometry, Conv2dGeometry, Pool2dGeometry
from ..kernels.cuda import adaptive, conv, copy, driver, elementwise, matmul, norm, optim, pool, reduce, tile, views
from ..kernels.cuda.driver import launch, launch_flat
from ..kernels.cuda.views import View, channels_last

__all__ = ["CudaArray", "CudaBackend", "create", "is_available"]

LIMIT = 2**31 - 1  # elements of an array: kernels index with 32 bits
WANTED_BLOCKS = 264  # two for each of an H100's multiprocessors; a constant, so that sums have one order on every machine
ROW_CHUNK = 2048  # elements of a row that a block reduces at least, where a row is cut into slices
COLUMN_CHUNK = 64  # likewise rows, where columns are
SHORT_ROW = 32  # a block for each row would be idle below this: such rows are turned into columns


class CudaArray:
    """A strided view of a flat device buffer. ``shape`` has logical axes; ``view.strides`` count elements."""

    __slots__ = ("buffer", "dtype", "view")

    def __init__(self, buffer: Any, view: View, dtype: Any) -> None:
        self.buffer, self.view, self.dtype = buffer, view, np.dtype(dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.view.shape

    @property
    def ndim(self) -> int:
        return len(self.view.shape)

    @property
    def size(self) -> int:
        return self.view.size

    def viewed(self, view: View) -> CudaArray:
        """Another view of the same buffer."""
        return CudaArray(self.buffer, view, self.dtype)

    def __repr__(self) -> str:
        return f"CudaArray(shape={self.shape}, dtype={self.dtype})"


Operand = CudaArray | float | int | bool


def is_available() -> bool:
    """Whether kernels can be launched here, on a GPU or in the simulator."""
    return not driver.why_unavailable()


def create() -> CudaBackend:
    """The backend.

    Raises:
        DeviceError: where there is no GPU, driver or compiler; the message says what to do.
    """
    driver.require_device()
    return CudaBackend()


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _axis_last(ndim: int, axis: int) -> tuple[int, ...]:
    return (*(d for d in range(ndim) if d != axis % ndim), axis % ndim)


class CudaBackend:
    """See ``backends.base.Backend``."""

    name = "cuda"

    def __init__(self) -> None:
        self._constant = functools.lru_cache(maxsize=256)(self._make_constant)

    # -- memory --------------------------------------------------------------------------------------------------------
    def _empty(self, shape: Sequence[int], dtype: Any, order: Sequence[int] | None = None) -> CudaArray:
        """Uninitialised; the axes lie in memory in ``order``, slowest first (C order by default)."""
        size = math.prod(shape)
        if size > LIMIT:
            raise DeviceError(message("cuda", f"arrays of at most {LIMIT} elements", f"shape {tuple(shape)}", "split the batch"))
        buffer = driver.cuda.device_array(max(size, 1), np.dtype(dtype))
        return CudaArray(buffer, views.dense(shape, range(len(shape)) if order is None else order), dtype)

    def _flat(self, x: CudaArray) -> Any:
        """The memory of a dense array as a flat device array."""
        start, size = x.view.start, x.size
        return x.buffer if size in (0, len(x.buffer)) else x.buffer[start : start + size]

    def _assign(self, x: CudaArray, value: CudaArray) -> None:
        """x[...] = value, which broadcasts; they share no memory."""
        surplus = value.ndim - x.ndim  # axes of one element, which NumPy lets pass
        if surplus > 0:
            value = self.reshape(value, value.shape[surplus:])
        value_view = views.broadcast(value.view, x.shape)
        shape, x_strides, strides = views.collapse(x.shape, x.view.strides, value_view.strides)
        arguments = (shape, value.buffer, np.int32(value.view.start), strides, x.buffer, np.int32(x.view.start), x_strides)
        launch_flat(copy.copy, x.size, *arguments)

    def _ordered(self, x: CudaArray, order: Sequence[int]) -> CudaArray:
        """``x`` with its axes in memory in ``order``; a copy only where they are not."""
        if views.is_dense(x.view, order):
            return x
        out = self._empty(x.shape, x.dtype, order)
        self._assign(out, x)
        return out

    def contiguous(self, x: CudaArray) -> CudaArray:
        """``x`` in C order; a copy only where it is not."""
        return self._ordered(x, range(x.ndim))

    def channels_last(self, x: CudaArray) -> CudaArray:
        """``x`` (N, C, ...) in memory order (N, ..., C); a copy only where it is not."""
        return self._ordered(x, channels_last(x.ndim))

    def _make_constant(self, data: bytes, dtype: Any) -> CudaArray:
        out = self._empty((), dtype)
        launch_flat(copy.fill, 1, out.buffer, np.frombuffer(data, dtype)[0])
        return out

    def _operand(self, value: Operand, dtype: Any) -> CudaArray:
        """A scalar as a 0-d array; the last ones stay on the device. Their bits are the key: 0.0 and -0.0 are equal but not the same."""
        if isinstance(value, CudaArray):
            return value
        return self._constant(np.array(value, dtype).tobytes(), np.dtype(dtype))

    # -- arrays --------------------------------------------------------------------------------------------------------
    def from_numpy(self, a: np.ndarray) -> CudaArray:
        order = views.memory_order(View(0, a.shape, a.strides))
        if a.size == 0:
            return self._empty(a.shape, a.dtype, order)
        if a.size > LIMIT:
            raise DeviceError(message("cuda", f"arrays of at most {LIMIT} elements", f"shape {a.shape}", "split the batch"))
        memory = np.ascontiguousarray(a.transpose(order)).reshape(-1)
        return CudaArray(driver.cuda.to_device(memory), views.dense(a.shape, order), a.dtype)

    def to_numpy(self, x: CudaArray) -> np.ndarray:
        order = views.memory_order(x.view)
        if x.size == 0:
            return np.empty(x.shape, x.dtype)
        memory = self._flat(self._ordered(x, order)).copy_to_host()
        return memory.reshape([x.shape[a] for a in order]).transpose(np.argsort(order))

    def full(self, shape: Sequence[int], value: float, dtype: Any) -> CudaArray:
        out = self._empty(shape, dtype)
        launch_flat(copy.fill, out.size, out.buffer, np.array(value, dtype)[()])
        return out

    def copy(self, x: CudaArray) -> CudaArray:
        return self.astype(x, x.dtype)

    def astype(self, x: CudaArray, dtype: Any) -> CudaArray:
        out = self._empty(x.shape, dtype, views.memory_order(x.view))
        self._assign(out, x)
        return out

    def item(self, x: CudaArray) -> Any:
        return self.to_numpy(x).item()

    # -- views ---------------------------------------------------------------------------------------------------------
    def reshape(self, x: CudaArray, shape: Sequence[int]) -> CudaArray:
        view = views.reshape(x.view, shape)
        if view is None:
            x = self.contiguous(x)
            view = View(x.view.start, tuple(shape), views.dense(shape, range(len(shape))).strides)
        return x.viewed(view)

    def transpose(self, x: CudaArray, axes: Sequence[int]) -> CudaArray:
        return x.viewed(views.transpose(x.view, axes))

    def broadcast_to(self, x: CudaArray, shape: Sequence[int]) -> CudaArray:
        return x.viewed(views.broadcast(x.view, shape))

    def shares_memory(self, x: CudaArray, y: CudaArray) -> bool:
        return x.buffer is y.buffer

    # -- indexing ------------------------------------------------------------------------------------------------------
    def getitem(self, x: CudaArray, index: Any) -> CudaArray:
        items = index if isinstance(index, tuple) else (index,)
        if all(map(views.is_basic, items)):
            return x.viewed(views.index(x.view, items))
        return self.from_numpy(np.asarray(self.to_numpy(x)[index]))

    def setitem(self, x: CudaArray, index: Any, value: Operand) -> None:
        items = index if isinstance(index, tuple) else (index,)
        value = self._operand(value, x.dtype)
        if value.buffer is x.buffer:  # else a thread could read what another has already written
            value = self.copy(value)
        if all(map(views.is_basic, items)):
            self._assign(self.getitem(x, index), value)
        else:
            self._on_host(x, lambda a: a.__setitem__(index, self.to_numpy(value)))

    def add_at(self, x: CudaArray, index: Any, value: CudaArray) -> None:
        items = index if isinstance(index, tuple) else (index,)
        if all(map(views.is_basic, items)):
            part = self.getitem(x, index)
            self._assign(part, self.binary("add", part, value))
        else:
            self._on_host(x, lambda a: np.add.at(a, index, self.to_numpy(value)))

    def _on_host(self, x: CudaArray, change: Callable[[np.ndarray], None]) -> None:
        """Change ``x`` through a round trip: repeated indices then mean what they mean in NumPy, in one order."""
        a = np.array(self.to_numpy(x))
        change(a)
        self._assign(x, self.from_numpy(a))

    def concatenate(self, arrays: Sequence[CudaArray], axis: int) -> CudaArray:
        first = arrays[0]
        axis %= first.ndim
        shape = (*first.shape[:axis], sum(a.shape[axis] for a in arrays), *first.shape[axis + 1 :])
        out = self._empty(shape, first.dtype, views.memory_order(first.view))
        at = 0
        for a in arrays:
            end = at + a.shape[axis]
            self._assign(self.getitem(out, (*(slice(None),) * axis, slice(at, end))), a)
            at = end
        return out

    # -- weights: packed at each use -----------------------------------------------------------------------------------
    def lock(self, holder: Any) -> None:
        """Nothing is kept, so nothing can become stale."""

    def unlock(self, x: CudaArray) -> None:
        """Nothing is locked."""

    def writable(self, x: CudaArray) -> bool:
        return True

    # -- elementwise ---------------------------------------------------------------------------------------------------
    def _elementwise(self, kernel: Any, code: tuple[int, ...], operands: Sequence[CudaArray], dtype: Any) -> CudaArray:
        """Launch ``kernel(*code, shape, (operand, start, strides)..., out, n)``; the result lies as the first operand of its shape does."""
        shape = np.broadcast_shapes(*(x.shape for x in operands))
        like = next((x for x in operands if x.shape == shape and not views.repeats(x.view)), None)
        order = tuple(range(len(shape))) if like is None else views.memory_order(like.view)
        out = self._empty(shape, dtype, order)
        wide = [views.transpose(views.broadcast(x.view, shape), order) for x in operands]
        sizes, *strides = views.collapse([shape[a] for a in order], *(v.strides for v in wide))
        arguments = [arg for x, s in zip(operands, strides) for arg in (x.buffer, np.int32(x.view.start), s)]
        launch_flat(kernel, out.size, *code, sizes, *arguments, out.buffer)
        return out

    def _operands(self, *values: Operand) -> list[CudaArray]:
        dtype = next((v.dtype for v in values if isinstance(v, CudaArray)), None) or np.result_type(*values)
        return [self._operand(v, dtype) for v in values]

    @staticmethod
    def _numbers(operands: Sequence[CudaArray]) -> list[CudaArray]:
        """Booleans as the 0 and 1 that they are in memory."""
        return [CudaArray(x.buffer.view(np.uint8), x.view, np.uint8) if x.dtype == np.bool_ else x for x in operands]

    def unary(self, name: str, x: CudaArray) -> CudaArray:
        (number,) = self._numbers([x])
        dtype = np.dtype(bool) if name == "logical_not" else number.dtype
        out = self._elementwise(elementwise.unary, (elementwise.UNARY.index(name),), [number], dtype)
        return out if name == "logical_not" or number is x else self.astype(out, x.dtype)

    def binary(self, name: str, a: Operand, b: Operand) -> CudaArray:
        operands = self._operands(a, b)
        numbers = self._numbers(operands)
        if name in elementwise.FLOOR:
            kernel = elementwise.floor_real if numbers[0].dtype.kind == "f" else elementwise.floor_whole
            return self._elementwise(kernel, (elementwise.FLOOR.index(name),), numbers, numbers[0].dtype)
        out = self._elementwise(elementwise.binary, (elementwise.BINARY.index(name),), numbers, numbers[0].dtype)
        return out if numbers[0] is operands[0] else self.astype(out, operands[0].dtype)

    def compare(self, name: str, a: Operand, b: Operand) -> CudaArray:
        numbers = self._numbers(self._operands(a, b))
        return self._elementwise(elementwise.compare, (elementwise.COMPARISON.index(name),), numbers, bool)

    def where(self, condition: CudaArray, a: Operand, b: Operand) -> CudaArray:
        operands = self._operands(a, b)
        return self._elementwise(elementwise.where, (), [condition, *operands], operands[0].dtype)

    def _activation_backward(self, name: str, grad: CudaArray, y: CudaArray) -> CudaArray:
        return self._elementwise(elementwise.activation_backward, (elementwise.BACKWARD.index(name),), [grad, y], y.dtype)

    def relu_backward(self, grad: CudaArray, y: CudaArray) -> CudaArray:
        return self._activation_backward("relu", grad, y)

    def sigmoid_backward(self, grad: CudaArray, y: CudaArray) -> CudaArray:
        return self._activation_backward("sigmoid", grad, y)

    def tanh_backward(self, grad: CudaArray, y: CudaArray) -> CudaArray:
        return self._activation_backward("tanh", grad, y)

    def gelu(self, x: CudaArray, approximate: bool) -> CudaArray:
        return self._elementwise(elementwise.gelu, (int(approximate),), [x], x.dtype)

    def gelu_backward(self, grad: CudaArray, x: CudaArray, approximate: bool) -> CudaArray:
        return self._elementwise(elementwise.gelu_backward, (int(approximate),), [grad, x], x.dtype)

    # -- reductions ----------------------------------------------------------------------------------------------------
    def sum(self, x: CudaArray, axes: tuple[int, ...], keepdims: bool) -> CudaArray:
        wide = x if x.dtype.kind == "f" or x.dtype == np.int64 else self.astype(x, np.int64)
        return self._reduce(reduce.SUM, wide, axes, keepdims)

    def max(self, x: CudaArray, axes: tuple[int, ...], keepdims: bool) -> CudaArray:
        (number,) = self._numbers([x])
        out = self._reduce(reduce.MAX, number, axes, keepdims)
        return out if number is x else self.astype(out, x.dtype)

    def _reduce(self, op: int, x: CudaArray, axes: tuple[int, ...], keepdims: bool) -> CudaArray:
        """The road and the order depend on the shape alone, never on how ``x`` happens to lie in memory."""
        axes = tuple(a % x.ndim for a in axes)
        gone = [a for a in channels_last(x.ndim) if a in axes]
        kept = [a for a in channels_last(x.ndim) if a not in axes]
        count, n = math.prod(x.shape[a] for a in kept), math.prod(x.shape[a] for a in gone)
        if n == 0:
            flat = self.full((count,), 0, x.dtype)
        elif kept and (n < SHORT_ROW or (*gone, *kept) == channels_last(x.ndim)):
            flat = self._reduce_columns(op, self._ordered(x, (*gone, *kept)), n, count)
        else:
            flat = self._reduce_rows(op, self._ordered(x, (*kept, *gone)), count, n)
        out = flat.viewed(views.dense([1 if a in axes else size for a, size in enumerate(x.shape)], (*gone, *kept)))
        return out if keepdims else self.reshape(out, [size for a, size in enumerate(x.shape) if a not in axes])

    def _reduce_columns(self, op: int, x: CudaArray, rows: int, cols: int) -> CudaArray:
        """(rows, cols) -> (cols,): bands of rows first, then the bands."""
        across = _ceil(cols, reduce.COLUMNS)
        memory, block = self._flat(x), reduce.COLUMNS * reduce.LANES
        chunk = max(_ceil(rows, max(1, WANTED_BLOCKS // max(across, 1))), COLUMN_CHUNK)
        slices = _ceil(rows, chunk)
        if slices > 1:
            part = self._empty((slices, cols), x.dtype)
            launch(reduce.reduce_columns, (across, slices), block, op, memory, part.buffer, rows, cols, chunk)
            memory, rows = part.buffer, slices
        out = self._empty((cols,), x.dtype)
        launch(reduce.reduce_columns, (across, 1), block, op, memory, out.buffer, rows, cols, rows)
        return out

    def _reduce_rows(self, op: int, x: CudaArray, rows: int, cols: int) -> CudaArray:
        """(rows, cols) -> (rows,): slices of long rows first, then the slices."""
        memory = self._flat(x)
        chunk = max(_ceil(cols, max(1, WANTED_BLOCKS // max(rows, 1))), ROW_CHUNK)
        slices = _ceil(cols, chunk)
        if slices > 1:
            part = self._empty((rows, slices), x.dtype)
            launch(reduce.reduce_rows, (rows * slices,), reduce.THREADS, op, memory, part.buffer, cols, chunk, slices)
            memory, cols = part.buffer, slices
        out = self._empty((rows,), x.dtype)
        launch(reduce.reduce_rows, (rows,), reduce.THREADS, op, memory, out.buffer, cols, cols, 1)
        return out

    def argmax(self, x: CudaArray, axis: int) -> CudaArray:
        (x,) = self._numbers([x])
        axes = _axis_last(x.ndim, axis)
        rows = self._ordered(x, axes)
        shape = [x.shape[a] for a in axes[:-1]]
        out = self._empty(shape, np.int64)
        launch(reduce.argmax_rows, (math.prod(shape),), reduce.THREADS, self._flat(rows), out.buffer, x.shape[axis])
        return out

    def _rows(self, kernel: Any, logarithm: int, axis: int, *arrays: CudaArray) -> CudaArray:
        """A kernel over rows along one axis; the result has the shape of the arrays."""
        x = arrays[0]
        order = _axis_last(x.ndim, axis) if x.ndim else ()
        out = self._empty(x.shape, x.dtype, order)
        cols = x.shape[axis] if x.ndim else 1
        memory = [self._flat(self._ordered(a, order)) for a in arrays]
        launch(kernel, (x.size // max(cols, 1),), reduce.THREADS, logarithm, *memory, out.buffer, cols)
        return out

    def softmax(self, x: CudaArray, axis: int) -> CudaArray:
        return self._rows(reduce.softmax_rows, 0, axis, x)

    def softmax_backward(self, grad: CudaArray, y: CudaArray, axis: int) -> CudaArray:
        return self._rows(reduce.softmax_backward_rows, 0, axis, grad, y)

    def log_softmax(self, x: CudaArray, axis: int) -> CudaArray:
        return self._rows(reduce.softmax_rows, 1, axis, x)

    def log_softmax_backward(self, grad: CudaArray, y: CudaArray, axis: int) -> CudaArray:
        return self._rows(reduce.softmax_backward_rows, 1, axis, grad, y)

    # -- dense ---------------------------------------------------------------------------------------------------------
    def _matmul(self, a: CudaArray, b: CudaArray, bias: CudaArray | None) -> CudaArray:
        """(M, K) @ (K, N) + (N,); ``a`` and ``b`` may have any strides that are not negative."""
        (m, k), n = a.shape, b.shape[1]
        a, b = (self.contiguous(x) if min(x.view.strides) < 0 else x for x in (a, b))
        out = self._empty((m, n), a.dtype)
        extra = (out.buffer, 0) if bias is None else (self._flat(self.contiguous(bias)), 1)
        left = (a.buffer, a.view.start, *a.view.strides)
        right = (b.buffer, b.view.start, *b.view.strides)
        grid = (_ceil(m, tile.BM), _ceil(n, tile.BN))
        launch(matmul.matmul, grid, tile.THREADS, *left, *right, *extra, out.buffer, m, n, k)
        return out

    def matmul(self, a: CudaArray, b: CudaArray) -> CudaArray:
        return self._matmul(a, b, None)

    def linear_forward(self, x: CudaArray, w: CudaArray, b: CudaArray | None, activation: str = "none") -> CudaArray:
        return self._activated(self._matmul(self._flattened(x), self.transpose(w, (1, 0)), b), activation)

    def _flattened(self, x: CudaArray) -> CudaArray:
        """(N, ...) as (N, I), in logical order."""
        return self.reshape(x, (x.shape[0], math.prod(x.shape[1:])))

    def _activated(self, x: CudaArray, activation: str) -> CudaArray:
        return x if activation == "none" else self.unary(activation, x)

    def linear_grad_input(self, grad: CudaArray, w: CudaArray, shape: Sequence[int]) -> CudaArray:
        return self.reshape(self._matmul(grad, w, None), shape)

    def linear_grad_weight(self, grad: CudaArray, x: CudaArray) -> CudaArray:
        return self._matmul(self.transpose(grad, (1, 0)), self._flattened(x), None)

    def channel_sum(self, grad: CudaArray) -> CudaArray:
        return self._reduce(reduce.SUM, grad, (0, *range(2, grad.ndim)), False)

    def activation_backward(self, activation: str, grad: CudaArray, y: CudaArray) -> tuple[CudaArray, CudaArray]:
        before = grad if activation == "none" else getattr(self, f"{activation}_backward")(grad, y)
        return before, self.channel_sum(before)

    def average_backward(self, activation: str, grad: CudaArray, y: CudaArray, geometry: Pool2dGeometry) -> tuple[CudaArray, CudaArray]:
        return self.activation_backward(activation, self.avg_pool2d_backward(grad, geometry), y)

    # -- convolution ---------------------------------------------------------------------------------------------------
    def _packed(self, w: CudaArray, groups: int, axes: tuple[int, ...]) -> Any:
        """w (OC, C/G, KH, KW) as flat memory of its five axes (G, OC/G, C/G, KH, KW) in another order."""
        oc, ci, kh, kw = w.shape
        five = self.reshape(w, (groups, oc // groups, ci, kh, kw))
        return self._flat(self._ordered(five, axes))

    def conv2d_forward(
        self, x: CudaArray, w: CudaArray, b: CudaArray | None, geometry: Conv2dGeometry, activation: str = "none"
    ) -> CudaArray:
        g = geometry
        (top, _), (left, _) = g.padding
        out = self._empty(g.output_shape, x.dtype, channels_last(4))
        packed = self._packed(w, g.groups, (0, 3, 4, 2, 1))
        extra = (out.buffer, 0) if b is None else (self._flat(self.contiguous(b)), 1)
        sizes = (g.h, g.w, g.c, g.oh, g.ow, g.oc, g.kh, g.kw, g.c // g.groups, g.oc // g.groups)
        self._gather(x, packed, extra, out, sizes, g.stride, (-top, -left), g.dilation, (1, 1))
        return self._activated(out, activation)

    def conv2d_grad_input(self, grad: CudaArray, w: CudaArray, geometry: Conv2dGeometry) -> CudaArray:
        g = geometry
        (top, _), (left, _) = g.padding
        out = self._empty((g.n, g.c, g.h, g.w), grad.dtype, channels_last(4))
        packed = self._packed(w, g.groups, (0, 3, 4, 1, 2))
        sizes = (g.oh, g.ow, g.oc, g.h, g.w, g.c, g.kh, g.kw, g.oc // g.groups, g.c // g.groups)
        steps = (-g.dilation[0], -g.dilation[1])
        self._gather(grad, packed, (out.buffer, 0), out, sizes, (1, 1), (top, left), steps, g.stride)
        return out

    def _gather(
        self,
        x: CudaArray,
        packed: Any,
        bias: tuple[Any, int],
        out: CudaArray,
        sizes: tuple[int, ...],
        scale: tuple[int, int],
        shift: tuple[int, int],
        step: tuple[int, int],
        divisor: tuple[int, int],
    ) -> None:
        """Launch ``conv.gather``; its module says what the last four mean."""
        pixels = out.size // out.shape[1]
        ci, co = sizes[-2:]
        grid = (_ceil(pixels, tile.BM), _ceil(co, tile.BN), sizes[2] // ci)
        signed = [np.int32(v) for v in (*shift, *step)]
        memory = self._flat(self.channels_last(x))
        launch(conv.gather, grid, tile.THREADS, memory, packed, *bias, out.buffer, *sizes, *scale, *signed, *divisor, pixels)

    def conv2d_grad_weight(self, grad: CudaArray, x: CudaArray, geometry: Conv2dGeometry) -> CudaArray:
        g = geometry
        ci, co = g.c // g.groups, g.oc // g.groups
        shape = (g.groups, g.kh, g.kw, ci, co)
        rows, lines = g.kh * g.kw * ci, g.n * g.oh
        grid = (_ceil(rows, tile.BM), _ceil(co, tile.BN))
        slices = max(1, min(_ceil(WANTED_BLOCKS, math.prod(grid) * g.groups), lines, 64))
        part = self._empty((slices, *shape), x.dtype)
        sizes = (g.h, g.w, g.c, g.oh, g.ow, g.oc, g.kh, g.kw, ci, co, *g.stride, g.padding[0][0], g.padding[1][0], *g.dilation)
        memory = (self._flat(self.channels_last(x)), self._flat(self.channels_last(grad)), part.buffer)
        launch(conv.grad_weight, (*grid, slices * g.groups), tile.THREADS, *memory, *sizes, g.groups, lines, _ceil(lines, slices))
        total = part if slices == 1 else self._empty(shape, x.dtype)
        if slices > 1:
            launch_flat(conv.add_slices, total.size, part.buffer, total.buffer, slices)
        found = self.reshape(total, shape)
        return self.reshape(self.contiguous(self.transpose(found, (0, 4, 3, 1, 2))), (g.oc, ci, g.kh, g.kw))

    # -- pooling -------------------------------------------------------------------------------------------------------
    @staticmethod
    def _pool_sizes(g: Pool2dGeometry) -> tuple[int, ...]:
        return (g.h, g.w, g.c, g.oh, g.ow, *g.kernel, *g.stride, *g.padding)

    def max_pool2d_forward(self, x: CudaArray, geometry: Pool2dGeometry) -> tuple[CudaArray, CudaArray]:
        g = geometry
        out = self._empty(g.output_shape, x.dtype, channels_last(4))
        index = self._empty(g.output_shape, np.int32, channels_last(4))
        memory = self._flat(self.channels_last(x))
        launch_flat(pool.max_forward, out.size, memory, out.buffer, index.buffer, *self._pool_sizes(g), *g.dilation)
        return out, index

    def max_pool2d_backward(self, grad: CudaArray, index: CudaArray, geometry: Pool2dGeometry) -> CudaArray:
        g = geometry
        out = self._empty((g.n, g.c, g.h, g.w), grad.dtype, channels_last(4))
        memory = (self._flat(self.channels_last(grad)), self._flat(self.channels_last(index)))
        launch_flat(pool.max_backward, out.size, *memory, out.buffer, *self._pool_sizes(g), *g.dilation)
        return out

    def avg_pool2d_forward(self, x: CudaArray, geometry: Pool2dGeometry) -> CudaArray:
        g = geometry
        out = self._empty(g.output_shape, x.dtype, channels_last(4))
        memory = self._flat(self.channels_last(x))
        launch_flat(pool.avg_forward, out.size, memory, out.buffer, *self._pool_sizes(g), int(g.count_include_pad))
        return out

    def avg_pool2d_backward(self, grad: CudaArray, geometry: Pool2dGeometry) -> CudaArray:
        g = geometry
        out = self._empty((g.n, g.c, g.h, g.w), grad.dtype, channels_last(4))
        memory = self._flat(self.channels_last(grad))
        launch_flat(pool.avg_backward, out.size, memory, out.buffer, *self._pool_sizes(g), int(g.count_include_pad))
        return out

    def adaptive_avg_pool2d_forward(self, x: CudaArray, geometry: AdaptivePool2dGeometry) -> CudaArray:
        g = geometry
        out = self._empty(g.output_shape, x.dtype, channels_last(4))
        memory = self._flat(self.channels_last(x))
        launch_flat(adaptive.adaptive_avg_forward, out.size, memory, out.buffer, g.h, g.w, g.c, g.oh, g.ow)
        return out

    def adaptive_avg_pool2d_backward(self, grad: CudaArray, geometry: AdaptivePool2dGeometry) -> CudaArray:
        g = geometry
        out = self._empty((g.n, g.c, g.h, g.w), grad.dtype, channels_last(4))
        memory = self._flat(self.channels_last(grad))
        launch_flat(adaptive.adaptive_avg_backward, out.size, memory, out.buffer, g.h, g.w, g.c, g.oh, g.ow)
        return out

    # -- normalisation -------------------------------------------------------------------------------------------------
    def batch_norm_forward(
        self,
        x: CudaArray,
        weight: CudaArray | None,
        bias: CudaArray | None,
        running_mean: CudaArray | None,
        running_var: CudaArray | None,
        training: bool,
        momentum: float,
        eps: float,
    ) -> tuple[CudaArray, CudaArray, CudaArray]:
        cols, real = x.shape[1], x.dtype.type
        out = self._empty(x.shape, x.dtype, channels_last(x.ndim))
        mean, invstd = self._empty((cols,), x.dtype), self._empty((cols,), x.dtype)
        memory = self._flat(self.channels_last(x))
        if training and x.size:
            self._statistics(memory, x.size // cols, mean, invstd, running_mean, running_var, real(momentum), real(eps))
        elif running_mean is not None and running_var is not None:
            mean = self.contiguous(self.copy(running_mean))
            launch_flat(norm.inverse, cols, self._flat(self.contiguous(running_var)), real(eps), invstd.buffer)
        else:  # no value at all: as a mean of 0 and a variance of 1
            mean, invstd = self.full((cols,), 0, x.dtype), self.full((cols,), 1, x.dtype)
        extras = (*self._optional(weight, out), *self._optional(bias, out))
        launch_flat(norm.normalise, out.size, memory, self._flat(mean), invstd.buffer, *extras, out.buffer, cols)
        return out, mean, invstd

    def _optional(self, x: CudaArray | None, other: CudaArray) -> tuple[Any, int]:
        """Flat memory and whether it counts; where there is none, any memory of that type."""
        return (other.buffer, 0) if x is None else (self._flat(self.contiguous(x)), 1)

    def _bands(self, rows: int, cols: int) -> tuple[int, int, int]:
        """Blocks across the columns, slices of the rows, and the rows of a slice."""
        across = _ceil(cols, reduce.COLUMNS)
        chunk = max(_ceil(rows, max(1, WANTED_BLOCKS // across)), COLUMN_CHUNK)
        return across, _ceil(rows, chunk), chunk

    def _statistics(
        self,
        x: Any,
        rows: int,
        mean: CudaArray,
        invstd: CudaArray,
        running_mean: CudaArray | None,
        running_var: CudaArray | None,
        momentum: Any,
        eps: Any,
    ) -> None:
        """Fill mean and 1 / sqrt(variance + eps) of flat x (rows, C), and move the running ones."""
        cols = mean.size
        across, slices, chunk = self._bands(rows, cols)
        means, squares = (self._empty((slices, cols), mean.dtype) for _ in range(2))
        block = reduce.COLUMNS * reduce.LANES
        launch(norm.moments, (across, slices), block, x, means.buffer, squares.buffer, rows, cols, chunk)
        given = [r for r in (running_mean, running_var) if r is not None]
        running = [self.contiguous(r) for r in given]
        moved = [self._flat(r) for r in running] if len(running) == 2 else [mean.buffer, invstd.buffer]
        results = (mean.buffer, invstd.buffer, *moved, momentum, int(len(running) == 2))
        launch_flat(norm.statistics, cols, means.buffer, squares.buffer, rows, chunk, slices, eps, *results)
        for r, changed in zip(given, running):
            if changed is not r:
                self._assign(r, changed)

    def batch_norm_backward(
        self,
        grad: CudaArray,
        x: CudaArray,
        weight: CudaArray | None,
        mean: CudaArray,
        invstd: CudaArray,
        training: bool,
        needs: tuple[bool, ...],
    ) -> tuple[CudaArray | None, CudaArray | None, CudaArray | None]:
        rows, cols = grad.size // grad.shape[1], grad.shape[1]
        g, out = self._flat(self.channels_last(grad)), None
        source, total, product = g, mean, mean
        if training or needs[1] or needs[2]:
            source = self._flat(self.channels_last(x))
            total, product = self._grad_moments(g, source, mean, rows, cols)
        if needs[0]:
            out = self._empty(grad.shape, grad.dtype, channels_last(grad.ndim))
            factors = (self._flat(mean), self._flat(invstd), *self._optional(weight, out), self._flat(total), self._flat(product))
            launch_flat(norm.grad_input, out.size, g, source, *factors, rows, int(training), out.buffer, cols)
        return out, self.binary("multiply", product, invstd) if needs[1] else None, total if needs[2] else None

    def _grad_moments(self, grad: Any, x: Any, mean: CudaArray, rows: int, cols: int) -> list[CudaArray]:
        """The sums (C,) of grad and of grad * (x - mean), all flat."""
        if not rows:
            return [self.full((cols,), 0, mean.dtype) for _ in range(2)]
        across, slices, chunk = self._bands(rows, cols)
        parts = [self._empty((slices, cols), mean.dtype) for _ in range(2)]
        block = reduce.COLUMNS * reduce.LANES
        memory = (self._flat(mean), *(p.buffer for p in parts))
        launch(norm.grad_moments, (across, slices), block, grad, x, *memory, rows, cols, chunk)
        return [self._reduce_columns(reduce.SUM, p, slices, cols) for p in parts]

    # -- loss ----------------------------------------------------------------------------------------------------------
    def cross_entropy_forward(self, logits: CudaArray, labels: CudaArray, smoothing: float) -> tuple[CudaArray, CudaArray]:
        rows, cols = logits.shape
        losses = self._empty((rows,), logits.dtype)
        softmax = self._empty((rows, cols), logits.dtype)
        memory = (self._flat(self.contiguous(logits)), self._flat(self.contiguous(labels)), logits.dtype.type(smoothing))
        launch(reduce.cross_entropy_forward, (rows,), reduce.THREADS, *memory, losses.buffer, softmax.buffer, cols)
        return losses, softmax

    def cross_entropy_backward(self, grad: CudaArray, softmax: CudaArray, labels: CudaArray, smoothing: float) -> CudaArray:
        out = self._empty(softmax.shape, softmax.dtype)
        memory = [self._flat(self.contiguous(a)) for a in (self.broadcast_to(grad, labels.shape), softmax, labels)]
        launch_flat(reduce.cross_entropy_backward, out.size, *memory, softmax.dtype.type(smoothing), out.buffer, softmax.shape[1])
        return out

    # -- optimisers ----------------------------------------------------------------------------------------------------
    def _step(self, kernel: Any, states: Sequence[CudaArray], grad: CudaArray, scalars: Sequence[float], flags: Sequence[bool]) -> None:
        """Run an optimiser's kernel on flat memory; states that do not lie as the first one, the weights, go through a copy."""
        order, real = views.memory_order(states[0].view), states[0].dtype.type
        ordered = [self._ordered(s, order) for s in states]
        memory = [self._flat(a) for a in (ordered[0], self._ordered(grad, order), *(ordered[1:] or ordered))]
        launch_flat(kernel, grad.size, *memory, *map(real, scalars), *map(int, flags))
        for state, changed in zip(states, ordered):
            if changed is not state:
                self._assign(state, changed)

    def sgd_step(
        self,
        ws: Sequence[CudaArray],
        grads: Sequence[CudaArray],
        velocities: Sequence[CudaArray] | None,
        firsts: Sequence[bool],
        lr: float,
        momentum: float,
        dampening: float,
        decay: float,
        nesterov: bool,
    ) -> None:
        states = zip(ws) if velocities is None or momentum == 0 else zip(ws, velocities)
        for state, grad, first in zip(states, grads, firsts):
            self._step(optim.sgd_step, state, grad, (lr, momentum, 1 - dampening, decay), (len(state) == 2, nesterov, first))

    def adam_step(
        self,
        ws: Sequence[CudaArray],
        grads: Sequence[CudaArray],
        ms: Sequence[CudaArray],
        vs: Sequence[CudaArray],
        steps: Sequence[int],
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        decay: float,
        decoupled: bool,
    ) -> None:
        decays = (0.0, 1 - lr * decay) if decoupled else (decay, 1.0)
        for state, grad, step in zip(zip(ws, ms, vs), grads, steps):
            rate, root = lr / (1 - beta1**step), math.sqrt(1 - beta2**step)
            self._step(optim.adam_step, state, grad, (rate, beta1, 1 - beta1, beta2, 1 - beta2, eps, *decays, root), ())

    def empty_cache(self) -> None:
        """Nothing is kept: a buffer is freed with the last array that refers to it."""

    def synchronize(self) -> None:
        driver.cuda.synchronize()
