"""What a function reaches without being given it: the globals, closure cells and objects' attributes that its code names.

A plan holds for as long as these are what they were: the same objects, or plain values of the same type and bits. A list or dictionary
counts as changed where a member is another one.
"""

from __future__ import annotations

import dis
import functools
import gc
import struct
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core import event

from ..nn import Module
from ..recording import now

__all__ = ["Reached", "is_own", "plain"]

PACKAGE = str(Path(__file__).parents[1])
OTHERS = tuple(str(Path(module.__file__ or "?").parent) for module in (np, numba, llvmlite)) + ("<frozen",)
IMPORTING = "<frozen importlib._bootstrap>"
STANDARD = str(Path(types.__file__).parent)
PLAIN = (int, float, complex, bool, str, bytes, type(None))
MANY = 64
"""Members of a list or dictionary of which each is looked at; of more, only how many there are."""

_GONE = object()


def plain(value: Any) -> Any:
    """A plain value as something that is equal where the type and the bits are: 1, 1.0 and True differ, and 0.0 and -0.0; NaN is NaN."""
    return (type(value), struct.pack("d", value) if type(value) is float else repr(value) if type(value) is complex else value)


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) in PLAIN and type(b) is type(a) and plain(a) == plain(b))


def is_own(code: types.CodeType) -> bool:
    """Whether this code is the library's, or that of Python and of the packages below: nobody's who writes a step."""
    name = code.co_filename
    return name.startswith((PACKAGE, *OTHERS)) or (name.startswith(STANDARD) and "-packages" not in name)


