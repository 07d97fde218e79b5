"""The same convolution in another shape: of superpixels, or as the one that its input gradient is."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ....geometry import Axis, ConvGeometry
from ....kernels.cpu.tile import Tile
from .tiles import WIDE, sum_tile

__all__ = ["run_of", "sum_superpixel", "superpixel", "transposed_geometry", "weight_offsets", "widened", "widened_offsets"]


@functools.lru_cache(maxsize=256)
def superpixel(g: ConvGeometry, dtype: str | np.dtype) -> int:
    """How many neighbouring output pixels to take together as one pixel with so many times the channels; 1: do not.

    In channels-last memory r pixels of OC channels are one of r * OC channels. So a convolution with few output channels, which
    would leave lanes of the vectors idle, is also one with more of them, a stride r times as wide and a kernel
    (r - 1) * stride pixels wider, whose added taps are zero. Chosen by the steps of a tile that an original pixel costs.

    The added taps carry an infinity to neighbours, as NaN (0 * inf): the kernel computes such results once more, without those taps.
    """
    line = g.axes[-1]
    if g.groups > 1 or line.dilation > 1:
        return 1
    return min(_superpixels(g, dtype), key=lambda r: (line.kernel + (r - 1) * line.stride) / r)


def _superpixels(g: ConvGeometry, dtype: str | np.dtype) -> Iterator[int]:
    """Those that a row can be shared out into and a tile holds."""
    fitting = Tile(*WIDE, str(dtype)).columns // g.oc
    return (r for r in range(1, max(1, fitting) + 1) if g.axes[-1].outputs % r == 0)


def run_of(g: ConvGeometry) -> int:
    """How many elements of a window's row lie side by side."""
    line = g.axes[-1]
    return g.c // g.groups * (line.kernel if g.groups == 1 and line.dilation == 1 else 1)


@functools.lru_cache(maxsize=256)
def sum_superpixel(g: ConvGeometry, dtype: str | np.dtype) -> int:
    """As ``superpixel``, for the weight gradient, of which no pixel carries anything to its neighbours."""
    if g.groups > 1 or g.axes[-1].dilation > 1:
        return 1

    def cost(r: int) -> float:
        wide = widened(g, r)
        tile = sum_tile(wide.oc, run_of(wide), dtype)
        tiles = -(-math.prod(wide.kernel) * g.c // tile.m)
        return tiles * tile.m * tile.n / r * (2 if tile.n == tile.run == 1 else 1)

    return min(_superpixels(g, dtype), key=cost)


@functools.lru_cache(maxsize=256)
def transposed_geometry(g: ConvGeometry) -> ConvGeometry | None:
    """The input gradient as a forward convolution of the output's gradient with the kernels turned around; None where it is not one."""
    reach = [(axis.extent - 1 - axis.before, axis.extent - 1 - axis.after) for axis in g.axes]
    if set(g.stride) != {1} or g.groups > 1 or min(map(min, reach)) < 0:
        return None
    axes = (Axis(axis.outputs, axis.kernel, 1, *pads, axis.dilation) for axis, pads in zip(g.axes, reach))
    return ConvGeometry(g.n, g.oc, tuple(axes), g.c)


def widened(g: ConvGeometry, r: int) -> ConvGeometry:
    """The geometry of the same convolution on superpixels."""
    *axes, line = g.axes
    wide = replace(line, kernel=line.kernel + (r - 1) * line.stride, stride=r * line.stride)
    return replace(g, oc=r * g.oc, axes=(*axes, wide))


def widened_offsets(offsets: np.ndarray, g: ConvGeometry, r: int) -> np.ndarray:
    """Offsets (taps..., C) for each pixel of a superpixel, whose taps move along: (r, K), negative for the added taps."""
    line = g.axes[-1]
    wide = np.full((r, *widened(g, r).kernel, offsets.shape[-1]), -1)
    for i in range(r):
        wide[i, ..., i * line.stride : i * line.stride + line.kernel, :] = offsets
    return wide.reshape(r, -1)


def weight_offsets(g: ConvGeometry) -> np.ndarray:
    """Where (taps..., c) lies in a weight (C/groups, taps...)."""
    taps = math.prod(g.kernel)
    return np.arange(taps).reshape(*g.kernel, 1) + np.arange(g.c // g.groups) * taps
