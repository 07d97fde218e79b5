"""Optimiser steps in place, one launch for all parameters."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ... import recording
from ...kernels.cpu import optim
from ...kernels.cpu.launch import launch
from ...recording import constant
from . import packs
from .arrays import Array, Arrays, assign, c_ordered

__all__ = ["Optim"]


def _disjoint(arrays: Sequence[Array]) -> bool:
    """Whether no two arrays can share memory."""
    owners = [a if a.base is None else a.base for a in arrays]
    if len(set(map(id, owners))) == len(owners) and all(isinstance(o, np.ndarray) and o.flags.owndata for o in owners):
        return True
    return not any(np.may_share_memory(a, b) for a, b in combinations(arrays, 2))


_as_bytes: Any = ctypes.c_char.from_buffer


def _addresses(arrays: Sequence[Array]) -> list[int]:
    """Where they lie; ``x.ctypes.data`` would take five times as long."""
    return [ctypes.addressof(_as_bytes(x)) if x.size else 0 for x in arrays]


_tasks = functools.lru_cache(maxsize=64)(optim.cut)


class Optim(Arrays):
    """SGD and Adam."""

    def sgd_step(
        self,
        ws: Sequence[Array],
        grads: Sequence[Array],
        velocities: Sequence[Array] | None,
        firsts: Sequence[bool],
        rates: np.ndarray,
    ) -> None:
        arrays = (ws, grads) if velocities is None else (ws, grads, velocities)
        self._step(optim.sgd_step, constant(np.array(firsts, np.int64)), arrays, rates)

    def adam_step(
        self,
        ws: Sequence[Array],
        grads: Sequence[Array],
        ms: Sequence[Array],
        vs: Sequence[Array],
        steps: np.ndarray,
        rates: np.ndarray,
        decoupled: bool,
    ) -> None:
        self._step(optim.adam_step, steps, (ws, grads, ms, vs), rates, int(decoupled))

    def _step(self, kernel: Any, numbers: np.ndarray, arrays: Sequence[Sequence[Array]], rates: np.ndarray, *options: int) -> None:
        """One launch for all parameters, or one after the other where they share memory; not C-ordered ones are updated in a copy."""
        ws = arrays[0]
        for w in ws:
            packs.unlock(w)
        if len(ws) > 1 and not _disjoint(ws):
            for i, row in enumerate(zip(*arrays)):
                self._step(kernel, numbers[i : i + 1], [[a] for a in row], rates, *options)
            return
        ordered = [[c_ordered(a) for a in some] for some in arrays]
        sizes = tuple([w.size for w in ws])
        table = np.array([sizes, *map(_addresses, ordered)], np.int64)
        if recording.now.tape is not None:
            recording.now.tape.addresses(table, ordered)
        like = ordered[0][sizes.index(max(sizes))].reshape(-1)  # its size tells ``launch`` what there is to do
        launch(kernel, like, table, numbers, _tasks(sizes), rates, *options)
        for some, given in zip(ordered, arrays):
            for a, moved in zip(given, some):
                if moved is not a and given is not arrays[1]:
                    assign(a, moved)
