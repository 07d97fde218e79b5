"""Output sizes against counting, and the whole text of every error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numbacnn.errors import ShapeError
from numbacnn.geometry import Conv2dGeometry, Pool2dGeometry, output_size, pair


def windows(size, kernel, stride, before, after, dilation):
    """Count the windows that lie in the padded axis."""
    extent = dilation * (kernel - 1) + 1
    return len([first for first in range(0, size + before + after, stride) if first + extent <= size + before + after])


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), st.integers(0, 3), st.integers(0, 3), st.integers(1, 3))
def test_output_size_counts_windows(size, kernel, stride, before, after, dilation):
    assert max(0, output_size(size, kernel, stride, before, after, dilation)) == windows(size, kernel, stride, before, after, dilation)


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2), st.integers(1, 3))
def test_ceil_mode_adds_a_window_that_starts_in_the_data(size, kernel, stride, padding, dilation):
    extent = dilation * (kernel - 1) + 1
    if size + 2 * padding < extent or padding > extent // 2:  # such poolings are refused
        return
    starts = list(range(0, size + 2 * padding - extent + 1, stride))
    sticking_out = starts[-1] + stride
    if starts[-1] + extent < size + 2 * padding and sticking_out < size + padding:
        starts.append(sticking_out)
    assert output_size(size, kernel, stride, padding, padding, dilation, ceil=True) == len(starts)


def test_same_keeps_the_size_and_puts_the_odd_pixel_behind():
    g = Conv2dGeometry.of((2, 3, 7, 8), (4, 3, 4, 3), padding="same", dilation=(1, 3))
    assert g.padding == ((1, 2), (3, 3))
    assert g.output_shape == (2, 4, 7, 8)


def test_valid_is_no_padding():
    assert Conv2dGeometry.of((2, 3, 7, 8), (4, 3, 4, 3), padding="valid").output_shape == (2, 4, 4, 6)


def test_macs():
    assert Conv2dGeometry.of((2, 4, 5, 5), (6, 2, 3, 3), groups=2).macs == 2 * 6 * 3 * 3 * 2 * 3 * 3


def test_geometries_are_keys():
    assert len({Conv2dGeometry.of((1, 1, 5, 5), (1, 1, 3, 3), stride=s) for s in (1, (1, 1), [1, 1])}) == 1


CONV = [
    ((8, 3), (6, 3, 5, 5), {}, "[conv2d] expected input (N, C, H, W) or (C, H, W); received input (8, 3)."),
    (
        (8, 3, 0, 5),
        (6, 3, 5, 5),
        {},
        "[conv2d] expected input (N, C, H, W) with C, H and W of at least 1; received input (8, 3, 0, 5).",
    ),
    (
        (8, 3, 9, 9),
        (6, 5, 5),
        {},
        "[conv2d] expected weight (OC, C/groups, KH, KW) with sizes of at least 1; received weight (6, 5, 5).",
    ),
    (
        (8, 3, 28, 28),
        (6, 1, 5, 5),
        {},
        "[conv2d] expected weight (OC, C/groups, KH, KW) with C/groups = 3 to match input (8, 3, 28, 28) and groups = 1; "
        "received weight (6, 1, 5, 5).",
    ),
    ((8, 4, 9, 9), (6, 2, 5, 5), {"groups": 4}, "[conv2d] expected groups that divide C = 4 and OC = 6; received groups = 4."),
    ((8, 4, 9, 9), (6, 2, 5, 5), {"groups": 0}, "[conv2d] expected groups that divide C = 4 and OC = 6; received groups = 0."),
    (
        (1, 1, 3, 4),
        (1, 1, 5, 2),
        {"padding": (0, 1)},
        "[conv2d] expected a padded input of at least the kernel's extent (5, 2); received padded input (3, 6).",
    ),
    (
        (1, 1, 9, 9),
        (1, 1, 3, 3),
        {"padding": "same", "stride": 2},
        "[conv2d] expected stride 1 with padding='same'; received stride (2, 2); give the padding as numbers.",
    ),
    (
        (1, 1, 9, 9),
        (1, 1, 3, 3),
        {"padding": "full"},
        "[conv2d] expected padding as an integer, a pair, 'same' or 'valid'; received 'full'.",
    ),
    (
        (1, 1, 9, 9),
        (1, 1, 3, 3),
        {"padding": -1},
        "[conv2d] expected padding as an integer or a pair (height, width) of at least 0; received -1.",
    ),
    (
        (1, 1, 9, 9),
        (1, 1, 3, 3),
        {"stride": 0},
        "[conv2d] expected stride as an integer or a pair (height, width) of at least 1; received 0.",
    ),
    (
        (1, 1, 9, 9),
        (1, 1, 3, 3),
        {"dilation": (1, 2, 3)},
        "[conv2d] expected dilation as an integer or a pair (height, width) of at least 1; received (1, 2, 3).",
    ),
]


@pytest.mark.parametrize(("x", "w", "options", "text"), CONV)
def test_conv_errors(x, w, options, text):
    with pytest.raises(ShapeError) as error:
        Conv2dGeometry.of(x, w, **options)
    assert str(error.value) == text


POOL = [
    ((8, 9, 9), (2,), {}, "[max_pool2d] expected input (N, C, H, W) or (C, H, W); received input (8, 9, 9)."),
    (
        (1, 1, 9, 9),
        (1.5,),
        {},
        "[max_pool2d] expected kernel_size as an integer or a pair (height, width) of at least 1; received 1.5.",
    ),
    (
        (1, 1, 9, 9),
        (3,),
        {"padding": 2},
        "[max_pool2d] expected padding of at most half the window's extent (3, 3); received padding (2, 2).",
    ),
    (
        (1, 1, 3, 9),
        (4,),
        {},
        "[max_pool2d] expected a padded input of at least the window's extent (4, 4); received padded input (3, 9).",
    ),
    (
        (1, 1, 9, 9),
        (2,),
        {"stride": 0, "op": "avg_pool2d"},
        "[avg_pool2d] expected stride as an integer or a pair (height, width) of at least 1; received 0.",
    ),
]


@pytest.mark.parametrize(("x", "kernel", "options", "text"), POOL)
def test_pool_errors(x, kernel, options, text):
    with pytest.raises(ShapeError) as error:
        Pool2dGeometry.of(x, *kernel, **options)
    assert str(error.value) == text


def test_pair_takes_anything_that_is_an_integer():
    import numpy as np

    assert pair("conv2d", "stride", np.int64(3), 1) == (3, 3)
    assert pair("conv2d", "stride", [1, np.int32(2)], 1) == (1, 2)
