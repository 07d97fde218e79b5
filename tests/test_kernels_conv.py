"""The CPU's dense kernels against the reference: equal on small integers, whose float32 sums are exact, whatever the shape."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import launches
import numpy as np
import pytest
from held import holding

from numbacnn import backends, reference
from numbacnn.backends.cpu import CpuBackend
from numbacnn.backends.cpu.plan import tiles
from numbacnn.backends.cpu.plan.conv import forward_plans, grad_weight_plan, prepadded
from numbacnn.backends.cpu.plan.linear import FEW_ROWS, matmul_t_plan
from numbacnn.geometry import ConvGeometry, PoolGeometry
from numbacnn.kernels.cpu import conv, few_rows, launch
from numbacnn.kernels.cpu.tile import LANES
from numbacnn.testing import ConvCase
from numbacnn.testing.cases import relayout

ROOT = Path(__file__).parents[1]
WIDE, NARROW = tiles.WIDE[0], tiles.NARROW[0]  # rows of the two tiles


@pytest.fixture
def cpu() -> CpuBackend:
    return backends.get("cpu")  # type: ignore[return-value]


def ints(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(dtype)


def equal(found: np.ndarray, wanted: np.ndarray) -> None:
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_array_equal(found, wanted)


def check(xp: CpuBackend, case: ConvCase, bias: bool = True) -> None:
    """Forward and both gradients."""
    g = case.geometry
    b = ints(g.oc, seed=9, dtype=case.x.dtype) if bias else None
    equal(xp.conv_forward(case.x, case.w, b, g), reference.conv_forward(case.x, case.w, b, g))
    equal(xp.conv_grad_input(case.grad, case.w, g), reference.conv_grad_input(case.grad, case.w, g))
    equal(xp.conv_grad_weight(case.grad, case.x, g), reference.conv_grad_weight(case.grad, case.x, g))


# -- geometries ------------------------------------------------------------------------------------------------------------
def _drawn(count: int, seed: int) -> Iterator[tuple[Any, ...]]:
    """(input shape, weight shape, options): every parameter varies, sizes lean to the small and the odd."""
    rng = np.random.default_rng(seed)
    while count:
        groups = int(rng.choice([1, 1, 1, 2, 3]))
        c, oc = (int(rng.choice([1, 2, 3, 5, 8, 17])) * groups for _ in range(2))
        n, h, w = int(rng.choice([0, 1, 2, 3, 7])), int(rng.integers(1, 12)), int(rng.integers(1, 12))
        kh, kw = (int(k) for k in rng.integers(1, 6, 2))
        options = {
            "stride": tuple(int(s) for s in rng.choice([1, 1, 2, 3, 5], 2)),
            "padding": tuple(int(p) for p in rng.choice([0, 1, 2, 3, 6], 2)),
            "dilation": tuple(int(d) for d in rng.choice([1, 1, 2, 3], 2)),
            "groups": groups,
        }
        try:
            ConvGeometry.of((n, c, h, w), (oc, c // groups, kh, kw), **options)  # type: ignore[arg-type]
        except ValueError:
            continue
        count -= 1
        yield (n, c, h, w), (oc, c // groups, kh, kw), options


SPECIAL: list[tuple[Any, ...]] = [
    ((2, LANES, 5, 5), (LANES, LANES, 3, 3), {"padding": 1}),  # one group, as wide as a vector
    ((2, 2 * LANES, 5, 6), (2 * LANES, 2, 3, 3), {"padding": 1, "groups": LANES}),
    ((3, 2 * LANES + 4, 7, 6), (2 * LANES + 4, 4, 3, 2), {"stride": 2, "groups": LANES // 2 + 1}),
    # images smaller than a tile, so that one tile holds several
    ((64, 3, 1, 1), (5, 3, 1, 1), {}),
    ((33, 3, 1, 1), (5, 3, 3, 3), {"padding": 1}),
    ((9, 2, 1, 2), (3, 2, 1, 1), {}),
    ((50, 4, 2, 2), (6, 4, 2, 2), {"padding": 1, "stride": 2}),
    ((7, 1, 3, 1), (1, 1, 3, 1), {}),
    # as many pixels as a tile has rows, one fewer, one more
    *(((1, 3, 1, p), (4, 3, 1, 1), {}) for rows in (WIDE, NARROW) for p in (rows - 1, rows, rows + 1, 2 * rows, 2 * rows + 1)),
    # output channels around the width of a vector, of a tile, and of several tiles
    *(((2, 3, 5, 5), (oc, 3, 3, 3), {"padding": 1}) for oc in (LANES - 1, LANES, LANES + 1, 2 * LANES, 2 * LANES + 1, 5 * LANES + 3)),
    # the same for the input's, which are the outputs of the input gradient
    *(((2, c, 5, 5), (3, c, 3, 3), {"padding": 1}) for c in (LANES - 1, LANES + 1, 2 * LANES, 2 * LANES + 1, 4 * LANES + 5)),
    ((2, 3 * (LANES + 1), 5, 5), (3 * (LANES + 2), LANES + 1, 3, 3), {"groups": 3}),
    ((2, 12, 6, 6), (12, 1, 3, 3), {"groups": 12, "padding": 1}),  # depthwise
    ((2, 12, 6, 6), (8, 6, 3, 3), {"groups": 2, "padding": 1}),  # a run of rows to a group's channels
    ((2, 6, 9, 9), (8, 6, 3, 3), {"dilation": 2}),
    # many pixels: several tasks, chunks and blocks
    ((3, 2, 40, 41), (3, 2, 3, 3), {"padding": 1}),
    ((300, 4, 3, 3), (20, 4, 2, 2), {}),
    ((2, 70, 9, 9), (70, 70, 1, 1), {}),
    # few pixels and many channels: the tasks share out the channels
    ((1, 40, 3, 3), (200, 40, 3, 3), {"padding": 1}),
    # pixels that are moved apart, of the input and of its gradient
    ((2, 1024, 3, 3), (5, 1024, 1, 1), {}),
    ((2, 2, 4, 5), (1024, 2, 3, 3), {"padding": 1, "stride": 2}),
    ((1, 1024, 3, 2), (2, 1024, 3, 3), {"padding": 1}),
    # a stride beyond the kernel leaves pixels that no window sees; padding beyond it gives windows that see no pixel
    ((2, 3, 11, 11), (4, 3, 2, 2), {"stride": 5}),
    ((2, 3, 2, 2), (4, 3, 2, 2), {"padding": 7}),
    ((1, 2, 1, 1), (2, 2, 3, 3), {"padding": 4, "dilation": 3, "stride": 2}),
    # asymmetric padding
    ((2, 3, 5, 6), (4, 3, 2, 4), {"padding": "same"}),
    ((2, 3, 5, 6), (4, 3, 4, 2), {"padding": "same", "dilation": (3, 2)}),
    # LeNet
    ((5, 1, 28, 28), (6, 1, 5, 5), {"padding": 2}),
    ((5, 6, 14, 14), (16, 6, 5, 5), {}),
]
*OTHERS, LENET_2 = SPECIAL


def test_a_drawn_set_of_geometries(cpu: CpuBackend) -> None:
    for i, (x, w, options) in enumerate(_drawn(200, seed=1)):
        check(cpu, ConvCase.of(x, w, seed=3 * i, **options), bias=i % 3 > 0)


def test_a_drawn_set_of_geometries_in_float64(cpu: CpuBackend) -> None:
    for i, (x, w, options) in enumerate(_drawn(40, seed=2)):
        check(cpu, ConvCase.of(x, w, seed=3 * i, dtype=np.float64, **options), bias=i % 3 > 0)


@pytest.mark.parametrize(("x", "w", "options"), [*OTHERS, pytest.param(*LENET_2, marks=pytest.mark.smoke)], ids=str)
def test_special_geometries(cpu: CpuBackend, x: tuple[int, ...], w: tuple[int, ...], options: dict[str, Any]) -> None:
    check(cpu, ConvCase.of(x, w, **options))


def test_equal_geometries_are_one(cpu: CpuBackend) -> None:
    """What was worked out for a geometry serves every equal one, whichever object it is."""
    for x, w in (((1, 1, 1, 1), (1, 1, 1, 2)), ((1, 512, 7, 7), (64, 512, 3, 3))):
        case = ConvCase.of(x, w, padding=(0, 1))
        g = case.geometry
        check(cpu, case)
        check(cpu, holding(replace(case, geometry=replace(g)), case.x, case.w, case.grad))
        assert replace(g) is not g
        assert (prepadded(g, case.x.dtype) is None) == (x[1] == 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_rows_of_a_weight_gradient_lie_in_the_window(dtype: str) -> None:
    """Also those that fill up the last tile: nobody wants their sums, but at the last pixel they would be read behind the input."""
    geometries = [ConvGeometry.of(x, w, **options) for x, w, options in (*SPECIAL, *_drawn(200, seed=4))]
    plans = [grad_weight_plan(g, dtype) for g in geometries if g.n]
    plans += [matmul_t_plan(m, i, o, dtype) for m, i, o in MATRICES]
    for p in plans:
        window, run = set(p.window_offsets[: p.offsets.shape[1]].tolist()), p.tile.run
        assert {int(p.window_offsets[i - i % run]) + i % run for i in range(len(p.window_offsets))} <= window


@pytest.mark.parametrize("layout", ["channels_last", "fortran", "reversed", "every_other", "readonly"])
def test_layouts(cpu: CpuBackend, layout: str) -> None:
    case = ConvCase.of((2, 3, 6, 5), (4, 3, 3, 2), padding=1, stride=2)
    check(cpu, holding(case, relayout(case.x, layout), relayout(case.w, layout), relayout(case.grad, layout)))


def test_a_gradient_of_zero_strides(cpu: CpuBackend) -> None:
    """What ``sum().backward()`` hands down."""
    case = ConvCase.of((2, 3, 6, 5), (4, 3, 3, 2), padding=1)
    check(cpu, holding(case, case.x, case.w, np.broadcast_to(np.float32(3), case.grad.shape)))


def test_results_are_channels_last_and_weight_gradients_c_ordered(cpu: CpuBackend) -> None:
    case = ConvCase.of((2, 3, 6, 5), (4, 3, 3, 2), padding=1)
    g = case.geometry
    for y in (cpu.conv_forward(case.x, case.w, None, g), cpu.conv_grad_input(case.grad, case.w, g)):
        assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert cpu.conv_grad_weight(case.grad, case.x, g).flags.c_contiguous


# -- matrix products -------------------------------------------------------------------------------------------------------
MATRICES = [
    (1, 1, 1),
    (1, 7, 3),
    (WIDE, 3, LANES),
    (WIDE + 1, 5, LANES + 1),
    (NARROW - 1, 2, 2 * LANES + 1),
    (256, 400, 120),
    (3, 130, 84),
    (200, 1, 10),
    (FEW_ROWS, 131, 2 * LANES + 3),
    (FEW_ROWS + 1, 2 * conv.CROWDED, 2 * WIDE),
    (2, 6, 2 * few_rows.COLUMNS + 5),
    (2 * WIDE, 33, 5 * LANES),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("m", "k", "n"), MATRICES)
def test_matmul_and_linear(cpu: CpuBackend, m: int, k: int, n: int, dtype: str) -> None:
    a, b, bias, grad = (ints(*s, seed=i, dtype=dtype) for i, s in enumerate([(m, k), (k, n), (n,), (m, n)]))
    equal(cpu.matmul(a, b), a @ b)
    equal(cpu.matmul(a, np.asfortranarray(b)), a @ b)
    equal(cpu.matmul(np.asfortranarray(a), relayout(b, "every_other")), a @ b)
    w = np.ascontiguousarray(b.T)
    equal(cpu.linear_forward(a, w, bias), a @ b + bias)
    equal(cpu.linear_forward(relayout(a, "reversed"), relayout(w, "fortran"), None), a @ b)
    equal(cpu.linear_grad_input(grad, w, a.shape), grad @ w)
    equal(cpu.linear_grad_weight(grad, a), grad.T @ a)
    equal(cpu.channel_sum(grad), grad.sum(0))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch", [1, 40])
@pytest.mark.parametrize(("m", "k", "n"), [*MATRICES[:5], (1, 5, 1), (2, 3, 2), (7, 4, 1), (1, 6, 50), (3, 0, 4), (0, 2, 3), (5, 3, 0)])
def test_batched_matmul(cpu: CpuBackend, batch: int, m: int, k: int, n: int, dtype: str) -> None:
    a, b = ints(batch, m, k, dtype=dtype), ints(batch, k, n, seed=1, dtype=dtype)
    turned = np.ascontiguousarray(b.transpose(0, 2, 1)).transpose(0, 2, 1)
    for left, right in ((a, b), (a, turned), (relayout(a, "reversed"), relayout(b, "every_other")), (np.asfortranarray(a), b[::-1])):
        equal(cpu.matmul(left, right), left @ right)
    equal(cpu.matmul(a, np.broadcast_to(b[:1], b.shape)), a @ b[:1])


@pytest.mark.parametrize(("m", "k", "n"), [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)])
def test_matrices_without_elements(cpu: CpuBackend, m: int, k: int, n: int) -> None:
    a, w, bias, grad = ints(m, k), ints(n, k), ints(n), ints(m, n)
    equal(cpu.matmul(a, np.ascontiguousarray(w.T)), a @ w.T)
    equal(cpu.linear_forward(a, w, bias), a @ w.T + bias)
    equal(cpu.linear_grad_input(grad, w, a.shape), grad @ w)
    equal(cpu.linear_grad_weight(grad, a), grad.T @ a)
    equal(cpu.channel_sum(grad), grad.sum(0))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (7, 1, 9, 9), (1, 40, 3, 3), (300, 2, 5, 5), (4, 6), (3, 5, 7), (2, 3, 1, 2, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_channel_sum(cpu: CpuBackend, shape: tuple[int, ...], dtype: str) -> None:
    x = ints(*shape, dtype=dtype)
    equal(cpu.channel_sum(x), x.sum((0, *range(2, x.ndim))))


# -- memory ----------------------------------------------------------------------------------------------------------------
ROOM = 256  # elements of guard on either side


class GuardedPool:
    """Buffers in the middle of larger ones full of NaN: what reads outside spreads NaN, what writes outside is found by ``check``."""

    def __init__(self) -> None:
        self.rooms: list[tuple[np.ndarray, int]] = []

    def empty(self, shape: Sequence[int], dtype: Any) -> np.ndarray:
        size = math.prod(shape)
        room = np.full((size + 2 * ROOM) * np.dtype(dtype).itemsize, 255, np.uint8)  # NaN in every floating-point dtype
        self.rooms.append((room, ROOM * np.dtype(dtype).itemsize))
        return room.view(dtype)[ROOM : ROOM + size].reshape(shape)

    def guarded(self, a: np.ndarray) -> np.ndarray:
        """A copy of ``a``, images channels-last: the kernels need not copy it again."""
        memory = np.moveaxis(a, 1, -1) if a.ndim == 4 else a
        out = self.empty(memory.shape, a.dtype)
        out[...] = memory
        return np.moveaxis(out, -1, 1) if a.ndim == 4 else out

    def weight(self, a: np.ndarray) -> np.ndarray:
        return self.guarded(a.reshape(-1)).reshape(a.shape)

    def check(self) -> None:
        for room, edge in self.rooms:
            assert (room[:edge] == 255).all(), "written before the buffer"
            assert (room[-edge:] == 255).all(), "written behind the buffer"


@pytest.fixture
def guarded(cpu: CpuBackend, monkeypatch: pytest.MonkeyPatch) -> Iterator[GuardedPool]:
    pool = GuardedPool()
    monkeypatch.setattr(cpu, "buffers", pool)
    yield pool
    pool.check()


def test_the_guards_see_a_write_outside() -> None:
    for at in (-1, 3):
        pool = GuardedPool()
        inner = pool.empty((3,), np.float32)
        room = pool.rooms[0][0].view(np.float32)
        inner[:] = 1
        pool.check()
        room[ROOM + at] = 0
        with pytest.raises(AssertionError, match="written"):
            pool.check()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_convolution_stays_inside_its_memory(cpu: CpuBackend, guarded: GuardedPool, dtype: str) -> None:
    cases = [*SPECIAL, *_drawn(60, seed=3)] if dtype == "float32" else [*SPECIAL[::3], *_drawn(20, seed=4)]
    for x, w, options in cases:
        guarded.rooms = []
        case = ConvCase.of(x, w, dtype=dtype, **options)
        check(cpu, holding(case, guarded.guarded(case.x), guarded.weight(case.w), guarded.guarded(case.grad)))
        guarded.check()


def test_matrix_products_stay_inside_their_memory(cpu: CpuBackend, guarded: GuardedPool) -> None:
    for m, k, n in MATRICES:
        guarded.rooms = []
        a, w, bias, grad = (guarded.guarded(ints(*s, seed=i)) for i, s in enumerate([(m, k), (n, k), (n,), (m, n)]))
        equal(cpu.linear_forward(a, w, bias), a @ w.T + bias)
        equal(cpu.matmul(a, np.asarray(w.T)), a @ w.T)
        equal(cpu.linear_grad_input(grad, w, a.shape), grad @ w)
        equal(cpu.linear_grad_weight(grad, a), grad.T @ a)
        equal(cpu.channel_sum(grad), grad.sum(0))
        guarded.check()


@pytest.mark.parametrize("shape", [(2, 3, 6, 8), (1, 17, 4, 4), (2, 40, 6, 4), (3, 1, 2, 2)])
def test_pooling_and_flattening_stay_inside_their_memory(cpu: CpuBackend, guarded: GuardedPool, shape: tuple[int, ...]) -> None:
    g = PoolGeometry.of(shape, 2)
    x = guarded.guarded(ints(*shape))
    y, index = cpu.max_pool_forward(x, g)
    equal(y, reference.max_pool_forward(x, g)[0])
    grad = guarded.guarded(ints(*g.output_shape, seed=1))
    equal(cpu.max_pool_backward(grad, index, g), reference.max_pool_backward(grad, np.asarray(index), g))
    wanted = np.repeat(np.repeat(grad, 2, 2), 2, 3) / np.float32(4) * (x > 0)
    found, total = cpu.average_backward("relu", grad, x, g)
    equal(found, wanted)
    equal(total, wanted.sum((0, 2, 3)))
    rows = x.reshape(shape[0], -1)
    w, out = guarded.guarded(ints(5, rows.shape[1], seed=2)), guarded.guarded(ints(shape[0], 5, seed=3))
    equal(cpu.linear_forward(x, w, None), rows @ w.T)
    equal(cpu.linear_grad_input(out, w, shape), (out @ w).reshape(shape))
    equal(cpu.linear_grad_weight(out, x), out.T @ rows)
    guarded.check()


# -- the same bits ---------------------------------------------------------------------------------------------------------
def _bits(xp: CpuBackend, case: ConvCase) -> list[bytes]:
    g = case.geometry
    arrays = (
        xp.conv_forward(case.x, case.w, None, g),
        xp.conv_grad_input(case.grad, case.w, g),
        xp.conv_grad_weight(case.grad, case.x, g),
        xp.channel_sum(case.grad),
    )
    return [np.ascontiguousarray(a).tobytes() for a in arrays]


def _real(x: Any, w: Any, options: dict[str, Any]) -> ConvCase:
    """Values whose sums round, so that the order of additions shows."""
    case = ConvCase.of(x, w, **options)
    rng = np.random.default_rng(0)
    return holding(case, *(rng.standard_normal(a.shape).astype(np.float32) for a in (case.x, case.w, case.grad)))


ROUNDING = [_real(*case) for case in (*SPECIAL[:3], *SPECIAL[-12:])] + [_real((40, 3, 17, 19), (20, 3, 3, 3), {"padding": 1})]


def test_bits_do_not_depend_on_the_threads(cpu: CpuBackend) -> None:
    import numba

    if numba.config.NUMBA_NUM_THREADS == 1:
        pytest.skip("needs the threading layer to have two threads")
    found = []
    for threads in (1, 2):
        launch.set_num_threads(threads)
        found.append([_bits(cpu, case) for case in ROUNDING])
    launch.set_num_threads(None)
    assert found[0] == found[1]


def test_bits_do_not_depend_on_the_layout(cpu: CpuBackend) -> None:
    for case in ROUNDING:
        wanted = _bits(cpu, case)
        for layout in ("channels_last", "reversed"):
            assert _bits(cpu, holding(case, *(relayout(a, layout) for a in (case.x, case.w, case.grad)))) == wanted


def test_the_serial_twins_give_the_same_bits(cpu: CpuBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a forked child and a tiny launch under workqueue run."""
    cases = [*ROUNDING[1:3], *ROUNDING[-2:]]
    wanted = [_bits(cpu, case) for case in cases]

    def serially(driver: Any, *args: Any) -> None:
        launch._serial(driver)(*args)

    launches.through(monkeypatch, serially)
    assert [_bits(cpu, case) for case in cases] == wanted


