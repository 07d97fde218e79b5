"""Convolution and pooling along one and three axes, on every device against the reference: equal on small integers, whatever the shape."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import launches
import numpy as np
import pytest
from held import holding

from numbacnn import backends, config, reference
from numbacnn.backends.cpu import CpuBackend, conv, run
from numbacnn.backends.cpu.plan import conv as plans
from numbacnn.backends.cpu.plan import kept, winograd
from numbacnn.geometry import AdaptivePoolGeometry, ConvGeometry, PoolGeometry
from numbacnn.kernels.cpu.conv import PIXELS, pad
from numbacnn.kernels.cpu.launch import launch
from numbacnn.testing import AdaptiveCase, ConvCase, PoolCase
from numbacnn.testing.cases import relayout


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def cpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> CpuBackend:
    monkeypatch.setattr(config, "threads", request.param)
    return backends.get("cpu")  # type: ignore[return-value]


def equal(found: np.ndarray, wanted: np.ndarray) -> None:
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_array_equal(found, wanted)


def check(xp: CpuBackend, case: ConvCase) -> None:
    """Forward, with a bias and an activation, and both gradients."""
    g = case.geometry
    b = np.random.default_rng(9).integers(-4, 5, g.oc).astype(case.x.dtype)
    y = reference.conv_forward(case.x, case.w, b, g)
    equal(xp.conv_forward(case.x, case.w, b, g), y)
    equal(xp.conv_forward(case.x, case.w, b, g, "relu"), np.maximum(y, 0))
    equal(xp.conv_grad_input(case.grad, case.w, g), reference.conv_grad_input(case.grad, case.w, g))
    equal(xp.conv_grad_weight(case.grad, case.x, g), reference.conv_grad_weight(case.grad, case.x, g))


def _drawn(count: int, seed: int, axes: int) -> Iterator[tuple[Any, ...]]:
    """(input shape, weight shape, options): every parameter varies, sizes lean to the small and the odd."""
    rng = np.random.default_rng(seed)
    pick = lambda *values: tuple(int(v) for v in rng.choice(values, axes))
    while count:
        groups = int(rng.choice([1, 1, 1, 2, 3]))
        c, oc = groups * int(rng.choice([1, 1, 2, 3, 5])), groups * int(rng.choice([1, 2, 3, 7, 17]))
        sizes = pick(1, 2, 3, 5, 6, 7) if axes == 3 else pick(1, 2, 5, 9, 33, 100)
        kernel, stride, padding, dilation = pick(1, 2, 3), pick(1, 1, 2, 3), pick(0, 0, 1, 2), pick(1, 1, 2)
        if all(n + 2 * p > d * (k - 1) for n, p, d, k in zip(sizes, padding, dilation, kernel)):
            options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            yield (int(rng.choice([0, 1, 2, 5])), c, *sizes), (oc, c // groups, *kernel), options
            count -= 1


SPECIAL = [
    ((1, 1, 4000), (8, 1, 9), {"stride": 4, "padding": 4}),  # audio
    ((2, 3, 129), (4, 3, 7), {"padding": 3}),  # superpixels
    ((2, 64, 33), (64, 1, 5), {"groups": 64, "padding": 2}),  # depthwise
    ((2, 64, 33), (64, 4, 3), {"groups": 16, "padding": "same", "dilation": 2}),  # grouped
    ((3, 40, 17), (70, 40, 3), {"padding": 1}),
    ((2, 1024, 9), (40, 1024, 1), {}),  # pixels that are moved apart
    ((1, 3, 5, 6, 8), (4, 3, 3, 3, 3), {"padding": 1}),  # superpixels
    ((1, 1, 6, 9, 12), (20, 1, 3, 3, 5), {"padding": (1, 1, 2)}),  # an input gradient by column sums
    ((1, 64, 4, 5, 6), (64, 1, 3, 3, 3), {"groups": 64, "padding": 1}),  # depthwise
    ((1, 32, 4, 5, 6), (32, 4, 3, 2, 3), {"groups": 8, "stride": (2, 1, 2)}),  # grouped
    ((2, 40, 3, 5, 4), (70, 40, 3, 3, 3), {"padding": 1}),
    ((1, 8, 2, 7, 7), (9, 8, 3, 3, 3), {"padding": "same", "dilation": (3, 1, 2)}),
]
SHAPES = [*SPECIAL, *_drawn(12, 1, axes=1), *_drawn(12, 3, axes=3)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_convolution(cpu: CpuBackend, dtype: str) -> None:
    for x, w, options in SHAPES:
        check(cpu, ConvCase.of(x, w, dtype=dtype, **options))


def test_every_way_to_convolve_is_met() -> None:
    """In both numbers of axes, but for Winograd's, which is for images, and column sums, which are not for signals."""
    met = {1: set(), 3: set()}  # type: dict[int, set[str]]
    for x, w, options in SPECIAL:
        g = ConvGeometry.of(x, w, **options)
        met[len(g.axes)].update(conv.choose(op, g, "float32").name for op in ("forward", "grad_input"))
    assert met[1] == {"depthwise", "grouped", "superpixels", "direct"}
    assert met[3] == {"depthwise", "grouped", "superpixels", "direct", "column sum"}


