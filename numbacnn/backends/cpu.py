"""The CPU: NumPy arrays, NumPy for what has no kernel of its own, and the kernels of ``kernels.cpu`` for the rest.

Activations of three to five axes lie channels-last in memory: an array whose ``_memory`` view, channels at the end, is C-contiguous.
"""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ..geometry import AdaptivePool2dGeometry, Conv2dGeometry, Pool2dGeometry
from ..kernels.cpu import adaptive, few_rows, gelu, loss, norm, optim, pointwise, pool, reduce, softmax
from ..kernels.cpu.launch import launch
from ..layout import CHANNELS_FIRST, CHANNELS_LAST
from ..names import ACTIVATIONS
from . import cpu_conv, cpu_plan, packs
from .buffers import Buffers

__all__ = ["CpuBackend", "create"]

Array = np.ndarray

FEW = 64  # numbers that may be added one after the other, at a loss of 4e-7
MANY = 256  # pixels beyond which their gradient is copied together from rows, rather than each a class of its own


def _memory(x: Array) -> Array:
    """The axes in memory order: channels last for three to five axes. A view."""
    return x.transpose(CHANNELS_LAST[x.ndim]) if x.ndim in CHANNELS_LAST else x


def _logical(x: Array) -> Array:
    """The reverse of ``_memory``."""
    return x.transpose(CHANNELS_FIRST[x.ndim]) if x.ndim in CHANNELS_FIRST else x


def _scanlines(x: Array) -> Array:
    """(N, H, W, C) as rows (N, H, W * C)."""
    n, h, w, c = x.shape
    return x.reshape(n, h, w * c)


def _apart(arrays: Sequence[Array]) -> bool:
    """Whether no two arrays can share memory."""
    owners = [a if a.base is None else a.base for a in arrays]
    if len(set(map(id, owners))) == len(owners) and all(isinstance(o, np.ndarray) and o.flags.owndata for o in owners):
        return True
    return not any(np.may_share_memory(a, b) for a, b in combinations(arrays, 2))


def _flattened(x: Array) -> Array:
    """(N, ...) as rows (N, I), if it lies in memory that way; else as it is."""
    return x.reshape(len(x), math.prod(x.shape[1:])) if x.flags.c_contiguous else x


def _alike(a: Any, b: Any) -> bool:
    """Whether these are large arrays of one shape and type whose memory a kernel takes as it is; NumPy is quicker for small ones."""
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.size < cpu_conv.LARGE or a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.dtype.kind == "f" and all(_memory(x).flags.c_contiguous and x.flags.writeable for x in (a, b))


def _channel_rows(x: Array, *values: Array | float) -> list[Array]:
    """Values of the channels of x (N, ..., C), in its dtype, repeated as the kernels of ``norm`` want them."""
    width = reduce.lanes_of_whole_pixels(x.shape[-1])
    return [_repeated(v, width).astype(x.dtype) for v in values]


def _repeated(values: Array | float, width: int) -> Array:
    """``width`` values, which begin again and again; in wide layers they are as many."""
    return values if isinstance(values, np.ndarray) and len(values) == width else np.resize(values, width)


_as_bytes: Any = ctypes.c_char.from_buffer


def _addresses(arrays: Sequence[Array]) -> list[int]:
    """Where they lie; ``x.ctypes.data`` would take five times as long."""
    return [ctypes.addressof(_as_bytes(x)) if x.size else 0 for x in arrays]


_tasks = functools.lru_cache(maxsize=64)(optim.cut)


