"""Where the CPU's convolution kernels find things: tables and sizes, worked out once for each geometry."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from ..geometry import Conv2dGeometry
from ..kernels.cpu import conv, depthwise, winograd
from ..kernels.cpu.tile import REGISTERS, Tile

__all__ = ["Contraction", "Correlation", "forward_plan", "grad_input_plans", "grad_weight_plan", "matmul_plan", "matmul_t_plan", "tile_for"]

WIDE, NARROW = ((14, 2), (14, 1)) if REGISTERS == 32 else ((6, 2), (8, 1))
SPAN_BYTES = 1 << 17
"""What a task's pixels should occupy: they stay in the second-level cache while the blocks of weights pass by."""
TASKS = 32
"""Tasks that a kernel is cut into where the shape allows it: a fixed number, so that the bits do not depend on the threads."""
PART_BYTES = 1 << 21
"""What the partial sums of a weight gradient may occupy, unless a single chunk takes more."""


def tile_for(channels: int, dtype: str) -> Tile:
    """A tile one vector wide where the output channels fit into it."""
    narrow = Tile(*NARROW, dtype)
    return narrow if channels <= narrow.columns else Tile(*WIDE, dtype)


@functools.lru_cache(maxsize=256)
def superpixel(g: Conv2dGeometry, dtype: str) -> int:
    """How many neighbouring output pixels to take together as one pixel with so many times the channels; 1: do not.

    In channels-last memory r pixels of OC channels are one of r * OC channels. So a convolution with few output channels, which
    would leave lanes of the vectors idle, is also one with more of them, a stride r times as wide and a kernel
    (r - 1) * stride columns wider, whose added taps are zero. Chosen by the vector operations that an original pixel costs; a tile
    one vector wide counts double, because it loads a number for every multiplication.

    Not for an input that is not finite: the added taps would carry it to the neighbours (0 * inf is NaN).
    """
    if g.groups > 1 or g.dilation[1] > 1:
        return 1
    fitting = Tile(*WIDE, dtype).columns // g.oc

    def cost(r: int) -> float:
        tile = tile_for(r * g.oc, dtype)
        return (g.kw + (r - 1) * g.stride[1]) * tile.n / r * (2 if tile.n == 1 else 1)

    return min((r for r in range(1, max(1, fitting) + 1) if g.ow % r == 0), key=cost)


def widened(g: Conv2dGeometry, r: int) -> Conv2dGeometry:
    """The geometry of the same convolution on superpixels."""
    return replace(g, oc=r * g.oc, kw=g.kw + (r - 1) * g.stride[1], stride=(g.stride[0], r * g.stride[1]))


@functools.lru_cache(maxsize=256)
def turned(g: Conv2dGeometry) -> Conv2dGeometry | None:
    """The input gradient as a forward convolution of the output's gradient with the kernels turned around; None where it is not one."""
    (top, bottom), (left, right) = ((d * (k - 1) - before, d * (k - 1) - after) for d, k, (before, after) in _axes(g))
    if g.stride != (1, 1) or g.groups > 1 or min(top, bottom, left, right) < 0:
        return None
    return Conv2dGeometry(g.n, g.oc, g.oh, g.ow, g.c, g.kh, g.kw, (1, 1), ((top, bottom), (left, right)), g.dilation)


