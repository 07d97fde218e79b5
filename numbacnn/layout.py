"""Where the axes of an activation lie in memory: channels-last, on every device."""

from __future__ import annotations

__all__ = ["CHANNELS_FIRST", "CHANNELS_LAST", "channels_last", "kernel_first"]

CHANNELS_LAST = {ndim: (0, *range(2, ndim), 1) for ndim in (3, 4, 5)}
"""By the number of axes: the axes (N, C, ...) in the order of memory, (N, ..., C). Other arrays lie in plain order."""

CHANNELS_FIRST = {ndim: (0, ndim - 1, *range(1, ndim - 1)) for ndim in CHANNELS_LAST}
"""The reverse: the axes of (N, ..., C) as (N, C, ...)."""


def channels_last(ndim: int) -> tuple[int, ...]:
    """The axes of an activation from the slowest to the fastest in memory: (N, ..., C); plain order outside 3 to 5 axes.

    >>> channels_last(4), channels_last(2)
    ((0, 2, 3, 1), (0, 1))
    """
    return CHANNELS_LAST.get(ndim) or tuple(range(ndim))


def kernel_first(ndim: int) -> tuple[int, ...]:
    """The axes of a convolution's weight (OC, C, ...) as (..., C, OC): of one tap neighbours in memory are those that are used together.

    >>> kernel_first(4), kernel_first(2)
    ((2, 3, 1, 0), (0, 1))
    """
    return (*range(2, ndim), 1, 0) if ndim > 2 else tuple(range(ndim))
