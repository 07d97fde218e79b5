"""``numbacnn summary``."""

from __future__ import annotations

import argparse

from .. import inspect, models
from .options import Commands, UsageError, network
from .places import open_checkpoint, preprocessing_of

__all__ = ["add"]


def add(commands: Commands) -> None:
    sub = commands.add_parser("summary", help="layers, shapes, parameters and receptive fields")
    sub.add_argument("checkpoint", nargs="?", help="a checkpoint or the folder of a run")
    sub.add_argument("--model", type=network, help=f"{', '.join(models.registry)} (default: lenet-modern)")
    sub.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    if args.checkpoint is not None and args.model is not None:
        raise UsageError("summary: expected a checkpoint or --model; received both")
    if args.checkpoint is None:
        name = args.model or "lenet-modern"
        print(inspect.summary(models.get(name)(), models.shapes[name]))
        return
    path, saved = open_checkpoint(args.checkpoint)
    print(inspect.summary(saved.network(), preprocessing_of(path, saved).input_shape))
