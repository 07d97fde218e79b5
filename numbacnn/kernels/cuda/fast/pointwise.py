"""The elementwise kernels of ``simt``, four neighbours a thread.

They are not written again: on arrays of one element, in registers, such a kernel is a function of one element, and as that it is called.
So both have the same bits. The operation's place, which those are told as a number, is a constant here: no branch on it is left.
"""

from __future__ import annotations

import functools
from typing import Any

from numba import uint32

from ....formulas import rebound
from .. import driver
from ..driver import cuda, kernel
from ..simt.copy import locate
from .wide import read4, write4

__all__ = ["copy", "fill", "wide"]

U = uint32

CODE: tuple[int, ...] = ()  # what a kernel of ``simt`` is told first; each wide one has its own
element: Any = None  # likewise: that kernel
function: Any = None  # likewise: one of the three below
ONE = (1,)


@cuda.jit(device=True, inline=True)
def _only(i):
    """``U`` of ``element``, by which it says which element is its: the only one."""
    return U(0)


@cuda.jit(device=True, inline=True)
def _here(i, shape, strides, start):
    """``locate`` of ``element``."""
    return U(0)


def _of_one(y, x, v):
    xs, ys = cuda.local.array(1, x.dtype), cuda.local.array(1, y.dtype)
    xs[0] = v
    element(*CODE, ONE, xs, 0, ONE, ys, U(1))
    return ys[0]


def _of_two(y, a, v, b, w):
    va, vb, ys = cuda.local.array(1, a.dtype), cuda.local.array(1, b.dtype), cuda.local.array(1, y.dtype)
    va[0], vb[0] = v, w
    element(*CODE, ONE, va, 0, ONE, vb, 0, ONE, ys, U(1))
    return ys[0]


def _of_three(y, a, v, b, w, c, u):
    va, vb, vc = cuda.local.array(1, a.dtype), cuda.local.array(1, b.dtype), cuda.local.array(1, c.dtype)
    ys = cuda.local.array(1, y.dtype)
    va[0], vb[0], vc[0] = v, w, u
    element(*CODE, ONE, va, 0, ONE, vb, 0, ONE, vc, 0, ONE, ys, U(1))
    return ys[0]


def _map_one(shape, x, x_start, x_strides, y, n):
    i = U(U(cuda.grid(1)) * U(4))
    if i < n:
        left = U(n - i)
        p, q, r, s = read4(x, locate(i, shape, x_strides, x_start), x_strides[-1], left)
        write4(y, i, left, function(y, x, p), function(y, x, q), function(y, x, r), function(y, x, s))


def _map_two(shape, a, a_start, a_strides, b, b_start, b_strides, y, n):
    i = U(U(cuda.grid(1)) * U(4))
    if i < n:
        left = U(n - i)
        p, q, r, s = read4(a, locate(i, shape, a_strides, a_start), a_strides[-1], left)
        e, f, g, h = read4(b, locate(i, shape, b_strides, b_start), b_strides[-1], left)
        write4(y, i, left, function(y, a, p, b, e), function(y, a, q, b, f), function(y, a, r, b, g), function(y, a, s, b, h))


def _map_three(shape, c, c_start, c_strides, a, a_start, a_strides, b, b_start, b_strides, y, n):
    i = U(U(cuda.grid(1)) * U(4))
    if i < n:
        left = U(n - i)
        t, u, v, w = read4(c, locate(i, shape, c_strides, c_start), c_strides[-1], left)
        p, q, r, s = read4(a, locate(i, shape, a_strides, a_start), a_strides[-1], left)
        e, f, g, h = read4(b, locate(i, shape, b_strides, b_start), b_strides[-1], left)
        first, second = function(y, c, t, a, p, b, e), function(y, c, u, a, q, b, f)
        write4(y, i, left, first, second, function(y, c, v, a, r, b, g), function(y, c, w, a, s, b, h))


PATTERNS = ((_of_one, _map_one), (_of_two, _map_two), (_of_three, _map_three))  # of one, two and three operands


@functools.cache
def wide(kernel: Any, *code: int) -> Any:
    """``kernel(*code, shape, (operand, start, strides)..., y, n)`` of ``simt``, four neighbours a thread; without the code."""
    given = getattr(kernel, "py_func", None) or kernel.fn  # the simulator's name for it
    name = "_".join(("wide", given.__name__, *map(str, code)))
    of_one, of_four = PATTERNS[(given.__code__.co_argcount - len(code)) // 3 - 2]
    scalar = cuda.jit(device=True)(rebound(given, f"{name}_element", U=_only, locate=_here))
    of_element = cuda.jit(device=True)(rebound(of_one, f"{name}_function", element=scalar, CODE=code))
    make = driver.kernel if driver.is_kept(kernel) else cuda.jit
    return make(rebound(of_four, name, function=of_element))


@kernel
def copy(shape, x, x_start, x_strides, y, y_start, y_strides, n):
    i = U(U(cuda.grid(1)) * U(4))
    if i < n:
        left = U(n - i)
        p, q, r, s = read4(x, locate(i, shape, x_strides, x_start), x_strides[-1], left)
        write4(y, locate(i, shape, y_strides, y_start), left, p, q, r, s)


@kernel
def fill(y, value, n):
    i = U(U(cuda.grid(1)) * U(4))
    if i < n:
        write4(y, i, U(n - i), value, value, value, value)
