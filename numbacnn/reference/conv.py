"""Convolution: forward, and the gradients with respect to its input and its weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..geometry import ConvGeometry

__all__ = ["conv_forward", "conv_grad_input", "conv_grad_weight"]

ALL: Any = slice(None)


def _taps(g: ConvGeometry) -> Iterator[tuple[Any, Any]]:
    """Each tap, and the part of the padded input that it meets."""
    for tap in np.ndindex(*g.kernel):
        starts = [k * axis.dilation for k, axis in zip(tap, g.axes)]
        yield tap, tuple(slice(at, at + (axis.outputs - 1) * axis.stride + 1, axis.stride) for at, axis in zip(starts, g.axes))


def _groups(g: ConvGeometry) -> Iterator[tuple[Any, Any]]:
    """The input and the output channels of each group."""
    c, oc = g.c // g.groups, g.oc // g.groups
    for k in range(g.groups):
        yield slice(k * c, (k + 1) * c), slice(k * oc, (k + 1) * oc)


def _pad(x: np.ndarray, g: ConvGeometry) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, 0), *g.padding))


def conv_forward(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, g: ConvGeometry) -> np.ndarray:
    """x (N, C, ...), w (OC, C/groups, ...), b (OC,) -> (N, OC, ...)."""
    y = np.zeros(g.output_shape, x.dtype)
    padded = _pad(x, g)
    for tap, seen in _taps(g):
        for c, oc in _groups(g):
            y[:, oc] += np.einsum("nc...,oc->no...", padded[(ALL, c, *seen)], w[(oc, ALL, *tap)])
    return y if b is None else y + b.reshape(-1, *(1 for _ in g.axes))


def conv_grad_input(grad: np.ndarray, w: np.ndarray, g: ConvGeometry) -> np.ndarray:
    """The gradient with respect to x: each tap hands its share of the output's gradient back."""
    padded = np.zeros((g.n, g.c, *(axis.padded for axis in g.axes)), grad.dtype)
    for tap, seen in _taps(g):
        for c, oc in _groups(g):
            padded[(ALL, c, *seen)] += np.einsum("no...,oc->nc...", grad[:, oc], w[(oc, ALL, *tap)])
    inner: Any = [slice(axis.before, axis.before + axis.size) for axis in g.axes]
    return padded[(..., *inner)]


def conv_grad_weight(grad: np.ndarray, x: np.ndarray, g: ConvGeometry) -> np.ndarray:
    """The gradient with respect to w."""
    w = np.zeros(g.weight_shape, x.dtype)
    padded, rest = _pad(x, g), "dhw"[: len(g.axes)]
    for tap, seen in _taps(g):
        for c, oc in _groups(g):
            w[(oc, ALL, *tap)] = np.einsum(f"no{rest},nc{rest}->oc", grad[:, oc], padded[(ALL, c, *seen)])
    return w
