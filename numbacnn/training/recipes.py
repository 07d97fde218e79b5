"""Optimisers and schedules by name, and the recipes made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..data import RandomCrop
from ..optim import SGD, Adam, AdamW, CosineAnnealingLR, OneCycleLR, Optimizer, Schedule
from ..signatures import judged

__all__ = ["OPTIMIZERS", "SCHEDULES", "MakeOptimizer", "MakeSchedule", "recipe"]

MakeOptimizer = Callable[[list[Any], float], Optimizer]
MakeSchedule = Callable[[Optimizer, int], Schedule]

OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": SGD,
    "momentum": lambda params, lr: SGD(params, lr, momentum=0.9, nesterov=True),
    "adam": Adam,
    "adamw": AdamW,
}
SCHEDULES: dict[str, MakeSchedule] = {
    "one-cycle": lambda optimizer, steps: OneCycleLR(optimizer, optimizer.defaults["lr"], total_steps=steps),
    "cosine": CosineAnnealingLR,
}

_BOOK = {"epochs": 10, "batch_size": 256, "lr": 0.9, "optimizer": "sgd", "schedule": None}
_MODERN = {"epochs": 10, "batch_size": 128, "lr": 4e-3, "optimizer": "adam", "schedule": "one-cycle"}
_DIGITS = {"batch_size": 64, "lr": 1e-2, "schedule": "one-cycle", "transform": RandomCrop(padding=3)}
_RECIPES: dict[tuple[str, str], dict[str, Any]] = {
    ("digits", "lenet"): {**_DIGITS, "epochs": 60, "optimizer": "adam"},
    ("digits", "lenet-modern"): {**_DIGITS, "epochs": 30, "optimizer": "adamw"},
}


@judged
def recipe(data: str, model: str) -> dict[str, Any]:
    """Arguments for :func:`fit` that train this network well on these data: epochs, batch_size, lr, optimizer, schedule, and where
    there are few pictures a transform.

    For ``lenet`` on larger sets it is the book's: plain gradient descent with a rate of 0.9.

    >>> recipe("fashion-mnist", "lenet")["lr"]
    0.9
    """
    return dict(_RECIPES.get((data, model), _BOOK if model == "lenet" else _MODERN))
