"""Schedules that go along a curve, once or again and again, under PyTorch's names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from ..arguments import count, number, one_of, plain_flag, probability
from ..errors import message
from ..signatures import shown
from .base import Optimizer
from .schedule import Schedule, judge_rates

__all__ = ["CosineAnnealingLR", "CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR"]


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

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        super().__init__(optimizer, last_epoch, T_max=T_max, eta_min=eta_min)

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        number(op, "eta_min", settings["eta_min"])
        count(op, "T_max", settings["T_max"])

    def _share(self, step: int) -> float:
        return (1 + math.cos(math.pi * step / self.T_max)) / 2

    def get_lr(self) -> list[float]:
        if self._begins or self.last_epoch == 0:
            return self._rates()
        share, before = self._share(self.last_epoch), self._share(self.last_epoch - 1)
        if before == 0:  # up from eta_min, by what there was at the beginning
            return [rate + (base - self.eta_min) * share for rate, base in zip(self._rates(), self.base_lrs)]
        # a rate that was set by hand below eta_min would go down to below 0
        return [max(self.eta_min + (rate - self.eta_min) * (share / before), 0.0) for rate in self._rates()]

    def _from_base(self) -> list[float]:
        return [self.eta_min + (base - self.eta_min) * self._share(self.last_epoch) for base in self.base_lrs]


class CosineAnnealingWarmRestarts(Schedule):
    """Down to ``eta_min`` along a cosine in ``T_0`` steps, then again from the beginning, each time in ``T_mult`` times as many.

    After Loshchilov and Hutter (2017). :meth:`step` takes a fraction of an epoch too, as in ``step(epoch + batch / batches)``.

    >>> import numbacnn as nc
    >>> schedule = nc.optim.CosineAnnealingWarmRestarts(nc.optim.SGD([nc.zeros(1)], lr=1.0), T_0=2)
    >>> rates = []
    >>> for _ in range(4): rates += schedule.get_last_lr(); schedule.step()
    >>> [round(rate, 3) for rate in rates]
    [1.0, 0.5, 1.0, 0.5]
    """

    T_0: int
    T_mult: int
    eta_min: float
    T_i: int
    """The steps of this round."""
    T_cur: float
    """How many of them have been taken."""

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        taken = max(count("CosineAnnealingWarmRestarts", "last_epoch", last_epoch, -1), 0)
        super().__init__(optimizer, last_epoch, T_0=T_0, T_mult=T_mult, eta_min=eta_min, T_i=T_0, T_cur=taken)

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        for name in ("T_0", "T_mult", "T_i"):
            count(op, name, settings[name])
        number(op, "eta_min", settings["eta_min"])
        number(op, "T_cur", settings["T_cur"])

    def step(self, epoch: float | None = None) -> None:  # type: ignore[override]
        """Go one step on, or to where ``epoch`` steps from the beginning lead."""
        if epoch is None and self.last_epoch >= 0:
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur, self.T_i = self.T_cur % self.T_i, self.T_i * self.T_mult
        elif epoch is not None:
            number("CosineAnnealingWarmRestarts", "epoch", epoch)
            self.T_cur, self.T_i = epoch, self.T_0
            if self.T_mult == 1:
                self.T_cur = epoch % self.T_0
            while self.T_cur >= self.T_i:
                self.T_cur, self.T_i = self.T_cur - self.T_i, self.T_i * self.T_mult
        super().step(None if epoch is None else math.floor(epoch))

    def get_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]


class _WithMomentum(Schedule):
    """A schedule that knows each step's rate beforehand, up to a "max_lr" that lies in the group, and moves the momentum against it."""

    _in_groups: ClassVar[dict[str, str]] = {**Schedule._in_groups, "max_lrs": "max_lr"}
    cycle_momentum: bool
    base_momentum: float
    max_momentum: float

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        plain_flag(op, "cycle_momentum", settings["cycle_momentum"])
        for name in ("base_momentum", "max_momentum"):
            number(op, name, settings[name], lambda v: 0 <= v < 1, "in [0, 1)")
        if settings["cycle_momentum"] and not {"momentum", "betas"} & set(self.optimizer.defaults):
            hint = "pass cycle_momentum=False"
            raise ValueError(message(op, "an optimiser with momentum or betas", type(self.optimizer).__name__, hint))

    def _adopt(self, group: dict[str, Any]) -> None:
        if "max_lr" not in group:
            hint = "call add_param_group({..., 'max_lr': ...})"
            raise ValueError(message(type(self).__name__, "max_lr in a group that came later", "none", hint))

    def step(self, epoch: int | None = None) -> None:
        """Go one step on, or to where ``epoch`` steps from the beginning lead.

        Raises:
            ValueError: where a group that came later has no "max_lr"; nothing is changed then.
        """
        super().step(epoch)
        if not self.cycle_momentum:
            return
        momentum = self._momentum()
        for group in self.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum

    def _momentum(self) -> float:
        """The momentum after ``last_epoch`` steps."""
        raise NotImplementedError


