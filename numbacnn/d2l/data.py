"""Fashion-MNIST, and the digits that need no download: as loaders, and as data modules."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..arguments import IntPair, pair
from ..data import DataLoader, ImageDataset, digits, fashion_mnist
from ..data.idx import FASHION_MNIST
from ..errors import message
from ..signatures import judged, shown
from .classes import DataModule
from .draw import show_images

__all__ = ["Digits", "FashionMNIST", "get_fashion_mnist_labels", "load_data_digits", "load_data_fashion_mnist"]

Sets = Callable[[], tuple[ImageDataset, ImageDataset]]


def _fashion_mnist() -> tuple[ImageDataset, ImageDataset]:
    try:
        return fashion_mnist()
    except OSError as error:
        wanted = "Fashion-MNIST in the folder NUMBACNN_DATA, in the cache, or by download"
        hint = "put its four files into a folder and set NUMBACNN_DATA to it, or take the digits, which need no download: "
        hint += "d2l.load_data_digits(batch_size, resize), d2l.Digits(batch_size, resize)"
        raise ConnectionError(message("load_data_fashion_mnist", wanted, str(error).rstrip("."), hint)) from error


class _Resize:
    """Batches (N, H, W, C) of bytes at another size: between pixels linear, and a mean where pictures become smaller."""

    def __init__(self, source: tuple[int, int], target: tuple[int, int]) -> None:
        self.rows, self.columns = (_weights(*sizes) for sizes in zip(source, target))

    def __call__(self, batch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        planes = batch.transpose(3, 0, 1, 2).astype(np.float32)
        return np.rint(self.rows @ planes @ self.columns.T).astype(np.uint8).transpose(1, 2, 3, 0)


def _weights(source: int, target: int) -> np.ndarray:
    """What each of ``target`` pixels takes of each of ``source``: (target, source), by a tent around its place."""
    width = max(1.0, source / target)
    places = (np.arange(target)[:, None] + 0.5) * (source / target) - 0.5
    tents = np.maximum(0, 1 - np.abs(np.arange(source) - places) / width)
    return (tents / tents.sum(1, keepdims=True)).astype(np.float32)


def _loader(data: ImageDataset, batch_size: int, resize: IntPair | None, train: bool) -> DataLoader:
    source = data.input_shape[1:]
    target = source if resize is None else pair("load_data", "resize", resize, 1)
    return DataLoader(data, batch_size, shuffle=train, transform=None if target == source else _Resize(source, target))


def _loaders(sets: Sets, batch_size: int, resize: IntPair | None) -> tuple[DataLoader, DataLoader]:
    train, test = sets()
    return _loader(train, batch_size, resize, True), _loader(test, batch_size, resize, False)


@judged
def load_data_fashion_mnist(batch_size: int, resize: IntPair | None = None) -> tuple[DataLoader, DataLoader]:
    """Batches of Fashion-MNIST to train on, shuffled, and to test on: X float32 (N, 1, H, W) in 0 .. 1, y int64 (N,).

    Args:
        resize: the pictures' size, or (height, width); 28 by default.

    Raises:
        ConnectionError: where the data are not found and can't be downloaded; it says what to do.

    >>> train_iter, test_iter = load_data_fashion_mnist(256)  # doctest: +SKIP
    """
    return _loaders(_fashion_mnist, batch_size, resize)


@judged
def load_data_digits(batch_size: int, resize: IntPair | None = None) -> tuple[DataLoader, DataLoader]:
    """Batches of 1,797 handwritten digits at 28x28, in the form of :func:`load_data_fashion_mnist`; no download.

    There are few of them. The book's LeNet learns nothing in its 10 epochs here: with ``batch_size=256`` and ``lr=0.9`` take 200 (some 10
    seconds, test accuracy 0.95).

    >>> train_iter, test_iter = load_data_digits(128, resize=32)
    >>> X, y = next(iter(train_iter)); X.shape, y.shape
    ((128, 1, 32, 32), (128,))
    """
    return _loaders(digits, batch_size, resize)


@judged
def get_fashion_mnist_labels(labels: Iterable[Any]) -> list[str]:
    """The names of classes by their numbers.

    >>> get_fashion_mnist_labels([1, 9])
    ['Trouser', 'Ankle boot']
    """
    return _names("get_fashion_mnist_labels", FASHION_MNIST.classes, labels)


def _names(op: str, classes: Sequence[str], labels: Iterable[Any]) -> list[str]:
    try:
        numbers = [operator.index(label) for label in labels]
    except (TypeError, ValueError):  # a Tensor of several elements
        numbers = [-1]
    if not all(0 <= i < len(classes) for i in numbers):
        raise ValueError(message(op, f"numbers of classes, 0 .. {len(classes) - 1}", shown(labels)))
    return [classes[i] for i in numbers]


class _Pictures(DataModule):
    _sets: Sets
    batch_size: int
    resize: IntPair

    def __init__(self, batch_size: int = 64, resize: IntPair = (28, 28)) -> None:
        self.save_hyperparameters()
        self.train, self.val = type(self)._sets()

    def text_labels(self, indices: Iterable[Any]) -> list[str]:
        """The names of classes by their numbers."""
        return _names("text_labels", self.train.classes, indices)

    def get_dataloader(self, train: bool) -> DataLoader:
        return _loader(self.train if train else self.val, self.batch_size, self.resize, train)

    def visualize(self, batch: Sequence[Any], nrows: int = 1, ncols: int = 8, labels: Sequence[str] = ()) -> None:
        """Show the first pictures of a batch with their labels."""
        X, y = batch
        n = min(nrows * ncols, len(X))
        show_images(X[:n].squeeze(1), nrows, ncols, titles=labels or self.text_labels(y[:n]))


@judged
class FashionMNIST(_Pictures):
    """Fashion-MNIST: batches as those of :func:`load_data_fashion_mnist`."""

    _sets = staticmethod(_fashion_mnist)


@judged
class Digits(_Pictures):
    """The digits: batches as those of :func:`load_data_digits`.

    >>> data = Digits(batch_size=128)
    >>> X, y = next(iter(data.train_dataloader())); X.shape
    (128, 1, 28, 28)
    """

    _sets = staticmethod(digits)
