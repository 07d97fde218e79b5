"""Convolution: forward and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...geometry import Axis, ConvGeometry
from ..cases import ConvCase
from ..trial import LawBroken, Trial
from .base import law

__all__ = ["dot", "every", "starts"]


def starts(axis: Axis) -> list[int]:
    """Where windows start along an axis, by trying every position of the padded axis."""
    stop = axis.size + axis.after - axis.extent + 1
    return [at for at in range(-axis.before, stop) if (at + axis.before) % axis.stride == 0]


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


def dot(a: np.ndarray, b: np.ndarray) -> float:
    return float((a.astype(np.float64) * b).sum())


@law("conv")
def conv_counts_windows(trial: Trial, case: ConvCase) -> None:
    """The output has a place along each axis for every window that fits, counted one by one."""
    g = case.geometry
    found = trial.conv(case.x, case.w, g).shape
    wanted = (g.n, g.oc, *(len(starts(axis)) for axis in g.axes))
    if found != wanted:
        raise LawBroken(f"expected shape {wanted}; received shape {found}", found, wanted)


@law("conv")
def convolution_is_correlation_with_the_flipped_kernel(trial: Trial, case: ConvCase) -> None:
    """Without padding, strides and dilation it is SciPy's true convolution with the kernel flipped, summed over a group's channels."""
    from scipy.signal import convolve

    g = case.geometry
    sizes = tuple(max(axis.size, axis.kernel) for axis in g.axes)
    plain = replace(g, n=1).along(size=sizes, stride=1, dilation=1, before=0, after=0)
    x, kernels = np.resize(case.x, plain.input_shape), np.flip(_dense(case.w, g).astype(np.float64), tuple(range(2, case.w.ndim)))
    wanted = np.zeros(plain.output_shape)
    for o, c in zip(*np.nonzero(kernels.any(tuple(range(2, kernels.ndim))))):
        wanted[0, o] += convolve(x[0, c].astype(np.float64), kernels[o, c], "valid", "direct")
    trial.same(trial.conv(x, case.w, plain), wanted)


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
    """Groups do what one group with zeros between the blocks does."""
    g = case.geometry
    wanted = trial.conv(case.x, _dense(case.w, g), replace(g, groups=1))
    trial.same(trial.conv(case.x, case.w, g), wanted)


@law("conv")
def channels_add_up(trial: Trial, case: ConvCase) -> None:
    """The output is the sum over the input channels of one-channel convolutions."""
    g = replace(case.geometry, groups=1)
    w, one = _dense(case.w, case.geometry), replace(g, c=1)
    wanted = np.zeros(g.output_shape, case.x.dtype)
    for c in range(g.c):
        wanted = wanted + trial.conv(case.x[:, c : c + 1], w[:, c : c + 1], one)
    trial.same(trial.conv(case.x, w, g), wanted)


@law("conv")
def kernels_are_independent(trial: Trial, case: ConvCase) -> None:
    """Each output channel is what its kernel gives alone."""
    g = replace(case.geometry, groups=1)
    w = _dense(case.w, case.geometry)
    y = trial.conv(case.x, w, g)
    for o in range(g.oc):
        trial.same(y[:, o : o + 1], trial.conv(case.x, w[o : o + 1], replace(g, oc=1)))


@law("conv")
def images_are_independent(trial: Trial, case: ConvCase) -> None:
    """Each image gives what it gives alone."""
    g = case.geometry
    y = trial.conv(case.x, case.w, g)
    for n in range(g.n):
        trial.same(y[n : n + 1], trial.conv(case.x[n : n + 1], case.w, replace(g, n=1)))


@law("conv")
def bias_is_added_to_each_place(trial: Trial, case: ConvCase) -> None:
    """A bias adds its number to all places of its channel."""
    g, b = case.geometry, case.b
    wanted = trial.conv(case.x, case.w, g) + b.reshape(-1, *(1 for _ in g.axes))
    trial.same(trial.conv(case.x, case.w, g, b), wanted)


@law("conv")
def translation_equivariant(trial: Trial, case: ConvCase) -> None:
    """An image moved by one stride gives an output moved by one place, where windows lie wholly in the image."""
    g = case.geometry
    x = np.tile(case.x, (1, 1, *(-(-(axis.extent + 2 * axis.stride) // axis.size) for axis in g.axes)))
    moved = x[_parts([slice(stride, None) for stride in g.stride])]
    whole, part = (g.along(size=a.shape[2:]) for a in (x, moved))
    y, z = trial.conv(x, case.w, whole), trial.conv(moved, case.w, part)
    inside = []
    for axis in part.axes:
        windows = [i for i in range(axis.outputs) if 0 <= i * axis.stride - axis.before <= axis.size - axis.extent]
        inside.append(slice(windows[0], windows[-1] + 1))
    trial.same(z[_parts(inside)], y[_parts([slice(i.start + 1, i.stop + 1) for i in inside])])


@law("conv")
def linear_in_the_input(trial: Trial, case: ConvCase) -> None:
    """conv(2 a - 3 b, w) = 2 conv(a, w) - 3 conv(b, w)."""
    g, a, b = case.geometry, case.x, np.flip(case.x)
    wanted = 2 * trial.conv(a, case.w, g) - 3 * trial.conv(b, case.w, g)
    trial.same(trial.conv(2 * a - 3 * b, case.w, g), wanted)


@law("conv")
def linear_in_the_weight(trial: Trial, case: ConvCase) -> None:
    """conv(x, 2 a - 3 b) = 2 conv(x, a) - 3 conv(x, b)."""
    g, a, b = case.geometry, case.w, np.flip(case.w)
    wanted = 2 * trial.conv(case.x, a, g) - 3 * trial.conv(case.x, b, g)
    trial.same(trial.conv(case.x, 2 * a - 3 * b, g), wanted)


@law("conv")
def delta_is_the_identity(trial: Trial, case: ConvCase) -> None:
    """A kernel of one 1, with the padding that puts it over the pixel itself, changes nothing; at every tap."""
    g = case.geometry
    for tap in np.ndindex(*g.kernel):
        w = np.zeros((g.c, g.c // g.groups, *g.kernel), case.w.dtype)
        for c in range(g.c):
            w[(c, c % w.shape[1], *tap)] = 1
        before = tuple(axis.dilation * k for k, axis in zip(tap, g.axes))
        same = replace(g, oc=g.c).along(stride=1, before=before, after=tuple(axis.extent - 1 - b for b, axis in zip(before, g.axes)))
        trial.same(trial.conv(case.x, w, same), case.x)


@law("conv")
def pointwise_is_a_matrix_product(trial: Trial, case: ConvCase) -> None:
    """A kernel of one tap multiplies the channels of each pixel by a matrix; 33 channels."""
    g = replace(case.geometry, groups=1, c=33).along(kernel=1, stride=1, before=0, after=0)
    x, w = np.resize(case.x, g.input_shape), np.resize(case.w, (g.oc, g.c))
    wanted = np.moveaxis(np.moveaxis(x, 1, -1) @ w.T, -1, 1)
    trial.same(trial.conv(x, w.reshape(g.weight_shape), g), wanted)


def _adjoint(trial: Trial, case: ConvCase, place: int, arrays: tuple[Any, ...], y: np.ndarray) -> None:
    """<y, grad> = <array, its gradient>, for one of (x, w, b)."""
    gradient = trial.conv_grad(case.grad, arrays[0], arrays[1], case.geometry, arrays[2])[place]
    if gradient is None:
        return
    if gradient.shape != arrays[place].shape:
        raise LawBroken(f"expected shape {arrays[place].shape}; received shape {gradient.shape}", gradient)
    scale = dot(np.abs(y), np.abs(case.grad))
    trial.same(dot(arrays[place], gradient), dot(y, case.grad), trial.factor * 1e-5 * scale)


@law("conv", needs=("conv", "conv_grad"))
def input_gradient_is_adjoint(trial: Trial, case: ConvCase) -> None:
    """<conv(x, w), g> = <x, the gradient of x from g>."""
    _adjoint(trial, case, 0, (case.x, case.w, None), trial.conv(case.x, case.w, case.geometry))


@law("conv", needs=("conv", "conv_grad"))
def weight_gradient_is_adjoint(trial: Trial, case: ConvCase) -> None:
    """<conv(x, w), g> = <w, the gradient of w from g>."""
    _adjoint(trial, case, 1, (case.x, case.w, None), trial.conv(case.x, case.w, case.geometry))


@law("conv", needs=("conv_grad",))
def bias_gradient_is_the_sum(trial: Trial, case: ConvCase) -> None:
    """The gradient of a bias is the sum of its channel's gradients."""
    found = trial.conv_grad(case.grad, case.x, case.w, case.geometry, case.b)
    if len(found) > 2 and found[2] is not None:
        trial.same(found[2], case.grad.sum((0, *range(2, case.grad.ndim))))
