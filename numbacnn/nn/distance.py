"""How near vectors are to each other."""

from __future__ import annotations

from ..arguments import flag, integer, number
from ..signatures import judged
from ..tensor import Tensor
from . import functional as F
from .module import Module

__all__ = ["CosineSimilarity", "PairwiseDistance"]


@judged
class CosineSimilarity(Module):
    """The cosine of the angle between vectors along an axis. See :func:`numbacnn.nn.functional.cosine_similarity`.

    >>> import numbacnn as nc
    >>> CosineSimilarity()(nc.tensor([[3.0, 0.0]]), nc.tensor([[4.0, 4.0]]))
    tensor([0.7071])
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        number("CosineSimilarity", "eps", eps)
        self.dim, self.eps = integer("CosineSimilarity", "dim", dim, -64), eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


@judged
class PairwiseDistance(Module):
    """The p-norm of ``x1 - x2 + eps`` along the last axis. See :func:`numbacnn.nn.functional.pairwise_distance`.

    >>> import numbacnn as nc
    >>> PairwiseDistance(eps=0.0)(nc.tensor([[3.0, 0.0]]), nc.tensor([[0.0, 4.0]]))
    tensor([5.])
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        for name, value in (("p", p), ("eps", eps)):
            number("PairwiseDistance", name, value, lambda v: True, "that is finite")
        self.p, self.eps, self.keepdim = p, eps, flag("PairwiseDistance", "keepdim", keepdim)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        return F.pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)
