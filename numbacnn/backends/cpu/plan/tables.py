"""Tables of offsets: which elements of the input, and which weights, each pixel of a result meets."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np

from ....geometry import Axis, Taps

__all__ = ["Positions", "TapSet", "forward_axis", "grad_axis", "grid", "in_memory", "one_run", "steps", "tap_sets", "with_tail"]


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
class Positions:
    """Positions of the result along one axis that see the same taps.

    A position sees tap ``taps[i]`` (as the packed weights are ordered) at element ``starts[position] + shifts[i]`` of the input.
    """

    positions: np.ndarray
    starts: np.ndarray
    taps: tuple[int, ...]
    shifts: tuple[int, ...]

    def part(self, some: slice) -> Positions:
        return Positions(self.positions[some], self.starts[some], self.taps, self.shifts)


def _group_equal(windows: Iterable[tuple[int, Taps]]) -> list[Positions]:
    """Group positions, each with its start and its (tap, shift)s, by the latter."""
    groups: dict[Taps, list[tuple[int, int]]] = {}
    for position, (start, taps) in enumerate(windows):
        groups.setdefault(taps, []).append((position, start))
    return [
        Positions(*np.array(found).T, tuple(k for k, _ in taps), tuple(s for _, s in taps))  # type: ignore[call-arg]
        for taps, found in groups.items()
    ]


def forward_axis(axis: Axis) -> list[Positions]:
    """The outputs, each of which sees the taps of its window."""
    return _group_equal(axis.window(o) for o in range(axis.outputs))


def grad_axis(axis: Axis) -> list[Positions]:
    """The places of the input, each of which gets the taps of some outputs; the last tap comes first."""
    windows = (axis.grad_window(i) for i in range(axis.size))
    return _group_equal((start, tuple((axis.kernel - 1 - k, shift) for k, shift in taps)) for start, taps in windows)


def steps(sizes: Sequence[int], pixel: int) -> tuple[int, ...]:
    """Elements from one place of each axis to the next, where a pixel takes so many.

    >>> steps((4, 5, 6), 2)
    (60, 12, 2)
    """
    return tuple(pixel * math.prod(sizes[i + 1 :]) for i in range(len(sizes)))


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


def tap_sets(axes: Sequence[list[Positions]], kernel: Sequence[int], depth: int, x: Sequence[int], y: Sequence[int]) -> list[TapSet]:
    """All combinations of the axes' taps. ``depth`` channels are summed; x and y are the ``steps`` of the input and of the result."""
    weights, found = steps(kernel, depth), []
    for parts in product(*axes):
        last = parts[-1]
        taps, shifts, length = last.taps[:1], last.shifts[:1], depth * len(last.taps)
        if not (depth == x[-1] and _consecutive(last.taps) and _consecutive(last.shifts)):  # other taps or groups lie between them
            taps, shifts, length = last.taps, last.shifts, depth
        seen = [*(part.shifts for part in parts[:-1]), shifts]
        met = [*(part.taps for part in parts[:-1]), taps]
        found.append(
            TapSet(
                input_offsets=_sums((part.starts for part in parts), x),
                output_offsets=_sums((part.positions for part in parts), y),
                taps=_sums(seen, x),
                weight_rows=_sums(met, weights),
                length=length,
            )
        )
    return found


def _sums(places: Iterable[Any], elements: Sequence[int]) -> np.ndarray:
    """The offsets of all combinations of places along the axes."""
    return grid(*(np.asarray(along, np.int64) * step for along, step in zip(places, elements)))


def one_run(at: np.ndarray, to: np.ndarray, length: int) -> TapSet:
    return TapSet(at, to, np.zeros(1, np.int64), np.zeros(1, np.int64), length)


def in_memory(rows: int, columns: int) -> np.ndarray:
    """Where each element of the transpose of a (rows, columns) matrix lies in it: of (C, pixels), where it is in (pixels, C)."""
    return np.arange(rows * columns).reshape(rows, columns).T.reshape(-1)
