"""Numbers with names for kernels: structured arrays of integers, of which a kernel reads ``plan[0].images``.

Numba hands on such an array to other functions, but no record of it; nor does a record reach the body of a ``prange`` from outside. So
functions take the array. A scalar's own attributes, as ``size``, can be no names: without the compiler they hide a field.
"""

from __future__ import annotations

import functools
from dataclasses import fields
from typing import Any

import numpy as np

from ...recording import constant

__all__ = ["by_names", "numbers_of", "record"]


@functools.cache
def _integers(*names: str) -> np.dtype:
    """The type of a record: one object, which Numba knows at once, where an equal one costs each launch half a microsecond."""
    return np.dtype([(name, np.int64) for name in names])


def record(**numbers: int) -> np.ndarray:
    """An array of one record.

    >>> record(images=2, step=5)
    array([(2, 5)], dtype=[('images', '<i8'), ('step', '<i8')])
    """
    return constant(np.array([tuple(numbers.values())], _integers(*numbers)))


def numbers_of(plan: Any) -> np.ndarray:
    """The record of a plan's numbers: those fields of a dataclass that are integers."""
    return record(**{f.name: getattr(plan, f.name) for f in fields(plan) if f.type in ("int", "bool")})


def by_names(argument: Any) -> Any:
    """A kernel's argument for Python: the fields of a structured array are attributes, as they are to Numba."""
    return argument.view(np.recarray) if isinstance(argument, np.ndarray) and argument.dtype.names else argument
