"""Indexing and joining. An index that is an array goes through the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...kernels.cuda import views
from .arrays import CudaArray, Operand
from .pointwise import Pointwise

__all__ = ["Index"]


class Index(Pointwise):
    """Parts of arrays."""

    def getitem(self, x: CudaArray, index: Any) -> CudaArray:
        items = index if isinstance(index, tuple) else (index,)
        if all(map(views.is_basic, items)):
            return x.viewed(views.index(x.view, items))
        return self.from_numpy(np.asarray(self.to_numpy(x)[index]))

    def setitem(self, x: CudaArray, index: Any, value: Operand) -> None:
        items = index if isinstance(index, tuple) else (index,)
        value = self._operand(value, x.dtype)
        if value.buffer is x.buffer:  # else a thread could read what another has already written
            value = self.copy(value)
        if all(map(views.is_basic, items)):
            self.assign(self.getitem(x, index), value)
        else:
            self._on_host(x, lambda a: a.__setitem__(index, self.to_numpy(value)))

    def add_at(self, x: CudaArray, index: Any, value: CudaArray) -> None:
        items = index if isinstance(index, tuple) else (index,)
        if all(map(views.is_basic, items)):
            part = self.getitem(x, index)
            self.assign(part, self.binary("add", part, value))
        else:
            self._on_host(x, lambda a: np.add.at(a, index, self.to_numpy(value)))

    def _on_host(self, x: CudaArray, change: Callable[[np.ndarray], None]) -> None:
        """Change ``x`` through a round trip: repeated indices then mean what they mean in NumPy, in one order."""
        a = np.array(self.to_numpy(x))
        change(a)
        self.assign(x, self.from_numpy(a))

    def concatenate(self, arrays: Sequence[CudaArray], axis: int) -> CudaArray:
        first = arrays[0]
        axis %= first.ndim
        shape = (*first.shape[:axis], sum(a.shape[axis] for a in arrays), *first.shape[axis + 1 :])
        out = self.empty(shape, first.dtype, views.memory_order(first.view))
        at = 0
        for a in arrays:
            end = at + a.shape[axis]
            self.assign(self.getitem(out, (*(slice(None),) * axis, slice(at, end))), a)
            at = end
        return out
