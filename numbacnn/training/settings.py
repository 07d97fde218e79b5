"""What decides the future of a run: judged, and recorded in its checkpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .. import backends
from ..arguments import flag, integer, number
from ..data import DataLoader
from ..errors import message
from ..nn.functional import cross_entropy
from ..optim import Optimizer, Schedule
from ..signatures import shown
from .recipes import OPTIMIZERS, SCHEDULES, MakeOptimizer, MakeSchedule
from .task import CrossEntropy, Loss, Metric, Task

__all__ = ["Settings", "judged_metrics"]


@dataclass
class Settings:
    """Arguments of ``fit``, which describes them."""

    epochs: int
    batch_size: int
    lr: float
    weight_decay: float | None
    optimizer: str | MakeOptimizer
    schedule: str | MakeSchedule | None
    loss: Loss
    label_smoothing: float
    class_weight: str | Sequence[float] | np.ndarray | None
    clip_grad: float | None
    metrics: Mapping[str, Metric] | None
    transform: Callable[..., Any] | None
    drop_last: bool
    early_stopping: int | None
    callbacks: Sequence[Callable[..., Any]]
    freeze: bool
    seed: int

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Settings:
        """Those of all arguments that are settings."""
        return cls(**{field.name: arguments[field.name] for field in fields(cls)})

    def __post_init__(self) -> None:
        self.epochs, self.batch_size = integer("fit", "epochs", self.epochs), integer("fit", "batch_size", self.batch_size)
        self.seed = integer("fit", "seed", self.seed, least=0)
        self.lr, self.label_smoothing = (
            _number("lr", self.lr),
            _number("label_smoothing", self.label_smoothing, lambda v: v <= 1, "from 0 to 1"),
        )
        self.weight_decay = None if self.weight_decay is None else _number("weight_decay", self.weight_decay)
        self.clip_grad = None if self.clip_grad is None else _number("clip_grad", self.clip_grad, lambda v: v > 0, "above 0")
        self.early_stopping = None if self.early_stopping is None else integer("fit", "early_stopping", self.early_stopping)
        self.drop_last, self.freeze = flag("fit", "drop_last", self.drop_last), flag("fit", "freeze", self.freeze)
        _chosen("optimizer", self.optimizer, OPTIMIZERS)
        if self.schedule is not None:
            _chosen("schedule", self.schedule, SCHEDULES)
        self.metrics = judged_metrics("fit", self.metrics)
        if not isinstance(self.callbacks, (list, tuple)) or not all(map(callable, self.callbacks)):
            raise TypeError(message("fit", "callbacks as a list of functions", shown(self.callbacks)))
        self._judge_loss()

    def take_over(self, loader: DataLoader, device: str) -> None:
        """Let a loader of the user's decide what it decides; ValueError where it is asked for otherwise."""
        if self.transform is not None or self.drop_last:
            name = "drop_last" if self.drop_last else "transform"
            raise ValueError(message("fit", f"{name} from the DataLoader", f"{name} of fit", f"DataLoader(..., {name}=...)"))
        if loader.device != backends.device(device, "fit"):
            hint = f"DataLoader(..., device={device!r})"
            raise ValueError(message("fit", f"a DataLoader for device {device!r}", repr(loader.device), hint))
        self.batch_size, self.drop_last = loader.batch_size or self.batch_size, loader.drop_last

    def _judge_loss(self) -> None:
        if not callable(self.loss):
            raise TypeError(message("fit", "loss as a function", shown(self.loss)))
        if self.loss is not cross_entropy and (self.label_smoothing or self.class_weight is not None):
            name = "label_smoothing" if self.label_smoothing else "class_weight"
            raise ValueError(message("fit", f"{name} with the default loss", f"loss {_name(self.loss)}", "let the loss see to it"))
        if isinstance(self.class_weight, str):
            if self.class_weight != "balanced":
                raise ValueError(message("fit", "class_weight as 'balanced', or a number for each class", repr(self.class_weight)))
        elif self.class_weight is not None:
            self.class_weight = _weights(self.class_weight)

    def recorded(self) -> dict[str, Any]:
        """The settings as JSON can hold them."""
        return {field.name: _recorded(getattr(self, field.name)) for field in fields(self)}

    def task(self) -> Task:
        """What the network is judged by."""
        return Task(self.loss, self.metrics or {})

    def training_task(self, counts: Callable[[], np.ndarray]) -> Task:
        """What it is trained by; ``counts()`` tells how many targets each class has."""
        if self.loss is not cross_entropy or (not self.label_smoothing and self.class_weight is None):
            return self.task()
        weight = self.class_weight
        if weight is not None:
            found = counts()
            if isinstance(weight, str):
                weight = found.sum() / (np.count_nonzero(found) * np.maximum(found, 1))
            elif len(weight) < len(found):
                raise ValueError(message("fit", f"class_weight for {len(found)} classes", f"{len(weight)} numbers"))
        return Task(CrossEntropy(self.label_smoothing, weight), self.metrics or {})  # type: ignore[arg-type]

    def make_optimizer(self, parameters: Iterable[Any]) -> Optimizer:
        optimizer = _chosen("optimizer", self.optimizer, OPTIMIZERS)(list(parameters), self.lr)
        if not isinstance(optimizer, Optimizer):
            raise TypeError(message("fit", "an Optimizer from optimizer(parameters, lr)", shown(optimizer)))
        if self.weight_decay is not None:
            for group in optimizer.param_groups:
                if "weight_decay" not in group:
                    raise ValueError(message("fit", "an optimiser with weight decay", type(optimizer).__name__, "pass weight_decay=None"))
                group["weight_decay"] = self.weight_decay
        return optimizer

    def make_schedule(self, optimizer: Optimizer, steps: int) -> Schedule | None:
        return None if self.schedule is None else _chosen("schedule", self.schedule, SCHEDULES)(optimizer, steps)


