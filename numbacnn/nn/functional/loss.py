"""Losses."""

from __future__ import annotations

import math
from typing import Literal

from ... import backends
from ...arguments import flag, integer, number, one_of
from ...backends import Array
from ...dtypes import is_floating
from ...errors import DeviceError, DTypeError, ShapeError, message
from ...indexing import counting
from ...ops import loss
from ...recording import now
from ...signatures import judged
from ...tensor import Tensor, apply, maximum, minimum, where
from .activation import softplus
from .checks import at_least, check_dtypes
from .distance import pairwise_distance

__all__ = [
    "Reduction",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
]

Reduction = Literal["mean", "sum", "none"]

IGNORED = -100
"""The label that is ignored where no other is named."""


def _reduced(op: str, losses: Tensor, reduction: Reduction) -> Tensor:
    """The losses as ``reduction`` says: their mean, their sum, or themselves."""
    one_of(op, "reduction", reduction, ("mean", "sum", "none"))
    return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses


# -- of classes ------------------------------------------------------------------------------------------------------------
def _class_rows(op: str, input: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Array]:
    """Scores (N, K, ...) or (K,) and labels (N, ...) or () as rows (R, K) and a private copy of the labels (R,): -1, or in range."""
    if target.dtype.kind not in "iu":
        raise DTypeError(message(op, "class indices as integers", str(target.dtype)))
    check_dtypes(op, input)
    if not input.ndim:
        raise ShapeError(message(op, "scores (N, K, ...) or (K,)", f"scores {input.shape}"))
    classes = input.shape[0] if input.ndim == 1 else input.shape[1]
    expected = () if input.ndim == 1 else input.shape[:1] + input.shape[2:]
    if target.shape != expected:
        raise ShapeError(message(op, f"labels {expected} to match scores {input.shape}", f"labels {target.shape}"))
    if target.device != input.device:
        raise DeviceError(message(op, "scores and labels on one device", f"{input.device} and {target.device}", "move one with .to()"))
    xp = backends.get(target.device)
    labels = xp.class_indices(op, target.array, classes, integer(op, "ignore_index", ignore_index, -(2**63), 2**63 - 1))
    if input.ndim > 2:
        input = input.permute(0, *range(2, input.ndim), 1)
    if target.ndim != 1:
        input, labels = input.reshape(target.numel(), classes), xp.reshape(labels, (target.numel(),))
    return input, labels


def _check_weight(op: str, input: Tensor, weight: Tensor | None) -> None:
    check_dtypes(op, input, weight)
    classes = input.shape[min(input.ndim, 2) - 1] if input.ndim else 0
    if weight is not None and weight.shape != (classes,):
        raise ShapeError(message(op, f"weight ({classes},), one for each class", f"weight {weight.shape}"))


def _of_classes(op: str, rows: Tensor, labels: Array, weight: Tensor | None, smoothing: float, reduction: Reduction) -> Tensor:
    """The losses (R,) of log-probabilities (R, K), or their sum, or their mean, in which each counts as much as its class."""
    one_of(op, "reduction", reduction, ("mean", "sum", "none"))
    at = Tensor(labels, rows.device)
    picked = -rows[counting(len(rows)), at]  # at -1 the last class, which is dropped below
    if weight is None and now.tape is None and not backends.queued(rows.device) and labels.min(initial=0) == 0:
        return picked if reduction == "none" else picked.sum() if reduction == "sum" else picked.sum() / len(rows)  # none is ignored
    counts = keep = at >= 0
    if weight is not None:
        counts = where(keep, weight[at], 0.0)
        picked = picked * counts
        if smoothing:
            picked = (1 - smoothing) * picked - smoothing / rows.shape[1] * (rows * weight).sum(1)
    picked = where(keep, picked, 0.0)
    return picked if reduction == "none" else picked.sum() if reduction == "sum" else picked.sum() / counts.sum()


