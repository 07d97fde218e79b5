"""What a data set is to the loader: examples by their index, or one after the other; and data sets made of others."""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from ..arguments import integer
from ..errors import ShapeError, message
from ..random import Generator, check_generator, permutation
from ..signatures import judged, shown
from ..tensor import Tensor

__all__ = [
    "ChainDataset",
    "ConcatDataset",
    "Dataset",
    "IterableDataset",
    "StackDataset",
    "Subset",
    "TensorDataset",
    "gathers",
    "length",
    "random_split",
]

T_co = TypeVar("T_co", covariant=True)


class Dataset(Generic[T_co]):
    """Examples by their index. A data set of one's own says ``__getitem__`` and ``__len__``; an example is anything that can be collated.

    A data set that has ``__getitems__(indices)`` too is asked for the examples of a batch at once. ``a + b`` is both, one after the other.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 5
    ...     def __getitem__(self, index):
    ...         return index, index**2
    >>> Squares()[3], len(Squares() + Squares())
    ((3, 9), 10)
    """

    def __getitem__(self, index: Any) -> T_co:
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__")

    def __add__(self, other: Any) -> Dataset[Any]:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Examples one after the other: a data set of one's own says ``__iter__``.

    Each worker of a loader has a copy and an iterator of its own; :func:`get_worker_info` tells it which part is its own. Without that
    every worker brings all examples.

    >>> class Lines(IterableDataset):
    ...     def __iter__(self):
    ...         return iter(["a", "b"])
    >>> list(Lines() + Lines())
    ['a', 'b', 'a', 'b']
    """

    def __iter__(self) -> Iterator[T_co]:
        raise NotImplementedError(f"{type(self).__name__} has no __iter__")

    def __add__(self, other: Any) -> IterableDataset[Any]:
        return ChainDataset([self, other])


def length(op: str, dataset: Any) -> int:
    """How many examples a data set has; TypeError where it does not say it."""
    try:
        return len(dataset)
    except TypeError as error:
        if error.__traceback__ is not None and error.__traceback__.tb_next is not None:  # it has a function for it, which fails
            raise
        wanted = "a data set that says its length"
        raise TypeError(message(op, wanted, f"a {type(dataset).__name__}, which has no __len__")) from error


@judged
class TensorDataset(Dataset[tuple[Any, ...]]):
    """Tensors or arrays of one length: an example is a tuple with a row of each.

    Raises:
        ShapeError: where the lengths differ, or a tensor has none.

    >>> data = TensorDataset(np.zeros((3, 2)), np.arange(3))
    >>> len(data), data[1][1].item()
    (3, 1)
    """

    def __init__(self, *tensors: Tensor | np.ndarray) -> None:
        if not tensors:
            raise ValueError(message("TensorDataset", "at least one tensor", "none"))
        for tensor in tensors:
            if not isinstance(tensor, (Tensor, np.ndarray)):
                raise TypeError(message("TensorDataset", "Tensors or arrays", shown(tensor)))
        if not all(tensor.ndim for tensor in tensors) or len({len(tensor) for tensor in tensors}) > 1:
            shapes = ", ".join(str(tuple(tensor.shape)) for tensor in tensors)
            raise ShapeError(message("TensorDataset", "tensors (N, ...) with one N", f"shapes {shapes}"))
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Any, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])


@judged
class StackDataset(Dataset[Any]):
    """Several data sets side by side: an example is a tuple with one of each, or a dict where they are given by name.

    Raises:
        ValueError: for none, for both ways at once, and for data sets of several lengths.

    >>> StackDataset(image=["a", "b"], label=[0, 1])[1]
    {'image': 'b', 'label': 1}
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if bool(args) == bool(kwargs):
            received = f"{len(args)} and {len(kwargs)}"
            raise ValueError(message("StackDataset", "data sets, either by place or by name", received))
        self.datasets: Any = args or kwargs
        lengths = [length("StackDataset", dataset) for dataset in self._members()]
        if len(set(lengths)) > 1:
            raise ValueError(message("StackDataset", "data sets of one length", f"lengths {', '.join(map(str, lengths))}"))
        self._length = lengths[0]

    def _members(self) -> list[Any]:
        return list(self.datasets.values() if isinstance(self.datasets, dict) else self.datasets)

    def _example(self, members: Iterable[Any]) -> Any:
        return dict(zip(self.datasets, members)) if isinstance(self.datasets, dict) else tuple(members)

    def __getitem__(self, index: Any) -> Any:
        return self._example(dataset[index] for dataset in self._members())

    def __getitems__(self, indices: list[Any]) -> list[Any]:
        columns = [taken("StackDataset", dataset, indices) for dataset in self._members()]
        return [self._example(members) for members in zip(*columns)]

    def __len__(self) -> int:
        return self._length


