"""``numbacnn run``."""

from __future__ import annotations

import argparse

from .options import Commands

__all__ = ["add"]


def add(commands: Commands) -> None:
    sub = commands.add_parser("run", help="run a script that was written for PyTorch, unchanged")
    sub.add_argument("script", help="a Python file; its torch and torchvision are numbacnn")
    sub.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="what the script is given")
    sub.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..compat.run import run as start  # which changes what tensors take, so it comes with this command only

    return start(args.script, args.arguments)
