"""Plans for the input gradient of few channels, by what each pixel of the output's gradient adds to its window's rows."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from ....geometry import Conv2dGeometry
from .contract import Contraction, contraction
from .shapes import superpixel, transposed_geometry
from .tables import Axis, axes_of, grad_axis, grid, tap_sets
from .tiles import tile_for

__all__ = ["column_sum_pays", "column_sum_plans", "column_sum_step"]

SUMS_BYTES = 1 << 23
"""What the sums that are to be added may occupy, unless one image takes more."""


@functools.lru_cache(maxsize=256)
def column_sum_pays(g: Conv2dGeometry, dtype: str | np.dtype) -> bool:
    """Whether all pixels of a window's row fill the tile's vectors better than one pixel's channels.

    In steps of the tile for each row of kernel and output channel; to write and read a block of sums takes as long as some 16 of them.
    """
    columns, whole = tile_for(dtype).columns, transposed_geometry(g)
    r = superpixel(whole, dtype) if whole else 1
    summed = -(-g.kw * g.c // columns) * (1 + 16 / (g.kh * g.oc))
    return summed < (g.kw + r - 1) / r * -(-r * g.c // columns)


@functools.lru_cache(maxsize=256)
def column_sum_plans(g: Conv2dGeometry, dtype: str | np.dtype) -> tuple[tuple[slice, Contraction], ...]:
    """Plans for some images each, so few that their sums stay in the cache, or near it."""
    some = max(1, SUMS_BYTES // (g.h * g.ow * column_sum_step(g, dtype) * np.dtype(dtype).itemsize))
    parts = [slice(first, min(g.n, first + some)) for first in range(0, g.n, some)]
    return tuple((part, _column_sum_plan(replace(g, n=part.stop - part.start), dtype)) for part in parts)


@functools.lru_cache(maxsize=256)
def _column_sum_plan(g: Conv2dGeometry, dtype: str | np.dtype) -> Contraction:
    """What each pixel of dy adds to the kw pixels of its window in each row of dx: (N, H, OW, KW * C), whole tiles."""
    taps, step = g.kh * g.kw, column_sum_step(g, dtype)
    rows, windows = grad_axis(*axes_of(g)[0]), np.arange(g.ow)
    plan = contraction(
        tap_sets((rows, [Axis(windows, windows, (0,), (0,))]), 1, g.oc, (g.ow * g.oc, g.oc), (g.ow * step, step)),
        dtype,
        images=g.n,
        x_image=g.oh * g.ow * g.oc,
        y_image=g.h * g.ow * step,
        x_group=g.oc,
        y_group=g.kw * g.c,
        groups=1,
        offsets=np.add.outer(np.arange(g.kw), grid(np.arange(g.kh)[::-1] * g.kw, np.arange(g.oc) * g.c * taps)),
        group_stride=0,
        lane_stride=taps,
    )
    return replace(plan, may_overstore=True)  # what a row spills, its own step takes


@functools.lru_cache(maxsize=256)
def column_sum_step(g: Conv2dGeometry, dtype: str | np.dtype) -> int:
    """Elements from what one window adds to what the next does."""
    columns = tile_for(dtype).columns
    return -(-g.kw * g.c // columns) * columns
