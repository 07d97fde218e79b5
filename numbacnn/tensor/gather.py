"""What tensors of places pick, and where they write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from ..arguments import flag, integer, one_of
from ..dtypes import bool_, int64
from ..errors import DTypeError, ShapeError, message
from ..indexing import counting
from ..ops.shape import Diagonal
from ..signatures import judged, shown
from .core import TensorBase, apply, as_tensor, from_array, is_tensor
from .create import arange, zeros
from .elementary import in_place
from .logic import Logic, check_mask
from .operands import as_scalar, check_axis, check_broadcast_shapes, check_cast
from .parts import Parts
from .pointwise import where

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Gather"]


class Gather(Logic, Parts):
    """Picking by tensors of places and by masks, and writing there."""

    __slots__ = ()

    # -- picking
    def gather(self, dim: int, index: Tensor) -> Tensor:
        """Of each line along an axis the places that ``index`` names: ``out[i, j] = self[i, index[i, j]]`` along axis 1.

        Args:
            index: integers, with as many axes as the tensor, along the others no larger than it; or one place of a vector.

        >>> import numbacnn as nc
        >>> nc.tensor([[1, 2, 3], [4, 5, 6]]).gather(1, nc.tensor([[2, 0], [1, 1]])).tolist()
        [[3, 1], [5, 5]]
        """
        return self[self._along("gather", dim, index)]

    def take_along_dim(self, indices: Tensor, dim: int | None = None) -> Tensor:
        """As :meth:`gather`, with other axes that broadcast; without ``dim``, from the tensor as one long row."""
        if dim is None:
            return self.reshape(-1).gather(0, as_tensor(indices, self.device).reshape(-1))
        axis, places = check_axis("take_along_dim", dim, self.ndim), as_tensor(indices, self.device)
        if places.ndim != self.ndim:
            raise ShapeError(message("take_along_dim", f"indices of {self.ndim} axes", f"shape {places.shape}"))
        mine, theirs = ((*t.shape[:axis], 1, *t.shape[axis + 1 :]) for t in (self, places))
        check_broadcast_shapes("take_along_dim", mine, theirs)
        common = np.broadcast_shapes(mine, theirs)
        whole, wanted = ((*common[:axis], t.shape[axis], *common[axis + 1 :]) for t in (self, places))
        return self.expand(whole).gather(axis, places.expand(wanted))

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The places along an axis that a vector of integers names.

        >>> import numbacnn as nc
        >>> nc.tensor([[1, 2, 3], [4, 5, 6]]).index_select(1, nc.tensor([2, 0])).tolist()
        [[3, 1], [6, 4]]
        """
        return self[self._lines("index_select", dim, index)]

    def take(self, index: Tensor) -> Tensor:
        """Elements by their places in the tensor as one long row, in the shape of ``index``."""
        return self.reshape(-1)[_integers("take", index)]

    def masked_select(self, mask: Tensor) -> Tensor:
        """The elements where the mask holds, as one row; both broadcast."""
        check_mask("masked_select", self, mask)
        shape = np.broadcast_shapes(self.shape, mask.shape)
        return self.expand(shape)[mask.expand(shape)]

    def nonzero(self, *, as_tuple: bool = False) -> Any:
        """Where the elements are that are not 0: int64 (count, axes), or with ``as_tuple`` a vector for each axis.

        >>> import numbacnn as nc
        >>> nc.tensor([[0, 5], [6, 0]]).nonzero().tolist()
        [[0, 1], [1, 0]]
        """
        values = np.asarray(self)
        if flag("nonzero", "as_tuple", as_tuple):
            return tuple(from_array(places, self.device) for places in np.nonzero(np.atleast_1d(values)))
        return from_array(np.argwhere(values), self.device)

    argwhere = nonzero

    # -- writing
    def scatter_(self, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: Literal["add"] | None = None) -> Self:
        """The reverse of :meth:`gather`, in place: ``self[i, index[i, j]] = src[i, j]`` along axis 1.

        Args:
            src: a tensor at least as large as ``index``, or a number, which ``value`` names too.
            reduce: "add" adds to what is there, as :meth:`scatter_add_`; where places repeat, one of the values is written otherwise.

        >>> import numbacnn as nc
        >>> nc.zeros(2, 3).scatter_(1, nc.tensor([[2], [0]]), 1.0).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
        """
        src = value if src is None else src
        places = self._along("scatter_", dim, index)
        if isinstance(src, TensorBase):
            src = _as_large("scatter_", src, index)
        if reduce is None:
            self[places] = src
            return self
        one_of("scatter_", "reduce", reduce, ("add",))
        wide = src if isinstance(src, TensorBase) else as_tensor(src, self.device).to(self.dtype).expand(index.shape)
        return self._write(..., self._added(places, wide))

    def scatter_add_(self, dim: int, index: Tensor, src: Tensor) -> Self:
        """``self[i, index[i, j]] += src[i, j]`` along axis 1, in place; values for one place add up.

        >>> import numbacnn as nc
        >>> nc.zeros(3).scatter_add_(0, nc.tensor([0, 2, 2]), nc.ones(3)).tolist()
        [1.0, 0.0, 2.0]
        """
        return self._write(..., self.scatter_add(dim, index, src))

    def scatter(self, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: Literal["add"] | None = None) -> Tensor:
        """As :meth:`scatter_`, in a copy."""
        return self.clone().scatter_(dim, index, src, value=value, reduce=reduce)

    def scatter_add(self, dim: int, index: Tensor, src: Tensor) -> Tensor:
        """As :meth:`scatter_add_`, in a copy."""
        places = self._along("scatter_add", dim, index)
        return self._added(places, _as_large("scatter_add", src, index))

    def index_add(self, dim: int, index: Tensor, source: Tensor, *, alpha: Any = 1) -> Tensor:
        """A copy with ``alpha * source`` added to the places along an axis that a vector names; values for one place add up."""
        places = self._lines("index_add", dim, index)
        source = as_tensor(source, self.device)
        wanted = self.shape[: len(places) - 1] + (index.numel(),) + self.shape[len(places) :]
        if source.shape != wanted:
            raise ShapeError(message("index_add", f"source {wanted}", f"shape {source.shape}"))
        return self._added(places, source if as_scalar(alpha) == 1 else source * alpha)

    def index_fill(self, dim: int, index: Tensor, value: Any) -> Tensor:
        """A copy with one value at the places along an axis that a vector names."""
        return self._with(self._lines("index_fill", dim, index), value)

    def index_copy(self, dim: int, index: Tensor, source: Tensor) -> Tensor:
        """A copy with ``source`` at the places along an axis that a vector names."""
        return self._with(self._lines("index_copy", dim, index), source)

    index_add_ = in_place(index_add)
    index_fill_ = in_place(index_fill)
    index_copy_ = in_place(index_copy)

    @judged
    def masked_scatter(self, mask: Tensor, source: Tensor) -> Tensor:
        """A copy with the first values of ``source`` where the mask holds, in order."""
        check_mask("masked_scatter", self, mask)
        place, values = mask.expand(self.shape), as_tensor(source, self.device).reshape(-1)
        count = int(place.sum())
        if values.numel() < count:
            raise ShapeError(message("masked_scatter", f"source of at least {count} elements", f"shape {source.shape}"))
        return self._with((place,), values[:count])

    masked_scatter_ = in_place(masked_scatter)

    # -- matrices
    def tril(self, diagonal: int = 0) -> Tensor:
        """The lower triangle of matrices (..., M, N), up to a diagonal: 0 is the main one, 1 the one above it. The rest is 0.

        >>> import numbacnn as nc
        >>> nc.ones(2, 3).tril().tolist()
        [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]
        """
        return self._triangle("tril", diagonal, upper=False)

    def triu(self, diagonal: int = 0) -> Tensor:
        """The upper triangle of matrices (..., M, N), from a diagonal on: 0 is the main one, 1 the one above it. The rest is 0."""
        return self._triangle("triu", diagonal, upper=True)

    def _triangle(self, op: str, diagonal: int, upper: bool) -> Tensor:
        if self.ndim < 2:
            raise ShapeError(message(op, "matrices (..., M, N)", f"shape {self.shape}"))
        shift = integer(op, "diagonal", diagonal, -(1 << 62), 1 << 62)
        rows, columns = (arange(size, device=self.device) for size in self.shape[-2:])
        away = columns - rows.unsqueeze(1)
        zero = 0 if self.dtype != bool_ else False
        return where(away >= shift if upper else away <= shift, self, zero)

    tril_ = in_place(tril)
    triu_ = in_place(triu)

    def diagonal(self, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
        """The diagonal of the matrices that two axes span, as the last axis; ``offset`` 1 is the one above it. A view.

        >>> import numbacnn as nc
        >>> nc.arange(6).reshape(2, 3).diagonal(), nc.arange(6).reshape(2, 3).diagonal(1)
        (tensor([0, 4]), tensor([1, 5]))
        """
        first, second = check_axis("diagonal", dim1, self.ndim), check_axis("diagonal", dim2, self.ndim)
        if self.ndim < 2 or first == second:
            raise ShapeError(message("diagonal", "two axes of a tensor", f"{dim1} and {dim2} of shape {self.shape}"))
        shift = integer("diagonal", "offset", offset, -(1 << 31), 1 << 31)
        return apply(Diagonal(shift), self.movedim((first, second), (0, 1)))

    def diag(self, diagonal: int = 0) -> Tensor:
        """The diagonal of a matrix; or of a vector the matrix that has it as its diagonal.

        >>> import numbacnn as nc
        >>> nc.tensor([1, 2]).diag().tolist(), nc.tensor([[1, 2], [3, 4]]).diag()
        ([[1, 0], [0, 2]], tensor([1, 4]))
        """
        if self.ndim == 2:
            return self.diagonal(diagonal).clone()
        if self.ndim != 1:
            raise ShapeError(message("diag", "a vector or a matrix", f"shape {self.shape}"))
        shift = integer("diag", "diagonal", diagonal, -(1 << 31), 1 << 31)
        along, size = counting(self.shape[0]), self.shape[0] + abs(shift)
        return zeros(size, size, dtype=self.dtype, device=self.device)._with((along - min(shift, 0), along + max(shift, 0)), self)

    def fill_diagonal_(self, fill_value: Any) -> Self:
        """Write one value on the diagonal of a matrix.

        >>> import numbacnn as nc
        >>> nc.zeros(2, 3).fill_diagonal_(1.0).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
        """
        if self.ndim != 2:
            raise ShapeError(message("fill_diagonal_", "a matrix", f"shape {self.shape}"))
        along = counting(min(self.shape))
        self[along, along] = fill_value
        return self

    def trace(self) -> Tensor:
        """The sum of a matrix's diagonal."""
        if self.ndim != 2:
            raise ShapeError(message("trace", "a matrix", f"shape {self.shape}"))
        return self.diagonal().sum()

    # -- the indices behind them
    def _along(self, op: str, dim: int, index: Any) -> tuple[Any, ...]:
        """The index of places along an axis, line by line."""
        axis, index = check_axis(op, dim, self.ndim), _integers(op, index)
        shape = index.shape
        if self.ndim == 1 and not shape:  # one place of a vector
            return (index,)
        fits = all(i <= s for a, (i, s) in enumerate(zip(shape, self.shape)) if a != axis)
        if not self.ndim or len(shape) != self.ndim or not fits:
            expected = f"a tensor with axes and an index of as many, no larger than {self.shape} but along axis {axis}"
            raise ShapeError(message(op, expected, f"an index {shape}"))
        lines = [counting(size).reshape([-1 if a == i else 1 for i in range(self.ndim)]) for a, size in enumerate(shape)]
        return tuple(index if a == axis else line for a, line in enumerate(lines))

    def _lines(self, op: str, dim: int, index: Any) -> tuple[Any, ...]:
        """The index of whole places along an axis."""
        axis, index = check_axis(op, dim, self.ndim), _integers(op, index)
        if index.ndim > 1 or not self.ndim:
            raise ShapeError(message(op, "a vector of places and a tensor with axes", f"shapes {index.shape} and {self.shape}"))
        return (slice(None),) * axis + (index if index.ndim else index.reshape(1),)

    def _added(self, places: tuple[Any, ...], values: Any) -> Tensor:
        check_cast(values.dtype, self.dtype)
        return self._with_added(places, values.to(self.dtype))

    def _with(self, places: tuple[Any, ...], values: Any) -> Tensor:
        """A copy with these values at an index."""
        out = self.clone()
        out[places] = values
        return out


def _integers(op: str, index: Any) -> Any:
    if not is_tensor(index) or index.dtype.kind not in "iu":
        raise DTypeError(message(op, "an index of integers", str(index.dtype) if is_tensor(index) else shown(index)))
    return index if index.dtype == int64 else index.to(int64)  # uint8 would be a mask


def _as_large(op: str, src: Any, index: Any) -> Any:
    """As much of the source as the index has places for."""
    if not is_tensor(src) or src.ndim != index.ndim or any(i > s for i, s in zip(index.shape, src.shape)):
        received = f"shape {src.shape}" if is_tensor(src) else shown(src)
        raise ShapeError(message(op, f"src of at least {index.shape}, the shape of the index", received))
    return src[tuple(slice(size) for size in index.shape)]
