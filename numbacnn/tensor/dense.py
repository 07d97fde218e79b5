"""Matrix products."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arguments import integer
from ..errors import ShapeError, message
from ..ops import linear
from ..signatures import shown
from .core import Operand, Scalar, TensorBase, apply, as_tensor
from .elementary import in_place
from .logic import Logic
from .operands import as_scalar, as_sizes, check_axis, check_broadcast_shapes, operands
from .shape import Shape

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Dense"]


class Dense(Logic, Shape):
    """The matrix product, and what is made of it."""

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

    def mm(self, mat2: Tensor) -> Tensor:
        """The product of two matrices."""
        _check_ndims("mm", (self, mat2), (2, 2))
        return self @ mat2

    def bmm(self, mat2: Tensor) -> Tensor:
        """The products of two stacks of matrices: (B, M, K) by (B, K, N) is (B, M, N)."""
        _check_ndims("bmm", (self, mat2), (3, 3))
        if self.shape[0] != mat2.shape[0]:
            raise ShapeError(message("bmm", "(B, M, K) and (B, K, N)", f"{self.shape} and {mat2.shape}"))
        return self @ mat2

    def mv(self, vec: Tensor) -> Tensor:
        """The product of a matrix and a vector."""
        _check_ndims("mv", (self, vec), (2, 1))
        return self @ vec

    def dot(self, tensor: Tensor) -> Tensor:
        """The sum of the products of two vectors."""
        _check_ndims("dot", (self, tensor), (1, 1))
        return self @ tensor

    def inner(self, other: Tensor) -> Tensor:
        """The sums of products along the last axis of both; with a number or a tensor without axes, the product."""
        other = as_tensor(other, self.device)
        if not self.ndim or not other.ndim:
            return self * other
        return self.tensordot(other, ([-1], [-1]))

    def outer(self, vec2: Tensor) -> Tensor:
        """The products of all pairs of two vectors: (M,) and (N,) give (M, N).

        >>> import numbacnn as nc
        >>> nc.tensor([1, 2]).outer(nc.tensor([3, 4])).tolist()
        [[3, 4], [6, 8]]
        """
        _check_ndims("outer", (self, vec2), (1, 1))
        return self[:, None] * vec2

    def addmm(self, mat1: Tensor, mat2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
        """``beta * self + alpha * (mat1 @ mat2)``, of matrices."""
        return self._product_added("addmm", mat1, mat2, beta, alpha, (2, 2))

    addmm_ = in_place(addmm)

    def addmv(self, mat: Tensor, vec: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
        """``beta * self + alpha * (mat @ vec)``, of a matrix and a vector."""
        return self._product_added("addmv", mat, vec, beta, alpha, (2, 1))

    def baddbmm(self, batch1: Tensor, batch2: Tensor, *, beta: Scalar = 1, alpha: Scalar = 1) -> Tensor:
        """``beta * self + alpha * (batch1 @ batch2)``, of stacks of matrices."""
        return self._product_added("baddbmm", batch1, batch2, beta, alpha, (3, 3))

    def _product_added(self, op: str, a: Tensor, b: Tensor, beta: Scalar, alpha: Scalar, ndims: tuple[int, int]) -> Tensor:
        """What is multiplied by 0 is left out, NaN too."""
        _check_ndims(op, (a, b), ndims)
        product = a @ b if as_scalar(alpha) == 1 else alpha * (a @ b)
        return product if as_scalar(beta) == 0 else (self if beta == 1 else beta * self) + product

    def tensordot(self, other: Tensor, dims: Any = 2) -> Tensor:
        """The sums of products along so many last axes of the one and first axes of the other, or along the pairs of two lists.

        >>> import numbacnn as nc
        >>> nc.ones(2, 3, 4).tensordot(nc.ones(3, 4, 5)).shape, nc.ones(2, 3).tensordot(nc.ones(4, 3), ([1], [1])).shape
        ((2, 5), (2, 4))
        """
        other = as_tensor(other, self.device)
        if isinstance(dims, (list, tuple)):
            pairs = tuple(
                [check_axis("tensordot", a, x.ndim) for a in as_sizes("tensordot", (axes,))] for x, axes in zip((self, other), dims)
            )
        else:
            n = integer("tensordot", "dims", dims, 0, min(self.ndim, other.ndim))
            pairs = [*range(self.ndim - n, self.ndim)], [*range(n)]
        if (
            len(pairs) != 2
            or [self.shape[a] for a in pairs[0]] != [other.shape[a] for a in pairs[1]]
            or any(len({*p}) < len(p) for p in pairs)
        ):
            raise ShapeError(message("tensordot", "pairs of axes of one size", f"{dims} of {self.shape} and {other.shape}"))
        left, right = ([a for a in range(x.ndim) if a not in own] for x, own in zip((self, other), pairs))
        inner = math.prod(self.shape[a] for a in pairs[0])
        a = self.permute(left + pairs[0]).reshape(-1 if inner else math.prod(self.shape[i] for i in left), inner)
        b = other.permute(pairs[1] + right).reshape(inner, -1 if inner else math.prod(other.shape[i] for i in right))
        return (a @ b).reshape([self.shape[i] for i in left] + [other.shape[i] for i in right])


def _check_ndims(op: str, tensors: tuple[Any, Any], ndims: tuple[int, int]) -> None:
    words = {1: "a vector", 2: "a matrix", 3: "a stack of matrices (B, M, N)"}
    for t, ndim in zip(tensors, ndims):
        if not isinstance(t, TensorBase) or t.ndim != ndim:
            expected = " and ".join(words[n] for n in ndims)
            raise ShapeError(message(op, expected, " and ".join(str(getattr(t, "shape", shown(t))) for t in tensors)))


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
