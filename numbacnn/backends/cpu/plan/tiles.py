"""The register tiles of the CPU's dense kernels."""

from __future__ import annotations

import numpy as np

from ....kernels.cpu.tile import REGISTERS, Tile

__all__ = ["DOTS", "GROUPED", "NARROW", "RUNS", "SIDE", "WIDE", "sum_tile", "tile_for"]

WIDE, NARROW = ((14, 2), (30, 1)) if REGISTERS == 32 else ((6, 2), (8, 1))
"""Rows and vectors of the tile, and of the one for weight gradients of so few channels that one vector holds them."""
RUNS = {WIDE: 2, NARROW: 6 if REGISTERS == 32 else 2}
"""Of weight gradients, where the rows allow it. Six are six channels, or a row of a 5x5 kernel over two pixels of one channel."""
GROUPED = 8 if REGISTERS == 32 else 6
"""Pixels that share the weights of a group."""
DOTS, SIDE = ((4, 4), 16) if REGISTERS == 32 else ((4, 2), 8)
"""Of few pixels: pixels and output channels of a tile of dot products; rows, side by side in memory, of a tile one vector wide."""


def tile_for(dtype: str | np.dtype) -> Tile:
    """The tile of ``contract``, for narrow results too: one vector wide, a tile would load a number for every multiplication."""
    return Tile(*WIDE, str(dtype))


def sum_tile(channels: int, run: int, dtype: str | np.dtype) -> Tile:
    """The tile of ``correlate``; ``run``: how many of its rows lie side by side in the input, wherever a run starts."""
    shape = NARROW if channels <= Tile(*NARROW, str(dtype)).columns else WIDE
    return Tile(*shape, str(dtype), 1 if run % RUNS[shape] else RUNS[shape])
