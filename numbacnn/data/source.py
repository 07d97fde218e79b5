"""What a loader asks for its batches: rows of arrays taken at once, examples by their index, or examples one after the other.

A source is shared by the workers. Each has a *reader* of its own, ``read(task) -> batch``; what a reader draws comes from a stream of the
task's seed, epoch and place, so that it does not matter who reads.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import backends, random
from ..errors import message
from ..signatures import shown
from .arrays import Arrays, arrays_of
from .collate import default_collate, default_convert, each_tensor
from .dataset import IterableDataset, gathers, taken
from .task import BATCH, EXAMPLE, ITERATOR, End, Reader, Task, stream
from .transforms import Transform
from .workers import get_worker_info

__all__ = ["Examples", "Source", "Stream", "source_of"]


def _drawing(task: Task, place: int, kind: int) -> Any:
    return random.drawing_from(functools.partial(stream, task.key, place, kind))


def _collated(collate: Callable[[Any], Any], task: Task, examples: Any) -> Any:
    with _drawing(task, task.number, BATCH):
        return collate(examples)


class _Made:
    """A source whose readers make Tensors themselves."""

    def finished(self, made: Any, device: str) -> Any:
        """What is handed over of a batch that a reader made."""
        return made if device == backends.DEFAULT else each_tensor(lambda t: t.to(device), made)


# -- examples by their index ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Examples(_Made):
    """A map-style data set."""

    dataset: Any
    collate: Callable[[Any], Any]
    batched: bool

    def reader(self, dataset: Any, worker: int) -> Reader:
        """For a worker with this data set, the source's or a copy of it."""
        return functools.partial(self._read, dataset, gathers(dataset))

    def _read(self, dataset: Any, at_once: bool, task: Task) -> Any:
        indices = task.indices if self.batched else [task.indices]
        indices = indices.tolist() if isinstance(indices, np.ndarray) else indices
        if self.batched and at_once:
            examples = self._at_once(dataset, indices, task)
        else:
            examples = [self._example(dataset, index, task, place) for place, index in enumerate(indices, task.first)]
        return _collated(self.collate, task, examples if self.batched else examples[0])

    @staticmethod
    def _at_once(dataset: Any, indices: list[Any], task: Task) -> list[Any]:
        try:
            with _drawing(task, task.first, EXAMPLE):
                return taken("DataLoader", dataset, indices)
        except BaseException as error:
            _note(error, f"the examples {indices}")
            raise

    @staticmethod
    def _example(dataset: Any, index: Any, task: Task, place: int) -> Any:
        try:
            with _drawing(task, place, EXAMPLE):
                return dataset[index]
        except BaseException as error:
            _note(error, f"example {index!r}")
            raise


def _note(error: BaseException, what: str) -> None:
    """Say whose error it is at the end of its traceback."""
    worker = get_worker_info()
    error.add_note(f"[DataLoader] It came from {what} of the data set{'' if worker is None else f', in worker {worker.id}'}.")


# -- examples one after the other ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Stream(_Made):
    """An iterable data set."""

    dataset: Any
    collate: Callable[[Any], Any]
    drop_last: bool

    def reader(self, dataset: Any, worker: int) -> Reader:
        return _StreamReader(self, dataset, ITERATOR + worker)


class _StreamReader:
    def __init__(self, source: Stream, dataset: Any, kind: int) -> None:
        self.source, self.dataset, self.kind = source, dataset, kind
        self.loop, self.count = -1, 0
        self.iterator: Iterator[Any] | None = None

    def __call__(self, task: Task) -> Any:
        if task.loop != self.loop:
            self.loop, self.count, self.iterator = task.loop, 0, None
        size = 1 if task.indices is None else task.indices
        examples = list(itertools.islice(self._examples(task), size))
        if not examples or (self.source.drop_last and len(examples) < size):
            return End
        return _collated(self.source.collate, task, examples[0] if task.indices is None else examples)

    def _examples(self, task: Task) -> Iterator[Any]:
        while (example := self._next(task)) is not End:
            self.count += 1
            yield example

    def _next(self, task: Task) -> Any:
        try:
            with _drawing(task, self.count, self.kind):
                if self.iterator is None:
                    self.iterator = iter(self.dataset)
                return next(self.iterator, End)
        except BaseException as error:
            _note(error, f"example {self.count}")
            raise


# -- which it is ---------------------------------------------------------------------------------------------------------------------
Source = Arrays | Examples | Stream


def source_of(dataset: Any, batched: bool, collate_fn: Callable[[Any], Any] | None, drop_last: bool, transform: Transform | None) -> Source:
    """What a loader reads a data set by.

    Raises:
        TypeError: where it is none, or a transform of batches is given for one that has no arrays.
        ShapeError, DTypeError, ValueError: where arrays can't make batches.
    """
    _check_transform(transform)
    if batched and collate_fn is None and (arrays := arrays_of(dataset, transform)) is not None:
        arrays.judge()
        return arrays
    if isinstance(dataset, (tuple, str, bytes)) or not (isinstance(dataset, IterableDataset) or hasattr(dataset, "__getitem__")):
        wanted = "a data set with __getitem__, an IterableDataset, or a pair (X, y) of arrays"
        hint = "examples of a pair are those of TensorDataset(X, y)" if isinstance(dataset, tuple) else ""
        raise TypeError(message("DataLoader", wanted, shown(dataset), hint))
    if transform is not None:
        hint = "let __getitem__ transform each example"
        raise TypeError(message("DataLoader", "data in arrays for a transform of batches", shown(dataset), hint))
    collate = collate_fn or (default_collate if batched else default_convert)
    if isinstance(dataset, IterableDataset):
        return Stream(dataset, collate, drop_last)
    return Examples(dataset, collate, batched)


def _check_transform(transform: Any) -> None:
    """Refuse what does not take a batch and a generator: a transform of single pictures."""
    if transform is None:
        return
    if not callable(transform):
        raise TypeError(message("DataLoader", "transform as a function or None", shown(transform)))
    try:
        inspect.signature(getattr(transform, "forward", transform)).bind(None, None)
    except TypeError:
        wanted = "a transform of batches, t(batch, generator)"
        raise TypeError(message("DataLoader", wanted, shown(transform), "one of single pictures belongs into the data set")) from None
    except ValueError:  # a function of C that does not say what it takes
        pass
