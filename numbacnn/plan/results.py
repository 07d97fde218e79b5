"""What a step returns: described when it is recorded, and made again by each replay.

A Tensor that is returned is somebody's own, as an argument is; shows memory of somebody's, as ``x.reshape(-1)`` does; or was made in the
step. All three may share memory, and then writes count for all that do.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..optim import Optimizer, Schedule
from ..tensor import Tensor
from ..tensor.tape import Node
from .left import Left
from .memory import place_of
from .records import Operand, nobody

if TYPE_CHECKING:
    from .tape import Tape

__all__ = ["Results", "Shown", "describe", "rebuilt", "remade", "tensors_in"]

NUMBERS = (int, float, bool, str)


class Shown(NamedTuple):
    """A Tensor that is returned, apart from its place in what is."""

    owner: tuple[Any, ...] | None
    """Whose it is, or whose memory it shows."""
    operand: Operand | None = None
    """Where it lies; None for the owner's Tensor itself."""
    history: str = ""
    """"" without one, "walked", or "awaited" where the backward is still to come."""
    requires_grad: bool = False
    base: tuple[Any, ...] | None = None
    """Of a view: ("owner", key) or ("result", index) of the Tensor that it is a view of, or () of one that is gone."""
    version: tuple[Any, ...] = ()
    """("owner", key) or ("result", index) of another Tensor with which it counts writes, or both counts of its own."""
    behind: int | None = None
    """Of a view: the recorded writes since it was made."""


class Results(NamedTuple):
    """All that is returned."""

    structure: Any
    tensors: tuple[Shown, ...]


def tensors_in(value: Any) -> list[Tensor]:
    """The Tensors in what is returned, each once."""
    found: dict[int, Tensor] = {}
    _structure(value, found, lambda reason: None)
    return list(found.values())


def describe(tape: Tape, value: Any, left: Left) -> Results:
    """What is returned, as a plan makes it again; the Tensors get arrays of their own."""
    found: dict[int, Tensor] = {}
    structure = _structure(value, found, tape.refuse)
    numbers = _numbers(structure)
    if numbers and not set(numbers).isdisjoint(_rates(tape)):
        tape.refuse("it returns a number that an optimiser or a schedule may change")
    tensors = list(found.values())
    shown = [_shown(tape, tensors, i, left) for i in range(len(tensors)) if tape.reason is None]
    return Results(structure, tuple(shown))


def _structure(value: Any, found: dict[int, Tensor], refuse: Callable[[str], None]) -> Any:
    if value is None:
        return None
    if isinstance(value, Tensor):
        found.setdefault(id(value), value)
        return "tensor", list(found).index(id(value))
    if type(value) in NUMBERS:
        return "number", value
    if type(value) in (tuple, list) or (isinstance(value, tuple) and hasattr(value, "_fields")):
        return ("members", type(value), *(_structure(v, found, refuse) for v in value))
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return ("entries", tuple(value), *(_structure(v, found, refuse) for v in value.values()))
    refuse(f"it returns a {type(value).__name__}; only Tensors, numbers, text, None and tuples, lists and dicts of them can be made again")
    return None


def _numbers(structure: Any) -> list[float]:
    if structure is None or structure[0] == "tensor":
        return []
    if structure[0] == "number":
        return [structure[1]] if type(structure[1]) in (int, float) else []
    return [number for part in structure[2:] for number in _numbers(part)]


def _rates(tape: Tape) -> set[float]:
    """The numbers of optimisers and schedules in reach, which nobody says when they change."""
    found = {number for live in tape.lives if live.kind != "draw" for number in live.array.reshape(-1).tolist()}
    for holder in tape.reached.held((Optimizer, Schedule)):
        optimiser = holder.optimizer if isinstance(holder, Schedule) else holder
        values = [value for group in optimiser.param_groups for value in group.values()] + [getattr(holder, "last_epoch", None)]
        for value in values:
            found.update(v for v in (value if isinstance(value, tuple) else (value,)) if type(v) in (int, float))
    return found


def _shown(tape: Tape, tensors: list[Tensor], i: int, left: Left) -> Shown:
    t = tensors[i]
    outside = [(key, other) for key, owner in tape.owners.items() if (other := owner.tensor(tape.arguments)) is not None]
    own = next((key for key, other in outside if other is t), None)
    if own is not None:
        return Shown(own)
    if type(t) is not Tensor:
        tape.refuse(f"it returns a {type(t).__name__} that is made in it")
    tape.on(place_of(t.device))
    operand = tape.operand(t.array) if tape.reason is None else None
    if operand is None:
        return Shown(None)
    kind, key = tape.regions[operand.region].key[:2]
    if kind == "owner":
        if tape.place.whole(tape.owners[key].array()) is None:
            tape.refuse("it returns a view of a tensor that has gaps in memory")
    elif left.concerns(t.array):
        t.array = left(t.array)
        key = None
    else:
        tape.refuse("it returns a tensor that was not made in the step")
    history = "" if t._node is None else "walked" if t._node.op is None else "awaited"
    base: tuple[Any, ...] | None = None
    if t._base is not None:
        of = t._base()
        base = next((("result", k) for k, other in enumerate(tensors) if other is of), ())
        base = next((("owner", k) for k, other in outside if other is of), base)
    version: tuple[Any, ...] = (t._version.count, t._version.recorded)
    version = next((("result", k) for k in range(i) if tensors[k]._version is t._version), version)
    version = next((("owner", k) for k, other in outside if other._version is t._version), version)
    behind = None if t._seen is None else t._version.recorded - t._seen
    return Shown(key, operand, history, t._requires_grad, base, version, behind)


def remade(
    shown: tuple[Shown, ...], owner: Callable[[Any], Any], array: Callable[[Shown], Any], walked: dict[int, Node], device: str
) -> Any:
    """The Tensors once more: those of owners, and new ones of these arrays."""
    tensors: list[Any] = []
    for i, (key, operand, history, requires_grad, base, version, behind) in enumerate(shown):
        if operand is None:
            tensors.append(owner(key))
            continue
        made = Tensor(array(shown[i]), device)
        made._requires_grad = requires_grad
        if version[0] == "owner":
            made._version = owner(version[1])._version
        elif version[0] == "result":
            made._version = tensors[version[1]]._version
        else:
            made._version.count, made._version.recorded = version
        if base is not None:
            made._base = weakref.ref(owner(base[1])) if base and base[0] == "owner" else nobody
        if behind is not None:
            made._seen = made._version.recorded - behind
        if history == "walked":
            made._node = walked.get(i) or walked.setdefault(i, Node.walked(made))
        tensors.append(made)
    for made, one in zip(tensors, shown):
        if one.base and one.base[0] == "result":
            made._base = weakref.ref(tensors[one.base[1]])
    return tensors


def rebuilt(structure: Any, tensors: list[Any]) -> Any:
    """What is returned, of its Tensors."""
    if structure is None:
        return None
    kind, first, *rest = structure
    if kind == "tensor":
        return tensors[first]
    if kind == "number":
        return first
    parts = [rebuilt(part, tensors) for part in rest]
    if kind == "entries":
        return dict(zip(first, parts))
    return first(*parts) if hasattr(first, "_fields") else first(parts)
