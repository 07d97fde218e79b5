"""A launch may be held back until the next one, which may do the work of both.

At most one :class:`Held` waits in the process. Every other launch has it launched first, and so has whoever looks at memory without one
(:func:`settle`): nobody can tell that it came later. While a step is recorded it waits for its own thread alone, on whose tape it comes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from ... import recording
from ...locks import lock

__all__ = ["Held", "catching", "claim", "hold", "mine", "now", "seen", "settle", "takes"]


class Held:
    """Launches to come: what :meth:`run` does."""

    def __init__(self) -> None:
        self.tape, self.thread, self.runs = recording.now.tape, threading.get_ident(), False
        self.here = None if self.tape is None else self.tape.here()

    def run(self) -> None:
        """Launch them."""
        raise NotImplementedError

    def makes(self, array: Any) -> bool:
        """Whether one of them makes this array."""
        raise NotImplementedError


class _Now:
    held: Held | None = None


class _Mine(threading.local):
    caught: list[Callable[[], None]] | None = None


now = _Now()
"""What waits."""
mine = _Mine()
"""What this thread's launches are caught in; None mostly, and they are launched."""
_lock = lock(reentrant=True)  # held while something is launched that waited: nobody's launch may pass it


def settle() -> None:
    """Launch what waits. After an error it waits no more; after Ctrl-C it does."""
    with _lock:
        held = now.held
        if held is None or held.runs or (held.tape is not None and held.thread != threading.get_ident()):
            return
        tape, recording.now.tape = recording.now.tape, held.tape
        held.runs = True
        try:
            with nullcontext() if held.tape is None else held.tape.back(held.here):
                held.run()
        except Exception:
            now.held = None
            raise
        else:
            now.held = None
        finally:
            held.runs = False
            recording.now.tape = tape


def seen(array: Any) -> None:
    """Launch what makes this array, if it waits."""
    with _lock:
        if now.held is not None and now.held.makes(array):
            settle()


def hold(held: Held) -> None:
    """Have it wait, and launch what waited; at once where another thread's recording has something that waits."""
    with _lock:
        settle()
        if now.held is None:
            now.held = held
        else:
            held.run()


@contextmanager
def claim() -> Iterator[Held | None]:
    """What waits, of this thread and on its tape; it can't be launched inside, nor replaced but by whoever asks."""
    with _lock:
        held = now.held
        own = held is not None and held.thread == threading.get_ident() and held.tape is recording.now.tape and not held.runs
        yield held if own else None


@contextmanager
def catching() -> Iterator[list[Callable[[], None]]]:
    """What this thread launches inside, as functions without arguments, in place of launching it."""
    caught: list[Callable[[], None]] = []
    mine.caught = caught
    try:
        yield caught
    finally:
        mine.caught = None


def takes(launch: Callable[[], None]) -> bool:
    """Whether a launch is caught; else what waits is launched before it."""
    if mine.caught is not None:
        mine.caught.append(launch)
        return True
    settle()
    return False
