"""``numbacnn train``."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import checkpoint, data, models, nn, plots, training
from ..data.images import looks_drawn
from ..dtypes import int64
from ..errors import FormatError, message
from ..signatures import fits
from ..tensor import randn, zeros
from .options import Commands, UsageError, machine_arguments, natural, network, positive, rate, share, use_threads
from .pictures import PICTURE_OPTIONS, Parts, Pictures, located, picture_arguments
from .places import RUNS, newest_run

__all__ = ["add"]

KERNELS, PREDICTIONS, CONFUSION = "kernels.png", "predictions.png", "confusion.png"
OPTIONS: dict[str, Any] = {
    "model": str,
    "epochs": int,
    "batch_size": int,
    "lr": float,
    "optimizer": str,
    "schedule": str | None,
    "weight_decay": float | None,
    "label_smoothing": float,
    "class_weight": str | None,
    "early_stopping": int | None,
    "freeze": bool,
    "seed": int,
}
"""Arguments of ``fit`` that are options of the command, and what a run holds of them."""
FIXED = (*OPTIONS, *PICTURE_OPTIONS, "augment", "flip", "init", "out")  # what a resumed run has already, but for more epochs and moved data
OVERHEAD = 1.3  # times the passes of the network: with the optimiser, the augmentation and the validation, as measured
FEW_CLASSES = 30  # of which a confusion matrix can be read


def add(commands: Commands) -> None:
    sub = commands.add_parser("train", help="train a network", description="Train a network; alone: LeNet on the digits.")
    sub.add_argument("--data", help="digits, mnist, fashion-mnist, or a folder with a sub folder of pictures for each class")
    sub.add_argument("--model", type=network, help=f"{', '.join(models.registry)} (default: lenet-modern, for a folder small-resnet)")
    picture_arguments(sub)
    recipe = sub.add_argument_group("recipe", "The defaults depend on data and model; the first lines of the output say them.")
    recipe.add_argument("--epochs", type=positive)
    recipe.add_argument("--batch-size", type=positive)
    recipe.add_argument("--lr", type=rate, help="learning rate, with one-cycle its peak")
    recipe.add_argument("--optimizer", choices=sorted(training.OPTIMIZERS))
    recipe.add_argument("--schedule", choices=[*sorted(training.SCHEDULES), "constant"])
    recipe.add_argument("--weight-decay", type=share)
    recipe.add_argument("--label-smoothing", type=share)
    recipe.add_argument("--class-weight", choices=("balanced",), help="let rare classes count as much as others")
    recipe.add_argument("--early-stopping", type=positive, metavar="N", help="stop after N epochs without a better one")
    text = "shift pictures, mirror them, change brightness and contrast (default: where there are few)"
    recipe.add_argument("--augment", action=argparse.BooleanOptionalAction, help=text)
    recipe.add_argument("--no-flip", dest="flip", action="store_false", default=None, help="no mirror images: of letters, say")
    recipe.add_argument("--seed", type=natural, help="of the weights and the order of the pictures (default: 0)")
    sub.add_argument("--out", help="folder for the run (default: a new one in runs/)")
    text = "start from the weights of a run, a checkpoint or a file: its network and channels, but for other classes a new last layer"
    sub.add_argument("--init", metavar="RUN", help=text)
    sub.add_argument("--freeze", action="store_true", default=None, help="train the last layer alone")
    text = "go on with a run: a folder, a checkpoint, or the newest in runs/; its options come with it, --epochs may be more"
    sub.add_argument("--resume", nargs="?", const="", metavar="RUN", help=text)
    sub.add_argument("--checkpoint-every", type=positive, metavar="STEPS", help="save inside epochs (default: once a minute)")
    machine_arguments(sub)
    sub.set_defaults(run=run)


@dataclass(frozen=True)
class Plan:
    """A run before it begins: its pictures, the arguments of ``fit``, and what its checkpoints note."""

    parts: Parts
    options: dict[str, Any]
    notes: dict[str, Any]

    def lines(self, device: str) -> list[str]:
        """What was chosen."""
        chosen, steps = self.options, self.options["epochs"] * math.ceil(len(self.parts.train) / self.options["batch_size"])
        seconds = OVERHEAD * steps * _seconds_a_step(chosen["model"], self.parts, chosen["batch_size"], device)
        work = f"{chosen['model']}, {chosen['epochs']:,} epochs of batches of {chosen['batch_size']:,} = {steps:,} steps, {_about(seconds)}"
        words = [f"{chosen['optimizer']}, rate {chosen['lr']:g} ({chosen['schedule'] or 'constant'})"]
        words += [f"{name.replace('_', ' ')} {chosen[name]:g}" for name in ("weight_decay", "label_smoothing") if chosen.get(name)]
        words += ["augmentation"] if chosen["transform"] else []
        return [str(self.parts), f"{work}; {', '.join(words)}, seed {chosen['seed']}"]


def run(args: argparse.Namespace) -> None:
    use_threads(args)
    plan, source, folder = _new_run(args) if args.resume is None else _old_run(args)
    try:
        _train(args, plan, source, folder)
    finally:
        if args.resume is None and not args.out:
            with contextlib.suppress(OSError):  # it holds a run
                folder.rmdir()


def _train(args: argparse.Namespace, plan: Plan, source: bool | Path, folder: Path) -> None:
    parts, options = plan.parts, dict(plan.options)
    first, second = plan.lines(args.device)
    doubts = data.remarks(parts.train, parts.val, parts.test, options["batch_size"])
    for line in (first, *parts.lines, f"{second} -> {folder}", *(f"Mind: {doubt}" for doubt in doubts)):
        print(line, flush=True)
    began = time.perf_counter()
    history = training.fit(
        options.pop("model"),
        parts.train,
        parts.val,
        test=parts.test,
        **options,
        init=args.init,
        out=folder,
        resume=source,
        checkpoint_every=args.checkpoint_every,
        device=args.device,
        notes=plan.notes,
    )
    _show(history, folder, parts, time.perf_counter() - began)


def _new_run(args: argparse.Namespace) -> tuple[Plan, bool | Path, Path]:
    """The plan, that nothing is resumed, and the folder."""
    pictures = Pictures.of(args, args.data or "digits")
    if args.freeze and not args.init:
        raise UsageError("--freeze trains the last layer alone: say where the others' weights come from, --init RUN")
    folder = Path(args.out) if args.out else None
    if folder is not None and (folder / training.LAST).exists():
        raise UsageError(f"--out: {folder} holds a run already; go on with it: numbacnn train --resume {folder}")
    for picture in (KERNELS, PREDICTIONS, CONFUSION):  # fit looks after the rest
        if folder is not None and (folder / picture).exists():
            raise UsageError(f"--out: {folder / picture} exists already, and would be overwritten; take another folder")
    known, channels = (None, None) if args.init is None else _network_of(args.init)
    model = args.model or known or ("small-resnet" if pictures.folder else "lenet-modern")
    pictures = replace(pictures, channels=pictures.channels or channels)
    given = {key: getattr(args, key) for key in OPTIONS if getattr(args, key) is not None}
    plan = _plan(pictures, {"augment": args.augment, "flip": args.flip}, {"seed": 0, **given, "model": model})
    return plan, False, folder or _new_folder(f"{Path(pictures.data).name or 'pictures'}-{model}")


def _network_of(init: str) -> tuple[str | None, int | None]:
    """The network of a run and the channels that it takes; None where a file holds weights alone."""
    try:
        found = checkpoint.load(init)
    except FormatError:  # fit reads it, or says what is wrong
        return None, None
    return found.model, None if found.preprocessing is None else found.preprocessing.input_shape[0]


def _plan(pictures: Pictures, augment: dict[str, bool | None], given: dict[str, Any]) -> Plan:
    """The pictures are read, and what isn't given is chosen by them."""
    model = given["model"]
    parts = pictures.load(model)
    models.check_input(model, parts.train.input_shape)
    side, flip = min(parts.train.input_shape[1:]), augment["flip"]
    drawn = looks_drawn(parts.train.images) if flip is None else not flip
    chosen = training.folder_recipe(len(parts.train), side, drawn, model) if pictures.folder else training.recipe(pictures.data, model)
    if augment["augment"] is False:
        chosen["transform"] = None
    elif augment["augment"]:
        chosen["transform"] = training.augmentation(side, flip=not drawn)
    options = {"transform": None, **chosen, **given}
    options["schedule"] = None if options["schedule"] == "constant" else options["schedule"]
    return Plan(parts, options, {"pictures": pictures.notes(), **augment})


