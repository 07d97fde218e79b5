"""Optimisers and schedules by name, and the recipes made of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

from .. import models
from ..arguments import flag, integer
from ..data import ColorJitter, Compose, RandomCrop, RandomFlip
from ..data.transforms import Transform
from ..optim import SGD, Adam, AdamW, CosineAnnealingLR, OneCycleLR, Optimizer, Schedule
from ..signatures import judged

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "MakeOptimizer",
    "MakeSchedule",
    "augmentation",
    "folder_recipe",
    "folder_size",
    "recipe",
]

MakeOptimizer = Callable[..., Optimizer]
MakeSchedule = Callable[[Optimizer, int], Schedule]

OPTIMIZERS: dict[str, MakeOptimizer] = {
    "sgd": SGD,
    "momentum": functools.partial(SGD, momentum=0.9, nesterov=True),
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
    model = models.canonical(model)
    return dict(_RECIPES.get((data, model), _BOOK if model == "lenet" else _MODERN))


# -- pictures from a folder: benchmarks/README.md has what was tried for small-resnet; the rates of the others are the field's usual ones --
STEPS, LEAST_EPOCHS, MOST_EPOCHS = 1_200, 10, 240
_FOLDER: dict[str, Any] = {"batch_size": 32, "optimizer": "adamw", "schedule": "one-cycle", "weight_decay": 0.05, "label_smoothing": 0.1}
_RATES = {"lenet": 5e-3, "lenet-modern": 4e-3, "resnet18": 2e-3, "small-resnet": 1e-2, "vgg11": 3e-4, "vgg11-bn": 1e-3}
_SIZES = {"lenet": 28, "lenet-modern": 28, "resnet18": 64, "vgg11": 64, "vgg11-bn": 64}
LARGEST = 40
"""Pixels of the longest side that a network which takes any size is given."""


@judged
def folder_size(model: str) -> int | None:
    """The side, in pixels, to which pictures from a folder are brought for this network; None: their own, up to ``LARGEST``.

    >>> folder_size("lenet"), folder_size("small-resnet")
    (28, None)
    """
    models.get(model)
    return _SIZES.get(models.canonical(model))


@judged
def folder_recipe(pictures: int, size: int = LARGEST, drawn: bool = False, model: str = "small-resnet") -> dict[str, Any]:
    """What trains a network well on the pictures of a folder: :func:`recipe`'s keys with model, weight_decay and label_smoothing.

    Args:
        pictures: how many there are to train with.
        size: their shorter side in pixels, as the network sees them.
        drawn: whether they look like drawn characters (``data.images.looks_drawn``), which have no mirror image.
        model: the name of the network.

    Some 1,200 steps of 32 pictures are made, 10 epochs at least and 240 at most. Where there are few pictures a batch is an eighth of
    them, since a network needs steps more than it needs pictures in one.

    >>> chosen = folder_recipe(360)
    >>> chosen["model"], chosen["epochs"], chosen["batch_size"]
    ('small-resnet', 100, 32)
    """
    pictures, size = integer("folder_recipe", "pictures", pictures), integer("folder_recipe", "size", size)
    models.get(model)
    model = models.canonical(model)
    batch_size = min(_FOLDER["batch_size"], max(8, 2 ** int(math.log2(max(1, pictures // 8)))))
    epochs = math.ceil(STEPS / math.ceil(pictures / batch_size))
    return {
        "model": model,
        "epochs": min(max(epochs, LEAST_EPOCHS), MOST_EPOCHS),
        "lr": _RATES[model],
        **_FOLDER,
        "batch_size": batch_size,
        "transform": augmentation(size, flip=not flag("folder_recipe", "drawn", drawn)),
    }


@judged
def augmentation(size: int, flip: bool = True) -> Transform:
    """Pictures shifted by up to a tenth of ``size``, mirrored left to right unless ``flip`` is False, a little brighter and darker, with
    more contrast and less.

    >>> augmentation(40, flip=False)  # doctest: +NORMALIZE_WHITESPACE
    Compose(transforms=(RandomCrop(size=None, padding=4, padding_mode='edge'), ColorJitter(brightness=0.2, contrast=0.2)))
    """
    shift = RandomCrop(padding=max(1, round(integer("augmentation", "size", size) / 10)), padding_mode="edge")
    mirror = (RandomFlip(),) if flag("augmentation", "flip", flip) else ()
    return Compose((shift, *mirror, ColorJitter(brightness=0.2, contrast=0.2)))
