"""The laws, held by the CUDA backend: in the simulator (``test_simulator.py``), or on a GPU. Tiny shapes."""

from __future__ import annotations

import pytest

from numbacnn import cuda
from numbacnn.testing.adapters import implementations
from numbacnn.testing.test_laws import parametrize, test_law  # noqa: F401

pytestmark = [
    pytest.mark.skipif(not cuda.is_available(), reason="needs a GPU or NUMBA_ENABLE_CUDASIM=1; test_simulator.py runs it simulated"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    found = implementations("numbacnn", device="cuda") if cuda.is_available() else []
    parametrize(metafunc, found[1:])  # each way to convolve by itself; what users call ends in the first of them
