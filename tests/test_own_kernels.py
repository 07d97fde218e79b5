"""Kernels of a user's own in place of the built-in ones: judged, launched, and what they may do wrong."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numba import njit, prange

import numbacnn as nc
from numbacnn import nn, reference
from numbacnn.backends import choice
from numbacnn.backends.own import KernelError, Windows
from numbacnn.geometry import Axis, ConvGeometry, PoolGeometry
from numbacnn.kernels.cpu import launch
from numbacnn.testing import LAWS, LawBroken, own_judge

F = nn.functional


# -- kernels: in NumPy by way of the reference, and in Numba -----------------------------------------------------------------
def conv_geometry(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], g: Windows) -> ConvGeometry:
    """Of the shapes of a kernel's arrays; behind the last pixel there is as much padding as the outputs need."""
    axes = []
    for size, kernel, stride, before, dilation, outputs in zip(x[2:], w[2:], g[2:4], g[4:6], g[6:8], y[2:]):
        after = max(0, (outputs - 1) * stride + dilation * (kernel - 1) + 1 - size - before)
        axes.append(Axis(size, kernel, stride, before, after, dilation))
    return ConvGeometry(x[0], x[1], tuple(axes), w[0], g.groups)


def pool_geometry(x: tuple[int, ...], y: tuple[int, ...], g: Windows) -> PoolGeometry:
    axes = zip(x[2:], g[:2], g[2:4], g[4:6], g[4:6], g[6:8], y[2:])
    found = (Axis(*sizes, ceil=Axis(*sizes).outputs < outputs) for *sizes, outputs in axes)
    return PoolGeometry(x[0], x[1], tuple(found), g.count_include_pad)


def first(a: np.ndarray) -> np.ndarray:
    return a.transpose(0, 3, 1, 2)


def forward(x: np.ndarray, w: np.ndarray, g: Windows, out: np.ndarray) -> None:
    out[...] = reference.conv_forward(x, w, None, conv_geometry(x.shape, w.shape, out.shape, g))


def grad_input(grad: np.ndarray, w: np.ndarray, g: Windows, out: np.ndarray) -> None:
    out[...] = reference.conv_grad_input(grad, w, conv_geometry(out.shape, w.shape, grad.shape, g))


def grad_weight(grad: np.ndarray, x: np.ndarray, g: Windows, out: np.ndarray) -> None:
    out[...] = reference.conv_grad_weight(grad, x, conv_geometry(x.shape, out.shape, grad.shape, g))


NCHW = {"forward": forward, "grad_input": grad_input, "grad_weight": grad_weight}
NHWC: dict[str, Callable[..., None]] = {
    "forward": lambda x, w, g, out: forward(first(x), w, g, first(out)),
    "grad_input": lambda grad, w, g, out: grad_input(first(grad), w, g, first(out)),
    "grad_weight": lambda grad, x, g, out: grad_weight(first(grad), first(x), g, out),
}


def max_forward(x: np.ndarray, g: Windows, out: np.ndarray, index: np.ndarray) -> None:
    out[...], index[...] = reference.max_pool_forward(x, pool_geometry(x.shape, out.shape, g))


def max_grad(grad: np.ndarray, index: np.ndarray, g: Windows, out: np.ndarray) -> None:
    out[...] = reference.max_pool_backward(grad, index, pool_geometry(out.shape, grad.shape, g))


def avg_forward(x: np.ndarray, g: Windows, out: np.ndarray) -> None:
    out[...] = reference.avg_pool_forward(x, pool_geometry(x.shape, out.shape, g))


def avg_grad(grad: np.ndarray, g: Windows, out: np.ndarray) -> None:
    out[...] = reference.avg_pool_backward(grad, pool_geometry(out.shape, grad.shape, g))


@njit
def taps(x, w, g, out):  # type: ignore[no-untyped-def]
    """The book's loops."""
    for n in range(out.shape[0]):
        for o in range(out.shape[1]):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    total = x.dtype.type(0)
                    for c in range(w.shape[1]):
                        for u in range(w.shape[2]):
                            for v in range(w.shape[3]):
                                row = i * g.stride_h - g.padding_h + u * g.dilation_h
                                column = j * g.stride_w - g.padding_w + v * g.dilation_w
                                if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                                    channel = o // (w.shape[0] // g.groups) * w.shape[1] + c
                                    total += x[n, channel, row, column] * w[o, c, u, v]
                    out[n, o, i, j] = total


@njit(parallel=True, fastmath=True)
def doubled(x, g, out):  # type: ignore[no-untyped-def]
    for n in prange(x.shape[0]):
        out[n, 0, 0, 0] = g.stride_h * x[n, 0, 0, 0]


class Counted:
    """Functions that note when they are called, and with which shapes."""

    def __init__(self, functions: dict[str, Callable[..., None]]) -> None:
        self.calls: list[tuple[str, tuple[int, ...]]] = []
        self.functions = {name: self.counted(name, f) for name, f in functions.items()}

    def counted(self, name: str, function: Callable[..., None]) -> Callable[..., None]:
        def call(a: np.ndarray, *rest: Any) -> None:
            arrays = [value for value in (a, *rest) if isinstance(value, np.ndarray)]
            assert len(arrays) + 1 == len(rest) + 1 and all(one.flags.carray for one in arrays)
            self.calls.append((name, a.shape))
            function(a, *rest)

        return call


