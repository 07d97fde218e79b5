"""Optimiser steps in place, one launch for up to 64 parameters."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ....kernels.cuda import driver, views
from ....kernels.cuda.driver import POINTERS, launch
from ....kernels.cuda.fast import optim as kernels
from ....recording import Numbers
from .. import optim
from ..arrays import Arrays, CudaArray, ceil

__all__ = ["GROUPS", "Optim"]

GROUPS = (16, 64)
"""Parameters of a launch; where there are fewer, the last one fills the places, and no block comes to them. 64 of Adam in float64 are
3.3 KB of arguments, of which a launch has 4."""
BLOCKS = 128
"""At most so many blocks stride through a parameter."""


class _Lying(NamedTuple):
    """How a parameter's weights lie."""

    array: weakref.ref[CudaArray]
    view: views.View
    size: int
    order: tuple[int, ...]
    is_dense: bool

    @classmethod
    def of(cls, w: CudaArray) -> _Lying:
        order = views.memory_order(w.view)
        return cls(weakref.ref(w), w.view, w.size, order, views.is_dense(w.view, order))

    def alike(self, xp: Arrays, x: CudaArray) -> CudaArray:
        """An array of the parameter in this order; a copy only where it lies in another."""
        return x if self.is_dense and x.view.strides == self.view.strides else xp.ordered(x, self.order)


class Optim(optim.Optim):
    """SGD and Adam."""

    def __init__(self) -> None:
        super().__init__()
        self._known: Any = weakref.WeakKeyDictionary()

    def sgd_step(
        self,
        ws: Sequence[CudaArray],
        grads: Sequence[CudaArray],
        velocities: Sequence[CudaArray] | None,
        firsts: Sequence[bool],
        rates: np.ndarray,
    ) -> None:
        if not self._apart(ws):
            super().sgd_step(ws, grads, velocities, firsts, rates)
            return
        scalars = Numbers(optim.sgd_scalars, rates, velocities is not None, ws[0].dtype.type)
        states = (ws,) if velocities is None else (ws, velocities)
        self._steps(kernels.sgd_steps, states, grads, lambda at: (tuple(int(firsts[i]) for i in at), scalars))

    def adam_step(
        self,
        ws: Sequence[CudaArray],
        grads: Sequence[CudaArray],
        ms: Sequence[CudaArray],
        vs: Sequence[CudaArray],
        steps: np.ndarray,
        rates: np.ndarray,
        decoupled: bool,
    ) -> None:
        if not self._apart(ws):
            super().adam_step(ws, grads, ms, vs, steps, rates, decoupled)
            return
        real = ws[0].dtype.type
        self._steps(kernels.adam_steps, (ws, ms, vs), grads, lambda at: (Numbers(_adam_scalars, rates, steps, at, decoupled, real),))

    def _steps(
        self,
        kernel: Any,
        states: Sequence[Sequence[CudaArray]],
        grads: Sequence[CudaArray],
        numbers: Callable[[list[int]], tuple[Any, ...]],
    ) -> None:
        """Run a kernel on flat memory. ``numbers``: its other arguments for the parameters at these places."""
        ws, *moments = states
        columns = (ws, grads, *(moments or [ws]))
        known = self._known[ws[0]]
        for at, places in _grouped([i for i, lying in enumerate(known) if lying.size]):
            rows = {i: [known[i].alike(self, column[i]) for column in columns] for i in at}
            memory = {i: [x.buffer if x.view.start == 0 else self.flat(x) for x in row] for i, row in rows.items()}
            pointers = [(POINTERS, *(memory[i][k] for i in places)) for k in range(len(columns))]
            sizes = tuple(known[i].size for i in places)
            grid = (min(ceil(max(sizes), driver.THREADS), BLOCKS), len(at))
            launch(kernel, grid, driver.THREADS, *pointers, sizes, *numbers(places))
            for i, (w, _, *others) in rows.items():
                for given, changed in zip([ws[i], *(column[i] for column in moments)], [w, *others]):
                    if given is not changed:
                        self.assign(given, changed)

    def _apart(self, ws: Sequence[CudaArray]) -> bool:
        """Whether no two weights share memory. That, and how each lies, is worked out once for arrays that are the same in each step."""
        known = self._known.get(ws[0], ())
        if len(known) == len(ws) and all(lying.array() is w and lying.view is w.view for lying, w in zip(known, ws)):
            return True
        bounds = sorted(self._bounds(w) for w in ws if w.size)
        if any(high > low for (_, high), (low, _) in itertools.pairwise(bounds)):
            return False
        self._known.update({ws[0]: [_Lying.of(w) for w in ws]})
        return True

    def _bounds(self, w: CudaArray) -> tuple[int, int]:
        """The first byte of the elements, and the one after the last."""
        low = high = self.recorded.address(w)
        for n, stride in zip(w.shape, w.view.strides):
            low += min(stride * (n - 1), 0) * w.dtype.itemsize
            high += max(stride * (n - 1), 0) * w.dtype.itemsize
        return low, high + w.dtype.itemsize


def _grouped(places: list[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Places cut into those of a launch: these, and these filled up."""
    for start in range(0, len(places), GROUPS[-1]):
        at = places[start : start + GROUPS[-1]]
        yield at, at + at[-1:] * (next(n for n in GROUPS if n >= len(at)) - len(at))


def _adam_scalars(rates: np.ndarray, steps: np.ndarray, at: list[int], decoupled: bool, real: type) -> Iterable[Any]:
    counts = steps.tolist()
    made = {count: list(optim.adam_scalars(rates, count, decoupled, real)) for count in {counts[i] for i in at}}
    mine = [made[counts[i]] for i in at]
    return tuple(m[0] for m in mine), tuple(m[-1] for m in mine), *mine[0][1:-1]
