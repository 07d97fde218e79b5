"""In which order the examples of an epoch come, and which of them make a batch: under PyTorch's names, not with its random numbers.

What has no generator of its own draws from the library's. In a loader that is a stream of (seed, epoch), so that an epoch can be resumed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from ..arguments import flag, integer
from ..errors import ShapeError, message
from ..random import Generator, check_generator, drawing_from, permutation
from ..random import generator as drawn_from
from ..signatures import judged, shown
from .dataset import length

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
    "batches_of",
    "check_indices",
]

T_co = TypeVar("T_co", covariant=True)


class Sampler(Generic[T_co]):
    """The indices of an epoch, one after the other. A sampler of one's own says ``__iter__``, and ``__len__`` where it can."""

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} has no __iter__")


class _Order(Sampler[int]):
    """A sampler that knows all indices of an epoch at once."""

    generator: Generator | None = None

    def order(self) -> np.ndarray:
        """The indices of an epoch, int64."""
        raise NotImplementedError(f"{type(self).__name__} has no order")

    def __iter__(self) -> Iterator[int]:
        return iter(self.order().tolist())

    def _stream(self) -> np.random.Generator:
        return drawn_from() if self.generator is None else self.generator.numpy


@judged
class SequentialSampler(_Order):
    """0, 1, 2, ... as long as ``data_source``."""

    def __init__(self, data_source: Any) -> None:
        self.data_source = data_source

    def order(self) -> np.ndarray:
        return np.arange(len(self))

    def __len__(self) -> int:
        return length("SequentialSampler", self.data_source)


