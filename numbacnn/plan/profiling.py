"""Where the time of a step goes: each kernel of its plan is timed by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from .. import config
from ..arguments import integer, one_of
from ..errors import message
from ..nn import Module
from ..signatures import judged, shown
from .compiled import Compiled
from .rows import TRIES

__all__ = ["Profile", "Timed", "profile"]

CALLS = 4 + 2 * TRIES
"""Calls after which a step that can have a plan has one, and has chosen how many threads run it."""


class Timed(NamedTuple):
    """A call of a step."""

    part: str
    """"forward", "backward" or "optimizer"."""
    layer: str
    """Its name in the network and its class, as "0 Conv2d"; "" for what no module does, as a loss."""
    kernel: str
    seconds: float


@dataclass(frozen=True)
class Profile:
    """The calls of a step in order, each with the median of its seconds, and the threads that ran it. Printed: the layers' times."""

    rows: tuple[Timed, ...]
    threads: int

    @property
    def seconds(self) -> float:
        """Of all calls together."""
        return sum(row.seconds for row in self.rows)

    def layers(self) -> dict[tuple[str, str], float]:
        """The seconds of each layer in each pass, in order."""
        found: dict[tuple[str, str], float] = {}
        for row in self.rows:
            found[row.part, row.layer] = found.get((row.part, row.layer), 0.0) + row.seconds
        return found

    def kernels(self) -> dict[str, tuple[int, float]]:
        """How often each kernel is called, and the seconds of all its calls; the slowest first."""
        found: dict[str, tuple[int, float]] = {}
        for row in self.rows:
            calls, seconds = found.get(row.kernel, (0, 0.0))
            found[row.kernel] = calls + 1, seconds + row.seconds
        return dict(sorted(found.items(), key=lambda entry: -entry[1][1]))

    @judged
    def text(self, by: Literal["layer", "kernel"] = "layer") -> str:
        """A line for each layer in each pass, in order; or for each kernel, with its calls, the slowest first.

        Raises:
            ValueError: where ``by`` is neither.
        """
        one_of("text", "by", by, ("layer", "kernel"))
        if by == "layer":
            header = "pass", "layer"
            rows = [(part, layer or "other", seconds) for (part, layer), seconds in self.layers().items()]
        else:
            header = "calls", "kernel"
            rows = [(str(calls), kernel, seconds) for kernel, (calls, seconds) in self.kernels().items()]
        width = max(len(name) for _, name, _ in [(*header, 0.0), *rows])
        lines = [f"{header[0]:9}  {header[1]:{width}}  {'ms':>9}  {'share':>6}"]
        lines += [f"{first:9}  {name:{width}}  {s * 1e3:9.3f}  {s / max(self.seconds, 1e-12):6.1%}" for first, name, s in rows]
        return "\n".join([*lines, f"{'all':9}  {'':{width}}  {self.seconds * 1e3:9.3f}"])

    def __str__(self) -> str:
        return self.text()


@judged
def profile(step: Any, *args: Any, repeat: int = 10, **options: Any) -> Profile:
    """Time each kernel of a step that went through :func:`numbacnn.compile`, by running it: a step that trains goes on training.

    Of a network that is in training, the kernels of its backward too.

    Args:
        step: what ``nc.compile`` gave.
        args, options: what to call it with.
        repeat: runs that are timed.

    Raises:
        TypeError: where ``step`` was not compiled.
        RuntimeError: where there is no plan for these arguments; the message says why.

    >>> import numbacnn as nc
    >>> net = nc.nn.Sequential(nc.nn.Linear(8, 16), nc.nn.ReLU(), nc.nn.Linear(16, 4)).eval()
    >>> net.compile()
    >>> with nc.no_grad():
    ...     found = nc.profile(net, nc.ones(32, 8))
    >>> [layer for _, layer in found.layers()]
    ['0 Linear', '2 Linear']
    """
    integer("profile", "repeat", repeat)
    compiled = step.__dict__.get("_compiled") if isinstance(step, Module) else step
    if not isinstance(compiled, Compiled):
        raise TypeError(message("profile", "what nc.compile gave", shown(step)))
    args = (step, *args) if isinstance(step, Module) else args
    for _ in range(CALLS):
        compiled(*args, **options)
    times: list[list[float]] = []
    for _ in range(repeat):
        plan, seconds = compiled.timed(args, options)
        times.append(seconds)
    if plan is None:
        why = compiled.why(args, options) if config.compile else "nc.config.compile is False"
        raise RuntimeError(message("profile", "a step of which there is a plan", f"one without{why and f': {why}'}"))
    medians = np.median(times, 0).tolist()
    rows = [Timed(row.part[0], row.part[1], row.name, seconds) for row, seconds in zip(plan.tape.rows, medians)]
    return Profile(tuple(rows), plan.threads)
