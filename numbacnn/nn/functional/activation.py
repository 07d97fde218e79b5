"""Activations."""

from __future__ import annotations

from typing import Literal

from ...arguments import flag, number, one_of
from ...errors import ShapeError, message
from ...formulas import leaky_relu_row
from ...ops import elementwise
from ...signatures import judged
from ...tensor import Tensor, apply, rand, where
from .checks import check_dtypes

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "logsigmoid",
    "mish",
    "prelu",
    "relu",
    "relu6",
    "rrelu",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
]

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # for which normal numbers stay so: Klambauer et al. (2017)


@judged
def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(0, input); NaN stays NaN. ``inplace`` is taken for PyTorch's sake, here and below; the result is always a new tensor."""
    return input.relu()


@judged
def gelu(input: Tensor, approximate: Literal["none", "tanh"] = "none") -> Tensor:
    """input times the normal distribution function of input: input / 2 * (1 + erf(input / sqrt(2))).

    With ``approximate="tanh"`` erf is replaced: input / 2 * (1 + tanh(sqrt(2 / pi) * (input + 0.044715 input**3))). After Hendrycks and
    Gimpel (2016).

    >>> import numbacnn as nc
    >>> gelu(nc.tensor([-1.0, 1.0]))
    tensor([-0.1587,  0.8413])
    """
    one_of("gelu", "approximate", approximate, ("none", "tanh"))
    return _pointwise("gelu_tanh" if approximate == "tanh" else "gelu", input)


@judged
def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """input * sigmoid(input), also called swish. After Elfwing, Uchibe and Doya (2018).

    >>> import numbacnn as nc
    >>> silu(nc.tensor([-1.0, 1.0]))
    tensor([-0.2689,  0.7311])
    """
    return _pointwise("silu", input)


@judged
def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """input * relu6(input + 3) / 6, a piecewise :func:`silu`. After Howard and others, "Searching for MobileNetV3" (2019)."""
    return _pointwise("hardswish", input)


@judged
def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(0, input), 6); NaN stays NaN."""
    return _pointwise("relu6", input)


@judged
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + exp(beta * input)) / beta, a smooth :func:`relu`; ``input`` itself where beta * input is greater than ``threshold``.

    Raises:
        ValueError: where ``beta`` or ``threshold`` is no finite number, or ``beta`` is 0.
        DTypeError: where ``input`` holds no floating-point numbers; so do the other activations that are no methods of a Tensor.

    >>> import numbacnn as nc
    >>> softplus(nc.tensor([0.0, 30.0]))
    tensor([ 0.6931, 30.0000])
    """
    number("softplus", "beta", beta, lambda v: v != 0, "other than 0")
    number("softplus", "threshold", threshold, lambda v: True, "that is finite")
    y = _pointwise("softplus", input if beta == 1 else input * beta)
    y = y if beta == 1 else y / beta
    return y if threshold == 20 else where(input * beta > threshold, input, y)


def _pointwise(name: str, input: Tensor) -> Tensor:
    """A function of the table."""
    check_dtypes(name.removesuffix("_tanh"), input)
    return apply(elementwise.Pointwise(name), input)


