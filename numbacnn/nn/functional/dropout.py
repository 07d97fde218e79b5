"""Dropout."""

from __future__ import annotations

from ... import random
from ...arguments import flag, probability
from ...errors import ShapeError, message
from ...ops.dropout import Dropout
from ...signatures import judged
from ...tensor import Tensor, apply, ones
from .checks import check_dtypes

__all__ = ["dropout", "dropout1d", "dropout2d", "dropout3d", "dropout_channels"]


@judged
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability ``p`` and scale the others by 1 / (1 - p); the identity unless ``training``.

    The mask is drawn where the tensor lies, from a key of the library's generator: a CPU and a GPU drop the same elements, whatever
    the number of threads. After Srivastava et al. (2014). ``inplace`` is taken for PyTorch's sake, here and below; the result is always
    a new tensor, or the input itself.

    Raises:
        ValueError: ``p`` is no probability.
        TypeError: ``training`` is neither True nor False.
        DTypeError: ``input`` is no floating-point tensor.

    >>> import numbacnn as nc
    >>> dropout(nc.ones(3), p=0.0)
    tensor([1., 1., 1.])
    """
    probability("dropout", "p", p)
    check_dtypes("dropout", input)
    if not flag("dropout", "training", training) or p == 0:
        return input
    return apply(Dropout(float(p), random.key()), input)


def dropout_channels(op: str, input: Tensor, p: float, training: bool, axes: int) -> Tensor:
    """:func:`dropout` of whole channels (N, C, ...) or (C, ...), in front of so many axes."""
    check_dtypes(op, input)
    if input.ndim == 2 and axes > 1:  # (N, C) behind a Flatten, as in many an old network
        return dropout(input, p, training)
    if input.ndim not in (axes + 1, axes + 2):
        expected = f"input of {axes + 1} or {axes + 2} axes: channels, and a batch before them"
        raise ShapeError(message(op, expected, f"input {input.shape}"))
    kept = dropout(ones(input.shape[:-axes], dtype=input.dtype, device=input.device), p, training)
    return input * kept.reshape(kept.shape + (1,) * axes) if training and p else input


@judged
def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """:func:`dropout` of whole channels of (N, C, L) or (C, L)."""
    return dropout_channels("dropout1d", input, p, training, 1)


@judged
def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """:func:`dropout` of whole channels of (N, C, H, W) or (C, H, W)."""
    return dropout_channels("dropout2d", input, p, training, 2)


@judged
def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """:func:`dropout` of whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    return dropout_channels("dropout3d", input, p, training, 3)