# -- in layers and in training -----------------------------------------------------------------------------------------------
def integers(*shape: int) -> nc.Tensor:
    return nc.from_array(np.random.default_rng(len(shape)).integers(-3, 4, shape).astype(np.float32))


def net() -> nn.Sequential:
    made = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 3, 3, stride=2), nn.MaxPool2d(2))
    for p in made.parameters():
        p.data = integers(*p.shape)
    return made


def step(layers: nn.Module, x: nc.Tensor) -> list[np.ndarray]:
    """What a forward and a backward give."""
    x = x.detach().clone().requires_grad_()
    layers.zero_grad()
    y = layers(x)
    y.backward(integers(*y.shape))
    return [y.detach().numpy().copy(), x.grad.numpy(), *(p.grad.numpy().copy() for p in layers.parameters())]


OPERATIONS: list[tuple[str, str, dict[str, Callable[..., None]]]] = [
    ("conv2d", "nchw", NCHW),
    ("conv2d", "nhwc", NHWC),
    ("max_pool2d", "nchw", {"forward": max_forward, "grad_input": max_grad}),
    ("avg_pool2d", "nchw", {"forward": avg_forward, "grad_input": avg_grad}),
]


@pytest.mark.parametrize(("op", "layout", "functions"), OPERATIONS, ids=[f"{op}-{layout}" for op, layout, _ in OPERATIONS])
def test_all_passes_are_swapped(op: str, layout: Any, functions: dict[str, Any]) -> None:
    """Bias, activation and fused pooling included: the same numbers, by the user's functions; afterwards the built-in ones again."""
    layers, x = net(), integers(2, 2, 14, 14)
    wanted = step(layers, x)
    own = Counted(functions)
    with nc.use_kernel(op, layout=layout, check=False, **own.functions):
        found = step(layers, x)
    for one, other in zip(found, wanted):
        np.testing.assert_array_equal(one, other)
    times = 2 if op == "conv2d" else 1
    assert sorted(name for name, _ in own.calls) == sorted([*functions] * times)
    if op == "conv2d":
        assert own.calls[0] == ("forward", (2, 2, 14, 14) if layout == "nchw" else (2, 14, 14, 2))
    step(layers, x)
    assert len(own.calls) == times * len(functions)


@pytest.mark.parametrize(("op", "layout", "functions"), OPERATIONS, ids=[f"{op}-{layout}" for op, layout, _ in OPERATIONS])
def test_the_judgement_passes_what_is_right(op: str, layout: Any, functions: dict[str, Any]) -> None:
    own = Counted(functions)
    nc.use_kernel(op, layout=layout, **own.functions)
    assert {name for name, _ in own.calls} == set(functions) and len(own.calls) > 100
    nc.use_kernel(op, layout=layout, **own.functions)
    seen = len(own.calls)
    nc.use_kernel(op, layout=layout, **own.functions)  # once in a process
    assert len(own.calls) == seen


def test_a_kernel_of_numba_is_launched_as_the_librarys_own() -> None:
    layers, x = net(), integers(2, 2, 14, 14)
    wanted = step(layers, x)
    with nc.use_kernel("conv2d", taps):
        found = step(layers, x)
    for one, other in zip(found, wanted):
        np.testing.assert_array_equal(one, other)
    with nc.use_kernel("avg_pool2d", doubled, check=False):
        np.testing.assert_array_equal(F.avg_pool2d(x[:, :1, :2, :2], 2).numpy(), 2 * x.numpy()[:, :1, :1, :1])


def test_the_serial_twin_of_a_users_kernel_keeps_his_options() -> None:
    """Which takes its place after a fork, and for tiny work under workqueue."""
    twin, x, out = launch._serial(doubled), np.ones((2, 1, 2, 2), np.float32), np.empty((2, 1, 1, 1), np.float32)
    twin(x, Windows(2, 2, 2, 2, 0, 0, 1, 1, 1, True), out)
    assert (out == 2).all()
    assert (twin.targetoptions["parallel"], twin.targetoptions["fastmath"]) == (False, True)


def test_weights_that_stay_packed() -> None:
    """A locked weight is read-only; a kernel is given a copy that is not, made once."""
    layer, x, seen = nn.Conv2d(2, 3, 3), integers(1, 2, 5, 5), []

    def noting(x: np.ndarray, w: np.ndarray, g: Windows, out: np.ndarray) -> None:
        seen.append(w)
        forward(x, w, g, out)

    layer.weight.data, layer.bias.data = integers(3, 2, 3, 3), integers(3)
    wanted = layer(x).detach().numpy()
    with nc.inference_mode(), nc.use_kernel("conv2d", noting, check=False):
        for _ in range(2):
            np.testing.assert_array_equal(layer(x).numpy(), wanted)
    assert seen[0] is seen[1] and seen[0].flags.carray


