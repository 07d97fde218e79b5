"""Copies between strided arrays, with a change of dtype where the two differ."""

from numba import int32, uint32

from ..driver import cuda, kernel

I = int32
U = uint32


@cuda.jit(device=True, inline=True)
def locate(i, shape, strides, start):
    """Where the i-th element (logical C order) of a strided array lies. Signed: strides may be negative."""
    at = I(start)
    for axis in range(len(shape) - 1, 0, -1):
        n = U(shape[axis])
        q = U(i // n)
        at = I(at + I(I(i - U(q * n)) * strides[axis]))
        i = q
    return U(at + I(I(i) * strides[0]))


@kernel
def copy(shape, x, x_start, x_strides, y, y_start, y_strides, n):
    i = U(cuda.grid(1))
    if i < n:
        y[locate(i, shape, y_strides, y_start)] = x[locate(i, shape, x_strides, x_start)]


@kernel
def fill(y, value, n):
    i = U(cuda.grid(1))
    if i < n:
        y[i] = value
