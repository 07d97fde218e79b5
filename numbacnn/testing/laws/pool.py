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
from ..trial import LawBroken, NotOffered, Trial
from .base import law
from .conv import MANY, PARTS, long_row, longer, starts

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


def _one(case: PoolCase) -> PoolCase:
    """The case with one image of one channel."""
    return case.on(replace(case.geometry, n=1, c=1))


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
    row = replace(g, n=1, c=1, axes=(*(Axis(1) for _ in g.axes[1:]), long_row(g.axes[-1])))
    for each in (case, case.on(row)):
        wanted = (*each.geometry.output_shape[:2], *(len(pool_starts(axis)) for axis in each.geometry.axes))
        found = _pool(trial, family, each.x, each).shape
        if found != wanted:
            raise LawBroken(f"expected shape {wanted}; received shape {found}", found, wanted)


def _pool(trial: Trial, family: str, x: np.ndarray, case: PoolCase) -> np.ndarray:
    """The pooling of a case for images or channels of its kind."""
    g = replace(case.geometry, n=x.shape[0], c=x.shape[1])
    return trial.max_pool(x, g) if family == "max_pool" else trial.avg_pool(x, g, case.divisor)


@law("max_pool", "avg_pool")
def pooling_leaves_channels_alone(trial: Trial, case: PoolCase, family: str) -> None:
    """Each channel gives what it gives without the others; of 35."""
    many = case.on(replace(case.geometry, c=MANY))
    y = _pool(trial, family, many.x, many)
    for part in PARTS:
        trial.same(y[:, part], _pool(trial, family, many.x[:, part], many))


@law("max_pool", "avg_pool")
def pooled_images_are_independent(trial: Trial, case: PoolCase, family: str) -> None:
    """Each image gives what it gives without the others; of 35."""
    many = case.on(replace(case.geometry, n=MANY))
    y = _pool(trial, family, many.x, many)
    for part in PARTS:
        trial.same(y[part], _pool(trial, family, many.x[part], many))


# -- maxima ------------------------------------------------------------------------------------------------------------------
@law("max_pool")
def maximum_is_the_largest_of_its_window(trial: Trial, case: PoolCase) -> None:
    """An output is the largest pixel of its window; padding is never it. Rows of 65 windows and more too."""
    case = _one(case)
    for g in (case.geometry, longer(case.geometry, 65)):
        x = case.on(g).x - 9  # below zero: padding would show
        if holds_data_everywhere(g):
            trial.same(trial.max_pool(x, g), _maxima(x, g)[0])


@law("max_pool")
def a_window_in_padding_is_minus_infinity(trial: Trial, case: PoolCase) -> None:
    """Where a window holds no data its maximum is -inf."""
    case = _one(case)
    *others, last = case.geometry.axes
    empty = replace(case.geometry, axes=(*others, replace(last, kernel=2, before=1, after=1, dilation=last.size + 1)))
    for g in (case.geometry, empty):
        if not holds_data_everywhere(g):
            x = case.on(g).x
            trial.same(trial.max_pool(x, g), _maxima(x, g)[0])


@law("max_pool")
def nan_is_the_largest(trial: Trial, case: PoolCase) -> None:
    """A window with NaN gives NaN, and no other does."""
    case = _one(case)
    x, g = case.x + 9, case.geometry
    if not holds_data_everywhere(g):
        return
    wanted = _maxima(np.where(x > 11, x.dtype.type(99), x), g)[0]
    trial.same(trial.max_pool(np.where(x > 11, x.dtype.type(np.nan), x), g), np.where(wanted == 99, np.nan, wanted))