def test_what_is_left_out_or_not_taken_stays_built_in() -> None:
    layers, x = net(), integers(2, 2, 14, 14)
    wanted = step(layers, x)
    own = Counted({"grad_input": grad_input})
    with nc.use_kernel("conv2d", check=False, takes=lambda g: g.stride == (1, 1), **own.functions):
        found = step(layers, x)
        F.conv2d(integers(0, 2, 5, 5), integers(1, 2, 3, 3))
    for one, other in zip(found, wanted):
        np.testing.assert_array_equal(one, other)
    assert own.calls == [("grad_input", (2, 4, 14, 14))]


def test_two_threads_are_judged_one_after_the_other() -> None:
    """What Hypothesis and Python's warnings keep is the process's."""
    running, counts = [], []

    def judged() -> None:
        def kernel(x: np.ndarray, g: Windows, out: np.ndarray) -> None:
            running.append(kernel)
            counts.append(len(set(running)))
            time.sleep(0.02 if len(counts) < 20 else 0)
            avg_forward(x, g, out)
            running.remove(kernel)

        nc.use_kernel("avg_pool2d", kernel)

    filters = list(warnings.filters)
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(judged) for _ in range(2)]:
            future.result()
    assert set(counts) == {1} and warnings.filters == filters


def test_it_says_what_it_is() -> None:
    own = nc.use_kernel("max_pool2d", max_forward, max_grad, check=False)
    assert repr(own) == "use_kernel('max_pool2d', forward=max_forward, grad_input=max_grad, device='cpu')"
    assert repr(choice.only("direct")) == "only('direct')"


def test_windows_in_padding_are_no_kernels_concern() -> None:
    """The layers refuse them, and a kernel that reads beyond the image there was refused."""

    def direct(grad: np.ndarray, index: np.ndarray, g: Windows, out: np.ndarray) -> None:
        assert index.min() >= 0
        max_grad(grad, index, g, out)

    def finite(x: np.ndarray, g: Windows, out: np.ndarray, index: np.ndarray) -> None:
        max_forward(x, g, out, index)
        assert not np.isneginf(out).any()

    nc.use_kernel("max_pool2d", finite, direct)
    with pytest.raises(nc.ShapeError, match="windows that each see an element"):
        F.max_pool2d(nc.ones(1, 1, 1, 5), (2, 1), stride=1, padding=(1, 0), dilation=(2, 1))


def test_it_is_the_threads_own_nests_and_can_be_entered_again() -> None:
    def constant(value: float) -> Callable[..., None]:
        def fill(x: np.ndarray, g: Windows, out: np.ndarray) -> None:
            out[...] = value

        return fill

    one, two = (nc.use_kernel("avg_pool2d", constant(value), check=False) for value in (1.0, 2.0))
    seen: list[float] = []
    pool = lambda: seen.append(F.avg_pool2d(nc.zeros(1, 1, 2, 2), 2).item())
    with one:
        with two, one, two:
            pool()
        pool()
        thread = threading.Thread(target=pool)
        thread.start()
        thread.join()
    pool()
    two(pool)()
    assert seen == [2, 1, 0, 0, 2]


def test_training_with_ones_own_kernels() -> None:
    rng = np.random.default_rng(0)
    data = rng.standard_normal((24, 1, 8, 8), dtype=np.float32), np.arange(24) % 3
    losses = []
    for own in (False, True):
        nc.manual_seed(0)
        layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
        with nc.use_kernel("conv2d", check=False, takes=lambda g, own=own: own, **NCHW):
            losses.append(nc.fit(layers, data, epochs=2, batch_size=8, lr=0.1, progress=False).column("train_loss"))
    np.testing.assert_allclose(*losses, rtol=1e-4)


# -- refused -------------------------------------------------------------------------------------------------------------------
def test_a_law_that_breaks_and_its_smallest_case() -> None:
    def without_stride(x: np.ndarray, w: np.ndarray, g: Windows, out: np.ndarray) -> None:
        forward(x, w, g, out)
        if g.stride_w > 2:
            out[..., -1] += 1

    with pytest.raises(LawBroken) as error:
        nc.use_kernel("conv2d", without_stride)
    assert str(error.value) == (
        "[use_kernel conv2d] expected without_stride to obey 'Stride s gives every s-th output of stride 1'; "
        "received expected 9.0 at (0, 0, 0, 0); received 10.0; 1 of 1 elements differ; its smallest case:\n"
        "    import numpy as np\n"
        "    a0 = np.array([3], np.float32).reshape(1, 1, 1, 1)\n"
        "    y0 = conv2d(a0, a0)  # without_stride gives (1, 1, 1, 1)\n"
        "    y1 = conv2d(a0, a0, stride=(1, 3))  # without_stride gives (1, 1, 1, 1)\n"
        "pass takes= if it is not meant for such sizes, or check=False to take it all the same."
    )


