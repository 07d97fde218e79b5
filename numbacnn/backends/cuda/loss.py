"""Cross entropy."""

from __future__ import annotations

from ...kernels.cuda.driver import launch, launch_flat
from ...kernels.cuda.simt import loss, reduce
from .arrays import Arrays, CudaArray

__all__ = ["Loss"]


class Loss(Arrays):
    """The loss of logits and labels."""

    def cross_entropy_forward(self, logits: CudaArray, labels: CudaArray, smoothing: float) -> tuple[CudaArray, CudaArray]:
        rows, cols = logits.shape
        losses = self.empty((rows,), logits.dtype)
        softmax = self.empty((rows, cols), logits.dtype)
        memory = (self.flat(self.contiguous(logits)), self.flat(self.contiguous(labels)), logits.dtype.type(smoothing))
        launch(loss.cross_entropy_forward, (rows,), reduce.THREADS, *memory, losses.buffer, softmax.buffer, cols)
        return losses, softmax

    def cross_entropy_backward(self, grad: CudaArray, softmax: CudaArray, labels: CudaArray, smoothing: float) -> CudaArray:
        out = self.empty(softmax.shape, softmax.dtype)
        memory = [self.flat(self.contiguous(a)) for a in (self.broadcast_to(grad, labels.shape), softmax, labels)]
        launch_flat(loss.cross_entropy_backward, out.size, *memory, softmax.dtype.type(smoothing), out.buffer, softmax.shape[1])
        return out
