"""``numbacnn evaluate``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import data, files, plots, training
from ..checkpoint import Checkpoint, Preprocessing
from ..data import ImageDataset
from ..errors import message
from ..extras import import_extra
from ..training.examples import described
from .options import Commands, UsageError, machine_arguments, output, positive, use_threads
from .pictures import SETS, Pictures, located
from .places import open_checkpoint, preprocessing_of
from .tables import as_csv, columns

__all__ = ["add"]

PRINTED_CLASSES, PRINTED_WIDTH = 12, 100  # of a confusion matrix in letters
MISTAKES = 5  # named by file


def add(commands: Commands) -> None:
    sub = commands.add_parser("evaluate", help="loss, accuracy and confusion of a trained network")
    sub.add_argument("checkpoint", nargs="?", help="a checkpoint or the folder of a run (default: the newest in runs/)")
    text = "digits, mnist, fashion-mnist or a held-out folder, all of it (default: the run's own, its test pictures)"
    sub.add_argument("--data", help=text)
    csv = "write each picture's file, label, prediction and probability; the worst mistakes first"
    sub.add_argument("--csv", metavar="FILE", type=output, help=csv)
    sub.add_argument("--picture", metavar="FILE", type=output, help="write the confusion matrix as a PNG")
    sub.add_argument("--skip-bad", action="store_true", help="go on without the files that can't be read")
    sub.add_argument("--batch-size", type=positive, default=256)
    machine_arguments(sub)
    sub.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    if args.picture:
        import_extra("evaluate", "matplotlib.figure", "matplotlib")
    use_threads(args)
    path, saved = open_checkpoint(args.checkpoint)
    seen = preprocessing_of(path, saved)
    part, test, lines = _test(args, path, saved, seen)
    if test.input_shape != seen.input_shape or test.classes != saved.classes:
        expected = f"data with pictures (C, H, W) = {seen.input_shape} and classes {', '.join(saved.classes)}"
        raise ValueError(message("evaluate", expected, f"{test.input_shape} and {', '.join(test.classes)}"))
    network = saved.network().to(args.device)
    print("\n".join([*lines, f"{path} on the {len(test):,} {part} of {test.name}"]))
    found = training.evaluate(network, test, batch_size=args.batch_size)
    if (table := _confusion(found)) and found.accuracy != 1:
        print(table + "\n")
    print(found.report())
    if found.confusion is None:  # of a single class there is no more to say
        return
    probabilities = training.predict(network, test, batch_size=args.batch_size)
    order = _worst_first(test, probabilities)
    if test.files is not None:
        print("".join(f"\n{line}" for line in _mistakes(test, probabilities, order)), end="")
    if args.csv:
        files.write_atomically(args.csv, _csv(test, probabilities, order).encode())
    if args.picture:
        plots.confusion(found, args.picture)


def _test(args: argparse.Namespace, path: Path, saved: Checkpoint, seen: Preprocessing) -> tuple[str, ImageDataset, list[str]]:
    """What the pictures are called, the pictures, and what there is to say about them."""
    channels, height, width = seen.input_shape
    own, place = Pictures.noted(saved.run.get("notes", {}).get("pictures")), located(args.data) if args.data else None
    if own is not None and place in (None, own.data):
        pictures = replace(own, skip_bad=own.skip_bad or args.skip_bad)
    elif place is None:
        raise UsageError(f"evaluate {path}: the checkpoint does not say what it was trained on; pass --data")
    elif place in SETS:
        pictures, own = Pictures(place), None
    else:
        everything, reading = data.pictures(place, (height, width), channels, classes=saved.classes, skip_bad=args.skip_bad)
        return "pictures", replace(everything, mean=seen.mean, std=seen.std), reading.lines
    parts = replace(pictures, size=(height, width), channels=channels).load(saved.model or "")
    if parts.test is None:
        raise UsageError(f"evaluate {path}: the run kept no pictures to judge on; pass --data with others")
    test = replace(parts.test, mean=seen.mean, std=seen.std)
    changed = own is not None and described(test) != saved.run.get("options", {}).get("test")
    return "test images", test, ["Mind: the pictures have changed since the run began: it may have learned from some of these."] * changed


def _confusion(found: training.Evaluation) -> str:
    """The confusion matrix in letters where it fits: a row a true class, a column a predicted one."""
    if found.confusion is None or len(found.classes) > PRINTED_CLASSES:
        return ""
    cells = [
        ["", *found.classes],
        *([name, *(f"{count:,}" if count else "." for count in row)] for name, row in zip(found.classes, found.confusion)),
    ]
    lines = columns(cells, lambda column: column > 0)
    return "\n".join(["confusion, a row for each true class", *lines]) if max(map(len, lines)) <= PRINTED_WIDTH else ""


def _worst_first(test: ImageDataset, probabilities: np.ndarray) -> np.ndarray:
    """The pictures' numbers, those whose own class has the lowest probability foremost."""
    return np.argsort(probabilities[np.arange(len(test)), test.labels], kind="stable")


def _mistakes(test: ImageDataset, probabilities: np.ndarray, order: np.ndarray) -> list[str]:
    guesses = probabilities.argmax(1)
    wrong = [i for i in order if guesses[i] != test.labels[i]][:MISTAKES]
    lines = [
        f"  {_file(test, i)}  {test.classes[guesses[i]]} {probabilities[i].max():.0%}, not {test.classes[test.labels[i]]}" for i in wrong
    ]
    return ["the most mistaken:", *lines, ""] if lines else []


def _file(test: ImageDataset, i: int) -> str:
    return "" if test.files is None else test.files[i]


def _csv(test: ImageDataset, probabilities: np.ndarray, order: np.ndarray) -> str:
    rows: list[list[object]] = [["file", "label", "predicted", "probability", "probability of the label"]]
    for i in order:
        guess, label = probabilities[i].argmax(), test.labels[i]
        names, shares = (test.classes[label], test.classes[guess]), (probabilities[i, guess], probabilities[i, label])
        rows.append([_file(test, i) or i, *names, *(f"{share:.6f}" for share in shares)])
    return as_csv(rows)
