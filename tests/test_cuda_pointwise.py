"""The table of pointwise functions on CUDA, a row at a time: in the simulator (``test_simulator.py``), or on a GPU."""

from __future__ import annotations

import pytest
from pointwise_rows import check_binary, check_unary
from test_pointwise import test_clamp_with_nan, test_gradients_at_nan, test_powers_of_zero  # noqa: F401

from numbacnn import cuda, names
from numbacnn.backends.cuda.pointwise import GELU
from numbacnn.formulas import BINARY, UNARY
from numbacnn.kernels.cuda.simt import pointwise as kernels

pytestmark = [
    pytest.mark.skipif(not cuda.is_available(), reason="needs a GPU or NUMBA_ENABLE_CUDASIM=1; test_simulator.py runs it simulated"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str, dtype: str) -> None:
    check_unary(name, dtype, "cuda")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str, dtype: str) -> None:
    check_binary(name, dtype, "cuda")


def test_kernels_that_go_by_a_place_know_rows_of_the_table() -> None:
    """The values above tell one place from another; all of these names are tried there."""
    assert set(names.UNARY) - {"sign", "logical_not"} <= set(UNARY)
    assert set(names.BINARY) - set(names.FLOOR) <= set(BINARY)
    assert {*kernels.BACKWARD, *GELU} <= set(UNARY)
