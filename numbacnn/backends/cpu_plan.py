"""Where the CPU's convolution kernels find things: tables and sizes, worked out once for each geometry."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise, product

import numpy as np

from ..geometry import Conv2dGeometry
from ..kernels.cpu import conv, winograd
from ..kernels.cpu.tile import REGISTERS, Tile

__all__ = [
    "Contraction",
    "Correlation",
    "WinogradPlan",
    "bordered",
    "depthwise_chunks",
    "depthwise_shares",
    "folded_plans",
    "folded_step",
    "folding_pays",
    "forward_plan",
    "grad_input_plan",
    "grad_weight_plan",
    "lane_index",
    "matmul_plan",
    "matmul_t_plan",
    "rows_grad_plan",
    "superpixel",
    "tile_for",
    "turned",
    "turned_plan",
    "winograd_pays",
    "winograd_plans",
]

WIDE, NARROW = ((14, 2), (30, 1)) if REGISTERS == 32 else ((6, 2), (8, 1))
"""Rows and vectors of the tile, and of the one for weight gradients of so few channels that one vector holds them."""
RUNS = {WIDE: 2, NARROW: 6 if REGISTERS == 32 else 2}
"""Of weight gradients, where the rows allow it. Six are six channels, or a row of a 5x5 kernel over two pixels of one channel."""
GROUPED = 8 if REGISTERS == 32 else 6
"""Pixels that share the weights of a group."""
SMALL_PACK, SMALL_PRODUCT = 256, 2048
"""Rows of packed weights, and steps of the tile, for which other threads would take longer to come than one takes alone."""
THIN = 8
"""Rows of a matrix product up to which the weights are read as they lie: to pack them would take longer than to multiply."""
LAUNCH = 10_000
"""Cycles that a kernel's launch takes, about."""
SPAN_BYTES = 1 << 18
"""What a task's pixels should occupy, input and output: they stay in the second-level cache while the blocks of weights pass by."""
TASKS = 32
"""Tasks that a kernel is cut into where the shape allows it: a fixed number, so that the bits do not depend on the threads."""
SUMS = 16
"""Tasks of a weight gradient. Each copies its own panels of the input: no more of them than that many threads can use."""
ALIASES, WAYS = 4096, 8
"""Bytes at whose multiples everything falls into one set of a first-level cache, and how many lines a set holds."""
BLOCKS = 4
"""Blocks of output channels that a panel of the input should serve at least."""
FOLDED_BYTES = 1 << 23
"""What the sums that are folded may occupy, unless one image takes more."""
PART_BYTES = 1 << 23
"""What the partial sums of a weight gradient may occupy, unless a single chunk takes more."""


def tile_for(dtype: str | np.dtype) -> Tile:
    """The tile of ``contract``, for narrow results too: one vector wide, a tile would load a number for every multiplication."""
    return Tile(*WIDE, str(dtype))


def sum_tile(channels: int, run: int, dtype: str | np.dtype) -> Tile:
    """The tile of ``correlate``; ``run``: how many of its rows lie side by side in the input, wherever a run starts."""
    shape = NARROW if channels <= Tile(*NARROW, str(dtype)).columns else WIDE
    return Tile(*shape, str(dtype), 1 if run % RUNS[shape] else RUNS[shape])


@functools.lru_cache(maxsize=256)
def superpixel(g: Conv2dGeometry, dtype: str | np.dtype) -> int:
    """How many neighbouring output pixels to take together as one pixel with so many times the channels; 1: do not.

    In channels-last memory r pixels of OC channels are one of r * OC channels. So a convolution with few output channels, which
    would leave lanes of the vectors idle, is also one with more of them, a stride r times as wide and a kernel
    (r - 1) * stride columns wider, whose added taps are zero. Chosen by the steps of a tile that an original pixel costs.

    Not for an input that is not finite: the added taps would carry it to the neighbours (0 * inf is NaN).
    """
    if g.groups > 1 or g.dilation[1] > 1:
        return 1
    return min(_superpixels(g, dtype), key=lambda r: (g.kw + (r - 1) * g.stride[1]) / r)


