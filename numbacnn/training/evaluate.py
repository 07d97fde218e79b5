"""What a network makes of examples: ``evaluate`` judges it on labelled ones, ``predict`` gives its answers."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np

from ..arguments import flag
from ..data import ConcatDataset, DataLoader, Dataset, Subset
from ..errors import ShapeError, message
from ..nn import Module
from ..nn.functional import cross_entropy, softmax
from ..signatures import judged, shown
from ..tensor import Tensor
from .modes import evaluating
from .results import Evaluation
from .settings import judged_metrics
from .task import Loss, Meter, Metric, Task, examples, is_logits, outputs

__all__ = ["Data", "classes_of", "evaluate", "is_data_set", "pair_of", "pairs", "predict"]

Data: TypeAlias = Any
"""An ImageDataset, or a pair (X, y) of arrays; a tuple of arrays in the place of one where there are several inputs or targets. Or any
data set whose examples are pairs (x, y), or a DataLoader."""


@judged
def evaluate(
    model: Module,
    data: Data,
    *,
    loss: Loss = cross_entropy,
    metrics: Mapping[str, Metric] | None = None,
    batch_size: int = 256,
    compile: bool = True,
) -> Evaluation:
    """Run a network over labelled data, in evaluation mode and ``inference_mode``; its modes are as before afterwards.

    Several threads may evaluate one network; it goes back to its modes with the last of them.

    Args:
        model: it stays on its device. What it gives goes to the loss as it is.
        data: an ImageDataset, a pair (X, y) of arrays, any data set of pairs (x, y), or a DataLoader (one epoch of it). A tuple of
            arrays in the place of X or y holds several inputs or targets.
        loss: ``loss(output, y)``, the mean over a batch.
        metrics: by name ``f(output, y)``, a number or a Tensor with one element: a mean over a batch. Batches count by their examples.
        compile: replay the network without Python where there are many batches, to the same bits, as ``nc.compile`` does.

    Returns:
        an Evaluation; with accuracy and confusion where the output is logits (N, K) and y are labels (N,).

    Raises:
        ValueError: for no data, or labels beyond the logits. Where the data do not fit the model, it raises what it raises.

    >>> print(evaluate(model, test))  # doctest: +SKIP
    loss 0.0412, accuracy 0.9889 (356 of 360)
    """
    task = Task(loss, judged_metrics("evaluate", metrics))
    with evaluating(model) as device:
        loader = data if isinstance(data, DataLoader) else DataLoader(pair_of(data), batch_size, seed=0, device=device)
        meter, seen, classes = Meter(loader.device), [], 0
        call = _called(model, loader, flag("evaluate", "compile", compile))
        for x, y in pairs("evaluate", loader):
            output = outputs("evaluate", model, x, call)
            meter.add(0, task.weighted(task.measure("evaluate", output, y)[1], y), examples(y))
            if is_logits(output, y):
                seen.append((output.argmax(1), y))
                classes = output.shape[1]
        meter.read()
        if not meter.images:
            raise ValueError(message("evaluate", "at least one example", "none"))
    means = meter.means()
    names = classes_of(loader.dataset)
    names = names if len(names) == classes else tuple(map(str, range(classes)))
    return Evaluation(means.pop("loss"), means.pop("accuracy", None), _confusion(seen, classes) if seen else None, names, means)


def pairs(op: str, loader: DataLoader) -> Iterator[tuple[Any, Any]]:
    """The batches of a loader as (x, y); a tuple holds several inputs or targets. TypeError for batches that are no pairs."""
    for batch in loader:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            received = f"{len(batch)} members" if isinstance(batch, (tuple, list)) else f"a {type(batch).__name__}"
            raise TypeError(message(op, "batches (x, y)", received, "let the data set, or a collate_fn, give pairs"))
        x, y = (tuple(part) if isinstance(part, list) else part for part in batch)
        yield x, y


def pair_of(data: Any) -> Any:
    """A list of two arrays as the pair (X, y); to a DataLoader, as to PyTorch's, it is a data set of two examples."""
    is_pair = type(data) is list and len(data) == 2 and isinstance(data[0], (np.ndarray, Tensor))
    return tuple(data) if is_pair else data


