"""What a network is trained and judged by: a loss and metrics of one batch, and their means over many."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np

from .. import backends
from ..errors import ShapeError, message
from ..nn import Module
from ..nn.functional import cross_entropy
from ..recording import constant
from ..signatures import shown
from ..tensor import Tensor, from_array, no_grad

__all__ = ["CrossEntropy", "Diverged", "Loss", "Meter", "Metric", "Task", "examples", "is_logits", "outputs"]

Loss = Callable[[Any, Any], Tensor]
"""``loss(output, y)``: of what the network gives and the targets of a batch, its mean. Either is a tuple where there are several."""
Metric = Callable[[Any, Any], Any]
"""Likewise, a number or a Tensor with one element."""
TINY = float(np.finfo(np.float32).tiny)
Values = dict[str, tuple[Any, int]]
"""Of a batch: each value by name, and how many examples it stands for."""


class Diverged(Exception):
    """A loss, or a weight, is no longer finite."""

    def __init__(self, value: float, step: int) -> None:
        super().__init__(value, step)
        self.value, self.step = value, step


@dataclass(frozen=True, eq=False)
class CrossEntropy:
    """The default loss, with labels smoothed and each example weighted by its class ``weight[label]``."""

    label_smoothing: float
    weight: np.ndarray | None
    _tables: dict[Any, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, output: Tensor, y: Tensor) -> Tensor:
        if self.weight is None:
            return cross_entropy(output, y, label_smoothing=self.label_smoothing)
        losses = cross_entropy(output, y, label_smoothing=self.label_smoothing, reduction="none")
        if output.dtype not in self._tables:
            self._tables[output.dtype] = constant(self.weight.astype(output.dtype))
        weight = from_array(self._tables[output.dtype], output.device)[y.to(np.int64)]
        return (losses * weight).sum() / weight.sum().clamp(min=TINY)  # a batch of which nothing counts teaches nothing


@dataclass(frozen=True)
class Task:
    """A loss, and metrics by name. Accuracy comes by itself where the output is logits (N, K) and the target labels (N,)."""

    loss: Loss = cross_entropy
    metrics: Mapping[str, Metric] = field(default_factory=dict)

    def measure(self, op: str, output: Any, y: Any) -> tuple[Tensor, dict[str, Any]]:
        """The loss of a batch with its graph, and all values of it by name.

        Raises:
            ShapeError, TypeError: for an output that the default loss does not take, a loss or a metric that is no single number.
        """
        if (self.loss is cross_entropy or isinstance(self.loss, CrossEntropy)) and isinstance(y, Tensor) and y.ndim == 1:
            _check_logits(op, output, y)
        loss = self.loss(output, y)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            received = f"shape {loss.shape}" if isinstance(loss, Tensor) else shown(loss)
            raise ShapeError(message(op, "a loss with one element", received, "give its mean over the batch"))
        values: dict[str, Any] = {"loss": loss.detach()}
        with no_grad():
            output = tuple(map(_detached, output)) if isinstance(output, tuple) else _detached(output)
            if is_logits(output, y):
                values["accuracy"] = (output.argmax(1) == y).sum()
            for name, metric in self.metrics.items():
                values[name] = _single(op, name, metric(output, y))
        return loss, values

    def weighted(self, values: Mapping[str, Any], y: Any) -> Values:
        """Each value with how many examples it stands for: the accuracy is how many are right, all other are means."""
        count = examples(y)
        return {name: (value, 1 if name == "accuracy" and name not in self.metrics else count) for name, value in values.items()}


def outputs(op: str, model: Module, x: Any, call: Callable[..., Any] | None = None) -> Any:
    """What a network makes of a batch; a tuple holds several inputs. ``call``: what is called in its place."""
    inputs = x if isinstance(x, tuple) else (x,)
    try:
        return (call or model)(*inputs)
    except TypeError as error:
        signature = inspect.signature(model.forward)
        try:
            signature.bind(*inputs)
        except TypeError:
            wanted = f"for {type(model).__name__} the inputs {', '.join(signature.parameters)}"
            raise TypeError(message(op, wanted, str(len(inputs)), "a tuple holds one array for each")) from error
        raise


def examples(y: Any) -> int:
    """How many examples a batch holds."""
    return len(y[0] if isinstance(y, tuple) else y)


def is_logits(output: Any, y: Any) -> bool:
    """Whether the output is one number for each of several classes, and the target the labels."""
    if not isinstance(output, Tensor) or not isinstance(y, Tensor):
        return False
    return output.ndim == 2 and output.shape[1] > 1 and y.dtype.kind in "iu" and y.shape == output.shape[:1]


def _detached(output: Any) -> Any:
    return output.detach() if isinstance(output, Tensor) else output


def _single(op: str, name: str, value: Any) -> Any:
    if not isinstance(value, Real) and not (isinstance(value, Tensor) and value.numel() == 1):
        received = f"shape {value.shape}" if isinstance(value, Tensor) else shown(value)
        raise TypeError(message(op, f"the metric {name} as a number, or a Tensor with one element", received))
    return value


def _check_logits(op: str, output: Any, y: Tensor) -> None:
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(y):
        received = f"shape {output.shape}" if isinstance(output, Tensor) else type(output).__name__
        hint = "end the model with Flatten and Linear, or pass another loss"
        raise ShapeError(message(op, f"logits (N, classes) from the model, N = {len(y)}", received, hint))


def steps_between_reads(device: str) -> int:
    """How often the values are read: at every step, or seldom where that would let the device's queue run dry."""
    return 50 if backends.queued(device) else 1


class Meter:
    """Sums over batches. Values are read some batches late on a device with a queue.

    Args:
        diverges: raise Diverged at the first step whose loss is not finite.
    """

    def __init__(self, device: str, diverges: bool = False) -> None:
        self.every, self.diverges = steps_between_reads(device), diverges
        self.sums: dict[str, float] = {}
        self.images = 0
        self.waiting: list[tuple[int, Values, int]] = []

    def add(self, step: int, values: Values, images: int) -> None:
        self.waiting.append((step, values, images))
        if len(self.waiting) >= self.every:
            self.read()

    def read(self) -> None:
        """Bring the sums up to date."""
        waiting, self.waiting = self.waiting, []
        for step, values, images in waiting:
            for name, (value, weight) in values.items():
                number = float(value.item() if isinstance(value, Tensor) else value)
                if name == "loss" and self.diverges and not math.isfinite(number):
                    raise Diverged(number, step)
                self.sums[name] = self.sums.get(name, 0.0) + number * weight
            self.images += images

    def means(self) -> dict[str, float]:
        """Of what was read, the loss first."""
        return {name: total / self.images for name, total in self.sums.items()}

    def numbers(self) -> list[tuple[str, float]]:
        """What the bar shows: names and means, none before the first read."""
        return list(self.means().items())
