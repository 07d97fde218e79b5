"""What the commands' options have in common: their types, and where to compute."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TypeAlias

from .. import backends, models

__all__ = [
    "Commands",
    "UsageError",
    "machine_arguments",
    "natural",
    "network",
    "output",
    "positive",
    "rate",
    "share",
    "side",
    "use_threads",
]

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


class UsageError(Exception):
    """Options that do not go together."""


def machine_arguments(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--device", choices=backends.names(), default=backends.DEFAULT)
    sub.add_argument("--threads", type=positive, help="of the CPU (default: all); the results do not depend on it")


def positive(text: str) -> int:
    return natural(text, 1)


def natural(text: str, least: int = 0) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
    return int(text)


def network(text: str) -> str:
    if models.canonical(text) not in models.registry:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(models.registry)}")
    return models.canonical(text)


def output(text: str) -> Path:
    """A file that can be written, in a folder that may have to be made: judged before the work, not after it."""
    path = Path(text).resolve()
    if path.exists() and not path.is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is {'a folder' if path.is_dir() else 'no file'}")
    folder = next(parent for parent in path.parents if parent.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        why = "can't be written to" if folder.is_dir() else "is no folder"
        raise argparse.ArgumentTypeError(f"{text!r} can't be written: {folder} {why}")
    return Path(text)


def rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return value


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to below 1")
    return value


def side(text: str) -> tuple[int, int]:
    """(height, width) of "40" or "40x60"."""
    sides = text.split("x")
    if len(sides) > 2 or not all(value.isdecimal() and int(value) for value in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is not N or HxW, whole numbers of at least 1")
    return int(sides[0]), int(sides[-1])


def use_threads(args: argparse.Namespace) -> None:
    if args.threads is not None:
        from ..kernels.cpu.launch import set_num_threads

        set_num_threads(args.threads)
