"""A plan on a device whose kernels Python launches: a list of launches, on arrays that are made of addresses once memory lies.

What the device is given in place of addresses, and how memory is taken there, its backend says: ``recorded``.
"""

from __future__ import annotations

import bisect
import functools
import time
from typing import Any

from .memory import LINE
from .rows import Called, regions_of
from .tape import Tape

__all__ = ["Listed", "Listing"]


class Listed:
    """All rows of a tape, and where each region lies."""

    def __init__(self, tape: Tape) -> None:
        self.rows, self.at = tape.rows, tape.place.at
        self.native: dict[int, int] = {}
        self.patches: list[list[Any]] = [[] for _ in tape.regions]
        self.bases = [0] * len(tape.regions)
        self.wait = tape.place.wait

    def place(self, region: int, start: int) -> None:
        """A region lies here now."""
        self.bases[region] = start

    @staticmethod
    def lay_out(tape: Tape, shared: dict[int, int]) -> tuple[dict[int, int], int]:
        """Where in one room these regions lie, and its size: memory is used again when the last kernel that is given it has run.

        What the way forward leaves to the way back lasts, for that may be gone again.
        """
        turn = len(tape.rows) if tape.way_back is None else tape.way_back.row
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for i, row in enumerate(tape.rows):
            for region in regions_of(row.values):
                first.setdefault(region, i)
                last[region] = len(tape.rows) if first[region] < turn <= i else i
        places: dict[int, int] = {}
        used: list[tuple[int, int, int]] = []  # of what lies there now: the place, the end, and the row after which it is free
        size = 0
        for region in sorted(shared, key=lambda region: first.get(region, 0)):
            if region not in first:
                places[region] = 0
                continue
            used = [block for block in used if block[2] >= first[region]]
            wanted, place = -(-tape.regions[region].size // LINE) * LINE, 0
            for start, end, _ in used:
                if place + wanted <= start:
                    break
                place = end
            bisect.insort(used, (place, place + wanted, last[region]))
            places[region], size = place, max(size, place + wanted)
        return places, size


class Listing:
    """Rows that are launched one after the other."""

    threads = 1

    def __init__(self, table: Listed, first: int, last: int) -> None:
        self.table, self._ended = table, True
        rows: list[Any] = table.rows[first:last]  # type: ignore[assignment]
        self._calls = [Called(functools.partial(row.function, row.kernel), row.values, table.at) for row in rows]

    def run(self) -> None:
        """Launch them."""
        self._ended = False
        for call in self._calls:
            call(self.table.bases)
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
