"""How a plan's kernel is run, for convolutions and matrix products.

Activations are C-contiguous (N, ..., C), weights C-ordered.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...kernels.cpu import conv
from ...kernels.cpu.launch import launch
from .arrays import EMPTY, Array, c_ordered
from .buffers import Buffers
from .plan.contract import Contraction
from .plan.conv import Plans
from .plan.correlate import Correlation

__all__ = ["Weights", "contract", "contract_parts", "correlate", "pack", "padded"]

Weights = tuple[Array, Array | None]
"""A layer's weights, and what an algorithm's ``pack`` made of them where that is kept."""


def padded(buffers: Buffers, x: Array, pads: Sequence[tuple[int, int]]) -> Array:
    """x (N, ..., C) with zeros before and after each axis; x itself where there are none to add."""
    if not any(map(any, pads)):
        return x
    if len(pads) == 3:  # each slice as an image, and then slices as rows
        n, depth = x.shape[:2]
        slices = padded(buffers, x.reshape(n * depth, *x.shape[2:]), pads[1:])
        return _padded_rows(buffers, slices.reshape(n, depth, *slices.shape[1:]), pads[0], (0, 0))
    return _padded_rows(buffers, x, pads[0], pads[1] if len(pads) == 2 else (0, 0))


def _padded_rows(buffers: Buffers, x: Array, above: tuple[int, int], beside: tuple[int, int]) -> Array:
    """x (N, rows, ...) with rows of zeros, and zeros beside the pixels (N, rows, pixels, C) of each row."""
    if not any((*above, *beside)):
        return x
    n, rows, *row = x.shape
    wide = [row[0] + sum(beside), *row[1:]]
    out = buffers.empty((n, rows + sum(above), *wide), x.dtype)
    sizes = rows, math.prod(row), out.reshape(-1), out.shape[1], math.prod(wide)
    launch(conv.pad, x.reshape(-1), *sizes, above[0], beside[0] * x.shape[-1])
    return out


def pack(buffers: Buffers, p: Contraction, w: Array) -> Array:
    """The weights in the order in which ``contract`` reads them."""
    packed = buffers.empty(p.packed_shape, w.dtype)
    launch(conv.pack, c_ordered(w).reshape(-1), p.numbers, p.offsets, packed)
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
    launch(conv.contract, p.tile, x.reshape(-1), *p.tables, p.offsets, flat, packed, bias, code, out.reshape(-1))


def contract_parts(buffers: Buffers, plans: Plans, x: Array, weights: Weights, bias: Array | None, out: Array, code: int = 0) -> None:
    """Run plans for some examples each, with the same weights."""
    if len(plans) == 1:
        contract(buffers, plans[0][1], x, weights, bias, out, code)
        return
    w, packed = weights
    packed = pack(buffers, plans[0][1], w) if packed is None else packed
    for part, plan in plans:
        contract(buffers, plan, x[part], (w, packed), bias, out[part], code)


def correlate(buffers: Buffers, p: Correlation, x: Array, grad: Array, out: Array) -> None:
    """Run a plan into a C-ordered weight gradient."""
    part = buffers.empty(p.part_shape, x.dtype)
    launch(conv.correlate, p.tile, padded(buffers, x, p.pads).reshape(-1), *p.tables, grad.reshape(-1), part, True, out.reshape(-1))
