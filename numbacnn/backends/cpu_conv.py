"""Convolutions on the CPU: which algorithm takes one, and how it runs its kernels.

``ALGORITHMS`` is ordered, special ones first, the general one last. The first that does not decline takes a pass of a geometry;
with ``config.explain`` it is printed, and why the others declined.

Activations are C-contiguous (N, H, W, C), weights C-ordered (OC, C/groups, KH, KW).
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np

from .. import config
from ..geometry import Conv2dGeometry
from ..kernels.cpu import conv, depthwise, grouped, reduce, winograd
from ..kernels.cpu.launch import launch
from ..kernels.cpu.tile import LANES, Tile
from . import cpu_plan, packs
from .buffers import Buffers
from .cpu_plan import Contraction, Correlation, WinogradPlan

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "c_ordered",
    "channel_sum",
    "choose",
    "contract",
    "correlate",
    "forward",
    "grad_input",
    "grad_weight",
    "pack",
]

Array = np.ndarray
DType = str | np.dtype
"""A dtype or its name: a plan's key. NumPy takes a microsecond to tell a name."""


Weights = tuple[Array, Array | None]
"""A layer's weights, and what an algorithm's ``pack`` made of them where that is kept."""


# -- the general kernels -----------------------------------------------------------------------------------------------
def padded(buffers: Buffers, x: Array, pads: tuple[int, int, int, int]) -> Array:
    """x (N, H, W, C) with zeros around it; x itself where there are none to add."""
    if not any(pads):
        return x
    top, bottom, left, right = pads
    n, h, w, c = x.shape
    out = buffers.empty((n, h + top + bottom, w + left + right, c), x.dtype)
    launch(conv.pad, x.reshape(-1), h, w * c, out.reshape(-1), out.shape[1], out.shape[2] * c, top, left * c)
    return out


def c_ordered(x: Array) -> Array:
    """``x`` itself in C order and writable, as parameters are; else a copy."""
    return x if x.flags.carray else np.array(x, order="C")


LARGE = 1 << 15
"""Elements from which threads help with a sum."""

NOTHING = {dtype.itemsize: np.empty(0, dtype) for dtype in (np.dtype("float32"), np.dtype("float64"))}
"""In place of an array that is not there, by the bytes of an element."""


def pack(buffers: Buffers, p: Contraction, w: Array) -> Array:
    """The weights in the order in which ``contract`` reads them."""
    packed = buffers.empty(p.packed_shape, w.dtype)
    launch(conv.pack, c_ordered(w).reshape(-1), p.offsets, p.group_stride, p.lane_stride, p.y_group, packed)
    return packed


def _spaced(buffers: Buffers, p: Contraction, x: Array) -> Array:
    """The pixels of x as far apart as the plan wants them."""
    pixels = x.size // p.x_group
    out = buffers.empty((pixels, p.spacing), x.dtype)
    launch(conv.pad, x.reshape(-1), pixels, p.x_group, out.reshape(-1), pixels, p.spacing, 0, 0)
    return out


def contract(buffers: Buffers, p: Contraction, x: Array, weights: Weights, bias: Array | None, out: Array, kind: int = 0) -> None:
    """Run a plan; ``kind`` is the activation's place in ACTIVATIONS."""
    w, packed = weights
    x = _spaced(buffers, p, x) if p.spacing else x
    nothing = NOTHING[x.itemsize]
    flat = c_ordered(w).reshape(-1) if packed is None else nothing
    packed = buffers.empty(p.packed_shape, x.dtype) if packed is None else packed
    bias = nothing if bias is None else c_ordered(bias)
    launch(conv.contract, p.tile, x.reshape(-1), *p.tables, flat, packed, bias, kind, out.reshape(-1))


def correlate(buffers: Buffers, p: Correlation, x: Array, grad: Array, out: Array) -> None:
    """Run a plan into a C-ordered weight gradient."""
    part = buffers.empty(p.part_shape, x.dtype)
    launch(conv.correlate, p.tile, padded(buffers, x, p.pads).reshape(-1), *p.tables, grad.reshape(-1), part, True, out.reshape(-1))


