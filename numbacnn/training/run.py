"""A run: the loop, and what is kept of it on disk and shown while it goes."""

from __future__ import annotations

import functools
import json
import math
import operator
import platform
import sys
import time
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import checkpoint, files, plots
from ..checkpoint import BEST, LAST, Checkpoint, Preprocessing, encode
from ..data import DataLoader
from ..errors import message
from ..version import __version__
from .evaluate import Data, evaluate
from .examples import length, pictures_of
from .loop import Loop
from .modes import holding
from .results import Evaluation, History
from .settings import Settings
from .signals import Interrupted, StopSignal
from .task import Diverged

if TYPE_CHECKING:
    from .progress import Progress

__all__ = ["BEST", "CURVE", "LAST", "LOG", "Origin", "Run"]

SAVE_SECONDS = 60.0  # between checkpoints inside an epoch, unless checkpoint_every says otherwise
FREE = ("data", "init")  # options that may differ when a run is resumed: where its data and its first weights came from
LOG, CURVE = "log.jsonl", "curve.png"


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

    def go_on_from(self, before: dict[str, Any]) -> bool:
        """Take over how an earlier part of the run began, and say whether epochs are added; ValueError where its options are others."""
        given = before.get("options", {})
        names = [name for name in self.options if self.options[name] != given.get(name) and name not in FREE]
        epochs = given.get("epochs")
        more = isinstance(epochs, int) and self.epochs > epochs
        if differing := [name for name in names if name != "epochs" or not more]:
            wanted = ", ".join(f"{name} {given.get(name)!r}" for name in differing)
            received = ", ".join(f"{name} {self.options[name]!r}" for name in differing)
            hint = "resume with the same arguments (or more epochs), or start anew"
            raise ValueError(message("fit", f"the run as it began, with {wanted}", received, hint))
        notes = {**before.get("notes", {}), **self.run["notes"]}  # data that have moved lie elsewhere now
        self.run = {**before, "options": self.options | {name: given[name] for name in FREE if name in given}, "notes": notes}
        return more

    @property
    def epochs(self) -> int:
        return self.options["epochs"]


