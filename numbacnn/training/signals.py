"""Ctrl-C, SIGTERM and SIGHUP: noticed between two steps, so that a run stops where it can go on."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["Interrupted", "StopSignal"]

STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]  # Windows has no SIGHUP


class Interrupted(KeyboardInterrupt):
    """Ctrl-C came during :func:`fit`; ``folder`` holds the state to go on from, or is None where nothing is kept."""

    def __init__(self, text: str, folder: Path | None, number: int = signal.SIGINT) -> None:
        super().__init__(text)
        self.folder, self.number = folder, number

    def pass_on(self) -> None:
        """Send the signal once more, to the handler that it had before the run; by default the process ends there."""
        if self.number != signal.SIGINT:  # whose handler raises, as this error does
            _say(str(self))
            signal.raise_signal(self.number)


class StopSignal:
    """Turns signals into a flag that is looked at between two steps; a second Ctrl-C interrupts at once.

    Signals that the program ignores, as under nohup, stay ignored.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():  # other threads are not sent signals
            for number in STOPPING:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: Any) -> None:
        if number == signal.SIGINT and self.number is not None:
            raise KeyboardInterrupt
        self.number = number
        again = " (Ctrl-C again: at once)" if number == signal.SIGINT else f" ({signal.Signals(number).name})"
        _say(f"\nstopping after this step{again} ...")


def _say(text: str) -> None:
    with suppress(OSError, ValueError, RuntimeError):  # the terminal is gone, or closed, or in the middle of being written to
        print(text, file=sys.stderr, flush=True)
