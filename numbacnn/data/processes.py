"""Workers in processes of their own. A thread of this process waits for each, so that who takes their batches knows threads only.

Tasks and batches go through a pipe, the memory of arrays on Linux in an anonymous file that both processes map.
"""

from __future__ import annotations

import io
import math
import mmap
import os
import pickle
import random as python_random
import signal
import traceback
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import reduction
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from .. import backends, config, random
from ..errors import message
from ..tensor import Tensor, from_array
from .task import Task
from .workers import Worker, attempt

__all__ = ["started"]

CHECK = 1.0  # seconds between two looks at whether a process lives
GRACE = 5.0  # seconds in which a process that was dismissed ends its batch
LARGE = 1 << 16  # bytes from which arrays go by a file
MAPPED = hasattr(os, "memfd_create")


class _ProcessWorker:
    """A :class:`Worker` that runs in a process of its own."""

    def __init__(self, worker: Worker, context: Any) -> None:
        self.number = worker.info.id if worker.info is not None else 0
        self.connection, theirs = context.Pipe()
        inherited = self.connection if context.get_start_method() == "fork" else None
        self.process = context.Process(target=_serve, args=(worker, theirs, inherited), name=f"worker-{self.number}", daemon=True)
        try:
            self.process.start()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            hint = "define them in a module, or take threads or multiprocessing_context='fork'"
            wanted = f"a data set, collate_fn and worker_init_fn that can be pickled for {context.get_start_method()!r}"
            raise TypeError(message("DataLoader", wanted, str(error), hint)) from error
        finally:
            theirs.close()

    def __call__(self, task: Task) -> Any:
        try:
            self.connection.send(task)
            while not self.connection.poll(CHECK):
                if not self.process.is_alive() and not self.connection.poll():
                    raise EOFError
            batch, error, text = _received(self.connection)
        except (EOFError, ConnectionError):
            self.process.join(GRACE)
            received = f"its end, exit code {self.process.exitcode}"
            hint = "a negative code is the signal that killed it, -9 perhaps for want of memory; num_workers=0 runs the same code here"
            raise RuntimeError(message("DataLoader", f"worker {self.number} to go on", received, hint)) from None
        if error is not None:
            raise error from _InWorker(text)
        return batch

    def close(self) -> None:
        """Let the process end: it may finish the batch that it is making."""
        with suppress(OSError):
            self.connection.send(None)
        self.connection.close()
        self.process.join(GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(GRACE)


def started(workers: Sequence[Worker], context: Any) -> list[_ProcessWorker]:
    """A process for each worker, or none where one can't be started."""
    made: list[_ProcessWorker] = []
    try:
        for worker in workers:
            made.append(_ProcessWorker(worker, context))
    except BaseException:
        for worker_process in made:
            worker_process.close()
        raise
    return made


class _InWorker(Exception):
    """The traceback of an error in another process, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _serve(worker: Worker, connection: Connection, inherited: Connection | None) -> None:
    """What a process does until it is dismissed, or the other end of the pipe is gone, with the process that held it."""
    if inherited is not None:
        inherited.close()  # else this process would hold the other end itself
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes of a terminal; the loop ends this one
    config.threads = 1
    seed = worker.info.seed if worker.info is not None else 0
    random.manual_seed(seed)
    python_random.seed(seed)
    np.random.seed(np.random.SeedSequence(seed).generate_state(4))
    with suppress(EOFError, ConnectionError):
        while (task := connection.recv()) is not None:
            batch, error = attempt(worker, task)
            _send(connection, (batch, *_portable(error)))
            del batch, error


def _portable(error: BaseException | None) -> tuple[BaseException | None, str]:
    """An error as it can be sent, and its traceback."""
    if error is None:
        return None, ""
    text = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # one that can't be made of its arguments
        error = RuntimeError(message("DataLoader", "a batch", f"{type(error).__name__}: {error}"))
    return error, text


# -- what goes through the pipe --------------------------------------------------------------------------------------------------------
class _Pickler(pickle.Pickler):
    """Sends the memory of a Tensor in the order in which it lies, so that it need not be copied."""

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.device != backends.DEFAULT or value.requires_grad or value.grad is not None:
            return NotImplemented
        array = value.detach().array
        order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
        return _tensor, (type(value), np.ascontiguousarray(array.transpose(order)) if array.ndim else array, tuple(np.argsort(order)))


def _tensor(kind: type, array: np.ndarray, axes: tuple[int, ...]) -> Any:
    return from_array(array.transpose(axes) if array.ndim else array)


def _send(connection: Connection, value: Any) -> None:
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    try:
        _Pickler(stream, 5, buffer_callback=buffers.append).dump(value)
    except Exception as error:  # what a user's data set gives may be of any kind
        buffers, stream = [], io.BytesIO()
        hint = "let the data set and collate_fn give what can be, or take threads"
        raw = f"{type(error).__name__}: {error}"
        refused = TypeError(message("DataLoader", "batches that can be pickled from a worker's process", raw, hint))
        _Pickler(stream, 5).dump((None, *_portable(refused)))
    parts = [buffer.raw() for buffer in buffers]
    sizes = [part.nbytes for part in parts]
    mapped = MAPPED and sum(sizes) >= LARGE
    connection.send((stream.getvalue(), sizes, mapped))
    if not mapped:
        for part in parts:
            connection.send_bytes(part)
        return
    file = os.memfd_create("numbacnn-batch")
    try:
        places, total = _places(sizes)
        os.ftruncate(file, total)
        for part, place in zip(parts, places):
            written = 0
            while written < part.nbytes:
                written += os.pwrite(file, part[written:], place + written)
        reduction.send_handle(connection, file, os.getppid())
    finally:
        os.close(file)


def _received(connection: Connection) -> Any:
    header, sizes, mapped = connection.recv()
    if not mapped:
        return pickle.loads(header, buffers=[bytearray(connection.recv_bytes()) for _ in sizes])
    file = reduction.recv_handle(connection)
    try:
        places, total = _places(sizes)
        memory = memoryview(mmap.mmap(file, total))
    finally:
        os.close(file)
    return pickle.loads(header, buffers=[memory[place : place + size] for place, size in zip(places, sizes)])


def _places(sizes: list[int]) -> tuple[list[int], int]:
    """Where each buffer begins in a file, at multiples of a cache line, and how long the file is."""
    places, total = [], 0
    for size in sizes:
        places.append(total)
        total += math.ceil(size / 64) * 64
    return places, total
