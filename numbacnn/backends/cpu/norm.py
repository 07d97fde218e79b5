"""Batch normalisation. The values of channels are worked out in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels.cpu import norm, reduce
from ...kernels.cpu.launch import compute, launch
from .arrays import Array, Arrays, to_channels_first

__all__ = ["Norm"]


def _channel_rows(x: Array, *values: Array | float) -> list[Array]:
    """Values of the channels of x (N, ..., C), in its dtype, repeated as the kernels of ``norm`` want them."""
    width = reduce.lanes_of_whole_pixels(x.shape[-1])
    return [_repeated(v, width).astype(x.dtype) for v in values]


def _repeated(values: Array | float, width: int) -> Array:
    """``width`` values, which begin again and again; in wide layers they are as many."""
    return values if isinstance(values, np.ndarray) and len(values) == width else np.resize(values, width)


class Norm(Arrays):
    """Statistics of channels, and what is made of them."""

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
        memory = self.contiguous(x)
        with np.errstate(all="ignore"):
            if not training:
                mean, var = np.array(running_mean, np.float64), np.array(running_var, np.float64)
            else:
                mean, var = self._moments(memory)
                if running_mean is not None and running_var is not None:
                    n = x.size // x.shape[1]
                    compute(np.copyto, running_mean, (1 - momentum) * running_mean + momentum * mean, "same_kind")
                    compute(np.copyto, running_var, (1 - momentum) * running_var + momentum * (var * n / (n - 1)), "same_kind")
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
        return out

    def _affine(self, x: Array, center: Array | float, scale: Array, shift: Array | float) -> Array:
        """(x (N, ..., C) - center) * scale + shift; with logical axes."""
        out = self.buffers.empty(x.shape, x.dtype)
        launch(norm.affine, x.reshape(-1), *_channel_rows(x, center, scale, shift), out.reshape(-1))
        return to_channels_first(out)

    def batch_norm_backward(
        self, grad: Array, x: Array, weight: Array | None, mean: Array, invstd: Array, training: bool, needs: tuple[bool, ...]
    ) -> tuple[Array | None, Array | None, Array | None]:
        g, dx = self.contiguous(grad), None
        total = product = np.zeros(len(mean))
        center = mean.astype(g.dtype)
        if g.size and (training or needs[1] or needs[2]):
            memory = self.contiguous(x)
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
                dx = to_channels_first(dx)
            return dx, (product * invstd).astype(grad.dtype) if needs[1] else None, total.astype(grad.dtype) if needs[2] else None
