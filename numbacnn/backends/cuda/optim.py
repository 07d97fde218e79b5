"""Optimiser steps in place, a launch a parameter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...kernels.cuda import views
from ...kernels.cuda.driver import launch_flat
from ...kernels.cuda.simt import optim
from ...recording import Numbers
from .arrays import Arrays, CudaArray

__all__ = ["Optim", "adam_scalars", "sgd_scalars"]


class Optim(Arrays):
    """SGD and Adam."""

    def _step(self, kernel: Any, states: Sequence[CudaArray], grad: CudaArray, scalars: Numbers, *flags: int) -> None:
        """Run an optimiser's kernel on flat memory; states that do not lie as the first one, the weights, go through a copy."""
        order = views.memory_order(states[0].view)
        ordered = [self.ordered(s, order) for s in states]
        memory = [self.flat(a) for a in (ordered[0], self.ordered(grad, order), *(ordered[1:] or ordered))]
        launch_flat(kernel, grad.size, *memory, scalars, *flags)
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
        states = zip(ws) if velocities is None else zip(ws, velocities)
        for state, grad, first in zip(states, grads, firsts):
            scalars = Numbers(sgd_scalars, rates, len(state) == 2, state[0].dtype.type)
            self._step(optim.sgd_step, state, grad, scalars, int(first))

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
        for i, (state, grad) in enumerate(zip(zip(ws, ms, vs), grads)):
            self._step(optim.adam_step, state, grad, Numbers(_scalars_of, rates, steps, i, decoupled, ws[0].dtype.type))


def sgd_scalars(rates: np.ndarray, has_velocity: bool, real: type) -> Iterable[Any]:
    """What the kernel is told of a step."""
    lr, momentum, dampening, decay, nesterov = rates.tolist()
    return *map(real, (lr, momentum, 1 - dampening, decay)), int(has_velocity), int(nesterov)


def _scalars_of(rates: np.ndarray, steps: np.ndarray, i: int, decoupled: bool, real: type) -> Iterable[Any]:
    return adam_scalars(rates, int(steps[i]), decoupled, real)


def adam_scalars(rates: np.ndarray, step: int, decoupled: bool, real: type) -> Iterable[Any]:
    """What the kernel is told of a parameter's step: its rate first, its root last."""
    lr, beta1, beta2, eps, decay = rates.tolist()
    decays = (0.0, 1 - lr * decay) if decoupled else (decay, 1.0)
    return map(real, (lr / (1 - beta1**step), beta1, 1 - beta1, beta2, 1 - beta2, eps, *decays, math.sqrt(1 - beta2**step)))