BROKEN: list[tuple[str, dict[str, Callable[..., None]], str]] = [
    ("conv2d", {"grad_input": lambda grad, w, g, out: grad_input(grad, w[..., ::-1], g, out)}, "gradient of x from g"),
    (
        "conv2d",
        {"grad_weight": lambda grad, x, g, out: grad_weight(grad[:, :1].repeat(grad.shape[1], 1), x, g, out)},
        "gradient of w from g",
    ),
    ("max_pool2d", {"grad_input": lambda grad, index, g, out: max_grad(grad, 0 * index, g, out)}, "gets the gradients of all windows"),
    ("max_pool2d", {"forward": lambda x, g, out, index: (max_forward(x, g, out, index), index.fill(0))[0]}, "place of its maximum"),
    ("max_pool2d", {"forward": lambda x, g, out, index: max_forward(x % 2, g, out, index)}, "the largest pixel of its window"),
    ("avg_pool2d", {"forward": lambda x, g, out: avg_forward(x, g._replace(count_include_pad=True), out)}, "the sum of its window"),
    ("avg_pool2d", {"grad_input": lambda grad, g, out: avg_grad(grad, g._replace(count_include_pad=True), out)}, "over the divisor"),
]


@pytest.mark.parametrize(("op", "functions", "sentence"), BROKEN, ids=[f"{op}-{sentence}" for op, _, sentence in BROKEN])
def test_each_pass_is_judged(op: str, functions: dict[str, Any], sentence: str) -> None:
    with pytest.raises(LawBroken, match=f"to obey '.*{sentence}.*'; received expected"):
        nc.use_kernel(op, **functions)  # type: ignore[arg-type]


def without_tail(function: Callable[..., None], block: int, *axes: int) -> Callable[..., None]:
    """The kernel, whose last rows are 0 (or last columns, or the corner of both) where they are behind a whole block of several."""

    def spoil(out: np.ndarray) -> None:
        sizes = [out.shape[axis] for axis in axes]
        if all(size > block and size % block for size in sizes):
            tails = {axis: slice(size - size % block, None) for axis, size in zip(axes, sizes)}
            out[tuple(tails.get(axis, slice(None)) for axis in range(4))] = 0

    def three(a: np.ndarray, g: Windows, out: np.ndarray) -> None:
        function(a, g, out)
        spoil(out)

    def four(a: np.ndarray, b: np.ndarray, g: Windows, out: np.ndarray) -> None:
        function(a, b, g, out)
        spoil(out)

    def maxima(x: np.ndarray, g: Windows, out: np.ndarray, index: np.ndarray) -> None:
        function(x, g, out, index)
        spoil(out)

    return maxima if function is max_forward else four if function in (forward, grad_input, max_grad) else three


@pytest.mark.parametrize(
    ("op", "which", "function", "block", "axes"),
    [
        ("conv2d", "forward", forward, 32, (2,)),
        ("conv2d", "forward", forward, 16, (2, 3)),
        ("conv2d", "grad_input", grad_input, 16, (2,)),
        ("max_pool2d", "forward", max_forward, 64, (2,)),
        ("max_pool2d", "grad_input", max_grad, 32, (2,)),
        ("avg_pool2d", "forward", avg_forward, 8, (2,)),
        ("avg_pool2d", "grad_input", avg_grad, 16, (2, 3)),
    ],
)
def test_a_kernel_that_forgets_what_is_behind_its_last_block(op: Any, which: str, function: Any, block: int, axes: Any) -> None:
    """No image that was drawn was higher than ten rows."""
    with pytest.raises(LawBroken, match=r"to obey .\w"):
        nc.use_kernel(op, **{which: without_tail(function, block, *axes)})


def test_averages_may_be_rounded_otherwise() -> None:
    """Of what is no whole number of shares, a law wanted the bits of the definition's own order of sums."""

    def by_reciprocal(x: np.ndarray, g: Windows, out: np.ndarray) -> None:
        area = g.kernel_h * g.kernel_w
        sums = np.zeros_like(out)
        for u in range(g.kernel_h):
            for v in range(g.kernel_w):
                sums += x[:, :, u : u + out.shape[2], v : v + out.shape[3]]
        out[...] = sums * x.dtype.type(1 / area)

    plain = lambda g: g.stride == (1, 1) and not any(g.before) and g.kernel[0] == 3 and not any(a.ceil for a in g.axes)
    nc.use_kernel("avg_pool2d", by_reciprocal, takes=plain)


@njit
def last_of_equals(x, g, out, index):  # type: ignore[no-untyped-def]
    for n in range(out.shape[0]):
        for c in range(out.shape[1]):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    best, place = x.dtype.type(-np.inf), -1
                    for u in range(g.kernel_h):
                        for v in range(g.kernel_w):
                            row = i * g.stride_h - g.padding_h + u * g.dilation_h
                            column = j * g.stride_w - g.padding_w + v * g.dilation_w
                            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                                value = x[n, c, row, column]
                                if value >= best or (np.isnan(value) and not np.isnan(best)):
                                    best, place = value, row * x.shape[3] + column
                    out[n, c, i, j] = best
                    index[n, c, i, j] = place


