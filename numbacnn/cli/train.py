"""``numbacnn train``."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import time
from pathlib import Path
from typing import Any

from .. import checkpoint, models, plots, training
from ..data import Dataset
from ..data.dataset import stratified_split
from ..errors import message
from ..signatures import fits
from .options import Commands, UsageError, machine_arguments, natural, positive, rate, use_threads
from .places import RUNS, SETS, check_data, load_data, newest_run

__all__ = ["add"]

VAL_SHARE = 0.1  # of the training pictures: it chooses the best epoch
KERNELS, PREDICTIONS = "kernels.png", "predictions.png"
OPTIONS: dict[str, Any] = {
    "model": str,
    "epochs": int,
    "batch_size": int,
    "lr": float,
    "optimizer": str,
    "schedule": str | None,
    "seed": int,
}
"""Arguments of ``fit`` that are options of the command, and what a run holds of them."""
RECIPE = ("data", *OPTIONS, "out", "channels")  # what a resumed run has already


def add(commands: Commands) -> None:
    sub = commands.add_parser("train", help="train a network", description="Train a network; alone: LeNet on the digits.")
    sub.add_argument(
        "--data", help="digits, mnist, fashion-mnist, or a folder with a sub folder of pictures for each class (default: digits)"
    )
    sub.add_argument("--model", choices=sorted(models.registry), help="default: lenet-modern")
    recipe = sub.add_argument_group("recipe", "The defaults depend on data and model; the first line of the output says them.")
    recipe.add_argument("--epochs", type=positive)
    recipe.add_argument("--batch-size", type=positive)
    recipe.add_argument("--lr", type=rate, help="learning rate, with one-cycle its peak")
    recipe.add_argument("--optimizer", choices=sorted(training.OPTIMIZERS))
    recipe.add_argument("--schedule", choices=[*sorted(training.SCHEDULES), "constant"])
    recipe.add_argument("--seed", type=natural, help="of the weights and the order of the pictures (default: 0)")
    recipe.add_argument("--channels", type=int, choices=(1, 3), help="of pictures from a folder: 1 grey (default), 3 colour")
    sub.add_argument("--out", help="folder for the run (default: a new one in runs/)")
    text = "go on with a run: a folder, a checkpoint, or the newest in runs/; its options come with it"
    sub.add_argument("--resume", nargs="?", const="", metavar="RUN", help=text)
    sub.add_argument("--checkpoint-every", type=positive, metavar="STEPS", help="save inside epochs (default: once a minute)")
    machine_arguments(sub)
    sub.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    use_threads(args)
    options, notes, source, folder = _new_run(args) if args.resume is None else _old_run(args)
    try:
        _train(args, options, notes, source, folder)
    finally:
        if args.resume is None and not args.out:
            with contextlib.suppress(OSError):  # it holds a run
                folder.rmdir()


def _train(args: argparse.Namespace, options: dict[str, Any], notes: dict[str, Any], source: bool | Path, folder: Path) -> None:
    train, test = load_data(notes["data"], notes["channels"])
    val = None
    if notes["data"] not in SETS:  # whose recipes know when to stop: they train on all pictures
        train, val = (train[rows] for rows in stratified_split(train.labels, max(1, round(VAL_SHARE * len(train)))))
    name, schedule = options.pop("model"), options["schedule"] or "constant"
    sizes = f"{len(train):,} images, {'' if val is None else f'{len(val):,} to choose by, '}{len(test):,} to test on"
    print(f"{name} on {train.name} ({sizes}), {options['epochs']} epochs of batches of {options['batch_size']},", end=" ")
    print(f"{options['optimizer']}, rate {options['lr']:g} ({schedule}), seed {options['seed']} -> {folder}", flush=True)
    began = time.perf_counter()
    history = training.fit(
        name,
        train,
        val,
        test=test,
        **options,
        out=folder,
        resume=source,
        checkpoint_every=args.checkpoint_every,
        device=args.device,
        notes=notes,
    )
    seconds = time.perf_counter() - began
    _show(history, folder, test, seconds)


def _new_run(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any], bool | Path, Path]:
    """Arguments for ``fit``, notes for the checkpoint, what to resume, and the folder."""
    name, model = args.data or "digits", args.model or "lenet-modern"
    check_data(name)
    options = {"model": model, "seed": 0, **training.recipe(name, model)}
    for key in OPTIONS:
        if getattr(args, key) is not None:
            options[key] = getattr(args, key)
    options["schedule"] = None if options["schedule"] == "constant" else options["schedule"]
    folder = Path(args.out) if args.out else _new_folder(f"{Path(name).name or 'pictures'}-{model}")
    if (folder / training.LAST).exists():
        raise UsageError(f"--out: {folder} holds a run already; go on with it: numbacnn train --resume {folder}")
    for picture in (KERNELS, PREDICTIONS):  # fit looks after the rest
        if (folder / picture).exists():
            raise UsageError(f"--out: {folder / picture} exists already, and would be overwritten; take another folder")
    place = name if name in SETS else str(Path(name).resolve())
    return options, {"data": place, "channels": args.channels or 1}, False, folder


def _old_run(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any], bool | Path, Path]:
    if given := [f"--{key.replace('_', '-')}" for key in RECIPE if getattr(args, key) is not None]:
        raise UsageError(f"train --resume takes its options from the run; received {', '.join(given)}")
    path = Path(args.resume) if args.resume else newest_run()
    path = path / training.LAST if path.is_dir() else path
    saved = checkpoint.load(path).run
    options, notes = saved.get("options", {}), saved.get("notes", {})
    recorded = all(fits(options.get(key), kind) for key, kind in OPTIONS.items())
    if not recorded or not isinstance(notes.get("data"), str) or notes.get("channels") not in (1, 3):
        raise ValueError(message("train", "a run of this command", f"{path} of fit", "resume it in Python: fit(..., resume=path)"))
    arguments = {**training.recipe(notes["data"], options["model"]), **{key: options[key] for key in OPTIONS}}
    return arguments, notes, path, path.parent


def _new_folder(name: str) -> Path:
    """A folder in ``runs`` that nobody else has: made here, so that two commands never take the same."""
    for number in itertools.count(1):
        folder = RUNS / (name if number == 1 else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


def _show(history: training.History, folder: Path, test: Dataset, seconds: float) -> None:
    """The end of a training run: the curve in letters, pictures, and what to do next."""
    part = "train" if history.last.val_accuracy is None else "val"
    print("\n" + plots.text_curve(history.column(f"{part}_accuracy"), {"train": "training accuracy", "val": "validation accuracy"}[part]))
    network = checkpoint.load(folder / training.BEST).network()
    try:
        plots.kernels(network, folder / KERNELS)
        plots.predictions(test, training.predict(network, test), folder / PREDICTIONS)
    except ImportError as error:
        print(f"no pictures: {error}", file=sys.stderr)
    if history.test is not None:
        print(f"\ntest accuracy {history.test.accuracy:.4f}, with the weights of epoch {history.best.epoch}, in {seconds:.1f} s")
    for file in sorted(folder.iterdir()):
        print(f"  {file}")
    print(f"next: numbacnn predict --checkpoint {folder} IMAGE")
