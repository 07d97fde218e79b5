"""Convolution: forward and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from ...geometry import Axis, ConvGeometry, PoolGeometry
from ..cases import ConvCase
from ..trial import LawBroken, Trial
from .base import law

__all__ = ["MANY", "PARTS", "dot", "every", "long_row", "longer", "starts"]

W = TypeVar("W", ConvGeometry, PoolGeometry)


def starts(axis: Axis) -> list[int]:
    """Where windows start along an axis: from the padding's start on, as long as one fits."""
    return list(range(-axis.before, axis.size + axis.after - axis.extent + 1, axis.stride))


def _parts(slices: Sequence[slice]) -> tuple[slice, ...]:
    """An index of all examples and channels and these parts of the axes."""
    return (slice(None), slice(None), *slices)


def every(steps: Sequence[int]) -> tuple[slice, ...]:
    """An index of every so-manieth place along each axis."""
    return _parts([slice(None, None, step) for step in steps])


def _dense(w: np.ndarray, g: ConvGeometry) -> np.ndarray:
    """The weight (OC, C, ...) of one group that does what ``w`` does in its groups."""
    out = np.zeros((g.oc, g.c, *g.kernel), w.dtype)
    for k in range(g.groups):
        o, c = g.oc // g.groups, g.c // g.groups
        out[k * o : (k + 1) * o, k * c : (k + 1) * c] = w[k * o : (k + 1) * o]
    return out


MANY = 35
"""Channels, or images, that no block of 8, 16 or 32 divides."""

PARTS = (slice(1), slice(1, 15), slice(15, None))
"""They in three parts."""


def _wide(case: ConvCase, c: int = MANY, oc: int = MANY) -> ConvCase:
    """The case with so many channels, in one group."""
    return case.on(replace(case.geometry, c=c, oc=oc, groups=1))


def _depthwise(case: ConvCase) -> ConvCase:
    """The case with so many groups of one channel, and one or two outputs of each."""
    return case.on(replace(case.geometry, c=MANY, oc=MANY * (1 + case.geometry.oc % 2), groups=MANY))


def long_row(axis: Axis, outputs: int = 62) -> Axis:
    """The same windows on a row of tens of thousands of places, by a stride so large that there are few; the last one just fits.

    With these numbers a product with 1 / stride in float32 falls below the size.
    """
    stride = 1177 * axis.stride
    size = axis.extent + (outputs - 1) * stride - axis.before - axis.after
    return replace(axis, size=size, stride=stride)


def longer(g: W, outputs: int) -> W:
    """So many outputs more along the last axis, and as few as can be along the others."""
    sizes = [max(axis.extent - axis.before - axis.after, 1) for axis in g.axes]
    sizes[-1] = g.sizes[-1] + outputs * g.stride[-1]
    return g.along(size=tuple(sizes))


def dot(a: np.ndarray, b: np.ndarray) -> float:
    return float((a.astype(np.float64) * b).sum())


@law("conv")
def conv_counts_windows(trial: Trial, case: ConvCase) -> None:
    """The output has a place along each axis for every window that fits, counted one by one; in rows of up to 287,000 pixels too."""
    g = case.geometry
    row = replace(g, n=1, c=1, oc=1, groups=1, axes=(*(Axis(1) for _ in g.axes[1:]), long_row(g.axes[-1])))
    for each in (case, case.on(row)):
        found = trial.conv(each.x, each.w, each.geometry).shape
        wanted = (*each.geometry.output_shape[:2], *(len(starts(axis)) for axis in each.geometry.axes))
        if found != wanted:
            raise LawBroken(f"expected shape {wanted}; received shape {found}", found, wanted)


@law("conv")
def convolution_is_correlation_with_the_flipped_kernel(trial: Trial, case: ConvCase) -> None:
    """Without padding, strides, dilation and groups it is SciPy's true convolution with the kernel flipped, summed over the channels."""
    from scipy.signal import convolve

    g = case.geometry
    sizes = tuple(max(axis.size, axis.kernel) for axis in g.axes)
    plain = case.on(replace(g, n=1, groups=1).along(size=sizes, stride=1, dilation=1, before=0, after=0))
    kernels = np.flip(plain.w, tuple(range(1, plain.w.ndim)))  # the channels too: over them it is a sum
    wanted = np.concatenate([convolve(plain.x[0], kernel, "valid", "direct") for kernel in kernels.astype(np.float64)])
    trial.same(trial.conv(plain.x, plain.w, plain.geometry), wanted[np.newaxis])


