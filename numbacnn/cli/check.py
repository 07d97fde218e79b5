"""``numbacnn check``."""

from __future__ import annotations

import argparse

from .options import Commands

__all__ = ["add"]


def add(commands: Commands) -> None:
    sub = commands.add_parser("check", help="what a script written for PyTorch uses, and what of it is missing here")
    sub.add_argument("paths", nargs="+", metavar="PATH", help="Python files, or folders of them; nothing is executed")
    sub.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ..compat.check import check

    report = check(args.paths)
    print(report)
    return int(bool(report.missing))
