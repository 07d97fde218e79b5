"""What all optimisers share: parameter groups, gradients, and a state that can be saved and taken up again exactly."""

from __future__ import annotations

import copy
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from .. import backends
from ..arguments import count, flag, number, plain_flag
from ..errors import DTypeError, ShapeError, message
from ..recording import changed, guard, now
from ..signatures import judged, shown
from ..tensor import Tensor, from_array
from ..tensor.core import as_parameter

__all__ = ["Optimizer"]


# -- judges of saved state ---------------------------------------------------------------------------------------------------------
def saved_moment(op: str, name: str, value: Any, p: Tensor) -> Tensor:
    """A copy of a moment, in the dtype and on the device of its parameter. It may hold NaN and infinity, as training may bring them."""
    array = np.asarray(value) if isinstance(value, (np.ndarray, np.generic, Tensor)) else None
    if array is None or array.dtype.kind != "f":
        raise ValueError(message(op, f"{name} as an array of floats", type(value).__name__ if array is None else str(array.dtype)))
    if array.shape != p.shape:
        raise ShapeError(message(op, f"{name} in the parameter's shape {p.shape}", f"shape {array.shape}"))
    return as_parameter(from_array(np.array(array, p.dtype, order="C"), p.device))


def saved_square(op: str, name: str, value: Any, p: Tensor) -> Tensor:
    """A copy of a moment that is a mean of squares."""
    moment = saved_moment(op, name, value, p)
    if (np.asarray(value) < 0).any():
        raise ValueError(message(op, f"{name} of at least 0", "negative values"))
    return moment


def saved_steps(op: str, name: str, value: Any, p: Tensor) -> int:
    """A number of steps, which PyTorch keeps as a float."""
    scalar = isinstance(value, (np.ndarray, np.generic, Tensor)) and value.ndim == 0 and value.dtype.kind in "iuf"
    number = value.item() if scalar else value
    return count(op, name, int(number) if scalar and number % 1 == 0 else value, 0)


def saved_number(op: str, name: str, value: Any, p: Tensor) -> float:
    """A number of at least 0."""
    found = value.item() if isinstance(value, (np.ndarray, np.generic, Tensor)) and value.ndim == 0 else value
    number(op, name, found)
    return float(found)