@pytest.mark.parametrize("kernel", [None, (2, 2)])
def test_of_equal_maxima_the_first_counts(kernel: Any) -> None:
    """Which a law says by itself, with a window of two pixels; it was one with hundreds."""
    with pytest.raises(LawBroken, match="to obey 'Of equal maxima the first in the order of rows gets the gradient") as error:
        nc.use_kernel("max_pool2d", last_of_equals, takes=kernel and (lambda g: g.kernel == kernel))
    arrays = re.findall(r"np\.array\(\[(.*)\], np\.float32\)\.reshape\((.*)\)", str(error.value))
    assert len(arrays) == 2 and max(len(numbers.split(",")) for numbers, _ in arrays) == (4 if kernel == (2, 2) else 2)


def test_what_a_judgement_leaves_out_are_laws() -> None:
    assert {law.name for law in LAWS} >= own_judge.AROUND


def test_rounding_is_allowed_for() -> None:
    """A kernel whose sums are off by their last bits, as Winograd's are."""

    def rough(x: np.ndarray, w: np.ndarray, g: Windows, out: np.ndarray) -> None:
        forward(x, w, g, out)
        out *= 1 + np.finfo(out.dtype).eps

    with pytest.raises(LawBroken, match="rough to obey"):
        nc.use_kernel("conv2d", rough)
    nc.use_kernel("conv2d", rough, rounding="winograd")


def _beside(x: np.ndarray, w: np.ndarray, g: Windows, out: np.ndarray) -> None:
    forward(x, w, g, out)
    np.lib.stride_tricks.as_strided(out.reshape(-1), (out.size + 1,))[-1] = 0


def _scaled(x: np.ndarray, w: np.ndarray, g: Windows, out: np.ndarray) -> None:
    forward(x, w, g, out)
    w *= 2


def _adding(x: np.ndarray, w: np.ndarray, g: Windows, out: np.ndarray) -> None:
    out += 1


def _raising(x: np.ndarray, w: np.ndarray, g: Windows, out: np.ndarray) -> None:
    out[:, 7] = 0


def _refusing(x: np.ndarray, w: np.ndarray, g: Windows, out: np.ndarray) -> None:
    F.conv2d(nc.from_array(x), nc.from_array(w[:, 0]))


def _returning(x: np.ndarray, w: np.ndarray, g: Windows, out: np.ndarray) -> np.ndarray:
    return x


WRONG = [
    (_beside, "expected forward=_beside to keep to out (1, 1, 1, 1); received values written beside it"),
    (_scaled, "expected forward=_scaled to leave w as it is; received other values in it"),
    (_adding, "expected forward=_adding to fill out (1, 1, 1, 1) with numbers; received 1 of 1 elements unset or NaN"),
    (
        _raising,
        "expected forward=_raising to run on x (1, 1, 1, 1), w (1, 1, 1, 1), out (1, 1, 1, 1); "
        "received IndexError: index 7 is out of bounds for axis 1 with size 1",
    ),
    (
        _refusing,
        "expected forward=_refusing to run on x (1, 1, 1, 1), w (1, 1, 1, 1), out (1, 1, 1, 1); received ShapeError: "
        "[conv2d] expected weight (OC, C/groups, KH, KW) with sizes of at least 1; received weight (1, 1, 1)",
    ),
]


@pytest.mark.parametrize(("function", "text"), WRONG, ids=[f.__name__ for f, _ in WRONG])
def test_what_no_kernel_may_do(function: Any, text: str) -> None:
    with pytest.raises(LawBroken) as error:
        nc.use_kernel("conv2d", function)
    start = f"[use_kernel conv2d] expected {function.__name__} to do what a kernel may; received [use_kernel conv2d] {text}; its smallest"
    assert str(error.value).startswith(start)


def test_takes_narrows_the_judgement_and_must_admit_something() -> None:
    def without_padding(x: np.ndarray, w: np.ndarray, g: Windows, out: np.ndarray) -> None:
        forward(x, w, g._replace(padding_h=0, padding_w=0), out)
        out[0, 0, 0, 0] += w.shape[2] > 2

    plain = lambda g: g.stride == (1, 1) and not any(map(any, g.padding)) and g.groups == 1
    nc.use_kernel("conv2d", without_padding, takes=lambda g: plain(g) and g.kernel[0] < 3)
    with pytest.raises(LawBroken, match="without_padding to obey"):
        nc.use_kernel("conv2d", without_padding, takes=plain)
    with pytest.raises(LawBroken) as error:
        nc.use_kernel("conv2d", forward, takes=lambda g: g.c > 100)
    assert str(error.value) == (
        "[use_kernel conv2d] expected takes() to admit one of the cases that were drawn: up to 6 pixels a side, kernels up to 3, "
        "few channels; received none for forward; g has tuples there, as g.kernel == (3, 3); pass check=False to take it unjudged."
    )
    with pytest.raises(KernelError, match=r"expected takes=<lambda> to judge ConvGeometry\(n="):
        nc.use_kernel("conv2d", forward, takes=lambda g: g.strides == 1)