def judged_metrics(op: str, metrics: Any) -> dict[str, Metric]:
    """Metrics by name; TypeError or ValueError for what is none."""
    if not isinstance(metrics, (Mapping, type(None))):
        raise TypeError(message(op, "metrics as a dict of functions by name", shown(metrics)))
    for name, metric in (metrics or {}).items():
        if not isinstance(name, str) or not callable(metric):
            raise TypeError(message(op, "metrics as a dict of functions by name", f"{shown(name)}: {shown(metric)}"))
        if name == "loss":
            raise ValueError(message(op, "another name for a metric", "'loss'", "the loss is reported anyway"))
    return dict(metrics or {})


def _number(name: str, value: Any, good: Callable[[float], bool] = lambda v: True, bounds: str = "of at least 0") -> float:
    number("fit", name, value, lambda v: v >= 0 and good(v), bounds)
    return float(value)


def _weights(given: Any) -> np.ndarray:
    try:
        weights = np.asarray(given)
    except ValueError:  # lists of unequal lengths
        weights = np.empty(0)
    weights = weights.astype(np.float64) if weights.dtype.kind in "biuf" else np.empty(0)
    if weights.ndim != 1 or not weights.size or not np.isfinite(weights).all() or weights.min() < 0 or not weights.any():
        raise ValueError(message("fit", "class_weight as 'balanced', or a number of at least 0 for each class", shown(given)))
    return weights


def _chosen(what: str, choice: Any, known: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    if callable(choice):
        return choice
    if choice not in known:
        raise ValueError(message("fit", f"{what} as one of {', '.join(known)}, or a function", repr(choice)))
    return known[choice]


def _recorded(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {name: _name(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return list(map(_name, value))
    return value if isinstance(value, (bool, int, float)) else _name(value)


def _name(value: Any) -> str | None:
    """A text that is the same in every process."""
    if value is None or isinstance(value, str):
        return value
    text = getattr(value, "__qualname__", None) or repr(value)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)
