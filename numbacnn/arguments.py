"""Judges of plain arguments: numbers, counts, probabilities, values for each axis, and choices.

Each says what it expected by the argument's own name.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from .errors import ShapeError, message

__all__ = ["SEVERAL", "IntPair", "count", "flag", "integer", "number", "one_of", "pair", "per_axis", "plain_flag", "probability"]

MOST = 2**31 - 1
"""What a size in pixels can be."""

IntPair: TypeAlias = int | Sequence[int]
SEVERAL = {1: "a tuple (length,)", 2: "a pair (height, width)", 3: "a triple (depth, height, width)"}
"""A value for each axis, in words."""


def number(op: str, name: str, value: Any, good: Callable[[float], bool] = lambda v: v >= 0, bounds: str = "of at least 0") -> None:
    """Judge that ``value`` is a finite number and ``good``, which ``bounds`` says in words."""
    try:
        fits = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value) and good(float(value))
    except OverflowError:  # an int beyond all floats
        fits = False
    if not fits:
        raise ValueError(message(op, f"{name} as a number {bounds}", repr(value)))


def probability(op: str, name: str, value: Any) -> None:
    """Judge that ``value`` is a number from 0 to 1."""
    number(op, name, value, lambda v: 0 <= v <= 1, "from 0 to 1")


def flag(op: str, name: str, value: Any) -> bool:
    """``value`` as a bool: True or False, Python's or NumPy's; TypeError for anything else.

    >>> flag("sum", "keepdim", True)
    True
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(message(op, f"{name} as True or False", f"{value!r}"))
    return bool(value)


def integer(op: str, name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """``value`` as an int of at least ``least``, and at most ``most``. NumPy's integers will do; True and False will not.

    >>> integer("fit", "epochs", 3)
    3
    """
    try:
        found = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = least - 1
    if found < least or (most is not None and found > most):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(message(op, f"{name} as an integer {bounds}", repr(value)))
    return found


def count(op: str, name: str, value: Any, least: int = 1) -> int:
    """Judge that ``value`` is a plain int of at least ``least``: what a saved state may hold, since JSON does not know NumPy's integers."""
    if not isinstance(value, int):
        raise ValueError(message(op, f"{name} as an integer of at least {least}", repr(value)))
    return integer(op, name, value, least)


def plain_flag(op: str, name: str, value: Any) -> None:
    """Judge that ``value`` is Python's True or False: what a saved state may hold."""
    if not isinstance(value, bool):
        raise ValueError(message(op, f"{name} as True or False", repr(value)))


def per_axis(op: str, name: str, value: IntPair, least: int, axes: int) -> tuple[int, ...]:
    """``value`` for each of so many axes, an integer of at least ``least``.

    >>> per_axis("conv3d", "stride", 2, 1, axes=3)
    (2, 2, 2)
    """
    if type(value) is int and least <= value <= MOST:  # most calls: an int, or a tuple of ints that a layer keeps
        return (value,) * axes
    if type(value) is tuple and len(value) == axes:
        for v in value:
            if type(v) is not int or not least <= v <= MOST:
                break
        else:
            return value
    values = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,) * axes
    try:
        numbers = tuple(operator.index(v) for v in values)  # type: ignore[arg-type]
    except TypeError:
        numbers = ()
    if len(numbers) != axes or min(numbers) < least:
        raise ShapeError(message(op, f"{name} as an integer or {SEVERAL[axes]} of at least {least}", repr(value)))
    if max(numbers) > MOST:
        raise ShapeError(message(op, f"{name} of at most {MOST}, which kernels count with", repr(value)))
    return numbers


def pair(op: str, name: str, value: IntPair, least: int) -> tuple[int, int]:
    """``value`` as (height, width), each an integer of at least ``least``.

    >>> pair("conv2d", "stride", 2, 1)
    (2, 2)
    """
    height, width = per_axis(op, name, value, least, 2)
    return height, width


def one_of(op: str, name: str, value: Any, known: Iterable[str]) -> None:
    """Judge that ``value`` is among the names that are known.

    >>> one_of("pool2d", "mode", "max", ("max", "avg"))
    """
    names = tuple(known)
    if not isinstance(value, str) or value not in names:
        *first, last = map(repr, names)
        raise ValueError(message(op, f"{name} as {', '.join(first)} or {last}", repr(value)))
