"""Batch normalisation."""

from __future__ import annotations

from ..backends import Array, Backend
from .base import Gradients, Op

__all__ = ["BatchNorm"]


class BatchNorm(Op):
    """x (N, C, ...), optionally w (C,) and b (C,): (x - mean) / sqrt(var + eps) * w + b, channel by channel.

    Mean and variance are the batch's where ``training``, and the running ones, if there are any, move towards them; else they are the
    running ones, through which no gradient flows. Without a momentum they are the average of all batches, which ``tracked`` counts.
    """

    owns_gradient = True

    def __init__(
        self,
        running_mean: Array | None,
        running_var: Array | None,
        training: bool,
        momentum: float | None,
        eps: float,
        tracked: Array | None = None,
    ) -> None:
        self.mean, self.var, self.tracked = running_mean, running_var, tracked
        self.training, self.momentum, self.eps = training, momentum, eps

    def forward(self, xp: Backend, x: Array, w: Array | None = None, b: Array | None = None) -> Array:
        y, mean, invstd = xp.batch_norm_forward(x, w, b, self.mean, self.var, self.training, self.momentum, self.eps, self.tracked)
        self.saved = (x, w, mean, invstd)
        self.saved_inputs = (*((0,) if self.training or self.needs_grad[1] else ()), *((1,) if self.needs_grad[0] else ()))
        return y

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        x, w, mean, invstd = self.saved
        return xp.batch_norm_backward(grad, x, w, mean, invstd, self.training, self.needs_grad)
