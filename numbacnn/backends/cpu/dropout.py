"""Dropout."""

from __future__ import annotations

import numpy as np

from ...kernels.cpu import dropout
from ...kernels.cpu.launch import launch
from ...recording import constant
from .arrays import Array, Arrays, to_channels_first

__all__ = ["Dropout"]


class Dropout(Arrays):
    """Elements dropped by a counter-based generator: the same ones on every device."""

    def dropout(self, x: Array, key: np.ndarray, threshold: int, scale: float) -> Array:
        memory = self.contiguous(x)
        out = self.buffers.empty(memory.shape, memory.dtype)
        launch(dropout.dropout, memory.reshape(-1), key, constant(np.array([threshold, scale])), out.reshape(-1))
        return to_channels_first(out)
