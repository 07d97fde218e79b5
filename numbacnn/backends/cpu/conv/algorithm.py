"""What the CPU's ways to convolve have in common.

Activations are C-contiguous (N, H, W, C), weights C-ordered (OC, C/groups, KH, KW).
"""

from __future__ import annotations

from collections.abc import Hashable

from ....geometry import Conv2dGeometry
from ... import choice
from ...choice import DType
from ..arrays import Array
from ..buffers import Buffers
from ..plan.shapes import transposed_geometry
from ..run import Weights

__all__ = ["Algorithm"]


class Algorithm(choice.Algorithm):
    """One way to convolve. ``forward`` takes weights, or what ``pack`` made of them; ``code`` is the activation's place in ACTIVATIONS."""

    def declines_grad_input(self, g: Conv2dGeometry, dtype: DType) -> str:
        """The same for the input gradient, most often a convolution of the output's gradient with the kernels turned around."""
        transposed = transposed_geometry(g)
        return "the input gradient is no plain convolution" if transposed is None else self.declines(transposed, dtype)

    def layout(self, g: Conv2dGeometry, dtype: DType) -> Hashable:
        """What the order of packed weights depends on, beside their own shape and dtype: it decides how long they can be kept."""
        return g.groups

    def pack(self, buffers: Buffers, w: Array, g: Conv2dGeometry) -> Array:
        raise NotImplementedError

    def _packed(self, buffers: Buffers, weights: Weights, g: Conv2dGeometry) -> Array:
        w, packed = weights
        return self.pack(buffers, w, g) if packed is None else packed

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, code: int, g: Conv2dGeometry, out: Array) -> None:
        raise NotImplementedError

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: Conv2dGeometry, out: Array) -> None:
        raise NotImplementedError

    def grad_weight(self, buffers: Buffers, grad: Array, x: Array, g: Conv2dGeometry, out: Array) -> None:
        raise NotImplementedError