def test_a_kernel_that_fails_inside() -> None:
    x, w = nc.ones(1, 1, 3, 4), nc.ones(2, 1, 2, 2)

    def said(**options: Any) -> str:
        with nc.use_kernel("conv2d", check=False, **options), pytest.raises(KernelError) as error:
            F.conv2d(x, w)
        return str(error.value)

    assert said(forward=_raising) == (
        "[use_kernel conv2d] expected forward=_raising to run on x (1, 1, 3, 4), w (2, 1, 2, 2), out (1, 2, 2, 3); "
        "received IndexError: index 7 is out of bounds for axis 1 with size 2; "
        "pass takes= to use_kernel if it is not meant for such sizes."
    )
    assert said(forward=_returning) == (
        "[use_kernel] expected _returning to fill out and return nothing; received ndarray; write into out, as out[...] = y."
    )
    takes = lambda g: g.strides == 1
    assert said(forward=forward, takes=takes).startswith(
        "[use_kernel conv2d] expected takes=<lambda> to judge ConvGeometry(n=1, c=1, axes=("
    )

    @njit
    def untypable(x, w, g, out):  # type: ignore[no-untyped-def]
        out[0, 0, 0, 0] = g.strides

    assert said(forward=untypable).startswith(
        "[use_kernel conv2d] expected forward=untypable to run on x (1, 1, 3, 4), w (2, 1, 2, 2), out (1, 2, 2, 3); received TypingError: "
    )


class Subscriptable:
    """Called as ``kernel[blocks, threads](...)``, as those of CUDA are."""

    def __getitem__(self, _: Any) -> Any: ...
    def __call__(self, x: Any, w: Any, g: Any, out: Any) -> None: ...


class Unhashable:
    """Compared by what it holds."""

    def __eq__(self, other: object) -> bool: ...
    def __call__(self, x: Any, w: Any, g: Any, out: Any) -> None: ...


BAD: list[tuple[tuple[Any, ...], dict[str, Any], type, str]] = [
    (("conv1d", forward), {}, ValueError, "[use_kernel] expected op as 'conv2d', 'max_pool2d' or 'avg_pool2d'; received 'conv1d'."),
    (("conv2d",), {}, ValueError, "[use_kernel] expected at least one of forward, grad_input, grad_weight of conv2d; received none."),
    (("conv2d", 3), {}, TypeError, "[use_kernel] expected forward as a function or a kernel of Numba's; received 3."),
    (
        ("max_pool2d", max_forward),
        {"grad_weight": grad_weight},
        ValueError,
        "[use_kernel] expected no grad_weight, which max_pool2d does not have; received function.",
    ),
    (
        ("max_pool2d", avg_forward),
        {},
        TypeError,
        "[use_kernel] expected forward of max_pool2d as a function of (x, g, out, index); received avg_forward(x, g, out); "
        "these are the arguments of op='avg_pool2d'.",
    ),
    (
        ("avg_pool2d", lambda a, b: None),
        {},
        TypeError,
        "[use_kernel] expected forward of avg_pool2d as a function of (x, g, out); received <lambda>(a, b); "
        "op is one of 'conv2d', 'max_pool2d', 'avg_pool2d'.",
    ),
    (("conv2d", forward), {"layout": "NHWC"}, ValueError, "[use_kernel] expected layout as 'nchw' or 'nhwc'; received 'NHWC'."),
    (("conv2d", forward), {"takes": 1}, TypeError, "[use_kernel] expected takes as a function or None; received 1."),
    (("conv2d", forward), {"grid": (1, 2)}, TypeError, "[use_kernel] expected grid as a function or None; received (1, 2)."),
    (
        ("conv2d", Unhashable()),
        {},
        TypeError,
        "[use_kernel] expected forward as a function that can be hashed; received Unhashable: unhashable type: 'Unhashable'.",
    ),
    (("conv2d", forward), {"block": 0}, ValueError, "[use_kernel] expected block as an integer of at least 1; received 0."),
    (("conv2d", forward), {"block": ()}, ValueError, "[use_kernel] expected block as an integer or a tuple of one to three; received ()."),
    (
        ("conv2d", forward),
        {"rounding": "none"},
        ValueError,
        "[use_kernel] expected rounding as 'exact', 'sums', 'winograd' or 'fft'; received 'none'.",
    ),
    (("conv2d", forward), {"check": 1}, TypeError, "[use_kernel] expected check as True or False; received 1."),
    (("conv2d", forward), {"device": "tpu"}, nc.DeviceError, "[use_kernel] expected one of 'cpu' and 'cuda'; received 'tpu'."),
    (
        ("conv2d", Subscriptable()),
        {},
        TypeError,
        "[use_kernel] expected forward as a function or an @njit kernel for this device; "
        "received Subscriptable, a @cuda.jit kernel; pass device='cuda'.",
    ),
]