@judged
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = IGNORED,
    reduction: Reduction = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The negative log-likelihood of class indices, or of the shares of classes, under softmax(input).

    Args:
        input: scores (N, K), (N, K, ...) or (K,), not normalised.
        target: class indices (N,), (N, ...) or (), integers in [0, K); or the share of each class, as many floats as scores.
        weight: how much each class counts (K,); the mean is weighted then.
        ignore_index: a label that is left out: the mean is that of the others, and NaN where there are none.
        label_smoothing: this share of each target is spread evenly over all K classes.

    Raises:
        ShapeError, DTypeError, ValueError: shapes or dtypes do not fit, a label or an option is out of range.

    >>> import numbacnn as nc
    >>> cross_entropy(nc.zeros(2, 4), nc.tensor([0, 3])).item()  # log 4
    1.3862943649291992
    """
    op = "cross_entropy"
    if not 0 <= label_smoothing <= 1:
        raise ValueError(message(op, "label_smoothing between 0 and 1", f"{label_smoothing}"))
    smoothing = float(label_smoothing)
    if weight is not None:
        _check_weight(op, input, weight)
    if is_floating(target.dtype) and target.shape == input.shape and input.ndim:
        return _of_shares(op, input, target, weight, smoothing, reduction)
    rows, labels = _class_rows(op, input, target, ignore_index)
    if weight is None:
        found = apply(loss.CrossEntropy(labels, smoothing, reduction == "mean"), rows)
        return found if reduction == "mean" else _reduced(op, found.reshape(target.shape), reduction)
    found = _of_classes(op, rows.log_softmax(1), labels, weight, smoothing, reduction)
    return found.reshape(target.shape) if reduction == "none" else found


def _of_shares(op: str, input: Tensor, target: Tensor, weight: Tensor | None, smoothing: float, reduction: Reduction) -> Tensor:
    """The cross-entropy of the share of each class."""
    check_dtypes(op, input, target)
    axis = min(input.ndim, 2) - 1
    if smoothing:
        target = target * (1 - smoothing) + smoothing / input.shape[axis]
    if weight is not None:
        target = target * weight.reshape(weight.shape + (1,) * (input.ndim - 2))
    return _reduced(op, -(input.log_softmax(axis) * target).sum(axis), reduction)


@judged
def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, ignore_index: int = IGNORED, reduction: Reduction = "mean"
) -> Tensor:
    """Minus the log-probability of each target: ``input`` (N, K), (N, K, ...) or (K,) holds log-probabilities.

    ``weight`` and ``ignore_index`` as for :func:`cross_entropy`.
    """
    if weight is not None:
        _check_weight("nll_loss", input, weight)
    rows, labels = _class_rows("nll_loss", input, target, ignore_index)
    found = _of_classes("nll_loss", rows, labels, weight, 0.0, reduction)
    return found.reshape(target.shape) if reduction == "none" else found


# -- of two tensors of one shape -------------------------------------------------------------------------------------------
def _check_shapes(op: str, input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        raise ShapeError(message(op, f"a target {input.shape} to match the input", f"target {target.shape}"))


def _same_shape(op: str, input: Tensor, target: Tensor) -> None:
    _check_shapes(op, input, target)
    check_dtypes(op, input, target)


def _difference(op: str, input: Tensor, target: Tensor) -> Tensor:
    """Input less target, whose dtypes meet as in arithmetic."""
    _check_shapes(op, input, target)
    check_dtypes(op, input)
    return input - target


@judged
def mse_loss(input: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """The squared difference of two tensors of one shape."""
    difference = _difference("mse_loss", input, target)
    return _reduced("mse_loss", difference * difference, reduction)


@judged
def l1_loss(input: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """The absolute difference of two tensors of one shape."""
    return _reduced("l1_loss", _difference("l1_loss", input, target).abs(), reduction)


@judged
def smooth_l1_loss(input: Tensor, target: Tensor, *, reduction: Reduction = "mean", beta: float = 1.0) -> Tensor:
    """The absolute difference less beta / 2, and below ``beta`` the squared difference over 2 beta; after Girshick (2015)."""
    number("smooth_l1_loss", "beta", beta)
    d = _difference("smooth_l1_loss", input, target).abs()
    return _reduced("smooth_l1_loss", where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta) if beta else d, reduction)


@judged
def huber_loss(input: Tensor, target: Tensor, *, reduction: Reduction = "mean", delta: float = 1.0) -> Tensor:
    """Half the squared difference, and from ``delta`` on the straight line that goes on from there; after Huber (1964)."""
    number("huber_loss", "delta", delta, lambda v: v > 0, "above 0")
    d = _difference("huber_loss", input, target).abs()
    return _reduced("huber_loss", where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta)), reduction)


@judged
def binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: Reduction = "mean") -> Tensor:
    """The cross-entropy of targets in [0, 1] under the probabilities ``input``, of one shape; no logarithm is below -100.

    A probability outside [0, 1] gives NaN. ``weight``, which may be broadcast, says how much each counts.
    """
    op = "binary_cross_entropy"
    _same_shape(op, input, target)
    check_dtypes(op, input, weight)
    losses = apply(loss.BinaryCrossEntropy(), input, target)
    return _reduced(op, losses if weight is None else losses * weight, reduction)


@judged
def binary_cross_entropy_with_logits(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: Reduction = "mean", pos_weight: Tensor | None = None
) -> Tensor:
    """The cross-entropy of targets in [0, 1] under sigmoid(input), of one shape; computed without overflow.

    ``weight`` and ``pos_weight``, which may be broadcast, say how much each counts, and how much targets of 1 do.
    """
    op = "binary_cross_entropy_with_logits"
    _same_shape(op, input, target)
    check_dtypes(op, input, weight, pos_weight)
    if pos_weight is None:
        losses = maximum(input, 0.0) - input * target + (-input.abs()).exp().log1p()
    else:
        losses = (1 - target) * input + ((pos_weight - 1) * target + 1) * ((-input.abs()).exp().log1p() + maximum(-input, 0.0))
    return _reduced(op, losses if weight is None else losses * weight, reduction)


@judged
def kl_div(
    input: Tensor, target: Tensor, *, reduction: Literal["mean", "sum", "none", "batchmean"] = "mean", log_target: bool = False
) -> Tensor:
    """``target * (log(target) - input)``: how far the probabilities ``target`` are from those whose logarithms are ``input``.

    With ``log_target`` the target holds logarithms too. The divergence of a batch is the reduction "batchmean": the sum over N.
    """
    one_of("kl_div", "reduction", reduction, ("mean", "sum", "none", "batchmean"))
    _same_shape("kl_div", input, target)
    if flag("kl_div", "log_target", log_target):
        losses = target.exp() * (target - input)
    else:
        none = target == 0
        losses = target * (where(none, 1.0, target).log() - input)
    if reduction == "batchmean":
        return losses.sum() / (len(input) if input.ndim else 1)
    return _reduced("kl_div", losses, reduction)


@judged
def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool = True, *, full: bool = False, eps: float = 1e-8, reduction: Reduction = "mean"
) -> Tensor:
    """Minus the log-likelihood of counts under Poisson's distribution with the mean exp(input), or ``input`` without ``log_input``.

    With ``full`` the logarithm of the target's factorial is added, in Stirling's approximation; ``eps`` keeps the logarithm finite.
    """
    op = "poisson_nll_loss"
    number(op, "eps", eps)
    _same_shape(op, input, target)
    losses = input.exp() - target * input if flag(op, "log_input", log_input) else input - target * (input + eps).log()
    if flag(op, "full", full):
        large = where(target > 1, target, 1.0)
        losses = losses + where(target > 1, large * large.log() - large + 0.5 * (2 * math.pi * large).log(), 0.0)
    return _reduced(op, losses, reduction)


@judged
def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor | float, *, full: bool = False, eps: float = 1e-6, reduction: Reduction = "mean"
) -> Tensor:
    """Minus the log-likelihood of targets under normal distributions with the means ``input`` and the variances ``var``.

    Args:
        input, target: of one shape.
        var: of that shape, or with 1 for the last axis, or without the last axis, or one number.
        full: adds log(2 pi) / 2.
        eps: no variance counts as less; one below 0 gives NaN.
        reduction: as for all losses.
    """
    op = "gaussian_nll_loss"
    number(op, "eps", eps, lambda v: v > 0, "above 0")
    _same_shape(op, input, target)
    if not isinstance(var, Tensor):
        number(op, "var", var)
        var = (input * 0).detach() + float(var)
    check_dtypes(op, input, var)
    if var.shape != input.shape and var.shape == input.shape[:-1]:
        var = var.unsqueeze(-1)
    if var.shape not in (input.shape, (*input.shape[:-1], 1)):
        raise ShapeError(message(op, f"variances {input.shape}, or with 1 for the last axis", f"variances {var.shape}"))
    bounded, away = at_least(var, eps) + where(var < 0, math.nan, 0.0), input - target
    losses = 0.5 * (bounded.log() + away * away / bounded)
    return _reduced(op, losses + 0.5 * math.log(2 * math.pi) if flag(op, "full", full) else losses, reduction)


# -- of signs: targets are 1 or -1 -----------------------------------------------------------------------------------------
def _marks(op: str, input: Tensor, target: Tensor) -> Tensor:
    """Targets that are 1 and -1, or 1 and 0, in the input's dtype; they may be integers."""
    check_dtypes(op, input)
    target = target if is_floating(target.dtype) else target.to(input.dtype)
    check_dtypes(op, input, target)
    return target


