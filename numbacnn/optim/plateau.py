"""The schedule that waits for a measure to get no better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from ..arguments import count, number, one_of
from ..errors import message
from ..recording import refuse
from ..signatures import shown
from .base import Optimizer
from .schedule import Schedule, judge_rates

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(Schedule):
    """Multiply the rate by ``factor`` when a measure has not become better for more than ``patience`` steps.

    Args:
        optimizer: whose rates are set.
        mode: whether the measure shall become small ("min") or large ("max").
        factor: below 1.
        patience: so many steps without a better measure change nothing.
        threshold: what is better: by this share of the best ("rel"), or by so much ("abs").
        threshold_mode: "rel" or "abs".
        cooldown: so many steps after a change are not counted.
        min_lr: below which no rate goes; a list has one for each group.
        eps: a smaller change of a rate is not made.

    Raises:
        TypeError, ValueError: where an argument is none of these.

    >>> import numbacnn as nc
    >>> schedule = nc.optim.ReduceLROnPlateau(nc.optim.SGD([nc.zeros(1)], lr=1.0), patience=1)
    >>> for loss in (3.0, 2.0, 2.5, 2.1): schedule.step(loss)
    >>> schedule.get_last_lr()
    [0.1]
    """

    _in_groups: ClassVar[dict[str, str]] = {}
    mode: str
    factor: float
    patience: int
    threshold: float
    threshold_mode: str
    cooldown: int
    min_lrs: list[float]
    eps: float
    best: float
    """The best measure until now."""
    num_bad_epochs: int
    cooldown_counter: int

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | list[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(message("ReduceLROnPlateau", "an Optimizer", type(optimizer).__name__))
        self.optimizer = optimizer
        settings = {
            "mode": mode,
            "factor": factor,
            "patience": patience,
            "threshold": threshold,
            "threshold_mode": threshold_mode,
            "cooldown": cooldown,
            "min_lrs": list(min_lr) if isinstance(min_lr, (list, tuple)) else [min_lr] * len(optimizer.param_groups),
            "eps": eps,
            "best": -math.inf if mode == "max" else math.inf,
            "num_bad_epochs": 0,
            "cooldown_counter": 0,
        }
        self._check("ReduceLROnPlateau", settings)
        self._take({**settings, "last_epoch": 0})
        self._left = self._rates()

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        one_of(op, "mode", settings["mode"], ("min", "max"))
        number(op, "factor", settings["factor"], lambda v: 0 <= v < 1, "in [0, 1)")
        one_of(op, "threshold_mode", settings["threshold_mode"], ("rel", "abs"))
        for name in ("threshold", "eps"):
            number(op, name, settings[name])
        for name in ("patience", "cooldown", "num_bad_epochs", "cooldown_counter"):
            count(op, name, settings[name], 0)
        judge_rates(op, "min_lr", settings["min_lrs"], len(self.optimizer.param_groups))
        if not isinstance(settings["best"], (int, float)):
            raise ValueError(message(op, "best as a number", shown(settings["best"])))

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Go one step on with a measure: a number, or a Tensor of one element.

        Raises:
            TypeError: where it is none.
            ValueError: where the number of groups is another than at the beginning.
        """
        refuse("a schedule goes on")
        try:
            found = float(metrics)
        except (TypeError, ValueError):
            raise TypeError(message("ReduceLROnPlateau", "metrics as a number", shown(metrics))) from None
        taken = self.last_epoch + 1 if epoch is None else count("ReduceLROnPlateau", "epoch", epoch, 0)
        judge_rates("ReduceLROnPlateau", "min_lr", self.min_lrs, len(self.optimizer.param_groups))
        self.last_epoch = taken
        if self._is_better(found):
            self.best, self.num_bad_epochs = found, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown_counter - 1, 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            for group, least in zip(self.optimizer.param_groups, self.min_lrs):
                rate = max(group["lr"] * self.factor, least)
                if group["lr"] - rate > self.eps:
                    group["lr"] = rate
        self._left = self._rates()

    @property
    def in_cooldown(self) -> bool:
        """Whether steps are not counted now."""
        return self.cooldown_counter > 0

    def _is_better(self, found: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            return sign * found > sign * self.best * (1 + sign * self.threshold)
        return sign * found > sign * self.best + self.threshold
