"""Workers that make batches ahead: threads, or threads that each wait for a process. Batches come in the order of their numbers."""

from __future__ import annotations

import copy
import itertools
import os
import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import message
from ..random import drawing_from
from ..tensor import Tensor
from .dataset import Dataset
from .task import End, Reader, Task

__all__ = ["Pool", "Worker", "WorkerInfo", "get_worker_info", "made"]


@dataclass(frozen=True)
class WorkerInfo:
    """What a loader's worker knows of itself: its number, how many there are, a seed of its own, and the data set that it reads."""

    id: int
    num_workers: int
    seed: int
    dataset: Any


_local = threading.local()


def get_worker_info() -> WorkerInfo | None:
    """In a loader's worker its :class:`WorkerInfo`, elsewhere None. An iterable data set takes its share by it.

    >>> get_worker_info() is None
    True
    """
    return getattr(_local, "info", None)


@dataclass
class Worker:
    """Makes the batches of its tasks. It begins with the first of them, in the thread or process that runs it.

    A worker has a shallow copy of the data set, and of those that it consists of: what it opens or counts is its own.

    Args:
        source: what it reads from.
        info: its number and seed; None for the one thread that makes batches ahead where there are no workers.
        begin: the user's function, called with its number.
    """

    source: Any
    info: WorkerInfo | None = None
    begin: Callable[[int], Any] | None = None
    _read: Reader | None = field(default=None, init=False)

    def __call__(self, task: Task) -> Any:
        if self._read is None:
            self._read = self._reader()
        return self._read(task)

    def _reader(self) -> Reader:
        if self.info is None:
            return self.source.reader(getattr(self.source, "dataset", None), 0)  # type: ignore[no-any-return]
        dataset = own_copy(self.info.dataset)
        _local.info = WorkerInfo(self.info.id, self.info.num_workers, self.info.seed, dataset)
        if self.begin is not None:
            with drawing_from(np.random.Generator(np.random.PCG64(self.info.seed))):  # a seed that it sets is not that of other threads
                self.begin(self.info.id)
        return self.source.reader(dataset, self.info.id)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Let go of the data set."""
        self._read = None


def own_copy(dataset: Any) -> Any:
    """A shallow copy of a data set and of the data sets inside; the data set itself where it is bare data, or can't be copied."""
    if isinstance(dataset, (np.ndarray, Tensor)) or not hasattr(dataset, "__dict__"):
        return dataset
    try:
        made = copy.copy(dataset)
    except Exception:  # an object of the user's that says so in its own way
        return dataset
    for name, value in list(made.__dict__.items()):
        inner = _inner_copies(value)
        if inner is not value:
            made.__dict__[name] = inner
    return made


def _inner_copies(value: Any) -> Any:
    if isinstance(value, Dataset):
        return own_copy(value)
    if type(value) in (list, tuple) and any(isinstance(member, Dataset) for member in value):
        return type(value)(map(_inner_copies, value))
    if type(value) is dict and any(isinstance(member, Dataset) for member in value.values()):
        return {name: _inner_copies(member) for name, member in value.items()}
    return value


def attempt(worker: Callable[[Task], Any], task: Task) -> tuple[Any, BaseException | None]:
    """The batch, or the error in its place."""
    try:
        return worker(task), None
    except BaseException as error:
        return None, error


@dataclass(eq=False)
class Loop:
    """Where the batches of one loop arrive, as (number, batch, error)."""

    arrived: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = field(default_factory=queue.SimpleQueue)
    over: bool = False


class Pool:
    """A thread for each worker, which is given tasks in turn. They end when the pool is closed or dropped; nobody waits for them."""

    def __init__(self, workers: Sequence[Any], name: str) -> None:
        self.inboxes: list[queue.SimpleQueue[Any]] = [queue.SimpleQueue() for _ in workers]
        self.process = os.getpid()
        self.close = weakref.finalize(self, _dismiss, self.inboxes, self.process)
        for i, (worker, inbox) in enumerate(zip(workers, self.inboxes)):
            threading.Thread(target=_work, args=(worker, inbox), name=name.format(i), daemon=True).start()

    def batches(self, tasks: Iterator[Task], ahead: int, timeout: float = 0, in_order: bool = True) -> Iterator[Any]:
        """What the workers make of tasks, with at most ``ahead`` of them given out."""
        loop, turn = Loop(), itertools.cycle(range(len(self.inboxes)))
        working = set(range(len(self.inboxes)))  # those that have something left to read
        owners: dict[int, int] = {}  # the worker of each open task
        done: dict[int, tuple[Any, BaseException | None]] = {}
        try:
            while True:
                while working and len(owners) < ahead and (task := next(tasks, None)) is not None:
                    owners[task.number] = next(worker for worker in turn if worker in working)
                    self.inboxes[owners[task.number]].put((task, loop))
                if not owners:
                    return
                while (number := min(owners) if in_order else next(iter(done), -1)) not in done:
                    number, batch, error = self._arrival(loop, timeout)
                    if batch is End:
                        working.discard(owners[number])
                    done[number] = batch, error
                del owners[number]
                batch, error = done.pop(number)
                if error is not None:
                    raise error
                if batch is not End:
                    yield batch
        finally:
            loop.over = True

    def _arrival(self, loop: Loop, timeout: float) -> tuple[int, Any, BaseException | None]:
        if os.getpid() != self.process:
            hint = "begin a new loop over the loader in the child"
            raise RuntimeError(message("DataLoader", "the loop to go on in the process that began it", "a forked child", hint))
        try:
            return loop.arrived.get(timeout=timeout or None)
        except queue.Empty:
            hint = "raise timeout, or look for what the data set waits for"
            raise RuntimeError(message("DataLoader", f"a batch within timeout = {timeout} seconds", "none", hint)) from None


def _work(worker: Any, inbox: queue.SimpleQueue[Any]) -> None:
    """What a thread does until it is dismissed."""
    try:
        while (given := inbox.get()) is not None:
            task, loop = given
            if not loop.over:
                loop.arrived.put((task.number, *attempt(worker, task)))
            del given, task, loop
    finally:
        worker.close()


def _dismiss(inboxes: list[queue.SimpleQueue[Any]], process: int) -> None:
    if os.getpid() == process:  # in a forked child the threads are not there
        for inbox in inboxes:
            inbox.put(None)


def made(worker: Worker, tasks: Iterator[Task]) -> Iterator[Any]:
    """What a worker makes of tasks, here and now."""
    for task in tasks:
        batch = worker(task)
        if batch is End:
            return
        yield batch