def channel_sum(buffers: Buffers, kind: int, grad: Array, y: Array, pixels: Array, window: Array) -> Array:
    """The sums (C,) of pixels (P, C), which are made before as ``reduce.channel_sum`` says."""
    part, total = buffers.empty(reduce.channel_sum_scratch(*pixels.shape), pixels.dtype), np.empty(pixels.shape[1], pixels.dtype)
    launch(reduce.channel_sum, grad.reshape(-1), y.reshape(-1), kind, window, pixels, part, total)
    return total


# -- algorithms ----------------------------------------------------------------------------------------------------------
class Algorithm:
    """One way to convolve. ``forward`` takes weights, or what ``pack`` made of them, and the activation's place in ACTIVATIONS."""

    name = ""

    def declines(self, g: Conv2dGeometry, dtype: DType) -> str:
        """Why it does not take this geometry; empty where it does."""
        raise NotImplementedError

    def declines_grad_input(self, g: Conv2dGeometry, dtype: DType) -> str:
        """The same for the input gradient, most often a convolution of the output's gradient with the kernels turned around."""
        turned = cpu_plan.turned(g)
        return "the input gradient is no plain convolution" if turned is None else self.declines(turned, dtype)

    def layout(self, g: Conv2dGeometry, dtype: DType) -> Hashable:
        """What the order of packed weights depends on, beside their own shape and dtype: it decides how long they can be kept."""
        return g.groups

    def pack(self, buffers: Buffers, w: Array, g: Conv2dGeometry) -> Array:
        raise NotImplementedError

    def _packed(self, buffers: Buffers, weights: Weights, g: Conv2dGeometry) -> Array:
        w, packed = weights
        return self.pack(buffers, w, g) if packed is None else packed

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, kind: int, g: Conv2dGeometry, out: Array) -> None:
        raise NotImplementedError

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: Conv2dGeometry, out: Array) -> None:
        raise NotImplementedError

    def grad_weight(self, buffers: Buffers, grad: Array, x: Array, g: Conv2dGeometry, out: Array) -> None:
        raise NotImplementedError


class Direct(Algorithm):
    """A register tile over windows, for every geometry."""

    name = "direct"

    def declines(self, g: Conv2dGeometry, dtype: DType) -> str:
        return ""

    def declines_grad_input(self, g: Conv2dGeometry, dtype: DType) -> str:
        return ""

    def pack(self, buffers: Buffers, w: Array, g: Conv2dGeometry) -> Array:
        return pack(buffers, cpu_plan.forward_plan(g, w.dtype), w)

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, kind: int, g: Conv2dGeometry, out: Array) -> None:
        whole = cpu_plan.bordered(g, x.dtype)
        if whole is not None:
            (top, bottom), (left, right) = g.padding
            x = padded(buffers, x, (top, bottom, left, right))
        contract(buffers, cpu_plan.forward_plan(whole or g, x.dtype), x, w, bias, out, kind)

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: Conv2dGeometry, out: Array) -> None:
        contract(buffers, cpu_plan.grad_input_plan(g, grad.dtype), grad, (w, None), None, out)

    def grad_weight(self, buffers: Buffers, grad: Array, x: Array, g: Conv2dGeometry, out: Array) -> None:
        correlate(buffers, cpu_plan.grad_weight_plan(g, x.dtype), x, grad, out)


class Superpixels(Direct):
    """Few output channels: neighbouring pixels are one with more channels, see ``cpu_plan.superpixel``."""

    name = "superpixels"

    def declines(self, g: Conv2dGeometry, dtype: DType) -> str:
        return "" if cpu_plan.superpixel(g, dtype) > 1 else "the channels fill the vectors as they are, or a row can't be shared out"

    declines_grad_input = Algorithm.declines_grad_input  # unlike Direct's, by a convolution with the kernels turned around

    def layout(self, g: Conv2dGeometry, dtype: DType) -> Hashable:
        return cpu_plan.superpixel(g, dtype), g.stride[1]

    def pack(self, buffers: Buffers, w: Array, g: Conv2dGeometry) -> Array:
        return pack(buffers, cpu_plan.forward_plan(g, w.dtype, cpu_plan.superpixel(g, w.dtype)), w)

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, kind: int, g: Conv2dGeometry, out: Array) -> None:
        contract(buffers, cpu_plan.forward_plan(g, x.dtype, cpu_plan.superpixel(g, x.dtype)), x, w, bias, out, kind)

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: Conv2dGeometry, out: Array) -> None:
        contract(buffers, cpu_plan.turned_plan(g, grad.dtype), grad, (w, None), None, out)


