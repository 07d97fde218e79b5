"""NumPy's calls without Python: a ufunc, a reduction or a copy as the loops in C that it runs.

A ufunc holds a loop for each combination of types, as NumPy's C header documents: a function of addresses, a count and strides. NumPy's
own iterator says in which order a call goes over memory, so that the loops called in this order give NumPy's bits.
"""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .memory import address
from .native import AXES, OPERANDS
from .records import Operand

__all__ = ["Nest", "nests"]

EACH_BY_ITSELF = frozenset(
    {np.add, np.subtract, np.multiply, np.divide, np.negative, np.positive, np.absolute, np.sqrt, np.logical_not}
    | {np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal}
)
"""Ufuncs whose results do not depend on where in a loop an element is, as those of vectors and of what is left over may: of two zeros
the larger, the last digit of a power."""


class _Ufunc(ctypes.Structure):
    """The beginning of ``PyUFuncObject``."""

    _fields_ = (
        ("head", ctypes.c_byte * object.__basicsize__),
        *((name, ctypes.c_int) for name in ("nin", "nout", "nargs", "identity")),
        *((name, ctypes.POINTER(ctypes.c_void_p)) for name in ("functions", "data")),
        *((name, ctypes.c_int) for name in ("ntypes", "reserved")),
        ("name", ctypes.c_char_p),
    )


@functools.cache
def _loop(function: np.ufunc, dtypes: tuple[np.dtype, ...]) -> tuple[int, int] | None:
    """The address of the loop for operands of these types, and that of the data which it is given."""
    found = _Ufunc.from_address(id(function))
    if (found.nin, found.nout, found.ntypes, found.name) != (function.nin, function.nout, function.ntypes, function.__name__.encode()):
        return None  # a NumPy whose ufuncs are otherwise
    for i, types in enumerate(function.types):
        if tuple(np.dtype(code) for code in types.replace("->", "")) == dtypes:
            return found.functions[i], (found.data[i] or 0) if found.data else 0
    return None


class Nest(NamedTuple):
    """A loop, and others around it that call it."""

    loop: tuple[int, int]
    shape: tuple[int, ...]
    operands: list[tuple[Operand | np.ndarray, int, tuple[int, ...]]]
    """Each operand with its first byte and its strides; an array is a number that the plan keeps."""


def nests(function: Any, values: tuple[Any, ...]) -> list[Nest] | None:
    """What a call of NumPy's does; None where Python has to call it."""
    found: list[Nest | None] = [None]
    if isinstance(function, np.ufunc):
        found = _called(function, *values)
    elif function is np.copyto and len(values) == 3:
        found = _copied(*values[:2])
    elif isinstance(getattr(function, "__self__", None), np.ufunc) and function.__name__ == "reduce":
        found = _reduced(function.__self__, *values)
    return None if None in found else found  # type: ignore[return-value]


def _called(function: np.ufunc, *operands: Any, exactly: bool = False) -> list[Nest | None]:
    """The last operand is the result. ``exactly``: the order is NumPy's also where there are loops around the loop."""
    *given, out = operands
    dtype = next((x.dtype for x in given if isinstance(x, Operand)), out.dtype)
    given = [x if isinstance(x, Operand) else np.array(x, dtype) for x in given]
    if 0 in np.broadcast_shapes(*(x.shape for x in (*given, out))):
        return []
    loop = _loop(function, tuple(x.dtype for x in (*given, out))) if len(operands) <= OPERANDS else None
    if loop is None or any(isinstance(x, Operand) and _overlap(x, out) for x in given):
        return [None]
    like = [x if isinstance(x, np.ndarray) else as_strided(np.empty(1, x.dtype), x.shape, x.strides) for x in (*given, out)]
    modes: Any = [*(["readonly"] for _ in given), ["readwrite"]]
    views = np.nditer(like, ["external_loop", "reduce_ok"], modes).itviews
    outer = AXES - views[0].ndim
    if outer < 0 or (views[0].ndim > 1 and not exactly and function not in EACH_BY_ITSELF):
        return [None]
    places = [
        (x, (x.offset if isinstance(x, Operand) else 0) + address(view) - address(a), (0,) * outer + view.strides)
        for x, a, view in zip((*given, out), like, views)
    ]
    return [Nest(loop, (1,) * outer + views[0].shape, places)]


def _overlap(a: Operand, b: Operand) -> bool:
    """Whether two operands share memory, but are not the same."""
    if a.region != b.region or a[1:4] == b[1:4]:
        return False
    (low, high), (first, last) = _bounds(a), _bounds(b)
    return low < last and first < high


def _bounds(x: Operand) -> tuple[int, int]:
    ends = [(n - 1) * s for n, s in zip(x.shape, x.strides)]
    return x.offset + sum(e for e in ends if e < 0), x.offset + sum(e for e in ends if e > 0) + x.dtype.itemsize


def _copied(out: Operand, x: Any) -> list[Nest | None]:
    """out = x, bit by bit: of one type."""
    if not isinstance(x, Operand):
        x = np.array(x).astype(out.dtype).view(bits := np.dtype(f"u{out.dtype.itemsize}"))
        return _called(np.positive, x, out._replace(dtype=bits))
    if x.dtype != out.dtype:
        return [None]
    bits = np.dtype(f"u{out.dtype.itemsize}")
    return _called(np.positive, x._replace(dtype=bits), out._replace(dtype=bits))


def _reduced(function: np.ufunc, x: Operand, axes: tuple[int, ...], dtype: Any, out: Operand, keepdims: bool) -> list[Nest | None]:
    """Of memory in C order: NumPy begins a sum with 0, a maximum with the first elements."""
    if out.dtype != x.dtype:
        return [None]
    if function is np.add:
        return [*_copied(out, 0), *_called(function, out, x, out, exactly=True)]
    long = [i for i, size in enumerate(x.shape) if size != 1]
    places = [place for place, i in enumerate(long) if i in axes]
    if places and places != list(range(places[0], places[-1] + 1)):
        return [None]  # several axes apart: NumPy skips what it began with
    before = math.prod(x.shape[i] for i in long[: places[0]]) if places else 1
    count = math.prod(x.shape[i] for i in long if i in axes)
    size, step = x.dtype.itemsize, x.dtype.itemsize * math.prod(out.shape) // before
    whole = x._replace(shape=(before, count, step // size), strides=(count * step, step, size))
    result = out._replace(shape=(before, 1, step // size), strides=(step, step, size))
    first = whole._replace(shape=result.shape)
    rest = whole._replace(offset=x.offset + step, shape=(before, count - 1, step // size))
    return [*_copied(result, first), *_called(function, result, rest, result, exactly=True)]
