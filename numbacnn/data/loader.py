"""The data loader: batches by one indexing operation each, made one step ahead in a thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .. import backends, random
from ..arguments import flag, integer
from ..dtypes import as_dtype
from ..errors import ShapeError, message
from ..signatures import fits, judged, shown
from ..tensor import Tensor, from_array
from .images import ImageDataset, shuffled, to_float
from .transforms import Transform

__all__ = ["DataLoader"]

T = TypeVar("T")
WORD = 2**64


@judged
class DataLoader:
    """Batches ``(X, y)`` of a data set, epoch after epoch.

    Args:
        dataset: a :class:`ImageDataset`, or a pair (X, y) of arrays or Tensors of equal length. Where a network has several inputs or
            targets, X or y is a tuple of arrays, and so it is in the batches. Arrays are never copied whole, so that memory-mapped ones may
            be larger than memory, and a batch sees what was written to them before it was made.
        batch_size: examples in a batch; the last one of an epoch may be smaller.
        shuffle: a new order for each epoch.
        seed: with the number of the epoch it decides the order, and with the number of the batch what the transform draws. By default it
            is drawn from the library's generator, see ``manual_seed``, where there is anything to decide.
        drop_last: leave out a last batch that is smaller.
        transform: ``t(batch, generator) -> batch``, see :mod:`numbacnn.data.transforms`. It is given the bytes (N, H, W, C) of an
            ImageDataset, and returns values on their scale, 0 .. 255, as bytes or floats; or it is given the slice of X (4-d: channels
            last), of which there is one.
        prefetch: how many batches a background thread makes ahead; 0 makes each when it is asked for. The batches are the same. By default
            2 with a transform; without one a batch is made sooner than it is handed over.
        device: where the Tensors go.

    Yields:
        X: from an ImageDataset, float32 (N, C, H, W), channels last in memory: ``(images / 255 - mean) / std`` of what the transform
           returned. From a pair, X's own dtype and values.
        y: (N,), int64 from an ImageDataset; from a pair, y's own dtype and values.

    Each ``iter()`` begins an epoch from its first batch, with the next number if anything was taken of the last. ``state_dict()``
    counts the batches that were handed out; after ``load_state_dict()`` the next ``iter()`` goes on exactly there.

    Raises:
        ShapeError, ValueError: where an argument makes no sense.
        DTypeError, DeviceError: where no Tensor can hold the data, or lie there.
        TypeError: where ``dataset`` is of another kind. What a transform raises comes out of the loop.

    >>> loader = DataLoader((np.zeros((10, 1, 8, 8), np.float32), np.arange(10)), batch_size=4)
    >>> [X.shape for X, y in loader]
    [(4, 1, 8, 8), (4, 1, 8, 8), (2, 1, 8, 8)]
    """

    def __init__(
        self,
        dataset: ImageDataset | Sequence[Any],
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        seed: int | None = None,
        drop_last: bool = False,
        transform: Transform | None = None,
        prefetch: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.batch_size = integer("DataLoader", "batch_size", batch_size)
        self.prefetch = integer("DataLoader", "prefetch", (0 if transform is None else 2) if prefetch is None else prefetch, 0)
        self._seed = 0 if seed is None else integer("DataLoader", "seed", seed, 0, WORD - 1)
        self.shuffle, self.drop_last = flag("DataLoader", "shuffle", shuffle), flag("DataLoader", "drop_last", drop_last)
        if transform is not None and not callable(transform):
            raise TypeError(message("DataLoader", "transform as a function or None", shown(transform)))
        if getattr(transform, "one_picture", False):
            hint = "give it to the data set, or take one of numbacnn.data"
            raise TypeError(message("DataLoader", "a transform of whole batches", f"{type(transform).__name__}, of one picture", hint))
        self.dataset = dataset
        self._x, self._y = columns("DataLoader", dataset)
        if not isinstance(dataset, ImageDataset):  # pictures of which the channels lie last, as in an ImageDataset
            self._x = self._x._replace(arrays=tuple(a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for a in self._x.arrays))
        if transform is not None and len(self._x.arrays) > 1:
            raise ValueError(
                message("DataLoader", "one input for a transform", f"{len(self._x.arrays)}", "transform the arrays beforehand")
            )
        for array in self._y.arrays if transform is not None else self._x.arrays + self._y.arrays:
            as_dtype("DataLoader", array.dtype)
        self._examples = len(self._x.arrays[0])
        _check_sizes(self._examples, self._x.arrays + self._y.arrays, self.batch_size, drop_last)
        if isinstance(dataset, ImageDataset) and getattr(transform, "rescales", False):
            hint = "give mean and std to the ImageDataset: evaluation needs them too"
            raise ValueError(message("DataLoader", "a transform that keeps the scale 0 .. 255 of an ImageDataset", repr(transform), hint))
        self.transform, self.device = transform, backends.device(device, "DataLoader")
        self._epoch, self._position, self._resume = 0, 0, False
        if seed is None and (shuffle or transform is not None):  # all arguments are judged: now the generator may move on
            self._seed = int(random.generator().integers(WORD, dtype=np.uint64))

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(self._examples, self.batch_size)
        return whole if self.drop_last or not rest else whole + 1

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        if self._position and not self._resume:
            self._epoch, self._position = self._epoch + 1, 0
        self._resume = False
        return self._epoch_from(self._epoch, self._position)

    def state_dict(self) -> dict[str, int]:
        """``seed``, ``epoch`` and ``position`` (batches taken in this epoch): all that decides what comes next."""
        return {"seed": self._seed, "epoch": self._epoch, "position": self._position}

    @judged
    def load_state_dict(self, state: dict[str, int]) -> None:
        """Takes over a state; the next ``iter()`` yields the rest of its epoch (nothing, if it was at the end).

        Raises:
            ValueError: unless the state has just those keys, each an integer, with a position within an epoch of this loader.
        """
        limits = {"seed": WORD - 1, "epoch": WORD - 1, "position": len(self)}
        known = isinstance(state, dict) and state.keys() == limits.keys()
        if not known or not all(fits(state[key], int) and 0 <= state[key] <= limit for key, limit in limits.items()):
            wanted = f"seed and epoch >= 0 and position 0 .. {len(self)}"
            raise ValueError(message("DataLoader", wanted, f"state {state}", "use the batch size and data of the saved run"))
        self._seed, self._epoch, self._position = (int(state[key]) for key in limits)
        self._resume = True

    def _epoch_from(self, epoch: int, start: int) -> Iterator[tuple[Any, Any]]:
        batches = self._batches(self._seed, epoch, start)
        for position, (x, y) in enumerate(_ahead(batches, self.prefetch) if self.prefetch else batches, start + 1):
            if self._epoch == epoch:  # else another loop over this loader has begun, and the state is its
                self._position = position
            # to NCHW by view: the memory stays channels-last
            inputs = [from_array(a.transpose(0, 3, 1, 2) if a.ndim == 4 else a, self.device) for a in x]
            yield self._x.alike(inputs), self._y.alike([from_array(a, self.device) for a in y])
        if self._epoch == epoch:
            self._epoch, self._position = epoch + 1, 0

    def _batches(self, seed: int, epoch: int, start: int) -> Iterator[tuple[list[np.ndarray], list[np.ndarray]]]:
        """NumPy only: it may run in another thread, where a parallel kernel must not."""
        n = self._examples
        order = shuffled(n, (seed, epoch)) if self.shuffle else np.arange(n)
        for batch in range(start, len(self)):
            rows = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            x, y = self._x.taken(rows), self._y.taken(rows)
            if self.transform is not None:
                given, x = x[0], [_transformed(self.transform, x[0], (seed, epoch), batch)]
                if isinstance(self.dataset, ImageDataset):
                    _check_scale(given, x[0])
            yield [self._finished(a) for a in x], y

    def _finished(self, x: np.ndarray) -> np.ndarray:
        if not isinstance(self.dataset, ImageDataset):
            return np.ascontiguousarray(x)
        return to_float(x, self.dataset.mean, self.dataset.std)


class Column(NamedTuple):
    """The inputs, or the targets, of all examples: one array, or ``several``."""

    arrays: tuple[np.ndarray, ...]
    several: bool = False

    @property
    def shapes(self) -> str:
        return ", ".join(str(a.shape) for a in self.arrays)

    def taken(self, rows: np.ndarray) -> list[np.ndarray]:
        """These rows, in C order. ``take`` is quicker, but copies an array in another order whole."""
        return [np.ascontiguousarray(a.take(rows, axis=0) if a.flags.carray else a[rows]) for a in self.arrays]

    def alike(self, members: list[Any]) -> Any:
        """As the user gave it: one, or a tuple."""
        return tuple(members) if self.several else members[0]


def _transformed(transform: Transform, x: np.ndarray, key: tuple[int, int], batch: int) -> np.ndarray:
    # the counter's upper words number the batches, so that their streams never meet; the order of the epoch has stream 0
    stream = np.random.Philox(key=np.array(key, np.uint64), counter=np.array([0, 0, batch + 1, 0], np.uint64))
    result = np.asarray(transform(x, np.random.Generator(stream)))
    if result.shape[:1] != x.shape[:1] or result.ndim != x.ndim:
        wanted = f"the transform to return {len(x)} examples with {x.ndim} axes, as it was given"
        raise ShapeError(message("DataLoader", wanted, f"shape {result.shape}"))
    return result


def _check_scale(before: np.ndarray, after: np.ndarray) -> None:
    """Refuse a transform that divides bytes by 255, as the loader does itself."""
    if after.dtype.kind == "f" and after.size and after.max() <= 1 < before.max():
        wanted, received = "the transform to keep the scale of bytes, 0 .. 255", f"values of at most {after.max():.3g}"
        raise ValueError(message("DataLoader", wanted, received, "leave the division by 255 to the loader"))


def columns(op: str, dataset: Any) -> tuple[Column, Column]:
    """The inputs and the targets of a data set, in the memory that was given; equal lengths are not looked after.

    Raises:
        TypeError, ShapeError: for what is neither an ImageDataset nor a pair of arrays with an axis of examples.
    """
    if isinstance(dataset, ImageDataset):
        return Column((dataset.images,)), Column((dataset.labels,))
    if not isinstance(dataset, (tuple, list)) or len(dataset) != 2:
        received = f"a {type(dataset).__name__} of {len(dataset)}" if isinstance(dataset, (tuple, list)) else type(dataset).__name__
        raise TypeError(message(op, "an ImageDataset or a pair (X, y) of arrays", received, "write (X, y)"))
    x, y = (_column(op, name, part) for name, part in zip("Xy", dataset))
    if not all(a.ndim for a in x.arrays + y.arrays):
        raise ShapeError(message(op, "X (N, ...) and y (N, ...)", f"X {x.shapes} and y {y.shapes}"))
    return x, y


def _column(op: str, name: str, part: Any) -> Column:
    """An array, or where there is a tuple of arrays or Tensors, several."""
    several = isinstance(part, tuple) and len(part) > 0 and all(isinstance(member, (np.ndarray, Tensor)) for member in part)
    return Column(tuple(_array(op, name, member) for member in (part if several else (part,))), several)


def _array(op: str, name: str, data: Any) -> np.ndarray:
    if isinstance(data, Tensor):
        return data.detach().numpy()
    try:
        return np.asarray(data)
    except ValueError:  # lists of unequal lengths
        raise ShapeError(message(op, "X (N, ...) and y (N, ...)", f"{name} of members with several shapes")) from None


def _check_sizes(examples: int, arrays: tuple[np.ndarray, ...], batch_size: int, drop_last: bool) -> None:
    if any(len(a) != examples for a in arrays):
        other = next(len(a) for a in arrays if len(a) != examples)
        raise ShapeError(message("DataLoader", "as many labels as examples", f"{examples} examples and {other} labels"))
    if drop_last and examples < batch_size:
        received = f"{examples} examples with drop_last"
        hint = "lower batch_size or keep the last"
        raise ValueError(message("DataLoader", f"at least one batch of {batch_size} examples", received, hint))


def _ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """The same items, up to ``depth`` of them made ahead in a thread.

    The thread is made by the first ``next`` and ends with the items, or within one item of this generator being closed or dropped; it
    is never waited for, so nothing can hang. What it raises is raised here, in its place.
    """
    ready: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
    room = threading.Semaphore(depth)
    closed = threading.Event()

    def produce() -> None:
        try:
            while room.acquire() and not closed.is_set():
                ready.put((next(items), None))
        except BaseException as error:  # StopIteration too: it marks the end
            ready.put((None, error))

    process = os.getpid()
    threading.Thread(target=produce, name="numbacnn-prefetch", daemon=True).start()
    try:
        while True:
            if os.getpid() != process:
                hint = "begin a new loop over the loader in the child"
                raise RuntimeError(message("DataLoader", "the loop to go on in the process that began it", "a forked child", hint))
            item, error = ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            room.release()
            yield item
    finally:
        if os.getpid() == process:  # in a forked child the thread is not there, and its locks may be held for ever
            closed.set()
            room.release()
