"""Cross entropy."""

from __future__ import annotations

import numpy as np

from ...kernels.cpu import loss
from ...kernels.cpu.launch import launch
from ..base import bad_labels
from .arrays import Array, Arrays, c_ordered

__all__ = ["Loss"]


class Loss(Arrays):
    """The loss of logits and labels."""

    def class_indices(self, op: str, labels: Array, classes: int) -> Array:
        if labels.size and labels.view(f"u{labels.itemsize}").max() >= classes:  # a negative label counts as a huge one
            raise bad_labels(op, classes, labels)
        return labels.astype(np.int64)

    def cross_entropy_forward(self, logits: Array, labels: Array, smoothing: float) -> tuple[Array, Array]:
        losses, softmax = np.empty(len(logits), logits.dtype), np.empty(logits.shape, logits.dtype)
        launch(loss.cross_entropy_forward, self.contiguous(logits), c_ordered(labels), smoothing, losses, softmax)
        return losses, softmax

    def cross_entropy_backward(self, grad: Array, softmax: Array, labels: Array, smoothing: float) -> Array:
        out = np.empty_like(softmax)
        grad = c_ordered(grad) if grad.ndim else np.full(len(labels), grad, grad.dtype)
        launch(loss.cross_entropy_backward, grad, softmax, c_ordered(labels), smoothing, out)
        return out
