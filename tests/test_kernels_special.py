"""The CPU's special convolutions, such as Winograd, depthwise and of few pixels, and which algorithm is chosen."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import launches
import numpy as np
import pytest
from held import holding

import numbacnn as nc
from numbacnn import backends, config, reference
from numbacnn.backends.choice import only
from numbacnn.backends.cpu import CpuBackend
from numbacnn.backends.cpu.conv import ALGORITHMS, choose
from numbacnn.backends.cpu.conv.algorithm import Algorithm
from numbacnn.backends.cpu.plan import column_sum
from numbacnn.backends.cpu.plan import winograd as winograd_plan
from numbacnn.geometry import ConvGeometry
from numbacnn.kernels.cpu import few_pixels
from numbacnn.kernels.cpu.launch import launch
from numbacnn.kernels.cpu.tile import LANES
from numbacnn.names import ACTIVATIONS
from numbacnn.testing import ConvCase

ROOT = Path(__file__).parents[1]
WINOGRAD, COLUMN_SUM, FEW_PIXELS, DIRECT = (
    next(a for a in ALGORITHMS if a.name == name) for name in ("winograd", "column sum", "few pixels", "direct")
)


@pytest.fixture
def cpu() -> CpuBackend:
    return backends.get("cpu")  # type: ignore[return-value]


def gaussian(x: tuple[int, ...], w: tuple[int, ...], **options: object) -> ConvCase:
    """A case of normally distributed numbers; positive ones would hide errors in their mean."""
    case = ConvCase.of(x, w, **options)
    rng = np.random.default_rng(0)
    draw = lambda a: np.ascontiguousarray(rng.standard_normal(a.shape).astype(np.float32))
    return holding(case, draw(case.x), draw(case.w), draw(case.grad))


def last(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def passes(
    cpu: CpuBackend, algorithm: Algorithm, case: ConvCase, bias: np.ndarray | None, activation: str = "none"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All passes, whether or not they pay."""
    g, buffers, dtype = case.geometry, cpu.buffers, case.x.dtype
    y = np.full((g.n, *g.outputs, g.oc), np.nan, dtype)
    dx = np.full((g.n, *g.sizes, g.c), np.nan, dtype)
    dw = np.full(case.w.shape, np.nan if algorithm.writes_all else 0, dtype)
    algorithm.forward(buffers, last(case.x), (case.w, None), bias, ACTIVATIONS.index(activation), g, y)
    algorithm.grad_input(buffers, last(case.grad), case.w, g, dx)
    algorithm.grad_weight(buffers, last(case.grad), last(case.x), g, dw)
    return np.moveaxis(y, -1, 1), np.moveaxis(dx, -1, 1), dw


def error(found: np.ndarray, exact: np.ndarray) -> float:
    """Relative rms."""
    return float(np.sqrt(((found - exact) ** 2).mean() / (exact**2).mean()))


SHAPES = [
    ((2, 16, 20, 17), (24, 16, 3, 3), 1),  # ragged patches and blocks
    ((3, 33, 8, 8), (17, 33, 3, 3), 0),  # ragged vectors
    ((1, 40, 5, 4), (64, 40, 3, 3), 2),  # padding beyond "same"
    ((1, 16, 3, 3), (16, 16, 3, 3), (0, 1)),  # less than a patch
    ((2, 64, 14, 14), (128, 64, 3, 3), (2, 0)),  # other paddings for each axis
    ((1, 512, 7, 7), (16, 512, 3, 3), 1),  # long sums
]


@pytest.mark.parametrize("chunk", [None, 1])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_winograd_is_as_exact_as_it_says(cpu: CpuBackend, monkeypatch: pytest.MonkeyPatch, shape: tuple, chunk: int | None) -> None:
    """Against float64, all patches at once and one row of them at a time."""
    if chunk:
        monkeypatch.setattr(winograd_plan, "FEWEST_PATCHES", chunk)
        monkeypatch.setattr(winograd_plan, "PATCHES_BYTES", chunk)
    winograd_plan.winograd_plans.cache_clear()
    case = gaussian(*shape[:2], padding=shape[2])
    g, bias = case.geometry, np.linspace(-1, 1, case.geometry.oc, dtype=np.float32)
    x, w, grad = (a.astype(np.float64) for a in (case.x, case.w, case.grad))
    y, dx, dw = passes(cpu, WINOGRAD, case, bias)
    winograd_plan.winograd_plans.cache_clear()
    assert error(y, reference.conv_forward(x, w, bias.astype(np.float64), g)) < 5e-6
    assert error(dx, reference.conv_grad_input(grad, w, g)) < 5e-6
    assert error(dw, reference.conv_grad_weight(grad, x, g)) < 5e-6


