"""Matrix products and linear layers."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from ...geometry import PoolGeometry
from ...kernels.cpu import few_rows, reduce
from ...kernels.cpu.launch import compute, launch
from ...kernels.cpu.record import record
from ...names import ACTIVATIONS
from ..choice import first_in_front
from . import packs
from .arrays import EMPTY, Array, assign, c_ordered, filled, to_channels_first, to_channels_last
from .buffers import plain
from .plan.linear import FEW_ROWS, THIN, batched_matmul_plan, matmul_plan, matmul_t_plan, rows_grad_plan
from .pointwise import Pointwise
from .pool import Pool
from .reduce import Reduce, channel_sum
from .run import contract, correlate, pack

__all__ = ["Dense"]

GATHER_PIXELS = 256  # above so many pixels, compute the gradient as rows and reorder, instead of one tap set per pixel


def _flattened(x: Array) -> Array:
    """(N, ...) as rows (N, I), if it lies in memory that way; else as it is."""
    return x.reshape(len(x), math.prod(x.shape[1:])) if x.flags.c_contiguous else x


@functools.lru_cache(maxsize=256)
def _window(g: PoolGeometry) -> Array:
    (kh, kw), (_, width) = g.kernel, g.sizes
    return record(kh=kh, kw=kw, line=width * g.c)


class Dense(Pointwise, Reduce, Pool):
    """Products, and the way back through what is fused behind one."""

    def matmul(self, a: Array, b: Array) -> Array:
        if a.dtype.kind != "f":
            out = plain((len(a), b.shape[1]) if a.ndim == 2 else (*a.shape[:2], b.shape[2]), a.dtype)
            compute(np.matmul, a, b, out)
            return out
        if a.ndim == 3:
            return self._batched_matmul(a, b)
        m, k, n = *a.shape, b.shape[1]
        if b.flags.f_contiguous and not b.flags.c_contiguous:
            return self._matmul(a, b.T, None, (m, k, n, 1, k))
        return self._matmul(a, b, None, (m, k, n, n, 1))

    def _batched_matmul(self, a: Array, b: Array) -> Array:
        """(B, M, K) @ (B, K, N); in memory the result is (M, B, N)."""
        (batch, m, k), n, turned = a.shape, b.shape[2], b.transpose(0, 2, 1)
        if n < THIN <= m:
            return self._batched_matmul(turned, a.transpose(0, 2, 1)).transpose(0, 2, 1)
        out = self.buffers.empty((m, batch, n), a.dtype)
        if not k:
            assign(out, 0)
        elif n < THIN:
            for i in range(batch):
                assign(out[:, i], self.matmul(a[i], b[i]))
        elif out.size:
            flipped = turned.flags.c_contiguous and not b.flags.c_contiguous
            plan = batched_matmul_plan(batch, m, k, n, *((1, k) if flipped else (n, 1)), a.dtype)
            contract(self.buffers, plan, c_ordered(a), (turned if flipped else b, None), None, out)
        return out.transpose(1, 0, 2)

    def linear_forward(self, x: Array, w: Array, b: Array | None, activation: str = "none") -> Array:
        x = _flattened(x)
        sizes = len(x), w.shape[1], w.shape[0], 1, w.shape[1]
        return self._matmul(x, w, b, sizes, activation, x.shape[1] if x.ndim > 2 else 1)

    def linear_grad_input(self, grad: Array, w: Array, shape: Sequence[int]) -> Array:
        pixels = math.prod(shape[2:])
        if len(shape) == 2 or pixels > GATHER_PIXELS or len(grad) <= FEW_ROWS:
            return self._matmul(grad, w, None, (*grad.shape, w.shape[1], w.shape[1], 1)).reshape(shape)
        out = self.empty(shape, grad.dtype)
        if out.size:
            plan = rows_grad_plan(*shape[:2], pixels, w.shape[0], grad.dtype)
            contract(self.buffers, plan, self.contiguous(grad), (w, None), None, to_channels_last(out))
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
            assign(out, 0 if bias is None else bias)
            return out if activation == "none" else self.unary(activation, out)
        if sizes[0] <= FEW_ROWS:
            self._product_of_few_rows(a, b, bias, sizes, activation, out)
            return out
        plan = matmul_plan(*sizes, a.dtype, channels)
        packed = packs.cached(b, "matmul", sizes[1:], lambda: pack(self.buffers, plan, b))
        contract(self.buffers, plan, self.contiguous(a), (b, packed), bias, out, ACTIVATIONS.index(activation))
        return out

    def _product_of_few_rows(
        self, a: Array, b: Array, bias: Array | None, sizes: tuple[int, int, int, int, int], activation: str, out: Array
    ) -> None:
        """A product of few rows; one of rows that do not lie side by side has neither bias nor activation."""
        m, k, n, row_stride, _ = sizes
        rows = packs.cached(b, "few rows", (), lambda: np.array(b, order="C"))  # kernels take no array that is read-only
        a, b = c_ordered(self.reshape(a, (m, k))), c_ordered(b) if rows is None else rows
        if row_stride == 1:
            bias = EMPTY[a.itemsize] if bias is None else c_ordered(bias)
            launch(few_rows.product_t, a, b.reshape(n, k), bias, ACTIVATIONS.index(activation), out)
        else:
            launch(few_rows.product, a, b.reshape(k, n), out)

    def linear_grad_weight(self, grad: Array, x: Array) -> Array:
        if 0 < len(grad) <= FEW_ROWS:
            out = plain((grad.shape[1], math.prod(x.shape[1:])), x.dtype)
            launch(few_rows.outer_sum, c_ordered(grad), c_ordered(self.reshape(x, (len(x), out.shape[1]))), out)
            return out
        x, (n, o) = _flattened(x), grad.shape
        out = filled((o, math.prod(x.shape[1:])), 0, x.dtype)
        if out.size and n:
            plan = matmul_t_plan(n, out.shape[1], o, x.dtype, x.shape[1] if x.ndim > 2 else 1)
            correlate(self.buffers, plan, self.contiguous(x), self.contiguous(grad), out)
        return out

    def activation_backward(self, activation: str, grad: Array, y: Array) -> tuple[Array, Array]:
        code, memory = ACTIVATIONS.index(activation), self.contiguous(grad)
        out = self.buffers.empty(memory.shape, memory.dtype) if code else memory
        return self._activation_gradient(code, memory, self.contiguous(y), out)

    def average_backward(self, activation: str, grad: Array, y: Array, geometry: PoolGeometry) -> tuple[Array, Array]:
        g = geometry
        side_by_side = g.stride == g.kernel and not any(g.before) and not any(size % k for size, k in zip(g.sizes, g.kernel))
        own = first_in_front("cpu", "avg_pool", "grad_input", g, grad.dtype)
        if not side_by_side or len(g.axes) != 2 or own:
            return self.activation_backward(activation, self.avg_pool_backward(grad, geometry), y)
        y = self.contiguous(y)
        out = self.buffers.empty(y.shape, y.dtype)
        return self._activation_gradient(ACTIVATIONS.index(activation), self.contiguous(grad), y, out, _window(g))

    def _activation_gradient(self, code: int, grad: Array, y: Array, dx: Array, window: Array = reduce.NO_WINDOW) -> tuple[Array, Array]:
        """The gradient of what the activation made y of, in dx (N, ..., C), and its channel sum; dx comes back with logical axes.

        With a ``window``, grad is that of the means of such windows of y.
        """
        if not dx.size:
            return to_channels_first(dx), filled(dx.shape[-1:], 0, dx.dtype)
        total = channel_sum(self.buffers, code, grad, y, dx.reshape(-1, dx.shape[-1]), window)
        return to_channels_first(dx), total