def _old_run(args: argparse.Namespace) -> tuple[Plan, bool | Path, Path]:
    if fixed := [key for key in FIXED if key != "epochs" and getattr(args, key) is not None]:
        names = ", ".join("--no-flip" if key == "flip" else f"--{key.replace('_', '-')}" for key in fixed)
        raise UsageError(f"train --resume takes its options from the run, but for --epochs and --data; received {names}")
    path = Path(args.resume) if args.resume else newest_run()
    path = path / training.LAST if path.is_dir() else path
    saved = checkpoint.load(path).run
    options, notes = saved.get("options", {}), saved.get("notes", {})
    pictures = Pictures.noted(notes.get("pictures"))
    augment = {key: notes.get(key) for key in ("augment", "flip")}
    recorded = all(fits(options.get(key), kind) for key, kind in OPTIONS.items()) and all(fits(v, bool | None) for v in augment.values())
    if not recorded or pictures is None:
        raise ValueError(message("train", "a run of this command", f"{path} of fit", "resume it in Python: fit(..., resume=path)"))
    if args.data:
        pictures = replace(pictures, data=located(args.data))
    chosen = {key: options[key] for key in OPTIONS} | ({"epochs": args.epochs} if args.epochs else {})
    return _plan(pictures, augment, chosen), path, path.parent


