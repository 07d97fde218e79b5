"""Matrix products and linear layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...geometry import PoolGeometry
from ...kernels.cuda import views
from ...kernels.cuda.driver import launch
from ...kernels.cuda.simt import matmul, tile
from .arrays import CudaArray, ceil
from .pool import Pool
from .reduce import Reduce

__all__ = ["Dense"]


class Dense(Reduce, Pool):
    """Products, and the way back through what is fused behind one."""

    def _matmul(self, a: CudaArray, b: CudaArray, bias: CudaArray | None, kernel: Any = matmul.matmul, *code: int) -> CudaArray:
        """(M, K) @ (K, N) + (N,); ``a`` and ``b`` may have any strides that are not negative. ``code``: more of the kernel's arguments."""
        out = self.empty((a.shape[0], b.shape[1]), a.dtype)
        self._matmul_into(out, a, b, bias, kernel, *code)
        return out

    def _matmul_into(
        self, out: CudaArray, a: CudaArray, b: CudaArray, bias: CudaArray | None, kernel: Any = matmul.matmul, *code: int
    ) -> None:
        (m, k), n = a.shape, b.shape[1]
        a, b = (self.contiguous(x) if min(x.view.strides) < 0 else x for x in (a, b))
        extra = (out.buffer, 0) if bias is None else (self.flat(self.contiguous(bias)), 1)
        left = (a.buffer, a.view.start, *a.view.strides)
        right = (b.buffer, b.view.start, *b.view.strides)
        grid = (ceil(m, tile.BM), ceil(n, tile.BN))
        launch(kernel, grid, tile.THREADS, *left, *right, *extra, *code, self.flat(out), m, n, k)

    def matmul(self, a: CudaArray, b: CudaArray) -> CudaArray:
        if a.ndim == 2:
            return self._matmul(a, b, None)
        out = self.empty((*a.shape[:2], b.shape[2]), a.dtype)
        for i in range(a.shape[0] if out.size else 0):
            y, left, right = (x.viewed(views.index(x.view, (i,))) for x in (out, a, b))
            self._matmul_into(y, left, right, None)
        return out

    def linear_forward(self, x: CudaArray, w: CudaArray, b: CudaArray | None, activation: str = "none") -> CudaArray:
        return self.activated(self._matmul(self._flattened(x), self.transpose(w, (1, 0)), b), activation)

    def _flattened(self, x: CudaArray) -> CudaArray:
        """(N, ...) as (N, I), in logical order."""
        return self.reshape(x, (x.shape[0], math.prod(x.shape[1:])))

    def linear_grad_input(self, grad: CudaArray, w: CudaArray, shape: Sequence[int]) -> CudaArray:
        return self.reshape(self._matmul(grad, w, None), shape)

    def linear_grad_weight(self, grad: CudaArray, x: CudaArray) -> CudaArray:
        return self._matmul(self.transpose(grad, (1, 0)), self._flattened(x), None)

    def activation_backward(self, activation: str, grad: CudaArray, y: CudaArray) -> tuple[CudaArray, CudaArray]:
        before = grad if activation == "none" else self.unary_backward(activation, grad, y)
        return before, self.channel_sum(before)

    def average_backward(self, activation: str, grad: CudaArray, y: CudaArray, geometry: PoolGeometry) -> tuple[CudaArray, CudaArray]:
        return self.activation_backward(activation, self.avg_pool_backward(grad, geometry), y)
