"""What a user adds, on CUDA: in the simulator (``test_simulator.py``), or on a GPU."""

from __future__ import annotations

import pytest
from test_own import test_a_pointwise_function, test_far_from_zero_it_is_what_a_gpu_gives  # noqa: F401

from numbacnn import cuda

pytestmark = [
    pytest.mark.skipif(not cuda.is_available(), reason="needs a GPU or NUMBA_ENABLE_CUDASIM=1; test_simulator.py runs it simulated"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
