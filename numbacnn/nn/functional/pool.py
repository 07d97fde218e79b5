"""Pooling."""

from __future__ import annotations

import functools

import numpy as np

from ... import recording
from ...arguments import IntPair
from ...errors import ShapeError, message
from ...geometry import AdaptivePoolGeometry, AdaptiveSize, PoolGeometry
from ...ops import pool
from ...signatures import judged
from ...tensor import Tensor, apply
from .checks import check_dtypes

__all__ = ["adaptive_avg_pool2d", "adaptive_max_pool2d", "avg_pool2d", "max_pool2d"]


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
    geometry = PoolGeometry.of(input.shape, kernel_size, stride, padding, dilation, ceil_mode, axes=2)
    if _blind(geometry):
        received = f"kernel {geometry.kernel}, padding {geometry.before} and dilation {geometry.dilation} on {geometry.sizes}"
        raise ShapeError(message("max_pool2d", "windows that each see an element of the input", received, "lower padding or dilation"))
    return apply(pool.MaxPool(geometry), input)


@functools.lru_cache(maxsize=1024)
def _blind(geometry: PoolGeometry) -> bool:
    return geometry.blind


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
    geometry = PoolGeometry.of(input.shape, kernel_size, stride, padding, 1, ceil_mode, count_include_pad, op="avg_pool2d", axes=2)
    return apply(pool.AvgPool(geometry), input)


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
    geometry = AdaptivePoolGeometry.of(input.shape, output_size, axes=2)
    return apply(pool.AdaptiveAvgPool(geometry), input)


@judged
def adaptive_max_pool2d(input: Tensor, output_size: AdaptiveSize) -> Tensor:
    """The largest values of the windows that :func:`adaptive_avg_pool2d` averages; of equal ones the first takes the gradient.

    >>> import numbacnn as nc
    >>> adaptive_max_pool2d(nc.arange(6.0).reshape(1, 1, 2, 3), (1, 2)).flatten()
    tensor([4., 5.])
    """
    check_dtypes("adaptive_max_pool2d", input)
    if input.ndim == 3:
        return adaptive_max_pool2d(input.unsqueeze(0), output_size).squeeze(0)
    g = AdaptivePoolGeometry.of(input.shape, output_size, "adaptive_max_pool2d", axes=2)
    if not any(size % outputs for size, outputs in zip(g.sizes, g.outputs)):  # windows of one size, side by side
        return max_pool2d(input, tuple(size // outputs for size, outputs in zip(g.sizes, g.outputs)))
    x = input
    for axis, size, outputs in zip((3, 2), reversed(g.sizes), reversed(g.outputs)):
        x = x.movedim(axis, 0)[_places(size, outputs)].max(1).values.movedim(0, axis)
    return x


@functools.lru_cache(maxsize=256)
def _places(size: int, outputs: int) -> np.ndarray:
    """The places along an axis that each window sees, (outputs, widest window): the last repeated where a window has fewer."""
    numbers = np.arange(outputs)
    starts, stops = numbers * size // outputs, -(-(numbers + 1) * size // outputs)
    return recording.constant(np.minimum(starts[:, None] + np.arange((stops - starts).max()), stops[:, None] - 1))
