"""What operations take: scalars, dtypes, shapes that broadcast, axes and sizes. They are judged here."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import KIND_RANK, DType, bool_, float32, int64, is_floating, promote
from ..errors import DTypeError, ShapeError, message
from .core import Scalar, TensorBase, as_tensor

if TYPE_CHECKING:
    from . import Tensor

__all__ = [
    "as_floating",
    "as_scalar",
    "as_sizes",
    "check_axes",
    "check_axis",
    "check_broadcast",
    "check_broadcast_shapes",
    "check_cast",
    "check_not_empty",
    "check_sizes",
    "operands",
    "resolve_shape",
    "scalar_dtype",
]


def as_scalar(value: Any) -> Scalar:
    """A Python number, also of a NumPy scalar; DTypeError for anything else."""
    if isinstance(value, np.generic):
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


def check_cast(source: DType, target: DType) -> None:
    """In-place writes may widen or narrow within a kind, but not drop a fraction or an integer's value."""
    if KIND_RANK[source.kind] > KIND_RANK[target.kind]:
        raise DTypeError(message("write", f"values that fit {target}", str(source), "convert them with .to()"))


def operands(a: Any, b: Any, floating: bool = False) -> tuple[Any, Any]:
    """Two operands as Tensors of one dtype and device, or one of them as a plain number of the dtype's kind."""
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
    number = float if is_floating(dtype) else bool if dtype == bool_ else int
    first, second = (v.to(dtype) if rank else number(v) for v, (_, rank) in zip(values, ranks))
    return first, second


def check_broadcast(op: str, a: Any, b: Any) -> None:
    """Refuse two operands whose shapes do not broadcast to each other; numbers always do."""
    if isinstance(a, TensorBase) and isinstance(b, TensorBase) and a.shape != b.shape:
        check_broadcast_shapes(op, a.shape, b.shape)


def check_broadcast_shapes(op: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """Refuse two shapes that do not broadcast to each other."""
    for m, n in zip(reversed(a), reversed(b)):
        if m != n and m != 1 and n != 1:
            raise ShapeError(message(op, "shapes that broadcast to each other", f"{a} and {b}"))


def check_axis(op: str, axis: Any, ndim: int) -> int:
    """An axis, counted from the front; a tensor without axes is taken to have one."""
    if not isinstance(axis, (int, np.integer)) or not -max(ndim, 1) <= axis < max(ndim, 1):
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


def as_sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """The sizes that a function was called with: ``f(2, 3)`` and ``f((2, 3))`` mean the same."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    return tuple(operator.index(s) for s in sizes)


def check_sizes(op: str, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """The sizes of a new tensor, none of them negative."""
    found = as_sizes(sizes)
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
