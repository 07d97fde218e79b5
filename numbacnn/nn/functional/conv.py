"""Convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...arguments import IntPair
from ...errors import ShapeError, message
from ...geometry import ConvGeometry, Padding, PoolGeometry
from ...ops import conv
from ...signatures import judged
from ...tensor import Tensor, apply
from .checks import check_bias, check_dtypes

__all__ = ["conv2d", "fused_conv2d"]


@judged
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
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

    Returns:
        (N, OC, OH, OW) with OH = (H + 2 padding - dilation (KH - 1) - 1) // stride + 1, or without N.

    Raises:
        ShapeError, DTypeError: the arguments do not fit each other.

    >>> import numbacnn as nc
    >>> conv2d(nc.ones(1, 1, 3, 3), nc.ones(1, 1, 2, 2)).shape
    (1, 1, 2, 2)
    """
    return fused_conv2d(input, weight, bias, stride, padding, dilation, groups)


def fused_conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: IntPair,
    padding: Padding,
    dilation: IntPair,
    groups: int,
    activation: str = "none",
    average: Callable[[tuple[int, ...]], PoolGeometry] | None = None,
) -> Tensor:
    """:func:`conv2d`, and what the layers behind it would do with its result, to the same bits.

    Args:
        activation: one of ``names.ACTIVATIONS``, applied while the result is in the cache.
        average: the geometry of the average pooling of a shape, which comes last; its gradient and the activation's are one pass over
            memory.
    """
    try:
        check_dtypes("conv2d", input, weight, bias)
        if input.ndim == 3:
            batch = input.unsqueeze(0)
            return fused_conv2d(batch, weight, bias, stride, padding, dilation, groups, activation, average).squeeze(0)
        geometry = ConvGeometry.of(input.shape, weight.shape, stride, padding, dilation, groups, axes=2)
    except (ShapeError, TypeError):
        _check_layout(input, weight, groups)
        raise
    check_bias("conv2d", bias, geometry.oc)
    pooled = None if average is None else average(geometry.output_shape)
    return apply(conv.Conv(geometry, activation, pooled), input, weight, bias)


def _check_layout(input: Any, weight: Any, groups: Any) -> None:
    """Say of an input that was refused, a Tensor or an array, that its channels are last, where it looks so."""
    shape, channels = tuple(getattr(input, "shape", ())), weight.shape[1] * groups if len(weight.shape) == 4 else 0
    if len(shape) in (3, 4) and shape[-1] == channels != shape[-3]:
        axes, order = ("(H, W, C)", "(2, 0, 1)") if len(shape) == 3 else ("(N, H, W, C)", "(0, 3, 1, 2)")
        hint = f"{axes} looks like a picture: {'permute' if isinstance(input, Tensor) else 'transpose'}{order}"
        raise ShapeError(message("conv2d", f"input (N, C, H, W) or (C, H, W) with C = {channels}", f"input {shape}", hint)) from None
