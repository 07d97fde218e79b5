"""What holds for each operation and its gradients alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ...geometry import Axis
from ..cases import Case
from ..trial import LawBroken, Trial
from .base import law


def _pairs(first: list[Any], second: list[Any]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The results of two runs side by side, numbered, without those that are not offered."""
    return ((i, a, b) for i, (a, b) in enumerate(zip(first, second)) if a is not None and b is not None)


FAMILIES = ("conv", "conv_transpose", "max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "pad", "batch_norm")


@law(*FAMILIES)
def the_order_of_memory_does_not_matter(trial: Trial, case: Case, family: str) -> None:
    """Channels-last, strided, reversed and read-only arrays give what the same values in plain order give."""
    for _, found, wanted in _pairs(trial.run(family, case), trial.run(family, case.with_values(layout="C"))):
        trial.same(found, wanted)


@law(*FAMILIES, kind="normal")
def calls_repeat_bit_for_bit(trial: Trial, case: Case, family: str) -> None:
    """The same call gives the same bits again."""
    for _, found, wanted in _pairs(trial.run(family, case), trial.run(family, case)):
        trial.equal(found, wanted)


@law(*FAMILIES)
def inputs_are_left_alone(trial: Trial, case: Case, family: str) -> None:
    """No call writes to an array that it was given."""
    before = [values.array.copy() for values in case.inputs]
    trial.run(family, case)
    for values, copy in zip(case.inputs, before):
        trial.same(values.array, copy)


@law(*FAMILIES)
def float64_gives_what_float32_gives(trial: Trial, case: Case, family: str) -> None:
    """On small integers float64 gives the same numbers, in float64."""
    case = case.with_values(layout="C")
    wide = trial.run(family, case.with_values(dtype="float64"))
    for _, found, wanted in _pairs(wide, trial.run(family, case)):
        if found.dtype != np.float64:
            raise LawBroken(f"expected float64; received {found.dtype}", found, wanted)
        trial.same(found, wanted, 1e-4 * float(np.abs(wanted).max(initial=1)))


@law(*FAMILIES)
def float16_gives_what_float32_gives(trial: Trial, case: Case, family: str) -> None:
    """On small integers float16 gives the same numbers, but for its rounding, in float16."""
    case = case.with_values(layout="C")
    narrow = trial.run(family, case.with_values(dtype="float16"))
    for _, found, wanted in _pairs(narrow, trial.run(family, case)):
        if found.dtype != np.float16:
            raise LawBroken(f"expected float16; received {found.dtype}", found, wanted)
        trial.same(found, wanted, 4e-3 * float(np.abs(wanted).max(initial=1)))


@law(*FAMILIES[:-1])
def an_empty_batch_gives_an_empty_batch(trial: Trial, case: Case, family: str) -> None:
    """No images give no images, and gradients of zero."""
    inputs = tuple(replace(v, shape=(0, *v.shape[1:])) if i in case.batched else v for i, v in enumerate(case.inputs))
    geometry = replace(case.geometry, n=0) if hasattr(case.geometry, "n") else case.geometry
    empty, full = (trial.run(family, each) for each in (replace(case, geometry=geometry, inputs=inputs), case))
    for i, found, usual in _pairs(empty, full):  # what comes out, the gradient of what went in, those of weights
        trial.same(found, np.zeros((0, *usual.shape[1:]) if i < 2 else usual.shape))


def _lifted(case: Case) -> Case:
    """The case with an axis of one place in front of the others."""
    g: Any = case.geometry
    if hasattr(g, "axes"):
        g = replace(g, axes=(Axis(1), *g.axes))
    elif hasattr(g, "sizes"):
        g = replace(g, sizes=(1, *g.sizes), outputs=(1, *g.outputs))
    elif isinstance(g, tuple):
        g = ((0, 0), *g)
    return replace(case, geometry=g, inputs=tuple(replace(v, shape=_with_one(v.shape)) for v in case.inputs))


def _with_one(shape: tuple[int, ...]) -> tuple[int, ...]:
    return (*shape[:2], 1, *shape[2:]) if len(shape) > 2 else shape


@law(*FAMILIES, axes=(1, 2))
def a_unit_axis_changes_nothing(trial: Trial, case: Case, family: str) -> None:
    """A signal is an image of one row, an image a volume of one slice."""
    for _, found, lifted in _pairs(trial.run(family, case), trial.run(family, _lifted(case))):
        trial.same(lifted.shape, _with_one(found.shape))
        trial.same(found, lifted.reshape(found.shape))


@law(*FAMILIES, needs=("", "set_num_threads"), kind="normal")
def threads_change_nothing(trial: Trial, case: Case, family: str) -> None:
    """One thread gives what several give: the same bits, where they are promised."""
    trial.implementation.set_num_threads(1)
    try:
        alone = trial.run(family, case)
    finally:
        trial.implementation.set_num_threads(0)
    for _, found, wanted in _pairs(trial.run(family, case), alone):
        (trial.equal if trial.same_bits else trial.same)(found, wanted)
