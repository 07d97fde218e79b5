"""Normalisation."""

from __future__ import annotations

import numpy as np

__all__ = ["batch_norm"]


def batch_norm(x: np.ndarray, eps: float) -> np.ndarray:
    """x (N, C, ...) with mean 0 and variance 1 (but for eps) in each channel; worked out in float64."""
    axes = (0, *range(2, x.ndim))
    wide = x.astype(np.float64)
    moved = wide - wide.mean(axes, keepdims=True)
    return (moved / np.sqrt((moved * moved).mean(axes, keepdims=True) + eps)).astype(x.dtype)
