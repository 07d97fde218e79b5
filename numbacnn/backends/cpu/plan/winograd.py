"""Plans for Winograd's algorithm, some rows of patches at a time."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from ....geometry import ConvGeometry
from ....kernels.cpu import winograd
from ....kernels.cpu.record import record
from .contract import EVEN, TASKS, Contraction, contraction
from .correlate import Correlation, correlation
from .tables import one_run
from .tiles import sum_tile, tile_for

__all__ = ["WinogradPlan", "winograd_pays", "winograd_plans"]

PATCHES_BYTES = 1 << 22
"""What the transformed patches of input and output may occupy: they stay in the last-level cache, or its share of one."""
FEWEST_PATCHES = 192
"""Patches for which it pays to read the transformed weights."""
SHARE = 256
"""Channels of patches that a task transforms, at least, where there are more tasks than EVEN."""
PRODUCT_TASKS, SUM_TASKS, WORTH = 4, 2, 1 << 18
"""Tasks that share the blocks of a place's product, and of its sums for the gradient, at most: each of the latter copies its own panels.
A task has so many multiplications, about."""
MOVED, MADE, ADDED = 40, 65, 20
"""Multiplications in whose time an element of a patch, or of packed weights, is written to that cache and read again; one of Winograd's
weights is made and read; one of the sums for their gradient is written and taken apart: measured."""


@dataclass(frozen=True, slots=True, eq=False)
class WinogradPlan:
    """Some rows of patches, as kernels are told of them: where they lie in the input, and in the output."""

    inputs: np.ndarray
    outputs: np.ndarray
    patches: int
    contraction: Contraction
    correlation: Correlation


def _patch_grid(g: ConvGeometry) -> tuple[int, int]:
    rows, columns = g.outputs
    return -(-rows // winograd.SIZE), -(-columns // winograd.SIZE)


@functools.lru_cache(maxsize=1024)
def winograd_pays(g: ConvGeometry, gradient: bool = False) -> bool:
    """Whether fewer multiplications make up for the transforms of patches and weights. Ragged tiles cost as much as full ones.

    Weights are counted as made for this very pass, as they are in training; ``gradient``: of the weights.
    """
    rows, columns = _patch_grid(g)
    patches, weights, tile = g.n * rows * columns, g.c * g.oc, tile_for("float32").m

    def multiplied(pixels: int, moved: int) -> int:
        return weights * (-(-pixels // tile) * tile + moved)

    transformed = multiplied(patches, ADDED if gradient else MADE) + MOVED * patches * (g.c + g.oc)
    return winograd.PLACES * transformed < 9 * multiplied(g.n * math.prod(g.outputs), MOVED)


@functools.lru_cache(maxsize=256)
def winograd_plans(g: ConvGeometry) -> tuple[WinogradPlan, ...]:
    """Plans for a few rows of patches each."""
    rows, columns = _patch_grid(g)
    fitting = max(FEWEST_PATCHES, PATCHES_BYTES // (4 * winograd.PLACES * (g.c + g.oc)))
    step = max(1, fitting // columns)
    total = g.n * rows
    return tuple(_winograd_plan(g, first, min(step, total - first)) for first in range(0, total, step))


def _winograd_plan(g: ConvGeometry, first: int, count: int) -> WinogradPlan:
    rows, columns = _patch_grid(g)
    patches = count * columns

    def told(sizes: tuple[int, ...], channels: int, padding: tuple[int, ...]) -> np.ndarray:
        (height, width), (top, left), tasks = sizes, padding, min(TASKS, patches, max(EVEN, patches * channels // SHARE))
        image = {"height": height, "width": width, "channels": channels, "top": top, "left": left, "rows": rows, "columns": columns}
        return record(**image, first=first * columns, patches=patches, tasks=tasks)

    return WinogradPlan(told(g.sizes, g.c, g.before), told(g.outputs, g.oc, (0, 0)), patches, *_places_plans(patches, g.c, g.oc))


@functools.lru_cache(maxsize=256)
def _places_plans(patches: int, c: int, oc: int) -> tuple[Contraction, Correlation]:
    """The matrix products of the 36 places, as groups: every task takes all patches, of some blocks of a place."""
    places, k = winograd.PLACES, np.arange(c)
    x_patch, y_patch = (places * channels + winograd.GAP for channels in (c, oc))
    x_image, y_image = patches * x_patch, patches * y_patch
    product = contraction(
        [one_run(np.arange(patches) * x_patch, np.arange(patches) * y_patch, c)],
        "float32",
        images=1,
        x_image=x_image,
        y_image=y_image,
        x_group=c,
        y_group=oc,
        groups=places,
        offsets=k,
        group_stride=0,
        lane_stride=0,
    )
    sums = correlation(
        sum_tile(oc, c, "float32"),
        line_offsets=np.zeros(1, np.int64),
        line=patches,
        step=x_patch,
        window_offsets=k,
        images=1,
        x_image=x_image,
        x_group=c,
        y_group=oc,
        groups=places,
        itemsize=4,
        offsets=k,
        group_stride=0,
        lane_stride=0,
        most_chunks=1,
        y_pixel=y_patch,
    )
    most = max(1, patches * c * oc // WORTH)
    product = replace(product, pixel_tasks=1, channel_tasks=places * min(PRODUCT_TASKS, most, product.packed_shape[1]))
    return product, replace(sums, channel_tasks=min(SUM_TASKS, most, sums.part_shape[2]))
