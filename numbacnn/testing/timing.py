"""How long something takes."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["timed"]


def timed(run: Callable[[], object], seconds: float, least: int = 3) -> list[float]:
    """Seconds of each run, for about so long; one run to warm up first.

    >>> len(timed(lambda: None, 0.0))
    3
    """
    run()
    times: list[float] = []
    stop = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < stop:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times
