"""Maximum and average pooling: forward, places of the maxima, and gradients."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ...geometry import Axis, PoolGeometry
from ..cases import PoolCase
from ..trial import LawBroken, Trial
from .base import law
from .conv import dot, starts

__all__ = ["holds_data_everywhere"]


def pool_starts(axis: Axis) -> list[int]:
    """Where windows start, by trying every position; with ``ceil`` one may stick out if it starts before the data end."""
    found = starts(axis)
    following = found[-1] + axis.stride if found else -axis.before
    covered = found[-1] + axis.extent if found else -axis.before
    if axis.ceil and covered < axis.size + axis.after and following < axis.size:
        found.append(following)
    return found


def _windows(g: PoolGeometry) -> Iterator[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
    """Each output place with the input places of its window that hold data, in order."""
    along = []
    for axis in g.axes:
        taps = [[start + k * axis.dilation for k in range(axis.kernel)] for start in pool_starts(axis)]
        along.append([[at for at in window if 0 <= at < axis.size] for window in taps])
    for place in itertools.product(*(range(len(windows)) for windows in along)):
        yield place, list(itertools.product(*(windows[i] for windows, i in zip(along, place))))


def holds_data_everywhere(g: PoolGeometry) -> bool:
    """Whether no window lies wholly in padding (dilation can make one that does)."""
    return all(cells for _, cells in _windows(g))


def _alone(case: PoolCase, array: np.ndarray) -> np.ndarray:
    """The first channel of the first image (zeros where there is none)."""
    return np.resize(array, (1, 1, *array.shape[2:])) if array.size else np.zeros((1, 1, *array.shape[2:]), array.dtype)


def _one(case: PoolCase) -> tuple[np.ndarray, PoolGeometry]:
    return _alone(case, case.x), replace(case.geometry, n=1, c=1)


def _maxima(x: np.ndarray, g: PoolGeometry) -> tuple[np.ndarray, np.ndarray]:
    """The maxima of one channel, -inf where a window holds no data, and their first places in the flattened image (-1)."""
    y, places = np.full(g.output_shape, -np.inf, x.dtype), np.full(g.output_shape, -1)
    for place, cells in _windows(g):
        if cells:
            best = max(cells, key=lambda cell: x[(0, 0, *cell)])
            y[(0, 0, *place)], places[(0, 0, *place)] = x[(0, 0, *best)], np.ravel_multi_index(best, g.sizes)
    return y, places


@law("max_pool", "avg_pool")
def pool_counts_windows(trial: Trial, case: PoolCase, family: str) -> None:
    """The output has a place along each axis for every window; with ceil_mode one may stick out that starts within the image."""
    g = case.geometry
    wanted = (g.n, g.c, *(len(pool_starts(axis)) for axis in g.axes))
    found = _pool(trial, family, case.x, g, case.divisor).shape
    if found != wanted:
        raise LawBroken(f"expected shape {wanted}; received shape {found}", found, wanted)


def _pool(trial: Trial, family: str, x: np.ndarray, g: PoolGeometry, divisor: int | None) -> np.ndarray:
    return trial.max_pool(x, g) if family == "max_pool" else trial.avg_pool(x, g, divisor)


@law("max_pool", "avg_pool")
def pooling_leaves_channels_alone(trial: Trial, case: PoolCase, family: str) -> None:
    """Each channel gives what it gives alone."""
    g = case.geometry
    y = _pool(trial, family, case.x, g, case.divisor)
    for c in range(g.c):
        trial.same(y[:, c : c + 1], _pool(trial, family, case.x[:, c : c + 1], replace(g, c=1), case.divisor))


@law("max_pool", "avg_pool")
def pooled_images_are_independent(trial: Trial, case: PoolCase, family: str) -> None:
    """Each image gives what it gives alone."""
    g = case.geometry
    y = _pool(trial, family, case.x, g, case.divisor)
    for n in range(g.n):
        trial.same(y[n : n + 1], _pool(trial, family, case.x[n : n + 1], replace(g, n=1), case.divisor))


# -- maxima ------------------------------------------------------------------------------------------------------------------
@law("max_pool")
def maximum_is_the_largest_of_its_window(trial: Trial, case: PoolCase) -> None:
    """An output is the largest pixel of its window; padding is never it."""
    x, g = _one(case)
    if holds_data_everywhere(g):
        x = x - 9  # below zero: padding would show
        trial.same(trial.max_pool(x, g), _maxima(x, g)[0])


@law("max_pool")
def a_window_in_padding_is_minus_infinity(trial: Trial, case: PoolCase) -> None:
    """Where a window holds no data its maximum is -inf."""
    x, g = _one(case)
    if not holds_data_everywhere(g):
        trial.same(trial.max_pool(x, g), _maxima(x, g)[0])


@law("max_pool")
def nan_is_the_largest(trial: Trial, case: PoolCase) -> None:
    """A window with NaN gives NaN, and no other does."""
    x, g = _one(case)
    if not holds_data_everywhere(g):
        return
    x = np.where(x > 2, np.float32(np.nan), x).astype(x.dtype)
    wanted = _maxima(np.where(np.isnan(x), np.float32(99), x).astype(x.dtype), g)[0]
    trial.same(trial.max_pool(x, g), np.where(wanted == 99, np.nan, wanted))


@law("max_pool", needs=("max_pool_with_indices",), kind="distinct")
def indices_point_to_the_maxima(trial: Trial, case: PoolCase) -> None:
    """An index is the place of its maximum in the flattened image."""
    x, g = _one(case)
    if holds_data_everywhere(g):
        y, places = _with_indices(trial, x, g)
        trial.same(places, _maxima(x, g)[1])
        trial.same(y, x.reshape(-1)[places])


@law("max_pool", needs=("max_pool_with_indices",))
def of_equal_maxima_the_index_is_in_the_window(trial: Trial, case: PoolCase) -> None:
    """Of equal maxima the index names one that lies in the window."""
    x, g = _one(case)
    if not holds_data_everywhere(g):
        return
    _, places = _with_indices(trial, x, g)
    for place, cells in _windows(g):
        best = max(x[(0, 0, *cell)] for cell in cells)
        allowed = [int(np.ravel_multi_index(cell, g.sizes)) for cell in cells if x[(0, 0, *cell)] == best]
        if places[(0, 0, *place)] not in allowed:
            raise LawBroken(f"expected one of {allowed} at {place}; received {places[(0, 0, *place)]}", places)


def _with_indices(trial: Trial, x: np.ndarray, g: PoolGeometry) -> Any:
    from ..trial import pool_options

    return trial.call(f"max_pool{len(g.axes)}d_with_indices", x, sizes=(g.kernel,), **pool_options(g))


@law("max_pool", needs=("_grad",), kind="distinct")
def max_gradient_goes_to_the_maximum(trial: Trial, case: PoolCase) -> None:
    """A pixel gets the gradients of all windows whose maximum it is, added up."""
    x, g = _one(case)
    if not holds_data_everywhere(g):
        return
    grad = np.resize(_alone(case, case.grad) % 5, g.output_shape)
    wanted = np.zeros(math.prod(g.sizes), x.dtype)
    np.add.at(wanted, _maxima(x, g)[1].reshape(-1), grad.reshape(-1))
    trial.same(trial.max_pool_grad(grad, x, g), wanted.reshape(x.shape))


@law("max_pool", needs=("_grad",))
def max_gradient_keeps_its_mass(trial: Trial, case: PoolCase) -> None:
    """Of equal maxima some get the gradient: its sum stays, image by image and channel by channel."""
    g = case.geometry
    if not holds_data_everywhere(g):
        return
    dx = trial.max_pool_grad(case.grad, case.x, g)
    trial.same(dx.shape, case.x.shape)
    found, wanted = (a.astype(np.float64).sum(tuple(range(2, a.ndim))) for a in (dx, case.grad))
    trial.same(found, wanted, trial.factor * 1e-4)


# -- averages ------------------------------------------------------------------------------------------------------------
def _divisors(g: PoolGeometry, divisor: int | None) -> dict[tuple[int, ...], tuple[list[tuple[int, ...]], int]]:
    """For each output place the pixels of its window and what their sum is divided by.

    That is ``divisor``, or how many there are; padding counts as pixels if it is counted, and what sticks out beyond it never does.
    """
    found = {}
    for place, cells in _windows(g):
        at = [pool_starts(axis)[i] for axis, i in zip(g.axes, place)]
        padded = math.prod(min(start + axis.kernel, axis.size + axis.after) - start for start, axis in zip(at, g.axes))
        found[place] = cells, divisor or (padded if g.count_include_pad else len(cells))
    return found


def _whole(a: np.ndarray, g: PoolGeometry, divisor: int | None) -> np.ndarray:
    """``a`` times a number by which every mean is a whole number."""
    common = math.lcm(*(count for _, count in _divisors(g, divisor).values()))
    return (a % 3).astype(a.dtype) * a.dtype.type(common)


@law("avg_pool")
def average_is_the_sum_over_the_divisor(trial: Trial, case: PoolCase) -> None:
    """An output is the sum of its window over the number of its pixels; counted padding counts, what sticks out beyond it never."""
    x, g = _one(case)
    x = _whole(x, g, case.divisor)
    wanted = np.zeros(g.output_shape, x.dtype)
    for place, (cells, count) in _divisors(g, case.divisor).items():
        wanted[(0, 0, *place)] = sum(float(x[(0, 0, *cell)]) for cell in cells) / count
    trial.same(trial.avg_pool(x, g, case.divisor), wanted)


@law("avg_pool", needs=("_grad",))
def average_gradient_shares_evenly(trial: Trial, case: PoolCase) -> None:
    """Each pixel of a window gets the output's gradient over the divisor; those of several windows add up."""
    x, g = _one(case)
    grad = _whole(np.resize(_alone(case, case.grad), g.output_shape), g, case.divisor)
    wanted = np.zeros(x.shape, x.dtype)
    for place, (cells, count) in _divisors(g, case.divisor).items():
        for cell in cells:
            wanted[(0, 0, *cell)] += grad[(0, 0, *place)] / count
    trial.same(trial.avg_pool_grad(grad, x, g, case.divisor), wanted)