@pytest.mark.parametrize("layout", ["channels_last", "fortran", "reversed", "readonly"])
def test_any_layout(cpu: CpuBackend, layout: str) -> None:
    for x, w, options in (SPECIAL[1], SPECIAL[6]):
        case = ConvCase.of(x, w, **options)
        check(cpu, holding(case, *(relayout(a, layout) for a in (case.x, case.w, case.grad))))


def _pools(axes: int) -> list[tuple[Any, ...]]:
    """(input shape, kernel, options)."""
    sizes = {1: (41,), 3: (5, 6, 9)}[axes]
    options: list[tuple[Any, dict[str, Any]]] = [
        (2, {}),
        (3, {"stride": 2, "padding": 1}),
        (3, {"stride": 2, "padding": 1, "ceil_mode": True}),
        ((2, 3, 4)[-axes:], {"stride": (1, 2, 3)[-axes:], "padding": (1, 0, 2)[-axes:], "ceil_mode": True}),
        (2, {"stride": 3}),  # gaps
        (2, {"dilation": 2, "padding": 1, "stride": 1}),
    ]
    return [((n, c, *sizes), kernel, more) for n, c in ((1, 1), (2, 40), (17, 3), (0, 2)) for kernel, more in options]


POOLS = _pools(1) + _pools(3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_maxima(cpu: CpuBackend, dtype: str) -> None:
    for shape, kernel, options in POOLS:
        case = PoolCase.of(shape, kernel, dtype=dtype, **options)
        x = np.where(np.random.default_rng(5).random(shape) < 0.05, np.nan, case.x).astype(dtype)
        for data in (case.x, x):
            y, index = cpu.max_pool_forward(data, case.geometry)
            wanted, places = reference.max_pool_forward(data, case.geometry)
            equal(y, wanted)
            equal(index, places)
            equal(cpu.max_pool_backward(case.grad, index, case.geometry), reference.max_pool_backward(case.grad, places, case.geometry))


@pytest.mark.parametrize("include", [False, True])
def test_means(cpu: CpuBackend, include: bool) -> None:
    """Of multiples of every divisor, so that all sums are exact."""
    for shape, kernel, options in POOLS:
        if "dilation" in options:
            continue
        case = PoolCase.of(shape, kernel, dtype="float64", count_include_pad=include, **options)
        x, grad = case.x * 12**3, case.grad * 12**3
        equal(cpu.avg_pool_forward(x, case.geometry), reference.avg_pool_forward(x, case.geometry))
        equal(cpu.avg_pool_backward(grad, case.geometry), reference.avg_pool_backward(grad, case.geometry))


ADAPTIVE = [
    ((1, 1, 41), 7),
    ((2, 3, 5), 9),
    ((20, 2, 6), 6),
    ((2, 40, 5, 6, 7), (2, 4, 3)),
    ((1, 1, 3, 2, 5), (5, 1, 7)),
    ((2, 3, 4, 4, 4), 1),
]


def test_adaptive_means(cpu: CpuBackend) -> None:
    for shape, size in ADAPTIVE:
        case = AdaptiveCase.of(shape, size, dtype="float64")
        common = 2**3 * 3**3 * 5 * 7  # a multiple of every divisor
        x, grad = case.x * common, case.grad * common
        equal(cpu.adaptive_avg_pool_forward(x, case.geometry), reference.adaptive_avg_pool_forward(x, case.geometry))
        equal(cpu.adaptive_avg_pool_backward(grad, case.geometry), reference.adaptive_avg_pool_backward(grad, case.geometry))


# -- how the work is cut ---------------------------------------------------------------------------------------------------
SIGNAL, VOLUME = (1, 16, 20000), (1, 16, 4, 70, 80)


@pytest.mark.parametrize("shape", [SIGNAL, VOLUME], ids=["signal", "volume"])
def test_one_example_is_many_tasks(shape: tuple[int, ...]) -> None:
    axes = len(shape) - 2
    g = ConvGeometry.of(shape, (24, 16, *(3,) * axes), padding=1)
    for made in (plans.forward_plans(g, "float32"), plans.grad_input_plans(g, "float32")):
        assert sum(plan.pixel_tasks * plan.channel_tasks for _, plan in made) >= 16
    weight = plans.grad_weight_plan(g, "float32")
    assert weight.chunks * weight.groups * weight.channel_tasks * weight.tap_tasks >= 16
    grouped = ConvGeometry.of((1, 64, *shape[2:]), (64, 1, *(3,) * axes), groups=64)
    assert plans.forward_plans(grouped, "float32")[0][1].shares >= 16
    narrow = ConvGeometry.of((1, 1, *shape[2:]), (24, 1, *(3,) * axes))
    assert (conv.choose("grad_input", narrow, "float32").name == "column sum") == (axes > 1)  # which is cut by lines


def evenness(tasks: int) -> float:
    """Of tasks that are equal, the share of the time in which sixteen threads are busy."""
    return tasks / 16 / -(-tasks // 16)


@pytest.mark.parametrize("channels, size", [(64, 32), (128, 16), (256, 8)])
def test_sixteen_threads_share_winograd_evenly(channels: int, size: int) -> None:
    g = ConvGeometry.of((64, channels, size, size), (channels, channels, 3, 3), padding=1)
    plan = winograd.winograd_plans(g)[0]
    products, sums = plan.contraction, plan.correlation
    assert evenness(products.pixel_tasks * products.channel_tasks) >= 0.9
    assert evenness(sums.chunks * sums.groups * sums.channel_tasks * sums.tap_tasks) >= 0.9
    assert evenness(int(plan.inputs["tasks"][0])) == evenness(int(plan.outputs["tasks"][0])) == 1
    (one,) = winograd.winograd_plans(replace(g, n=1))
    assert int(one.inputs["tasks"][0]) == min(16, one.patches)


@pytest.mark.parametrize(
    "shape, outputs", [((64, 1, 28, 28), 6), ((64, 64, 32, 32), 128), ((64, 128, 16, 16), 256), ((1, 128, 16, 16), 128)]
)
def test_sixteen_threads_share_tiles_evenly(shape: tuple[int, ...], outputs: int) -> None:
    g = ConvGeometry.of(shape, (outputs, shape[1], 3, 3), 2 if shape[0] > 1 else 1, 1)
    for ((_, plan),) in (plans.forward_plans(g, "float32"), plans.grad_input_plans(g, "float32")):
        assert evenness(plan.pixel_tasks * plan.channel_tasks) == 1
    weight = plans.grad_weight_plan(g, "float32")
    assert evenness(weight.chunks * weight.groups * weight.channel_tasks * weight.tap_tasks) == 1


def test_what_is_cut_by_lines_has_many_of_them_in_one_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pooling and padding share out lines: those of one signal are its pixels."""
    cpu, lines = backends.get("cpu"), []  # type: ignore[var-annotated]

    def count(driver: Any, *arguments: Any) -> None:
        whole = [a for a in arguments if isinstance(a, np.ndarray) and a.ndim == 3]
        lines.append(arguments[4] if driver is pad else min(a.shape[1] for a in whole))
        launch(driver, *arguments)

    launches.through(monkeypatch, count)
    x = np.ones(SIGNAL, np.float32)
    g, a = PoolGeometry.of(SIGNAL, 2), AdaptivePoolGeometry.of(SIGNAL, 100)
    y, index = cpu.max_pool_forward(x, g)
    cpu.max_pool_backward(y, index, g)
    cpu.avg_pool_backward(cpu.avg_pool_forward(x, g), g)
    cpu.adaptive_avg_pool_backward(cpu.adaptive_avg_pool_forward(x, a), a)
    run.padded(cpu.buffers, np.ones((1, 20000, 16), np.float32), [(1, 1)])
    assert len(lines) == 7 and min(lines) >= 100


@pytest.mark.parametrize(
    ("x", "w", "options"),
    [
        *SPECIAL,
        ((2, 5, 7, 6, 5), (6, 5, 3, 3, 3), {"padding": 1, "stride": (2, 1, 1)}),
        ((2, 5, 9, 6), (6, 5, 1, 3), {"padding": (0, 1), "stride": (3, 1)}),  # places of the input that no tap reaches
    ],
    ids=str,
)
@pytest.mark.parametrize("pixels", [1, 40])
def test_large_results_by_lines_and_slices(monkeypatch: pytest.MonkeyPatch, x: Any, w: Any, options: Any, pixels: int) -> None:
    """As if no table might hold more than so many pixels, or a slice: the same numbers, from tables as small as that."""
    g = ConvGeometry.of(x, w, **options)
    kept.forget()
    monkeypatch.setattr(plans, "TABLE_PIXELS", pixels)
    try:
        made = plans.forward_plans(g, "float32")
        slice_pixels = max(pixels, math.prod(g.outputs[1:]))
        assert all(plan.tap_sets[:, PIXELS].sum() <= slice_pixels for _, plan in made)
        check(backends.get("cpu"), ConvCase.of(x, w, **options))  # type: ignore[arg-type]
    finally:
        monkeypatch.undo()
        kept.forget()


def test_plans_occupy_so_many_bytes_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    kept.forget()
    geometries = [ConvGeometry.of((1, 2, 300 + i), (3, 2, 3)) for i in range(20)]
    first = plans.forward_plans(geometries[0], "float32")
    assert plans.forward_plans(geometries[0], "float32") is first
    monkeypatch.setattr(kept, "PLAN_BYTES", 5 * first[0][1].nbytes)
    for g in geometries:
        plans.forward_plans(g, "float32")
        assert plans.forward_plans.cache_info().currsize <= 5  # type: ignore[attr-defined]
    assert plans.forward_plans(geometries[0], "float32") is not first
