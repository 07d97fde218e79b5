"""What all learning-rate schedules share, and those that multiply the rate. The names are PyTorch's, and so are the rates.

A schedule sets the rate when it is made, and again at each ``step()``; whether a step is a batch or an epoch is the caller's choice.
It goes on from the rate that each group has: schedules that are stepped together multiply, and a rate set by hand stays in force.
Those whose rates depend on the step alone, as ``OneCycleLR``, overwrite what they find.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from ..arguments import count, number
from ..errors import message
from ..recording import refuse
from ..signatures import shown
from .base import Optimizer

__all__ = [
    "ConstantLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "PolynomialLR",
    "Schedule",
    "StepLR",
    "judge_rates",
    "line",
]


class Schedule:
    """The base of the schedules, PyTorch's ``LRScheduler``. A subclass says in :meth:`get_lr` which rates come next.

    It gives its settings to ``super().__init__``, which makes attributes of them, and judges them in ``_check``. What belongs to a group
    lies in the group, so that a schedule follows groups that come, go and change places. A group that comes later is scheduled from the
    next step on, from its own rate.

    With ``last_epoch`` it goes on after so many steps; the optimiser's groups must hold the "initial_lr" of an earlier schedule then.

    Raises:
        TypeError: where ``optimizer`` is none.
        ValueError: where a setting makes no sense; the optimiser is as it was then.

    >>> import numbacnn as nc
    >>> class Halves(nc.optim.lr_scheduler.LRScheduler):
    ...     def get_lr(self):
    ...         return [base / 2**self.last_epoch for base in self.base_lrs]
    >>> schedule = Halves(nc.optim.SGD([nc.zeros(1)], lr=1.0))
    >>> schedule.step(); schedule.get_last_lr()
    [0.5]
    """

    _in_groups: ClassVar[dict[str, str]] = {"base_lrs": "initial_lr"}
    """Settings that have a value for each group, and the key in the group that holds it."""
    _unsaved: ClassVar[tuple[str, ...]] = ("optimizer", "_left")
    """Attributes that are no part of the state."""
    _begins = False
    """Whether the schedule is being made: it does not go a step on then, but sets the rates of where it begins."""
    last_epoch: int
    """The number of steps taken."""
    _left: list[float] | None = None
    """The rates that its last step set, where it has gone one since a state was loaded."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1, **settings: Any) -> None:
        op = type(self).__name__
        if not isinstance(optimizer, Optimizer):
            raise TypeError(message(op, "an Optimizer", type(optimizer).__name__))
        self.optimizer = optimizer
        count(op, "last_epoch", last_epoch, -1)
        if last_epoch >= 0 and not all("initial_lr" in group for group in optimizer.param_groups):
            hint = "load the optimiser's state first"
            raise ValueError(message(op, "initial_lr in each group, to go on after last_epoch steps", "a group without it", hint))
        self._check(op, settings)
        self._take({**settings, "last_epoch": last_epoch})
        self._begin()

    def _begin(self) -> None:
        """Set the rates of where the schedule begins."""
        self._begins = True
        try:
            self._adopt_groups()  # before a step() of the user's own, which may read base_lrs
            self.step()
        finally:
            del self._begins

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
        if "base_lrs" not in self._in_groups:
            raise AttributeError(f"{type(self).__name__} has no base_lrs")
        return [group.get(self._in_groups["base_lrs"], group["lr"]) for group in self.optimizer.param_groups]

    @base_lrs.setter
    def base_lrs(self, rates: list[float]) -> None:
        judge_rates(type(self).__name__, "base_lrs", rates, len(self.optimizer.param_groups))
        for group, rate in zip(self.optimizer.param_groups, rates):
            group[self._in_groups["base_lrs"]] = rate

    def get_lr(self) -> list[float]:
        """The rates of the parameter groups after ``last_epoch`` steps; their rates of now are those after one step less.

        ``last_epoch`` is 0 when the schedule is made. The rates that the last step set are :meth:`get_last_lr`'s.
        """
        raise NotImplementedError

    def step(self, epoch: int | None = None) -> None:
        """Go one step on, or to where ``epoch`` steps from the beginning lead."""
        refuse("a schedule goes on")
        if epoch is not None:
            count(type(self).__name__, "epoch", epoch, 0)
        self._adopt_groups()
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        for group, rate in zip(self.optimizer.param_groups, self.get_lr() if epoch is None else self._from_base(), strict=True):
            group["lr"] = rate
        self._left = self._rates()

    def _from_base(self) -> list[float]:
        """The rates after ``last_epoch`` steps, whatever the rates of now are."""
        return self.get_lr()

    def get_last_lr(self) -> list[float]:
        """The rate that the last step set for each parameter group; after a state was loaded, the rate as it is now.

        Where several schedules share an optimiser, or a rate was set by hand since, the groups may have others.
        """
        refuse("a rate is read, which may change")
        return self._rates() if self._left is None else list(self._left)

    @property
    def _last_lr(self) -> list[float]:
        """PyTorch's private name, which schedules of people's own read and set."""
        return self.get_last_lr()

    @_last_lr.setter
    def _last_lr(self, rates: list[float]) -> None:
        self._left = rates

    def _rates(self) -> list[float]:
        """The rate of each parameter group as it is now."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """All of the schedule but the optimiser, as numbers that JSON can hold. The rates are part of the optimiser's own state."""
        self._adopt_groups()
        in_groups = {name: [group[key] for group in self.optimizer.param_groups] for name, key in self._in_groups.items()}
        return {**in_groups, **{name: _saved(value) for name, value in self._own()}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` gave. As in PyTorch the rates are not set: the optimiser's state brings them.

        A state of PyTorch's schedule of this name does too where it has these names; its private ones are left out.

        Raises:
            ValueError: where the state is of another kind of schedule, or a value makes no sense; nothing is changed then.
        """
        state = self._judged(state_dict)
        self._take(copy.deepcopy(state))

    def _own(self) -> list[tuple[str, Any]]:
        return [(name, value) for name, value in vars(self).items() if name not in self._unsaved]

    def _judged(self, state: Any, least: int = 0) -> dict[str, Any]:
        """What is taken of a saved state, after at least so many steps: -1 of a schedule whose turn has yet to come."""
        op, groups = f"{type(self).__name__}.load_state_dict", len(self.optimizer.param_groups)
        if not isinstance(state, Mapping):
            raise ValueError(message(op, "a mapping", type(state).__name__))
        names = {*self._in_groups, *dict(self._own())}
        state = {name: v for name, v in state.items() if name in names or (not str(name).startswith("_") and name not in self._unsaved)}
        if set(state) != names:
            expected, received = ", ".join(sorted(names)), ", ".join(sorted(map(str, state)))
            raise ValueError(message(op, f"the names {expected}", received or "none"))
        for name in self._in_groups:
            judge_rates(op, name, state[name], groups)
        if "last_epoch" in names:
            count(op, "last_epoch", state["last_epoch"], least)
        for name, mine in self._own():
            if isinstance(mine, Schedule):
                state[name] = mine._judged(state[name])
            elif schedules := _schedules(mine):
                saved = state[name]
                if not isinstance(saved, (list, tuple)) or len(saved) != len(schedules):
                    raise ValueError(message(op, f"the states of {len(schedules)} schedules", shown(saved)))
                state[name] = [schedule._judged(part, -1) for schedule, part in zip(schedules, saved)]
        self._check(op, state)
        return state

    def _take(self, values: Mapping[str, Any]) -> None:
        """Take judged values over: into the groups, a schedule within, or attributes."""
        self._left = None
        for name, value in values.items():
            mine = vars(self).get(name)
            if name in self._in_groups:
                for group, rate in zip(self.optimizer.param_groups, value):
                    group[self._in_groups[name]] = rate
            elif isinstance(mine, Schedule):
                mine._take(value)
            elif schedules := _schedules(mine):
                for schedule, part in zip(schedules, value):
                    schedule._take(part)
            else:
                setattr(self, name, value)


def _schedules(value: Any) -> list[Schedule]:
    """The schedules of a list of them; none of anything else."""
    return value if isinstance(value, list) and all(isinstance(v, Schedule) for v in value) else []


def _saved(value: Any) -> Any:
    if isinstance(value, Schedule):
        return value.state_dict()
    return [schedule.state_dict() for schedule in _schedules(value)] or copy.deepcopy(value)


def judge_rates(op: str, name: str, values: Any, groups: int) -> None:
    """Judge that there is a rate for each group."""
    if not isinstance(values, (list, tuple)) or len(values) != groups:
        received = f"{len(values)} values" if isinstance(values, (list, tuple)) else type(values).__name__
        raise ValueError(message(op, f"{name} for each of {groups} groups", received))
    for rate in values:
        number(op, name, rate)


def line(step: int, steps: int, start: float, end: float) -> float:
    """From ``start`` to ``end`` in a straight line of ``steps`` steps, and then ``end`` exactly."""
    return end if step >= steps else start + (end - start) * (step / steps)


class _Multiplies(Schedule):
    """A schedule that multiplies the rate by a factor at each step."""

    def _factor(self, step: int) -> float:
        """By what the rate is multiplied to become that after ``step`` steps."""
        raise NotImplementedError

    def get_lr(self) -> list[float]:
        return [rate * self._factor(self.last_epoch) for rate in self._rates()]

    def _from_base(self) -> list[float]:
        share = math.prod(map(self._factor, range(self.last_epoch + 1)))
        return [base * share for base in self.base_lrs]


class _Continues(_Multiplies):
    """One that leaves the rate as it is where it begins after ``last_epoch`` steps: the optimiser's state has brought it already."""

    def get_lr(self) -> list[float]:
        return self._rates() if self._begins and self.last_epoch > 0 else super().get_lr()


class StepLR(_Multiplies):
    """Each ``step_size`` steps, multiply the rate by ``gamma``.

    >>> import numbacnn as nc
    >>> schedule = nc.optim.StepLR(nc.optim.SGD([nc.zeros(1)], lr=1.0), step_size=2, gamma=0.5)
    >>> for _ in range(3): schedule.step()
    >>> schedule.get_last_lr()
    [0.5]
    """

    step_size: int
    gamma: float

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        super().__init__(optimizer, last_epoch, step_size=step_size, gamma=gamma)

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        number(op, "gamma", settings["gamma"])
        count(op, "step_size", settings["step_size"])

    def _factor(self, step: int) -> float:
        return self.gamma if step > 0 and step % self.step_size == 0 else 1


class MultiStepLR(_Multiplies):
    """At each of the ``milestones``, which are numbers of steps, multiply the rate by ``gamma``.

    >>> import numbacnn as nc
    >>> schedule = nc.optim.MultiStepLR(nc.optim.SGD([nc.zeros(1)], lr=1.0), [2, 3], gamma=0.5)
    >>> for _ in range(3): schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    milestones: list[int]
    gamma: float

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        given = sorted(milestones) if isinstance(milestones, Iterable) and all(isinstance(m, int) for m in milestones) else milestones
        super().__init__(optimizer, last_epoch, milestones=given, gamma=gamma)

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        judge_milestones(op, settings["milestones"])
        number(op, "gamma", settings["gamma"])

    def _factor(self, step: int) -> float:
        return self.gamma ** self.milestones.count(step)


def judge_milestones(op: str, milestones: Any) -> None:
    """Judge that these are numbers of steps in a list."""
    if not isinstance(milestones, (list, tuple)):
        raise ValueError(message(op, "milestones as a list of integers", shown(milestones)))
    for milestone in milestones:
        count(op, "each of milestones", milestone, 0)


class ExponentialLR(_Continues):
    """At each step, multiply the rate by ``gamma``.

    >>> import numbacnn as nc
    >>> schedule = nc.optim.ExponentialLR(nc.optim.SGD([nc.zeros(1)], lr=1.0), gamma=0.5)
    >>> for _ in range(3): schedule.step()
    >>> schedule.get_last_lr()
    [0.125]
    """

    gamma: float

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        super().__init__(optimizer, last_epoch, gamma=gamma)

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        number(op, "gamma", settings["gamma"])

    def _factor(self, step: int) -> float:
        return self.gamma if step > 0 else 1


class ConstantLR(_Multiplies):
    """``factor`` times the rate for ``total_iters`` steps, then the rate.

    >>> import numbacnn as nc
    >>> schedule = nc.optim.ConstantLR(nc.optim.SGD([nc.zeros(1)], lr=1.0), factor=0.25, total_iters=2)
    >>> rates = []
    >>> for _ in range(3): rates += schedule.get_last_lr(); schedule.step()
    >>> rates
    [0.25, 0.25, 1.0]
    """

    factor: float
    total_iters: int

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        super().__init__(optimizer, last_epoch, factor=factor, total_iters=total_iters)

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        number(op, "factor", settings["factor"], lambda v: 0 < v <= 1, "above 0 and at most 1")
        count(op, "total_iters", settings["total_iters"])

    def _factor(self, step: int) -> float:
        return self.factor if step == 0 else 1 / self.factor if step == self.total_iters else 1


class LinearLR(_Continues):
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

    def __init__(
        self, optimizer: Optimizer, start_factor: float = 1 / 3, end_factor: float = 1.0, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, last_epoch, start_factor=start_factor, end_factor=end_factor, total_iters=total_iters)

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        number(op, "start_factor", settings["start_factor"], lambda v: 0 < v <= 1, "above 0 and at most 1")
        number(op, "end_factor", settings["end_factor"], lambda v: 0 <= v <= 1, "from 0 to 1")
        count(op, "total_iters", settings["total_iters"])

    def _factor(self, step: int) -> float:
        if step > self.total_iters:
            return 1
        before, now = (line(s, self.total_iters, self.start_factor, self.end_factor) for s in (step - 1, step))
        return now / before if step > 0 else now


class PolynomialLR(_Continues):
    """The rate times ``(1 - step / total_iters) ** power``, and 0 from there on.

    >>> import numbacnn as nc
    >>> schedule = nc.optim.PolynomialLR(nc.optim.SGD([nc.zeros(1)], lr=1.0), total_iters=4, power=2)
    >>> for _ in range(2): schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    total_iters: int
    power: float

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        super().__init__(optimizer, last_epoch, total_iters=total_iters, power=power)

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        count(op, "total_iters", settings["total_iters"])
        number(op, "power", settings["power"])

    def _factor(self, step: int) -> float:
        left = self.total_iters - step
        return (left / (left + 1)) ** self.power if step > 0 and left >= 0 else 1


class _ByFunction(Schedule):
    """A schedule by a function of the step, or by one for each group. Functions are no part of the state."""

    _unsaved: ClassVar[tuple[str, ...]] = (*Schedule._unsaved, "lr_lambdas")
    lr_lambdas: Any

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | list[Callable[[int], float]], last_epoch: int = -1
    ) -> None:
        super().__init__(optimizer, last_epoch, lr_lambdas=list(lr_lambda) if isinstance(lr_lambda, tuple) else lr_lambda)

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        given = settings.get("lr_lambdas", self.__dict__.get("lr_lambdas"))
        functions, groups = given if isinstance(given, list) else [given], len(self.optimizer.param_groups)
        if not all(map(callable, functions)):
            raise TypeError(message(op, "lr_lambda as a function, or a list of them", shown(given)))
        if isinstance(given, list) and len(given) != groups:
            raise ValueError(message(op, f"lr_lambda for each of {groups} groups", f"{len(given)} functions"))

    def _given(self, step: int) -> list[float]:
        """What the functions give, for each group."""
        op, groups = type(self).__name__, self.optimizer.param_groups
        self._check(op, {})
        found = [f(step) for f in (self.lr_lambdas if isinstance(self.lr_lambdas, list) else [self.lr_lambdas] * len(groups))]
        for value in found:
            number(op, "what lr_lambda gives", value, lambda v: True, "that is finite")
        return found


class LambdaLR(_ByFunction):
    """The rate with which a group began times ``lr_lambda(step)``; a list has a function for each group.

    >>> import numbacnn as nc
    >>> schedule = nc.optim.LambdaLR(nc.optim.SGD([nc.zeros(1)], lr=1.0), lambda step: 1 / (1 + step))
    >>> schedule.step(); schedule.get_last_lr()
    [0.5]
    """

    def get_lr(self) -> list[float]:
        return [base * factor for base, factor in zip(self.base_lrs, self._given(self.last_epoch))]


class MultiplicativeLR(_ByFunction):
    """At each step, multiply the rate by ``lr_lambda(step)``; a list has a function for each group.

    >>> import numbacnn as nc
    >>> schedule = nc.optim.MultiplicativeLR(nc.optim.SGD([nc.zeros(1)], lr=1.0), lambda step: 0.5)
    >>> for _ in range(2): schedule.step()
    >>> schedule.get_last_lr()
    [0.25]
    """

    def get_lr(self) -> list[float]:
        factors = [1.0] * len(self.base_lrs) if self._begins else self._given(self.last_epoch)
        return [rate * factor for rate, factor in zip(self._rates(), factors)]
