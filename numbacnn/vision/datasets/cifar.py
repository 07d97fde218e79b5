"""CIFAR-10 and CIFAR-100, whose files are pickles; they are read by a reader that knows what such files hold, and executes nothing."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...arguments import flag
from ...data.download import RemoteFile
from ...errors import FormatError, message
from ...files import open_file
from ...pickles import ARRAYS, CALLS, Misfit, Reader
from ...signatures import judged
from .vision import PublishedDataset, Source, Transform

__all__ = ["CIFAR10", "CIFAR100"]

LARGEST = 1 << 28  # bytes of one pickle: the 50,000 pictures of CIFAR-100 are in one
SIDE = 32
MIRRORS = (
    "https://www.cs.toronto.edu/~kriz/",
    "https://cave.cs.toronto.edu/kriz/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)


@judged
class CIFAR10(PublishedDataset):
    """Photographs in ten classes: 50,000 to train and 10,000 to test on, 32 x 32, in colour (Krizhevsky 2009).

    An example is a Pillow picture in RGB and its label. ``data`` is an array (N, 32, 32, 3) of bytes, ``targets`` a list of ints.
    The files lie in ``root/cifar-10-batches-py``.

    Args:
        root: the folder with the folder ``cifar-10-batches-py``.
        train: the pictures to train on, or those to test on.
        transform: a function of the picture.
        target_transform: a function of the label.
        download: whether to download the files where they are missing, 170 MB.

    Raises:
        RuntimeError: the files are missing, or others than those published, and ``download`` is False.
        ConnectionError: the files can't be downloaded.

    >>> train = CIFAR10("data", train=True, download=True)  # doctest: +SKIP
    >>> train.data.shape, train.classes[train[0][1]]  # doctest: +SKIP
    ((50000, 32, 32, 3), 'frog')
    """

    _source = Source(
        MIRRORS,
        (RemoteFile("cifar-10-python.tar.gz", 170498071, "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"),),
        LARGEST,
    )
    base_folder = "cifar-10-batches-py"
    train_list: ClassVar[list[list[str]]] = [
        ["data_batch_1", "c99cafc152244af753f735de768cd75f"],
        ["data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"],
        ["data_batch_3", "54ebc095f3ab1f0389bbae665268c751"],
        ["data_batch_4", "634d18415352ddfa80567beed471001a"],
        ["data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"],
    ]
    test_list: ClassVar[list[list[str]]] = [["test_batch", "40351d587109b95175f43aff81a1287e"]]
    meta: ClassVar[dict[str, str]] = {"filename": "batches.meta", "key": "label_names", "md5": "5ff9c542aee3614f3951f8cda6e48888"}
    _labels_key: ClassVar[str] = "labels"

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        op = type(self).__name__
        self.train = flag(op, "train", train)
        self._find(flag(op, "download", download))
        meta, *batches = self._needed()
        self.classes: list[str] = _names(op, meta, self.meta["key"])
        self.class_to_idx = {name: label for label, name in enumerate(self.classes)}
        parts = [_batch(op, path, self._labels_key, len(self.classes)) for path in batches]
        self.data = np.concatenate([pictures for pictures, _ in parts])
        self.targets = [label for _, labels in parts for label in labels]

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"

    def _needed(self) -> Mapping[Path, str]:
        files = [[self.meta["filename"], self.meta["md5"]], *(self.train_list if self.train else self.test_list)]
        return {self._folder() / self.base_folder / name: md5 for name, md5 in files}


class CIFAR100(CIFAR10):
    """Photographs in a hundred classes: 50,000 to train and 10,000 to test on, 32 x 32, in colour (Krizhevsky 2009).

    As :class:`CIFAR10`, in ``root/cifar-100-python``. 169 MB.

    >>> train = CIFAR100("data", download=True)  # doctest: +SKIP
    """

    _source = Source(
        MIRRORS,
        (RemoteFile("cifar-100-python.tar.gz", 169001437, "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"),),
        LARGEST,
    )
    base_folder = "cifar-100-python"
    train_list: ClassVar[list[list[str]]] = [["train", "16019d7e3df5f24257cddd939b257f8d"]]
    test_list: ClassVar[list[list[str]]] = [["test", "f0ef6b0ae62326f3e7ffdfab6717acfc"]]
    meta: ClassVar[dict[str, str]] = {"filename": "meta", "key": "fine_label_names", "md5": "7973b15100ade9c7d40fb424638fde48"}
    _labels_key = "fine_labels"


# -- the pickles -----------------------------------------------------------------------------------------------------------------
def _read(op: str, path: Path, *keys: str) -> list[Any]:
    """What a pickle of a dict holds under these keys."""
    try:
        # mapped: a file would take as much memory as its pickle says that a string is long
        with open_file(op, "a file", path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            found = Reader({**CALLS, **ARRAYS}, largest=LARGEST).read(mapped)  # type: ignore[arg-type]
        if type(found) is not dict:
            raise ValueError(f"a {type(found).__name__}")
        missing = [key for key in keys if key not in found]
        if missing:
            raise ValueError(f"no {missing[0]}")
    except (Misfit, ValueError, LookupError, TypeError) as error:
        reason = "a pickle with gaps" if isinstance(error, LookupError) else f"{error}"
        hint = "nothing of it was executed; delete it and get it anew"
        raise FormatError(message(op, f"{path} to be a pickle of CIFAR", reason, hint)) from error
    return [found[key] for key in keys]


def _unfit(op: str, path: Path, expected: str) -> FormatError:
    return FormatError(message(op, f"{path} to hold {expected}", "something else", "delete it and get it anew"))


def _names(op: str, path: Path, key: str) -> list[str]:
    names = _read(op, path, key)[0]
    if type(names) is not list or not all(type(name) is str for name in names):
        raise _unfit(op, path, "the names of the classes")
    return names


def _batch(op: str, path: Path, labels_key: str, classes: int) -> tuple[np.ndarray, list[int]]:
    """Pictures (N, 32, 32, 3), and their labels."""
    data, labels = _read(op, path, "data", labels_key)
    size = 3 * SIDE * SIDE
    if type(data) is not np.ndarray or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != size:
        raise _unfit(op, path, f"pictures (N, {size}) of bytes")
    if type(labels) is not list or len(labels) != len(data) or not all(type(n) is int and 0 <= n < classes for n in labels):
        raise _unfit(op, path, f"one label below {classes} for each picture")
    return np.ascontiguousarray(data.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)), labels
