"""Plans for convolutions of few pixels and many channels."""

from __future__ import annotations

import math

import numpy as np

from ....geometry import Axis, ConvGeometry
from ....recording import constant
from .kept import kept
from .tables import steps

__all__ = ["few_pixels_pay", "seen_at"]

MOST = 128
"""Pixels whose windows still lie in the second-level cache, or near it, while the weights pass by: measured."""
ROOTS = 6
"""Other algorithms pack the weights first, and are quicker for each pixel then. That pays where so many times the pixels exceed the root of
the number of weights: from 16 pixels for 3x3 kernels of 32 channels to 128 for 256 channels. Measured."""


def few_pixels_pay(g: ConvGeometry, gradient: bool) -> bool:
    """Whether to read the weights as they lie; ``gradient``: to write theirs so, which costs no more for each pixel."""
    pixels = g.n * math.prod(g.outputs)
    return pixels <= MOST and (gradient or (ROOTS * pixels) ** 2 <= math.prod(g.weight_shape))


def _seen(axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """(outputs, taps): which place of the input an output sees by a tap, and whether there is one."""
    places = np.add.outer(np.arange(axis.outputs) * axis.stride - axis.before, np.arange(axis.kernel) * axis.dilation)
    return places, (places >= 0) & (places < axis.size)


@kept
def seen_at(g: ConvGeometry) -> np.ndarray:
    """(pixels, taps): where the channels that a pixel of the output sees by a tap begin in the input; -1 where that is padding."""
    at, inside = np.zeros((1, 1), np.int64), np.ones((1, 1), bool)
    for axis, step in zip((Axis(g.n), *g.axes), steps((g.n, *g.sizes), g.c)):
        places, there = _seen(axis)
        shape = len(at) * len(places), at.shape[1] * places.shape[1]
        at = np.add.outer(at, places * step).transpose(0, 2, 1, 3).reshape(shape)
        inside = np.logical_and.outer(inside, there).transpose(0, 2, 1, 3).reshape(shape)
    return constant(np.where(inside, at, -1))