@dataclass
class Run:
    """A loop that is judged after every epoch, and saved in a folder (None: nowhere) every so many steps (None: once a minute)."""

    loop: Loop
    origin: Origin
    settings: Settings
    val: Data | None
    test: Data | None
    folder: Path | None
    every: int | None
    progress: bool
    saved_at: float = field(default_factory=time.monotonic, init=False)
    written: Checkpoint | None = field(default=None, init=False)
    """The best checkpoint, if it lies in the folder."""
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
        return self.origin.epochs

    def train(self, stop: StopSignal) -> None:
        """Go on to the last epoch."""
        try:
            if self.folder is not None and self.loop.step:  # resumed, perhaps from elsewhere, or killed before the best was written
                self.save()
            while self.epoch <= self.epochs and not self.loop.stopped:
                self.train_epoch(stop)
                self.end_epoch()
                self.check(stop)
        except Diverged as error:
            raise self.diverged(error) from None

    def train_epoch(self, stop: StopSignal) -> None:
        """Go on to the end of the epoch."""
        loop = self.loop
        most = len(loop.loader) * (loop.loader.batch_size or length(loop.loader))
        total = min(most, operator.length_hint(loop.loader.sampler, most))
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
        """Judge the network, let the callbacks look at it, and save, even where one of them fails."""
        loop, history = self.loop, self.loop.history
        loop.meter.read()
        epoch = loop.end_epoch(None if self.val is None else self.judge(self.val))
        if history.best is epoch:
            history.checkpoint = self.best_checkpoint()
        try:
            asked = [callback(history) is True for callback in self.settings.callbacks]
            patience = self.settings.early_stopping
            loop.stopped = any(asked) or (patience is not None and loop.waited >= patience)
        finally:
            if self.folder is not None:
                self.save()
        self.show.line(epoch)

    def judge(self, data: Data) -> Evaluation:
        size = max(self.loop.loader.batch_size or 0, 256)
        if isinstance(data, DataLoader):  # the same epoch each time, whether or not the run was resumed
            data.load_state_dict({**data.state_dict(), "epoch": 0, "position": 0})
        return evaluate(self.loop.model, data, loss=self.settings.loss, metrics=self.settings.metrics, batch_size=size)

    def finish(self) -> History:
        """Judge the best weights on the test data, and write what a whole run has."""
        history = self.loop.history
        if self.test is not None:
            best = history.checkpoint or self.best_checkpoint()  # the best epoch's weights may be lost: they lie in a file of their own
            with holding(self.loop.model, best.weights):
                history.test = self.judge(self.test)
            self.show.line(f"test    {history.test}")
        if self.folder is not None:
            self.write_log()  # a run killed between its last checkpoint and its log, and resumed, comes here at once
            try:
                plots.curve(history, self.folder / CURVE)
            except ImportError as error:
                print(f"no {CURVE}: {error}", file=sys.stderr)
        return history

    def diverged(self, error: Diverged) -> FloatingPointError:
        last = self._folder / LAST
        kept = f", or go back to {last}, the last good checkpoint" if self.folder is not None and last.exists() else ""
        epoch = (error.step - 1) // len(self.loop.loader) + 1
        received = f"{error.value} in epoch {epoch}, step {error.step} (learning rate {self.loop.lr:.3g})"
        hint = f"try a learning rate of {self.origin.options['lr'] / 10:.3g}, look for wild values in the data{kept}"
        return FloatingPointError(message("fit", "a finite loss", received, hint))

    # -- state ---------------------------------------------------------------------------------------------------------
    def save(self) -> None:
        """Write the last checkpoint, and after it the best: where a kill comes in between, the best is written when the run goes on."""
        self.loop.meter.read()
        state = self.checkpoint()
        if not all(np.isfinite(w).all() for w in state.weights.values()):
            raise Diverged(math.nan, self.loop.step)
        files.write_atomically(self._folder / LAST, encode(state))
        best = self.loop.history.checkpoint
        if best is not None and best is not self.written:
            files.write_atomically(self._folder / BEST, encode(best))
            self.written = best
        self.write_log()
        self.saved_at = time.monotonic()

    @property
    def _folder(self) -> Path:
        return self.folder or Path()

    def checkpoint(self) -> Checkpoint:
        """The whole state."""
        return Checkpoint(**self.identity, run=self.origin.run, **self.loop.state())

    def best_checkpoint(self) -> Checkpoint:
        """The weights as they are now, for use only."""
        history = self.loop.history
        return Checkpoint(self.loop.weights(), **self.identity, run={**self.origin.run, "epoch": asdict(history.last)})

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What network it is, and for what pictures."""
        data, origin = pictures_of(self.loop.loader), self.origin
        pictures = {} if data is None else {"classes": data.classes, "preprocessing": Preprocessing.of(data)}
        return {"model": origin.model, "model_args": origin.model_args, **pictures}

    def restore(self, saved: Checkpoint, source: Path, anew: bool) -> None:
        """Go on exactly where the checkpoint was written, ``anew`` with another schedule. The best weights lie beside it."""
        best = checkpoint.load(source.parent / BEST) if (source.parent / BEST).exists() else None
        self.loop.restore(saved, anew)
        history = self.loop.history
        wanted = (saved.run.get("time"), asdict(history.best) if len(history) else None)  # not another run's, nor a later epoch's
        if best is not None and (best.run.get("time"), best.run.get("epoch")) == wanted:
            history.checkpoint = replace(best, run={**best.run, "notes": self.origin.run["notes"]})
        if len(history) and not self.loop.meter.images and history.best is history.last:  # a kill may have come before it was written
            history.checkpoint = self.best_checkpoint()

    def write_log(self) -> None:
        """The log anew from the history, so that it agrees with the checkpoint whatever happened before."""
        parameters = sum(p.numel() for p in self.loop.model.parameters())
        head = {**self.origin.run, "parameters": parameters}
        if (test := self.loop.history.test) is not None:
            head["test"] = {"loss": test.loss, "accuracy": test.accuracy, **test.metrics}
        lines = [head, *map(asdict, self.loop.history)]
        files.write_atomically(self._folder / LOG, "".join(json.dumps(line) + "\n" for line in lines).encode())


def _versions() -> dict[str, str]:
    packages = {name: metadata.version(name) for name in ("numpy", "numba")}
    return {"numbacnn": __version__, "python": platform.python_version(), **packages}
