"""Batch normalisation. The values of channels are worked out in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels.cpu import norm
from ...kernels.cpu.launch import compute, launch
from ...recording import constant
from .arrays import EMPTY, Array, Arrays, assign, c_ordered, filled, to_channels_first
from .buffers import plain

__all__ = ["Norm"]

UNCOUNTED = constant(np.empty(0, np.int64))


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
        momentum: float | None,
        eps: float,
        tracked: Array | None = None,
    ) -> tuple[Array, Array, Array]:
        channels, saved = x.shape[1], plain((2, x.shape[1]), np.float64)
        if not x.size:
            if tracked is not None:
                compute(np.add, tracked, 1, tracked)
            return self.empty(x.shape, x.dtype), filled((channels,), 0, np.float64), filled((channels,), 1, np.float64)
        memory = self.contiguous(x)
        factors = plain((3, norm.scratch(memory.size // channels, channels)[2]), x.dtype)
        given = [EMPTY[x.itemsize] if t is None else c_ordered(t) for t in (weight, bias, running_mean, running_var)]
        if training:
            center = plain(factors.shape[1:], x.dtype)
            sums = self._channel_sums(norm.moments, (memory,), center)
            counted = UNCOUNTED if tracked is None else tracked.reshape(1)
            share = -1.0 if momentum is None else float(momentum)
            launch(norm.batch_factors, center, sums, x.size // channels, *given, counted, share, float(eps), saved, factors)
            for moved, t in zip(given[2:], (running_mean, running_var)):
                if t is not None and moved is not t:
                    assign(t, moved)
        else:
            launch(norm.running_factors, given[2], given[3], *given[:2], float(eps), saved, factors)
        out = self.buffers.empty(memory.shape, x.dtype)
        launch(norm.affine, memory.reshape(-1), *factors, out.reshape(-1))
        return to_channels_first(out), saved[0], saved[1]

    def _channel_sums(self, kernel: Any, arrays: tuple[Array, ...], *around: Array) -> Array:
        """The two sums (2, C) that a kernel of ``norm`` takes; ``around``: what it takes them around, and room for that."""
        rows = [a.reshape(-1, a.shape[-1]) for a in arrays]
        part, out = self.buffers.empty(norm.scratch(*rows[0].shape), np.float64), plain((2, rows[0].shape[1]), np.float64)
        launch(kernel, *rows, *around, part, out)
        return out

    def batch_norm_backward(
        self, grad: Array, x: Array, weight: Array | None, mean: Array, invstd: Array, training: bool, needs: tuple[bool, ...]
    ) -> tuple[Array | None, Array | None, Array | None]:
        g, channels, dx = self.contiguous(grad), len(mean), None
        if not g.size:
            zeros = [filled((channels,), 0, g.dtype) if need else None for need in needs[1:]]
            return self.empty(grad.shape, grad.dtype) if needs[0] else None, zeros[0], zeros[1]
        width = norm.scratch(g.size // channels, channels)[2]
        center, rows, sums = plain((width,), g.dtype), plain((4, width), g.dtype), plain((2, channels), np.float64)
        dw, db = plain((channels,), g.dtype), plain((channels,), g.dtype)
        memory = g
        if training or needs[1] or needs[2]:
            memory = self.contiguous(x)
            sums = self._channel_sums(norm.grad_moments, (g, memory), mean, center)
        w = EMPTY[g.itemsize] if weight is None else c_ordered(weight)
        launch(norm.grad_factors, center, sums, g.size // channels, w, mean, invstd, int(training), rows, dw, db)
        if needs[0]:
            dx = self.buffers.empty(g.shape, g.dtype)
            if training:
                launch(norm.grad_input, g.reshape(-1), memory.reshape(-1), *rows, dx.reshape(-1))
            else:
                launch(norm.affine, g.reshape(-1), rows[2], rows[0], rows[3], dx.reshape(-1))
            dx = to_channels_first(dx)
        return dx, dw if needs[1] else None, db if needs[2] else None
