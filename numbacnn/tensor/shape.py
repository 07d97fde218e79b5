"""Methods that give the same values in another shape, most of them as views."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, cast

from .. import backends, recording
from ..arguments import integer
from ..errors import ShapeError, message
from ..layout import channels_last
from ..ops.shape import Broadcast, Contiguous, Flip, Reshape, Roll, Transpose
from ..signatures import judged
from .core import TensorBase, apply
from .operands import as_sizes, check_axes, check_axis, resolve_shape
from .tape import mode

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Shape"]


class Shape(TensorBase):
    """The methods that give the same values in another shape."""

    __slots__ = ()

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one axis."""
        if dim is None:
            return self.shape
        axis = check_axis("size", dim, self.ndim)
        if not self.ndim:
            raise ShapeError(message("size", "a tensor with axes", "a 0-d tensor"))
        return self.shape[axis]

    def reshape(self, *sizes: Any) -> Tensor:
        """The values in logical order with another shape; one size may be -1. A view where the memory allows it."""
        return apply(Reshape(resolve_shape("reshape", self.shape, as_sizes("reshape", sizes))), self)

    def view(self, *sizes: Any) -> Tensor:
        """As :meth:`reshape`: copies where PyTorch would raise, and where memory is channels-last.

        While this memory is there such a copy can't be written to: the write would be missing here.
        """
        found = self.reshape(*sizes)
        if found._base is None:
            found._version.source = weakref.ref(self._version)
        return found

    @judged
    def reshape_as(self, other: Tensor) -> Tensor:
        """In the shape of another tensor, as :meth:`reshape`."""
        return self.reshape(other.shape)

    @judged
    def view_as(self, other: Tensor) -> Tensor:
        """In the shape of another tensor, as :meth:`view`."""
        return self.view(other.shape)

    def ravel(self) -> Tensor:
        """The values as one row; a view where the memory allows it."""
        return self.reshape(-1)

    def unflatten(self, dim: int, sizes: Sequence[int]) -> Tensor:
        """An axis cut into several of these sizes, one of which may be -1.

        >>> import numbacnn as nc
        >>> nc.zeros(2, 12).unflatten(1, (3, -1)).shape
        (2, 3, 4)
        """
        axis = check_axis("unflatten", dim, self.ndim)
        cut = resolve_shape("unflatten", self.shape[axis : axis + 1], as_sizes("unflatten", (sizes,)))
        return self.reshape(self.shape[:axis] + cut + self.shape[axis + 1 :])

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """The axes from ``start_dim`` to ``end_dim`` joined into one; a view where the memory allows it.

        >>> import numbacnn as nc
        >>> nc.zeros(2, 3, 4).flatten(1).shape
        (2, 12)
        """
        if not self.ndim:
            return self.reshape(1)
        first, last = check_axis("flatten", start_dim, self.ndim), check_axis("flatten", end_dim, self.ndim)
        if first > last:
            raise ShapeError(message("flatten", "start_dim before end_dim", f"{start_dim} and {end_dim}"))
        return self.reshape(self.shape[:first] + (math.prod(self.shape[first : last + 1]),) + self.shape[last + 1 :])

    def permute(self, dims: Any = (), *more: Any) -> Tensor:
        """The axes in another order; a view.

        >>> import numbacnn as nc
        >>> nc.zeros(2, 3, 4).permute(2, 0, 1).shape
        (4, 2, 3)
        """
        wanted = as_sizes("permute", (dims, *more))
        order = tuple(check_axis("permute", a, self.ndim) for a in wanted)
        if sorted(order) != list(range(self.ndim)):
            raise ShapeError(message("permute", f"each of the {self.ndim} axes once", f"{wanted}"))
        return apply(Transpose(order), self)

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two axes exchanged; a view."""
        order = list(range(self.ndim))
        i, j = check_axis("transpose", dim0, self.ndim), check_axis("transpose", dim1, self.ndim)
        if order:
            order[i], order[j] = order[j], order[i]
        return apply(Transpose(tuple(order)), self)

    swapaxes = swapdims = transpose

    def movedim(self, source: Any, destination: Any) -> Tensor:
        """An axis, or each of several, at another place; the others keep their order. A view.

        >>> import numbacnn as nc
        >>> nc.zeros(2, 3, 4).movedim(0, 2).shape
        (3, 4, 2)
        """
        origin, target = ([check_axis("movedim", a, self.ndim) for a in as_sizes("movedim", (axes,))] for axes in (source, destination))
        if len(origin) != len(target) or len({*origin}) != len(origin) or len({*target}) != len(target):
            raise ShapeError(message("movedim", "as many places as axes, each once", f"{source} and {destination}"))
        order = [axis for axis in range(self.ndim) if axis not in origin]
        for place, axis in sorted(zip(target, origin)) if self.ndim else ():
            order.insert(place, axis)
        return apply(Transpose(tuple(order)), self)

    moveaxis = movedim

    def rot90(self, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
        """Turned by k quarters in the plane of two axes, from the first towards the second; a copy.

        >>> import numbacnn as nc
        >>> nc.arange(4).reshape(2, 2).rot90().tolist()
        [[1, 3], [0, 2]]
        """
        axes = [check_axis("rot90", a, self.ndim) for a in as_sizes("rot90", (dims,))]
        if len(axes) != 2 or axes[0] == axes[1]:
            raise ShapeError(message("rot90", "two different axes", f"{dims}"))
        quarters = integer("rot90", "k", k, -(1 << 62)) % 4
        x: Any = self
        if quarters in (1, 2):
            x = x.flip(axes[1])
        if quarters in (2, 3):
            x = x.flip(axes[0])
        return x.transpose(*axes) if quarters % 2 else x if quarters else x.clone()

    def t(self) -> Tensor:
        """A matrix transposed, as :attr:`T`; a vector stays as it is."""
        if self.ndim > 2:
            raise ShapeError(message("t", "a tensor of at most two axes", f"shape {self.shape}", "use transpose or permute"))
        return self.T

    @property
    def T(self) -> Tensor:
        """The axes in reverse order; a view."""
        return apply(Transpose(tuple(reversed(range(self.ndim)))), self)

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged: matrices transposed; a view."""
        if self.ndim < 2:
            raise ShapeError(message("mT", "a tensor of at least two axes", f"shape {self.shape}"))
        return self.transpose(-2, -1)

    def squeeze(self, dim: Any = None) -> Tensor:
        """Without axes of size 1, or without that one or those of a tuple."""
        drop = range(self.ndim) if dim is None else check_axes("squeeze", dim, self.ndim) if not isinstance(dim, tuple) or dim else ()
        return self.reshape(tuple(size for i, size in enumerate(self.shape) if size != 1 or i not in drop))

    def unsqueeze(self, dim: int) -> Tensor:
        """With a new axis of size 1 before axis ``dim``."""
        at = check_axis("unsqueeze", dim, self.ndim + 1)
        return self.reshape(self.shape[:at] + (1,) + self.shape[at:])

    def squeeze_(self, dim: Any = None) -> Self:
        """:meth:`squeeze` of the tensor itself: it has another shape then, and the same memory."""
        return self._become("squeeze_", self.squeeze(dim))

    def unsqueeze_(self, dim: int) -> Self:
        """:meth:`unsqueeze` of the tensor itself: it has another shape then, and the same memory."""
        return self._become("unsqueeze_", self.unsqueeze(dim))

    def _become(self, op: str, view: Tensor) -> Self:
        """The tensor itself as a view of it."""
        if self._requires_grad and mode.grad:
            raise RuntimeError(
                message(op, "a tensor that is not a leaf with a gradient", "such a leaf", f"call it under no_grad(), or {op[:-1]}")
            )
        if self._node is not None and view._node is None:
            raise RuntimeError(
                message(op, "a tensor without a history, or a call that is recorded", "the result of an operation", "use detach()")
            )
        recording.refuse("a tensor gets another shape in place")
        if self.is_parameter:
            recording.changed()
        self.array, self._node, self._way = view.array, view._node, None
        self.bump_version()
        return self

    def expand(self, *sizes: Any) -> Tensor:
        """Axes of size 1 repeated (-1: as it is); a view."""
        wanted = as_sizes("expand", sizes)
        own = (1,) * (len(wanted) - self.ndim) + self.shape
        new = len(wanted) - self.ndim
        target = tuple(o if w == -1 and i >= new else w for i, (o, w) in enumerate(zip(own, wanted)))
        if len(own) != len(wanted) or any(w < 0 or o not in (1, w) for o, w in zip(own, target)):
            raise ShapeError(message("expand", f"sizes that shape {self.shape} can be repeated to", f"{wanted}"))
        return apply(Broadcast(target), self)

    @judged
    def expand_as(self, other: Tensor) -> Tensor:
        """Repeated to the shape of another tensor, as :meth:`expand`."""
        return self.expand(other.shape)

    def broadcast_to(self, *shape: Any) -> Tensor:
        """As :meth:`expand`."""
        return self.expand(*shape)

    def flip(self, dims: Any, *more: Any) -> Tensor:
        """These axes in reverse order; a copy.

        >>> import numbacnn as nc
        >>> nc.arange(6).reshape(2, 3).flip(0, 1).tolist()
        [[5, 4, 3], [2, 1, 0]]
        """
        wanted = as_sizes("flip", (dims, *more))
        axes = tuple(check_axis("flip", a, self.ndim) for a in wanted)
        if len(set(axes)) != len(axes):
            raise ShapeError(message("flip", "each axis once", f"{wanted}"))
        return apply(Flip(axes), self)

    def roll(self, shifts: Any, dims: Any = None) -> Tensor:
        """Shifted by so many places along an axis, or by several along several; what leaves at the end comes in at the front.

        Without ``dims`` the tensor is shifted as one long row.

        >>> import numbacnn as nc
        >>> nc.arange(4).roll(1), nc.arange(6).reshape(2, 3).roll((1, -1), (0, 1)).tolist()
        (tensor([3, 0, 1, 2]), [[4, 5, 3], [1, 2, 0]])
        """
        steps, axes = as_sizes("roll", (shifts,)), as_sizes("roll", (0 if dims is None else dims,))
        if not steps or len(steps) != len(axes):
            raise ShapeError(message("roll", "one shift for each axis", f"shifts {shifts!r} and dims {dims!r}"))
        x: Any = self if dims is not None and self.ndim else self.reshape(-1)
        for step, axis in zip(steps, axes):
            x = apply(Roll(step, check_axis("roll", axis, x.ndim)), x)
        return x if x.shape == self.shape else x.reshape(self.shape)

    def is_contiguous(self) -> bool:
        """Whether :meth:`contiguous` gives the tensor itself."""
        orders = [tuple(range(self.ndim))] + ([channels_last(self.ndim)] if self._base is None else [])
        return any(backends.get(self.device).is_dense(self.array, order) for order in orders)

    def contiguous(self) -> Tensor:
        """The tensor itself where it lies in C order, or is what a layer gives (channels-last, and no view); else a copy in C order.

        So what is written to ``x.t().contiguous()`` leaves ``x`` alone, and the call is free between layers.

        >>> import numbacnn as nc
        >>> x = nc.ones(2, 3)
        >>> x.contiguous() is x, x.t().contiguous().zero_().sum().item(), x.sum().item()
        (True, 0.0, 6.0)
        """
        return cast("Tensor", self) if self.is_contiguous() else apply(Contiguous(), self)
