"""The operations as the book writes them: windows and sums of one picture.

They are written with slices and sums, so they take NumPy arrays and Tensors alike, give what they take, and gradients flow through them.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any, Literal

import numpy as np

from .arguments import one_of, pair
from .errors import ShapeError, message
from .signatures import shown

__all__ = ["convolve2d", "corr2d", "corr2d_multi_in", "corr2d_multi_in_out", "pool2d"]


def _check(op: str, name: str, value: Any, axes: str) -> None:
    """Judge that ``value`` is a NumPy array or a Tensor of numbers with these axes, "(H, W)" for example."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind not in tuple("biuf") or not hasattr(value, "shape"):
        raise TypeError(message(op, f"{name} {axes} as an array or a Tensor of numbers", shown(value)))
    if axes != "(H, W)" and (len(value.shape) != axes.count(",") + 1 or 0 in value.shape):  # images are judged beside the kernel
        raise ShapeError(message(op, f"{name} {axes} with sizes of at least 1", f"{name} {tuple(value.shape)}"))


def _windows(op: str, x: Any, kh: int, kw: int) -> tuple[int, int]:
    """How many windows of this size lie wholly in x (H, W)."""
    _check(op, "image", x, "(H, W)")
    if len(x.shape) != 2 or kh > x.shape[0] or kw > x.shape[1]:
        raise ShapeError(message(op, f"an image (H, W) of at least the kernel's size {(kh, kw)}", f"image {tuple(x.shape)}"))
    return x.shape[0] - kh + 1, x.shape[1] - kw + 1


def _slide(op: str, x: Any, k: Any, flipped: bool = False) -> Any:
    """Every tap of k (..., KH, KW) times the pixels of x (H, W) that it meets, added up: (..., H - KH + 1, W - KW + 1)."""
    kh, kw = k.shape[-2:]
    oh, ow = _windows(op, x, kh, kw)
    taps = [(a, b) for a in range(kh) for b in range(kw)]
    places = [(kh - 1 - a, kw - 1 - b) for a, b in taps] if flipped else taps
    return reduce(add, (k[..., i, j, None, None] * x[a : a + oh, b : b + ow] for (i, j), (a, b) in zip(places, taps)))


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
    _check("corr2d", "kernel", k, "(KH, KW)")
    return _slide("corr2d", x, k)


def convolve2d(x: Any, k: Any) -> Any:
    """True two-dimensional convolution: the kernel is flipped, tap (a, b) meets pixel (i - a, j - b). Sizes as :func:`corr2d`.

    >>> convolve2d(np.arange(9.0).reshape(3, 3), np.arange(4.0).reshape(2, 2))
    array([[ 5., 11.],
           [23., 29.]])
    """
    _check("convolve2d", "kernel", k, "(KH, KW)")
    return _slide("convolve2d", x, k, flipped=True)


def corr2d_multi_in(x: Any, k: Any) -> Any:
    """Several input channels (section 6.4): x (C, H, W) and k (C, KH, KW), correlated channel by channel and added: (OH, OW)."""
    return _over_channels("corr2d_multi_in", x, k, "(C, KH, KW)")


def corr2d_multi_in_out(x: Any, k: Any) -> Any:
    """Several output channels (section 6.4): x (C, H, W) and k (OC, C, KH, KW) give OC feature maps (OC, OH, OW).

    >>> corr2d_multi_in_out(np.ones((2, 3, 3)), np.ones((4, 2, 2, 2))).shape
    (4, 2, 2)
    """
    return _over_channels("corr2d_multi_in_out", x, k, "(OC, C, KH, KW)")


def _over_channels(op: str, x: Any, k: Any, axes: str) -> Any:
    _check(op, "image", x, "(C, H, W)")
    _check(op, "kernel", k, axes)
    if len(x) != k.shape[-3]:
        raise ShapeError(message(op, f"a kernel {axes} with C = {len(x)}", f"kernel {tuple(k.shape)}"))
    return reduce(add, (_slide(op, x[c], k[..., c, :, :]) for c in range(len(x))))


def pool2d(x: Any, pool_size: tuple[int, int], mode: Literal["max", "avg"] = "max") -> Any:
    """Pooling with stride 1 (section 6.5): the maximum or mean of each window of x (H, W), an array or a Tensor.

    >>> pool2d(np.arange(9.0).reshape(3, 3), (2, 2))
    array([[4., 5.],
           [7., 8.]])
    """
    one_of("pool2d", "mode", mode, ("max", "avg"))
    _check("pool2d", "image", x, "(H, W)")
    kh, kw = pair("pool2d", "pool_size", pool_size, 1)
    oh, ow = _windows("pool2d", x, kh, kw)
    taps, rows, columns = np.ogrid[: kh * kw, :oh, :ow]
    windows = x[rows + taps // kw, columns + taps % kw]  # (KH * KW, OH, OW)
    if mode == "avg":
        return windows.sum(0) / (kh * kw)
    largest = windows.max(0)
    return getattr(largest, "values", largest)  # a Tensor's maximum comes with its place
