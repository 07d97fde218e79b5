"""Matrix products."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError, message
from ..ops import linear
from .core import Operand, TensorBase, apply, as_tensor
from .operands import check_broadcast_shapes, operands

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Dense"]


class Dense(TensorBase):
    """The matrix product."""

    __slots__ = ()

    def __matmul__(self, other: Operand) -> Tensor:
        return _matmul(self, as_tensor(other, self.device))

    def __rmatmul__(self, other: Operand) -> Tensor:
        return _matmul(as_tensor(other, self.device), self)

    def matmul(self, other: Tensor) -> Tensor:
        """The matrix product ``self @ other``, as ``numpy.matmul``: of vectors, matrices and stacks of matrices.

        >>> import numbacnn as nc
        >>> (nc.ones(5, 2, 3) @ nc.ones(3, 4)).shape
        (5, 2, 4)
        """
        return self @ other

    mm = matmul


def _matmul(a: Any, b: Any) -> Tensor:
    """As ``numpy.matmul``: vectors, matrices and stacks of matrices."""
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        raise ShapeError(message("matmul", "(..., M, K) @ (..., K, N)", f"{a.shape} @ {b.shape}"))
    a, b = operands("matmul", a, b)
    if a.ndim == 1:
        return _matmul(a.unsqueeze(0), b).squeeze(-2 if b.ndim > 1 else 0)
    if b.ndim == 1:
        return _matmul(a, b.unsqueeze(1)).squeeze(-1)
    if b.ndim == 2:
        return apply(linear.Matmul(), a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
    check_broadcast_shapes("matmul", a.shape[:-2], b.shape[:-2])
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    left = a.expand(*batch, *a.shape[-2:]).reshape(math.prod(batch), *a.shape[-2:])
    right = b.expand(*batch, *b.shape[-2:]).reshape(math.prod(batch), *b.shape[-2:])
    return apply(linear.BatchedMatmul(), left, right).reshape(*batch, a.shape[-2], b.shape[-1])
