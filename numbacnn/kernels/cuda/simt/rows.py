"""Kernels made from rows of the table of pointwise functions, each when it is first used."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numba import uint32

from .... import pointwise
from .. import driver
from ..driver import cuda
from .copy import locate

__all__ = ["backward", "forward"]

U = uint32

function: Any = None  # what a pattern calls: each kernel has its own


# what the functions of the table may call, from CUDA's library
HELPERS: dict[str, Any] = {name: getattr(driver, name) for name in ("exp", "log", "log1p", "sqrt", "tanh", "erf")}
HELPERS |= {"exp_below": driver.exp, "log1p_below": driver.log1p}
for _helper in (pointwise.sigmoid, pointwise.two_sided_normal_tail):
    HELPERS[_helper.__name__] = cuda.jit(device=True)(pointwise.rebound(_helper, _helper.__name__, **HELPERS))


def _map_one(shape, x, x_start, x_strides, y, n):
    i = U(cuda.grid(1))
    if i < n:
        y[i] = function(x[locate(i, shape, x_strides, x_start)])


def _map_two(shape, a, a_start, a_strides, b, b_start, b_strides, y, n):
    i = U(cuda.grid(1))
    if i < n:
        y[i] = function(a[locate(i, shape, a_strides, a_start)], b[locate(i, shape, b_strides, b_start)])


def _kernel(pattern: Callable, scalar: Callable, name: str) -> Any:
    inner = cuda.jit(device=True)(pointwise.rebound(scalar, f"{name}_scalar", **HELPERS))
    return cuda.jit(pointwise.rebound(pattern, name, function=inner))


@functools.cache
def forward(name: str) -> Any:
    """y of x."""
    return _kernel(_map_one, pointwise.UNARY[name].forward, f"{name}_forward")


@functools.cache
def backward(name: str) -> Any:
    """The gradient of x, of the gradient of y and of x or y, as the table says."""
    return _kernel(_map_two, pointwise.UNARY[name].backward, f"{name}_backward")
