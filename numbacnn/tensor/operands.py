"""What operations take: scalars, dtypes, shapes that broadcast, axes and sizes. They are judged here."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import KIND_RANK, DType, bool_, float32, float64, int64, is_floating, promote
from ..errors import DeviceError, DTypeError, ShapeError, message
from ..signatures import shown
from .core import Scalar, TensorBase, as_tensor, check_fit

if TYPE_CHECKING:
    from . import Tensor

__all__ = [
    "as_floating",
    "as_number",
    "as_scalar",
    "as_sizes",
    "check_axes",
    "check_axis",
    "check_broadcast",
    "check_broadcast_shapes",
    "check_cast",
    "check_not_empty",
    "check_sizes",
    "check_tensors",
    "check_values",
    "like",
    "operands",
    "resolve_shape",
    "result_type",
    "scalar_dtype",
]


def as_scalar(value: Any) -> Scalar:
    """A Python number, also of a NumPy scalar or a Tensor without axes; DTypeError for anything else."""
    if isinstance(value, (np.generic, TensorBase)) and not value.ndim:
        value = value.item()
    if not isinstance(value, (bool, int, float)):
        raise DTypeError(message("operand", "a Tensor, an array or a number", type(value).__name__))
    return value


def scalar_dtype(value: Scalar) -> DType:
    """The dtype that a Python number has where no tensor says otherwise."""
    return bool_ if isinstance(value, bool) else int64 if isinstance(value, int) else float32


def as_floating(x: Any) -> Tensor:
    """A floating-point tensor as it is; others in float32."""
    return x if is_floating(x.dtype) else x.to(float32)


def result_type(a: Any, b: Any) -> DType:
    """The dtype of an operation on two operands, Tensors or numbers.

    >>> import numbacnn as nc
    >>> nc.result_type(nc.ones(2, dtype="int64"), 1.5)
    dtype('float32')
    """
    ranks = [(v.dtype, 2 if v.ndim else 1) if isinstance(v, TensorBase) else (scalar_dtype(as_scalar(v)), 0) for v in (a, b)]
    return promote(*ranks)


def like(x: TensorBase, dtype: Any, device: str | None) -> dict[str, Any]:
    """The ``dtype`` and ``device`` of a new tensor: those that are given, or those of ``x``."""
    return {"dtype": x.dtype if dtype is None else dtype, "device": x.device if device is None else device}


def check_cast(source: DType, target: DType) -> None:
    """In-place writes may widen or narrow within a kind, but not drop a fraction or an integer's value."""
    if KIND_RANK[source.kind] > KIND_RANK[target.kind]:
        raise DTypeError(message("write", f"values that fit {target}", str(source), "convert them with .to()"))


def operands(op: str, a: Any, b: Any, floating: bool = False, widen: bool = False) -> tuple[Any, Any]:
    """Two operands as Tensors of one dtype and device, or one of them as a plain number of the dtype's kind.

    A number that the dtype can't hold is refused, or with ``widen`` makes both larger: it may be compared.
    """
    if not isinstance(a, TensorBase) and not isinstance(b, TensorBase):
        raise TypeError(message(op, "at least one Tensor", f"{type(a).__name__} and {type(b).__name__}", "make one with tensor()"))
    device = a.device if isinstance(a, TensorBase) else b.device
    ranks = []
    values = []
    for value in (a, b):
        if isinstance(value, (TensorBase, np.ndarray, list, tuple)):
            value = as_tensor(value, device)
            ranks.append((value.dtype, 2 if value.ndim else 1))
        else:
            value = as_scalar(value)
            ranks.append((scalar_dtype(value), 0))
        values.append(value)
    dtype = promote(*ranks)
    if floating and not is_floating(dtype):
        dtype = float32
    if widen and dtype.kind in "iu":
        values, dtype = _widened(values, dtype)
    first, second = (v.to(dtype) if rank else as_number(op, v, dtype) for v, (_, rank) in zip(values, ranks))
    if isinstance(first, TensorBase) and isinstance(second, TensorBase) and first.device != second.device:
        raise DeviceError(message(op, "tensors on one device", f"{first.device} and {second.device}", "move one with .to()"))
    return first, second


def _widened(values: list[Any], dtype: DType) -> tuple[list[Any], DType]:
    """Values to be compared, and a dtype that holds a number among them: beyond 64 bits it is as good as infinite."""
    for value in values:
        if isinstance(value, int) and not 0 <= value < 128 and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            if -(2**63) <= value < 2**63:
                return values, int64
            return [(math.inf if v > 0 else -math.inf) if isinstance(v, int) else v for v in values], float64
    return values, dtype


