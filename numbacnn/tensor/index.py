"""Reading and writing by an index."""

from __future__ import annotations

import math
import operator
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .. import backends
from ..dtypes import is_floating
from ..errors import ShapeError, message
from ..indexing import ints_first
from ..ops.shape import AddAt, GetItem, SetItem
from ..recording import is_constant, now, refuse
from .core import Operand, Scalar, TensorBase, apply, as_tensor
from .operands import as_number, as_scalar, check_cast, scalar_dtype
from .tape import mode

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Index"]


class Index(TensorBase):
    """``x[index]``, ``x[index] = value``, iteration, and the methods that write whole tensors."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Tensor:
        try:
            places = ints_first(self.shape, _as_index(index, self.device))
            found = apply(GetItem(places), self)
        except (IndexError, OverflowError) as error:
            raise _index_error(self.shape, index, error) from None
        if found._base is not None:
            way = (weakref.ref(self.array),) if found._base() is self else self._way
            found._way = None if way is None else (*way, places)
        return found

    def __setitem__(self, index: Any, value: Operand) -> None:
        try:
            self._write(ints_first(self.shape, _as_index(index, self.device)), value)
        except (IndexError, OverflowError) as error:
            raise _index_error(self.shape, index, error) from None

    def _with_added(self, index: Any, values: Tensor) -> Tensor:
        """A copy with values added at an index; those for one place add up."""
        try:
            places = ints_first(self.shape, _as_index(index, self.device))
            return apply(AddAt(places), self, self._fitting(places, values))
        except (IndexError, OverflowError) as error:
            raise _index_error(self.shape, index, error) from None

    def fill_(self, value: Scalar) -> Self:
        """Write one value into all elements."""
        return self._write(..., value)

    def zero_(self) -> Self:
        """Write 0 into all elements."""
        return self._write(..., 0)

    def copy_(self, other: Tensor) -> Self:
        """Write the values of another tensor, which may have to be broadcast, into this one; in this one's dtype, as ``to`` makes them."""
        return self._write(..., as_tensor(other, self.device).to(self.dtype))

    def _write(self, index: Any, value: Any) -> Self:
        """``self[index] = value``; where gradients are recorded they flow through what was written."""
        xp = backends.get(self.device)
        if now.tape is not None:
            now.tape.sees((self,))
        self.check_writable("write")
        if isinstance(value, (TensorBase, np.ndarray, list, tuple)):
            value = as_tensor(value, self.device)
            check_cast(value.dtype, self.dtype)
            value = value.to(self.dtype)
        else:
            given = as_scalar(value)
            if isinstance(given, float) and not is_floating(self.dtype) and not math.isfinite(given):
                check_cast(scalar_dtype(given), self.dtype)
            value = as_number("write", given, self.dtype)
            if value != given and not is_floating(self.dtype):  # a fraction, or what is neither 0 nor 1, would go
                check_cast(scalar_dtype(given), self.dtype)
        recorded = mode.grad and (self.requires_grad or (isinstance(value, TensorBase) and value.requires_grad))
        owner = self if self._base is None else self._base()
        if self._version.source is not None and self._version.source() is not None:
            received = "a copy that view() had to make, for memory is channels-last"
            raise RuntimeError(message("write", "a view of a tensor's memory", received, "write to the tensor itself, or to a clone()"))
        if mode.grad and owner is not None and owner._requires_grad:
            expected, received = "a tensor that is not a leaf with a gradient", "such a leaf" if owner is self else "a view of such a leaf"
            raise RuntimeError(message("write", expected, received, "write under no_grad()"))
        if mode.grad and not self.requires_grad:
            self._check_same_history(owner)
        if isinstance(value, TensorBase):
            value = self._fitting(index, value)
        if not recorded:
            xp.setitem(self.array, index, value.array if isinstance(value, TensorBase) else value)
            self.bump_version()
            return self
        if owner is not None and owner is not self:
            return self._write_through(owner, index, value)
        self._record(apply(SetItem(index), self, value)._node)
        self.bump_version()
        return self

    def _check_same_history(self, owner: Any) -> None:
        """Refuse a view without a history, where the write would be missing from that of its tensor."""
        if owner is None:
            self._check_history("write")
        elif owner.requires_grad:
            received = "one from before it, or made under no_grad()"
            raise RuntimeError(
                message("write", "a view with its tensor's history", received, "make the view again, or write under no_grad()")
            )

    def _go_on(self, node: Any) -> None:
        """Have another history; a gradient that is retained is that of the new values."""
        if self._node is not None:
            node.keep, self._node.keep = self._node.keep, None
        self._node = node

    def _record(self, written: Any) -> None:
        """Take up the history of a write."""
        self._go_on(written)
        self._version.recorded += 1
        if self._seen is not None:  # the last that knows the memory, but for other views, which are outdated now
            self._seen = self._version.recorded

    def _write_through(self, owner: Any, index: Any, value: Any) -> Self:
        """A recorded write to a view: to the tensor whose memory it shows, of which it is a view again then."""
        if self._way is None or self._way[0]() is not owner.array:
            expected, received = "a tensor that owns its memory, or an index into one", "another view, whose gradient is not recorded"
            raise RuntimeError(message("write", expected, received, "write to the tensor itself"))
        way = self._way[1:]
        owner.check_writable("write")  # else other elements of it would change unrecorded
        owner._record(apply(SetItem(index, way), owner, value)._node)
        again = owner
        for places in way:
            again = apply(GetItem(places), again)
        self._go_on(again._node)
        self._seen = again._seen
        self.bump_version()
        return self

    def _fitting(self, index: Any, value: Any) -> Any:
        """``value`` without leading axes of size 1 that the place to be written does not have; ShapeError where it does not fit."""
        place = np.broadcast_to(np.empty((), np.bool_), self.shape)[index].shape
        while value.ndim > len(place) and value.shape[0] == 1:
            value = value.reshape(value.shape[1:])
        own = (1,) * (len(place) - value.ndim) + value.shape
        if len(own) != len(place) or any(o not in (1, p) for o, p in zip(own, place)):
            raise ShapeError(message("write", f"values that fit shape {place}", f"shape {value.shape}"))
        return value

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError(message("len", "a tensor with axes", "a 0-d tensor"))
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError(message("iter", "a tensor with axes", "a 0-d tensor"))
        return (self[i] for i in range(len(self)))


