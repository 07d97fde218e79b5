"""The chapter's functions against SciPy, and what the laws do not ask of the reference."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from scipy.signal import convolve, correlate

import numbacnn as nc
from numbacnn import reference
from numbacnn.testing import PoolCase


def ints(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-4, 5, shape).astype(np.float64)


# -- the chapter's functions -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("image", "kernel"), [((6, 8), (1, 2)), ((5, 5), (5, 5)), ((4, 7), (3, 2)), ((1, 1), (1, 1)), ((9, 3), (4, 3))])
def test_corr2d_and_convolve2d(image: tuple[int, int], kernel: tuple[int, int]) -> None:
    x, k = ints(*image), ints(*kernel, seed=1)
    np.testing.assert_array_equal(nc.corr2d(x, k), correlate(x, k, "valid", "direct"))
    np.testing.assert_array_equal(nc.convolve2d(x, k), convolve(x, k, "valid", "direct"))
    np.testing.assert_array_equal(nc.convolve2d(x, k[::-1, ::-1]), nc.corr2d(x, k))


def test_channels() -> None:
    x, k = ints(3, 6, 5), ints(4, 3, 2, 3, seed=1)
    wanted = [correlate(x, k[o], "valid", "direct")[0] for o in range(4)]
    np.testing.assert_array_equal(nc.corr2d_multi_in(x, k[0]), wanted[0])
    np.testing.assert_array_equal(nc.corr2d_multi_in_out(x, k), wanted, strict=True)


@pytest.mark.parametrize("size", [(2, 2), (1, 3), (4, 5)])
def test_pool2d(size: tuple[int, int]) -> None:
    x = ints(4, 5)
    windows = [[x[i : i + size[0], j : j + size[1]] for j in range(5 - size[1] + 1)] for i in range(4 - size[0] + 1)]
    np.testing.assert_array_equal(nc.pool2d(x, size), [[w.max() for w in row] for row in windows])
    np.testing.assert_allclose(nc.pool2d(x, size, "avg"), [[w.mean() for w in row] for row in windows], rtol=1e-15, atol=1e-15)


def test_the_book_reads_the_same_in_tensors() -> None:
    x, k = nc.arange(9.0).reshape(3, 3), nc.arange(4.0).reshape(2, 2).requires_grad_()
    y = nc.corr2d(x, k)
    assert y.tolist() == [[19, 25], [37, 43]]
    y.sum().backward()
    assert k.grad.tolist() == [[8, 12], [20, 24]]
    k.grad = None
    nc.convolve2d(x, k).sum().backward()
    assert k.grad.tolist() == [[24, 20], [12, 8]]
    many = nc.corr2d_multi_in_out(nc.stack([x, x + 1]), nc.stack([nc.stack([k, k + 1]), nc.stack([k + 1, k])]))
    assert many.shape == (2, 2, 2) and many[0].tolist() == [[56, 72], [104, 120]]
    x = nc.tensor([[0.0, 2.0, 1.0]]).requires_grad_()
    for mode, pooled, grad in (("max", [[2, 2]], [[0, 3, 0]]), ("avg", [[1, 1.5]], [[0.5, 1.5, 1]])):
        y = nc.pool2d(x, (1, 2), mode)
        assert isinstance(y, nc.Tensor) and y.tolist() == pooled
        x.grad = None
        (y * nc.tensor([1.0, 2.0])).sum().backward()
        assert x.grad.tolist() == grad


SMALL = "an image (H, W) of at least the kernel's size"
ERRORS: list[tuple[Any, str]] = [
    (lambda: nc.corr2d(ints(2, 2), ints(3, 1)), f"[corr2d] expected {SMALL} (3, 1); received image (2, 2)."),
    (lambda: nc.corr2d(ints(3, 3, 3), ints(2, 2)), f"[corr2d] expected {SMALL} (2, 2); received image (3, 3, 3)."),
    (lambda: nc.convolve2d(ints(2, 2), ints(1, 3)), f"[convolve2d] expected {SMALL} (1, 3); received image (2, 2)."),
    (
        lambda: nc.corr2d_multi_in(ints(2, 3, 3), ints(3, 2, 2)),
        "[corr2d_multi_in] expected a kernel (C, KH, KW) with C = 2; received kernel (3, 2, 2).",
    ),
    (
        lambda: nc.corr2d_multi_in_out(ints(2, 3, 3), ints(4, 3, 2, 2)),
        "[corr2d_multi_in_out] expected a kernel (OC, C, KH, KW) with C = 2; received kernel (4, 3, 2, 2).",
    ),
    (
        lambda: nc.corr2d_multi_in_out(ints(2, 3, 3), ints(4, 2, 5, 2)),
        f"[corr2d_multi_in_out] expected {SMALL} (5, 2); received image (3, 3).",
    ),
    (lambda: nc.pool2d(ints(3, 3), (2, 2), "min"), "[pool2d] expected mode as 'max' or 'avg'; received 'min'."),  # type: ignore[arg-type]
    (lambda: nc.pool2d(ints(3, 3), (4, 2)), f"[pool2d] expected {SMALL} (4, 2); received image (3, 3)."),
]


@pytest.mark.parametrize(("call", "text"), ERRORS, ids=[text for _, text in ERRORS])
def test_errors(call: Any, text: str) -> None:
    with pytest.raises(ValueError, match="^" + re.escape(text) + "$"):
        call()


# -- what the laws (``test_properties.py``) do not ask -------------------------------------------------------------------------
def test_maxima_of_nan_and_infinity() -> None:
    x = np.array([[[[1.0, np.nan, -np.inf, -np.inf], [np.inf, 2.0, -np.inf, -np.inf]]]])
    g = PoolCase.of((1, 1, 2, 4), 2).geometry
    y, index = reference.max_pool_forward(x, g)
    np.testing.assert_array_equal(y, [[[[np.nan, -np.inf]]]])
    assert index.tolist() == [[[[1, 2]]]]