def as_number(op: str, value: Scalar, dtype: DType) -> Scalar:
    """A number of the dtype's kind; ValueError where the dtype can't hold it."""
    try:
        number = float(value) if is_floating(dtype) else bool(value) if dtype == bool_ else int(value)
    except OverflowError:  # an integer beyond all floats
        number = value
    if type(number) is int and not 0 <= number < 128:  # which all can hold
        check_fit(op, np.asarray(number), dtype)
    return number


def check_values(op: str, a: Any, b: Any) -> None:
    """Refuse what has no result in this operation: bools, and in integers divisors of 0 and exponents below 0."""
    dtype = (a if isinstance(a, TensorBase) else b).dtype
    if dtype == bool_ and op in ("floor_divide", "negative", "power", "remainder", "subtract"):
        raise DTypeError(message(op, "numbers", "bool tensors", "convert them with .to()"))
    if is_floating(dtype) or op not in ("floor_divide", "power", "remainder"):
        return
    if op == "power" and (np.asarray(b) < 0).any():
        raise RuntimeError(message(op, "exponents of integers of at least 0", "a negative one", "convert the base with .float()"))
    if op != "power" and not np.asarray(b).all():
        raise RuntimeError(message(op, "divisors of integers that are not 0", "a 0", "floating-point tensors give inf or nan"))


def check_broadcast(op: str, a: Any, b: Any) -> None:
    """Refuse two operands whose shapes do not broadcast to each other; numbers always do."""
    if isinstance(a, TensorBase) and isinstance(b, TensorBase) and a.shape != b.shape:
        check_broadcast_shapes(op, a.shape, b.shape)


def check_broadcast_shapes(op: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """Refuse two shapes that do not broadcast to each other."""
    for m, n in zip(reversed(a), reversed(b)):
        if m != n and m != 1 and n != 1:
            raise ShapeError(message(op, "shapes that broadcast to each other", f"{a} and {b}"))


def check_tensors(op: str, tensors: Any) -> None:
    """Refuse what is no row of at least one Tensor."""
    if not isinstance(tensors, (list, tuple)) or not tensors or not all(isinstance(t, TensorBase) for t in tensors):
        raise TypeError(message(op, "Tensors, at least one", shown(tensors), "make one with tensor()"))


def check_axis(op: str, axis: Any, ndim: int) -> int:
    """An axis, counted from the front; a tensor without axes is taken to have one."""
    if not isinstance(axis, (int, np.integer)) or isinstance(axis, bool) or not -max(ndim, 1) <= axis < max(ndim, 1):
        raise ShapeError(message(op, f"an axis of a tensor with {ndim} axes", repr(axis)))
    return int(axis) % max(ndim, 1)


def check_axes(op: str, axes: Any, ndim: int) -> tuple[int, ...]:
    """One axis or several, counted from the front; None, or none, means all."""
    if axes is None or (isinstance(axes, (tuple, list)) and not axes):
        return tuple(range(ndim))
    found = tuple(check_axis(op, a, ndim) for a in axes) if isinstance(axes, (tuple, list)) else (check_axis(op, axes, ndim),)
    if len(set(found)) != len(found):
        raise ShapeError(message(op, "each axis once", f"{axes}"))
    return found if ndim else ()


def check_not_empty(op: str, shape: tuple[int, ...], axis: int | None = None) -> None:
    """Refuse a shape without elements, or with none along the axis: there is no largest of nothing."""
    if 0 in (shape if axis is None else shape[axis : axis + 1]):
        where = "" if axis is None else f" along axis {axis}"
        raise ShapeError(message(op, f"a tensor with elements{where}", f"shape {shape}"))


def as_sizes(op: str, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """The integers that a function was called with: ``f(2, 3)`` and ``f((2, 3))`` mean the same.

    Raises:
        ShapeError: they are no integers, or those of more elements than there are addresses.
    """
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    try:
        found = tuple(operator.index(s) for s in sizes)
    except (TypeError, ValueError):  # a tensor of many elements is no index either
        found = None
    if found is None or math.prod(max(s, 1) for s in found) >= 2**63:
        raise ShapeError(message(op, "sizes as integers" if found is None else "sizes of fewer than 2**63 elements", f"{sizes}"))
    return found


def check_sizes(op: str, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """The sizes of a new tensor, none of them negative."""
    found = as_sizes(op, sizes)
    if min(found, default=0) < 0:
        raise ShapeError(message(op, "sizes of at least 0", f"{found}"))
    return found


def resolve_shape(op: str, source: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The wanted shape with its -1 filled in."""
    total, known = math.prod(source), math.prod(s for s in wanted if s != -1)
    free = wanted.count(-1)
    if free == 1 and known and total % known == 0:
        wanted = tuple(total // known if s == -1 else s for s in wanted)
        free = 0
    if free or min(wanted, default=0) < 0 or math.prod(wanted) != total:
        raise ShapeError(message(op, f"a shape of {total} elements", f"{wanted} from {source}"))
    return wanted
