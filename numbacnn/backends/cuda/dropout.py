"""Dropout."""

from __future__ import annotations

import numpy as np

from ...kernels.cuda import driver, dropout
from ...layout import channels_last
from ...recording import Numbers
from .arrays import Arrays, CudaArray, ceil

__all__ = ["Dropout"]


class Dropout(Arrays):
    """Elements dropped by a counter-based generator: the same ones on every device."""

    def dropout(self, x: CudaArray, key: np.ndarray, threshold: int, scale: float) -> CudaArray:
        out = self.empty(x.shape, x.dtype, channels_last(x.ndim))
        dense, halves = self.channels_last(x), Numbers(np.ndarray.tolist, key)
        kernel, _ = self._block(dropout.dropout, driver.THREADS, (dense,))
        driver.launch_flat(kernel, ceil(x.size, 4), self.flat(dense), halves, threshold, x.dtype.type(scale), out.buffer, x.size)
        return out
