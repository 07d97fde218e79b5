"""Functions that join tensors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..arguments import one_of
from ..dtypes import promote
from ..errors import ShapeError, message
from ..ops.shape import Concatenate
from ..signatures import judged
from .core import apply
from .operands import check_axis, check_tensors

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["atleast_1d", "atleast_2d", "atleast_3d", "cat", "concat", "dstack", "hstack", "meshgrid", "stack", "vstack"]


@judged
def cat(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Tensors one after another along an axis, by PyTorch's name or NumPy's; their other sizes are equal."""
    dim = dim if axis is None else axis
    if not tensors:
        raise ShapeError(message("cat", "at least one tensor", "none"))
    place = check_axis("cat", dim, tensors[0].ndim)
    shapes = [t.shape for t in tensors]
    if any(len(s) != len(shapes[0]) or not s or s[:place] + s[place + 1 :] != shapes[0][:place] + shapes[0][place + 1 :] for s in shapes):
        raise ShapeError(message("cat", f"shapes that are equal but for axis {place}", ", ".join(map(str, shapes))))
    dtype = functools.reduce(lambda a, b: promote((a, 2), (b, 2)), (t.dtype for t in tensors))
    return apply(Concatenate(place), *(t.to(dtype) for t in tensors))


@judged
def stack(tensors: Sequence[Tensor], dim: int = 0, *, axis: int | None = None) -> Tensor:
    """Tensors of one shape along a new axis."""
    dim = dim if axis is None else axis
    if not tensors:
        raise ShapeError(message("stack", "at least one tensor", "none"))
    if any(t.shape != tensors[0].shape for t in tensors):
        raise ShapeError(message("stack", "tensors of one shape", ", ".join(str(t.shape) for t in tensors)))
    place = check_axis("stack", dim, tensors[0].ndim + 1)
    return cat([t.unsqueeze(place) for t in tensors], place)


concat = cat


def _at_least(axes: int) -> Callable[..., Any]:
    def atleast(*tensors: Any) -> Any:
        given: Any = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
        check_tensors(atleast.__name__, given)
        found = tuple(t if t.ndim >= axes else _with_axes(t, axes) for t in given)
        return found[0] if len(tensors) == 1 and given is tensors else found

    atleast.__name__ = atleast.__qualname__ = f"atleast_{axes}d"
    atleast.__doc__ = f"""A tensor with at least {axes} axes, those that it lacks of size 1; of several tensors, a tuple.

    Axes come in front; the last of three comes behind.
    """
    return atleast


def _with_axes(t: Tensor, axes: int) -> Tensor:
    """PyTorch's rule: (n,) becomes (1, n) and (1, n, 1), (m, n) becomes (m, n, 1)."""
    t = t.reshape((1,) * (min(axes, 2) - t.ndim) + t.shape) if t.ndim < min(axes, 2) else t
    return t.unsqueeze(2) if axes == 3 else t


atleast_1d, atleast_2d, atleast_3d = map(_at_least, (1, 2, 3))


@judged
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors side by side: along axis 1, those of one axis along that.

    >>> import numbacnn as nc
    >>> hstack([nc.zeros(2, 1), nc.ones(2, 2)]).tolist()
    [[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    parts = [atleast_1d(t) for t in tensors]
    return cat(parts, 0 if all(t.ndim == 1 for t in parts) else 1)


@judged
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors one below the other: along axis 0, those of one axis as rows.

    >>> import numbacnn as nc
    >>> vstack([nc.zeros(2), nc.ones(2)]).tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """
    return cat([atleast_2d(t) for t in tensors])


@judged
def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors one behind the other: along axis 2, which those of fewer axes get.

    >>> import numbacnn as nc
    >>> dstack([nc.zeros(2, 3), nc.ones(2, 3)]).shape
    (2, 3, 2)
    """
    return cat([atleast_3d(t) for t in tensors], 2)


@judged
def meshgrid(*tensors: Any, indexing: Literal["ij", "xy"] = "ij") -> tuple[Tensor, ...]:
    """The coordinates of a grid: of each vector a tensor that holds its values along an axis of its own; views.

    ``indexing="xy"`` exchanges the first two axes, for pictures.

    >>> import numbacnn as nc
    >>> rows, columns = meshgrid(nc.arange(2), nc.arange(3))
    >>> rows.tolist(), columns.tolist()
    ([[0, 0, 0], [1, 1, 1]], [[0, 1, 2], [0, 1, 2]])
    """
    given: Any = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    one_of("meshgrid", "indexing", indexing, ("ij", "xy"))
    check_tensors("meshgrid", given)
    if any(t.ndim > 1 for t in given):
        raise ShapeError(message("meshgrid", "vectors", ", ".join(str(t.shape) for t in given)))
    shape = [t.numel() for t in given]
    grids = tuple(t.reshape([-1 if i == axis else 1 for i in range(len(shape))]).expand(shape) for axis, t in enumerate(given))
    return tuple(g.transpose(0, 1) for g in grids) if indexing == "xy" and len(grids) > 1 else grids
