"""A plan: a recorded step as data, and its replay.

All memory that a step makes lies in one arena, at the places that it had while it was recorded; what it owns to nobody lives no longer
than a replay. Arrays of others are read and written where they lie: their addresses are looked at in each call, and put into the table
where they have changed. What is returned, and gradients, get memory of their own.
"""

from __future__ import annotations

import bisect
import ctypes
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from .. import backends, recording
from ..backends.cpu.buffers import Buffers
from ..kernels.cpu import launch
from ..tensor import Tensor
from ..tensor.tape import Node
from . import native
from .tape import LINE, Gradient, Launch, Operand, Owner, Tape, address, bounds

__all__ = ["Arena", "Plan"]

TRIES = 4
"""How often a plan is run with one thread, and with all, before the faster way is kept."""
NOWHERE = 64
"""The address of an array without elements."""


class Arena:
    """The memory of all plans of a function, of which one runs at a time."""

    def __init__(self) -> None:
        self.room = np.empty(0, np.uint8)
        self.start = 0
        self.buffers = Buffers(limit=1 << 28)
        """For what is returned, and gradients, which come and go."""

    def hold(self, size: int) -> None:
        """Be at least so large."""
        if self.room.nbytes < size + LINE:
            self.room = np.empty(size + LINE, np.uint8)
            self.start = address(self.room) + -address(self.room) % LINE


class _Left:
    """A gradient that a plan leaves: a Tensor that nobody else holds is filled again."""

    def __init__(self, gradient: Gradient, tape: Tape) -> None:
        self.tensor, (self.operand, self.count) = gradient.tensor, gradient.left
        self.size = tape.regions[self.operand.region].size
        self.reads = ("gradient", *gradient.key) in tape.owners
        self.kept: Any = _nothing  # a weak reference

    def again(self, given: list[Any]) -> bool:
        """Whether the gradient that there is may be written over."""
        t = self.tensor(given)
        return t._grad is not None and self.kept() is t._grad and not self.reads and _references(t._grad) == _ALONE


def _nothing() -> None:
    """A weak reference to nothing."""


def _references(tensor: Any) -> tuple[int, int, int]:
    """How often a Tensor, its array and the memory of that are referred to."""
    return sys.getrefcount(tensor), sys.getrefcount(tensor.array), sys.getrefcount(tensor.array.base)


class _Holder:
    def __init__(self) -> None:
        self._grad = Tensor(np.ndarray((1,), np.float32, np.empty(4, np.uint8)))


_holder = _Holder()
_ALONE = _references(_holder._grad)  # measured: what the calls add differs between Python versions


