"""Convolution."""

from __future__ import annotations

from typing import Any

from ...arguments import IntPair
from ...geometry import Conv2dGeometry, Padding
from ...ops import conv
from ...tensor import Tensor, apply
from .checks import check_activation, check_bias, check_dtypes
from .pool import average_geometry

__all__ = ["conv2d"]


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    activation: str = "none",
    average: tuple[Any, ...] | None = None,
) -> Tensor:
    """Cross-correlation of images with kernels, plus a bias.

    Args:
        input: (N, C, H, W), or one image (C, H, W).
        weight: (OC, C/groups, KH, KW).
        bias: (OC,).
        stride: step between windows, in pixels.
        padding: zeros on each side, in pixels; 'valid' is none, 'same' keeps the size (stride 1).
        dilation: distance between the taps of a kernel, in pixels.
        groups: input and output channels in so many groups that do not see each other.
        activation: 'none', 'relu', 'sigmoid' or 'tanh': applied to the result while it is in the cache, to the same bits.
        average: the arguments of :func:`avg_pool2d` after the input, ``(2,)`` at least; it comes last, and its gradient and the
            activation's are one pass over memory.

    Returns:
        (N, OC, OH, OW) with OH = (H + 2 padding - dilation (KH - 1) - 1) // stride + 1, or without N; with ``average``, its means.

    Raises:
        ShapeError, DTypeError: the arguments do not fit each other.

    >>> import numbacnn as nc
    >>> conv2d(nc.ones(1, 1, 3, 3), nc.ones(1, 1, 2, 2)).shape
    (1, 1, 2, 2)
    """
    check_dtypes("conv2d", input, weight, bias)
    if input.ndim == 3:
        return conv2d(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups, activation, average).squeeze(0)
    geometry = Conv2dGeometry.of(input.shape, weight.shape, stride, padding, dilation, groups)
    check_bias("conv2d", bias, geometry.oc)
    check_activation("conv2d", activation)
    pooled = None if average is None else average_geometry(geometry.output_shape, *average)
    return apply(conv.Conv2d(geometry, activation, pooled), input, weight, bias)
