"""The operations as the book writes them: windows and sums of one picture.

All but ``pool2d`` are written with slices and sums only, so they take NumPy arrays and Tensors alike, and gradients flow through them.
"""

from __future__ import annotations

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
    _check("convolve2d", "kernel", k, "(KH, KW)")
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
    _check("corr2d_multi_in", "image", x, "(C, H, W)")
    _check("corr2d_multi_in", "kernel", k, "(C, KH, KW)")
    if len(x) != len(k):
        raise ShapeError(message("corr2d_multi_in", f"a kernel (C, KH, KW) with C = {len(x)}", f"kernel {tuple(k.shape)}"))
    y = corr2d(x[0], k[0])
    for c in range(1, len(x)):
        y = y + corr2d(x[c], k[c])
    return y


def corr2d_multi_in_out(x: Any, k: Any) -> list[Any]:
    """Several output channels (section 6.4): x (C, H, W), k (OC, C, KH, KW); a list of OC feature maps for ``stack``."""
    _check("corr2d_multi_in_out", "kernel", k, "(OC, C, KH, KW)")
    return [corr2d_multi_in(x, k[o]) for o in range(len(k))]


def pool2d(x: Any, pool_size: tuple[int, int], mode: Literal["max", "avg"] = "max") -> np.ndarray:
    """Pooling with stride 1 (section 6.5): the maximum or mean of each window of x (H, W); a NumPy array.

    >>> pool2d(np.arange(9.0).reshape(3, 3), (2, 2))
    array([[4., 5.],
           [7., 8.]])
    """
    one_of("pool2d", "mode", mode, ("max", "avg"))
    _check("pool2d", "image", x, "(H, W)")
    image = np.asarray(x)
    kh, kw = pair("pool2d", "pool_size", pool_size, 1)
    oh, ow = _windows("pool2d", image, kh, kw)
    windows = np.stack([image[a : a + oh, b : b + ow] for a in range(kh) for b in range(kw)])
    return windows.max(0) if mode == "max" else windows.mean(0)
