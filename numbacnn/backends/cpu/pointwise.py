"""Operations on each element by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import recording
from ...formulas import BINARY, UNARY
from ...kernels.cpu import pointwise
from ...kernels.cpu.launch import compute, launch
from .arrays import Array, Arrays, assign, empty_like, to_channels_first, to_channels_last
from .buffers import plain

__all__ = ["Pointwise"]


def by_strides(x: Array) -> list[int]:
    """The axes in the order of memory."""
    return sorted(range(x.ndim), key=lambda axis: -x.strides[axis])


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
        out = self.empty(x.shape, dtype) if dense else empty_like(x, dtype)
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
        if recording.now.tape is not None:
            return self._recorded(name, np.result_type(a, b), a, b)
        with np.errstate(all="ignore"):  # infinities and NaNs are results here, not warnings
            return np.asarray(getattr(np, name)(a, b))

    def _recorded(self, name: str, dtype: Any, a: Any, b: Any) -> Array:
        """A function of NumPy's with its result in memory of the plan."""
        out = self._room(dtype, a, b)
        compute(getattr(np, name), a, b, out)
        return out

    def compare(self, name: str, a: Any, b: Any) -> Array:
        if recording.now.tape is not None:
            return self._recorded(name, np.dtype(bool), a, b)
        return np.asarray(getattr(np, name)(a, b))

    def where(self, condition: Array, a: Any, b: Any) -> Array:
        if recording.now.tape is None:
            return np.where(condition, a, b)
        out = self._room(np.result_type(a, b), condition, a, b)
        order = by_strides(out)
        flat = [self._flat(x, out, dtype, order) for x, dtype in ((condition, np.dtype(bool)), (a, out.dtype), (b, out.dtype))]
        bits = f"u{out.itemsize}"  # of which there are few kinds
        launch(pointwise.choose, flat[0], *(x.view(bits) for x in (*flat[1:], out.transpose(order).reshape(-1))))
        return out

    def _flat(self, x: Any, like: Array, dtype: Any, order: Sequence[int]) -> Array:
        """An operand of a type, broadcast to the shape of ``like``, as memory with the axes in this order; a number is one element."""
        if not isinstance(x, np.ndarray):
            return recording.constant(np.array([x], dtype))
        if x.size == 1 and x.dtype == dtype and x.flags.carray:
            return x.reshape(-1)
        if x.shape != like.shape or x.dtype != dtype or not x.transpose(order).flags.carray:
            given, x = x, self._room(dtype, like)
            assign(x, given)
        return x.transpose(order).reshape(-1)

    @staticmethod
    def _room(dtype: Any, *operands: Any) -> Array:
        """Where NumPy writes what it makes of these, which broadcast: the axes as in those of that shape, if they lie alike."""
        shape = np.broadcast_shapes(*(np.shape(x) for x in operands))
        whole = [x for x in operands if isinstance(x, np.ndarray) and x.shape == shape]
        order = by_strides(whole[0]) if whole else []
        if not whole or not all(x.transpose(order).flags.c_contiguous for x in whole):
            return plain(shape, dtype)
        return plain([shape[axis] for axis in order], dtype).transpose(np.argsort(order))
