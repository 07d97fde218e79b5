"""What each operation means, in plain NumPy: the chapter's functions, and the oracle that the kernels are tested against.

The chapter's functions (``corr2d`` ... ``pool2d``) are written with slices and sums only, so they take NumPy arrays and Tensors alike,
and gradients flow through them. The others mirror the methods of ``backends.base.Backend``: one loop over the taps of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from .errors import ShapeError, message
from .geometry import AdaptivePool2dGeometry, Conv2dGeometry, Pool2dGeometry

__all__ = [
    "adaptive_avg_pool2d_backward",
    "adaptive_avg_pool2d_forward",
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "batch_norm",
    "conv2d_forward",
    "conv2d_grad_input",
    "conv2d_grad_weight",
    "convolve2d",
    "corr2d",
    "corr2d_multi_in",
    "corr2d_multi_in_out",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "pool2d",
]


# -- the chapter -----------------------------------------------------------------------------------------------------------
def _windows(op: str, x: Any, kh: int, kw: int) -> tuple[int, int]:
    """How many windows of this size lie wholly in x (H, W)."""
    if x.ndim != 2 or kh > x.shape[0] or kw > x.shape[1]:
        raise ShapeError(message(op, f"an image (H, W) of at least the kernel's size {(kh, kw)}", f"image {tuple(x.shape)}"))
    return x.shape[0] - kh + 1, x.shape[1] - kw + 1


def corr2d(x: Any, k: Any) -> Any:
    """Two-dimensional cross-correlation (section 6.2): ``y[i, j]`` is the sum of k times the window of x that starts at (i, j).

    Args:
        x: image (H, W), an array or a Tensor.
        k: kernel (KH, KW), of the same kind.

    Returns:
        (H - KH + 1, W - KW + 1).

    >>> corr2d(np.arange(9.0).reshape(3, 3), np.arange(4.0).reshape(2, 2))
    array([[19., 25.],
           [37., 43.]])
    """
    kh, kw = k.shape
    oh, ow = _windows("corr2d", x, kh, kw)
    y = k[0, 0] * x[:oh, :ow]
    for a in range(kh):
        for b in range(kw):
            if (a, b) != (0, 0):
                y = y + k[a, b] * x[a : a + oh, b : b + ow]
    return y


def convolve2d(x: Any, k: Any) -> Any:
    """True two-dimensional convolution: the kernel is flipped, tap (a, b) meets pixel (i - a, j - b). Sizes as :func:`corr2d`.

    >>> convolve2d(np.arange(9.0).reshape(3, 3), np.arange(4.0).reshape(2, 2))
    array([[ 5., 11.],
           [23., 29.]])
    """
    kh, kw = k.shape
    oh, ow = _windows("convolve2d", x, kh, kw)
    y = k[kh - 1, kw - 1] * x[:oh, :ow]
    for a in range(kh):
        for b in range(kw):
            if (a, b) != (0, 0):
                y = y + k[kh - 1 - a, kw - 1 - b] * x[a : a + oh, b : b + ow]
    return y


def corr2d_multi_in(x: Any, k: Any) -> Any:
    """Several input channels (section 6.4): x (C, H, W) and k (C, KH, KW), correlated channel by channel and added."""
    if len(x) != len(k):
        raise ShapeError(message("corr2d_multi_in", f"a kernel (C, KH, KW) with C = {len(x)}", f"kernel {tuple(k.shape)}"))
    y = corr2d(x[0], k[0])
    for c in range(1, len(x)):
        y = y + corr2d(x[c], k[c])
    return y


def corr2d_multi_in_out(x: Any, k: Any) -> list[Any]:
    """Several output channels (section 6.4): x (C, H, W), k (OC, C, KH, KW); a list of OC feature maps for ``stack``."""
    return [corr2d_multi_in(x, k[o]) for o in range(len(k))]


def pool2d(x: Any, pool_size: tuple[int, int], mode: Literal["max", "avg"] = "max") -> np.ndarray:
    """Pooling with stride 1 (section 6.5): the maximum or mean of each window of x (H, W); a NumPy array.

    >>> pool2d(np.arange(9.0).reshape(3, 3), (2, 2))
    array([[4., 5.],
           [7., 8.]])
    """
    if mode not in ("max", "avg"):
        raise ValueError(message("pool2d", "mode 'max' or 'avg'", repr(mode)))
    image = np.asarray(x)
    kh, kw = pool_size
    oh, ow = _windows("pool2d", image, kh, kw)
    windows = np.stack([image[a : a + oh, b : b + ow] for a in range(kh) for b in range(kw)])
    return windows.max(0) if mode == "max" else windows.mean(0)


# -- convolution, in the dtype of its inputs: small integers are exact, float64 is an oracle ------------------------------------
def _taps(g: Conv2dGeometry) -> Iterator[tuple[int, int, tuple[slice, slice]]]:
    """Each tap (kh, kw), and the part of the padded input that it meets."""
    for i in range(g.kh):
        for j in range(g.kw):
            top, left = i * g.dilation[0], j * g.dilation[1]
            rows = slice(top, top + (g.oh - 1) * g.stride[0] + 1, g.stride[0])
            yield i, j, (rows, slice(left, left + (g.ow - 1) * g.stride[1] + 1, g.stride[1]))


def _pad(x: np.ndarray, g: Conv2dGeometry) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, 0), *g.padding))


def _groups(g: Conv2dGeometry) -> Iterator[tuple[slice, slice]]:
    """The input and the output channels of each group."""
    c, oc = g.c // g.groups, g.oc // g.groups
    for k in range(g.groups):
        yield slice(k * c, (k + 1) * c), slice(k * oc, (k + 1) * oc)


def conv2d_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, g: Conv2dGeometry) -> np.ndarray:
    """x (N, C, H, W), w (OC, C/groups, KH, KW), b (OC,) -> (N, OC, OH, OW)."""
    y = np.zeros(g.output_shape, x.dtype)
    padded = _pad(x, g)
    for i, j, (rows, cols) in _taps(g):
        for c, oc in _groups(g):
            y[:, oc] += np.einsum("nchw,oc->nohw", padded[:, c, rows, cols], w[oc, :, i, j])
    return y if b is None else y + b[:, None, None]


def conv2d_grad_input(grad: np.ndarray, w: np.ndarray, g: Conv2dGeometry) -> np.ndarray:
    """The gradient with respect to x: each tap hands its share of the output's gradient back."""
    (top, bottom), (left, right) = g.padding
    padded = np.zeros((g.n, g.c, g.h + top + bottom, g.w + left + right), grad.dtype)
    for i, j, (rows, cols) in _taps(g):
        for c, oc in _groups(g):
            padded[:, c, rows, cols] += np.einsum("nohw,oc->nchw", grad[:, oc], w[oc, :, i, j])
    return padded[:, :, top : top + g.h, left : left + g.w]


def conv2d_grad_weight(grad: np.ndarray, x: np.ndarray, g: Conv2dGeometry) -> np.ndarray:
    """The gradient with respect to w."""
    w = np.zeros((g.oc, g.c // g.groups, g.kh, g.kw), x.dtype)
    padded = _pad(x, g)
    for i, j, (rows, cols) in _taps(g):
        for c, oc in _groups(g):
            w[oc, :, i, j] = np.einsum("nohw,nchw->oc", grad[:, oc], padded[:, c, rows, cols])
    return w


# -- pooling -----------------------------------------------------------------------------------------------------------------------
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


# -- normalisation -------------------------------------------------------------------------------------------------------------------
def batch_norm(x: np.ndarray, eps: float) -> np.ndarray:
    """x (N, C, ...) with mean 0 and variance 1 (but for eps) in each channel; worked out in float64."""
    axes = (0, *range(2, x.ndim))
    wide = x.astype(np.float64)
    moved = wide - wide.mean(axes, keepdims=True)
    return (moved / np.sqrt((moved * moved).mean(axes, keepdims=True) + eps)).astype(x.dtype)
