"""Whoever writes down what a step does, and what all modules tell it.

A *tape* is set while a step is recorded (``numbacnn.plan``): this thread's alone. What a module does that a replay must know of, it tells
the tape: memory that is made, kernels that are launched, values that change from call to call, Python that can't be repeated.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import numpy as np

__all__ = [
    "Numbers",
    "RemovableHandle",
    "changed",
    "compiler",
    "constant",
    "effect",
    "given",
    "guard",
    "handed",
    "is_constant",
    "live",
    "now",
    "pausing",
    "refuse",
    "structure",
]

T = TypeVar("T")

compiler: list[Any] = []
"""``nc.compile``, of the room above modules, when somebody needs it: a function that gives it."""


class _Now(threading.local):
    tape: Any = None
    """What writes down the step that this thread runs; None mostly."""


now = _Now()


class _Structure:
    """How often something changed that decides which operations a step consists of: a module's attributes, modes and tensors."""

    changes = 0
    recordings = 0
    """How often a recording has begun or ended: what was made since then is part of none."""


structure = _Structure()


def changed() -> None:
    """Say that a recorded step may consist of other operations from now on."""
    structure.changes += 1


class RemovableHandle:
    """What registering a hook returns; ``remove()`` takes the hook away again."""

    def __init__(self, hooks: dict[int, Any], hook: Any) -> None:
        self._hooks, self._key = hooks, max(hooks, default=-1) + 1
        changed()
        hooks[self._key] = hook

    def remove(self) -> None:
        """Take the hook away; a second time it does nothing."""
        changed()
        self._hooks.pop(self._key, None)


@contextlib.contextmanager
def pausing() -> Iterator[None]:
    """Write nothing down inside: what is done there lasts beyond the step."""
    tape, now.tape = now.tape, None
    try:
        yield
    finally:
        now.tape = tape


def refuse(reason: str) -> None:
    """Say that what happens now can't be repeated without Python."""
    if now.tape is not None:
        now.tape.refuse(reason)


def guard(value: Callable[[], T]) -> T:
    """``value()``, on which it depends which operations follow: a replay asks again first."""
    if now.tape is not None:
        return now.tape.guard(value)
    return value()


def live(make: Callable[[], np.ndarray], kind: str) -> np.ndarray:
    """``make()``, a new array of numbers that kernels read and that each replay makes anew.

    ``kind``: a "rate", which a step does not change; a "count", which it does; a "draw" from the library's generator.
    """
    if now.tape is not None:
        return now.tape.live(make, kind)
    return make()


class Numbers:
    """Arguments of a kernel that are worked out when it is launched: ``function(*args)``, of arrays that :func:`live` made, and others."""

    def __init__(self, function: Callable[..., Iterable[Any]], *args: Any) -> None:
        self.function, self.args = function, args

    def __call__(self) -> Iterable[Any]:
        return self.function(*self.args)


def effect(action: Callable[[], None]) -> None:
    """Do something to Python's objects, here and at this place of each replay."""
    action()
    if now.tape is not None:
        now.tape.effect(action)


def handed(array: T) -> T:
    """Say that a user has an array for a kernel of his own: what he does with it must go through :func:`numbacnn.launch`."""
    if now.tape is not None:
        now.tape.hands(array)
    return array


def given(arrays: tuple[Any, ...]) -> None:
    """Say that a kernel of the user's is launched on arrays."""
    if now.tape is not None:
        now.tape.gives(arrays)


_constants: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def constant(array: T) -> T:
    """Declare that nobody writes to an array any more: a table that kernels are given."""
    _constants[id(array)] = array
    return array


def is_constant(array: Any) -> bool:
    """Whether the array was declared a constant."""
    return _constants.get(id(array)) is array
