"""``torch.nn`` beside what the library has: averages by ``size_average``, softmax without an axis, names without an underscore."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from numbacnn import nn

from ..nn import functional as F
from ..nn import init as initialisers
from ..nn.loss import _Loss as OurLoss

__all__ = ["DataParallel", "_Loss", "data_parallel"]


class DataParallel(nn.Module):
    """A module on the one device there is. Its keys begin with ``module.``, as PyTorch's do."""

    def __init__(self, module: nn.Module, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Any, **options: Any) -> Any:
        return self.module(*inputs, **options)


def data_parallel(module: nn.Module, inputs: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0, **options: Any) -> Any:
    """The module's answer, on the one device there is."""
    return module(*(inputs if isinstance(inputs, tuple) else (inputs,)), **options)


def reduction_of(args: tuple[Any, ...], options: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments with ``size_average`` and ``reduce`` as a ``reduction``, as PyTorch reads them; a bool at the end is ``size_average``."""
    if args and isinstance(args[-1], bool):  # CrossEntropyLoss(weight, False)
        args, options = args[:-1], {"size_average": args[-1], **options}
    average, reduce = options.pop("size_average", None), options.pop("reduce", None)
    if average is None and reduce is None:
        return args, options
    return args, {**options, "reduction": "none" if reduce is False else "sum" if average is False else "mean"}


class _AnyLoss(type(nn.Module)):  # type: ignore[misc]
    def __instancecheck__(cls, x: object) -> bool:
        return super().__instancecheck__(x) or (cls is _Loss and isinstance(x, OurLoss))


class _Loss(nn.Module, metaclass=_AnyLoss):
    """The base of PyTorch's losses, of which people make their own; the library's are instances too."""

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction_of((), {"size_average": size_average, "reduce": reduce, "reduction": reduction})[1]["reduction"]


@functools.cache
def _loss(kind: Any) -> Any:
    """A loss that takes ``size_average`` and ``reduce`` too."""

    def __init__(self: nn.Module, *args: Any, **options: Any) -> None:
        args, options = reduction_of(args, options)
        kind.__init__(self, *args, **options)

    members = {"__init__": __init__, "__doc__": kind.__doc__, "__module__": __name__, "__signature__": _with_old(kind)}
    return type(kind.__name__, (kind,), members)


@functools.cache
def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        args, options = reduction_of(args, options)
        return function(*args, **options)

    call.__signature__ = _with_old(function)  # type: ignore[attr-defined]
    return call


def _with_old(function: Callable[..., Any]) -> inspect.Signature:
    """The signature of a function, and the arguments of old."""
    signature = inspect.signature(function)
    old = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in ("size_average", "reduce")]
    return signature.replace(parameters=[*signature.parameters.values(), *old])


def implicit_dim(op: str, dims: int) -> int:
    """The axis that PyTorch takes where none is given; it warns."""
    warnings.warn(f"{op}: give dim; without it the axis is {0 if dims in (0, 1, 3) else 1} here", stacklevel=3)
    return 0 if dims in (0, 1, 3) else 1


@functools.cache
def _softmax(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
        input = input if dtype is None else input.to(dtype)
        return function(input, implicit_dim(function.__name__, input.ndim) if dim is None else dim)

    return call


@functools.cache
def _softmax_layer(kind: Any) -> Any:
    def __init__(self: nn.Module, dim: int | None = None) -> None:
        kind.__init__(self, 1 if dim is None else dim)
        self.dim = dim

    def forward(self: nn.Module, input: Any) -> Any:
        dim = implicit_dim(kind.__name__, input.ndim) if self.dim is None else self.dim
        return getattr(input, "softmax" if kind is nn.Softmax else "log_softmax")(dim)

    return type(kind.__name__, (kind,), {"__init__": __init__, "forward": forward, "__doc__": kind.__doc__, "__module__": __name__})


def __getattr__(name: str) -> Any:
    """The losses and softmaxes of ``nn``, with the arguments of old; other names are the library's own."""
    kind: Any = getattr(nn, name)
    wrap = _softmax_layer if name in ("Softmax", "LogSoftmax") else _loss if "Loss" in name else None
    if wrap is None:
        raise AttributeError(name)
    return wrap(kind)


class _Functional:
    def __getattr__(self, name: str) -> Any:
        function = getattr(F, name)
        if name in ("softmax", "log_softmax"):
            return _softmax(function)
        if callable(function) and "reduction" in inspect.signature(function).parameters:
            return _reduced(function)
        raise AttributeError(name)


class _Init:
    """Initialisers by the names that they had before PyTorch 0.4, and what people's own ones call."""

    def _calculate_fan_in_and_fan_out(self, tensor: Any) -> tuple[int, int]:
        return initialisers.fan_in_and_fan_out("_calculate_fan_in_and_fan_out", tensor.shape)

    def __getattr__(self, name: str) -> Any:
        if name.endswith("_") or not hasattr(initialisers, f"{name}_"):
            raise AttributeError(name)
        return _renamed(getattr(initialisers, f"{name}_"))


@functools.cache
def _renamed(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        warnings.warn(f"nn.init.{function.__name__[:-1]} is nn.init.{function.__name__} since PyTorch 0.4", stacklevel=2)
        return function(*args, **options)

    return call


def _ntuple(n: int) -> Callable[[Any], tuple[Any, ...]]:
    def parse(x: Any) -> tuple[Any, ...]:
        return tuple(x) if isinstance(x, Iterable) else (x,) * n

    return parse


functional, init = _Functional(), _Init()
sizes = SimpleNamespace(_ntuple=_ntuple, _single=_ntuple(1), _pair=_ntuple(2), _triple=_ntuple(3), _quadruple=_ntuple(4))
