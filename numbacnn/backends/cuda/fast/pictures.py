"""Bytes of pictures that become floats on the device."""

from __future__ import annotations

import functools

import numpy as np

from ....kernels.cuda.driver import launch_flat
from ....kernels.cuda.fast import pictures
from ....layout import channels_last
from ..arrays import Arrays, CudaArray

__all__ = ["Pictures"]


class Pictures(Arrays):
    """What is made of a batch of pictures."""

    def __init__(self) -> None:
        super().__init__()
        self._uploaded = functools.lru_cache(maxsize=16)(lambda data, dtype: self.upload(np.frombuffer(data, dtype)))

    def scaled(self, x: CudaArray, table: np.ndarray) -> CudaArray:
        """Of each byte of x (N, C, ...) what a table (256, C) has for it and its channel."""
        out = self.empty(x.shape, table.dtype, channels_last(x.ndim))
        memory = self.flat(self.channels_last(x)), self._uploaded(table.tobytes(), table.dtype)
        launch_flat(pictures.scaled, out.size, *memory, out.buffer, x.shape[1])
        return out
