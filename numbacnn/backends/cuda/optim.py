"""Optimiser steps in place, a launch a parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...kernels.cuda import views
from ...kernels.cuda.driver import launch_flat
from ...kernels.cuda.simt import optim
from .arrays import Arrays, CudaArray

__all__ = ["Optim"]


class Optim(Arrays):
    """SGD and Adam."""

    def _step(self, kernel: Any, states: Sequence[CudaArray], grad: CudaArray, scalars: Sequence[float], flags: Sequence[bool]) -> None:
        """Run an optimiser's kernel on flat memory; states that do not lie as the first one, the weights, go through a copy."""
        order, real = views.memory_order(states[0].view), states[0].dtype.type
        ordered = [self.ordered(s, order) for s in states]
        memory = [self.flat(a) for a in (ordered[0], self.ordered(grad, order), *(ordered[1:] or ordered))]
        launch_flat(kernel, grad.size, *memory, *map(real, scalars), *map(int, flags))
        for state, changed in zip(states, ordered):
            if changed is not state:
                self.assign(state, changed)

    def sgd_step(
        self,
        ws: Sequence[CudaArray],
        grads: Sequence[CudaArray],
        velocities: Sequence[CudaArray] | None,
        firsts: Sequence[bool],
        rates: np.ndarray,
    ) -> None:
        lr, momentum, dampening, decay, nesterov = rates.tolist()
        states = zip(ws) if velocities is None else zip(ws, velocities)
        for state, grad, first in zip(states, grads, firsts):
            self._step(optim.sgd_step, state, grad, (lr, momentum, 1 - dampening, decay), (len(state) == 2, nesterov, first))

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
        lr, beta1, beta2, eps, decay = rates.tolist()
        decays = (0.0, 1 - lr * decay) if decoupled else (decay, 1.0)
        for state, grad, step in zip(zip(ws, ms, vs), grads, steps.tolist()):
            rate, root = lr / (1 - beta1**step), math.sqrt(1 - beta2**step)
            self._step(optim.adam_step, state, grad, (rate, beta1, 1 - beta1, beta2, 1 - beta2, eps, *decays, root), ())
