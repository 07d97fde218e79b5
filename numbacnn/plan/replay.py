"""A plan: a recorded step as data, and its replay.

All memory that a step makes lies in one room, and is used again there as soon as it can be; what it owns to nobody lives no longer than a
replay, or than the backward of what the replay has returned. Arrays of others are read and written where they lie: their addresses
are looked at in each call, and put into the table where they have changed. What is returned, and gradients, get memory of their own.
"""

from __future__ import annotations

import bisect
import itertools
import operator
import sys
import weakref
from typing import Any

import numpy as np

from .. import backends, ops
from ..backends.cpu.buffers import SMALL, Buffers
from ..locks import lock
from ..tensor import Tensor
from ..tensor.tape import Node
from .listed import Listed, Listing
from .memory import FREE, HOST, LINE, place_of, references
from .records import Gradient, Operand, WayBack, nobody
from .results import Shown, rebuilt, remade
from .rows import Failed, Layout, Part, Table, lay_out, value_at
from .tape import Tape

__all__ = ["AWAITING", "Arena", "Plan"]

AWAITING = 4
"""Results of one function whose backward is still to come and whose memory is kept; further calls run eagerly."""


class Arena:
    """The memory of all plans of a function."""

    def __init__(self) -> None:
        self.lock = lock()
        """Of whoever runs a plan: one table is filled and run at a time."""
        self.buffers = Buffers(limit=1 << 28)
        """For what is returned, and gradients, which come and go."""
        self._rooms: dict[str, list[Any]] = {}  # of each device; the first is that of plans that keep nothing
        backends.keeps(self)

    def empty(self, place: Any, size: int, dtype: Any) -> Any:
        """Memory for what is returned, on a device."""
        return self.buffers.empty((size,), np.uint8) if place is HOST else place.memory(size, dtype)

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(room.nbytes for rooms in self._rooms.values() for room in rooms) + self.buffers.held

    def let_go(self) -> None:
        """Give the memory back that no result and no replay uses: the next one takes its own."""
        if not self.lock.acquire(blocking=False):
            return
        try:
            for device, rooms in self._rooms.items():
                held = [rooms[i] for i in range(1, len(rooms)) if references(rooms, i) != FREE]
                rooms[:] = [place_of(device).memory(0), *held]
            self.buffers.clear()
        finally:
            self.lock.release()

    def room(self, place: Any, size: int, keeps: bool) -> Any:
        """Memory for a replay; where it ``keeps`` some for its backward, one that nobody else holds, None if there are too many."""
        if place.device not in self._rooms:
            self._rooms[place.device] = [place.memory(0)]
        rooms, size = self._rooms[place.device], size + LINE
        free = [i for i in range(1, len(rooms)) if references(rooms, i) == FREE] if keeps else [0]
        for i in free:
            if len(rooms[i]) >= size:
                return rooms[i]
        if not free and len(rooms) > AWAITING:
            return None
        made = place.memory(size)
        if free:
            rooms[free[0]] = made
        else:
            rooms.append(made)
        return made


class _Left:
    """A gradient that a plan leaves: a Tensor that nobody else holds is filled again."""

    def __init__(self, gradient: Gradient, tape: Tape) -> None:
        self.tensor, (self.operand, self.count) = gradient.tensor, gradient.left
        self.size = tape.regions[self.operand.region].size
        self.reads = ("gradient", *gradient.key) in tape.owners
        self.is_shown = False  # in another Tensor too
        self.kept: Any = nobody  # a weak reference

    def again(self, given: list[Any], arena: Arena) -> bool:
        """Whether the gradient that there is may be written over."""
        t = self.tensor(given)
        if t._grad is None or self.kept() is not t._grad or self.reads or self.is_shown:
            return False
        return _references(t._grad) == _ALONE[arena.buffers.keeps(t._grad.array.base)]


def _references(tensor: Any) -> tuple[int, int, int]:
    """How often a Tensor, its array and the memory of that are referred to."""
    return sys.getrefcount(tensor), sys.getrefcount(tensor.array), sys.getrefcount(tensor.array.base)


class _Holder:
    def __init__(self) -> None:
        self._grad = Tensor(np.ndarray((1,), np.float32, np.empty(4, np.uint8)))


_holder = _Holder()
_tensor, _array, _memory = _references(_holder._grad)  # measured: what the calls add differs between Python versions
_ALONE = (_tensor, _array, _memory), (_tensor, _array, _memory + 1)
"""Of a Tensor that nobody else holds: in memory of its own, and in that of a free list, which refers to it too."""


