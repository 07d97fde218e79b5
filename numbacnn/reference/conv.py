"""Convolution: forward, and the gradients with respect to its input and its weights."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..geometry import Conv2dGeometry

__all__ = ["conv2d_forward", "conv2d_grad_input", "conv2d_grad_weight"]


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
