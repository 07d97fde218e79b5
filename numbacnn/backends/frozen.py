"""Weights that nobody can write to while ``inference_mode`` lasts, and what was made of them once.

On its first use in the mode a weight's array is set read-only, if its tensor alone refers to its memory: all views that are made
from then on are read-only too, so what was made of the array stays true. Where somebody else refers to it (a NumPy view, another
tensor, a graph that waits for its backward) he might write unseen; such a weight is left as it is and prepared at every use.

A weight is frozen for all threads, until the last of those that used it in the mode has left it. Arrays are known by identity and
referred to weakly: what was made of one goes when it goes.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

__all__ = ["begin", "end", "freeze", "kept"]


class _Thread(threading.local):
    depth = 0
    session: object = None  # one for each outermost mode; None outside


class _Entry:
    """A frozen array: the sessions that use it, and by name the layout and value of what was made of it."""

    __slots__ = ("array", "lock", "made", "sessions")

    def __init__(self, array: np.ndarray) -> None:
        key = id(array)
        self.array = weakref.ref(array, lambda _: _entries.pop(key, None))
        self.sessions: set[object] = set()
        self.made: dict[str, tuple[Hashable, Any]] = {}
        self.lock = threading.Lock()


_thread = _Thread()
_entries: dict[int, _Entry] = {}  # by the array's id
_lock = threading.Lock()


def begin() -> None:
    """Enter the mode in this thread; calls nest."""
    if not _thread.depth:
        _thread.session = object()
    _thread.depth += 1


def end() -> None:
    """Leave it. The outermost call gives back the weights that no other thread uses."""
    _thread.depth -= 1
    if _thread.depth:
        return
    session, _thread.session = _thread.session, None
    with _lock:
        _release(lambda other: other is session)


def _release(over: Callable[[object], bool]) -> None:
    """Forget the sessions that are over, and give back what none uses."""
    for key, entry in list(_entries.items()):
        entry.sessions = {s for s in entry.sessions if not over(s)}
        if not entry.sessions:
            _entries.pop(key, None)
            array = entry.array()
            if array is not None:
                array.flags.writeable = True


def freeze(holder: Any) -> None:
    """In the mode: set ``holder.array`` read-only until its end, if no other than the holder refers to its memory."""
    session = _thread.session
    if session is None:
        return
    entry = _entries.get(id(holder.array))
    if entry is not None and session in entry.sessions:
        return
    with _lock:
        entry = _entries.get(id(holder.array))
        if entry is None and holder.array.flags.writeable and _alone(holder):
            holder.array.flags.writeable = False
            if _alone(holder):
                entry = _entries[id(holder.array)] = _Entry(holder.array)
            else:  # another thread took a view in between
                holder.array.flags.writeable = True
        if entry is not None:
            entry.sessions.add(session)


def kept(array: np.ndarray, name: str, layout: Hashable, make: Callable[[], Any]) -> Any | None:
    """What ``make()`` gives, once while the array is frozen: under each name the last layout, so that memory is bounded. Else None."""
    entry = _entries.get(id(array))
    if entry is None:
        return None
    if array.flags.writeable:  # somebody insisted
        entry.made.clear()
        return None
    found = entry.made.get(name)
    if found is None or found[0] != layout:
        with entry.lock:
            found = entry.made.get(name)
            if found is None or found[0] != layout:
                found = entry.made[name] = layout, make()
    return found[1]


# -- who refers to an array ------------------------------------------------------------------------------------------------
class _Holder:
    __slots__ = ("array",)

    def __init__(self, array: np.ndarray) -> None:
        self.array = array


def _references(holder: Any) -> tuple[int, int]:
    """How often the array, and the one whose memory it shows, are referred to."""
    return sys.getrefcount(holder.array), sys.getrefcount(holder.array.base)


_ALONE = _references(_Holder(np.empty(2)[:1]))  # measured: what the calls add differs between Python versions


def _alone(holder: Any) -> bool:
    """Whether the holder alone refers to its array, and that alone to its memory."""
    base = holder.array.base
    if base is None:
        return holder.array.flags.owndata and _references(holder)[0] == _ALONE[0]
    owned = isinstance(base, np.ndarray) and base.flags.owndata
    del base
    return owned and _references(holder) == _ALONE


def _after_fork() -> None:
    """The parent's other threads are gone, and with them their sessions; one of them may have held the lock."""
    global _lock
    _lock = threading.Lock()
    _release(lambda other: other is not _thread.session)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
