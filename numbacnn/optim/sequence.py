"""Schedules that are made of schedules: one after the other, or together."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..arguments import count, number
from ..errors import message
from ..recording import refuse
from ..signatures import shown
from .base import Optimizer
from .plateau import ReduceLROnPlateau
from .schedule import Schedule, judge_milestones, line

__all__ = ["ChainedScheduler", "SequentialLR", "WarmUp"]


class _Several(Schedule):
    """Schedules of one optimiser."""

    _in_groups: ClassVar[dict[str, str]] = {}
    _schedulers: list[Schedule]

    def _judge_schedules(self, schedulers: Any, optimizer: Any = None) -> tuple[list[Schedule], Optimizer]:
        op = type(self).__name__
        if not isinstance(schedulers, (list, tuple)) or not schedulers or not all(isinstance(s, Schedule) for s in schedulers):
            raise TypeError(message(op, "a list of schedules", shown(schedulers)))
        if any(isinstance(s, ReduceLROnPlateau) for s in schedulers):
            raise ValueError(message(op, "schedules whose steps take no measure", "a ReduceLROnPlateau", "step it by itself"))
        optimizer = schedulers[0].optimizer if optimizer is None else optimizer
        if not all(s.optimizer is optimizer for s in schedulers):
            raise ValueError(message(op, "schedules of one optimiser", "of several"))
        return list(schedulers), optimizer

    def get_lr(self) -> list[float]:
        return self._rates()


def _judge_no_epoch(op: str, epoch: Any) -> None:
    if epoch is not None:
        raise TypeError(message(op, "no epoch: it goes one step on", shown(epoch)))


class ChainedScheduler(_Several):
    """Schedules that are stepped together: what they do to the rate multiplies.

    >>> import numbacnn as nc
    >>> optimizer = nc.optim.SGD([nc.zeros(1)], lr=1.0)
    >>> parts = [nc.optim.ConstantLR(optimizer, 0.5, 2), nc.optim.ExponentialLR(optimizer, 0.5)]
    >>> schedule = nc.optim.ChainedScheduler(parts)
    >>> schedule.step(); schedule.get_last_lr()
    [0.25]
    """

    def __init__(self, schedulers: Sequence[Schedule], optimizer: Optimizer | None = None) -> None:
        self._schedulers, self.optimizer = self._judge_schedules(schedulers, optimizer)
        self._left = self._rates()

    def step(self, epoch: int | None = None) -> None:
        """Go one step on."""
        _judge_no_epoch("ChainedScheduler", epoch)
        for schedule in self._schedulers:
            schedule.step()
        self._left = self._rates()

    def _begin(self) -> None:
        for schedule in self._schedulers:
            schedule._begin()


class SequentialLR(_Several):
    """Schedules one after the other: the next one begins at each of the ``milestones``, which are numbers of steps.

    The schedules must not have been stepped, and must not be stepped any more by themselves. They begin at the rate with which the groups
    began.

    >>> import numbacnn as nc
    >>> optimizer = nc.optim.SGD([nc.zeros(1)], lr=1.0)
    >>> parts = [nc.optim.ConstantLR(optimizer, 0.25, 2), nc.optim.ExponentialLR(optimizer, 0.5)]
    >>> schedule = nc.optim.SequentialLR(optimizer, parts, [2])
    >>> rates = []
    >>> for _ in range(4): rates += schedule.get_last_lr(); schedule.step()
    >>> rates
    [0.25, 0.25, 1.0, 0.5]
    """

    _milestones: list[int]

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[Schedule], milestones: Sequence[int], last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(message("SequentialLR", "an Optimizer", type(optimizer).__name__))
        count("SequentialLR", "last_epoch", last_epoch, -1)
        schedules, self.optimizer = self._judge_schedules(schedulers, optimizer)
        if any(isinstance(s, _Several) for s in schedules[1:]):
            raise ValueError(message("SequentialLR", "schedules that are no sequences or chains behind the first", "such a one"))
        self._schedulers = schedules
        self._check("SequentialLR", {"_milestones": milestones})
        self._milestones, self.last_epoch = list(milestones), last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for schedule in schedules:
            _undo(schedule)
        schedules[bisect.bisect_right(self._milestones, 0)]._begin()
        self._left = self._rates()

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        milestones = settings["_milestones"]
        judge_milestones(op, milestones)
        if len(milestones) != len(self._schedulers) - 1 or list(milestones) != sorted(milestones):
            expected = f"{len(self._schedulers) - 1} milestones for {len(self._schedulers)} schedules, in order"
            raise ValueError(message(op, expected, shown(milestones)))

    def step(self, epoch: int | None = None) -> None:
        """Go one step on."""
        _judge_no_epoch("SequentialLR", epoch)
        refuse("a schedule goes on")
        self.last_epoch += 1
        index = bisect.bisect_right(self._milestones, self.last_epoch)
        begins = index > 0 and self._milestones[index - 1] == self.last_epoch
        self._schedulers[index].step(*[0] * begins)
        self._left = self._rates()

    def _begin(self) -> None:
        self.last_epoch += 1
        self._schedulers[0]._begin()


def _undo(schedule: Schedule) -> None:
    """Take back the step that a schedule has made when it was made."""
    for part in getattr(schedule, "_schedulers", ()):
        _undo(part)
    if hasattr(schedule, "last_epoch"):
        schedule.last_epoch -= 1


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
        if not isinstance(schedule, Schedule) or isinstance(schedule, (ReduceLROnPlateau, _Several)):
            raise TypeError(message("WarmUp", "a schedule to go on with", type(schedule).__name__))
        rates = schedule._rates()
        super().__init__(schedule.optimizer, -1, schedule=schedule, steps=steps, start_factor=start_factor, warm_lrs=rates)

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

    def step(self, epoch: int | None = None) -> None:
        """Go one step on."""
        refuse("a schedule goes on")
        _judge_no_epoch("WarmUp", epoch)
        if self.last_epoch < self.steps:
            super().step()
        else:
            self.schedule.step()
            self.last_epoch += 1
            self._left = self._rates()

    def get_lr(self) -> list[float]:
        before, now = (line(step, self.steps, self.start_factor, 1.0) for step in (self.last_epoch - 1, self.last_epoch))
        if self.last_epoch == 0 or before == 0:  # 0 can't be multiplied
            return [group["warm_lr"] * now for group in self.optimizer.param_groups]
        return [rate * (now / before) for rate in self._rates()]
