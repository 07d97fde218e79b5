"""What a tape consists of: memory by name, who owns it, and calls in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Compute", "DeviceLaunch", "Gradient", "Launch", "Live", "Operand", "Owner", "Region", "WayBack", "nobody"]


def nobody() -> None:
    """A weak reference to nothing."""


class Region(NamedTuple):
    """Memory by its name."""

    key: tuple[Any, ...]
    start: int
    """Where it lay while the step was recorded."""
    size: int
    keep: Any
    """What must not go while a plan addresses it."""


class Operand(NamedTuple):
    """An array as an argument."""

    region: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype
    writable: bool


@dataclass(eq=False)
class Owner:
    """Somebody whose array is read or written: an argument, a parameter or buffer, a moment, a gradient, packed weights."""

    key: tuple[Any, ...]
    get: Callable[[Any], Any]
    """The array, by the arguments of the call; None where there is none any more."""
    tensor: Callable[[Any], Any]
    """The Tensor, or None."""
    like: tuple[Any, ...]
    region: int
    array: Any
    """A weak reference to the array that it was: who holds an array keeps it from being packed."""
    unlocked: bool = False
    """Whether it is written to, so that nobody may keep it packed."""


@dataclass(eq=False)
class Gradient:
    """The gradient of a tensor that the step touches."""

    tensor: Callable[[Any], Any]
    key: tuple[Any, ...]
    needs: str
    """What the step has to find: "some", "none" or, where it does not look, "any"."""
    found: Any
    """What it finds, while it is recorded: a weak reference, for it may be let go to make room."""
    read: Any = None
    """The same, once it is looked at."""
    left: Any = None
    """What it leaves: None, "found" for what it found, or the operand and the version count of a new one."""


class Launch(NamedTuple):
    """A kernel's launch."""

    driver: Any
    types: tuple[Any, ...]
    values: tuple[Any, ...]
    part: tuple[str, str]
    line: str

    @property
    def name(self) -> str:
        return self.driver.py_func.__name__


class DeviceLaunch(NamedTuple):
    """A kernel's launch by a function that launches it: on another device. The values are blocks, threads and arguments."""

    function: Callable[..., Any]
    kernel: Any
    values: tuple[Any, ...]
    part: tuple[str, str]
    line: str

    @property
    def name(self) -> str:
        return self.kernel.__name__


class Compute(NamedTuple):
    """A call of NumPy's."""

    function: Callable[..., Any]
    values: tuple[Any, ...]
    part: tuple[str, str]
    line: str

    @property
    def name(self) -> str:
        return f"numpy.{self.function.__name__}"


@dataclass(eq=False)
class Live:
    """An array that each replay makes anew."""

    make: Callable[[], np.ndarray]
    array: np.ndarray
    row: int
    kind: str


@dataclass(eq=False)
class WayBack:
    """What is written down of a backward that is still to come: that of one result, which somebody else will start."""

    row: int
    """The first of its rows, which are the last of the tape."""
    arriving: Operand
    """The gradient of the result."""
    arrived: np.ndarray
    """What stood for it."""
    ends: list[tuple[tuple[Any, ...], Operand]] = field(default_factory=list)
    """Who gets a gradient, an argument or parameter by its key, in order: one that is used twice gets two."""
    saved: list[tuple[Any, ...]] = field(default_factory=list)
    """Whose values must not have changed until then; () for the result itself."""
    nodes: list[Any] = field(default_factory=list)
    """The operations, while the tape is made."""
