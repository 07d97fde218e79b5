"""Kernels whose threads make four neighbours have the bits of those whose threads make one: in the simulator, or on a GPU."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import cuda
from numbacnn.backends import choice
from numbacnn.backends.cuda import CudaArray, CudaBackend, FastBackend
from numbacnn.backends.cuda import reduce as reductions
from numbacnn.backends.cuda.fast import conv
from numbacnn.geometry import AdaptivePoolGeometry, ConvGeometry, PoolGeometry
from numbacnn.kernels.cuda import driver, fast
from numbacnn.kernels.cuda.simt import loss, reduce, softmax

pytestmark = [
    pytest.mark.skipif(not cuda.is_available(), reason="needs a GPU or NUMBA_ENABLE_CUDASIM=1; test_simulator.py runs it simulated"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]
SIZES = (1, 3, 4, 5, 67)
FEW = {"THREADS": 16, "COLUMNS": 8, "LANES": 4, "DEEP": 2, "ACROSS": 2, "WANTED_BLOCKS": 4, "ROW_CHUNK": 70, "COLUMN_CHUNK": 20}


@pytest.fixture(autouse=True)
def few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    if driver.SIMULATED:
        for name, module in sys.modules.items():
            if name.startswith("numbacnn.kernels.cuda"):  # a first warning puts this there, while another thread may go through the names
                vars(module).setdefault("__warningregistry__", {})
        for module in (driver, reductions, conv, loss, reduce, softmax, fast.depthwise, fast.loss, fast.reduce, fast.softmax):
            for name in FEW.keys() & vars(module).keys():
                monkeypatch.setattr(module, name, FEW[name])


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The modules of the kernels that are launched."""
    found: list[str] = []
    FastBackend()  # with which the library launches its kernels itself, on a GPU
    configured, launcher = driver._configured, driver.launcher

    def noted(kernel: Any) -> None:
        found.append((getattr(kernel, "py_func", None) or kernel.fn).__globals__["__name__"].removeprefix("numbacnn.kernels.cuda."))

    def by_numba(kernel: Any, *args: Any) -> Any:
        noted(kernel)
        return configured(kernel, *args)

    def by_us(kernel: Any, *args: Any) -> None:
        noted(kernel)
        launcher(kernel, *args)

    monkeypatch.setattr(driver, "_configured", by_numba)
    if launcher is not None:
        monkeypatch.setattr(driver, "launcher", by_us)
    return found


def values(*shape: int, dtype: Any = np.float32, seed: int = 0) -> np.ndarray:
    """Numbers, and among them zeros of both signs, infinities and NaN."""
    found = np.random.default_rng(seed).standard_normal(shape).astype(dtype)
    for i, odd in enumerate((-0.0, 0.0, np.inf, -np.inf, np.nan)):
        found.reshape(-1)[7 + 5 * i + seed :: 41] = odd
    return found


def results(launched: list[str], run: Callable[[Any], Any]) -> Iterator[tuple[Any, Any]]:
    """What both ways give, an array after the other; the fast one is the second that runs and launches no more kernels."""
    found = []
    for backend in (CudaBackend, FastBackend):
        launched.clear()
        xp = backend()
        arrays = run(xp)
        found.append([(xp.to_numpy(a), a.view.strides) for a in (arrays if isinstance(arrays, (list, tuple)) else [arrays])])
        if backend is CudaBackend:
            assert not any(name.startswith("fast") for name in launched)
            count = len(launched)
    assert len(launched) <= count
    return zip(*found)


def same(launched: list[str], run: Callable[[Any], Any]) -> list[str]:
    """Both ways give the same bits; what the fast one launched."""
    for (safe, strides), (quick, others) in results(launched, run):
        assert (safe.dtype, safe.shape, strides) == (quick.dtype, quick.shape, others)
        np.testing.assert_array_equal(safe, quick)
        assert np.array_equal(np.signbit(safe), np.signbit(quick)) or safe.dtype.kind != "f"
    return list(launched)


UNARY = ("negative", "logical_not", "relu", "sigmoid", "erf", "gelu", "silu")
BACKWARD = ("relu", "tanh", "gelu_tanh", "silu")
BINARY = ("add", "power", "minimum", "remainder")


@pytest.mark.parametrize("n", SIZES)
def test_elementwise(launched: list[str], n: int) -> None:
    def run(xp: Any) -> list[CudaArray]:
        x, y = xp.from_numpy(values(n)), xp.from_numpy(values(n, seed=1))
        found = [xp.unary(name, x) for name in UNARY] + [xp.unary_backward(name, x, y) for name in BACKWARD]
        found += [xp.binary(name, x, y) for name in BINARY] + [xp.binary("divide", 2.0, x), xp.where(xp.compare("less", x, y), x, 0.5)]
        return [*found, xp.copy(x), xp.astype(x, np.float64), xp.astype(x, bool), xp.full((n,), 3, np.int64), xp.full((n,), True, bool)]

    assert set(same(launched, run)) == {"fast.pointwise"}