class Optimizer:
    """The base of the optimisers.

    ``params`` is an iterable of parameters, or of dicts that each hold ``"params"`` and values which override the defaults.
    ``param_groups`` is a list of such dicts, complete. ``state[p]`` holds the moments of parameter ``p``, as Tensors. They belong to the
    parameter itself, whichever group it is in: a parameter that leaves its group and comes back has them still, until ``del state[p]``.
    Where a parameter has gone to another device or dtype, its moments follow with the next step.

    Raises:
        ValueError: where there are no parameters, one occurs twice, or a value makes no sense.
        TypeError: where something else than leaf tensors is given, or a set of them, which has no order.
    """

    _rates: ClassVar[tuple[str, ...]] = ("lr", "weight_decay")
    """A group's numbers of at least 0."""
    _flags: ClassVar[tuple[str, ...]] = ("maximize",)
    """A group's options that are True or False; False in a saved group that lacks them, as PyTorch's do from before it had them."""
    _fixed: ClassVar[dict[str, bool]] = {"differentiable": False}
    """Options that PyTorch's groups have and ours have not: the value by which the optimiser moves."""
    _saved: ClassVar[dict[str, Any]] = {}
    """For each name in a parameter's state the function ``f(op, name, value, p)`` that judges a saved value and takes it up."""
    _only_with: ClassVar[dict[str, str]] = {}
    """Of some of these names the option of the group without which they are not there."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        if isinstance(params, (Tensor, Mapping)):
            raise TypeError(message(type(self).__name__, "an iterable of parameters", type(params).__name__, "wrap it in a list"))
        self.defaults = _plain(defaults)
        self.param_groups: list[dict[str, Any]] = []
        # the keys are found by identity: hash() tells any two living tensors apart, so that their elementwise == is never asked
        self.state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        groups = _ordered(type(self).__name__, params)
        if not groups:
            raise ValueError(message(type(self).__name__, "at least one parameter", "none"))
        for group in groups if isinstance(groups[0], Mapping) else [{"params": groups}]:
            self.add_param_group(group)

    @judged
    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Train more parameters, with their own values where ``param_group`` names them."""
        op = type(self).__name__
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise TypeError(message(op, "all groups as dicts with 'params'", type(param_group).__name__))
        params = [param_group["params"]] if isinstance(param_group["params"], Tensor) else _ordered(op, param_group["params"])
        seen = {id(p) for _, p, _ in self._entries()}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(message(op, "parameters that are Tensors", type(p).__name__))
            if not p.is_leaf:
                raise ValueError(message(op, "parameters that are leaves", "the result of an operation", "call detach() first"))
            if id(p) in seen:
                raise ValueError(message(op, "each parameter once", "one that is there already"))
            seen.add(id(p))
        complete = {**self.defaults, **_plain(param_group), "params": params}
        self._judge_group(op, complete)
        changed()
        self.param_groups.append(complete)

    def _judge_group(self, op: str, group: Mapping[str, Any]) -> None:
        for name, only in self._fixed.items():
            if group.get(name, only) is not only:
                raise ValueError(message(op, f"{name} = {only}, which is all that {type(self).__name__} has", shown(group[name])))
        if self._is_own():  # it knows itself what its rates may be
            return
        for name in self._rates:
            if name in group:
                number(op, name, group[name])
        for name in self._flags:
            if name in group:
                plain_flag(op, name, group[name])
        self._check(op, group)

    def _check(self, op: str, group: Mapping[str, Any]) -> None:
        """Judge what else there is in a group."""

    def _names(self, group: Mapping[str, Any]) -> list[str]:
        """The names in the state of a parameter of this group."""
        return [name for name in self._saved if name not in self._only_with or group[self._only_with[name]]]

    def _update(self, params: list[Tensor], states: list[dict[str, Any]], group: dict[str, Any]) -> None:
        """Move the arrays of parameters, in place: some of a group's, of one device and dtype, that have gradients."""
        raise NotImplementedError

    def _entries(self) -> Iterator[tuple[int, Tensor, dict[str, Any]]]:
        index = 0
        for group in self.param_groups:
            for p in group["params"]:
                yield index, p, group
                index += 1

    @judged
    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to zero."""
        set_to_none = flag("zero_grad", "set_to_none", set_to_none)
        for _, p, _ in self._entries():
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                p.grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move each parameter that has a gradient; returns what ``closure`` gives, a function that works the loss and the gradients out.

        Raises:
            ShapeError, DTypeError: where a gradient or a moment does not fit its parameter; nothing has moved then.
            RuntimeError: where a parameter is a view that repeats elements; likewise.
        """
        if closure is not None and not callable(closure):
            raise TypeError(message(type(self).__name__, "closure as a function or None", shown(closure)))
        loss = None if closure is None else closure()
        guard(lambda: (type(self).step, [(id(g), [(id(p), id(self.state.get(p))) for p in g["params"]]) for g in self.param_groups]))
        if now.tape is not None:
            now.tape.part = ("optimizer", type(self).__name__)
        ready = [(index, p, group) for index, p, group in self._entries() if p.grad is not None]
        for index, p, _ in ready:
            self._judge(index, p)
        batches: dict[Any, tuple[list[Tensor], list[dict[str, Any]], dict[str, Any]]] = {}
        for _, p, group in ready:
            state = self.state[p]
            if now.tape is not None:
                now.tape.sees_moments(self.state, p)
            for name, moment in state.items():
                if isinstance(moment, Tensor) and not _alike(moment, p):
                    state[name] = as_parameter(moment.to(p.device, p.dtype))
            params, states, _ = batches.setdefault((id(group), p.device, p.dtype.char), ([], [], group))
            params.append(p)
            states.append(state)
        for batch in batches.values():
            self._update(*batch)
            for p in batch[0]:
                p.bump_version()
        return loss

    def _judge(self, index: int, p: Tensor) -> None:
        """Raise where a parameter can't move."""
        op, grad = type(self).__name__, p.grad
        p.check_writable(op)
        if grad is not None and not _alike(grad, p):
            if grad.shape != p.shape:
                raise ShapeError(message(op, f"a gradient {p.shape} for parameter {index}", f"{grad.shape}"))
            place = f"{grad.dtype} on {grad.device}"
            raise DTypeError(message(op, f"a gradient in {p.dtype} on {p.device} for parameter {index}", place))
        for name, moment in self.state[p].items():
            if isinstance(moment, Tensor) and moment.shape != p.shape:
                raise ShapeError(message(op, f"{name} {p.shape} for parameter {index}", f"{moment.shape}"))

    def _is_own(self) -> bool:
        """Whether it is an optimiser of the user's own, whose state may hold anything."""
        return type(self)._update is Optimizer._update

    def _kept(self, value: Any) -> Any:
        """A value of the state as a file takes it, copied."""
        return copy.deepcopy(value) if self._is_own() and not isinstance(value, Tensor) else _to_numpy(value)

    # -- state ---------------------------------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, Any]:
        """``{"state": {position: {name: NumPy array}}, "param_groups": [...]}``, copied; the position counts over all groups.

        All under "state" are arrays, which a safetensors file can hold; all under "param_groups" are numbers, which JSON can hold. The
        moments of a parameter that is in no group any more are left out.

        >>> import numbacnn as nc
        >>> nc.optim.SGD([nc.zeros(2, requires_grad=True)], lr=0.1).state_dict()["param_groups"][0]["lr"]
        0.1
        """
        moments = ((index, self.state.get(p)) for index, p, _ in self._entries())
        state = {index: {name: self._kept(v) for name, v in mine.items()} for index, mine in moments if mine}
        groups = [{**group, "params": positions} for group, positions in zip(self.param_groups, self._positions())]
        return {"state": state, "param_groups": groups}

    def _positions(self) -> list[list[int]]:
        """The positions of the parameters of each group."""
        entries = itertools.count()
        return [[next(entries) for _ in group["params"]] for group in self.param_groups]

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` gave, bit for bit; positions may be strings, as JSON makes them.

        A state of PyTorch's optimiser of this name does too, as :func:`numbacnn.load` reads it. Its options that only say how the steps
        are computed, as ``foreach``, are kept and change nothing.

        Raises:
            ValueError: where it is no such state, or its groups, names, values or shapes do not fit; nothing is changed then.
        """
        op = f"{type(self).__name__}.load_state_dict"
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise ValueError(message(op, "a mapping with 'state' and 'param_groups'", _names_or_type(state_dict)))
        groups = self._judged_groups(op, state_dict["param_groups"])
        changed()
        self.state, self.param_groups = self._judged_state(op, state_dict["state"], groups), groups

    def _judged_groups(self, op: str, groups: Any) -> list[dict[str, Any]]:
        if not isinstance(groups, (list, tuple)) or not all(isinstance(group, Mapping) for group in groups):
            raise ValueError(message(op, "param_groups as a list of dicts", type(groups).__name__))
        positions, given = self._positions(), [group.get("params") for group in groups]
        if repr(given) != repr(positions):  # == would be asked of whatever lies in a damaged state
            sizes = [len(p) if isinstance(p, (list, tuple)) else type(p).__name__ for p in given]
            received = f"groups of {sizes}" if sizes != list(map(len, positions)) else "other positions"
            raise ValueError(message(op, f"groups of {list(map(len, positions))} parameters, by positions from 0", received))
        judged = []
        for mine, saved in zip(self.param_groups, groups):
            values = dict.fromkeys(self._flags, False) | {name: tuple(v) if isinstance(v, list) else v for name, v in saved.items()}
            if missing := sorted(set(self.defaults) - set(values)):
                raise ValueError(message(op, f"groups with {', '.join(self.defaults)}", f"a group without {', '.join(missing)}"))
            self._judge_group(op, values)
            for name in values:
                if str(name).endswith("_lr"):  # a schedule keeps it there
                    number(op, name, values[name])
            judged.append({**values, "params": mine["params"]})
        return judged

    def _judged_state(self, op: str, saved: Any, groups: list[dict[str, Any]]) -> defaultdict[Tensor, dict[str, Any]]:
        if not isinstance(saved, Mapping) or not all(isinstance(moments, Mapping) for moments in saved.values()):
            raise ValueError(message(op, "state as a dict that holds a dict for each position", type(saved).__name__))
        params = [(p, self._names(group)) for group in groups for p in group["params"]]
        positions: dict[Any, int] = {key: index for index in range(len(params)) for key in (index, str(index))}
        state: defaultdict[Tensor, dict[str, Any]] = defaultdict(dict)
        seen: set[int] = set()
        for key, moments in saved.items():
            if type(key) not in (int, str) or key not in positions:
                raise ValueError(message(op, f"positions below {len(params)}", repr(key)))
            if (index := positions[key]) in seen:
                raise ValueError(message(op, "each position once", f"{index} as a number and as a string"))
            seen.add(index)
            moments = {name: value for name, value in moments.items() if value is not None}  # PyTorch may keep None for no momentum
            p, names = params[index]
            if self._is_own():
                state[p] = {name: _taken_up(value, p) for name, value in moments.items()}
                continue
            if moments and set(moments) != set(names):
                raise ValueError(message(op, f"{', '.join(names) or 'nothing'} for parameter {index}", _names_or_type(moments)))
            state[p] = {name: self._saved[name](op, f"{name} of parameter {index}", value, p) for name, value in moments.items()}
        return state

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for index, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {index}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
        return "\n".join([*lines, ")"])


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """A group's values, as ``lr``, as plain numbers where they are Tensors without axes."""
    return {name: v.item() if isinstance(v, Tensor) and not v.ndim else v for name, v in values.items()}


def _alike(a: Tensor, b: Tensor) -> bool:
    """Whether they agree in shape, dtype and device."""
    x, y = a.array, b.array
    return x.shape == y.shape and x.dtype == y.dtype and type(x) is type(y)


def arrays(tensors: Iterable[Tensor | None]) -> list[Any]:
    """The arrays of tensors that are there."""
    return [t.array for t in tensors if t is not None]


def descents(params: list[Tensor], group: Mapping[str, Any]) -> list[Any]:
    """The arrays of the gradients along which a group goes down: with "maximize" minus the gradients."""
    xp, found = backends.get(params[0].device), arrays(p.grad for p in params)
    return [xp.unary("negative", g) for g in found] if guard(lambda: group["maximize"]) else found


def zeros_for(p: Tensor) -> Tensor:
    """A moment of zeros, in the order that parameters have on the device, whatever this parameter's is."""
    return as_parameter(from_array(np.zeros(p.shape, p.dtype), p.device))


def _to_numpy(value: Any) -> np.ndarray:
    """As PyTorch keeps it, whose steps are floats; float64 counts further than its float32."""
    return np.asarray(value, np.float64) if isinstance(value, (int, float)) else np.array(value, order="C")


def _taken_up(value: Any, p: Tensor) -> Any:
    """What an optimiser of the user's own has saved: arrays as Tensors beside the parameter, anything else copied."""
    if isinstance(value, (np.ndarray, Tensor)):
        return as_parameter(from_array(np.array(value, order="C"), p.device))
    return copy.deepcopy(value)


def _ordered(op: str, params: Any) -> list[Any]:
    """The parameters or groups as a list."""
    if isinstance(params, (set, frozenset)):
        hint = "pass a list: a set has no order, and the saved state goes by order"
        raise TypeError(message(op, "parameters in a fixed order", f"a {type(params).__name__}", hint))
    try:
        members = iter(params)
    except TypeError:
        raise TypeError(message(op, "an iterable of parameters", type(params).__name__)) from None
    return list(members)


def _names_or_type(value: Any) -> str:
    return ", ".join(map(str, value)) or "nothing" if isinstance(value, Mapping) else type(value).__name__
