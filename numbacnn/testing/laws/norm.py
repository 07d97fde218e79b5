"""Batch normalisation by the batch's own statistics, without weights. Its sums round: see ``Trial.batch_norm``."""

from __future__ import annotations

import numpy as np

from ..cases import NormCase
from ..trial import Trial
from .base import law


def _normalised(case: NormCase) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """By the definition, in float64: the result, what it was divided by, and the axes of the statistics."""
    axes = (0, *range(2, case.x.ndim))
    x = case.x.astype(np.float64)
    deviation = np.sqrt(x.var(axes, keepdims=True) + case.geometry)
    return (x - x.mean(axes, keepdims=True)) / deviation, deviation, axes


@law("batch_norm")
def channels_are_normalised(trial: Trial, case: NormCase) -> None:
    """(x - mean) / sqrt(variance + eps), both over all images and places of a channel, the variance over their number."""
    trial.same(trial.batch_norm(case.x, case.geometry), _normalised(case)[0])


@law("batch_norm")
def normalisation_ignores_shift_and_scale(trial: Trial, case: NormCase) -> None:
    """norm(4 x + 1024) with 16 times the eps is norm(x)."""
    x, eps = case.x, case.geometry
    trial.same(trial.batch_norm(4 * x + x.dtype.type(1024), 16 * eps), trial.batch_norm(x, eps), 1e-4)


@law("batch_norm", needs=("_grad",))
def normalisation_gradient_goes_through_the_statistics(trial: Trial, case: NormCase) -> None:
    """The gradient is (g - mean(g) - y mean(g y)) / sqrt(variance + eps): the mean and the variance depend on x too."""
    y, deviation, axes = _normalised(case)
    grad = case.grad.astype(np.float64)
    wanted = (grad - grad.mean(axes, keepdims=True) - y * (grad * y).mean(axes, keepdims=True)) / deviation
    trial.same(trial.batch_norm_grad(case.grad, case.x, case.geometry), wanted, 2e-5 * float(np.abs(1 / deviation).max()))
