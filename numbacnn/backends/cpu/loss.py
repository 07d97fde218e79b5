"""Cross entropy."""

from __future__ import annotations

import math

import numpy as np

from ... import recording
from ...kernels.cpu import loss
from ...kernels.cpu.launch import launch
from ...kernels.cpu.pointwise import BLOCK
from ..base import NotFinite, bad_labels
from .arrays import Array, Arrays, c_ordered
from .buffers import plain

__all__ = ["Loss"]


def _not_finite(x: Array, *_: Array) -> NotFinite:
    return NotFinite(float(x.item()))


class Loss(Arrays):
    """The loss of logits and labels."""

    def class_indices(self, op: str, labels: Array, classes: int, ignored: int | None = None) -> Array:
        if recording.now.tape is not None:
            return self._recorded_indices(op, labels, classes, ignored)
        out, judged = labels.astype(np.int64), labels
        if ignored is not None and (dropped := labels == ignored).any():
            judged, out = labels[~dropped], np.where(dropped, np.int64(-1), out)
        if judged.size and judged.view(f"u{labels.itemsize}").max() >= classes:  # a negative label counts as a huge one
            raise bad_labels(op, classes, labels)
        return out

    @staticmethod
    def _recorded_indices(op: str, labels: Array, classes: int, ignored: int | None) -> Array:
        """By a kernel that ends the plan where a label is out of range."""
        memory = c_ordered(labels)
        out = plain(labels.shape, np.int64)
        recording.now.tape.judges(memory, lambda labels, *_: bad_labels(op, classes, labels))
        try:
            launch(loss.class_indices, memory.reshape(-1), classes, int(ignored is not None), ignored or 0, out.reshape(-1))
        except ValueError:
            raise bad_labels(op, classes, labels) from None
        return out

    def require_finite(self, x: Array) -> None:
        if recording.now.tape is None:
            value = float(x.item())
            if not math.isfinite(value):
                raise NotFinite(value)
            return
        recording.now.tape.may_stop(_not_finite)
        try:
            launch(loss.require_finite, x.reshape(-1), plain((-(-x.size // BLOCK),), np.int64))
        except ValueError:
            raise _not_finite(x) from None

    def cross_entropy_forward(self, logits: Array, labels: Array, smoothing: float) -> tuple[Array, Array]:
        losses, softmax = plain((2, len(logits)), logits.dtype), plain(logits.shape, logits.dtype)
        launch(loss.cross_entropy_forward, self.contiguous(logits), c_ordered(labels), smoothing, losses, softmax)
        return losses, softmax

    def cross_entropy_backward(self, grad: Array, softmax: Array, labels: Array, smoothing: float) -> Array:
        out = plain(softmax.shape, softmax.dtype)
        launch(loss.cross_entropy_backward, c_ordered(grad).reshape(-1), softmax, c_ordered(labels), smoothing, out)
        return out
