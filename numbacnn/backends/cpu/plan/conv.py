"""Plans for convolutions of any geometry."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from ....geometry import ConvGeometry
from .contract import Contraction, contraction, pixel_stride_for
from .correlate import Correlation, correlation
from .kept import kept
from .shapes import run_of, sum_superpixel, superpixel, transposed_geometry, weight_offsets, widened, widened_offsets
from .tables import Positions, forward_axis, grad_axis, grid, steps, tap_sets
from .tiles import sum_tile, tile_for

__all__ = ["Plans", "forward_plans", "grad_input_plans", "grad_weight_plan", "prepadded", "transposed_plans"]

LAUNCH = 10_000
"""Cycles that a kernel's launch takes, about."""
TABLE_PIXELS = 1 << 18
"""Pixels of a result for each of which a table has an entry, 16 bytes; of more, only for so many lines or slices."""

Plans = tuple[tuple[slice, Contraction], ...]
"""What to run one after the other: some of the examples, and their plan."""


@kept
def forward_plans(g: ConvGeometry, dtype: str | np.dtype, r: int = 1) -> Plans:
    """y = x * w, of superpixels of r pixels."""
    return _convolution(g, dtype, r, weight_offsets(g), math.prod(g.weight_shape[1:]))


@functools.lru_cache(maxsize=256)
def prepadded(g: ConvGeometry, dtype: str | np.dtype) -> ConvGeometry | None:
    """The same convolution of an input that was padded beforehand, where that pays; else None.

    Of few pixels the border makes tap sets that fill no tile: 49 pixels of an image are ten tiles, not four. To pad takes a launch and
    about a cycle for each element; a step of the tile takes one for each of its vectors. (Where a weight is infinite, zeros at the border
    become NaN.)
    """
    if not any(map(any, g.padding)) or math.prod(g.outputs) > TABLE_PIXELS:
        return None
    whole = g.along(size=tuple(axis.padded for axis in g.axes), before=0, after=0)
    saved = _steps(forward_plans(g, dtype)) - _steps(forward_plans(whole, dtype))
    return whole if saved * tile_for(dtype).m * 2 > LAUNCH + math.prod(whole.input_shape) else None


def _steps(plans: Plans) -> int:
    return sum(plan.steps for _, plan in plans)


@kept
def transposed_plans(g: ConvGeometry, dtype: str | np.dtype) -> Plans:
    """dx from dy for ``transposed_geometry(g)``, as a forward convolution of superpixels."""
    t, taps = transposed_geometry(g), math.prod(g.kernel)
    if t is None:
        raise ValueError(f"the input gradient of {g} is no plain convolution")
    turning = np.arange(taps)[::-1].reshape(*g.kernel, 1) + np.arange(g.oc) * g.c * taps
    return _convolution(t, dtype, superpixel(t, dtype), turning, taps)


def _convolution(g: ConvGeometry, dtype: str | np.dtype, r: int, offsets: np.ndarray, lane_stride: int) -> Plans:
    """A forward convolution of superpixels, with the offsets (taps..., C/groups) of its weights."""
    cg, wide = g.c // g.groups, widened(g, r)
    return _contractions(
        [forward_axis(axis) for axis in wide.axes],
        wide.kernel,
        dtype,
        images=g.n,
        x=(g.sizes, g.c, wide.oc if g.groups == 1 else 0),
        y=(wide.outputs, wide.oc),
        x_group=cg,
        y_group=wide.oc // g.groups,
        groups=g.groups,
        offsets=widened_offsets(offsets, g, r),
        group_stride=wide.oc // g.groups * math.prod(g.weight_shape[1:]),
        lane_stride=lane_stride,
    )


@kept
def grad_input_plans(g: ConvGeometry, dtype: str | np.dtype) -> Plans:
    """dx from dy."""
    cg, ocg, taps = g.c // g.groups, g.oc // g.groups, math.prod(g.kernel)
    return _contractions(
        [grad_axis(axis) for axis in g.axes],
        g.kernel,
        dtype,
        images=g.n,
        x=(g.outputs, g.oc, g.c if g.groups == 1 else 0),
        y=(g.sizes, g.c),
        x_group=ocg,
        y_group=cg,
        groups=g.groups,
        offsets=grid(np.arange(taps)[::-1], np.arange(ocg) * cg * taps),
        group_stride=ocg * cg * taps,
        lane_stride=taps,
    )


