"""Lengths, distances and angles of vectors, and classes as vectors."""

from __future__ import annotations

import numpy as np

from ... import backends
from ...arguments import integer, number
from ...dtypes import int64
from ...errors import DTypeError, message
from ...signatures import judged
from ...tensor import Tensor, eye
from .checks import at_least, check_dtypes

__all__ = ["cosine_similarity", "normalize", "one_hot", "pairwise_distance"]


@judged
def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of ``x1 - x2 + eps`` along the last axis.

    >>> import numbacnn as nc
    >>> pairwise_distance(nc.tensor([[3.0, 0.0]]), nc.tensor([[0.0, 4.0]]), eps=0.0)
    tensor([5.])
    """
    number("pairwise_distance", "eps", eps, lambda v: True, "that is finite")
    check_dtypes("pairwise_distance", x1, x2)
    return (x1 - x2 + eps).norm(p, -1, keepdim)


@judged
def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """The cosine of the angle between vectors along an axis; no length counts as less than ``eps``.

    >>> import numbacnn as nc
    >>> cosine_similarity(nc.tensor([[3.0, 0.0]]), nc.tensor([[4.0, 4.0]]))
    tensor([0.7071])
    """
    number("cosine_similarity", "eps", eps)
    check_dtypes("cosine_similarity", x1, x2)
    a, b = (x / at_least(x.norm(dim=dim, keepdim=True), eps) for x in (x1, x2))
    return (a * b).sum(dim)


@judged
def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Vectors along an axis, divided by their p-norm, or by ``eps`` where that is larger.

    >>> import numbacnn as nc
    >>> normalize(nc.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    number("normalize", "eps", eps)
    check_dtypes("normalize", input)
    return input / input.norm(p, dim, True).clamp(min=float(eps))


@judged
def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Class indices (...) as int64 vectors (..., K) with a 1 at the class; -1 stands for the largest index and one more.

    Raises:
        DTypeError: where ``tensor`` holds no integers.
        ValueError: where an index is not from 0 to K - 1.

    >>> import numbacnn as nc
    >>> one_hot(nc.tensor([0, 2])).tolist()
    [[1, 0, 0], [0, 0, 1]]
    """
    if tensor.dtype.kind not in "iu":
        raise DTypeError(message("one_hot", "class indices as integers", str(tensor.dtype)))
    classes = integer("one_hot", "num_classes", num_classes, -1)
    if classes < 1:
        classes = int(np.asarray(tensor).max(initial=-1)) + 1
    labels = Tensor(backends.get(tensor.device).class_indices("one_hot", tensor.array, classes), tensor.device)
    return eye(classes, dtype=int64, device=tensor.device)[labels]
