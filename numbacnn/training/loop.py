"""The loop: one step after the other, the sums of the epoch, and the state that decides how it goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, get_type_hints

import numpy as np

from .. import backends, random
from ..checkpoint import Checkpoint
from ..data import DataLoader
from ..errors import message
from ..nn import Module
from ..optim import Optimizer, Schedule
from ..signatures import described, fits, shown
from ..tensor import Tensor, no_grad
from .evaluate import Loss, check_logits
from .results import Epoch, Evaluation, History

__all__ = ["Diverged", "Loop", "Meter"]


class Diverged(Exception):
    """A loss, or a weight, is no longer finite."""

    def __init__(self, value: float, step: int) -> None:
        super().__init__(value, step)
        self.value, self.step = value, step


def steps_between_reads(device: str) -> int:
    """How often the losses are read: at every step, or seldom where that would let the device's queue run dry."""
    return 50 if backends.queued(device) else 1


class Meter:
    """Sums of an epoch: loss times images, right answers, images. Losses are read some steps late on a device with a queue."""

    def __init__(self, device: str) -> None:
        self.every = steps_between_reads(device)
        self.loss, self.right, self.images = 0.0, 0, 0
        self.waiting: list[tuple[int, Tensor, Tensor, int]] = []

    def add(self, step: int, loss: Tensor, logits: Tensor, y: Tensor) -> None:
        with no_grad():
            right = (logits.detach().argmax(1) == y).sum()
        self.waiting.append((step, loss.data, right, len(y)))
        if len(self.waiting) >= self.every:
            self.read()

    def read(self) -> None:
        """Bring the sums up to date; Diverged at the first step whose loss is not finite."""
        waiting, self.waiting = self.waiting, []
        for step, loss, right, images in waiting:
            value = float(loss.item())
            if not math.isfinite(value):
                raise Diverged(value, step)
            self.loss += value * images
            self.right += int(right.item())
            self.images += images

    def means(self) -> tuple[float, float]:
        """(loss, accuracy) of what was read."""
        return self.loss / max(self.images, 1), self.right / max(self.images, 1)

    def numbers(self) -> list[tuple[str, float]]:
        """What the bar shows: names and means, none before the first read."""
        return list(zip(("loss", "accuracy"), self.means())) if self.images else []


@dataclass
class Loop:
    """What moves in a run: a network, what trains it, and how far it has come; ``seconds`` are those of this epoch."""

    model: Module
    loader: DataLoader
    optimizer: Optimizer
    schedule: Schedule | None
    loss: Loss
    history: History
    step: int = 0
    seconds: float = 0.0
    meter: Meter = field(init=False)

    def __post_init__(self) -> None:
        self.meter = Meter(self.loader.device)

    def steps(self) -> Iterator[int]:
        """Go on to the end of the epoch; after each step, how many images it took.

        Raises:
            Diverged: the loss is no longer finite.
        """
        before = time.perf_counter()
        for x, y in self.loader:
            self._one_step(x, y)
            now = time.perf_counter()
            self.seconds, before = self.seconds + now - before, now
            yield len(y)

    def _one_step(self, x: Tensor, y: Tensor) -> None:
        logits = check_logits("fit", self.model(x), y)
        loss = self.loss(logits, y)
        self.step += 1
        self.meter.add(self.step, loss, logits, y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()

    def end_epoch(self, tested: Evaluation | None) -> Epoch:
        """Add the epoch to the history, and begin another."""
        loss, accuracy = self.meter.means()
        epoch = Epoch(
            epoch=len(self.history) + 1,
            train_loss=loss,
            train_accuracy=accuracy,
            test_loss=None if tested is None else tested.loss,
            test_accuracy=None if tested is None else tested.accuracy,
            lr=self.lr,
            seconds=self.seconds,
            images_per_second=self.meter.images / max(self.seconds, 1e-9),
        )
        self.history.epochs.append(epoch)
        self.meter, self.seconds = Meter(self.loader.device), 0.0
        return epoch

    @property
    def lr(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    # -- state ---------------------------------------------------------------------------------------------------------
    def state(self) -> dict[str, Any]:
        """All that decides how the loop goes on, by the names in :class:`Checkpoint`."""
        meter = {"loss": self.meter.loss, "right": self.meter.right, "images": self.meter.images}
        return {
            "weights": {name: np.array(t) for name, t in self.model.state_dict().items()},
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "generators": {"library": random.get_rng_state(), "loader": self.loader.state_dict()},
            "progress": {"step": self.step, "seconds": self.seconds, "meter": meter, "history": [asdict(epoch) for epoch in self.history]},
        }

    def restore(self, saved: Checkpoint) -> None:
        """Go on exactly where the checkpoint of a run was written.

        Each takes its state whole or not at all; the user's model comes last, so that it is as it was where another refuses.
        """
        progress, generators = saved.progress, saved.generators
        _check_record("progress", progress, PROGRESS)
        _check_record("generators", generators, GENERATORS)
        self.optimizer.load_state_dict(saved.optimizer or {})
        if self.schedule is not None:
            self.schedule.load_state_dict(saved.schedule or {})
        self.loader.load_state_dict(generators["loader"])
        random.set_rng_state(generators["library"])
        self.step, self.seconds = progress["step"], progress["seconds"]
        self.meter.loss, self.meter.right, self.meter.images = (progress["meter"][name] for name in ("loss", "right", "images"))
        self.history.epochs = [Epoch(**epoch) for epoch in progress["history"]]
        self.model.load_state_dict(saved.weights)


PROGRESS = {"step": int, "seconds": float, "meter": {"loss": float, "right": int, "images": int}, "history": [get_type_hints(Epoch)]}
GENERATORS = {"library": dict, "loader": {"seed": int, "epoch": int, "position": int}}
"""What a saved state holds: a type, the entries of a dict, or a list of what each member is."""


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
    elif not fits(value, wanted) or (isinstance(value, int) and not 0 <= value < 2**64):
        bounds = " from 0 to 2^64 - 1" if fits(value, wanted) else ""
        raise ValueError(message("fit", f"a checkpoint's {name} as {described(wanted)}{bounds}", shown(value)))


def _names(value: Any) -> str:
    return ", ".join(map(str, value)) or "nothing" if isinstance(value, dict) else type(value).__name__
