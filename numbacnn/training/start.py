"""Where a run starts from: weights of another, of which the last layer may be new."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint
from ..checkpoint import Checkpoint
from ..errors import message
from ..nn import Module
from .modes import set_mode

__all__ = ["Weights", "frozen_but_last", "start_from"]

Weights = str | Path | Mapping[str, Any] | Checkpoint
SHOWN_NAMES = 6


def start_from(model: Module, source: Weights) -> str | None:
    """Take weights of the same names and shapes; a last layer for another number of classes keeps its own, and a line says so.

    Raises:
        ValueError: for weights that fit in no other way; the model is as it was.
    """
    given = _read(source)
    own = {name: np.asarray(t) for name, t in model.state_dict().items()}
    last = [name for name in own if name.startswith(_prefix(_last_layer(model)[0]))]
    classes = [(own[name].shape[0], given[name].shape[0]) for name in last if name in given and _differ_in_classes(own[name], given[name])]
    kept = {name: own[name] for name in last} if classes else {}
    compared = [name for name in given if name in own and name not in kept]
    wrong = [f"{name} {given[name].shape}, not {own[name].shape}" for name in compared if given[name].shape != own[name].shape]
    wrong += [f"{name} missing" for name in own if name not in given and name not in kept]
    wrong += [f"{name}, which it does not have" for name in given if name not in own]
    if wrong:
        more = f" and {len(wrong) - SHOWN_NAMES} more" if len(wrong) > SHOWN_NAMES else ""
        hint = "only a last layer with another number of classes may differ"
        raise ValueError(message("fit", f"init with the weights of {type(model).__name__}", "; ".join(wrong[:SHOWN_NAMES]) + more, hint))
    model.load_state_dict({**given, **kept})
    return f"the last layer, {_last_layer(model)[0]}, is new: {classes[0][0]} classes in place of {classes[0][1]}" if classes else None


def _read(source: Weights) -> dict[str, np.ndarray]:
    if isinstance(source, Checkpoint):
        return source.weights
    if isinstance(source, Mapping):
        return {name: np.asarray(value) for name, value in source.items()}
    if not isinstance(source, (str, Path)):
        wanted = "init as a path, a dict of weights or a Checkpoint"
        raise TypeError(message("fit", wanted, type(source).__name__))
    return checkpoint.load_weights(source)


def _differ_in_classes(own: np.ndarray, given: np.ndarray) -> bool:
    return own.shape != given.shape and own.ndim == given.ndim and own.shape[1:] == given.shape[1:]


def _last_layer(model: Module) -> tuple[str, Module]:
    """The last module with parameters of its own, and its name; the model itself where there is none."""
    owners = [(name, module) for name, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))]
    return owners[-1] if owners else ("", model)


def _prefix(name: str) -> str:
    return f"{name}." if name else ""


@contextmanager
def frozen_but_last(model: Module) -> Iterator[None]:
    """For a while only the last layer is trained: no other parameter has a gradient, and no buffer (of batch normalisation) moves."""
    last = _last_layer(model)[1]
    before = [(p, p.requires_grad) for p in model.parameters()]
    trained = {id(p) for p in last.parameters(recurse=False)}
    modes = [(module, module.training) for module in model.modules() if module is not last]
    for p, required in before:
        p.requires_grad_(required and id(p) in trained)
    for module, _ in modes:
        if any(True for _ in module.buffers(recurse=False)):
            set_mode(module, False)
    try:
        yield
    finally:
        for p, required in before:
            p.requires_grad_(required)
        for module, mode in modes:
            set_mode(module, mode)
