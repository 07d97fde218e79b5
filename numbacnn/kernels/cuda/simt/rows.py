"""Kernels made from rows of the table of pointwise functions, each when it is first used."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numba import uint32

from .... import formulas
from .. import driver
from ..driver import cuda
from .copy import locate

__all__ = ["backward", "forward"]

U = uint32

function: Any = None  # what a pattern calls: each kernel has its own


# what the functions of the table may call, from CUDA's library
HELPERS: dict[str, Any] = {name: getattr(driver, name) for name in ("exp", "log", "log1p", "sqrt", "tanh", "erf")}
HELPERS |= {"exp_below": driver.exp, "log1p_below": driver.log1p}
for _helper in (formulas.sigmoid, formulas.two_sided_normal_tail):
    HELPERS[_helper.__name__] = cuda.jit(device=True)(formulas.rebound(_helper, _helper.__name__, **HELPERS))


def _map_one(shape, x, x_start, x_strides, y, n):
    i = U(cuda.grid(1))
    if i < n:
        y[i] = function(x[locate(i, shape, x_strides, x_start)])


def _map_two(shape, a, a_start, a_strides, b, b_start, b_strides, y, n):
    i = U(cuda.grid(1))
    if i < n:
        y[i] = function(a[locate(i, shape, a_strides, a_start)], b[locate(i, shape, b_strides, b_start)])


def _scalar(function: Callable, name: str, **called: Any) -> Any:
    """A function of the table for the device: the helpers that it calls, by whatever names, are CUDA's."""
    known = [(name, value) for name, value in function.__globals__.items() if name in function.__code__.co_names]
    helpers = {name: HELPERS[h] for name, value in known for h in HELPERS if value is getattr(formulas, h)}
    function = formulas.rebound(function, name, **helpers, **called)
    return cuda.jit(device=True)(formulas.forgiving(function) if driver.SIMULATED else function)


def _kernel(pattern: Callable, scalar: Any, name: str, row: Any) -> Any:
    make = cuda.jit if row.title else driver.kernel  # of a user's function the name does not say what it does
    return make(formulas.rebound(pattern, name, function=scalar))


@functools.cache
def forward(name: str) -> Any:
    """y of x."""
    row = formulas.UNARY[name]
    return _kernel(_map_one, _scalar(row.forward, f"{name}_scalar"), f"{name}_forward", row)


@functools.cache
def backward(name: str) -> Any:
    """The gradient of x, of the gradient of y and of x or y, as the table says."""
    row = formulas.UNARY[name]
    called = {} if row.derivative is None else {"slope": _scalar(row.derivative, f"{name}_slope")}
    return _kernel(_map_two, _scalar(row.backward, f"{name}_backward_scalar", **called), f"{name}_backward", row)
