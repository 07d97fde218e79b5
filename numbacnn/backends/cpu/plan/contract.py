"""The plan of ``kernels.cpu.conv.contract``, and how its work is cut."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ....kernels.cpu.record import numbers_of
from ....kernels.cpu.tile import Tile
from ....recording import constant
from .tables import TapSet, with_tail
from .tiles import tile_for

__all__ = ["EVEN", "TASKS", "Contraction", "contraction", "even", "pixel_stride_for"]

SPAN_BYTES = 1 << 18
"""What a task's pixels should occupy, input and output: they stay in the second-level cache while the blocks of weights pass by."""
TASKS, EVEN = 32, 16
"""Tasks that a kernel is cut into where the shape allows it, and of what their number is a multiple: both are fixed, so that the bits do
not depend on the threads."""
SHARE = 4096
"""Elements of a result that a task of the kernels without a sum over channels takes, about."""
ALIASES, WAYS = 4096, 8
"""Bytes at whose multiples everything falls into one set of a first-level cache, and how many lines a set holds."""


@dataclass(frozen=True, slots=True, eq=False)
class Contraction:
    """The arguments of ``kernels.cpu.conv.contract``, but for the arrays of values."""

    tile: Tile
    input_offsets: np.ndarray
    output_offsets: np.ndarray
    tap_sets: np.ndarray
    taps: np.ndarray
    weight_rows: np.ndarray
    images: int
    x_image: int
    y_image: int
    x_group: int
    y_group: int
    groups: int
    pixel_tasks: int
    channel_tasks: int
    may_overstore: bool
    offsets: np.ndarray  # of the weights, for ``pack``: (parts, K)
    group_stride: int
    lane_stride: int
    pixel_stride: int = 0  # elements from pixel to pixel to which x is moved apart; 0: none
    steps: int = field(init=False)  # of the tile
    shares: int = field(init=False)  # tasks of an image, for the kernels without a sum over channels
    packed_shape: tuple[int, int, int, int] = field(init=False)
    numbers: np.ndarray = field(init=False)  # those above, as kernels take them
    tables: tuple[np.ndarray, ...] = field(init=False)  # as kernels take them

    def __post_init__(self) -> None:
        blocks, sets = -(-self.y_group // self.tile.columns), self.tap_sets.tolist()
        steps = sum(-(-self.images * pixels // self.tile.m) * (last - first) * length for _, pixels, first, last, length in sets)
        most = max(pixels for _, pixels, *_ in sets)
        object.__setattr__(self, "steps", steps * self.groups * blocks)
        object.__setattr__(self, "shares", max(1, most * self.groups * self.y_group // SHARE))
        object.__setattr__(self, "packed_shape", (self.groups, blocks, self.offsets.shape[1], self.tile.columns))
        object.__setattr__(self, "numbers", numbers_of(self))
        tables = self.input_offsets, self.output_offsets, self.tap_sets, self.taps, self.weight_rows, self.numbers
        object.__setattr__(self, "tables", tables)
        for table in (*tables, self.offsets):
            constant(table)

    @property
    def nbytes(self) -> int:
        return sum(table.nbytes for table in (*self.tables, self.offsets))


def _cut(tiles: int, blocks: int, tile_bytes: int) -> tuple[int, int]:
    """(pixel_tasks, channel_tasks): into how many tasks the tiles are shared out, and each of them by blocks of output channels."""
    size = min(SPAN_BYTES // max(1, tile_bytes), tiles * blocks // TASKS)
    pixel_tasks = even(-(-tiles // max(1, min(tiles, 8), size)))  # some eight tiles at least, for which it pays to read the weights
    return pixel_tasks, min(blocks, -(-2 * TASKS // pixel_tasks))


def even(tasks: int) -> int:
    """About so many tasks, which as many threads as in a power of two share evenly: 33 would take 16 threads as long as 48.

    >>> [even(n) for n in (1, 3, 11, 33, 44)]
    [1, 4, 8, 32, 48]
    """
    return EVEN * round(tasks / EVEN) if tasks > EVEN else 2 ** round(math.log2(tasks))


def pixel_stride_for(elements: int, outputs: int, dtype: str | np.dtype) -> int:
    """How far apart a tile's rows, pixels of so many elements, should lie, where they would crowd a set of the cache; else 0.

    Where one block holds all outputs each element is read once, and to move it takes longer.
    """
    tile, size = tile_for(dtype), np.dtype(dtype).itemsize
    aliased = elements * size % ALIASES == 0 and tile.m > WAYS and outputs > tile.columns
    return elements + 64 // size if aliased else 0


def contraction(
    tap_sets: list[TapSet],
    dtype: str | np.dtype,
    *,
    images: int,
    x_image: int,
    y_image: int,
    x_group: int,
    y_group: int,
    groups: int,
    offsets: np.ndarray,
    group_stride: int,
    lane_stride: int,
    pixel_stride: int = 0,
) -> Contraction:
    """The plan for these pixels; numbers as in :class:`Contraction`."""
    tile = tile_for(dtype)
    tiles = sum(-(-images * len(k.input_offsets) // tile.m) for k in tap_sets)
    pixels = sum(len(k.input_offsets) for k in tap_sets)
    tile_bytes = (x_image + y_image) * tile.m * np.dtype(dtype).itemsize // max(1, pixels)
    pixel_tasks, channel_tasks = _cut(tiles, groups * -(-y_group // tile.columns), tile_bytes)
    sizes = np.array([(len(k.input_offsets), len(k.taps)) for k in tap_sets]).reshape(-1, 2)
    entries, runs = (np.concatenate([[0], np.cumsum(n)]) for n in (sizes[:, 0] + 2 * tile.m, sizes[:, 1]))
    table = [(entries[i], len(k.input_offsets), runs[i], runs[i + 1], k.length) for i, k in enumerate(tap_sets)]
    return Contraction(
        tile=tile,
        input_offsets=np.concatenate([with_tail(k.input_offsets, x_image, images, tile.m) for k in tap_sets]),
        output_offsets=np.concatenate([with_tail(k.output_offsets, y_image, images, tile.m) for k in tap_sets]),
        tap_sets=np.array(table, np.int64),
        taps=np.concatenate([k.taps for k in tap_sets]),
        weight_rows=np.concatenate([k.weight_rows for k in tap_sets]),
        images=images,
        x_image=x_image,
        y_image=y_image,
        x_group=x_group,
        y_group=y_group,
        groups=groups,
        pixel_tasks=pixel_tasks,
        channel_tasks=channel_tasks,
        may_overstore=len(tap_sets) == 1 and groups == 1 and channel_tasks == 1,
        offsets=np.atleast_2d(offsets),
        group_stride=group_stride,
        lane_stride=lane_stride,
        pixel_stride=pixel_stride,
    )
