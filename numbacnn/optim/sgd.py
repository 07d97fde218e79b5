"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from .. import backends
from ..arguments import number
from ..errors import message
from ..recording import guard, live
from ..tensor import Tensor
from .base import Optimizer, arrays, descents, saved_moment, zeros_for

__all__ = ["SGD"]

NUMBERS = ("lr", "momentum", "dampening", "weight_decay", "nesterov")


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, as ``torch.optim.SGD``; Nesterov's after Sutskever et al. (2013).

    ``g += weight_decay * w``; ``v = momentum * v + (1 - dampening) * g`` (the first time ``v = g``); then ``w -= lr * v``, or with
    ``nesterov`` ``w -= lr * (g + momentum * v)``. With ``maximize`` ``g`` is minus the gradient.

    Raises:
        ValueError: where a value makes no sense.

    >>> import numbacnn as nc
    >>> w = nc.ones(2, requires_grad=True)
    >>> optimizer = nc.optim.SGD([w], lr=0.25)
    >>> (2 * w).sum().backward(); optimizer.step(); w.detach().numpy()
    array([0.5, 0.5], dtype=float32)
    """

    _rates: ClassVar[tuple[str, ...]] = ("lr", "momentum", "weight_decay")
    _flags: ClassVar[tuple[str, ...]] = ("maximize", "nesterov")
    _saved: ClassVar[dict[str, Any]] = {"momentum_buffer": saved_moment}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        numbers = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, {**numbers, "nesterov": nesterov, "maximize": maximize})

    def _check(self, op: str, group: Mapping[str, Any]) -> None:
        number(op, "dampening", group["dampening"], lambda v: True, "that is finite")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            received = f"momentum = {group['momentum']} and dampening = {group['dampening']}"
            raise ValueError(message(op, "a momentum above 0 and no dampening with nesterov=True", received))

    def _update(self, params: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]) -> None:
        momentum = guard(lambda: bool(group["momentum"]))
        firsts = ["momentum_buffer" not in state for state in states]
        if momentum:
            for p, state in zip(params, states):
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = zeros_for(p)
        backends.get(params[0].device).sgd_step(
            arrays(params),
            descents(params, group),
            arrays(state["momentum_buffer"] for state in states) if momentum else None,
            firsts,
            live(lambda: np.array([group[name] for name in NUMBERS], np.float64), "rate"),
        )
