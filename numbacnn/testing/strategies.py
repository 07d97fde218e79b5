"""Hypothesis strategies: shapes, memory layouts, and whole cases of convolution, pooling and normalisation for ``properties``.

Values are small integers, whose sums are exact in float32. Sizes are small and awkward: odd, one pixel, no image at all, asymmetric
padding, strides larger than the kernel, more dilation than the image has pixels, groups, and arrays in any order of memory. ``axes`` is
their number, one to three.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import message
from ..geometry import AdaptivePoolGeometry, Axis, ConvGeometry, PoolGeometry
from .properties import AdaptiveCase, ConvCase, PoolCase

try:
    from hypothesis import strategies as st
except ImportError as error:
    hint = 'pip install "numbacnn[test]"'
    raise ImportError(message("numbacnn.testing.strategies", "the package hypothesis", "none", hint)) from error

__all__ = ["LAYOUTS", "adaptive_cases", "arrays", "conv_cases", "images", "pool_cases", "relayout"]

LAYOUTS = ("C", "channels_last", "fortran", "reversed", "every_other", "cropped", "readonly")
"""Orders of memory that ``relayout`` knows."""


def relayout(a: np.ndarray, layout: str) -> np.ndarray:
    """The same values in another order of memory: see ``LAYOUTS``.

    >>> relayout(np.zeros((2, 3, 4, 5)), "channels_last").transpose(0, 2, 3, 1).flags.c_contiguous
    True
    """
    if layout == "C":
        return np.ascontiguousarray(a)
    if layout == "channels_last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)
    if layout == "fortran":
        return np.asfortranarray(a)
    if layout == "reversed":
        back = (slice(None, None, -1),) * a.ndim
        return np.ascontiguousarray(a[back])[back]
    if layout in ("every_other", "cropped"):
        # what lies between is NaN, so that reading it shows
        step = 2 if layout == "every_other" else 1
        room = np.full([size * step + 2 for size in a.shape], np.nan, a.dtype)
        view = room[tuple(slice(1, 1 + size * step, step) for size in a.shape)]
        view[...] = a
        return view
    if layout == "readonly":
        out = a.copy()
        out.flags.writeable = False
        return out
    raise ValueError(message("relayout", f"one of {', '.join(LAYOUTS)}", repr(layout)))


@st.composite
def arrays(draw: Callable[..., Any], shape: tuple[int, ...], dtype: Any = np.float32, largest: int = 4) -> np.ndarray:
    """Integers between -largest and largest, in any layout."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return relayout(rng.integers(-largest, largest + 1, shape).astype(dtype), draw(st.sampled_from(LAYOUTS)))


def _side(draw: Callable[..., Any], least: int, size: int) -> int:
    """Pixels along an axis; often as few as a window needs."""
    return least if draw(st.booleans()) else draw(st.integers(least, max(least, size)))


def _numbers(draw: Callable[..., Any], axes: int, largest: int) -> tuple[int, ...]:
    """A number from 1 on for each axis."""
    return draw(st.tuples(*[st.integers(1, largest)] * axes))  # type: ignore[no-any-return]


@st.composite
def conv_cases(
    draw: Callable[..., Any], size: int = 9, channels: int = 4, kernel: int = 4, batch: int = 3, dtype: Any = np.float32, axes: int = 2
) -> ConvCase:
    """Convolutions of up to ``batch`` images (also none) of up to ``size`` pixels a side, ``channels`` channels a group."""
    groups = draw(st.integers(1, 3))
    c, oc = draw(st.integers(1, channels)) * groups, draw(st.integers(1, channels)) * groups
    n = draw(st.integers(0, batch))
    drawn = []
    for k, d, stride in zip(_numbers(draw, axes, kernel), _numbers(draw, axes, 3), _numbers(draw, axes, 4)):
        extent = d * (k - 1) + 1
        if draw(st.booleans()):  # 'same', asymmetric for an even extent
            pads = (extent - 1) // 2, extent - 1 - (extent - 1) // 2
        else:
            pads = draw(st.tuples(st.integers(0, extent), st.integers(0, extent)))
        drawn.append(Axis(_side(draw, max(1, extent - sum(pads)), size), k, stride, *pads, d))
    g = ConvGeometry(n, c, tuple(drawn), oc, groups)
    return ConvCase(g, *(draw(arrays(shape, dtype)) for shape in (g.input_shape, g.weight_shape, g.output_shape)))


@st.composite
def pool_cases(
    draw: Callable[..., Any],
    size: int = 9,
    channels: int = 4,
    kernel: int = 4,
    batch: int = 3,
    dtype: Any = np.float32,
    dilation: int = 2,
    axes: int = 2,
) -> PoolCase:
    """Poolings of up to ``batch`` images (also none) of up to ``size`` pixels a side; ``count_include_pad`` and ``ceil_mode`` vary."""
    n, c, ceil = draw(st.integers(0, batch)), draw(st.integers(1, channels)), draw(st.booleans())
    drawn = []
    for k, d, stride in zip(_numbers(draw, axes, kernel), _numbers(draw, axes, dilation), _numbers(draw, axes, 4)):
        extent = d * (k - 1) + 1
        pad = draw(st.integers(0, extent // 2))
        drawn.append(Axis(_side(draw, max(1, extent - 2 * pad), size), k, stride, pad, pad, d, ceil))
    g = PoolGeometry(n, c, tuple(drawn), draw(st.booleans()))
    return PoolCase(g, draw(arrays(g.input_shape, dtype)), draw(arrays(g.output_shape, dtype)))


@st.composite
def adaptive_cases(
    draw: Callable[..., Any], size: int = 9, channels: int = 4, batch: int = 3, dtype: Any = np.float32, axes: int = 2
) -> AdaptiveCase:
    """Adaptive poolings of up to ``batch`` images (also none) of up to ``size`` pixels a side, to fewer windows, as many or more."""
    n, c = draw(st.integers(0, batch)), draw(st.integers(1, channels))
    g = AdaptivePoolGeometry(n, c, _numbers(draw, axes, size), _numbers(draw, axes, size))
    return AdaptiveCase(g, draw(arrays(g.input_shape, dtype)), draw(arrays(g.output_shape, dtype)))


@st.composite
def images(draw: Callable[..., Any], size: int = 6, channels: int = 5, batch: int = 3, dtype: Any = np.float32) -> np.ndarray:
    """At least one image (N, C, H, W) of up to ``size`` pixels a side, in any layout."""
    shape = (draw(st.integers(1, batch)), draw(st.integers(1, channels)), *_numbers(draw, 2, size))
    return draw(arrays(shape, dtype))
