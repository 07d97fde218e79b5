"""What a network makes of pictures: ``evaluate`` judges it on labelled ones, ``predict`` gives probabilities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..data import DataLoader, Dataset
from ..errors import ShapeError, message
from ..nn import Module
from ..nn.functional import cross_entropy, softmax
from ..signatures import judged
from ..tensor import Tensor
from .modes import evaluating
from .results import Evaluation

__all__ = ["Data", "Loss", "check_logits", "evaluate", "predict"]

Data = Dataset | Sequence[Any]
"""A Dataset, or a pair (X, y) of arrays."""
Loss = Callable[[Tensor, Tensor], Tensor]


def _batches(data: Data | DataLoader, batch_size: int, device: str) -> DataLoader:
    return data if isinstance(data, DataLoader) else DataLoader(data, batch_size, device=device)


@judged
def evaluate(model: Module, data: Data | DataLoader, *, loss: Loss = cross_entropy, batch_size: int = 256) -> Evaluation:
    """Run a network over labelled data, in evaluation mode and ``inference_mode``; its modes are as before afterwards.

    Several threads may evaluate one network; it goes back to its modes with the last of them.

    Args:
        model: (N, C, H, W) -> logits (N, K); it stays on its device.
        data: a Dataset, a pair (X, y) of arrays, or a DataLoader (one epoch of it).
        loss: ``loss(logits, y)``, the mean over a batch.

    Raises:
        ValueError: for no data. Where the pictures do not fit the model, it raises what it raises.

    >>> print(evaluate(model, test))  # doctest: +SKIP
    loss 0.0412, accuracy 0.9889 (356 of 360)
    """
    with evaluating(model) as device:
        loader = _batches(data, batch_size, device)
        seen: list[tuple[Tensor, Tensor, Tensor]] = []
        for x, y in loader:
            logits = check_logits("evaluate", model(x), y)
            seen.append((loss(logits, y), logits.argmax(1), y))
            classes = logits.shape[1]
        if not seen:
            raise ValueError(message("evaluate", "at least one example", "none"))
    losses, guesses, labels = ([np.asarray(t) for t in column] for column in zip(*seen))
    truth = np.concatenate(labels).astype(np.int64)
    total = math.fsum(float(value) * len(y) for value, y in zip(losses, labels))
    confusion = np.bincount(truth * classes + np.concatenate(guesses), minlength=classes * classes).reshape(classes, classes)
    names = loader.dataset.classes if isinstance(loader.dataset, Dataset) else ()
    names = names if len(names) == classes else tuple(map(str, range(classes)))
    return Evaluation(total / len(truth), float(np.trace(confusion) / len(truth)), confusion.astype(np.int64), names)


@judged
def predict(model: Module, data: Data, *, batch_size: int = 256) -> np.ndarray:
    """The probabilities of the classes, (N, K) in the model's dtype: the softmax of what it gives for each picture.

    >>> predict(model, test).argmax(1)  # doctest: +SKIP
    """
    with evaluating(model) as device:
        return np.concatenate([np.asarray(softmax(check_logits("predict", model(x), y), 1)) for x, y in _batches(data, batch_size, device)])


def check_logits(op: str, output: Any, y: Tensor) -> Tensor:
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(y):
        received = f"shape {output.shape}" if isinstance(output, Tensor) else type(output).__name__
        raise ShapeError(
            message(op, f"logits (N, classes) from the model, N = {len(y)}", received, "end the model with Flatten and Linear")
        )
    return output
