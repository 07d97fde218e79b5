"""Operations on each element by itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels.cpu import gelu, pointwise
from ...kernels.cpu.launch import launch
from .arrays import LARGE, Array, Arrays, to_channels_first, to_channels_last

__all__ = ["Pointwise"]


def same_layout(a: Any, b: Any) -> bool:
    """Whether these are large arrays of one shape and type whose memory a kernel takes as it is; NumPy is quicker for small ones."""
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.size < LARGE or a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.dtype.kind == "f" and all(to_channels_last(x).flags.c_contiguous and x.flags.writeable for x in (a, b))


class Pointwise(Arrays):
    """NumPy, and kernels for what NumPy is slow at."""

    def unary(self, name: str, x: Array) -> Array:
        if name in ("relu", "sigmoid", "tanh"):
            return self._map(getattr(pointwise, name), x)
        if name == "erf":
            return self._map(gelu.erf, x)
        with np.errstate(all="ignore"):
            return np.asarray(getattr(np, name)(x))

    def _map(self, kernel: Any, *arrays: Array) -> Array:
        """A kernel over flat memory, on arrays of one shape."""
        memory = [self.contiguous(a) for a in arrays]
        out = self.buffers.empty(memory[0].shape, memory[0].dtype)
        launch(kernel, *(m.reshape(-1) for m in memory), out.reshape(-1))
        return to_channels_first(out)

    def binary(self, name: str, a: Any, b: Any) -> Array:
        if name == "add" and same_layout(a, b):
            return self._map(pointwise.add, a, b)
        with np.errstate(all="ignore"):  # infinities and NaNs are results here, not warnings
            return np.asarray(getattr(np, name)(a, b))

    def compare(self, name: str, a: Any, b: Any) -> Array:
        return np.asarray(getattr(np, name)(a, b))

    def where(self, condition: Array, a: Any, b: Any) -> Array:
        return np.where(condition, a, b)

    def relu_backward(self, grad: Array, y: Array) -> Array:
        return self._map(pointwise.relu_backward, grad, y)

    def sigmoid_backward(self, grad: Array, y: Array) -> Array:
        return self._map(pointwise.sigmoid_backward, grad, y)

    def tanh_backward(self, grad: Array, y: Array) -> Array:
        return self._map(pointwise.tanh_backward, grad, y)

    def gelu(self, x: Array, approximate: bool) -> Array:
        return self._map(gelu.gelu_tanh if approximate else gelu.gelu, x)

    def gelu_backward(self, grad: Array, x: Array, approximate: bool) -> Array:
        return self._map(gelu.gelu_tanh_backward if approximate else gelu.gelu_backward, grad, x)