# -- other processors, and none --------------------------------------------------------------------------------------------
CHILD = """
import numpy as np
from numbacnn import backends, reference
from numbacnn.kernels.cpu import tile
from numbacnn.testing import ConvCase
xp = backends.get("cpu")
cases = [
    ((2, 3, 5, 4), (4, 3, 3, 2), dict(padding=1, stride=2)),
    ((3, 4, 1, 1), (6, 2, 1, 1), dict(groups=2)),
    ((1, 2, 4, 4), (3, 2, 3, 3), dict(padding="same", dilation=2)),
    ((0, 2, 4, 4), (3, 2, 3, 3), dict()),
    ((1, 4, 3, 4), (4, 4, 3, 3), dict(padding=1)),
    ((1, 8, 3, 4), (8, 8, 3, 3), dict(padding=1)),
    ((1, 8, 3, 4), (8, 4, 3, 3), dict(padding=1, groups=2)),
    ((1, 16, 3, 4), (16, 2, 3, 3), dict(padding=1, groups=8)),
    ((2, 3, 9), (4, 3, 3), dict(padding=1, stride=2)),
    ((1, 2, 3, 4, 3), (3, 2, 2, 3, 2), dict(padding=1)),
]
for dtype in {dtypes!r}:
    for x, w, options in cases:
        case = ConvCase.of(x, w, dtype=dtype, **options)
        g, b = case.geometry, np.arange(case.geometry.oc, dtype=dtype)
        for found, wanted in (
            (xp.conv_forward(case.x, case.w, b, g), reference.conv_forward(case.x, case.w, b, g)),
            (xp.conv_grad_input(case.grad, case.w, g), reference.conv_grad_input(case.grad, case.w, g)),
            (xp.conv_grad_weight(case.grad, case.x, g), reference.conv_grad_weight(case.grad, case.x, g)),
            (xp.linear_forward(rows := case.grad.reshape(g.n, int(np.prod(g.output_shape[1:]))), np.ones((3, rows.shape[1]), dtype), None),
             np.repeat(rows.sum(1)[:, None], 3, 1)),
        ):
            np.testing.assert_array_equal(found, wanted)
            if found.dtype != wanted.dtype:
                raise SystemExit(str(found.dtype))
print(tile.LANES, tile.REGISTERS, tile.FMA)
"""


