"""Optimisers whose steps are written with Tensors: a device needs no kernel of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from .. import backends
from ..arguments import number
from ..errors import message
from ..recording import effect, guard, live
from ..tensor import Tensor, no_grad
from .base import Optimizer, descents, saved_moment, saved_square, saved_steps, zeros_for

__all__ = ["Adadelta", "Adagrad", "Composed", "RMSprop", "check_betas"]


class Composed(Optimizer):
    """The base of these. A subclass says in ``_move`` how a parameter moves, and in ``_numbers`` by which numbers.

    While a step is recorded the numbers lie in memory that each replay makes anew, so that they may change; a device that is given them
    from the host can't be recorded.
    """

    def _numbers(self, group: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[float, ...]:
        """What ``_move`` is given; ``state`` holds the steps that came before this one."""
        raise NotImplementedError

    def _move(self, group: Mapping[str, Any], state: Mapping[str, Any], w: Tensor, g: Tensor, *numbers: Any) -> None:
        """Write to the parameter ``w`` and to its moments, of the gradient ``g``; ``numbers`` are 0-d Tensors."""
        raise NotImplementedError

    def _begin(self, group: Mapping[str, Any], name: str, p: Tensor) -> Any:
        """What a parameter's state holds before the first step."""
        return 0 if name == "step" else zeros_for(p)

    def _count(self, group: Mapping[str, Any], state: dict[str, Any]) -> None:
        """Count the step in a parameter's state."""
        state["step"] += 1

    def _update(self, params: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]) -> None:
        with no_grad():
            for p, state, g in zip(params, states, descents(params, group)):
                self._update_one(p, Tensor(g, p.device), state, group)

    def _update_one(self, w: Tensor, g: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        for name in guard(lambda: self._names(group)):
            if name not in state:
                state[name] = self._begin(group, name, w)
        live(lambda: np.hstack([group[name] for name in self.defaults]).astype(np.float64), "rate")  # which the step itself must not change
        decay, shrink, *numbers = _scalars(lambda: self._all_numbers(group, state), w)
        if guard(lambda: bool(group["weight_decay"])):
            if guard(lambda: group.get("decoupled_weight_decay", self._fixed.get("decoupled_weight_decay", False))):
                w *= shrink
            else:
                g = g + decay * w
        self._move(group, state, w, g, *numbers)
        effect(lambda: self._count(group, state))

    def _all_numbers(self, group: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[float, ...]:
        return group["weight_decay"], 1 - group["lr"] * group["weight_decay"], *self._numbers(group, state)


def _scalars(numbers: Any, like: Tensor) -> list[Tensor]:
    """Numbers as Tensors without axes, which the kernels of a replay read anew."""
    xp = backends.get(like.device)
    given = xp.from_numpy(live(lambda: np.array(numbers(), like.dtype), "count"))
    return [Tensor(xp.reshape(xp.getitem(given, slice(i, i + 1)), ()), like.device) for i in range(given.size)]


def check_betas(op: str, betas: Any) -> None:
    """Judge the two shares that Adam's moments keep."""
    if not isinstance(betas, (tuple, list)) or len(betas) != 2:
        raise ValueError(message(op, "betas as a pair of numbers", repr(betas)))
    for beta in betas:
        number(op, "each of betas", beta, lambda v: 0 <= v < 1, "in [0, 1)")


def mix(moment: Tensor, keep: Tensor, take: Tensor, value: Tensor) -> Tensor:
    """``moment = keep * moment + take * value``, in place."""
    return moment.copy_(keep * moment + take * value)


class RMSprop(Composed):
    """Steps divided by a moving mean of the gradient's size, as ``torch.optim.RMSprop``, after Tieleman and Hinton (2012).

    ``v = alpha * v + (1 - alpha) * g**2``; then ``w -= lr * g / (sqrt(v) + eps)``, with ``momentum`` by a velocity of these steps. With
    ``centered`` the square of the mean gradient is taken from ``v``, after Graves (2013).

    Raises:
        ValueError: where a value makes no sense.

    >>> import numbacnn as nc
    >>> w = nc.ones(1, requires_grad=True)
    >>> optimizer = nc.optim.RMSprop([w], lr=0.05, alpha=0.75)
    >>> (3 * w).sum().backward(); optimizer.step(); round(w.item(), 4)
    0.9
    """

    _rates: ClassVar[tuple[str, ...]] = ("lr", "alpha", "eps", "weight_decay", "momentum")
    _flags: ClassVar[tuple[str, ...]] = ("maximize", "centered")
    _saved: ClassVar[dict[str, Any]] = {
        "step": saved_steps,
        "square_avg": saved_square,
        "momentum_buffer": saved_moment,
        "grad_avg": saved_moment,
    }
    _only_with: ClassVar[dict[str, str]] = {"momentum_buffer": "momentum", "grad_avg": "centered"}

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        numbers = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, {**numbers, "centered": centered, "maximize": maximize})

    def _numbers(self, group: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[float, ...]:
        return group["lr"], group["alpha"], 1 - group["alpha"], group["eps"], group["momentum"]

    def _move(self, group: Mapping[str, Any], state: Mapping[str, Any], w: Tensor, g: Tensor, *numbers: Any) -> None:
        lr, keep, take, eps, momentum = numbers
        square = mix(state["square_avg"], keep, take, g * g)
        if "grad_avg" in state:
            mean = mix(state["grad_avg"], keep, take, g)
            square = square - mean * mean
        step = g / (square.sqrt() + eps)
        if "momentum_buffer" in state:
            velocity = state["momentum_buffer"]
            step = velocity.copy_(momentum * velocity + step)
        w -= lr * step


class Adagrad(Composed):
    """Steps divided by the root of the sum of all squared gradients, as ``torch.optim.Adagrad``, after Duchi, Hazan and Singer (2011).

    Raises:
        ValueError: where a value makes no sense.

    >>> import numbacnn as nc
    >>> w = nc.ones(1, requires_grad=True)
    >>> optimizer = nc.optim.Adagrad([w], lr=0.25)
    >>> (3 * w).sum().backward(); optimizer.step(); round(w.item(), 4)
    0.75
    """

    _rates: ClassVar[tuple[str, ...]] = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")
    _saved: ClassVar[dict[str, Any]] = {"step": saved_steps, "sum": saved_square}

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        numbers = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        super().__init__(params, {**numbers, "initial_accumulator_value": initial_accumulator_value, "maximize": maximize})

    def _begin(self, group: Mapping[str, Any], name: str, p: Tensor) -> Any:
        begun = super()._begin(group, name, p)
        return begun.fill_(float(group["initial_accumulator_value"])) if name == "sum" else begun

    def _numbers(self, group: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[float, ...]:
        return group["lr"] / (1 + state["step"] * group["lr_decay"]), group["eps"]

    def _move(self, group: Mapping[str, Any], state: Mapping[str, Any], w: Tensor, g: Tensor, *numbers: Any) -> None:
        lr, eps = numbers
        total = state["sum"].add_(g * g)
        w -= lr * g / (total.sqrt() + eps)


class Adadelta(Composed):
    """Steps whose size follows that of the steps before, as ``torch.optim.Adadelta``, after Zeiler (2012).

    Raises:
        ValueError: where a value makes no sense.

    >>> import numbacnn as nc
    >>> w = nc.ones(1, requires_grad=True)
    >>> optimizer = nc.optim.Adadelta([w], rho=0.75, eps=1.0)
    >>> (4 * w).sum().backward(); optimizer.step(); round(w.item(), 4)
    -0.7889
    """

    _rates: ClassVar[tuple[str, ...]] = ("lr", "eps", "weight_decay")
    _saved: ClassVar[dict[str, Any]] = {"step": saved_steps, "square_avg": saved_square, "acc_delta": saved_square}

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize})

    def _check(self, op: str, group: Mapping[str, Any]) -> None:
        number(op, "rho", group["rho"], lambda v: 0 <= v <= 1, "from 0 to 1")

    def _numbers(self, group: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[float, ...]:
        return group["lr"], group["rho"], 1 - group["rho"], group["eps"]

    def _move(self, group: Mapping[str, Any], state: Mapping[str, Any], w: Tensor, g: Tensor, *numbers: Any) -> None:
        lr, keep, take, eps = numbers
        square = mix(state["square_avg"], keep, take, g * g)
        step = ((state["acc_delta"] + eps).sqrt() / (square + eps).sqrt()) * g
        mix(state["acc_delta"], keep, take, step * step)
        w -= lr * step
