"""Runs every ``test_cuda_*.py`` in one child process with CUDA's simulator on: it must be chosen before Numba is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
SECONDS = 900  # about 100 on two idle cores


def test_cuda_kernels_in_the_simulator(tmp_path: Path) -> None:
    files = sorted(map(str, HERE.glob("test_cuda_*.py")))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files]
    environment = os.environ | {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    child = subprocess.run(command, cwd=HERE.parent, env=environment, capture_output=True, text=True, timeout=SECONDS)
    output = child.stdout + child.stderr
    assert child.returncode == 0, output
    assert " skipped" not in child.stdout.splitlines()[-1], output  # a simulator that was not switched on would skip everything
