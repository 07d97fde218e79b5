"""Training: ``fit`` runs the loop and keeps it safe on disk, ``evaluate`` judges a network, ``predict`` gives probabilities.

A run is resumed exactly. All that decides its future (weights, moments, schedule, generators, place in the epoch, sums of the epoch) is
one checkpoint, written in one step between two training steps; a run killed at any moment goes on from there to the same bits.
"""

from __future__ import annotations

import math
import platform
import re
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from . import checkpoint as files
from . import config, models, random
from .checkpoint import Checkpoint, Preprocessing
from .data import DataLoader, Dataset, RandomCrop
from .errors import DTypeError, ShapeError, message
from .nn import Module, UninitializedParameter
from .nn.functional import cross_entropy, softmax
from .optim import SGD, Adam, AdamW, CosineAnnealingLR, OneCycleLR, Optimizer, Schedule
from .results import Epoch, Evaluation, History
from .tensor import Tensor, inference_mode, no_grad

__all__ = ["Epoch", "Evaluation", "History", "Interrupted", "evaluate", "fit", "predict", "recipe"]

Data = Dataset | Sequence[Any]
"""A Dataset, or a pair (X, y) of arrays."""
Loss = Callable[[Tensor, Tensor], Tensor]
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
SAVE_SECONDS = 60.0  # between checkpoints inside an epoch, unless checkpoint_every says otherwise
READ_STEPS = {"cpu": 1}  # how often the losses are read; a device's queue would run dry if it were at every step
SHOWN_STEPS = 0.05  # seconds between two writings of the bar's loss and accuracy
LAST, BEST, LOG, CURVE = "last.safetensors", "best.safetensors", "log.jsonl", "curve.png"


# -- recipes ---------------------------------------------------------------------------------------------------------------------
_BOOK = {"epochs": 10, "batch_size": 256, "lr": 0.9, "optimizer": "sgd", "schedule": None}
_MODERN = {"epochs": 10, "batch_size": 128, "lr": 4e-3, "optimizer": "adam", "schedule": "one-cycle"}
_DIGITS = {"batch_size": 64, "lr": 1e-2, "schedule": "one-cycle", "transform": RandomCrop(padding=3)}
_RECIPES: dict[tuple[str, str], dict[str, Any]] = {
    ("digits", "lenet"): {**_DIGITS, "epochs": 60, "optimizer": "adam"},
    ("digits", "lenet-modern"): {**_DIGITS, "epochs": 30, "optimizer": "adamw"},
}


def recipe(data: str, model: str) -> dict[str, Any]:
    """Arguments for :func:`fit` that train this network well on these data: epochs, batch_size, lr, optimizer, schedule, and where
    there are few pictures a transform.

    For ``lenet`` on larger sets it is the book's: plain gradient descent with a rate of 0.9.

    >>> recipe("fashion-mnist", "lenet")["lr"]
    0.9
    """
    return dict(_RECIPES.get((data, model), _BOOK if model == "lenet" else _MODERN))


# -- the run's end -------------------------------------------------------------------------------------------------------------------
class Interrupted(KeyboardInterrupt):
    """Ctrl-C came during :func:`fit`; ``folder`` holds the state to go on from, or is None where nothing is kept."""

    def __init__(self, text: str, folder: Path | None) -> None:
        super().__init__(text)
        self.folder = folder


# -- judging ---------------------------------------------------------------------------------------------------------------------
@contextmanager
def _evaluating(model: Module) -> Iterator[str]:
    """Evaluation mode without a tape, and back again; gives the device that the model is on."""
    modes = [(module, module.training) for module in model.modules()]
    first = next(iter(model.parameters()), None)
    try:
        with inference_mode():
            model.eval()
            yield "cpu" if first is None else first.device
    finally:
        for module, training in modes:
            object.__setattr__(module, "training", training)


def _batches(data: Data | DataLoader, batch_size: int, device: str) -> DataLoader:
    return data if isinstance(data, DataLoader) else DataLoader(data, batch_size, device=device)