def test_a_nan_stays_in_its_patch(cpu: CpuBackend) -> None:
    case = gaussian((1, 16, 16, 16), (16, 16, 3, 3), padding=1)
    case.x[0, 3, 5, 6] = np.nan
    y, _, _ = passes(cpu, WINOGRAD, case, np.zeros(16, np.float32))
    spoilt = np.isnan(y).any((0, 1))
    wanted = np.zeros((16, 16), bool)
    wanted[4:8, 4:8] = True
    np.testing.assert_array_equal(spoilt, wanted)


# -- few pixels and many channels, whether or not they pay -------------------------------------------------------------------
FEW = [
    ((1, 16, 1, 1), (16, 16, 3, 3), {"padding": 1}),  # a window of which one tap sees a pixel
    ((2, 16, 3, 4), (48, 16, 3, 3), {"padding": 1, "stride": (2, 1)}),
    ((3, 80, 2, 3), (64, 80, 3, 3), {"padding": 1}),  # several pieces of columns, the last one ragged; several blocks of rows
    ((1, 144, 6, 7), (32, 144, 1, 1), {"stride": 3}),  # pixels that no window sees
    ((5, 32, 3, 3), (16, 32, 2, 3), {"padding": (1, 4), "dilation": (2, 1)}),  # several tiles of pixels, windows that see none
    ((2, 16, 9), (32, 16, 4), {"padding": 1}),
    ((1, 32, 2, 3, 2), (16, 32, 2, 1, 3), {"padding": 1}),
]


@pytest.mark.parametrize("shape", FEW, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["none", "relu"])
def test_few_pixels(cpu: CpuBackend, shape: tuple, dtype: type, activation: str) -> None:
    x, w, options = shape
    case = ConvCase.of(x, w, dtype=dtype, **options)
    g, b = case.geometry, np.arange(w[0]).astype(dtype) if activation == "relu" else None
    y, dx, dw = passes(cpu, FEW_PIXELS, case, b, activation)
    wanted = reference.conv_forward(case.x, case.w, b, g)
    np.testing.assert_array_equal(y, np.maximum(wanted, 0) if activation == "relu" else wanted)
    np.testing.assert_array_equal(dx, reference.conv_grad_input(case.grad, case.w, g))
    np.testing.assert_array_equal(dw, reference.conv_grad_weight(case.grad, case.x, g))


@pytest.mark.parametrize(
    "shape", [((1, 512, 4, 4), (64, 512, 3, 3)), ((1, 64, 4, 4), (512, 64, 3, 3)), ((8, 32, 4, 4), (32, 32, 3, 3))], ids=str
)
def test_few_pixels_are_as_exact_as_tiles(cpu: CpuBackend, shape: tuple) -> None:
    """Long sums, against float64."""
    case = gaussian(*shape, padding=1)
    x, w, grad, g = *(a.astype(np.float64) for a in (case.x, case.w, case.grad)), case.geometry
    exact = reference.conv_forward(x, w, None, g), reference.conv_grad_input(grad, w, g), reference.conv_grad_weight(grad, x, g)
    few, direct = ([error(*pair) for pair in zip(passes(cpu, a, case, None), exact)] for a in (FEW_PIXELS, DIRECT))
    assert all(a <= 1.1 * b for a, b in zip(few, direct))


def test_few_pixels_read_weights_that_are_kept_too(cpu: CpuBackend) -> None:
    """Such a weight is read-only, and no kernel takes that."""
    conv, x = nc.nn.Conv2d(32, 64, 3, padding=1), nc.randn(2, 32, 2, 2)
    with only("few pixels"):
        wanted = conv(x).detach().numpy()
        with nc.inference_mode():
            np.testing.assert_array_equal(conv(x).numpy(), wanted)


