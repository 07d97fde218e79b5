"""Activations."""

from __future__ import annotations

from typing import Literal

from ...arguments import number, one_of
from ...ops import elementwise
from ...signatures import judged
from ...tensor import Tensor, apply, where
from .checks import check_dtypes

__all__ = ["gelu", "hardswish", "log_softmax", "relu", "relu6", "sigmoid", "silu", "softmax", "softplus", "tanh"]


@judged
def relu(input: Tensor) -> Tensor:
    """max(0, input); NaN stays NaN."""
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
def silu(input: Tensor) -> Tensor:
    """input * sigmoid(input), also called swish. After Elfwing, Uchibe and Doya (2018).

    >>> import numbacnn as nc
    >>> silu(nc.tensor([-1.0, 1.0]))
    tensor([-0.2689,  0.7311])
    """
    return _pointwise("silu", input)


@judged
def hardswish(input: Tensor) -> Tensor:
    """input * relu6(input + 3) / 6, a piecewise :func:`silu`. After Howard and others, "Searching for MobileNetV3" (2019)."""
    return _pointwise("hardswish", input)


@judged
def relu6(input: Tensor) -> Tensor:
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