@pytest.mark.parametrize("dtype", ["float64", "int64", "int32", "uint8", "bool"])
def test_elementwise_of_other_types(launched: list[str], dtype: str) -> None:
    def run(xp: Any) -> list[CudaArray]:
        x, y = (xp.from_numpy(np.random.default_rng(i).integers(0, 5, 9).astype(dtype)) for i in range(2))
        return [xp.binary("maximum", x, y), xp.where(x, y, x), xp.unary("absolute", x), xp.astype(x, np.float32), xp.compare("equal", x, y)]

    assert set(same(launched, run)) == {"fast.pointwise"}


VIEWS: dict[str, tuple[Callable[[Any, CudaArray], CudaArray], bool]] = {
    "rows": (lambda xp, x: xp.getitem(x, slice(1, None)), True),
    "every other row": (lambda xp, x: xp.getitem(x, slice(None, None, 2)), True),
    "channels from the fourth": (lambda xp, x: xp.getitem(x, (slice(None), slice(4, None))), True),
    "rows backwards": (lambda xp, x: xp.getitem(x, slice(None, None, -1)), True),
    "one row for all": (lambda xp, x: xp.broadcast_to(xp.getitem(x, slice(1, 2)), (3, 8)), True),
    "one number a row": (lambda xp, x: xp.broadcast_to(xp.getitem(x, (slice(None), slice(3, 4))), (3, 8)), True),
    "transposed": (lambda xp, x: xp.transpose(x, (1, 0)), True),
    "channels from the first": (lambda xp, x: xp.getitem(x, (slice(None), slice(1, 5))), False),
    "four channels of nine": (lambda xp, x: xp.getitem(xp.from_numpy(values(3, 9)), (slice(None), slice(0, 4))), False),
    "five channels": (lambda xp, x: xp.getitem(x, (slice(None), slice(0, 5))), False),
    "from the third number": (lambda xp, x: xp.getitem(xp.reshape(x, (24,)), slice(3, None)), False),
    "channels backwards": (lambda xp, x: xp.getitem(x, (slice(None), slice(None, None, -1))), False),
}


@pytest.mark.parametrize("name", VIEWS)
def test_the_view_decides(launched: list[str], name: str) -> None:
    view, wide = VIEWS[name]

    def run(xp: Any) -> list[CudaArray]:
        x = view(xp, xp.from_numpy(values(3, 8)))
        launched.clear()
        return [xp.unary("exp", x), xp.binary("add", x, xp.unary("exp", x))]

    assert same(launched, run)[0] == ("fast.pointwise" if wide else "simt.pointwise")


def test_writes_into_views_and_over_themselves(launched: list[str]) -> None:
    def run(xp: Any) -> list[CudaArray]:
        x, y, z = (xp.from_numpy(values(6, 8, seed=i)) for i in range(3))
        xp.setitem(x, (slice(None), slice(4, 8)), xp.getitem(y, (slice(None), slice(0, 4))))
        xp.setitem(y, slice(1, None), xp.getitem(y, slice(None, -1)))
        xp.setitem(z, (slice(None), slice(1, None)), xp.getitem(z, (slice(None), slice(None, -1))))
        return [x, y, z, xp.concatenate([x, y], 1)]

    found = same(launched, run)
    assert found.count("simt.copy") == 2  # z's columns move by a copy of seven, and what is written begins at 1


def test_borrowed_memory_tells_by_its_view_where_it_begins(launched: list[str]) -> None:
    """Also where it begins at no multiple of 16 bytes."""
    xp = FastBackend()
    whole = xp.from_numpy(values(40))
    address = xp.recorded.address(whole)
    for start, wide in ((0, True), (1, False), (3, False), (4, True)):
        found = {"shape": (9,), "typestr": "<f4", "data": (address + 4 * start, False), "strides": None, "version": 3}
        x = xp.borrow(driver.borrow(whole.buffer, found))
        assert xp.recorded.address(x) == address + 4 * start
        assert x.view.start == start % 4
        launched.clear()
        y = xp.unary("negative", x)
        assert launched == ["fast.pointwise" if wide else "simt.pointwise"]
        assert xp.to_numpy(y).tobytes() == (-xp.to_numpy(whole)[start : start + 9]).tobytes()
        xp.setitem(x, slice(None), y)
        np.testing.assert_array_equal(xp.to_numpy(xp.getitem(whole, slice(start, start + 9))), xp.to_numpy(y))
        xp.setitem(x, slice(None), xp.unary("negative", x))


