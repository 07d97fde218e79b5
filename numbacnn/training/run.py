"""A run: the loop, and what is kept of it on disk and shown while it goes."""

from __future__ import annotations

import json
import math
import platform
import sys
import time
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import files, plots
from ..checkpoint import Checkpoint, Preprocessing, encode
from ..data import Dataset
from ..data.dataset import background
from ..errors import message
from ..version import __version__
from .evaluate import Data, evaluate
from .loop import Diverged, Loop
from .signals import Interrupted, StopSignal

if TYPE_CHECKING:
    from .progress import Progress

__all__ = ["BEST", "CURVE", "LAST", "LOG", "Origin", "Run"]

SAVE_SECONDS = 60.0  # between checkpoints inside an epoch, unless checkpoint_every says otherwise
LAST, BEST, LOG, CURVE = "last.safetensors", "best.safetensors", "log.jsonl", "curve.png"


@dataclass
class Origin:
    """How a run began, as its checkpoints say it.

    Args:
        model: the name in ``numbacnn.models``, with ``model_args``; None for a network of the user's own.
        run: ``options`` (the arguments of ``fit``), the user's ``notes``, ``versions`` and ``time``.
    """

    model: str | None
    model_args: dict[str, Any]
    run: dict[str, Any]

    @classmethod
    def now(cls, model: str | None, model_args: dict[str, Any], options: dict[str, Any], notes: dict[str, Any]) -> Origin:
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        return cls(model, model_args, {"options": options, "notes": notes, "versions": _versions(), "time": now})

    @property
    def options(self) -> dict[str, Any]:
        return self.run["options"]

    def go_on_from(self, before: dict[str, Any], epochs_may_differ: bool) -> None:
        """Take over how an earlier part of the run began; ValueError where its options are others."""
        given = before.get("options", {})
        names = [name for name in self.options if self.options[name] != given.get(name)]
        if differing := [name for name in names if name != "epochs" or not epochs_may_differ]:
            wanted = ", ".join(f"{name} {given.get(name)!r}" for name in differing)
            received = ", ".join(f"{name} {self.options[name]!r}" for name in differing)
            raise ValueError(
                message("fit", f"the run as it began, with {wanted}", received, "resume with the same arguments, or start anew")
            )
        self.run = {**before, "options": self.options}


