"""Methods of tensors and modules take what old code gives them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from .. import backends, nn
from ..tensor import Tensor
from .modules import Missing, missing
from .tensors import OLD_TYPES, device, named

__all__ = ["adapt"]


@functools.cache
def adapt() -> None:
    """Let the methods of tensors and modules take what old code gives them, and ``x.device`` be an object."""
    slot = inspect.getattr_static(Tensor, "device")
    devices = {name: device(name) for name in backends.names()}
    setattr(Tensor, "device", property(lambda x: devices[slot.__get__(x)], slot.__set__))  # noqa: B010
    for kind in (Tensor, nn.Module):
        for name, dropped in (("to", ("non_blocking", "memory_format")), ("contiguous", ("memory_format",)), ("clone", ("memory_format",))):
            if hasattr(kind, name):
                setattr(kind, name, _dropping(getattr(kind, name), dropped))
        setattr(kind, "cuda", _numbered(kind.cuda))  # noqa: B010
    Tensor.__getattr__ = _unknown  # type: ignore[attr-defined]
    Tensor.type = _type(Tensor.type)  # type: ignore[method-assign]


def _unknown(x: Tensor, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise Missing(missing(f"torch.Tensor.{name}"))


def _dropping(method: Callable[..., Any], dropped: tuple[str, ...]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **options: Any) -> Any:
        for name in dropped:
            options.pop(name, None)
        return method(self, *args, **options)

    del call.__wrapped__  # type: ignore[attr-defined]  # it takes more than that
    return call


def _numbered(cuda: Callable[..., Any]) -> Callable[..., Any]:
    """``x.cuda(0)``, ``x.cuda("cuda:0")``, ``x.cuda(non_blocking=True)``: there is one GPU."""

    @functools.wraps(cuda)
    def call(self: Any, device: Any = None, non_blocking: bool = False, **options: Any) -> Any:
        return cuda(self)

    return call


def _type(convert: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(convert)
    def type(self: Tensor, dtype: Any = None, **options: Any) -> Any:
        if dtype is None:
            return f"torch.{next(name for name, kind in OLD_TYPES.items() if kind.dtype == self.dtype)}"
        return convert(self, named(dtype))

    return type