def evaluate(model: Module, data: Data | DataLoader, *, loss: Loss = cross_entropy, batch_size: int = 256) -> Evaluation:
    """Run a network over labelled data, in evaluation mode and ``inference_mode``; its modes are as before afterwards.

    Arguments:
        model: (N, C, H, W) -> logits (N, K); it stays on its device.
        data: a Dataset, a pair (X, y) of arrays, or a DataLoader (one epoch of it).
        loss: ``loss(logits, y)``, the mean over a batch.

    Errors: ValueError for no data; the model's own where the pictures do not fit it.

    >>> print(evaluate(model, test))  # doctest: +SKIP
    loss 0.0412, accuracy 0.9889 (356 of 360)
    """
    with _evaluating(model) as device:
        loader = _batches(data, batch_size, device)
        seen: list[tuple[Tensor, Tensor, Tensor]] = []
        for x, y in loader:
            logits = _logits("evaluate", model(x), y)
            seen.append((loss(logits, y), logits.argmax(1), y))
            classes = logits.shape[1]
        if not seen:
            raise ValueError(message("evaluate", "at least one example", "none"))
    losses, guesses, labels = ([np.asarray(t) for t in column] for column in zip(*seen))
    truth = np.concatenate(labels).astype(np.int64)
    total = math.fsum(float(value) * len(y) for value, y in zip(losses, labels))
    confusion = np.bincount(truth * classes + np.concatenate(guesses), minlength=classes * classes).reshape(classes, classes)
    names = loader.dataset.classes if isinstance(loader.dataset, Dataset) else ()
    names = names if len(names) == classes else tuple(map(str, range(classes)))
    return Evaluation(total / len(truth), float(np.trace(confusion) / len(truth)), confusion.astype(np.int64), names)


def predict(model: Module, data: Data, *, batch_size: int = 256) -> np.ndarray:
    """The probabilities of the classes, (N, K) in the model's dtype: the softmax of what it gives for each picture.

    >>> predict(model, test).argmax(1)  # doctest: +SKIP
    """
    with _evaluating(model) as device:
        return np.concatenate([np.asarray(softmax(_logits("predict", model(x), y), 1)) for x, y in _batches(data, batch_size, device)])


def _logits(op: str, output: Any, y: Tensor) -> Tensor:
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != len(y):
        received = f"shape {output.shape}" if isinstance(output, Tensor) else type(output).__name__
        raise ShapeError(
            message(op, f"logits (N, classes) from the model, N = {len(y)}", received, "end the model with Flatten and Linear")
        )
    return output


