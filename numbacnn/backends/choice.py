"""Which implementation takes a convolution. A device has an ordered list of them: special ones first, the general one last.

The first that does not decline takes a pass of a geometry; with ``config.explain`` it is printed, and why the others declined.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import numpy as np

from .. import config
from ..geometry import ConvGeometry

__all__ = ["Algorithm", "DType", "chooser"]

DType: TypeAlias = str | np.dtype
"""A dtype or its name: a cache's key. Asking NumPy for a dtype's name costs a microsecond."""


class Algorithm:
    """One way to convolve."""

    name = ""

    def declines(self, g: ConvGeometry, dtype: DType) -> str:
        """Why it does not take this geometry; empty where it does."""
        raise NotImplementedError

    def declines_grad_input(self, g: ConvGeometry, dtype: DType) -> str:
        """The same for the input gradient."""
        return self.declines(g, dtype)


A = TypeVar("A", bound=Algorithm)


def chooser(algorithms: Sequence[A]) -> Callable[[str, ConvGeometry, DType], A]:
    """``choose(op, geometry, dtype)``: the first of these that takes ``op``, one of "forward", "grad_input" and "grad_weight"."""

    @functools.lru_cache(maxsize=1024)
    def first(op: str, g: ConvGeometry, dtype: DType, winograd: bool, explain: bool) -> A:
        declined = []
        for algorithm in algorithms:
            reason = algorithm.declines_grad_input(g, dtype) if op == "grad_input" else algorithm.declines(g, dtype)
            if not reason:
                break
            declined.append(f"{algorithm.name}: {reason}")
        if explain:
            what = f"{g.input_shape} * {g.weight_shape}, stride {g.stride}, padding {g.padding}"
            print(
                f"[conv{len(g.axes)}d {op}] {what}: {algorithm.name}" + "".join(f"\n    not {line}" for line in declined), file=sys.stderr
            )
        return algorithm

    def choose(op: str, g: ConvGeometry, dtype: DType) -> A:
        return first(op, g, dtype, config.winograd, config.explain)  # the switches are part of the key

    return choose
