"""The command line: ``numbacnn train``, ``evaluate``, ``predict``, ``summary``, ``doctor`` and ``warmup``.

Exit codes: 0 done, 1 failed (one line on stderr says why), 2 wrong usage, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from . import backends, checkpoint, data, inspect, models, training
from .checkpoint import Checkpoint, Preprocessing
from .data import Dataset
from .data.dataset import background
from .errors import message
from .version import __version__

__all__ = ["main"]

RUNS = Path("runs")
SETS = {"digits": data.digits, "mnist": data.mnist, "fashion-mnist": data.fashion_mnist}
RECIPE = (
    "data",
    "model",
    "epochs",
    "batch_size",
    "lr",
    "optimizer",
    "schedule",
    "seed",
    "out",
    "channels",
)  # what a resumed run has already
EXAMPLES = """examples:
  numbacnn train                                    the digits: offline, in less than a minute
  numbacnn train --data fashion-mnist --model lenet the recipe of the book
  numbacnn train --data my/pictures --epochs 30     a folder with one sub folder of pictures for each class
  numbacnn train --resume runs/digits-lenet-modern  go on with a run that was stopped
  numbacnn predict photo.png                        with the newest run
"""


class UsageError(Exception):
    """Options that do not go together."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code.

    >>> main(["summary", "--model", "lenet"])  # doctest: +SKIP
    0
    """
    try:
        args = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse has written why
        return int(stop.code or 0)
    try:
        return int(args.run(args) or 0)
    except UsageError as error:
        return _failed(2, str(error))
    except training.Interrupted as stop:
        said = str(stop).partition("; ")[0].removeprefix("[fit] ")
        return _failed(130, f"{said}; saved. Go on with: numbacnn train --resume {stop.folder}")
    except KeyboardInterrupt:
        return _failed(130, "stopped")
    except BrokenPipeError:  # the reader of our output is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ArithmeticError, ImportError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        return _failed(1, str(error) or type(error).__name__)


def _failed(code: int, why: str) -> int:
    print(f"numbacnn: {' '.join(why.split())}", file=sys.stderr)
    return code


# -- arguments -------------------------------------------------------------------------------------------------------------------
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="numbacnn",
        description="Convolutional networks on NumPy and Numba.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"numbacnn {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _train_arguments(commands.add_parser("train", help="train a network", description="Train a network; alone: LeNet on the digits."))
    sub = commands.add_parser("evaluate", help="loss, accuracy and confusion of a trained network")
    sub.add_argument("checkpoint", nargs="?", help="a checkpoint or the folder of a run (default: the newest in runs/)")
    sub.add_argument("--data", help="digits, mnist, fashion-mnist or a folder (default: what it was trained on)")
    sub.add_argument("--batch-size", type=_positive, default=256)
    _machine_arguments(sub)
    sub.set_defaults(run=_evaluate)
    sub = commands.add_parser("predict", help="what a trained network takes pictures for")
    sub.add_argument("images", nargs="+", metavar="IMAGE", help="picture files of any kind and size")
    sub.add_argument("--checkpoint", help="a checkpoint or the folder of a run (default: the newest in runs/)")
    sub.add_argument("--top", type=_positive, default=3, help="how many classes to print (default: %(default)s)")
    invert = "negative of the picture: auto takes it where the borders are bright and those of the training pictures dark, or vice versa"
    sub.add_argument("--invert", choices=("auto", "yes", "no"), default="auto", help=invert)
    _machine_arguments(sub)
    sub.set_defaults(run=_predict)
    sub = commands.add_parser("summary", help="layers, shapes, parameters and receptive fields")
    sub.add_argument("checkpoint", nargs="?", help="a checkpoint or the folder of a run")
    sub.add_argument("--model", choices=sorted(models.registry), help="a network by name (default: lenet-modern)")
    sub.set_defaults(run=_summary)
    sub = commands.add_parser("doctor", help="versions, processor, threads, CUDA, and how to mend what is missing")
    sub.set_defaults(run=_doctor)
    sub = commands.add_parser("warmup", help="compile the kernels that a first run needs")
    sub.add_argument("--model", choices=sorted(models.registry), help="for this network alone")
    sub.add_argument("--verbose", action="store_true", help="list each kernel with the time it took")
    sub.set_defaults(run=_warmup)
    return parser


def _train_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--data", help="digits, mnist, fashion-mnist, or a folder with a sub folder of pictures for each class (default: digits)"
    )
    sub.add_argument("--model", choices=sorted(models.registry), help="default: lenet-modern")
    recipe = sub.add_argument_group("recipe", "The defaults depend on data and model; the first line of the output says them.")
    recipe.add_argument("--epochs", type=_positive)
    recipe.add_argument("--batch-size", type=_positive)
    recipe.add_argument("--lr", type=_rate, help="learning rate, with one-cycle its peak")
    recipe.add_argument("--optimizer", choices=sorted(training.OPTIMIZERS))
    recipe.add_argument("--schedule", choices=[*sorted(training.SCHEDULES), "constant"])
    recipe.add_argument("--seed", type=_natural, help="of the weights and the order of the pictures (default: 0)")
    recipe.add_argument("--channels", type=int, choices=(1, 3), help="of pictures from a folder: 1 grey (default), 3 colour")
    sub.add_argument("--out", help="folder for the run (default: a new one in runs/)")
    text = "go on with a run: a folder, a checkpoint, or the newest in runs/; its options come with it"
    sub.add_argument("--resume", nargs="?", const="", metavar="RUN", help=text)
    sub.add_argument("--checkpoint-every", type=_positive, metavar="STEPS", help="save inside epochs (default: once a minute)")
    _machine_arguments(sub)
    sub.set_defaults(run=_train)


def _machine_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--device", choices=backends.names(), default=backends.DEFAULT)
    sub.add_argument("--threads", type=_positive, help="of the CPU (default: all); the results do not depend on it")


def _positive(text: str) -> int:
    value = _natural(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not at least 1")
    return value


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


# -- finding things --------------------------------------------------------------------------------------------------------------
def _newest_run() -> Path:
    runs = [file for file in RUNS.glob(f"*/{training.LAST}") if file.is_file()]
    if not runs:
        raise UsageError(f"no run in {RUNS}{os.sep}: name a checkpoint, or train a network first with: numbacnn train")
    return max(runs, key=lambda file: file.stat().st_mtime).parent


def _checkpoint(given: str | None) -> tuple[Path, Checkpoint]:
    """The checkpoint of a path, of a run (its best), or of the newest run."""
    path = _newest_run() if given is None else Path(given)
    if path.is_dir():
        path = next((path / name for name in (training.BEST, training.LAST) if (path / name).is_file()), path / training.BEST)
    return path, checkpoint.load(path)


def _data(name: str, channels: int = 1, size: tuple[int, int] = (28, 28)) -> tuple[Dataset, Dataset]:
    if name in SETS:
        return SETS[name]()
    _check_data(name)
    return data.image_folder(name, size=size, channels=channels)


def _check_data(name: str) -> None:
    if name not in SETS and not Path(name).is_dir():
        raise UsageError(f"--data: expected one of {', '.join(SETS)}, or a folder of pictures; received {name!r}")


def _use_threads(args: argparse.Namespace) -> None:
    if args.threads is not None:
        from .kernels.cpu.launch import set_num_threads

        set_num_threads(args.threads)


# -- train -----------------------------------------------------------------------------------------------------------------------
def _train(args: argparse.Namespace) -> None:
    _use_threads(args)
    if args.resume is None:
        options, notes, source, folder = _new_run(args)
    else:
        options, notes, source, folder = _old_run(args)
    train, test = _data(notes["data"], notes["channels"])
    name, schedule = options.pop("model"), options["schedule"] or "constant"
    sizes = f"{len(train):,} images, {len(test):,} to test on"
    print(f"{name} on {train.name} ({sizes}), {options['epochs']} epochs of batches of {options['batch_size']},", end=" ")
    print(f"{options['optimizer']}, rate {options['lr']:g} ({schedule}), seed {options['seed']} -> {folder}", flush=True)
    began = time.perf_counter()
    history = training.fit(
        name,
        train,
        test,
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
    _check_data(name)
    options = {"model": model, "seed": 0, **training.recipe(name, model)}
    for key in ("epochs", "batch_size", "lr", "optimizer", "schedule", "seed"):
        if getattr(args, key) is not None:
            options[key] = getattr(args, key)
    options["schedule"] = None if options["schedule"] == "constant" else options["schedule"]
    folder = Path(args.out) if args.out else _free_folder(f"{Path(name).name or 'pictures'}-{model}")
    if (folder / training.LAST).exists():
        raise UsageError(f"--out: {folder} holds a run already; go on with it: numbacnn train --resume {folder}")
    place = name if name in SETS else str(Path(name).resolve())
    return options, {"data": place, "channels": args.channels or 1}, False, folder


def _old_run(args: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any], bool | Path, Path]:
    if given := [f"--{key.replace('_', '-')}" for key in RECIPE if getattr(args, key) is not None]:
        raise UsageError(f"train --resume takes its options from the run; received {', '.join(given)}")
    path = Path(args.resume) if args.resume else _newest_run()
    path = path / training.LAST if path.is_dir() else path
    saved = checkpoint.load(path).run
    options, notes = saved.get("options", {}), saved.get("notes", {})
    if not {"data", "channels"} <= set(notes):
        raise ValueError(message("train", "a run of this command", f"{path} of fit", "resume it in Python: fit(..., resume=path)"))
    keys = ("model", "epochs", "batch_size", "lr", "optimizer", "schedule", "seed")
    arguments = {**training.recipe(notes["data"], options["model"]), **{key: options[key] for key in keys}}
    return arguments, notes, path, path.parent


def _free_folder(name: str) -> Path:
    folder, number = RUNS / name, 2
    while folder.exists():
        folder, number = RUNS / f"{name}-{number}", number + 1
    return folder


def _show(history: training.History, folder: Path, test: Dataset, seconds: float) -> None:
    """The end of a training run: the curve in letters, pictures, and what to do next."""
    from . import plots

    print("\n" + plots.text_curve(history.column("test_accuracy"), "test accuracy"))
    saved = checkpoint.load(folder / training.LAST)
    network = saved.network()
    try:
        plots.kernels(network, folder / "kernels.png")
        plots.predictions(test, training.predict(network, test), folder / "predictions.png")
    except ImportError as error:
        print(f"no pictures: {error}", file=sys.stderr)
    last = history.last
    print(
        f"\ntest accuracy {last.test_accuracy:.4f} (best {history.best.test_accuracy:.4f}, epoch {history.best.epoch}) in {seconds:.1f} s"
    )
    for file in sorted(folder.iterdir()):
        print(f"  {file}")
    print(f"next: numbacnn predict --checkpoint {folder} IMAGE")


# -- the other commands ----------------------------------------------------------------------------------------------------------
def _evaluate(args: argparse.Namespace) -> None:
    _use_threads(args)
    path, saved = _checkpoint(args.checkpoint)
    seen = _seen(path, saved)
    name = args.data or saved.run.get("notes", {}).get("data")
    if name is None:
        raise UsageError(f"evaluate {path}: the checkpoint does not say what it was trained on; pass --data")
    _, test = _data(name, seen.input_shape[0], seen.input_shape[1:])
    if test.input_shape != seen.input_shape or test.classes != saved.classes:
        expected = f"data with pictures (C, H, W) = {seen.input_shape} and classes {', '.join(saved.classes)}"
        raise ValueError(message("evaluate", expected, f"{test.input_shape} and {', '.join(test.classes)}"))
    test = replace(test, mean=seen.mean, std=seen.std)
    network = saved.network().to(args.device)
    print(f"{path} on the {len(test):,} test images of {test.name}")
    print(training.evaluate(network, test, batch_size=args.batch_size).report())


def _seen(path: Path, saved: Checkpoint) -> Preprocessing:
    if saved.preprocessing is None:
        hint = "train on a Dataset, not on bare arrays"
        raise ValueError(message("checkpoint", f"{path} to say what its pictures went through", "a checkpoint without preprocessing", hint))
    return saved.preprocessing


def _predict(args: argparse.Namespace) -> None:
    _use_threads(args)
    path, saved = _checkpoint(args.checkpoint)
    seen = _seen(path, saved)
    channels, height, width = seen.input_shape
    pictures = [data.read_image(image, (height, width), channels) for image in args.images]
    inverted = [_is_negative(picture, seen, args.invert) for picture in pictures]
    images = np.stack([255 - picture if negative else picture for picture, negative in zip(pictures, inverted)])
    batch = Dataset(images, np.zeros(len(images), np.int64), saved.classes, mean=seen.mean, std=seen.std)
    found = training.predict(saved.network().to(args.device), batch)
    print(f"{saved.model} from {path}")
    width = max(map(len, saved.classes))
    for image, negative, row in zip(args.images, inverted, found):
        print(f"{image}{' (as a negative)' if negative else ''}")
        for k in np.argsort(-row, kind="stable")[: args.top]:
            print(f"  {saved.classes[k]:<{width}}  {row[k]:7.2%}  {'#' * round(30 * float(row[k]))}".rstrip())


def _is_negative(picture: np.ndarray, seen: Preprocessing, invert: str) -> bool:
    """Whether to take 255 - picture: black ink on white paper, say, where the training pictures are white on black."""
    if invert != "auto":
        return invert == "yes"
    return {seen.background, background(picture[None])} == {"dark", "bright"}


def _summary(args: argparse.Namespace) -> None:
    if args.checkpoint is not None and args.model is not None:
        raise UsageError("summary: expected a checkpoint or --model; received both")
    if args.checkpoint is None:
        name = args.model or "lenet-modern"
        print(inspect.summary(models.get(name)(), models.shapes[name]))
        return
    path, saved = _checkpoint(args.checkpoint)
    print(inspect.summary(saved.network(), _seen(path, saved).input_shape))


def _doctor(args: argparse.Namespace) -> int:
    from .doctor import diagnose

    text, healthy = diagnose()
    print(text)
    return 0 if healthy else 1


def _warmup(args: argparse.Namespace) -> None:
    from .doctor import warm_up

    small = [name for name in sorted(models.registry) if models.shapes[name] == (1, 28, 28)]  # what ``train`` takes unless told otherwise
    print(warm_up([args.model] if args.model else small, args.verbose))