@pytest.mark.parametrize(("c", "oc", "groups"), [(few_pixels.CHANNELS + 4, 32, 1), (32, 24, 1), (32, 32, 2)])
def test_few_pixels_decline(c: int, oc: int, groups: int) -> None:
    g = geometry((1, c, 2, 2), (oc, c // groups, 3, 3), padding=1, groups=groups)
    assert all(FEW_PIXELS.reason(op, g, "float32") for op in ("forward", "grad_input", "grad_weight"))


# -- depthwise: small integers, whose float32 sums are exact -----------------------------------------------------------------
DEPTHWISE = [
    ((2, 16, 9, 11), 3, {"padding": 1}),
    ((2, 20, 9, 11), 3, {"padding": 1, "stride": 2}),  # a ragged vector
    ((2, 33, 19, 21), 3, {"padding": 1, "stride": 2, "dilation": 2}),
    ((2, 20, 9, 41), 3, {"padding": 1}),  # the same, of pixels side by side
    ((1, LANES, 5, 5), 5, {"padding": 2}),
    ((3, 37, 20, 20), (3, 5), {"stride": (2, 1), "padding": (0, 2)}),
    ((2, 16, 3, 14), (1, 4), {}),  # neither rows of three nor as many taps
    ((1, 16, 1, 1), 1, {}),
    ((2, 16, 40, 40), 3, {"padding": 1}),  # more than one block of pixels
]


@pytest.mark.parametrize("shape", DEPTHWISE, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_depthwise(cpu: CpuBackend, shape: tuple, dtype: type) -> None:
    x, k, options = shape
    case = ConvCase.of(x, (x[1], 1, *(k if isinstance(k, tuple) else (k, k))), groups=x[1], dtype=dtype, **options)
    g, b = case.geometry, np.arange(x[1]).astype(dtype)
    for op in ("forward", "grad_input", "grad_weight"):
        assert choose(op, g, np.dtype(dtype).name).name == "depthwise"
    np.testing.assert_array_equal(cpu.conv_forward(case.x, case.w, b, g), reference.conv_forward(case.x, case.w, b, g))
    np.testing.assert_array_equal(cpu.conv_grad_input(case.grad, case.w, g), reference.conv_grad_input(case.grad, case.w, g))
    np.testing.assert_array_equal(cpu.conv_grad_weight(case.grad, case.x, g), reference.conv_grad_weight(case.grad, case.x, g))


# -- the input gradient of few channels, whether or not it pays ------------------------------------------------------------
FOLDED = [
    ((5, 6, 14, 14), (16, 6, 5, 5), {}),
    ((2, 3, 30, 31), (8, 3, 7, 7), {"padding": 3, "stride": 2}),
    ((2, 1, 9, 7), (3, 1, 3, 2), {"padding": (0, 1)}),
    ((2, 3, 11, 11), (4, 3, 2, 2), {"stride": 5}),  # pixels that no window sees
    ((2, 3, 2, 2), (4, 3, 2, 2), {"padding": 7}),  # windows that see no pixel
    ((2, 3, 5, 6), (4, 3, 2, 4), {"padding": "same"}),
    ((1, LANES + 3, 6, 8), (5, LANES + 3, 3, 3), {"padding": 1}),  # several blocks
    ((3, 4, 70, 90), (2, 4, 3, 3), {"dilation": (2, 1)}),  # several tasks an image
]


@pytest.mark.parametrize("shape", FOLDED, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_folded(cpu: CpuBackend, shape: tuple, dtype: type) -> None:
    x, w, options = shape
    case = ConvCase.of(x, w, dtype=dtype, **options)
    g, grad = case.geometry, last(case.grad)
    dx = np.full((g.n, *g.sizes, g.c), np.nan, dtype)
    COLUMN_SUM.grad_input(cpu.buffers, grad, case.w, g, dx)
    np.testing.assert_array_equal(dx.transpose(0, 3, 1, 2), reference.conv_grad_input(case.grad, case.w, g))


def test_an_infinity_reaches_only_the_pixels_of_its_window(cpu: CpuBackend) -> None:
    case = ConvCase.of((1, 6, 14, 14), (16, 6, 5, 5))
    case.grad[0, 3, 2, 4] = np.inf
    dx = cpu.conv_grad_input(case.grad, case.w, case.geometry)
    assert choose("grad_input", case.geometry, "float32").name == "column sum"
    seen = np.zeros((14, 14), bool)
    seen[2:7, 4:9] = True
    assert np.isfinite(dx[0, :, ~seen]).all()
    assert not np.isfinite(dx[0, :, seen]).any()


def test_column_sums_in_parts_is_the_same_bits(cpu: CpuBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    case = gaussian((7, 6, 14, 14), (16, 6, 5, 5))
    whole = cpu.conv_grad_input(case.grad, case.w, case.geometry)
    monkeypatch.setattr(column_sum, "SUMS_BYTES", 2 * 14 * 10 * column_sum.column_sum_step(case.geometry, "float32") * 4)
    column_sum.column_sum_plans.cache_clear()
    try:
        assert [part.start for part, _ in column_sum.column_sum_plans(case.geometry, case.grad.dtype)] == [0, 2, 4, 6]
        parts = cpu.conv_grad_input(case.grad, case.w, case.geometry)
    finally:
        column_sum.column_sum_plans.cache_clear()
    np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize(
    ("x", "w", "groups", "algorithm"),
    [
        ((4, 64, 28, 28), (64, 64, 3, 3), 1, "winograd"),
        ((2, 32, 9, 9), (32, 1, 3, 3), 32, "depthwise"),
        ((2, 32, 9, 9), (32, 4, 3, 3), 8, "grouped"),
        ((2, 1, 28, 28), (6, 1, 5, 5), 1, "superpixels"),
        ((2, 40, 9, 9), (40, 40, 2, 2), 1, "direct"),
    ],
)
@pytest.mark.parametrize("step", [2, -2])
def test_a_bias_may_be_any_view(cpu: CpuBackend, x: tuple, w: tuple, groups: int, algorithm: str, step: int) -> None:
    case = gaussian(x, w, groups=groups, padding=1)
    assert choose("forward", case.geometry, "float32").name == algorithm
    bias = np.arange(2 * w[0], dtype=np.float32)[::step]
    wanted = cpu.conv_forward(case.x, case.w, bias.copy(), case.geometry)
    np.testing.assert_array_equal(cpu.conv_forward(case.x, case.w, bias, case.geometry), wanted)


@pytest.mark.parametrize("images", [1, 60])
@pytest.mark.parametrize("values", [(np.inf, -np.inf), (np.nan, np.nan), (3e38, 3e38)], ids=str)
def test_superpixels_keep_what_is_not_finite_to_its_windows(cpu: CpuBackend, images: int, values: tuple[float, float]) -> None:
    case = gaussian((images, 1, 28, 28), (6, 1, 5, 5), padding=2)
    case.x[0, 0, 13, 13:15] = values
    y = cpu.conv_forward(case.x, case.w, None, case.geometry)
    seen = np.zeros((28, 28), bool)
    seen[11:16, 11:17] = True  # by the windows of one or of the other
    assert np.isfinite(y[..., ~seen]).all()
    if not np.isfinite(values).all():
        assert not np.isfinite(y[0][..., seen]).any()


@pytest.mark.parametrize("activation", ["none", "relu", "sigmoid"])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_superpixels_are_exact_beside_what_is_not_finite(cpu: CpuBackend, value: float, activation: str) -> None:
    case = ConvCase.of((3, 2, 28, 28), (6, 2, 5, 5), padding=2)
    g, bias = case.geometry, np.arange(6, dtype=np.float32)
    assert choose("forward", g, "float32").name == "superpixels"
    finite = cpu.conv_forward(case.x, case.w, bias, g, activation)
    case.x[[0, 0, 2], [0, 1, 1], [0, 13, 27], [0, 14, 27]] = value
    found, wanted = cpu.conv_forward(case.x, case.w, bias, g, activation), reference.conv_forward(case.x, case.w, bias, g)
    wanted = wanted if activation == "none" else cpu.unary(activation, wanted)
    np.testing.assert_array_equal(found, wanted)
    untouched = np.ones((28, 28), bool)
    untouched[:3, :3] = untouched[11:16, 12:17] = untouched[25:, 25:] = False
    np.testing.assert_array_equal(found[..., untouched], finite[..., untouched])


def test_gradients_by_superpixels_are_exact_beside_an_infinity(cpu: CpuBackend) -> None:
    case = ConvCase.of((3, 2, 28, 28), (6, 2, 5, 5), padding=2)
    wide = ConvCase.of((3, 6, 28, 28), (24, 6, 3, 3), padding=1)  # whose input gradient has few channels
    taken = [c for c in (case, wide) if choose("grad_input", c.geometry, "float32").name == "superpixels"]
    assert taken
    for c in taken:
        c.grad[0, 1, 5, 6] = np.inf
        np.testing.assert_array_equal(cpu.conv_grad_input(c.grad, c.w, c.geometry), reference.conv_grad_input(c.grad, c.w, c.geometry))


# -- groups of a few channels ------------------------------------------------------------------------------------------------
GROUPED = [
    ((2, 32, 9, 11), 3, {"padding": 1}),
    ((2, 40, 9, 11), 3, {"padding": 1, "stride": 2}),  # a ragged vector
    ((2, 24, 19, 21), 3, {"padding": 1, "stride": 2, "dilation": 2}),
    ((1, 16, 5, 5), 5, {"padding": 2}),
    ((3, 56, 20, 20), (3, 5), {"stride": (2, 1), "padding": (0, 2)}),
    ((1, 16, 1, 1), 1, {}),
    ((2, 16, 40, 40), 3, {"padding": 1}),  # more than one block of pixels
]


@pytest.mark.parametrize("size", [2, 4, 8])
@pytest.mark.parametrize("shape", GROUPED, ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_grouped(cpu: CpuBackend, shape: tuple, size: int, dtype: type) -> None:
    x, k, options = shape
    weight = (x[1], size, *(k if isinstance(k, tuple) else (k, k)))
    case = ConvCase.of(x, weight, groups=x[1] // size, dtype=dtype, **options)
    g, b = case.geometry, np.arange(x[1]).astype(dtype)
    fits = size <= LANES * 4 // np.dtype(dtype).itemsize
    for op in ("forward", "grad_input", "grad_weight"):
        assert (choose(op, g, np.dtype(dtype).name).name == "grouped") == fits
    np.testing.assert_array_equal(cpu.conv_forward(case.x, case.w, b, g), reference.conv_forward(case.x, case.w, b, g))
    found = cpu.conv_forward(case.x, case.w, b, g, "relu")
    np.testing.assert_array_equal(found, np.maximum(reference.conv_forward(case.x, case.w, b, g), 0))
    np.testing.assert_array_equal(cpu.conv_grad_input(case.grad, case.w, g), reference.conv_grad_input(case.grad, case.w, g))
    np.testing.assert_array_equal(cpu.conv_grad_weight(case.grad, case.x, g), reference.conv_grad_weight(case.grad, case.x, g))


# -- choice ------------------------------------------------------------------------------------------------------------------
def geometry(x: tuple[int, ...], w: tuple[int, ...], **options: object) -> ConvGeometry:
    return ConvCase.of(x, w, **options).geometry


@pytest.mark.parametrize(
    ("g", "dtype", "wanted"),
    [
        (geometry((4, 64, 56, 56), (64, 64, 3, 3), padding=1), "float32", "winograd"),
        (geometry((4, 64, 56, 56), (64, 64, 3, 3), padding=1), "float64", "direct"),
        (geometry((4, 64, 56, 56), (64, 64, 3, 3), stride=2), "float32", "direct"),
        (geometry((1, 512, 2, 2), (512, 512, 3, 3), padding=1), "float32", "few pixels"),
        (geometry((1, 512, 2, 2), (512, 512, 3, 3), padding=1), "float64", "few pixels"),
        (geometry((1, 64, 2, 2), (16, 64, 1, 1)), "float32", "few pixels"),
        (geometry((1, 64, 3, 3), (16, 64, 1, 1)), "float32", "direct"),  # too many pixels for so few weights
        (geometry((4, 128, 8, 8), (128, 128, 3, 3), padding=1), "float32", "direct"),  # Winograd's weights would cost more than they save
        (geometry((2, 16, 8, 8), (16, 1, 3, 3), groups=16), "float32", "depthwise"),
        (geometry((2, 2, 8, 8), (2, 1, 3, 3), groups=2), "float32", "direct"),
        (geometry((2, LANES, 8, 8), (LANES, LANES, 2, 2)), "float32", "direct"),
        (geometry((2, LANES, 8, 8), (LANES, 2, 3, 3), groups=LANES // 2), "float32", "grouped"),
        (geometry((8, 1, 28, 28), (6, 1, 5, 5), padding=2), "float32", "superpixels"),
    ],
)
def test_the_first_that_does_not_decline(g: ConvGeometry, dtype: str, wanted: str) -> None:
    assert choose("forward", g, dtype).name == wanted


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((1, 512, 4, 4), ["few pixels"] * 3),
        ((8, 512, 4, 4), ["few pixels"] * 3),
        ((1, 128, 8, 8), ["few pixels"] * 3),
        ((2, 128, 8, 8), ["direct", "direct", "few pixels"]),  # whose gradient needs no packing either way
        ((4, 128, 8, 8), ["direct", "direct", "winograd"]),
        ((16, 128, 8, 8), ["winograd"] * 3),
    ],
    ids=str,
)
def test_the_choice_of_a_pass_in_training(shape: tuple, wanted: list[str]) -> None:
    """Weights change at every step, so what an algorithm makes of them is made each time."""
    g = geometry(shape, (shape[1], shape[1], 3, 3), padding=1)
    assert [choose(op, g, "float32").name for op in ("forward", "grad_input", "grad_weight")] == wanted


@pytest.mark.parametrize("trained", [True, False])
def test_packed_weights_are_used_where_they_are_kept(monkeypatch: pytest.MonkeyPatch, trained: bool) -> None:
    """That is decided by whether the weight wants a gradient, not by whether it could be kept: so a layer always gives the same bits."""
    conv, x = nc.nn.Conv2d(64, 64, 3, padding=1), nc.randn(1, 64, 2, 2)
    drivers = []
    launches.through(monkeypatch, lambda driver, *args: (drivers.append(driver), launch(driver, *args)))
    conv.requires_grad_(trained)
    held = None if trained else conv.weight.numpy()  # so that no pack is kept
    conv(x)
    assert (few_pixels.forward in drivers) == trained
    del held


@pytest.fixture
def _restored() -> Iterator[None]:
    yield
    config.winograd, config.explain = True, False


@pytest.mark.usefixtures("_restored")
def test_winograd_can_be_switched_off() -> None:
    g = geometry((4, 64, 56, 56), (64, 64, 3, 3), padding=1)
    config.winograd = False
    assert [choose(op, g, "float32").name for op in ("forward", "grad_input", "grad_weight")] == ["direct"] * 3


@pytest.mark.usefixtures("_restored")
def test_the_choice_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    g = geometry((4, 64, 9, 8), (32, 64, 3, 3), stride=(2, 1))
    config.explain = True
    choose("grad_input", g, "float32")
    assert capsys.readouterr().err.splitlines() == [
        "[conv2d grad_input] (4, 64, 9, 8) * (32, 64, 3, 3), stride (2, 1), padding ((0, 0), (0, 0)): direct",
        "    not depthwise: not one channel to a group",
        "    not grouped: channels per group are not 2, 4 or 8 on both sides",
        "    not few pixels: so many pixels make up for packing the weights",
        "    not winograd: the input gradient is no plain convolution",
        "    not column sum: a window's row would not fill the vectors better",
        "    not superpixels: the input gradient is no plain convolution",
    ]
    choose("grad_input", g, "float32")
    assert capsys.readouterr().err == ""  # once for each geometry


# -- other processors, and none ------------------------------------------------------------------------------------------------
CHILD = """
import sys
sys.path.insert(0, "tests")
import numpy as np
import test_kernels_special as t
cpu = t.backends.get("cpu")
t.test_winograd_is_as_exact_as_it_says(cpu, None, t.SHAPES[{shape}], None)
t.test_depthwise(cpu, t.DEPTHWISE[{shape}], np.float32)
t.test_depthwise(cpu, t.DEPTHWISE[0], np.float32)
t.test_grouped(cpu, t.GROUPED[{shape}], 4, np.float32)
t.test_few_pixels(cpu, t.FEW[{shape}], np.float32, "relu")
t.test_few_pixels(cpu, t.FEW[{shape}], np.float64, "none")
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"NUMBA_DISABLE_JIT": "1"},
        pytest.param({"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": "+sse2"}, marks=pytest.mark.long),
        pytest.param({"NUMBA_CPU_NAME": "sandybridge", "NUMBA_CPU_FEATURES": "+avx"}, marks=pytest.mark.long),
    ],
    ids=lambda e: "-".join(e.values()),
)
def test_another_processor(environment: dict[str, str]) -> None:
    """Four lanes, no fused multiply-add, and no compiler at all."""
    import llvmlite.binding as llvm

    if not llvm.get_host_cpu_features().get("avx", False):
        pytest.skip("needs an AVX processor (this is no x86)")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_CPU", "NUMBA_DISABLE"))}
    code = CHILD.format(shape=3 if "NUMBA_DISABLE_JIT" in environment else 1)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=inherited | environment, timeout=300, check=True)