# -- the loop --------------------------------------------------------------------------------------------------------------------
def fit(
    model: Module | str,
    train: Data,
    test: Data | None = None,
    *,
    epochs: int = 10,
    batch_size: int = 128,
    lr: float = 1e-3,
    optimizer: str | MakeOptimizer = "adamw",
    schedule: str | MakeSchedule | None = "one-cycle",
    loss: Loss = cross_entropy,
    transform: Callable[..., Any] | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool | str | Path = False,
    checkpoint_every: int | None = None,
    device: str = "cpu",
    threads: int | None = None,
    progress: bool = True,
    notes: Mapping[str, Any] | None = None,
) -> History:
    """Train a network that tells classes apart.

    Arguments:
        model: (N, C, H, W) -> logits (N, K), trained in place; or a name in ``numbacnn.models``, which is made for these data (only such
            a checkpoint can be used without the network's own code).
        train, test: a Dataset, or a pair (X, y) of arrays with integer labels. ``test`` is evaluated after every epoch.
        lr: the learning rate; with "one-cycle" its peak.
        optimizer: "sgd", "momentum" (0.9, Nesterov's), "adam", "adamw", or ``f(parameters, lr)``, as the classes in ``optim`` are.
        schedule: "one-cycle", "cosine", None (constant), or ``f(optimizer, steps)``; it is stepped after every batch.
        loss: ``loss(logits, y)``, a mean over the batch.
        transform: augmentation of a batch, see ``data.transforms``.
        seed: decides the order of the batches, augmentation, dropout, and the weights of a model given by name.
        out: a folder for ``last.safetensors``, ``best.safetensors``, ``log.jsonl`` and ``curve.png``; nothing is written without it.
        resume: True: go on from the last checkpoint in ``out``; or the path of a checkpoint, or of the folder of a run. Everything but
            ``device``, ``threads`` and ``progress`` must be as it was, and the result has the same bits as if nothing had happened.
        checkpoint_every: steps between checkpoints inside an epoch; by default one every minute. Each epoch ends with one anyway.
        device: "cpu" or "cuda".
        threads: for the CPU; all by default. The result does not depend on it.
        progress: show a bar and a line for each epoch.
        notes: values for JSON that the checkpoints carry along under ``run``.

    Returns:
        the History of all epochs, those before a resumption included. The model has the weights of the last epoch.

    Errors:
        FloatingPointError: the loss is no longer finite; the last good checkpoint is kept.
        Interrupted: Ctrl-C was pressed; the state is saved first. (A KeyboardInterrupt; a second Ctrl-C stops at once.)
        FileExistsError: ``out`` holds a run already, and ``resume`` is not given.
        FileNotFoundError, FormatError: there is no checkpoint to resume from, or it is damaged.
        ValueError: an argument makes no sense, or differs from the run to resume.

    >>> train, test = nc.data.digits()  # doctest: +SKIP
    >>> history = fit("lenet-modern", train, test, epochs=20, lr=5e-3, out="runs/mine")  # doctest: +SKIP
    """
    _check_numbers(epochs, batch_size, checkpoint_every)
    folder, source = _places(out, resume)
    saved = None if source is None else files.load(source)
    random.manual_seed(seed)
    name, model_args, network = _network(model, train)
    network.to(device)
    loader = DataLoader(train, batch_size, shuffle=True, seed=seed, transform=transform, device=device)
    _size_lazy_layers(network, loader)
    steps = epochs * len(loader)
    options = {
        "model": name or type(network).__name__,
        "train": _described(train),
        "test": None if test is None else _described(test),
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "optimizer": _name(optimizer),
        "schedule": _name(schedule),
        "loss": _name(loss),
        "transform": _name(transform),
        "seed": seed,
    }
    mover = _chosen("optimizer", optimizer, OPTIMIZERS)(list(network.parameters()), lr)
    plan = None if schedule is None else _chosen("schedule", schedule, SCHEDULES)(mover, steps)
    run = _Run(network, name, model_args, loader, test, mover, plan, loss, options, dict(notes or {}), folder, checkpoint_every, progress)
    if saved is not None:
        run.restore(saved)
    if folder is not None and not (folder / LAST).exists():
        run.save()
    with _using(threads), _StopSignal() as stop:
        while len(run.history) < epochs:
            run.train_epoch(stop)
    run.finish()
    return run.history


def _check_numbers(epochs: int, batch_size: int, checkpoint_every: int | None) -> None:
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("checkpoint_every", checkpoint_every)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ValueError(message("fit", f"{name} as an integer of at least 1", repr(value)))


def _places(out: str | Path | None, resume: bool | str | Path) -> tuple[Path | None, Path | None]:
    """The folder of the run, and the checkpoint to go on from."""
    folder = None if out is None else Path(out)
    if resume is False:
        if folder is not None and (folder / LAST).exists():
            received = f"the run in {folder}"
            raise FileExistsError(
                message("fit", "a folder without a run", received, "pass resume=True to go on with it, or take another folder")
            )
        return folder, None
    if resume is True:
        if folder is None:
            raise ValueError(message("fit", "out=folder with resume=True", "none", "or give the checkpoint: resume=path"))
        return folder, folder / LAST
    source = Path(resume)
    source = source / LAST if source.is_dir() else source
    if folder is not None and folder.resolve() != source.parent.resolve() and (folder / LAST).exists():
        raise FileExistsError(message("fit", "a folder without a run", f"the run in {folder}", "take another folder for the resumed run"))
    return folder or source.parent, source