@dataclass
class Run:
    """A loop that is judged after every epoch, and saved in a folder (None: nowhere) every so many steps (None: once a minute)."""

    loop: Loop
    origin: Origin
    test: Data | None
    folder: Path | None
    every: int | None
    progress: bool
    saved_at: float = field(default_factory=time.monotonic, init=False)
    show: Progress = field(init=False)

    def __post_init__(self) -> None:
        from .progress import Progress  # it brings tqdm and the kernels

        self.show = Progress(self.progress, self.loop.loader.device)

    @property
    def epoch(self) -> int:
        """The number of the epoch that is going on."""
        return len(self.loop.history) + 1

    @property
    def epochs(self) -> int:
        return self.origin.options["epochs"]

    def train(self, stop: StopSignal) -> None:
        """Go on to the last epoch."""
        try:
            if self.folder is not None and self.loop.step and not (self.folder / LAST).exists():  # resumed from elsewhere
                self.save()
            while self.epoch <= self.epochs:
                self.train_epoch(stop)
                self.end_epoch()
                self.check(stop)
        except Diverged as error:
            raise self.diverged(error) from None

    def train_epoch(self, stop: StopSignal) -> None:
        """Go on to the end of the epoch."""
        loop = self.loop
        total = min(len(loop.loader) * loop.loader.batch_size, _length(loop.loader.dataset))
        title = f"epoch {self.epoch}/{self.epochs}"
        with self.show.bar(title, total, loop.meter.images, loop.meter.numbers) as bar:
            for images in self.show.steps(loop.steps()):
                bar.update(images)
                self.between_steps(stop)

    def between_steps(self, stop: StopSignal) -> None:
        """Save where it is time, or where the user wants to stop."""
        if self.every is None:
            due = time.monotonic() - self.saved_at > SAVE_SECONDS
        else:
            due = self.loop.step % self.every == 0
        if self.folder is not None and (due or stop.number is not None):
            self.save()
        self.check(stop)

    def check(self, stop: StopSignal) -> None:
        """Interrupted where a signal has come; the state is saved by then."""
        if stop.number is None:
            return
        where = f"stopped after step {self.loop.step}, in epoch {min(self.epoch, self.epochs)} of {self.epochs}"
        kept = "nothing is saved without out=folder"
        if self.folder is not None:
            kept = f"saved in {self.folder}; go on with fit(..., out={str(self.folder)!r}, resume=True)"
        raise Interrupted(f"[fit] {where}; {kept}.", self.folder, stop.number)

    def end_epoch(self) -> None:
        """Judge the network, and save."""
        loop = self.loop
        loop.meter.read()
        size = max(loop.loader.batch_size, 256)
        epoch = loop.end_epoch(None if self.test is None else evaluate(loop.model, self.test, loss=loop.loss, batch_size=size))
        if self.folder is not None:
            self.save()
        self.show.line(epoch)

    def finish(self) -> None:
        if self.folder is None:
            return
        self.write_log()  # a run killed between its last checkpoint and its log, and resumed, comes here at once
        try:
            plots.curve(self.loop.history, self.folder / CURVE)
        except ImportError as error:
            print(f"no {CURVE}: {error}", file=sys.stderr)

    def diverged(self, error: Diverged) -> FloatingPointError:
        last = self._folder / LAST
        kept = f", or go back to {last}, the last good checkpoint" if self.folder is not None and last.exists() else ""
        epoch = (error.step - 1) // len(self.loop.loader) + 1
        received = f"{error.value} in epoch {epoch}, step {error.step} (learning rate {self.loop.lr:.3g})"
        hint = f"try a learning rate of {self.origin.options['lr'] / 10:.3g}, look for wild values in the data{kept}"
        return FloatingPointError(message("fit", "a finite loss", received, hint))

    # -- state ---------------------------------------------------------------------------------------------------------
    def save(self) -> None:
        """Write the last checkpoint, and before it the best: a kill in between repeats the epoch, and loses nothing."""
        history, meter = self.loop.history, self.loop.meter
        meter.read()
        checkpoint = self.checkpoint()
        if not all(np.isfinite(w).all() for w in checkpoint.weights.values()):
            raise Diverged(math.nan, self.loop.step)
        between_epochs = len(history) > 0 and meter.images == 0
        best = between_epochs and history.best is history.last
        data = encode(checkpoint)
        for name in (BEST, LAST) if best else (LAST,):
            files.write_atomically(self._folder / name, data)
        self.write_log()
        self.saved_at = time.monotonic()

    @property
    def _folder(self) -> Path:
        return self.folder or Path()

    def checkpoint(self) -> Checkpoint:
        data = self.loop.loader.dataset
        return Checkpoint(
            model=self.origin.model,
            model_args=self.origin.model_args,
            classes=data.classes if isinstance(data, Dataset) else (),
            preprocessing=_preprocessing(data) if isinstance(data, Dataset) else None,
            run=self.origin.run,
            **self.loop.state(),
        )

    def restore(self, saved: Checkpoint) -> None:
        """Go on exactly where the checkpoint was written; ValueError where this run is another."""
        if saved.optimizer is None or not saved.progress or not saved.generators:
            raise ValueError(message("fit", "the checkpoint of a training run", "weights for use only", "start a run, without resume"))
        self.origin.go_on_from(saved.run, epochs_may_differ=self.loop.schedule is None)
        self.loop.restore(saved)

    def write_log(self) -> None:
        """The log anew from the history, so that it agrees with the checkpoint whatever happened before."""
        parameters = sum(p.numel() for p in self.loop.model.parameters())
        lines = [{**self.origin.run, "parameters": parameters}, *map(asdict, self.loop.history)]
        files.write_atomically(self._folder / LOG, "".join(json.dumps(line) + "\n" for line in lines).encode())


def _length(data: Data) -> int:
    return len(data) if isinstance(data, Dataset) else len(data[0])


def _preprocessing(data: Dataset) -> Preprocessing:
    return Preprocessing(data.input_shape, data.mean, data.std, background(data.images))


def _versions() -> dict[str, str]:
    packages = {name: metadata.version(name) for name in ("numpy", "numba")}
    return {"numbacnn": __version__, "python": platform.python_version(), **packages}
