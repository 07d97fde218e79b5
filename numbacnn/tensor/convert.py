"""Other devices and dtypes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from .. import backends, ops
from ..dtypes import as_dtype, names_device
from ..errors import DTypeError, message
from ..ops import elementwise
from .core import TensorBase, apply

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Convert"]


class Convert(TensorBase):
    """The methods that give the same values on another device, in another dtype or in other memory."""

    __slots__ = ()

    def to(self, *targets: Any, device: str | None = None, dtype: Any = None) -> Tensor:
        """On another device ("cpu", "cuda"), in another dtype, or both; the same tensor where nothing changes. None changes nothing."""
        found: Any = self
        for target in (*targets, device, dtype):
            if target is not None:
                found = found._to(target)
        return found

    def _to(self, target: Any) -> Any:
        if isinstance(target, TensorBase):
            return self.to(target.device).to(target.dtype)
        if names_device(target):
            device = backends.device(target, "to")
            return self if device == self.device else apply(_Move(self.device, device), self, device=device)
        dtype = as_dtype("to", target)
        return self if dtype == self.dtype else apply(elementwise.Cast(dtype), self)

    def cpu(self) -> Tensor:
        """On the CPU; the same tensor where it is there already."""
        return self.to("cpu")

    def cuda(self) -> Tensor:
        """On the GPU; the same tensor where it is there already."""
        return self.to("cuda")

    def pin_memory(self) -> Self:
        """The tensor itself: no memory is pinned here."""
        return self

    def type(self, dtype: Any) -> Tensor:
        """In another dtype; the same tensor where it has it already."""
        return self.to(as_dtype("type", dtype))

    def float(self) -> Tensor:
        """In float32."""
        return self.to("float32")

    def double(self) -> Tensor:
        """In float64."""
        return self.to("float64")

    def long(self) -> Tensor:
        """In int64."""
        return self.to("int64")

    def int(self) -> Tensor:
        """In int32."""
        return self.to("int32")

    def bool(self) -> Tensor:
        """In bool: whether each element is not 0."""
        return self.to("bool")

    def short(self) -> Tensor:
        """In int16."""
        return self.to("int16")

    def char(self) -> Tensor:
        """In int8."""
        return self.to("int8")

    def byte(self) -> Tensor:
        """In uint8."""
        return self.to("uint8")

    def half(self) -> Tensor:
        """Refused: the library does not compute in float16."""
        raise DTypeError(message("half", "float32 or float64, in which the library computes", "float16", "use float(), or keep the tensor"))

    def type_as(self, other: Tensor) -> Tensor:
        """In the dtype of another tensor, on its device."""
        return self.to(other)

    def clone(self) -> Tensor:
        """A copy; gradients flow through it."""
        return apply(elementwise.Cast(self.dtype), self)


class _Move(ops.Op):
    """The same values on another device."""

    def __init__(self, source: str, target: str) -> None:
        self.source, self.target = source, target

    def forward(self, xp: backends.Backend, x: Any) -> Any:
        return backends.get(self.target).from_numpy(xp.to_numpy(x))

    def backward(self, xp: backends.Backend, grad: Any) -> tuple[Any, ...]:
        return (backends.get(self.source).from_numpy(xp.to_numpy(grad)),)
