"""Plans for the input gradient of few channels, by what each pixel of the output's gradient adds to its window's rows."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np

from ....geometry import ConvGeometry
from ....kernels.cpu.record import record
from .contract import Contraction, contraction
from .kept import kept
from .shapes import superpixel, transposed_geometry
from .tables import Positions, grad_axis, grid, steps, tap_sets
from .tiles import tile_for

__all__ = ["column_sum_fold", "column_sum_pays", "column_sum_plans", "column_sum_step"]

SUMS_BYTES = 1 << 23
"""What the sums that are to be added may occupy, unless one image takes more."""


@functools.lru_cache(maxsize=256)
def column_sum_pays(g: ConvGeometry, dtype: str | np.dtype) -> bool:
    """Whether all pixels of a window's row fill the tile's vectors better than one pixel's channels.

    In steps of the tile for each row of kernel and output channel; to write and read a block of sums takes as long as some 16 of them.
    """
    columns, whole = tile_for(dtype).columns, transposed_geometry(g)
    r = superpixel(whole, dtype) if whole else 1
    *lines, kw = g.kernel
    summed = -(-kw * g.c // columns) * (1 + 16 / (math.prod(lines) * g.oc))
    return summed < (kw + r - 1) / r * -(-r * g.c // columns)


@kept
def column_sum_plans(g: ConvGeometry, dtype: str | np.dtype) -> tuple[tuple[slice, Contraction], ...]:
    """Plans for some images each, so few that their sums stay in the cache, or near it."""
    some = max(1, SUMS_BYTES // (math.prod(g.sizes[:-1]) * g.outputs[-1] * column_sum_step(g, dtype) * np.dtype(dtype).itemsize))
    parts = [slice(first, min(g.n, first + some)) for first in range(0, g.n, some)]
    return tuple((part, _column_sum_plan(replace(g, n=part.stop - part.start), dtype)) for part in parts)


@functools.lru_cache(maxsize=256)
def _column_sum_plan(g: ConvGeometry, dtype: str | np.dtype) -> Contraction:
    """What each pixel of dy adds to the kw pixels of its window in each row of dx: (N, ..., H, OW, KW * C), whole tiles."""
    (*lines, kw), step = g.kernel, column_sum_step(g, dtype)
    sums, windows = (*g.sizes[:-1], g.outputs[-1]), np.arange(g.outputs[-1])
    axes, taps = [grad_axis(axis) for axis in g.axes[:-1]], math.prod(g.kernel)
    plan = contraction(
        tap_sets([*axes, [Positions(windows, windows, (0,), (0,))]], (*lines, 1), g.oc, steps(g.outputs, g.oc), steps(sums, step)),
        dtype,
        images=g.n,
        x_image=math.prod(g.outputs) * g.oc,
        y_image=math.prod(sums) * step,
        x_group=g.oc,
        y_group=kw * g.c,
        groups=1,
        offsets=np.add.outer(np.arange(kw), grid(np.arange(math.prod(lines))[::-1] * kw, np.arange(g.oc) * g.c * taps)),
        group_stride=0,
        lane_stride=taps,
    )
    return replace(plan, may_overstore=True)  # what a row spills, its own step takes


@functools.lru_cache(maxsize=256)
def column_sum_step(g: ConvGeometry, dtype: str | np.dtype) -> int:
    """Elements from what one window adds to what the next does."""
    columns = tile_for(dtype).columns
    return -(-g.kernel[-1] * g.c // columns) * columns


@functools.lru_cache(maxsize=256)
def column_sum_fold(g: ConvGeometry, dtype: str | np.dtype) -> np.ndarray:
    """What ``kernels.cpu.conv.fold`` is told."""
    line = g.axes[-1]
    return record(
        rows=math.prod(g.sizes[:-1]),
        windows=line.outputs,
        step=column_sum_step(g, dtype),
        channels=g.c,
        taps=line.kernel,
        stride=line.stride,
        left=line.before,
        width=line.size,
    )
