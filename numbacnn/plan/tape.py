"""A step written down: which kernels it launched on which memory, and what else it did.

Memory is named, not addressed: what was made in the step by the order in which it was made, all other by who owns it. So two recordings
of a step are equal exactly when it does the same each time. Memory that nobody owns, or anything else that a replay could not repeat,
gives a reason not to make a plan.
"""

from __future__ import annotations

import bisect
import contextlib
import math
import operator
import struct
import sys
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba import typeof

from .. import recording
from ..nn.module import TABLES
from ..tensor import Tensor
from .memory import FREE, HOST, Memory, address, bounds, place_of, references, root
from .reached import Reached, is_own
from .records import Compute, DeviceLaunch, Gradient, Launch, Live, Operand, Owner, Region, WayBack, nobody

__all__ = ["Tape"]


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
    rows: list[Launch | Compute | DeviceLaunch] = field(default_factory=list)
    regions: list[Region] = field(default_factory=list)
    owners: dict[tuple[Any, ...], Owner] = field(default_factory=dict)
    lives: list[Live] = field(default_factory=list)
    tables: list[tuple[int, list[tuple[int, Operand]]]] = field(default_factory=list)
    guards: list[tuple[Callable[[], Any], Any]] = field(default_factory=list)
    effects: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
    versions: list[tuple[int, Any]] = field(default_factory=list)
    handed: dict[int, str] = field(default_factory=dict)
    stops: dict[int, tuple[Callable[..., Exception], list[Gradient]]] = field(default_factory=dict)
    judged: list[int] = field(default_factory=list)
    gradients: dict[int, Gradient] = field(default_factory=dict)
    way_back: WayBack | None = None
    watched: list[tuple[Operand, Callable[..., Exception], Operand]] = field(default_factory=list)
    """What the device judges: a flag, and the error that there is where it is set, of what was judged."""
    result: Any = None
    """What is returned, see ``results``."""
    place: Any = HOST
    """Where the step's memory lies: a device, as ``memory`` has it."""
    part: tuple[str, str] = ("forward", "")
    """The pass that runs, and the layer that it belongs to: its name in the network, and its class."""
    line: str | None = None
    """The line of the user's code from which launches come that have waited."""
    structure: int = field(default_factory=lambda: recording.structure.changes)
    """How often modules, parameters and optimisers' groups were changed before the step."""

    def __post_init__(self) -> None:
        self._made: dict[int, int] = {}  # the region of each chunk, and of each array that is kept
        self._lying: list[tuple[int, int, int]] = []  # on another device: from where to where regions lie
        self._buffers: dict[int, Any] = {}  # likewise: a weak reference to what holds the memory of a region that was made
        self._used: set[str] = set()  # devices
        self.lines: dict[int, str] = {}  # where the memory of each region was made
        self._count = 0
        self._starts: list[tuple[int, int, Owner]] = []
        self._modules: dict[int, Any] = {}
        self._names: dict[int, str] = {}  # of modules, in the network that is called first, and of their classes
        self.nodes: dict[int, str] = {}  # the layers of operations, by their numbers
        self._positions = {id(value): i for i, value in reversed(list(enumerate(self.arguments)))}
        self.histories = [value._node if isinstance(value, Tensor) else None for value in self.arguments]
        for i, value in enumerate(self.arguments):
            if isinstance(value, Tensor):
                tensor = operator.itemgetter(i)
                array = lambda given, tensor=tensor: tensor(given).array  # type: ignore[misc] # noqa: E731
                self._own(("argument", i), value.array, array, tensor, value.device)
            else:
                self._own(("argument", i), value, operator.itemgetter(i), lambda given: None, HOST.device)

    # -- what it is told -----------------------------------------------------------------------------------------------
    def refuse(self, reason: str) -> None:
        """Say why there can be no plan; the first reason counts."""
        if self.reason is None:
            self.reason = f"{reason}, in {_line()}"

    def empty(self, shape: Any, dtype: Any) -> np.ndarray:
        """Memory for an array of the step."""
        self.on(HOST)
        if self.reason is not None:
            return np.empty(shape, dtype)
        size = math.prod(shape) * np.dtype(dtype).itemsize
        chunk = self.memory.take(size, self._made)
        region = self._made[id(chunk)] = self._region(("made", self._count, size), address(chunk), size, None)
        self._count += 1
        self.lines[region] = _line()
        return np.ndarray(shape, dtype, chunk)

    def makes(self, place: Any, buffer: Any) -> None:
        """Memory was made on another device, where it is known by its address for as long as it is there."""
        self.on(place)
        if self.reason is None:
            low, high = place.bounds(buffer)
            region = self._region(("made", self._count, high - low), low, high - low, None)
            self._count += 1
            self._lies(low, high, region)
            self._buffers[region] = weakref.ref(buffer)
            self.lines[region] = _line()

    def on(self, place: Any) -> None:
        """The step uses a device."""
        if not self._used:
            self._used, self.place = {place.device}, place
        elif place.device not in self._used:
            self.refuse("it uses memory of two devices")

    def _lies(self, low: int, high: int, region: int) -> None:
        self._lying = [other for other in self._lying if other[1] <= low or high <= other[0]]
        bisect.insort(self._lying, (low, high, region))

    def launch(self, driver: Any, args: tuple[Any, ...]) -> None:
        """A kernel is launched."""
        self.on(HOST)
        if self.reason is None:
            self.rows.append(Launch(driver, tuple(map(typeof, args)), tuple(map(self._value, args)), self.part, _line()))

    def compute(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """A function of NumPy's is called."""
        self.on(HOST)
        if self.reason is None:
            self.rows.append(Compute(function, tuple(map(self._value, args)), self.part, _line()))

    def hands(self, array: Any) -> None:
        """The user gets an array for a kernel of his own."""
        operand = self.operand(array)
        if operand is not None:
            self.handed.setdefault(operand.region, _line())

    def gives(self, arrays: tuple[Any, ...]) -> None:
        """A kernel of the user's is launched on arrays."""
        for a in arrays:
            if isinstance(operand := self._value(a), Operand):
                self.handed.pop(operand.region, None)

    def calls(self, function: Callable[..., Any], kernel: Any, *args: Any) -> None:
        """A function launches a kernel: on another device."""
        if self.place is HOST:
            self.refuse("a kernel of a device is launched on what lies on none")
        if any(isinstance(a, np.ndarray) for a in args):
            self.refuse("a kernel of a device is given memory of the host")
        if self.reason is None:
            self.rows.append(DeviceLaunch(function, kernel, tuple(map(self._value, args)), self.part, self.line or _line()))

    def here(self) -> tuple[tuple[str, str], str]:
        """The part and the line of the user's code that run."""
        return self.part, _line()

    @contextlib.contextmanager
    def back(self, here: tuple[tuple[str, str], str]) -> Iterator[None]:
        """What is launched inside has waited since then."""
        before, (self.part, self.line) = (self.part, self.line), here
        try:
            yield
        finally:
            self.part, self.line = before

    def watches(self, fault: Any, error: Callable[..., Exception], given: Any) -> None:
        """The device judges an array, and somebody who reads a result gets the error."""
        if self.reason is None:
            self.watched.append((self.operand(fault), error, self.operand(given)))  # type: ignore[arg-type]

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

    def judges(self, array: np.ndarray, error: Callable[..., Exception]) -> None:
        """The next kernel fails if there is something wrong with an array. ``error`` makes an exception of the kernel's arguments.

        Where somebody owns the array a replay asks first, so that Python raises the error.
        """
        owner = self.owner(array)
        if owner is None or owner.unlocked:
            self.may_stop(error)
        else:
            self.judged.append(len(self.rows))

    def may_stop(self, error: Callable[..., Exception]) -> None:
        """The next kernel may fail, and end the step: what the step did to Python's objects before it is done, what comes later is not.

        ``error`` makes an exception of the kernel's arguments.
        """
        now = [(gradient, gradient.tensor(self.arguments)._grad) for gradient in self.gradients.values()]
        if any(t is not None and t is not gradient.found() for gradient, t in now):
            self.refuse("values are judged behind a backward, which would have to be undone")
        self.stops[len(self.rows)] = error, [gradient for gradient, t in now if t is None]

    def addresses(self, table: np.ndarray, arrays: list[list[np.ndarray]]) -> None:
        """A table whose first row is numbers and whose others are the addresses of these arrays."""
        places = [(table.shape[1] * (i + 1) + p, self._value(a)) for i, some in enumerate(arrays) for p, a in enumerate(some) if a.size]
        found = [(place, operand) for place, operand in places if isinstance(operand, Operand)]
        names = tuple((place, self.name(operand)) for place, operand in found)
        self._keep(("table", table[0].tobytes(), names), table)
        self.tables.append((self._made[id(table)], found))

    def unlocks(self, array: np.ndarray) -> None:
        """An array is about to be written to."""
        owner = self.owner(array)
        if owner is not None:
            owner.unlocked = True

    def packed(self, weight: np.ndarray, name: str, value: np.ndarray, get: Callable[[np.ndarray], Any]) -> None:
        """What was made of a weight once is used."""
        owner = self.owner(weight)
        if owner is not None:
            weights = owner.get
            made = lambda given: None if (w := weights(given)) is None else get(w)  # noqa: E731
            self._own(("packed", owner.key, name), value, made, lambda given: None, HOST.device)

    def trim(self) -> None:
        """Give memory back that was made in the step and that nobody refers to."""
        self.memory.trim(self._made)

    def told(self) -> Any:
        """How much the tape knows that is no call."""
        return [len(t) for t in (self.lives, self.effects, self.versions, self.stops, self.gradients, self.watched)]

    def turns(self, result: np.ndarray) -> tuple[WayBack, np.ndarray]:
        """From here on it goes back: with a gradient of a result that is not there yet, and lies in memory as the result does."""
        self.place.settle()
        arrived = self.place.zeros_like(result)
        self._keep(("arrived", arrived.shape, arrived.dtype.str), root(arrived))
        return WayBack(len(self.rows), self.operand(arrived), arrived), arrived  # type: ignore[arg-type]

    def made(self, array: Any) -> Region | None:
        """The memory that was made in the step in which an array lies."""
        region = self._region_at(array)
        found = None if region is None else self.regions[region]
        return None if found is None or found.key[0] != "made" else found

    def _region_at(self, array: Any) -> int | None:
        return self._made.get(id(root(array))) if isinstance(array, np.ndarray) else self._lies_at(self.place.address(array))

    def is_whole(self, array: Any) -> bool:
        """Whether an array was made in the step, and is all that lies in its memory."""
        region = self.made(array)
        return region is not None and region.start == self.place.address(array)

    def in_use(self, left: Counter[int]) -> list[int]:
        """The regions that were made in the step and to whose memory more refers than ``left`` says."""
        found = self.memory.in_use(self._made, left)
        for region, buffer in self._buffers.items():
            held = [buffer()]
            if held[0] is not None and references(held, 0) - FREE > left[region]:
                found.append(region)
        return found

    # -- who owns memory -----------------------------------------------------------------------------------------------
    def sees(self, tensors: Any) -> None:
        """Tensors are used: parameters are their modules'."""
        for t in tensors:
            if isinstance(t, Tensor) and t.is_parameter:
                self._keeps(t)
                if vars(t):
                    self.refuse("a parameter has attributes, which may change")

    @contextlib.contextmanager
    def within(self, module: Any) -> Iterator[None]:
        """A module runs."""
        self.sees_module(module)
        if id(module) not in self._names:
            self._names.update((id(m), f"{name} {type(m).__name__}".lstrip()) for name, m in module.named_modules())
        before, self.part = self.part, ("forward", self._names[id(module)])
        try:
            yield
        finally:
            self.part = before

    def makes_node(self, number: int) -> None:
        """An operation will be walked back to."""
        self.nodes[number] = self.part[1]

    def goes_back(self, number: int) -> None:
        """The gradient of an operation is worked out."""
        if number not in self.nodes:
            self.refuse("a backward goes on where an argument comes from")
        self.part = "backward", self.nodes.get(number, "")

    def sees_module(self, module: Any) -> None:
        """A module's tensors may be used."""
        if id(module) not in self._modules:
            self._modules[id(module)] = module
            self.reached.add_method(type(module), "forward")
            for name, value in module.__dict__.items():
                if isinstance(value, (list, dict)) and name not in TABLES:  # it says itself when these change
                    self.reached.add(value)
            for t in (*module._parameters.values(), *module._buffers.values()):
                if t is not None:
                    self._keeps(t)

    def _keeps(self, t: Tensor) -> None:
        self._own(("kept", id(t)), t.array, lambda given: t.array, lambda given: t, t.device)

    def sees_moments(self, state: dict[Any, dict[str, Any]], p: Tensor) -> None:
        """The moments of a parameter are used."""

        mine = state[p]  # an optimiser's guard asks whether it is still this one

        def own(name: str, t: Tensor) -> None:
            def array(given: Any) -> Any:
                t = mine.get(name)
                return None if t is None else t.array

            self._own(("moment", id(state), id(p), name), t.array, array, lambda given: mine.get(name), t.device)

        for name, t in mine.items():
            if isinstance(t, Tensor):
                own(name, t)

    def reads_gradient(self, t: Any) -> None:
        """Somebody asks for the gradient of a tensor."""
        gradient = self._gradient(t, "none" if t._grad is None else "some")
        if gradient is not None and t._grad is not None and t._grad is gradient.found():
            gradient.read = t._grad
            tensor = gradient.tensor
            array = lambda given: None if (g := tensor(given)._grad) is None else g.array  # noqa: E731
            self._own(("gradient", *gradient.key), t._grad.array, array, lambda given: tensor(given)._grad, t.device)

    def writes_gradient(self, t: Any) -> None:
        """Somebody sets the gradient of a tensor."""
        self._gradient(t, "any")

    def _gradient(self, t: Any, needs: str) -> Gradient | None:
        if id(t) not in self.gradients:
            if t.is_parameter:
                self._keeps(t)
            owner = self.owners.get(("argument", self._positions.get(id(t))), self.owners.get(("kept", id(t))))
            if owner is None:
                if self._region_at(t.array) is None:
                    self.refuse("the gradient of a tensor is used that is neither an argument nor a parameter")
                return None
            self.gradients[id(t)] = Gradient(owner.tensor, owner.key, needs, nobody if t._grad is None else weakref.ref(t._grad))
        return self.gradients[id(t)]

    def _own(self, key: tuple[Any, ...], array: Any, get: Callable[[Any], Any], tensor: Callable[[Any], Any], device: str) -> None:
        if key in self.owners or self.reason is not None:
            return
        self.on(place_of(device))
        if self.reason is not None or not self.place.is_array(array):
            return
        low, high = self.place.bounds(array) if array.size else (0, 0)
        region = self._region(("owner", key), low, high - low, None)
        owner = self.owners[key] = Owner(key, get, tensor, self.place.like(array), region, weakref.ref(array))
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

    def owner(self, array: Any) -> Owner | None:
        if not array.size:
            return None
        low, high = bounds(array) if isinstance(array, np.ndarray) else self.place.bounds(array)
        i = bisect.bisect_right(self._starts, low, key=lambda entry: entry[0])
        if i and high <= self._starts[i - 1][1]:
            return self._starts[i - 1][2]
        return None

    # -- names ---------------------------------------------------------------------------------------------------------
    def _region(self, key: tuple[Any, ...], start: int, size: int, keep: Any) -> int:
        self.regions.append(Region(key, start, size, keep))
        return len(self.regions) - 1

    def _keep(self, key: tuple[Any, ...], array: Any) -> None:
        """An array that the plan keeps for itself."""
        low, high = (bounds if isinstance(array, np.ndarray) else self.place.bounds)(array)
        region = self._made[id(array)] = self._region(key, low, high - low, array)
        if not isinstance(array, np.ndarray):
            self._lies(low, high, region)

    def _value(self, value: Any) -> Any:
        """An argument as a plan holds it."""
        if isinstance(value, np.ndarray) or self.place.is_array(value):
            return self.operand(value)
        if isinstance(value, recording.Numbers):
            self._value(value.args)
        return tuple(map(self._value, value)) if isinstance(value, (tuple, list)) else value

    def operand(self, array: Any) -> Operand | None:
        """An array by its place in a region; None for one whose memory is nobody's, of which there is no plan."""
        if not isinstance(array, np.ndarray):
            return self._operand_on_device(array)
        told = array.shape, array.strides, array.dtype, array.flags.writeable
        base = root(array)
        if id(base) not in self._made:
            owner = self.owner(array)
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

    def _operand_on_device(self, array: Any) -> Operand | None:
        base, start = self.place.base(array), self.place.address(array)
        if id(base) not in self._made and recording.is_constant(base):
            self._keep(("constant", id(base)), base)
        region = self._lies_at(start)
        if region is None:
            owner = self.owner(array)
            if owner is None:
                self.refuse("a tensor or array is used that was made outside the step: pass it as an argument")
                return None
            region = owner.region
        return Operand(region, start - self.regions[region].start, *self.place.told(array))

    def _lies_at(self, start: int) -> int | None:
        i = bisect.bisect_right(self._lying, start, key=lambda entry: entry[0])
        if not i or start >= self._lying[i - 1][1]:
            return None
        region = self._lying[i - 1][2]
        gone = region in self._buffers and self._buffers[region]() is None  # what was made of it since then is another's
        return None if gone else region

    def name(self, value: Any) -> Any:
        """What is equal where two recordings mean the same."""
        if isinstance(value, Operand):
            return (self.regions[value.region].key, *value[1:])
        if isinstance(value, tuple):
            return tuple(map(self.name, value))
        if isinstance(value, recording.Numbers):
            return value.function, tuple(self.name(self._value(a)) for a in value.args)
        if isinstance(value, np.generic):
            return type(value), value.tobytes()
        if isinstance(value, float):
            return float, struct.pack("d", value)
        if isinstance(value, (bool, int, str, slice, type, np.dtype, np.ufunc)) or value is None or value is ...:
            return type(value), value
        return type(value)  # whose type, as the launch has it, says it all

    def changed(self) -> str | None:
        """What is not as the step found it, of all on which it depends beside its arguments."""
        if self.structure != recording.structure.changes:
            return "a module, a parameter or an optimiser's group"
        name = self.reached.changed()
        if name is None and any(value() != found for value, found in self.guards):
            return "what an operation depends on"
        return name

    def difference(self, other: Tape) -> str | None:
        """The first thing that two recordings do differently; None where they are equal."""
        for mine, theirs in zip(self.rows, other.rows):
            if mine[:-3] != theirs[:-3] or self.name(mine.values) != other.name(theirs.values):
                return f"its calls differ in {theirs.line}"
        mine, theirs = self._summary(), other._summary()
        if len(self.rows) != len(other.rows) or mine != theirs:
            return "its calls do not launch the same kernels, or leave other things behind"
        return None

    def _summary(self) -> Any:
        gradients = [(g.key, g.needs, self.name(g.left)) for g in self.gradients.values()]
        owners = [(o.key, o.like, o.unlocked) for o in self.owners.values()]
        counted = [(row, owner.key) for row, owner in self.versions]
        found = [value for _, value in self.guards]
        way = self.way_back
        back = None if way is None else (way.row, *map(self.name, (way.arriving, tuple(way.ends), tuple(way.saved))))
        watched = [(self.name(fault), self.name(given)) for fault, _, given in self.watched]
        effects = [row for row, _ in self.effects]
        return gradients, owners, found, effects, counted, len(self.lives), watched, self.name(self.result), back


def _line() -> str:
    """The line of the user's code that runs."""
    frame: Any = sys._getframe(2)
    while frame is not None and is_own(frame.f_code):
        frame = frame.f_back
    return "?" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
