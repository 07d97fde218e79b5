"""The memory-bound CPU kernels against NumPy, SciPy and plain loops; integers compare exactly."""

import itertools

import numba
import numpy as np
import pytest
from scipy import special

from numbacnn.kernels.cpu import adaptive, loss, norm, optim, pointwise, pool, reduce, softmax, transpose
from numbacnn.kernels.cpu import index as index_kernels
from numbacnn.kernels.cpu.launch import launch, set_num_threads
from numbacnn.kernels.cpu.record import record
from numbacnn.kernels.cpu.tile import FMA

DTYPES = ("float32", "float64")
both = pytest.mark.parametrize("dtype", DTYPES)
SIZES = (0, 1, 7, 100) if numba.config.DISABLE_JIT else (0, 1, 7, 4096, 8193)
rng = np.random.default_rng(0)


def run(driver, *args):
    """Launch with two threads and again with one: the same bits, please. Returns the arrays of the first run."""
    first, again = ([a.copy() if isinstance(a, np.ndarray) else a for a in args] for _ in range(2))
    try:
        with np.errstate(all="ignore"):  # without the compiler NumPy would warn of NaN
            set_num_threads(min(2, numba.config.NUMBA_NUM_THREADS))
            launch(driver, *first)
            set_num_threads(1)
            launch(driver, *again)
    finally:
        set_num_threads(None)
    arrays = [(a, b) for a, b in zip(first, again) if isinstance(a, np.ndarray)]
    assert all(a.tobytes() == b.tobytes() for a, b in arrays)
    return [a for a, _ in arrays]


def integers(shape, dtype, low=-8, high=9):
    return rng.integers(low, high, shape).astype(dtype)


def normal(shape, dtype):
    return rng.standard_normal(shape).astype(dtype)


def tolerance(dtype):
    return {"rtol": 2e-6, "atol": 2e-6} if dtype == "float32" else {"rtol": 1e-13, "atol": 1e-13}


# -- elementwise -------------------------------------------------------------------------------------------------------
def ulps(y, exact):
    """The error of y (float32) in units of the last place of the float64 result."""
    with np.errstate(over="ignore"):
        rounded = np.abs(exact).astype("float32")
    error = np.abs(y - exact) / np.spacing(np.minimum(rounded, np.finfo("float32").max))
    return np.where((y == exact.astype("float32")) | (np.isnan(y) & np.isnan(exact)), 0, error)


def sigmoid64(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


ERF = 1.2 if FMA or numba.config.DISABLE_JIT else 1.4  # units in the last place
EXACT = {
    "sigmoid": (sigmoid64, 3),
    "tanh": (np.tanh, 3),
    "erf": (special.erf, ERF),
    "exp": (np.exp, 3 if numba.config.DISABLE_JIT else 1.1),
    "softplus": (lambda x: np.logaddexp(0, x), 3),
}


@pytest.mark.parametrize("name", EXACT)
def test_every_kind_of_float32(name):
    """Sampled evenly over all bit patterns: denormals, huge values, infinities and NaN."""
    step = 20000003 if numba.config.DISABLE_JIT else 4099
    x = np.arange(0, 1 << 32, step, dtype="uint64").astype("uint32").view("float32")
    x = np.concatenate([x, np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 88.7, -87.4, -103.9, -104.1], "float32")])
    exact, worst = EXACT[name]
    (_, y) = run(pointwise.forward(name), x, np.empty_like(x))
    with np.errstate(all="ignore"):
        assert ulps(y.astype("float64"), exact(x.astype("float64"))).max() < worst


@both
def test_exp_of_extreme_logits(dtype):
    """exp itself, through the kernel that shows it: softmax of (x, 0)."""
    for x in (-200.0, -103.9, -88.0, -1e-3, 0.0, 30.0, 1e30):
        row = np.array([[x, 0]], dtype)
        (_, y) = run(softmax.softmax, row, np.empty_like(row))
        np.testing.assert_allclose(y, special.softmax(row.astype("float64"), 1), rtol=1e-6, atol=1e-45)


