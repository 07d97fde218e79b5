"""How a plan's kernel is run, for convolutions and matrix products.

Activations are C-contiguous (N, H, W, C), weights C-ordered.
"""

from __future__ import annotations

from ...kernels.cpu import conv
from ...kernels.cpu.launch import launch
from .arrays import EMPTY, Array, c_ordered
from .buffers import Buffers
from .plan.contract import Contraction
from .plan.correlate import Correlation

__all__ = ["Weights", "contract", "correlate", "pack", "padded"]

Weights = tuple[Array, Array | None]
"""A layer's weights, and what an algorithm's ``pack`` made of them where that is kept."""


def padded(buffers: Buffers, x: Array, pads: tuple[int, int, int, int]) -> Array:
    """x (N, H, W, C) with zeros around it; x itself where there are none to add."""
    if not any(pads):
        return x
    top, bottom, left, right = pads
    n, h, w, c = x.shape
    out = buffers.empty((n, h + top + bottom, w + left + right, c), x.dtype)
    launch(conv.pad, x.reshape(-1), h, w * c, out.reshape(-1), out.shape[1], out.shape[2] * c, top, left * c)
    return out


def pack(buffers: Buffers, p: Contraction, w: Array) -> Array:
    """The weights in the order in which ``contract`` reads them."""
    packed = buffers.empty(p.packed_shape, w.dtype)
    launch(conv.pack, c_ordered(w).reshape(-1), p.offsets, p.group_stride, p.lane_stride, p.y_group, packed)
    return packed


def _spaced(buffers: Buffers, p: Contraction, x: Array) -> Array:
    """The pixels of x as far apart as the plan wants them."""
    pixels = x.size // p.x_group
    out = buffers.empty((pixels, p.pixel_stride), x.dtype)
    launch(conv.pad, x.reshape(-1), pixels, p.x_group, out.reshape(-1), pixels, p.pixel_stride, 0, 0)
    return out


def contract(buffers: Buffers, p: Contraction, x: Array, weights: Weights, bias: Array | None, out: Array, code: int = 0) -> None:
    """Run a plan; ``code`` is the place of the activation in ACTIVATIONS."""
    w, packed = weights
    x = _spaced(buffers, p, x) if p.pixel_stride else x
    nothing = EMPTY[x.itemsize]
    flat = c_ordered(w).reshape(-1) if packed is None else nothing
    packed = buffers.empty(p.packed_shape, x.dtype) if packed is None else packed
    bias = nothing if bias is None else c_ordered(bias)
    launch(conv.contract, p.tile, x.reshape(-1), *p.tables, flat, packed, bias, code, out.reshape(-1))


def correlate(buffers: Buffers, p: Correlation, x: Array, grad: Array, out: Array) -> None:
    """Run a plan into a C-ordered weight gradient."""
    part = buffers.empty(p.part_shape, x.dtype)
    launch(conv.correlate, p.tile, padded(buffers, x, p.pads).reshape(-1), *p.tables, grad.reshape(-1), part, True, out.reshape(-1))
