"""A step written down: which kernels it launched on which memory, and what else it did.

Memory is named, not addressed: what was made in the step by the order in which it was made, all other by who owns it. So two recordings
of a step are equal exactly when it does the same each time. Memory that nobody owns, or anything else that a replay could not repeat,
gives a reason not to make a plan.
"""

from __future__ import annotations

import bisect
import contextlib
import gc
import math
import operator
import random
import struct
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numba import typeof

from .. import recording
from ..tensor import Tensor
from .reached import Reached, is_own

__all__ = ["Compute", "Gradient", "Launch", "Operand", "Owner", "Region", "Tape"]

TABLES = ("_parameters", "_buffers", "_modules", "_forward_hooks")
"""A module's own dictionaries, which it says itself when they change."""
LINE = 64
"""Bytes of a cache line, on whose borders memory starts."""


def _references(chunks: list[np.ndarray], i: int) -> int:
    return sys.getrefcount(chunks[i])


_FREE = _references([np.empty(0)], 0)


class Memory:
    """What a step makes its arrays of while it is recorded. A chunk is free when nobody but this list refers to it."""

    def __init__(self) -> None:
        self.chunks: list[np.ndarray] = []  # by size

    def take(self, size: int) -> np.ndarray:
        """The smallest free chunk that holds so many bytes, and is not more than twice as large."""
        size = max(1, -(-size // LINE)) * LINE
        first = bisect.bisect_left(self.chunks, size, key=len)
        for i in range(first, len(self.chunks)):
            if len(self.chunks[i]) > 2 * size:
                break
            if _references(self.chunks, i) == _FREE:
                return self.chunks[i]
        self.chunks.insert(first, _on_a_line(size))
        return self.chunks[first]

    def in_use(self) -> list[np.ndarray]:
        """The chunks that somebody refers to."""
        return [self.chunks[i] for i in range(len(self.chunks)) if _references(self.chunks, i) != _FREE]


def _on_a_line(size: int) -> np.ndarray:
    """Bytes that start where a cache line does, in an array of their own: views of it refer to it, and not to what is around it."""
    room = np.empty(size + LINE, np.uint8)
    start = -address(room) % LINE
    return np.frombuffer(memoryview(room.data)[start : start + size], np.uint8)


def address(array: np.ndarray) -> int:
    """Where an array lies."""
    return array.__array_interface__["data"][0]


def bounds(array: np.ndarray) -> tuple[int, int]:
    """The first byte of an array and the one after the last."""
    low = high = address(array)
    if array.flags.c_contiguous:
        return low, low + array.nbytes
    for size, stride in zip(array.shape, array.strides):
        if stride < 0:
            low += (size - 1) * stride
        else:
            high += (size - 1) * stride
    return low, high + array.itemsize


class Region(NamedTuple):
    """Memory by its name."""

    key: tuple[Any, ...]
    start: int
    """Where it lay while the step was recorded."""
    size: int
    keep: Any
    """What must not go while a plan addresses it."""


class Operand(NamedTuple):
    """An array as an argument."""

    region: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    writable: bool


@dataclass(eq=False)
class Owner:
    """Somebody whose array is read or written: an argument, a parameter or buffer, a moment, a gradient, packed weights."""

    key: tuple[Any, ...]
    get: Callable[[Any], Any]
    """The array, by the arguments of the call; None where there is none any more."""
    tensor: Callable[[Any], Any]
    """The Tensor, or None."""
    like: tuple[Any, ...]
    region: int
    array: Any
    """A weak reference to the array that it was: who holds an array keeps it from being packed."""
    unlocked: bool = False
    """Whether it is written to, so that nobody may keep it packed."""


@dataclass(eq=False)
class Gradient:
    """The gradient of a tensor that the step touches."""

    tensor: Callable[[Any], Any]
    key: tuple[Any, ...]
    needs: str
    """What the step has to find: "some", "none" or, where it does not look, "any"."""
    found: Any
    """What it finds, while it is recorded."""
    row: int
    """Where it is touched first."""
    left: Any = None
    """What it leaves: None, "found" for what it found, or the operand and the version count of a new one."""


class Launch(NamedTuple):
    """A kernel's launch."""

    driver: Any
    types: tuple[Any, ...]
    values: tuple[Any, ...]
    part: tuple[str, str]
    line: str


class Compute(NamedTuple):
    """A call of NumPy's."""

    function: Callable[..., Any]
    values: tuple[Any, ...]
    part: tuple[str, str]
    line: str


@dataclass(eq=False)
class Live:
    """An array that each replay makes anew."""

    make: Callable[[], np.ndarray]
    array: np.ndarray
    row: int
    kind: str


@dataclass(eq=False)
class Tape:
    """What ``recording.now.tape`` is told, see there.

    Args:
        arguments: the Tensors and arrays that the step is given.
        reached: what its code reaches without being given it.
    """

    arguments: list[Any]
    reached: Reached
    memory: Memory = field(default_factory=Memory)
    reason: str | None = None
    rows: list[Launch | Compute] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    owners: dict[tuple[Any, ...], Owner] = field(default_factory=dict)
    lives: list[Live] = field(default_factory=list)
    tables: list[tuple[int, list[tuple[int, Operand]]]] = field(default_factory=list)
    guards: list[tuple[Callable[[], Any], Any]] = field(default_factory=list)
    effects: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    versions: list[tuple[int, Any]] = field(default_factory=list)
    stops: list[int] = field(default_factory=list)
    judged: list[int] = field(default_factory=list)
    gradients: dict[int, Gradient] = field(default_factory=dict)
    result: Any = None
    part: tuple[str, str] = ("forward", "")
    """The pass that runs, and the layer that it belongs to, by its name in the network."""

    def __post_init__(self) -> None:
        self._made: dict[int, int] = {}  # the region of each chunk, and of each array that is kept
        self._lines: dict[int, str] = {}
        self._count = 0
        self._starts: list[tuple[int, int, Owner]] = []
        self._modules: dict[int, Any] = {}
        self._names: dict[int, str] = {}  # of modules, by the network that is called first
        self._nodes: dict[int, str] = {}
        self._positions = {id(value): i for i, value in reversed(list(enumerate(self.arguments)))}
        self._draws = _drawn()
        for i, value in enumerate(self.arguments):
            if isinstance(value, Tensor):
                tensor = operator.itemgetter(i)
                self._own(("argument", i), value.array, lambda given, tensor=tensor: tensor(given).array, tensor)  # type: ignore[misc]
            else:
                self._own(("argument", i), value, operator.itemgetter(i), lambda given: None)

    # -- what it is told -----------------------------------------------------------------------------------------------
    def refuse(self, reason: str) -> None:
        """Say why there can be no plan; the first reason counts."""
        if self.reason is None:
            self.reason = f"{reason}, in {_line()}"

    def empty(self, shape: Any, dtype: Any) -> np.ndarray:
        """Memory for an array of the step."""
        if self.reason is not None:
            return np.empty(shape, dtype)
        size = math.prod(shape) * np.dtype(dtype).itemsize
        chunk = self.memory.take(size)
        self._made[id(chunk)] = self._region(("made", self._count, size), address(chunk), size, None)
        self._count += 1
        self._lines[id(chunk)] = _line()
        return np.ndarray(shape, dtype, chunk)

    def launch(self, driver: Any, args: tuple[Any, ...]) -> None:
        """A kernel is launched."""
        if self.reason is None:
            self.rows.append(Launch(driver, tuple(map(typeof, args)), tuple(map(self._value, args)), self.part, _line()))

    def compute(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """A function of NumPy's is called."""
        if self.reason is None:
            self.rows.append(Compute(function, tuple(map(self._value, args)), self.part, _line()))

    def live(self, make: Callable[[], np.ndarray], kind: str) -> np.ndarray:
        """An array that each replay makes anew."""
        array = make()
        self.lives.append(Live(make, array, len(self.rows), kind))
        self._keep(("live", len(self.lives), kind, array.shape, array.dtype.str), array)
        return array

    def guard(self, value: Callable[[], Any]) -> Any:
        """A value on which the next operations depend."""
        found = value()
        self.guards.append((value, found))
        return found

    def effect(self, action: Callable[[], None]) -> None:
        """What is done to Python's objects at this place."""
        self.effects.append((len(self.rows), action))

    def bumps(self, version: Any) -> None:
        """A write is counted."""
        self.versions.append((len(self.rows), version))

    def judges(self, array: np.ndarray) -> None:
        """The next kernel fails if there is something wrong with an array: a replay asks first, so that Python raises the error."""
        owner = self._owner(array)
        if owner is None or owner.unlocked:
            self.refuse("labels are used that are made in the step: pass them as an argument")
        else:
            self.judged.append(len(self.rows))

    def may_stop(self) -> None:
        """The next call may raise, and end the step: what the step did to Python's objects before it is done, what comes later is not."""
        self.stops.append(len(self.rows))

    def addresses(self, table: np.ndarray, arrays: list[list[np.ndarray]]) -> None:
        """A table whose first row is numbers and whose others are the addresses of these arrays."""
        places = [(table.shape[1] * (i + 1) + p, self._value(a)) for i, some in enumerate(arrays) for p, a in enumerate(some) if a.size]
        found = [(place, operand) for place, operand in places if isinstance(operand, Operand)]
        names = tuple((place, self._name(operand)) for place, operand in found)
        self._keep(("table", table[0].tobytes(), names), table)
        self.tables.append((self._made[id(table)], found))

    def unlocks(self, array: np.ndarray) -> None:
        """An array is about to be written to."""
        owner = self._owner(array)
        if owner is not None:
            owner.unlocked = True

    def packed(self, weight: np.ndarray, name: str, value: np.ndarray, get: Callable[[np.ndarray], Any]) -> None:
        """What was made of a weight once is used."""
        owner = self._owner(weight)
        if owner is not None:
            weights = owner.get
            made = lambda given: None if (w := weights(given)) is None else get(w)  # noqa: E731
            self._own(("packed", owner.key, name), value, made, lambda given: None)

    # -- who owns memory -----------------------------------------------------------------------------------------------
    def sees(self, tensors: Any) -> None:
        """Tensors are used: parameters are their modules'."""
        for t in tensors:
            if isinstance(t, Tensor) and t.is_parameter:
                self._keeps(t)

    @contextlib.contextmanager
    def within(self, module: Any) -> Iterator[None]:
        """A module runs."""
        self.sees_module(module)
        if id(module) not in self._names:
            self._names.update((id(m), name or type(m).__name__) for name, m in module.named_modules())
        before, self.part = self.part, ("forward", self._names[id(module)])
        try:
            yield
        finally:
            self.part = before

    def makes_node(self, number: int) -> None:
        """An operation will be walked back to."""
        self._nodes[number] = self.part[1]

    def goes_back(self, number: int) -> None:
        """The gradient of an operation is worked out."""
        self.part = "backward", self._nodes.get(number, "")

    def sees_module(self, module: Any) -> None:
        """A module's tensors may be used."""
        if id(module) not in self._modules:
            self._modules[id(module)] = module
            self.reached.add_method(type(module), "forward")
            for name, value in module.__dict__.items():
                if isinstance(value, (list, dict)) and name not in TABLES:
                    self.reached.add(value)
            for t in (*module._parameters.values(), *module._buffers.values()):
                if t is not None:
                    self._keeps(t)

    def _keeps(self, t: Tensor) -> None:
        self._own(("kept", id(t)), t.array, lambda given: t.array, lambda given: t)

    def sees_moments(self, state: dict[Any, dict[str, Any]], p: Tensor) -> None:
        """The moments of a parameter are used."""

        mine = state[p]  # an optimiser's guard asks whether it is still this one

        def own(name: str, t: Tensor) -> None:
            def array(given: Any) -> Any:
                t = mine.get(name)
                return None if t is None else t.array

            self._own(("moment", id(state), id(p), name), t.array, array, lambda given: mine.get(name))

        for name, t in mine.items():
            if isinstance(t, Tensor):
                own(name, t)

    def reads_gradient(self, t: Any) -> None:
        """Somebody asks for the gradient of a tensor."""
        gradient = self._gradient(t, "none" if t._grad is None else "some")
        if gradient is not None and t._grad is not None and t._grad is gradient.found:
            tensor = gradient.tensor
            array = lambda given: None if (g := tensor(given)._grad) is None else g.array  # noqa: E731
            self._own(("gradient", *gradient.key), t._grad.array, array, lambda given: tensor(given)._grad)

    def writes_gradient(self, t: Any) -> None:
        """Somebody sets the gradient of a tensor."""
        self._gradient(t, "any")

    def _gradient(self, t: Any, needs: str) -> Gradient | None:
        if id(t) not in self.gradients:
            if t.is_parameter:
                self._keeps(t)
            owner = self.owners.get(("argument", self._positions.get(id(t))), self.owners.get(("kept", id(t))))
            if owner is None:
                if id(_base(t.array)) not in self._made:
                    self.refuse("the gradient of a tensor is used that is neither an argument nor a parameter")
                return None
            self.gradients[id(t)] = Gradient(owner.tensor, owner.key, needs, t._grad, len(self.rows))
        return self.gradients[id(t)]

    def _own(self, key: tuple[Any, ...], array: Any, get: Callable[[Any], Any], tensor: Callable[[Any], Any]) -> None:
        if key in self.owners or self.reason is not None or not isinstance(array, np.ndarray):
            return
        low, high = bounds(array) if array.size else (0, 0)
        region = self._region(("owner", key), low, high - low, None)
        like = array.shape, array.strides, array.dtype, array.flags.aligned
        owner = self.owners[key] = Owner(key, get, tensor, like, region, weakref.ref(array))
        if not array.size:
            return
        i = bisect.bisect_right(self._starts, low, key=lambda entry: entry[0])
        before, after = self._starts[max(i - 1, 0) : i], self._starts[i : i + 1]
        for start, stop, other in (*before, *after):
            if start < high and low < stop:
                if key[0] == other.key[0] == "argument" and (start, stop) == (low, high):
                    return  # one array given twice, which is part of the signature
                self.refuse("two names lead to the same memory")
        self._starts.insert(i, (low, high, owner))

    def _owner(self, array: np.ndarray) -> Owner | None:
        if not array.size:
            return None
        low, high = bounds(array)
        i = bisect.bisect_right(self._starts, low, key=lambda entry: entry[0])
        if i and high <= self._starts[i - 1][1]:
            return self._starts[i - 1][2]
        return None

    # -- names ---------------------------------------------------------------------------------------------------------
    def _region(self, key: tuple[Any, ...], start: int, size: int, keep: Any) -> int:
        self.regions.append(Region(key, start, size, keep))
        return len(self.regions) - 1

    def _keep(self, key: tuple[Any, ...], array: np.ndarray) -> None:
        """An array that the plan keeps for itself."""
        self._made[id(array)] = self._region(key, address(array), array.nbytes, array)

    def _value(self, value: Any) -> Any:
        """An argument as a plan holds it."""
        if isinstance(value, np.ndarray):
            return self._operand(value)
        return tuple(map(self._value, value)) if isinstance(value, (tuple, list)) else value

    def _operand(self, array: np.ndarray) -> Operand | None:
        told = array.shape, array.strides, array.dtype, array.flags.writeable
        base = _base(array)
        if id(base) not in self._made:
            owner = self._owner(array)
            if owner is not None:
                return Operand(owner.region, address(array) - self.regions[owner.region].start, *told)
            if not array.size and not recording.is_constant(base):
                recording.constant(array)
                base = array
            if not recording.is_constant(base) and not recording.is_constant(array):
                self.refuse("a tensor or array is used that was made outside the step: pass it as an argument")
                return None
            base = base if isinstance(base, np.ndarray) and recording.is_constant(base) else array
            content = base.tobytes() if base.nbytes <= 1 << 12 else id(base)
            self._keep(("constant", content, base.dtype.str), base)
        region = self._made[id(base)]
        return Operand(region, address(array) - self.regions[region].start, *told)

    def _name(self, value: Any) -> Any:
        """What is equal where two recordings mean the same."""
        if isinstance(value, Operand):
            return (self.regions[value.region].key, *value[1:])
        if isinstance(value, tuple):
            return tuple(map(self._name, value))
        if isinstance(value, np.generic):
            return type(value), value.tobytes()
        if isinstance(value, float):
            return float, struct.pack("d", value)
        if isinstance(value, (bool, int, str, slice, type, np.dtype, np.ufunc)) or value is None or value is ...:
            return type(value), value
        return type(value)  # whose type, as the launch has it, says it all

    def difference(self, other: Tape) -> str | None:
        """The first thing that two recordings do differently; None where they are equal."""
        for mine, theirs in zip(self.rows, other.rows):
            if mine[:-3] != theirs[:-3] or self._name(mine.values) != other._name(theirs.values):
                return f"its calls differ in {theirs.line}"
        mine, theirs = self._summary(), other._summary()
        if len(self.rows) != len(other.rows) or mine != theirs:
            return "its calls do not launch the same kernels, or leave other things behind"
        return None

    def _summary(self) -> Any:
        gradients = [(g.key, g.needs, _left(g.left, self._name)) for g in self.gradients.values()]
        owners = [(o.key, o.like, o.unlocked) for o in self.owners.values()]
        counted = [(row, owner.key) for row, owner in self.versions]
        found = [value for _, value in self.guards]
        return gradients, owners, found, [row for row, _ in self.effects], counted, len(self.lives), self._name(self.result)

    # -- the end -------------------------------------------------------------------------------------------------------
    def finish(self, result: Any) -> None:
        """Judge the step as a whole, and give what it returns and the gradients that it leaves memory of their own."""
        if self.reason is not None:
            return
        self._judge_python()
        by_version: dict[int, Owner] = {}
        for owner in self.owners.values():
            t = owner.tensor(self.arguments)
            if t is not None:
                by_version.setdefault(id(t._version), owner)
                if t._node is not None:
                    self.refuse("a tensor from outside gets a history")
        self.versions = [(row, by_version[id(version)]) for row, version in self.versions if id(version) in by_version]
        self._moved_chunks: dict[int, np.ndarray] = {}
        self.result = self._result(result)
        for gradient in self.gradients.values():
            gradient.left = self._left_gradient(gradient.tensor(self.arguments)._grad, gradient.found)
            gradient.found = None
        self._moved_chunks.clear()
        self._judge_memory()

    def _left_gradient(self, left: Any, found: Any) -> Any:
        """The gradient that a tensor has at the end, as a plan leaves it."""
        if left is None or left is found:
            return None if left is None else "found"
        if type(left) is not Tensor or id(_base(left.array)) not in self._chunks():
            self.refuse("a gradient is set to a tensor that was not made in the step")
            return None
        operand = self._operand(left.array)
        left.array = self._moved(left.array)
        return operand, left._version.count

    def _chunks(self) -> set[int]:
        return set(map(id, self.memory.chunks))

    def _judge_python(self) -> None:
        last = max(self.stops, default=-1)
        if any(g.row <= last for g in self.gradients.values()) or any(live.kind == "draw" and live.row > last >= 0 for live in self.lives):
            self.refuse("the step may end behind a backward, or before random numbers are drawn")
        if _drawn() != self._draws:
            self.refuse("random numbers are drawn from random or np.random")
        name = self.reached.changed()
        if name is not None:
            self.refuse(f"{name} is changed")
        for value, found in self.guards:
            if value() != found:
                self.refuse("what an operation depends on is changed")
        for live in self.lives:
            if live.kind == "rate" and live.make().tobytes() != live.array.tobytes():
                self.refuse("a learning rate or another rate of an optimiser is changed")

    def _result(self, value: Any) -> Any:
        """What is returned, as a plan makes it again."""
        if value is None:
            return None
        if type(value) in (tuple, list) or (isinstance(value, tuple) and hasattr(value, "_fields")):
            return ("members", type(value), *(self._result(v) for v in value))
        if type(value) is dict and all(isinstance(key, str) for key in value):
            return ("entries", tuple(value), *(self._result(v) for v in value.values()))
        if not isinstance(value, Tensor):
            self.refuse(f"it returns a {type(value).__name__}; only Tensors, None and tuples, lists and dicts of them can be made again")
            return None
        owner = next((o for o in self.owners.values() if o.tensor(self.arguments) is value), None)
        if owner is not None:
            return "owner", owner.key
        if value._node is not None and value._node.op is not None:
            self.refuse("it returns a tensor whose backward is still to come")
            return None
        operand = self._operand(value.array)
        base = id(_base(value.array))
        if operand is None or base not in self._chunks() or base in self._moved_chunks:
            self.refuse("it returns two tensors that share memory, or one that was not made in the step")
            return None
        value.array = self._moved(value.array)
        return "made", operand, value._node is not None, value._requires_grad, value._base is not None, value._version.count

    def _moved(self, array: np.ndarray) -> np.ndarray:
        """The same array in memory of its own, together with what shares it."""
        base = _base(array)
        if id(base) not in self._moved_chunks:
            self._moved_chunks[id(base)] = base.copy()
        return np.ndarray(array.shape, array.dtype, self._moved_chunks[id(base)], address(array) - address(base), array.strides)

    def _judge_memory(self) -> None:
        """Nothing made in the step may be in use after it."""
        if self.reason is None and self.memory.in_use():
            gc.collect()
            used = self.memory.in_use()
            if used:
                self.reason = f"a tensor is kept beyond the step that was made in {self._lines[id(used[0])]}"


def _drawn() -> Any:
    """The state of the generators that are not the library's."""
    state: Any = np.random.get_state()
    return random.getstate(), state[1].tobytes(), state[2:]


def _left(left: Any, name: Callable[[Any], Any]) -> Any:
    return (name(left[0]), left[1]) if isinstance(left, tuple) else left


def _base(array: Any) -> Any:
    """What owns an array's memory."""
    return array if array.base is None else array.base


def _line() -> str:
    """The line of the user's code that runs."""
    frame: Any = sys._getframe(2)
    while frame is not None and is_own(frame.f_code):
        frame = frame.f_back
    return "?" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