@both
@pytest.mark.parametrize("size", SIZES)
def test_activations(dtype, size):
    x, g = normal(size, dtype), normal(size, dtype)
    e = np.empty_like(x)
    np.testing.assert_array_equal(run(pointwise.forward("relu"), x, e)[1], np.maximum(x, 0))
    np.testing.assert_allclose(run(pointwise.forward("sigmoid"), x, e)[1], special.expit(x), **tolerance(dtype))
    np.testing.assert_allclose(run(pointwise.forward("tanh"), x, e)[1], np.tanh(x), **tolerance(dtype))
    np.testing.assert_array_equal(run(pointwise.backward("relu"), g, x, e)[2], np.where(x > 0, g, 0))
    np.testing.assert_allclose(run(pointwise.backward("sigmoid"), g, x, e)[2], g * x * (1 - x), **tolerance(dtype))
    np.testing.assert_allclose(run(pointwise.backward("tanh"), g, x, e)[2], g * (1 - x * x), **tolerance(dtype))


def test_erf_where_its_formula_changes():
    near = np.concatenate([np.float32(c) + np.arange(-2000, 2000, dtype="float32") * np.spacing(np.float32(c)) for c in (0.92, 4, 3.92)])
    x = np.concatenate([near, -near])
    y = run(pointwise.forward("erf"), x, np.empty_like(x))[1]
    assert ulps(y.astype("float64"), special.erf(x.astype("float64"))).max() < ERF
    np.testing.assert_array_equal(y[: near.size], -y[near.size :])
    special_values = np.array([np.inf, -np.inf, np.nan, -0.0, 1e-45], "float32")
    y = run(pointwise.forward("erf"), special_values, np.empty_like(special_values))[1]
    np.testing.assert_array_equal(y, np.array([1, -1, np.nan, -0.0, 1e-45], "float32"))
    assert np.signbit(y[3])


@both
@pytest.mark.parametrize("size", SIZES)
def test_add_and_gelu(dtype, size):
    x, g = 3 * normal(size, dtype), normal(size, dtype)
    e, wide = np.empty_like(x), x.astype("float64")
    np.testing.assert_array_equal(run(pointwise.forward("add"), x, g, e)[2], x + g)
    np.testing.assert_allclose(run(pointwise.forward("erf"), x, e)[1], special.erf(wide), **tolerance(dtype))
    np.testing.assert_allclose(run(pointwise.forward("gelu"), x, e)[1], wide * special.ndtr(wide), **tolerance(dtype))
    slope = special.ndtr(wide) + wide * np.exp(-wide * wide / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(run(pointwise.backward("gelu"), g, x, e)[2], g * slope, **tolerance(dtype))
    inner, root = np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3), np.sqrt(2 / np.pi)
    t = np.tanh(inner)
    np.testing.assert_allclose(run(pointwise.forward("gelu_tanh"), x, e)[1], wide / 2 * (1 + t), **tolerance(dtype))
    slope = (1 + t) / 2 + wide / 2 * (1 - t * t) * root * (1 + 3 * 0.044715 * wide * wide)
    close = tolerance(dtype) | {"atol": 4 * tolerance(dtype)["atol"]}  # 1 + t and 1 - t * t cancel, and are multiplied by x and x**3
    np.testing.assert_allclose(run(pointwise.backward("gelu_tanh"), g, x, e)[2], g * slope, **close)


def test_gelu_far_below_zero():
    """Where the distribution function is small, it has not been found as 1 - (1 - small)."""
    x = np.linspace(-5, 0, 100_001, dtype="float32")
    y = run(pointwise.forward("gelu"), x, np.empty_like(x))[1]
    np.testing.assert_allclose(y, x * special.ndtr(x.astype("float64")), rtol=6e-6)
    x = np.array([np.nan, np.inf, 5.6, 5.7, 1e30, -5.7, -1e30, 0.0, -0.0, 1e-40], "float32")
    y = run(pointwise.forward("gelu"), x, np.empty_like(x))[1]
    np.testing.assert_array_equal(y, np.array([np.nan, np.inf, 5.6, 5.7, 1e30, 0, 0, 0, 0, 5e-41], "float32"))


def test_sums_of_many_numbers_keep_their_digits():
    x = np.full((300_000, 16), 0.1, "float32")
    part = np.empty(reduce.channel_sum_scratch(*x.shape), "float32")
    out = run(reduce.channel_sum, x.reshape(-1), x.reshape(-1), 0, reduce.NO_WINDOW, x, part, np.empty(16, "float32"))[-1]
    # 128 additions one after the other; with the 590 of a whole slice it would be 5e-6
    np.testing.assert_allclose(out, x.sum(0, dtype="float64"), rtol=2e-6)


def test_relu_keeps_nan():
    x = np.array([np.nan, -1, 2, np.inf, -np.inf], "float32")
    np.testing.assert_array_equal(run(pointwise.forward("relu"), x, np.empty_like(x))[1], np.array([np.nan, 0, 2, np.inf, 0], "float32"))


