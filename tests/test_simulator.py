"""Runs every ``test_cuda_*.py`` in one child process with CUDA's simulator on: it must be chosen before Numba is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 900  # about 150 on an idle core
HERE = Path(__file__).parent


def test_cuda_kernels_in_the_simulator(tmp_path: Path) -> None:
    run(sorted(map(str, HERE.glob("test_cuda_*.py"))), tmp_path)


@pytest.mark.long
def test_more_compiled_runs_in_the_simulator(tmp_path: Path) -> None:
    run([f"{HERE / 'test_cuda_plan.py'}::test_a_compiled_run_has_the_bits_of_an_eager_one"], tmp_path)


def run(tests: list[str], tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "NUMBACNN_TEST_CACHE"))}
    environment |= {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    child = subprocess.run(command, cwd=HERE.parent, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert child.returncode == 0, child.stdout + child.stderr
    last = child.stdout.splitlines()[-1]
    assert " passed" in last and " skipped" not in last, child.stdout  # a simulator that was not switched on would skip everything
