"""What the CPU's ways to convolve have in common.

Activations are C-contiguous (N, ..., C), weights C-ordered (OC, C/groups, ...).
"""

from __future__ import annotations

from collections.abc import Hashable

from ....geometry import ConvGeometry
from ... import choice
from ...choice import DType
from ..arrays import Array
from ..buffers import Buffers
from ..plan.shapes import transposed_geometry
from ..run import Weights

__all__ = ["Algorithm"]


class Algorithm(choice.Algorithm):
    """One way to convolve. ``forward`` takes weights, or what ``pack`` made of them; ``code`` is the activation's place in ACTIVATIONS."""

    writes_all = False
    """Whether ``grad_weight`` writes every element; else it is given zeros, to which it adds."""

    def declines_grad_input(self, g: ConvGeometry, dtype: DType) -> str:
        """The same for the input gradient, most often a convolution of the output's gradient with the kernels turned around."""
        transposed = transposed_geometry(g)
        return "the input gradient is no plain convolution" if transposed is None else self.declines(transposed, dtype)

    def layout(self, g: ConvGeometry, dtype: DType) -> Hashable:
        """What the order of packed weights depends on, beside their own shape and dtype: it decides how long they can be kept."""
        return g.groups

    def pack(self, buffers: Buffers, w: Array, g: ConvGeometry) -> Array:
        raise NotImplementedError

    def _packed(self, buffers: Buffers, weights: Weights, g: ConvGeometry) -> Array:
        w, packed = weights
        return self.pack(buffers, w, g) if packed is None else packed

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, code: int, g: ConvGeometry, out: Array) -> None:
        raise NotImplementedError

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: ConvGeometry, out: Array) -> None:
        raise NotImplementedError

    def grad_weight(self, buffers: Buffers, grad: Array, x: Array, g: ConvGeometry, out: Array) -> None:
        raise NotImplementedError
