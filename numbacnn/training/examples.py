"""The examples of a run: judged, described, and tried out before anything is written."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..data import ConcatDataset, DataLoader, ImageDataset, IterableDataset, Subset, TensorDataset, default_collate, default_convert
from ..data import dataset as datasets
from ..data.arrays import Column, arrays_of, columns
from ..errors import DTypeError, ShapeError, message
from ..nn import Module
from .evaluate import Data, classes_of, is_data_set, pairs
from .modes import evaluating
from .task import Task, outputs

__all__ = ["check_alike", "class_counts", "described", "examples_of", "labels_of", "length", "pictures_of", "try_out", "two_examples"]


def examples_of(data: Data) -> Any:
    """The data set, also of a loader; a TensorDataset of two is the pair (X, y)."""
    data = data.dataset if isinstance(data, DataLoader) else data
    return data.tensors if type(data) is TensorDataset and len(data.tensors) == 2 else data


def _in_memory(data: Any) -> bool:
    """Whether it is an ImageDataset or a pair of arrays: all that is no data set of another kind, so that what is neither is refused."""
    return isinstance(data, ImageDataset) or not is_data_set(data)


def described(data: Data) -> str:
    """What the data are, so that a run is not resumed with others. Where they lie, and what they are called, is free.

    Arrays have a checksum. The examples of other data sets are not read: their kind and number must do.
    """
    if isinstance(data, DataLoader):
        size = "batches of its own" if data.batch_size is None else f"batches of {data.batch_size}"
        return f"{described(data.dataset)}, {size}"
    data = examples_of(data)
    if isinstance(data, Subset):
        return f"{described(data.dataset)}, part crc32 {_checksum(np.asarray(data.indices), 0):08x}"
    if not _in_memory(data):
        return f"{type(data).__name__} of {length(data)} examples"
    x, y = columns("fit", data)
    arrays = x.arrays + y.arrays
    if wrong := [a.dtype for a in arrays if a.dtype.kind not in "biuf"]:
        raise DTypeError(message("fit", "arrays of numbers", f"dtype {wrong[0]}"))
    if any(len(a) != len(arrays[0]) for a in arrays):
        raise ShapeError(message("fit", "X (N, ...) and y (N, ...)", f"X {x.shapes} and y {y.shapes}"))
    if not len(arrays[0]):
        raise ValueError(message("fit", "at least one example", "none"))
    checksum = 0
    for array in arrays:
        checksum = _checksum(array, checksum)
    scale = f", mean {data.mean}, std {data.std}" if isinstance(data, ImageDataset) else ""
    return f"{', '.join(f'{a.shape} {a.dtype}' for a in x.arrays)}{scale}, crc32 {checksum:08x}"


def _checksum(array: np.ndarray, value: int) -> int:
    """The CRC-32 of the values in C order, by pieces: an array in another order, which may lie in a file, is not copied whole."""
    for start in range(0, len(array), 256):
        value = zlib.crc32(np.ascontiguousarray(array[start : start + 256]).reshape(-1).view(np.uint8).data, value)
    return value


def pictures_of(data: Data) -> ImageDataset | None:
    """The ImageDataset that the data are, or are a part of."""
    data = data.dataset if isinstance(data, DataLoader) else data
    found = arrays_of(data) if isinstance(data, (ImageDataset, Subset)) else None
    return None if found is None else found.pictures


def check_alike(train: Data, **others: Data | None) -> None:
    """ValueError where the labels, or the values, of other data mean something else than those of train."""
    for part, data in others.items():
        ours, theirs = (_meaning(train), _meaning(data)) if data is not None else ({}, {})
        for name, wanted in ours.items():
            if wanted and theirs.get(name) and theirs[name] != wanted:
                raise ValueError(message("fit", f"{part} with the {name} of train, {wanted}", f"{theirs[name]}"))


def _meaning(data: Data) -> dict[str, Any]:
    pictures, classes = pictures_of(data), classes_of(data.dataset if isinstance(data, DataLoader) else data)
    return {"classes": classes} | ({} if pictures is None else {"mean": pictures.mean, "std": pictures.std})


def length(data: Data) -> int:
    data = examples_of(data)
    n = len(columns("fit", data)[0].arrays[0]) if _in_memory(data) else datasets.length("fit", data)
    if not n:
        raise ValueError(message("fit", "at least one example", "none"))
    return n


def labels_of(data: Data) -> np.ndarray | None:
    """Class indices (N, ...), None where the data set keeps no list of them; DTypeError where the targets are others."""
    data = examples_of(data)
    if isinstance(data, Subset):
        labels = labels_of(data.dataset)
        return None if labels is None else labels[np.asarray(data.indices)]
    if isinstance(data, ConcatDataset):
        parts = [labels_of(part) for part in data.datasets]
        return None if any(part is None for part in parts) else np.concatenate(parts)  # type: ignore[arg-type]
    if not _in_memory(data):
        kept = getattr(data, "targets", None) if getattr(data, "target_transform", None) is None else None
        y = Column((np.asarray(kept),)) if isinstance(kept, (Sequence, np.ndarray)) or hasattr(kept, "numpy") else None
        return None if y is None or y.arrays[0].dtype.kind not in "iu" else y.arrays[0]
    y = columns("fit", data)[1]
    if y.several or y.arrays[0].dtype.kind not in "iu":
        received = f"{len(y.arrays)} targets" if y.several else str(y.arrays[0].dtype)
        raise DTypeError(message("fit", "labels of an integer dtype", received, "labels are class indices; for other targets pass a loss"))
    return y.arrays[0]


def class_counts(data: Data) -> np.ndarray:
    """How many targets each class has; in pictures of labels, pixels."""
    labels = labels_of(data)
    if labels is None:
        hint = "give a number for each class"
        raise ValueError(message("fit", "data that keep their labels, as .targets, with class_weight", "a data set without them", hint))
    if labels.min() < 0:
        raise ValueError(message("fit", "labels of at least 0", str(labels.min())))
    return np.bincount(labels.reshape(-1), minlength=len(classes_of(data)))


def try_out(model: Module, task: Task, data: Data, transform: Callable[..., Any] | None = None) -> None:
    """Run two examples through, those with the smallest and the largest label, so that what does not fit raises at once.

    Lazy layers take their sizes from them.
    """
    with evaluating(model) as device:
        for inputs, targets in two_examples(data, transform, device):
            task.measure("fit", outputs("fit", model, inputs), targets)


def two_examples(data: Data, transform: Callable[..., Any] | None = None, device: str | None = None) -> Iterator[tuple[Any, Any]]:
    """A batch (x, y) of two, made as those of a run are."""
    collate = data.collate_fn if isinstance(data, DataLoader) else None
    transform = data.transform if isinstance(data, DataLoader) else transform
    options: dict[str, Any] = {"seed": 0, "transform": transform, "prefetch": 0} | ({} if device is None else {"device": device})
    options["collate_fn"] = None if collate in (default_collate, default_convert) else collate
    data = data.dataset if isinstance(data, DataLoader) else data
    if isinstance(data, IterableDataset):
        return itertools.islice(pairs("fit", DataLoader(data, 2, **options)), 1)
    return pairs("fit", DataLoader(Subset(data, _rows(data)), 2, **options))


def _rows(data: Data) -> list[int]:
    """Where the smallest and the largest label are; the first and the last example where that is not known."""
    data = examples_of(data)
    labels = columns("fit", data)[1].arrays[0] if _in_memory(data) else labels_of(data)
    if labels is None or labels.dtype.kind not in "iu" or not labels.size:
        return [0, length(data) - 1]
    inner = tuple(range(1, labels.ndim))  # by examples: a flat view may be a copy of it all
    return [int(labels.min(axis=inner).argmin()), int(labels.max(axis=inner).argmax())]
