"""``fit``: arguments are judged and a run is made of them; :mod:`.run` keeps it, :mod:`.loop` moves it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint as files
from .. import config, models, random
from ..arguments import integer, number
from ..data import DataLoader, Dataset
from ..errors import DTypeError, message
from ..nn import Module, UninitializedParameter
from ..nn.functional import cross_entropy
from ..signatures import judged
from .evaluate import Data, Loss, evaluating
from .loop import Loop
from .recipes import OPTIMIZERS, SCHEDULES, MakeOptimizer, MakeSchedule
from .results import History
from .run import LAST, Origin, Run
from .signals import StopSignal

__all__ = ["fit"]


@judged
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

    Args:
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

    Raises:
        FloatingPointError: the loss is no longer finite; the last good checkpoint is kept.
        Interrupted: Ctrl-C was pressed; the state is saved first. (A KeyboardInterrupt; a second Ctrl-C stops at once.)
        FileExistsError: ``out`` holds a run already, and ``resume`` is not given.
        FileNotFoundError, FormatError: there is no checkpoint to resume from, or it is damaged.
        ValueError: an argument makes no sense, or differs from the run to resume.

    >>> train, test = nc.data.digits()  # doctest: +SKIP
    >>> history = fit("lenet-modern", train, test, epochs=20, lr=5e-3, out="runs/mine")  # doctest: +SKIP
    """
    number("fit", "lr", lr)
    epochs, batch_size, lr = integer("fit", "epochs", epochs), integer("fit", "batch_size", batch_size), float(lr)
    seed = integer("fit", "seed", seed, least=0)
    checkpoint_every = None if checkpoint_every is None else integer("fit", "checkpoint_every", checkpoint_every)
    folder, source = _places(out, resume)
    saved = None if source is None else files.load(source)
    random.manual_seed(seed)
    name, model_args, network = _network(model, train)
    network.to(device)
    loader = DataLoader(train, batch_size, shuffle=True, seed=seed, transform=transform, device=device)
    _size_lazy_layers(network, loader)
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
    steps = epochs * len(loader)
    optimizer_ = _chosen("optimizer", optimizer, OPTIMIZERS)(list(network.parameters()), lr)
    schedule_ = None if schedule is None else _chosen("schedule", schedule, SCHEDULES)(optimizer_, steps)
    loop = Loop(network, loader, optimizer_, schedule_, loss, History(folder=folder))
    run = Run(loop, Origin.now(name, model_args, options, dict(notes or {})), test, folder, checkpoint_every, progress)
    if saved is not None:
        run.restore(saved)
    with _using(threads), StopSignal() as stop:
        run.train(stop)
    run.finish()
    return loop.history


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
        with evaluating(model) as device:
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
    from ..kernels.cpu.launch import set_num_threads

    before = config.threads
    set_num_threads(threads)
    try:
        yield
    finally:
        config.threads = before
