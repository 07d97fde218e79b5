"""Operations on each element by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...formulas import BINARY, UNARY
from ...kernels.cpu import pointwise
from ...kernels.cpu.launch import compute, launch
from .arrays import Array, Arrays, to_channels_first, to_channels_last

__all__ = ["Pointwise"]


def same_layout(a: Any, b: Any) -> bool:
    """Whether these are arrays of one shape and floating-point type whose memory a kernel takes as it is."""
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.dtype.kind == "f" and all(to_channels_last(x).flags.c_contiguous and x.flags.writeable for x in (a, b))


class Pointwise(Arrays):
    """Kernels of the table's functions, and NumPy where it is as quick."""

    def unary(self, name: str, x: Array) -> Array:
        row = UNARY.get(name)
        if row and (not row.numpy or (x.dtype == np.float32 and x.size >= row.numpy)):
            return self._map(pointwise.forward(name), x)
        dense = to_channels_last(x).flags.c_contiguous
        dtype = np.dtype(bool) if name == "logical_not" else x.dtype
        out = self.empty(x.shape, dtype) if dense else np.empty_like(x, dtype)
        compute(getattr(np, name), x, out)
        return out

    def unary_backward(self, name: str, grad: Array, saved: Array) -> Array:
        return self._map(pointwise.backward(name), grad, saved)

    def _map(self, kernel: Any, *arrays: Array) -> Array:
        """A kernel over flat memory, on arrays of one shape."""
        memory = [self.contiguous(a) for a in arrays]
        out = self.buffers.empty(memory[0].shape, memory[0].dtype)
        launch(kernel, *(m.reshape(-1) for m in memory), out.reshape(-1))
        return to_channels_first(out)

    def binary(self, name: str, a: Any, b: Any) -> Array:
        row = BINARY.get(name)
        if row and getattr(a, "size", 0) >= row.numpy and same_layout(a, b):
            return self._map(pointwise.forward(name), a, b)
        with np.errstate(all="ignore"):  # infinities and NaNs are results here, not warnings
            return np.asarray(getattr(np, name)(a, b))

    def compare(self, name: str, a: Any, b: Any) -> Array:
        return np.asarray(getattr(np, name)(a, b))

    def where(self, condition: Array, a: Any, b: Any) -> Array:
        return np.where(condition, a, b)
