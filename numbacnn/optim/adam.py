"""Adam, AdamW and NAdam."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from .. import backends
from ..recording import effect, guard, live
from ..tensor import Tensor, maximum
from .base import arrays, descents, saved_moment, saved_number, saved_square, saved_steps, zeros_for
from .composed import Composed, check_betas, mix

__all__ = ["Adam", "AdamW", "NAdam"]


class Adam(Composed):
    """Adam, as ``torch.optim.Adam``, after Kingma and Ba (2015); ``weight_decay`` is added to the gradient.

    With ``amsgrad`` the largest mean square of all steps takes the place of the last, after Reddi, Kale and Kumar (2018).

    Raises:
        ValueError: where a value makes no sense.

    >>> import numbacnn as nc
    >>> w = nc.ones(1, requires_grad=True)
    >>> optimizer = nc.optim.Adam([w], lr=0.5)
    >>> (3 * w).sum().backward(); optimizer.step(); round(w.item(), 4)
    0.5
    """

    decoupled = False
    _rates: ClassVar[tuple[str, ...]] = ("lr", "eps", "weight_decay")
    _flags: ClassVar[tuple[str, ...]] = ("maximize", "amsgrad")
    _fixed: ClassVar[dict[str, bool]] = {**Composed._fixed, "decoupled_weight_decay": False}
    _saved: ClassVar[dict[str, Any]] = {
        "step": saved_steps,
        "exp_avg": saved_moment,
        "exp_avg_sq": saved_square,
        "max_exp_avg_sq": saved_square,
    }
    _only_with: ClassVar[dict[str, str]] = {"max_exp_avg_sq": "amsgrad"}

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        numbers = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**numbers, "amsgrad": amsgrad, "maximize": maximize})

    def _check(self, op: str, group: Mapping[str, Any]) -> None:
        check_betas(op, group["betas"])

    def _update(self, params: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]) -> None:
        if guard(lambda: group["amsgrad"]):
            super()._update(params, states, group)
            return
        for p, state in zip(params, states):
            if not state:
                state.update(step=0, exp_avg=zeros_for(p), exp_avg_sq=zeros_for(p))
        backends.get(params[0].device).adam_step(
            arrays(params),
            descents(params, group),
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

    def _numbers(self, group: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[float, ...]:
        (beta1, beta2), step = group["betas"], state["step"] + 1
        return group["lr"] / (1 - beta1**step), beta1, 1 - beta1, beta2, 1 - beta2, group["eps"], math.sqrt(1 - beta2**step)

    def _move(self, group: Mapping[str, Any], state: Mapping[str, Any], w: Tensor, g: Tensor, *numbers: Any) -> None:
        rate, keep1, take1, keep2, take2, eps, root = numbers
        mean, square, largest = (
            mix(state["exp_avg"], keep1, take1, g),
            mix(state["exp_avg_sq"], keep2, take2, g * g),
            state["max_exp_avg_sq"],
        )
        largest.copy_(maximum(largest, square))
        w -= rate * (mean / (largest.sqrt() / root + eps))


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
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)


class NAdam(Composed):
    """Adam with Nesterov's momentum, as ``torch.optim.NAdam``, after Dozat (2016).

    Raises:
        ValueError: where a value makes no sense.

    >>> import numbacnn as nc
    >>> w = nc.ones(1, requires_grad=True)
    >>> optimizer = nc.optim.NAdam([w], lr=0.5)
    >>> (3 * w).sum().backward(); optimizer.step(); round(w.item(), 4)
    0.4718
    """

    _rates: ClassVar[tuple[str, ...]] = ("lr", "eps", "weight_decay", "momentum_decay")
    _flags: ClassVar[tuple[str, ...]] = ("maximize", "decoupled_weight_decay")
    _saved: ClassVar[dict[str, Any]] = {
        "step": saved_steps,
        "mu_product": saved_number,
        "exp_avg": saved_moment,
        "exp_avg_sq": saved_square,
    }

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        numbers = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay}
        super().__init__(params, {**numbers, "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize})

    def _check(self, op: str, group: Mapping[str, Any]) -> None:
        check_betas(op, group["betas"])

    def _begin(self, group: Mapping[str, Any], name: str, p: Tensor) -> Any:
        return 1.0 if name == "mu_product" else super()._begin(group, name, p)

    @staticmethod
    def _momentum(group: Mapping[str, Any], step: int) -> float:
        return group["betas"][0] * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"]))

    def _count(self, group: Mapping[str, Any], state: dict[str, Any]) -> None:
        super()._count(group, state)
        state["mu_product"] *= self._momentum(group, state["step"])

    def _numbers(self, group: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[float, ...]:
        (beta1, beta2), lr, step = group["betas"], group["lr"], state["step"] + 1
        now, after = self._momentum(group, step), self._momentum(group, step + 1)
        product = state["mu_product"] * now
        rates = lr * (1 - now) / (1 - product), lr * after / (1 - product * after)
        return *rates, beta1, 1 - beta1, beta2, 1 - beta2, group["eps"], math.sqrt(1 - beta2**step)

    def _move(self, group: Mapping[str, Any], state: Mapping[str, Any], w: Tensor, g: Tensor, *numbers: Any) -> None:
        rate_g, rate_m, keep1, take1, keep2, take2, eps, root = numbers
        mean, square = mix(state["exp_avg"], keep1, take1, g), mix(state["exp_avg_sq"], keep2, take2, g * g)
        w -= (rate_g * g + rate_m * mean) / (square.sqrt() / root + eps)
