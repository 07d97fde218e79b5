"""Where the time of a step goes: each kernel of its plan is timed by itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..arguments import integer
from ..errors import message
from ..nn import Module
from ..signatures import judged, shown
from .compiled import Compiled
from .tape import Launch

__all__ = ["Profile", "Timed", "profile"]

CALLS = 5
"""Calls after which a step that can have a plan has one."""


class Timed(NamedTuple):
    """A call of a step."""

    part: str
    """"forward", "backward" or "optimizer"."""
    layer: str
    """By its name in the network; "" for what no module does, as a loss."""
    kernel: str
    seconds: float


@dataclass(frozen=True)
class Profile:
    """The calls of a step in order, each with the median of its seconds. Printed: the layers, with their time and share."""

    rows: tuple[Timed, ...]

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

    def __str__(self) -> str:
        layers = self.layers()
        width = max([len(layer) for _, layer in layers] + [5])
        lines = [f"{'pass':9}  {'layer':{width}}  {'ms':>9}  share"]
        for (part, layer), seconds in layers.items():
            lines.append(f"{part:9}  {layer or '-':{width}}  {seconds * 1e3:9.3f}  {seconds / max(self.seconds, 1e-12):5.1%}")
        return "\n".join([*lines, f"{'all':9}  {'':{width}}  {self.seconds * 1e3:9.3f}"])


@judged
def profile(step: Any, *args: Any, repeat: int = 10, **options: Any) -> Profile:
    """Time each kernel of a step that went through :func:`numbacnn.compile`, by running it: a step that trains goes on training.

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
    ['0', '2']
    """
    integer("profile", "repeat", repeat)
    compiled = step.__dict__.get("_compiled") if isinstance(step, Module) else step
    if not isinstance(compiled, Compiled):
        raise TypeError(message("profile", "what nc.compile gave", shown(step)))
    args = (step, *args) if isinstance(step, Module) else args
    for _ in range(CALLS):
        compiled(*args, **options)
    found: list[list[float]] = []
    rows: Iterable[Any] = ()
    for _ in range(repeat):
        plan, seconds = compiled.timed(args, options)
        if plan is None:
            raise RuntimeError(message("profile", "a step of which there is a plan", compiled.reason or "one without"))
        rows = plan.tape.rows
        found.append(seconds)
    medians = np.median(found, 0).tolist()
    return Profile(tuple(Timed(row.part[0], row.part[1], _kernel(row), seconds) for row, seconds in zip(rows, medians)))


def _kernel(row: Any) -> str:
    return row.driver.py_func.__name__ if isinstance(row, Launch) else f"numpy.{row.function.__name__}"