class Plan:
    """A step that can be run again."""

    def __init__(self, tape: Tape, arena: Arena) -> None:
        self.tape, self.arena, self.structure = tape, arena, recording.structure.changes
        self.owners = list(tape.owners.values())
        self.owners.sort(key=lambda owner: owner.key[0] != "kept")
        self._kept = [owner.tensor(()) for owner in self.owners if owner.key[0] == "kept"]
        self._gets = [(i, owner.get) for i, owner in enumerate(self.owners) if owner.key[0] != "kept"]
        self._bound = [owner.array for owner in self.owners]
        self._outputs: dict[int, Any] = {}
        self._find_outputs(tape.result)
        self._left = [_Left(g, tape) for g in tape.gradients.values() if isinstance(g.left, tuple)]
        self._make_rows()
        self._lay_out()
        counts: dict[int, list[Any]] = {}
        for _, owner in tape.versions:
            counts.setdefault(id(owner), [owner, 0])[1] += 1
        self._versions = [(owner.tensor, count) for owner, count in counts.values()]
        self._unlocked = [i for i, owner in enumerate(self.owners) if owner.unlocked]
        lasting = sorted(bounds(a) for o in self.owners if o.key[0] in ("kept", "moment") and (a := o.array()) is not None and a.size)
        self._writes = bool(self._unlocked or tape.versions)
        self._lows, self._highs = [low for low, _ in lasting], [high for _, high in lasting]
        self._walked: dict[int, Node] = {}
        self._rows: Callable[[], None] = self._run_segments
        self._times: dict[int, list[float]] = {}
        self._threads: dict[int, int] = {}

    # -- making ------------------------------------------------------------------------------------------------------------
    def _make_rows(self) -> None:
        """The table, the records that it leads to, and where in them each region's addresses are."""
        rows = self.tape.rows
        launches = [row for row in rows if isinstance(row, Launch)]
        signatures = [(row.driver, row.types) for row in launches]
        addresses = native.thunks(signatures)
        slots: list[int] = []
        starts, places = [], [[] for _ in self.tape.regions]  # type: ignore[var-annotated]
        for launched, signature in zip(launches, signatures):
            starts.append(len(slots))
            for ty, value in zip(native.arguments(signature), launched.values):
                self._add_slots(ty, value, slots, places)
        self.slots = np.array(slots, np.int64)
        first = address(self.slots)
        self.table = np.array([[thunk, first + 8 * start] for thunk, start in zip(addresses, starts)], np.int64).reshape(-1, 2)
        self._patches: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [
            [(self.slots, *np.array(found, np.int64).T)] if found else []  # type: ignore[list-item]
            for found in places
        ]
        for region, entries in self.tape.tables:
            table = self.tape.regions[region].keep.reshape(-1)
            for place, operand in entries:
                self._patches[operand.region].append((table, np.array([place]), np.array([operand.offset])))
        self._run: Any = native.runner(_context(signatures)) if signatures else None
        self._segments: list[Any] = []
        numbers = np.cumsum([isinstance(row, Launch) for row in rows]).tolist()
        for i, row in enumerate(rows):
            if not isinstance(row, Launch):
                self._segments.append(_Call(row.function, row.values, i))
            elif self._segments and isinstance(self._segments[-1], list):
                self._segments[-1][1] += 1
            else:
                self._segments.append([address(self.table) + 16 * (numbers[i] - 1), 1])
        self._natives = sum(isinstance(segment, list) for segment in self._segments)
        self._ended = np.zeros(1, np.int64)
        self._end = address(self._ended)
        self._judges = [address(self.table) + 16 * (numbers[i] - 1) for i in self.tape.judged]

    @staticmethod
    def _add_slots(ty: Any, value: Any, slots: list[int], places: list[list[tuple[int, int]]]) -> None:
        if isinstance(value, Operand):
            if 0 not in value.shape:
                places[value.region].append((len(slots) + 4, value.offset))
            slots += native.array_slots(ty, NOWHERE, value.shape, value.strides, value.dtype.itemsize)
        elif isinstance(ty, types.BaseTuple):
            for t, v in zip(iter(ty), value):  # type: ignore[call-overload]
                Plan._add_slots(t, v, slots, places)
        else:
            slots += native.scalar_slots(ty, value)

    def _lay_out(self) -> None:
        """Where in the arena what the step makes lies: memory that was used twice is used twice."""
        self.size, offsets = 0, {}
        for chunk in self.tape.memory.chunks:
            offsets[address(chunk)] = self.size
            self.size += len(chunk)
        self.tape.memory.chunks.clear()
        own = {*self._outputs, *(left.operand.region for left in self._left)}
        self._bases = [0] * len(self.tape.regions)
        inside = []
        for i, region in enumerate(self.tape.regions):
            if region.key[0] == "made":
                if i not in own:
                    inside += [(patch, offsets[region.start]) for patch in self._patches[i]]
                    self._bases[i] = offsets[region.start]
            else:
                self._place(i, region.start)
        self._inside = [i for i, region in enumerate(self.tape.regions) if region.key[0] == "made" and i not in own]
        self._offsets = {i: self._bases[i] for i in self._inside}
        joined: dict[int, list[Any]] = {}
        for (target, where, offset), start in inside:
            joined.setdefault(id(target), [target, [], []])
            joined[id(target)][1].append(where)
            joined[id(target)][2].append(offset + start)
        self._arena_patches = [(t, np.concatenate(where), np.concatenate(offset)) for t, where, offset in joined.values()]
        self._arena_start = -1
        self.arena.hold(self.size)

    def _find_outputs(self, result: Any) -> None:
        if isinstance(result, tuple) and result:
            if result[0] == "made":
                self._outputs[result[1].region] = None
            elif result[0] in ("members", "entries"):
                for value in result[2:]:
                    self._find_outputs(value)

    def _place(self, region: int, start: int) -> None:
        """A region lies here now."""
        self._bases[region] = start
        for target, where, offsets in self._patches[region]:
            target[where] = offsets + start

    def lines(self) -> list[str]:
        """The kernels in order, with the shapes that they are given, and the lines of the step that they come from."""
        found = [f"    a plan of {len(self.tape.rows)} calls in {self.size:,} bytes"]
        for row in self.tape.rows:
            function = row.driver.py_func if isinstance(row, Launch) else row.function
            shapes = " ".join(str(v.shape).replace(" ", "") for v in row.values if isinstance(v, Operand) and v.dtype.names is None)
            found.append(f"    {'' if isinstance(row, Launch) else 'numpy.'}{function.__name__} {shapes}  {row.line}")
        return found

    # -- running -----------------------------------------------------------------------------------------------------------
    def fits(self) -> bool:
        """Whether what the step depends on, beside the arguments' signature, is as it was."""
        if self.structure != recording.structure.changes or self.tape.reached.changed() is not None:
            return False
        return all(value() == found for value, found in self.tape.guards)

    def bind(self, given: list[Any]) -> list[np.ndarray] | None:
        """Find all arrays of others; None where one is not what it was. They must stay until the plan has run."""
        for gradient in self.tape.gradients.values():
            if gradient.needs != "any" and (gradient.needs == "some") != (gradient.tensor(given)._grad is not None):
                return None
        if self.arena.start != self._arena_start:
            self._move_in()
        arrays = [t.array for t in self._kept]
        if any(bound() is not array for bound, array in zip(self._bound, arrays)):
            return None  # of a parameter or buffer that has another array it is recorded what it does
        for i, get in self._gets:
            array = get(given)
            if array is None or (self._bound[i]() is not array and not self._bind(i, array)):
                return None
            arrays.append(array)
        if self._judges and not all(launch.replay(self._run, row, 1, self._end, threads=1) == 0 for row in self._judges):
            return None
        return arrays

    def _bind(self, i: int, array: Any) -> bool:
        """Another array in the place of one; with another moment it is recorded what the step does."""
        owner = self.owners[i]
        if owner.key[0] == "moment":
            return False
        if (array.shape, array.strides, array.dtype, array.flags.aligned) != owner.like or self._overlaps(owner, array):
            return False
        self._place(owner.region, address(array))
        self._bound[i] = weakref.ref(array)
        return True

    def _overlaps(self, owner: Owner, array: np.ndarray) -> bool:
        """Whether an argument shares memory with a parameter or a moment of the step."""
        if owner.key[0] != "argument" or not array.size or not self._writes:
            return False
        low, high = bounds(array)
        i = bisect.bisect_right(self._lows, low)
        return (i > 0 and self._highs[i - 1] > low) or (i < len(self._lows) and self._lows[i] < high)

    def run(self, given: list[Any], arrays: list[np.ndarray]) -> Any:
        """Run the step on what :meth:`bind` has found."""
        for i in self._unlocked:
            if not arrays[i].flags.writeable:
                backends.get(backends.DEFAULT).unlock(arrays[i])
        for live in self.tape.lives:
            live.array[...] = live.make()
        new = [None if left.again(given) else self._gradient(left) for left in self._left]
        for region in self._outputs:
            room = self._outputs[region] = self.arena.buffers.empty((self.tape.regions[region].size,), np.uint8)
            self._place(region, address(room))
        before = self._ended[0]
        try:
            self._launch()
        except backends.NotFinite:
            self._stop(given)
            raise
        except KeyboardInterrupt:
            if self._ended[0] - before == self._natives and isinstance(self._segments[-1], list):
                self._settle(given, new)  # it came when all was done: a step is done whole, or not at all
            raise
        self._settle(given, new)
        result = self._result(self.tape.result, given)
        for region in self._outputs:
            self._outputs[region] = None
        return result

    def _settle(self, given: list[Any], new: list[Tensor | None]) -> None:
        """Do to Python's objects what the step does to them."""
        for _, action in self.tape.effects:
            action()
        for tensor, count in self._versions:
            tensor(given)._version.count += count
        for gradient in self.tape.gradients.values():
            if gradient.left is None:
                gradient.tensor(given)._grad = None
        for left, made in zip(self._left, new):
            if made is not None:
                left.tensor(given)._grad = made
            left.tensor(given)._grad._version.count = left.count

    def _stop(self, given: list[Any]) -> None:
        """What the step has done to Python's objects where it ends."""
        row = next(segment.row for segment in self._segments if isinstance(segment, _Call) and segment.failed)
        for place, action in self.tape.effects:
            if place <= row:
                action()
        for place, owner in self.tape.versions:
            if place <= row:
                owner.tensor(given)._version.count += 1

    def _move_in(self) -> None:
        self._arena_start = self.arena.start
        for target, where, offsets in self._arena_patches:
            target[where] = offsets + self.arena.start
        for i in self._inside:
            self._bases[i] = self._offsets[i] + self.arena.start

    def _gradient(self, left: _Left) -> Tensor:
        """A new Tensor for a gradient."""
        o, room = left.operand, self.arena.buffers.empty((left.size,), np.uint8)
        made = Tensor(np.ndarray(o.shape, o.dtype, room, o.offset, o.strides), backends.DEFAULT)
        left.kept = weakref.ref(made)
        self._place(o.region, address(room))
        return made

    def _launch(self) -> None:
        """Run the rows, with all threads or with one: whichever was faster."""
        most = launch.get_num_threads()
        threads = self._threads.get(most)
        if threads is None:
            threads = self._next_try(most)
            before = time.perf_counter()
            launch.replay(self._rows, threads=threads)
            self._times.setdefault(threads, []).append(time.perf_counter() - before)
        else:
            launch.replay(self._rows, threads=threads)

    def timed(self, given: list[Any], arrays: list[np.ndarray]) -> list[float]:
        """Run the step, and time each row, in seconds."""
        seconds: list[float] = []

        def rows() -> None:
            for segment in self._segments:
                first, count = segment if isinstance(segment, list) else (0, 1)
                for i in range(count):
                    before = time.perf_counter()
                    if isinstance(segment, list):
                        self._run(first + 16 * i, 1, self._end)
                    else:
                        segment(self._bases)
                    seconds.append(time.perf_counter() - before)

        self._rows = rows
        try:
            self.run(given, arrays)
        finally:
            self._rows = self._run_segments
        return seconds

    @property
    def threads(self) -> int:
        """How many run it now; all, before the faster way is known."""
        most = launch.get_num_threads()
        return self._threads.get(most, most)

    def _next_try(self, most: int) -> int:
        tried = {threads: len(self._times.get(threads, ())) for threads in (most, 1)}
        least = min(tried, key=lambda threads: tried[threads])
        if tried[least] < TRIES:
            return least
        self._threads[most] = min((most, 1), key=lambda threads: min(self._times[threads]))
        return self._threads[most]

    def _run_segments(self) -> None:
        for segment in self._segments:
            if isinstance(segment, list):
                if self._run(*segment, self._end):
                    raise RuntimeError("[compile] expected kernels that do not fail; received a failure; labels were changed meanwhile.")
            else:
                segment(self._bases)

    def _result(self, value: Any, given: list[Any]) -> Any:
        """What the step returns."""
        if value is None:
            return None
        kind, *rest = value
        if kind == "owner":
            return self.tape.owners[rest[0]].tensor(given)
        if kind == "members":
            members = [self._result(v, given) for v in rest[1:]]
            return rest[0](*members) if hasattr(rest[0], "_fields") else rest[0](members)
        if kind == "entries":
            return dict(zip(rest[0], (self._result(v, given) for v in rest[1:])))
        operand, walked, requires_grad, view, count = rest
        room = self._outputs[operand.region]
        made = Tensor(np.ndarray(operand.shape, operand.dtype, room, operand.offset, operand.strides), backends.DEFAULT)
        made._requires_grad, made._version.count = requires_grad, count
        if view:
            made._base, made._seen = _nothing, 0
        if walked:
            made._node = self._walked.get(operand.region) or self._walked.setdefault(operand.region, Node.walked(made))
        return made


