"""The geometry of a convolution."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..arguments import IntPair, per_axis
from ..errors import ShapeError, message
from .axis import NAMES, Axis, Windows, axes_of, judge_input, once

__all__ = ["ConvGeometry", "Padding"]

Padding: TypeAlias = int | Sequence[int] | Literal["same", "valid"]


@dataclass(frozen=True, slots=True)
class ConvGeometry(Windows):
    """A convolution of ``n`` examples from ``c`` to ``oc`` channels."""

    oc: int
    groups: int = 1
    weight_shape: tuple[int, ...] = field(init=False, compare=False, repr=False)
    output_shape: tuple[int, ...] = field(init=False, compare=False, repr=False)
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        Windows.__post_init__(self)
        object.__setattr__(self, "weight_shape", (self.oc, self.c // self.groups, *self.kernel))
        object.__setattr__(self, "output_shape", (self.n, self.oc, *self.outputs))
        object.__setattr__(self, "_hash", hash((self.n, self.c, self.axes, self.oc, self.groups)))

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def of(
        cls,
        input_shape: Sequence[int],
        weight_shape: Sequence[int],
        stride: IntPair = 1,
        padding: Padding = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        op: str = "",
        axes: int | None = None,
    ) -> ConvGeometry:
        """Judge the shapes of input (N, C, ...) and weight (OC, C/groups, ...); ``axes``: how many follow, as the input by default.

        Raises:
            ShapeError: where they do not fit each other or no window fits the padded input.

        >>> ConvGeometry.of((8, 1, 28, 28), (6, 1, 5, 5), padding=2).output_shape
        (8, 6, 28, 28)
        >>> ConvGeometry.of((8, 1, 100), (6, 1, 5), stride=2).output_shape
        (8, 6, 48)
        """
        count = axes or axes_of(op or "conv", input_shape)
        op = op or f"conv{count}d"
        strides, dilations = per_axis(op, "stride", stride, 1, count), per_axis(op, "dilation", dilation, 1, count)
        pads = padding if isinstance(padding, str) else per_axis(op, "padding", padding, 0, count)
        return _judged(tuple(input_shape), tuple(weight_shape), strides, pads, dilations, groups, op)

    @property
    def macs(self) -> int:
        """Multiply-adds of one forward pass."""
        return self.n * math.prod(self.outputs) * math.prod(self.weight_shape)


@functools.lru_cache(maxsize=1024, typed=True)
def _judged(
    shape: tuple[int, ...],
    weight: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...] | str,
    dilation: tuple[int, ...],
    groups: int,
    op: str,
) -> ConvGeometry:
    count = len(stride)
    judge_input(op, shape, count)
    taps = "K" if count == 1 else ", ".join(f"K{name}" for name in NAMES[count])
    if len(weight) != len(shape) or min(weight) < 1:
        raise ShapeError(message(op, f"weight (OC, C/groups, {taps}) with sizes of at least 1", f"weight {weight}"))
    (n, c, *sizes), (oc, cg, *kernel) = shape, weight
    if not isinstance(groups, int) or groups < 1 or c % groups or oc % groups:
        raise ShapeError(message(op, f"groups that divide C = {c} and OC = {oc}", f"groups = {groups!r}"))
    if cg * groups != c:
        expected = f"weight (OC, C/groups, {taps}) with C/groups = {c // groups} to match input {shape} and groups = {groups}"
        raise ShapeError(message(op, expected, f"weight {weight}"))
    pads = _padding(op, padding, kernel, stride, dilation)
    axes = tuple(Axis(*sizes) for sizes in zip(sizes, kernel, stride, *zip(*pads), dilation))
    if min(axis.outputs for axis in axes) < 1:
        extent, padded = tuple(axis.extent for axis in axes), tuple(axis.padded for axis in axes)
        raise ShapeError(message(op, f"a padded input of at least the kernel's extent {extent}", f"padded input {padded}"))
    geometry: ConvGeometry = once(ConvGeometry, n, c, axes, oc, groups)
    return geometry


def _padding(
    op: str, padding: tuple[int, ...] | str, kernel: Sequence[int], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> list[tuple[int, int]]:
    """(before, after) of each axis."""
    if padding == "valid":
        return [(0, 0)] * len(stride)
    if padding == "same":
        if set(stride) != {1}:
            raise ShapeError(message(op, "stride 1 with padding='same'", f"stride {stride}", "give the padding as numbers"))
        # an odd total puts the extra row or column behind, as PyTorch does
        totals = [d * (k - 1) for d, k in zip(dilation, kernel)]
        return [(total // 2, total - total // 2) for total in totals]
    if isinstance(padding, str):
        several = {1: "a tuple", 2: "a pair", 3: "a triple"}[len(stride)]
        raise ShapeError(message(op, f"padding as an integer, {several}, 'same' or 'valid'", repr(padding)))
    return [(p, p) for p in padding]
