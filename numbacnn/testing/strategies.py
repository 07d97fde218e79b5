"""Hypothesis strategies: whole cases of convolution, pooling, padding and normalisation for the laws.

Sizes are small and awkward: odd, one pixel, asymmetric padding, strides larger than the kernel, more dilation than the image has pixels,
groups, and arrays in any order of memory. ``axes`` is their number, one to three; a range is (least, most). What is large or empty some
laws make of these cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ..errors import message
from ..geometry import AdaptivePoolGeometry, Axis, ConvGeometry, PoolGeometry
from .cases import LAYOUTS, AdaptiveCase, ConvCase, NormCase, PadCase, PoolCase, Values

try:
    from hypothesis import strategies as st
except ImportError as error:
    hint = 'pip install "numbacnn[test]"'
    raise ImportError(message("numbacnn.testing.strategies", "the package hypothesis", "none", hint)) from error

__all__ = ["STRATEGIES", "adaptive_cases", "avg_pool_cases", "cases", "conv_cases", "max_pool_cases", "norm_cases", "pad_cases"]

Draw: TypeAlias = Callable[..., Any]
Range: TypeAlias = tuple[int, int]

MODES = ("constant", "reflect", "replicate", "circular")


def _values(draw: Draw, *shapes: tuple[int, ...]) -> tuple[Values, ...]:
    """Small integers in any order of memory."""
    return tuple(Values(shape, draw(st.integers(0, 2**16)), draw(st.sampled_from(LAYOUTS))) for shape in shapes)


def _side(draw: Draw, least: int, size: int) -> int:
    """Pixels along an axis; now and then as few as a window needs, where that is many at most three more."""
    return draw(st.integers(least, max(least + 3, size))) if draw(st.integers(0, 3)) else least


def _numbers(draw: Draw, axes: int, between: Range) -> tuple[int, ...]:
    """A number for each axis."""
    return draw(st.tuples(*[st.integers(*between)] * axes))  # type: ignore[no-any-return]


@st.composite
def conv_cases(
    draw: Draw,
    axes: int = 2,
    *,
    size: int = 9,
    batch: int = 3,
    channels: Range = (1, 4),
    kernel: Range = (1, 3),
    stride: Range = (1, 4),
    dilation: Range = (1, 3),
    groups: Range = (1, 3),
    outputs: int = 1,
    transposed: bool = False,
) -> ConvCase:
    """Convolutions of up to ``batch`` images of up to ``size`` pixels a side, ``channels`` channels a group.

    Args:
        outputs: along each axis, at least.
        transposed: only those whose gradient is a transposed convolution in PyTorch's sense: the same padding on both sides.
    """
    count = draw(st.integers(*groups))
    c, oc = draw(st.integers(*channels)) * count, draw(st.integers(*channels)) * count
    asymmetric = not transposed and draw(st.integers(0, 3)) == 3
    drawn = []
    for k, d, s in zip(_numbers(draw, axes, kernel), _numbers(draw, axes, dilation), _numbers(draw, axes, stride)):
        extent = d * (k - 1) + 1
        before = draw(st.integers(0, extent))
        after = draw(st.integers(0, extent)) if asymmetric else before
        least = extent + (outputs - 1) * s - before - after
        drawn.append(Axis(_side(draw, max(1, least), size), k, s, before, after, d))
    g = ConvGeometry(draw(st.integers(1, batch)), c, tuple(drawn), oc, count)
    return ConvCase(g, _values(draw, *ConvCase.shapes(g)))


def transposed_cases(axes: int = 2, **ranges: Any) -> st.SearchStrategy[ConvCase]:
    """Convolutions whose gradients are transposed convolutions."""
    return conv_cases(axes, transposed=True, **ranges)


def _pool(draw: Draw, axes: int, size: int, batch: int, channels: Range, kernel: Range, dilation: Range, counted: bool) -> PoolGeometry:
    ceil, drawn = draw(st.booleans()), []
    dilations = _numbers(draw, axes, dilation if draw(st.booleans()) else (1, 1))
    for k, d, s in zip(_numbers(draw, axes, kernel), dilations, _numbers(draw, axes, (1, 4))):
        pad = draw(st.integers(0, k // 2))
        drawn.append(Axis(_side(draw, max(1, d * (k - 1) + 1 - 2 * pad), size), k, s, pad, pad, d, ceil))
    return PoolGeometry(draw(st.integers(1, batch)), draw(st.integers(*channels)), tuple(drawn), counted)


@st.composite
def max_pool_cases(
    draw: Draw,
    axes: int = 2,
    *,
    size: int = 9,
    batch: int = 3,
    channels: Range = (1, 4),
    kernel: Range = (1, 4),
    dilation: Range = (1, 3),
) -> PoolCase:
    """Maximum poolings of up to ``batch`` images of up to ``size`` pixels a side; ``ceil_mode`` varies."""
    g = _pool(draw, axes, size, batch, channels, kernel, dilation, True)
    return PoolCase(g, _values(draw, *PoolCase.shapes(g)))


@st.composite
def avg_pool_cases(
    draw: Draw,
    axes: int = 2,
    *,
    size: int = 9,
    batch: int = 3,
    channels: Range = (1, 4),
    kernel: Range = (1, 4),
    divisors: Sequence[int | None] = (None, None, None, 1, 2, 4),
) -> PoolCase:
    """Average poolings; ``ceil_mode``, ``count_include_pad`` and ``divisor_override`` vary (the last not along one axis)."""
    g = _pool(draw, axes, size, batch, channels, kernel, (1, 1), draw(st.booleans()))
    divisor = draw(st.sampled_from(divisors)) if axes > 1 else None
    return PoolCase(g, _values(draw, *PoolCase.shapes(g)), divisor)


@st.composite
def adaptive_cases(draw: Draw, axes: int = 2, *, size: int = 9, batch: int = 3, channels: Range = (1, 4)) -> AdaptiveCase:
    """Adaptive poolings of up to ``batch`` images of up to ``size`` pixels a side, to fewer windows, as many or more."""
    n, c = draw(st.integers(1, batch)), draw(st.integers(*channels))
    g = AdaptivePoolGeometry(n, c, _numbers(draw, axes, (1, size)), _numbers(draw, axes, (1, size)))
    return AdaptiveCase(g, _values(draw, *AdaptiveCase.shapes(g)))


@st.composite
def pad_cases(draw: Draw, axes: int = 2, *, size: int = 6, batch: int = 2, channels: Range = (1, 3)) -> PadCase:
    """Paddings by less than an axis has, in all modes."""
    sizes = _numbers(draw, axes, (1, size))
    pads = tuple((draw(st.integers(0, s - 1)), draw(st.integers(0, s - 1))) for s in sizes)
    shape = (draw(st.integers(1, batch)), draw(st.integers(*channels)), *sizes)
    padded = (*shape[:2], *(s + sum(p) for s, p in zip(sizes, pads)))
    return PadCase(pads, _values(draw, shape, padded), draw(st.sampled_from(MODES)))


@st.composite
def norm_cases(draw: Draw, axes: int = 2, *, size: int = 6, batch: int = 3, channels: Range = (1, 5)) -> NormCase:
    """At least one image of up to ``size`` pixels a side."""
    shape = (draw(st.integers(1, batch)), draw(st.integers(*channels)), *_numbers(draw, axes, (1, size)))
    return NormCase(1e-3, _values(draw, shape, shape))


STRATEGIES: dict[str, Callable[..., st.SearchStrategy[Any]]] = {
    "conv": conv_cases,
    "conv_transpose": transposed_cases,
    "max_pool": max_pool_cases,
    "avg_pool": avg_pool_cases,
    "adaptive_avg_pool": adaptive_cases,
    "adaptive_max_pool": adaptive_cases,
    "pad": pad_cases,
    "batch_norm": norm_cases,
}
"""The cases of each family of operations."""


def cases(family: str, axes: tuple[int, ...] = (1, 2, 3), **ranges: Any) -> st.SearchStrategy[Any]:
    """The cases of a family with so many axes; volumes are small.

    >>> cases("conv", (2,)).example().x.ndim  # doctest: +SKIP
    4
    """
    small = {"size": 5, "batch": 2}
    return st.one_of([STRATEGIES[family](n, **(small if n == 3 else {}) | ranges) for n in axes])
