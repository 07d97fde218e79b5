"""Dropout."""

from __future__ import annotations

import numpy as np

from ... import random
from ...arguments import probability
from ...tensor import Tensor, from_array

__all__ = ["dropout"]


def dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero each element with probability ``p`` and scale the others by 1 / (1 - p); the identity unless ``training``.

    The mask is drawn from the library's generator in logical order.
    """
    probability("dropout", "p", p)
    if not training or p == 0:
        return input
    scale = 0.0 if p == 1 else 1 / (1 - p)
    mask = (random.generator().random(input.shape, dtype=np.float32) >= p).astype(input.dtype) * input.dtype.type(scale)
    return input * from_array(mask, input.device)
