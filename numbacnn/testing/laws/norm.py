"""Batch normalisation by the batch's own statistics, without weights. Its sums round: results may be ``NORM`` off."""

from __future__ import annotations

import numpy as np

from ..cases import NormCase
from ..trial import NORM, Trial
from .base import law


@law("batch_norm")
def normalised_channels_have_mean_0_and_variance_1(trial: Trial, case: NormCase) -> None:
    """A channel has mean 0 and variance 1, or var / (var + eps) to be exact."""
    axes = (0, *range(2, case.x.ndim))
    wide, y = case.x.astype(np.float64), trial.batch_norm(case.x, case.geometry).astype(np.float64)
    var = wide.var(axes)
    trial.same(y.mean(axes), np.zeros(len(var)), NORM)
    trial.same(y.var(axes), var / (var + case.geometry), NORM)


@law("batch_norm")
def normalisation_ignores_shift_and_scale(trial: Trial, case: NormCase) -> None:
    """norm(4 x + 64) with 16 times the eps is norm(x)."""
    x, eps = case.x, case.geometry
    trial.same(trial.batch_norm(4 * x + x.dtype.type(64), 16 * eps), trial.batch_norm(x, eps), NORM)


@law("batch_norm")
def normalisation_leaves_channels_alone(trial: Trial, case: NormCase) -> None:
    """Each channel gives what it gives alone."""
    y = trial.batch_norm(case.x, case.geometry)
    for c in range(case.x.shape[1]):
        trial.same(y[:, c : c + 1], trial.batch_norm(case.x[:, c : c + 1], case.geometry), NORM)


@law("batch_norm")
def normalisation_mixes_the_batch_evenly(trial: Trial, case: NormCase) -> None:
    """All pixels moved on by one, from image to image too, give the same moved on by one."""

    def moved(a: np.ndarray) -> np.ndarray:
        last = np.moveaxis(a, 1, -1)
        return np.moveaxis(np.roll(last.reshape(-1, a.shape[1]), 1, 0).reshape(last.shape), -1, 1)

    trial.same(trial.batch_norm(moved(case.x), case.geometry), moved(trial.batch_norm(case.x, case.geometry)), NORM)
