"""Dropout."""

from __future__ import annotations

from ..arguments import flag, probability
from ..signatures import judged
from ..tensor import Tensor
from . import functional as F
from .field import unchanged
from .module import Module

__all__ = ["Dropout"]


@judged
class Dropout(Module):
    """In training, zero each element with probability ``p`` and scale the rest by 1 / (1 - p); in evaluation, nothing.

    After Srivastava et al. (2014). ``inplace`` is taken for the sake of PyTorch's listings; the result is always a new tensor.

    Raises:
        ValueError: where ``p`` is not a probability.

    >>> import numbacnn as nc
    >>> nc.nn.Dropout(0.5).eval()(nc.ones(2)).numpy()
    array([1., 1.], dtype=float32)
    """

    receptive_field = unchanged

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        probability("Dropout", "p", p)
        self.p = p
        self.inplace = flag("Dropout", "inplace", inplace)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"
