"""Dropout."""

from __future__ import annotations

from ... import random
from ...arguments import flag, probability
from ...ops.dropout import Dropout
from ...signatures import judged
from ...tensor import Tensor, apply
from .checks import check_dtypes

__all__ = ["dropout"]


@judged
def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero each element with probability ``p`` and scale the others by 1 / (1 - p); the identity unless ``training``.

    The mask is drawn where the tensor lies, from a key of the library's generator: a CPU and a GPU drop the same elements, whatever
    the number of threads. After Srivastava et al. (2014).

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
