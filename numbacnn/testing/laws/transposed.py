"""Transposed convolution: x (N, OC, ...) and the weight of the convolution whose gradient it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...geometry import Axis
from ..cases import ConvCase
from ..trial import LawBroken, Trial, transposed_options
from .base import law
from .conv import MANY, dot, long_row, longer


@law("conv_transpose")
def transposed_counts_places(trial: Trial, case: ConvCase) -> None:
    """The output has stride (size - 1) + the kernel's extent - the padding + the output padding; 72,000 places too."""
    g = case.geometry
    row = replace(g, n=1, c=1, oc=1, groups=1, axes=(*(Axis(1) for _ in g.axes[1:]), long_row(replace(g.axes[-1], stride=1))))
    for each in (case, case.on(row)):
        found, wanted = trial.conv_transpose(each.grad, each.w, each.geometry).shape, each.geometry.input_shape
        if found != wanted:
            raise LawBroken(f"expected shape {wanted}; received shape {found}", found, wanted)


@law("conv_transpose")
def transposed_scatters_each_pixel(trial: Trial, case: ConvCase) -> None:
    """Each pixel adds its multiple of the kernel to the output, a stride further on than the pixel before."""
    g, x = case.geometry, case.grad
    c, oc = g.c // g.groups, g.oc // g.groups
    room = np.zeros((g.n, g.c, *(axis.padded for axis in g.axes)), x.dtype)
    for place in np.ndindex(*g.outputs):
        at = tuple(slice(p * axis.stride, p * axis.stride + axis.extent, axis.dilation) for p, axis in zip(place, g.axes))
        for k in range(g.groups):
            pixel, w = x[(slice(None), slice(k * oc, (k + 1) * oc), *place)], case.w[k * oc : (k + 1) * oc]
            room[(slice(None), slice(k * c, (k + 1) * c), *at)] += np.tensordot(pixel, w, 1)
    inner: Any = tuple(slice(axis.before, axis.before + axis.size) for axis in g.axes)
    trial.same(trial.conv_transpose(x, case.w, g), room[(..., *inner)])


@law("conv_transpose")
def transposed_bias_is_added_to_each_place(trial: Trial, case: ConvCase) -> None:
    """A bias adds its number to all places of its channel, those of the output padding too."""
    g = case.geometry
    b = np.resize(case.b, g.c)
    wanted = trial.conv_transpose(case.grad, case.w, g) + b.reshape(-1, *(1 for _ in g.axes))
    trial.same(trial.conv_transpose(case.grad, case.w, g, b), wanted)


def _spread(axis: Axis) -> Axis:
    """The axis with a dilation that allows a stride more of output padding."""
    spare = axis.padded - axis.extent - (axis.outputs - 1) * axis.stride
    wide = replace(axis, dilation=2 * axis.stride + 1)
    return replace(wide, size=max(1, (axis.outputs - 1) * axis.stride + wide.extent + spare - axis.before - axis.after))


@law("conv_transpose")
def output_padding_stands_for_pixels_of_zero(trial: Trial, case: ConvCase) -> None:
    """Pixels of 0 at the end of the axes do what a stride more of output padding does, where the dilation is still larger."""
    g = replace(case.geometry, axes=tuple(_spread(axis) for axis in case.geometry.axes))
    case, options = case.on(g), transposed_options(g)
    x = case.grad.copy()
    for i, axis in enumerate(g.axes):
        x[(*[slice(None)] * (i + 2), slice(max(axis.outputs - 1, 1), None))] = 0
    fits = [axis.outputs > 1 for axis in g.axes]
    short = x[(..., *(slice(axis.outputs - fit) for axis, fit in zip(g.axes, fits)))].copy()
    spare = options.get("output_padding", (0,) * len(fits))
    options["output_padding"] = tuple(more + fit * axis.stride for more, fit, axis in zip(spare, fits, g.axes))
    trial.same(trial.call(f"conv_transpose{len(fits)}d", short, case.w, **options), trial.conv_transpose(x, case.w, g))


@law("conv_transpose", needs=("conv", "conv_transpose"))
def transposed_is_the_adjoint(trial: Trial, case: ConvCase) -> None:
    """<conv(x, w), y> = <x, transposed(y, w)>, of 35 channels, in rows of 70 pixels and more."""
    case = case.on(longer(replace(case.geometry, c=MANY, oc=MANY, groups=1), 70))
    g, x, y = case.geometry, case.x, case.grad
    forward, back = trial.conv(x, case.w, g), trial.conv_transpose(y, case.w, g)
    scale = dot(np.abs(forward), np.abs(y))
    trial.same(dot(x, back), dot(forward, y), trial.factor * 1e-5 * scale)


@law("conv_transpose", needs=("conv_transpose", "conv_transpose_grad"))
def transposed_gradients_are_adjoint(trial: Trial, case: ConvCase) -> None:
    """<transposed(y, w), g> = <y, the gradient of y from g> = <w, the gradient of w from g>; in rows of 70 pixels and more too."""
    for each in (case, case.on(longer(case.geometry, 70))):
        y, g = trial.conv_transpose(each.grad, each.w, each.geometry), each.geometry
        dy, dw = trial.conv_transpose_grad(each.x, each.grad, each.w, g)
        scale = trial.factor * 1e-5 * dot(np.abs(y), np.abs(each.x))
        for array, gradient in ((each.grad, dy), (each.w, dw)):
            if gradient is None:
                continue
            trial.same(gradient.shape, array.shape)
            trial.same(dot(array, gradient), dot(y, each.x), scale)
