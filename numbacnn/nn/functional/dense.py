"""Linear layers."""

from __future__ import annotations

import math

from ...errors import ShapeError, message
from ...ops.linear import Linear
from ...signatures import judged
from ...tensor import Tensor, apply
from .checks import check_bias, check_dtypes

__all__ = ["fused_linear", "linear"]


@judged
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias`` for input (..., I), weight (O, I) and bias (O,) -> (..., O).

    Raises:
        ShapeError, DTypeError: the arguments do not fit each other.

    >>> import numbacnn as nc
    >>> linear(nc.ones(2, 3), nc.ones(4, 3)).shape
    (2, 4)
    """
    return fused_linear(input, weight, bias)


def fused_linear(input: Tensor, weight: Tensor, bias: Tensor | None, activation: str = "none", flat: bool = False) -> Tensor:
    """:func:`linear`, and what the layers around it would do, to the same bits.

    Args:
        activation: one of ``names.ACTIVATIONS``, applied while the result is in the cache.
        flat: input (N, ...) is taken as (N, I), as after ``flatten(1)``, but without the copy that channels-last images would need.
    """
    check_dtypes("linear", input, weight, bias)
    if weight.ndim != 2:
        raise ShapeError(message("linear", "weight (O, I)", f"weight {weight.shape}"))
    shape = (len(input), math.prod(input.shape[1:])) if flat else input.shape
    if not shape or shape[-1] != weight.shape[1]:
        expected = f"input (..., I) with I = {weight.shape[1]} to match weight {weight.shape}"
        raise ShapeError(message("linear", expected, f"input {shape}"))
    check_bias("linear", bias, weight.shape[0])
    if input.ndim == 2 or (flat and input.ndim == 4):
        return apply(Linear(activation), input, weight, bias)
    rows = input.reshape(math.prod(shape[:-1]), shape[-1])
    return apply(Linear(activation), rows, weight, bias).reshape(*shape[:-1], weight.shape[0])
