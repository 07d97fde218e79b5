"""The rows of a plan: a table of kernels and their arguments, whose addresses are put in where memory lies, and its runs."""

from __future__ import annotations

import bisect
import ctypes
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types

from ..kernels.cpu import launch
from . import loops, native
from .memory import LINE, address
from .records import Launch, Operand
from .tape import Tape

__all__ = ["TRIES", "Called", "Failed", "Layout", "Part", "Table", "lay_out", "regions_of", "value_at"]

TRIES = 4
"""How often rows are run with one thread, and with all, before the faster way is kept."""
NOWHERE = 64
"""The address of an array without elements."""
FEW = 4
"""Places of which each is written by itself: that is faster than by a NumPy index."""


class Table:
    """All rows of a tape that run without Python, the records that they lead to, and where in these the addresses of each region are."""

    def __init__(self, tape: Tape) -> None:
        self.rows = tape.rows
        self.native: dict[int, int] = {}
        """The place in the table of each row that is in it."""
        self._numbers: list[np.ndarray] = []  # whose addresses records hold
        slots: list[int] = []
        signatures: dict[native.Signature, int] = {}  # each once, for it takes long to hash one
        kinds: list[tuple[Any, ...]] = []  # the arguments of each
        starts, places = [], [[] for _ in tape.regions]  # type: ignore[var-annotated]
        for i, row in enumerate(self.rows):
            nests = None if isinstance(row, Launch) else loops.nests(row.function, row.values)
            if isinstance(row, Launch):
                signature: native.Signature = (row.driver, row.types)
            elif nests is not None:
                signature = native.LOOPS
            else:
                continue
            number = signatures.setdefault(signature, len(signatures))
            if number == len(kinds):
                kinds.append(native.arguments(signature))
            self.native[i] = len(starts)
            starts.append((number, len(slots)))
            if nests is not None:
                self._add_nests(nests, slots, places)
            else:
                for ty, value in zip(kinds[number], row.values):
                    _add_slots(ty, value, slots, places)
        self.slots = np.array(slots, np.int64)
        first = address(self.slots)
        thunks = native.thunks(signatures)
        table = [(thunks[number], first + 8 * start) for number, start in starts]
        self._table = np.array(table, np.int64).reshape(-1, 2)
        self.patches: list[list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = [
            [(self.slots, *np.array(found, np.int64).T)] if found else []  # type: ignore[list-item]
            for found in places
        ]
        for region, entries in tape.tables:
            table = tape.regions[region].keep.reshape(-1)
            for place, operand in entries:
                self.patches[operand.region].append((table, np.array([place]), np.array([operand.offset])))
        self._few = [
            [(target, w, o) for target, where, offsets in patches for w, o in zip(where.tolist(), offsets.tolist())]
            if sum(len(where) for _, where, _ in patches) <= FEW
            else None
            for patches in self.patches
        ]
        self.bases = [0] * len(tape.regions)
        self.run: Any = native.runner()

    def _add_nests(self, nests: list[loops.Nest], slots: list[int], places: list[list[tuple[int, int]]]) -> None:
        slots.append(len(nests))
        for nest in nests:
            operands = []
            for n, (value, offset, strides) in enumerate(nest.operands):
                if isinstance(value, Operand):
                    places[value.region].append((len(slots) + 2 + native.AXES + (1 + native.AXES) * n, offset))
                    operands.append((NOWHERE, strides))
                else:
                    self._numbers.append(value)
                    operands.append((address(value) + offset, strides))
            slots += native.loop_slots(nest.loop, nest.shape, operands)

    def at(self, place: int) -> int:
        """The address of a place in the table."""
        return address(self._table) + 16 * place

    def place(self, region: int, start: int) -> None:
        """A region lies here now."""
        self.bases[region] = start
        few = self._few[region]
        if few is not None:
            for target, where, offset in few:
                target[where] = offset + start
        else:
            for target, places, offsets in self.patches[region]:
                target[places] = offsets + start


class Layout:
    """Regions that lie in one piece of memory, at these places."""

    def __init__(self, table: Table, places: dict[int, int]) -> None:
        self._table, self._places, self._start = table, places, -1
        joined: dict[int, list[Any]] = {}
        for region, place in places.items():
            for target, where, offsets in table.patches[region]:
                joined.setdefault(id(target), [target, [], []])
                joined[id(target)][1].append(where)
                joined[id(target)][2].append(offsets + place)
        self._patches = [(target, np.concatenate(where), np.concatenate(offsets)) for target, where, offsets in joined.values()]

    def move(self, start: int) -> None:
        """The memory lies here now."""
        if start != self._start:
            self._start = start
            for target, where, offsets in self._patches:
                target[where] = offsets + start
            for region, place in self._places.items():
                self._table.bases[region] = place + start


def lay_out(tape: Tape, shared: list[int]) -> tuple[dict[int, int], int]:
    """Where in one room these regions lie, and its size: memory is used again when the last row that is given it has run.

    What the way forward leaves to the way back lasts, for that may be gone again.
    """
    turn = len(tape.rows) if tape.way_back is None else tape.way_back.row
    behind = {table: [operand.region for _, operand in entries] for table, entries in tape.tables}
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for i, row in enumerate(tape.rows):
        given = regions_of(row.values)
        for region in (*given, *(inner for table in given for inner in behind.get(table, ()))):
            first.setdefault(region, i)
            last[region] = len(tape.rows) if first[region] < turn <= i else i
    places: dict[int, int] = {}
    used: list[tuple[int, int, int]] = []  # of what lies there now: the place, the end, and the row after which it is free
    size = 0
    for region in sorted(shared, key=lambda region: first.get(region, 0)):
        if region not in first:
            places[region] = 0
            continue
        used = [block for block in used if block[2] >= first[region]]
        wanted, place = -(-tape.regions[region].size // LINE) * LINE, 0
        for start, end, _ in used:
            if place + wanted <= start:
                break
            place = end
        bisect.insort(used, (place, place + wanted, last[region]))
        places[region], size = place, max(size, place + wanted)
    return places, size


def _add_slots(ty: Any, value: Any, slots: list[int], places: list[list[tuple[int, int]]]) -> None:
    if isinstance(value, Operand):
        if 0 not in value.shape:
            places[value.region].append((len(slots) + 4, value.offset))
        slots += native.array_slots(ty, NOWHERE, value.shape, value.strides, value.dtype.itemsize)
    elif isinstance(ty, types.BaseTuple):
        for t, v in zip(iter(ty), value):  # type: ignore[call-overload]
            _add_slots(t, v, slots, places)
    else:
        slots += native.scalar_slots(ty, value)


class Failed(Exception):
    """A kernel has raised an error."""

    def __init__(self, place: int) -> None:
        self.place = place
        """That of its row in the table."""


class Part:
    """Rows that run in one go, with all threads or with one: whichever was faster."""

    def __init__(self, table: Table, first: int, last: int) -> None:
        self.table, self._rows = table, table.rows[first:last]
        self.segments: list[Any] = []  # where in the table rows begin that run in a row, and how many; or a call of Python's
        for i, row in enumerate(self._rows, first):
            if i not in table.native:
                self.segments.append(Called(row[0], row.values))
            elif self.segments and isinstance(self.segments[-1], list):
                self.segments[-1][1] += 1
            else:
                self.segments.append([table.native[i], 1])
        self._natives = sum(isinstance(segment, list) for segment in self.segments)
        self._ended = np.zeros(1, np.int64)
        self._end = address(self._ended)
        self._before = 0
        self._times: dict[int, list[float]] = {}
        self._threads: dict[int, int] = {}

    @property
    def calls(self) -> int:
        """How many of them Python calls, one by one."""
        return sum(isinstance(segment, Called) for segment in self.segments)

    @property
    def threads(self) -> int:
        """How many run it now; all, before the faster way is known."""
        most = launch.get_num_threads()
        return self._threads.get(most, most)

    def run(self) -> None:
        """Run the rows."""
        if not launch.can_replay():  # in a forked child, which has to go back from what its parent has called
            for row in self._rows:
                function, arrays = row[0], tuple(value_at(value, self.table.bases) for value in row.values)
                launch.launch(function, *arrays) if isinstance(row, Launch) else launch.compute(function, *arrays)
            return
        self._before = self._ended[0]
        most = launch.get_num_threads()
        threads = self._threads.get(most)
        if threads is None:
            threads = self._next_try(most)
            before = time.perf_counter()
            launch.replay(self._run_segments, threads=threads)
            self._times.setdefault(threads, []).append(time.perf_counter() - before)
        else:
            launch.replay(self._run_segments, threads=threads)

    def has_ended(self) -> bool:
        """Whether the last run, which was interrupted, had done all its work."""
        return self._ended[0] - self._before == self._natives and not any(isinstance(last, Called) for last in self.segments[-1:])

    def succeeds(self, row: int) -> bool:
        """Run one row, a kernel that may fail."""
        return launch.replay(self.table.run, self.table.at(self.table.native[row]), 1, self._end, threads=1) == 0

    def timed(self) -> list[float]:
        """Run the rows one by one; the seconds of each."""
        return launch.replay(self._time_segments, threads=self.threads)

    def _time_segments(self) -> list[float]:
        seconds: list[float] = []
        for segment in self.segments:
            first, count = segment if isinstance(segment, list) else (0, 1)
            for i in range(count):
                before = time.perf_counter()
                if isinstance(segment, list):
                    self._run_rows(first + i, 1)
                else:
                    segment(self.table.bases)
                seconds.append(time.perf_counter() - before)
        return seconds

    def _next_try(self, most: int) -> int:
        tried = {threads: len(self._times.get(threads, ())) for threads in (most, 1)}
        least = min(tried, key=lambda threads: tried[threads])
        if tried[least] < TRIES:
            return least
        self._threads[most] = min((most, 1), key=lambda threads: min(self._times[threads]))
        return self._threads[most]

    def _run_segments(self) -> None:
        for segment in self.segments:
            if isinstance(segment, list):
                self._run_rows(*segment)
            else:
                segment(self.table.bases)

    def _run_rows(self, place: int, count: int) -> None:
        failed = self.table.run(self.table.at(place), count, self._end)
        if failed:
            raise Failed(place + failed - 1)


class Called:
    """A call that Python makes, on arrays that are made of addresses."""

    def __init__(self, function: Callable[..., Any], values: tuple[Any, ...], at: Callable[[Operand, int], Any] | None = None) -> None:
        self.function, self.values, self.at = function, values, at or _array_at
        self.regions = sorted(set(regions_of(values)))
        self.made: tuple[Any, Any] = (None, None)

    def __call__(self, bases: list[int]) -> None:
        now = [bases[region] for region in self.regions]
        if self.made[0] != now:
            self.made = now, self.values_at(bases)
        launch.call(self.function, self.made[1])

    def values_at(self, bases: list[int]) -> tuple[Any, ...]:
        """What it is called with, where memory lies so."""
        return tuple(value_at(value, bases, self.at) for value in self.values)


def regions_of(value: Any) -> list[int]:
    """The regions of a row's arguments."""
    if isinstance(value, Operand):
        return [value.region]
    return [region for v in value for region in regions_of(v)] if isinstance(value, tuple) else []


def value_at(value: Any, bases: list[int], at: Callable[[Operand, int], Any] | None = None) -> Any:
    """An argument of a row, as Python has it; ``at`` makes an array of an address."""
    if isinstance(value, tuple) and not isinstance(value, Operand):
        parts = [value_at(v, bases, at) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)  # named ones stay so
    return (at or _array_at)(value, bases[value.region] + value.offset) if isinstance(value, Operand) else value


def _array_at(value: Operand, start: int) -> np.ndarray:
    """NumPy's array at an address."""
    if 0 in value.shape:
        return np.empty(value.shape, value.dtype)
    low = sum((n - 1) * s for n, s in zip(value.shape, value.strides) if s < 0)
    high = sum((n - 1) * s for n, s in zip(value.shape, value.strides) if s > 0) + value.dtype.itemsize
    memory = (ctypes.c_char * (high - low)).from_address(start + low)
    array = np.ndarray(value.shape, value.dtype, memory, -low, value.strides)  # type: ignore[arg-type]
    array.flags.writeable = value.writable
    return array
