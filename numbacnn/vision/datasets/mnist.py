"""MNIST, and the data sets that come in its form."""

from __future__ import annotations

import os
import shutil
import string
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...arguments import flag, one_of
from ...data import idx
from ...data.archive import unpack
from ...data.download import RemoteFile
from ...signatures import judged
from ...tensor import from_array
from .vision import PublishedDataset, Source, Transform

__all__ = ["EMNIST", "KMNIST", "MNIST", "FashionMNIST"]

PLAIN = 1 << 26  # bytes that one of the packed files may hold
DIGITS = "zero one two three four five six seven eight nine".split()  # noqa: SIM905


def _renamed(old: str, new: str) -> property:
    def get(self: Any) -> Any:
        warnings.warn(f"{old} has been renamed {new}", stacklevel=2)
        return getattr(self, new)

    return property(get, doc=f"The old name of ``{new}``.")


@judged
class MNIST(PublishedDataset):
    """Handwritten digits: 60,000 to train and 10,000 to test on, 28 x 28 (LeCun, Cortes, Burges 1998).

    An example is a grey Pillow picture and its label. ``data`` is a Tensor (N, 28, 28) of bytes, ``targets`` one (N,) of int64.
    The files lie in ``root/MNIST/raw``; where they don't, those that :func:`numbacnn.data.mnist` finds are read in place.

    Args:
        root: the folder with the folder ``MNIST``.
        train: the pictures to train on, or those to test on.
        transform: a function of the picture.
        target_transform: a function of the label.
        download: whether to download the files where they are missing, 12 MB.

    Raises:
        RuntimeError: the files are missing and ``download`` is False.
        FormatError: a file is damaged.
        ConnectionError: the files can't be downloaded.

    >>> train = MNIST("data", train=True, download=True)  # doctest: +SKIP
    >>> train[0]  # doctest: +SKIP
    (<PIL.Image.Image image mode=L size=28x28 at 0x7F29A0B3D890>, 5)
    """

    _source = Source(idx.MNIST.mirrors, idx.MNIST.files, PLAIN)
    _places: ClassVar[Any] = (idx.MNIST, idx.FASHION_MNIST)
    """The set that :mod:`numbacnn.data` may find, and the one that it could be taken for; None: it knows no such."""

    classes: list[str] = [f"{digit} - {name}" for digit, name in enumerate(DIGITS)]  # noqa: RUF012
    train_data, test_data = _renamed("train_data", "data"), _renamed("test_data", "data")
    train_labels, test_labels = _renamed("train_labels", "targets"), _renamed("test_labels", "targets")

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
        self.train, download = flag(op, "train", train), flag(op, "download", download)
        elsewhere = self._elsewhere() if self._lack() else []
        if not elsewhere:
            self._find(download)
        images, labels = idx.read_pair(op, len(self.classes), *(elsewhere or self._needed()))
        self.data, self.targets = from_array(images), from_array(labels.astype(np.int64))

    @property
    def raw_folder(self) -> str:
        """Where the files lie."""
        return os.path.join(os.fspath(self.root or ""), type(self).__name__, "raw")

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The label of each class."""
        return {name: label for label, name in enumerate(self.classes)}

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"

    def _folder(self) -> Path:
        return Path(self.raw_folder)

    def _needed(self) -> Mapping[Path, str]:
        part = "train" if self.train else "t10k"
        return {self._folder() / f"{part}-{name}-ubyte": "" for name in ("images-idx3", "labels-idx1")}

    def _elsewhere(self) -> list[Path]:
        """The files of this part where :mod:`numbacnn.data` looks for them."""
        found = idx.local(*self._places) if self._places else None
        return [] if found is None else found[:2] if self.train else found[2:]


class FashionMNIST(MNIST):
    """Pictures of clothes in ten classes: 60,000 to train and 10,000 to test on, 28 x 28 (Xiao, Rasul, Vollgraf 2017).

    As :class:`MNIST`, in ``root/FashionMNIST/raw``; where they don't lie there, those that :func:`numbacnn.data.fashion_mnist` finds are
    read in place. 31 MB.

    >>> test = FashionMNIST("data", train=False, download=True)  # doctest: +SKIP
    >>> test.classes[test[0][1]]  # doctest: +SKIP
    'Ankle boot'
    """

    _source = Source(idx.FASHION_MNIST.mirrors, idx.FASHION_MNIST.files, PLAIN)
    _places = (idx.FASHION_MNIST, idx.MNIST)
    classes = list(idx.FASHION_MNIST.classes)  # noqa: RUF012


class KMNIST(MNIST):
    """Japanese characters in ten classes: 60,000 to train and 10,000 to test on, 28 x 28 (Clanuwat and others 2018).

    As :class:`MNIST`, in ``root/KMNIST/raw``. 21 MB.

    >>> train = KMNIST("data", download=True)  # doctest: +SKIP
    """

    _source = Source(
        ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        (
            RemoteFile("train-images-idx3-ubyte.gz", 18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
            RemoteFile("train-labels-idx1-ubyte.gz", 29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
            RemoteFile("t10k-images-idx3-ubyte.gz", 3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
            RemoteFile("t10k-labels-idx1-ubyte.gz", 5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
        ),
        PLAIN,
    )
    _places = None
    classes = "o ki su tsu na ha ma ya re wo".split()  # noqa: SIM905


ALIKE = set("cijklmopsuvwxyz")
"""Letters whose capitals look the same, and are one class with them."""
EVERY = string.digits + string.ascii_uppercase + string.ascii_lowercase
MERGED = [name for name in EVERY if name not in ALIKE]


@judged
class EMNIST(MNIST):
    """Handwritten letters and digits, 28 x 28, as they are stored: with rows and columns exchanged (Cohen and others 2017).

    As :class:`MNIST`, in ``root/EMNIST/raw``. 562 MB to download, 1.6 GB unpacked.

    Args:
        root: the folder with the folder ``EMNIST``.
        split: "byclass", "bymerge", "balanced", "letters", "digits" or "mnist"; "letters" counts its labels from 1.
        kwargs: the other arguments of :class:`MNIST`.

    >>> train = EMNIST("data", split="letters", download=True)  # doctest: +SKIP
    """

    _source = Source(
        ("https://biometrics.nist.gov/cs_links/EMNIST/", "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/"),
        (RemoteFile("gzip.zip", 561753746, "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"),),
        1 << 30,
    )
    _places = None
    splits = ("byclass", "bymerge", "balanced", "letters", "digits", "mnist")
    classes_split_dict: ClassVar[dict[str, list[str]]] = {
        "byclass": list(EVERY),
        "bymerge": MERGED,
        "balanced": MERGED,
        "letters": ["N/A", *string.ascii_lowercase],
        "digits": list(string.digits),
        "mnist": list(string.digits),
    }

    def __init__(self, root: str | os.PathLike[str], split: str, **kwargs: Any) -> None:
        one_of("EMNIST", "split", split, self.splits)
        self.split, self.classes = split, self.classes_split_dict[split]
        super().__init__(root, **kwargs)

    def _needed(self) -> Mapping[Path, str]:
        part = f"emnist-{self.split}-{'train' if self.train else 'test'}"
        return {self._folder() / f"{part}-{name}-ubyte": "" for name in ("images-idx3", "labels-idx1")}

    def download(self) -> None:
        """Download and unpack the files to ``root``, unless they are there already; the archive holds archives."""
        if not self._lack():
            return
        super().download()
        for packed in sorted((self._folder() / "gzip").glob("*.gz")):
            unpack("EMNIST", packed, self._folder(), self._source.most)
        shutil.rmtree(self._folder() / "gzip", ignore_errors=True)
