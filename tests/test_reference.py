"""The reference against SciPy and against definitions written out as loops."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import convolve, correlate

import numbacnn as nc
from numbacnn import reference
from numbacnn.testing import AdaptiveCase, ConvCase, PoolCase
from numbacnn.testing.strategies import adaptive_cases, conv_cases, pool_cases


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


# -- convolution against SciPy's correlate ---------------------------------------------------------------------------------
def by_axes(cases: Any, **options: Any) -> Any:
    """Cases of one to three axes."""
    return st.one_of(cases(dtype=np.float64, axes=n, size=5 if n == 3 else 9, **options) for n in (1, 2, 3))


def _places(*along: slice) -> tuple[slice, ...]:
    """All examples and channels, and these parts of the axes."""
    return (slice(None), slice(None), *along)


def _every(step: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(None, None, s) for s in step)


def _spread(a: np.ndarray, step: Sequence[int]) -> np.ndarray:
    """Zeros between the pixels."""
    out = np.zeros((*a.shape[:2], *((size - 1) * s + 1 for size, s in zip(a.shape[2:], step))))
    out[_places(*_every(step))] = a
    return out


@given(case=by_axes(conv_cases))
def test_forward(case: ConvCase) -> None:
    g = case.geometry
    x, w, b = np.pad(case.x, ((0, 0), (0, 0), *g.padding)), _spread(case.w, g.dilation), np.arange(g.oc, dtype=np.float64)
    y = reference.conv_forward(case.x, case.w, b, g)
    cg, og = g.c // g.groups, g.oc // g.groups
    for n in range(g.n):
        for o in range(g.oc):
            channels = x[n, o // og * cg : (o // og + 1) * cg]
            wanted = correlate(channels, w[o], "valid", "direct")[(0, *_every(g.stride))]
            np.testing.assert_array_equal(y[n, o], wanted + b[o])


@given(case=by_axes(conv_cases))
def test_gradients(case: ConvCase) -> None:
    """dx is the full convolution of the spread gradient with the kernel; dw is x correlated with the spread gradient."""
    g = case.geometry
    x, w, dy = np.pad(case.x, ((0, 0), (0, 0), *g.padding)), _spread(case.w, g.dilation), _spread(case.grad, g.stride)
    cg, og = g.c // g.groups, g.oc // g.groups
    dx, dw = np.zeros_like(x), np.zeros(case.w.shape)
    for n in range(g.n):
        for o in range(g.oc):
            for c in range(cg):
                at = o // og * cg + c
                full = convolve(dy[n, o], w[o, c], "full", "direct")
                dx[(n, at, *(slice(size) for size in full.shape))] += full
                taps = correlate(x[n, at], dy[n, o], "valid", "direct")
                dw[o, c] += taps[_every(g.dilation)][tuple(slice(k) for k in g.kernel)]
    inner = dx[_places(*(slice(before, before + size) for before, size in zip(g.before, g.sizes)))]
    np.testing.assert_array_equal(reference.conv_grad_input(case.grad, case.w, g), inner)
    np.testing.assert_array_equal(reference.conv_grad_weight(case.grad, case.x, g), dw)


# -- pooling against its definition, window by window ----------------------------------------------------------------------
@given(case=by_axes(pool_cases))
def test_max_pooling(case: PoolCase) -> None:
    g = case.geometry
    y, index = reference.max_pool_forward(case.x, g)
    dx = np.zeros(case.x.shape)
    for n, c, *output in np.ndindex(*g.output_shape):
        best = None
        for tap in np.ndindex(*g.kernel):
            at = tuple(o * s - p + k * d for o, s, p, k, d in zip(output, g.stride, g.before, tap, g.dilation))
            inside = all(0 <= i < size for i, size in zip(at, g.sizes))
            if inside and (best is None or case.x[(n, c, *at)] > case.x[(n, c, *best)]):
                best = at
        found = y[(n, c, *output)], index[(n, c, *output)]
        if best is None:
            assert found == (-np.inf, -1)
        else:
            assert found == (case.x[(n, c, *best)], np.arange(math.prod(g.sizes)).reshape(g.sizes)[best])
            dx[(n, c, *best)] += case.grad[(n, c, *output)]
    np.testing.assert_array_equal(reference.max_pool_backward(case.grad, index, g), dx)


@given(case=by_axes(pool_cases, dilation=1))
def test_average_pooling(case: PoolCase) -> None:
    g = case.geometry
    x = np.pad(case.x, ((0, 0), (0, 0), *g.padding))
    data = np.pad(np.ones(g.sizes), g.padding)
    wanted, dx = np.zeros(g.output_shape), np.zeros(x.shape)
    for output in np.ndindex(*g.outputs):
        # a window that sticks out behind the padding is cut off there
        window = tuple(slice(o * s, o * s + k) for o, s, k in zip(output, g.stride, g.kernel))
        count = data[window].size if g.count_include_pad else data[window].sum()
        seen = x[_places(*window)]
        wanted[(..., *output)] = seen.sum(tuple(range(2, x.ndim))) / count
        dx[_places(*window)] += (case.grad[(..., *output)] / count).reshape(*seen.shape[:2], *(1 for _ in window))
    np.testing.assert_allclose(reference.avg_pool_forward(case.x, g), wanted, rtol=1e-14, atol=1e-14)
    found = reference.avg_pool_backward(case.grad, g)
    inner = dx[_places(*(slice(before, before + size) for before, size in zip(g.before, g.sizes)))]
    np.testing.assert_allclose(found, inner, rtol=1e-13, atol=1e-13)


@given(case=by_axes(adaptive_cases))
def test_adaptive_average_pooling(case: AdaptiveCase) -> None:
    """Each output is the mean of what lies at least partly in its share of the axis."""
    g = case.geometry
    wanted, dx = np.zeros(g.output_shape), np.zeros(case.x.shape)
    for output in np.ndindex(*g.outputs):
        shares = zip(output, g.sizes, g.outputs)
        seen = np.ix_(*([i for i in range(size) if (i + 1) * n > o * size and i * n < (o + 1) * size] for o, size, n in shares))
        wanted[(..., *output)] = case.x[(..., *seen)].mean(tuple(range(2, case.x.ndim)))
        count = math.prod(case.x[(..., *seen)].shape[2:])
        dx[(..., *seen)] += (case.grad[(..., *output)] / count).reshape(*case.x.shape[:2], *(1 for _ in output))
    np.testing.assert_allclose(reference.adaptive_avg_pool_forward(case.x, g), wanted, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(reference.adaptive_avg_pool_backward(case.grad, g), dx, rtol=1e-13, atol=1e-13)


def test_maxima_of_nan_and_infinity() -> None:
    x = np.array([[[[1.0, np.nan, -np.inf, -np.inf], [np.inf, 2.0, -np.inf, -np.inf]]]])
    g = PoolCase.of((1, 1, 2, 4), 2).geometry
    y, index = reference.max_pool_forward(x, g)
    np.testing.assert_array_equal(y, [[[[np.nan, -np.inf]]]])
    assert index.tolist() == [[[[1, 2]]]]