# -- reductions --------------------------------------------------------------------------------------------------------
@both
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (5, 6), (131, 10), (9, 300), (40000, 6), (5001, 16), (300, 130), (70000, 16)])
def test_channel_sum(dtype, shape):
    if numba.config.DISABLE_JIT and shape[0] > 200:
        pytest.skip("too slow without the compiler")
    x = integers(shape, dtype)
    part = np.full(reduce.channel_sum_scratch(*shape), np.nan, dtype)
    out = run(reduce.channel_sum, x.reshape(-1), x.reshape(-1), 0, reduce.NO_WINDOW, x, part, np.empty(shape[1], dtype))[-1]
    np.testing.assert_array_equal(out, x.sum(0))
    # behind an activation, x is first made of the gradient and the activation's result
    grad, y = integers(shape, dtype), integers(shape, dtype)
    for kind, wanted in ((1, np.where(y > 0, grad, 0)), (2, grad * y * (1 - y)), (3, grad * (1 - y * y))):
        found = run(
            reduce.channel_sum,
            grad.reshape(-1),
            y.reshape(-1),
            kind,
            reduce.NO_WINDOW,
            np.full_like(x, np.nan),
            part,
            np.empty(shape[1], dtype),
        )
        np.testing.assert_array_equal(found[3], wanted)
        np.testing.assert_array_equal(found[-1], wanted.sum(0))


@both
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (3, 10), (7, 257), (1000, 9)])
def test_softmax(dtype, shape):
    if numba.config.DISABLE_JIT and shape[0] > 200:
        pytest.skip("too slow without the compiler")
    x, g = 5 * normal(shape, dtype), normal(shape, dtype)
    e = np.empty_like(x)
    y, log_y = special.softmax(x.astype("float64"), 1), special.log_softmax(x.astype("float64"), 1)
    np.testing.assert_allclose(run(softmax.softmax, x, e)[1], y, **tolerance(dtype))
    np.testing.assert_allclose(run(softmax.log_softmax, x, e)[1], log_y, **tolerance(dtype))
    expected = y * (g - (g * y).sum(1, keepdims=True))
    np.testing.assert_allclose(run(softmax.softmax_backward, g, y.astype(dtype), e)[2], expected, rtol=1e-4, atol=1e-6)
    expected = g - y * g.sum(1, keepdims=True)
    np.testing.assert_allclose(run(softmax.log_softmax_backward, g, log_y.astype(dtype), e)[2], expected, rtol=1e-4, atol=3e-5)


