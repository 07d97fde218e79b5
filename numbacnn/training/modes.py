"""Whether modules train or evaluate, for a while: as it was afterwards, whichever threads ask."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .. import backends
from ..locks import lock
from ..nn import Module
from ..tensor import inference_mode

__all__ = ["evaluating", "training"]

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
            _set(module, False)
    try:
        with inference_mode():
            yield backends.DEFAULT if first is None else first.device
    finally:
        with _lock:
            for module in modules:
                _evaluated[id(module)][0] -= 1
                if not _evaluated[id(module)][0]:
                    _set(module, bool(_evaluated.pop(id(module))[1]))


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
            _set(module, training)


def _set(module: Module, training: bool) -> None:
    object.__setattr__(module, "training", training)
