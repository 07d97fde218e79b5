"""The laws, held by the reference and by every way in which a device convolves. In the simulator: ``test_cuda_properties.py``."""

from __future__ import annotations

import pytest

from numbacnn import cuda
from numbacnn.kernels.cuda.driver import SIMULATED
from numbacnn.testing.adapters import implementations
from numbacnn.testing.test_laws import parametrize, test_law  # noqa: F401


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    gpu = implementations("numbacnn", device="cuda") if cuda.is_available() and not SIMULATED else []
    parametrize(metafunc, [*implementations("reference"), *implementations("numbacnn"), *gpu])
