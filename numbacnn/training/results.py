"""What training and evaluation give back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..backends import DEFAULT
from ..checkpoint import Checkpoint
from ..errors import message, printable
from ..nn import Module
from ..predictor import Predictor

__all__ = ["Epoch", "Evaluation", "History"]


@dataclass(frozen=True)
class Epoch:
    """One line of the log. Losses are means over the examples, accuracies shares from 0 to 1, ``seconds`` those of training alone.

    Values of training are taken while the weights move, over the epoch; ``lr`` is the rate at its end. ``metrics`` holds "train_NAME" and
    "val_NAME" for each metric. Accuracies are None where the outputs and targets are not those of classes.
    """

    epoch: int
    train_loss: float
    train_accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None
    lr: float
    seconds: float
    images_per_second: float
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def score(self) -> tuple[float, float]:
        """The larger the better: accuracy, then loss, of validation if there is any. The worst is a loss that is not finite."""
        loss = self.train_loss if self.val_loss is None else self.val_loss
        return (self.accuracy or 0.0, -loss) if math.isfinite(loss) else (-math.inf, -math.inf)

    @property
    def accuracy(self) -> float | None:
        """That of the validation data, or where there are none of training."""
        return self.train_accuracy if self.val_loss is None else self.val_accuracy

    def __str__(self) -> str:
        parts = [_part(self, part) for part in ("train", "val") if getattr(self, f"{part}_loss") is not None]
        return f"epoch {self.epoch:3d}   {'   '.join(parts)}   {self.images_per_second:,.0f} images/s"


def _part(epoch: Epoch, part: str) -> str:
    """As "train loss 0.1234 accuracy 0.9876 iou 0.5432"."""
    values = {"loss": getattr(epoch, f"{part}_loss"), "accuracy": getattr(epoch, f"{part}_accuracy")}
    values |= {name.removeprefix(f"{part}_"): value for name, value in epoch.metrics.items() if name.startswith(f"{part}_")}
    return " ".join([part, *(f"{name} {value:.4f}" for name, value in values.items() if value is not None)])


@dataclass
class History:
    """What :func:`fit` gives back: the epochs in order, and what came of them.

    Args:
        folder: with the files of the run, or None.
        test: how the weights of the best epoch do on the test data, judged once, at the end.
        model: the network; it has the weights of the last epoch.
        checkpoint: the weights of the best epoch, with the classes and the preprocessing: what ``best.safetensors`` holds.

    >>> train, test = nc.data.digits()  # doctest: +SKIP
    >>> history = fit("lenet-modern", train[200:], train[:200], test=test, epochs=20)  # doctest: +SKIP
    >>> history.test.accuracy, history.best.val_accuracy, history.column("train_loss")  # doctest: +SKIP
    """

    epochs: list[Epoch] = field(default_factory=list)
    folder: Path | None = None
    test: Evaluation | None = None
    model: Module | None = field(default=None, repr=False)
    checkpoint: Checkpoint | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    def column(self, name: str) -> list[Any]:
        """One value of every epoch, by its name in :class:`Epoch` or in its ``metrics``."""
        return [epoch.metrics[name] if name in epoch.metrics else getattr(epoch, name) for epoch in self.epochs]

    @property
    def last(self) -> Epoch:
        return self.epochs[-1]

    @property
    def best(self) -> Epoch:
        """The last epoch with the highest accuracy, or where there is none with the lowest loss. ValueError where there is no epoch yet.

        Few validation pictures tell many epochs alike; of those a schedule's last one, whose rate is the lowest, does best on others.
        """
        return max(self.epochs, key=lambda epoch: (*(epoch.score if epoch.accuracy is None else epoch.score[:1]), epoch.epoch))

    @property
    def predictor(self) -> Predictor:
        """What answers with the weights of the best epoch, on the model's device; made anew each time. ValueError where there is no epoch.

        >>> history.predictor("cat.jpg").label  # doctest: +SKIP
        'cat'
        """
        if self.checkpoint is None or self.model is None:
            raise ValueError(message("History", "a run with an epoch", "none yet"))
        device = next((p.device for p in self.model.parameters()), DEFAULT)
        return Predictor(self.checkpoint, self.model if self.checkpoint.model is None else None, device=device)

    def __str__(self) -> str:
        return "\n".join(map(str, self.epochs)) or "no epoch"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How well a network does: the mean loss and metrics, and of classes the accuracy from 0 to 1.

    ``confusion[true, predicted]`` are counts (K, K) in int64. Accuracy and confusion are None where the output is no logits (N, K).
    """

    loss: float
    accuracy: float | None
    confusion: np.ndarray | None
    classes: tuple[str, ...]
    metrics: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        values = {"loss": self.loss, "accuracy": self.accuracy, **self.metrics}
        text = {name: f"{name} {value:.4f}" for name, value in values.items() if value is not None}
        if self.confusion is not None and self.accuracy is not None:
            text["accuracy"] += f" ({int(np.trace(self.confusion)):,} of {int(self.confusion.sum()):,})"
        return ", ".join(text.values())

    def report(self) -> str:
        """A table: for each class its images, precision, recall, and the class it is most often mistaken for. One line without classes."""
        if self.confusion is None:
            return str(self)
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
