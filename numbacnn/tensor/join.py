"""Functions that join tensors."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..dtypes import promote
from ..errors import ShapeError, message
from ..ops.shape import Concatenate
from ..signatures import judged
from .core import apply
from .operands import check_axis

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["cat", "stack"]


@judged
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors one after another along an axis; their other sizes are equal."""
    if not tensors:
        raise ShapeError(message("cat", "at least one tensor", "none"))
    axis = check_axis("cat", dim, tensors[0].ndim)
    shapes = [t.shape for t in tensors]
    if any(len(s) != len(shapes[0]) or not s or s[:axis] + s[axis + 1 :] != shapes[0][:axis] + shapes[0][axis + 1 :] for s in shapes):
        raise ShapeError(message("cat", f"shapes that are equal but for axis {axis}", ", ".join(map(str, shapes))))
    dtype = functools.reduce(lambda a, b: promote((a, 2), (b, 2)), (t.dtype for t in tensors))
    return apply(Concatenate(axis), *(t.to(dtype) for t in tensors))


@judged
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    if not tensors:
        raise ShapeError(message("stack", "at least one tensor", "none"))
    if any(t.shape != tensors[0].shape for t in tensors):
        raise ShapeError(message("stack", "tensors of one shape", ", ".join(str(t.shape) for t in tensors)))
    axis = check_axis("stack", dim, tensors[0].ndim + 1)
    return cat([t.unsqueeze(axis) for t in tensors], axis)
