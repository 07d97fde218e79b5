"""Differentiable operations on arrays: forward and backward side by side. They know no Tensor; the backend arrives as an argument."""

from . import conv, dropout, elementwise, linear, loss, norm, pool, reduce, shape
from .base import Op

__all__ = ["Op", "conv", "dropout", "elementwise", "linear", "loss", "norm", "pool", "reduce", "shape"]
