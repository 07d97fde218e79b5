"""What holds for each operation and its gradients alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ...geometry import AdaptivePoolGeometry, Axis
from ..cases import Case
from ..trial import LawBroken, Trial
from .base import law
from .conv import longer


def _pairs(first: list[Any], second: list[Any]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The results of two runs side by side, numbered, without those that are not offered."""
    return ((i, a, b) for i, (a, b) in enumerate(zip(first, second)) if a is not None and b is not None)


FAMILIES = ("conv", "conv_transpose", "max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "pad", "batch_norm")


@law(*FAMILIES, layouts=True)
def the_order_of_memory_does_not_matter(trial: Trial, case: Case, family: str) -> None:
    """Channels-last, strided, reversed and read-only arrays give what the same values in plain order give."""
    for _, found, wanted in _pairs(trial.run(family, case), trial.run(family, case.with_values(layout="C"))):
        (trial.equal if trial.same_bits else trial.same)(found, wanted)


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
        trial.equal(values.array, copy)


def _ordinary(a: np.ndarray) -> np.ndarray:
    """Without what a maximum of no pixels gives: of that another law speaks."""
    return np.where(a <= -65504, a.dtype.type(0), a)


@law(*FAMILIES, kind="normal")
def float64_gives_what_float32_gives(trial: Trial, case: Case, family: str) -> None:
    """float64 gives what float32 gives but for its rounding, in float64, and of no fewer bits."""
    wide = trial.run(family, case.with_values(dtype="float64"))
    for _, found, rounded in _pairs(wide, trial.run(family, case)):
        if found.dtype != np.float64:
            raise LawBroken(f"expected float64; received {found.dtype}", found, rounded)
        found, rounded = _ordinary(found), _ordinary(rounded)
        trial.same(rounded, found, 2e-5 * float(np.abs(found).max(initial=1)))
        if ((found == found.astype(np.float32)) & (found != 0)).any():  # by chance once in 2**29 numbers
            raise LawBroken("expected the bits of float64; received numbers that float32 holds", found)


@law(*FAMILIES)
def float16_gives_what_float32_gives(trial: Trial, case: Case, family: str) -> None:
    """On small integers float16 gives the same numbers, but for its rounding, in float16."""
    narrow = trial.run(family, case.with_values(dtype="float16"))
    for i, found, wanted in _pairs(narrow, trial.run(family, case)):
        if i and family == "batch_norm":  # its gradient is what is left of differences
            continue
        if found.dtype != np.float16:
            raise LawBroken(f"expected float16; received {found.dtype}", found, wanted)
        found, wanted = _ordinary(found), _ordinary(wanted)
        trial.same(found, wanted, 4e-3 * float(np.abs(wanted).max(initial=1)))


@law(*FAMILIES[:-1])
def an_empty_batch_gives_an_empty_batch(trial: Trial, case: Case, family: str) -> None:
    """No images give no images, and gradients of zero."""
    inputs = tuple(replace(v, shape=(0, *v.shape[1:])) if i in case.batched else v for i, v in enumerate(case.inputs))
    geometry = replace(case.geometry, n=0) if hasattr(case.geometry, "n") else case.geometry
    empty, full = (trial.run(family, each) for each in (replace(case, geometry=geometry, inputs=inputs), case))
    for i, found, usual in _pairs(empty, full):  # what comes out, the gradient of what went in, those of weights
        trial.same(found, np.zeros((0, *usual.shape[1:]) if i < 2 else usual.shape))


def _longer(g: Any) -> Any:
    """The geometry with 260 outputs more along the last axis, and as few as can be along the others."""
    if isinstance(g, AdaptivePoolGeometry):
        return replace(g, sizes=(*g.sizes[:-1], g.sizes[-1] + 300), outputs=(*(1 for _ in g.outputs[:-1]), g.outputs[-1] + 260))
    return longer(g, 260)


def _lifted(g: Any) -> Any:
    """The geometry with an axis of one place in front of the others."""
    if isinstance(g, AdaptivePoolGeometry):
        return replace(g, sizes=(1, *g.sizes), outputs=(1, *g.outputs))
    return replace(g, axes=(Axis(1, ceil=g.axes[0].ceil), *g.axes))


@law(*FAMILIES[:-2], axes=(1, 2))
def a_unit_axis_changes_nothing(trial: Trial, case: Case, family: str) -> None:
    """A signal is an image of one row, an image a volume of one slice; of more than 260 places a row."""
    holds_lifted(trial, case.on(_longer(case.geometry)), family)


def holds_lifted(trial: Trial, case: Case, family: str) -> None:
    """Break the law unless the case gives what it gives with an axis of one place more; averages but for their rounding."""
    for _, found, lifted in _pairs(trial.run(family, case), trial.run(family, case.on(_lifted(case.geometry)))):
        trial.same(lifted.shape, (*found.shape[:2], 1, *found.shape[2:]) if lifted.ndim > found.ndim else found.shape)
        atol = 1e-6 * float(np.abs(lifted).max(initial=0)) if "avg" in family else 0.0
        trial.same(found, lifted.reshape(found.shape), atol)


@law(*FAMILIES, needs=("", "set_num_threads"), kind="normal")
def threads_change_nothing(trial: Trial, case: Case, family: str) -> None:
    """One thread gives what several give: the same bits, where they are promised."""
    _switch_changes_nothing(trial, case, family, "set_num_threads", 1, 0)


@law(*FAMILIES, needs=("", "set_compiled"), kind="normal")
def compiling_changes_nothing(trial: Trial, case: Case, family: str) -> None:
    """A compiled call gives what the call gives without: the same bits, where they are promised."""
    _switch_changes_nothing(trial, case, family, "set_compiled", True, False)


def _switch_changes_nothing(trial: Trial, case: Case, family: str, switch: str, value: Any, usual: Any) -> None:
    with trial.switched(switch, value, usual):
        other = trial.run(family, case)
    for _, found, wanted in _pairs(other, trial.run(family, case)):
        (trial.equal if trial.same_bits else trial.same)(found, wanted)