def _axes(g: Conv2dGeometry) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Dilation, kernel and padding of each axis."""
    return zip(g.dilation, (g.kh, g.kw), g.padding)


@dataclass(frozen=True, slots=True, eq=False)
class Contraction:
    """The arguments of ``kernels.cpu.conv.contract`` and of the packing before it, but for the arrays of values."""

    tile: Tile
    pads: tuple[int, int, int, int]  # top, bottom, left, right of the input
    at: np.ndarray
    taps: np.ndarray
    length: int
    to: np.ndarray
    images: int
    x_image: int
    y_image: int
    x_group: int
    y_group: int
    groups: int
    span: int
    splits: int
    dense: bool
    offsets: np.ndarray  # of the weights, for ``pack``
    group_stride: int
    lane_stride: int

    @property
    def packed_shape(self) -> tuple[int, int, int, int]:
        return self.groups, -(-self.y_group // self.tile.columns), len(self.offsets), self.tile.columns


@dataclass(frozen=True, slots=True, eq=False)
class Correlation:
    """The arguments of ``kernels.cpu.conv.correlate`` and of the unpacking after it, but for the arrays of values."""

    tile: Tile
    pads: tuple[int, int, int, int]
    at: np.ndarray
    rows: np.ndarray
    images: int
    x_image: int
    x_group: int
    y_group: int
    groups: int
    chunks: int
    strip: int
    splits: int
    offsets: np.ndarray
    group_stride: int
    lane_stride: int

    @property
    def part_shape(self) -> tuple[int, int, int, int, int]:
        return self.chunks, self.groups, -(-self.y_group // self.tile.columns), len(self.rows), self.tile.columns


def _grid(*axes: np.ndarray) -> np.ndarray:
    """All sums of one entry from each axis, the last axis fastest; int64, flat."""
    return np.ascontiguousarray(functools.reduce(np.add.outer, axes).reshape(-1), np.int64)


def _with_tail(offsets: np.ndarray, image: int, images: int, rows: int) -> np.ndarray:
    """Entries for a tile that crosses into the next images, then those of the last tile, spare rows at the last pixel."""
    pixels = len(offsets)
    beyond = np.arange(pixels, pixels + rows)
    crossing = offsets[beyond % pixels] + beyond // pixels * image
    total = images * pixels
    last = np.minimum(total - total % rows + np.arange(rows), total - 1)
    # relative to the image in which the last tile starts, as all entries are
    first_image = (total - total % rows) // pixels if total % rows else 0
    last = offsets[last % pixels] + (last // pixels - first_image) * image
    return np.concatenate([offsets, crossing, last])


def _cut(total: int, rows: int, blocks: int, bytes_per_pixel: int) -> tuple[int, int]:
    """(span, splits): pixels of a task, and into how many the blocks of output channels are dealt."""
    tiles = -(-total // rows)
    fitting = max(8, SPAN_BYTES // max(1, bytes_per_pixel * rows))
    span = max(1, min(fitting, -(-tiles // TASKS)))
    if span < 8:  # few pixels: rather share out the channels than read the weights for a handful of pixels
        span = min(tiles, 8)
    tasks = -(-tiles // span)
    return span * rows, min(blocks, max(1, TASKS // tasks)) if tasks < 8 else 1


def _contraction(
    tile: Tile,
    pads: tuple[int, int, int, int],
    at: np.ndarray,
    taps: np.ndarray,
    length: int,
    to: np.ndarray,
    images: int,
    x_image: int,
    y_image: int,
    x_group: int,
    y_group: int,
    groups: int,
    dense: bool,
    itemsize: int,
    offsets: np.ndarray,
    group_stride: int,
    lane_stride: int,
) -> Contraction:
    total = images * len(to)
    span, splits = _cut(total, tile.m, groups * -(-y_group // tile.columns), -(-x_image * images // max(1, total)) * itemsize)
    return Contraction(
        tile,
        pads,
        _with_tail(at, x_image, images, tile.m),
        taps,
        length,
        _with_tail(to, y_image, images, tile.m),
        images,
        x_image,
        y_image,
        x_group,
        y_group,
        groups,
        span,
        splits,
        dense and groups == 1 and splits == 1,
        offsets,
        group_stride,
        lane_stride,
    )


@functools.lru_cache(maxsize=256)
def forward_plan(g: Conv2dGeometry, dtype: str) -> Contraction:
    """y = x * w."""
    (top, bottom), (left, right) = g.padding
    hp, wp, cg, ocg = g.h + top + bottom, g.w + left + right, g.c // g.groups, g.oc // g.groups
    at = _grid(np.arange(g.oh) * g.stride[0] * wp * g.c, np.arange(g.ow) * g.stride[1] * g.c)
    taps, length = _runs(g, wp)
    return _contraction(
        tile_for(ocg, dtype),
        (top, bottom, left, right),
        at,
        taps,
        length,
        np.arange(g.oh * g.ow) * g.oc,
        g.n,
        hp * wp * g.c,
        g.oh * g.ow * g.oc,
        cg,
        ocg,
        g.groups,
        True,
        np.dtype(dtype).itemsize,
        _weight_offsets(g),
        ocg * cg * g.kh * g.kw,
        cg * g.kh * g.kw,
    )


def _runs(g: Conv2dGeometry, wp: int) -> tuple[np.ndarray, int]:
    """Where the contiguous runs of a window start, and their length: whole kernel rows where nothing lies between the taps."""
    down = np.arange(g.kh) * g.dilation[0] * wp * g.c
    if g.groups == 1 and (g.dilation[1] == 1 or g.kw == 1):
        return _grid(down), g.kw * g.c
    return _grid(down, np.arange(g.kw) * g.dilation[1] * g.c), g.c // g.groups


def _weight_offsets(g: Conv2dGeometry) -> np.ndarray:
    """Where (kh, kw, c) lies in a weight (C/groups, KH, KW)."""
    return _grid(np.arange(g.kh) * g.kw, np.arange(g.kw), np.arange(g.c // g.groups) * g.kh * g.kw)


@dataclass(frozen=True, slots=True)
class _Phase:
    """Along one axis: input positions ``start, start + stride, ...`` (``count`` of them) see the taps, at these output positions."""

    start: int
    count: int
    taps: tuple[int, ...]
    shifts: tuple[int, ...]


def _phases(size: int, kernel: int, stride: int, before: int, dilation: int) -> list[_Phase]:
    """Input position i gets tap k of output position (i + before - k * dilation) / stride where that is whole."""
    found = []
    for start in range(min(stride, size)):
        taps = tuple(k for k in range(kernel) if (start + before - k * dilation) % stride == 0)
        shifts = tuple((start + before - k * dilation) // stride for k in taps)
        found.append(_Phase(start, -(-(size - start) // stride), taps, shifts))
    return found


def _reach(phases: list[_Phase], outputs: int) -> tuple[int, int]:
    """How far the phases look outside the outputs, before and behind."""
    lowest = min((s for p in phases for s in p.shifts), default=0)
    highest = max((s + p.count - 1 for p in phases for s in p.shifts), default=0)
    return max(0, -lowest), max(0, highest - (outputs - 1))


@functools.lru_cache(maxsize=256)
def grad_input_plans(g: Conv2dGeometry, dtype: str) -> tuple[Contraction, ...]:
    """dx from dy: for each phase of the stride a dense contraction of the padded dy with the taps that meet it."""
    rows = _phases(g.h, g.kh, g.stride[0], g.padding[0][0], g.dilation[0])
    cols = _phases(g.w, g.kw, g.stride[1], g.padding[1][0], g.dilation[1])
    (top, bottom), (left, right) = _reach(rows, g.oh), _reach(cols, g.ow)
    hq, wq, cg, ocg = g.oh + top + bottom, g.ow + left + right, g.c // g.groups, g.oc // g.groups
    plans = []
    for row, col in product(rows, cols):
        at = _grid((np.arange(row.count) + top) * wq * g.oc, (np.arange(col.count) + left) * g.oc)
        taps = _grid(np.array(row.shifts, np.int64) * wq * g.oc, np.array(col.shifts, np.int64) * g.oc)
        to = _grid((np.arange(row.count) * g.stride[0] + row.start) * g.w * g.c, (np.arange(col.count) * g.stride[1] + col.start) * g.c)
        offsets = _grid(np.array(row.taps, np.int64) * g.kw, np.array(col.taps, np.int64), np.arange(ocg) * cg * g.kh * g.kw)
        plans.append(
            _contraction(
                tile_for(cg, dtype),
                (top, bottom, left, right),
                at,
                taps,
                ocg,
                to,
                g.n,
                hq * wq * g.oc,
                g.h * g.w * g.c,
                ocg,
                cg,
                g.groups,
                g.stride == (1, 1),
                np.dtype(dtype).itemsize,
                offsets,
                ocg * cg * g.kh * g.kw,
                g.kh * g.kw,
            )
        )
    return tuple(plans)


def _correlation(
    tile: Tile,
    pads: tuple[int, int, int, int],
    at: np.ndarray,
    rows: np.ndarray,
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
) -> Correlation:
    blocks = -(-y_group // tile.columns)
    strip = conv.STRIP * tile.m if blocks >= conv.MANY else tile.m
    strips = -(-len(rows) // strip)
    padded = np.concatenate([rows, np.repeat(rows[-1:], strips * strip - len(rows))])
    chunks = min(most_chunks, -(-images * len(at) // conv.BLOCK), PART_BYTES // (groups * blocks * tile.columns * len(padded) * itemsize))
    chunks = max(1, chunks)
    splits = min(strips, -(-TASKS // (chunks * groups))) if chunks * groups < 8 else 1
    return Correlation(
        tile,
        pads,
        _with_tail(at, x_image, images, tile.m),
        padded,
        images,
        x_image,
        x_group,
        y_group,
        groups,
        chunks,
        strip,
        splits,
        offsets,
        group_stride,
        lane_stride,
    )


@functools.lru_cache(maxsize=256)
def grad_weight_plan(g: Conv2dGeometry, dtype: str) -> Correlation:
    """dw from x and dy."""
    (top, bottom), (left, right) = g.padding
    hp, wp, cg, ocg = g.h + top + bottom, g.w + left + right, g.c // g.groups, g.oc // g.groups
    at = _grid(np.arange(g.oh) * g.stride[0] * wp * g.c, np.arange(g.ow) * g.stride[1] * g.c)
    rows = _grid(np.arange(g.kh) * g.dilation[0] * wp * g.c, np.arange(g.kw) * g.dilation[1] * g.c, np.arange(cg))
    return _correlation(
        tile_for(ocg, dtype),
        (top, bottom, left, right),
        at,
        rows,
        g.n,
        hp * wp * g.c,
        cg,
        ocg,
        g.groups,
        np.dtype(dtype).itemsize,
        _weight_offsets(g),
        ocg * cg * g.kh * g.kw,
        cg * g.kh * g.kw,
    )


_NO_PADS = (0, 0, 0, 0)


@functools.lru_cache(maxsize=256)
def matmul_plan(m: int, k: int, n: int, row_stride: int, column_stride: int, dtype: str) -> Contraction:
    """(M, K) @ (K, N), element (k, n) of the second at k * row_stride + n * column_stride: m pixels, one run of k channels."""
    run = np.zeros(1, np.int64)
    return _contraction(
        tile_for(n, dtype),
        _NO_PADS,
        np.arange(m) * k,
        run,
        k,
        np.arange(m) * n,
        1,
        m * k,
        m * n,
        k,
        n,
        1,
        True,
        np.dtype(dtype).itemsize,
        np.arange(k) * row_stride,
        0,
        column_stride,
    )


@functools.lru_cache(maxsize=256)
def matmul_t_plan(m: int, i: int, o: int, dtype: str) -> Correlation:
    """(M, I)^T, (M, O) -> (O, I): the weight gradient of a linear layer."""
    return _correlation(
        tile_for(o, dtype),
        _NO_PADS,
        np.arange(m) * i,
        np.arange(i),
        1,
        m * i,
        i,
        o,
        1,
        np.dtype(dtype).itemsize,
        np.arange(i),
        0,
        i,
    )


def depthwise_chunks(g: Conv2dGeometry) -> int:
    """How many partial sums a depthwise weight gradient has."""
    return min(TASKS, g.n * -(-g.oh * g.ow // depthwise.BLOCK))


# -- Winograd --------------------------------------------------------------------------------------------------------------
PATCHES_BYTES = 1 << 22
"""What the transformed patches of input and output may occupy: they stay in the last-level cache, or its share of one."""
FEWEST_PATCHES = 192
"""Patches for which it pays to read the transformed weights."""
MOVED = 27
"""Multiplications in whose time an element is written to that cache and read again: measured."""


@dataclass(frozen=True, slots=True, eq=False)
class WinogradPlan:
    """Some rows of patches."""

    where: tuple[int, int, int, int]  # rows and columns of patches in an image; the first of these rows, and how many
    patches: int
    contraction: Contraction
    correlation: Correlation


def _patch_grid(g: Conv2dGeometry) -> tuple[int, int]:
    return -(-g.oh // winograd.SIZE), -(-g.ow // winograd.SIZE)


@functools.lru_cache(maxsize=1024)
def winograd_pays(g: Conv2dGeometry) -> bool:
    """Whether fewer multiplications make up for the transforms of patches and weights."""
    rows, columns = _patch_grid(g)
    patches, weights = g.n * rows * columns, g.c * g.oc
    direct = 9 * weights * (g.n * g.oh * g.ow + MOVED)
    return winograd.PLACES * (weights * (patches + MOVED) + MOVED * patches * (g.c + g.oc)) < direct


@functools.lru_cache(maxsize=256)
def winograd_plans(g: Conv2dGeometry) -> tuple[WinogradPlan, ...]:
    """Plans for a few rows of patches each."""
    rows, columns = _patch_grid(g)
    fitting = max(FEWEST_PATCHES, PATCHES_BYTES // (4 * winograd.PLACES * (g.c + g.oc)))
    step = max(1, fitting // columns)
    total = g.n * rows
    return tuple(_winograd_plan((rows, columns, first, min(step, total - first)), g.c, g.oc) for first in range(0, total, step))


def _winograd_plan(where: tuple[int, int, int, int], c: int, oc: int) -> WinogradPlan:
    patches = where[1] * where[3]
    return WinogradPlan(where, patches, *_places_plans(patches, c, oc))


@functools.lru_cache(maxsize=256)
def _places_plans(patches: int, c: int, oc: int) -> tuple[Contraction, Correlation]:
    """The matrix products of the 36 places, as groups: every task takes all patches of its places."""
    places, tile, start = winograd.PLACES, tile_for(oc, "float32"), np.zeros(1, np.int64)
    at, to, k = np.arange(patches) * places * c, np.arange(patches) * places * oc, np.arange(c)
    product = _contraction(
        tile, _NO_PADS, at, start, c, to, 1, patches * places * c, patches * places * oc, c, oc, places, False, 4, k, 0, 0
    )
    product = replace(product, span=-(-patches // tile.m) * tile.m, splits=places)
    return product, _correlation(tile, _NO_PADS, at, k, 1, patches * places * c, c, oc, places, 4, k, 0, 0, most_chunks=1)
