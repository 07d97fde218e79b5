"""Losses. ``reduction`` is 'mean', 'sum' or 'none'."""

from __future__ import annotations

from ..arguments import one_of
from ..errors import message
from ..signatures import judged
from ..tensor import Tensor
from . import functional as F
from .functional import Reduction
from .module import Module

__all__ = ["BCEWithLogitsLoss", "CrossEntropyLoss", "MSELoss", "NLLLoss"]


class _Loss(Module):
    def __init__(self, *, reduction: Reduction = "mean") -> None:
        super().__init__()
        one_of(type(self).__name__, "reduction", reduction, ("mean", "sum", "none"))
        self.reduction: Reduction = reduction


@judged
class CrossEntropyLoss(_Loss):
    """Softmax and negative log-likelihood in one: logits (N, K) and class indices (N,) -> a scalar, or (N,) without reduction.

    ``label_smoothing`` spreads that share of the target evenly over all classes, after Szegedy et al. (2016).

    Raises:
        ValueError: where ``label_smoothing`` is outside [0, 1] or ``reduction`` is unknown.

    >>> import numbacnn as nc
    >>> round(nc.nn.CrossEntropyLoss()(nc.zeros(2, 10), nc.tensor([3, 7])).item(), 4)
    2.3026
    """

    def __init__(self, *, reduction: Reduction = "mean", label_smoothing: float = 0.0) -> None:
        super().__init__(reduction=reduction)
        if not isinstance(label_smoothing, (int, float)) or not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(message("CrossEntropyLoss", "label_smoothing as a number from 0 to 1", repr(label_smoothing)))
        self.label_smoothing = float(label_smoothing)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(input, target, label_smoothing=self.label_smoothing, reduction=self.reduction)


@judged
class NLLLoss(_Loss):
    """Negative log-likelihood: log-probabilities (N, K) and class indices (N,) -> a scalar, or (N,) without reduction."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(input, target, reduction=self.reduction)


@judged
class MSELoss(_Loss):
    """The mean squared difference of two tensors of one shape.

    >>> import numbacnn as nc
    >>> nc.nn.MSELoss()(nc.ones(4), nc.zeros(4)).item()
    1.0
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(input, target, reduction=self.reduction)


@judged
class BCEWithLogitsLoss(_Loss):
    """Sigmoid and binary cross-entropy in one: logits and targets from 0 to 1, of one shape."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(input, target, reduction=self.reduction)