@judged
class RandomSampler(_Order):
    """All indices in random order; or ``num_samples`` of them, each drawn from all where ``replacement`` says so.

    Without replacement more samples than there are examples begin another random order.

    >>> sorted(RandomSampler("abcd")), len(RandomSampler("abcd", True, 7))
    ([0, 1, 2, 3], 7)
    """

    def __init__(
        self, data_source: Any, replacement: bool = False, num_samples: int | None = None, generator: Generator | None = None
    ) -> None:
        check_generator("RandomSampler", generator)
        self.data_source, self.generator = data_source, generator
        self.replacement = flag("RandomSampler", "replacement", replacement)
        self._samples = None if num_samples is None else integer("RandomSampler", "num_samples", num_samples)
        length("RandomSampler", data_source)

    @property
    def num_samples(self) -> int:
        """How many indices an epoch has."""
        return len(self.data_source) if self._samples is None else self._samples

    def order(self) -> np.ndarray:
        n, samples = len(self.data_source), self.num_samples
        if samples and not n:
            raise ValueError(message("RandomSampler", "a data set with examples", "none"))
        if self.replacement:
            return self._stream().integers(0, max(n, 1), samples)
        if samples == n:
            return permutation(n, self._stream())
        return np.concatenate([permutation(n, self._stream()) for _ in range(-(-samples // n))])[:samples]

    def __len__(self) -> int:
        return self.num_samples


@judged
class SubsetRandomSampler(Sampler[int]):
    """These indices in random order.

    >>> sorted(SubsetRandomSampler([7, 3, 5]))
    [3, 5, 7]
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        check_generator("SubsetRandomSampler", generator)
        self.indices, self.generator = indices, generator
        length("SubsetRandomSampler", indices)
        if not hasattr(indices, "__getitem__"):
            raise TypeError(message("SubsetRandomSampler", "indices as a sequence", shown(indices)))

    def __iter__(self) -> Iterator[int]:
        for i in permutation(len(self.indices), None if self.generator is None else self.generator.numpy).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


@judged
class WeightedRandomSampler(_Order):
    """``num_samples`` indices, each drawn with a probability in proportion to its weight; without ``replacement`` each at most once.

    Raises:
        ValueError: for weights that are no finite numbers of at least 0, all 0, or fewer above 0 than samples without replacement.

    >>> list(WeightedRandomSampler([0, 3, 0], 4))
    [1, 1, 1, 1]
    """

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True, generator: Generator | None = None) -> None:
        check_generator("WeightedRandomSampler", generator)
        self.num_samples = integer("WeightedRandomSampler", "num_samples", num_samples)
        self.replacement, self.generator = flag("WeightedRandomSampler", "replacement", replacement), generator
        self.weights = _weights(weights, None if self.replacement else self.num_samples)

    def order(self) -> np.ndarray:
        if self.replacement:
            bounds = np.cumsum(self.weights)
            places = self._stream().random(self.num_samples) * bounds[-1]
            return np.minimum(np.searchsorted(bounds, places, side="right"), np.flatnonzero(self.weights)[-1])
        # the example with the smallest waiting time comes first (Efraimidis and Spirakis, 2006); without a weight it never comes
        with np.errstate(divide="ignore", invalid="ignore"):
            times = self._stream().exponential(size=len(self.weights)) / self.weights
        return np.argsort(times, kind="stable")[: self.num_samples]

    def __len__(self) -> int:
        return self.num_samples


def _weights(given: Any, least: int | None) -> np.ndarray:
    """Weights as float64, of which ``least`` are above 0."""
    try:
        weights = np.asarray(given)
    except ValueError:  # lists of unequal lengths
        weights = np.empty((0, 0), object)
    if weights.dtype.kind not in "biuf" or weights.ndim != 1:
        raise ShapeError(message("WeightedRandomSampler", "weights (N,) of numbers", shown(given)))
    weights = weights.astype(np.float64)
    above = np.count_nonzero(weights)
    if not np.isfinite(weights).all() or (weights < 0).any() or not above:
        raise ValueError(message("WeightedRandomSampler", "finite weights of at least 0, not all 0", shown(given)))
    if least is not None and above < least:
        hint = "draw fewer samples, or with replacement"
        raise ValueError(message("WeightedRandomSampler", f"{least} weights above 0", f"{above}", hint))
    return weights


@judged
class BatchSampler(Sampler[list[Any]]):
    """Lists of ``batch_size`` indices of another sampler; the last one may be shorter, or is left out.

    >>> list(BatchSampler(SequentialSampler(range(5)), 2, False))
    [[0, 1], [2, 3], [4]]
    """

    def __init__(self, sampler: Iterable[Any], batch_size: int, drop_last: bool) -> None:
        check_indices("BatchSampler", "sampler", sampler)
        self.sampler = sampler
        self.batch_size, self.drop_last = integer("BatchSampler", "batch_size", batch_size), flag("BatchSampler", "drop_last", drop_last)

    def __iter__(self) -> Iterator[list[Any]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        whole, rest = divmod(length("BatchSampler", self.sampler), self.batch_size)
        return whole if self.drop_last or not rest else whole + 1


def check_indices(op: str, name: str, value: Any) -> None:
    """TypeError for what can't be iterated over."""
    if isinstance(value, type) or not (isinstance(value, Iterable) or hasattr(value, "__getitem__")):
        raise TypeError(message(op, f"{name} as indices that can be iterated over", shown(value)))


def batches_of(sampler: Any, stream: np.random.Generator) -> Iterator[Any]:
    """What a sampler yields, which draws from a stream; of indices that are known at once, arrays that are slices of them."""
    inner = getattr(sampler, "sampler", None)
    if type(sampler) is not BatchSampler or not isinstance(inner, _Order) or type(inner).__iter__ is not _Order.__iter__:
        with drawing_from(stream):
            indices = iter(sampler)
        while True:
            with drawing_from(stream):
                batch = next(indices, indices)
            if batch is indices:
                return
            yield batch
    with drawing_from(stream):
        order = inner.order()
    for begin in range(0, len(order), sampler.batch_size):
        batch = order[begin : begin + sampler.batch_size]
        if len(batch) == sampler.batch_size or not sampler.drop_last:
            yield batch
