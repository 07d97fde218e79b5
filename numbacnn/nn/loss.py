"""Losses. ``reduction`` is 'mean', 'sum' or 'none'."""

from __future__ import annotations

from typing import Any, Literal

from ..arguments import flag, integer, number, one_of
from ..errors import message
from ..signatures import judged
from ..tensor import Tensor
from . import functional as F
from .functional import Reduction
from .module import Module

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CosineEmbeddingLoss",
    "CrossEntropyLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "MarginRankingLoss",
    "MultiLabelSoftMarginLoss",
    "NLLLoss",
    "PoissonNLLLoss",
    "SmoothL1Loss",
    "SoftMarginLoss",
    "TripletMarginLoss",
]


class _Loss(Module):
    def __init__(self, *, reduction: Any = "mean") -> None:
        super().__init__()
        one_of(type(self).__name__, "reduction", reduction, ("mean", "sum", "none"))
        self.reduction: Any = reduction

    def _options(self, low: float | None = None, **options: Any) -> None:
        """Keep numbers, finite or not below ``low``, and flags."""
        for name, value in options.items():
            if isinstance(value, bool) or name in ("swap", "full", "log_input", "log_target"):
                flag(type(self).__name__, name, value)
            elif low is None:
                number(type(self).__name__, name, value, lambda v: True, "that is finite")
            else:
                number(type(self).__name__, name, value)
            setattr(self, name, value)

    def _weights(self, **weights: Any) -> None:
        """Keep how much classes or elements count, as part of the state."""
        for name, weight in weights.items():
            if weight is not None and not isinstance(weight, Tensor):
                raise TypeError(message(type(self).__name__, f"{name} as a Tensor or None", type(weight).__name__))
            self.register_buffer(name, weight)


@judged
class CrossEntropyLoss(_Loss):
    """Softmax and negative log-likelihood in one: logits (N, K) and class indices (N,) -> a scalar, or (N,) without reduction.

    ``target`` may hold the share of each class (N, K) too. ``weight`` (K,) says how much each class counts, ``ignore_index`` which label
    does not. ``label_smoothing`` spreads that share of the target evenly over all classes, after Szegedy et al. (2016).

    Raises:
        ValueError: where ``label_smoothing`` is outside [0, 1] or ``reduction`` is unknown.

    >>> import numbacnn as nc
    >>> round(nc.nn.CrossEntropyLoss()(nc.zeros(2, 10), nc.tensor([3, 7])).item(), 4)
    2.3026
    """

    weight: Tensor | None

    def __init__(
        self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: Reduction = "mean", label_smoothing: float = 0.0
    ) -> None:
        super().__init__(reduction=reduction)
        if not isinstance(label_smoothing, (int, float)) or not 0.0 <= label_smoothing <= 1.0:
            raise ValueError(message("CrossEntropyLoss", "label_smoothing as a number from 0 to 1", repr(label_smoothing)))
        self._weights(weight=weight)
        self.ignore_index = integer("CrossEntropyLoss", "ignore_index", ignore_index, -(2**63), 2**63 - 1)
        self.label_smoothing = float(label_smoothing)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


@judged
class NLLLoss(_Loss):
    """Negative log-likelihood: log-probabilities (N, K) and class indices (N,) -> a scalar, or (N,) without reduction.

    ``weight`` and ``ignore_index`` as for :class:`CrossEntropyLoss`.
    """

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self._weights(weight=weight)
        self.ignore_index = integer("NLLLoss", "ignore_index", ignore_index, -(2**63), 2**63 - 1)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


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
class L1Loss(_Loss):
    """The mean absolute difference of two tensors of one shape."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(input, target, reduction=self.reduction)


@judged
class SmoothL1Loss(_Loss):
    """:class:`L1Loss`, and below ``beta`` the squared difference over 2 beta, which is smooth; after Girshick (2015)."""

    beta: float

    def __init__(self, *, reduction: Reduction = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        self._options(0, beta=beta)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


@judged
class HuberLoss(_Loss):
    """Half the squared difference, and from ``delta`` on the straight line that goes on from there; after Huber (1964)."""

    delta: float

    def __init__(self, reduction: Reduction = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction=reduction)
        number("HuberLoss", "delta", delta, lambda v: v > 0, "above 0")
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


@judged
class BCELoss(_Loss):
    """Binary cross-entropy: probabilities, as of a :class:`Sigmoid`, and targets from 0 to 1, of one shape.

    ``weight``, which may be broadcast, says how much each counts.

    >>> import numbacnn as nc
    >>> round(nc.nn.BCELoss()(nc.tensor([0.5, 1.0]), nc.tensor([1.0, 1.0])).item(), 4)  # the mean of log 2 and 0
    0.3466
    """

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self._weights(weight=weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


@judged
class BCEWithLogitsLoss(_Loss):
    """Sigmoid and binary cross-entropy in one: logits and targets from 0 to 1, of one shape.

    ``weight`` and ``pos_weight``, which may be broadcast, say how much each counts, and how much targets of 1 do.
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, reduction: Reduction = "mean", pos_weight: Tensor | None = None) -> None:
        super().__init__(reduction=reduction)
        self._weights(weight=weight, pos_weight=pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight)