@law("conv")
def padding_is_a_border_of_zeros(trial: Trial, case: ConvCase) -> None:
    """Padding does what zeros around the image do."""
    g = case.geometry
    bare = g.along(size=tuple(axis.padded for axis in g.axes), before=0, after=0)
    wanted = trial.conv(np.pad(case.x, ((0, 0), (0, 0), *g.padding)), case.w, bare)
    trial.same(trial.conv(case.x, case.w, g), wanted)


@law("conv")
def stride_is_subsampling(trial: Trial, case: ConvCase) -> None:
    """Stride s gives every s-th output of stride 1."""
    g = case.geometry
    wanted = trial.conv(case.x, case.w, g.along(stride=1))[every(g.stride)]
    trial.same(trial.conv(case.x, case.w, g), wanted)


@law("conv")
def dilation_is_a_zero_stuffed_kernel(trial: Trial, case: ConvCase) -> None:
    """Dilation d is a dense kernel with d - 1 zeros between its taps."""
    g = case.geometry
    w = np.zeros((*case.w.shape[:2], *(axis.extent for axis in g.axes)), case.w.dtype)
    w[every(g.dilation)] = case.w
    wanted = trial.conv(case.x, w, g.along(kernel=w.shape[2:], dilation=1))
    trial.same(trial.conv(case.x, case.w, g), wanted)


@law("conv")
def groups_are_a_block_diagonal_weight(trial: Trial, case: ConvCase) -> None:
    """Groups do what one group with zeros between the blocks does; 35 groups of one channel too."""
    for each in (case, _depthwise(case)):
        g = each.geometry
        wanted = trial.conv(each.x, _dense(each.w, g), replace(g, groups=1))
        trial.same(trial.conv(each.x, each.w, g), wanted)


@law("conv")
def channels_add_up(trial: Trial, case: ConvCase) -> None:
    """The output is the sum of those that the first channel, the next 14 and the others give; of 67."""
    wide = _wide(case, c=67, oc=case.geometry.oc)
    x, w, g = wide.x, wide.w, wide.geometry
    parts = [trial.conv(x[:, part], w[:, part], replace(g, c=x[:, part].shape[1])) for part in PARTS]
    trial.same(trial.conv(x, w, g), sum(parts[1:], parts[0]))


@law("conv")
def kernels_are_independent(trial: Trial, case: ConvCase) -> None:
    """Each output channel is what its kernel gives without the others; of 35."""
    wide = _wide(case, c=case.geometry.c)
    y = trial.conv(wide.x, wide.w, wide.geometry)
    for part in PARTS:
        w = wide.w[part]
        trial.same(y[:, part], trial.conv(wide.x, w, replace(wide.geometry, oc=len(w))))


@law("conv")
def images_are_independent(trial: Trial, case: ConvCase) -> None:
    """Each image gives what it gives without the others; of 35."""
    many = case.on(replace(case.geometry, n=MANY))
    y = trial.conv(many.x, many.w, many.geometry)
    for part in PARTS:
        x = many.x[part]
        trial.same(y[part], trial.conv(x, many.w, replace(many.geometry, n=len(x))))


@law("conv")
def bias_is_added_to_each_place(trial: Trial, case: ConvCase) -> None:
    """A bias adds its number to all places of its channel."""
    g, b = case.geometry, case.b
    wanted = trial.conv(case.x, case.w, g) + b.reshape(-1, *(1 for _ in g.axes))
    trial.same(trial.conv(case.x, case.w, g, b), wanted)


@law("conv")
def translation_equivariant(trial: Trial, case: ConvCase) -> None:
    """An image moved by one stride gives an output moved by one place, where windows lie wholly in the image; of 70 columns and more."""
    least = [axis.extent + 2 * axis.stride for axis in case.geometry.axes]
    least[-1] = max(least[-1], 70)
    whole = case.on(case.geometry.along(size=tuple(max(axis.size, size) for axis, size in zip(case.geometry.axes, least))))
    moved = whole.x[_parts([slice(stride, None) for stride in whole.geometry.stride])]
    part = whole.geometry.along(size=moved.shape[2:])
    y, z = trial.conv(whole.x, whole.w, whole.geometry), trial.conv(moved, whole.w, part)
    inside = []
    for axis in part.axes:
        windows = [i for i in range(axis.outputs) if 0 <= i * axis.stride - axis.before <= axis.size - axis.extent]
        inside.append(slice(windows[0], windows[-1] + 1))
    trial.same(z[_parts(inside)], y[_parts([slice(i.start + 1, i.stop + 1) for i in inside])])


@law("conv")
def linear_in_the_input(trial: Trial, case: ConvCase) -> None:
    """conv(2 a - 3 b, w) = 2 conv(a, w) - 3 conv(b, w), for a and b of up to 65536."""
    g, a = case.geometry, case.x * case.x.dtype.type(2**14)
    b = np.flip(a).copy()
    wanted = 2 * trial.conv(a, case.w, g) - 3 * trial.conv(b, case.w, g)
    trial.same(trial.conv(2 * a - 3 * b, case.w, g), wanted)