def test_kernels_stop_at_misaligned_addresses_in_the_simulator_too() -> None:
    if driver.SIMULATED:
        x, out = FastBackend().from_numpy(values(9)), FastBackend().empty((8,), np.float32)
        with pytest.raises(ValueError, match=r"misaligned address$"):
            driver.launch_flat(fast.pointwise.copy, 8, (8,), x.buffer, np.int32(1), (1,), out.buffer, np.int32(0), (1,))


def test_a_plan_knows_where_arrays_begin() -> None:
    """Two arguments that kernels may not be launched alike for have two plans."""
    negative = nc.compile(lambda x: -x)
    whole = nc.tensor(values(13), device="cuda")
    for start in (0, 1, 4, 1, 0):
        x = whole[start : start + 9]
        assert negative(x).numpy().tobytes() == (-x.numpy()).tobytes()


def test_the_way_back_of_a_plan_knows_where_gradients_begin() -> None:
    double = nc.compile(lambda x: x * 2.0)
    whole = nc.tensor(values(9), device="cuda")
    for start in (0, 1, 0, 1):
        x = nc.tensor(values(8, seed=1), device="cuda", requires_grad=True)
        double(x).backward(whole[start : start + 8])
        assert x.grad is not None
        assert x.grad.numpy().tobytes() == (whole[start : start + 8] * 2.0).numpy().tobytes()


POOLS = [
    ((1, 4, 5), 2, {}),
    ((1, 8, 5, 6), 3, {"stride": 2, "padding": 1}),
    ((1, 4, 3, 3, 4), 2, {"stride": 1}),
    ((1, 4, 4, 4), 3, {"padding": 1, "stride": 2, "ceil_mode": True}),
]


@pytest.mark.parametrize("case", POOLS, ids=str)
def test_pooling(launched: list[str], case: Any) -> None:
    shape, kernel, options = case
    g, adaptive = PoolGeometry.of(shape, kernel, **options), AdaptivePoolGeometry.of(shape, 2)

    def run(xp: Any) -> list[CudaArray]:
        x, grad, other = (xp.channels_last(xp.from_numpy(values(*s))) for s in (shape, g.output_shape, adaptive.output_shape))
        launched.clear()
        y, index = xp.max_pool_forward(x, g)
        found = [y, index, xp.max_pool_backward(grad, index, g), xp.avg_pool_forward(x, g), xp.avg_pool_backward(grad, g)]
        return [*found, xp.adaptive_avg_pool_forward(x, adaptive), xp.adaptive_avg_pool_backward(other, adaptive)]

    assert same(launched, run) == ["fast.pool"] * 6


def test_pooling_of_channels_that_are_no_quads(launched: list[str]) -> None:
    g = PoolGeometry.of((1, 6, 2, 2), 2)
    assert same(launched, lambda xp: xp.max_pool_forward(xp.channels_last(xp.from_numpy(values(1, 6, 2, 2))), g))[-1] == "simt.pool"