def _chosen(what: str, choice: Any, known: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    if callable(choice):
        return choice
    if choice not in known:
        raise ValueError(message("fit", f"{what} as one of {', '.join(known)}, or a function", repr(choice)))
    return known[choice]


def _name(value: Any) -> str | None:
    """A text that is the same in every process."""
    if value is None or isinstance(value, str):
        return value
    text = getattr(value, "__qualname__", None) or repr(value)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


def _network(model: Module | str, train: Data) -> tuple[str | None, dict[str, Any], Module]:
    if not isinstance(model, str):
        if not isinstance(model, Module):
            raise TypeError(message("fit", "a Module, or the name of one in numbacnn.models", type(model).__name__))
        return None, {}, model
    if isinstance(train, Dataset):
        args = {"classes": len(train.classes), "in_channels": train.input_shape[0]}
    else:
        args = {"classes": int(np.asarray(train[1]).max()) + 1, "in_channels": int(train[0].shape[1])}
    return model, args, models.get(model)(**args)


def _size_lazy_layers(model: Module, loader: DataLoader) -> None:
    if any(isinstance(p, UninitializedParameter) for p in model.parameters()):
        with _evaluating(model) as device:
            x, _ = next(iter(DataLoader(loader.dataset, prefetch=0, device=device)))
            model(x)


def _described(data: Data) -> str:
    """What the data are, with a checksum, so that a run is not resumed with others."""
    x, y = (data.images, data.labels) if isinstance(data, Dataset) else (np.asarray(data[0]), np.asarray(data[1]))
    if y.dtype.kind not in "iu":
        raise DTypeError(message("fit", "labels of an integer dtype", f"{y.dtype}", "labels are class indices"))
    if not len(y):
        raise ValueError(message("fit", "at least one example", "none"))
    checksum = zlib.crc32(_bytes(y), zlib.crc32(_bytes(x)))
    scale = f", mean {data.mean}, std {data.std}" if isinstance(data, Dataset) else ""
    return f"{data.name if isinstance(data, Dataset) else 'arrays'} {x.shape} {x.dtype}{scale}, crc32 {checksum:08x}"


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


@contextmanager
def _using(threads: int | None) -> Iterator[None]:
    """So many threads for the CPU's kernels, and then again as many as before."""
    if threads is None:
        yield
        return
    from .kernels.cpu.launch import set_num_threads

    before = config.threads
    set_num_threads(threads)
    try:
        yield
    finally:
        config.threads = before


class _StopSignal:
    """Turns the first Ctrl-C into a flag that is looked at between two steps; the second one interrupts at once."""

    def __init__(self) -> None:
        self.requested = False

    def __enter__(self) -> _StopSignal:
        # other threads are not sent signals, and a program that ignores them goes on ignoring them
        self._watching = threading.current_thread() is threading.main_thread() and callable(signal.getsignal(signal.SIGINT))
        if self._watching:
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._watching:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, *args: Any) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        print("\nstopping after this step (Ctrl-C again: at once) ...", file=sys.stderr, flush=True)


class _Meter:
    """Sums of an epoch: loss times images, right answers, images. Losses are read some steps late on a device with a queue."""

    def __init__(self, device: str) -> None:
        self.every = READ_STEPS.get(device, 50)
        self.loss, self.right, self.images = 0.0, 0, 0
        self.waiting: list[tuple[int, Tensor, Tensor, int]] = []

    def add(self, step: int, loss: Tensor, logits: Tensor, y: Tensor) -> None:
        with no_grad():
            right = (logits.detach().argmax(1) == y).sum()
        self.waiting.append((step, loss.data, right, len(y)))
        if len(self.waiting) >= self.every:
            self.read()

    def read(self) -> None:
        """Bring the sums up to date; FloatingPointError with the number of the first step whose loss is not finite."""
        waiting, self.waiting = self.waiting, []
        for step, loss, right, images in waiting:
            value = float(loss.item())
            if not math.isfinite(value):
                raise FloatingPointError(value, step)
            self.loss += value * images
            self.right += int(right.item())
            self.images += images

    def means(self) -> tuple[float, float]:
        """(loss, accuracy) of what was read."""
        return self.loss / max(self.images, 1), self.right / max(self.images, 1)


