"""Tables of offsets: which elements of the input, and which weights, each pixel of a result meets."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from ....geometry import Conv2dGeometry

__all__ = ["Axis", "TapSet", "axes_of", "forward_axis", "grad_axis", "grid", "in_memory", "one_run", "tap_sets", "with_tail"]


def grid(*axes: np.ndarray) -> np.ndarray:
    """All sums of one entry from each axis, the last axis fastest; int64, flat."""
    return np.ascontiguousarray(functools.reduce(np.add.outer, axes).reshape(-1), np.int64)


def with_tail(offsets: np.ndarray, image: int, images: int, rows: int) -> np.ndarray:
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


@dataclass(frozen=True, slots=True)
class Axis:
    """Positions of the result along one axis that see the same taps.

    A position sees tap ``taps[i]`` (as the packed weights are ordered) at element ``starts[position] + shifts[i]`` of the input.
    """

    positions: np.ndarray
    starts: np.ndarray
    taps: tuple[int, ...]
    shifts: tuple[int, ...]


def _group_equal(seen: dict[int, tuple[int, tuple[tuple[int, int], ...]]]) -> list[Axis]:
    """Group positions, each with its start and its (tap, shift)s, by the latter."""
    groups: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for position, (_, taps) in seen.items():
        groups.setdefault(taps, []).append(position)
    return [
        Axis(np.array(found), np.array([seen[p][0] for p in found]), tuple(k for k, _ in taps), tuple(s for _, s in taps))
        for taps, found in groups.items()
    ]


def forward_axis(size: int, outputs: int, kernel: int, stride: int, before: int, dilation: int) -> list[Axis]:
    """Output o sees tap k at input o * stride - before + k * dilation, where that exists."""
    seen = {}
    for o in range(outputs):
        start = o * stride - before
        seen[o] = start, tuple((k, k * dilation) for k in range(kernel) if 0 <= start + k * dilation < size)
    return _group_equal(seen)


def grad_axis(size: int, outputs: int, kernel: int, stride: int, before: int, dilation: int) -> list[Axis]:
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
    return _group_equal(seen)


def axes_of(g: Conv2dGeometry) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Input size, output size, kernel, stride, padding before and dilation of the two axes."""
    return tuple(zip((g.h, g.w), (g.oh, g.ow), (g.kh, g.kw), g.stride, (g.padding[0][0], g.padding[1][0]), g.dilation))  # type: ignore[return-value]


def _consecutive(numbers: tuple[int, ...]) -> bool:
    return all(b - a == 1 for a, b in pairwise(numbers))


@dataclass(frozen=True, slots=True)
class TapSet:
    """Pixels that see the same taps: where they lie in input and output, and runs of ``length``, at these offsets, of these weights."""

    input_offsets: np.ndarray
    output_offsets: np.ndarray
    taps: np.ndarray
    weight_rows: np.ndarray
    length: int


def tap_sets(axes: tuple[list[Axis], list[Axis]], kw: int, depth: int, x: tuple[int, int], y: tuple[int, int]) -> list[TapSet]:
    """All pairs of a row's and a column's taps. ``depth`` channels are summed; x and y are (elements of a row, of a pixel)."""
    found = []
    for row, col in product(*axes):
        at = grid(row.starts * x[0], col.starts * x[1])
        to = grid(row.positions * y[0], col.positions * y[1])
        taps, shifts, length = col.taps[:1], col.shifts[:1], depth * len(col.taps)
        if not (depth == x[1] and _consecutive(col.taps) and _consecutive(col.shifts)):  # other taps or groups lie between them
            taps, shifts, length = col.taps, col.shifts, depth
        down, across = np.array(row.taps, np.int64), np.array(taps, np.int64)
        offsets = grid(np.array(row.shifts, np.int64) * x[0], np.array(shifts, np.int64) * x[1])
        found.append(TapSet(at, to, offsets, grid(down * kw * depth, across * depth), length))
    return found


def one_run(at: np.ndarray, to: np.ndarray, length: int) -> TapSet:
    return TapSet(at, to, np.zeros(1, np.int64), np.zeros(1, np.int64), length)


def in_memory(rows: int, columns: int) -> np.ndarray:
    """Where each element of the transpose of a (rows, columns) matrix lies in it: of (C, pixels), where it is in (pixels, C)."""
    return np.arange(rows * columns).reshape(rows, columns).T.reshape(-1)
