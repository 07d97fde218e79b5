"""What training and evaluation give back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import printable

__all__ = ["Epoch", "Evaluation", "History"]


@dataclass(frozen=True)
class Epoch:
    """One line of the log. Losses are means over the images, accuracies shares from 0 to 1, ``seconds`` those of training alone.

    ``train_loss`` and ``train_accuracy`` are taken while the weights move, over the epoch; ``lr`` is the rate at its end.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float | None
    test_accuracy: float | None
    lr: float
    seconds: float
    images_per_second: float

    @property
    def score(self) -> tuple[float, float]:
        """The larger the better: accuracy, then loss, on the test data where there are any. Nothing is worse than a loss that is NaN."""
        accuracy, loss = self.test_accuracy, self.test_loss
        if accuracy is None or loss is None:
            accuracy, loss = self.train_accuracy, self.train_loss
        return (-math.inf, -math.inf) if math.isnan(loss) else (accuracy, -loss)

    def __str__(self) -> str:
        tested = "" if self.test_loss is None else f"   test loss {self.test_loss:.4f} accuracy {self.test_accuracy:.4f}"
        trained = f"train loss {self.train_loss:.4f} accuracy {self.train_accuracy:.4f}"
        return f"epoch {self.epoch:3d}   {trained}{tested}   {self.images_per_second:,.0f} images/s"


@dataclass
class History:
    """What :func:`fit` gives back: the epochs in order, and the folder with the files of the run.

    >>> history = fit("lenet-modern", *nc.data.digits(), epochs=20)  # doctest: +SKIP
    >>> history.last.test_accuracy, history.column("train_loss")  # doctest: +SKIP
    """

    epochs: list[Epoch] = field(default_factory=list)
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    def column(self, name: str) -> list[Any]:
        """One value of every epoch, by its name in :class:`Epoch`."""
        return [getattr(epoch, name) for epoch in self.epochs]

    @property
    def last(self) -> Epoch:
        return self.epochs[-1]

    @property
    def best(self) -> Epoch:
        """The first epoch with the highest (test) accuracy; equal ones are told apart by the loss. ValueError where there is none yet."""
        return max(self.epochs, key=lambda epoch: epoch.score)

    def __str__(self) -> str:
        return "\n".join(map(str, self.epochs)) or "no epoch"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How well a network does: mean loss, accuracy from 0 to 1, and ``confusion[true, predicted]``, counts (K, K) in int64."""

    loss: float
    accuracy: float
    confusion: np.ndarray
    classes: tuple[str, ...]

    def __str__(self) -> str:
        right, total = int(np.trace(self.confusion)), int(self.confusion.sum())
        return f"loss {self.loss:.4f}, accuracy {self.accuracy:.4f} ({right:,} of {total:,})"

    def report(self) -> str:
        """A table: for each class its images, precision, recall, and the class it is most often mistaken for."""
        rows = [("class", "images", "precision", "recall", "mistaken for")]
        wrong = self.confusion - np.diag(np.diag(self.confusion))
        names = list(map(printable, self.classes))
        for k, name in enumerate(names):
            right, images, claimed = self.confusion[k, k], self.confusion[k].sum(), self.confusion[:, k].sum()
            other = f"{names[wrong[k].argmax()]} ({wrong[k].max()})" if wrong[k].any() else "-"
            rows.append((name, f"{images:,}", _share(right, claimed), _share(right, images), other))
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = ["  ".join(f"{c:>{w}}" if 0 < i < 4 else f"{c:<{w}}" for i, (c, w) in enumerate(zip(row, widths))).rstrip() for row in rows]
        return "\n".join([*lines, "", str(self)])


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.4f}" if whole else "-"
