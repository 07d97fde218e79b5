"""Operations on each element by itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import recording
from ...formulas import BINARY, UNARY
from ...kernels.cpu import pointwise
from ...kernels.cpu.launch import compute, launch
from .arrays import Array, Arrays, empty_like, to_channels_first, to_channels_last
from .buffers import plain

__all__ = ["Pointwise"]


def _least(row: Any) -> float:
    """Elements from which a kernel does what NumPy does as well, to the bit; while a step is recorded, any number of them."""
    return row.numpy if recording.now.tape is None or row.numpy in (1, math.inf) else 0


def _into(function: Any, a: Any, b: Any, out: Array) -> None:
    """out = function(a, b)."""
    function(a, b, out=out)


def same_layout(a: Any, b: Any) -> bool:
    """Whether these are arrays of one shape and floating-point type whose memory a kernel takes as it is."""
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.shape != b.shape or a.dtype != b.dtype:
        return False
    return a.dtype.kind == "f" and all(to_channels_last(x).flags.c_contiguous and x.flags.writeable for x in (a, b))


class Pointwise(Arrays):
    """Kernels of the table's functions, and NumPy where it is as quick."""

    def unary(self, name: str, x: Array) -> Array:
        row = UNARY.get(name)
        if row and (not row.numpy or (x.dtype == np.float32 and x.size >= _least(row))):
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
        if row and getattr(a, "size", 0) >= _least(row) and same_layout(a, b):
            return self._map(pointwise.forward(name), a, b)
        if recording.now.tape is not None:
            return self._recorded(row, name, a, b)
        with np.errstate(all="ignore"):  # infinities and NaNs are results here, not warnings
            return np.asarray(getattr(np, name)(a, b))

    def _recorded(self, row: Any, name: str, a: Any, b: Any) -> Array:
        """A function of two operands with its result in memory of the plan: by a kernel where one of them is a number."""
        x, number = (a, b) if isinstance(a, np.ndarray) else (b, a)
        if isinstance(x, np.ndarray) and not isinstance(number, np.ndarray) and row and row.numpy < math.inf and x.dtype.kind == "f":
            for memory, back in ((x, None), (to_channels_last(x), to_channels_first)):
                if memory.flags.carray:
                    out = self.buffers.empty(memory.shape, memory.dtype)
                    launch(pointwise.with_number(name, x is b), memory.reshape(-1), float(number), out.reshape(-1))
                    return out if back is None else back(out)
        out = self._room(np.result_type(a, b), a, b)
        compute(_into, getattr(np, name), a, b, out)
        return out

    def compare(self, name: str, a: Any, b: Any) -> Array:
        if recording.now.tape is None:
            return np.asarray(getattr(np, name)(a, b))
        out = self._room(np.dtype(bool), a, b)
        compute(_into, getattr(np, name), a, b, out)
        return out

    def where(self, condition: Array, a: Any, b: Any) -> Array:
        if recording.now.tape is None:
            return np.where(condition, a, b)
        out = self._room(np.result_type(a, b), condition, a, b)
        compute(np.copyto, out, b)
        compute(np.copyto, out, a, "same_kind", condition)
        return out

    @staticmethod
    def _room(dtype: Any, *operands: Any) -> Array:
        """Where NumPy writes what it makes of these, which broadcast: channels last where all of that shape are."""
        shape = np.broadcast_shapes(*(np.shape(x) for x in operands))
        whole = [x for x in operands if isinstance(x, np.ndarray) and x.shape == shape]
        last = bool(whole) and all(to_channels_last(x).flags.c_contiguous and not x.flags.c_contiguous for x in whole)
        return empty_like(whole[0], dtype) if last else plain(shape, dtype)
