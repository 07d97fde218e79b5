"""The loop: one step after the other, the sums of the epoch, and the state that decides how it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from .. import backends, random
from ..backends import NotFinite
from ..checkpoint import Checkpoint
from ..data import DataLoader
from ..errors import message
from ..nn import Module
from ..optim import Optimizer, Schedule
from ..signatures import described, fits, shown
from ..tensor import no_grad, stack
from .evaluate import pairs
from .results import Epoch, Evaluation, History
from .task import Diverged, Meter, Task, examples, outputs

__all__ = ["Loop", "check_resumable", "clip_gradients"]


@dataclass
class Loop:
    """What moves in a run: a network, what trains it, and how far it has come.

    Args:
        clip_grad: the largest norm of all gradients together, or None.
        compile: replay steps that do the same each time.
        seconds: those of this epoch.
        waited: epochs since one was better than all before, in accuracy or, where that is equal, in the loss.
        stopped: whether the run is over before its last epoch.
    """

    model: Module
    loader: DataLoader
    optimizer: Optimizer
    schedule: Schedule | None
    task: Task
    clip_grad: float | None
    history: History
    compile: bool = True
    step: int = 0
    seconds: float = 0.0
    waited: int = 0
    stopped: bool = False
    meter: Meter = field(init=False)

    def __post_init__(self) -> None:
        self.meter = self._new_meter()
        self._update: Any = self._train_on
        if self.compile:
            from ..plan import Compiled  # which needs Numba

            self._update = Compiled(self._train_on, reaches=(self.task.loss, *self.task.metrics.values()))

    def _new_meter(self) -> Meter:
        return Meter(self.loader.device, diverges=True)

    def steps(self) -> Iterator[int]:
        """Go on to the end of the epoch; after each step, how many images it took.

        Raises:
            Diverged: the loss is no longer finite.
        """
        before = time.perf_counter()
        for x, y in pairs("fit", self.loader):
            self._one_step(x, y)
            now = time.perf_counter()
            self.seconds, before = self.seconds + now - before, now
            yield examples(y)

    def _one_step(self, x: Any, y: Any) -> None:
        self.step += 1
        try:
            values = self._update(x, y)
        except NotFinite as error:
            raise Diverged(error.args[0], self.step) from None
        self.meter.add(self.step, self.task.weighted(values, y), examples(y))
        if self.schedule is not None:
            self.schedule.step()

    def _train_on(self, x: Any, y: Any) -> dict[str, Any]:
        """Move the weights by one batch, of which it gives the loss and the metrics; not where the loss is not finite."""
        loss, values = self.task.measure("fit", outputs("fit", self.model, x), y)
        backends.get(loss.device).require_finite(loss.array)
        self.optimizer.zero_grad()
        loss.backward()
        if self.clip_grad is not None:
            clip_gradients(self.model, self.clip_grad)
        self.optimizer.step()
        return values

    def end_epoch(self, judged: Evaluation | None) -> Epoch:
        """Add the epoch to the history, and begin another."""
        train = self.meter.means()
        val = {} if judged is None else {"loss": judged.loss, "accuracy": judged.accuracy, **judged.metrics}
        measured = {f"train_{name}": value for name, value in train.items()} | {f"val_{name}": value for name, value in val.items()}
        named = {name: measured.pop(name, None) for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy")}
        epoch = Epoch(
            epoch=len(self.history) + 1,
            **named,  # type: ignore[arg-type]
            lr=self.lr,
            seconds=self.seconds,
            images_per_second=self.meter.images / max(self.seconds, 1e-9),
            metrics=measured,  # type: ignore[arg-type]
        )
        self.waited = 0 if all(epoch.score > before.score for before in self.history) else self.waited + 1
        self.history.epochs.append(epoch)
        self.meter, self.seconds = self._new_meter(), 0.0
        return epoch

    @property
    def lr(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    # -- state ---------------------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """All that decides how the loop goes on, by the names in :class:`Checkpoint`."""
        progress = {name: getattr(self, name) for name in ("step", "seconds", "waited", "stopped")}
        meter = {"sums": self.meter.sums, "images": self.meter.images}
        return {
            "weights": self.weights(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "generators": {"library": random.get_rng_state(), "loader": self.loader.state_dict()},
            "progress": {**progress, "meter": meter, "history": [asdict(epoch) for epoch in self.history]},
        }

    def weights(self) -> dict[str, np.ndarray]:
        """A copy."""
        return {name: np.array(t) for name, t in self.model.state_dict().items()}

    def restore(self, saved: Checkpoint, anew: bool) -> None:
        """Go on exactly where the checkpoint of a run was written; with ``anew`` at the rates of another schedule, which is there already.

        Each takes its state whole or not at all; the user's model comes last, so that it is as it was where another refuses.
        """
        progress, generators, optimizer = saved.progress, saved.generators, saved.optimizer or {}
        self.optimizer.load_state_dict({**optimizer, "param_groups": self.optimizer.state_dict()["param_groups"]} if anew else optimizer)
        if self.schedule is not None and not anew:
            self.schedule.load_state_dict(saved.schedule or {})
        self.loader.load_state_dict(generators["loader"])
        random.set_rng_state(generators["library"])
        self.step, self.seconds = progress["step"], progress["seconds"]
        if not anew:
            self.waited, self.stopped = progress["waited"], progress["stopped"]
        self.meter.sums, self.meter.images = dict(progress["meter"]["sums"]), progress["meter"]["images"]
        self.history.epochs = [Epoch(**epoch) for epoch in progress["history"]]
        self.model.load_state_dict(saved.weights)


def check_resumable(saved: Checkpoint) -> None:
    """ValueError for a checkpoint that is not the whole state of a run."""
    if saved.optimizer is None or not saved.progress or not saved.generators:
        hint = "resume from last.safetensors, or start a run from these weights: init=path"
        raise ValueError(message("fit", "the checkpoint of a training run", "weights for use only", hint))
    _check_record("progress", saved.progress, PROGRESS)
    _check_record("generators", saved.generators, GENERATORS)


def clip_gradients(model: Module, most: float) -> None:
    """Scale all gradients by one factor, so that their norm together is at most ``most``."""
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    if not grads:
        return
    with no_grad():
        norm = stack([(g * g).sum() for g in grads]).sum().sqrt()
        factor = (most / (norm + 1e-6)).clamp(max=1.0)  # stays on the device
        for g in grads:
            g.mul_(factor)


PROGRESS = {
    "step": int,
    "seconds": float,
    "waited": int,
    "stopped": bool,
    "meter": {"sums": dict[str, float], "images": int},
    "history": [get_type_hints(Epoch)],
}
GENERATORS = {"library": dict, "loader": {"seed": int, "epoch": int, "position": int}}
"""What a saved state holds: a type, the entries of a dict, a list of what each member is, or a dict of any names."""


def _check_record(name: str, value: Any, wanted: Any) -> None:
    """ValueError where a saved value is not what is wanted, or a number is out of all bounds."""
    if isinstance(wanted, dict):
        if not isinstance(value, dict) or value.keys() != wanted.keys():
            raise ValueError(message("fit", f"a checkpoint's {name} with {', '.join(wanted)}", _names(value)))
        for key, inner in wanted.items():
            _check_record(f"{name}.{key}", value[key], inner)
    elif isinstance(wanted, list):
        if not isinstance(value, list):
            raise ValueError(message("fit", f"a checkpoint's {name} as a list", shown(value)))
        for member in value:
            _check_record(name, member, wanted[0])
    elif get_origin(wanted) is dict:
        if not isinstance(value, dict):
            raise ValueError(message("fit", f"a checkpoint's {name} as a dict", shown(value)))
        for key, inner in value.items():
            _check_record(f"{name}.{key}", inner, get_args(wanted)[1])
    elif not fits(value, wanted) or (isinstance(value, int) and not 0 <= value < 2**64):
        bounds = " from 0 to 2^64 - 1" if fits(value, wanted) else ""
        raise ValueError(message("fit", f"a checkpoint's {name} as {described(wanted)}{bounds}", shown(value)))


def _names(value: Any) -> str:
    return ", ".join(map(str, value)) or "nothing" if isinstance(value, dict) else type(value).__name__
