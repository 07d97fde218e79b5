"""Learning-rate schedules under PyTorch's names, with its rates.

A schedule sets the rate when it is made, and again at each ``step()``; whether a step is a batch or an epoch is the caller's choice.
It goes on from the rate that each group has: schedules that are stepped together multiply, and a rate set by hand stays in force.
``OneCycleLR`` alone knows the rate of each step beforehand, and overwrites what it finds.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, ClassVar

from ..arguments import count, number, one_of, plain_flag, probability
from ..errors import message
from ..recording import refuse
from .base import Optimizer

__all__ = ["CosineAnnealingLR", "LinearLR", "OneCycleLR", "Schedule", "StepLR", "WarmUp"]


class Schedule:
    """The base of the schedules. A subclass says in :meth:`get_lr` which rates come next.

    It gives its settings to ``super().__init__``, which makes attributes of them, and judges them in ``_check``. What belongs to a group
    lies in the group, so that a schedule follows groups that come, go and change places. A group that comes later is scheduled from the
    next step on, from its own rate.

    Raises:
        TypeError: where ``optimizer`` is none.
        ValueError: where a setting makes no sense; the optimiser is as it was then.
    """

    _in_groups: ClassVar[dict[str, str]] = {"base_lrs": "initial_lr"}
    """Settings that have a value for each group, and the key in the group that holds it."""
    last_epoch: int
    """The number of steps taken."""

    def __init__(self, optimizer: Optimizer, **settings: Any) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(message(type(self).__name__, "an Optimizer", type(optimizer).__name__))
        self.optimizer = optimizer
        self._check(type(self).__name__, settings)
        self._take({**settings, "last_epoch": -1})
        self.step()

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        """Judge the settings, given or saved."""

    def _adopt_groups(self) -> None:
        """Make the groups ready that the schedule may not have seen yet."""
        for group in self.optimizer.param_groups:
            self._adopt(group)

    def _adopt(self, group: dict[str, Any]) -> None:
        group.setdefault("initial_lr", group["lr"])

    @property
    def base_lrs(self) -> list[float]:
        """The rate with which each parameter group began."""
        return [group.get("initial_lr", group["lr"]) for group in self.optimizer.param_groups]

    def get_lr(self) -> list[float]:
        """The rates of the parameter groups after ``last_epoch`` steps; their rates of now are those after one step less.

        ``last_epoch`` is 0 when the schedule is made. For the rates that are in force there is :meth:`get_last_lr`.
        """
        raise NotImplementedError

    def step(self) -> None:
        """Go one step on."""
        refuse("a schedule goes on")
        self._adopt_groups()
        self.last_epoch += 1
        for group, rate in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = rate

    def get_last_lr(self) -> list[float]:
        """The rate of each parameter group as it is now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """All of the schedule but the optimiser, as numbers that JSON can hold. The rates are part of the optimiser's own state."""
        self._adopt_groups()
        in_groups = {name: [group[key] for group in self.optimizer.param_groups] for name, key in self._in_groups.items()}
        own = {name: value.state_dict() if isinstance(value, Schedule) else copy.deepcopy(value) for name, value in self._own()}
        return {**in_groups, **own}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` gave. As in PyTorch the rates are not set: the optimiser's state brings them.

        Raises:
            ValueError: where the state is of another kind of schedule, or a value makes no sense; nothing is changed then.
        """
        self._judge(state_dict)
        self._take(copy.deepcopy(dict(state_dict)))

    def _own(self) -> list[tuple[str, Any]]:
        return [(name, value) for name, value in vars(self).items() if name != "optimizer"]

    def _judge(self, state: Any) -> None:
        """Raise where a saved state can't be taken."""
        op, groups = f"{type(self).__name__}.load_state_dict", len(self.optimizer.param_groups)
        if not isinstance(state, Mapping):
            raise ValueError(message(op, "a mapping", type(state).__name__))
        names = {*self._in_groups, *dict(self._own())}
        if set(state) != names:
            expected, received = ", ".join(sorted(names)), ", ".join(sorted(map(str, state)))
            raise ValueError(message(op, f"the names {expected}", received or "none"))
        for name in self._in_groups:
            _rates(op, name, state[name], groups)
        count(op, "last_epoch", state["last_epoch"], 0)
        for name, mine in self._own():
            if isinstance(mine, Schedule):
                mine._judge(state[name])
        self._check(op, state)

    def _take(self, values: Mapping[str, Any]) -> None:
        """Take judged values over: into the groups, a schedule within, or attributes."""
        for name, value in values.items():
            mine = vars(self).get(name)
            if name in self._in_groups:
                for group, rate in zip(self.optimizer.param_groups, value):
                    group[self._in_groups[name]] = rate
            elif isinstance(mine, Schedule):
                mine._take(value)
            else:
                setattr(self, name, value)


def _rates(op: str, name: str, values: Any, groups: int) -> None:
    """Judge that there is a rate for each group."""
    if not isinstance(values, (list, tuple)) or len(values) != groups:
        received = f"{len(values)} values" if isinstance(values, (list, tuple)) else type(values).__name__
        raise ValueError(message(op, f"{name} for each of {groups} groups", received))
    for rate in values:
        number(op, name, rate)


def _line(step: int, steps: int, start: float, end: float) -> float:
    """From ``start`` to ``end`` in a straight line of ``steps`` steps, and then ``end`` exactly."""
    return end if step >= steps else start + (end - start) * (step / steps)


class StepLR(Schedule):
    """Each ``step_size`` steps, multiply the rate by ``gamma``.

    >>> import numbacnn as nc
    >>> schedule = nc.optim.StepLR(nc.optim.SGD([nc.zeros(1)], lr=1.0), step_size=2, gamma=0.5)
    >>> for _ in range(3): schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    step_size: int
    gamma: float

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(optimizer, step_size=step_size, gamma=gamma)

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        number(op, "gamma", settings["gamma"])
        count(op, "step_size", settings["step_size"])

    def get_lr(self) -> list[float]:
        factor = self.gamma if self.last_epoch > 0 and self.last_epoch % self.step_size == 0 else 1
        return [rate * factor for rate in self.get_last_lr()]


class CosineAnnealingLR(Schedule):
    """Down to ``eta_min`` in ``T_max`` steps, and up again, along a cosine, after Loshchilov and Hutter (2017), without restarts.

    By itself it gives ``eta_min + (base - eta_min) * (1 + cos(pi * step / T_max)) / 2``.

    >>> import numbacnn as nc
    >>> schedule = nc.optim.CosineAnnealingLR(nc.optim.SGD([nc.zeros(1)], lr=1.0), T_max=2)
    >>> for _ in range(2): schedule.step()
    >>> schedule.get_last_lr()
    [0.0]
    """

    T_max: int
    eta_min: float

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        super().__init__(optimizer, T_max=T_max, eta_min=eta_min)

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        number(op, "eta_min", settings["eta_min"])
        count(op, "T_max", settings["T_max"])

    def _share(self, step: int) -> float:
        return (1 + math.cos(math.pi * step / self.T_max)) / 2

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self.get_last_lr()
        share, before = self._share(self.last_epoch), self._share(self.last_epoch - 1)
        if before == 0:  # up from eta_min, by what there was at the beginning
            return [rate + (base - self.eta_min) * share for rate, base in zip(self.get_last_lr(), self.base_lrs)]
        # a rate that was set by hand below eta_min would go down to below 0
        return [max(self.eta_min + (rate - self.eta_min) * (share / before), 0.0) for rate in self.get_last_lr()]


class OneCycleLR(Schedule):
    """Up from ``max_lr / div_factor`` to ``max_lr``, then down to ``max_lr / div_factor / final_div_factor``, after Smith and Topin (2018).

    The ascent takes the share ``pct_start`` of ``total_steps`` (or ``epochs * steps_per_epoch``). With ``cycle_momentum``, momentum
    (Adam's beta1) goes from ``max_momentum`` to ``base_momentum`` and back. One more step than ``total_steps`` is an error. The rate of
    each step is known beforehand: what other schedules and hands have set is overwritten. A group that comes later must hold "max_lr".

    >>> import numbacnn as nc
    >>> schedule = nc.optim.OneCycleLR(nc.optim.Adam([nc.zeros(1)]), max_lr=0.1, total_steps=10)
    >>> for _ in range(2): schedule.step()
    >>> [round(rate, 3) for rate in schedule.get_last_lr()]
    [0.1]
    """

    _in_groups: ClassVar[dict[str, str]] = {**Schedule._in_groups, "max_lrs": "max_lr"}
    total_steps: int
    pct_start: float
    anneal_strategy: str
    cycle_momentum: bool
    base_momentum: float
    max_momentum: float
    div_factor: float
    final_div_factor: float

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
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                received = f"epochs = {epochs!r} and steps_per_epoch = {steps_per_epoch!r}"
                raise ValueError(message("OneCycleLR", "total_steps, or epochs and steps_per_epoch", received))
            total_steps = count("OneCycleLR", "epochs", epochs) * count("OneCycleLR", "steps_per_epoch", steps_per_epoch)
        groups = len(optimizer.param_groups) if isinstance(optimizer, Optimizer) else 0
        super().__init__(
            optimizer,
            total_steps=total_steps,
            max_lrs=list(max_lr) if isinstance(max_lr, (list, tuple)) else [max_lr] * groups,
            pct_start=pct_start,
            anneal_strategy=anneal_strategy,
            cycle_momentum=cycle_momentum,
            base_momentum=base_momentum,
            max_momentum=max_momentum,
            div_factor=div_factor,
            final_div_factor=final_div_factor,
        )

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        count(op, "total_steps", settings["total_steps"])
        _rates(op, "max_lr", settings["max_lrs"], len(self.optimizer.param_groups))
        probability(op, "pct_start", settings["pct_start"])
        one_of(op, "anneal_strategy", settings["anneal_strategy"], ("cos", "linear"))
        plain_flag(op, "cycle_momentum", settings["cycle_momentum"])
        for name in ("base_momentum", "max_momentum"):
            number(op, name, settings[name], lambda v: 0 <= v < 1, "in [0, 1)")
        for name in ("div_factor", "final_div_factor"):
            number(op, name, settings[name], lambda v: v > 0, "above 0")
        if settings["cycle_momentum"] and not {"momentum", "betas"} & set(self.optimizer.defaults):
            hint = "pass cycle_momentum=False"
            raise ValueError(message(op, "an optimiser with momentum or betas", type(self.optimizer).__name__, hint))
        if settings.get("last_epoch", 0) > settings["total_steps"]:
            raise ValueError(message(op, f"at most total_steps = {settings['total_steps']} steps", f"{settings['last_epoch']}"))

    def _adopt(self, group: dict[str, Any]) -> None:
        if "max_lr" not in group:
            hint = "call add_param_group({..., 'max_lr': ...})"
            raise ValueError(message("OneCycleLR", "max_lr in a group that came later", "none", hint))
        group["initial_lr"] = group["max_lr"] / self.div_factor

    def step(self) -> None:
        """Go one step on.

        Raises:
            ValueError: after ``total_steps`` steps, or where a group that came later has no "max_lr"; nothing is changed then.
        """
        if self.last_epoch >= self.total_steps:
            raise ValueError(message("OneCycleLR", f"at most total_steps = {self.total_steps} steps", f"step {self.last_epoch + 1}"))
        super().step()
        if not self.cycle_momentum:
            return
        momentum = self._anneal(self.max_momentum, self.base_momentum, self.max_momentum)
        for group in self.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum

    def get_lr(self) -> list[float]:
        ends = [(group["initial_lr"], group["max_lr"]) for group in self.optimizer.param_groups]
        return [self._anneal(base, peak, base / self.final_div_factor) for base, peak in ends]

    def _anneal(self, start: float, peak: float, end: float) -> float:
        step, turn, last = self.last_epoch, self.pct_start * self.total_steps - 1, self.total_steps - 1
        if step <= turn:
            a, b, begin, finish = start, peak, 0.0, turn
        else:
            a, b, begin, finish = peak, end, turn, float(last)
        share = (step - begin) / (finish - begin) if finish > begin else 1.0
        if self.anneal_strategy == "cos":
            return b + (a - b) / 2.0 * (math.cos(math.pi * share) + 1)
        return b + (a - b) * (1 - min(share, 1.0))  # PyTorch's goes beyond b at the last step, below 0


class LinearLR(Schedule):
    """From ``start_factor`` to ``end_factor`` times the rate in ``total_iters`` steps, then as it is; after Goyal et al. (2017).

    >>> import numbacnn as nc
    >>> schedule = nc.optim.LinearLR(nc.optim.SGD([nc.zeros(1)], lr=1.0), start_factor=0.25, total_iters=3)
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    start_factor: float
    end_factor: float
    total_iters: int

    def __init__(self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5) -> None:
        super().__init__(optimizer, start_factor=start_factor, end_factor=end_factor, total_iters=total_iters)

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        number(op, "start_factor", settings["start_factor"], lambda v: 0 < v <= 1, "above 0 and at most 1")
        number(op, "end_factor", settings["end_factor"], lambda v: 0 <= v <= 1, "from 0 to 1")
        count(op, "total_iters", settings["total_iters"])

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_iters:
            return self.get_last_lr()
        before, now = (_line(step, self.total_iters, self.start_factor, self.end_factor) for step in (self.last_epoch - 1, self.last_epoch))
        factor = now / before if self.last_epoch > 0 else now
        return [rate * factor for rate in self.get_last_lr()]


class WarmUp(Schedule):
    """From ``start_factor`` times the first rate of ``schedule`` to that rate in ``steps`` steps, then that schedule from its beginning.

    The given schedule must not be stepped any more by itself. Unlike in ``LinearLR``, ``start_factor`` may be 0.

    >>> import numbacnn as nc
    >>> optimizer = nc.optim.SGD([nc.zeros(1)], lr=1.0)
    >>> schedule = nc.optim.WarmUp(nc.optim.CosineAnnealingLR(optimizer, T_max=10), steps=2, start_factor=0.0)
    >>> rates = []
    >>> for _ in range(13): rates += schedule.get_last_lr(); schedule.step()
    >>> [rates[step] for step in (0, 1, 2, 12)]
    [0.0, 0.5, 1.0, 0.0]
    """

    _in_groups: ClassVar[dict[str, str]] = {**Schedule._in_groups, "warm_lrs": "warm_lr"}
    schedule: Schedule
    steps: int
    start_factor: float

    def __init__(self, schedule: Schedule, steps: int, start_factor: float = 0.1) -> None:
        if not isinstance(schedule, Schedule):
            raise TypeError(message("WarmUp", "a schedule to go on with", type(schedule).__name__))
        rates = schedule.get_last_lr()
        super().__init__(schedule.optimizer, schedule=schedule, steps=steps, start_factor=start_factor, warm_lrs=rates)

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        number(op, "start_factor", settings["start_factor"])
        count(op, "steps", settings["steps"])
        schedule, wanted = settings["schedule"], max(settings.get("last_epoch", 0) - settings["steps"], 0)
        taken = schedule.last_epoch if isinstance(schedule, Schedule) else schedule["last_epoch"]
        if taken != wanted:
            raise ValueError(message(op, f"a schedule after {wanted} steps", f"one after {taken}"))

    def _adopt(self, group: dict[str, Any]) -> None:
        super()._adopt(group)
        group.setdefault("warm_lr", group["lr"])

    def step(self) -> None:
        """Go one step on."""
        refuse("a schedule goes on")
        if self.last_epoch < self.steps:
            super().step()
        else:
            self.schedule.step()
            self.last_epoch += 1

    def get_lr(self) -> list[float]:
        before, now = (_line(step, self.steps, self.start_factor, 1.0) for step in (self.last_epoch - 1, self.last_epoch))
        if self.last_epoch == 0 or before == 0:  # 0 can't be multiplied
            return [group["warm_lr"] * now for group in self.optimizer.param_groups]
        return [rate * (now / before) for rate in self.get_last_lr()]