def _superpixels(g: Conv2dGeometry, dtype: str | np.dtype) -> Iterator[int]:
    """Those that a row can be shared out into and a tile holds."""
    fitting = Tile(*WIDE, str(dtype)).columns // g.oc
    return (r for r in range(1, max(1, fitting) + 1) if g.ow % r == 0)


def _run(g: Conv2dGeometry) -> int:
    """How many elements of a window's row lie side by side."""
    return g.c // g.groups * (g.kw if g.groups == 1 and g.dilation[1] == 1 else 1)


@functools.lru_cache(maxsize=256)
def sum_superpixel(g: Conv2dGeometry, dtype: str | np.dtype) -> int:
    """As ``superpixel``, for the weight gradient, of which no pixel carries anything to its neighbours."""
    if g.groups > 1 or g.dilation[1] > 1:
        return 1

    def cost(r: int) -> float:
        wide = _widened(g, r)
        tile = sum_tile(wide.oc, _run(wide), dtype)
        tiles = -(-g.kh * wide.kw * g.c // tile.m)
        return tiles * tile.m * tile.n / r * (2 if tile.n == tile.run == 1 else 1)

    return min(_superpixels(g, dtype), key=cost)


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
    """The arguments of ``kernels.cpu.conv.contract``, but for the arrays of values."""

    tile: Tile
    at: np.ndarray
    to: np.ndarray
    classes: np.ndarray
    taps: np.ndarray
    rows: np.ndarray
    images: int
    x_image: int
    y_image: int
    x_group: int
    y_group: int
    groups: int
    shares: int
    splits: int
    dense: bool
    offsets: np.ndarray  # of the weights, for ``pack``: (parts, K)
    group_stride: int
    lane_stride: int
    spacing: int = 0  # elements from pixel to pixel to which x is moved apart; 0: none
    steps: int = field(init=False)  # of the tile
    packed_shape: tuple[int, int, int, int] = field(init=False)
    tables: tuple[np.ndarray, ...] = field(init=False)  # as the kernel takes them

    def __post_init__(self) -> None:
        sizes = [self.images, self.x_image, self.y_image, self.x_group, self.y_group]
        sizes += [self.shares, self.splits, self.dense, self.group_stride, self.lane_stride]
        blocks = self.groups * -(-self.y_group // self.tile.columns)
        steps = sum(-(-self.images * pixels // self.tile.m) * (last - first) * length for _, pixels, first, last, length in self.classes)
        object.__setattr__(self, "steps", int(steps) * blocks)
        sizes += [self.offsets.shape[1] * blocks < SMALL_PACK, self.steps < SMALL_PRODUCT]
        tables = self.at, self.to, self.classes, self.taps, self.rows, self.offsets, np.array(sizes, np.int64)
        object.__setattr__(self, "tables", tables)
        shape = self.groups, -(-self.y_group // self.tile.columns), self.offsets.shape[1], self.tile.columns
        object.__setattr__(self, "packed_shape", shape)


@dataclass(frozen=True, slots=True, eq=False)
class Correlation:
    """The arguments of ``kernels.cpu.conv.correlate``, but for the arrays of values."""

    tile: Tile
    pads: tuple[int, int, int, int]
    at: np.ndarray
    line: int
    step: int
    rows: np.ndarray
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
    shares: int
    splits: int
    offsets: np.ndarray
    group_stride: int
    lane_stride: int
    part_shape: tuple[int, int, int, int, int] = field(init=False)
    tables: tuple[np.ndarray, ...] = field(init=False)  # as the kernel takes them

    def __post_init__(self) -> None:
        sizes = [self.images, self.x_image, self.x_group, self.y_group, self.y_pixel, self.line, self.step, self.block]
        sizes += [self.strip, self.gather, self.shares, self.splits, self.group_stride, self.lane_stride]
        object.__setattr__(self, "tables", (self.at, self.rows, self.offsets, np.array(sizes, np.int64)))
        shape = self.chunks, self.groups, -(-self.y_group // self.tile.columns), len(self.rows), self.tile.columns
        object.__setattr__(self, "part_shape", shape)


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


def _cut(tiles: int, blocks: int, tile_bytes: int) -> tuple[int, int]:
    """(shares, splits): into how many tasks the tiles are shared out, and each of them by blocks of output channels."""
    size = min(SPAN_BYTES // max(1, tile_bytes), tiles * blocks // TASKS)
    shares = -(-tiles // max(1, min(tiles, 8), size))  # eight tiles at least, for which it pays to read the weights
    return shares, min(blocks, -(-TASKS // max(1, shares)))


@dataclass(frozen=True, slots=True)
class _Axis:
    """Positions of the result along one axis that see the same taps.

    A position sees tap ``taps[i]`` (as the packed weights are ordered) at element ``starts[position] + shifts[i]`` of the input.
    """

    positions: np.ndarray
    starts: np.ndarray
    taps: tuple[int, ...]
    shifts: tuple[int, ...]


def _alike(seen: dict[int, tuple[int, tuple[tuple[int, int], ...]]]) -> list[_Axis]:
    """Group positions, each with its start and its (tap, shift)s, by the latter."""
    groups: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for position, (_, taps) in seen.items():
        groups.setdefault(taps, []).append(position)
    return [
        _Axis(np.array(found), np.array([seen[p][0] for p in found]), tuple(k for k, _ in taps), tuple(s for _, s in taps))
        for taps, found in groups.items()
    ]


def _forward_axis(size: int, outputs: int, kernel: int, stride: int, before: int, dilation: int) -> list[_Axis]:
    """Output o sees tap k at input o * stride - before + k * dilation, where that exists."""
    seen = {}
    for o in range(outputs):
        start = o * stride - before
        seen[o] = start, tuple((k, k * dilation) for k in range(kernel) if 0 <= start + k * dilation < size)
    return _alike(seen)


def _grad_axis(size: int, outputs: int, kernel: int, stride: int, before: int, dilation: int) -> list[_Axis]:
    """Input i gets tap k of output (i + before - k * dilation) / stride, where that is whole and exists; the last tap comes first."""
    seen = {}
    for i in range(size):
        start = (i + before) // stride
        taps = []
        for k in reversed(range(kernel)):
            o, rest = divmod(i + before - k * dilation, stride)
            if rest == 0 and 0 <= o < outputs:
                taps.append((kernel - 1 - k, o - start))
        seen[i] = start, tuple(taps)
    return _alike(seen)


def _consecutive(numbers: tuple[int, ...]) -> bool:
    return all(b - a == 1 for a, b in pairwise(numbers))


@dataclass(frozen=True, slots=True)
class _Class:
    """Pixels that see the same taps: where they lie in input and output, and runs of ``length``, at these offsets, of these weights."""

    at: np.ndarray
    to: np.ndarray
    taps: np.ndarray
    rows: np.ndarray
    length: int


def _classes(axes: tuple[list[_Axis], list[_Axis]], kw: int, depth: int, x: tuple[int, int], y: tuple[int, int]) -> list[_Class]:
    """All pairs of a row's and a column's taps. ``depth`` channels are summed; x and y are (elements of a row, of a pixel)."""
    found = []
    for row, col in product(*axes):
        at = _grid(row.starts * x[0], col.starts * x[1])
        to = _grid(row.positions * y[0], col.positions * y[1])
        taps, shifts, length = col.taps[:1], col.shifts[:1], depth * len(col.taps)
        if not (depth == x[1] and _consecutive(col.taps) and _consecutive(col.shifts)):  # other taps or groups lie between them
            taps, shifts, length = col.taps, col.shifts, depth
        down, across = np.array(row.taps, np.int64), np.array(taps, np.int64)
        offsets = _grid(np.array(row.shifts, np.int64) * x[0], np.array(shifts, np.int64) * x[1])
        found.append(_Class(at, to, offsets, _grid(down * kw * depth, across * depth), length))
    return found


def _spacing(elements: int, outputs: int, dtype: str | np.dtype) -> int:
    """How far apart a tile's rows, pixels of so many elements, should lie, where they would crowd a set of the cache; else 0.

    Where one block holds all outputs each element is read once, and to move it takes longer.
    """
    tile, size = tile_for(dtype), np.dtype(dtype).itemsize
    crowded = elements * size % ALIASES == 0 and tile.m > WAYS and outputs > tile.columns
    return elements + 64 // size if crowded else 0


def _contraction(
    classes: list[_Class],
    dtype: str | np.dtype,
    images: int,
    x_image: int,
    y_image: int,
    x_group: int,
    y_group: int,
    groups: int,
    offsets: np.ndarray,
    group_stride: int,
    lane_stride: int,
    spacing: int = 0,
) -> Contraction:
    tile = tile_for(dtype)
    tiles = sum(-(-images * len(k.at) // tile.m) for k in classes)
    pixels = sum(len(k.at) for k in classes)
    tile_bytes = (x_image + y_image) * tile.m * np.dtype(dtype).itemsize // max(1, pixels)
    shares, splits = _cut(tiles, groups * -(-y_group // tile.columns), tile_bytes)
    sizes = np.array([(len(k.at), len(k.taps)) for k in classes]).reshape(-1, 2)
    entries, runs = (np.concatenate([[0], np.cumsum(n)]) for n in (sizes[:, 0] + 2 * tile.m, sizes[:, 1]))
    table = [(entries[i], len(k.at), runs[i], runs[i + 1], k.length) for i, k in enumerate(classes)]
    return Contraction(
        tile,
        np.concatenate([_with_tail(k.at, x_image, images, tile.m) for k in classes]),
        np.concatenate([_with_tail(k.to, y_image, images, tile.m) for k in classes]),
        np.array(table, np.int64),
        np.concatenate([k.taps for k in classes]),
        np.concatenate([k.rows for k in classes]),
        images,
        x_image,
        y_image,
        x_group,
        y_group,
        groups,
        shares,
        splits,
        len(classes) == 1 and groups == 1 and splits == 1,
        np.atleast_2d(offsets),
        group_stride,
        lane_stride,
        spacing,
    )


def _parameters(g: Conv2dGeometry) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Input size, output size, kernel, stride, padding before and dilation of the two axes."""
    return tuple(zip((g.h, g.w), (g.oh, g.ow), (g.kh, g.kw), g.stride, (g.padding[0][0], g.padding[1][0]), g.dilation))  # type: ignore[return-value]


@functools.lru_cache(maxsize=256)
def forward_plan(g: Conv2dGeometry, dtype: str | np.dtype, r: int = 1) -> Contraction:
    """y = x * w, of superpixels of r pixels."""
    return _convolution(g, dtype, r, _weight_offsets(g), (g.c // g.groups) * g.kh * g.kw)


@functools.lru_cache(maxsize=256)
def bordered(g: Conv2dGeometry, dtype: str | np.dtype) -> Conv2dGeometry | None:
    """The same convolution of an input that was padded before, where that pays; else None.

    Of few pixels the border makes classes that fill no tile: 49 pixels of an image are ten tiles, not four. To pad takes a launch and
    about a cycle for each element; a step of the tile takes one for each of its vectors. (Where a weight is infinite, zeros at the border
    become NaN.)
    """
    (top, bottom), (left, right) = g.padding
    if not any((top, bottom, left, right)):
        return None
    whole = replace(g, h=g.h + top + bottom, w=g.w + left + right, padding=((0, 0), (0, 0)))
    saved = forward_plan(g, dtype).steps - forward_plan(whole, dtype).steps
    return whole if saved * tile_for(dtype).m * 2 > LAUNCH + whole.n * whole.h * whole.w * whole.c else None


@functools.lru_cache(maxsize=256)
def turned_plan(g: Conv2dGeometry, dtype: str | np.dtype) -> Contraction:
    """dx from dy for ``turned(g)``, as a forward convolution of superpixels."""
    t, taps = turned(g), g.kh * g.kw
    if t is None:
        raise ValueError(f"the input gradient of {g} is no plain convolution")
    turning = np.arange(taps)[::-1].reshape(g.kh, g.kw, 1) + np.arange(g.oc) * g.c * taps
    return _convolution(t, dtype, superpixel(t, dtype), turning, taps)


def _convolution(g: Conv2dGeometry, dtype: str | np.dtype, r: int, offsets: np.ndarray, lane_stride: int) -> Contraction:
    """A forward convolution of superpixels, with the offsets (KH, KW, C/groups) of its weights."""
    cg, wide, offsets = g.c // g.groups, _widened(g, r), _widened_offsets(offsets, g, r)
    rows, columns = (_forward_axis(*axis) for axis in _parameters(wide))
    spacing = _spacing(g.c, wide.oc, dtype) if g.groups == 1 else 0
    pixel = spacing or g.c
    classes = _classes((rows, columns), wide.kw, cg, (g.w * pixel, pixel), (g.ow * g.oc, r * g.oc))
    sizes = g.n, g.h * g.w * pixel, g.oh * g.ow * g.oc, cg, wide.oc // g.groups, g.groups
    return _contraction(classes, dtype, *sizes, offsets, wide.oc // g.groups * cg * g.kh * g.kw, lane_stride, spacing)


def _widened(g: Conv2dGeometry, r: int) -> Conv2dGeometry:
    """The geometry of the same convolution on superpixels."""
    return replace(g, oc=r * g.oc, kw=g.kw + (r - 1) * g.stride[1], stride=(g.stride[0], r * g.stride[1]))


def _widened_offsets(offsets: np.ndarray, g: Conv2dGeometry, r: int) -> np.ndarray:
    """Offsets (KH, KW, C) for each pixel of a superpixel, whose taps move along: (r, K), negative for the added taps."""
    wide = np.full((r, g.kh, g.kw + (r - 1) * g.stride[1], offsets.shape[2]), -1)
    for i in range(r):
        wide[i, :, i * g.stride[1] : i * g.stride[1] + g.kw] = offsets
    return wide.reshape(r, -1)


def _weight_offsets(g: Conv2dGeometry) -> np.ndarray:
    """Where (kh, kw, c) lies in a weight (C/groups, KH, KW)."""
    taps = g.kh * g.kw
    return np.arange(taps).reshape(g.kh, g.kw, 1) + np.arange(g.c // g.groups) * taps


@functools.lru_cache(maxsize=256)
def grad_input_plan(g: Conv2dGeometry, dtype: str | np.dtype) -> Contraction:
    """dx from dy."""
    cg, ocg, taps = g.c // g.groups, g.oc // g.groups, g.kh * g.kw
    rows, columns = (_grad_axis(*axis) for axis in _parameters(g))
    spacing = _spacing(g.oc, g.c, dtype) if g.groups == 1 else 0
    pixel = spacing or g.oc
    classes = _classes((rows, columns), g.kw, ocg, (g.ow * pixel, pixel), (g.w * g.c, g.c))
    sizes = g.n, g.oh * g.ow * pixel, g.h * g.w * g.c, ocg, cg, g.groups
    offsets = _grid(np.arange(taps)[::-1], np.arange(ocg) * cg * taps)
    return _contraction(classes, dtype, *sizes, offsets, ocg * cg * taps, taps, spacing)


@functools.lru_cache(maxsize=256)
def folding_pays(g: Conv2dGeometry, dtype: str | np.dtype) -> bool:
    """Whether all pixels of a window's row fill the tile's vectors better than one pixel's channels.

    In steps of the tile for each row of kernel and output channel; to write and read a block of sums takes as long as some 16 of them.
    """
    columns, whole = tile_for(dtype).columns, turned(g)
    r = superpixel(whole, dtype) if whole else 1
    folded = -(-g.kw * g.c // columns) * (1 + 16 / (g.kh * g.oc))
    return folded < (g.kw + r - 1) / r * -(-r * g.c // columns)


@functools.lru_cache(maxsize=256)
def folded_plans(g: Conv2dGeometry, dtype: str | np.dtype) -> tuple[tuple[slice, Contraction], ...]:
    """Plans for some images each, so few that their sums stay in the cache, or near it."""
    some = max(1, FOLDED_BYTES // (g.h * g.ow * folded_step(g, dtype) * np.dtype(dtype).itemsize))
    parts = [slice(first, min(g.n, first + some)) for first in range(0, g.n, some)]
    return tuple((part, _folded_plan(replace(g, n=part.stop - part.start), dtype)) for part in parts)


@functools.lru_cache(maxsize=256)
def _folded_plan(g: Conv2dGeometry, dtype: str | np.dtype) -> Contraction:
    """What each pixel of dy adds to the kw pixels of its window in each row of dx: (N, H, OW, KW * C), whole tiles."""
    taps, sums, step = g.kh * g.kw, g.kw * g.c, folded_step(g, dtype)
    rows, windows = _grad_axis(*_parameters(g)[0]), np.arange(g.ow)
    classes = _classes((rows, [_Axis(windows, windows, (0,), (0,))]), 1, g.oc, (g.ow * g.oc, g.oc), (g.ow * step, step))
    offsets = np.add.outer(np.arange(g.kw), _grid(np.arange(g.kh)[::-1] * g.kw, np.arange(g.oc) * g.c * taps))
    sizes = g.n, g.oh * g.ow * g.oc, g.h * g.ow * step, g.oc, sums, 1
    return replace(_contraction(classes, dtype, *sizes, offsets, 0, taps), dense=True)  # what a row spills, its own step takes


@functools.lru_cache(maxsize=256)
def folded_step(g: Conv2dGeometry, dtype: str | np.dtype) -> int:
    """Elements from what one window adds to what the next does."""
    columns = tile_for(dtype).columns
    return -(-g.kw * g.c // columns) * columns


def _correlation(
    tile: Tile,
    pads: tuple[int, int, int, int],
    at: np.ndarray,
    line: int,
    step: int,
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
    y_pixel: int = 0,
) -> Correlation:
    blocks = -(-y_group // tile.columns)
    tiles = -(-len(rows) // tile.m)
    gather = blocks >= conv.MANY
    strips = -(-tiles // conv.STRIP) if gather else tiles
    strip = -(-tiles // strips)
    padded = np.concatenate([rows, np.resize(rows[-tile.run :], tiles * tile.m - len(rows))])
    part_bytes = groups * blocks * tile.columns * len(padded) * itemsize
    pixels = images * len(at) * line
    sums = -(-pixels // conv.BLOCK)
    chunks = max(1, min(most_chunks, sums, PART_BYTES // part_bytes))
    # few chunks: share out the blocks of output channels, as long as an input panel still serves several, then the strips
    wanted = -(-SUMS // (chunks * groups))
    shares = min(wanted, max(1, blocks // BLOCKS))
    splits = min(strips, max(1, wanted // shares))
    return Correlation(
        tile,
        pads,
        at,
        line,
        step,
        padded,
        images,
        x_image,
        x_group,
        y_group,
        y_pixel or groups * y_group,
        groups,
        -(-pixels // sums),
        chunks,
        strip,
        gather,
        shares,
        splits,
        np.atleast_2d(offsets),
        group_stride,
        lane_stride,
    )


@functools.lru_cache(maxsize=256)
def grad_weight_plan(g: Conv2dGeometry, dtype: str | np.dtype) -> Correlation:
    """dw from x and dy, of superpixels."""
    (top, bottom), (left, right) = g.padding
    r = sum_superpixel(g, dtype)
    hp, wp, cg, wide = g.h + top + bottom, g.w + left + right, g.c // g.groups, _widened(g, r)
    return _correlation(
        sum_tile(wide.oc // g.groups, _run(wide), dtype),
        (top, bottom, left, right),
        np.arange(g.oh) * g.stride[0] * wp * g.c,
        g.ow // r,
        wide.stride[1] * g.c,
        _grid(np.arange(g.kh) * g.dilation[0] * wp * g.c, np.arange(wide.kw) * g.dilation[1] * g.c, np.arange(cg)),
        g.n,
        hp * wp * g.c,
        cg,
        wide.oc // g.groups,
        g.groups,
        np.dtype(dtype).itemsize,
        _widened_offsets(_weight_offsets(g), g, r),
        wide.oc // g.groups * cg * g.kh * g.kw,
        cg * g.kh * g.kw,
    )


_NO_PADS = (0, 0, 0, 0)


@functools.lru_cache(maxsize=256)
def matmul_plan(m: int, k: int, n: int, row_stride: int, column_stride: int, dtype: str | np.dtype, channels: int = 1) -> Contraction:
    """(M, K) @ (K, N), element (k, n) of the second at k * row_stride + n * column_stride: m pixels, one run of k channels.

    If the first is images of so many channels, each of their elements is a run, in logical order: the same sums in the same order.
    """
    spacing = _spacing(k, n, dtype)
    at, to = np.arange(m) * (spacing or k), np.arange(m) * n
    rows = _one_run(at, to, k) if channels == 1 else _Class(at, to, _in_memory(k // channels, channels), np.arange(k), 1)
    sizes = m * (spacing or k), m * n, k, n, 1
    return _contraction([rows], dtype, 1, *sizes, np.arange(k) * row_stride, 0, column_stride, spacing)


def _in_memory(rows: int, columns: int) -> np.ndarray:
    """Where each element of the transpose of a (rows, columns) matrix lies in it: of (C, pixels), where it is in (pixels, C)."""
    return np.arange(rows * columns).reshape(rows, columns).T.reshape(-1)


def _one_run(at: np.ndarray, to: np.ndarray, length: int) -> _Class:
    return _Class(at, to, np.zeros(1, np.int64), np.zeros(1, np.int64), length)


@functools.lru_cache(maxsize=256)
def rows_grad_plan(n: int, c: int, pixels: int, o: int, dtype: str | np.dtype) -> Contraction:
    """(N, O) @ (O, C * pixels) into images (N, pixels, C): lanes in the images' order, each pixel with weights of its own."""
    rows = _one_run(np.arange(n) * o, np.arange(n) * pixels * c, o)
    offsets = np.add.outer(np.arange(pixels), np.arange(o) * c * pixels)
    return _contraction([rows], dtype, 1, n * o, n * pixels * c, o, pixels * c, 1, offsets, 0, pixels)


@functools.lru_cache(maxsize=256)
def matmul_t_plan(m: int, i: int, o: int, dtype: str | np.dtype, channels: int = 1) -> Correlation:
    """(M, I)^T, (M, O) -> (O, I): the weight gradient of a linear layer, whose input may be images of so many channels."""
    return _correlation(
        sum_tile(o, i, dtype),
        _NO_PADS,
        np.zeros(1, np.int64),
        m,
        i,
        np.arange(i),
        1,
        m * i,
        i,
        o,
        1,
        np.dtype(dtype).itemsize,
        _in_memory(channels, i // channels),
        0,
        i,
    )


@functools.lru_cache(maxsize=64)
def lane_index(p: Contraction) -> np.ndarray:
    """Where the weights of all channels lie, one row for each k: (K, channels)."""
    lanes = _grid(np.arange(p.groups) * p.group_stride, np.arange(p.y_group) * p.lane_stride)
    return np.add.outer(p.offsets[0], lanes)


def depthwise_shares(p: Contraction) -> int:
    """Into how many tasks an image is shared out: some 1,000 vectors of its largest class each."""
    return max(1, int(p.classes[:, 1].max()) * p.groups * p.y_group // 4096)


def depthwise_chunks(images: int) -> tuple[int, int]:
    """How many images a depthwise weight gradient takes side by side, and into how many shares it cuts each."""
    beside = min(images, TASKS)
    return beside, TASKS // beside


# -- Winograd --------------------------------------------------------------------------------------------------------------
PATCHES_BYTES = 1 << 22
"""What the transformed patches of input and output may occupy: they stay in the last-level cache, or its share of one."""
FEWEST_PATCHES = 192
"""Patches for which it pays to read the transformed weights."""
MOVED = 20
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
    """Whether fewer multiplications make up for the transforms of patches and weights. Ragged tiles cost as much as full ones."""
    rows, columns = _patch_grid(g)
    patches, weights, tile = g.n * rows * columns, g.c * g.oc, tile_for("float32").m

    def multiplied(pixels: int) -> int:
        return weights * (-(-pixels // tile) * tile + MOVED)

    return winograd.PLACES * (multiplied(patches) + MOVED * patches * (g.c + g.oc)) < 9 * multiplied(g.n * g.oh * g.ow)


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
    places, k = winograd.PLACES, np.arange(c)
    x_patch, y_patch = (places * channels + winograd.GAP for channels in (c, oc))
    at, to = np.arange(patches) * x_patch, np.arange(patches) * y_patch
    x_image, y_image = patches * x_patch, patches * y_patch
    product = _contraction([_one_run(at, to, c)], "float32", 1, x_image, y_image, c, oc, places, k, 0, 0)
    tile = sum_tile(oc, c, "float32")
    return replace(product, shares=1, splits=places), _correlation(
        tile, _NO_PADS, np.zeros(1, np.int64), patches, x_patch, k, 1, x_image, c, oc, places, 4, k, 0, 0, most_chunks=1, y_pixel=y_patch
    )