@dataclass
class _Run:
    """A training run: what a checkpoint brings back, and how it moves on."""

    model: Module
    name: str | None
    model_args: dict[str, Any]
    loader: DataLoader
    test: Data | None
    optimizer: Optimizer
    schedule: Schedule | None
    loss: Loss
    options: dict[str, Any]
    notes: dict[str, Any]
    folder: Path | None
    checkpoint_every: int | None
    progress: bool
    step: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self.started: dict[str, Any] = {"options": self.options, "notes": self.notes, "versions": _versions(), "time": now}
        self.history = History(folder=self.folder)
        self.meter = _Meter(self.loader.device)
        self.saved_at = time.monotonic()

    # -- one epoch -----------------------------------------------------------------------------------------------------
    def train_epoch(self, stop: _StopSignal) -> None:
        """Go on to the end of the epoch, judge the network, and save."""
        from tqdm import tqdm

        self.model.train()
        total = min(len(self.loader) * self.loader.batch_size, _length(self.loader.dataset))
        title = f"epoch {len(self.history) + 1}/{self.options['epochs']}"
        shown = {"total": total, "initial": self.meter.images, "desc": title, "unit": " images", "unit_scale": True}
        began = before = time.perf_counter()
        with tqdm(**shown, leave=False, disable=None if self.progress else True) as bar:
            for x, y in self.loader:
                self.one_step(x, y)
                now = time.perf_counter()
                self.seconds, before = self.seconds + now - before, now
                bar.update(len(y))
                if now - began > SHOWN_STEPS and not bar.disable:
                    bar.set_postfix_str("loss {:.4f}, accuracy {:.4f}".format(*self.meter.means()), refresh=False)
                    began = now
                self.between_steps(stop)
        self.end_epoch()

    def one_step(self, x: Tensor, y: Tensor) -> None:
        logits = _logits("fit", self.model(x), y)
        loss = self.loss(logits, y)
        self.step += 1
        try:
            self.meter.add(self.step, loss, logits, y)
        except FloatingPointError as error:
            raise self.diverged(*error.args) from None
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.schedule is not None:
            self.schedule.step()

    def between_steps(self, stop: _StopSignal) -> None:
        """Save where it is time, or where the user wants to stop."""
        if self.checkpoint_every is None:
            due = time.monotonic() - self.saved_at > SAVE_SECONDS
        else:
            due = self.step % self.checkpoint_every == 0
        if self.folder is not None and (due or stop.requested):
            self.save()
        if stop.requested:
            where = f"stopped after step {self.step}, in epoch {len(self.history) + 1} of {self.options['epochs']}"
            if self.folder is None:
                raise Interrupted(f"[fit] {where}; nothing is saved without out=folder.", None)
            raise Interrupted(
                f"[fit] {where}; saved in {self.folder}; go on with fit(..., out={str(self.folder)!r}, resume=True).", self.folder
            )

    def end_epoch(self) -> None:
        self.read_losses()
        loss, accuracy = self.meter.means()
        tested = None if self.test is None else evaluate(self.model, self.test, loss=self.loss, batch_size=max(self.loader.batch_size, 256))
        epoch = Epoch(
            epoch=len(self.history) + 1,
            train_loss=loss,
            train_accuracy=accuracy,
            test_loss=None if tested is None else tested.loss,
            test_accuracy=None if tested is None else tested.accuracy,
            lr=self.optimizer.param_groups[0]["lr"],
            seconds=self.seconds,
            images_per_second=self.meter.images / max(self.seconds, 1e-9),
        )
        self.history.epochs.append(epoch)
        self.meter, self.seconds = _Meter(self.loader.device), 0.0
        if self.progress:
            print(epoch, flush=True)
        if self.folder is not None:
            self.save()

    def finish(self) -> None:
        if self.folder is None:
            return
        from . import plots

        self.write_log()  # a run killed between its last checkpoint and its log, and resumed, comes here at once
        try:
            plots.curve(self.history, self.folder / CURVE)
        except ImportError as error:
            print(f"no {CURVE}: {error}", file=sys.stderr)

    # -- trouble -------------------------------------------------------------------------------------------------------
    def read_losses(self) -> None:
        try:
            self.meter.read()
        except FloatingPointError as error:
            raise self.diverged(*error.args) from None

    def diverged(self, value: float, step: int) -> FloatingPointError:
        lr = self.optimizer.param_groups[0]["lr"]
        kept = "" if self.folder is None else f", or go back to {self.folder / LAST}, the last good checkpoint"
        received = f"{value} in epoch {(step - 1) // len(self.loader) + 1}, step {step} (learning rate {lr:.3g})"
        hint = f"try a learning rate of {self.options['lr'] / 10:.3g}, look for wild values in the data{kept}"
        return FloatingPointError(message("fit", "a finite loss", received, hint))

    # -- state ---------------------------------------------------------------------------------------------------------
    def save(self) -> None:
        """Write the last checkpoint, and before it the best: a kill in between repeats the epoch, and loses nothing."""
        self.read_losses()
        checkpoint = self.checkpoint()
        if not all(np.isfinite(w).all() for w in checkpoint.weights.values()):
            raise self.diverged(math.nan, self.step)
        between_epochs = len(self.history) > 0 and self.meter.images == 0
        best = between_epochs and self.history.best is self.history.last
        data = files.encode(checkpoint)
        for name in (BEST, LAST) if best else (LAST,):
            files.write_atomically(self._folder / name, data)
        self.write_log()
        self.saved_at = time.monotonic()

    @property
    def _folder(self) -> Path:
        return self.folder or Path()

    def checkpoint(self) -> Checkpoint:
        data = self.loader.dataset
        meter = {"loss": self.meter.loss, "right": self.meter.right, "images": self.meter.images}
        return Checkpoint(
            weights={name: np.array(t) for name, t in self.model.state_dict().items()},
            model=self.name,
            model_args=self.model_args,
            classes=data.classes if isinstance(data, Dataset) else (),
            preprocessing=_preprocessing(data) if isinstance(data, Dataset) else None,
            optimizer=self.optimizer.state_dict(),
            schedule=None if self.schedule is None else self.schedule.state_dict(),
            generators={"library": random.get_rng_state(), "loader": self.loader.state_dict()},
            progress={"step": self.step, "seconds": self.seconds, "meter": meter, "history": [asdict(epoch) for epoch in self.history]},
            run=self.started,
        )

    def restore(self, saved: Checkpoint) -> None:
        """Go on exactly where the checkpoint was written; ValueError where this run is another."""
        if saved.optimizer is None or not saved.progress or not saved.generators:
            raise ValueError(message("fit", "the checkpoint of a training run", "weights for use only", "start a run, without resume"))
        before = saved.run.get("options", {})
        names = [name for name in self.options if self.options[name] != before.get(name)]
        if differing := [name for name in names if name != "epochs" or self.schedule is not None]:
            wanted = ", ".join(f"{name} {before.get(name)!r}" for name in differing)
            received = ", ".join(f"{name} {self.options[name]!r}" for name in differing)
            raise ValueError(
                message("fit", f"the run as it began, with {wanted}", received, "resume with the same arguments, or start anew")
            )
        # each takes its state whole or not at all; the user's model comes last, so that it is as it was where another refuses
        self.optimizer.load_state_dict(saved.optimizer)
        if self.schedule is not None:
            self.schedule.load_state_dict(saved.schedule or {})
        random.set_rng_state(saved.generators["library"])
        self.loader.load_state_dict(saved.generators["loader"])
        progress = saved.progress
        self.step, self.seconds = progress["step"], progress["seconds"]
        self.meter.loss, self.meter.right, self.meter.images = (progress["meter"][name] for name in ("loss", "right", "images"))
        self.history.epochs = [Epoch(**epoch) for epoch in progress["history"]]
        self.started = {**saved.run, "options": self.options}
        self.model.load_state_dict(saved.weights)

    def write_log(self) -> None:
        """The log anew from the history, so that it agrees with the checkpoint whatever happened before."""
        import json

        parameters = sum(p.numel() for p in self.model.parameters())
        lines = [{**self.started, "parameters": parameters}, *map(asdict, self.history)]
        files.write_atomically(self._folder / LOG, "".join(json.dumps(line) + "\n" for line in lines).encode())


def _length(data: Data) -> int:
    return len(data) if isinstance(data, Dataset) else len(data[0])


def _preprocessing(data: Dataset) -> Preprocessing:
    return Preprocessing(data.input_shape, data.mean, data.std, files.background(data.images))


def _versions() -> dict[str, str]:
    from . import __version__

    packages = {name: metadata.version(name) for name in ("numpy", "numba")}
    return {"numbacnn": __version__, "python": platform.python_version(), **packages}
