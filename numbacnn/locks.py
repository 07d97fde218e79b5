"""Locks that survive a fork."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

__all__ = ["lock", "watch"]

_made: weakref.WeakSet[Any] = weakref.WeakSet()


def lock(reentrant: bool = False) -> threading.Lock:
    """A lock that is open in a forked child: a thread of the parent that held it does not exist there, and would never open it.

    Args:
        reentrant: the thread that holds it may take it again.

    >>> with lock():
    ...     pass
    """
    made: Any = threading.RLock() if reentrant else threading.Lock()
    watch(made)
    return made  # type: ignore[no-any-return]


def watch(made: Any) -> None:
    """Open this lock in a forked child too: one of another library."""
    _made.add(made)


def _after_fork() -> None:
    for made in list(_made):
        made._at_fork_reinit()  # as the standard library does with its own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
