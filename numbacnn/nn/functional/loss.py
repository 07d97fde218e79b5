"""Losses."""

from __future__ import annotations

from typing import Literal

from ... import backends
from ...arguments import one_of
from ...backends import Array
from ...errors import DeviceError, DTypeError, ShapeError, message
from ...indexing import counting
from ...ops import loss
from ...signatures import judged
from ...tensor import Tensor, apply, maximum
from .checks import check_dtypes

__all__ = ["Reduction", "binary_cross_entropy_with_logits", "cross_entropy", "mse_loss", "nll_loss"]

Reduction = Literal["mean", "sum", "none"]


def _reduced(op: str, losses: Tensor, reduction: Reduction) -> Tensor:
    """The losses as ``reduction`` says: their mean, their sum, or themselves."""
    one_of(op, "reduction", reduction, ("mean", "sum", "none"))
    return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses


def _class_rows(op: str, input: Tensor, target: Tensor) -> tuple[Tensor, Array]:
    """Scores (N, K, ...) or (K,) and labels (N, ...) or () as rows (R, K) and a private copy of the labels (R,), in range."""
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
    labels = xp.class_indices(op, target.array, classes)
    if input.ndim > 2:
        input = input.permute(0, *range(2, input.ndim), 1)
    if target.ndim != 1:
        input, labels = input.reshape(target.numel(), classes), xp.reshape(labels, (target.numel(),))
    return input, labels


@judged
def cross_entropy(input: Tensor, target: Tensor, *, label_smoothing: float = 0.0, reduction: Reduction = "mean") -> Tensor:
    """The negative log-likelihood of class indices under softmax(input).

    Args:
        input: scores (N, K), (N, K, ...) or (K,), not normalised.
        target: class indices (N,), (N, ...) or (), integers in [0, K).
        label_smoothing: this share of each target is spread evenly over all K classes.

    Raises:
        ShapeError, DTypeError, ValueError: shapes or dtypes do not fit, a label or an option is out of range.

    >>> import numbacnn as nc
    >>> cross_entropy(nc.zeros(2, 4), nc.tensor([0, 3])).item()  # log 4
    1.3862943649291992
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(message("cross_entropy", "label_smoothing between 0 and 1", f"{label_smoothing}"))
    rows, labels = _class_rows("cross_entropy", input, target)
    found = apply(loss.CrossEntropy(labels, float(label_smoothing), reduction == "mean"), rows)
    return found if reduction == "mean" else _reduced("cross_entropy", found.reshape(target.shape), reduction)


@judged
def nll_loss(input: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Minus the log-probability of each target: ``input`` (N, K), (N, K, ...) or (K,) holds log-probabilities."""
    rows, labels = _class_rows("nll_loss", input, target)
    picked = -rows[counting(len(rows)), Tensor(labels, rows.device)]
    return _reduced("nll_loss", picked.reshape(target.shape), reduction)


def _same_shape(op: str, input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        raise ShapeError(message(op, f"a target {input.shape} to match the input", f"target {target.shape}"))
    check_dtypes(op, input, target)


@judged
def mse_loss(input: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """The squared difference of two tensors of one shape."""
    _same_shape("mse_loss", input, target)
    difference = input - target
    return _reduced("mse_loss", difference * difference, reduction)


@judged
def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """The cross-entropy of targets in [0, 1] under sigmoid(input), of one shape; computed without overflow."""
    _same_shape("binary_cross_entropy_with_logits", input, target)
    losses = maximum(input, 0.0) - input * target + (-input.abs()).exp().log1p()
    return _reduced("binary_cross_entropy_with_logits", losses, reduction)
