"""Sums, means, extremes and the softmax family: what goes along axes."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import backends
from ..arguments import flag, number
from ..dtypes import as_dtype, int64, is_floating
from ..errors import DTypeError, message
from ..ops import reduce
from .core import TensorBase, apply
from .logic import Logic
from .operands import as_floating, check_axes, check_axis, check_not_empty
from .pointwise import where
from .shape import Shape

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["MinMax", "Reduce", "as_summand"]


class MinMax(NamedTuple):
    """What ``max(dim)`` and ``min(dim)`` give."""

    values: Tensor
    indices: Tensor


class Reduce(Logic, Shape):
    """The methods that go along axes."""

    __slots__ = ()

    def sum(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
        """Over all axes, or over ``dim`` (an axis or a tuple). Integers and bools add up in int64; in ``dtype``, where it is given."""
        axes = check_axes("sum", dim if axis is None else axis, self.ndim)
        return apply(reduce.Sum(axes, _kept("sum", keepdim, keepdims)), as_summand("sum", self, dtype))

    def mean(self, dim: Any = None, keepdim: bool = False, *, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
        """The mean over all axes, or over ``dim`` (an axis or a tuple); floating-point tensors only, or in a ``dtype`` of these."""
        x = self if dtype is None else self.to(as_dtype("mean", dtype))
        _check_floating("mean", x)
        axes = check_axes("mean", dim if axis is None else axis, self.ndim)
        return apply(reduce.Mean(axes, _kept("mean", keepdim, keepdims)), x)

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
        _check_floating(op, self)
        axes, kept = check_axes(op, dim if axis is None else axis, self.ndim), _kept(op, keepdim)
        if correction is None:
            correction = int(flag(op, "unbiased", unbiased))
        number(op, "correction", correction)
        n = math.prod(self.shape[a] for a in axes)
        away = self - self.mean(axes, keepdim=True)
        return (away * away).sum(axes, kept) / float(max(n - correction, 0))

    def std_mean(self, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None) -> Any:
        """``(std, mean)``, as :meth:`std` and :meth:`mean` give them."""
        return self._with_mean(self.std(dim, unbiased, keepdim, correction=correction), dim, keepdim)

    def var_mean(self, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None) -> Any:
        """``(var, mean)``, as :meth:`var` and :meth:`mean` give them."""
        return self._with_mean(self.var(dim, unbiased, keepdim, correction=correction), dim, keepdim)

    def _with_mean(self, spread: Tensor, dim: Any, keepdim: bool) -> tuple[Tensor, Tensor]:
        return spread, self.mean(None if isinstance(dim, bool) else dim, keepdim)

    def amax(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """The largest element over all axes, or over ``dim`` (an axis or a tuple); equal ones share the gradient.

        >>> import numbacnn as nc
        >>> nc.tensor([[1, 5], [7, 2]]).amax(1)
        tensor([5, 7])
        """
        return self._extremes("amax", reduce.Max, dim, keepdim)

    def amin(self, dim: Any = None, keepdim: bool = False) -> Tensor:
        """The smallest element over all axes, or over ``dim`` (an axis or a tuple); equal ones share the gradient."""
        return self._extremes("amin", reduce.Min, dim, keepdim)

    def _extremes(self, op: str, kind: type[reduce.Max], dim: Any, keepdim: bool) -> Tensor:
        axes = check_axes(op, dim, self.ndim)
        for axis in axes:
            check_not_empty(op, self.shape, axis)
        return apply(kind(axes, _kept(op, keepdim)), self)

    def aminmax(self, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
        """``(amin, amax)``, of all elements or along an axis."""
        return self.amin(dim, keepdim), self.amax(dim, keepdim)

    def max(self, dim: Any = None, keepdim: bool = False, *, axis: int | None = None) -> Any:
        """The largest element, or along an axis ``(values, indices)``; NaN counts as larger than all.

        Equal maxima share the gradient; along an axis the first of them, which ``indices`` names, takes it all. With another tensor,
        as ``x.max(y)``, it is :func:`maximum`.
        """
        if isinstance(dim, TensorBase):
            return self.maximum(dim)
        return self._extreme("max", reduce.Max, reduce.MaxAlong, dim if axis is None else axis, keepdim)

    def min(self, dim: Any = None, keepdim: bool = False, *, axis: int | None = None) -> Any:
        """The smallest element, or along an axis ``(values, indices)``; the gradient as in :meth:`max`."""
        if isinstance(dim, TensorBase):
            return self.minimum(dim)
        return self._extreme("min", reduce.Min, reduce.MinAlong, dim if axis is None else axis, keepdim)

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

    def norm(self, p: float | str | None = "fro", dim: Any = None, keepdim: bool = False) -> Tensor:
        """The Euclidean norm of all elements, or over ``dim`` (an axis or a tuple); where it is 0 the gradient is 0.

        Args:
            p: another power than 2: the root of the sum of ``abs(x)**p``; infinity is the largest of them, 0 counts those that are not 0.

        >>> import numbacnn as nc
        >>> x = nc.tensor([[3.0, -4.0], [0.0, 1.0]])
        >>> x.norm(dim=1), x.norm(1)
        (tensor([5., 1.]), tensor(8.))
        """
        _check_floating("norm", self)
        axes, kept = check_axes("norm", dim, self.ndim), _kept("norm", keepdim)
        if p is None or (isinstance(p, (str, Real)) and p in ("fro", 2)):
            return _safe_sqrt((self * self).sum(axes, kept))
        if not isinstance(p, Real) or isinstance(p, bool) or math.isnan(p):
            raise ValueError(message("norm", "p as a number, or 'fro'", repr(p)))
        size = abs(self)
        if math.isinf(p):
            return size.amax(axes, kept) if p > 0 else size.amin(axes, kept)
        if p == 0:
            return where(size == 0, size, 1.0).sum(axes, kept)  # through abs(x) nothing flows back at 0
        if p == 1:
            return size.sum(axes, kept)
        zero = size == 0  # there the power may have no gradient
        total = where(zero, 0.0 if p > 0 else math.inf, where(zero, 1.0, size) ** float(p)).sum(axes, kept)
        none = total == 0
        return where(none, 0.0, where(none, 1.0, total) ** (1 / p))

    def dist(self, other: Tensor, p: float = 2) -> Tensor:
        """The norm of ``self - other``."""
        return (self - other).norm(p)  # type: ignore[attr-defined]

    def logsumexp(self, dim: Any, keepdim: bool = False) -> Tensor:
        """The logarithm of the sum of ``exp(x)`` over ``dim`` (an axis or a tuple), computed without overflow.

        >>> import numbacnn as nc
        >>> nc.tensor([1000.0, 1000.0]).logsumexp(0)
        tensor(1000.6932)
        """
        x, axes, kept = as_floating(self), check_axes("logsumexp", dim, self.ndim), _kept("logsumexp", keepdim)
        if not x.numel():
            return x.exp().sum(axes, kept).log()
        top = x.detach().amax(axes, keepdim=True)
        top = where(top.isfinite(), top, 0.0)
        return (x - top).exp().sum(axes, kept).log() + (top if kept else top.squeeze(axes or ()))

    def softmax(self, dim: int, dtype: Any = None) -> Tensor:
        """``exp(x)``, scaled to sum to 1 along an axis."""
        return apply(reduce.Softmax(check_axis("softmax", dim, self.ndim)), as_floating(self if dtype is None else self.to(dtype)))

    def log_softmax(self, dim: int, dtype: Any = None) -> Tensor:
        """The logarithm of :meth:`softmax`, computed without overflow."""
        return apply(reduce.LogSoftmax(check_axis("log_softmax", dim, self.ndim)), as_floating(self if dtype is None else self.to(dtype)))


def as_summand(op: str, x: Any, dtype: Any) -> Any:
    """What is added up or multiplied: in ``dtype`` where it is given, else integers and bools in int64."""
    return x.to(as_dtype(op, dtype)) if dtype is not None else x if is_floating(x.dtype) else x.to(int64)


def _check_floating(op: str, x: TensorBase) -> None:
    if not is_floating(x.dtype):
        raise DTypeError(message(op, "a floating-point tensor", str(x.dtype), "convert it with .float()"))


def _kept(op: str, keepdim: Any, keepdims: Any = False) -> bool:
    """Whether the axes stay, each of size 1: PyTorch's name or NumPy's."""
    return flag(op, "keepdim", keepdim) or flag(op, "keepdims", keepdims)


def _safe_sqrt(squared: Tensor) -> Tensor:
    """The square root, with the gradient 0 at 0."""
    zero = squared == 0
    return where(zero, 0.0, where(zero, 1.0, squared).sqrt())
