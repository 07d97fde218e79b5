"""Elementwise operations on strided arrays; the result is dense, and one thread makes one element.

One kernel serves all operations of a kind: the branch on ``op`` is the same for all threads and costs nothing beside the memory
traffic, and a program compiles few kernels. The codes are places in the tuples of ``names``, and in BACKWARD.
"""

import math

from numba import uint32

from ....names import ACTIVATIONS
from ..driver import cuda, erf, exp, fmod, kernel, log, log1p, sqrt, tanh
from .copy import locate

U = uint32

BACKWARD = ACTIVATIONS[1:]  # all but "none"

ROOT_HALF = math.sqrt(0.5)
DENSITY = 1 / math.sqrt(2 * math.pi)  # of the normal distribution, at 0
SLOPE, CUBE = math.sqrt(2 / math.pi), 0.044715  # tanh(SLOPE * (x + CUBE * x**3)) is about erf(x / sqrt(2))


@kernel
def unary(op, shape, x, x_start, x_strides, y, n):
    i = U(cuda.grid(1))
    if i >= n:
        return
    v = x[locate(i, shape, x_strides, x_start)]
    zero = x.dtype.type(0)
    one = x.dtype.type(1)
    if op == 0:
        y[i] = -v
    elif op == 1:
        y[i] = exp(v)
    elif op == 2:
        y[i] = log(v)
    elif op == 3:
        y[i] = log1p(v)
    elif op == 4:
        y[i] = sqrt(v)
    elif op == 5:
        y[i] = abs(v)
    elif op == 6:
        y[i] = one if v > zero else (-one if v < zero else v)
    elif op == 7:
        y[i] = v == zero
    elif op == 8:
        y[i] = zero if v < zero else v  # NaN passes
    elif op == 9:
        y[i] = one / (one + exp(-v))
    elif op == 10:
        y[i] = tanh(v)
    else:
        y[i] = erf(v)


@kernel
def binary(op, shape, a, a_start, a_strides, b, b_start, b_strides, y, n):
    i = U(cuda.grid(1))
    if i >= n:
        return
    v = a[locate(i, shape, a_strides, a_start)]
    w = b[locate(i, shape, b_strides, b_start)]
    if op == 0:
        y[i] = v + w
    elif op == 1:
        y[i] = v - w
    elif op == 2:
        y[i] = v * w
    elif op == 3:
        y[i] = v / w
    elif op == 4:
        y[i] = v**w
    elif op == 5:
        y[i] = v if v > w or v != v else w  # a NaN on either side wins
    else:
        y[i] = v if v < w or v != v else w


@kernel
def floor_real(op, shape, a, a_start, a_strides, b, b_start, b_strides, y, n):
    """Floor division and its remainder as Python and NumPy do them: from ``fmod``, which is exact, not from a rounded quotient."""
    i = U(cuda.grid(1))
    if i >= n:
        return
    v = a[locate(i, shape, a_strides, a_start)]
    w = b[locate(i, shape, b_strides, b_start)]
    zero = y.dtype.type(0)
    one = y.dtype.type(1)
    half = y.dtype.type(0.5)
    rest = fmod(v, w)
    quotient = (v - rest) / w
    if rest != zero and (rest < zero) != (w < zero):
        rest += w
        quotient -= one
    if op == 1:
        y[i] = rest
    elif w == zero:
        y[i] = v / w
    else:
        part = fmod(quotient, one)  # the division may have rounded: to the nearest integer
        quotient -= part
        if part > half:
            quotient += one
        elif part <= -half:
            quotient -= one
        y[i] = quotient


@kernel
def floor_whole(op, shape, a, a_start, a_strides, b, b_start, b_strides, y, n):
    """Floor division and its remainder of integers."""
    i = U(cuda.grid(1))
    if i >= n:
        return
    v = a[locate(i, shape, a_strides, a_start)]
    w = b[locate(i, shape, b_strides, b_start)]
    if op == 0:
        y[i] = v // w
    else:
        y[i] = v % w


@kernel
def compare(op, shape, a, a_start, a_strides, b, b_start, b_strides, y, n):
    i = U(cuda.grid(1))
    if i >= n:
        return
    v = a[locate(i, shape, a_strides, a_start)]
    w = b[locate(i, shape, b_strides, b_start)]
    if op == 0:
        y[i] = v == w
    elif op == 1:
        y[i] = v != w
    elif op == 2:
        y[i] = v < w
    elif op == 3:
        y[i] = v <= w
    elif op == 4:
        y[i] = v > w
    else:
        y[i] = v >= w


@kernel
def where(shape, c, c_start, c_strides, a, a_start, a_strides, b, b_start, b_strides, y, n):
    i = U(cuda.grid(1))
    if i >= n:
        return
    if c[locate(i, shape, c_strides, c_start)]:
        y[i] = a[locate(i, shape, a_strides, a_start)]
    else:
        y[i] = b[locate(i, shape, b_strides, b_start)]


@kernel
def activation_backward(op, shape, grad, grad_start, grad_strides, y, y_start, y_strides, out, n):
    """The gradient of an activation from its output ``y``."""
    i = U(cuda.grid(1))
    if i >= n:
        return
    g = grad[locate(i, shape, grad_strides, grad_start)]
    v = y[locate(i, shape, y_strides, y_start)]
    zero = y.dtype.type(0)
    one = y.dtype.type(1)
    if op == 0:
        out[i] = zero if v <= zero else g
    elif op == 1:
        out[i] = g * v * (one - v)
    else:
        out[i] = g * (one - v * v)


@kernel
def gelu(approximate, shape, x, x_start, x_strides, y, n):
    """x times the normal distribution function of x, by erf or by tanh (``approximate``)."""
    i = U(cuda.grid(1))
    if i >= n:
        return
    real = x.dtype.type
    v = x[locate(i, shape, x_strides, x_start)]
    if approximate:
        t = tanh(real(SLOPE) * (v + real(CUBE) * v * v * v))
    else:
        t = real(erf(v * real(ROOT_HALF)))
    y[i] = real(0.5) * v * (real(1) + t)


@kernel
def gelu_backward(approximate, shape, grad, grad_start, grad_strides, x, x_start, x_strides, dx, n):
    """The gradient of ``gelu`` from its input."""
    i = U(cuda.grid(1))
    if i >= n:
        return
    real = x.dtype.type
    half = real(0.5)
    one = real(1)
    v = x[locate(i, shape, x_strides, x_start)]
    if approximate:
        t = tanh(real(SLOPE) * (v + real(CUBE) * v * v * v))
        slope = half * v * (one - t * t) * (real(SLOPE) * (one + real(3 * CUBE) * v * v))
    else:
        t = real(erf(v * real(ROOT_HALF)))
        slope = v * (real(DENSITY) * exp(-half * v * v))
    dx[i] = grad[locate(i, shape, grad_strides, grad_start)] * (half * (one + t) + slope)
