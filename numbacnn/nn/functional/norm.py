"""Normalisation."""

from __future__ import annotations

from ...arguments import flag, number, probability
from ...errors import ShapeError, message
from ...ops import norm
from ...signatures import judged
from ...tensor import Tensor, apply
from .checks import check_dtypes

__all__ = ["batch_norm", "tracked_batch_norm"]


@judged
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``(input - mean) / sqrt(var + eps) * weight + bias`` for each channel of input (N, C, ...).

    Args:
        input: (N, C) or (N, C, ...).
        running_mean, running_var: (C,), both or neither. With ``training`` they move towards the batch's mean and unbiased variance.
        weight, bias: (C,).
        training: normalise by the batch's mean and (biased) variance; else by the running ones.
        momentum: the share by which the running ones move.
        eps: keeps the root away from 0.

    Raises:
        ShapeError, DTypeError: the arguments do not fit each other, or ``training`` has one value per channel.
        ValueError: ``eps`` is below 0, ``momentum`` is not from 0 to 1, or one of two running statistics is missing.
        TypeError: ``training`` is neither True nor False.

    >>> import numbacnn as nc
    >>> batch_norm(nc.tensor([[1.0], [3.0]]), None, None, training=True, eps=0.0).flatten()
    tensor([-1.,  1.])
    """
    if momentum is None:
        hint = "nn.BatchNorm2d(momentum=None) averages over all batches"
        raise TypeError(message("batch_norm", "momentum as a number", repr(momentum), hint))
    return tracked_batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps, None)


def tracked_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float | None,
    eps: float,
    tracked: Tensor | None,
) -> Tensor:
    """:func:`batch_norm`; ``tracked`` counts the batches, and without a momentum the running statistics are the average of them all."""
    op = "batch_norm"
    check_dtypes(op, input, weight, bias, running_mean, running_var)
    if momentum is not None:
        probability(op, "momentum", momentum)
    number(op, "eps", eps)
    training = flag(op, "training", training)
    if input.ndim < 2:
        raise ShapeError(message(op, "input (N, C) or (N, C, ...)", f"input {input.shape}"))
    channels = input.shape[1]
    for name, t in (("running_mean", running_mean), ("running_var", running_var), ("weight", weight), ("bias", bias)):
        if t is not None and t.shape != (channels,):
            raise ShapeError(message(op, f"{name} ({channels},) to match input {input.shape}", f"{name} {t.shape}"))
    if (running_mean is None) != (running_var is None) or (running_mean is None and not training):
        given = f"running_mean {_is_given(running_mean)} and running_var {_is_given(running_var)}"
        raise ValueError(message(op, "both running statistics, or neither and training=True", f"{given} with training={training}"))
    if training and input.numel() == channels:
        hint = "take a larger batch, or eval()"
        raise ShapeError(message(op, "more than one value per channel in training", f"input {input.shape}", hint))
    mean, var, count = (None if t is None else t.array for t in (running_mean, running_var, tracked))
    y = apply(norm.BatchNorm(mean, var, training, None if momentum is None else float(momentum), float(eps), count), input, weight, bias)
    for t in (running_mean, running_var, tracked):
        if training and t is not None:
            t.bump_version()
    return y


def _is_given(t: Tensor | None) -> str:
    return "None" if t is None else "given"
