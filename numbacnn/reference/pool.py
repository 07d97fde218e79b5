"""Maximum, average and adaptive average pooling, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..geometry import AdaptivePool2dGeometry, Pool2dGeometry

__all__ = [
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool2d_forward",
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "max_pool2d_backward",
    "max_pool2d_forward",
]


def _cells(g: Pool2dGeometry) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Each output position, and the input positions of its window that exist, in order."""
    for i in range(g.oh):
        for j in range(g.ow):
            rows = [i * g.stride[0] - g.padding[0] + k * g.dilation[0] for k in range(g.kernel[0])]
            cols = [j * g.stride[1] - g.padding[1] + k * g.dilation[1] for k in range(g.kernel[1])]
            yield i, j, [(h, w) for h in rows for w in cols if 0 <= h < g.h and 0 <= w < g.w]


def max_pool2d_forward(x: np.ndarray, g: Pool2dGeometry) -> tuple[np.ndarray, np.ndarray]:
    """The maxima, and for each h * W + w of the input (-1 where the window holds no data); the first of equals, the last NaN."""
    y = np.full(g.output_shape, -np.inf, x.dtype)
    index = np.full(g.output_shape, -1, np.int32)
    for i, j, cells in _cells(g):
        for h, w in cells:
            wins = (x[:, :, h, w] > y[:, :, i, j]) | np.isnan(x[:, :, h, w]) | (index[:, :, i, j] < 0)
            y[:, :, i, j][wins] = x[:, :, h, w][wins]
            index[:, :, i, j][wins] = h * g.w + w
    return y, index


def max_pool2d_backward(grad: np.ndarray, index: np.ndarray, g: Pool2dGeometry) -> np.ndarray:
    """The gradient goes to the pixel that was the maximum."""
    x = np.zeros((g.n, g.c, g.h * g.w), grad.dtype)
    for n in range(g.n):
        for c in range(g.c):
            found = index[n, c].reshape(-1)
            np.add.at(x[n, c], found[found >= 0], grad[n, c].reshape(-1)[found >= 0])
    return x.reshape(g.n, g.c, g.h, g.w)


def _divisor(g: Pool2dGeometry, i: int, j: int, cells: list[tuple[int, int]]) -> int:
    """How many pixels a window's mean is over: those in the padded image, or those that hold data."""
    if not g.count_include_pad:
        return len(cells)
    top, left = i * g.stride[0] - g.padding[0], j * g.stride[1] - g.padding[1]
    return (min(top + g.kernel[0], g.h + g.padding[0]) - top) * (min(left + g.kernel[1], g.w + g.padding[1]) - left)


def avg_pool2d_forward(x: np.ndarray, g: Pool2dGeometry) -> np.ndarray:
    """The mean of each window."""
    y = np.zeros(g.output_shape, x.dtype)
    for i, j, cells in _cells(g):
        for h, w in cells:
            y[:, :, i, j] += x[:, :, h, w]
        if cells:
            y[:, :, i, j] /= _divisor(g, i, j, cells)
    return y


def avg_pool2d_backward(grad: np.ndarray, g: Pool2dGeometry) -> np.ndarray:
    """Each window's gradient in equal shares."""
    x = np.zeros((g.n, g.c, g.h, g.w), grad.dtype)
    for i, j, cells in _cells(g):
        for h, w in cells:
            x[:, :, h, w] += grad[:, :, i, j] / _divisor(g, i, j, cells)
    return x


def _adaptive(g: AdaptivePool2dGeometry) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
    """Each output position, and the rows and columns that it covers: from floor(o H / OH) to ceil((o + 1) H / OH)."""
    for i in range(g.oh):
        for j in range(g.ow):
            rows = slice(i * g.h // g.oh, -(-(i + 1) * g.h // g.oh))
            yield i, j, (rows, slice(j * g.w // g.ow, -(-(j + 1) * g.w // g.ow)))


def adaptive_avg_pool2d_forward(x: np.ndarray, g: AdaptivePool2dGeometry) -> np.ndarray:
    """The mean of each window."""
    y = np.zeros(g.output_shape, x.dtype)
    for i, j, (rows, cols) in _adaptive(g):
        y[:, :, i, j] = x[:, :, rows, cols].mean((2, 3))
    return y


def adaptive_avg_pool2d_backward(grad: np.ndarray, g: AdaptivePool2dGeometry) -> np.ndarray:
    """Each window's gradient in equal shares."""
    x = np.zeros((g.n, g.c, g.h, g.w), grad.dtype)
    for i, j, (rows, cols) in _adaptive(g):
        part = x[:, :, rows, cols]
        part += grad[:, :, i, j, None, None] / x.dtype.type(part.shape[2] * part.shape[3])
    return x