@judged
class KLDivLoss(_Loss):
    """How far the probabilities ``target`` are from those whose logarithms are ``input``; "batchmean" is the divergence of a batch.

    With ``log_target`` the target holds logarithms too.
    """

    log_target: bool

    def __init__(self, *, reduction: Literal["mean", "sum", "none", "batchmean"] = "mean", log_target: bool = False) -> None:
        one_of("KLDivLoss", "reduction", reduction, ("mean", "sum", "none", "batchmean"))
        super().__init__()
        self.reduction = reduction
        self._options(log_target=log_target)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


@judged
class PoissonNLLLoss(_Loss):
    """Minus the log-likelihood of counts under Poisson's distribution, as :func:`numbacnn.nn.functional.poisson_nll_loss`."""

    log_input: bool
    full: bool
    eps: float

    def __init__(self, log_input: bool = True, full: bool = False, *, eps: float = 1e-8, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self._options(0, log_input=log_input, full=full, eps=eps)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.poisson_nll_loss(input, target, self.log_input, full=self.full, eps=self.eps, reduction=self.reduction)


@judged
class GaussianNLLLoss(_Loss):
    """Minus the log-likelihood under normal distributions: means, targets and variances -> a scalar, or one for each target.

    See :func:`numbacnn.nn.functional.gaussian_nll_loss`.
    """

    full: bool
    eps: float

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self._options(0, full=full, eps=eps)

    def forward(self, input: Tensor, target: Tensor, var: Tensor | float) -> Tensor:
        return F.gaussian_nll_loss(input, target, var, full=self.full, eps=self.eps, reduction=self.reduction)


@judged
class SoftMarginLoss(_Loss):
    """``log(1 + exp(-target * input))`` of targets that are 1 or -1."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.soft_margin_loss(input, target, reduction=self.reduction)


@judged
class MultiLabelSoftMarginLoss(_Loss):
    """The mean over the classes, the last axis, of :class:`BCEWithLogitsLoss`; ``weight`` (K,) is that of the classes."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self._weights(weight=weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class _WithMargin(_Loss):
    margin: float

    def __init__(self, margin: float = 0.0, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction=reduction)
        self._options(margin=margin)


@judged
class HingeEmbeddingLoss(_WithMargin):
    """``input`` where the target is 1, and ``max(0, margin - input)`` where it is -1."""

    def __init__(self, margin: float = 1.0, *, reduction: Reduction = "mean") -> None:
        super().__init__(margin, reduction=reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return F.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


@judged
class MarginRankingLoss(_WithMargin):
    """``max(0, margin - target * (input1 - input2))``: the first shall be larger where the target is 1, and smaller where it is -1."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


@judged
class CosineEmbeddingLoss(_WithMargin):
    """1 less the cosine of two vectors where the target is 1, and ``max(0, cosine - margin)`` where it is -1."""

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        return F.cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)


@judged
class TripletMarginLoss(_WithMargin):
    """``max(0, margin + d(anchor, positive) - d(anchor, negative))``, after Balntas and others (2016).

    ``d`` is :func:`numbacnn.nn.functional.pairwise_distance` with ``p`` and ``eps``; with ``swap`` the negative's distance from the
    positive counts where it is the smaller one.
    """

    p: float
    eps: float
    swap: bool

    def __init__(
        self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, *, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(margin, reduction=reduction)
        number("TripletMarginLoss", "margin", margin, lambda v: v > 0, "above 0")
        self._options(0, p=p, eps=eps, swap=swap)

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return F.triplet_margin_loss(anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction)
