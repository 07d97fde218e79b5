"""``fit``: arguments are judged and a run is made of them; :mod:`.run` keeps it, :mod:`.loop` moves it."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint, config, files, models, random
from ..arguments import flag, integer, number
from ..data import DataLoader, Dataset
from ..errors import DTypeError, ShapeError, message
from ..nn import BatchNorm1d, BatchNorm2d, Module
from ..nn.functional import cross_entropy
from ..signatures import judged
from .evaluate import Data, Loss, check_logits
from .loop import Loop
from .modes import evaluating, training
from .recipes import OPTIMIZERS, SCHEDULES, MakeOptimizer, MakeSchedule
from .results import History
from .run import BEST, CURVE, LAST, LOG, Origin, Run
from .signals import Interrupted, StopSignal

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
            a checkpoint can be used without the network's own code). Modules in evaluation mode stay in it (a batch normalisation keeps its
            running statistics), unless all are; afterwards all modes are as before.
        train, test: a Dataset, or a pair (X, y) of arrays with integer labels. ``test`` is evaluated after every epoch.
        batch_size: images in a batch; the last one of an epoch may be smaller. A last batch of one is left out where the network has batch
            normalisation in training mode, since one image alone may have no variance.
        lr: the learning rate; with "one-cycle" its peak.
        optimizer: "sgd", "momentum" (0.9, Nesterov's), "adam", "adamw", or ``f(parameters, lr)``, as the classes in ``optim`` are.
        schedule: "one-cycle", "cosine", None (constant), or ``f(optimizer, steps)``; it is stepped after every batch.
        loss: ``loss(logits, y)``, a mean over the batch.
        transform: augmentation of a batch, see ``data.transforms``.
        seed: decides the order of the batches, augmentation, dropout, and the weights of a model given by name.
        out: a folder for ``last.safetensors``, ``best.safetensors``, ``log.jsonl`` and ``curve.png``; nothing is written without it. One
            run at a time holds it.
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
        Interrupted: Ctrl-C was pressed; the state is saved first. (A KeyboardInterrupt; a second Ctrl-C stops at once.) After SIGTERM and
            SIGHUP it is saved too, and the signal goes to the handler that it had before: by default it ends the process.
        FileExistsError: ``out`` holds a run already, or files of these names, and ``resume`` is not given.
        BlockingIOError: another run holds ``out``.
        FileNotFoundError, FormatError: there is no checkpoint to resume from, or it is damaged.
        ValueError: an argument makes no sense, or differs from the run to resume.

    >>> train, test = nc.data.digits()  # doctest: +SKIP
    >>> history = fit("lenet-modern", train, test, epochs=20, lr=5e-3, out="runs/mine")  # doctest: +SKIP
    """
    number("fit", "lr", lr)
    epochs, batch_size, lr = integer("fit", "epochs", epochs), integer("fit", "batch_size", batch_size), float(lr)
    seed = integer("fit", "seed", seed, least=0)
    checkpoint_every = None if checkpoint_every is None else integer("fit", "checkpoint_every", checkpoint_every)
    progress = flag("fit", "progress", progress)
    checkpoint.as_json("fit", "notes", dict(notes or {}))
    folder, source = _places(out, resume)
    try:
        with ExitStack() as stack:
            stack.enter_context(files.held("fit", folder))
            stack.enter_context(_using(threads))
            _check_free(folder, source)
            saved = None if source is None else checkpoint.load(source)
            described = {"train": _described(train), "test": None if test is None else _described(test)}
            random.manual_seed(seed)
            name, model_args, network = _network(model, train)
            network.to(device)
            stack.enter_context(training(network))
            _try_out(network, loss, train, transform)
            if test is not None:
                _try_out(network, loss, test)
            drop_last = _leaves_one(network, len(_labels(train)), batch_size)
            loader = DataLoader(train, batch_size, shuffle=True, seed=seed, drop_last=drop_last, transform=transform, device=device)
            options = {
                "model": name or type(network).__name__,
                "frozen": ", ".join(path for path, module in network.named_modules() if not module.training) or None,
                **described,
                "epochs": epochs,
                "batch_size": batch_size,
                "lr": lr,
                "optimizer": _name(optimizer),
                "schedule": _name(schedule),
                "loss": _name(loss),
                "transform": _name(transform),
                "seed": seed,
            }
            optimizer_ = _chosen("optimizer", optimizer, OPTIMIZERS)(list(network.parameters()), lr)
            schedule_ = None if schedule is None else _chosen("schedule", schedule, SCHEDULES)(optimizer_, epochs * len(loader))
            loop = Loop(network, loader, optimizer_, schedule_, loss, History(folder=folder))
            run = Run(loop, Origin.now(name, model_args, options, dict(notes or {})), test, folder, checkpoint_every, progress)
            if saved is not None:
                run.restore(saved)
            with StopSignal() as stop:
                run.train(stop)
            run.finish()
            return loop.history
    except Interrupted as stopped:
        stopped.pass_on()
        raise


