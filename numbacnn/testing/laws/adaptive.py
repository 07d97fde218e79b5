"""Adaptive pooling."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from ...geometry import AdaptivePoolGeometry, PoolGeometry
from ..cases import AdaptiveCase
from ..trial import Trial
from .base import law
from .conv import dot

AVERAGE, BOTH = "adaptive_avg_pool", ("adaptive_avg_pool", "adaptive_max_pool")


def _windows(size: int, count: int) -> list[slice]:
    """Per window the places that it covers, by the definition in exact fractions."""
    found = []
    for o in range(count):
        first, last = Fraction(o * size, count), Fraction((o + 1) * size, count)
        found.append(slice(math.floor(first), math.ceil(last)))
    return found


def _places(g: AdaptivePoolGeometry) -> list[tuple[Any, Any]]:
    """Each output place with the part of the input that its window covers."""
    along = [_windows(*axis) for axis in zip(g.sizes, g.outputs)]
    places = itertools.product(*(range(count) for count in g.outputs))
    return [(place, tuple(windows[i] for windows, i in zip(along, place))) for place in places]


def _common(g: AdaptivePoolGeometry) -> int:
    """By which every mean of whole numbers is a whole number."""
    return math.lcm(*(math.prod(s.stop - s.start for s in window) for _, window in _places(g)))


@law(*BOTH)
def adaptive_windows_cover_their_share(trial: Trial, case: AdaptiveCase, family: str) -> None:
    """Window o of an axis covers the places from floor(o size / outputs) to ceil((o + 1) size / outputs)."""
    g, kind = case.geometry, family.split("_")[1]
    x = (case.x % 3) * case.x.dtype.type(_common(g) if kind == "avg" else 1)
    wanted = np.zeros(g.output_shape, x.dtype)
    for place, window in _places(g):
        part, axes = x[(..., *window)], tuple(range(2, x.ndim))
        wanted[(..., *place)] = part.sum(axes) / math.prod(part.shape[2:]) if kind == "avg" else part.max(axes)
    trial.same(trial.adaptive(kind, x, g), wanted)


@law(AVERAGE, needs=("adaptive_avg_pool", "avg_pool"))
def adaptive_windows_that_divide_are_plain_windows(trial: Trial, case: AdaptiveCase) -> None:
    """Where the windows divide an axis it is an average pooling with stride; windows of 2 to 3 pixels a side, of 8 and more outputs."""
    g, kernel = case.geometry, (2, 3, 2)[: len(case.geometry.sizes)]
    outputs = tuple(o + 8 for o in g.outputs)
    x = np.resize(case.x, (max(g.n, 1), g.c, *(o * k for o, k in zip(outputs, kernel)))).astype(case.x.dtype)
    wanted = trial.avg_pool(x, PoolGeometry.of(x.shape, kernel))
    trial.same(trial.adaptive("avg", x, replace(g, n=len(x), sizes=x.shape[2:], outputs=outputs)), wanted, 1e-5)


@law(AVERAGE, needs=("adaptive_avg_pool", "_grad"))
def adaptive_pooling_is_adjoint_to_its_gradient(trial: Trial, case: AdaptiveCase) -> None:
    """<pool(x), g> = <x, the gradient of x from g>."""
    g, common = case.geometry, case.x.dtype.type(_common(case.geometry))
    x, grad = (case.x % 3) * common, (case.grad % 3) * common
    y, dx = trial.adaptive("avg", x, g), trial.adaptive_grad("avg", grad, x, g)
    trial.same(dx.shape, x.shape)
    trial.same(dot(x, dx), dot(y, grad), max(trial.factor, 0.01) * 1e-4 * dot(np.abs(x), np.abs(dx)))


@law("adaptive_max_pool", needs=("_grad",), kind="distinct")
def adaptive_max_gradient_goes_to_the_maximum(trial: Trial, case: AdaptiveCase) -> None:
    """A pixel gets the gradients of all windows whose maximum it is, added up."""
    g, grad = case.geometry, case.grad % 5
    wanted = np.zeros(g.input_shape, case.x.dtype)
    for place, window in _places(g):
        for n, c in np.ndindex(g.n, g.c):
            part = case.x[(n, c, *window)]
            at = np.unravel_index(int(part.argmax()), part.shape)
            wanted[(n, c, *(s.start + a for s, a in zip(window, at)))] += grad[(n, c, *place)]
    trial.same(trial.adaptive_grad("max", grad, case.x, g), wanted)
