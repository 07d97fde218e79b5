"""Plans for convolutions of any geometry."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from ....geometry import Conv2dGeometry
from .contract import Contraction, contraction, pixel_stride_for
from .correlate import Correlation, correlation
from .shapes import run_of, sum_superpixel, superpixel, transposed_geometry, weight_offsets, widened, widened_offsets
from .tables import axes_of, forward_axis, grad_axis, grid, tap_sets
from .tiles import sum_tile, tile_for

__all__ = ["forward_plan", "grad_input_plan", "grad_weight_plan", "prepadded", "transposed_plan"]

LAUNCH = 10_000
"""Cycles that a kernel's launch takes, about."""


@functools.lru_cache(maxsize=256)
def forward_plan(g: Conv2dGeometry, dtype: str | np.dtype, r: int = 1) -> Contraction:
    """y = x * w, of superpixels of r pixels."""
    return _convolution(g, dtype, r, weight_offsets(g), (g.c // g.groups) * g.kh * g.kw)


@functools.lru_cache(maxsize=256)
def prepadded(g: Conv2dGeometry, dtype: str | np.dtype) -> Conv2dGeometry | None:
    """The same convolution of an input that was padded beforehand, where that pays; else None.

    Of few pixels the border makes tap sets that fill no tile: 49 pixels of an image are ten tiles, not four. To pad takes a launch and
    about a cycle for each element; a step of the tile takes one for each of its vectors. (Where a weight is infinite, zeros at the border
    become NaN.)
    """
    (top, bottom), (left, right) = g.padding
    if not any((top, bottom, left, right)):
        return None
    whole = replace(g, h=g.h + top + bottom, w=g.w + left + right, padding=((0, 0), (0, 0)))
    saved = forward_plan(g, dtype).steps - forward_plan(whole, dtype).steps
    return whole if saved * tile_for(dtype).m * 2 > LAUNCH + whole.n * whole.h * whole.w * whole.c else None


@functools.lru_cache(maxsize=256)
def transposed_plan(g: Conv2dGeometry, dtype: str | np.dtype) -> Contraction:
    """dx from dy for ``transposed_geometry(g)``, as a forward convolution of superpixels."""
    t, taps = transposed_geometry(g), g.kh * g.kw
    if t is None:
        raise ValueError(f"the input gradient of {g} is no plain convolution")
    turning = np.arange(taps)[::-1].reshape(g.kh, g.kw, 1) + np.arange(g.oc) * g.c * taps
    return _convolution(t, dtype, superpixel(t, dtype), turning, taps)


def _convolution(g: Conv2dGeometry, dtype: str | np.dtype, r: int, offsets: np.ndarray, lane_stride: int) -> Contraction:
    """A forward convolution of superpixels, with the offsets (KH, KW, C/groups) of its weights."""
    cg, wide = g.c // g.groups, widened(g, r)
    rows, columns = (forward_axis(*axis) for axis in axes_of(wide))
    stride = pixel_stride_for(g.c, wide.oc, dtype) if g.groups == 1 else 0
    pixel = stride or g.c
    return contraction(
        tap_sets((rows, columns), wide.kw, cg, (g.w * pixel, pixel), (g.ow * g.oc, r * g.oc)),
        dtype,
        images=g.n,
        x_image=g.h * g.w * pixel,
        y_image=g.oh * g.ow * g.oc,
        x_group=cg,
        y_group=wide.oc // g.groups,
        groups=g.groups,
        offsets=widened_offsets(offsets, g, r),
        group_stride=wide.oc // g.groups * cg * g.kh * g.kw,
        lane_stride=lane_stride,
        pixel_stride=stride,
    )


@functools.lru_cache(maxsize=256)
def grad_input_plan(g: Conv2dGeometry, dtype: str | np.dtype) -> Contraction:
    """dx from dy."""
    cg, ocg, taps = g.c // g.groups, g.oc // g.groups, g.kh * g.kw
    rows, columns = (grad_axis(*axis) for axis in axes_of(g))
    stride = pixel_stride_for(g.oc, g.c, dtype) if g.groups == 1 else 0
    pixel = stride or g.oc
    return contraction(
        tap_sets((rows, columns), g.kw, ocg, (g.ow * pixel, pixel), (g.w * g.c, g.c)),
        dtype,
        images=g.n,
        x_image=g.oh * g.ow * pixel,
        y_image=g.h * g.w * g.c,
        x_group=ocg,
        y_group=cg,
        groups=g.groups,
        offsets=grid(np.arange(taps)[::-1], np.arange(ocg) * cg * taps),
        group_stride=ocg * cg * taps,
        lane_stride=taps,
        pixel_stride=stride,
    )


@functools.lru_cache(maxsize=256)
def grad_weight_plan(g: Conv2dGeometry, dtype: str | np.dtype) -> Correlation:
    """dw from x and dy, of superpixels."""
    (top, bottom), (left, right) = g.padding
    r = sum_superpixel(g, dtype)
    hp, wp, cg, wide = g.h + top + bottom, g.w + left + right, g.c // g.groups, widened(g, r)
    return correlation(
        sum_tile(wide.oc // g.groups, run_of(wide), dtype),
        pads=(top, bottom, left, right),
        line_offsets=np.arange(g.oh) * g.stride[0] * wp * g.c,
        line=g.ow // r,
        step=wide.stride[1] * g.c,
        window_offsets=grid(np.arange(g.kh) * g.dilation[0] * wp * g.c, np.arange(wide.kw) * g.dilation[1] * g.c, np.arange(cg)),
        images=g.n,
        x_image=hp * wp * g.c,
        x_group=cg,
        y_group=wide.oc // g.groups,
        groups=g.groups,
        itemsize=np.dtype(dtype).itemsize,
        offsets=widened_offsets(weight_offsets(g), g, r),
        group_stride=wide.oc // g.groups * cg * g.kh * g.kw,
        lane_stride=cg * g.kh * g.kw,
    )
