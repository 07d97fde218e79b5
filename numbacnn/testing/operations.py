"""Convolution, pooling and batch normalisation as callables on NumPy arrays: what ``properties`` judges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from .. import reference
from ..backends import Backend
from ..geometry import AdaptivePool2dGeometry, Conv2dGeometry, Pool2dGeometry

__all__ = ["Adaptive", "AdaptiveGrad", "Conv", "ConvGrad", "Norm", "Operations", "Pool", "PoolGrad", "of_backend", "of_reference"]

Conv: TypeAlias = Callable[[np.ndarray, np.ndarray, Conv2dGeometry], np.ndarray]
"""(x (N, C, H, W), w (OC, C/groups, KH, KW), geometry) -> y (N, OC, OH, OW)."""
ConvGrad: TypeAlias = Callable[[np.ndarray, np.ndarray, Conv2dGeometry], np.ndarray]
"""(grad (N, OC, OH, OW), the other operand, geometry) -> the gradient of x or of w."""
Pool: TypeAlias = Callable[[np.ndarray, Pool2dGeometry], np.ndarray]
"""(x (N, C, H, W), geometry) -> y (N, C, OH, OW)."""
PoolGrad: TypeAlias = Callable[[np.ndarray, np.ndarray, Pool2dGeometry], np.ndarray]
"""(x (N, C, H, W), grad (N, C, OH, OW), geometry) -> the gradient of x."""

Adaptive: TypeAlias = Callable[[np.ndarray, AdaptivePool2dGeometry], np.ndarray]
"""(x (N, C, H, W), geometry) -> y (N, C, OH, OW)."""
AdaptiveGrad: TypeAlias = Callable[[np.ndarray, AdaptivePool2dGeometry], np.ndarray]
"""(grad (N, C, OH, OW), geometry) -> the gradient of x."""
Norm: TypeAlias = Callable[[np.ndarray, float], np.ndarray]
"""(x (N, C, H, W), eps) -> x normalised by the batch's statistics."""


@dataclass(frozen=True)
class Operations:
    """One implementation of convolution, pooling and batch normalisation."""

    conv2d: Conv
    conv2d_grad_input: ConvGrad
    conv2d_grad_weight: ConvGrad
    max_pool2d: Pool
    max_pool2d_grad: PoolGrad
    avg_pool2d: Pool
    avg_pool2d_grad: PoolGrad
    adaptive_avg_pool2d: Adaptive
    adaptive_avg_pool2d_grad: AdaptiveGrad
    batch_norm: Norm


def of_backend(xp: Backend) -> Operations:
    """The operations of a device.

    >>> from numbacnn import backends
    >>> ops = of_backend(backends.get("cpu"))
    >>> ops.avg_pool2d(np.ones((1, 1, 2, 2), np.float32), Pool2dGeometry.of((1, 1, 2, 2), 2)).item()
    1.0
    """

    def conv2d(x: np.ndarray, w: np.ndarray, g: Conv2dGeometry) -> np.ndarray:
        return xp.to_numpy(xp.conv2d_forward(xp.from_numpy(x), xp.from_numpy(w), None, g))

    def conv2d_grad_input(grad: np.ndarray, w: np.ndarray, g: Conv2dGeometry) -> np.ndarray:
        return xp.to_numpy(xp.conv2d_grad_input(xp.from_numpy(grad), xp.from_numpy(w), g))

    def conv2d_grad_weight(grad: np.ndarray, x: np.ndarray, g: Conv2dGeometry) -> np.ndarray:
        return xp.to_numpy(xp.conv2d_grad_weight(xp.from_numpy(grad), xp.from_numpy(x), g))

    def max_pool2d(x: np.ndarray, g: Pool2dGeometry) -> np.ndarray:
        return xp.to_numpy(xp.max_pool2d_forward(xp.from_numpy(x), g)[0])

    def max_pool2d_grad(x: np.ndarray, grad: np.ndarray, g: Pool2dGeometry) -> np.ndarray:
        _, index = xp.max_pool2d_forward(xp.from_numpy(x), g)
        return xp.to_numpy(xp.max_pool2d_backward(xp.from_numpy(grad), index, g))

    def avg_pool2d(x: np.ndarray, g: Pool2dGeometry) -> np.ndarray:
        return xp.to_numpy(xp.avg_pool2d_forward(xp.from_numpy(x), g))

    def avg_pool2d_grad(x: np.ndarray, grad: np.ndarray, g: Pool2dGeometry) -> np.ndarray:
        return xp.to_numpy(xp.avg_pool2d_backward(xp.from_numpy(grad), g))

    def adaptive_avg_pool2d(x: np.ndarray, g: AdaptivePool2dGeometry) -> np.ndarray:
        return xp.to_numpy(xp.adaptive_avg_pool2d_forward(xp.from_numpy(x), g))

    def adaptive_avg_pool2d_grad(grad: np.ndarray, g: AdaptivePool2dGeometry) -> np.ndarray:
        return xp.to_numpy(xp.adaptive_avg_pool2d_backward(xp.from_numpy(grad), g))

    def batch_norm(x: np.ndarray, eps: float) -> np.ndarray:
        return xp.to_numpy(xp.batch_norm_forward(xp.from_numpy(x), None, None, None, None, True, 0.0, eps)[0])

    return Operations(
        conv2d,
        conv2d_grad_input,
        conv2d_grad_weight,
        max_pool2d,
        max_pool2d_grad,
        avg_pool2d,
        avg_pool2d_grad,
        adaptive_avg_pool2d,
        adaptive_avg_pool2d_grad,
        batch_norm,
    )


def of_reference() -> Operations:
    """The operations of ``reference``, in plain NumPy."""

    def conv2d(x: np.ndarray, w: np.ndarray, g: Conv2dGeometry) -> np.ndarray:
        return reference.conv2d_forward(x, w, None, g)

    def max_pool2d(x: np.ndarray, g: Pool2dGeometry) -> np.ndarray:
        return reference.max_pool2d_forward(x, g)[0]

    def max_pool2d_grad(x: np.ndarray, grad: np.ndarray, g: Pool2dGeometry) -> np.ndarray:
        return reference.max_pool2d_backward(grad, reference.max_pool2d_forward(x, g)[1], g)

    def avg_pool2d_grad(x: np.ndarray, grad: np.ndarray, g: Pool2dGeometry) -> np.ndarray:
        return reference.avg_pool2d_backward(grad, g)

    return Operations(
        conv2d,
        reference.conv2d_grad_input,
        reference.conv2d_grad_weight,
        max_pool2d,
        max_pool2d_grad,
        reference.avg_pool2d_forward,
        avg_pool2d_grad,
        reference.adaptive_avg_pool2d_forward,
        reference.adaptive_avg_pool2d_backward,
        reference.batch_norm,
    )
