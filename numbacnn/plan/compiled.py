"""``nc.compile``: a function that is recorded, and then replayed where nothing can differ."""

from __future__ import annotations

import functools
import itertools
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import backends, config, recording
from ..backends.choice import ruled
from ..errors import message
from ..kernels.cpu import launch
from ..locks import lock
from ..nn import Module
from ..optim import Optimizer
from ..tensor import Tensor
from ..tensor.tape import mode
from .back import go_back
from .ending import drawn, finish
from .memory import HOST, place_of
from .reached import PLAIN, Reached, plain
from .replay import AWAITING, Arena, Plan
from .tape import Tape

__all__ = ["Compiled"]

SIGNATURES = 8
"""Signatures of one function that have plans; further ones run eagerly."""
VARIANTS = 4
"""Plans of one signature."""
CALLS = 3
"""Calls of a signature of which a plan is made: the first runs as it did, two are compared."""
ATTEMPTS = 8
"""Recordings without a replay in between; then a signature runs eagerly."""
LIMIT = 1 << 27
"""Bytes of the plans and recordings of one function, beside the memory in which they run: of more, those of the signatures that were
called least recently are dropped. One signature alone may take more, as a step of so many kernels does by itself."""
ROW = 6_000
"""Bytes of a kernel in a plan: its arguments, its part of the tables, and Python's objects. Measured."""
CHECKS = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
"""Replays after which a step is recorded once more, and compared."""
SWITCHES = [
    name for name, value in vars(config).items() if type(value) in PLAIN and name[0] != "_" and name not in ("quiet", "explain", "threads")
]
"""Those that decide something about a step."""


class _Unfit(Exception):
    """Arguments of which there is no plan."""