def is_data_set(data: Data) -> bool:
    """Whether it gives examples by their index or in turn, and is no bare data."""
    if isinstance(data, (np.ndarray, Tensor, tuple, list, str, bytes, Mapping)):
        return False
    return isinstance(data, Dataset) or (hasattr(data, "__getitem__") and hasattr(data, "__len__"))


def classes_of(data: Data) -> tuple[str, ...]:
    """The names of the classes, where the data set, or the one that it is a part of, has them."""
    if isinstance(data, Subset):
        return classes_of(data.dataset)
    if isinstance(data, ConcatDataset):
        return classes_of(data.datasets[0])
    found = getattr(data, "classes", None)
    return tuple(map(str, found)) if isinstance(found, (list, tuple)) else ()


MANY = 8
"""Batches from which it pays to make a plan."""


def _called(model: Module, loader: DataLoader, compile: bool) -> Any:
    """What to call in place of a network, which keeps its plans."""
    if not compile or operator.length_hint(loader, MANY) < MANY:
        return model
    from ..plan import Compiled  # which needs Numba

    if "_inferred" not in model.__dict__:
        object.__setattr__(model, "_inferred", Compiled(_forward))
    return functools.partial(model.__dict__["_inferred"], model)


def _forward(model: Module, *inputs: Any) -> Any:
    return model(*inputs)


def _confusion(seen: list[tuple[Tensor, Tensor]], classes: int) -> np.ndarray:
    guesses, truth = (np.concatenate([np.asarray(t) for t in column]).astype(np.int64) for column in zip(*seen))
    if not 0 <= truth.min() <= truth.max() < classes:
        raise ValueError(message("evaluate", f"labels 0 .. {classes - 1}", f"labels {truth.min()} .. {truth.max()}"))
    return np.bincount(truth * classes + guesses, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


@judged
def predict(
    model: Module,
    data: Any,
    *,
    probabilities: bool = True,
    batch_size: int = 256,
    compile: bool = True,
) -> Any:
    """The answers of a network, in its dtype: the probabilities of the classes, or what it gives as it is.

    Args:
        model: it stays on its device.
        data: an ImageDataset, X as an array or Tensor (N, ...), or a tuple of them, one for each input. Labels are not needed. Or any
            data set, or a DataLoader (one epoch of it), whose batches are x or begin with it.
        probabilities: the softmax over the classes of (N, K) or (N, K, ...). False: the output, whatever it means.
        compile: as :func:`evaluate` has it.

    Returns:
        an array (N, ...); a tuple of them where the network gives several, which ``probabilities=False`` has.

    Raises:
        ShapeError: where there are no classes to have probabilities.
        ValueError: for no data.

    >>> predict(model, test).argmax(1)  # doctest: +SKIP
    >>> predict(regression, X, probabilities=False)  # doctest: +SKIP
    """
    flag("predict", "probabilities", probabilities)
    found = []
    with evaluating(model) as device:
        loader = data if isinstance(data, DataLoader) else DataLoader(_with_labels(data), batch_size, seed=0, device=device)
        call = _called(model, loader, flag("predict", "compile", compile))
        for batch in loader:
            x = batch[0] if isinstance(batch, (tuple, list)) and len(batch) else batch
            output = outputs("predict", model, tuple(x) if isinstance(x, list) else x, call)
            if probabilities:
                output = softmax(_check_classes(output), 1)
            found.append(tuple(map(np.asarray, output)) if isinstance(output, tuple) else np.asarray(output))
    if not found:
        raise ValueError(message("predict", "at least one example", "none"))
    return tuple(map(np.concatenate, zip(*found))) if isinstance(found[0], tuple) else np.concatenate(found)


def _with_labels(data: Any) -> Data:
    """What a DataLoader takes: zeros stand in for the labels."""
    if is_data_set(data):
        return data
    first = data[0] if isinstance(data, tuple) and data else data
    if not isinstance(first, (np.ndarray, Tensor)) or not first.ndim:
        raise TypeError(message("predict", "an ImageDataset, X (N, ...), or a tuple of arrays, one for each input", shown(data)))
    return data, np.zeros(len(first), np.int64)


def _check_classes(output: Any) -> Tensor:
    if not isinstance(output, Tensor) or output.ndim < 2 or output.shape[1] < 2:
        received = f"shape {output.shape}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
        raise ShapeError(message("predict", "scores (N, K, ...) of K classes from the model", received, "pass probabilities=False"))
    return output
