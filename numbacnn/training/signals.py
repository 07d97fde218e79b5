"""Ctrl-C: noticed between two steps, so that a run stops where it can go on."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import Any

__all__ = ["Interrupted", "StopSignal"]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C came during :func:`fit`; ``folder`` holds the state to go on from, or is None where nothing is kept."""

    def __init__(self, text: str, folder: Path | None) -> None:
        super().__init__(text)
        self.folder = folder


class StopSignal:
    """Turns the first Ctrl-C into a flag that is looked at between two steps; the second one interrupts at once."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> StopSignal:
        # other threads are not sent signals, and a program that ignores them goes on ignoring them
        self._watching = threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT))
        if self._watching:
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._watching:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, *args: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print("\nstopping after this step (Ctrl-C again: at once) ...", file=sys.stderr, flush=True)
