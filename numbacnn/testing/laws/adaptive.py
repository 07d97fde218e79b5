"""Adaptive pooling."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from ...geometry import AdaptivePoolGeometry
from ..cases import AdaptiveCase
from ..trial import Trial
from .base import law
from .conv import MANY

BOTH = ("adaptive_avg_pool", "adaptive_max_pool")


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


def _row(case: AdaptiveCase) -> AdaptiveCase:
    """35 channels of one row, of up to 108 pixels to up to 126 outputs: some bounds lie on whole numbers by a hair."""
    g, front = case.geometry, (1,) * (len(case.geometry.sizes) - 1)
    return case.on(replace(g, c=MANY, sizes=(*front, 12 * g.sizes[-1]), outputs=(*front, g.outputs[-1] + 117)))


@law(*BOTH)
def adaptive_windows_cover_their_share(trial: Trial, case: AdaptiveCase, family: str) -> None:
    """Window o of an axis covers the places from floor(o size / outputs) to ceil((o + 1) size / outputs); of up to 126 outputs."""
    kind = family.split("_")[1]
    for each in (case, _row(case)):
        wanted = np.zeros(each.geometry.output_shape, each.x.dtype)
        for place, window in _places(each.geometry):
            part, axes = each.x[(..., *window)], tuple(range(2, each.x.ndim))
            wanted[(..., *place)] = part.mean(axes) if kind == "avg" else part.max(axes)
        trial.same(trial.adaptive(kind, each.x, each.geometry), wanted, 1e-5 if kind == "avg" else 0.0)


@law("adaptive_avg_pool", needs=("_grad",))
def adaptive_gradient_shares_evenly(trial: Trial, case: AdaptiveCase) -> None:
    """Each pixel of a window gets its share of the output's gradient; those of several windows add up. Of up to 126 outputs."""
    for each in (case, _row(case)):
        g = each.geometry
        wanted = np.zeros(g.input_shape)
        for place, window in _places(g):
            part = wanted[(..., *window)]
            part += (each.grad[(..., *place)] / math.prod(part.shape[2:])).reshape(*part.shape[:2], *(1 for _ in g.sizes))
        trial.same(trial.adaptive_grad("avg", each.grad, each.x, g), wanted, 1e-5 * float(np.abs(wanted).max(initial=1)))


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