def _new_folder(name: str) -> Path:
    """A folder in ``runs`` that nobody else has: made here, so that two commands never take the same."""
    for number in itertools.count(1):
        folder = RUNS / (name if number == 1 else f"{name}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir(parents=True)
            break
    return folder


def _seconds_a_step(model: str, parts: Parts, batch_size: int, device: str) -> float:
    """How long a batch takes through the network and back: the better of two, after one that may compile."""
    shape, classes = parts.train.input_shape, len(parts.train.classes)
    net = models.get(model)(**models.arguments(model, classes, shape)).to(device)
    x = randn(min(batch_size, len(parts.train)), *shape).to(device)
    labels, times = zeros(len(x), dtype=int64).to(device), []
    for _ in range(3):
        began = time.perf_counter()
        nn.functional.cross_entropy(net(x), labels).backward()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def _about(seconds: float) -> str:
    for unit, length in (("s", 1), ("min", 60), ("h", 3600)):
        if seconds < 100 * length or unit == "h":
            value = max(1, round(seconds / length))
            break
    return f"about {value if value < 20 else round(value, -1):,} {unit}"


def _show(history: training.History, folder: Path, parts: Parts, seconds: float) -> None:
    """The end of a training run: the curve in letters, pictures, and what to do next."""
    part = "train" if parts.val is None else "val"
    measure = "loss" if getattr(history.best, f"{part}_accuracy") is None else "accuracy"  # of a single class there is none
    name = {"train": "training", "val": "validation"}[part] + f" {measure}"
    print("\n" + plots.text_curve(history.column(f"{part}_{measure}"), name))
    judged = parts.test or parts.val
    try:
        if history.checkpoint is not None:
            net = history.checkpoint.network()
            plots.kernels(net, folder / KERNELS)
            if judged is not None and len(judged.classes) > 1:
                plots.predictions(judged, training.predict(net, judged), folder / PREDICTIONS)
                if len(judged.classes) <= FEW_CLASSES:
                    plots.confusion(history.test or training.evaluate(net, judged), folder / CONFUSION)
    except ImportError as error:
        print(f"no pictures: {error}", file=sys.stderr)
    best = getattr(history.best, f"{part}_{measure}")
    tested = f"test {measure} {getattr(history.test, measure):.4f}, " if history.test is not None else ""
    print(f"\n{tested}with the weights of epoch {history.best.epoch} ({name} {best:.4f}), in {seconds:.1f} s")
    for file in sorted(folder.iterdir()):
        print(f"  {file}")
    print(f"next: numbacnn predict --checkpoint {folder} PICTURE")