@judged
def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-input))."""
    return input.sigmoid()


@judged
def tanh(input: Tensor) -> Tensor:
    """The hyperbolic tangent."""
    return input.tanh()


@judged
def softmax(input: Tensor, dim: int) -> Tensor:
    """exp(input), scaled to sum to 1 along an axis."""
    return input.softmax(dim)


@judged
def log_softmax(input: Tensor, dim: int) -> Tensor:
    """The logarithm of :func:`softmax`, computed without overflow."""
    return input.log_softmax(dim)


@judged
def softmin(input: Tensor, dim: int) -> Tensor:
    """:func:`softmax` of ``-input``."""
    return (-input).softmax(dim)


# -- made of others --------------------------------------------------------------------------------------------------------
def _finite(op: str, **numbers: float) -> None:
    for name, value in numbers.items():
        number(op, name, value, lambda v: True, "that is finite")


def check_bounds(op: str, **bounds: float) -> None:
    """Judge two finite numbers, the second of which is not below the first."""
    _finite(op, **bounds)
    (low, least), (high, most) = bounds.items()
    if least > most:
        raise ValueError(message(op, f"{low} of at most {high}", f"{least} and {most}"))


@judged
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """``input`` above 0, ``negative_slope * input`` elsewhere. After Maas, Hannun and Ng (2013).

    >>> import numbacnn as nc
    >>> leaky_relu(nc.tensor([-2.0, 2.0]), 0.25)
    tensor([-0.5000,  2.0000])
    """
    check_dtypes("leaky_relu", input)
    _finite("leaky_relu", negative_slope=negative_slope)
    row = leaky_relu_row(negative_slope)
    return where(input > 0, input, input * float(negative_slope)) if row is None else apply(elementwise.Pointwise(row), input)


@judged
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """:func:`leaky_relu` with slopes that are learned: one, or one for each channel of input (N, C, ...). After He et al. (2015).

    Raises:
        ShapeError, DTypeError: the arguments do not fit each other.
    """
    check_dtypes("prelu", input, weight)
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim > 1 or weight.numel() not in (1, channels):
        raise ShapeError(message("prelu", f"one slope, or {channels} for input {input.shape}", f"weight {weight.shape}"))
    slopes = weight.reshape((1, -1) + (1,) * (input.ndim - 2)) if weight.numel() > 1 else weight.reshape(())
    return where(input > 0, input, input * slopes)


@judged
def rrelu(input: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False) -> Tensor:
    """:func:`leaky_relu` with a slope for each element that is drawn from [lower, upper) in training, and their middle else."""
    check_bounds("rrelu", lower=lower, upper=upper)
    if not flag("rrelu", "training", training):
        return leaky_relu(input, (lower + upper) / 2)
    check_dtypes("rrelu", input)
    slopes = rand(size=input.shape, dtype=input.dtype, device=input.device) * float(upper - lower) + float(lower)
    return where(input > 0, input, input * slopes)


@judged
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``input`` above 0, ``alpha * (exp(input) - 1)`` elsewhere. After Clevert, Unterthiner and Hochreiter (2016).

    >>> import numbacnn as nc
    >>> elu(nc.tensor([-1.0, 1.0]))
    tensor([-0.6321,  1.0000])
    """
    _finite("elu", alpha=alpha)
    y = _pointwise("elu", input)
    return y if alpha == 1 else where(input > 0, y, y * float(alpha))


@judged
def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """:func:`elu`, scaled so that normal numbers stay so. After Klambauer and others (2017)."""
    return elu(input, SELU_ALPHA) * SELU_SCALE


@judged
def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """``input`` above 0, ``alpha * (exp(input / alpha) - 1)`` elsewhere. After Barron (2017)."""
    number("celu", "alpha", alpha, lambda v: v > 0, "above 0")
    return where(input > 0, input, _pointwise("elu", input / float(alpha)) * float(alpha))


@judged
def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """``input`` between ``min_val`` and ``max_val``, which bound it."""
    check_dtypes("hardtanh", input)
    check_bounds("hardtanh", min_val=min_val, max_val=max_val)
    return where(input <= min_val, float(min_val), where(input >= max_val, float(max_val), input))


@judged
def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """relu6(input + 3) / 6, a piecewise :func:`sigmoid`."""
    check_dtypes("hardsigmoid", input)
    return _pointwise("relu6", input + 3.0) / 6.0


@judged
def logsigmoid(input: Tensor) -> Tensor:
    """The logarithm of :func:`sigmoid`, computed without overflow."""
    check_dtypes("logsigmoid", input)
    return -_pointwise("softplus", -input)


@judged
def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """input * tanh(log(1 + exp(input))). After Misra (2019)."""
    return input * _pointwise("softplus", input).tanh()


@judged
def softsign(input: Tensor) -> Tensor:
    """input / (1 + abs(input))."""
    check_dtypes("softsign", input)
    return input / (input.abs() + 1.0)


@judged
def tanhshrink(input: Tensor) -> Tensor:
    """input - tanh(input)."""
    check_dtypes("tanhshrink", input)
    return input - input.tanh()


@judged
def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """``input`` above ``threshold``, ``value`` elsewhere."""
    check_dtypes("threshold", input)
    _finite("threshold", threshold=threshold, value=value)
    return where(input <= threshold, float(value), input)


@judged
def hardshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``input`` further from 0 than ``lambd``, 0 elsewhere."""
    check_dtypes("hardshrink", input)
    _finite("hardshrink", lambd=lambd)
    return where(input.abs() <= lambd, 0.0, input)


@judged
def softshrink(input: Tensor, lambd: float = 0.5) -> Tensor:
    """``input`` brought nearer to 0 by ``lambd``, as far as 0."""
    check_dtypes("softshrink", input)
    number("softshrink", "lambd", lambd)
    return input - input.clamp(-float(lambd), float(lambd))


@judged
def glu(input: Tensor, dim: int = -1) -> Tensor:
    """The first half along an axis times the :func:`sigmoid` of the second. After Dauphin and others (2017)."""
    check_dtypes("glu", input)
    half, odd = divmod(input.size(dim), 2)
    if odd:
        raise ShapeError(message("glu", "an even size along dim", f"shape {input.shape}"))
    at = (slice(None),) * (dim % input.ndim)
    return input[(*at, slice(half))] * input[(*at, slice(half, None))].sigmoid()
