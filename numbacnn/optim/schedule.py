"""Learning-rate schedules: closed functions of the number of steps taken, PyTorch's names and formulas.

A schedule sets the rate when it is made, and again at each ``step()``; whether a step is a batch or an epoch is the caller's choice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import message
from .base import Optimizer, number

__all__ = ["CosineAnnealingLR", "LinearLR", "OneCycleLR", "Schedule", "StepLR", "WarmUp"]


def _count(op: str, name: str, value: Any, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(message(op, f"{name} as an integer of at least {least}", repr(value)))
    return value


class Schedule:
    """The base of the schedules. A subclass says in :meth:`rates` which rate each group has after ``step`` steps."""

    def __init__(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(message(type(self).__name__, "an Optimizer", type(optimizer).__name__))
        self.optimizer = optimizer
        self.base_lrs: list[float] = [group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups]
        self.last_epoch = 0

    def rates(self, step: int) -> list[float]:
        """The learning rate of each parameter group after ``step`` steps."""
        raise NotImplementedError

    def apply(self, step: int) -> None:
        """Set what the optimiser uses after ``step`` steps."""
        for group, rate in zip(self.optimizer.param_groups, self.rates(step)):
            group["lr"] = rate

    def step(self) -> None:
        """Go one step on."""
        self.apply(self.last_epoch + 1)
        self.last_epoch += 1

    def get_last_lr(self) -> list[float]:
        """The rate of each parameter group as it is now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """All of the schedule but the optimiser, as numbers that JSON can hold."""
        return {
            name: value.state_dict() if isinstance(value, Schedule) else value for name, value in vars(self).items() if name != "optimizer"
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` gave, and set the rates.

        Raises:
            ValueError: where the state is of another kind of schedule.
        """
        self._restore(state_dict)
        self.apply(self.last_epoch)

    def _restore(self, state_dict: Mapping[str, Any]) -> None:
        names = set(vars(self)) - {"optimizer"}
        if set(state_dict) != names:
            expected, received = ", ".join(sorted(names)), ", ".join(sorted(state_dict))
            raise ValueError(message(f"{type(self).__name__}.load_state_dict", f"the names {expected}", received or "none"))
        for name, value in state_dict.items():
            mine = getattr(self, name)
            if isinstance(mine, Schedule):
                mine._restore(value)
            else:
                setattr(self, name, list(value) if isinstance(value, (list, tuple)) else value)


class StepLR(Schedule):
    """``base * gamma ** (step // step_size)``.

    >>> import numbacnn as nc
    >>> schedule = nc.optim.StepLR(nc.optim.SGD([nc.zeros(1)], lr=1.0), step_size=2, gamma=0.5)
    >>> for _ in range(3): schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(optimizer)
        number("StepLR", "gamma", gamma)
        self.step_size = _count("StepLR", "step_size", step_size)
        self.gamma = gamma
        self.apply(0)

    def rates(self, step: int) -> list[float]:
        return [base * self.gamma ** (step // self.step_size) for base in self.base_lrs]


class CosineAnnealingLR(Schedule):
    """``eta_min + (base - eta_min) * (1 + cos(pi * step / T_max)) / 2``, after Loshchilov and Hutter (2017), without restarts."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        super().__init__(optimizer)
        number("CosineAnnealingLR", "eta_min", eta_min)
        self.T_max = _count("CosineAnnealingLR", "T_max", T_max)
        self.eta_min = eta_min
        self.apply(0)

    def rates(self, step: int) -> list[float]:
        share = (1 + math.cos(math.pi * step / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]


class OneCycleLR(Schedule):
    """Up from ``max_lr / div_factor`` to ``max_lr``, then down to ``max_lr / div_factor / final_div_factor``, after Smith and Topin (2018).

    The ascent takes the share ``pct_start`` of ``total_steps`` (or ``epochs * steps_per_epoch``). With ``cycle_momentum``, momentum
    (Adam's beta1) goes from ``max_momentum`` to ``base_momentum`` and back. One more step than ``total_steps`` is an error.

    >>> import numbacnn as nc
    >>> schedule = nc.optim.OneCycleLR(nc.optim.Adam([nc.zeros(1)]), max_lr=0.1, total_steps=10)
    >>> [round(rate, 3) for rate in schedule.rates(2)]
    [0.1]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
    ) -> None:
        op = "OneCycleLR"
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                received = f"epochs = {epochs!r} and steps_per_epoch = {steps_per_epoch!r}"
                raise ValueError(message(op, "total_steps, or epochs and steps_per_epoch", received))
            total_steps = _count(op, "epochs", epochs) * _count(op, "steps_per_epoch", steps_per_epoch)
        number(op, "pct_start", pct_start, lambda v: 0 <= v <= 1, "from 0 to 1")
        for name, value in (("base_momentum", base_momentum), ("max_momentum", max_momentum)):
            number(op, name, value, lambda v: 0 <= v < 1, "in [0, 1)")
        for name, value in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
            number(op, name, value, lambda v: v > 0, "above 0")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(message(op, "anneal_strategy as 'cos' or 'linear'", repr(anneal_strategy)))
        super().__init__(optimizer)
        self.total_steps = _count(op, "total_steps", total_steps)
        self.max_lrs = list(max_lr) if isinstance(max_lr, (list, tuple)) else [max_lr] * len(optimizer.param_groups)
        if len(self.max_lrs) != len(optimizer.param_groups):
            raise ValueError(message(op, f"max_lr for each of {len(optimizer.param_groups)} groups", f"{len(self.max_lrs)} values"))
        for rate in self.max_lrs:
            number(op, "max_lr", rate)
        if cycle_momentum and not {"momentum", "betas"} & set(optimizer.defaults):
            raise ValueError(message(op, "an optimiser with momentum or betas", type(optimizer).__name__, "pass cycle_momentum=False"))
        self.pct_start, self.anneal_strategy = pct_start, anneal_strategy
        self.cycle_momentum, self.base_momentum, self.max_momentum = cycle_momentum, base_momentum, max_momentum
        self.div_factor, self.final_div_factor = div_factor, final_div_factor
        self.base_lrs = [rate / div_factor for rate in self.max_lrs]
        for group, rate in zip(optimizer.param_groups, self.base_lrs):
            group["initial_lr"] = rate
        self.apply(0)

    def _anneal(self, step: int, start: float, peak: float, end: float) -> float:
        if step > self.total_steps:
            raise ValueError(message("OneCycleLR", f"at most total_steps = {self.total_steps} steps", f"step {step}"))
        turn, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        if step <= turn:
            a, b, begin, finish = start, peak, 0.0, turn
        else:
            a, b, begin, finish = peak, end, turn, float(last)
        share = (step - begin) / (finish - begin) if finish > begin else 1.0
        if self.anneal_strategy == "cos":
            return b + (a - b) / 2.0 * (math.cos(math.pi * share) + 1)
        return (b - a) * share + a

    def rates(self, step: int) -> list[float]:
        return [self._anneal(step, base, peak, base / self.final_div_factor) for base, peak in zip(self.base_lrs, self.max_lrs)]

    def apply(self, step: int) -> None:
        super().apply(step)
        if self.cycle_momentum:
            momentum = self._anneal(step, self.max_momentum, self.base_momentum, self.max_momentum)
            for group in self.optimizer.param_groups:
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum


class LinearLR(Schedule):
    """From ``start_factor * base`` to ``end_factor * base`` in ``total_iters`` steps, then constant; a warm-up after Goyal et al. (2017).

    >>> import numbacnn as nc
    >>> schedule = nc.optim.LinearLR(nc.optim.SGD([nc.zeros(1)], lr=1.0), start_factor=0.25, total_iters=3)
    >>> [schedule.rates(step)[0] for step in range(5)]
    [0.25, 0.5, 0.75, 1.0, 1.0]
    """

    def __init__(self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5) -> None:
        super().__init__(optimizer)
        number("LinearLR", "start_factor", start_factor, lambda v: 0 < v <= 1, "above 0 and at most 1")
        number("LinearLR", "end_factor", end_factor, lambda v: 0 <= v <= 1, "from 0 to 1")
        self.total_iters = _count("LinearLR", "total_iters", total_iters)
        self.start_factor, self.end_factor = start_factor, end_factor
        self.apply(0)

    def rates(self, step: int) -> list[float]:
        factor = self.start_factor + (self.end_factor - self.start_factor) * min(step, self.total_iters) / self.total_iters
        return [base * factor for base in self.base_lrs]


class WarmUp(Schedule):
    """A linear warm-up to the first rate of ``schedule`` in ``steps`` steps, and then that schedule from its beginning.

    The given schedule must not be stepped any more by itself.

    >>> import numbacnn as nc
    >>> optimizer = nc.optim.SGD([nc.zeros(1)], lr=1.0)
    >>> schedule = nc.optim.WarmUp(nc.optim.CosineAnnealingLR(optimizer, T_max=10), steps=2, start_factor=0.0)
    >>> [schedule.rates(step)[0] for step in (0, 1, 2, 12)]
    [0.0, 0.5, 1.0, 0.0]
    """

    def __init__(self, schedule: Schedule, steps: int, start_factor: float = 0.1) -> None:
        if not isinstance(schedule, Schedule):
            raise TypeError(message("WarmUp", "a schedule to go on with", type(schedule).__name__))
        super().__init__(schedule.optimizer)
        number("WarmUp", "start_factor", start_factor)
        self.schedule = schedule
        self.steps = _count("WarmUp", "steps", steps)
        self.start_factor = start_factor
        self.apply(0)

    def rates(self, step: int) -> list[float]:
        factor = self.start_factor + (1.0 - self.start_factor) * min(step, self.steps) / self.steps
        return [rate * factor for rate in self.schedule.rates(max(step - self.steps, 0))]

    def apply(self, step: int) -> None:
        self.schedule.apply(max(step - self.steps, 0))  # it may set more than the rates
        super().apply(step)
        self.schedule.last_epoch = max(step - self.steps, 0)