def run(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_CPU", "NUMBA_DISABLE"))}
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=inherited | environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert child.returncode == 0, child.stdout + child.stderr
    return child.stdout


def test_without_the_compiler() -> None:
    """Every kernel is plain Python under NUMBA_DISABLE_JIT=1."""
    assert run(CHILD.format(dtypes=["float32", "float64"]), NUMBA_DISABLE_JIT="1").split()[2] in ("True", "False")


TARGETS = [
    ("x86-64", "+sse2", "4 16 False", "sse2"),
    ("haswell", "+avx,+avx2,+fma", "8 16 True", "avx2"),
    ("skylake-avx512", "+avx,+avx2,+fma,+avx512f,+avx512vl,+avx512dq,+avx512bw", "16 32 True", "avx512f"),
]


EACH = [pytest.param(*t, id=t[0], marks=pytest.mark.long) for t in TARGETS]


@pytest.mark.parametrize(("cpu_name", "features", "wanted", "needed"), EACH)
def test_another_processor(cpu_name: str, features: str, wanted: str, needed: str) -> None:
    """Lanes follow the target, also where a multiply-add must be two instructions."""
    import llvmlite.binding as llvm

    if not llvm.get_host_cpu_features().get(needed, False):
        pytest.skip(f"needs an AVX processor with {needed}" if needed.startswith("avx") else "needs an AVX processor (this is no x86)")
    found = run(CHILD.format(dtypes=["float32"]), NUMBA_CPU_NAME=cpu_name, NUMBA_CPU_FEATURES=features)
    assert found.strip() == wanted


SPILLS = """
import re
from numba import types, typeof
from numbacnn.backends.cpu.plan import conv as plans, tiles
from numbacnn.geometry import ConvGeometry
from numbacnn.kernels.cpu import conv, tile

g = ConvGeometry.of((1, 3, 8, 8), (4, 3, 3, 3))
((_, forward),), flat, f4 = plans.forward_plans(g, "float32"), types.float32[::1], types.float32
tables = (*map(typeof, forward.tables), typeof(forward.offsets))
contract = conv.contract, (flat, *tables, flat, f4[:, :, :, ::1], flat, types.int64, flat)
tables = map(typeof, plans.grad_weight_plan(g, "float32").tables)
correlate = conv.correlate, (flat, *tables, flat, f4[:, :, :, :, ::1], types.boolean, flat)
sums = [(*shape, run) for shape, most in tiles.RUNS.items() for run in (1, most)]
for (kernel, arguments), shapes in ((contract, [(*tiles.WIDE, 1)]), (correlate, sums)):
    for m, n, run in shapes:
        kernel.compile((tile.Tile(m, n, run=run)._numba_type_, *arguments))
        blocks = re.split(r"\\n(?=\\.L\\w+:)", kernel.inspect_asm(kernel.signatures[-1]))
        loops = [b for b in blocks if b.count("vfmadd" if tile.FMA else "mulps") >= m * n]
        spills = [line for b in loops for line in re.findall(r"v?mov[au]ps\\s+%[xyz]mm\\d+, -?\\d*\\(%r[sb]p\\)", b)]
        print(kernel.py_func.__name__, m, n, run, "loops" if loops else "no loop", len(spills))
"""


@pytest.mark.long
@pytest.mark.parametrize(("cpu_name", "features", "wanted", "needed"), EACH)
def test_no_tile_is_spilled(tmp_path: Path, cpu_name: str, features: str, wanted: str, needed: str) -> None:
    """The loops around the tile write no vector to the stack: LLVM's scheduler once did, and halved the speed of weight gradients."""
    import llvmlite.binding as llvm

    if not llvm.get_host_cpu_features().get("sse2", False):
        pytest.skip("needs an AVX processor (this is no x86)")
    found = run(SPILLS, NUMBA_CPU_NAME=cpu_name, NUMBA_CPU_FEATURES=features, NUMBA_CACHE_DIR=str(tmp_path), NUMBACNN_QUIET="1")
    lines = found.splitlines()
    assert len(lines) == 5
    for line in lines:
        assert " loops 0" in line, found


def test_records_of_plans_share_their_type() -> None:
    """One object, not equal ones: Numba would compare these field by field at each launch."""
    plans = [forward_plans(ConvGeometry.of((n, 3, 8, 8), (4, 3, 3, 3)), "float32")[0][1] for n in (1, 2)]
    assert plans[0].numbers.dtype is plans[1].numbers.dtype