def _contractions(
    axes: Sequence[list[Positions]],
    kernel: Sequence[int],
    dtype: str | np.dtype,
    *,
    images: int,
    x: tuple[Sequence[int], int, int],
    y: tuple[Sequence[int], int],
    **sizes: Any,
) -> Plans:
    """One plan for all examples; of large ones, for each example a plan for some places of the first axis, after another.

    ``x``: the sizes of the axes of the input, its channels, and those of the result of which a tile's rows may be moved apart for, if any;
    ``y``: the same of the result.
    """
    pixels = math.prod(y[0])
    if pixels <= TABLE_PIXELS:
        stride = pixel_stride_for(*x[1:], dtype)
        x_steps, y_steps = steps(x[0], stride or x[1]), steps(y[0], y[1])
        sets = tap_sets(axes, kernel, sizes["x_group"], x_steps, y_steps)
        x_image, y_image = x[0][0] * x_steps[0], y[0][0] * y_steps[0]
        plan = contraction(sets, dtype, images=images, x_image=x_image, y_image=y_image, pixel_stride=stride, **sizes)
        return ((slice(0, images), plan),)
    x_steps, y_steps, plans = steps(*x[:2]), steps(*y), []
    for places, count in _blocks(axes[0], max(1, TABLE_PIXELS * y[0][0] // pixels)):
        block = len(places.positions) // count
        sets = tap_sets([[places.part(slice(0, block))], *axes[1:]], kernel, sizes["x_group"], x_steps, y_steps)
        ahead = block if count > 1 else 0
        x_image = int(places.starts[ahead] - places.starts[0]) * x_steps[0]
        y_image = int(places.positions[ahead] - places.positions[0]) * y_steps[0]
        plan = contraction(sets, dtype, images=count, x_image=x_image, y_image=y_image, **sizes)
        plans.append(replace(plan, may_overstore=False))  # what a store spills might have been written by another plan
    return tuple((slice(i, i + 1), plan) for i in range(images) for plan in plans)


def _blocks(axis: list[Positions], most: int) -> Iterator[tuple[Positions, int]]:
    """The places of an axis in blocks of at most ``most``: places at one distance, as so many blocks of equal size."""
    for group in axis:
        distances = np.diff(group.positions) * (1 << 32) + np.diff(group.starts)
        cuts = [0, *(np.flatnonzero(np.diff(distances)) + 2).tolist(), len(group.positions)]
        for first, last in pairwise(cuts):
            blocks = (last - first) // most
            if blocks:
                yield group.part(slice(first, first + blocks * most)), blocks
            if first + blocks * most < last:
                yield group.part(slice(first + blocks * most, last)), 1


@kept
def grad_weight_plan(g: ConvGeometry, dtype: str | np.dtype) -> Correlation:
    """dw from x and dy, of superpixels."""
    r, cg = sum_superpixel(g, dtype), g.c // g.groups
    wide, padded = widened(g, r), [axis.padded for axis in g.axes]
    moves = steps(padded, g.c)
    taps = (np.arange(axis.kernel) * axis.dilation * move for axis, move in zip(wide.axes, moves))
    lines = (np.arange(axis.outputs) * axis.stride * move for axis, move in zip(g.axes[:-1], moves))
    return correlation(
        sum_tile(wide.oc // g.groups, run_of(wide), dtype),
        pads=g.padding,
        line_offsets=grid(np.zeros(1, np.int64), *lines),
        line=g.axes[-1].outputs // r,
        step=wide.axes[-1].stride * g.c,
        window_offsets=grid(*taps, np.arange(cg)),
        images=g.n,
        x_image=math.prod(padded) * g.c,
        x_group=cg,
        y_group=wide.oc // g.groups,
        groups=g.groups,
        itemsize=np.dtype(dtype).itemsize,
        offsets=widened_offsets(weight_offsets(g), g, r),
        group_stride=wide.oc // g.groups * math.prod(g.weight_shape[1:]),
        lane_stride=math.prod(g.weight_shape[1:]),
    )
