"""The command line: ``numbacnn train``, ``evaluate``, ``predict``, ``summary``, ``profile``, ``doctor``, ``warmup``,
``selftest``, ``run`` and ``check``.

Exit codes: 0 done, 1 failed (one line on stderr says why), 2 wrong usage, 130 stopped with Ctrl-C. Of ``selftest`` 1 says that a law is
broken, and 2 that it could not judge. SIGTERM and SIGHUP end the process themselves, after a run is saved.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import TextIO

from .. import training
from ..errors import printable
from ..version import __version__
from . import check, doctor, evaluate, predict, profile, run, selftest, summary, train, warmup
from .options import UsageError

__all__ = ["main"]

COMMANDS = (train, evaluate, predict, summary, profile, doctor, warmup, selftest, run, check)
EXAMPLES = """examples:
  numbacnn train                                    the digits: offline, in less than a minute
  numbacnn train --data fashion-mnist --model lenet the recipe of the book
  numbacnn train --data my/pictures --epochs 30     a folder with one sub folder of pictures for each class
  numbacnn train --resume runs/digits-lenet-modern  go on with a run that was stopped
  numbacnn predict photo.png                        with the newest run
"""


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
        with contextlib.nullcontext() if hasattr(args, "script") else contextlib.redirect_stdout(Printable(sys.stdout)):
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
        return getattr(args, "failed", 1)
    except (ArithmeticError, ImportError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        return _failed(getattr(args, "failed", 1), _as_options(str(error), args) or type(error).__name__)


class Printable(io.TextIOBase):
    """What the commands print, made printable: names of classes, runs and files come from outside."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(printable(text, self.stream.encoding))

    def flush(self) -> None:
        self.stream.flush()


def _as_options(text: str, args: argparse.Namespace) -> str:
    """Arguments that the library names, as this command has them: skip_bad is --skip-bad."""
    names = "|".join(name for name in vars(args) if "_" in name)
    return re.sub(rf"(?<!\S)({names})(?![^\s,;.])", lambda found: f"--{found[1].replace('_', '-')}", text) if names else text


def _failed(code: int, why: str) -> int:
    print(f"numbacnn: {printable(' '.join(why.split()))}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="numbacnn",
        description="Convolutional networks on NumPy and Numba.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"numbacnn {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser
