"""erf and GELU on flat arrays of one size and type. A task is a fixed block, as in ``pointwise``."""

from __future__ import annotations

import numpy as np
from numba import prange

from .launch import ROUNDED, inline, kernel
from .pointwise import block, blocks
from .vecmath import erf as _erf
from .vecmath import exp_below, two_sided_normal_tail
from .vecmath import tanh as _tanh

__all__ = ["erf", "gelu", "gelu_backward", "gelu_tanh", "gelu_tanh_backward"]

DENSITY = 1 / np.sqrt(2 * np.pi)  # of the normal distribution, at 0
SLOPE, CUBE = np.sqrt(2 / np.pi), 0.044715  # tanh(SLOPE * (x + CUBE * x**3)) is about erf(x / sqrt(2))


@inline(fastmath=ROUNDED)
def _erf_block(x, y):
    for i in range(x.size):
        y[i] = _erf(x[i])


@inline(fastmath=ROUNDED)
def _gelu_block(x, y):
    real = x.dtype.type
    zero, half, two = real(0), real(0.5), real(2)
    for i in range(x.size):
        v = x[i]
        e = two_sided_normal_tail(abs(v))  # nothing cancels where v is far below 0
        y[i] = half * v * (e if v < zero else two - e)


@inline(fastmath=ROUNDED)
def _gelu_backward_block(grad, x, dx):
    real = x.dtype.type
    zero, half, two, density = real(0), real(0.5), real(2), real(DENSITY)
    for i in range(x.size):
        v = x[i]
        e = two_sided_normal_tail(abs(v))
        dx[i] = grad[i] * (half * (e if v < zero else two - e) + v * (density * exp_below(-half * v * v)))


@inline(fastmath=ROUNDED)
def _gelu_tanh_block(x, y):
    real = x.dtype.type
    half, one, slope, cube = real(0.5), real(1), real(SLOPE), real(CUBE)
    for i in range(x.size):
        v = x[i]
        y[i] = half * v * (one + _tanh(slope * (v + cube * v * v * v)))


@inline(fastmath=ROUNDED)
def _gelu_tanh_backward_block(grad, x, dx):
    real = x.dtype.type
    half, one, three, slope, cube = real(0.5), real(1), real(3), real(SLOPE), real(CUBE)
    for i in range(x.size):
        v = x[i]
        t = _tanh(slope * (v + cube * v * v * v))
        dx[i] = grad[i] * (half * (one + t) + half * v * (one - t * t) * (slope * (one + three * cube * v * v)))


@kernel
def erf(x, y):
    """y = erf(x)."""
    for b in prange(blocks(x)):
        _erf_block(block(x, b), block(y, b))


@kernel
def gelu(x, y):
    """y = x * (the normal distribution function of x) = x / 2 * (1 + erf(x / sqrt(2)))."""
    for b in prange(blocks(x)):
        _gelu_block(block(x, b), block(y, b))


@kernel
def gelu_backward(grad, x, dx):
    """dx = grad * (distribution of x + x * density of x)."""
    for b in prange(blocks(x)):
        _gelu_backward_block(block(grad, b), block(x, b), block(dx, b))


@kernel
def gelu_tanh(x, y):
    """y = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x**3)))."""
    for b in prange(blocks(x)):
        _gelu_tanh_block(block(x, b), block(y, b))


@kernel
def gelu_tanh_backward(grad, x, dx):
    """dx = grad * the derivative of ``gelu_tanh`` at x."""
    for b in prange(blocks(x)):
        _gelu_tanh_backward_block(block(grad, b), block(x, b), block(dx, b))
