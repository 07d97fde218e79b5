"""The data loader: batches of arrays by one indexing operation each, of other data sets example by example; by workers, or here and now."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from multiprocessing.context import BaseContext
from typing import Any

import numpy as np

from .. import backends, random
from ..arguments import flag, integer, number
from ..errors import message
from ..random import Generator
from ..signatures import fits, judged, shown
from .arrays import Arrays
from .collate import default_collate, default_convert
from .dataset import Dataset, IterableDataset, length
from .images import ImageDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler, batches_of, check_indices
from .source import Stream, source_of
from .task import Task, worker_seed
from .transforms import Transform
from .workers import Pool, Worker, WorkerInfo, made

__all__ = ["DataLoader"]

WORD = 2**64
FIXED = ("dataset", "batch_size", "sampler", "batch_sampler", "drop_last", "persistent_workers")
"""What may not be set after a loader was made."""


@judged
class DataLoader:
    """Batches of a data set, epoch after epoch.

    Data in arrays are the fast road: an :class:`ImageDataset`, a pair (X, y) of arrays or Tensors of equal length, a
    :class:`TensorDataset`, one array, or a :class:`Subset` of these. Where a network has several inputs or targets, X or y of a pair is a
    tuple of arrays, and so it is in the batches. Rows are taken at once. Arrays are never copied whole, so that memory-mapped ones may be
    larger than memory, and a batch sees what was written to them before it was made.

    Any other data set is read example by example: what has ``__getitem__`` and ``__len__``, or an :class:`IterableDataset`.

    Args:
        dataset: the data.
        batch_size: examples in a batch; the last one of an epoch may be smaller. None: single examples, without a first axis.
        shuffle: a new order for each epoch.
        sampler: the indices of an epoch in their order, in place of ``shuffle``.
        batch_sampler: lists of indices, in place of ``batch_size``, ``shuffle``, ``sampler`` and ``drop_last``.
        num_workers: how many workers make batches ahead; 0: each is made when it is asked for. The batches do not depend on it, except
            for those of an IterableDataset, of which each worker has its own, in turn.
        collate_fn: ``f(examples)`` makes a batch of a list of examples; by default :func:`default_collate`.
        pin_memory, pin_memory_device: accepted, and of no effect.
        drop_last: leave out a last batch that is smaller.
        timeout: seconds to wait for a batch of the workers; 0: for ever.
        worker_init_fn: ``f(worker)`` is called once in each worker before its first batch.
        multiprocessing_context: "fork", "spawn", "forkserver" or a context: workers are processes. By default they are threads, which
            reading and decoding of pictures leave free to run at once.
        generator: what the seed is drawn from in place of the library's generator.
        prefetch_factor: how many batches each worker makes ahead; 2 by default.
        persistent_workers: keep the workers from one epoch to the next.
        in_order: False: hand over each batch as soon as it is there.
        seed: with the number of the epoch it decides the order, and with the place in it what the library's generator gives while an
            example is made. By default it is drawn from the library's generator, see ``manual_seed``, where there is anything to decide.
        transform: ``t(batch, generator) -> batch`` of data in arrays, see :mod:`numbacnn.data.transforms`. It is given the bytes
            (N, H, W, C) of an ImageDataset, and returns values on their scale, 0 .. 255, as bytes or floats; or it is given the slice of X
            (4-d: channels last), of which there is one.
        prefetch: how many batches are made ahead in all, without workers in a background thread. The batches are the same. By default 2
            with a transform, else 0: without one a batch is made sooner than it is handed over.
        device: where the Tensors go.

    Yields:
        Of an ImageDataset ``(X, y)``: X float32 (N, C, H, W), channels last in memory, ``(images / 255 - mean) / std`` of what the
        transform returned, and y int64 (N,). Of a pair ``(X, y)`` in their own dtypes and values. Of a TensorDataset a list of Tensors.
        Of any other data set what ``collate_fn`` makes: of examples (x, y) a list of two.

    Random transforms that draw from the library's generator give the same whoever makes the example. Python's and NumPy's own global
    generators are shared by threads, whose order nobody knows; in process workers they are seeded, each worker's with its seed. Each worker
    has a shallow copy of the data set, so that a file which it opens when it is first read is its own.

    Each ``iter()`` begins an epoch from its first batch, with the next number if anything was taken of the last. ``state_dict()``
    counts the batches that were handed out; after ``load_state_dict()`` the next ``iter()`` goes on exactly there. Samplers of one's own
    are asked for the indices of the batches before, an IterableDataset for its examples. What they draw from a generator of their own is
    not part of the state.

    Raises:
        ShapeError, ValueError: where an argument makes no sense, or two exclude each other.
        DTypeError, DeviceError: where no Tensor can hold the data, or lie there.
        TypeError: where ``dataset`` is of another kind. What a data set or a transform raises comes out of the loop, with a note that
            names the example.
        RuntimeError: from the loop: a worker's process ended, or nothing came within ``timeout``.

    >>> loader = DataLoader((np.zeros((10, 1, 8, 8), np.float32), np.arange(10)), batch_size=4)
    >>> [X.shape for X, y in loader]
    [(4, 1, 8, 8), (4, 1, 8, 8), (2, 1, 8, 8)]
    >>> [batch.tolist() for batch in DataLoader(range(5), batch_size=2, num_workers=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: str | BaseContext | None = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        seed: int | None = None,
        transform: Transform | None = None,
        prefetch: int | None = None,
        device: str = "cpu",
    ) -> None:
        batch_size = None if batch_size is None else integer("DataLoader", "batch_size", batch_size)
        self.shuffle, self.drop_last = flag("DataLoader", "shuffle", shuffle or False), flag("DataLoader", "drop_last", drop_last)
        self._judge_workers(num_workers, timeout, multiprocessing_context, prefetch_factor, persistent_workers, prefetch, transform)
        self.pin_memory, self.pin_memory_device = flag("DataLoader", "pin_memory", pin_memory), pin_memory_device
        self.in_order = flag("DataLoader", "in_order", in_order)
        for name, function in (("collate_fn", collate_fn), ("worker_init_fn", worker_init_fn)):
            if function is not None and not callable(function):
                raise TypeError(message("DataLoader", f"{name} as a function or None", shown(function)))
        random.check_generator("DataLoader", generator)
        if generator is not None and seed is not None:
            raise ValueError(message("DataLoader", "a seed or a generator", "both"))
        self._seed = 0 if seed is None else integer("DataLoader", "seed", seed, 0, WORD - 1)
        self.worker_init_fn, self.transform, self.generator, self.dataset = worker_init_fn, transform, generator, dataset
        self._judge_order(batch_size, sampler, batch_sampler)
        batched = batch_size is not None or batch_sampler is not None
        self.device = backends.device(device, "DataLoader")
        self._source = source_of(dataset, batched, collate_fn, self.drop_last, transform)
        if isinstance(self._source, Arrays) and hasattr(backends.get(self.device), "scaled"):
            self._source = replace(self._source, there=True)
        in_memory = isinstance(dataset, (tuple, list, ImageDataset)) and isinstance(self._source, Arrays)
        if in_memory and self.drop_last and batch_size is not None and len(self._source) < batch_size:  # type: ignore[arg-type]
            received, hint = f"{len(self._source)} examples with drop_last", "lower batch_size or keep the last"  # type: ignore[arg-type]
            raise ValueError(message("DataLoader", f"at least one batch of {batch_size} examples", received, hint))
        self.sampler, self.batch_sampler = self._samplers(batch_size, sampler, batch_sampler)
        self.collate_fn = collate_fn or (default_collate if self.batch_sampler is not None else default_convert)
        self.batch_size = batch_size if batch_sampler is None else None
        self._epoch, self._position, self._resume, self._loops = 0, 0, False, itertools.count()
        self._pool: Pool | None = None
        self._told: int | None = None  # the length of an iterable data set, where somebody asked for it
        arrays = isinstance(self._source, Arrays)
        if seed is None and (self.shuffle or sampler is not None or batch_sampler is not None or transform is not None or not arrays):
            stream = random.generator() if generator is None else generator.numpy  # all arguments are judged: now it may move on
            self._seed = int(stream.integers(WORD, dtype=np.uint64))
        self._made = True

    # -- arguments -----------------------------------------------------------------------------------------------------------------
    def _judge_workers(self, workers: Any, timeout: Any, context: Any, factor: Any, persistent: Any, prefetch: Any, transform: Any) -> None:
        self.num_workers = integer("DataLoader", "num_workers", workers, 0)
        number("DataLoader", "timeout", timeout)
        self.timeout, self.persistent_workers = timeout, flag("DataLoader", "persistent_workers", persistent)
        self.prefetch_factor = None if factor is None else integer("DataLoader", "prefetch_factor", factor)
        if factor is not None and prefetch is not None:
            raise ValueError(message("DataLoader", "prefetch or prefetch_factor", "both"))
        default = 2 * (self.num_workers or transform is not None)
        ahead = default if factor is None else self.prefetch_factor * self.num_workers  # type: ignore[operator]
        self.prefetch = ahead if prefetch is None else integer("DataLoader", "prefetch", prefetch, self.num_workers)
        given = {"timeout": timeout, "multiprocessing_context": context, "prefetch_factor": factor, "persistent_workers": persistent}
        for name, value in given.items():
            if value and not self.num_workers:
                raise ValueError(message("DataLoader", f"num_workers above 0 with {name}", "num_workers 0"))
        known = multiprocessing.get_all_start_methods()
        if isinstance(context, str) and context not in known:
            raise ValueError(message("DataLoader", f"multiprocessing_context as one of {', '.join(known)}, or a context", repr(context)))
        if not isinstance(context, (str, BaseContext, type(None))):
            raise TypeError(message("DataLoader", "multiprocessing_context as a name, a context or None", shown(context)))
        self.multiprocessing_context = multiprocessing.get_context(context) if isinstance(context, str) else context
        if self.num_workers and self.prefetch_factor is None:
            self.prefetch_factor = 2

    def _judge_order(self, batch_size: Any, sampler: Any, batch_sampler: Any) -> None:
        given = {"shuffle": self.shuffle, "sampler": sampler is not None, "batch_sampler": batch_sampler is not None}
        if isinstance(self.dataset, IterableDataset) and any(given.values()):
            raise ValueError(message("DataLoader", "an IterableDataset alone to decide the order", _listed(given)))
        if sampler is not None and self.shuffle:
            raise ValueError(message("DataLoader", "a sampler or shuffle", "both", "let the sampler shuffle"))
        given |= {"batch_sampler": False, "batch_size": batch_size != 1, "drop_last": self.drop_last}
        if batch_sampler is not None and any(given.values()):
            raise ValueError(message("DataLoader", "a batch_sampler alone to make the batches", f"{_listed(given)} too"))
        if batch_size is None and self.drop_last:
            raise ValueError(message("DataLoader", "batches with drop_last", "batch_size None"))
        for name, value in (("sampler", sampler), ("batch_sampler", batch_sampler)):
            if value is not None:
                check_indices("DataLoader", name, value)

    def _samplers(self, batch_size: Any, sampler: Any, batch_sampler: Any) -> tuple[Any, Any]:
        """The sampler and the batch sampler; None for one that there is not."""
        if isinstance(self._source, Stream):
            endless = itertools.repeat(None)
            return endless, None if batch_size is None else itertools.repeat(batch_size)
        if sampler is None:
            source = self._source
            sized = range(len(source)) if isinstance(source, Arrays) and not isinstance(self.dataset, Dataset) else self.dataset
            sampler = RandomSampler(sized) if self.shuffle else SequentialSampler(sized)
            if batch_sampler is None:
                length("DataLoader", sized)
        if batch_sampler is None and batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, self.drop_last)
        return sampler, batch_sampler

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FIXED and self.__dict__.get("_made"):
            raise ValueError(message("DataLoader", f"{name} to stay as it is", f"{name} = {shown(value)}", "make another loader"))
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pool": None, "_loops": None}  # workers belong to one loader in one process

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {"_loops": itertools.count()})

    # -- epochs --------------------------------------------------------------------------------------------------------------------
    def __len__(self) -> int:
        """Batches in an epoch; of an IterableDataset what its length lets expect, if it has one."""
        if isinstance(self._source, Stream):
            self._told = length("DataLoader", self.dataset)
            size = self.batch_size or 1
            return self._told // size if self.drop_last else -(-self._told // size)
        return length("DataLoader", self._order)

    def __iter__(self) -> Iterator[Any]:
        if self._position and not self._resume:
            self._epoch, self._position = self._epoch + 1, 0
        self._resume = False
        return _Batches(self, self._epoch_from(self._epoch, self._position))

    def state_dict(self) -> dict[str, int]:
        """``seed``, ``epoch`` and ``position`` (batches taken in this epoch): all that decides what comes next."""
        return {"seed": self._seed, "epoch": self._epoch, "position": self._position}

    @judged
    def load_state_dict(self, state: dict[str, int]) -> None:
        """Takes over a state; the next ``iter()`` yields the rest of its epoch (nothing, if it was at the end).

        Raises:
            ValueError: unless the state has just those keys, each an integer, with a position within an epoch of this loader.
        """
        batches = self._batches_or_none()
        limits = {"seed": WORD - 1, "epoch": WORD - 1, "position": WORD - 1 if batches is None else batches}
        known = isinstance(state, dict) and state.keys() == limits.keys()
        if not known or not all(fits(state[key], int) and 0 <= state[key] <= limit for key, limit in limits.items()):
            wanted = f"seed and epoch >= 0 and position {'>= 0' if batches is None else f'0 .. {batches}'}"
            raise ValueError(message("DataLoader", wanted, f"state {state}", "use the batch size and data of the saved run"))
        self._seed, self._epoch, self._position = (int(state[key]) for key in limits)
        self._resume = True

    @property
    def _order(self) -> Any:
        """What says which examples come."""
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _batches_or_none(self) -> int | None:
        """Batches in an epoch, where that is known: the length of an iterable data set is an estimate."""
        try:
            return None if isinstance(self._source, Stream) else len(self)
        except TypeError:  # a sampler of the user's need not say it
            return None

    def _epoch_from(self, epoch: int, start: int) -> Iterator[Any]:
        skipped = start if isinstance(self._source, Stream) else 0  # of examples nobody else knows where they begin
        batches = self._batches(self._tasks(epoch, start - skipped), (self._seed, epoch))
        for position, batch in enumerate(itertools.islice(batches, skipped, None), start + 1):
            if self._epoch == epoch:  # else another loop over this loader has begun, and the state is its
                self._position = position
            if self._told is not None and position == self._told + 1:
                received = f"batch {position} of an IterableDataset whose length is {self._told}"
                hint = "let each worker take its share, see get_worker_info" if self.num_workers else ""
                warnings.warn(message("DataLoader", "no more batches than examples", received, hint), stacklevel=3)
            yield self._source.finished(batch, self.device)
        if self._epoch == epoch:
            self._epoch, self._position = epoch + 1, 0

    def _tasks(self, epoch: int, start: int) -> Iterator[Task]:
        """The batches of an epoch that are to be made. What their order draws from the library's generator depends on the epoch alone."""
        key, loop, first = (self._seed, epoch), next(self._loops), 0
        stream = np.random.Generator(np.random.Philox(key=np.array(key, np.uint64)))
        batched = self.batch_sampler is not None and not isinstance(self._source, Stream)
        for batch, indices in enumerate(batches_of(self._order, stream)):
            if not isinstance(indices, np.ndarray) and batched:
                indices = list(indices)
            if batch >= start:
                yield Task(batch, key, first, indices, loop)
            first += len(indices) if batched else 1

    def _batches(self, tasks: Iterator[Task], key: tuple[int, int]) -> Iterator[Any]:
        if not self.num_workers and not self.prefetch:
            yield from made(Worker(self._source), tasks)
            return
        pool = self._pool
        if pool is None or pool.process != os.getpid():
            pool = self._new_pool(key)
        if self.persistent_workers:
            self._pool = pool
        try:
            yield from pool.batches(tasks, self.prefetch or self.num_workers, self.timeout, self.in_order)
        finally:
            if not self.persistent_workers:
                pool.close()

    def _new_pool(self, key: tuple[int, int]) -> Pool:
        if not self.num_workers:
            return Pool([Worker(self._source)], "numbacnn-prefetch")
        seed = worker_seed(key)
        infos = [WorkerInfo(i, self.num_workers, seed + i, self.dataset) for i in range(self.num_workers)]
        workers = [Worker(self._source, info, self.worker_init_fn) for info in infos]
        if self.multiprocessing_context is None:
            return Pool(workers, "numbacnn-worker-{}")
        from .processes import started  # which few need

        return Pool(started(workers, self.multiprocessing_context), "numbacnn-worker-{}")


class _Batches(Iterator[Any]):
    """The batches of an epoch; their number is the loader's length, if its data set is no IterableDataset."""

    def __init__(self, loader: DataLoader, batches: Iterator[Any]) -> None:
        self._loader, self._batches = loader, batches

    def __next__(self) -> Any:
        return next(self._batches)

    def __len__(self) -> int:
        if isinstance(self._loader._source, Stream):
            raise TypeError(message("DataLoader", "a map-style data set, of which batches are counted", shown(self._loader.dataset)))
        return len(self._loader)


def _listed(given: dict[str, Any]) -> str:
    return ", ".join(name for name, value in given.items() if value)