def _context(signatures: list[native.Signature]) -> Any:
    driver, kinds = signatures[0]
    return driver.overloads[kinds].target_context


class _Call:
    """A call of NumPy's, on arrays that are made of addresses."""

    def __init__(self, function: Callable[..., Any], values: tuple[Any, ...], row: int) -> None:
        self.function, self.values, self.row, self.failed = function, values, row, False
        self.regions = sorted(set(_regions(values)))
        self.made: tuple[Any, Any] = (None, None)

    def __call__(self, bases: list[int]) -> None:
        now = [bases[region] for region in self.regions]
        if self.made[0] != now:
            self.made = now, tuple(_array(value, bases) for value in self.values)
        self.failed = True
        with np.errstate(all="ignore"):
            self.function(*self.made[1])
        self.failed = False


def _regions(value: Any) -> list[int]:
    if isinstance(value, Operand):
        return [value.region]
    return [region for v in value for region in _regions(v)] if isinstance(value, tuple) else []


def _array(value: Any, bases: list[int]) -> Any:
    """An argument of NumPy's."""
    if isinstance(value, tuple) and not isinstance(value, Operand):
        parts = [_array(v, bases) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)  # named ones stay so
    if not isinstance(value, Operand):
        return value
    if 0 in value.shape:
        return np.empty(value.shape, value.dtype)
    low = sum((n - 1) * s for n, s in zip(value.shape, value.strides) if s < 0)
    high = sum((n - 1) * s for n, s in zip(value.shape, value.strides) if s > 0) + value.dtype.itemsize
    memory = (ctypes.c_char * (high - low)).from_address(bases[value.region] + value.offset + low)
    array = np.ndarray(value.shape, value.dtype, memory, -low, value.strides)  # type: ignore[arg-type]
    array.flags.writeable = value.writable
    return array