class OneCycleLR(_WithMomentum):
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

    total_steps: int
    pct_start: float
    anneal_strategy: str
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
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                received = f"epochs = {epochs!r} and steps_per_epoch = {steps_per_epoch!r}"
                raise ValueError(message("OneCycleLR", "total_steps, or epochs and steps_per_epoch", received))
            total_steps = count("OneCycleLR", "epochs", epochs) * count("OneCycleLR", "steps_per_epoch", steps_per_epoch)
        groups = len(optimizer.param_groups) if isinstance(optimizer, Optimizer) else 0
        super().__init__(
            optimizer,
            last_epoch,
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
        judge_rates(op, "max_lr", settings["max_lrs"], len(self.optimizer.param_groups))
        probability(op, "pct_start", settings["pct_start"])
        one_of(op, "anneal_strategy", settings["anneal_strategy"], ("cos", "linear"))
        super()._check(op, settings)
        for name in ("div_factor", "final_div_factor"):
            number(op, name, settings[name], lambda v: v > 0, "above 0")
        if settings.get("last_epoch", 0) > settings["total_steps"]:
            raise ValueError(message(op, f"at most total_steps = {settings['total_steps']} steps", f"{settings['last_epoch']}"))

    def _adopt(self, group: dict[str, Any]) -> None:
        super()._adopt(group)
        group["initial_lr"] = group["max_lr"] / self.div_factor

    def step(self, epoch: int | None = None) -> None:
        """Go one step on, or to where ``epoch`` steps from the beginning lead.

        Raises:
            ValueError: after ``total_steps`` steps, or where a group that came later has no "max_lr"; nothing is changed then.
        """
        wanted = self.last_epoch + 1 if epoch is None else count("OneCycleLR", "epoch", epoch, 0)
        if wanted > self.total_steps:
            raise ValueError(message("OneCycleLR", f"at most total_steps = {self.total_steps} steps", f"step {wanted}"))
        super().step(epoch)

    def _momentum(self) -> float:
        return self._anneal(self.max_momentum, self.base_momentum, self.max_momentum)

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


class CyclicLR(_WithMomentum):
    """Up from ``base_lr`` to ``max_lr`` in ``step_size_up`` steps, down again in ``step_size_down``, and so on, after Smith (2017).

    The height of cycle 1, 2, ... stays ("triangular"), is halved each time ("triangular2"), or is multiplied by ``gamma`` at each step
    ("exp_range"); or it is multiplied by ``scale_fn``, of the cycle or of the step, as ``scale_mode`` says. With ``cycle_momentum``,
    momentum (Adam's beta1) goes from ``max_momentum`` to ``base_momentum`` and back. A function is no part of the state.

    >>> import numbacnn as nc
    >>> schedule = nc.optim.CyclicLR(nc.optim.SGD([nc.zeros(1)]), 0.0, 1.0, step_size_up=2, step_size_down=1)
    >>> rates = []
    >>> for _ in range(4): rates += schedule.get_last_lr(); schedule.step()
    >>> rates
    [0.0, 0.5, 1.0, 0.0]
    """

    _in_groups: ClassVar[dict[str, str]] = {**_WithMomentum._in_groups, "base_lrs": "base_lr"}
    _unsaved: ClassVar[tuple[str, ...]] = (*Schedule._unsaved, "scale_fn")
    step_size_up: int
    step_size_down: int
    mode: str
    gamma: float
    scale_fn: Callable[[float], float] | None
    scale_mode: str

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        groups = len(optimizer.param_groups) if isinstance(optimizer, Optimizer) else 0
        super().__init__(
            optimizer,
            last_epoch,
            base_lrs=list(base_lr) if isinstance(base_lr, (list, tuple)) else [base_lr] * groups,
            max_lrs=list(max_lr) if isinstance(max_lr, (list, tuple)) else [max_lr] * groups,
            step_size_up=step_size_up,
            step_size_down=step_size_up if step_size_down is None else step_size_down,
            mode=mode,
            gamma=gamma,
            scale_fn=scale_fn,
            scale_mode=scale_mode,
            cycle_momentum=cycle_momentum,
            base_momentum=base_momentum,
            max_momentum=max_momentum,
        )

    def _check(self, op: str, settings: Mapping[str, Any]) -> None:
        for name in ("base_lrs", "max_lrs"):
            judge_rates(op, name[:-1], settings[name], len(self.optimizer.param_groups))
        for name in ("step_size_up", "step_size_down"):
            count(op, name, settings[name])
        one_of(op, "mode", settings["mode"], ("triangular", "triangular2", "exp_range"))
        one_of(op, "scale_mode", settings["scale_mode"], ("cycle", "iterations"))
        number(op, "gamma", settings["gamma"])
        if settings.get("scale_fn") is not None and not callable(settings["scale_fn"]):
            raise TypeError(message(op, "scale_fn as a function or None", shown(settings["scale_fn"])))
        super()._check(op, settings)

    def _adopt(self, group: dict[str, Any]) -> None:
        super()._adopt(group)
        if self._begins and self.last_epoch < 0:
            group["lr"] = group["base_lr"]
        group.setdefault("base_lr", group["lr"])
        group.setdefault("initial_lr", group["lr"])

    def _height(self) -> float:
        """How far it is from the base to the top after ``last_epoch`` steps."""
        up, down = self.step_size_up, self.step_size_down
        cycle, step = divmod(self.last_epoch, up + down)
        share = (
            step / self.step_size_up
            if step <= self.step_size_up
            else (self.step_size_up + self.step_size_down - step) / self.step_size_down
        )
        if self.scale_fn is not None:
            scale = self.scale_fn(cycle + 1 if self.scale_mode == "cycle" else self.last_epoch)
            number("CyclicLR", "what scale_fn gives", scale, lambda v: True, "that is finite")
            return share * scale
        return share * {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": self.gamma**self.last_epoch}[self.mode]

    def _momentum(self) -> float:
        return self.max_momentum - (self.max_momentum - self.base_momentum) * self._height()

    def get_lr(self) -> list[float]:
        ends, height = [(group["base_lr"], group["max_lr"]) for group in self.optimizer.param_groups], self._height()
        return [base + (peak - base) * height for base, peak in ends]
