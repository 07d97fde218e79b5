"""``fit``: arguments are judged and a run is made of them; :mod:`.run` keeps it, :mod:`.loop` moves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .. import checkpoint, config, files, models, random
from ..arguments import flag, integer
from ..checkpoint import Checkpoint
from ..data import DataLoader, ImageDataset
from ..errors import ShapeError, message
from ..nn import BatchNorm1d, BatchNorm2d, Module
from ..nn.functional import cross_entropy
from ..signatures import judged
from .evaluate import Data, classes_of, pair_of
from .examples import check_alike, class_counts, described, examples_of, labels_of, length, pictures_of, try_out, two_examples
from .loop import Loop, check_resumable
from .modes import training
from .recipes import MakeOptimizer, MakeSchedule
from .results import History
from .run import BEST, CURVE, LAST, LOG, Origin, Run
from .settings import Settings
from .signals import Interrupted, StopSignal
from .start import Weights, frozen_but_last, start_from
from .task import Loss, Metric, Task

__all__ = ["fit"]


@judged
def fit(
    model: Module | str,
    train: Data,
    val: Data | None = None,
    *,
    test: Data | None = None,
    epochs: int = 10,
    batch_size: int = 128,
    lr: float = 1e-3,
    weight_decay: float | None = None,
    optimizer: str | MakeOptimizer = "adamw",
    schedule: str | MakeSchedule | None = "one-cycle",
    loss: Loss = cross_entropy,
    label_smoothing: float = 0.0,
    class_weight: str | Sequence[float] | np.ndarray | None = None,
    clip_grad: float | None = None,
    metrics: Mapping[str, Metric] | None = None,
    transform: Callable[..., Any] | None = None,
    drop_last: bool = False,
    early_stopping: int | None = None,
    callbacks: Sequence[Callable[[History], Any]] = (),
    init: Weights | None = None,
    freeze: bool = False,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool | str | Path = False,
    checkpoint_every: int | None = None,
    device: str = "cpu",
    threads: int | None = None,
    progress: bool = True,
    compile: bool = True,
    notes: Mapping[str, Any] | None = None,
) -> History:
    """Train a network: to tell classes apart as it stands, or for any other end with a ``loss`` for it.

    Args:
        model: trained in place; what it gives goes to the loss as it is. Or a name in ``numbacnn.models``, which is made for these data
            (only such a checkpoint can be used without the network's own code). Modules in evaluation mode stay in it (a batch
            normalisation keeps its running statistics), unless all are; afterwards all modes are as before.
        train: an ImageDataset, or a pair (X, y) of arrays. A tuple of arrays in the place of X or y holds several inputs or targets: the
            model is called with so many arguments, the loss gets the tuple. Or any data set of pairs (x, y), or a DataLoader, whose
            batches, order, workers and transform are then those of the run (``batch_size``, ``transform`` and ``drop_last`` are its own).
            A data set that is not in memory is known again by its kind and length alone when a run is resumed.
        val: what chooses: it is evaluated after every epoch, and the best epoch is the one with the highest accuracy on it, or where there
            is no accuracy the lowest loss. Without it the values of training choose.
        test: what judges: it is evaluated once, at the end, with the weights of the best epoch, and chooses nothing.
        batch_size: examples in a batch; the last one of an epoch may be smaller. A last batch of one is left out where the network has
            batch normalisation in training mode, since one image alone may have no variance.
        lr: the learning rate; with "one-cycle" its peak.
        weight_decay: in place of the optimiser's own (0.01 for "adamw", else 0).
        optimizer: "sgd", "momentum" (0.9, Nesterov's), "adam", "adamw", or ``f(parameters, lr)``, as the classes in ``optim`` are.
        schedule: "one-cycle", "cosine", None (constant), or ``f(optimizer, steps)``; it is stepped after every batch.
        loss: ``loss(output, y)``, a mean over the batch; cross-entropy takes logits (N, K) and labels (N,), or (N, K, ...) and (N, ...).
        label_smoothing: of the default loss, in training alone.
        class_weight: likewise: a number for each class, by which its examples count, or "balanced": one over how many it has.
        clip_grad: the largest norm of all gradients together; larger ones are scaled down to it.
        metrics: ``f(output, y)`` by name, a number or a Tensor with one element: a mean over a batch. Logits (N, K) with labels (N,) have
            an accuracy by themselves; a metric of the name "accuracy" takes its place, and chooses the best epoch.
        transform: augmentation of a batch, see ``data.transforms``.
        drop_last: leave out a last batch that is smaller.
        early_stopping: stop after so many epochs without a better one.
        callbacks: each is called as ``f(history)`` after every epoch, and stops the run where it returns True; ``history.last`` is the
            epoch, ``history.model`` the network.
        init: weights to start from: a run's folder (its best), a file, a dict, or a Checkpoint. They must fit; only a last layer for
            another number of classes begins anew.
        freeze: train the last layer alone, with all other parameters and running statistics fixed.
        seed: decides the order of the batches, augmentation, dropout, and the weights of a model given by name.
        out: a folder for ``last.safetensors`` (the whole state), ``best.safetensors`` (weights alone), ``log.jsonl`` and ``curve.png``;
            nothing is written without it. One run at a time holds it.
        resume: True: go on from the last checkpoint in ``out``; or the path of a checkpoint, or of the folder of a run. All that decides
            the result must be as it was, and it has the same bits as if nothing had happened; data may have moved. With more ``epochs``
            the schedule begins anew over the steps that are left.
        checkpoint_every: steps between checkpoints inside an epoch; by default one every minute. Each epoch ends with one anyway.
        device: "cpu" or "cuda".
        threads: for the CPU; all by default. The result does not depend on it.
        progress: show a bar and a line for each epoch.
        compile: replay steps without Python where they do the same each time, to the same bits, as ``nc.compile`` does; steps that can't be
            replayed run as they are.
        notes: values for JSON that the checkpoints carry along under ``run``.

    Returns:
        the History of all epochs, those before a resumption included. The model has the weights of the last epoch, ``history.checkpoint``
        those of the best.

    Raises:
        FloatingPointError: the loss is no longer finite; the last good checkpoint is kept.
        Interrupted: Ctrl-C was pressed; the state is saved first. (A KeyboardInterrupt; a second Ctrl-C stops at once.) After SIGTERM and
            SIGHUP it is saved too, and the signal goes to the handler that it had before: by default it ends the process.
        FileExistsError: ``out`` holds a run already, or files of these names, and ``resume`` is not given.
        BlockingIOError: another run holds ``out``.
        FileNotFoundError, FormatError: there is no checkpoint to resume from, or it is damaged.
        ValueError: an argument makes no sense, or differs from the run to resume; or the classes, mean or std of an ImageDataset to judge
            on are not those of train.

    >>> train, test = nc.data.digits()  # doctest: +SKIP
    >>> history = fit("lenet-modern", train[200:], train[:200], test=test, epochs=20, lr=5e-3, out="runs/mine")  # doctest: +SKIP
    >>> fit(net, (X, targets), loss=nn.functional.mse_loss)  # doctest: +SKIP
    """
    settings = Settings.of(locals())
    train, val, test = map(pair_of, (train, val, test))
    if isinstance(train, DataLoader):
        settings.take_over(train, device)
    checkpoint_every = None if checkpoint_every is None else integer("fit", "checkpoint_every", checkpoint_every)
    progress, compile = flag("fit", "progress", progress), flag("fit", "compile", compile)
    checkpoint.as_json("fit", "notes", dict(notes or {}))
    folder, source = _places(out, resume)
    parts = {"train": train, "val": val, "test": test}
    try:
        with ExitStack() as stack:
            stack.enter_context(files.held("fit", folder))
            stack.enter_context(_using(threads))
            _check_free(folder, source)
            saved = None if source is None else _resumable(source)
            check_alike(train, val=val, test=test)
            options = settings.recorded() | {part: None if data is None else described(data) for part, data in parts.items()}
            random.manual_seed(settings.seed)
            if settings.loss is cross_entropy:
                labels_of(train)
            name, model_args, network = _network(model, train)
            network.to(device)
            stack.enter_context(training(network))
            for part, data in parts.items():
                if data is not None:
                    try_out(network, settings.task(), data, transform if part == "train" else None)
            options |= {"model": name or type(network).__name__, "frozen": _frozen(network), "data": _called(train), "init": _told(init)}
            task = settings.training_task(lambda: class_counts(train))
            if init is not None and saved is None and (line := start_from(network, init)) and progress:
                print(line, flush=True)
            if settings.freeze:
                stack.enter_context(frozen_but_last(network))
            origin = Origin.now(name, model_args, options, dict(notes or {}))
            anew = saved is not None and origin.go_on_from(saved.run)
            gone = saved.progress["step"] if saved is not None and anew else 0
            loop = _loop(settings, task, History(folder=folder, model=network), network, train, device, gone, compile)
            run = Run(loop, origin, settings, val, test, folder, checkpoint_every, progress)
            if saved is not None and source is not None:
                run.restore(saved, source, anew)
            with StopSignal() as stop:
                run.train(stop)
            return run.finish()
    except Interrupted as stopped:
        stopped.pass_on()
        raise


def _loop(settings: Settings, task: Task, history: History, network: Module, train: Data, device: str, gone: int, compile: bool) -> Loop:
    """The loop with its optimiser and a schedule for all steps but those that are ``gone``."""
    drop_last = settings.drop_last or _leaves_one(network, length(train), settings.batch_size)
    order = {"shuffle": True, "seed": settings.seed, "drop_last": drop_last}
    loader = train
    if not isinstance(train, DataLoader):
        loader = DataLoader(train, settings.batch_size, **order, transform=settings.transform, device=device)  # type: ignore[arg-type]
    optimizer = settings.make_optimizer(network.parameters())
    schedule = settings.make_schedule(optimizer, settings.epochs * len(loader) - gone)
    return Loop(network, loader, optimizer, schedule, task, settings.clip_grad, history, compile)


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
        if source is None and found[0] == LAST:
            hint = "pass resume=True to go on with it, or take another folder"
        raise FileExistsError(message("fit", "a folder without a run", received, hint))


def _resumable(source: Path) -> Checkpoint:
    saved = checkpoint.load(source)
    check_resumable(saved)
    return saved


def _network(model: Module | str, train: Data) -> tuple[str | None, dict[str, Any], Module]:
    if not isinstance(model, str):
        if not isinstance(model, Module):
            raise TypeError(message("fit", "a Module, or the name of one in numbacnn.models", type(model).__name__))
        return None, {}, model
    if (pictures := pictures_of(train)) is not None:
        classes, shape = len(pictures.classes), pictures.input_shape
    else:
        x, _ = next(iter(two_examples(train)))
        if isinstance(x, tuple) or x.ndim != 4:
            received = "several inputs" if isinstance(x, tuple) else f"X {(length(train), *x.shape[1:])}"
            raise ShapeError(message("fit", f"pictures (N, C, H, W) for {model}", received))
        labels = labels_of(train)
        if not (classes := len(classes_of(examples_of(train)))) and labels is None:
            hint = "give the data set .classes or .targets, or make the model yourself"
            raise ValueError(message("fit", f"data that name their classes for {model}", type(train).__name__, hint))
        classes, shape = classes or int(labels.max()) + 1, x.shape[1:]  # type: ignore[union-attr]
    args = models.arguments(model, classes, shape)
    return model, args, models.get(model)(**args)


def _frozen(network: Module) -> str | None:
    """The modules that stay in evaluation mode."""
    return ", ".join(path for path, module in network.named_modules() if not module.training) or None


def _called(data: Data) -> str:
    data = data.dataset if isinstance(data, DataLoader) else data
    return data.name if isinstance(data, ImageDataset) else "arrays" if isinstance(data, (tuple, list)) else type(data).__name__


def _told(init: Weights | None) -> str | None:
    return None if init is None else str(init) if isinstance(init, (str, Path)) else type(init).__name__


def _leaves_one(model: Module, images: int, batch_size: int) -> bool:
    """Whether the last batch is a single picture, and the model normalises over batches."""
    norms = (module for module in model.modules() if isinstance(module, (BatchNorm1d, BatchNorm2d)))
    return images > batch_size and images % batch_size == 1 and any(module.training for module in norms)


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
