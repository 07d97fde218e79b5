"""Convolution and pooling along one and three axes on CUDA against the reference: equal on small integers. Tiny shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from numbacnn import backends, cuda, reference
from numbacnn.backends.choice import Declined, only
from numbacnn.backends.cuda.conv import choose
from numbacnn.geometry import ConvGeometry
from numbacnn.kernels.cuda.driver import SIMULATED
from numbacnn.testing import AdaptiveCase, ConvCase, PoolCase
from numbacnn.testing.small_tiles import shrink

pytestmark = pytest.mark.skipif(
    not cuda.is_available(), reason="needs a GPU or NUMBA_ENABLE_CUDASIM=1; test_simulator.py runs it simulated"
)


@pytest.fixture
def xp(monkeypatch: pytest.MonkeyPatch) -> Any:
    if SIMULATED:
        shrink(monkeypatch.setattr)
    return backends.get("cuda")


def equal(xp: Any, found: Any, wanted: np.ndarray) -> None:
    array = xp.to_numpy(found)
    assert (array.shape, array.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_array_equal(array, wanted)


CONVS: list[tuple[Any, ...]] = [
    ((2, 3, 9), (4, 3, 3), {"padding": 1}),
    ((1, 4, 10), (6, 2, 2), {"stride": 2, "groups": 2, "dilation": 3}),
    ((0, 2, 5), (3, 2, 3), {}),
    ((1, 2, 3, 4, 5), (3, 2, 2, 3, 2), {"padding": (1, 0, 1)}),
    ((2, 4, 4, 3, 3), (4, 2, 2, 2, 2), {"stride": (2, 1, 2), "groups": 2}),
    ((1, 2, 4, 5, 3), (2, 1, 3, 2, 2), {"padding": "same", "dilation": (1, 2, 1), "groups": 2}),
    ((0, 2, 3, 3, 3), (3, 2, 3, 3, 3), {}),
]


@pytest.mark.parametrize(("shape", "weight", "options"), CONVS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_convolution(xp: Any, shape: Any, weight: Any, options: Any, dtype: str) -> None:
    case = ConvCase.of(shape, weight, dtype=dtype, **options)
    g, bias = case.geometry, np.arange(weight[0]).astype(dtype)
    x, w, grad = map(xp.from_numpy, (case.x, case.w, case.grad))
    y = reference.conv_forward(case.x, case.w, bias, g)
    equal(xp, xp.conv_forward(x, w, xp.from_numpy(bias), g), y)
    equal(xp, xp.conv_forward(x, w, xp.from_numpy(bias), g, "relu"), np.maximum(y, 0))
    equal(xp, xp.conv_forward(x, w, None, g), reference.conv_forward(case.x, case.w, None, g))
    equal(xp, xp.conv_grad_input(grad, w, g), reference.conv_grad_input(case.grad, case.w, g))
    equal(xp, xp.conv_grad_weight(grad, x, g), reference.conv_grad_weight(case.grad, case.x, g))


def test_the_general_way_by_itself(xp: Any) -> None:
    """On images too, which another takes where it may."""
    assert xp.algorithms[-2:] == ("simt", "general")
    case = ConvCase.of((1, 2, 4, 3), (4, 1, 2, 3), groups=2, padding=1, stride=(1, 2))
    g, (x, w, grad) = case.geometry, map(xp.from_numpy, (case.x, case.w, case.grad))
    with only("general"):
        assert choose("forward", g, "float32").name == "general"
        equal(xp, xp.conv_forward(x, w, None, g), reference.conv_forward(case.x, case.w, None, g))
        equal(xp, xp.conv_grad_input(grad, w, g), reference.conv_grad_input(case.grad, case.w, g))
        equal(xp, xp.conv_grad_weight(grad, x, g), reference.conv_grad_weight(case.grad, case.x, g))
    with only("simt"), pytest.raises(Declined, match="simt: three axes"):
        choose("forward", ConvGeometry.of((1, 2, 4, 5, 6), (3, 2, 3, 3, 3)), "float32")


def test_volumes_decline_the_kernels_for_images(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("numbacnn.config.explain", True)
    assert choose("forward", ConvGeometry.of((1, 2, 9), (3, 2, 3)), "float32").name == "simt"
    assert choose("forward", ConvGeometry.of((1, 2, 5, 6, 7), (3, 2, 3, 3, 3)), "float32").name == "general"
    assert capsys.readouterr().err.endswith(
        "[conv3d forward] (1, 2, 5, 6, 7) * (3, 2, 3, 3, 3), stride (1, 1, 1), padding ((0, 0), (0, 0), (0, 0)): general\n"
        "    not simt: three axes\n"
    )


POOLS: list[tuple[Any, ...]] = [
    ((2, 3, 9), 2, {}),
    ((1, 2, 8), 3, {"stride": 2, "padding": 1, "ceil_mode": True}),
    ((0, 2, 5), 2, {}),
    ((1, 2, 3, 4, 5), (2, 3, 2), {"stride": (1, 2, 3), "padding": (1, 1, 0)}),
    ((2, 1, 4, 3, 3), 2, {"stride": 2, "padding": 1, "ceil_mode": True}),
    ((1, 2, 5, 4, 4), 2, {"stride": 3}),
]


@pytest.mark.parametrize(("shape", "kernel", "options"), [*POOLS, ((1, 2, 5, 4, 5), 2, {"dilation": (2, 1, 3), "padding": 1})], ids=str)
def test_maxima(xp: Any, shape: Any, kernel: Any, options: Any) -> None:
    case = PoolCase.of(shape, kernel, **options)
    data = case.x.copy()
    data[np.random.default_rng(5).random(shape) < 0.1] = np.nan
    y, index = reference.max_pool_forward(data, case.geometry)
    found, where = xp.max_pool_forward(xp.from_numpy(data), case.geometry)
    equal(xp, found, y)
    equal(xp, where, index)
    equal(
        xp,
        xp.max_pool_backward(xp.from_numpy(case.grad), where, case.geometry),
        reference.max_pool_backward(case.grad, index, case.geometry),
    )


@pytest.mark.parametrize(("shape", "kernel", "options"), POOLS, ids=str)
@pytest.mark.parametrize("include", [False, True])
def test_means(xp: Any, shape: Any, kernel: Any, options: Any, include: bool) -> None:
    case = PoolCase.of(shape, kernel, dtype="float64", count_include_pad=include, **options)
    g, x, grad = case.geometry, case.x * 6**3, case.grad * 6**3  # a multiple of every divisor
    equal(xp, xp.avg_pool_forward(xp.from_numpy(x), g), reference.avg_pool_forward(x, g))
    equal(xp, xp.avg_pool_backward(xp.from_numpy(grad), g), reference.avg_pool_backward(grad, g))


@pytest.mark.parametrize(
    ("shape", "size"), [((2, 3, 5), 3), ((1, 2, 3), 7), ((1, 2, 3, 4, 5), (2, 4, 3)), ((2, 1, 2, 3, 2), (3, 1, 2))], ids=str
)
def test_adaptive_means(xp: Any, shape: Any, size: Any) -> None:
    case = AdaptiveCase.of(shape, size, dtype="float64")
    g, x, grad = case.geometry, case.x * 12**3, case.grad * 12**3  # a multiple of every divisor
    equal(xp, xp.adaptive_avg_pool_forward(xp.from_numpy(x), g), reference.adaptive_avg_pool_forward(x, g))
    equal(xp, xp.adaptive_avg_pool_backward(xp.from_numpy(grad), g), reference.adaptive_avg_pool_backward(grad, g))
