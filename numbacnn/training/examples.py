"""The examples of a run: judged, described, and tried out before anything is written."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from ..data import DataLoader, ImageDataset
from ..data.loader import Column, columns
from ..errors import DTypeError, ShapeError, message
from ..nn import Module
from .evaluate import Data
from .modes import evaluating
from .task import Task, outputs

__all__ = ["check_alike", "class_counts", "described", "labels_of", "length", "try_out"]


def described(data: Data) -> str:
    """What the data are, with a checksum, so that a run is not resumed with others. Where they lie, and what they are called, is free."""
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


def check_alike(train: Data, **others: Data | None) -> None:
    """ValueError where the labels, or the values, of another ImageDataset mean something else than those of train."""
    for part, data in others.items():
        for name in ("classes", "mean", "std") if isinstance(train, ImageDataset) and isinstance(data, ImageDataset) else ():
            wanted, found = getattr(train, name), getattr(data, name)
            if found != wanted:
                raise ValueError(message("fit", f"{part} with the {name} of train, {wanted}", f"{found}"))


def length(data: Data) -> int:
    return len(columns("fit", data)[0].arrays[0])


def labels_of(data: Data) -> np.ndarray:
    """Class indices (N, ...); DTypeError where the targets are others."""
    y = columns("fit", data)[1]
    if y.several or y.arrays[0].dtype.kind not in "iu":
        received = f"{len(y.arrays)} targets" if y.several else str(y.arrays[0].dtype)
        raise DTypeError(message("fit", "labels of an integer dtype", received, "labels are class indices; for other targets pass a loss"))
    return y.arrays[0]


def class_counts(data: Data) -> np.ndarray:
    """How many targets each class has; in pictures of labels, pixels."""
    labels = labels_of(data)
    if labels.min() < 0:
        raise ValueError(message("fit", "labels of at least 0", str(labels.min())))
    return np.bincount(labels.reshape(-1), minlength=len(data.classes) if isinstance(data, ImageDataset) else 0)


def try_out(model: Module, task: Task, data: Data, transform: Callable[..., Any] | None = None) -> None:
    """Run two examples through, those with the smallest and the largest label, so that what does not fit raises at once.

    Lazy layers take their sizes from them.
    """
    x, y = columns("fit", data)
    target = y.arrays[0]
    rows = np.array([0, len(target) - 1])
    if target.dtype.kind in "iu" and target.size:
        inner = tuple(range(1, target.ndim))  # by examples: a flat view may be a copy of it all
        rows = np.array([target.min(axis=inner).argmin(), target.max(axis=inner).argmax()])
    two = data[rows] if isinstance(data, ImageDataset) else tuple(column.alike(_rows(column, rows)) for column in (x, y))
    with evaluating(model) as device:
        for inputs, targets in DataLoader(two, 2, seed=0, transform=transform, prefetch=0, device=device):
            task.measure("fit", outputs("fit", model, inputs), targets)


def _rows(column: Column, rows: np.ndarray) -> list[np.ndarray]:
    return [a[rows] for a in column.arrays]