def _places(out: str | Path | None, resume: bool | str | Path) -> tuple[Path | None, Path | None]:
    """The folder of the run, and the checkpoint to go on from."""
    folder = None if out is None else Path(out)
    if resume is False:
        return folder, None
    if resume is True:
        if folder is None:
            raise ValueError(message("fit", "out=folder with resume=True", "none", "or give the checkpoint: resume=path"))
        return folder, folder / LAST
    source = Path(resume)
    source = source / LAST if source.is_dir() else source
    return folder or source.parent, source


def _check_free(folder: Path | None, source: Path | None) -> None:
    """Refuse a folder with files that are not those of the run to resume: of another run, or of somebody else."""
    if folder is None or (source is not None and folder.resolve() == source.parent.resolve()):
        return
    found = [name for name in (LAST, BEST, LOG, CURVE) if (folder / name).exists()]
    if found:
        received = f"the run in {folder}" if found[0] == LAST else f"{folder / found[0]}"
        hint = "take another folder for the resumed run" if source is not None else "take another folder"
        if source is None and found[0] in (LAST, BEST):
            way = "resume=True" if found[0] == LAST else f"resume={str(folder / BEST)!r}"
            hint = f"pass {way} to go on with it, or take another folder"
        raise FileExistsError(message("fit", "a folder without a run", received, hint))


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
        args = {"classes": int(_labels(train).max()) + 1, "in_channels": int(train[0].shape[1])}
    return model, args, models.get(model)(**args)


def _labels(data: Data) -> np.ndarray:
    return data.labels if isinstance(data, Dataset) else np.asarray(data[1])


def _try_out(model: Module, loss: Loss, data: Data, transform: Callable[..., Any] | None = None) -> None:
    """Run the pictures with the smallest and the largest label through, so that what does not fit raises before anything is written.

    Lazy layers take their sizes from them.
    """
    labels = _labels(data)
    rows = [int(labels.argmin()), int(labels.argmax())]
    two = data[rows] if isinstance(data, Dataset) else (np.asarray(data[0])[rows], labels[rows])
    with evaluating(model) as device:
        for x, y in DataLoader(two, 2, seed=0, transform=transform, prefetch=0, device=device):
            loss(check_logits("fit", model(x), y), y)


def _leaves_one(model: Module, images: int, batch_size: int) -> bool:
    """Whether the last batch is a single picture, and the model normalises over batches."""
    norms = (module for module in model.modules() if isinstance(module, (BatchNorm1d, BatchNorm2d)))
    return images > batch_size and images % batch_size == 1 and any(module.training for module in norms)


def _described(data: Data) -> str:
    """What the data are, with a checksum, so that a run is not resumed with others."""
    if not isinstance(data, Dataset) and (not isinstance(data, (tuple, list)) or len(data) != 2):
        received = f"a {type(data).__name__} of {len(data)}" if isinstance(data, (tuple, list)) else type(data).__name__
        raise TypeError(message("fit", "a Dataset or a pair (X, y) of arrays", received))
    x, y = (data.images, data.labels) if isinstance(data, Dataset) else (np.asarray(data[0]), np.asarray(data[1]))
    if y.dtype.kind not in "iu":
        raise DTypeError(message("fit", "labels of an integer dtype", f"{y.dtype}", "labels are class indices"))
    if y.ndim != 1 or x.shape[:1] != y.shape:
        raise ShapeError(message("fit", "X (N, ...) and labels (N,)", f"X {x.shape} and labels {y.shape}"))
    if not len(y):
        raise ValueError(message("fit", "at least one example", "none"))
    checksum = _checksum(y, _checksum(x))
    scale = f", mean {data.mean}, std {data.std}" if isinstance(data, Dataset) else ""
    return f"{data.name if isinstance(data, Dataset) else 'arrays'} {x.shape} {x.dtype}{scale}, crc32 {checksum:08x}"


def _checksum(array: np.ndarray, value: int = 0) -> int:
    """The CRC-32 of the values in C order, by pieces: an array in another order, which may lie in a file, is not copied whole."""
    for start in range(0, len(array), 256):
        value = zlib.crc32(np.ascontiguousarray(array[start : start + 256]).reshape(-1).view(np.uint8).data, value)
    return value


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
