"""Pooling."""

from __future__ import annotations

import functools

from ...arguments import IntPair
from ...errors import ShapeError, message
from ...geometry import AdaptivePool2dGeometry, AdaptiveSize, Pool2dGeometry
from ...ops import pool
from ...signatures import judged
from ...tensor import Tensor, apply
from .checks import check_dtypes

__all__ = ["adaptive_avg_pool2d", "avg_pool2d", "max_pool2d"]


@judged
def max_pool2d(
    input: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest value of each window of input (N, C, H, W) or (C, H, W); ``stride`` defaults to ``kernel_size``.

    Padding counts as minus infinity; NaN wins. With ``ceil_mode`` a last window may stick out behind the data.

    >>> import numbacnn as nc
    >>> max_pool2d(nc.arange(16.0).reshape(1, 1, 4, 4), 2).flatten()
    tensor([ 5.,  7., 13., 15.])
    """
    check_dtypes("max_pool2d", input)
    if input.ndim == 3:
        return max_pool2d(input.unsqueeze(0), kernel_size, stride, padding, dilation, ceil_mode).squeeze(0)
    geometry = Pool2dGeometry.of(input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    if _blind(geometry):
        received = f"kernel {geometry.kernel}, padding {geometry.padding} and dilation {geometry.dilation} on {(geometry.h, geometry.w)}"
        raise ShapeError(message("max_pool2d", "windows that each see an element of the input", received, "lower padding or dilation"))
    return apply(pool.MaxPool2d(geometry), input)


@functools.lru_cache(maxsize=1024)
def _blind(g: Pool2dGeometry) -> bool:
    """Whether some window has all its taps in the padding: it has no maximum."""
    axes = zip((g.h, g.w), (g.oh, g.ow), g.kernel, g.stride, g.padding, g.dilation)
    return any(
        not any(0 <= o * stride - before + k * dilation < size for k in range(kernel))
        for size, windows, kernel, stride, before, dilation in axes
        for o in range(windows)
    )


@judged
def avg_pool2d(
    input: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of input (N, C, H, W) or (C, H, W); ``stride`` defaults to ``kernel_size``.

    The divisor counts the padding's zeros where ``count_include_pad``, else only the data in the window; never what sticks out
    behind the padding with ``ceil_mode``.

    >>> import numbacnn as nc
    >>> avg_pool2d(nc.arange(16.0).reshape(1, 1, 4, 4), 2).flatten()
    tensor([ 2.5000,  4.5000, 10.5000, 12.5000])
    """
    check_dtypes("avg_pool2d", input)
    if input.ndim == 3:
        return avg_pool2d(input.unsqueeze(0), kernel_size, stride, padding, ceil_mode, count_include_pad).squeeze(0)
    geometry = Pool2dGeometry.of(input.shape, kernel_size, stride, padding, 1, ceil_mode, count_include_pad, op="avg_pool2d")
    return apply(pool.AvgPool2d(geometry), input)


@judged
def adaptive_avg_pool2d(input: Tensor, output_size: AdaptiveSize) -> Tensor:
    """The means of ``output_size`` windows of nearly equal sizes of input (N, C, H, W) or (C, H, W).

    Output row o covers the rows floor(o * H / OH) to ceil((o + 1) * H / OH), without the last. A size of None is the input's.

    >>> import numbacnn as nc
    >>> adaptive_avg_pool2d(nc.arange(6.0).reshape(1, 1, 2, 3), (1, 2)).flatten()
    tensor([2., 3.])
    """
    check_dtypes("adaptive_avg_pool2d", input)
    if input.ndim == 3:
        return adaptive_avg_pool2d(input.unsqueeze(0), output_size).squeeze(0)
    geometry = AdaptivePool2dGeometry.of(input.shape, output_size)
    return apply(pool.AdaptiveAvgPool2d(geometry), input)
