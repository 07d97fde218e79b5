"""The same convolution in another shape: of superpixels, or as the one that its input gradient is."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ....geometry import Conv2dGeometry
from ....kernels.cpu.tile import Tile
from .tiles import WIDE, sum_tile

__all__ = ["run_of", "sum_superpixel", "superpixel", "transposed_geometry", "weight_offsets", "widened", "widened_offsets"]


@functools.lru_cache(maxsize=256)
def superpixel(g: Conv2dGeometry, dtype: str | np.dtype) -> int:
    """How many neighbouring output pixels to take together as one pixel with so many times the channels; 1: do not.

    In channels-last memory r pixels of OC channels are one of r * OC channels. So a convolution with few output channels, which
    would leave lanes of the vectors idle, is also one with more of them, a stride r times as wide and a kernel
    (r - 1) * stride columns wider, whose added taps are zero. Chosen by the steps of a tile that an original pixel costs.

    The added taps carry an infinity to neighbours, as NaN (0 * inf): the kernel computes such results once more, without those taps.
    """
    if g.groups > 1 or g.dilation[1] > 1:
        return 1
    return min(_superpixels(g, dtype), key=lambda r: (g.kw + (r - 1) * g.stride[1]) / r)


def _superpixels(g: Conv2dGeometry, dtype: str | np.dtype) -> Iterator[int]:
    """Those that a row can be shared out into and a tile holds."""
    fitting = Tile(*WIDE, str(dtype)).columns // g.oc
    return (r for r in range(1, max(1, fitting) + 1) if g.ow % r == 0)


def run_of(g: Conv2dGeometry) -> int:
    """How many elements of a window's row lie side by side."""
    return g.c // g.groups * (g.kw if g.groups == 1 and g.dilation[1] == 1 else 1)


@functools.lru_cache(maxsize=256)
def sum_superpixel(g: Conv2dGeometry, dtype: str | np.dtype) -> int:
    """As ``superpixel``, for the weight gradient, of which no pixel carries anything to its neighbours."""
    if g.groups > 1 or g.dilation[1] > 1:
        return 1

    def cost(r: int) -> float:
        wide = widened(g, r)
        tile = sum_tile(wide.oc, run_of(wide), dtype)
        tiles = -(-g.kh * wide.kw * g.c // tile.m)
        return tiles * tile.m * tile.n / r * (2 if tile.n == tile.run == 1 else 1)

    return min(_superpixels(g, dtype), key=cost)


@functools.lru_cache(maxsize=256)
def transposed_geometry(g: Conv2dGeometry) -> Conv2dGeometry | None:
    """The input gradient as a forward convolution of the output's gradient with the kernels turned around; None where it is not one."""
    (top, bottom), (left, right) = ((d * (k - 1) - before, d * (k - 1) - after) for d, k, (before, after) in _axes(g))
    if g.stride != (1, 1) or g.groups > 1 or min(top, bottom, left, right) < 0:
        return None
    return Conv2dGeometry(g.n, g.oc, g.oh, g.ow, g.c, g.kh, g.kw, (1, 1), ((top, bottom), (left, right)), g.dilation)


def _axes(g: Conv2dGeometry) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Dilation, kernel and padding of each axis."""
    return zip(g.dilation, (g.kh, g.kw), g.padding)


def widened(g: Conv2dGeometry, r: int) -> Conv2dGeometry:
    """The geometry of the same convolution on superpixels."""
    return replace(g, oc=r * g.oc, kw=g.kw + (r - 1) * g.stride[1], stride=(g.stride[0], r * g.stride[1]))


def widened_offsets(offsets: np.ndarray, g: Conv2dGeometry, r: int) -> np.ndarray:
    """Offsets (KH, KW, C) for each pixel of a superpixel, whose taps move along: (r, K), negative for the added taps."""
    wide = np.full((r, g.kh, g.kw + (r - 1) * g.stride[1], offsets.shape[2]), -1)
    for i in range(r):
        wide[i, :, i * g.stride[1] : i * g.stride[1] + g.kw] = offsets
    return wide.reshape(r, -1)


def weight_offsets(g: Conv2dGeometry) -> np.ndarray:
    """Where (kh, kw, c) lies in a weight (C/groups, KH, KW)."""
    taps = g.kh * g.kw
    return np.arange(taps).reshape(g.kh, g.kw, 1) + np.arange(g.c // g.groups) * taps