@functools.lru_cache(maxsize=1024)
def _names(code: types.CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """The names of globals and those of attributes in a function's code, and in that of functions inside."""
    scope, attributes = set(), set()
    for instruction in dis.get_instructions(code):
        if instruction.opname.endswith(("_GLOBAL", "_NAME")):
            scope.add(instruction.argval)
        elif instruction.opname.endswith(("_ATTR", "_METHOD")):
            attributes.add(instruction.argval)
    for inner in _inner(code):
        for found, more in zip((scope, attributes), _names(inner)):
            found |= more
    return frozenset(scope), frozenset(attributes)


def _inner(code: types.CodeType) -> list[types.CodeType]:
    """The code of functions that are made in a function."""
    return [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]


class Reached:
    """Places and what they hold."""

    def __init__(self) -> None:
        self._places: list[tuple[Callable[[], Any], str, Any, Any]] = []
        self._seen: set[Any] = set()
        self._inside: set[types.CodeType] = set()  # of functions that seen ones make, over variables of theirs
        self._kept: list[Any] = []  # what is known by its id stays

    def add(self, value: Any, names: frozenset[str] = frozenset(), name: str = "a list or dictionary") -> None:
        """A value that user's code holds which names these attributes: the places that it reaches in turn."""
        if isinstance(value, types.MethodType):
            self.add(value.__func__)
            code = getattr(value.__func__, "__code__", None)
            self.add(value.__self__, names if code is None else _names(code)[1])
        elif isinstance(value, types.FunctionType):
            function = getattr(value, "__wrapped__", value)
            if isinstance(function, types.FunctionType) and not is_own(function.__code__):
                self._add_function(function)
        elif isinstance(value, (list, dict)):
            self._add_members(value, name)
        elif _has_attributes(value):
            self._add_names(value.__dict__, names, names)

    def _add_function(self, function: types.FunctionType) -> None:
        _, names = _names(function.__code__)
        for cell, name in zip(function.__closure__ or (), function.__code__.co_freevars):
            self._place(("cell", id(cell)), cell, functools.partial(_contents, cell), name, names)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.add(value, names)
        self.add_code(function.__code__, function.__globals__)

    def add_code(self, code: types.CodeType, scope: dict[str, Any]) -> None:
        """Code that runs: the globals that it names."""
        if code not in self._seen:
            self._seen.add(code)
            self._inside.update(_inner(code))
            named, attributes = _names(code)
            self._add_names(scope, named, attributes)

    def _add_called(self, frame: types.FrameType) -> None:
        """A function of the user's that runs: what it names, and the object whose method it is."""
        code = frame.f_code
        owner = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
        if code.co_freevars and code not in self._inside:  # its cells are the function's, which a frame does not know
            for function in gc.get_referrers(code):
                if isinstance(function, types.FunctionType):
                    self._add_function(function)
        self.add_code(code, frame.f_globals)
        if _has_attributes(owner):
            self.add(owner, _names(code)[1])

    def add_method(self, kind: type, name: str) -> None:
        """A method of a class, in whose place somebody may put another."""
        self._place((kind, name), kind, functools.partial(getattr, kind, name), name, frozenset())

    def _add_names(self, scope: dict[str, Any], names: frozenset[str], attributes: frozenset[str]) -> None:
        for name in names & scope.keys():
            self._place((id(scope), name), scope, functools.partial(scope.get, name, _GONE), name, attributes)

    def _place(self, key: Any, keep: Any, get: Callable[[], Any], name: str, names: frozenset[str]) -> None:
        if key in self._seen:
            return
        self._seen.add(key)
        value = get()
        self._places.append((get, name, value, None))
        self._kept.append(keep)
        self.add(value, names, name)

    def _add_members(self, value: Any, name: str) -> None:
        if id(value) in self._seen:
            return
        self._seen.add(id(value))

        def members() -> list[Any]:
            found: list[Any] = [len(value)]
            if found[0] <= MANY:
                found += [*value.keys(), *value.values()] if isinstance(value, dict) else value
            return found

        self._places.append((members, name, None, members()))

    def held(self, kinds: tuple[type, ...]) -> list[Any]:
        """What is reached of these kinds."""
        return [value for _, _, value, _ in self._places if isinstance(value, kinds)]

    def changed(self) -> str | None:
        """The name of a place that does not hold what it did."""
        for get, name, value, members in self._places:
            found = get()
            if members is not None:
                if len(found) != len(members) or not all(map(_same, found, members)):
                    return name
            elif found is not value and not _same(found, value):
                return name
        return None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look out for the user's code that runs inside: not what an import runs, or Numba while it compiles."""
        before, collecting, outside = sys.getprofile(), gc.isenabled(), sys._getframe(2)  # of whoever runs the step

        def called(frame: types.FrameType, what: str, argument: Any) -> None:
            if what != "call" or now.tape is None or frame.f_code in self._seen or is_own(frame.f_code):
                return
            if not _is_imported(frame, outside):
                self._add_called(frame)

        gc.disable()  # what others have it call is none of the step's
        sys.setprofile(called)
        try:
            with event.install_listener("numba:compiler_lock", _LooksAway(called)):
                yield
        finally:
            sys.setprofile(before)
            if collecting:
                gc.enable()


class _LooksAway(event.Listener):
    """Takes a profile off this thread while Numba compiles: to be asked at each of its calls takes longer than that."""

    def __init__(self, profile: Any) -> None:
        self._profile, self._thread, self._depth = profile, threading.get_ident(), 0

    def on_start(self, _: Any) -> None:
        if threading.get_ident() == self._thread:
            self._depth += 1
            sys.setprofile(None)

    def on_end(self, _: Any) -> None:
        if threading.get_ident() == self._thread:
            self._depth -= 1
            if not self._depth:
                sys.setprofile(self._profile)


def _is_imported(frame: types.FrameType | None, outside: types.FrameType) -> bool:
    """Whether an import runs this code, itself within the step: the body of a module, or who looks for it."""
    while frame is not None and frame is not outside:
        if frame.f_code.co_filename == IMPORTING:
            return True
        frame = frame.f_back
    return False


def _has_attributes(value: Any) -> bool:
    """Whether it is an object of the user's whose attributes are looked at; modules of a network say when theirs change."""
    if isinstance(value, (type, Module, *PLAIN)) or type(value).__module__.startswith("numbacnn"):
        return False
    return isinstance(getattr(value, "__dict__", None), dict)


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _GONE
