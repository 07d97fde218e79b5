"""Tools for testing: gradients against differences, adjoints, and the properties of convolution, pooling and normalisation.

``gradcheck`` and ``adjoint_check`` take functions of Tensors. ``properties`` holds the invariants as plain functions that take the
operation as a callable on NumPy arrays, so that they judge any implementation; ``operations`` gives those of a device or the
reference; ``strategies`` draws cases for them with Hypothesis (``pip install "numbacnn[test]"``), which nothing else here needs.

>>> import numbacnn as nc
>>> from numbacnn.testing import gradcheck
>>> gradcheck(nc.Tensor.tanh, [nc.randn(3, dtype="float64", requires_grad=True)])
True
"""

from importlib import import_module
from typing import Any

from .gradients import GradientError, adjoint_check, gradcheck
from .operations import Operations, of_backend, of_reference
from .properties import AdaptiveCase, ConvCase, PoolCase, PropertyError

__all__ = [
    "AdaptiveCase",
    "ConvCase",
    "GradientError",
    "Operations",
    "PoolCase",
    "PropertyError",
    "adjoint_check",
    "gradcheck",
    "of_backend",
    "of_reference",
]


def __getattr__(name: str) -> Any:
    if name == "strategies":  # imported when first asked for: it needs Hypothesis
        return import_module(".strategies", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
