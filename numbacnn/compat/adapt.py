"""Methods of tensors and modules take what old code gives them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, cast

from .. import backends, nn
from ..tensor import Tensor
from .layers import LAYERS, placed
from .modules import Missing, missing
from .table import LEFT_OUT, METHODS
from .tensors import OLD_TYPES, Size, device, old_type

__all__ = ["adapt"]


@functools.cache
def adapt() -> None:
    """Let the methods of tensors and modules take what old code gives them, and ``x.device`` be an object."""
    slot = inspect.getattr_static(Tensor, "device")
    devices = {name: device(name) for name in backends.names()}
    setattr(Tensor, "device", property(lambda x: devices[slot.__get__(x)], slot.__set__))  # noqa: B010
    setattr(Tensor, "shape", property(lambda x: Size(x.array.shape), doc=Tensor.shape.__doc__))  # noqa: B010
    for kind in (Tensor, nn.Module):
        for name in ("clone", "contiguous", "is_contiguous", "to"):
            if hasattr(kind, name):
                setattr(kind, name, _dropping(getattr(kind, name)))
        setattr(kind, "cuda", _numbered(kind.cuda))  # noqa: B010
        setattr(kind, "type", _type)  # noqa: B010
    for layer in LAYERS:
        layer.__init__ = placed(layer.__init__)  # type: ignore[method-assign]
    Tensor.is_mps = Tensor.is_xpu = False  # type: ignore[attr-defined]
    Tensor.new = _new  # type: ignore[attr-defined]
    Tensor.__getattr__ = _unknown  # type: ignore[attr-defined]
    nn.Module.__getattr__ = _unknown_of_modules(nn.Module.__getattr__)  # type: ignore[method-assign]


def _unknown(x: Tensor, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise Missing(missing(f"torch.Tensor.{name}"))


def _unknown_of_modules(look_up: Callable[..., Any]) -> Callable[..., Any]:
    """Says of PyTorch's methods that they are missing; other attributes are the user's own affair."""

    @functools.wraps(look_up)
    def __getattr__(self: nn.Module, name: str) -> Any:
        try:
            return look_up(self, name)
        except AttributeError:
            full = f"torch.nn.Module.{name}"
            if full in LEFT_OUT or name in METHODS:
                raise Missing(missing(full)) from None
            raise

    return __getattr__


def _new(x: Tensor, *args: Any) -> Tensor:
    """Another tensor of the dtype, on the device: of these sizes, or of these values."""
    kind = next(kind for kind in OLD_TYPES.values() if kind.dtype == x.dtype)
    return cast(Tensor, kind(*args, device=x.device))


def _dropping(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, memory_format: Any = None, non_blocking: bool = False, **options: Any) -> Any:
        return method(self, *args, **options)

    del call.__wrapped__  # type: ignore[attr-defined]  # it takes more than that
    return call


def _numbered(cuda: Callable[..., Any]) -> Callable[..., Any]:
    """``x.cuda(0)``, ``x.cuda("cuda:0")``, ``x.cuda(non_blocking=True)``: there is one GPU."""

    @functools.wraps(cuda)
    def call(self: Any, device: Any = None, non_blocking: bool = False, **options: Any) -> Any:
        return cuda(self)

    return call


def _type(x: Any, dtype: Any = None, non_blocking: bool = False, **options: Any) -> Any:
    """In a dtype, and on the GPU for ``torch.cuda.FloatTensor``; without one, the name of the tensor's class of old."""
    if dtype is None:
        return f"torch.{'cuda.' * x.is_cuda}{next(name for name, kind in OLD_TYPES.items() if kind.dtype == x.dtype)}"
    kind = old_type(dtype)
    return x.to(dtype) if kind is None else x.to(dtype=kind.dtype, device=kind.device or "cpu")