class Call(ops.Op):
    """A call of a plan whose backward is still to come: one operation, which holds what that reads."""

    owns_gradient = True

    def __init__(self, plan: Plan, room: Any, arrays: list[Any], outputs: dict[int, Any], lives: list[np.ndarray]):
        self.plan, self.room, self.arrays, self.outputs, self.lives = plan, room, arrays, outputs, lives

    @property
    def label(self) -> str:
        return self.plan.name

    def backward(self, xp: Any, grad: Any) -> tuple[Any, ...]:
        return self.plan.go_back(self, grad)


class Plan:
    """A step that can be run again."""

    def __init__(self, tape: Tape, arena: Arena, name: str) -> None:
        self.tape, self.arena, self.name = tape, arena, name
        self._place = place = tape.place
        self.owners = sorted(tape.owners.values(), key=lambda owner: owner.key[0] != "kept")
        self._kept = [owner.tensor(()) for owner in self.owners if owner.key[0] == "kept"]
        self._needs = [t._requires_grad for t in self._kept]
        self._gets = [(i, owner.get) for i, owner in enumerate(self.owners) if owner.key[0] != "kept"]
        self._places = {owner.key: i for i, owner in enumerate(self.owners)}
        self._bound = [owner.array for owner in self.owners]
        shown = [s.operand for s in tape.result.tensors if s.operand is not None and s.owner is None]
        judged = [operand for fault, _, given in tape.watched for operand in (fault, given)]
        own = [operand for operand in (*shown, *judged) if tape.regions[operand.region].key[0] == "made"]
        self._outputs = {operand.region: operand.dtype for operand in own}
        way = tape.way_back
        self._left = [_Left(g, tape) for g in tape.gradients.values() if isinstance(g.left, tuple)]
        for left in self._left:  # a way back may read what the call has left
            left.is_shown = self._outputs.pop(left.operand.region, None) is not None or way is not None
        self._table: Any = (Table if place is HOST else Listed)(tape)
        self.forward = _part(self._table, 0, len(tape.rows) if way is None else way.row)
        self._back = None if way is None else _Back(way, tape, self._table)
        self._lay_out()
        counts: dict[int, list[Any]] = {}
        for _, owner in tape.versions:
            counts.setdefault(id(owner), [owner, 0])[1] += 1
        self._versions = [(owner.tensor, count) for owner, count in counts.values()]
        self._unlocked = [i for i, owner in enumerate(self.owners) if owner.unlocked]
        lasting = sorted(place.bounds(a) for o in self.owners if o.key[0] in ("kept", "moment") and (a := o.array()) is not None and a.size)
        self._writes = bool(self._unlocked or tape.versions or place is not HOST)
        self._lows, self._highs = [low for low, _ in lasting], [high for _, high in lasting]
        self._walked: dict[int, Node] = {}
        self._placed: Any = nobody  # a weak reference to the call whose arrays the table leads to

    # -- making ------------------------------------------------------------------------------------------------------------
    def _lay_out(self) -> None:
        """Where in the room what the step makes lies."""
        tape = self.tape
        own = {*self._outputs, *(left.operand.region for left in self._left)}
        if tape.way_back is not None:
            own |= {operand.region for _, operand in tape.way_back.ends}
        for i, region in enumerate(tape.regions):
            if region.key[0] != "made":
                self._table.place(i, region.start)
        places, self.size = lay_out(tape, [i for i, region in enumerate(tape.regions) if region.key[0] == "made" and i not in own])
        self._layout = Layout(self._table, places)

    def lines(self) -> list[str]:
        """The kernels in order, with the shapes that they are given, and the lines of the step that they come from."""
        apart = self.calls
        found = [f"    a plan of {len(self.tape.rows)} calls in {self.size:,} bytes" + f", {apart} of them by Python" * (apart > 0)]
        for i, row in enumerate(self.tape.rows):
            if self._back is not None and i == self._back.way.row:
                found.append("    backward, when it is called:")
            shapes = " ".join(str(v.shape).replace(" ", "") for v in row.values if isinstance(v, Operand) and v.dtype.names is None)
            name = row.name.removeprefix("numpy.") if i in self._table.native else row.name
            found.append(f"    {name} {shapes}  {row.line}")
        return found

    @property
    def calls(self) -> int:
        """How many calls Python makes between the kernels."""
        return sum(part.calls for part in (self.forward, *(() if self._back is None else (self._back.part,))))

    @property
    def threads(self) -> int:
        """How many run it now."""
        return self.forward.threads

    # -- running -----------------------------------------------------------------------------------------------------------
    def room(self) -> Any:
        """Memory for a replay; None where too many results wait for their backward."""
        return self.arena.room(self._place, self.size, self._back is not None)

    def bind(self, given: list[Any], room: Any) -> list[Any] | None:
        """Find all arrays of others; None where one is not what it was. They must stay until the plan has run."""
        for gradient in self.tape.gradients.values():
            if gradient.needs != "any" and (gradient.needs == "some") != (gradient.tensor(given)._grad is not None):
                return None
        self._placed = nobody
        self._layout.move(self._start(room))
        arrays = [t.array for t in self._kept]
        if not all(map(operator.is_, map(operator.call, self._bound), arrays)):
            return None  # of a parameter or buffer that has another array it is recorded what it does
        if [t._requires_grad for t in self._kept] != self._needs:
            return None
        for i, get in self._gets:
            array = get(given)
            if array is None or (self._bound[i]() is not array and not self._bind(i, array)):
                return None
            arrays.append(array)
        return arrays if all(map(self.forward.succeeds, self.tape.judged)) else None

    def _bind(self, i: int, array: Any) -> bool:
        """Another array in the place of one; with another moment it is recorded what the step does."""
        owner = self.owners[i]
        if owner.key[0] == "moment":
            return False
        if self._place.like(array) != owner.like or self._overlaps(owner, array):
            return False
        self._rebind(i, array)
        return True

    def _start(self, room: Any) -> int:
        """The first cache line of a room."""
        start = self._place.address(room)
        return start + -start % LINE

    def _rebind(self, i: int, array: Any) -> None:
        self._table.place(self.owners[i].region, self._place.bounds(array)[0])
        self._bound[i] = weakref.ref(array)

    def _overlaps(self, owner: Any, array: Any) -> bool:
        """Whether an argument shares memory with a parameter or a moment of the step."""
        if owner.key[0] != "argument" or not array.size or not self._writes:
            return False
        low, high = self._place.bounds(array)
        i = bisect.bisect_right(self._lows, low)
        return (i > 0 and self._highs[i - 1] > low) or (i < len(self._lows) and self._lows[i] < high)

    def run(self, given: list[Any], arrays: list[Any], room: Any, rows: Any = None) -> Any:
        """Run the step on what :meth:`bind` has found: its forward part, where the backward is still to come."""
        for i in self._unlocked:
            if not arrays[i].flags.writeable:
                backends.get(backends.DEFAULT).unlock(arrays[i])
        lives = self._make_lives()
        outputs = {region: self._own(region, dtype) for region, dtype in self._outputs.items()}
        new = [None if left.again(given, self.arena) else self._gradient(left, outputs) for left in self._left]
        try:
            (rows or self.forward.run)()
        except Failed as failed:
            raise self._stop(given, failed.place) from None
        except KeyboardInterrupt:
            if self.forward.has_ended():
                self._settle(given, new)  # it came when all was done: a step is done whole, or not at all
            raise
        self._settle(given, new)
        for fault, error, judged in self.tape.watched:
            self._place.watch(self._shaped(fault, arrays, outputs), error, self._shaped(judged, arrays, outputs))
        tensors = self._tensors(given, arrays, outputs)
        if self._back is not None:
            call = Call(self, room, arrays, outputs, lives)
            self._back.attach(call, given, tensors)
            self._placed = weakref.ref(call)
        return rebuilt(self.tape.result.structure, tensors)

    def _make_lives(self) -> list[np.ndarray]:
        made = [live.make() for live in self.tape.lives]
        for live, array in zip(self.tape.lives, made):
            live.array[...] = array
        return made

    def _own(self, region: int, dtype: Any) -> Any:
        """Memory of its own for what is returned or left."""
        room = self.arena.empty(self._place, self.tape.regions[region].size, dtype)
        self._table.place(region, self._place.address(room))
        return room

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

    def _stop(self, given: list[Any], place: int) -> Exception:
        """The error with which the step ends at a row of the table, when it has done to Python's objects what it does before."""
        row = next(row for row, found in self._table.native.items() if found == place)
        error, cleared = self.tape.stops[row]
        for before, action in self.tape.effects:
            if before <= row:
                action()
        for before, owner in self.tape.versions:
            if before <= row:
                owner.tensor(given)._version.count += 1
        for gradient in cleared:
            gradient.tensor(given)._grad = None
        return error(*(value_at(value, self._table.bases) for value in self.tape.rows[row].values))

    def _gradient(self, left: _Left, outputs: dict[int, Any]) -> Tensor:
        """A new Tensor for a gradient."""
        operand = left.operand
        memory = self._own(operand.region, operand.dtype)
        if left.is_shown:
            outputs[operand.region] = memory
        made = Tensor(self._place.shaped(operand, memory), self._place.device)
        left.kept = weakref.ref(made)
        return made

    def timed(self, given: list[Any], arrays: list[Any], room: Any) -> list[float]:
        """Run the step, and time each row, in seconds; also on a way back that nobody has asked for."""
        seconds: list[float] = []
        result = self.run(given, arrays, room, lambda: seconds.extend(self.forward.timed()))
        if self._back is not None:
            found = self._back.start(self._back.way.arrived, self.arena)
            seconds += self._back.part.timed()
            del result, found  # whose memory it was
        return seconds

    def _tensors(self, given: list[Any], arrays: list[Any], outputs: dict[int, Any]) -> list[Tensor]:
        """What the step returns."""

        def array(shown: Shown) -> Any:
            return self._shaped(shown.operand, arrays, outputs)

        owner = lambda key: self.tape.owners[key].tensor(given)  # noqa: E731
        return remade(self.tape.result.tensors, owner, array, self._walked, self._place.device)

    def _shaped(self, operand: Any, arrays: list[Any], outputs: dict[int, Any]) -> Any:
        """An array in memory of its own, or in that of its owner."""
        memory = outputs.get(operand.region)
        if memory is None:
            memory = self._place.whole(arrays[self._places[self.tape.regions[operand.region].key[1]]])
        return self._place.shaped(operand, memory)

    # -- going back --------------------------------------------------------------------------------------------------------
    def go_back(self, call: Call, gradient: Any) -> tuple[Any, ...]:
        """The gradients at the ends of the way back, which other calls do not touch."""
        back: Any = self._back
        with self.arena.lock:
            if self._placed() is not call:
                self._placed = nobody
                for i, array in enumerate(call.arrays):
                    if self._bound[i]() is not array:
                        self._rebind(i, array)
                for region, room in call.outputs.items():
                    self._table.place(region, self._place.address(room))
                for live, value in zip(self.tape.lives, call.lives):
                    live.array[...] = value
                self._layout.move(self._start(call.room))
                self._placed = weakref.ref(call)
            arrived = back.arrive(gradient)
            found = back.start(arrived, self.arena)
            back.part.run()
        return found


