"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from .. import backends
from ..arguments import number
from ..errors import message
from ..recording import effect, live
from ..tensor import Tensor
from .base import Optimizer, arrays, saved_moment, saved_square, saved_steps, zeros_for

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam, as ``torch.optim.Adam``, after Kingma and Ba (2015); ``weight_decay`` is added to the gradient.

    Raises:
        ValueError: where a value makes no sense.

    >>> import numbacnn as nc
    >>> w = nc.ones(1, requires_grad=True)
    >>> optimizer = nc.optim.Adam([w], lr=0.5)
    >>> (3 * w).sum().backward(); optimizer.step(); round(w.item(), 4)
    0.5
    """

    decoupled = False
    _fixed: ClassVar[dict[str, bool]] = {**Optimizer._fixed, "decoupled_weight_decay": False}
    _saved: ClassVar[dict[str, Any]] = {"step": saved_steps, "exp_avg": saved_moment, "exp_avg_sq": saved_square}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    def _check(self, op: str, group: Mapping[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay"):
            number(op, name, group[name])
        if not isinstance(group["betas"], (tuple, list)) or len(group["betas"]) != 2:
            raise ValueError(message(op, "betas as a pair of numbers", repr(group["betas"])))
        for beta in group["betas"]:
            number(op, "each of betas", beta, lambda v: 0 <= v < 1, "in [0, 1)")

    def _update(self, params: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]) -> None:
        for p, state in zip(params, states):
            if not state:
                state.update(step=0, exp_avg=zeros_for(p), exp_avg_sq=zeros_for(p))
        backends.get(params[0].device).adam_step(
            arrays(params),
            arrays(p.grad for p in params),
            arrays(state["exp_avg"] for state in states),
            arrays(state["exp_avg_sq"] for state in states),
            live(lambda: np.array([state["step"] + 1 for state in states], np.int64), "count"),
            live(lambda: np.array([group["lr"], *group["betas"], group["eps"], group["weight_decay"]], np.float64), "rate"),
            self.decoupled,
        )

        def count() -> None:
            for state in states:
                state["step"] += 1

        effect(count)


class AdamW(Adam):
    """Adam with decoupled weight decay (``w *= 1 - lr * weight_decay``), as ``torch.optim.AdamW``, after Loshchilov and Hutter (2019)."""

    decoupled = True
    _fixed: ClassVar[dict[str, bool]] = {**Adam._fixed, "decoupled_weight_decay": True}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
