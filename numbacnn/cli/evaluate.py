"""``numbacnn evaluate``."""

from __future__ import annotations

import argparse
from dataclasses import replace

from .. import training
from ..errors import message
from .options import Commands, UsageError, machine_arguments, positive, use_threads
from .places import load_data, open_checkpoint, preprocessing_of

__all__ = ["add"]


def add(commands: Commands) -> None:
    sub = commands.add_parser("evaluate", help="loss, accuracy and confusion of a trained network")
    sub.add_argument("checkpoint", nargs="?", help="a checkpoint or the folder of a run (default: the newest in runs/)")
    sub.add_argument("--data", help="digits, mnist, fashion-mnist or a folder (default: what it was trained on)")
    sub.add_argument("--batch-size", type=positive, default=256)
    machine_arguments(sub)
    sub.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    use_threads(args)
    path, saved = open_checkpoint(args.checkpoint)
    seen = preprocessing_of(path, saved)
    name = args.data or saved.run.get("notes", {}).get("data")
    if not isinstance(name, str):
        raise UsageError(f"evaluate {path}: the checkpoint does not say what it was trained on; pass --data")
    _, test = load_data(name, seen.input_shape[0], seen.input_shape[1:])
    if test.input_shape != seen.input_shape or test.classes != saved.classes:
        expected = f"data with pictures (C, H, W) = {seen.input_shape} and classes {', '.join(saved.classes)}"
        raise ValueError(message("evaluate", expected, f"{test.input_shape} and {', '.join(test.classes)}"))
    test = replace(test, mean=seen.mean, std=seen.std)
    network = saved.network().to(args.device)
    print(f"{path} on the {len(test):,} test images of {test.name}")
    print(training.evaluate(network, test, batch_size=args.batch_size).report())
