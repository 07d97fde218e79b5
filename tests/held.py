"""Cases that hold arrays of a test's own."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from numbacnn.testing import ConvCase


def holding(case: ConvCase, x: np.ndarray, w: np.ndarray, grad: np.ndarray) -> ConvCase:
    """The case with these arrays."""
    return replace(case, inputs=tuple(SimpleNamespace(array=a) for a in (x, w, grad)))
