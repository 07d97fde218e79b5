"""The CUDA backend against plain NumPy: in the simulator, or on a GPU. ``test_simulator.py`` runs this file with the simulator on.

Inputs are small integers wherever sums are exact, and then the results are equal, not just close.
"""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import numpy as np
import pytest
from numba import config

import numbacnn as nc
from numbacnn.backends import cuda as backend
from numbacnn.backends.cuda.conv import choose
from numbacnn.errors import DeviceError, ShapeError
from numbacnn.geometry import AdaptivePoolGeometry, ConvGeometry, PoolGeometry
from numbacnn.kernels.cuda import driver
from numbacnn.kernels.cuda.simt import tile
from numbacnn.models.resnet import BasicBlock
from numbacnn.nn import functional as F
from numbacnn.testing.small_tiles import shrink

SIMULATED = bool(config.ENABLE_CUDASIM)

pytestmark = [
    pytest.mark.skipif(not backend.is_available(), reason="needs a GPU or NUMBA_ENABLE_CUDASIM=1; test_simulator.py runs it simulated"),
    # the simulator computes with NumPy scalars, which speak up where a GPU just gives inf or NaN
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.fixture
def xp(monkeypatch: pytest.MonkeyPatch) -> backend.CudaBackend:
    if SIMULATED:
        shrink(monkeypatch.setattr)
    return backend.create()


def ints(*shape: int, dtype: Any = np.float32, low: int = -4, high: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(low, high, shape).astype(dtype)


def nhwc(a: np.ndarray) -> np.ndarray:
    """The same array, channels-last in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)


def same(xp: backend.CudaBackend, found: backend.CudaArray, wanted: Any) -> None:
    wanted, got = np.asarray(wanted), xp.to_numpy(found)
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_array_equal(got, wanted)


def close(xp: backend.CudaBackend, found: backend.CudaArray, wanted: Any) -> None:
    got = xp.to_numpy(found)
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(got, wanted, rtol=1e-5 if got.dtype == np.float32 else 1e-12, atol=1e-6)


# -- arrays and views ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint8", "bool"])
def test_round_trip_keeps_values_and_layout(xp: backend.CudaBackend, dtype: str) -> None:
    a = nhwc(ints(2, 3, 2, 4, dtype=dtype))
    for b in (a, a[:, ::-1], a[:, 1], a[1, 2, 0, 3], np.broadcast_to(a[:1], a.shape), a[:0]):
        same(xp, xp.from_numpy(b), b)
    assert xp.to_numpy(xp.copy(xp.from_numpy(a))).strides == a.strides


@pytest.mark.parametrize("source", ["float32", "int64", "bool"])
@pytest.mark.parametrize("target", ["float64", "float32", "int32", "bool"])
def test_astype(xp: backend.CudaBackend, source: str, target: str) -> None:
    a = ints(3, 4, dtype=source)
    x = xp.from_numpy(a)
    y = xp.astype(x, target)
    same(xp, y, a.astype(target))
    assert not xp.shares_memory(x, y)


def test_full_and_item(xp: backend.CudaBackend) -> None:
    same(xp, xp.full((2, 3), 7, "int32"), np.full((2, 3), 7, "int32"))
    same(xp, xp.full((), True, "bool"), np.array(True))
    same(xp, xp.full((0, 3), 1, "float32"), np.ones((0, 3), "float32"))
    assert xp.item(xp.full((1, 1), -0.5, "float32")) == -0.5
    assert isinstance(xp.item(xp.full((), 3, "int64")), int)


def test_arrays_too_large_for_32_bits_are_refused(xp: backend.CudaBackend) -> None:
    text = r"^\[cuda\] expected arrays of at most 2147483647 elements; received shape \(65536, 32768\); split the batch\.$"
    with pytest.raises(DeviceError, match=text):
        xp.full((1 << 16, 1 << 15), 0, "float32")


BASIC = [0, -1, slice(1, None), slice(None, None, -1), slice(5, 0, -2), None, ..., (..., 1), (1, ..., None, 0), (slice(0, 0), 1), (0, 1, 2)]


@pytest.mark.parametrize("index", BASIC, ids=str)
def test_basic_indexing_makes_views(xp: backend.CudaBackend, index: Any) -> None:
    a = ints(3, 4, 5)
    x = xp.from_numpy(a)
    view = xp.getitem(x, index)
    same(xp, view, a[index])
    assert xp.shares_memory(view, x)
    xp.setitem(x, index, 9.0)
    a[index] = 9.0
    same(xp, x, a)


def test_index_errors(xp: backend.CudaBackend) -> None:
    x = xp.from_numpy(ints(3, 4))
    with pytest.raises(IndexError, match=r"^index 3 is out of bounds for axis 0 with size 3$"):
        xp.getitem(x, 3)
    with pytest.raises(IndexError, match=r"^too many indices for array: array is 2-dimensional, but 3 were indexed, with 0 ellipses$"):
        xp.getitem(x, (0, 0, 0))
    text = r"^\[broadcast_to\] expected a shape that broadcasts to \(3, 4\); received shape \(3,\)\.$"
    with pytest.raises(ShapeError, match=text):
        xp.setitem(x, ..., xp.from_numpy(ints(3)))


ADVANCED = {
    "rows": np.array([2, 0, 2]),
    "points": (np.array([0, 1]), np.array([3, 3])),
    "second axis": (slice(None), np.array([[1], [1]])),
    "mask": ints(3, 4, 5) > 0,
    "row mask": np.array([True, False, True]),
}


@pytest.mark.parametrize("index", ADVANCED.values(), ids=ADVANCED.keys())
def test_advanced_indexing(xp: backend.CudaBackend, index: Any) -> None:
    a = ints(3, 4, 5)
    x = xp.from_numpy(a)
    same(xp, xp.getitem(x, index), a[index])
    value = ints(*a[index].shape, seed=1)
    xp.add_at(x, index, xp.from_numpy(value))
    np.add.at(a, index, value)
    same(xp, x, a)
    xp.setitem(x, index, xp.from_numpy(value))
    a[index] = value
    same(xp, x, a)


def test_overlapping_and_mixed_assignment(xp: backend.CudaBackend) -> None:
    a = ints(6, 3)
    x = xp.from_numpy(a)
    xp.setitem(x, slice(1, None), xp.getitem(x, slice(None, -1)))
    a[1:] = a[:-1].copy()
    xp.setitem(x, (slice(None), 0), xp.from_numpy(ints(1, 6, dtype="int64", seed=2)))
    a[:, 0] = ints(1, 6, dtype="int64", seed=2)
    xp.add_at(x, (slice(None), slice(1, 2)), xp.from_numpy(ints(6, 1, seed=3)))
    a[:, 1:2] += ints(6, 1, seed=3)
    same(xp, x, a)


def test_reshape_transpose_broadcast(xp: backend.CudaBackend) -> None:
    a = nhwc(ints(2, 3, 4, 5))
    x = xp.from_numpy(a)
    for shape in ((6, 20), (2, 3, 20), (120,), (2, 1, 3, 2, 2, 5), (2, 3, 4, 5)):
        same(xp, xp.reshape(x, shape), a.reshape(shape))
    assert xp.shares_memory(x, xp.reshape(x, (2, 3, 20)))  # pixels are one run in channels-last memory too
    assert not xp.shares_memory(x, xp.reshape(x, (6, 20)))
    same(xp, xp.transpose(x, (3, 1, 0, 2)), a.transpose(3, 1, 0, 2))
    same(xp, xp.broadcast_to(xp.getitem(x, (slice(None), 0, 0, slice(1))), (3, 2, 4)), np.broadcast_to(a[:, 0, 0, :1], (3, 2, 4)))
    same(xp, xp.reshape(xp.from_numpy(np.ones((0, 3))), (3, 0, 2)), np.ones((3, 0, 2)))


def test_layouts_are_kept_or_made_without_needless_copies(xp: backend.CudaBackend) -> None:
    x = xp.from_numpy(nhwc(ints(2, 3, 4, 5)))
    assert xp.channels_last(x) is x
    y = xp.contiguous(x)
    assert y is not x and xp.contiguous(y) is y
    assert xp.channels_last(xp.binary("add", x, y)).view == xp.binary("add", x, y).view  # the first operand's layout
    one = xp.from_numpy(ints(2, 1, 4, 5))
    assert xp.channels_last(one) is one and xp.contiguous(one) is one  # one channel is both


def test_concatenate(xp: backend.CudaBackend) -> None:
    a, b = nhwc(ints(2, 3, 2, 2)), ints(2, 1, 2, 2, seed=1)
    same(xp, xp.concatenate([xp.from_numpy(a), xp.from_numpy(b)], 1), np.concatenate([a, b], 1))
    same(xp, xp.concatenate([xp.from_numpy(a[0]), xp.from_numpy(a[1])], -1), np.concatenate([a[0], a[1]], -1))


# -- elementwise -----------------------------------------------------------------------------------------------------------
EXACT = [(name, dtype) for name in ("negative", "absolute", "sign", "logical_not", "relu") for dtype in ("float32", "int64", "uint8")]
UNARY = {
    "exp": np.exp,
    "log": np.log,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "tanh": np.tanh,
    "erf": np.vectorize(math.erf),
}


@pytest.mark.parametrize(("name", "dtype"), [*EXACT, ("logical_not", "bool")])
def test_exact_unary(xp: backend.CudaBackend, name: str, dtype: str) -> None:
    a = ints(3, 4, dtype=dtype, low=0 if dtype == "uint8" else -4).T
    wanted = np.maximum(a, 0) if name == "relu" else getattr(np, name)(a)
    same(xp, xp.unary(name, xp.from_numpy(a)), wanted)


@pytest.mark.parametrize("name", ["exp", "log", "log1p", "sqrt", "sigmoid", "tanh", "erf"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_smooth_unary(xp: backend.CudaBackend, name: str, dtype: str) -> None:
    a = np.array([0.25, 1, 3, 0, -0.5, -200, 900, np.inf, -np.inf, np.nan], dtype)
    with np.errstate(all="ignore"):
        close(xp, xp.unary(name, xp.from_numpy(a)), UNARY[name](a).astype(dtype))


SHAPES = [((2, 3, 4, 5), (2, 3, 4, 5)), ((2, 3, 4, 5), (3, 1, 1)), ((3, 1), (1, 4)), ((), (3,)), ((2, 0), (1,))]


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "maximum", "minimum"])
def test_binary_broadcasts(xp: backend.CudaBackend, name: str, shapes: Any) -> None:
    a, b = ints(*shapes[0]), ints(*shapes[1], low=1, seed=1)
    a = nhwc(a) if a.ndim == 4 else a
    same(xp, xp.binary(name, xp.from_numpy(a), xp.from_numpy(b)), getattr(np, name)(a, b))


def test_binary_with_scalars_and_odd_types(xp: backend.CudaBackend) -> None:
    a, i, flag = ints(3, 4), ints(3, 4, dtype="int64"), ints(3, 4) > 0
    same(xp, xp.binary("subtract", 1.5, xp.from_numpy(a)), np.float32(1.5) - a)
    close(xp, xp.binary("power", xp.from_numpy(np.abs(a) + 1), 0.5), (np.abs(a) + 1) ** np.float32(0.5))
    same(xp, xp.binary("power", xp.from_numpy(i), 2), i**2)
    same(xp, xp.binary("add", xp.from_numpy(i), 1 << 40), i + (1 << 40))
    same(xp, xp.binary("multiply", xp.from_numpy(flag), xp.from_numpy(flag.T.copy().T)), flag * flag)
    same(xp, xp.binary("add", xp.from_numpy(flag), True), flag + True)
    assert math.copysign(1, xp.item(xp.binary("multiply", xp.full((), 1, "float32"), 0.0))) == 1
    assert math.copysign(1, xp.item(xp.binary("multiply", xp.full((), 1, "float32"), -0.0))) == -1


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8"])
@pytest.mark.parametrize("name", ["floor_divide", "remainder"])
def test_floor_division(xp: backend.CudaBackend, name: str, dtype: str) -> None:
    low = 0 if dtype == "uint8" else -9
    a, b = ints(5, 1, 7, dtype=dtype, low=low, high=10), ints(6, 1, dtype=dtype, low=low, high=10, seed=1)
    b[b == 0] = 3
    same(xp, xp.binary(name, xp.from_numpy(a), xp.from_numpy(b)), getattr(np, name)(a, b))
    same(xp, xp.binary(name, 7, xp.from_numpy(b)), getattr(np, name)(np.array(7, dtype), b))


@pytest.mark.parametrize("name", ["floor_divide", "remainder"])
def test_floor_division_of_what_rounds_and_of_infinities(xp: backend.CudaBackend, name: str) -> None:
    a = np.array([5.3, -5.3, 1e30, 0.3, -0.0, np.inf, -np.inf, np.nan, 7.0, -7.0], np.float32)
    for divisor in (0.1, -0.1, 3.0, 0.0, -0.0, np.inf, -np.inf, np.nan):
        with np.errstate(all="ignore"):
            wanted = getattr(np, name)(a, np.float32(divisor))
        same(xp, xp.binary(name, xp.from_numpy(a), divisor), wanted)


def test_nan_wins(xp: backend.CudaBackend) -> None:
    a, b = np.array([np.nan, 1, np.nan], "float32"), np.array([1, np.nan, np.nan], "float32")
    for name in ("maximum", "minimum"):
        same(xp, xp.binary(name, xp.from_numpy(a), xp.from_numpy(b)), getattr(np, name)(a, b))
    same(xp, xp.unary("relu", xp.from_numpy(a)), a)
    table = np.array([[1, np.nan, 3, np.nan], [2, 5, 5, 1]], "float32")
    same(xp, xp.max(xp.from_numpy(table), (1,), False), table.max(1))
    same(xp, xp.argmax(xp.from_numpy(table), 1), table.argmax(1))
    same(xp, xp.min(xp.from_numpy(table), (1,), False), table.min(1))
    same(xp, xp.argmin(xp.from_numpy(table), 1), table.argmin(1))


@pytest.mark.parametrize("name", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"])
def test_compare(xp: backend.CudaBackend, name: str) -> None:
    a, b = ints(3, 4), ints(4, seed=1)
    same(xp, xp.compare(name, xp.from_numpy(a), xp.from_numpy(b)), getattr(np, name)(a, b))
    same(xp, xp.compare(name, xp.from_numpy(a > 0), True), getattr(np, name)(a > 0, True))


def test_where(xp: backend.CudaBackend) -> None:
    a, b, c = ints(3, 4), ints(3, 1, seed=1), ints(4, seed=2) > 0
    same(xp, xp.where(xp.from_numpy(c), xp.from_numpy(a), xp.from_numpy(b)), np.where(c, a, b))
    same(xp, xp.where(xp.from_numpy(c), xp.from_numpy(a), 0.0), np.where(c, a, np.float32(0)))


def test_activation_backward(xp: backend.CudaBackend) -> None:
    g, y = nhwc(ints(2, 3, 2, 2)), ints(2, 3, 2, 2, seed=1)
    args = xp.from_numpy(g), xp.from_numpy(y)
    same(xp, xp.unary_backward("relu", *args), np.where(y > 0, g, 0))
    same(xp, xp.unary_backward("sigmoid", *args), g * y * (1 - y))
    same(xp, xp.unary_backward("tanh", *args), g * (1 - y * y))


@pytest.mark.parametrize("name", ["gelu", "gelu_tanh"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gelu(xp: backend.CudaBackend, dtype: str, name: str) -> None:
    a = nhwc(np.linspace(-6, 6, 36).reshape(2, 3, 2, 3).astype(dtype))
    g = ints(2, 3, 2, 3, dtype=dtype)

    def f(v: np.ndarray) -> np.ndarray:
        if name == "gelu_tanh":
            return v / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3)))
        return v / 2 * (1 + np.vectorize(math.erf)(v / math.sqrt(2)))

    wide = a.astype("float64")
    close(xp, xp.unary(name, xp.from_numpy(a)), f(wide).astype(dtype))
    slope = (f(wide + 1e-5) - f(wide - 1e-5)) / 2e-5  # exact to 1e-9
    found = xp.to_numpy(xp.unary_backward(name, xp.from_numpy(g), xp.from_numpy(a)))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, g * slope, rtol=1e-5 if dtype == "float32" else 1e-7, atol=1e-5 if dtype == "float32" else 1e-7)


# -- reductions ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 2, 3), (2, 3), (0, 1, 2, 3), (), (1, 3)], ids=str)
@pytest.mark.parametrize("name", ["sum", "max", "min"])
def test_reduce(xp: backend.CudaBackend, name: str, axes: Any) -> None:
    a = nhwc(ints(2, 2, 5, 3))
    for keepdims in (False, True):
        found = getattr(xp, name)(xp.from_numpy(a), axes, keepdims)
        same(xp, found, getattr(a, name)(axis=axes, keepdims=keepdims))


def test_reduce_other_types_and_shapes(xp: backend.CudaBackend) -> None:
    flags = ints(3, 7) > 0
    same(xp, xp.sum(xp.from_numpy(flags), (1,), False), flags.sum(1))
    same(xp, xp.max(xp.from_numpy(flags), (0,), False), flags.max(0))
    small = ints(3, 7, dtype="uint8", low=200, high=255)
    same(xp, xp.sum(xp.from_numpy(small), (0, 1), False), small.sum(dtype="int64"))
    same(xp, xp.sum(xp.from_numpy(np.ones((0, 3), "float32")), (0,), True), np.zeros((1, 3), "float32"))
    same(xp, xp.sum(xp.full((), 3, "float32"), (), False), np.float32(3))


def test_bits_do_not_depend_on_layout(xp: backend.CudaBackend) -> None:
    a = np.random.default_rng(0).standard_normal((2, 3, 3, 4)).astype(np.float32)
    for axes in ((0, 2, 3), (1,), (0, 1, 2, 3)):
        same(xp, xp.sum(xp.from_numpy(a), axes, False), xp.to_numpy(xp.sum(xp.from_numpy(nhwc(a)), axes, False)))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int64", "float32", "float64"])
def test_the_least_and_the_greatest_value_of_a_type(xp: backend.CudaBackend, dtype: str) -> None:
    """The least value of a signed type has no negative."""
    low, high = {"b": (False, True), "f": (-np.inf, np.inf)}.get(np.dtype(dtype).kind) or (np.iinfo(dtype).min, np.iinfo(dtype).max)
    a = np.array([[1, high, low, high], [0, 1, low, 1]], dtype)
    for name in ("min", "max"):
        same(xp, getattr(xp, name)(xp.from_numpy(a), (1,), False), getattr(a, name)(1))
        same(xp, getattr(xp, f"arg{name}")(xp.from_numpy(a), 1), getattr(a, f"arg{name}")(1))


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_positions_are_those_of_the_first(xp: backend.CudaBackend, name: str, axis: int) -> None:
    a = ints(3, 9, 2, low=0, high=3)
    same(xp, getattr(xp, name)(xp.from_numpy(a), axis), getattr(a, name)(axis))
    same(xp, getattr(xp, name)(xp.from_numpy(a > 0), axis), getattr(a > 0, name)(axis))


def softmax(a: np.ndarray, axis: int) -> np.ndarray:
    e = np.exp(a - a.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


@pytest.mark.parametrize("axis", [0, -1])
def test_softmax(xp: backend.CudaBackend, axis: int) -> None:
    a, g = ints(3, 7) * 20, ints(3, 7, seed=1)
    p = softmax(a.astype("float64"), axis).astype("float32")
    x, grad, y = xp.from_numpy(a), xp.from_numpy(g), xp.from_numpy(p)
    close(xp, xp.softmax(x, axis), p)
    logs = (a - a.max(axis, keepdims=True) - np.log(np.exp(a - a.max(axis, keepdims=True)).sum(axis, keepdims=True))).astype("float32")
    close(xp, xp.log_softmax(x, axis), logs)
    close(xp, xp.softmax_backward(grad, y, axis), p * (g - (g * p).sum(axis, keepdims=True)))
    close(xp, xp.log_softmax_backward(grad, xp.from_numpy(logs), axis), g - np.exp(logs) * g.sum(axis, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.25])
def test_cross_entropy(xp: backend.CudaBackend, smoothing: float) -> None:
    logits, labels = ints(4, 6).astype("float64"), np.array([5, 0, -1, 2])
    counts = np.array([1.0, 1.0, 0.0, 1.0])
    target = (1 - smoothing) * np.eye(6)[labels] + smoothing / 6
    p = softmax(logits, 1)
    losses, found = xp.cross_entropy_forward(xp.from_numpy(logits), xp.from_numpy(labels), smoothing)
    close(xp, losses, np.stack([-(target * np.log(p)).sum(1) * counts, counts]))
    close(xp, found, p)
    g = ints(4).astype("float64") * 2 + 1
    close(xp, xp.cross_entropy_backward(xp.from_numpy(g), found, xp.from_numpy(labels), smoothing), (g * counts)[:, None] * (p - target))


def test_cross_entropy_of_an_impossible_class(xp: backend.CudaBackend) -> None:
    logits = np.array([[0, -np.inf, 0]], "float32")
    for label, loss in ((0, np.log(2)), (1, np.inf)):
        losses = xp.cross_entropy_forward(xp.from_numpy(logits), xp.from_numpy(np.array([label])), 0.0)[0]
        close(xp, losses, np.array([[loss], [1]], "float32"))


# -- dense -----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("sizes", [(5, 9, 6), (1, 1, 1), (3, 17, 2), (4, 0, 3), (0, 2, 3)], ids=str)
def test_matmul_and_linear(xp: backend.CudaBackend, sizes: Any) -> None:
    m, k, n = sizes
    a, b, bias = ints(m, k), ints(k, n, seed=1), ints(n, seed=2)
    x, w = xp.from_numpy(a), xp.from_numpy(b.T.copy())
    same(xp, xp.matmul(x, xp.from_numpy(b)), a @ b)
    same(xp, xp.linear_forward(x, w, xp.from_numpy(bias)), a @ b + bias)
    grad = ints(m, n, seed=3)
    same(xp, xp.linear_grad_input(xp.from_numpy(grad), w, (m, k)), grad @ b.T)
    same(xp, xp.linear_grad_weight(xp.from_numpy(grad), x), grad.T @ a)
    same(xp, xp.channel_sum(xp.from_numpy(grad)), grad.sum(0))


@pytest.mark.parametrize("sizes", [(2, 3, 4, 5), (3, 1, 7, 2), (1, 2, 0, 3), (0, 2, 3, 4), (2, 0, 3, 4)], ids=str)
def test_batched_matmul(xp: backend.CudaBackend, sizes: Any) -> None:
    batch, m, k, n = sizes
    a, b = ints(batch, m, k), ints(batch, k, n, seed=1)
    x, y = xp.from_numpy(a), xp.from_numpy(b)
    same(xp, xp.matmul(x, y), a @ b)
    same(xp, xp.matmul(xp.transpose(y, (0, 2, 1)), xp.transpose(x, (0, 2, 1))), (a @ b).transpose(0, 2, 1))
    same(xp, xp.matmul(x, xp.broadcast_to(xp.getitem(y, slice(0, 1)), b.shape) if batch else y), a @ b[:1])


def test_the_gradient_of_an_average(xp: backend.CudaBackend) -> None:
    g = PoolGeometry.of((2, 3, 4, 6), 2)
    y, grad = ints(2, 3, 4, 6), ints(2, 3, 2, 3, seed=1)
    found, total = xp.average_backward("relu", xp.from_numpy(grad), xp.from_numpy(y), g)
    wanted = np.repeat(np.repeat(grad, 2, 2), 2, 3) / np.float32(4) * (y > 0)
    same(xp, found, wanted)
    same(xp, total, wanted.sum((0, 2, 3)))


def test_linear_flattens_images(xp: backend.CudaBackend) -> None:
    x, w, grad = ints(3, 2, 2, 3), ints(4, 12, seed=1), ints(3, 4, seed=2)
    images = xp.from_numpy(x)
    same(xp, xp.linear_forward(images, xp.from_numpy(w), None), x.reshape(3, 12) @ w.T)
    same(xp, xp.linear_grad_input(xp.from_numpy(grad), xp.from_numpy(w), x.shape), (grad @ w).reshape(x.shape))
    same(xp, xp.linear_grad_weight(xp.from_numpy(grad), images), grad.T @ x.reshape(3, 12))


def test_matmul_of_odd_views(xp: backend.CudaBackend) -> None:
    a, b = ints(6, 8), ints(5, 4, dtype="float32", seed=1)
    x = xp.getitem(xp.from_numpy(a), (slice(1, 4), slice(None, None, -2)))
    same(xp, xp.matmul(x, xp.transpose(xp.from_numpy(b), (1, 0))), a[1:4, ::-2] @ b.T)
    i = ints(3, 4, dtype="int64")
    same(xp, xp.matmul(xp.from_numpy(i), xp.from_numpy(i.T)), i @ i.T)


def test_production_tile() -> None:
    xp, m, k, n = backend.create(), tile.BM + 1, 2 * tile.BK + 3, 5
    a, b = ints(m, k), ints(k, n, seed=1)
    same(xp, xp.matmul(xp.from_numpy(a), xp.from_numpy(b)), a @ b)


# -- convolution -------------------------------------------------------------------------------------------------------------
def patches(a: np.ndarray, g: ConvGeometry) -> np.ndarray:
    """The input of each tap: (KH, KW, N, C, OH, OW)."""
    padded = np.pad(a, ((0, 0), (0, 0), *g.padding))
    (sh, sw), (dh, dw) = g.stride, g.dilation
    rows = [padded[:, :, i * dh :, :][:, :, : (g.outputs[0] - 1) * sh + 1 : sh] for i in range(g.kernel[0])]
    return np.stack([np.stack([r[..., j * dw :][..., : (g.outputs[1] - 1) * sw + 1 : sw] for j in range(g.kernel[1])]) for r in rows])


def grouped(a: np.ndarray, axis: int, groups: int) -> np.ndarray:
    return a.reshape(*a.shape[:axis], groups, a.shape[axis] // groups, *a.shape[axis + 1 :])


def conv_oracle(a: np.ndarray, w: np.ndarray, grad: np.ndarray, g: ConvGeometry) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forward, grad input (through the transposed patches) and grad weight, as einsums."""
    p, w5 = grouped(patches(a, g), 3, g.groups), grouped(w, 0, g.groups)
    g5 = grouped(grad, 1, g.groups)
    y = np.einsum("ijngchw,gocij->ngohw", p, w5).reshape(g.output_shape)
    dw = np.einsum("ijngchw,ngohw->gocij", p, g5).reshape(w.shape)
    taps = np.einsum("ngohw,gocij->ijngchw", g5, w5)
    numbers = patches(np.arange(1, a.size + 1, dtype="int64").reshape(a.shape), g)  # where each patch element came from; 0 is padding
    dx = np.bincount(numbers.ravel(), taps.ravel(), a.size + 1)[1:].reshape(a.shape)
    return y, dx.astype(a.dtype), dw


CONVS = [
    ((2, 3, 4, 5), (5, 3, 3, 3), {"padding": 1}),
    ((1, 2, 7, 6), (3, 2, 3, 2), {"stride": (2, 3), "padding": (2, 1)}),
    ((1, 2, 6, 6), (2, 2, 2, 4), {"padding": "same"}),
    ((2, 1, 6, 7), (2, 1, 3, 2), {"dilation": (2, 3), "padding": 2, "stride": 2}),
    ((1, 4, 4, 4), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
    ((2, 3, 4, 3), (6, 1, 2, 2), {"groups": 3}),
    ((2, 9, 3, 3), (5, 9, 1, 1), {}),
    ((1, 1, 1, 1), (1, 1, 1, 1), {"padding": 4, "stride": 3}),
    ((1, 1, 3, 3), (1, 1, 2, 2), {"padding": 3}),
    ((0, 2, 4, 4), (3, 2, 3, 3), {}),
]


@pytest.mark.parametrize("case", CONVS, ids=str)
def test_conv2d(xp: backend.CudaBackend, case: Any) -> None:
    shape, weight, options = case
    g = ConvGeometry.of(shape, weight, **options)
    a, w, bias, grad = ints(*shape), ints(*weight, seed=1), ints(g.oc, seed=2), ints(*g.output_shape, seed=3)
    y, dx, dw = conv_oracle(a, w, grad, g)
    x, dy = xp.from_numpy(a), xp.from_numpy(nhwc(grad))
    found = xp.conv_forward(x, xp.from_numpy(w), xp.from_numpy(bias), g)
    assert xp.channels_last(found) is found
    same(xp, found, y + bias[:, None, None])
    same(xp, xp.conv_grad_input(dy, xp.from_numpy(w), g), dx)
    found = xp.conv_grad_weight(dy, x, g)
    same(xp, found, dw)
    assert xp.parameter(found) is found
    same(xp, xp.channel_sum(dy), grad.sum((0, 2, 3)))


def test_conv2d_in_float64_with_odd_strides(xp: backend.CudaBackend) -> None:
    a, w = ints(2, 4, 5, 4, dtype="float64")[:, ::2, ::-1], ints(3, 2, 2, 3, dtype="float64")
    g = ConvGeometry.of(a.shape, w.shape, padding=1)
    grad = np.broadcast_to(np.float64(2), g.output_shape)
    x = xp.getitem(xp.from_numpy(np.ascontiguousarray(a)), ...)
    dy = xp.broadcast_to(xp.full((), 2, "float64"), g.output_shape)
    weight = xp.transpose(xp.from_numpy(np.ascontiguousarray(w.T)), (3, 2, 1, 0))
    found = xp.conv_forward(x, weight, None, g), xp.conv_grad_input(dy, weight, g), xp.conv_grad_weight(dy, x, g)
    for one, wanted in zip(found, conv_oracle(a, w, grad, g)):
        same(xp, one, wanted)


def test_the_choice_explains_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On every device alike; ``test_kernels_special.py`` has the CPU's list."""
    monkeypatch.setattr(nc.config, "explain", True)
    choose("grad_input", ConvGeometry.of((4, 64, 9, 8), (32, 64, 3, 3), stride=(2, 1)), "float32")
    wanted = "[conv2d grad_input] (4, 64, 9, 8) * (32, 64, 3, 3), stride (2, 1), padding ((0, 0), (0, 0)): simt\n"
    assert capsys.readouterr().err == wanted


# -- pooling -----------------------------------------------------------------------------------------------------------------
def windows(a: np.ndarray, g: PoolGeometry) -> Any:
    """(place in the output, rows, columns) of each window; the rows and columns are the taps that lie in the data."""
    for o in np.ndindex(*g.outputs):
        starts = [i * s - p for i, s, p in zip(o, g.stride, g.before)]
        taps = [[t for k in range(n) if 0 <= (t := start + k * d) < size]
                for start, n, d, size in zip(starts, g.kernel, g.dilation, a.shape[2:])]  # fmt: skip
        counted = [min(start + n, size + p) - start for start, n, size, p in zip(starts, g.kernel, a.shape[2:], g.before)]
        yield o, taps, math.prod(counted) if g.count_include_pad else len(taps[0]) * len(taps[1])


POOLS = [
    ((2, 3, 6, 6), 2, {}),
    ((1, 2, 7, 5), 3, {"stride": 2, "padding": 1}),
    ((1, 2, 7, 7), (3, 2), {"stride": (1, 2), "padding": (1, 0)}),
    ((2, 1, 6, 7), 3, {"stride": 2, "ceil_mode": True}),
    ((1, 1, 7, 6), 3, {"stride": 3, "padding": 1, "ceil_mode": True}),
    ((0, 2, 4, 4), 2, {}),
]


@pytest.mark.parametrize("case", [*POOLS, ((1, 2, 8, 7), 2, {"dilation": (3, 2), "padding": 1, "stride": 1})], ids=str)
def test_max_pool2d(xp: backend.CudaBackend, case: Any) -> None:
    shape, kernel, options = case
    g = PoolGeometry.of(shape, kernel, **options)
    a, grad = ints(*shape, low=-2, high=3), ints(*g.output_shape, seed=1)
    y, index, dx = np.zeros(g.output_shape, "float32"), np.zeros(g.output_shape, "int32"), np.zeros(shape, "float32")
    for (oh, ow), (rows, cols), _ in windows(a, g):
        part = a[:, :, rows][..., cols].reshape(*shape[:2], len(rows) * len(cols))
        places = np.array([h * shape[3] + w for h in rows for w in cols], "int32")
        y[..., oh, ow], index[..., oh, ow] = part.max(-1), places[part.argmax(-1)]
    for n, c, oh, ow in np.ndindex(*g.output_shape):
        dx[n, c].reshape(-1)[index[n, c, oh, ow]] += grad[n, c, oh, ow]
    found, where = xp.max_pool_forward(xp.from_numpy(a), g)
    same(xp, found, y)
    same(xp, where, index)
    same(xp, xp.max_pool_backward(xp.from_numpy(grad), where, g), dx)


def test_max_pool2d_of_nan_and_infinity(xp: backend.CudaBackend) -> None:
    a = np.array([[np.nan, 1, -np.inf, -np.inf], [np.nan, 2, -np.inf, -np.inf]], "float32").reshape(1, 1, 2, 4)
    found, where = xp.max_pool_forward(xp.from_numpy(a), PoolGeometry.of(a.shape, 2))
    same(xp, found, np.array([np.nan, -np.inf], "float32").reshape(1, 1, 1, 2))
    same(xp, where, np.array([4, 2], "int32").reshape(1, 1, 1, 2))  # PyTorch: of NaNs the last, of equals the first


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("case", POOLS, ids=str)
def test_avg_pool2d(xp: backend.CudaBackend, case: Any, include: bool) -> None:
    shape, kernel, options = case
    g = PoolGeometry.of(shape, kernel, count_include_pad=include, op="avg_pool2d", **options)
    a, grad = ints(*shape).astype("float64"), ints(*g.output_shape, seed=1).astype("float64")
    y, dx = np.zeros(g.output_shape), np.zeros(shape)
    for (oh, ow), (rows, cols), count in windows(a, g):
        if rows and cols:
            y[..., oh, ow] = a[:, :, rows][..., cols].sum((2, 3)) / count
            dx[:, :, rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1] += (grad[..., oh, ow] / count)[..., None, None]
    close(xp, xp.avg_pool_forward(xp.from_numpy(a), g), y)
    close(xp, xp.avg_pool_backward(xp.from_numpy(grad), g), dx)


@pytest.mark.parametrize("sizes", [((2, 3, 5, 4), 1), ((1, 2, 7, 5), (3, 2)), ((2, 1, 2, 3), (5, 4)), ((0, 2, 3, 3), 2)], ids=str)
def test_adaptive_avg_pool2d(xp: backend.CudaBackend, sizes: Any) -> None:
    shape, out = sizes
    g = AdaptivePoolGeometry.of(shape, out)
    a, grad = ints(*shape).astype("float64"), ints(*g.output_shape, seed=1).astype("float64")
    y, dx = np.zeros(g.output_shape), np.zeros(shape)
    for i, j in np.ndindex(*g.outputs):
        rows, cols = (slice(o * n // k, -(-(o + 1) * n // k)) for o, n, k in zip((i, j), g.sizes, g.outputs))
        y[..., i, j] = a[:, :, rows, cols].sum((2, 3)) / a[0:1, 0, rows, cols].size if a.size else 0
        part = dx[:, :, rows, cols]
        part += (grad[..., i, j] / (part.shape[2] * part.shape[3]))[..., None, None]
    close(xp, xp.adaptive_avg_pool_forward(xp.from_numpy(a), g), y)
    close(xp, xp.adaptive_avg_pool_backward(xp.from_numpy(nhwc(grad)), g), dx)


# -- batch normalisation -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (9, 3), (3, 1, 2), (1, 6, 2, 1)], ids=str)
@pytest.mark.parametrize("affine", [True, False])
def test_batch_norm(xp: backend.CudaBackend, shape: Any, dtype: str, affine: bool) -> None:
    """Training, its gradients and running statistics; then evaluation with them. A mean of 50 must not cost digits."""
    c, axes = shape[1], (0, *range(2, len(shape)))
    n = math.prod(shape) // c
    a, g = ints(*shape, dtype=dtype) + np.asarray(50, dtype), ints(*shape, dtype=dtype, seed=1)
    w, b = (ints(c, dtype=dtype, low=1, seed=2), ints(c, dtype=dtype, seed=3)) if affine else (None, None)
    per = lambda v: np.asarray(v, "float64").reshape(c, *[1] * (len(shape) - 2))
    wide = a.astype("float64")
    mean, var = wide.mean(axes), wide.var(axes)
    xhat = (wide - per(mean)) / np.sqrt(per(var) + 1e-3)
    scale, shift = per(np.ones(c) if w is None else w), per(np.zeros(c) if b is None else b)
    running = [xp.full((c,), v, dtype) for v in (0.0, 1.0)]
    params = [None if p is None else xp.from_numpy(p) for p in (w, b)]
    x = xp.from_numpy(nhwc(a))
    y, m, s = xp.batch_norm_forward(x, *params, *running, True, 0.25, 1e-3)
    near = {"rtol": 2e-5, "atol": 2e-5} if dtype == "float32" else {"rtol": 1e-11, "atol": 1e-11}
    assert xp.channels_last(y) is y

    def check(found: Any, wanted: np.ndarray) -> None:
        got = xp.to_numpy(found)
        assert (got.shape, got.dtype) == (wanted.shape, dtype)
        np.testing.assert_allclose(got, wanted, **near)

    check(y, xhat * scale + shift)
    moved = [0.25 * mean, 0.75 + 0.25 * var * n / (n - 1)]
    for found, wanted in zip(running, moved):
        check(found, wanted)
    dx, dw, db = xp.batch_norm_backward(xp.from_numpy(g), x, params[0], m, s, True, (True, True, True))
    check(db, g.sum(axes))
    check(dw, (g * xhat).sum(axes))
    spread = per(g.mean(axes)) + xhat * per((g * xhat).mean(axes))
    check(dx, scale / np.sqrt(per(var) + 1e-3) * (g - spread))

    y, m, s = xp.batch_norm_forward(x, *params, *running, False, 0.25, 1e-3)
    still = (wide - per(moved[0])) / np.sqrt(per(moved[1]) + 1e-3)
    check(y, still * scale + shift)
    check(running[0], moved[0])
    dx, dw, db = xp.batch_norm_backward(xp.from_numpy(g), x, params[0], m, s, False, (True, True, False))
    check(dx, g * scale / np.sqrt(per(moved[1]) + 1e-3))
    check(dw, (g * still).sum(axes))
    assert db is None
    alone = xp.batch_norm_backward(xp.from_numpy(g), x, params[0], m, s, False, (True, False, False))
    check(alone[0], g * scale / np.sqrt(per(moved[1]) + 1e-3))
    assert alone[1:] == (None, None)


def test_batch_norm_of_no_image(xp: backend.CudaBackend) -> None:
    x = xp.from_numpy(np.zeros((0, 3, 2, 2), "float32"))
    running = [xp.full((3,), v, "float32") for v in (0.0, 1.0)]
    y, mean, invstd = xp.batch_norm_forward(x, None, None, *running, True, 0.5, 1e-5)
    assert y.shape == x.shape
    same(xp, running[0], np.zeros(3, "float32"))
    dx, dw, db = xp.batch_norm_backward(y, x, None, mean, invstd, True, (True, True, True))
    assert dx is not None and dx.shape == x.shape
    for found in (dw, db):
        same(xp, found, np.zeros(3, "float32"))
    _, mean, invstd = xp.batch_norm_forward(x, None, None, None, None, True, 0.5, 1e-5)  # and no statistics
    same(xp, mean, np.zeros(x.shape[1], np.float32))
    same(xp, invstd, np.ones(x.shape[1], np.float32))


def test_a_residual_block_on_this_device(xp: backend.CudaBackend) -> None:
    """The same gradients as on the CPU, through Tensors."""
    nc.manual_seed(0)
    block = BasicBlock(2, 3, stride=2)
    x, found = ints(2, 2, 3, 3), []
    for device in ("cpu", "cuda"):
        twin = copy.deepcopy(block).to(device)
        leaf = nc.tensor(x, device=device, requires_grad=True)
        y = F.gelu(F.adaptive_avg_pool2d(twin(leaf), 1))
        (y * y).sum().backward()
        found.append([np.asarray(t.detach().cpu()) for t in (y, leaf.grad, *(p.grad for p in twin.parameters()), *twin.buffers())])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


# -- optimisers --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("layout", ["dense", "transposed", "sliced"])
def test_sgd(xp: backend.CudaBackend, nesterov: bool, layout: str) -> None:
    w, v = ints(3, 4, dtype="float64"), np.full((3, 4), 99.0)
    x = xp.from_numpy(w)
    if layout == "transposed":
        x = xp.transpose(xp.from_numpy(w.T.copy()), (1, 0))
    elif layout == "sliced":
        x = xp.getitem(xp.from_numpy(np.repeat(w, 2, axis=1)), (..., slice(0, 8, 2)))
    velocity = xp.from_numpy(v)
    for step in range(2):
        grad = ints(3, 4, dtype="float64", seed=step + 1)
        rates = np.array([0.5, 0.25, 0.0 if nesterov else 0.5, 0.125, nesterov], np.float64)
        xp.sgd_step([x], [xp.from_numpy(grad)], [velocity], [step == 0], rates)
        d = grad + 0.125 * w
        v = d if step == 0 else 0.25 * v + (1.0 if nesterov else 0.5) * d
        w = w - 0.5 * (d + 0.25 * v if nesterov else v)
    close(xp, x, w)
    close(xp, velocity, v)


def test_sgd_without_momentum(xp: backend.CudaBackend) -> None:
    w, grad = ints(3, 4), ints(3, 4, seed=1)
    x = xp.transpose(xp.from_numpy(w), (1, 0))
    xp.sgd_step([x], [xp.transpose(xp.from_numpy(grad), (1, 0))], None, [True], np.array([0.5, 0.0, 0.0, 0.25, 0.0]))
    same(xp, x, (w - 0.5 * (grad + 0.25 * w)).T)


def test_small_grids_are_no_reason_to_warn() -> None:
    class Kernel:
        colour = ""

        def __getitem__(self, configuration: Any) -> Any:
            warnings.warn(f"{self.colour}Grid size 4 will likely result in GPU under-utilization due to low occupancy.", stacklevel=2)
            return configuration

    kernel = Kernel()
    for kernel.colour in ("", "\x1b[1m", "\x1b[1m\x1b[33m"):  # colorama's, where it is installed
        assert driver._configure(kernel, (4,), 256) == ((4,), 256)


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam(xp: backend.CudaBackend, decoupled: bool) -> None:
    w, m, v = ints(3, 4, dtype="float64"), np.zeros((3, 4)), np.zeros((3, 4))
    states = [xp.from_numpy(a) for a in (w, m, v)]
    for step in (1, 2):
        grad = ints(3, 4, dtype="float64", seed=step)
        rates = np.array([0.1, 0.9, 0.99, 1e-8, 0.01])
        xp.adam_step(*([a] for a in (states[0], xp.from_numpy(grad), *states[1:])), np.array([step]), rates, decoupled)
        w, g = (w * (1 - 0.1 * 0.01), grad) if decoupled else (w, grad + 0.01 * w)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        w = w - 0.1 / (1 - 0.9**step) * m / (np.sqrt(v) / math.sqrt(1 - 0.99**step) + 1e-8)
    for state, wanted in zip(states, (w, m, v)):
        close(xp, state, wanted)
    xp.synchronize()
