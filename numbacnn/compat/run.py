"""Runs a script in which ``torch`` and ``torchvision`` mean this library."""

from __future__ import annotations

import os
import runpy
import sys
import traceback
from collections.abc import Sequence
from types import TracebackType

from ..errors import message
from .finder import offer

__all__ = ["run"]


def run(script: str, arguments: Sequence[str] = ()) -> int:
    """Run a file as ``python script arguments`` does, but for what ``import torch`` and ``import torchvision`` give.

    ``sys.argv`` and ``sys.path[0]`` of this process are the script's from then on. Processes that it forks are like it; one that
    ``multiprocessing`` spawns imports the ``torch`` that is installed.

    Returns:
        0; or 1 where the script raised, after its traceback is printed.

    Raises:
        FileNotFoundError: there is no such file.
        SystemExit, KeyboardInterrupt: as the script lets them out.
    """
    if not os.path.isfile(script):
        raise FileNotFoundError(message("run", "a Python file", repr(script)))
    offer()
    sys.argv, sys.path[0] = [script, *arguments], os.path.dirname(os.path.abspath(script))
    try:
        runpy.run_path(script, run_name="__main__")
    except Exception as error:
        traceback.print_exception(error.with_traceback(_inside(error.__traceback__, script)))
        return 1
    return 0


def _inside(trace: TracebackType | None, script: str) -> TracebackType | None:
    """The traceback from the script's own first line on, as Python prints it; empty where the script can't be parsed."""
    while trace is not None and trace.tb_frame.f_code.co_filename != script:
        trace = trace.tb_next
    return trace
