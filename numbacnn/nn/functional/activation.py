"""Activations."""

from __future__ import annotations

from typing import Literal

from ...arguments import one_of
from ...ops import elementwise
from ...signatures import judged
from ...tensor import Tensor, apply
from .checks import check_dtypes

__all__ = ["gelu", "log_softmax", "relu", "sigmoid", "softmax", "tanh"]


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
    check_dtypes("gelu", input)
    return apply(elementwise.Gelu(approximate == "tanh"), input)


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
