"""What a function computes, as a digest: equal digests mean equal results, so that its kernels can be kept on disk under it."""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

__all__ = ["fingerprint"]

LIBRARIES = {"builtins", "math", "numpy"}
"""Modules whose names always mean the same."""


def fingerprint(*functions: Callable[..., Any]) -> str | None:
    """A digest of functions and of all that they call or read; None where something is among it that can't be told.

    It goes by bytecode, constants, the values that global names and closures have now, and the Python functions that are called, compiled
    by Numba or not. It does not go by names of files or lines.

    >>> fingerprint(lambda x: 2 * x) == fingerprint(lambda x: 2 * x), fingerprint(lambda x: 2 * x) == fingerprint(lambda x: 3 * x)
    (True, False)
    >>> rates = [0.5]
    >>> fingerprint(lambda x: rates[0] * x) is None
    True
    """
    digest, seen = hashlib.sha256(), set[int]()
    try:
        for function in functions:
            for part in _parts(function, seen):
                digest.update(part.encode() + b"\0")
    except TypeError:
        return None
    return digest.hexdigest()[:16]


def _parts(value: Any, seen: set[int]) -> Iterator[str]:
    """What tells a value from others; TypeError where nothing does."""
    value = getattr(value, "py_func", value)  # what Numba has compiled
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        yield f"{type(value).__name__} {value!r}"
    elif isinstance(value, tuple):
        yield f"tuple {len(value)}"
        for member in value:
            yield from _parts(member, seen)
    elif isinstance(value, types.CodeType):
        yield f"code {value.co_code.hex()} {value.co_names} {value.co_varnames} {value.co_freevars} {value.co_argcount}"
        for constant in value.co_consts:
            yield from _parts(constant, seen)
    elif isinstance(value, types.FunctionType):
        yield from _function(value, seen)
    elif isinstance(value, types.ModuleType) and value.__name__ in LIBRARIES:
        yield f"module {value.__name__}"
    elif _library_of(value) in LIBRARIES:
        yield f"name {_library_of(value)} {getattr(value, '__qualname__', value.__name__)}"
    else:
        raise TypeError(f"nothing tells a {type(value).__name__} from others")


def _function(function: types.FunctionType, seen: set[int]) -> Iterator[str]:
    if id(function) in seen:  # one that calls itself
        yield "again"
        return
    seen.add(id(function))
    yield from _parts(function.__code__, seen)
    yield from _parts(function.__defaults__, seen)
    for cell in function.__closure__ or ():
        yield from _parts(cell.cell_contents, seen)
    for name in sorted({name for code in _codes(function.__code__) for name in code.co_names} & set(function.__globals__)):
        yield name
        yield from _parts(function.__globals__[name], seen)


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """The code of a function and of those inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _library_of(value: Any) -> str:
    """The library that a function or a type belongs to by name."""
    return "numpy" if isinstance(value, np.ufunc) else getattr(value, "__module__", None) or ""
