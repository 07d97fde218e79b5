"""A batch to be made, and the random numbers that belong to its place: they do not depend on who makes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["BATCH", "EXAMPLE", "ITERATOR", "End", "Reader", "Task", "stream", "worker_seed"]


class Task(NamedTuple):
    """A batch to be made.

    Args:
        number: in its epoch.
        key: the seed, and the number of the epoch.
        first: how many examples of the epoch come before it.
        indices: of its examples; one index where there are no batches. Of an iterable data set how many, or None for one without a batch.
        loop: a number that tells two loops over the same epoch apart.
    """

    number: int
    key: tuple[int, int]
    first: int
    indices: Any
    loop: int


class End:
    """What a reader gives in place of a batch where there is none left."""


Reader = Callable[[Task], Any]


BATCH, EXAMPLE, WORKERS, ITERATOR = range(4)
"""Kinds of streams: of a batch, of an example, of the workers' seeds, and of an iterable data set's first worker; the others count on."""


def stream(key: tuple[int, int], place: int, kind: int) -> np.random.Generator:
    """A stream of its own for each place. The order of the epoch begins at counter 0, which none of them comes to."""
    counter = np.array([0, 0, place + 1, kind], np.uint64)
    return np.random.Generator(np.random.Philox(key=np.array(key, np.uint64), counter=counter))


def worker_seed(key: tuple[int, int]) -> int:
    """The seed of worker 0 in an epoch; each further worker's is one more."""
    return int(stream(key, 0, WORKERS).integers(1 << 62))
