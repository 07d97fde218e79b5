"""The properties of the operations on the CUDA backend: in the simulator (``test_simulator.py``), or on a GPU. Tiny shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import small_tiles
from hypothesis import given
from hypothesis import strategies as st

from numbacnn import backends, cuda
from numbacnn.kernels.cuda.driver import SIMULATED
from numbacnn.testing import AdaptiveCase, ConvCase, Operations, PoolCase, of_backend, properties
from numbacnn.testing.strategies import adaptive_cases, conv_cases, images, pool_cases

pytestmark = [
    pytest.mark.skipif(not cuda.is_available(), reason="needs a GPU or NUMBA_ENABLE_CUDASIM=1; test_simulator.py runs it simulated"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


def by_axes(cases: Callable[..., Any], **options: Any) -> Any:
    """Cases of one to three axes."""
    return st.one_of(cases(axes=n, size=3 if n == 3 else 4, channels=2, batch=2, **options) for n in (2, 1, 3))


CONVS = by_axes(conv_cases, kernel=2)
POOLS = by_axes(pool_cases, kernel=3)
AVERAGES = by_axes(pool_cases, kernel=3, dilation=1)


@pytest.fixture
def ops(monkeypatch: pytest.MonkeyPatch) -> Iterator[Operations]:
    if SIMULATED:
        small_tiles.use(monkeypatch)
    return of_backend(backends.get("cuda"))


@pytest.mark.parametrize("holds", properties.CONV_PROPERTIES, ids=lambda f: f.__name__)
@given(case=CONVS)
def test_convolution(ops: Operations, holds: Callable[..., None], case: ConvCase) -> None:
    holds(ops.conv, case)


@given(case=CONVS)
def test_convolution_is_adjoint_to_its_gradients(ops: Operations, case: ConvCase) -> None:
    properties.input_gradient_is_adjoint(ops.conv, ops.conv_grad_input, case)
    properties.weight_gradient_is_adjoint(ops.conv, ops.conv_grad_weight, case)


@pytest.mark.parametrize("holds", properties.POOL_PROPERTIES, ids=lambda f: f.__name__)
@given(case=POOLS)
def test_max_pooling(ops: Operations, holds: Callable[..., None], case: PoolCase) -> None:
    holds(ops.max_pool, case)


@pytest.mark.parametrize("holds", properties.POOL_PROPERTIES, ids=lambda f: f.__name__)
@given(case=AVERAGES)
def test_average_pooling(ops: Operations, holds: Callable[..., None], case: PoolCase) -> None:
    holds(ops.avg_pool, case)


@given(case=POOLS)
def test_max_pooling_keeps_the_mass_of_its_gradient(ops: Operations, case: PoolCase) -> None:
    properties.max_gradient_keeps_its_mass(ops.max_pool_grad, case)


@given(case=AVERAGES)
def test_average_pooling_of_constants_and_its_adjoint(ops: Operations, case: PoolCase) -> None:
    properties.average_of_a_constant_is_the_constant(ops.avg_pool, case)
    properties.average_pooling_is_adjoint_to_its_gradient(ops.avg_pool, ops.avg_pool_grad, case)


@given(case=by_axes(adaptive_cases))
def test_adaptive_average_pooling(ops: Operations, case: AdaptiveCase) -> None:
    properties.adaptive_average_of_a_constant_is_the_constant(ops.adaptive_avg_pool, case)
    properties.adaptive_windows_that_divide_are_plain_windows(ops.adaptive_avg_pool, ops.avg_pool, case)
    properties.adaptive_pooling_is_adjoint_to_its_gradient(ops.adaptive_avg_pool, ops.adaptive_avg_pool_grad, case)


@pytest.mark.parametrize("holds", properties.NORM_PROPERTIES, ids=lambda f: f.__name__)
@given(x=images(size=4, channels=3, batch=2))
def test_batch_normalisation(ops: Operations, holds: Callable[..., None], x: np.ndarray) -> None:
    holds(ops.batch_norm, x)
