"""Processes of this library's that a process starts, and ends where they take too long or die."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

__all__ = ["command", "death", "end", "end_with_parent", "kill", "limit"]

PACKAGES = str(Path(__file__).parents[1])
"""Where numbacnn lies: a child looks there for it, and not in the folder where it starts, whose files could hide a library's."""


def command(module: str, function: str, *args: str) -> list[str]:
    """What starts a process that calls a function without arguments; ``args`` are its ``sys.argv[1:]``."""
    start = f"import sys; sys.path.insert(0, {PACKAGES!r}); from {module} import {function}; del sys.path[0]; {function}()"
    return [sys.executable, "-P", "-c", start, *args]


@contextlib.contextmanager
def limit(process: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
    """Kill the process after so many seconds, and never after the block; whether it was is the event."""
    late = threading.Event()

    def give_up() -> None:
        late.set()
        kill(process)

    timer = threading.Timer(seconds, give_up)
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()
        timer.join()


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads a session, and what it forked."""
    with contextlib.suppress(OSError):  # gone; macOS says so of one that nobody has waited for, too
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it forked."""
    if process.poll() is None:
        kill(process)
        process.wait()
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()


def death(code: int, complaints: IO[bytes]) -> str:
    """What is known of a death: the signal or status, and the last line that the process wrote into the file of its complaints."""
    complaints.seek(0)
    lines = [line for line in complaints.read().decode(errors="replace").splitlines() if line.strip()]
    known = {s.value: s.name for s in signal.Signals}
    how = f"died of {known.get(-code, f'signal {-code}')}" if code < 0 else f"ended with status {code}"
    return f"the process {how}" + (f": {lines[-1][:200]}" if lines else "")


def end_with_parent() -> None:
    """Have this process end when the one that started it does, however that dies."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
