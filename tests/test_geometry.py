"""Windows counted one by one, and the whole text of every error."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numbacnn.arguments import pair
from numbacnn.errors import ShapeError
from numbacnn.geometry import AdaptivePoolGeometry, Axis, ConvGeometry, PoolGeometry, in_front, output_size

SIZES = st.integers(1, 12)


def count(size: int, kernel: int, stride: int, before: int, after: int, dilation: int, ceil: bool) -> int:
    """Walk over the padded axis; with ``ceil`` a last window may stick out behind, and none starts in the padding behind the data."""
    windows, start, extent = 0, -before, dilation * (kernel - 1) + 1
    while start + extent <= size + after and not (ceil and start >= size):
        windows, start = windows + 1, start + stride
    covered_to_the_end = windows > 0 and start - stride + extent == size + after
    if ceil and windows and not covered_to_the_end and start < size:
        windows += 1
    return windows


@given(
    size=SIZES,
    kernel=st.integers(1, 5),
    stride=st.integers(1, 5),
    before=st.integers(0, 4),
    after=st.integers(0, 4),
    dilation=st.integers(1, 3),
    ceil=st.booleans(),
)
def test_output_size(size: int, kernel: int, stride: int, before: int, after: int, dilation: int, ceil: bool) -> None:
    if ceil:  # poolings only, whose padding is symmetric and at most half the kernel
        before = after = min(before, kernel // 2)
    found = output_size(size, kernel, stride, before, after, dilation, ceil)
    wanted = count(size, kernel, stride, before, after, dilation, ceil)
    if wanted:
        assert found == wanted
    elif not ceil:
        assert found <= 0


def test_the_formulas_of_the_book() -> None:
    assert ConvGeometry.of((1, 1, 8, 8), (1, 1, 3, 3), padding=1).output_shape == (1, 1, 8, 8)
    assert ConvGeometry.of((1, 1, 8, 8), (1, 1, 5, 3), padding=(2, 1)).output_shape == (1, 1, 8, 8)
    assert ConvGeometry.of((1, 1, 8, 8), (1, 1, 3, 3), padding=1, stride=2).output_shape == (1, 1, 4, 4)
    assert ConvGeometry.of((1, 1, 8, 8), (1, 1, 3, 5), padding=(0, 1), stride=(3, 4)).output_shape == (1, 1, 2, 2)


@given(h=SIZES, w=SIZES, kh=st.integers(1, 5), kw=st.integers(1, 5), d=st.integers(1, 3))
def test_same_and_valid(h: int, w: int, kh: int, kw: int, d: int) -> None:
    same = ConvGeometry.of((1, 1, h, w), (1, 1, kh, kw), padding="same", dilation=d)
    assert same.output_shape[2:] == (h, w)
    assert all(after - before in (0, 1) for before, after in same.padding)
    if h > d * (kh - 1) and w > d * (kw - 1):
        assert ConvGeometry.of((1, 1, h, w), (1, 1, kh, kw), padding="valid", dilation=d).padding == ((0, 0), (0, 0))


def test_multiply_adds_counted_one_by_one() -> None:
    g = ConvGeometry.of((2, 4, 5, 6), (6, 2, 3, 2), stride=(2, 1), padding=1, groups=2)
    assert g.macs == sum(1 for _ in range(math.prod(g.output_shape)) for _ in range(2 * 3 * 2))


def test_geometries_are_values() -> None:
    a, b = (ConvGeometry.of((1, 2, 5, 5), (3, 2, 3, 3), padding=p) for p in (1, (1, 1)))
    assert a == b and hash(a) == hash(b)
    assert a != ConvGeometry.of((1, 2, 5, 5), (3, 2, 3, 3))
    with pytest.raises(dataclasses.FrozenInstanceError):
        a.n = 3  # type: ignore[misc]
    p, q = PoolGeometry.of((1, 2, 6, 6), 2), PoolGeometry.of((1, 2, 6, 6), (2, 2), [2, 2])
    assert p == q and hash(p) == hash(q) and p.stride == (2, 2)


def test_pair_takes_integers_of_any_kind() -> None:
    import numpy as np

    assert pair("conv2d", "stride", np.int64(2), 1) == (2, 2)  # type: ignore[arg-type]
    assert pair("conv2d", "stride", [1, np.int32(3)], 1) == (1, 3)
    assert type(pair("conv2d", "stride", np.int64(2), 1)[0]) is int  # type: ignore[arg-type]


def conv(*shapes: Any, axes: int = 2, **options: Any) -> Callable[[], Any]:
    return lambda: ConvGeometry.of(*shapes, axes=axes, **options)


def pool(*args: Any, axes: int = 2, **options: Any) -> Callable[[], Any]:
    return lambda: PoolGeometry.of(*args, axes=axes, **options)


X, W = (8, 3, 28, 28), (6, 3, 5, 5)
ERRORS = [
    (conv((28, 28), W), "[conv2d] expected input (N, C, H, W) or (C, H, W); received input (28, 28)."),
    (conv((8, 3, 0, 28), W), "[conv2d] expected input (N, C, H, W) with C, H and W of at least 1; received input (8, 3, 0, 28)."),
    (conv(X, (6, 3, 5)), "[conv2d] expected weight (OC, C/groups, KH, KW) with sizes of at least 1; received weight (6, 3, 5)."),
    (conv(X, (6, 3, 0, 5)), "[conv2d] expected weight (OC, C/groups, KH, KW) with sizes of at least 1; received weight (6, 3, 0, 5)."),
    (conv(X, W, stride=0), "[conv2d] expected stride as an integer or a pair (height, width) of at least 1; received 0."),
    (conv(X, W, stride=(1, 2, 3)), "[conv2d] expected stride as an integer or a pair (height, width) of at least 1; received (1, 2, 3)."),
    (conv(X, W, stride=1.5), "[conv2d] expected stride as an integer or a pair (height, width) of at least 1; received 1.5."),
    (conv(X, W, dilation=(1, -1)), "[conv2d] expected dilation as an integer or a pair (height, width) of at least 1; received (1, -1)."),
    (conv(X, W, padding=-1), "[conv2d] expected padding as an integer or a pair (height, width) of at least 0; received -1."),
    (conv(X, W, padding="full"), "[conv2d] expected padding as an integer, a pair, 'same' or 'valid'; received 'full'."),
    (
        conv(X, W, padding="same", stride=2),
        "[conv2d] expected stride 1 with padding='same'; received stride (2, 2); give the padding as numbers.",
    ),
    (conv(X, W, groups=2), "[conv2d] expected groups that divide C = 3 and OC = 6; received groups = 2."),
    (conv(X, W, groups=0), "[conv2d] expected groups that divide C = 3 and OC = 6; received groups = 0."),
    (conv(X, W, groups=1.0), "[conv2d] expected groups that divide C = 3 and OC = 6; received groups = 1.0."),
    (
        conv(X, (6, 1, 5, 5)),
        "[conv2d] expected weight (OC, C/groups, KH, KW) with C/groups = 3 to match input (8, 3, 28, 28) and groups = 1; "
        "received weight (6, 1, 5, 5).",
    ),
    (conv((8, 3, 4, 9), W), "[conv2d] expected a padded input of at least the kernel's extent (5, 5); received padded input (4, 9)."),
    (
        conv((8, 3, 8, 20), W, dilation=(3, 1), padding=(2, 0)),
        "[conv2d] expected a padded input of at least the kernel's extent (13, 5); received padded input (12, 20).",
    ),
    (conv((28, 28), W, op="Conv2d"), "[Conv2d] expected input (N, C, H, W) or (C, H, W); received input (28, 28)."),
    (pool((28, 28), 2), "[max_pool2d] expected input (N, C, H, W) or (C, H, W); received input (28, 28)."),
    (pool((2, 0, 5, 5), 2), "[max_pool2d] expected input (N, C, H, W) with C, H and W of at least 1; received input (2, 0, 5, 5)."),
    (pool(X, 0), "[max_pool2d] expected kernel_size as an integer or a pair (height, width) of at least 1; received 0."),
    (pool(X, 2, (2, 0)), "[max_pool2d] expected stride as an integer or a pair (height, width) of at least 1; received (2, 0)."),
    (pool(X, 2, padding=-1), "[max_pool2d] expected padding as an integer or a pair (height, width) of at least 0; received -1."),
    (pool(X, 2, dilation=0), "[max_pool2d] expected dilation as an integer or a pair (height, width) of at least 1; received 0."),
    (pool(X, (2, 3), padding=2), "[max_pool2d] expected padding of at most half the kernel (2, 3); received padding (2, 2)."),
    (pool(X, 3, padding=(1, 2), dilation=2), "[max_pool2d] expected padding of at most half the kernel (3, 3); received padding (1, 2)."),
    (
        pool((2, 3, 4, 9), 5, op="avg_pool2d"),
        "[avg_pool2d] expected a padded input of at least the window's extent (5, 5); received padded input (4, 9).",
    ),
]


SIZE = "[adaptive_avg_pool2d] expected output_size as an integer of at least 1, None, or a pair (height, width) of such; received "
ERRORS += [
    (lambda size=size: AdaptivePoolGeometry.of(X, size), f"{SIZE}{size!r}.") for size in (0, (1, -1), (1, 2, 3), 1.5, "same", (None,))
]
ERRORS += [
    (
        lambda: AdaptivePoolGeometry.of((2, 0, 5, 5), 1),
        "[adaptive_avg_pool2d] expected input (N, C, H, W) with C, H and W of at least 1; received input (2, 0, 5, 5).",
    ),
]


SIGNAL, VOLUME = (8, 3, 28), (8, 3, 5, 6, 7)
ERRORS += [
    (conv((28,), (6, 3, 5), axes=1), "[conv1d] expected input (N, C, L) or (C, L); received input (28,)."),
    (conv((8, 3, 0), (6, 3, 5), axes=1), "[conv1d] expected input (N, C, L) with C and L of at least 1; received input (8, 3, 0)."),
    (conv(SIGNAL, W, axes=1), "[conv1d] expected weight (OC, C/groups, K) with sizes of at least 1; received weight (6, 3, 5, 5)."),
    (
        conv(SIGNAL, (6, 3, 5), stride=(1, 2), axes=1),
        "[conv1d] expected stride as an integer or a tuple (length,) of at least 1; received (1, 2).",
    ),
    (
        conv(SIGNAL, (6, 3, 5), padding="full", axes=1),
        "[conv1d] expected padding as an integer, a tuple, 'same' or 'valid'; received 'full'.",
    ),
    (
        conv(SIGNAL, (6, 3, 40), axes=1),
        "[conv1d] expected a padded input of at least the kernel's extent (40,); received padded input (28,).",
    ),
    (conv((28, 28), W, axes=3), "[conv3d] expected input (N, C, D, H, W) or (C, D, H, W); received input (28, 28)."),
    (
        conv((8, 0, 5, 6, 7), (6, 3, 1, 1, 1), axes=3),
        "[conv3d] expected input (N, C, D, H, W) with C, D, H and W of at least 1; received input (8, 0, 5, 6, 7).",
    ),
    (
        conv(VOLUME, (6, 1, 1, 1, 1), axes=3),
        "[conv3d] expected weight (OC, C/groups, KD, KH, KW) with C/groups = 3 to match input (8, 3, 5, 6, 7) and groups = 1; "
        "received weight (6, 1, 1, 1, 1).",
    ),
    (
        conv(VOLUME, (6, 3, 1, 1, 1), dilation=(1, 2), axes=3),
        "[conv3d] expected dilation as an integer or a triple (depth, height, width) of at least 1; received (1, 2).",
    ),
    (
        conv(VOLUME, (6, 3, 1, 1, 1), padding="full", axes=3),
        "[conv3d] expected padding as an integer, a triple, 'same' or 'valid'; received 'full'.",
    ),
    (pool(SIGNAL, 3, padding=2, axes=1), "[max_pool1d] expected padding of at most half the kernel (3,); received padding (2,)."),
    (
        pool(VOLUME, (2, 2, 9), axes=3, op="avg_pool3d"),
        "[avg_pool3d] expected a padded input of at least the window's extent (2, 2, 9); received padded input (5, 6, 7).",
    ),
    (
        lambda: AdaptivePoolGeometry.of(VOLUME, (1, 2)),
        "[adaptive_avg_pool3d] expected output_size as an integer of at least 1, None, or a triple (depth, height, width) of such; "
        "received (1, 2).",
    ),
    (lambda: ConvGeometry.of((3, 4), W), "[conv] expected input (N, C, L), (N, C, H, W) or (N, C, D, H, W); received input (3, 4)."),
    (
        lambda: PoolGeometry.of((1, 1, 2, 2, 2, 2), 1),
        "[max_pool] expected input (N, C, L), (N, C, H, W) or (N, C, D, H, W); received input (1, 1, 2, 2, 2, 2).",
    ),
]


def test_a_geometry_has_the_axes_of_its_input() -> None:
    for axes in (1, 2, 3):
        sizes, kernel = (9, 8, 7)[:axes], (3, 2, 1)[:axes]
        g = ConvGeometry.of((2, 4, *sizes), (6, 2, *kernel), stride=2, padding=1, groups=2)
        assert (g.sizes, g.kernel, g.weight_shape) == (sizes, kernel, (6, 2, *kernel))
        assert g.output_shape == (2, 6, *((n + 2 - k) // 2 + 1 for n, k in zip(sizes, kernel)))
        assert g.macs == math.prod(g.output_shape) * math.prod(g.weight_shape[1:])
        assert PoolGeometry.of((2, 4, *sizes), kernel).output_shape == (2, 4, *(n // k for n, k in zip(sizes, kernel)))
        assert AdaptivePoolGeometry.of((2, 4, *sizes), None).output_shape == (2, 4, *sizes)


AXES = st.builds(
    lambda size, kernel, stride, before, after, dilation: Axis(
        max(size, dilation * (kernel - 1) + 1 - before - after), kernel, stride, before, after, dilation
    ),
    *(SIZES, st.integers(1, 4), st.integers(1, 4), st.integers(0, 4), st.integers(0, 4), st.integers(1, 3)),
)


@given(axis=AXES)
def test_windows_forward_and_in_the_gradient_are_the_same_taps(axis: Axis) -> None:
    """Which output sees which place by which tap, tried one by one, from both sides."""
    seen = {
        (o, k, i)
        for o in range(axis.outputs)
        for k in range(axis.kernel)
        for i in range(axis.size)
        if i == o * axis.stride - axis.before + k * axis.dilation
    }
    forward = [(o, k, axis.window(o)[0] + shift) for o in range(axis.outputs) for k, shift in axis.window(o)[1]]
    gradient = [(axis.grad_window(i)[0] + shift, k, i) for i in range(axis.size) for k, shift in axis.grad_window(i)[1]]
    assert set(forward) == seen == set(gradient) and len(forward) == len(seen) == len(gradient)
    assert all(
        [k for k, _ in axis.grad_window(i)[1]] == sorted((k for k, _ in axis.grad_window(i)[1]), reverse=True) for i in range(axis.size)
    )


def test_unit_axes_lie_in_front() -> None:
    line = Axis(9, 3)
    assert in_front((line,), Axis(1)) == (Axis(1), Axis(1), line)
    assert in_front((line, line), Axis(1), 2) == (line, line)


def test_adaptive_sizes() -> None:
    wanted = {1: (1, 1), (2, 3): (2, 3), None: (8, 20), (None, 4): (8, 4), (30, 1): (30, 1)}
    for size, (oh, ow) in wanted.items():
        assert AdaptivePoolGeometry.of((8, 3, 8, 20), size).output_shape == (8, 3, oh, ow)


@pytest.mark.parametrize(("call", "text"), ERRORS, ids=[text for _, text in ERRORS])
def test_error(call: Callable[[], Any], text: str) -> None:
    with pytest.raises(ShapeError, match="^" + re.escape(text) + "$"):
        call()


@pytest.mark.parametrize("n", [0, 1, 5])
def test_any_number_of_images(n: int) -> None:
    assert ConvGeometry.of((n, 1, 3, 3), (2, 1, 2, 2)).output_shape == (n, 2, 2, 2)
    assert PoolGeometry.of((n, 1, 3, 3), 2).output_shape == (n, 1, 1, 1)
