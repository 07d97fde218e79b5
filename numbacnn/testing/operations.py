"""Convolution, pooling and batch normalisation as callables on NumPy arrays: what ``properties`` judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from .. import reference
from ..backends import Backend
from ..geometry import AdaptivePoolGeometry, ConvGeometry, PoolGeometry

__all__ = ["Adaptive", "AdaptiveGrad", "Conv", "ConvGrad", "Norm", "Operations", "Pool", "PoolGrad", "of_backend", "of_reference"]

Conv: TypeAlias = Callable[[np.ndarray, np.ndarray, ConvGeometry], np.ndarray]
"""(x (N, C, ...), w (OC, C/groups, ...), geometry) -> y (N, OC, ...)."""
ConvGrad: TypeAlias = Callable[[np.ndarray, np.ndarray, ConvGeometry], np.ndarray]
"""(grad (N, OC, ...), the other operand, geometry) -> the gradient of x or of w."""
Pool: TypeAlias = Callable[[np.ndarray, PoolGeometry], np.ndarray]
"""(x (N, C, ...), geometry) -> y (N, C, ...)."""
PoolGrad: TypeAlias = Callable[[np.ndarray, np.ndarray, PoolGeometry], np.ndarray]
"""(x (N, C, ...), grad (N, C, ...), geometry) -> the gradient of x."""

Adaptive: TypeAlias = Callable[[np.ndarray, AdaptivePoolGeometry], np.ndarray]
"""(x (N, C, ...), geometry) -> y (N, C, ...)."""
AdaptiveGrad: TypeAlias = Callable[[np.ndarray, AdaptivePoolGeometry], np.ndarray]
"""(grad (N, C, ...), geometry) -> the gradient of x."""
Norm: TypeAlias = Callable[[np.ndarray, float], np.ndarray]
"""(x (N, C, ...), eps) -> x normalised by the batch's statistics."""


@dataclass(frozen=True)
class Operations:
    """One implementation of convolution, pooling and batch normalisation."""

    conv: Conv
    conv_grad_input: ConvGrad
    conv_grad_weight: ConvGrad
    max_pool: Pool
    max_pool_grad: PoolGrad
    avg_pool: Pool
    avg_pool_grad: PoolGrad
    adaptive_avg_pool: Adaptive
    adaptive_avg_pool_grad: AdaptiveGrad
    batch_norm: Norm


def of_backend(xp: Backend) -> Operations:
    """The operations of a device.

    >>> from numbacnn import backends
    >>> ops = of_backend(backends.get("cpu"))
    >>> ops.avg_pool(np.ones((1, 1, 2, 2), np.float32), PoolGeometry.of((1, 1, 2, 2), 2)).item()
    1.0
    """

    def conv(x: np.ndarray, w: np.ndarray, g: ConvGeometry) -> np.ndarray:
        return xp.to_numpy(xp.conv_forward(xp.from_numpy(x), xp.from_numpy(w), None, g))

    def conv_grad_input(grad: np.ndarray, w: np.ndarray, g: ConvGeometry) -> np.ndarray:
        return xp.to_numpy(xp.conv_grad_input(xp.from_numpy(grad), xp.from_numpy(w), g))

    def conv_grad_weight(grad: np.ndarray, x: np.ndarray, g: ConvGeometry) -> np.ndarray:
        return xp.to_numpy(xp.conv_grad_weight(xp.from_numpy(grad), xp.from_numpy(x), g))

    def max_pool(x: np.ndarray, g: PoolGeometry) -> np.ndarray:
        return xp.to_numpy(xp.max_pool_forward(xp.from_numpy(x), g)[0])

    def max_pool_grad(x: np.ndarray, grad: np.ndarray, g: PoolGeometry) -> np.ndarray:
        _, index = xp.max_pool_forward(xp.from_numpy(x), g)
        return xp.to_numpy(xp.max_pool_backward(xp.from_numpy(grad), index, g))

    def avg_pool(x: np.ndarray, g: PoolGeometry) -> np.ndarray:
        return xp.to_numpy(xp.avg_pool_forward(xp.from_numpy(x), g))

    def avg_pool_grad(x: np.ndarray, grad: np.ndarray, g: PoolGeometry) -> np.ndarray:
        return xp.to_numpy(xp.avg_pool_backward(xp.from_numpy(grad), g))

    def adaptive_avg_pool(x: np.ndarray, g: AdaptivePoolGeometry) -> np.ndarray:
        return xp.to_numpy(xp.adaptive_avg_pool_forward(xp.from_numpy(x), g))

    def adaptive_avg_pool_grad(grad: np.ndarray, g: AdaptivePoolGeometry) -> np.ndarray:
        return xp.to_numpy(xp.adaptive_avg_pool_backward(xp.from_numpy(grad), g))

    def batch_norm(x: np.ndarray, eps: float) -> np.ndarray:
        return xp.to_numpy(xp.batch_norm_forward(xp.from_numpy(x), None, None, None, None, True, 0.0, eps)[0])

    return Operations(
        conv,
        conv_grad_input,
        conv_grad_weight,
        max_pool,
        max_pool_grad,
        avg_pool,
        avg_pool_grad,
        adaptive_avg_pool,
        adaptive_avg_pool_grad,
        batch_norm,
    )


def of_reference() -> Operations:
    """The operations of ``reference``, in plain NumPy."""

    def conv(x: np.ndarray, w: np.ndarray, g: ConvGeometry) -> np.ndarray:
        return reference.conv_forward(x, w, None, g)

    def max_pool(x: np.ndarray, g: PoolGeometry) -> np.ndarray:
        return reference.max_pool_forward(x, g)[0]

    def max_pool_grad(x: np.ndarray, grad: np.ndarray, g: PoolGeometry) -> np.ndarray:
        return reference.max_pool_backward(grad, reference.max_pool_forward(x, g)[1], g)

    def avg_pool_grad(x: np.ndarray, grad: np.ndarray, g: PoolGeometry) -> np.ndarray:
        return reference.avg_pool_backward(grad, g)

    return Operations(
        conv,
        reference.conv_grad_input,
        reference.conv_grad_weight,
        max_pool,
        max_pool_grad,
        reference.avg_pool_forward,
        avg_pool_grad,
        reference.adaptive_avg_pool_forward,
        reference.adaptive_avg_pool_backward,
        reference.batch_norm,
    )
