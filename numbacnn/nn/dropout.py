"""Dropout."""

from __future__ import annotations

from typing import ClassVar

from ..arguments import flag, probability
from ..signatures import judged
from ..tensor import Tensor
from . import functional as F
from .field import unchanged
from .functional.dropout import dropout_channels
from .module import Module

__all__ = ["Dropout", "Dropout1d", "Dropout2d", "Dropout3d"]


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
        probability(type(self).__name__, "p", p)
        self.p = p
        self.inplace = flag(type(self).__name__, "inplace", inplace)

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class _OfChannels(Dropout):
    axes: ClassVar[int]
    """Of the signal: length, height and width, ..."""

    def forward(self, x: Tensor) -> Tensor:
        return dropout_channels(type(self).__name__, x, self.p, self.training, self.axes)


@judged
class Dropout1d(_OfChannels):
    """In training, zero whole channels of (N, C, L) or (C, L), as :class:`Dropout` does elements; after Tompson et al. (2015)."""

    axes = 1


@judged
class Dropout2d(_OfChannels):
    """In training, zero whole channels of (N, C, H, W) or (C, H, W), as :class:`Dropout` does elements; after Tompson et al. (2015)."""

    axes = 2


@judged
class Dropout3d(_OfChannels):
    """In training, zero whole channels of (N, C, D, H, W) or (C, D, H, W), as :class:`Dropout` does elements."""

    axes = 3
