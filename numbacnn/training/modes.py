"""Modes and weights of a model for a while: as they were afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import backends
from ..locks import lock
from ..nn import Module
from ..tensor import inference_mode

__all__ = ["evaluating", "holding", "set_mode", "training"]

_evaluated: dict[int, list[int]] = {}
"""For the id of each module in evaluation: how many ask for it, and the mode that it goes back to with the last of them."""
_lock = lock()


@contextmanager
def evaluating(model: Module) -> Iterator[str]:
    """Evaluation mode without a tape, and back again; gives the device that the model is on."""
    modules = list(model.modules())
    first = next(iter(model.parameters()), None)
    with _lock:
        for module in modules:
            _evaluated.setdefault(id(module), [0, module.training])[0] += 1
            set_mode(module, False)
    try:
        with inference_mode():
            yield backends.DEFAULT if first is None else first.device
    finally:
        with _lock:
            for module in modules:
                _evaluated[id(module)][0] -= 1
                if not _evaluated[id(module)][0]:
                    set_mode(module, bool(_evaluated.pop(id(module))[1]))


@contextmanager
def training(model: Module) -> Iterator[None]:
    """Training mode for a model of which no module has it, else the modes as they are set; and back again."""
    modes = [(module, module.training) for module in model.modules()]
    if not any(training for _, training in modes):
        model.train()
    try:
        yield
    finally:
        for module, training in modes:
            set_mode(module, training)


@contextmanager
def holding(model: Module, weights: Mapping[str, Any]) -> Iterator[None]:
    """Other weights for a while, and then its own again."""
    own = {name: np.array(t) for name, t in model.state_dict().items()}
    model.load_state_dict(weights)
    try:
        yield
    finally:
        model.load_state_dict(own)


def set_mode(module: Module, training: bool) -> None:
    """The mode of this module alone."""
    module._set_mode(training)