class _Entry:
    """What is known of a signature."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.tapes: list[Tape] = []  # the last recordings that were like no other
        self.calls = self.replays = 0
        self.last = 0  # the number of its last call
        self.failed = 0  # recordings since the last replay
        self.over = False  # it runs eagerly from now on
        self.reason: str | None = None  # why it was recorded, the last time, without a plan that holds

    @property
    def size(self) -> int:
        """Bytes, about."""
        return ROW * sum(len(tape.rows) for tape in (*self.tapes, *(plan.tape for plan in self.plans)))


class Compiled:
    """A function that runs as it did, and from its third or fourth call with one signature on as a plan."""

    def __init__(self, function: Callable[..., Any], fullgraph: bool = False, reaches: Sequence[Any] = (), name: str = "") -> None:
        functools.update_wrapper(self, function)
        self.name = name or getattr(function, "__name__", type(function).__name__)
        self.function, self.fullgraph, self.reaches = function, fullgraph, reaches
        self._entries: dict[Any, _Entry] = {}
        self._arena = Arena()
        self._calls = itertools.count(1)
        self._lock = lock()
        self.reason: str | None = None
        self.wrong: str | None = None  # why it runs eagerly for good

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """As a method: of a Module, which can be an argument; of another object, a function of its own that the object keeps."""
        if instance is None:
            return self
        if isinstance(instance, Module) or not hasattr(instance, "__dict__"):
            return functools.partial(self, instance)
        name = f"_compiled_{self.name}"  # type: ignore[attr-defined]
        found = instance.__dict__.get(name)
        if found is None or found.function.__self__ is not instance:  # that of the object of which this one is a copy
            found = instance.__dict__[name] = Compiled(types.MethodType(self.function, instance), self.fullgraph)
        return found

    def __reduce__(self) -> Any:
        return type(self), (self.function, self.fullgraph, (), self.name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled:
        return type(self)(self.function, self.fullgraph, (), self.name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        if recording.now.tape is not None or mode.watch is not None or not config.compile or not launch.can_replay():
            return self.function(*args, **options)
        if self.wrong is not None:
            return self._eager(self.wrong, args, options)
        given: list[Any] = []
        try:
            key = _signature(args, options, given)
        except _Unfit as unfit:
            return self._eager(str(unfit), args, options)
        entry = self._entries.get(key)
        if entry is None:
            if len(self._entries) >= SIGNATURES:
                return self._eager(f"it has more than {SIGNATURES} signatures", args, options)
            entry = self._entries.setdefault(key, _Entry())
        entry.calls += 1
        entry.last = next(self._calls)
        if entry.calls == 1:
            return self.function(*args, **options)
        if entry.over:
            return self._eager(entry.reason or "", args, options)
        if not self._lock.acquire(blocking=False):
            return self.function(*args, **options)  # beside the thread that has the plans' memory
        try:
            with self._arena.lock:
                plan, results = self._replay(entry, given)
            if results:
                return results[0]
            if sys.getprofile() is not None:  # whose place the recording would take
                entry.reason = entry.reason or (None if entry.plans else "another profiler runs, as that of a debugger or of coverage")
                return self.function(*args, **options)
            return self._record(entry, plan, given, args, options)
        except _Unfit as unfit:
            reason = str(unfit)
        finally:
            self._lock.release()
        return self._eager(reason, args, options)

    def _replay(self, entry: _Entry, given: list[Any]) -> tuple[Plan | None, list[Any]]:
        """Run the plan that fits, if there is one: that, and what it has returned. Nothing where the step is to be recorded again."""
        for plan in entry.plans:
            if plan.tape.changed() is not None:
                continue
            room = plan.room()
            if room is None:
                raise _Unfit(f"more than {AWAITING} results wait for their backward")
            arrays = plan.bind(given, room)
            if arrays is not None:
                entry.replays += 1
                if entry.replays in CHECKS:
                    return plan, []
                entry.failed = 0
                return plan, [plan.run(given, arrays, room)]
        return None, []

    def timed(self, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Plan | None, list[float]]:
        """Run the plan for these arguments, if there is one, and time each of its rows."""
        given: list[Any] = []
        try:
            entry = self._entries.get(_signature(args, options, given))
        except _Unfit:
            entry = None
        with self._lock, self._arena.lock:
            for plan in entry.plans if entry is not None else ():
                room = plan.room()
                if plan.tape.changed() is None and room is not None and (arrays := plan.bind(given, room)) is not None:
                    return plan, plan.timed(given, arrays, room)
        return None, []

    def why(self, args: tuple[Any, ...], options: dict[str, Any]) -> str | None:
        """Why there is no plan for these arguments, where that is known."""
        try:
            entry = self._entries.get(_signature(args, options, []))
        except _Unfit as unfit:
            return str(unfit)
        return self.reason if entry is None or entry.reason is None else entry.reason

    def text(self) -> str:
        """What there is to know, for :func:`numbacnn.explain`."""
        count = len(self._entries)
        lines = [f"{self.name}: {count} signature{'s' * (count != 1)}"]
        if any(entry.plans for entry in self._entries.values()):
            lines.append(f"plans of {self._size():,} bytes, of at most {LIMIT:,}, that run in {self._arena.size:,}")
        if self.reason not in (None, *(entry.reason for entry in self._entries.values())):
            lines.append(f"runs eagerly: {self.reason}")
        for key, entry in self._entries.items():
            lines.append(f"\n{_shapes(key)}: {entry.calls} call{'s' * (entry.calls != 1)}, {entry.replays} replayed")
            if entry.reason is not None:
                lines.append(f"    {'recorded anew' if entry.plans else 'no plan'}: {entry.reason}")
            elif entry.calls < CALLS:
                lines.append(f"    no plan yet: called {entry.calls} of the {CALLS} times that a plan takes")
            lines += [line for plan in entry.plans for line in plan.lines()]
        return "\n".join(lines)

    def _eager(self, reason: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Run the function as it is."""
        if self.reason != reason:
            self.reason = reason
            if config.explain:
                print(f"[compile {self.name}] runs eagerly: {reason}", file=sys.stderr)
        if self.fullgraph:
            raise RuntimeError(message("compile", "a function of which there is a plan", reason, "call it with fullgraph=False"))
        return self.function(*args, **options)

    def _record(self, entry: _Entry, checked: Plan | None, given: list[Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Run the function and write down what it does; where it did the same before, make a plan."""
        before = (other.changed() for other in (*(plan.tape for plan in entry.plans), *entry.tapes))
        changed = next((f"{name} changes from call to call" for name in before if name), None)
        reached = Reached()
        for function in (self.function, *self.reaches):
            reached.add(function)
        numbers = drawn()
        tape = recording.now.tape = Tape(given, reached)
        recording.structure.recordings += 1
        backends.empty_cache()  # it takes as much by itself
        try:
            with reached.watching():
                returned = [self.function(*args, **options)]
                go_back(tape, returned[0])
        finally:
            recording.structure.recordings += 1
            recording.now.tape = None
            tape.place.settle()
        finish(tape, returned, numbers)
        backends.get(backends.DEFAULT).empty_cache()  # what it took is free
        if recording.structure.changes != tape.structure and tape.reason is None:
            tape.reason = "a module, a parameter or an optimiser's groups are changed in it"
        if checked is not None:
            self._check(checked, tape)
        else:
            entry.failed += 1
            entry.reason = tape.reason or self._compare(entry, tape, changed)
            if entry.reason is not None and entry.failed >= ATTEMPTS:
                entry.over, entry.plans, entry.tapes = True, [], []
            self._drop(entry)
        return returned[0]

    def _size(self) -> int:
        return sum(entry.size for entry in self._entries.values())

    def _drop(self, kept: _Entry) -> None:
        """Forget what is too much, but that of one signature."""
        for entry in sorted(self._entries.values(), key=lambda entry: entry.last):
            if self._size() > LIMIT and entry is not kept:
                entry.plans, entry.tapes = [], []

    def _check(self, plan: Plan, tape: Tape) -> None:
        """Compare a plan with what the function does now."""
        difference = tape.reason or plan.tape.difference(tape)
        if difference is not None:
            for entry in self._entries.values():
                entry.plans, entry.tapes = [], []
            self.reason = self.wrong = f"it does not do the same in each call: {difference}"
            text = f"numbacnn: {self.name} was compiled, but {self.wrong}; earlier calls may be wrong, later ones run eagerly"
            warnings.warn(text, RuntimeWarning, stacklevel=4)

    def _compare(self, entry: _Entry, tape: Tape, changed: str | None) -> str | None:
        """Make a plan, if the function did the same before; what keeps it from being replayed for long, or why there is none.

        ``changed``: what was not as an earlier recording had found it.
        """
        known = [plan for plan in entry.plans if plan.tape.difference(tape) is None]
        same = [other for other in entry.tapes if other.difference(tape) is None]
        if known or same:
            entry.plans = [Plan(tape, self._arena, self.name), *(plan for plan in entry.plans if plan not in known)][:VARIANTS]
            entry.tapes = [other for other in entry.tapes if other not in same]
            return changed or ("what it depends on changes from call to call" if entry.failed >= ATTEMPTS else None)
        others = [*entry.tapes, *(plan.tape for plan in entry.plans)]
        entry.tapes = [tape, *entry.tapes][:VARIANTS]
        differences = [others[0].difference(tape)] if others else []
        return ": ".join(filter(None, (changed, *differences))) or None


def _signature(args: tuple[Any, ...], options: dict[str, Any], given: list[Any]) -> Any:
    """What calls have in common that a plan can serve; the arrays and Tensors are added to ``given``."""
    key = [_part(value, given) for value in args]
    key += [(name, _part(value, given)) for name, value in options.items()] if options else []
    if len(given) > 1:
        key.append(_shared(given))
    return (*key, mode.grad, ruled(), *[getattr(config, name) for name in SWITCHES])


def _shapes(key: Any) -> str:
    """The tensors and arrays of a signature."""
    if isinstance(key, tuple) and len(key) > 3 and isinstance(key[3], np.dtype):
        return f"{key[3]} {key[1]}"
    return ", ".join(filter(None, map(_shapes, key))) if isinstance(key, tuple) else ""


def _part(value: Any, given: list[Any]) -> Any:
    if isinstance(value, Tensor):
        given.append(value)
        a = value.array
        view = value._base is None, value._seen == value._version.recorded
        grown = value._node is not None
        if not isinstance(a, np.ndarray):
            return type(value), *place_of(value.device).like(a), value._requires_grad, grown, view
        return type(value), a.shape, a.strides, a.dtype, a.flags.num & 0x500, value._requires_grad, grown, view  # aligned, writable
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise _Unfit("an argument is an array of other things than numbers")
        given.append(value)
        return np.ndarray, value.shape, value.strides, value.dtype, value.flags.num & 0x500
    if isinstance(value, (tuple, list)):
        return type(value), *(_part(v, given) for v in value)
    if isinstance(value, dict):
        return (dict, *((_part(k, given), _part(v, given)) for k, v in value.items()))
    if isinstance(value, (Module, Optimizer)):
        return type(value), _Same(value)
    if type(value) in PLAIN or isinstance(value, np.generic):
        return plain(value) if type(value) in PLAIN else (type(value), value.tobytes())
    raise _Unfit(f"an argument is a {type(value).__name__}: pass Tensors, arrays, numbers, and lists and dicts of them")


class _Same:
    """An object that is equal to itself alone."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


def _shared(given: list[Any]) -> Any:
    """Which arguments are one array; those that share only a part of their memory have no plan."""
    same = []
    arrays = [(place_of(value.device), value.array) if isinstance(value, Tensor) else (HOST, value) for value in given]
    for (i, (place, a)), (j, (other, b)) in itertools.combinations(enumerate(arrays), 2):
        if place is other and place.meet(a, b):
            if a is not b and (place.like(a), place.address(a)) != (place.like(b), place.address(b)):
                raise _Unfit("two arguments share memory")
            same.append((i, j))
    return tuple(same)
