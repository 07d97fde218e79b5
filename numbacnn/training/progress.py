"""What a run shows while it goes: a bar on a terminal, a line for each epoch, and a word where the machine is busy."""

from __future__ import annotations

import itertools
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from .. import backends, config
from ..errors import printable
from ..kernels.cpu.launch import get_num_threads

__all__ = ["Bar", "BusyMachine", "Numbers", "Progress"]

Numbers = Callable[[], Iterable[tuple[str, float]]]
"""Gives the (name, value) pairs that a bar shows."""

FORMATS = (
    "{desc} {percentage:3.0f}%|{bar}| {numbers} [{elapsed}<{remaining}, {rate_noinv_fmt}]",
    "{desc} {percentage:3.0f}%|{bar}| {numbers} [{elapsed}<{remaining}]",
    "{desc} {percentage:3.0f}%|{bar}| {numbers}",
    "{desc} {percentage:3.0f}% {numbers}",
    "{short} {percentage:3.0f}% {numbers}",
    "{percentage:3.0f}% {numbers}",
)
"""What the bar says, from the widest to the narrowest: the numbers of the training stay longest, the loss longest of all."""
SHORTEST_BAR = "###"

CROWD = 1.25  # threads for each processor, on the average of a minute, above which a trial may be worth its while
WARM_STEPS = 5  # before the first look at the machine: kernels are compiled
PAIRS = 5  # steps with all threads and steps with one, in turn, in a trial
SLOWER = 1.5  # times that a step with all threads must take before it is worth a word
SECONDS_BETWEEN_LOOKS = 30.0


class Progress:
    """All that a run shows; nothing at all unless ``shown``."""

    def __init__(self, shown: bool, device: str) -> None:
        self.shown = shown
        self.machine = BusyMachine(get_num_threads() if shown and not backends.queued(device) else 1)

    def bar(self, title: str, total: int, done: int, numbers: Numbers) -> Bar:
        """For an epoch of ``total`` images, of which some may be done."""
        return Bar(title, total, done, numbers, self.shown)

    def steps(self, steps: Iterator[int]) -> Iterator[int]:
        """The same steps; where the machine is busy, a line says so."""
        return self.machine.steps(steps)

    def line(self, text: object) -> None:
        """Print a line at once, whatever letters the terminal has."""
        if self.shown:
            print(printable(str(text), getattr(sys.stdout, "encoding", None)), flush=True)


class Bar(tqdm):
    """A bar on stderr where that is a terminal, and nothing elsewhere. As much of it is shown as the terminal has columns for.

    Args:
        title: what goes on, as "epoch 3/20".
        total, done: images of the epoch, and those of them that are done.
        numbers: is asked as often as the bar is drawn.
        shown: False: nothing anywhere.
    """

    def __init__(self, title: str, total: int, done: int, numbers: Numbers, shown: bool = True) -> None:
        self.numbers = numbers
        images: dict[str, Any] = {"total": total, "initial": done, "unit": " images", "unit_scale": True}
        super().__init__(desc=title, **images, leave=False, dynamic_ncols=True, disable=None if shown else True)

    def __str__(self) -> str:
        return fitted(self.format_dict, self.numbers())


def fitted(meter: dict[str, Any], numbers: Iterable[tuple[str, float]]) -> str:
    """The line for the columns that there are: as many of the numbers as can be, then as much of the rest; ``meter`` is tqdm's."""
    columns = meter["ncols"] or sys.maxsize
    words = [f"{name} {value:.4f}" for name, value in numbers]
    for count, form in itertools.product(range(len(words), -1, -1), FORMATS):
        meter = {**meter, "short": meter["prefix"].split(" ")[-1], "numbers": ", ".join(words[:count])}
        shortest = tqdm.format_meter(**{**meter, "ncols": None, "bar_format": form.replace("{bar}", SHORTEST_BAR)})
        if len(shortest.rstrip()) <= columns:
            break
    return str(tqdm.format_meter(**{**meter, "bar_format": form})).rstrip()


# -- a busy machine ----------------------------------------------------------------------------------------------------
def crowded() -> bool:
    """Whether clearly more threads want to run than there are processors; False on systems that do not tell."""
    return hasattr(os, "getloadavg") and os.getloadavg()[0] > CROWD * (os.cpu_count() or 1)


class BusyMachine:
    """Notices that all threads together are slower than one alone, and says so once.

    The threads of a kernel wait for the last of them: where other processes take the processors, each step waits for the thread whose turn
    comes last. The load of the machine tells where a trial may be worth its while, and the trial decides: some steps are made with one
    thread and some with all. Their results have the same bits.

    Args:
        threads: how many the kernels use; where it is 1 there is nothing to notice.
        tell: is given the line.
        clock, crowded: seconds, and whether a trial is worth its while.
    """

    def __init__(
        self,
        threads: int,
        tell: Callable[[str], Any] | None = None,
        clock: Callable[[], float] = time.perf_counter,
        crowded: Callable[[], bool] = crowded,
    ) -> None:
        self.threads, self.tell, self.clock, self.crowded = threads, tell or _tell, clock, crowded
        self.steps_made, self.next_look = 0, -float("inf")
        self.one: list[float] = []
        self.all: list[float] = []
        self.done, self.trying = threads == 1, False

    def steps(self, steps: Iterator[int]) -> Iterator[int]:
        """The same steps, some of them with one thread while a trial goes on."""
        while True:
            alone = self._begin()
            began = self.clock()
            try:
                with one_thread(alone):
                    images = next(steps)
            except StopIteration:
                return
            self._end(self.clock() - began, alone)
            yield images

    def _begin(self) -> bool:
        """Whether the next step is made with one thread."""
        if not self.trying and not self.done and self.steps_made >= WARM_STEPS and self.clock() >= self.next_look:
            self.next_look = self.clock() + SECONDS_BETWEEN_LOOKS
            self.trying = self.crowded()
            self.one, self.all = [], []
        return self.trying and len(self.one) <= len(self.all)

    def _end(self, seconds: float, alone: bool) -> None:
        self.steps_made += 1
        if not self.trying:
            return
        (self.one if alone else self.all).append(seconds)
        if len(self.all) == PAIRS:
            self.trying = False
            one, all_ = statistics.median(self.one), statistics.median(self.all)
            if all_ > SLOWER * one:
                self.done = True
                times = f"{_duration(all_)} with {self.threads} threads and {_duration(one)} with one"
                self.tell(f"numbacnn: this machine is busy: a step takes {times}; use --threads 1, in Python threads=1")


@contextmanager
def one_thread(alone: bool) -> Iterator[None]:
    """One thread for the CPU's kernels, and then again as many as before; the same as ever unless ``alone``."""
    before = config.threads
    config.threads = 1 if alone else before
    try:
        yield
    finally:
        config.threads = before


def _tell(line: str) -> None:
    tqdm.write(line, file=sys.stderr)  # above the bar


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds * 1e3:.1f} ms"
