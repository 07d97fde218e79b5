"""Locks that survive a fork."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any

__all__ = ["lock", "watch"]

_made: weakref.WeakSet[Any] = weakref.WeakSet()


def lock() -> threading.Lock:
    """A lock that is open in a forked child: a thread of the parent that held it does not exist there, and would never open it.

    >>> with lock():
    ...     pass
    """
    made = threading.Lock()
    watch(made)
    return made


def watch(made: Any) -> None:
    """Open this lock in a forked child too: one of another library."""
    _made.add(made)


def _after_fork() -> None:
    for made in list(_made):
        made._at_fork_reinit()  # as the standard library does with its own


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