@law("avg_pool", needs=("avg_pool", "avg_pool_grad"))
def average_pooling_is_adjoint_to_its_gradient(trial: Trial, case: PoolCase) -> None:
    """<pool(x), g> = <x, the gradient of x from g>, over all images and channels."""
    g = case.geometry
    common = math.lcm(*(count for _, count in _divisors(g, case.divisor).values()))
    x, grad = (a * a.dtype.type(common) for a in (case.x, case.grad))
    y, dx = trial.avg_pool(x, g, case.divisor), trial.avg_pool_grad(grad, x, g, case.divisor)
    trial.same(dx.shape, x.shape)
    trial.same(dot(x, dx), dot(y, grad), trial.factor * 1e-4 * dot(np.abs(x), np.abs(dx)))


@law("avg_pool")
def average_of_a_constant_is_the_constant(trial: Trial, case: PoolCase) -> None:
    """Where padding is not counted the average of a constant image is the constant; 65 pixels a side."""
    g = replace(case.geometry, count_include_pad=False).along(size=65 if len(case.geometry.axes) < 3 else 17)
    x = np.full(g.input_shape, 3, case.x.dtype)
    trial.same(trial.avg_pool(x, g), np.full(g.output_shape, 3, case.x.dtype), trial.factor * 1e-6)