@pytest.mark.parametrize("shape", [(1, 1), (1, 131), (3, 33), (1, 201)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_reductions_of_rows(launched: list[str], shape: tuple[int, int], dtype: str) -> None:
    def run(xp: Any) -> list[CudaArray]:
        x, y = xp.from_numpy(values(*shape, dtype=dtype)), xp.from_numpy(np.random.default_rng(1).standard_normal(shape).astype(dtype))
        launched.clear()
        return [xp._reduce_rows(op, a, *shape) for a in (x, y) for op in (reduce.SUM, reduce.MAX)]

    assert set(same(launched, run)) == {"fast.reduce"}


@pytest.mark.parametrize("shape", [(1, 4), (70, 12), (9, 20), (20, 7)], ids=str)
def test_reductions_of_columns(launched: list[str], shape: tuple[int, int]) -> None:
    def run(xp: Any) -> list[CudaArray]:
        x, y = xp.from_numpy(values(*shape)), xp.from_numpy(np.random.default_rng(1).standard_normal(shape, np.float32))
        launched.clear()
        return [xp._reduce_columns(op, a, *shape) for a in (x, y) for op in (reduce.SUM, reduce.MAX)]

    assert set(same(launched, run)) == {"simt.reduce" if shape[1] % 4 else "fast.reduce"}


@pytest.mark.parametrize("cols", [1, 4, 10, 35])
def test_softmax_and_cross_entropy(launched: list[str], cols: int) -> None:
    def run(xp: Any) -> list[CudaArray]:
        rng = np.random.default_rng(cols)
        x = xp.from_numpy(np.where(rng.integers(0, 9, (3, cols)) == 0, -np.inf, rng.standard_normal((3, cols))).astype(np.float32))
        grad, labels = xp.from_numpy(values(3, cols)), xp.from_numpy(rng.integers(-1, cols, 3))
        launched.clear()
        y, z = xp.softmax(x, 1), xp.log_softmax(x, 1)
        found = [y, z, xp.softmax_backward(grad, y, 1), xp.log_softmax_backward(grad, z, 1)]
        for smoothing in (0.0, 0.1):
            losses, share = xp.cross_entropy_forward(x, labels, smoothing)
            found += [losses, share, xp.cross_entropy_backward(xp.getitem(losses, 0), share, labels, smoothing)]
        return found

    assert same(launched, run) == ["fast.softmax"] * 4 + ["fast.loss"] * 4


@pytest.mark.parametrize("n", SIZES)
def test_dropout(launched: list[str], n: int) -> None:
    key = np.array([7, 9], np.int64)
    assert same(launched, lambda xp: xp.dropout(xp.from_numpy(values(n)), key, 1 << 31, 2.0)) == ["fast.dropout"]


DEPTHWISE = [
    ((1, 4, 7), (3,), {}),
    ((2, 8, 5, 3), (3, 2), {"stride": (2, 1), "padding": (1, 1)}),
    ((1, 12, 3, 4), (3, 2), {"dilation": 2, "padding": (2, 1)}),
    ((2, 4, 3, 2, 3), (2, 1, 2), {"padding": (1, 0, 0)}),
]


def depthwise(case: Any) -> tuple[ConvGeometry, np.ndarray, np.ndarray, np.ndarray]:
    shape, kernel, options = case
    w = values(shape[1], 1, *kernel, seed=1)
    g = ConvGeometry.of(shape, w.shape, groups=shape[1], **options)
    return g, values(*shape), w, values(*g.output_shape, seed=2)


@pytest.mark.parametrize("case", DEPTHWISE, ids=str)
def test_depthwise_convolution(launched: list[str], case: Any) -> None:
    g, x, w, grad = depthwise(case)

    def run(xp: Any) -> list[CudaArray]:
        a, b, d = xp.channels_last(xp.from_numpy(x)), xp.parameter(xp.from_numpy(w)), xp.channels_last(xp.from_numpy(grad))
        bias = xp.from_numpy(values(g.c, seed=3))
        launched.clear()
        activations = ("none", "relu", "sigmoid", "tanh") if len(g.axes) == 1 else ("relu",)
        found = [xp.conv_forward(a, b, bias, g, activation) for activation in activations]
        return [*found, xp.conv_forward(a, b, None, g), xp.conv_grad_input(d, b, g)]

    with choice.only("general", "depthwise"):
        assert set(same(launched, run)) == {"fast.depthwise"}


@pytest.mark.parametrize("case", DEPTHWISE, ids=str)
def test_the_weight_gradient_of_a_depthwise_convolution(case: Any) -> None:
    """Its sums have an order of their own: against float64."""
    g = depthwise(case)[0]
    x, grad = (np.random.default_rng(i).standard_normal(shape) for i, shape in enumerate((g.input_shape, g.output_shape)))
    with choice.only("general", "depthwise"):
        safe, quick = CudaBackend(), FastBackend()
        wanted = safe.to_numpy(safe.conv_grad_weight(safe.from_numpy(grad), safe.from_numpy(x), g))
        for dtype, bound in (("float32", 1e-6), ("float64", 1e-14)):
            found = quick.to_numpy(quick.conv_grad_weight(*(quick.from_numpy(a.astype(dtype)) for a in (grad, x)), g))
            assert (found.shape, found.dtype) == (wanted.shape, dtype)
            assert np.abs(found - wanted).max() <= bound * np.abs(wanted).max()


def test_depthwise_convolutions_of_unaligned_memory(launched: list[str]) -> None:
    g = ConvGeometry.of((1, 4, 3, 3), (4, 1, 2, 2), groups=4)

    def run(xp: Any) -> list[CudaArray]:
        x = xp.transpose(xp.reshape(xp.getitem(xp.from_numpy(values(38)), slice(1, 37)), (1, 3, 3, 4)), (0, 3, 1, 2))
        w = xp.from_numpy(values(4, 1, 2, 2, seed=1))
        return [xp.conv_forward(x, w, None, g), xp.copy(xp.contiguous(w))]

    with choice.only("general", "depthwise"):
        for safe, quick in zip(*([xp.to_numpy(a) for a in run(xp)] for xp in (CudaBackend(), FastBackend()))):
            np.testing.assert_array_equal(safe, quick)


def test_what_depthwise_declines() -> None:
    way = conv.Depthwise()
    of = ConvGeometry.of
    assert way.declines(of((1, 6, 3, 3), (6, 1, 2, 2), groups=6), "float32") == "a number of channels that is no multiple of 4"
    assert way.declines(of((1, 4, 3, 3), (8, 1, 2, 2), groups=4), "float32") == "channels that are not each by itself"
    assert way.declines(of((1, 4, 3, 3), (4, 1, 2, 2), groups=4), "float32") == ""