@judged
def soft_margin_loss(input: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """``log(1 + exp(-target * input))`` of targets that are 1 or -1."""
    target = _marks("soft_margin_loss", input, target)
    _check_shapes("soft_margin_loss", input, target)
    return _reduced("soft_margin_loss", softplus(-target * input), reduction)


@judged
def multilabel_soft_margin_loss(input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: Reduction = "mean") -> Tensor:
    """The mean over the classes, the last axis, of :func:`binary_cross_entropy_with_logits`; ``weight`` (K,) is that of the classes."""
    op = "multilabel_soft_margin_loss"
    if not input.ndim:
        raise ShapeError(message(op, "scores (N, K) or (K,)", f"scores {input.shape}"))
    target = _marks(op, input, target)
    return _reduced(op, binary_cross_entropy_with_logits(input, target, weight, reduction="none").mean(-1), reduction)


@judged
def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, *, reduction: Reduction = "mean") -> Tensor:
    """``input`` where the target is 1, and ``max(0, margin - input)`` where it is -1."""
    number("hinge_embedding_loss", "margin", margin, lambda v: True, "that is finite")
    target = _marks("hinge_embedding_loss", input, target)
    _check_shapes("hinge_embedding_loss", input, target)
    near, far = where(target != -1, input, 0.0), where(target != 1, (margin - input).clamp(min=0.0), 0.0)
    return _reduced("hinge_embedding_loss", near + far, reduction)