@pytest.mark.parametrize(("args", "options", "kind", "text"), BAD, ids=[text[:60] for *_, text in BAD])
def test_bad_arguments(args: tuple[Any, ...], options: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as error:
        nc.use_kernel(*args, **options)
    assert str(error.value) == text


def test_without_hypothesis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ImportError) as error:
        nc.use_kernel("conv2d", lambda x, w, g, out: None)
    assert str(error.value) == (
        "[use_kernel] expected hypothesis to be installed; received ModuleNotFoundError: import of hypothesis halted; "
        'None in sys.modules; run: pip install "numbacnn[test]", or pass check=False.'
    )
    nc.use_kernel("conv2d", lambda x, w, g, out: None, check=False)


# -- its speed -----------------------------------------------------------------------------------------------------------------
SHAPES: dict[str, list[tuple[Any, ...]]] = {
    "conv2d": [((2, 2, 6, 7), (3, 2, 3, 3), {"padding": 1, "stride": 2}), ((1, 1, 3, 3), (1, 1, 2, 2))],
    "max_pool2d": [((2, 2, 6, 7), 2)],
    "avg_pool2d": [((2, 2, 6, 7), (2, 3), {"count_include_pad": False})],
}


@pytest.mark.parametrize(("op", "layout", "functions"), OPERATIONS, ids=[f"{op}-{layout}" for op, layout, _ in OPERATIONS])
def test_a_kernel_beside_the_built_in_one(op: Any, layout: Any, functions: dict[str, Any], monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr("numbacnn.testing.peak.fma_peak", lambda threads: 100.0)
    own = Counted(functions)
    for which, function in own.functions.items():
        rows = nc.testing.compare(function, op, which, SHAPES[op], layout=layout, check=False, seconds=0.0)  # type: ignore[arg-type]
        assert [row["shape"] for row in rows] == [shape for shape in SHAPES[op] for _ in range(3)]
        assert [row["kernel"] for row in rows] == ["call", "built-in", "reference"] * len(SHAPES[op])
        for row in rows:
            assert row["ms"] > 0 and row["of_peak"] == row["gflops"] / 100
        assert [name for name, _ in own.calls] == [which] * 4 * len(SHAPES[op])  # once to warm up
        own.calls.clear()
    lines = capsys.readouterr().out.splitlines()
    threads = nc.get_num_threads()  # type: ignore[attr-defined]
    assert lines[0] == f"{op} forward on cpu, {threads} threads, peak 100 GFLOP/s"
    shown = {
        "conv2d": "(2, 2, 6, 7), (3, 2, 3, 3), padding 1, stride 2",
        "max_pool2d": "(2, 2, 6, 7), 2",
        "avg_pool2d": "(2, 2, 6, 7), (2, 3), count_include_pad False",
    }
    assert lines[1] == shown[op]
    assert re.fullmatch(r"  call +\d+\.\d{3} ms +\d+\.\d\d GFLOP/s +\d+\.\d%", lines[2])


def test_the_operations_of_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two for each multiply-add of a convolution, one for each element of a pooling's window."""
    monkeypatch.setattr("numbacnn.testing.comparison._peak", lambda device: None)
    monkeypatch.setattr("numbacnn.testing.comparison.timed", lambda way, seconds: [0.5, 0.25])
    conv = nc.testing.compare(forward, shapes=[((2, 4, 6, 6), (8, 2, 3, 3), {"groups": 2})], check=False)
    pool = nc.testing.compare(avg_forward, "avg_pool2d", shapes=[((2, 4, 6, 6), 3)], check=False)
    assert [row["gflops"] for row in (conv[0], pool[0])] == [2 * 2 * 8 * 16 * 2 * 9 / 0.25 / 1e9, 2 * 4 * 4 * 9 / 0.25 / 1e9]
    assert {row["ms"] for row in (*conv, *pool)} == {250.0} and {row["of_peak"] for row in conv} == {None}


def test_the_peak_is_a_rate() -> None:
    from numbacnn.testing.peak import fma_peak

    assert 0.5 < fma_peak(1) < 2000


def test_a_wrong_kernel_is_not_timed() -> None:
    with pytest.raises(LawBroken):
        nc.testing.compare(lambda x, w, g, out: forward(x, -w, g, out))


BAD_COMPARISONS: list[tuple[tuple[Any, ...], dict[str, Any], type, str]] = [
    (
        (avg_forward,),
        {},
        TypeError,
        "[compare] expected forward of conv2d as a function of (x, w, g, out); received avg_forward(x, g, out); "
        "these are the arguments of op='avg_pool2d'.",
    ),
    (
        (max_forward,),  # as many as a convolution's
        {},
        TypeError,
        "[compare] expected forward of conv2d as a function of (x, w, g, out); received max_forward(x, g, out, index); "
        "these are the arguments of op='max_pool2d'.",
    ),
    ((forward, "conv"), {}, ValueError, "[compare] expected op as 'conv2d', 'max_pool2d' or 'avg_pool2d'; received 'conv'."),
    (
        (avg_forward, "avg_pool2d", "grad_weight"),
        {},
        ValueError,
        "[compare] expected which as 'forward' or 'grad_input'; received 'grad_weight'.",
    ),
    ((forward,), {"seconds": -1}, ValueError, "[compare] expected seconds as a number of at least 0; received -1."),
    (
        (forward,),
        {"shapes": [(1, 2, 3, 4)]},
        ValueError,
        "[compare] expected shapes as tuples (input shape, weight shape) or (input shape, weight shape, options); received (1, 2, 3, 4).",
    ),
    (
        (avg_forward, "avg_pool2d"),
        {"shapes": [((1, 1, 4, 4), 2, 3)]},
        ValueError,
        "[compare] expected shapes as tuples (input shape, kernel size) or (input shape, kernel size, options); "
        "received ((1, 1, 4, 4), 2, 3).",
    ),
    (
        (forward,),
        {"shapes": [((1, 1, 4, 4), (1, 1, 3, 3), {"strides": 2})]},
        ValueError,
        "[compare] expected options of conv2d among stride, padding, dilation, groups; received 'strides'.",
    ),
    (
        (forward,),
        {"shapes": [((1, 1, 4, 4), 3)]},
        ValueError,
        "[compare] expected shapes as tuples (input shape, weight shape) or (input shape, weight shape, options); "
        "received ((1, 1, 4, 4), 3).",
    ),
    (
        (forward,),
        {"shapes": [((1, 1, 4), (1, 1, 3))]},
        nc.ShapeError,
        "[conv2d] expected input (N, C, H, W) or (C, H, W); received input (1, 1, 4).",
    ),
    (
        (forward,),
        {"shapes": [((1, 1, 4, 4), (1, 1, 3, 3), {"stride": 2})], "takes": lambda g: g.stride == (1, 1), "check": False},
        ValueError,
        "[compare] expected shapes that forward takes; received (1, 1, 4, 4), (1, 1, 3, 3), stride 2; takes() says no.",
    ),
]


@pytest.mark.parametrize(("args", "options", "kind", "text"), BAD_COMPARISONS, ids=[text[:60] for *_, text in BAD_COMPARISONS])
def test_bad_comparisons(args: tuple[Any, ...], options: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as error:
        nc.testing.compare(*args, **options)
    assert str(error.value) == text


def test_a_judgement_leaves_no_files(tmp_path: Any) -> None:
    """Hypothesis keeps notes in the folder where it starts."""
    code = """
import numbacnn as nc
plain = lambda g: g.kernel == g.stride == (1, 1) and not any(g.before)
nc.use_kernel("avg_pool2d", lambda x, g, out: out.__setitem__(..., x), takes=plain)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True, timeout=120)
    assert list(tmp_path.iterdir()) == []


def test_a_compiled_step_takes_the_kernels_of_now() -> None:
    """A plan from outside ``use_kernel`` is not replayed inside, nor the other way; what Python runs is not recorded."""
    net, x = nn.Sequential(nn.Conv2d(2, 3, 3)).eval(), nc.rand(2, 2, 6, 6)
    compiled = nc.compile(lambda x: net(x))
    with nc.no_grad():
        wanted = net(x).numpy().copy()
        for _ in range(5):
            assert np.array_equal(compiled(x).numpy(), wanted)
        calls: list[int] = []

        def counting(x: np.ndarray, w: np.ndarray, g: Windows, out: np.ndarray) -> None:
            calls.append(0)
            forward(x, w, g, out)
            out += 1

        with nc.use_kernel("conv2d", forward=counting, check=False):
            for _ in range(5):
                np.testing.assert_allclose(compiled(x).numpy(), wanted + 1, rtol=1e-5)
        assert len(calls) == 5
        assert np.array_equal(compiled(x).numpy(), wanted)


def test_a_kernel_that_is_called_beside_launch_has_no_plan() -> None:
    """It was missing from the replay, which gave what the memory held; ``fit`` compiles by itself."""

    @njit
    def double(x: Any, y: Any) -> None:
        for i in range(x.size):
            y[i] = 2 * x[i]

    def directly(x: Any, y: Any) -> None:
        double(x.numba(), y.numba(copy=False))

    def by_numpy(x: Any, y: Any) -> None:
        y.numba(copy=False)[:] = 2 * x.numba()

    def launched(x: Any, y: Any) -> None:
        nc.launch(double, x.numba().reshape(-1), y.numba(copy=False)[:])

    for fill, planned in ((directly, False), (by_numpy, False), (launched, True)):

        class Double(nc.Function):
            recordable = True

            @staticmethod
            def forward(ctx: Any, x: nc.Tensor, fill: Any = fill) -> nc.Tensor:
                y = nc.empty(x.shape)
                fill(x, y)
                return y

        step = nc.compile(lambda x, f=Double: f.apply(x) + 0)
        for i in range(6):
            assert step(nc.full((4,), float(i))).tolist() == [2.0 * i] * 4
        assert ("a plan of" in nc.explain(step)) is planned
        assert planned or "used by no kernel that nc.launch runs, in " in nc.explain(step)
