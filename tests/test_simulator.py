"""Runs every ``test_cuda_*.py`` in one child process with CUDA's simulator on: it must be chosen before Numba is imported."""

from __future__ import annotations

import pytest
from conftest import SIMULATOR, start_simulator

SECONDS = 900  # about 150 on an idle core


def test_cuda_kernels_in_the_simulator(pytestconfig: pytest.Config) -> None:
    """The child was started when the tests were collected: it is one thread, beside tests that seldom use two."""
    child, out = pytestconfig.stash.get(SIMULATOR, None) or start_simulator()
    code = child.wait(SECONDS)
    output = out.read_text()
    assert code == 0, output
    last = output.splitlines()[-1]
    assert " passed" in last and " skipped" not in last, output  # a simulator that was not switched on would skip everything
