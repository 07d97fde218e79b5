"""A plan on a device whose kernels Python launches: a list of launches, on arrays that are made of addresses once memory lies.

What the device is given in place of addresses, how memory is taken there, and which launches it does as one, its backend says:
``recorded``.
"""

from __future__ import annotations

import functools
import time
from typing import Any

from .rows import Called
from .tape import Tape

__all__ = ["Listed", "Listing"]


class Listed:
    """All rows of a tape, and where each region lies."""

    def __init__(self, tape: Tape) -> None:
        self.rows, self.at, self.join = tape.rows, tape.place.at, tape.place.join
        self.native: dict[int, int] = {}
        self.patches: list[list[Any]] = [[] for _ in tape.regions]
        self.bases = [0] * len(tape.regions)
        self.wait = tape.place.wait

    def place(self, region: int, start: int) -> None:
        """A region lies here now."""
        self.bases[region] = start


class Listing:
    """Rows that are launched one after the other."""

    threads = 1

    def __init__(self, table: Listed, first: int, last: int) -> None:
        self.table, self._ended = table, True
        rows: list[Any] = table.rows[first:last]  # type: ignore[assignment]
        self._calls = [Called(functools.partial(row.function, row.kernel), row.values, table.at) for row in rows]
        self._segments = table.join(self._calls)

    @property
    def calls(self) -> int:
        """How many of them Python launches one by one."""
        return sum(isinstance(segment, Called) for segment in self._segments)

    def run(self) -> None:
        """Launch them."""
        self._ended = False
        for segment in self._segments:
            segment(self.table.bases)
        self._ended = True

    def has_ended(self) -> bool:
        """Whether the last run, which was interrupted, had launched all."""
        return self._ended

    def succeeds(self, row: int) -> bool:
        """Whether a kernel finds nothing wrong: what the device finds is raised when a result is read."""
        return True

    def timed(self) -> list[float]:
        """Run the rows one by one; the seconds of each."""
        seconds = []
        for call in self._calls:
            self.table.wait()
            before = time.perf_counter()
            call(self.table.bases)
            self.table.wait()
            seconds.append(time.perf_counter() - before)
        return seconds
