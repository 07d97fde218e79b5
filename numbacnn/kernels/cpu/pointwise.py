"""Kernels made from the table of pointwise functions, on flat arrays of one size and type; a kernel is made when it is first used.

A task is a fixed block, so that no bit depends on the number of threads. An ``activation_code`` is a place in ``names.ACTIVATIONS``.
"""

from __future__ import annotations

import functools
import linecache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import prange, types

from ...errors import message
from ...formulas import BINARY, UNARY, Unary, forgiving, rebound
from ...names import ACTIVATIONS
from . import vecmath  # noqa: F401  # what the table calls is compiled from it
from .launch import CONTRACT, ROUNDED, inline, kernel

__all__ = ["activate", "backward", "block", "blocks", "choose", "convert", "convert_block", "derive", "fill", "forward", "judge"]

DISABLE_JIT = bool(numba.config.DISABLE_JIT)  # type: ignore[attr-defined]

BLOCK = 4096


@inline
def blocks(x):
    """How many blocks x has."""
    return (x.size + BLOCK - 1) // BLOCK


@inline(owns=True)
def block(x, b):
    """Block b of x."""
    return x[b * BLOCK : (b + 1) * BLOCK]


# -- patterns: what they call, ``function`` and ``loop``, is put in for each kernel -------------------------------------------------
function: Any = None
loop: Any = None


def _loop_over_one(x, y):
    for i in range(y.size):
        y[i] = function(x[i])


def _loop_over_two(a, b, y):
    for i in range(y.size):
        y[i] = function(a[i], b[i])


def _map_one(x, y):
    for b in prange(blocks(y)):
        loop(block(x, b), block(y, b))


def _map_two(a, b, y):
    for t in prange(blocks(y)):
        loop(block(a, t), block(b, t), block(y, t))


@functools.cache
def _scalar(name: str, part: str) -> Any:
    """A function of the table, to be called by a loop. ``part`` is "forward", "backward" or a user's "derivative"."""
    row: Any = UNARY.get(name) or BINARY[name]
    called = {"slope": _scalar(name, "derivative")} if part == "backward" and getattr(row, "derivative", None) else {}
    function = rebound(getattr(row, part), f"{name}_{part}", **called)
    flags = CONTRACT if getattr(row, "contract", True) else ROUNDED
    return inline(forgiving(function) if DISABLE_JIT else function, fastmath=flags, force=True)


@functools.cache
def _loop(name: str, part: str, operands: int) -> Any:
    pattern = _loop_over_one if operands == 1 else _loop_over_two
    return inline(rebound(pattern, f"{name}_{part}_loop", function=_scalar(name, part)))


def _kernel(name: str, part: str, operands: int) -> Any:
    pattern = _map_one if operands == 1 else _map_two
    loop = _loop(name, part, operands)
    return kernel(rebound(pattern, f"{name}_{part}", loop=loop), keep=getattr(UNARY.get(name), "kept", True))


@functools.cache
def forward(name: str) -> Any:
    """The kernel of a function of the table: ``(x, y)`` or, of two numbers, ``(a, b, y)``."""
    return _kernel(name, "forward", 1 if name in UNARY else 2)


@functools.cache
def backward(name: str) -> Any:
    """The kernel of the gradient of a function of one number: ``(grad, saved, dx)``, where ``saved`` is x or y, as the table says."""
    return _kernel(name, "backward", 2)


def judge(row: Unary, real: type) -> None:
    """Compile both functions of a user's row for an element type; a row that can't be compiled leaves the table.

    Raises:
        TypeError: where Numba refuses one, or it gives no number.
    """
    for part, what in (("forward", "f"), ("derivative", "derivative")):
        scalar = _scalar(row.name, part)
        try:
            given = _given(scalar, real)
            fault = given and f"one that gives {given}"
        except Exception as error:  # of Numba's or of the function's
            fault = _said(error, getattr(scalar, "py_func", scalar))
        if fault:
            UNARY.pop(row.name, None)
            hint = "it may call math, NumPy's functions of numbers, those of numbacnn.formulas, and functions under @njit"
            raise TypeError(message("pointwise", f"{what} to give a number, and to be what Numba compiles", fault, hint))


