"""The reference against SciPy, which nobody here wrote, and the chapter's functions against the book's figures."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

import numbacnn as nc
from numbacnn import reference
from numbacnn.errors import ShapeError
from numbacnn.geometry import Conv2dGeometry

rng = np.random.default_rng(0)


@pytest.mark.parametrize(("x", "k"), [((6, 8), (1, 2)), ((5, 5), (5, 5)), ((1, 1), (1, 1)), ((7, 4), (3, 2))])
def test_corr2d_and_convolve2d_are_scipys(x, k):
    image, kernel = rng.integers(-9, 9, x).astype(float), rng.integers(-9, 9, k).astype(float)
    np.testing.assert_array_equal(reference.corr2d(image, kernel), signal.correlate2d(image, kernel, mode="valid"))
    np.testing.assert_array_equal(reference.convolve2d(image, kernel), signal.convolve2d(image, kernel, mode="valid"))


def test_the_books_figures():
    x, k = nc.arange(9.0).reshape(3, 3), nc.arange(4.0).reshape(2, 2)
    assert nc.corr2d(x, k).tolist() == [[19, 25], [37, 43]]
    assert nc.pool2d(x, (2, 2)).tolist() == [[4, 5], [7, 8]]
    assert nc.pool2d(x, (2, 2), "avg").tolist() == [[2, 3], [5, 6]]
    xs = nc.stack([x, x + 1])
    ks = nc.stack([k, k + 1])
    assert nc.corr2d_multi_in(xs, ks).tolist() == [[56, 72], [104, 120]]
    found = nc.stack(nc.corr2d_multi_in_out(xs, nc.stack([ks, ks + 1, ks + 2])))
    assert found.tolist() == [[[56, 72], [104, 120]], [[76, 100], [148, 172]], [[96, 128], [192, 224]]]


def test_gradients_flow_through_corr2d():
    x, k = nc.rand(5, 6), nc.rand(2, 3).requires_grad_()
    nc.corr2d(x, k).sum().backward()
    assert k.grad is not None
    np.testing.assert_allclose(k.grad.numpy(), signal.correlate2d(x.numpy(), np.ones((4, 4)), mode="valid"), rtol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_conv2d_is_scipys(stride, groups):
    g = Conv2dGeometry.of((2, 4, 7, 8), (6, 4 // groups, 3, 2), stride, (1, 2), 1, groups)
    x, w = rng.integers(-5, 6, (2, 4, 7, 8)).astype(float), rng.integers(-5, 6, (6, 4 // groups, 3, 2)).astype(float)
    found = reference.conv2d_forward(x, w, None, g)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (2, 2)))
    for n in range(2):
        for o in range(6):
            group = o // (6 // groups)
            channels = padded[n, group * (4 // groups) : (group + 1) * (4 // groups)]
            wanted = sum(signal.correlate2d(c, k, mode="valid") for c, k in zip(channels, w[o]))
            np.testing.assert_array_equal(found[n, o], wanted[::stride, ::stride])


ERRORS = [
    (
        lambda: nc.corr2d(nc.ones(2, 2), nc.ones(3, 1)),
        "[corr2d] expected an image (H, W) of at least the kernel's size (3, 1); received image (2, 2).",
    ),
    (
        lambda: nc.convolve2d(np.ones(4), np.ones((1, 1))),
        "[convolve2d] expected an image (H, W) of at least the kernel's size (1, 1); received image (4,).",
    ),
    (
        lambda: nc.corr2d_multi_in(nc.ones(2, 3, 3), nc.ones(1, 2, 2)),
        "[corr2d_multi_in] expected a kernel (C, KH, KW) with C = 2; received kernel (1, 2, 2).",
    ),
    (
        lambda: nc.pool2d(nc.ones(3, 3), (4, 1)),
        "[pool2d] expected an image (H, W) of at least the kernel's size (4, 1); received image (3, 3).",
    ),
]


@pytest.mark.parametrize(("call", "text"), ERRORS)
def test_errors(call, text):
    with pytest.raises(ShapeError) as error:
        call()
    assert str(error.value) == text


def test_pool_mode():
    with pytest.raises(ValueError) as error:
        nc.pool2d(nc.ones(3, 3), (2, 2), "median")  # type: ignore[arg-type]
    assert str(error.value) == "[pool2d] expected mode 'max' or 'avg'; received 'median'."