@judged
def margin_ranking_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: Reduction = "mean") -> Tensor:
    """``max(0, margin - target * (input1 - input2))``: the first shall be larger where the target is 1, and smaller where it is -1."""
    number("margin_ranking_loss", "margin", margin, lambda v: True, "that is finite")
    _same_shape("margin_ranking_loss", input1, input2)
    target = _marks("margin_ranking_loss", input1, target)
    return _reduced("margin_ranking_loss", (margin - target * (input1 - input2)).clamp(min=0.0), reduction)


@judged
def cosine_embedding_loss(input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, *, reduction: Reduction = "mean") -> Tensor:
    """1 less the cosine of two vectors (N, D) or (D,) where the target (N,) or () is 1, and ``max(0, cosine - margin)`` where it is -1."""
    op = "cosine_embedding_loss"
    number(op, "margin", margin, lambda v: True, "that is finite")
    _same_shape(op, input1, input2)
    if input1.ndim not in (1, 2) or target.shape != input1.shape[:-1]:
        raise ShapeError(message(op, "vectors (N, D) and a target (N,), or (D,) and ()", f"vectors {input1.shape}, target {target.shape}"))
    least = 1e-12
    sizes = ((input1 * input1).sum(-1) + least) * ((input2 * input2).sum(-1) + least)
    cosine = (input1 * input2).sum(-1) / sizes.sqrt()
    losses = where(target == 1, 1 - cosine, 0.0) + where(target == -1, (cosine - margin).clamp(min=0.0), 0.0)
    return _reduced(op, losses, reduction)


@judged
def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: Reduction = "mean",
) -> Tensor:
    """``max(0, margin + d(anchor, positive) - d(anchor, negative))`` of :func:`pairwise_distance`, after Balntas and others (2016).

    With ``swap`` the negative's distance from the positive counts where it is the smaller one.
    """
    op = "triplet_margin_loss"
    number(op, "margin", margin, lambda v: v > 0, "above 0")
    _same_shape(op, anchor, positive)
    _same_shape(op, anchor, negative)
    near, far = pairwise_distance(anchor, positive, p, eps), pairwise_distance(anchor, negative, p, eps)
    if flag(op, "swap", swap):
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    return _reduced(op, (margin + near - far).clamp(min=0.0), reduction)