class Depthwise(Algorithm):
    """One channel to a group: vectors of channels, no sum over them."""

    name = "depthwise"

    def declines(self, g: Conv2dGeometry, dtype: DType) -> str:
        if not g.groups == g.c == g.oc:
            return "not one channel to a group"
        return "" if g.c >= LANES else f"fewer than {LANES} channels"

    def declines_grad_input(self, g: Conv2dGeometry, dtype: DType) -> str:
        return self.declines(g, dtype)

    def pack(self, buffers: Buffers, w: Array, g: Conv2dGeometry) -> Array:
        return self._pack(w, cpu_plan.forward_plan(g, w.dtype))

    @staticmethod
    def _pack(w: Array, p: Contraction) -> Array:
        """(K, channels)."""
        return c_ordered(w).reshape(-1).take(cpu_plan.lane_index(p))

    def _contract_kernel(self, g: Conv2dGeometry, dtype: DType) -> tuple[Any, ...]:
        """The kernel for forward and the input gradient, and its first arguments."""
        return (depthwise.contract,)

    def _correlate_kernel(self, g: Conv2dGeometry, dtype: DType) -> tuple[Any, ...]:
        """The same for the weight gradient."""
        return (depthwise.correlate,)

    def _contract(self, g: Conv2dGeometry, p: Contraction, x: Array, packed: Array, bias: Array | None, kind: int, out: Array) -> None:
        bias = np.zeros(packed.shape[1], x.dtype) if bias is None else c_ordered(bias)
        tables = p.at, p.to, p.classes, p.taps, p.rows
        sizes = p.images, p.x_image, p.y_image, cpu_plan.depthwise_shares(p), kind
        launch(*self._contract_kernel(g, x.dtype), x.reshape(-1), *tables, packed.reshape(-1), bias, out.reshape(-1), *sizes)

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, kind: int, g: Conv2dGeometry, out: Array) -> None:
        packed = self._packed(buffers, w, g)
        self._contract(g, cpu_plan.forward_plan(g, x.dtype), x, packed, bias, kind, out)

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: Conv2dGeometry, out: Array) -> None:
        plan = cpu_plan.grad_input_plan(g, grad.dtype)
        self._contract(g, plan, grad, self._pack(w, plan), None, 0, out)

    def grad_weight(self, buffers: Buffers, grad: Array, x: Array, g: Conv2dGeometry, out: Array) -> None:
        p, lanes = cpu_plan.forward_plan(g, x.dtype), LANES * 4 // x.itemsize
        images, shares = cpu_plan.depthwise_chunks(g.n)
        part = buffers.empty((images * shares, p.offsets.shape[1], -(-g.c // lanes) * lanes), x.dtype)
        tables = p.at, p.to, p.classes, p.taps, p.rows
        sizes = g.n, p.x_image, p.y_image, g.c, shares
        launch(*self._correlate_kernel(g, x.dtype), x.reshape(-1), *tables, grad.reshape(-1), part, *sizes)
        total = np.add.reduce(part)
        ragged = g.c % lanes  # the last vector's last lanes hold the channels that fill no vector
        total = np.concatenate([total[:, : g.c - ragged], total[:, total.shape[1] - ragged :]], 1)
        out.reshape(-1)[cpu_plan.lane_index(p)] = total


class Grouped(Depthwise):
    """Groups of a few channels: vectors of whole groups."""

    name = "grouped"

    def declines(self, g: Conv2dGeometry, dtype: DType) -> str:
        size = g.c // g.groups
        if g.groups == 1 or g.oc != g.c or size not in (2, 4, 8):
            return "not groups of 2, 4 or 8 channels, into them and out of them"
        if g.c < LANES:
            return f"fewer than {LANES} channels"
        return "" if size <= LANES * 4 // np.dtype(dtype).itemsize else "a group is wider than a vector"

    def _contract_kernel(self, g: Conv2dGeometry, dtype: DType) -> tuple[Any, ...]:
        return grouped.contract, *(Tile(rows, 1, str(dtype)) for rows in (cpu_plan.GROUPED, 1, g.c // g.groups))

    def _correlate_kernel(self, g: Conv2dGeometry, dtype: DType) -> tuple[Any, ...]:
        return grouped.correlate, Tile(g.c // g.groups, 1, str(dtype))


class Winograd(Algorithm):
    """F(4x4, 3x3)."""

    name = "winograd"

    def declines(self, g: Conv2dGeometry, dtype: DType) -> str:
        if not config.winograd:
            return "config.winograd is off"
        if (g.kh, g.kw, g.stride, g.dilation, g.groups, dtype) != (3, 3, (1, 1), (1, 1), 1, "float32"):
            return "not a plain 3x3 convolution of stride 1 in float32"
        if min(g.c, g.oc) < LANES:
            return f"fewer than {LANES} channels"
        return "" if cpu_plan.winograd_pays(g) else "the transforms would cost more than they save"

    def pack(self, buffers: Buffers, w: Array, g: Conv2dGeometry) -> Array:
        return self._pack(buffers, w, (0, 1), 9, 9 * g.c, g)

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: Conv2dGeometry, out: Array) -> None:
        turned = cpu_plan.turned(g)
        if turned is None:
            raise ValueError(f"the input gradient of {g} is no plain convolution")
        packed = self._pack(buffers, w, (8, -1), 9 * turned.oc, 9, turned)  # from the last tap to the first
        self.forward(buffers, grad, (w, packed), None, 0, turned, out)

    @staticmethod
    def _pack(buffers: Buffers, w: Array, taps: tuple[int, int], k_stride: int, lane_stride: int, g: Conv2dGeometry) -> Array:
        columns = cpu_plan.tile_for("float32").columns
        packed = buffers.empty((winograd.PLACES, -(-g.oc // columns), g.c, columns), w.dtype)
        launch(winograd.weights, c_ordered(w).reshape(-1), *taps, k_stride, lane_stride, g.oc, packed)
        return packed

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, kind: int, g: Conv2dGeometry, out: Array) -> None:
        packed = self._packed(buffers, w, g)
        bias = np.zeros(g.oc, x.dtype) if bias is None else c_ordered(bias)
        for plan, patches in self._patches(buffers, x, g):
            products = buffers.empty((plan.patches, winograd.PLACES * g.oc + winograd.GAP), x.dtype)
            contract(buffers, plan.contraction, patches, (packed, packed), None, products)
            launch(winograd.output_patches, products.reshape(-1), bias, g.oh, g.ow, g.oc, *plan.where, kind, out.reshape(-1))

    def grad_weight(self, buffers: Buffers, grad: Array, x: Array, g: Conv2dGeometry, out: Array) -> None:
        part = None
        for plan, patches in self._patches(buffers, x, g):
            grads = buffers.empty((plan.patches, winograd.PLACES * g.oc + winograd.GAP), x.dtype)
            launch(winograd.grad_patches, grad.reshape(-1), g.oh, g.ow, g.oc, *plan.where, grads.reshape(-1))
            fresh = part is None
            part = buffers.empty(plan.correlation.part_shape, x.dtype) if part is None else part
            p, nothing = plan.correlation, NOTHING[x.itemsize]
            launch(conv.correlate, p.tile, patches.reshape(-1), *p.tables, grads.reshape(-1), part, fresh, nothing)
        launch(winograd.grad_weights, part, g.c, g.oc, out.reshape(-1))

    @staticmethod
    def _patches(buffers: Buffers, x: Array, g: Conv2dGeometry) -> Iterator[tuple[WinogradPlan, Array]]:
        """The transformed patches of x, so many rows of them at a time as stay in the cache."""
        for plan in cpu_plan.winograd_plans(g):
            patches = buffers.empty((plan.patches, winograd.PLACES * g.c + winograd.GAP), x.dtype)
            pads = g.padding[0][0], g.padding[1][0]
            launch(winograd.input_patches, x.reshape(-1), g.h, g.w, g.c, *pads, *plan.where, patches.reshape(-1))
            yield plan, patches


class Folded(Algorithm):
    """The input gradient of few channels: all pixels of a window's row at once, then the sum over the windows of a row."""

    name = "folded"

    def declines(self, g: Conv2dGeometry, dtype: DType) -> str:
        return "for input gradients"

    def declines_grad_input(self, g: Conv2dGeometry, dtype: DType) -> str:
        if g.groups > 1 or g.dilation[1] > 1:
            return "groups, or a window whose pixels are not side by side"
        return "" if cpu_plan.folding_pays(g, dtype) else "a window's row would not fill the vectors better"

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: Conv2dGeometry, out: Array) -> None:
        step = cpu_plan.folded_step(g, grad.dtype)
        for part, plan in cpu_plan.folded_plans(g, grad.dtype):
            sums = buffers.empty((plan.images * plan.y_image + LANES,), grad.dtype)
            contract(buffers, plan, grad[part], (w, None), None, sums)
            launch(conv.fold, sums, g.h, g.ow, step, g.c, g.kw, g.stride[1], g.padding[1][0], g.w, out[part].reshape(-1))


DIRECT, SUPERPIXELS = Direct(), Superpixels()
ALGORITHMS: tuple[Algorithm, ...] = (Depthwise(), Grouped(), Winograd(), Folded(), SUPERPIXELS, DIRECT)


# -- choice --------------------------------------------------------------------------------------------------------------
def choose(op: str, g: Conv2dGeometry, dtype: DType) -> Algorithm:
    """The first algorithm that takes this pass: ``op`` is "forward", "grad_input" or "grad_weight"."""
    return _choose(op, g, dtype, config.winograd, config.explain)


@functools.lru_cache(maxsize=1024)
def _choose(op: str, g: Conv2dGeometry, dtype: DType, winograd_on: bool, explain: bool) -> Algorithm:
    declined = []
    for algorithm in ALGORITHMS:
        reason = algorithm.declines_grad_input(g, dtype) if op == "grad_input" else algorithm.declines(g, dtype)
        if not reason:
            break
        declined.append(f"{algorithm.name}: {reason}")
    if explain:
        what = f"({g.n}, {g.c}, {g.h}, {g.w}) * ({g.oc}, {g.c // g.groups}, {g.kh}, {g.kw}), stride {g.stride}, padding {g.padding}"
        print(f"[conv2d {op}] {what}: {algorithm.name}" + "".join(f"\n    not {line}" for line in declined), file=sys.stderr)
    return algorithm


def _finite(buffers: Buffers, x: Array) -> bool:
    """Whether no element of x (N, H, W, C) is infinite or NaN; of a large one False as well where their sum overflows."""
    if x.size < LARGE:
        return bool(np.isfinite(x).all())
    lines = x.reshape(len(x) * x.shape[1], -1)
    return bool(np.isfinite(channel_sum(buffers, 0, x, x, lines, reduce.NO_WINDOW)).all())


def _chosen(buffers: Buffers, op: str, g: Conv2dGeometry, x: Array) -> Algorithm:
    algorithm = choose(op, g, x.dtype)
    # the zero taps that superpixels add would carry an infinity to neighbours, as NaN
    return DIRECT if algorithm is SUPERPIXELS and not _finite(buffers, x) else algorithm


def forward(buffers: Buffers, x: Array, w: Array, bias: Array | None, kind: int, g: Conv2dGeometry, out: Array) -> None:
    """out (N, OH, OW, OC) = f(x * w + bias) with f = ACTIVATIONS[kind]."""
    algorithm = _chosen(buffers, "forward", g, x)
    packed = packs.cached(w, algorithm.name, algorithm.layout(g, x.dtype), lambda: algorithm.pack(buffers, w, g))
    algorithm.forward(buffers, x, (w, packed), bias, kind, g, out)


def grad_input(buffers: Buffers, grad: Array, w: Array, g: Conv2dGeometry, out: Array) -> None:
    """out (N, H, W, C) from the output's gradient."""
    _chosen(buffers, "grad_input", g, grad).grad_input(buffers, grad, w, g, out)


def grad_weight(buffers: Buffers, grad: Array, x: Array, g: Conv2dGeometry, out: Array) -> None:
    """out (OC, C/groups, KH, KW) from the output's gradient and the input."""
    choose("grad_weight", g, x.dtype).grad_weight(buffers, grad, x, g, out)
