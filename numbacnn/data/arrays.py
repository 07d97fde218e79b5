"""The array-native road of the loader: a batch is a row of arrays each, taken at once, with no Python for an example."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .. import backends
from ..dtypes import as_dtype
from ..errors import ShapeError, message
from ..signatures import shown
from ..tensor import Tensor, from_array
from .dataset import Subset, TensorDataset
from .images import ImageDataset, to_float
from .task import BATCH, Reader, Task, stream
from .transforms import Transform

__all__ = ["Arrays", "Column", "arrays_of", "columns"]


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


def _alone(members: Any) -> Any:
    (only,) = members
    return only


@dataclass(frozen=True)
class Arrays:
    """Data of which a batch is a row of arrays each: an ImageDataset, a pair (X, y), a TensorDataset, one array, or a Subset of these.

    Args:
        columns: the inputs first.
        together: what makes a batch of its columns.
        pictures: the ImageDataset whose bytes the first column is.
        rows: those of the examples; None for all.
        transform: of a batch of the first column.
        there: whether the device makes floats of bytes.
    """

    columns: tuple[Column, ...]
    together: Callable[[Any], Any]
    pictures: ImageDataset | None = None
    rows: np.ndarray | None = None
    transform: Transform | None = None
    there: bool = False

    def __len__(self) -> int:
        return len(self.columns[0].arrays[0] if self.rows is None else self.rows)

    def judge(self) -> None:
        """Raise where the arrays can't make batches."""
        whole = [array for column in self.columns for array in column.arrays]
        if self.transform is not None and len(self.columns[0].arrays) > 1:
            hint = "transform the arrays beforehand"
            raise ValueError(message("DataLoader", "one input for a transform", f"{len(self.columns[0].arrays)}", hint))
        for array in whole if self.transform is None else whole[1:]:
            as_dtype("DataLoader", array.dtype)
        if others := [len(array) for array in whole if len(array) != len(whole[0])]:
            raise ShapeError(message("DataLoader", "as many labels as examples", f"{len(whole[0])} examples and {others[0]} labels"))
        if self.pictures is not None and getattr(self.transform, "rescales", False):
            hint = "give mean and std to the ImageDataset: evaluation needs them too"
            raise ValueError(
                message("DataLoader", "a transform that keeps the scale 0 .. 255 of an ImageDataset", repr(self.transform), hint)
            )

    def reader(self, dataset: Any, worker: int) -> Reader:
        return self._read

    def _read(self, task: Task) -> list[list[np.ndarray]]:
        """NumPy only: no kernel of the library is needed, so that threads do not get into each other's way."""
        rows = np.asarray(task.indices)
        try:
            rows = rows if self.rows is None else self.rows[rows]
            x, *others = (column.taken(rows) for column in self.columns)
        except IndexError as error:
            raise IndexError(message("DataLoader", f"indices from the sampler below {len(self)}", str(error))) from None
        if self.transform is not None:
            given, x = x[0], [_transformed(self.transform, x[0], stream(task.key, task.number, BATCH))]
            if self.pictures is not None:
                _check_scale(given, x[0])
        return [[self._scaled(a) for a in x], *others]

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        there = self.there and x.dtype == np.uint8 and x.shape[-1] == self.columns[0].arrays[0].shape[-1]
        if self.pictures is None or there:
            return np.ascontiguousarray(x)
        return to_float(x, self.pictures.mean, self.pictures.std)

    def finished(self, made: list[list[np.ndarray]], device: str) -> Any:
        """Tensors; to NCHW by view: the memory stays channels-last."""
        x, *others = made
        parts = [[a.transpose(0, 3, 1, 2) if a.ndim == 4 else a for a in x], *others]
        tensors = [[from_array(a, device) for a in part] for part in parts]
        if self.pictures is not None and tensors[0][0].dtype == np.uint8:  # for the device to scale
            xp: Any = backends.get(device)
            tensors[0] = [Tensor(xp.scaled(t.array, self._table), device) for t in tensors[0]]
        return self.together(column.alike(part) for column, part in zip(self.columns, tensors))

    @functools.cached_property
    def _table(self) -> np.ndarray:
        """What becomes of each byte, by its channel: (256, C)."""
        bytes_ = np.broadcast_to(np.arange(256, dtype=np.uint8)[:, None], (256, self.columns[0].arrays[0].shape[-1]))
        return to_float(bytes_[None, None], self.pictures.mean, self.pictures.std)[0, 0]  # type: ignore[union-attr]


def _transformed(transform: Transform, x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    result = np.asarray(transform(x, generator))
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


def arrays_of(dataset: Any, transform: Transform | None = None) -> Arrays | None:
    """Data as arrays, where their batches are what the examples collated would be; None for other data sets."""
    kind = type(dataset)
    if isinstance(dataset, ImageDataset) and kind.__getitem__ is ImageDataset.__getitem__:
        return Arrays(columns("DataLoader", dataset), tuple, dataset, transform=transform)
    if kind is tuple:
        x, y = columns("DataLoader", dataset)
        return Arrays((_channels_last(x), y), tuple, transform=transform)
    if kind is TensorDataset and not any(isinstance(t, Tensor) and not _plain(t) for t in dataset.tensors):
        first, *others = (_column("DataLoader", "X", tensor) for tensor in dataset.tensors)
        return Arrays((_channels_last(first), *others), list, transform=transform)
    if isinstance(dataset, (np.ndarray, Tensor)) and dataset.ndim and (isinstance(dataset, np.ndarray) or _plain(dataset)):
        return Arrays((_channels_last(_column("DataLoader", "X", dataset)),), _alone, transform=transform)
    if kind is Subset and (inner := arrays_of(dataset.dataset, transform)) is not None:
        rows = np.asarray(dataset.indices)
        rows = rows if rows.size else rows.astype(np.int64)
        if rows.ndim != 1 or rows.dtype.kind not in "iu" or (rows.size and not -len(inner) <= rows.min() <= rows.max() < len(inner)):
            wanted = f"a Subset with indices from {-len(inner)} to {len(inner) - 1}"
            raise IndexError(message("DataLoader", wanted, shown(dataset.indices)))
        return Arrays(inner.columns, inner.together, inner.pictures, rows if inner.rows is None else inner.rows[rows], transform)
    return None


def _plain(tensor: Tensor) -> bool:
    """Whether a Tensor lies in memory, and no operation on it is recorded."""
    return isinstance(tensor.array, np.ndarray) and not tensor.requires_grad


def _channels_last(column: Column) -> Column:
    """Pictures of which the channels lie last, as in an ImageDataset."""
    return column._replace(arrays=tuple(a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for a in column.arrays))
