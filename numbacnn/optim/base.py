"""What all optimisers share: parameter groups, gradients, and a state that can be saved and taken up again exactly."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Real
from typing import Any

import numpy as np

from ..errors import DTypeError, ShapeError, message
from ..tensor import Tensor, from_array

__all__ = ["Optimizer"]


def number(op: str, name: str, value: Any, good: Callable[[float], bool] = lambda v: v >= 0, bounds: str = "of at least 0") -> None:
    """Judge that ``value`` is a finite number and ``good``, which ``bounds`` says in words."""
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value) or not good(float(value)):
        raise ValueError(message(op, f"{name} as a number {bounds}", repr(value)))


class Optimizer:
    """The base of the optimisers.

    ``params`` is an iterable of parameters, or of dicts that each hold ``"params"`` and values which override the defaults.
    ``param_groups`` is a list of such dicts, complete; ``state`` holds the moments, Tensors, by the parameter's position over all groups.
    Where a parameter has gone to another device or dtype, its moments follow with the next step.

    Raises:
        ValueError: where there are no parameters, one occurs twice, or a value makes no sense.
        TypeError: where something else than leaf tensors is given.
    """

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, (Tensor, Mapping)):
            raise TypeError(message(type(self).__name__, "an iterable of parameters", type(params).__name__, "wrap it in a list"))
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[int, dict[str, Any]] = {}
        groups = list(params)
        if not groups:
            raise ValueError(message(type(self).__name__, "at least one parameter", "none"))
        for group in groups if isinstance(groups[0], Mapping) else [{"params": groups}]:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Train more parameters, with their own values where ``group`` names them."""
        op = type(self).__name__
        if not isinstance(group, Mapping) or "params" not in group:
            raise TypeError(message(op, "all groups as dicts with 'params'", type(group).__name__))
        params = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        seen = {id(p) for _, p, _ in self._entries()}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(message(op, "parameters that are Tensors", type(p).__name__))
            if not p.is_leaf:
                raise ValueError(message(op, "parameters that are leaves", "the result of an operation", "call detach() first"))
            if id(p) in seen:
                raise ValueError(message(op, "each parameter once", "one that is there already"))
            seen.add(id(p))
        complete = {**self.defaults, **group, "params": params}
        self._check(complete)
        self.param_groups.append(complete)

    def _check(self, group: dict[str, Any]) -> None:
        """Judge the values of a group."""
        raise NotImplementedError

    def _update(self, params: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]) -> None:
        """Move the arrays of parameters, in place: some of a group's, of one device and dtype, that have gradients."""
        raise NotImplementedError

    def _entries(self) -> Iterator[tuple[int, Tensor, dict[str, Any]]]:
        index = 0
        for group in self.param_groups:
            for p in group["params"]:
                yield index, p, group
                index += 1

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to zero."""
        for _, p, _ in self._entries():
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                p.grad.zero_()

    def step(self) -> None:
        """Move each parameter that has a gradient.

        Raises:
            ShapeError, DTypeError: where a gradient or a moment does not fit its parameter; nothing has moved then.
            RuntimeError: where a parameter is a view that repeats elements; likewise.
        """
        ready = [(index, p, group) for index, p, group in self._entries() if p.grad is not None]
        for index, p, _ in ready:
            self._judge(index, p)
        batches: dict[Any, tuple[list[Tensor], list[dict[str, Any]], dict[str, Any]]] = {}
        for index, p, group in ready:
            state = self.state.setdefault(index, {})
            for name, moment in state.items():
                if isinstance(moment, Tensor) and not _alike(moment, p):
                    state[name] = moment.to(p.device, p.dtype)
            params, states, _ = batches.setdefault((id(group), p.device, p.dtype.char), ([], [], group))
            params.append(p)
            states.append(state)
        for batch in batches.values():
            self._update(*batch)
            for p in batch[0]:
                p.bump_version()

    def _judge(self, index: int, p: Tensor) -> None:
        """Raise where a parameter can't move."""
        op, grad = type(self).__name__, p.grad
        p.check_writable(op)
        if grad is not None and not _alike(grad, p):
            if grad.shape != p.shape:
                raise ShapeError(message(op, f"a gradient {p.shape} for parameter {index}", f"{grad.shape}"))
            place = f"{grad.dtype} on {grad.device}"
            raise DTypeError(message(op, f"a gradient in {p.dtype} on {p.device} for parameter {index}", place))
        for name, moment in self.state.get(index, {}).items():
            if isinstance(moment, Tensor) and moment.shape != p.shape:
                raise ShapeError(message(op, f"{name} {p.shape} for parameter {index}", f"{moment.shape}"))

    # -- state ---------------------------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """``{"state": {position: {name: NumPy array}}, "param_groups": [...]}``, copied.

        All under "state" are arrays, which a safetensors file can hold; all under "param_groups" are numbers, which JSON can hold.

        >>> import numbacnn as nc
        >>> nc.optim.SGD([nc.zeros(2, requires_grad=True)], lr=0.1).state_dict()["param_groups"][0]["lr"]
        0.1
        """
        state = {index: {name: _to_numpy(v) for name, v in moments.items()} for index, moments in self.state.items()}
        groups, index = [], 0
        for group in self.param_groups:
            positions = list(range(index, index := index + len(group["params"])))
            groups.append({**group, "params": positions})
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` gave, bit for bit; positions may be strings, as JSON makes them.

        Raises:
            ValueError: where the groups, names or shapes do not fit these parameters; nothing is changed then.
        """
        op = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise ValueError(message(op, "a mapping with 'state' and 'param_groups'", repr(type(state_dict).__name__)))
        groups = state_dict["param_groups"]
        sizes, given = [len(group["params"]) for group in self.param_groups], [len(group["params"]) for group in groups]
        if sizes != given:
            raise ValueError(message(op, f"groups of {sizes} parameters", f"groups of {given}"))
        fresh = []
        for mine, saved in zip(self.param_groups, groups):
            values = {name: tuple(v) if isinstance(v, list) else v for name, v in saved.items()}
            if missing := sorted(set(self.defaults) - set(values)):
                raise ValueError(message(op, f"groups with {', '.join(self.defaults)}", f"a group without {', '.join(missing)}"))
            fresh.append({**values, "params": mine["params"]})
            self._check(fresh[-1])
        params = {index: p for index, p, _ in self._entries()}
        state: dict[int, dict[str, Any]] = {}
        for key, moments in state_dict["state"].items():
            index = int(key)
            if index not in params:
                raise ValueError(message(op, f"positions below {len(params)}", str(index)))
            state[index] = {name: _from_numpy(op, index, name, value, params[index]) for name, value in moments.items()}
        self.param_groups, self.state = fresh, state

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {index}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*lines, ")"])


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether they agree in shape, dtype and device."""
    x, y = a.array, b.array
    return x.shape == y.shape and x.dtype == y.dtype and type(x) is type(y)


def arrays(tensors: Iterable[Tensor | None]) -> list[Any]:
    """The arrays of tensors that are there."""
    return [t.array for t in tensors if t is not None]


def zeros_for(p: Tensor) -> Tensor:
    """A moment of zeros, in C order whatever the parameter's order is."""
    return from_array(np.zeros(p.shape, p.dtype), p.device)


def _to_numpy(value: Any) -> np.ndarray:
    return np.asarray(value, np.int64) if isinstance(value, int) else np.array(value, order="C")


def _from_numpy(op: str, index: int, name: str, value: Any, p: Tensor) -> Any:
    array = np.asarray(value)
    if array.dtype.kind == "i" and array.ndim == 0:  # a count
        return int(array)
    if array.shape != p.shape:
        raise ShapeError(message(op, f"{name} {p.shape} for parameter {index}", f"shape {array.shape}"))
    return from_array(np.array(array, p.dtype, order="C"), p.device)