def _part(table: Any, first: int, last: int) -> Any:
    """Rows that run in one go."""
    return (Listing if isinstance(table, Listed) else Part)(table, first, last)


class _Back:
    """The way back of a plan."""

    def __init__(self, way: WayBack, tape: Tape, table: Any) -> None:
        self.way, self.part, self._table, self._place = way, _part(table, way.row, len(tape.rows)), table, tape.place
        self._ends = [tape.owners[key].tensor for key, _ in way.ends]
        self._saved = [tape.owners[key].tensor for key in way.saved if key]
        self._result = next(i for i, shown in enumerate(tape.result.tensors) if shown.history == "awaited")
        self._needs = (True,) * len(self._ends) + (False,) * len(self._saved)
        inputs = range(len(self._ends), len(self._needs))
        self._saved_inputs = (*inputs, *([-1] if () in way.saved else []))
        # small gradients lie side by side: each of its own would take longer to find memory for than to work out
        sizes = {operand.region: -(-tape.regions[operand.region].size // LINE) * LINE for _, operand in way.ends}
        small = [region for region, size in sizes.items() if size < SMALL]
        groups = [small, *([region] for region in sizes if region not in small)]
        self._groups: list[tuple[int, Layout]] = []
        self._found: dict[int, tuple[int, int]] = {}
        for k, group in enumerate(groups):
            places = dict(zip(group, itertools.accumulate((sizes[region] for region in group), initial=0)))
            self._groups.append((sum(sizes[region] for region in group), Layout(table, places)))
            self._found |= {region: (k, place) for region, place in places.items()}

    def start(self, arrived: Any, arena: Arena) -> tuple[Any, ...]:
        """The gradient of the result is there; the memory of those at the ends, which is new."""
        self._table.place(self.way.arriving.region, self._place.address(arrived))
        memory = []
        for size, layout in self._groups:
            memory.append(arena.empty(self._place, size, np.uint8))
            layout.move(self._place.address(memory[-1]))
        found = ((o, *self._found[o.region]) for _, o in self.way.ends)
        return tuple(self._place.shaped(o, memory[k], place) for o, k, place in found)

    def attach(self, call: Call, given: list[Any], tensors: list[Tensor]) -> None:
        """Put the call on the tape."""
        inputs = [tensor(given) for tensor in (*self._ends, *self._saved)]
        call.needs_grad, call.saved_inputs = self._needs, self._saved_inputs
        tensors[self._result]._node = Node(call, inputs, tensors[self._result])

    def arrive(self, gradient: Any) -> Any:
        """The gradient of the result, as it lay in memory when the way back was written down; no bit depends on that."""
        if self._place.alike(gradient, self.way.arriving):
            return gradient
        self._place.assign(self.way.arrived, gradient)
        return self.way.arrived