def _given(scalar: Any, real: type) -> str:
    """What a user's function gives; empty for a number."""
    if DISABLE_JIT:
        with np.errstate(all="ignore"):
            value = scalar(real(0.5))
        return "" if isinstance(value, (bool, int, float, np.number, np.bool_)) else f"a {type(value).__name__}"
    signature = (numba.from_dtype(np.dtype(real)),)
    scalar.compile(signature)
    kind = scalar.overloads[signature].signature.return_type
    return "" if isinstance(kind, (types.Integer, types.Float, types.Boolean)) else str(kind)


def _said(error: Exception, function: Any) -> str:
    """An error's first words, and the line of the user's that it names."""
    words = [line.strip() for line in str(getattr(error, "msg", error)).splitlines()]
    first, *rest = [line for line in words if line and not line.startswith("Failed in")] or [type(error).__name__]
    first = "a name that is not defined" if "UndefinedType" in first else first
    if first.endswith("found for signature:"):
        first = f"{first.removesuffix(' found for signature:')} for {rest[0].removeprefix('>>> ')}" if rest else first
    code, line = function.__code__, getattr(getattr(error, "loc", None), "line", None)
    line = line or code.co_firstlineno
    text = linecache.getline(code.co_filename, line).strip()[:60]
    return f"{first.rstrip('. ')}, in line {line} of {Path(code.co_filename).name}" + (f": {text}" if text else "")


@inline
def _fill(y, number):
    for i in range(y.size):
        y[i] = y.dtype.type(number)


@kernel
def fill(y, number):
    """y = number; flat."""
    for t in prange(blocks(y)):
        _fill(block(y, t), number)


@inline
def convert_block(x, y):
    """y = x in another type, one by one."""
    for i in range(y.size):
        y[i] = x[i]


@kernel
def convert(x, y):
    """y = x in another type; flat."""
    for t in prange(blocks(y)):
        convert_block(block(x, t), block(y, t))


@inline
def _choose(condition, a, b, first, y):
    at, of_a, of_b = int(condition.size > 1), int(a.size > 1), int(b.size > 1)
    for i in range(first, min(y.size, first + BLOCK)):
        y[i] = a[i * of_a] if condition[i * at] else b[i * of_b]


@kernel
def choose(condition, a, b, y):
    """y = a where the condition holds, else b; flat, and of one element where it is the same for all."""
    for t in prange(blocks(y)):
        _choose(condition, a, b, np.int64(t) * BLOCK, y)


# -- the activations that dense kernels fuse ---------------------------------------------------------------------------------------
_relu, _sigmoid, _tanh = (_scalar(name, "forward") for name in ACTIVATIONS[1:])
_relu_backward, _sigmoid_backward, _tanh_backward = (_loop(name, "backward", 2) for name in ACTIVATIONS[1:])


@inline
def activate(x, activation_code):
    """x = ACTIVATIONS[activation_code](x), in loops of their own.

    For two arrays LLVM would ask whether they overlap, and go one by one.
    """
    if activation_code == 1:
        for i in range(x.size):
            x[i] = _relu(x[i])
    elif activation_code == 2:
        for i in range(x.size):
            x[i] = _sigmoid(x[i])
    elif activation_code == 3:
        for i in range(x.size):
            x[i] = _tanh(x[i])


@inline
def derive(grad, y, activation_code, dx):
    """dx = the gradient of what ACTIVATIONS[activation_code] made y of; activation_code is not 0."""
    if activation_code == 1:
        _relu_backward(grad, y, dx)
    elif activation_code == 2:
        _sigmoid_backward(grad, y, dx)
    else:
        _tanh_backward(grad, y, dx)
