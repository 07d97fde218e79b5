"""Batch normalisation."""

from __future__ import annotations

from typing import Any

from ...kernels.cuda.driver import launch, launch_flat
from ...kernels.cuda.simt import norm, reduce
from ...layout import channels_last
from .arrays import CudaArray
from .reduce import Reduce

__all__ = ["Norm"]


class Norm(Reduce):
    """Statistics of channels, and what is made of them."""

    def batch_norm_forward(
        self,
        x: CudaArray,
        weight: CudaArray | None,
        bias: CudaArray | None,
        running_mean: CudaArray | None,
        running_var: CudaArray | None,
        training: bool,
        momentum: float | None,
        eps: float,
        tracked: CudaArray | None = None,
    ) -> tuple[CudaArray, CudaArray, CudaArray]:
        cols, real = x.shape[1], x.dtype.type
        out = self.empty(x.shape, x.dtype, channels_last(x.ndim))
        mean, invstd = self.empty((cols,), x.dtype), self.empty((cols,), x.dtype)
        memory = self.flat(self.channels_last(x))
        if training and x.size:
            share = momentum if momentum is not None else 1.0 if tracked is None else 1 / (self.item(tracked) + 1)
            self._statistics(memory, x.size // cols, mean, invstd, running_mean, running_var, real(share), real(eps))
        elif running_mean is not None and running_var is not None:
            mean = self.contiguous(self.copy(running_mean))
            launch_flat(norm.inverse, cols, self.flat(self.contiguous(running_var)), real(eps), invstd.buffer)
        else:  # no value at all: as a mean of 0 and a variance of 1
            mean, invstd = self.full((cols,), 0, x.dtype), self.full((cols,), 1, x.dtype)
        extras = (*self.optional(weight, out), *self.optional(bias, out))
        launch_flat(norm.normalise, out.size, memory, self.flat(mean), invstd.buffer, *extras, out.buffer, cols)
        if tracked is not None:
            self.assign(tracked, self.binary("add", tracked, 1))
        return out, mean, invstd

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
        means, squares = (self.empty((slices, cols), mean.dtype) for _ in range(2))
        block = reduce.COLUMNS * reduce.LANES
        launch(norm.moments, (across, slices), block, x, means.buffer, squares.buffer, rows, cols, chunk)
        given = [r for r in (running_mean, running_var) if r is not None]
        running = [self.contiguous(r) for r in given]
        moved = [self.flat(r) for r in running] if len(running) == 2 else [mean.buffer, invstd.buffer]
        results = (mean.buffer, invstd.buffer, *moved, momentum, int(len(running) == 2))
        launch_flat(norm.statistics, cols, means.buffer, squares.buffer, rows, chunk, slices, eps, *results)
        for r, changed in zip(given, running):
            if changed is not r:
                self.assign(r, changed)

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
        g, out = self.flat(self.channels_last(grad)), None
        source, total, product = g, mean, mean
        if training or needs[1] or needs[2]:
            source = self.flat(self.channels_last(x))
            total, product = self._grad_moments(g, source, mean, rows, cols)
        if needs[0]:
            out = self.empty(grad.shape, grad.dtype, channels_last(grad.ndim))
            factors = (self.flat(mean), self.flat(invstd), *self.optional(weight, out), self.flat(total), self.flat(product))
            launch_flat(norm.grad_input, out.size, g, source, *factors, rows, int(training), out.buffer, cols)
        return out, self.binary("multiply", product, invstd) if needs[1] else None, total if needs[2] else None

    def _grad_moments(self, grad: Any, x: Any, mean: CudaArray, rows: int, cols: int) -> list[CudaArray]:
        """The sums (C,) of grad and of grad * (x - mean), all flat."""
        if not rows:
            return [self.full((cols,), 0, mean.dtype) for _ in range(2)]
        across, slices, chunk = self._bands(rows, cols)
        parts = [self.empty((slices, cols), mean.dtype) for _ in range(2)]
        block = reduce.COLUMNS * reduce.LANES
        memory = (self.flat(mean), *(p.buffer for p in parts))
        launch(norm.grad_moments, (across, slices), block, grad, x, *memory, rows, cols, chunk)
        return [self._reduce_columns(reduce.SUM, p, slices, cols) for p in parts]
