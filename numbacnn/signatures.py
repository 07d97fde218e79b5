"""A call that fails is held against its signature, so that a wrong argument is named in the house's form.

``@judged`` costs a call that succeeds nothing but a Python frame. Where one fails with an error that is not in the form of
:func:`numbacnn.errors.message`, each argument is compared with its annotation, and the first that does not fit is named. Where all of
them fit, the error passes as it is: it is a fault of the library. Functions that keep anything judge their arguments before they begin.
"""

from __future__ import annotations

import builtins
import functools
import inspect
import operator
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, Literal, TypeVar, Union

import numpy as np

from .errors import in_form, message

__all__ = ["judged"]

T = TypeVar("T", bound=Callable[..., Any])

NAMES: dict[Any, str] = {
    bool: "True or False",
    int: "an integer",
    float: "a number",
    str: "a string",
    bytes: "bytes",
    type(None): "None",
    np.ndarray: "an array",
    dict: "a dict",
    list: "a list",
    tuple: "a tuple",
}
"""What values of plain types are called."""


def judged(public: T) -> T:
    """Let a public function, or the constructor of a class, name the argument that made it fail.

    Raises:
        TypeError: in place of an error of Python's or NumPy's, where an argument does not fit its annotation.
        ValueError: likewise, where one is none of the values that it can be, or where an array would not fit in memory.

    >>> @judged
    ... def half(x: float) -> float:
    ...     return x / 2
    >>> half("1")
    Traceback (most recent call last):
    TypeError: [half] expected x as a number; received '1'.
    """
    if isinstance(public, type):
        public.__init__ = judged(public.__init__)  # type: ignore[misc]
        return public

    @functools.wraps(public)
    def call(*args: Any, **options: Any) -> Any:
        try:
            return public(*args, **options)
        except Exception as error:
            fault = None if in_form(error) else _fault(public, args, options, error)
            if fault is None:
                raise
            raise fault from error

    return typing.cast(T, call)


NAMELESS = ("__init__", "forward", "__call__", "__getitem__", "__setitem__")
"""Methods that a user calls by the object: errors speak in the name of its class."""


def _fault(function: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any], error: Exception) -> Exception | None:
    """The error that names the argument which does not fit, if there is one."""
    op = type(args[0]).__name__ if function.__name__ in NAMELESS else function.__name__
    signature = inspect.signature(function)
    try:
        given = signature.bind(*args, **options).arguments
    except TypeError as wrong:
        return TypeError(message(op, f"the arguments {_listed(signature)}", str(wrong)))
    for parameter, value in given.items():
        hint, kind = _hint(function, parameter), signature.parameters[parameter].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            hint = Sequence[hint]  # type: ignore[valid-type]
        elif kind is inspect.Parameter.VAR_KEYWORD:
            continue
        if not fits(value, hint):
            wrong_value = typing.get_origin(hint) is Literal and isinstance(value, str)
            return (ValueError if wrong_value else TypeError)(message(op, f"{parameter} as {described(hint)}", shown(value)))
    if isinstance(error, (MemoryError, OverflowError)) or "array is too big" in str(error) or "Maximum allowed" in str(error):
        numbers = ", ".join(f"{parameter} = {shown(value)}" for parameter, value in given.items() if parameter != "self")
        return ValueError(message(op, "sizes of arrays that fit in memory", numbers))
    return None


def _hint(function: Callable[..., Any], parameter: str) -> Any:
    """The annotation of a parameter; ``Any`` for one that can't be resolved.

    A name that only the type checker imports is looked up in the package around the function's module; not so ``float``, which is a
    dtype there.
    """
    hint, package = function.__annotations__.get(parameter, Any), sys.modules[function.__module__].__package__
    try:
        while isinstance(hint, str):
            hint = eval(hint, {**vars(sys.modules[package or function.__module__]), **vars(builtins), **function.__globals__})
    except (NameError, AttributeError):
        return Any
    return hint


def _listed(signature: inspect.Signature) -> str:
    return ", ".join(name for name in signature.parameters if name != "self")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says; True where the annotation says less than can be tested."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, TypeVar):
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if hint is None or hint is type(None):
        return value is None
    if hint is int:
        return _is_integer(value)
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    if hint is bool:
        return isinstance(value, (bool, np.bool_))
    if origin is type or hint is type:
        return isinstance(value, type)
    kind = origin if origin is not None else hint
    if not isinstance(kind, type):
        return True
    try:
        if not isinstance(value, kind):
            return False
    except TypeError:  # a protocol that can't be tested
        return True
    return _members_fit(value, kind, parts)


def _members_fit(value: Any, kind: type, parts: tuple[Any, ...]) -> bool:
    if issubclass(kind, Mapping):
        return len(parts) != 2 or all(fits(k, parts[0]) and fits(v, parts[1]) for k, v in value.items())
    if kind is tuple and parts and parts[-1] is not Ellipsis:
        return len(value) == len(parts) and all(map(fits, value, parts))
    if issubclass(kind, Iterable) and parts and isinstance(value, (list, tuple, range)):
        return all(fits(member, parts[0]) for member in value)
    if isinstance(value, np.ndarray) and parts and parts[0] not in (Any, int, float):
        return False
    return not (issubclass(kind, Iterable) and kind not in (str, bytes) and isinstance(value, (str, bytes)))


def _is_integer(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return False
    try:
        operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        return False
    return True


def described(hint: Any) -> str:
    """An annotation in words.

    >>> described(int | Sequence[float] | None)
    'an integer, a sequence of numbers or None'
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        words = list(dict.fromkeys(described(part) for part in parts))
        return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" or {words[-1]}"
    if origin is Literal:
        return "one of " + ", ".join(map(repr, parts))
    if hint in NAMES:
        return NAMES[hint]
    kind = origin if origin is not None else hint
    name = getattr(kind, "__name__", str(kind))
    if name == "Callable":
        return "a function"
    if name in ("Sequence", "Iterable", "list", "tuple") and parts:
        members = described(parts[0])
        plural = {"an integer": "integers", "a number": "numbers", "a string": "strings", "a Tensor": "Tensors"}.get(members, "values")
        return f"a sequence of {plural}" if name in ("Sequence", "Iterable") else f"a {name} of {plural}"
    if name in ("Mapping", "Sequence", "Iterable"):
        return {"Mapping": "a mapping", "Sequence": "a sequence", "Iterable": "an iterable"}[name]
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def shown(value: Any) -> str:
    """A value in few words: numbers and short strings as they are, else the type, and the shape of an array."""
    if value is None or isinstance(value, (bool, int, float, complex)) or (isinstance(value, str) and len(value) < 40):
        return repr(value)
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, (list, tuple)) and len(value) < 8 and len(repr(value)) < 60:
        return repr(value)
    return f"{'type ' if isinstance(value, type) else ''}{value.__name__ if isinstance(value, type) else type(value).__name__}"