@judged
class ConcatDataset(Dataset[Any]):
    """Several data sets one after the other, by index.

    Raises:
        ValueError: for none.
        TypeError: for an iterable data set, which has no index; take a :class:`ChainDataset`.

    >>> both = ConcatDataset(["ab", "cde"])
    >>> len(both), both[2], both[-1], both.cumulative_sizes
    (5, 'c', 'e', [2, 5])
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError(message("ConcatDataset", "at least one data set", "none"))
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise TypeError(message("ConcatDataset", "data sets with an index", "an IterableDataset", "take a ChainDataset"))
        self.cumulative_sizes = list(itertools.accumulate(length("ConcatDataset", dataset) for dataset in self.datasets))

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    @judged
    def __getitem__(self, index: int) -> Any:
        n = len(self)
        if not -n <= index < n:
            raise IndexError(message("ConcatDataset", f"an index from {-n} to {n - 1}", shown(index)))
        place = index % n
        part = bisect.bisect_right(self.cumulative_sizes, place)
        return self.datasets[part][place - (self.cumulative_sizes[part - 1] if part else 0)]


@judged
class ChainDataset(IterableDataset[Any]):
    """Several iterable data sets one after the other; its length is the sum of theirs, where all of them have one."""

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets = datasets

    def _judged(self) -> Iterator[Any]:
        for dataset in self.datasets:
            if not isinstance(dataset, IterableDataset):
                raise TypeError(message("ChainDataset", "iterable data sets", shown(dataset), "take a ConcatDataset"))
            yield dataset

    def __iter__(self) -> Iterator[Any]:
        return itertools.chain.from_iterable(self._judged())

    def __len__(self) -> int:
        return sum(length("ChainDataset", dataset) for dataset in self._judged())


class Subset(Dataset[T_co]):
    """The examples of a data set at these indices.

    >>> Subset("abcd", [3, 0])[0]
    'd'
    """

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        kind = type(self)
        if kind.__getitem__ is not Subset.__getitem__ and kind.__getitems__ is Subset.__getitems__:
            hint = "write def __getitems__(self, indices): return [self[i] for i in indices]"
            raise NotImplementedError(message(kind.__name__, "__getitems__ beside a __getitem__ of its own", "none", hint))
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: Any) -> T_co:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[Any]) -> list[T_co]:
        return taken("Subset", self.dataset, [self.indices[i] for i in indices])

    def __len__(self) -> int:
        return len(self.indices)


def gathers(dataset: Any) -> bool:
    """Whether somebody wrote a ``__getitems__`` for a data set: a subset only hands on that of the data set below."""
    own = getattr(type(dataset), "__getitems__", None)
    if own is Subset.__getitems__:
        return gathers(dataset.dataset)
    if own is StackDataset.__getitems__:
        return any(map(gathers, dataset._members()))
    return callable(getattr(dataset, "__getitems__", None))


def taken(op: str, dataset: Any, indices: list[Any]) -> list[Any]:
    """The examples at these indices, at once where the data set can."""
    if not gathers(dataset):
        return [dataset[index] for index in indices]
    found = list(dataset.__getitems__(indices))
    if len(found) != len(indices):
        raise ValueError(message(op, f"{len(indices)} examples from __getitems__", f"{len(found)}"))
    return found


@judged
def random_split(dataset: Any, lengths: Sequence[float], generator: Generator | None = None) -> list[Subset[Any]]:
    """Split a data set at random into parts of these lengths, or into these shares, whose sum is 1.

    A share of N examples is rounded down; the first parts have one more where examples are left over.

    Raises:
        ValueError: where the lengths do not add up to that of the data set.

    >>> [len(part) for part in random_split(range(10), [0.5, 0.25, 0.25])]
    [6, 2, 2]
    """
    check_generator("random_split", generator)
    n, total = length("random_split", dataset), sum(lengths)
    if any(share < 0 for share in lengths):
        raise ValueError(message("random_split", "lengths of at least 0", f"{list(lengths)}"))
    if math.isclose(total, 1) and not all(isinstance(share, int) for share in lengths):  # seven sevenths may be a bit more than 1
        sizes = [math.floor(n * share) for share in lengths]
        rest = n - sum(sizes)
        sizes = [size + rest // len(sizes) + (i < rest % len(sizes)) for i, size in enumerate(sizes)]
        for i, size in enumerate(sizes):
            if not size:
                warnings.warn(message("random_split", f"a length above 0 at index {i}", "0: that part is empty"), stacklevel=3)
    else:
        sizes = [integer("random_split", "each length", size, 0) for size in lengths]
    if sum(sizes) != n:
        raise ValueError(message("random_split", f"lengths that add up to {n}, or shares that add up to 1", f"{list(lengths)}"))
    order = permutation(n, None if generator is None else generator.numpy).tolist()
    return [Subset(dataset, order[end - size : end]) for end, size in zip(itertools.accumulate(sizes), sizes)]
