"""Operations that move values and compute nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import Array, Backend
from .base import Gradients, Op, shape_of, unbroadcast

__all__ = ["AddAt", "Broadcast", "Concatenate", "Contiguous", "Diagonal", "Flip", "GetItem", "Reshape", "Roll", "SetItem", "Transpose"]


class Reshape(Op):
    view = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, xp: Backend, x: Array) -> Array:
        self.source = x.shape
        return xp.reshape(x, self.shape)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.reshape(grad, self.source),)


class Transpose(Op):
    view = True

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, xp: Backend, x: Array) -> Array:
        return xp.transpose(x, self.axes)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (xp.transpose(grad, tuple(int(i) for i in np.argsort(self.axes))),)


class Broadcast(Op):
    view = True

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape

    def forward(self, xp: Backend, x: Array) -> Array:
        self.source = x.shape
        return xp.broadcast_to(x, self.shape)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (unbroadcast(xp, grad, self.source),)


class Diagonal(Op):
    """That of the matrices which the first two axes span, as the last axis."""

    view = True

    def __init__(self, offset: int) -> None:
        self.offset = offset

    def forward(self, xp: Backend, x: Array) -> Array:
        self.source = x.shape
        return xp.diagonal(x, self.offset)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        whole = xp.full(self.source, 0, grad.dtype)
        xp.setitem(xp.diagonal(whole, self.offset), ..., grad)
        return (whole,)


class Contiguous(Op):
    """A copy in C order."""

    def forward(self, xp: Backend, x: Array) -> Array:
        out = xp.full(x.shape, 0, x.dtype)
        xp.setitem(out, ..., x)
        return out

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (grad,)


class Flip(Op):
    """A copy in which some axes run backwards."""

    def __init__(self, axes: tuple[int, ...]) -> None:
        self.axes = axes

    def forward(self, xp: Backend, x: Array) -> Array:
        return xp.copy(xp.getitem(x, tuple(slice(None, None, -1 if a in self.axes else 1) for a in range(x.ndim))))

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (self.forward(xp, grad),)


class Roll(Op):
    """A copy shifted along an axis; what leaves at one end comes in at the other."""

    def __init__(self, shift: int, axis: int) -> None:
        self.shift, self.axis = shift, axis

    def forward(self, xp: Backend, x: Array) -> Array:
        return self._rolled(xp, x, self.shift)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return (self._rolled(xp, grad, -self.shift),)

    def _rolled(self, xp: Backend, x: Array, shift: int) -> Array:
        cut = -shift % max(x.shape[self.axis], 1)
        parts = [xp.getitem(x, (slice(None),) * self.axis + (part,)) for part in (slice(cut, None), slice(cut))]
        return xp.concatenate(parts, self.axis)


class GetItem(Op):
    view = True

    def __init__(self, index: Any) -> None:
        self.index = index

    def forward(self, xp: Backend, x: Array) -> Array:
        self.source = x.shape
        return xp.getitem(x, self.index)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        whole = xp.full(self.source, 0, grad.dtype)
        xp.add_at(whole, self.index, grad)
        return (whole,)


class SetItem(Op):
    """``x`` with ``value`` written at the index, of the view to which a ``way`` of indices leads: all that writes into its input."""

    def __init__(self, index: Any, way: tuple[Any, ...] = ()) -> None:
        self.index, self.way = index, way

    def _view(self, xp: Backend, x: Array) -> Array:
        for index in self.way:
            x = xp.getitem(x, index)
        return x

    def forward(self, xp: Backend, x: Array, value: Array | float) -> Array:
        self.shape = shape_of(value)
        xp.setitem(self._view(xp, x), self.index, value)
        return x

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        into_value = unbroadcast(xp, xp.getitem(self._view(xp, grad), self.index), self.shape) if self.needs_grad[1] else None
        if not self.needs_grad[0]:
            return None, into_value
        if into_value is not None:
            into_value = xp.copy(into_value)  # it may be a view of what is erased next
        kept = xp.copy(grad)
        xp.setitem(self._view(xp, kept), self.index, 0)
        return kept, into_value


class AddAt(Op):
    """A copy of ``x`` with ``value`` added at the index, as often as that names a place."""

    def __init__(self, index: Any) -> None:
        self.index = index

    def forward(self, xp: Backend, x: Array, value: Array) -> Array:
        out = xp.copy(x)
        xp.add_at(out, self.index, value)
        return out

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        return grad, xp.getitem(grad, self.index) if self.needs_grad[1] else None


class Concatenate(Op):
    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, xp: Backend, *arrays: Array) -> Array:
        self.sizes = [a.shape[self.axis] for a in arrays]
        return xp.concatenate(arrays, self.axis)

    def backward(self, xp: Backend, grad: Array) -> Gradients:
        stops = np.cumsum(self.sizes).tolist()
        return tuple(
            xp.getitem(grad, (slice(None),) * self.axis + (slice(stop - size, stop),)) if need else None
            for size, stop, need in zip(self.sizes, stops, self.needs_grad)
        )
