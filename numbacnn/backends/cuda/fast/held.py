"""Who has what waits launched before he looks at memory without a launch (see ``kernels.cuda.held``)."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from ....kernels.cuda import held
from ..arrays import Arrays, CudaArray

__all__ = ["Held"]


class Held(Arrays):
    """Other libraries launch what they like: while one has memory of ours, or we have memory of theirs, nothing waits."""

    def __init__(self) -> None:
        super().__init__()
        self._lent: list[weakref.ref[Any]] = []

    def _may_wait(self) -> bool:
        if self._lent:
            self._lent = [buffer for buffer in self._lent if buffer() is not None]
        return not self._lent

    def _lends(self, x: CudaArray) -> None:
        held.settle()
        self._lent.append(weakref.ref(x.buffer))

    def memory(self, x: CudaArray, order: Sequence[int]) -> Any:
        self._lends(x)
        return super().memory(x, order)

    def interface(self, x: CudaArray) -> dict[str, Any]:
        self._lends(x)
        return super().interface(x)

    def borrow(self, array: Any) -> CudaArray:
        x = super().borrow(array)
        self._lends(x)
        return x

    def to_numpy(self, x: CudaArray) -> np.ndarray:
        held.settle()
        return super().to_numpy(x)

    def wait(self) -> None:
        held.settle()
        super().wait()

    def empty_cache(self) -> None:
        """Give what is kept back to the driver."""
        held.settle()
        super().empty_cache()

    @property
    def account(self) -> Any:
        """What memory is used for, but by what waits."""
        held.settle()
        return super().account
