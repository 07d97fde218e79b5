"""Functions that take what PyTorch's take beside ours: arguments that change nothing here, and a place for the result."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import functions as methods
from ..errors import DTypeError, ShapeError, message
from ..signatures import shown
from ..tensor import Tensor, create, draw, join, pointwise, tensor
from .tensors import device

__all__ = ["NUMBERS", "functions", "ignoring", "number_last", "with_keywords", "with_out"]


def with_keywords(call: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """A wrapper whose signature has keywords too."""
    signature = inspect.signature(call)
    more = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in names if name not in signature.parameters]
    parameters = sorted([*signature.parameters.values(), *more], key=lambda parameter: parameter.kind)
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return call


def ignoring(function: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """A function that takes arguments which say how PyTorch does what is done one way here."""

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        return function(*args, **{name: value for name, value in options.items() if name not in names})

    return with_keywords(call, *names)


NUMBERS = {"add": "alpha", "add_": "alpha", "addcdiv": "value", "addcdiv_": "value", "addcmul": "value", "addcmul_": "value"}
NUMBERS |= {"sub": "alpha", "sub_": "alpha"} | dict.fromkeys(("addmm", "addmm_", "addmv", "baddbmm"), "beta alpha")
"""Methods whose factors stood before the tensors they multiply until PyTorch 1.5, and what they are called now."""


def number_last(function: Callable[..., Any], names: str) -> Callable[..., Any]:
    """``x.add_(-rate, gradient)`` as ``x.add_(gradient, alpha=-rate)``."""

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        tensors = [arg for arg in args if isinstance(arg, Tensor)]
        factors = [arg for arg in args if not isinstance(arg, Tensor)]
        if len(tensors) > 1 and 0 < len(factors) <= len(names.split()) and args[-1] is tensors[-1]:
            args, options = tuple(tensors), {**dict(zip(names.split(), factors)), **options}
        return function(*args, **options)

    return call


def with_out(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that takes ``out``, a tensor of the result's shape, or one without elements; and a device by its number too."""

    @functools.wraps(function)
    def call(*args: Any, out: Any = None, **options: Any) -> Any:
        if options.get("device") is not None:
            options["device"] = device(options["device"])
        found = function(*args, **options)
        return found if out is None else _written(function.__name__, found, out)

    return with_keywords(call, "out")


def _written(op: str, found: Any, out: Any) -> Any:
    if hasattr(found, "_fields") and isinstance(out, (tuple, list)) and len(out) == len(found):
        return type(found)(*(_written(op, result, place) for result, place in zip(found, out)))
    if not isinstance(found, Tensor) or not isinstance(out, Tensor):
        count = f"{len(found)} Tensors" if hasattr(found, "_fields") else "a Tensor" if isinstance(found, Tensor) else "None"
        raise TypeError(message(op, f"out as {count}", shown(out)))
    if not np.can_cast(found.dtype, out.dtype, "same_kind"):
        raise DTypeError(message(op, f"out of a dtype that {found.dtype} fits in", f"{out.dtype}"))
    if out.shape != found.shape and not out.numel():
        out.resize_(found.shape)  # type: ignore[attr-defined] # which adapt adds
    if out.shape != found.shape:
        raise ShapeError(message(op, f"out of shape {tuple(found.shape)}", f"shape {tuple(out.shape)}"))
    return out.copy_(found)


_FUNCTIONS = {name: function for name, function in vars(methods).items() if hasattr(function, "__wrapped__")}
_FUNCTIONS |= {name: getattr(module, name) for module in (create, draw, join) for name in module.__all__}
_FUNCTIONS |= {name: getattr(pointwise, name) for name in ("maximum", "minimum", "where")} | {"tensor": tensor}
_FUNCTIONS |= {f"{name}_": methods.of(getattr(Tensor, f"{name}_")) for name in [*_FUNCTIONS] if hasattr(Tensor, f"{name}_")}
_FUNCTIONS |= {name: number_last(_FUNCTIONS[name], factor) for name, factor in NUMBERS.items() if name in _FUNCTIONS}
functions = SimpleNamespace(**{name: with_out(function) for name, function in _FUNCTIONS.items() if inspect.isfunction(function)})