@both
@pytest.mark.parametrize("size", [10, 33, 100])
def test_softmax_does_not_depend_on_where_arrays_lie(dtype, size):
    """LLVM tells loops by how near the arrays are: a sum must not be in one that also stores."""
    x = normal((1, size), dtype)
    found = set()
    for distance in (0, 1, 16, 40, 64, 300, 5000):
        room = np.zeros(2 * size + distance, dtype)
        room[:size] = x
        y = room[size + distance :].reshape(1, size)
        launch(softmax.softmax, room[:size].reshape(1, size), y)
        found.add(y.tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("place", [0, 17, 63, 64, 99])
def test_softmax_of_long_rows_with_infinite_and_missing(place):
    x = np.zeros((4, 100), "float32")
    x[0, place], x[1, place], x[2], x[3, place] = np.nan, np.inf, -np.inf, -np.inf
    y, log_y = (run(kernel, x, np.empty_like(x))[1] for kernel in (softmax.softmax, softmax.log_softmax))
    for found in (y, log_y):
        assert np.isnan(found[0]).all() and np.isnan(found[1]).any() and np.isnan(found[2]).all() and not np.isnan(found[3]).any()
    np.testing.assert_allclose(y[3].sum(), 1, rtol=1e-6)
    assert y[3, place] == 0


def test_softmax_of_infinite_and_missing():
    x = np.array([[0, np.nan, 1], [-np.inf, 0, 0], [np.inf, 0, 1], [-np.inf] * 3], "float32")
    y = run(softmax.softmax, x, np.empty_like(x))[1]
    assert np.isnan(y[0]).all() and np.isnan(y[2]).any() and np.isnan(y[3]).all()
    np.testing.assert_array_equal(y[1], np.array([0, 0.5, 0.5], "float32"))


# -- pooling -----------------------------------------------------------------------------------------------------------
WINDOWS = [
    # (N, H, W, C), kernel, stride, padding, dilation, ceil
    ((2, 6, 6, 6), (2, 2), (2, 2), (0, 0), (1, 1), False),
    ((1, 5, 7, 16), (2, 3), (2, 1), (1, 1), (1, 1), True),
    ((2, 7, 5, 3), (3, 3), (2, 2), (1, 1), (1, 1), False),
    ((1, 8, 9, 33), (3, 2), (1, 2), (1, 0), (1, 1), True),
    ((1, 6, 8, 40), (3, 3), (2, 2), (1, 1), (1, 1), False),
    ((1, 9, 9, 2), (2, 3), (2, 2), (0, 1), (3, 2), False),
    ((1, 9, 9, 33), (2, 3), (2, 2), (1, 1), (3, 2), False),
    ((3, 4, 4, 1), (4, 4), (4, 4), (0, 0), (1, 1), False),
    ((1, 7, 7, 5), (1, 2), (3, 3), (0, 0), (1, 1), False),
    ((1, 7, 6, 2), (2, 2), (3, 3), (1, 1), (1, 1), True),
    ((0, 4, 4, 3), (2, 2), (2, 2), (0, 0), (1, 1), False),
    ((1, 64, 130, 7), (3, 3), (2, 2), (1, 1), (1, 1), False),
    ((1, 60, 66, 36), (2, 2), (2, 2), (0, 0), (1, 1), False),
]
windows = pytest.mark.parametrize(
    "shape, kernel, stride, padding, dilation, ceil",
    WINDOWS[:-2] if numba.config.DISABLE_JIT else WINDOWS,
    ids=lambda v: str(v).replace(" ", ""),
)


def outputs(size, kernel, stride, pad, dilation, ceil):
    room = size + 2 * pad - dilation * (kernel - 1) - 1
    count = (room + stride - 1 if ceil else room) // stride + 1
    return count - 1 if ceil and (count - 1) * stride >= size + pad else count


def each_window(shape, kernel, stride, padding, dilation, ceil):
    """(n, oh, ow, rows, columns) of every window, rows and columns where it has data; and the output's (OH, OW)."""
    n, *size, _ = shape
    out = tuple(outputs(*v, ceil) for v in zip(size, kernel, stride, padding, dilation))

    def taps(axis, o):
        start = o * stride[axis] - padding[axis]
        return [i for i in range(start, start + kernel[axis] * dilation[axis], dilation[axis]) if 0 <= i < size[axis]]

    return out, [(i, a, b, taps(0, a), taps(1, b)) for i, a, b in itertools.product(range(n), *map(range, out))]


def rows(x):
    """(N, H, W, C) -> (N, H, W * C)."""
    return x.reshape(x.shape[0], x.shape[1], x.shape[2] * x.shape[3])


def max_oracle(x, *geometry):
    (oh, ow), each = each_window(x.shape, *geometry)
    n, _, w, c = x.shape
    y, index = np.full((n, oh, ow, c), -np.inf, x.dtype), np.full((n, oh, ow, c), -1, "int32")
    for i, a, b, hs, ws in each:
        for h, k in itertools.product(hs, ws):
            v = x[i, h, k]
            take = (v > y[i, a, b]) | np.isnan(v) | (index[i, a, b] < 0)
            y[i, a, b] = np.where(take, v, y[i, a, b])
            index[i, a, b] = np.where(take, h * w + k, index[i, a, b])
    return y, index


def pool_axes(sizes, out, kernel, stride, padding, dilation=(1, 1)):
    """The axes as the kernels take them, a slice of one pixel in front."""
    return np.array([(1, 1, 1, 1, 0, 1), *zip(sizes, out, kernel, stride, padding, dilation)], np.int64)


def max_forward(x, kernel, stride, padding, dilation, out):
    axes = pool_axes(x.shape[1:3], out, kernel, stride, padding, dilation)
    y = np.empty((x.shape[0], *out, x.shape[3]), x.dtype)
    index = np.empty(y.shape, "int32")
    _, value, where, _ = run(pool.max_forward, rows(x), rows(y), rows(index), x.shape[3], axes)
    return value.reshape(y.shape), where.reshape(y.shape)


@both
@windows
def test_max_pool(dtype, shape, kernel, stride, padding, dilation, ceil):
    x = integers(shape, dtype, 0, 4)  # many ties
    x[rng.random(shape) < 0.05] = np.nan
    x[rng.random(shape) < 0.1] = -np.inf
    y, index = max_oracle(x, kernel, stride, padding, dilation, ceil)
    value, where = max_forward(x, kernel, stride, padding, dilation, y.shape[1:3])
    np.testing.assert_array_equal(value, y)
    np.testing.assert_array_equal(where, index)

    grad = integers(y.shape, dtype)
    expected = np.zeros((shape[0], shape[1] * shape[2], shape[3]), dtype)
    for i, a, b, k in np.argwhere(index >= 0):
        expected[i, index[i, a, b, k], k] += grad[i, a, b, k]
    axes = pool_axes(shape[1:3], y.shape[1:3], kernel, stride, padding, dilation)
    dx = run(pool.max_backward, rows(grad), rows(index), rows(np.full(shape, np.nan, dtype)), shape[3], axes)[2]
    np.testing.assert_array_equal(dx.reshape(expected.shape), expected)


@pytest.mark.parametrize("channels", [2, 40])
def test_max_pool_of_padding_only(channels):
    """With dilation 2 and padding 1 the taps of the corner window step over the only pixel."""
    x = np.ones((1, 1, 1, channels), "float32")
    y, index = max_forward(x, (2, 2), (1, 1), (1, 1), (2, 2), (1, 1))
    assert (y == -np.inf).all() and (index == -1).all()
    dx = run(pool.max_backward, rows(y), rows(index), rows(x), channels, pool_axes((1, 1), (1, 1), (2, 2), (1, 1), (1, 1), (2, 2)))[2]
    assert (dx == 0).all()


def divisor(a, b, hs, ws, shape, kernel, stride, padding, include):
    if not include:
        return max(1, len(hs) * len(ws))
    ends = [min(o * s - p + k, n + p) - (o * s - p) for o, n, k, s, p in zip((a, b), shape[1:3], kernel, stride, padding)]
    return ends[0] * ends[1]


@both
@windows
@pytest.mark.parametrize("include", [0, 1])
def test_avg_pool(dtype, shape, kernel, stride, padding, dilation, ceil, include):
    dilation = (1, 1)  # averages have none
    x = integers(shape, dtype)
    out, each = each_window(shape, kernel, stride, padding, dilation, ceil)
    y, dx = np.zeros((shape[0], *out, shape[3]), dtype), np.zeros(shape)
    grad = integers(y.shape, dtype)
    for i, a, b, hs, ws in each:
        count = divisor(a, b, hs, ws, shape, kernel, stride, padding, include)
        y[i, a, b] = x[i][np.ix_(hs, ws)].sum((0, 1)) / np.asarray(count, dtype)
        dx[i][np.ix_(hs, ws)] += grad[i, a, b].astype("float64") / count
    geometry = (shape[3], pool_axes(shape[1:3], out, kernel, stride, padding), include)
    value = run(pool.avg_forward, rows(x), rows(np.full_like(y, np.nan)), *geometry)[1]
    np.testing.assert_array_equal(value.reshape(y.shape), y)  # exact sums, one rounded division
    got = run(pool.avg_backward, rows(grad), rows(np.full_like(x, np.nan)), *geometry)[1]
    np.testing.assert_allclose(got.reshape(shape), dx, **tolerance(dtype))


ADAPTIVE = [
    # (N, H, W, C), (OH, OW)
    ((2, 7, 7, 16), (1, 1)),
    ((3, 5, 6, 3), (2, 4)),
    ((2, 3, 4, 5), (7, 9)),
    ((1, 6, 6, 1), (6, 3)),
    ((0, 4, 4, 3), (2, 2)),
    ((1, 60, 50, 33), (7, 1)),
    ((2, 61, 67, 20), (23, 25)),
]


@both
@pytest.mark.parametrize("shape, out", ADAPTIVE[:-2] if numba.config.DISABLE_JIT else ADAPTIVE, ids=str)
def test_adaptive_avg_pool(dtype, shape, out):
    """Sums are exact; each division rounds, and so do the sums of shares in the gradient."""
    n, h, w, c = shape
    x, grad = integers(shape, dtype), integers((n, *out, c), dtype)
    y, dx = np.empty((n, *out, c), dtype), np.zeros(shape)
    for i, j in np.ndindex(*out):
        rows_, cols = slice(i * h // out[0], -(-(i + 1) * h // out[0])), slice(j * w // out[1], -(-(j + 1) * w // out[1]))
        part = dx[:, rows_, cols]
        count = part.shape[1] * part.shape[2]
        y[:, i, j] = x[:, rows_, cols].sum((1, 2)) / np.asarray(count, dtype)
        part += grad[:, i, j, None, None].astype("float64") / count
    plan = record(channels=c, depth=1, height=h, width=w, planes=1, rows=out[0], windows=out[1])
    value = run(adaptive.adaptive_avg_forward, rows(x), rows(np.full_like(y, np.nan)), plan)[1]
    np.testing.assert_array_equal(value.reshape(y.shape), y)
    got = run(adaptive.adaptive_avg_backward, rows(grad), rows(np.full_like(x, np.nan)), plan)[1]
    np.testing.assert_allclose(got.reshape(shape), dx, **tolerance(dtype))


# -- batch normalisation -----------------------------------------------------------------------------------------------
ROWS = [(1, 1), (5, 6), (131, 10), (9, 300), (3, 2049)]
ROWS += [] if numba.config.DISABLE_JIT else [(40000, 6), (5001, 16), (300, 130), (3000, 515)]


@both
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_sums_of_batch_norm(dtype, shape):
    x, grad = integers(shape, dtype), integers(shape, dtype)
    center = x[0].astype("float64")
    scratch = norm.scratch(*shape)
    assert scratch[2] % shape[1] == 0
    part, room = np.full(scratch, np.nan), np.full(scratch[2], np.nan, dtype)
    moved = x - center
    _, tiled, _, out = run(norm.moments, x, room, part, np.full((2, shape[1]), np.nan))
    np.testing.assert_array_equal(tiled, np.resize(center, scratch[2]))
    np.testing.assert_array_equal(out, [moved.sum(0), (moved * moved).sum(0)])
    *_, tiled, _, out = run(norm.grad_moments, grad, x, center, room, part, np.full((2, shape[1]), np.nan))
    np.testing.assert_array_equal(tiled, np.resize(center, scratch[2]))
    np.testing.assert_array_equal(out, [grad.sum(0), (grad * moved).sum(0)])


def test_a_slice_of_the_sums_of_batch_norm_is_worth_its_scratch():
    """At least 2^14 elements and 16 rows of scratch, so that the slices of few pixels don't outgrow the data."""
    for pixels in (1, 100, 3000, 10**6):
        for channels in (1, 3, 16, 515, 4096):
            slices, _, width = norm.scratch(pixels, channels)
            assert slices == 1 or slices * max(1 << 14, 16 * width) <= pixels * channels
    assert norm.scratch(10**6, 16)[0] > 1


@both
@pytest.mark.parametrize("shape", ROWS, ids=str)
def test_affine_maps_of_batch_norm(dtype, shape):
    width = norm.scratch(*shape)[2]
    x, grad = integers(shape, dtype), integers(shape, dtype)
    a, b, c, d = (integers(shape[1], dtype) for _ in range(4))
    wide = [np.resize(v, width) for v in (a, b, c, d)]
    e = np.full(x.size, np.nan, dtype)
    np.testing.assert_array_equal(run(norm.affine, x.reshape(-1), *wide[:3], e)[4].reshape(shape), (x - a) * b + c)
    found = run(norm.grad_input, grad.reshape(-1), x.reshape(-1), *wide, e)[6]
    np.testing.assert_array_equal(found.reshape(shape), grad * a + ((x - b) * c + d))


# -- loss --------------------------------------------------------------------------------------------------------------
@both
@pytest.mark.parametrize("shape", [(0, 4), (1, 1), (5, 10), (700, 11)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy(dtype, shape, smoothing):
    if numba.config.DISABLE_JIT and shape[0] > 200:
        pytest.skip("too slow without the compiler")
    n, k = shape
    z, labels, grad = 5 * normal(shape, dtype), rng.integers(-1, k, n), normal(n, dtype)
    e = np.empty_like(z)
    counts = labels[:, None] >= 0
    q = (1 - smoothing) * np.eye(k)[labels] + smoothing / k
    log_p = special.log_softmax(z.astype("float64"), 1)
    _, _, losses, p = run(loss.cross_entropy_forward, z, labels, smoothing, np.empty((2, n), dtype), e)
    np.testing.assert_allclose(losses[0], -(q * log_p * counts).sum(1), **tolerance(dtype))
    np.testing.assert_array_equal(losses[1], counts[:, 0])
    np.testing.assert_allclose(p, np.exp(log_p), **tolerance(dtype))
    dz = run(loss.cross_entropy_backward, grad, np.exp(log_p).astype(dtype), labels, smoothing, e)[3]
    np.testing.assert_allclose(dz, grad[:, None] * (np.exp(log_p) - q) * counts, **tolerance(dtype))


def test_cross_entropy_of_impossible_classes():
    z = np.array([[0, -np.inf, 0]], "float32")
    losses = np.empty((2, 1), "float32")
    for label, wanted in ((0, np.float32(np.log(2))), (1, np.inf)):
        assert run(loss.cross_entropy_forward, z, np.array([label]), 0.0, losses, np.empty_like(z))[2][0] == wanted


# -- optimisers --------------------------------------------------------------------------------------------------------
def stepped(driver, number, arrays, *rates):
    """One step of three parameters: this one, an empty one, and a copy of it. What becomes of all of its arrays but the gradient."""

    def once(threads):
        rows = [[a.copy() for a in arrays], [a[:0].copy() for a in arrays], [a.copy() for a in arrays]]
        table = np.array([(row[0].size, *(a.ctypes.data for a in row)) for row in rows], np.int64).T.copy()
        numbers = np.full(len(rows), number)
        set_num_threads(threads)
        launch(driver, np.empty(0, arrays[0].dtype), table, numbers, optim.cut(tuple(len(row[0]) for row in rows)), *rates)
        return rows

    try:
        found = [once(threads) for threads in (min(2, numba.config.NUMBA_NUM_THREADS), 1)]
    finally:
        set_num_threads(None)
    copies = [found[0][0], found[0][2], found[1][0], found[1][2]]
    assert len({b"".join(a.tobytes() for a in copy) for copy in copies}) == 1  # the same bits for each number of threads
    w, gradient, *moments = copies[0]
    assert gradient.tobytes() == arrays[1].tobytes()
    return w, *moments


@both
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("momentum, dampening, nesterov", [(0.0, 0.0, 0), (0.9, 0.3, 0), (0.9, 0.0, 1)])
def test_sgd(dtype, size, momentum, dampening, nesterov):
    w, lr, decay = normal(size, dtype), 0.1, 0.01
    v = np.full(size, np.nan, dtype)
    expected, velocity = w.astype("float64"), np.zeros(size)
    for first in (1, 0):
        g = normal(size, dtype)
        w, v = stepped(optim.sgd_step, first, (w, g, v), np.array([lr, momentum, dampening, decay, nesterov]))
        d = g + decay * expected
        velocity = d if first else momentum * velocity + (1 - dampening) * d
        step = (d + momentum * velocity if nesterov else velocity) if momentum else d
        expected = expected - lr * step
        np.testing.assert_allclose(w, expected, **tolerance(dtype))
    if not momentum:
        assert np.isnan(v).all()


@both
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("decoupled", [0, 1])
def test_adam(dtype, size, decoupled):
    w, m, v = normal(size, dtype), np.zeros(size, dtype), np.zeros(size, dtype)
    lr, beta1, beta2, eps, decay = 0.1, 0.9, 0.99, 1e-3, 0.05
    expected, em, ev = w.astype("float64"), np.zeros(size), np.zeros(size)
    for step in (1, 2, 3):
        g = normal(size, dtype)
        w, m, v = stepped(optim.adam_step, step, (w, g, m, v), np.array([lr, beta1, beta2, eps, decay]), decoupled)
        d = g + (0 if decoupled else decay) * expected
        expected = expected * (1 - lr * decay * decoupled)
        em, ev = beta1 * em + (1 - beta1) * d, beta2 * ev + (1 - beta2) * d * d
        expected = expected - lr * (em / (1 - beta1**step)) / (np.sqrt(ev / (1 - beta2**step)) + eps)
        np.testing.assert_allclose(w, expected, **tolerance(dtype))


# -- what a recorded step does by kernels where an eager one calls NumPy: to the same bits ---------------------------------------------
@both
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (2, 17, 33), (1, 1, 1000)], ids=str)
def test_transpose(dtype, shape):
    x = integers(shape, dtype)
    found = run(transpose.transpose, x.reshape(-1), *shape, np.full(x.size, np.nan, dtype))[1]
    np.testing.assert_array_equal(found.reshape(shape[0], shape[2], shape[1]), x.transpose(0, 2, 1))


@both
@pytest.mark.parametrize("size", SIZES)
def test_fill(dtype, size):
    np.testing.assert_array_equal(run(pointwise.fill, np.full(size, np.nan, dtype), 0.3)[0], np.full(size, 0.3, dtype))


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_class_indices(dtype):
    labels = rng.integers(0, 5, 1000).astype(dtype)
    for ignored in (3, 120, -1):
        if ignored >= 0 or dtype != "uint8":
            labels[7] = ignored
            found = run(loss.class_indices, labels, 5, 1, ignored, np.zeros(1000, np.int64))[-1]
            np.testing.assert_array_equal(found, np.where(labels == ignored, -1, labels.astype(np.int64)))
    labels[7] = 3
    np.testing.assert_array_equal(run(loss.class_indices, labels, 5, 0, 3, np.zeros(1000, np.int64))[-1], labels)
    for wrong in (5, 120, *[-1] * (dtype != "uint8")):
        labels[999] = wrong
        for ignored in ((0, wrong), (1, -100)):
            with pytest.raises(ValueError, match="a label is out of range"):
                launch(loss.class_indices, labels, 5, *ignored, np.zeros(1000, np.int64))


CASTS = [(a, b) for a in ("bool", "uint8", "int32", "int64", "float32", "float64") for b in ("int32", "int64", "float32", "float64")]


@pytest.mark.parametrize(("source", "target"), [(a, b) for a, b in CASTS if a[0] != "f" or b[0] == "f"])
def test_convert(source, target):
    for size in SIZES:
        x = (rng.standard_normal(size) * 100).astype("int8").astype(source)
        np.testing.assert_array_equal(run(pointwise.convert, x, np.full(size, 77, target))[1], x.astype(target))


@pytest.mark.parametrize("bits", ["u1", "u4", "u8"])
@pytest.mark.parametrize("size", SIZES[1:])
def test_choose(bits, size):
    a, b, condition = rng.integers(0, 99, size).astype(bits), rng.integers(0, 99, size).astype(bits), rng.integers(0, 2, size).astype(bool)
    for operands in ((condition, a, b), (condition, a[:1], b), (condition[:1], a, b), (condition, a, b[:1]), (condition[:1], a[:1], b[:1])):
        found = run(pointwise.choose, *operands, np.full(size, 7, bits))[3]
        np.testing.assert_array_equal(found, np.broadcast_to(np.where(*operands), size))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 2), (7, 10, 1), (2, 5, 300), (1, 1000, 1)], ids=str)
