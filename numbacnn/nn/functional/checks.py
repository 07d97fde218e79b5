"""Judges of arguments that several functions share."""

from __future__ import annotations

from ...dtypes import is_floating
from ...errors import DTypeError, ShapeError, message
from ...tensor import Tensor

__all__ = ["at_least", "check_bias", "check_dtypes"]


def check_dtypes(op: str, input: Tensor, *others: Tensor | None) -> None:
    """Refuse what are not floating-point Tensors of one dtype; None stands for an argument that was not given."""
    try:
        first = input.array.dtype
        good = is_floating(first)
        for t in others:
            good = good and (t is None or t.array.dtype is first or t.array.dtype == first)  # most often it is the same object
    except AttributeError:
        found = ", ".join(type(t).__name__ for t in (input, *others) if t is not None)
        raise TypeError(message(op, "Tensors", found, "make one with tensor() or from_array()")) from None
    if not good:
        found = ", ".join(str(t.dtype) for t in (input, *others) if t is not None)
        raise DTypeError(message(op, "floating-point tensors of one dtype", found, "convert them with .to()"))


def check_bias(op: str, bias: Tensor | None, size: int) -> None:
    """Refuse a bias that is not (size,)."""
    if bias is not None and bias.array.shape != (size,):
        raise ShapeError(message(op, f"bias ({size},)", f"bias {bias.shape}"))


def at_least(x: Tensor, least: float) -> Tensor:
    """``x``, or ``least`` where that is larger; the gradient is that of ``x`` everywhere, as PyTorch's is of what it bounds so."""
    return x + (x.clamp(min=float(least)) - x).detach()
