"""``torch.nn`` beside what the library has: averages by ``size_average``, softmax without an axis, names without an underscore."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np

from numbacnn import nn

from ..errors import message
from ..nn import functional as F
from ..nn import init as initialisers
from ..nn import loss as losses
from ..signatures import shown
from ..tensor import Tensor
from .arguments import with_keywords

__all__ = ["DataParallel", "LogSoftmax", "Softmax", "_Loss", "_WeightedLoss", "data_parallel", "is_lazy", *losses.__all__]


class DataParallel(nn.Module):
    """A module on the one device there is. Its keys begin with ``module.``, as PyTorch's do."""

    def __init__(self, module: nn.Module, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module, self.device_ids = module, list(device_ids or ())

    def forward(self, *inputs: Any, **options: Any) -> Any:
        return self.module(*inputs, **options)


def data_parallel(module: nn.Module, inputs: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0, **options: Any) -> Any:
    """The module's answer, on the one device there is."""
    return module(*(inputs if isinstance(inputs, tuple) else (inputs,)), **options)


def _softmax(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(input: Any, dim: int | None = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
        if dim is None:
            dim = 0 if input.ndim in (0, 1, 3) else 1
            warnings.warn(f"{function.__name__}: give dim; without it the axis is {dim} here", stacklevel=2)
        return function(input if dtype is None else input.to(dtype), dim)

    return with_keywords(call, "_stacklevel", "dtype")


class Softmax(nn.Softmax):
    __doc__ = nn.Softmax.__doc__

    def __init__(self, dim: int | None = None) -> None:
        super().__init__(1 if dim is None else dim)
        self.dim: Any = dim

    def forward(self, x: Any) -> Any:
        return functional.softmax(x, self.dim)


class LogSoftmax(nn.LogSoftmax):
    __doc__ = nn.LogSoftmax.__doc__

    def __init__(self, dim: int | None = None) -> None:
        super().__init__(1 if dim is None else dim)
        self.dim: Any = dim

    def forward(self, x: Any) -> Any:
        return functional.log_softmax(x, self.dim)


def _reduced(size_average: bool | None = None, reduce: bool | None = None, **options: Any) -> dict[str, Any]:
    """Options that say by ``reduction`` what these two say."""
    for name, value in (("size_average", size_average), ("reduce", reduce)):
        if value not in (None, True, False):
            raise TypeError(message("compat", f"{name} as True, False or None", shown(value), "reduction= is a word"))
    if size_average is not None or reduce is not None:
        options["reduction"] = "none" if reduce is False else "sum" if size_average is False else "mean"
    return options


def _with_average(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that has a ``reduction``, and takes ``size_average`` and ``reduce`` too, by name or in PyTorch's order."""
    parameters = inspect.signature(function).parameters
    if parameters["reduction"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
        return function  # HuberLoss, which is younger than these two
    names = [*parameters]
    place = names.index(next(name for name in names if name in ("ignore_index", "reduction") or (name == "eps" and "log_input" in names)))
    names.insert(place, "size_average")
    names.insert(names.index("reduction"), "reduce")

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        later = dict(zip(names[place:], args[place:]))
        return function(*args[:place], *args[len(names) :], **_reduced(**later, **options))

    return with_keywords(call, "size_average", "reduce")


LAYERS: tuple[type[nn.Module], ...] = (nn.BatchNorm1d, nn.BatchNorm2d, nn.Conv2d, nn.Linear, nn.PReLU)
LAYERS += (nn.LazyBatchNorm1d, nn.LazyBatchNorm2d, nn.LazyConv2d, nn.LazyLinear)
"""Those that have parameters."""
DEVICE_AND_DTYPE = ("device", "dtype")


def with_device(make: Callable[..., None]) -> Callable[..., None]:
    """The constructor of a layer that takes ``device`` and ``dtype`` of its parameters too, behind its own arguments or by name."""
    parameters = inspect.signature(make).parameters
    own = sum(parameter.kind is parameter.POSITIONAL_OR_KEYWORD for parameter in parameters.values()) - 1
    names = ("padding_mode", *DEVICE_AND_DTYPE) if "padding" in parameters else DEVICE_AND_DTYPE

    @functools.wraps(make)
    def __init__(self: nn.Module, *args: Any, **options: Any) -> None:
        more = dict(zip(names, args[own:])) | {name: options.pop(name) for name in names if name in options}
        padding_mode = more.pop("padding_mode", "zeros")
        if padding_mode != "zeros":
            raise ValueError(message(type(self).__name__, "padding_mode 'zeros'", repr(padding_mode)))
        make(self, *args[:own], *args[own + len(names) :], **options)
        if any(value is not None for value in more.values()):
            self.to(**more)

    return with_keywords(__init__, *names)


PAIRED = {"HuberLoss": "huber_loss", "L1Loss": "l1_loss", "MSELoss": "mse_loss", "SmoothL1Loss": "smooth_l1_loss"}
"""Losses of pairs, which PyTorch makes of tensors of different shapes too. It warns: that is a mistake more often than not."""


def _paired(input: Any, target: Any) -> tuple[Any, Any]:
    if not (isinstance(input, Tensor) and isinstance(target, Tensor)) or input.shape == target.shape:
        return input, target
    try:
        shape = np.broadcast_shapes(input.shape, target.shape)
    except ValueError:
        return input, target  # refused in the loss's own words
    warnings.warn(f"a loss of input {tuple(input.shape)} and target {tuple(target.shape)}, which are repeated to {shape}", stacklevel=3)
    return input.expand(shape), target.expand(shape)


def _repeating(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(input: Any, target: Any, *args: Any, **options: Any) -> Any:
        return function(*_paired(input, target), *args, **options)

    return call


class _Loss(nn.Module):
    """The base of PyTorch's losses, of which people make their own."""

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = _reduced(size_average, reduce, reduction=reduction)["reduction"]


class _WeightedLoss(_Loss):
    """One whose classes or elements count differently."""

    def __init__(self, weight: Any = None, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)


for _kind in map(losses.__dict__.__getitem__, losses.__all__):
    _members = {"__init__": _with_average(_kind.__init__), "__doc__": _kind.__doc__, "__module__": __name__}
    if _kind.__name__ in PAIRED:
        _members["forward"] = lambda self, input, target, kind=_kind: kind.forward(self, *_paired(input, target))
    globals()[_kind.__name__] = type(_kind.__name__, (_kind, _Loss), _members)


def _renamed(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        warnings.warn(f"nn.init.{function.__name__[:-1]} is nn.init.{function.__name__} since PyTorch 0.4", stacklevel=2)
        return function(*args, **options)

    return call


def is_lazy(param: Any) -> bool:
    """Whether a parameter waits for its shape."""
    return isinstance(param, nn.UninitializedParameter)


def _fans(tensor: Any) -> tuple[int, int]:
    return initialisers.fan_in_and_fan_out("_calculate_fan_in_and_fan_out", tensor.shape)


def _ntuple(n: int) -> Callable[[Any], tuple[Any, ...]]:
    return lambda x: tuple(x) if isinstance(x, Iterable) else (x,) * n


_functions: dict[str, Any] = {name: getattr(F, name) for name in F.__all__ if inspect.isfunction(getattr(F, name))}
_functions |= {name: _repeating(_functions[name]) for name in PAIRED.values()}
functional = SimpleNamespace(
    **{name: _with_average(function) for name, function in _functions.items() if "reduction" in inspect.signature(function).parameters},
    softmax=_softmax(F.softmax),
    log_softmax=_softmax(F.log_softmax),
    relu_=Tensor.relu_,
)
init = SimpleNamespace(
    **{name[:-1]: _renamed(getattr(initialisers, name)) for name in initialisers.__all__ if name.endswith("_")},
    _calculate_fan_in_and_fan_out=_fans,
    _calculate_correct_fan=lambda tensor, mode: _fans(tensor)[mode == "fan_out"],
)
sizes = SimpleNamespace(_ntuple=_ntuple, _single=_ntuple(1), _pair=_ntuple(2), _triple=_ntuple(3), _quadruple=_ntuple(4))
