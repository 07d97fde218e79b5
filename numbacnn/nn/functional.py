"""Functions of Tensors: the place where arguments are judged. Names, defaults and semantics are PyTorch's."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, Literal

import numpy as np

from .. import backends, random
from ..backends import Array
from ..dtypes import int64, is_floating
from ..errors import DTypeError, ShapeError, message
from ..geometry import AdaptivePool2dGeometry, AdaptiveSize, Conv2dGeometry, IntPair, Padding, Pool2dGeometry
from ..ops import conv, elementwise, loss, norm, pool
from ..ops import linear as dense
from ..tensor import Tensor, apply, from_array, maximum

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "conv2d",
    "cross_entropy",
    "dropout",
    "gelu",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]

Reduction = Literal["mean", "sum", "none"]


def _one_dtype(op: str, input: Tensor, *others: Tensor | None) -> None:
    try:
        first = input.array.dtype
        good = is_floating(first)
        for t in others:
            good = good and (t is None or t.array.dtype is first or t.array.dtype == first)  # most often it is the same object
    except AttributeError:
        found = ", ".join(type(t).__name__ for t in (input, *others) if t is not None)
        raise TypeError(message(op, "Tensors", found, "make one with tensor() or from_array()")) from None
    if not good:
        found = ", ".join(str(t.dtype) for t in (input, *others) if t is not None)
        raise DTypeError(message(op, "floating-point tensors of one dtype", found, "convert them with .to()"))


def _vector(op: str, bias: Tensor | None, size: int) -> None:
    if bias is not None and bias.array.shape != (size,):
        raise ShapeError(message(op, f"bias ({size},)", f"bias {bias.shape}"))


def _known(op: str, activation: str) -> None:
    if activation not in backends.ACTIVATIONS:
        raise ValueError(message(op, f"activation as one of {', '.join(backends.ACTIVATIONS)}", repr(activation)))


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    activation: str = "none",
    average: tuple[Any, ...] | None = None,
) -> Tensor:
    """Cross-correlation of images with kernels, plus a bias.

    Args:
        input: (N, C, H, W), or one image (C, H, W).
        weight: (OC, C/groups, KH, KW).
        bias: (OC,).
        stride: step between windows, in pixels.
        padding: zeros on each side, in pixels; 'valid' is none, 'same' keeps the size (stride 1).
        dilation: distance between the taps of a kernel, in pixels.
        groups: input and output channels in so many groups that do not see each other.
        activation: 'none', 'relu', 'sigmoid' or 'tanh': applied to the result while it is in the cache, to the same bits.
        average: the arguments of :func:`avg_pool2d` after the input, ``(2,)`` at least; it comes last, and its gradient and the
            activation's are one pass over memory.

    Returns:
        (N, OC, OH, OW) with OH = (H + 2 padding - dilation (KH - 1) - 1) // stride + 1, or without N; with ``average``, its means.

    Raises:
        ShapeError, DTypeError: the arguments do not fit each other.

    >>> import numbacnn as nc
    >>> conv2d(nc.ones(1, 1, 3, 3), nc.ones(1, 1, 2, 2)).shape
    (1, 1, 2, 2)
    """
    _one_dtype("conv2d", input, weight, bias)
    if input.ndim == 3:
        return conv2d(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups, activation, average).squeeze(0)
    geometry = Conv2dGeometry.of(input.shape, weight.shape, stride, padding, dilation, groups)
    _vector("conv2d", bias, geometry.oc)
    _known("conv2d", activation)
    pooled = None if average is None else _average(geometry.output_shape, *average)
    return apply(conv.Conv2d(geometry, activation, pooled), input, weight, bias)


def max_pool2d(
    input: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest value of each window of input (N, C, H, W) or (C, H, W); ``stride`` defaults to ``kernel_size``.

    Padding counts as minus infinity; NaN wins. With ``ceil_mode`` a last window may stick out behind the data.

    >>> import numbacnn as nc
    >>> max_pool2d(nc.arange(16.0).reshape(1, 1, 4, 4), 2).flatten()
    tensor([ 5.,  7., 13., 15.])
    """
    _one_dtype("max_pool2d", input)
    if input.ndim == 3:
        return max_pool2d(input.unsqueeze(0), kernel_size, stride, padding, dilation, ceil_mode).squeeze(0)
    geometry = Pool2dGeometry.of(input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    return apply(pool.MaxPool2d(geometry), input)


def avg_pool2d(
    input: Tensor,
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of each window of input (N, C, H, W) or (C, H, W); ``stride`` defaults to ``kernel_size``.

    The divisor counts the padding's zeros where ``count_include_pad``, else only the data in the window; never what sticks out
    behind the padding with ``ceil_mode``.

    >>> import numbacnn as nc
    >>> avg_pool2d(nc.arange(16.0).reshape(1, 1, 4, 4), 2).flatten()
    tensor([ 2.5,  4.5, 10.5, 12.5])
    """
    _one_dtype("avg_pool2d", input)
    if input.ndim == 3:
        return avg_pool2d(input.unsqueeze(0), kernel_size, stride, padding, ceil_mode, count_include_pad).squeeze(0)
    geometry = _average(input.shape, kernel_size, stride, padding, ceil_mode, count_include_pad)
    return apply(pool.AvgPool2d(geometry), input)


def _average(
    shape: tuple[int, ...],
    kernel_size: IntPair,
    stride: IntPair | None = None,
    padding: IntPair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Pool2dGeometry:
    return Pool2dGeometry.of(shape, kernel_size, stride, padding, 1, ceil_mode, count_include_pad, op="avg_pool2d")


def adaptive_avg_pool2d(input: Tensor, output_size: AdaptiveSize) -> Tensor:
    """The means of ``output_size`` windows of nearly equal sizes of input (N, C, H, W) or (C, H, W).

    Output row o covers the rows floor(o * H / OH) to ceil((o + 1) * H / OH), without the last. A size of None is the input's.

    >>> import numbacnn as nc
    >>> adaptive_avg_pool2d(nc.arange(6.0).reshape(1, 1, 2, 3), (1, 2)).flatten()
    tensor([2., 3.])
    """
    _one_dtype("adaptive_avg_pool2d", input)
    if input.ndim == 3:
        return adaptive_avg_pool2d(input.unsqueeze(0), output_size).squeeze(0)
    geometry = AdaptivePool2dGeometry.of(input.shape, output_size)
    return apply(pool.AdaptiveAvgPool2d(geometry), input)


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

    >>> import numbacnn as nc
    >>> batch_norm(nc.tensor([[1.0], [3.0]]), None, None, training=True, eps=0.0).flatten()
    tensor([-1.,  1.])
    """
    op = "batch_norm"
    _one_dtype(op, input, weight, bias, running_mean, running_var)
    if not isinstance(momentum, Real):
        hint = "nn.BatchNorm2d(momentum=None) averages over all batches"
        raise TypeError(message(op, "momentum as a number", repr(momentum), hint))
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
    mean, var = (None if t is None else t.array for t in (running_mean, running_var))
    y = apply(norm.BatchNorm(mean, var, bool(training), float(momentum), float(eps)), input, weight, bias)
    for t in (running_mean, running_var):
        if training and t is not None:
            t.bump_version()
    return y


def _is_given(t: Tensor | None) -> str:
    return "None" if t is None else "given"


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none", flat: bool = False) -> Tensor:
    """``input @ weight.T + bias`` for input (..., I), weight (O, I) and bias (O,) -> (..., O).

    ``activation`` ('none', 'relu', 'sigmoid' or 'tanh') is applied to the result while it is in the cache, to the same bits. ``flat``:
    input (N, ...) is taken as (N, I), as after ``flatten(1)`` but without the copy that images, channels-last in memory, would need.

    >>> import numbacnn as nc
    >>> linear(nc.ones(2, 3), nc.ones(4, 3)).shape
    (2, 4)
    """
    _one_dtype("linear", input, weight, bias)
    if weight.ndim != 2:
        raise ShapeError(message("linear", "weight (O, I)", f"weight {weight.shape}"))
    if flat and input.ndim < 2:
        raise ShapeError(message("linear", "input (N, ...) of at least two axes with flat=True", f"input {input.shape}"))
    shape = (len(input), math.prod(input.shape[1:])) if flat else input.shape
    if not shape or shape[-1] != weight.shape[1]:
        expected = f"input (..., I) with I = {weight.shape[1]} to match weight {weight.shape}"
        raise ShapeError(message("linear", expected, f"input {shape}"))
    _vector("linear", bias, weight.shape[0])
    _known("linear", activation)
    if input.ndim == 2 or (flat and input.ndim == 4):
        return apply(dense.Linear(activation), input, weight, bias)
    rows = input.reshape(math.prod(shape[:-1]), shape[-1])
    return apply(dense.Linear(activation), rows, weight, bias).reshape(*shape[:-1], weight.shape[0])


def relu(input: Tensor) -> Tensor:
    """max(0, input); NaN stays NaN."""
    return input.relu()


def gelu(input: Tensor, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """input times the normal distribution function of input: input / 2 * (1 + erf(input / sqrt(2))).

    With ``approximate="tanh"`` erf is replaced: input / 2 * (1 + tanh(sqrt(2 / pi) * (input + 0.044715 input**3))). After Hendrycks and
    Gimpel (2016).

    >>> import numbacnn as nc
    >>> gelu(nc.tensor([-1.0, 1.0]))
    tensor([-0.1587,  0.8413])
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(message("gelu", "approximate 'none' or 'tanh'", repr(approximate)))
    _one_dtype("gelu", input)
    return apply(elementwise.Gelu(approximate == "tanh"), input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-input))."""
    return input.sigmoid()


def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return input.tanh()


def softmax(input: Tensor, dim: int) -> Tensor:
    """exp(input), scaled to sum to 1 along an axis."""
    return input.softmax(dim)


def log_softmax(input: Tensor, dim: int) -> Tensor:
    """The logarithm of :func:`softmax`, computed without overflow."""
    return input.log_softmax(dim)


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero each element with probability ``p`` and scale the others by 1 / (1 - p); the identity unless ``training``.

    The mask is drawn from the library's generator in logical order.
    """
    if not 0 <= p <= 1:
        raise ValueError(message("dropout", "a probability between 0 and 1", f"p = {p}"))
    if not training or p == 0:
        return input
    scale = 0.0 if p == 1 else 1 / (1 - p)
    mask = (random.generator().random(input.shape, dtype=np.float32) >= p).astype(input.dtype) * input.dtype.type(scale)
    return input * from_array(mask, input.device)


def _reduce(op: str, losses: Tensor, reduction: Reduction) -> Tensor:
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if reduction == "mean":
        return losses.mean()
    raise ValueError(message(op, "reduction 'mean', 'sum' or 'none'", repr(reduction)))


def _class_rows(op: str, input: Tensor, target: Tensor) -> tuple[Tensor, Array]:
    """Scores (N, K, ...) or (K,) and labels (N, ...) or () as rows (R, K) and labels (R,), in range, which nobody else can write to."""
    if target.dtype.kind not in "iu":
        raise DTypeError(message(op, "class indices as integers", str(target.dtype)))
    _one_dtype(op, input)
    if not input.ndim:
        raise ShapeError(message(op, "scores (N, K, ...) or (K,)", f"scores {input.shape}"))
    classes = input.shape[0] if input.ndim == 1 else input.shape[1]
    expected = () if input.ndim == 1 else input.shape[:1] + input.shape[2:]
    if target.shape != expected:
        raise ShapeError(message(op, f"labels {expected} to match scores {input.shape}", f"labels {target.shape}"))
    xp = backends.get(target.device)
    labels = xp.to_numpy(target.array)
    if labels.size and labels.view(f"u{labels.itemsize}").max() >= classes:  # a negative label counts as a huge one
        raise ValueError(message(op, f"labels between 0 and {classes - 1}", f"labels between {labels.min()} and {labels.max()}"))
    if input.ndim > 2:
        input = input.permute(0, *range(2, input.ndim), 1)
    if target.ndim != 1:
        input, target = input.reshape(int(labels.size), classes), target.reshape(int(labels.size))
    return input, xp.astype(target.array, int64)


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
    return found if reduction == "mean" else _reduce("cross_entropy", found.reshape(target.shape), reduction)


def nll_loss(input: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Minus the log-probability of each target: ``input`` (N, K), (N, K, ...) or (K,) holds log-probabilities."""
    rows, labels = _class_rows("nll_loss", input, target)
    picked = -rows[np.arange(len(rows)), Tensor(labels, rows.device)]
    return _reduce("nll_loss", picked.reshape(target.shape), reduction)


def _same_shape(op: str, input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        raise ShapeError(message(op, f"a target {input.shape} to match the input", f"target {target.shape}"))
    _one_dtype(op, input, target)


def mse_loss(input: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """The squared difference of two tensors of one shape."""
    _same_shape("mse_loss", input, target)
    difference = input - target
    return _reduce("mse_loss", difference * difference, reduction)


def binary_cross_entropy_with_logits(input: Tensor, target: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """The cross-entropy of targets in [0, 1] under sigmoid(input), of one shape; computed without overflow."""
    _same_shape("binary_cross_entropy_with_logits", input, target)
    losses = maximum(input, 0.0) - input * target + (-input.abs()).exp().log1p()
    return _reduce("binary_cross_entropy_with_logits", losses, reduction)
