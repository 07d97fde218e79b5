"""Cross entropy."""

from __future__ import annotations

import numpy as np

from ...kernels.cuda import driver
from ...kernels.cuda.driver import launch, launch_flat
from ...kernels.cuda.labels import judge
from ...kernels.cuda.simt import loss, reduce
from ..base import bad_labels
from .arrays import Arrays, CudaArray, ceil

__all__ = ["Loss"]


class Loss(Arrays):
    """The loss of logits and labels."""

    def class_indices(self, op: str, labels: CudaArray, classes: int, ignored: int | None = None) -> CudaArray:
        out, fault = self.empty(labels.shape, np.int64), self.full((), 0, np.int32)
        memory = self.flat(self.contiguous(labels))
        launch_flat(judge, out.size, memory, classes, int(ignored is not None), np.int64(ignored or 0), out.buffer, fault.buffer)

        def error(given: CudaArray) -> ValueError:
            return bad_labels(op, classes, self.to_numpy(given))

        self.watch(fault, error, labels)
        return out

    def require_finite(self, x: CudaArray) -> None:
        """Nobody waits for it."""

    def cross_entropy_forward(self, logits: CudaArray, labels: CudaArray, smoothing: float) -> tuple[CudaArray, CudaArray]:
        rows, cols = logits.shape
        losses = self.empty((2, rows), logits.dtype)
        softmax = self.empty((rows, cols), logits.dtype)
        x = self.contiguous(logits)
        kernel, threads = self._block(loss.cross_entropy_forward, reduce.THREADS, (x,))
        memory = (self.flat(x), self.flat(self.contiguous(labels)), logits.dtype.type(smoothing))
        launch(kernel, (rows,), threads, *memory, losses.buffer, softmax.buffer, cols)
        return losses, softmax

    def cross_entropy_backward(self, grad: CudaArray, softmax: CudaArray, labels: CudaArray, smoothing: float) -> CudaArray:
        out = self.empty(softmax.shape, softmax.dtype)
        dense = [self.contiguous(a) for a in (self.broadcast_to(grad, labels.shape), softmax, labels)]
        kernel, threads = self._block(loss.cross_entropy_backward, driver.THREADS, dense)
        sizes = (softmax.dtype.type(smoothing), out.buffer, softmax.shape[1], out.size)
        launch(kernel, (ceil(out.size, driver.THREADS),), threads, *map(self.flat, dense), *sizes)
        return out