@law("conv")
def linear_in_the_weight(trial: Trial, case: ConvCase) -> None:
    """conv(x, 2 a - 3 b) = 2 conv(x, a) - 3 conv(x, b), and 2**30 conv(x, w / 2**30) = conv(x, w)."""
    g, a, b, scale = case.geometry, case.w, np.flip(case.w).copy(), case.w.dtype.type(2**30)
    wanted = 2 * trial.conv(case.x, a, g) - 3 * trial.conv(case.x, b, g)
    trial.same(trial.conv(case.x, 2 * a - 3 * b, g), wanted)
    trial.same(trial.conv(case.x, a / scale, g) * scale, trial.conv(case.x, a, g))


@law("conv", kind="normal")
def delta_is_the_identity(trial: Trial, case: ConvCase) -> None:
    """A kernel of an odd size with a 1 in its middle gives the pixels under that, to their last bits."""
    g = case.geometry
    kernel = tuple(k | 1 for k in g.kernel)
    sizes = tuple(max(size, k) for size, k in zip(g.sizes, kernel))
    bare = case.on(replace(g, n=1, c=1, oc=1, groups=1).along(size=sizes, kernel=kernel, stride=1, dilation=1, before=0, after=0))
    w = np.zeros_like(bare.w)
    w[(0, 0, *(k // 2 for k in kernel))] = 1
    under = bare.x[_parts([slice(k // 2, size - k // 2) for k, size in zip(kernel, sizes)])]
    trial.same(trial.conv(bare.x, w, bare.geometry), under, 4 * float(np.finfo(under.dtype).eps * np.abs(under).max()))


@law("conv")
def pointwise_is_a_matrix_product(trial: Trial, case: ConvCase) -> None:
    """A kernel of one tap multiplies the channels of each pixel by a matrix; 130 channels."""
    g = replace(case.geometry, n=1, c=130, groups=1)
    case = case.on(g.along(kernel=1, stride=1, before=0, after=0))
    wanted = np.moveaxis(np.moveaxis(case.x, 1, -1) @ case.w.reshape(case.w.shape[:2]).T, -1, 1)
    trial.same(trial.conv(case.x, case.w, case.geometry), wanted)


@law("conv")
def nan_comes_out(trial: Trial, case: ConvCase) -> None:
    """A pixel that is NaN makes the outputs NaN whose windows hold it."""
    seen = case.x > 2
    held = trial.conv(seen.astype(case.x.dtype), np.ones_like(case.w), case.geometry) > 0.5
    y = trial.conv(np.where(seen, case.x.dtype.type(np.nan), case.x), case.w, case.geometry)
    trial.same(np.isnan(y)[held], np.ones(int(held.sum()), bool))


def _adjoint(trial: Trial, case: ConvCase, place: int) -> None:
    """<y, grad> = <array, its gradient>, for x or w; also of 35 channels or groups in rows of 70 outputs and more."""
    more = (_wide, _depthwise)[case.geometry.oc % 2](case)
    for each in (case, more.on(longer(more.geometry, 70))):
        _adjoint_to(trial, each, place)


def _adjoint_to(trial: Trial, case: ConvCase, place: int) -> None:
    array = case.inputs[place].array
    gradient = trial.conv_grad(case.grad, case.x, case.w, case.geometry)[place]
    if gradient is None:
        return
    if gradient.shape != array.shape:
        raise LawBroken(f"expected shape {array.shape}; received shape {gradient.shape}", gradient)
    y = trial.conv(case.x, case.w, case.geometry)
    trial.same(dot(array, gradient), dot(y, case.grad), trial.factor * 1e-5 * dot(np.abs(y), np.abs(case.grad)))


@law("conv", needs=("conv", "conv_grad"))
def input_gradient_is_adjoint(trial: Trial, case: ConvCase) -> None:
    """<conv(x, w), g> = <x, the gradient of x from g>."""
    _adjoint(trial, case, 0)


@law("conv", needs=("conv", "conv_grad"))
def weight_gradient_is_adjoint(trial: Trial, case: ConvCase) -> None:
    """<conv(x, w), g> = <w, the gradient of w from g>."""
    _adjoint(trial, case, 1)


@law("conv", needs=("conv_grad",))
def bias_gradient_is_the_sum(trial: Trial, case: ConvCase) -> None:
    """The gradient of a bias is the sum of its channel's gradients."""
    db = trial.conv_grad(case.grad, case.x, case.w, case.geometry, case.b)[2]
    if db is not None:
        trial.same(db, case.grad.sum((0, *range(2, case.grad.ndim))))