def test_places_of_the_largest_and_the_smallest(dtype, shape):
    x = rng.integers(0, 4, shape).astype(dtype)  # many are equal
    if x.dtype.kind == "f":
        x[rng.random(shape) < 0.1] = np.nan
    for least, expected in ((0, np.argmax(x, 1)), (1, np.argmin(x, 1))):
        found = run(reduce.place, x.reshape(-1), shape[1], shape[2], least, np.full(shape[0] * shape[2], -1, np.int64))[1]
        np.testing.assert_array_equal(found.reshape(shape[0], shape[2]), expected)


@both
@pytest.mark.parametrize("size", [1, 3, 256, 700])
def test_rows_are_taken_put_and_added_in_order(dtype, size):
    x, index = normal((9, size), dtype), rng.integers(-9, 9, 40)
    places = run(index_kernels.places, index, 9, 1, np.zeros(40, np.int64))[1]
    np.testing.assert_array_equal(places, index % 9)
    rows = run(index_kernels.take_rows, x.reshape(-1), places, size, np.full(40 * size, np.nan, dtype))[2].reshape(40, size)
    np.testing.assert_array_equal(rows, x[index])
    rows = normal((40, size), dtype)
    for added, expected in ((0, x.copy()), (1, x.copy())):
        if added:
            np.add.at(expected, index, rows)
        else:
            expected[index] = rows
        found = run(index_kernels.put_rows, x.reshape(-1), places, size, added, rows.reshape(-1))[0]
        np.testing.assert_array_equal(found.reshape(9, size), expected)
    for wrong in (9, -10):
        index[39] = wrong
        with pytest.raises(IndexError, match="an index is out of bounds"):
            launch(index_kernels.places, index, 9, 1, np.zeros(40, np.int64))


@both
def test_numbers_that_are_not_finite_are_an_error(dtype):
    x = normal(5000, dtype)
    launch(loss.require_finite, x, np.zeros(2, np.int64))
    for wrong in (np.nan, np.inf, -np.inf):
        x[4999] = wrong
        with pytest.raises(ValueError, match="a number is not finite"):
            launch(loss.require_finite, x, np.zeros(2, np.int64))