def _as_index(index: Any, device: str) -> Any:
    """An index as the backends take it: Tensors, and sequences inside, become NumPy arrays; those of uint8 are masks."""
    return tuple(_as_entry(i, device) for i in index) if isinstance(index, tuple) else _as_entry(index, device)


def _as_entry(entry: Any, device: str) -> Any:
    if isinstance(entry, (bool, np.bool_)):
        return np.array(entry)  # a mask without axes
    if entry is None or isinstance(entry, (int, slice, type(...), np.generic)):
        return entry
    if isinstance(entry, (TensorBase, np.ndarray)):
        held = entry.array if isinstance(entry, TensorBase) else entry
        if device != backends.DEFAULT:
            refuse("an index is an array, which the host reads")
        if now.tape is not None and isinstance(held, np.ndarray) and held.dtype.kind in "iu" and held.dtype != np.uint8:
            if held.ndim:
                return held if is_constant(held) else backends.get(backends.DEFAULT).astype(held, held.dtype)  # in memory of the plan
            refuse("an index is a Tensor of one number, which Python reads")
        array = np.array(entry)  # a copy: backward must see what forward saw
        if array.dtype == np.uint8:
            return array.astype(np.bool_)  # a mask, as in PyTorch
        return int(array) if not array.ndim and array.dtype.kind in "iu" else array  # an int gives a view, which can be written
    if not isinstance(entry, (list, tuple, range)):
        return _integer(entry)
    try:
        array = np.array(entry)
    except ValueError:
        raise IndexError("its lists have unequal lengths") from None
    return array if array.size else array.astype(np.int64)


def _integer(entry: Any) -> int:
    """An entry of another library's type as an integer."""
    try:
        return operator.index(entry)
    except TypeError:
        raise IndexError("an entry is an integer, a slice, None, an ellipsis, a list, an array or a Tensor") from None


def _index_error(source: tuple[int, ...], index: Any, error: Exception) -> IndexError:
    """The error of an index that does not fit a shape; NumPy's words, which the devices share, say where."""
    entries = index if isinstance(index, tuple) else (index,)
    shown = ", ".join(str(i) if isinstance(i, (int, slice, type(None), type(...))) else type(i).__name__ for i in entries)
    hint = str(error) if source else "the value of a scalar is x.item()"
    return IndexError(message("index", f"an index into shape {source}", shown, hint))
