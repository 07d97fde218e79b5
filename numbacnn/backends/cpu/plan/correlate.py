"""The plan of ``kernels.cpu.conv.correlate``, and how its work is cut."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ....kernels.cpu import conv
from ....kernels.cpu.record import numbers_of
from ....kernels.cpu.tile import Tile
from ....recording import constant
from .contract import TASKS, even

__all__ = ["Correlation", "correlation"]

SUMS = 16
"""Tasks of a weight gradient. Each copies its own panels of the input, so make no more of them than that many threads can use."""
BLOCKS = 4
"""Blocks of output channels that a panel of the input should serve at least."""
PART_BYTES = 1 << 23
"""What the partial sums of a weight gradient may occupy, about, unless a single chunk takes more."""


@dataclass(frozen=True, slots=True, eq=False)
class Correlation:
    """The arguments of ``kernels.cpu.conv.correlate``, but for the arrays of values."""

    tile: Tile
    pads: tuple[tuple[int, int], ...]
    line_offsets: np.ndarray
    line: int
    step: int
    window_offsets: np.ndarray
    images: int
    x_image: int
    x_group: int
    y_group: int
    y_pixel: int
    groups: int
    block: int
    chunks: int
    strip: int
    gather: bool
    channel_tasks: int
    tap_tasks: int
    offsets: np.ndarray
    group_stride: int
    lane_stride: int
    part_shape: tuple[int, int, int, int, int] = field(init=False)
    tables: tuple[np.ndarray, ...] = field(init=False)  # as the kernel takes them

    def __post_init__(self) -> None:
        shape = self.chunks, self.groups, -(-self.y_group // self.tile.columns), len(self.window_offsets), self.tile.columns
        object.__setattr__(self, "part_shape", shape)
        tables = tuple(map(constant, (self.line_offsets, self.window_offsets, numbers_of(self), self.offsets)))
        object.__setattr__(self, "tables", tables)

    @property
    def nbytes(self) -> int:
        return sum(table.nbytes for table in self.tables)


def correlation(
    tile: Tile,
    *,
    pads: tuple[tuple[int, int], ...] = (),
    line_offsets: np.ndarray,
    line: int,
    step: int,
    window_offsets: np.ndarray,
    images: int,
    x_image: int,
    x_group: int,
    y_group: int,
    groups: int,
    itemsize: int,
    offsets: np.ndarray,
    group_stride: int,
    lane_stride: int,
    most_chunks: int = TASKS,
    y_pixel: int = 0,
) -> Correlation:
    """The plan for ``images`` with these lines of ``line`` pixels; numbers as in :class:`Correlation`."""
    blocks = -(-y_group // tile.columns)
    tiles = -(-len(window_offsets) // tile.m)
    gather = blocks >= conv.MANY
    strips = -(-tiles // conv.STRIP) if gather else tiles
    padded = np.concatenate([window_offsets, np.resize(window_offsets[-tile.run :], tiles * tile.m - len(window_offsets))])
    part_bytes = groups * blocks * tile.columns * len(padded) * itemsize
    pixels = images * len(line_offsets) * line
    sums = -(-pixels // conv.BLOCK)
    chunks = min(most_chunks, sums, even(max(1, PART_BYTES // part_bytes)))
    # few chunks: share out the blocks of output channels, as long as an input panel still serves several, then the strips
    wanted = -(-SUMS // (chunks * groups))
    channel_tasks = min(wanted, max(1, blocks // BLOCKS))
    return Correlation(
        tile=tile,
        pads=pads,
        line_offsets=line_offsets,
        line=line,
        step=step,
        window_offsets=padded,
        images=images,
        x_image=x_image,
        x_group=x_group,
        y_group=y_group,
        y_pixel=y_pixel or groups * y_group,
        groups=groups,
        block=-(-pixels // sums),
        chunks=chunks,
        strip=-(-tiles // strips),
        gather=gather,
        channel_tasks=channel_tasks,
        tap_tasks=min(strips, max(1, wanted // channel_tasks)),
        offsets=np.atleast_2d(offsets),
        group_stride=group_stride,
        lane_stride=lane_stride,
    )
