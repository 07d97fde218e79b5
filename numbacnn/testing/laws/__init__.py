"""The laws: what must hold for every convolution, pooling, padding and normalisation.

A law is a function of a ``Trial``, which calls an implementation, and a case; it raises ``LawBroken``. Each speaks of one thing, so
that a fault is named: what strides, groups or padding mean is said by laws of their own, and the definition stands for the plain case.
"""

from __future__ import annotations

from .base import LAWS, Law

from . import adaptive, conv, every, norm, pad, pool, sizes, transposed  # isort: skip  # they fill LAWS, in the order of the tables

__all__ = ["LAWS", "Law", "adaptive", "conv", "every", "norm", "pad", "pool", "sizes", "transposed"]
