"""Sorting, counting, and running sums: what NumPy does on the host, wherever the tensor lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import backends, ops
from ..arguments import flag, integer
from ..dtypes import bool_, float64, int64, is_floating
from ..errors import ShapeError, message
from ..signatures import judged
from .core import apply, from_array
from .gather import Gather
from .join import cat
from .operands import check_axis, check_not_empty
from .reduce import Reduce, as_summand

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Order"]


class TopK(NamedTuple):
    """What ``sort`` and ``topk`` give."""

    values: Tensor
    indices: Tensor


class Order(Reduce, Gather):
    """Order along an axis, and running sums and products."""

    __slots__ = ()

    def argsort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
        """int64 places of the sorted values along an axis; equal ones keep their order, and NaN counts as larger than all."""
        axis, down = check_axis("argsort", dim, self.ndim), flag("argsort", "descending", descending)
        flag("argsort", "stable", stable)
        xp = backends.get(self.device)
        return self._new(xp.by_numpy(_order, (self.array, axis, down), self.shape, int64), self.device)

    def sort(self, dim: int = -1, descending: bool = False, stable: bool = False) -> TopK:
        """``(values, indices)`` in order along an axis, as :meth:`argsort`; the gradient goes where the values came from.

        >>> import numbacnn as nc
        >>> nc.tensor([3, 1, 2]).sort(descending=True).values
        tensor([3, 2, 1])
        """
        places = self.argsort(dim, descending, stable)
        return TopK(self._at("sort", dim, places), places)

    def topk(self, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> TopK:
        """``(values, indices)`` of the k largest along an axis, or the smallest, in order.

        >>> import numbacnn as nc
        >>> nc.tensor([3.0, 1.0, 2.0]).topk(2)
        TopK(values=tensor([3., 2.]), indices=tensor([0, 2]))
        """
        axis = check_axis("topk", dim, self.ndim)
        flag("topk", "sorted", sorted)
        count = integer("topk", "k", k, 0, self.shape[axis] if self.ndim else 1)
        places = self.argsort(axis, flag("topk", "largest", largest))
        places = places.narrow(axis, 0, count) if self.ndim else places
        return TopK(self._at("topk", axis, places), places)

    def kthvalue(self, k: int, dim: int = -1, keepdim: bool = False) -> TopK:
        """``(values, indices)`` of the k-th smallest along an axis, counted from 1."""
        axis = check_axis("kthvalue", dim, self.ndim)
        check_not_empty("kthvalue", self.shape, axis)
        place = integer("kthvalue", "k", k, 1, self.shape[axis] if self.ndim else 1) - 1
        return self._placed("kthvalue", self.argsort(axis), axis, place, keepdim)

    def median(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The middle value, the lower of two; or along an axis ``(values, indices)``. NaN where there is one.

        >>> import numbacnn as nc
        >>> nc.tensor([3.0, 1.0, 2.0, 4.0]).median()
        tensor(2.)
        """
        if dim is None:
            check_not_empty("median", self.shape)
            return self.reshape(-1).median(0).values
        axis = check_axis("median", dim, self.ndim)
        check_not_empty("median", self.shape, axis)
        order = self.argsort(axis)
        middle = ((self.shape[axis] if self.ndim else 1) - 1) // 2
        found = self._placed("median", order, axis, middle, keepdim)
        if not is_floating(self.dtype) or not self.ndim:
            return found
        last = self._placed("median", order, axis, self.shape[axis] - 1, keepdim)  # NaN, if there is one
        return TopK(*(now.where(last.values == last.values, then) for now, then in zip(found, last)))

    def _placed(self, op: str, order: Any, axis: int, place: int, keepdim: bool) -> TopK:
        if not self.ndim:
            return TopK(self.clone(), order)
        indices = order.narrow(axis, place, 1)
        found = self.gather(axis, indices), indices
        return TopK(*found) if flag(op, "keepdim", keepdim) else TopK(*(t.squeeze(axis) for t in found))

    def _at(self, op: str, dim: int, places: Any) -> Tensor:
        return self.gather(dim, places) if self.ndim else self.clone()

    # -- running sums and products
    def cumsum(self, dim: int, *, dtype: Any = None) -> Tensor:
        """The sums of all places up to each one along an axis. Integers and bools add up in int64.

        >>> import numbacnn as nc
        >>> nc.arange(4).cumsum(0)
        tensor([0, 1, 3, 6])
        """
        return self._running("cumsum", dim, dtype, _CumSum)

    def cumprod(self, dim: int, *, dtype: Any = None) -> Tensor:
        """The products of all places up to each one along an axis. Those of integers and bools are int64."""
        return self._running("cumprod", dim, dtype, _CumProd)

    def _running(self, op: str, dim: int, dtype: Any, kind: type[_CumSum]) -> Tensor:
        axis = check_axis(op, dim, self.ndim)
        x = as_summand(op, self, dtype)
        return apply(kind(axis), x) if x.ndim else x.clone()

    def prod(self, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
        """The product of all elements, or along an axis. That of integers and bools is int64.

        >>> import numbacnn as nc
        >>> nc.tensor([[1.0, 2.0], [3.0, 4.0]]).prod(1)
        tensor([ 2., 12.])
        """
        if dim is None:
            return self.reshape(-1).prod(0, dtype=dtype)
        axis, keepdim = check_axis("prod", dim, self.ndim), flag("prod", "keepdim", keepdim)
        x = as_summand("prod", self, dtype)
        if not x.ndim:
            return x.clone()
        out = apply(_Prod(axis), x)
        return out.unsqueeze(axis) if keepdim else out

    def diff(self, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
        """The differences between neighbours along an axis, taken n times.

        >>> import numbacnn as nc
        >>> nc.tensor([1, 4, 9]).diff()
        tensor([3, 5])
        """
        axis = check_axis("diff", dim, self.ndim)
        if not self.ndim:
            raise ShapeError(message("diff", "a tensor with axes", "a 0-d tensor"))
        parts: Any = [t for t in (prepend, self, append) if t is not None]
        x: Any = cat(parts, axis) if len(parts) > 1 else self
        for _ in range(min(integer("diff", "n", n, 0), x.shape[axis])):
            later, earlier = x.narrow(axis, min(1, x.shape[axis]), max(x.shape[axis] - 1, 0)), x.narrow(axis, 0, max(x.shape[axis] - 1, 0))
            x = later ^ earlier if x.dtype == bool_ else later - earlier
        return x

    # -- counting: what comes out depends on the values
    def unique(self, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None) -> Any:
        """The different values in order, or along an axis the different slices; each NaN is one by itself.

        Args:
            return_inverse: also the place among them of each element, in the tensor's shape, or of each slice.
            return_counts: also how often each is there.

        >>> import numbacnn as nc
        >>> nc.tensor([3, 1, 3]).unique(return_counts=True)
        (tensor([1, 3]), tensor([1, 2]))
        """
        flag("unique", "sorted", sorted)
        wanted = flag("unique", "return_inverse", return_inverse), flag("unique", "return_counts", return_counts)
        axis = None if dim is None else check_axis("unique", dim, self.ndim)
        x: Any = self if self.ndim or axis is None else self.reshape(1)
        values, inverse, counts = np.unique(np.asarray(x), False, True, True, axis, equal_nan=False)
        inverse = inverse.reshape(self.shape if axis is None else -1)
        found = [values, *(more for more, asked in zip((inverse, counts), wanted) if asked)]
        tensors = tuple(from_array(np.require(a, requirements="C"), self.device) for a in found)
        return tensors[0] if len(tensors) == 1 else tensors

    @judged
    def bincount(self, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
        """How often each number is in a vector of integers of at least 0, from 0 to the largest; or the sums of its weights.

        >>> import numbacnn as nc
        >>> nc.tensor([0, 2, 2]).bincount(minlength=4)
        tensor([1, 0, 2, 0])
        """
        values, least = np.asarray(self), integer("bincount", "minlength", minlength, 0)
        if values.ndim != 1 or values.dtype.kind not in "iu" or (values.size and values.min() < 0):
            raise ShapeError(message("bincount", "a vector of integers of at least 0", f"shape {self.shape} of {self.dtype}"))
        if weights is None:
            return from_array(np.bincount(values, minlength=least).astype(np.int64), self.device)
        mass = np.asarray(weights)
        if mass.shape != values.shape:
            raise ShapeError(message("bincount", f"weights {values.shape}", f"shape {mass.shape}"))
        counts = np.bincount(values, mass, least)
        return from_array(counts.astype(mass.dtype if is_floating(mass.dtype) else float64), self.device)


# -- functions of NumPy's that write into their last argument
def _order(x: np.ndarray, axis: int, down: bool, out: np.ndarray) -> None:
    """Stable: equal values keep their order, also from the largest to the smallest."""
    if not x.ndim:
        np.copyto(out, 0)
    elif down:
        turned = np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)
        np.subtract(x.shape[axis] - 1, turned, out)
    else:
        np.copyto(out, np.argsort(x, axis, kind="stable"))


def _cumulate(function: Any, x: np.ndarray, axis: int, back: bool, out: np.ndarray) -> None:
    """From the front, or from the back."""
    function.accumulate(np.flip(x, axis) if back else x, axis, None, np.flip(out, axis) if back else out)


def _product(x: np.ndarray, axis: int, out: np.ndarray) -> None:
    np.prod(x, axis, None, out)


def _slopes(x: np.ndarray, grad: np.ndarray, axis: int, out: np.ndarray) -> None:
    """The gradient of the running products: also where there are zeros, by which nothing is divided."""
    x, grad, out = (np.moveaxis(a, axis, 0) for a in (x, grad, out))
    behind = np.zeros(x.shape[1:], x.dtype)  # what changes behind each place, where that changes by 1
    for i in range(len(x) - 1, -1, -1):
        behind = grad[i] + (x[i + 1] * behind if i + 1 < len(x) else 0)
        out[i] = behind
    before = np.ones_like(behind)
    for i in range(len(x)):
        out[i] *= before
        before = before * x[i]


class _CumSum(ops.Op):
    function: Any = np.add

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, xp: backends.Backend, x: Any) -> Any:
        return xp.by_numpy(_cumulate, (self.function, x, self.axis, False), x.shape, x.dtype)

    def backward(self, xp: backends.Backend, grad: Any) -> tuple[Any, ...]:
        return (xp.by_numpy(_cumulate, (np.add, grad, self.axis, True), grad.shape, grad.dtype),)


class _CumProd(_CumSum):
    function = np.multiply

    def forward(self, xp: backends.Backend, x: Any) -> Any:
        self.saved, self.saved_inputs = (x,), (0,)
        return super().forward(xp, x)

    def backward(self, xp: backends.Backend, grad: Any) -> tuple[Any, ...]:
        return (xp.by_numpy(_slopes, (*self.saved, grad, self.axis), grad.shape, grad.dtype),)


class _Prod(_CumProd):
    """The last of the running products, and alone there when there are none: 1."""

    def forward(self, xp: backends.Backend, x: Any) -> Any:
        self.saved, self.saved_inputs = (x,), (0,)
        shape = x.shape[: self.axis] + x.shape[self.axis + 1 :]
        return xp.by_numpy(_product, (x, self.axis), shape, x.dtype)

    def backward(self, xp: backends.Backend, grad: Any) -> tuple[Any, ...]:
        (x,) = self.saved
        return (xp.by_numpy(_others, (x, grad, self.axis), x.shape, x.dtype),)


def _others(x: np.ndarray, grad: np.ndarray, axis: int, out: np.ndarray) -> None:
    """The gradient of a product: of each factor the product of the others."""
    wide = np.zeros_like(x)
    if x.shape[axis]:
        wide[(slice(None),) * axis + (-1,)] = grad
    _slopes(x, wide, axis, out)
