"""Sums, means, extremes and the softmax family: what goes along axes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import backends
from ..arguments import flag, number
from ..dtypes import int64, is_floating
from ..errors import DTypeError, message
from ..ops import reduce
from .core import apply
from .operands import as_floating, check_axes, check_axis, check_not_empty
from .pointwise import Pointwise, where
from .shape import Shape

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["MinMax", "Reduce"]


class MinMax(NamedTuple):
    """What ``max(dim)`` and ``min(dim)`` give."""

    values: Tensor
    indices: Tensor


class Reduce(Pointwise, Shape):
    """The methods that go along axes."""

    __slots__ = ()

    def sum(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Over all axes, or over ``dim`` (an axis or a tuple). Integers and bools add up in int64."""
        axes = check_axes("sum", dim if axis is None else axis, self.ndim)
        x = self if is_floating(self.dtype) else self.to(int64)
        return apply(reduce.Sum(axes, _kept("sum", keepdim, keepdims)), x)

    def mean(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False) -> Tensor:
        """The mean over all axes, or over ``dim`` (an axis or a tuple); floating-point tensors only."""
        if not is_floating(self.dtype):
            raise DTypeError(message("mean", "a floating-point tensor", str(self.dtype), "convert it with .float()"))
        axes = check_axes("mean", dim if axis is None else axis, self.ndim)
        return apply(reduce.Mean(axes, _kept("mean", keepdim, keepdims)), self)

    def var(
        self,
        dim: Any = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: float | None = None,
        axis: Any = None,
    ) -> Tensor:
        """The variance over all axes, or over ``dim``: squared distances from the mean, added up and divided by n - ``correction``.

        ``correction`` is 1 (Bessel's) unless it is given, or 0 with ``unbiased=False``; ``x.var(False)`` means that too.
        """
        return self._variance("var", dim, unbiased, keepdim, correction, axis)

    def std(
        self,
        dim: Any = None,
        unbiased: bool = True,
        keepdim: bool = False,
        *,
        correction: float | None = None,
        axis: Any = None,
    ) -> Tensor:
        """The standard deviation, the root of :meth:`var`; where that is 0 the gradient is 0."""
        return _safe_sqrt(self._variance("std", dim, unbiased, keepdim, correction, axis))

    def _variance(self, op: str, dim: Any, unbiased: bool, keepdim: bool, correction: float | None, axis: Any) -> Tensor:
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if not is_floating(self.dtype):
            raise DTypeError(message(op, "a floating-point tensor", str(self.dtype), "convert it with .float()"))
        axes, kept = check_axes(op, dim if axis is None else axis, self.ndim), _kept(op, keepdim)
        if correction is None:
            correction = int(flag(op, "unbiased", unbiased))
        number(op, "correction", correction)
        n = math.prod(self.shape[a] for a in axes)
        away = self - self.mean(axes, keepdim=True)
        return (away * away).sum(axes, kept) / float(max(n - correction, 0))

    def max(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The largest element, or along an axis ``(values, indices)``; NaN counts as larger than all.

        Equal maxima share the gradient; along an axis the first of them, which ``indices`` names, takes it all.
        """
        return self._extreme("max", reduce.Max, reduce.MaxAlong, dim, keepdim)

    def min(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The smallest element, or along an axis ``(values, indices)``; the gradient as in :meth:`max`."""
        return self._extreme("min", reduce.Min, reduce.MinAlong, dim, keepdim)

    def _extreme(self, name: str, of_all: type[reduce.Max], along: type[reduce.MaxAlong], dim: int | None, keepdim: bool) -> Any:
        keepdim = _kept(name, keepdim)
        if dim is None:
            check_not_empty(name, self.shape)
            return apply(of_all(check_axes(name, None, self.ndim), keepdim), self)
        axis, x = check_axis(name, dim, self.ndim), self if self.ndim else self.reshape(1)
        check_not_empty(name, x.shape, axis)
        op = along(axis, keepdim and x is self)
        values = apply(op, x)
        return MinMax(values, self._new(backends.get(self.device).copy(op.index), self.device).reshape(values.shape))

    def argmax(self, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None) -> Tensor:
        """int64 positions of the first maximum: in the flattened tensor, or along an axis."""
        return self._position("argmax", dim if axis is None else axis, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False, *, axis: int | None = None) -> Tensor:
        """int64 positions of the first minimum: in the flattened tensor, or along an axis."""
        return self._position("argmin", dim if axis is None else axis, keepdim)

    def _position(self, op: str, dim: int | None, keepdim: bool) -> Tensor:
        keepdim = _kept(op, keepdim)
        xp, axis = backends.get(self.device), 0 if dim is None else check_axis(op, dim, self.ndim)
        array = self.array if dim is not None and self.ndim else xp.reshape(self.array, (self.numel(),))
        check_not_empty(op, self.shape, axis if array is self.array else None)
        found = self._new(getattr(xp, op)(array, axis), self.device)
        return found.unsqueeze(axis) if keepdim and dim is not None and self.ndim else found

    def norm(self) -> Tensor:
        """The Euclidean norm of all elements; where it is 0 the gradient is 0."""
        return _safe_sqrt((self * self).sum())

    def all(self) -> Tensor:
        """Whether all elements are not 0, as a bool tensor without axes."""
        return self._new(backends.get(self.device).from_numpy(np.asarray(np.asarray(self).all())), self.device)

    def any(self) -> Tensor:
        """Whether an element is not 0, as a bool tensor without axes."""
        return self._new(backends.get(self.device).from_numpy(np.asarray(np.asarray(self).any())), self.device)

    def softmax(self, dim: int) -> Tensor:
        """``exp(x)``, scaled to sum to 1 along an axis."""
        return apply(reduce.Softmax(check_axis("softmax", dim, self.ndim)), as_floating(self))

    def log_softmax(self, dim: int) -> Tensor:
        """The logarithm of :meth:`softmax`, computed without overflow."""
        return apply(reduce.LogSoftmax(check_axis("log_softmax", dim, self.ndim)), as_floating(self))


def _kept(op: str, keepdim: Any, keepdims: Any = False) -> bool:
    """Whether the axes stay, each of size 1: PyTorch's name or NumPy's."""
    return flag(op, "keepdim", keepdim) or flag(op, "keepdims", keepdims)


def _safe_sqrt(squared: Tensor) -> Tensor:
    """The square root, with the gradient 0 at 0."""
    zero = squared == 0
    return where(zero, 0.0, where(zero, 1.0, squared).sqrt())
