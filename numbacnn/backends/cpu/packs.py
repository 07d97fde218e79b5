"""What is made of a layer's weights is made once, and kept for as long as the weights are unchanged.

A layer locks a weight whose gradient is not wanted: it sets the array read-only, if the weight's tensor alone refers to its memory.
While the lock holds, nobody has written to the weight, so what was made of it is still true: kernels find the weights packed. Everything
that writes, or that lets a user write, calls ``unlock`` first, which forgets what was made: writes to Tensors, optimisers, and
``Tensor.numpy()``. A weight whose memory is also held elsewhere, as a NumPy array or by a result that waits for its backward,
is not locked, and is packed at each use.

Arrays are known by identity and referred to weakly: what was made of one goes when it goes.
"""

from __future__ import annotations

import functools
import sys
import weakref
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from ... import locks, recording

__all__ = ["cached", "kept", "lock", "unlock"]


class _Locked:
    """A locked array and, by name, the layout and value of what was made of it."""

    __slots__ = ("array", "made", "making")

    def __init__(self, array: np.ndarray) -> None:
        key = id(_memory(array))
        self.array = weakref.ref(array, lambda _: _locked.pop(key, None))
        self.made: dict[str, tuple[Hashable, Any]] = {}
        self.making = locks.lock()


_locked: dict[int, _Locked] = {}  # by the id of the array that owns the memory
_lock = locks.lock()


def _memory(array: np.ndarray) -> Any:
    """The owner of the memory that an array shows."""
    return array if array.base is None else array.base


def lock(holder: Any) -> None:
    """Set ``holder.array`` read-only, if the holder alone refers to its memory."""
    if not holder.array.flags.writeable or not _alone(holder):
        return
    with _lock:
        if holder.array.flags.writeable and _alone(holder):
            holder.array.flags.writeable = False
            if _alone(holder):
                _locked[id(_memory(holder.array))] = _Locked(holder.array)
            else:  # another thread took a view in between
                holder.array.flags.writeable = True


def unlock(x: np.ndarray) -> None:
    """Let ``x``, a weight or a view of one, be written to again, and forget what was made of the weight."""
    if recording.now.tape is not None:
        recording.now.tape.unlocks(x)
    if x.flags.writeable:
        return
    with _lock:
        entry = _locked.pop(id(_memory(x)), None)
        weight = None if entry is None else entry.array()
        if weight is not None:
            weight.flags.writeable = True
        if not repeats(x):  # a view that was made while the lock held
            x.flags.writeable = True


def repeats(array: np.ndarray) -> bool:
    """Whether an array shows some element more than once, as a broadcast one does."""
    return any(not stride and size > 1 for stride, size in zip(array.strides, array.shape))


def cached(array: np.ndarray, name: str, layout: Hashable, make: Callable[[], Any]) -> Any | None:
    """What ``make()`` gives, once while the array is locked; None for one that is not. Each name keeps its last layout only."""
    entry = _entry(array)
    if entry is None:
        return None
    found = entry.made.get(name)
    if found is None or found[0] != layout:
        with entry.making, recording.pausing():
            found = entry.made.get(name)
            if found is None or found[0] != layout:
                found = entry.made[name] = layout, make()
    if recording.now.tape is not None:
        recording.now.tape.packed(array, name, found[1], functools.partial(kept, name=name, layout=layout))
    return found[1]


def kept(array: np.ndarray, name: str, layout: Hashable) -> Any | None:
    """What :func:`cached` has made, if it still holds."""
    entry = _entry(array)
    found = None if entry is None else entry.made.get(name)
    return None if found is None or found[0] != layout else found[1]


def _entry(array: np.ndarray) -> _Locked | None:
    if array.flags.writeable:
        return None
    entry = _locked.get(id(_memory(array)))
    return None if entry is None or entry.array() is not array else entry


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
