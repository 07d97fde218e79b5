"""Optimiser steps in place, one launch for all parameters."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ...kernels.cpu import optim
from ...kernels.cpu.launch import compute, launch
from . import packs
from .arrays import Array, Arrays

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
        lr: float,
        momentum: float,
        dampening: float,
        decay: float,
        nesterov: bool,
    ) -> None:
        rates = (float(lr), float(momentum), float(dampening), float(decay), int(nesterov))
        self._step(optim.sgd_step, firsts, (ws, grads, velocities) if velocities and momentum else (ws, grads), rates)

    def adam_step(
        self,
        ws: Sequence[Array],
        grads: Sequence[Array],
        ms: Sequence[Array],
        vs: Sequence[Array],
        steps: Sequence[int],
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        decay: float,
        decoupled: bool,
    ) -> None:
        rates = (float(lr), float(beta1), float(beta2), float(eps), float(decay), int(decoupled))
        self._step(optim.adam_step, steps, (ws, grads, ms, vs), rates)

    def _step(self, kernel: Any, numbers: Sequence[int], arrays: Sequence[Sequence[Array]], rates: Sequence[float]) -> None:
        """One launch for all parameters, or one after the other where they share memory; not C-ordered ones are updated in a copy."""
        ws = arrays[0]
        for w in ws:
            packs.unlock(w)
        if not _disjoint(ws):
            for number, *row in zip(numbers, *arrays):
                self._step(kernel, [number], [[a] for a in row], rates)
            return
        ordered = [[a if a.flags.carray else np.array(a, order="C") for a in some] for some in arrays]
        sizes = tuple([w.size for w in ws])
        table = np.array([sizes, numbers, *map(_addresses, ordered)], np.int64)
        like = ordered[0][sizes.index(max(sizes))].reshape(-1)  # its size tells ``launch`` what there is to do
        launch(kernel, like, table, _tasks(sizes), *rates)
        for w, moved in zip(ws, ordered[0]):
            if moved is not w:
                compute(np.copyto, w, moved)
