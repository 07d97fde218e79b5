"""Batch normalisation by the batch's own statistics, without weights. Its sums round: see ``Trial.batch_norm``."""

from __future__ import annotations

import numpy as np

from ..cases import NormCase
from ..trial import Trial
from .base import law


def _normalised(x: np.ndarray, eps: float) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """By the definition, in float64: the result, what it was divided by, and the axes of the statistics."""
    axes = (0, *range(2, x.ndim))
    x = x.astype(np.float64)
    deviation = np.sqrt(x.var(axes, keepdims=True) + eps)
    return (x - x.mean(axes, keepdims=True)) / deviation, deviation, axes


@law("batch_norm")
def channels_are_normalised(trial: Trial, case: NormCase) -> None:
    """(x - mean) / sqrt(variance + eps), both over all images and places of a channel, the variance over their number.

    Also of 35 times the channels and rows of 35 times the pixels.
    """
    for x in (case.x, np.tile(case.x, (1, 35, *(1 for _ in case.x.shape[2:]))), np.concatenate([case.x] * 35, -1)):
        trial.same(trial.batch_norm(x, case.geometry), _normalised(x, case.geometry)[0])


@law("batch_norm")
def normalisation_ignores_shift_and_scale(trial: Trial, case: NormCase) -> None:
    """norm(4 x + 1024) with 16 times the eps is norm(x)."""
    x, eps = case.x, case.geometry
    trial.same(trial.batch_norm(4 * x + x.dtype.type(1024), 16 * eps), trial.batch_norm(x, eps), 1e-4)


@law("batch_norm", needs=("_grad",))
def normalisation_gradient_goes_through_the_statistics(trial: Trial, case: NormCase) -> None:
    """The gradient is (g - mean(g) - y mean(g y)) / sqrt(variance + eps): the mean and the variance depend on x too."""
    y, deviation, axes = _normalised(case.x, case.geometry)
    grad = case.grad.astype(np.float64)
    wanted = (grad - grad.mean(axes, keepdims=True) - y * (grad * y).mean(axes, keepdims=True)) / deviation
    trial.same(trial.batch_norm_grad(case.grad, case.x, case.geometry), wanted, 2e-5 * float(np.abs(1 / deviation).max()))