class CpuBackend:
    """See ``backends.base.Backend``."""

    name = "cpu"

    def __init__(self) -> None:
        self.buffers = Buffers(limit=1 << 30)
        self.conversions = 0  # how many arrays had to be copied to another layout; a test reads it

    def empty(self, shape: Sequence[int], dtype: Any) -> Array:
        """Uninitialised, channels-last; ``shape`` has logical axes."""
        if 3 <= len(shape) <= 5:
            return _logical(self.buffers.empty((shape[0], *shape[2:], shape[1]), dtype))
        return self.buffers.empty(shape, dtype)

    def _contiguous(self, x: Array) -> Array:
        """``_memory(x)``, C-contiguous and writable: what a kernel receives. Copies only where it must."""
        x = _memory(x)
        if x.flags.carray:
            return x
        self.conversions += 1
        out = self.buffers.empty(x.shape, x.dtype)
        out[...] = x
        return out

    _c_ordered = staticmethod(cpu_conv.c_ordered)

    # -- arrays
    def from_numpy(self, a: Array) -> Array:
        return a

    def to_numpy(self, x: Array) -> Array:
        return x

    def full(self, shape: Sequence[int], value: float, dtype: Any) -> Array:
        return np.full(shape, value, dtype)

    def copy(self, x: Array) -> Array:
        return np.array(x, order="C") if 0 in x.strides else np.array(x, order="K")

    def astype(self, x: Array, dtype: Any) -> Array:
        if x.dtype.kind != "f":
            return x.astype(dtype)
        with np.errstate(all="ignore"):  # only floats overflow with a warning
            return x.astype(dtype)

    def item(self, x: Array) -> Any:
        return x.item()

    # -- views
    def reshape(self, x: Array, shape: Sequence[int]) -> Array:
        return x.reshape(shape)

    def transpose(self, x: Array, axes: Sequence[int]) -> Array:
        return x.transpose(axes)

    def broadcast_to(self, x: Array, shape: Sequence[int]) -> Array:
        return np.broadcast_to(x, shape)

    def shares_memory(self, x: Array, y: Array) -> bool:
        return np.may_share_memory(x, y)

    # -- indexing
    def getitem(self, x: Array, index: Any) -> Array:
        found = x[index]
        if isinstance(found, np.ndarray):
            return found
        return x[(*index, ...) if isinstance(index, tuple) else (index, ...)]  # one element: a view too, not a scalar

    def setitem(self, x: Array, index: Any, value: Any) -> None:
        packs.unlock(x)
        x[index] = value

    def add_at(self, x: Array, index: Any, value: Array) -> None:
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(i, np.ndarray) for i in parts):
            np.add.at(x, index, value)
        else:
            x[index] += value

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        return _logical(np.concatenate([_memory(a) for a in arrays], self._memory_axis(axis, arrays[0].ndim)))

    @staticmethod
    def _memory_axis(axis: int, ndim: int) -> int:
        """Where a logical axis lies in ``_memory``."""
        return CHANNELS_LAST[ndim].index(axis) if ndim in CHANNELS_LAST else axis

    # -- weights
    lock = staticmethod(packs.lock)
    unlock = staticmethod(packs.unlock)

    def writable(self, x: Array) -> bool:
        return x.flags.writeable or not packs.repeats(x)

    # -- pointwise
    def unary(self, name: str, x: Array) -> Array:
        if name in ("relu", "sigmoid", "tanh"):
            return self._map(getattr(pointwise, name), x)
        if name == "erf":
            return self._map(gelu.erf, x)
        with np.errstate(all="ignore"):
            return np.asarray(getattr(np, name)(x))

    def _map(self, kernel: Any, *arrays: Array) -> Array:
        """A kernel over flat memory, on arrays of one shape."""
        memory = [self._contiguous(a) for a in arrays]
        out = self.buffers.empty(memory[0].shape, memory[0].dtype)
        launch(kernel, *(m.reshape(-1) for m in memory), out.reshape(-1))
        return _logical(out)

    def binary(self, name: str, a: Any, b: Any) -> Array:
        if name == "add" and _alike(a, b):
            return self._map(pointwise.add, a, b)
        with np.errstate(all="ignore"):  # infinities and NaNs are results here, not warnings
            return np.asarray(getattr(np, name)(a, b))

    def compare(self, name: str, a: Any, b: Any) -> Array:
        return np.asarray(getattr(np, name)(a, b))

    def where(self, condition: Array, a: Any, b: Any) -> Array:
        return np.where(condition, a, b)

    def relu_backward(self, grad: Array, y: Array) -> Array:
        return self._map(pointwise.relu_backward, grad, y)

    def sigmoid_backward(self, grad: Array, y: Array) -> Array:
        return self._map(pointwise.sigmoid_backward, grad, y)

    def tanh_backward(self, grad: Array, y: Array) -> Array:
        return self._map(pointwise.tanh_backward, grad, y)

    def gelu(self, x: Array, approximate: bool) -> Array:
        return self._map(gelu.gelu_tanh if approximate else gelu.gelu, x)

    def gelu_backward(self, grad: Array, x: Array, approximate: bool) -> Array:
        return self._map(gelu.gelu_tanh_backward if approximate else gelu.gelu_backward, grad, x)

    # -- reductions: NumPy's order depends on the strides, so these are made the same first
    def sum(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        places = sorted(self._memory_axis(a, x.ndim) for a in axes)
        terms = math.prod(x.shape[a] for a in axes)
        if x.dtype != np.float32 or terms <= FEW or places == list(range(x.ndim - len(places), x.ndim)):
            return self._reduce(np.add.reduce, x, axes, keepdims)
        # NumPy adds pairwise along the end of memory only; along other axes one after the other, where digits get lost
        if places == list(range(len(places))) and x.size >= cpu_conv.LARGE:
            return self._without(self._sum_of_rows(x, len(places)), axes, keepdims)
        return self.astype(self._reduce(functools.partial(np.add.reduce, dtype=np.float64), x, axes, keepdims), x.dtype)

    def _sum_of_rows(self, x: Array, count: int) -> Array:
        """The sum along the first ``count`` axes in memory, which are kept."""
        memory = self._contiguous(x)
        kept = memory.shape[count:]
        pixels = memory.reshape(-1, math.prod(kept))
        total = cpu_conv.channel_sum(self.buffers, 0, pixels, pixels, pixels, reduce.NO_WINDOW)
        return _logical(total.reshape((1,) * count + kept))

    def max(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        return self._reduce(np.maximum.reduce, x, axes, keepdims)

    def _reduce(self, function: Callable[..., Any], x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        with np.errstate(all="ignore"):
            if x.ndim == 1 == len(axes) and x.flags.c_contiguous:
                return np.asarray(function(x, keepdims=keepdims))
            memory = np.asarray(_memory(x), order="C")
            found = function(memory, axis=tuple(self._memory_axis(a, x.ndim) for a in axes), keepdims=True)
        return self._without(_logical(np.asarray(found)), axes, keepdims)

    @staticmethod
    def _without(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        """What was reduced along axes, which have size 1 now, without these unless they are kept."""
        return x if keepdims else x.reshape([s for i, s in enumerate(x.shape) if i not in axes])

    def argmax(self, x: Array, axis: int) -> Array:
        return np.asarray(np.argmax(x, axis)).astype(np.int64)

    def softmax(self, x: Array, axis: int) -> Array:
        return self._rows(softmax.softmax, axis, x)

    def softmax_backward(self, grad: Array, y: Array, axis: int) -> Array:
        return self._rows(softmax.softmax_backward, axis, grad, y)

    def log_softmax(self, x: Array, axis: int) -> Array:
        return self._rows(softmax.log_softmax, axis, x)

    def log_softmax_backward(self, grad: Array, y: Array, axis: int) -> Array:
        return self._rows(softmax.log_softmax_backward, axis, grad, y)

    def _rows(self, kernel: Any, axis: int, *arrays: Array) -> Array:
        """A kernel over rows (R, K) along one axis."""
        if not arrays[0].ndim:
            return self._rows(kernel, axis, *(a.reshape(1) for a in arrays)).reshape(())
        last = [np.ascontiguousarray(np.moveaxis(a, axis, -1)) for a in arrays]
        out = np.empty_like(last[0])
        if out.size:
            launch(kernel, *(a.reshape(-1, a.shape[-1]) for a in (*last, out)))
        return np.moveaxis(out, -1, axis)

    # -- dense
    def matmul(self, a: Array, b: Array) -> Array:
        if a.dtype.kind != "f":
            return np.matmul(a, b)
        m, k, n = *a.shape, b.shape[1]
        if b.flags.f_contiguous and not b.flags.c_contiguous:
            return self._matmul(a, b.T, None, (m, k, n, 1, k))
        return self._matmul(a, b, None, (m, k, n, n, 1))

    def linear_forward(self, x: Array, w: Array, b: Array | None, activation: str = "none") -> Array:
        x = _flattened(x)
        sizes = len(x), w.shape[1], w.shape[0], 1, w.shape[1]
        return self._matmul(x, w, b, sizes, activation, x.shape[1] if x.ndim > 2 else 1)

    def linear_grad_input(self, grad: Array, w: Array, shape: Sequence[int]) -> Array:
        pixels = math.prod(shape[2:])
        if len(shape) == 2 or pixels > MANY or len(grad) <= cpu_plan.THIN:
            return self._matmul(grad, w, None, (*grad.shape, w.shape[1], w.shape[1], 1)).reshape(shape)
        out = self.empty(shape, grad.dtype)
        if out.size:
            plan = cpu_plan.rows_grad_plan(*shape[:2], pixels, w.shape[0], grad.dtype)
            cpu_conv.contract(self.buffers, plan, self._contiguous(grad), (w, None), None, _memory(out))
        return out

    def _matmul(
        self,
        a: Array,
        b: Array,
        bias: Array | None,
        sizes: tuple[int, int, int, int, int],
        activation: str = "none",
        channels: int = 1,
    ) -> Array:
        """(M, K) @ (K, N); ``sizes`` is M, K, N and the strides of K and N in ``b``. a may be images of so many channels."""
        out = self.empty((sizes[0], sizes[2]), a.dtype)
        if 0 in sizes[:3]:
            out[...] = 0 if bias is None else bias
            return out if activation == "none" else self.unary(activation, out)
        if sizes[0] <= cpu_plan.THIN:
            self._thin_product(a, b, bias, sizes, activation, out)
            return out
        plan = cpu_plan.matmul_plan(*sizes, a.dtype, channels)
        packed = packs.cached(b, "matmul", sizes[1:], lambda: cpu_conv.pack(self.buffers, plan, b))
        cpu_conv.contract(self.buffers, plan, self._contiguous(a), (b, packed), bias, out, ACTIVATIONS.index(activation))
        return out

    def _thin_product(
        self, a: Array, b: Array, bias: Array | None, sizes: tuple[int, int, int, int, int], activation: str, out: Array
    ) -> None:
        """A product of few rows; one of rows that do not lie side by side has neither bias nor activation."""
        m, k, n, row_stride, _ = sizes
        rows = packs.cached(b, "few rows", (), lambda: np.array(b, order="C"))  # kernels take no array that is read-only
        a, b = self._c_ordered(a.reshape(m, k)), self._c_ordered(b) if rows is None else rows
        if row_stride == 1:
            bias = cpu_conv.NOTHING[a.itemsize] if bias is None else self._c_ordered(bias)
            launch(few_rows.product_t, a, b.reshape(n, k), bias, ACTIVATIONS.index(activation), out)
        else:
            launch(few_rows.product, a, b.reshape(k, n), out)

    def linear_grad_weight(self, grad: Array, x: Array) -> Array:
        if 0 < len(grad) <= cpu_plan.THIN:
            out = np.empty((grad.shape[1], math.prod(x.shape[1:])), x.dtype)
            launch(few_rows.outer_sum, self._c_ordered(grad), self._c_ordered(x.reshape(len(x), out.shape[1])), out)
            return out
        x, (n, o) = _flattened(x), grad.shape
        out = np.zeros((o, math.prod(x.shape[1:])), x.dtype)
        if out.size and n:
            plan = cpu_plan.matmul_t_plan(n, out.shape[1], o, x.dtype, x.shape[1] if x.ndim > 2 else 1)
            cpu_conv.correlate(self.buffers, plan, self._contiguous(x), self._contiguous(grad), out)
        return out

    def channel_sum(self, grad: Array) -> Array:
        return self.activation_backward("none", grad, grad)[1]

    def activation_backward(self, activation: str, grad: Array, y: Array) -> tuple[Array, Array]:
        kind = ACTIVATIONS.index(activation)
        memory = self._contiguous(grad)
        return self._before(kind, memory, self._contiguous(y), self.buffers.empty(memory.shape, memory.dtype) if kind else memory)

    def average_backward(self, activation: str, grad: Array, y: Array, geometry: Pool2dGeometry) -> tuple[Array, Array]:
        g = geometry
        side_by_side = g.stride == g.kernel and g.padding == (0, 0) and g.h % g.kernel[0] == g.w % g.kernel[1] == 0
        if not side_by_side:
            return self.activation_backward(activation, self.avg_pool2d_backward(grad, geometry), y)
        y = self._contiguous(y)
        window = np.array((*g.kernel, g.w * g.c))
        out = self.buffers.empty(y.shape, y.dtype)
        return self._before(ACTIVATIONS.index(activation), self._contiguous(grad), y, out, window)

    def _before(self, kind: int, grad: Array, y: Array, dx: Array, window: Array = reduce.NO_WINDOW) -> tuple[Array, Array]:
        """dx (N, ..., C), made as ``reduce.channel_sum`` says, and its sum; dx with logical axes."""
        if not dx.size:
            return _logical(dx), np.zeros(dx.shape[-1], dx.dtype)
        total = cpu_conv.channel_sum(self.buffers, kind, grad, y, dx.reshape(-1, dx.shape[-1]), window)
        return _logical(dx), total

    # -- windows
    def conv2d_forward(self, x: Array, w: Array, b: Array | None, geometry: Conv2dGeometry, activation: str = "none") -> Array:
        out = self.empty(geometry.output_shape, x.dtype)
        if geometry.n:
            kind = ACTIVATIONS.index(activation)
            cpu_conv.forward(self.buffers, self._contiguous(x), w, b, kind, geometry, _memory(out))
        return out

    def conv2d_grad_input(self, grad: Array, w: Array, geometry: Conv2dGeometry) -> Array:
        out = self.empty((geometry.n, geometry.c, geometry.h, geometry.w), grad.dtype)
        if geometry.n:
            cpu_conv.grad_input(self.buffers, self._contiguous(grad), self._c_ordered(w), geometry, _memory(out))
        return out

    def conv2d_grad_weight(self, grad: Array, x: Array, geometry: Conv2dGeometry) -> Array:
        g = geometry
        out = np.zeros((g.oc, g.c // g.groups, g.kh, g.kw), x.dtype)
        if g.n:
            cpu_conv.grad_weight(self.buffers, self._contiguous(grad), self._contiguous(x), g, out)
        return out

    def max_pool2d_forward(self, x: Array, geometry: Pool2dGeometry) -> tuple[Array, Array]:
        g = geometry
        out, index = self.empty(g.output_shape, x.dtype), self.empty(g.output_shape, np.int32)
        lines = (_scanlines(a) for a in (self._contiguous(x), _memory(out), _memory(index)))
        launch(pool.max_forward, *lines, g.c, *g.kernel, *g.stride, *g.padding, *g.dilation)
        return out, index

    def max_pool2d_backward(self, grad: Array, index: Array, geometry: Pool2dGeometry) -> Array:
        g = geometry
        out = self.empty((g.n, g.c, g.h, g.w), grad.dtype)
        lines = (_scanlines(a) for a in (self._contiguous(grad), _memory(index), _memory(out)))
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
        lines = _scanlines(self._contiguous(source)), _scanlines(_memory(out))
        launch(kernel, *lines, g.c, *g.kernel, *g.stride, *g.padding, int(g.count_include_pad))

    def adaptive_avg_pool2d_forward(self, x: Array, geometry: AdaptivePool2dGeometry) -> Array:
        out = self.empty(geometry.output_shape, x.dtype)
        launch(adaptive.adaptive_avg_forward, _scanlines(self._contiguous(x)), _scanlines(_memory(out)), geometry.c)
        return out

    def adaptive_avg_pool2d_backward(self, grad: Array, geometry: AdaptivePool2dGeometry) -> Array:
        out = self.empty((geometry.n, geometry.c, geometry.h, geometry.w), grad.dtype)
        launch(adaptive.adaptive_avg_backward, _scanlines(self._contiguous(grad)), _scanlines(_memory(out)), geometry.c)
        return out

    # -- normalisation: the values of channels are worked out in float64
    def batch_norm_forward(
        self,
        x: Array,
        weight: Array | None,
        bias: Array | None,
        running_mean: Array | None,
        running_var: Array | None,
        training: bool,
        momentum: float,
        eps: float,
    ) -> tuple[Array, Array, Array]:
        if not x.size:
            return self.empty(x.shape, x.dtype), np.zeros(x.shape[1]), np.ones(x.shape[1])
        memory = self._contiguous(x)
        with np.errstate(all="ignore"):
            if not training:
                mean, var = np.array(running_mean, np.float64), np.array(running_var, np.float64)
            else:
                mean, var = self._moments(memory)
                if running_mean is not None and running_var is not None:
                    n = x.size // x.shape[1]
                    running_mean[...] = (1 - momentum) * running_mean + momentum * mean
                    running_var[...] = (1 - momentum) * running_var + momentum * (var * n / (n - 1))
            invstd = 1 / np.sqrt(var + eps)
            scale = invstd if weight is None else invstd * weight
            return self._affine(memory, mean, scale, 0 if bias is None else bias), mean, invstd

    def _moments(self, x: Array) -> tuple[Array, Array]:
        """The mean and the variance (C,) of the channels of x (N, ..., C), in float64."""
        center = x[(0,) * (x.ndim - 1)]
        center = np.where(np.isfinite(center), center, x.dtype.type(0))  # else the mean of an infinity and numbers would be NaN
        total, square = self._channel_sums(norm.moments, center, x) / (x.size // x.shape[-1])
        return center + total, np.maximum(square - total * total, 0)

    def _channel_sums(self, kernel: Any, center: Array, *arrays: Array) -> Array:
        """The two sums (2, C) that a kernel of ``norm`` takes around ``center`` (C,), in the arrays' dtype."""
        rows = [a.reshape(-1, a.shape[-1]) for a in arrays]
        scratch = norm.scratch(*rows[0].shape)
        part, out = self.buffers.empty(scratch, np.float64), np.empty((2, rows[0].shape[1]))
        launch(kernel, *rows, _repeated(center, scratch[2]), part, out)
        finite = np.isfinite(out)
        if not finite.all():  # the kernel multiplies in the arrays' dtype: once more with smaller numbers
            shrink, again, beyond = rows[0].dtype.type(norm.SHRINK), np.empty_like(out), ~finite.all(0)
            launch(kernel, *(a * shrink for a in rows), _repeated(center * shrink, scratch[2]), part, again)
            out[:, beyond] = again[:, beyond] / [[float(shrink)], [float(shrink) ** 2]]
        return out

    def _affine(self, x: Array, center: Array | float, scale: Array, shift: Array | float) -> Array:
        """(x (N, ..., C) - center) * scale + shift; with logical axes."""
        out = self.buffers.empty(x.shape, x.dtype)
        launch(norm.affine, x.reshape(-1), *_channel_rows(x, center, scale, shift), out.reshape(-1))
        return _logical(out)

    def batch_norm_backward(
        self, grad: Array, x: Array, weight: Array | None, mean: Array, invstd: Array, training: bool, needs: tuple[bool, ...]
    ) -> tuple[Array | None, Array | None, Array | None]:
        g, dx = self._contiguous(grad), None
        total = product = np.zeros(len(mean))
        center = mean.astype(g.dtype)
        if g.size and (training or needs[1] or needs[2]):
            memory = self._contiguous(x)
            total, product = self._channel_sums(norm.grad_moments, center, g, memory)
        with np.errstate(all="ignore"):
            product = product + (center - mean) * total  # around the mean itself
            scale = invstd if weight is None else invstd * weight
            if needs[0] and not (training and g.size):
                dx = self._affine(g, 0, scale, 0)
            elif needs[0]:
                dx, n = self.buffers.empty(g.shape, g.dtype), g.size // len(mean)
                factors = _channel_rows(g, scale, mean, -scale * invstd * invstd * product / n, -scale * total / n)
                launch(norm.grad_input, g.reshape(-1), memory.reshape(-1), *factors, dx.reshape(-1))
                dx = _logical(dx)
            return dx, (product * invstd).astype(grad.dtype) if needs[1] else None, total.astype(grad.dtype) if needs[2] else None

    # -- loss
    def cross_entropy_forward(self, logits: Array, labels: Array, smoothing: float) -> tuple[Array, Array]:
        losses, softmax = np.empty(len(logits), logits.dtype), np.empty(logits.shape, logits.dtype)
        launch(loss.cross_entropy_forward, self._contiguous(logits), self._c_ordered(labels), smoothing, losses, softmax)
        return losses, softmax

    def cross_entropy_backward(self, grad: Array, softmax: Array, labels: Array, smoothing: float) -> Array:
        out = np.empty_like(softmax)
        grad = self._c_ordered(grad) if grad.ndim else np.full(len(labels), grad, grad.dtype)
        launch(loss.cross_entropy_backward, grad, softmax, self._c_ordered(labels), smoothing, out)
        return out

    # -- optimisers
    def sgd_step(
        self,
        ws: Sequence[Array],
        grads: Sequence[Array],
        velocities: Sequence[Array] | None,
        firsts: Sequence[bool],
        lr: float,
        momentum: float,
        dampening: float,
        decay: float,
        nesterov: bool,
    ) -> None:
        rates = (float(lr), float(momentum), float(dampening), float(decay), int(nesterov))
        self._step(optim.sgd_step, firsts, (ws, grads, velocities) if velocities and momentum else (ws, grads), rates)

    def adam_step(
        self,
        ws: Sequence[Array],
        grads: Sequence[Array],
        ms: Sequence[Array],
        vs: Sequence[Array],
        steps: Sequence[int],
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        decay: float,
        decoupled: bool,
    ) -> None:
        rates = (float(lr), float(beta1), float(beta2), float(eps), float(decay), int(decoupled))
        self._step(optim.adam_step, steps, (ws, grads, ms, vs), rates)

    def _step(self, kernel: Any, numbers: Sequence[int], arrays: Sequence[Sequence[Array]], rates: Sequence[float]) -> None:
        """One launch for all parameters, or one after the other where they share memory; not C-ordered ones are updated in a copy."""
        ws = arrays[0]
        for w in ws:
            packs.unlock(w)
        if not _apart(ws):
            for number, *row in zip(numbers, *arrays):
                self._step(kernel, [number], [[a] for a in row], rates)
            return
        ordered = [[a if a.flags.carray else np.array(a, order="C") for a in some] for some in arrays]
        sizes = tuple([w.size for w in ws])
        table = np.array([sizes, numbers, *map(_addresses, ordered)], np.int64)
        like = ordered[0][sizes.index(max(sizes))].reshape(-1)  # its size tells ``launch`` what there is to do
        launch(kernel, like, table, _tasks(sizes), *rates)
        for w, moved in zip(ws, ordered[0]):
            if moved is not w:
                w[...] = moved

    def empty_cache(self) -> None:
        self.buffers.clear()

    def synchronize(self) -> None:
        """The CPU's kernels return when they are done."""


def create() -> CpuBackend:
    """The backend, for ``backends.get``."""
    return CpuBackend()
