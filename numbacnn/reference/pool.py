"""Maximum, average and adaptive average pooling, forward and backward."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from ..geometry import AdaptivePoolGeometry, PoolGeometry

__all__ = [
    "adaptive_avg_pool_backward",
    "adaptive_avg_pool_forward",
    "avg_pool_backward",
    "avg_pool_forward",
    "max_pool_backward",
    "max_pool_forward",
]

Place: TypeAlias = Any
"""A position along each axis, as part of an index."""


def _cells(g: PoolGeometry) -> Iterator[tuple[Place, list[Place]]]:
    """Each output position, and the input positions of its window that exist, in order."""
    for output in np.ndindex(*g.outputs):
        windows = (axis.window(o) for axis, o in zip(g.axes, output))
        yield output, list(itertools.product(*([start + shift for _, shift in taps] for start, taps in windows)))


def max_pool_forward(x: np.ndarray, g: PoolGeometry) -> tuple[np.ndarray, np.ndarray]:
    """The maxima, and for each its place among the input's pixels in order (-1 where the window holds no data).

    Of equals the first, of NaNs the last.
    """
    y = np.full(g.output_shape, -np.inf, x.dtype)
    index = np.full(g.output_shape, -1, np.int32)
    for output, cells in _cells(g):
        best, where = y[(..., *output)], index[(..., *output)]
        for cell in cells:
            seen = x[(..., *cell)]
            wins = (seen > best) | np.isnan(seen) | (where < 0)
            best[wins] = seen[wins]
            where[wins] = np.ravel_multi_index(cell, g.sizes)
    return y, index


def max_pool_backward(grad: np.ndarray, index: np.ndarray, g: PoolGeometry) -> np.ndarray:
    """The gradient goes to the pixel that was the maximum."""
    x = np.zeros((g.n, g.c, math.prod(g.sizes)), grad.dtype)
    for n in range(g.n):
        for c in range(g.c):
            found = index[n, c].reshape(-1)
            np.add.at(x[n, c], found[found >= 0], grad[n, c].reshape(-1)[found >= 0])
    return x.reshape(g.input_shape)


def _divisor(g: PoolGeometry, output: Place, cells: list[Place]) -> int:
    """How many pixels a window's mean is over: those in the padded image, or those that hold data."""
    if not g.count_include_pad:
        return len(cells)
    starts = [axis.window(o)[0] for axis, o in zip(g.axes, output)]
    return math.prod(min(start + axis.kernel, axis.size + axis.after) - start for start, axis in zip(starts, g.axes))


def avg_pool_forward(x: np.ndarray, g: PoolGeometry) -> np.ndarray:
    """The mean of each window. float16 is summed in float32, which holds more."""
    y = np.zeros(g.output_shape, np.result_type(x, np.float32))
    for output, cells in _cells(g):
        mean = y[(..., *output)]
        for cell in cells:
            mean += x[(..., *cell)]
        if cells:
            mean /= _divisor(g, output, cells)
    return y.astype(x.dtype)


def avg_pool_backward(grad: np.ndarray, g: PoolGeometry) -> np.ndarray:
    """Each window's gradient in equal shares."""
    x = np.zeros(g.input_shape, grad.dtype)
    for output, cells in _cells(g):
        for cell in cells:
            x[(..., *cell)] += grad[(..., *output)] / _divisor(g, output, cells)
    return x


def _adaptive(g: AdaptivePoolGeometry) -> Iterator[tuple[Place, Place]]:
    """Each output position, and the part of the input that it covers: from floor(o * size / outputs) to ceil((o + 1) * size / outputs)."""
    for output in np.ndindex(*g.outputs):
        sizes = zip(output, g.sizes, g.outputs)
        yield output, tuple(slice(o * size // count, -(-(o + 1) * size // count)) for o, size, count in sizes)


def adaptive_avg_pool_forward(x: np.ndarray, g: AdaptivePoolGeometry) -> np.ndarray:
    """The mean of each window."""
    y = np.zeros(g.output_shape, x.dtype)
    for output, window in _adaptive(g):
        y[(..., *output)] = x[(..., *window)].mean(tuple(range(2, x.ndim)))
    return y


def adaptive_avg_pool_backward(grad: np.ndarray, g: AdaptivePoolGeometry) -> np.ndarray:
    """Each window's gradient in equal shares."""
    x = np.zeros(g.input_shape, grad.dtype)
    for output, window in _adaptive(g):
        part = x[(..., *window)]
        part += (grad[(..., *output)] / x.dtype.type(math.prod(part.shape[2:]))).reshape(*part.shape[:2], *(1 for _ in g.sizes))
    return x
