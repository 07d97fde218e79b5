"""Parts of tensors along an axis, and repetitions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import integer
from ..errors import ShapeError, message
from ..signatures import judged
from .core import TensorBase, as_tensor
from .index import Index
from .operands import as_sizes, check_axis
from .shape import Shape

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Parts"]


class Parts(Index, Shape):
    """The methods that cut a tensor, and those that repeat it."""

    __slots__ = ()

    def narrow(self, dim: int, start: int, length: int) -> Tensor:
        """``length`` places along an axis from ``start`` on; a view.

        >>> import numbacnn as nc
        >>> nc.arange(6).narrow(0, 2, 3)
        tensor([2, 3, 4])
        """
        axis, size = _axis("narrow", self, dim)
        start = integer("narrow", "start", start, -size, size)
        start += size if start < 0 else 0
        return _places(self, axis, start, start + integer("narrow", "length", length, 0, size - start))

    def select(self, dim: int, index: int) -> Tensor:
        """One place along an axis, which goes; a view."""
        axis, size = _axis("select", self, dim)
        return self[(slice(None),) * axis + (integer("select", "index", index, -size, size - 1),)]

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """Each place along an axis, without that axis; views."""
        axis, size = _axis("unbind", self, dim)
        return tuple(self[(slice(None),) * axis + (i,)] for i in range(size))

    def split(self, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
        """Parts of this size along an axis, the last one smaller where it doesn't divide; or parts of these sizes. Views.

        >>> import numbacnn as nc
        >>> nc.arange(5).split(2)
        (tensor([0, 1]), tensor([2, 3]), tensor([4]))
        >>> nc.arange(5).split([1, 4])
        (tensor([0]), tensor([1, 2, 3, 4]))
        """
        axis, size = _axis("split", self, dim)
        if isinstance(split_size, (list, tuple)):
            sizes = as_sizes("split", (split_size,))
            if sum(sizes) != size or min(sizes, default=0) < 0:
                raise ShapeError(message("split", f"sizes of at least 0 that add up to {size}, that of axis {axis}", f"{list(sizes)}"))
            return _cut(self, axis, [0, *itertools.accumulate(sizes)])
        step = integer("split", "split_size", split_size, 1 if size else 0)
        return _cut(self, axis, [*range(0, size, max(step, 1)), size] if size else [0, 0])

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """At most so many parts of one size along an axis, the last one smaller where it doesn't divide; views.

        >>> import numbacnn as nc
        >>> [part.tolist() for part in nc.arange(5).chunk(3)]
        [[0, 1], [2, 3], [4]]
        """
        axis, size = _axis("chunk", self, dim)
        count = integer("chunk", "chunks", chunks)
        return self.split(-(-size // count), axis) if size else _cut(self, axis, [0] * (count + 1))

    def tensor_split(self, indices_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
        """So many parts along an axis, whose sizes differ by one at most; or the parts between these places. Views.

        >>> import numbacnn as nc
        >>> [part.tolist() for part in nc.arange(5).tensor_split(3)], [part.tolist() for part in nc.arange(5).tensor_split([1, 3])]
        ([[0, 1], [2, 3], [4]], [[0], [1, 2], [3, 4]])
        """
        axis, size = _axis("tensor_split", self, dim)
        if isinstance(indices_or_sections, (list, tuple)):
            starts = [0, *as_sizes("tensor_split", (indices_or_sections,))]
            parts = [slice(start, stop) for start, stop in zip(starts, [*starts[1:], None])]
            return tuple(self[(slice(None),) * axis + (part,)] for part in parts)
        count = integer("tensor_split", "indices_or_sections", indices_or_sections)
        return _cut(self, axis, [i * (size // count) + min(i, size % count) for i in range(count + 1)])

    # -- repetitions
    @judged
    def repeat(self, *sizes: Any) -> Tensor:
        """The tensor so many times along each axis, with new axes in front where more are named; a copy.

        >>> import numbacnn as nc
        >>> nc.arange(2).repeat(2, 3).tolist()
        [[0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0, 1]]
        """
        times = as_sizes("repeat", sizes)
        if len(times) < self.ndim or min(times, default=0) < 0:
            raise ShapeError(message("repeat", f"a number of at least 0 for each of {self.ndim} axes, or for more", f"{times}"))
        return self._repeated("repeat", times)

    @judged
    def tile(self, *dims: Any) -> Tensor:
        """As :meth:`repeat`, where the axes without a number are the first ones.

        >>> import numbacnn as nc
        >>> nc.zeros(2, 3).tile(2).shape
        (2, 6)
        """
        times = as_sizes("tile", dims)
        if min(times, default=0) < 0:
            raise ShapeError(message("tile", "numbers of at least 0", f"{times}"))
        return self._repeated("tile", (1,) * (self.ndim - len(times)) + times)

    def _repeated(self, op: str, times: tuple[int, ...]) -> Tensor:
        own = (1,) * (len(times) - self.ndim) + self.shape
        whole = as_sizes(op, tuple(t * size for t, size in zip(times, own)))
        apart = self.reshape([part for size in own for part in (1, size)])
        return _copied(apart.expand([part for t, size in zip(times, own) for part in (t, size)]).reshape(whole))

    @judged
    def repeat_interleave(self, repeats: Any, dim: int | None = None) -> Tensor:
        """Each place along an axis so many times in a row; without ``dim``, of the tensor as one long row.

        Args:
            repeats: one number for all, or a tensor or list with one for each place.

        >>> import numbacnn as nc
        >>> nc.arange(3).repeat_interleave(2), nc.arange(3).repeat_interleave(nc.tensor([0, 1, 2]))
        (tensor([0, 0, 1, 1, 2, 2]), tensor([1, 2, 2]))
        """
        x: Any = self.reshape(-1) if dim is None else self
        axis, size = _axis("repeat_interleave", x, 0 if dim is None else dim)
        if not isinstance(repeats, (TensorBase, list, tuple, np.ndarray)):
            times = integer("repeat_interleave", "repeats", repeats, 0)
            wide = x.unsqueeze(axis + 1).expand(*x.shape[: axis + 1], times, *x.shape[axis + 1 :])
            return _copied(wide.reshape(*x.shape[:axis], size * times, *x.shape[axis + 1 :]))
        counts = np.asarray(as_tensor(repeats, self.device))
        if counts.dtype.kind not in "iu" or counts.ndim > 1 or (counts < 0).any() or counts.size not in (1, size):
            expected = f"repeats as integers of at least 0, one for each of {size} places"
            raise ShapeError(message("repeat_interleave", expected, f"shape {counts.shape} of {counts.dtype}"))
        places = np.repeat(np.arange(size), counts)
        return x[(slice(None),) * axis + (places,)]


def _axis(op: str, x: Any, dim: Any) -> tuple[int, int]:
    """An axis of a tensor that has some, and its size."""
    axis = check_axis(op, dim, x.ndim)
    if not x.ndim:
        raise ShapeError(message(op, "a tensor with axes", "a 0-d tensor"))
    return axis, x.shape[axis]


def _copied(x: Any) -> Tensor:
    """What is no view as it is, a copy of a view."""
    return x if x._base is None else x.clone()


def _places(x: Any, axis: int, start: int, stop: int) -> Tensor:
    return x[(slice(None),) * axis + (slice(start, stop),)]


def _cut(x: Any, axis: int, bounds: list[int]) -> tuple[Tensor, ...]:
    return tuple(_places(x, axis, start, stop) for start, stop in itertools.pairwise(bounds))