@law("max_pool", needs=("max_pool_with_indices",), kind="distinct")
def indices_point_to_the_maxima(trial: Trial, case: PoolCase) -> None:
    """An index is the place of its maximum in the flattened image; of 300 pixels and more."""
    *others, last = case.geometry.sizes
    case = _one(case)
    case = case.on(case.geometry.along(size=(*others, last + 300 // math.prod(others))))
    if holds_data_everywhere(case.geometry):
        y, places = _with_indices(trial, case.x, case.geometry)
        trial.same(places, _maxima(case.x, case.geometry)[1])
        trial.same(y, case.x.reshape(-1)[places])


@law("max_pool", needs=("max_pool_with_indices",))
def of_equal_maxima_the_index_is_in_the_window(trial: Trial, case: PoolCase) -> None:
    """Of equal maxima the index names one that lies in the window."""
    case = _one(case)
    x, g = case.x, case.geometry
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
    _first_gets_it(trial, _one(case))


@law("max_pool", needs=("_grad",))
def of_equal_maxima_the_first_gets_the_gradient(trial: Trial, case: PoolCase) -> None:
    """Of equal maxima the first in the order of rows gets the gradient, where that is promised."""
    if not trial.first_of_equals:
        raise NotOffered("first_of_equals")
    _first_gets_it(trial, _one(case), kinds=2)


def _first_gets_it(trial: Trial, case: PoolCase, kinds: int = 0) -> None:
    """``kinds``: the pixels have no more values than that."""
    x, g, grad = case.x % kinds if kinds else case.x, case.geometry, case.grad % 5
    if not holds_data_everywhere(g):
        return
    wanted = np.zeros(math.prod(g.sizes), x.dtype)
    np.add.at(wanted, _maxima(x, g)[1].reshape(-1), grad.reshape(-1))
    trial.same(trial.max_pool_grad(grad, x, g), wanted.reshape(x.shape))


@law("max_pool", needs=("_grad",))
def max_gradient_keeps_its_mass(trial: Trial, case: PoolCase) -> None:
    """Of equal maxima some get the gradient: its sum stays, image by image and channel by channel; of 35, in rows of 65 windows too."""
    for g in (case.geometry, replace(longer(case.geometry, 65), c=MANY)):
        if not holds_data_everywhere(g):
            continue
        each = case.on(g)
        dx = trial.max_pool_grad(each.grad, each.x, g)
        trial.same(dx.shape, each.x.shape)
        found, wanted = (a.astype(np.float64).sum(tuple(range(2, a.ndim))) for a in (dx, each.grad))
        trial.same(found, wanted, 1e-5 * float(np.abs(each.grad).sum(initial=0)))  # equal ones may share it


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


def _sticking_out(case: PoolCase) -> PoolCase:
    """The case with a last window that sticks out by one pixel beyond the counted padding, without a divisor of its own."""
    *others, last = case.geometry.axes
    kernel = max(last.kernel, 3)
    last = replace(last, kernel=kernel, stride=2, ceil=True, size=kernel + 3 - last.before - last.after)
    others = [replace(axis, ceil=True) for axis in others]  # one flag for all
    return replace(case, divisor=None).on(replace(case.geometry, axes=(*others, last), count_include_pad=True))


def _whole(a: np.ndarray, case: PoolCase) -> Any:
    """``a`` times a number by which every mean is a whole number."""
    common = math.lcm(*(count for _, count in _divisors(case.geometry, case.divisor).values()))
    return (a % 3).astype(a.dtype) * a.dtype.type(common)


@law("avg_pool")
def average_is_the_sum_over_the_divisor(trial: Trial, case: PoolCase) -> None:
    """An output is the sum of its window over the number of its pixels; counted padding counts, what sticks out beyond it never."""
    for each in (_one(case), _one(_sticking_out(case))):
        g, x = each.geometry, _whole(each.x, each)
        wanted: Any = np.zeros(g.output_shape, x.dtype)
        for place, (cells, count) in _divisors(g, each.divisor).items():
            wanted[(..., *place)] = sum(x[(..., *cell)] for cell in cells) / count
        trial.same(trial.avg_pool(x, g, each.divisor), wanted)


@law("avg_pool", needs=("_grad",))
def average_gradient_shares_evenly(trial: Trial, case: PoolCase) -> None:
    """Each pixel of a window gets the output's gradient over the divisor; those of several windows add up. Rows of 65 windows too."""
    for each in (case, _sticking_out(case), case.on(replace(longer(case.geometry, 65), c=MANY))):
        g, grad = each.geometry, _whole(each.grad, each)
        wanted: Any = np.zeros(g.input_shape, grad.dtype)
        for place, (cells, count) in _divisors(g, each.divisor).items():
            for cell in cells:
                wanted[(..., *cell)] += grad[(..., *place)] / count
        trial.same(trial.avg_pool_grad(grad, each.x, g, each.divisor), wanted)


@law("avg_pool")
def average_of_a_constant_is_the_constant(trial: Trial, case: PoolCase) -> None:
    """Where padding is not counted the average of a constant image is the constant; rows of 65 windows and more."""
    g = longer(replace(case.geometry, count_include_pad=False), 65)
    x = np.full(g.input_shape, 3, case.x.dtype)
    trial.same(trial.avg_pool(x, g), np.full(g.output_shape, 3, case.x.dtype), trial.factor * 1e-6)


@law("avg_pool")
def average_with_nan_is_nan(trial: Trial, case: PoolCase) -> None:
    """A pixel that is NaN makes the averages NaN of the windows that hold it, and no other."""
    g, seen = case.geometry, case.x > 2
    held = trial.avg_pool(seen.astype(case.x.dtype), g) > 0
    y = trial.avg_pool(np.where(seen, case.x.dtype.type(np.nan), case.x), g, case.divisor)
    trial.same(np.isnan(y), held)


@law("avg_pool")
def averages_do_not_overflow(trial: Trial, case: PoolCase) -> None:
    """A mean of float16 numbers is found where their sum is more than float16 holds."""
    g = replace(case.geometry, count_include_pad=False)
    x = np.full(g.input_shape, 30000, np.float16)
    trial.same(trial.avg_pool(x, g), np.full(g.output_shape, 30000, np.float16), 4e-3 * 30000)
