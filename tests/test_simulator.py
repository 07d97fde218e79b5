"""Runs every ``test_cuda_*.py`` in one child process with CUDA's simulator on: it must be chosen before Numba is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 900  # about 40 on an idle core
HERE = Path(__file__).parent
EVERY_TIME = ("axes", "backend", "loader", "memory", "norm", "pointwise", "tensor", "views")
"""The tests of kernels; those of plans, of launches and of a user's kernels take as long again."""


def test_cuda_kernels_in_the_simulator() -> None:
    run([HERE / f"test_cuda_{name}.py" for name in EVERY_TIME])


@pytest.mark.long
def test_what_else_runs_in_the_simulator() -> None:
    run([file for file in sorted(HERE.glob("test_cuda_*.py")) if file.stem.removeprefix("test_cuda_") not in EVERY_TIME])


def run(files: list[Path]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"NUMBA_ENABLE_CUDASIM": "1", "NUMBACNN_TEST_CACHE": os.environ["NUMBA_CACHE_DIR"]}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, files)]
    child = subprocess.run(command, cwd=HERE.parent, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert child.returncode == 0, child.stdout + child.stderr
    last = child.stdout.splitlines()[-1]
    assert " passed" in last and " skipped" not in last, child.stdout  # a simulator that was not switched on would skip everything
