"""The geometries of pooling."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ..arguments import SEVERAL, IntPair, flag, per_axis
from ..errors import ShapeError, message
from .axis import Axis, Windows, axes_of, judge_input, once

__all__ = ["AdaptivePoolGeometry", "AdaptiveSize", "PoolGeometry", "adaptive_size"]

AdaptiveSize: TypeAlias = int | Sequence[int | None] | None


@dataclass(frozen=True, slots=True)
class PoolGeometry(Windows):
    """A pooling. ``count_include_pad`` concerns averages only, an axis's ``dilation`` maxima only."""

    count_include_pad: bool = True
    output_shape: tuple[int, ...] = field(init=False, compare=False, repr=False)
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        Windows.__post_init__(self)
        object.__setattr__(self, "output_shape", (self.n, self.c, *self.outputs))
        object.__setattr__(self, "_hash", hash((self.n, self.c, self.axes, self.count_include_pad)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def blind(self) -> bool:
        """Whether some window has all its taps in the padding: it has no maximum."""
        return not all(axis.window(o)[1] for axis in self.axes for o in range(axis.outputs))

    @classmethod
    def of(
        cls,
        input_shape: Sequence[int],
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        op: str = "",
        axes: int | None = None,
    ) -> PoolGeometry:
        """Judge a pooling of input (N, C, ...); ``stride`` defaults to ``kernel_size``; ``axes``: how many follow, by default as there are.

        Raises:
            ShapeError: where the sizes make no sense, the padding exceeds half the kernel, or no window fits.
            TypeError: where a flag is neither True nor False.

        >>> PoolGeometry.of((8, 6, 28, 28), 2).output_shape
        (8, 6, 14, 14)
        """
        count = axes or axes_of(op or "max_pool", input_shape)
        op = op or f"max_pool{count}d"
        kernel = per_axis(op, "kernel_size", kernel_size, 1, count)
        strides = kernel if stride is None else per_axis(op, "stride", stride, 1, count)
        pads, dilations = per_axis(op, "padding", padding, 0, count), per_axis(op, "dilation", dilation, 1, count)
        ceil, counted = flag(op, "ceil_mode", ceil_mode), flag(op, "count_include_pad", count_include_pad)
        return _judged(tuple(input_shape), kernel, strides, pads, dilations, ceil, counted, op)


@functools.lru_cache(maxsize=1024)
def _judged(
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    ceil_mode: bool,
    count_include_pad: bool,
    op: str,
) -> PoolGeometry:
    judge_input(op, shape, len(kernel))
    n, c, *sizes = shape
    if any(p > k // 2 for p, k in zip(padding, kernel)):
        raise ShapeError(message(op, f"padding of at most half the kernel {kernel}", f"padding {padding}"))
    axes = tuple(Axis(size, k, s, p, p, d, ceil_mode) for size, k, s, p, d in zip(sizes, kernel, stride, padding, dilation))
    if min(axis.outputs for axis in axes) < 1:
        extent, padded = tuple(axis.extent for axis in axes), tuple(axis.padded for axis in axes)
        raise ShapeError(message(op, f"a padded input of at least the window's extent {extent}", f"padded input {padded}"))
    geometry: PoolGeometry = once(PoolGeometry, n, c, axes, count_include_pad)
    return geometry


@dataclass(frozen=True, slots=True)
class AdaptivePoolGeometry:
    """A pooling to windows of nearly equal sizes.

    Along an axis window o covers the places floor(o * size / outputs) to ceil((o + 1) * size / outputs).
    """

    n: int
    c: int
    sizes: tuple[int, ...]
    outputs: tuple[int, ...]

    @classmethod
    def of(cls, input_shape: Sequence[int], output_size: AdaptiveSize, op: str = "", axes: int | None = None) -> AdaptivePoolGeometry:
        """Judge a pooling of input (N, C, ...); None in ``output_size`` keeps an axis as it is.

        Raises:
            ShapeError: where the sizes make no sense.

        >>> AdaptivePoolGeometry.of((8, 6, 7, 5), (1, None)).output_shape
        (8, 6, 1, 5)
        """
        count = axes or axes_of(op or "adaptive_avg_pool", input_shape)
        op = op or f"adaptive_avg_pool{count}d"
        judge_input(op, input_shape, count)
        n, c, *sizes = input_shape
        outputs = adaptive_size(op, output_size, count)
        return cls(n, c, tuple(sizes), tuple(o or size for o, size in zip(outputs, sizes)))

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.n, self.c, *self.sizes

    @property
    def output_shape(self) -> tuple[int, ...]:
        return self.n, self.c, *self.outputs


def adaptive_size(op: str, output_size: AdaptiveSize, axes: int) -> tuple[int | None, ...]:
    """``output_size`` for each axis: an integer of at least 1, or None for that of the input.

    >>> adaptive_size("adaptive_avg_pool2d", 7, 2)
    (7, 7)
    """
    values = tuple(output_size) if isinstance(output_size, Sequence) and not isinstance(output_size, str) else (output_size,) * axes
    try:
        sizes = tuple(None if v is None else operator.index(v) for v in values)  # type: ignore[arg-type]
    except TypeError:
        sizes = ()
    if len(sizes) != axes or any(v is not None and v < 1 for v in sizes):
        expected = f"output_size as an integer of at least 1, None, or {SEVERAL[axes]} of such"
        raise ShapeError(message(op, expected, repr(output_size)))
    return sizes
