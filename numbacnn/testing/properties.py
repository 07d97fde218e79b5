"""What must hold for every convolution, pooling and batch normalisation, as plain functions that take the operation as a callable.

``conv`` is (x (N, C, ...), w (OC, C/groups, ...), ConvGeometry) -> y and ``pool`` (x, PoolGeometry) -> y, on NumPy arrays with one to
three axes; so they judge any implementation, your own kernel included. A case carries a geometry and arrays that fit it; ``strategies``
draws them, of small integers, whose sums are exact: then results must be equal. ``rtol``, relative to the largest result, is for
algorithms that round (Winograd).

>>> from numbacnn import reference
>>> case = ConvCase.of((2, 3, 5, 5), (4, 3, 3, 3), padding=1)
>>> stride_is_subsampling(lambda x, w, g: reference.conv_forward(x, w, None, g), case)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from ..errors import message
from ..geometry import AdaptivePoolGeometry, Axis, ConvGeometry, PoolGeometry
from .operations import Adaptive, AdaptiveGrad, Conv, ConvGrad, Norm, Pool, PoolGrad

__all__ = [
    "CONV_PROPERTIES",
    "NORM_PROPERTIES",
    "POOL_PROPERTIES",
    "AdaptiveCase",
    "ConvCase",
    "PoolCase",
    "PropertyError",
    "adaptive_average_of_a_constant_is_the_constant",
    "adaptive_pooling_is_adjoint_to_its_gradient",
    "adaptive_windows_that_divide_are_plain_windows",
    "average_of_a_constant_is_the_constant",
    "average_pooling_is_adjoint_to_its_gradient",
    "channels_add_up",
    "conv_batches_are_independent",
    "conv_counts_windows",
    "conv_ignores_the_layout",
    "convolution_is_correlation_with_the_flipped_kernel",
    "delta_is_the_identity",
    "dilation_is_a_zero_stuffed_kernel",
    "groups_are_a_block_diagonal_weight",
    "holds_data_everywhere",
    "input_gradient_is_adjoint",
    "linear_in_the_input",
    "linear_in_the_weight",
    "max_gradient_keeps_its_mass",
    "normalisation_ignores_shift_and_scale",
    "normalisation_ignores_the_layout",
    "normalisation_leaves_channels_alone",
    "normalisation_mixes_the_batch_evenly",
    "normalised_channels_have_mean_0_and_variance_1",
    "pointwise_is_a_matrix_product",
    "pool_batches_are_independent",
    "pool_counts_windows",
    "pool_ignores_the_layout",
    "pooling_leaves_channels_alone",
    "stride_is_subsampling",
    "translation_equivariant",
    "weight_gradient_is_adjoint",
]


class PropertyError(AssertionError):
    """A property does not hold."""


def _integers(shape: Sequence[int], seed: int, dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).integers(-4, 5, tuple(shape)).astype(dtype)


@dataclass(frozen=True, eq=False)
class ConvCase:
    """A geometry with x (N, C, ...), w (OC, C/groups, ...) and grad (N, OC, ...)."""

    geometry: ConvGeometry
    x: np.ndarray
    w: np.ndarray
    grad: np.ndarray

    @classmethod
    def of(
        cls, input_shape: Sequence[int], weight_shape: Sequence[int], seed: int = 0, dtype: Any = np.float32, **options: Any
    ) -> ConvCase:
        """Small integers for these shapes; ``options`` as for ``ConvGeometry.of``."""
        g = ConvGeometry.of(input_shape, weight_shape, **options)
        return cls(g, *(_integers(s, seed + i, dtype) for i, s in enumerate((input_shape, weight_shape, g.output_shape))))


@dataclass(frozen=True, eq=False)
class PoolCase:
    """A geometry with x (N, C, ...) and grad (N, C, ...)."""

    geometry: PoolGeometry
    x: np.ndarray
    grad: np.ndarray

    @classmethod
    def of(cls, input_shape: Sequence[int], kernel_size: Any, seed: int = 0, dtype: Any = np.float32, **options: Any) -> PoolCase:
        """Small integers for these sizes; ``options`` as for ``PoolGeometry.of``."""
        g = PoolGeometry.of(input_shape, kernel_size, **options)
        return cls(g, _integers(input_shape, seed, dtype), _integers(g.output_shape, seed + 1, dtype))


@dataclass(frozen=True, eq=False)
class AdaptiveCase:
    """A geometry with x (N, C, ...) and grad (N, C, ...)."""

    geometry: AdaptivePoolGeometry
    x: np.ndarray
    grad: np.ndarray

    @classmethod
    def of(cls, input_shape: Sequence[int], output_size: Any, seed: int = 0, dtype: Any = np.float32) -> AdaptiveCase:
        """Small integers for these sizes."""
        g = AdaptivePoolGeometry.of(input_shape, output_size)
        return cls(g, _integers(input_shape, seed, dtype), _integers(g.output_shape, seed + 1, dtype))


def _same(name: str, found: np.ndarray, wanted: np.ndarray, rtol: float = 0.0) -> None:
    """Raise unless the two are equal, or as close as ``rtol`` times the largest wanted value."""
    if found.shape != wanted.shape:
        raise PropertyError(message(name, f"shape {wanted.shape}", f"shape {found.shape}"))
    if not found.size:
        return
    wrong = found != wanted  # NaN is always wrong
    if rtol:
        wrong &= ~(np.abs(found.astype(np.float64) - wanted) <= rtol * np.abs(wanted.astype(np.float64)).max())
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        hint = f"{int(wrong.sum())} of {wrong.size} elements differ"
        raise PropertyError(message(name, f"{wanted[at]} at {at}", f"{found[at]}", hint))


def _number(name: str, found: float, wanted: float, rtol: float, scale: float) -> None:
    if not abs(found - wanted) <= rtol * scale:
        raise PropertyError(message(name, repr(wanted), repr(found)))


def _starts(axis: Axis) -> list[int]:
    """Where windows start along an axis, by trying every position of the padded axis."""
    stop = axis.size + axis.after - axis.extent + 1
    return [at for at in range(-axis.before, stop) if (at + axis.before) % axis.stride == 0]


def _everywhere(slices: Sequence[slice]) -> tuple[slice, ...]:
    """An index of all examples and channels and these parts of the axes."""
    return (slice(None), slice(None), *slices)


def _every(steps: Sequence[int]) -> tuple[slice, ...]:
    """An index of every so-manieth place along each axis."""
    return _everywhere([slice(None, None, step) for step in steps])


def _padded(x: np.ndarray, g: ConvGeometry) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, 0), *g.padding))


def _dense(w: np.ndarray, g: ConvGeometry) -> np.ndarray:
    """The weight (OC, C, ...) of one group that does what ``w`` does in its groups."""
    out = np.zeros((g.oc, g.c, *g.kernel), w.dtype)
    for k in range(g.groups):
        o, c = g.oc // g.groups, g.c // g.groups
        out[k * o : (k + 1) * o, k * c : (k + 1) * c] = w[k * o : (k + 1) * o]
    return out


def _stuffed(w: np.ndarray, g: ConvGeometry) -> np.ndarray:
    """The kernel with zeros between its taps."""
    out = np.zeros((*w.shape[:2], *(axis.extent for axis in g.axes)), w.dtype)
    out[_every(g.dilation)] = w
    return out


# -- convolution -----------------------------------------------------------------------------------------------------------
def conv_counts_windows(conv: Conv, case: ConvCase, rtol: float = 0.0) -> None:
    """The output has a place along each axis for every window that fits, counted one by one."""
    g = case.geometry
    wanted = (g.n, g.oc, *(len(_starts(axis)) for axis in g.axes))
    found = conv(case.x, case.w, g).shape
    if found != wanted or g.output_shape != wanted:
        raise PropertyError(message("conv_counts_windows", f"shape {wanted}", f"{found}, and {g.output_shape} by the geometry"))


def convolution_is_correlation_with_the_flipped_kernel(conv: Conv, case: ConvCase, rtol: float = 0.0) -> None:
    """With its kernel flipped it is the true convolution, as SciPy computes it."""
    from scipy.signal import convolve

    g = case.geometry
    w, x = _stuffed(_dense(case.w, g), g)[_every([-1] * len(g.axes))], _padded(case.x, g)
    valid = tuple(slice(k - 1, size, axis.stride) for k, size, axis in zip(w.shape[2:], x.shape[2:], g.axes))
    wanted = np.zeros(g.output_shape)
    for n in range(g.n):
        for o in range(g.oc):
            for c in range(g.c):
                full = convolve(x[n, c].astype(np.float64), w[o, c].astype(np.float64), "full", "direct")
                wanted[n, o] += full[valid]
    _same("convolution_is_correlation_with_the_flipped_kernel", conv(case.x, case.w, g), wanted, rtol)


def translation_equivariant(conv: Conv, case: ConvCase, rtol: float = 0.0) -> None:
    """An image moved by one stride gives an output moved by one pixel, where windows lie wholly in the image."""
    g = case.geometry
    x = np.tile(case.x, (1, 1, *(-(-(axis.extent + 2 * axis.stride) // axis.size) for axis in g.axes)))
    moved = x[_everywhere([slice(stride, None) for stride in g.stride])]
    whole, part = (g.along(size=a.shape[2:]) for a in (x, moved))
    y, z = conv(x, case.w, whole), conv(moved, case.w, part)
    inside = []
    for axis in part.axes:
        whole_windows = [i for i in range(axis.outputs) if 0 <= i * axis.stride - axis.before <= axis.size - axis.extent]
        inside.append(slice(whole_windows[0], whole_windows[-1] + 1))
    wanted = y[_everywhere([slice(i.start + 1, i.stop + 1) for i in inside])]
    _same("translation_equivariant", z[_everywhere(inside)], wanted, rtol)


def linear_in_the_input(conv: Conv, case: ConvCase, rtol: float = 0.0) -> None:
    """conv(2 a - 3 b, w) = 2 conv(a, w) - 3 conv(b, w)."""
    g, a, b = case.geometry, case.x, case.x[_every([-1] * len(case.geometry.axes))]
    wanted = 2 * conv(a, case.w, g) - 3 * conv(b, case.w, g)
    _same("linear_in_the_input", conv(2 * a - 3 * b, case.w, g), wanted, rtol)


def linear_in_the_weight(conv: Conv, case: ConvCase, rtol: float = 0.0) -> None:
    """conv(x, 2 a - 3 b) = 2 conv(x, a) - 3 conv(x, b)."""
    g, a, b = case.geometry, case.w, case.w[::-1, ::-1]
    wanted = 2 * conv(case.x, a, g) - 3 * conv(case.x, b, g)
    _same("linear_in_the_weight", conv(case.x, 2 * a - 3 * b, g), wanted, rtol)


def delta_is_the_identity(conv: Conv, case: ConvCase, rtol: float = 0.0) -> None:
    """A kernel of one 1, with the padding that puts it over the pixel itself, changes nothing; at every tap."""
    g = case.geometry
    for tap in np.ndindex(*g.kernel):
        w = np.zeros((g.c, g.c // g.groups, *g.kernel), case.w.dtype)
        for c in range(g.c):
            w[(c, c % w.shape[1], *tap)] = 1
        before = tuple(axis.dilation * k for k, axis in zip(tap, g.axes))
        same = replace(g, oc=g.c).along(stride=1, before=before, after=tuple(axis.extent - 1 - b for b, axis in zip(before, g.axes)))
        _same("delta_is_the_identity", conv(case.x, w, same), case.x, rtol)


def pointwise_is_a_matrix_product(conv: Conv, case: ConvCase, rtol: float = 0.0) -> None:
    """A kernel of one tap multiplies the channels of each pixel by a matrix."""
    g = replace(case.geometry, groups=1).along(kernel=1, stride=1, before=0, after=0)
    w = np.resize(case.w, (g.oc, g.c))
    wanted = np.moveaxis(np.moveaxis(case.x, 1, -1) @ w.T, -1, 1)
    _same("pointwise_is_a_matrix_product", conv(case.x, w.reshape(g.weight_shape), g), wanted, rtol)


def stride_is_subsampling(conv: Conv, case: ConvCase, rtol: float = 0.0) -> None:
    """Stride s gives every s-th output of stride 1."""
    g = case.geometry
    wanted = conv(case.x, case.w, g.along(stride=1))[_every(g.stride)]
    _same("stride_is_subsampling", conv(case.x, case.w, g), wanted, rtol)


def dilation_is_a_zero_stuffed_kernel(conv: Conv, case: ConvCase, rtol: float = 0.0) -> None:
    """Dilation d is a dense kernel with d - 1 zeros between its taps."""
    g, w = case.geometry, _stuffed(case.w, case.geometry)
    wanted = conv(case.x, w, g.along(kernel=w.shape[2:], dilation=1))
    _same("dilation_is_a_zero_stuffed_kernel", conv(case.x, case.w, g), wanted, rtol)


def groups_are_a_block_diagonal_weight(conv: Conv, case: ConvCase, rtol: float = 0.0) -> None:
    """Groups do what one group with zeros between the blocks does."""
    g = case.geometry
    wanted = conv(case.x, _dense(case.w, g), replace(g, groups=1))
    _same("groups_are_a_block_diagonal_weight", conv(case.x, case.w, g), wanted, rtol)


def channels_add_up(conv: Conv, case: ConvCase, rtol: float = 0.0) -> None:
    """The output is the sum over the input channels of one-channel convolutions."""
    g, w = case.geometry, _dense(case.w, case.geometry)
    one = replace(g, c=1, groups=1)
    wanted = sum((conv(case.x[:, c : c + 1], w[:, c : c + 1], one) for c in range(g.c)), np.zeros(g.output_shape, case.x.dtype))
    _same("channels_add_up", conv(case.x, case.w, g), wanted, rtol)


def conv_batches_are_independent(conv: Conv, case: ConvCase, rtol: float = 0.0) -> None:
    """Each image gives what it gives alone."""
    g = case.geometry
    y = conv(case.x, case.w, g)
    for n in range(g.n):
        _same("conv_batches_are_independent", y[n : n + 1], conv(case.x[n : n + 1], case.w, replace(g, n=1)), rtol)


def conv_ignores_the_layout(conv: Conv, case: ConvCase, rtol: float = 0.0) -> None:
    """The order of memory is not part of the meaning."""
    g = case.geometry
    wanted = conv(np.ascontiguousarray(case.x), np.ascontiguousarray(case.w), g)
    _same("conv_ignores_the_layout", conv(case.x, case.w, g), wanted, rtol)


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float((a.astype(np.float64) * b).sum())


def input_gradient_is_adjoint(conv: Conv, grad_input: ConvGrad, case: ConvCase, rtol: float = 0.0) -> None:
    """<conv(x, w), g> = <x, grad_input(g, w)>."""
    g = case.geometry
    dx = grad_input(case.grad, case.w, g)
    if dx.shape != case.x.shape:
        raise PropertyError(message("input_gradient_is_adjoint", f"shape {case.x.shape}", f"shape {dx.shape}"))
    y = conv(case.x, case.w, g)
    _number("input_gradient_is_adjoint", _dot(case.x, dx), _dot(y, case.grad), rtol, _dot(np.abs(y), np.abs(case.grad)))


def weight_gradient_is_adjoint(conv: Conv, grad_weight: ConvGrad, case: ConvCase, rtol: float = 0.0) -> None:
    """<conv(x, w), g> = <w, grad_weight(g, x)>."""
    g = case.geometry
    dw = grad_weight(case.grad, case.x, g)
    if dw.shape != case.w.shape:
        raise PropertyError(message("weight_gradient_is_adjoint", f"shape {case.w.shape}", f"shape {dw.shape}"))
    y = conv(case.x, case.w, g)
    _number("weight_gradient_is_adjoint", _dot(case.w, dw), _dot(y, case.grad), rtol, _dot(np.abs(y), np.abs(case.grad)))


CONV_PROPERTIES: tuple[Callable[..., None], ...] = (
    conv_counts_windows,
    convolution_is_correlation_with_the_flipped_kernel,
    translation_equivariant,
    linear_in_the_input,
    linear_in_the_weight,
    delta_is_the_identity,
    pointwise_is_a_matrix_product,
    stride_is_subsampling,
    dilation_is_a_zero_stuffed_kernel,
    groups_are_a_block_diagonal_weight,
    channels_add_up,
    conv_batches_are_independent,
    conv_ignores_the_layout,
)
"""Those that take (conv, case)."""


# -- pooling -----------------------------------------------------------------------------------------------------------------
def _pool_starts(axis: Axis) -> list[int]:
    """Where windows start, by trying every position; with ``ceil`` one may stick out if it starts before the data end."""
    starts = _starts(axis)
    following = starts[-1] + axis.stride if starts else -axis.before
    covered = starts[-1] + axis.extent if starts else -axis.before
    if axis.ceil and covered < axis.size + axis.after and following < axis.size:
        starts.append(following)
    return starts


def holds_data_everywhere(g: PoolGeometry) -> bool:
    """Whether no window lies wholly in padding (dilation can make one that does)."""
    return all(
        any(0 <= start + k * axis.dilation < axis.size for k in range(axis.kernel)) for axis in g.axes for start in _pool_starts(axis)
    )


def pool_counts_windows(pool: Pool, case: PoolCase, rtol: float = 0.0) -> None:
    """The output has a place along each axis for every window, counted one by one."""
    g = case.geometry
    wanted = (g.n, g.c, *(len(_pool_starts(axis)) for axis in g.axes))
    found = pool(case.x, g).shape
    if found != wanted or g.output_shape != wanted:
        raise PropertyError(message("pool_counts_windows", f"shape {wanted}", f"{found}, and {g.output_shape} by the geometry"))


def pooling_leaves_channels_alone(pool: Pool, case: PoolCase, rtol: float = 0.0) -> None:
    """Each channel gives what it gives alone."""
    g = case.geometry
    y = pool(case.x, g)
    for c in range(g.c):
        _same("pooling_leaves_channels_alone", y[:, c : c + 1], pool(case.x[:, c : c + 1], replace(g, c=1)), rtol)


def pool_batches_are_independent(pool: Pool, case: PoolCase, rtol: float = 0.0) -> None:
    """Each image gives what it gives alone."""
    g = case.geometry
    y = pool(case.x, g)
    for n in range(g.n):
        _same("pool_batches_are_independent", y[n : n + 1], pool(case.x[n : n + 1], replace(g, n=1)), rtol)


def pool_ignores_the_layout(pool: Pool, case: PoolCase, rtol: float = 0.0) -> None:
    """The order of memory is not part of the meaning."""
    _same("pool_ignores_the_layout", pool(case.x, case.geometry), pool(np.ascontiguousarray(case.x), case.geometry), rtol)


def _can_average(g: PoolGeometry) -> bool:
    """Whether a window fits and the padding is at most half of it, once dilation is gone."""
    return min(g.outputs) >= 1 and all(axis.before <= axis.kernel // 2 for axis in g.axes)


def average_of_a_constant_is_the_constant(pool: Pool, case: PoolCase, rtol: float = 0.0) -> None:
    """An average pooling of a constant image, without padding or not counting it."""
    plain = case.geometry.along(dilation=1)
    for g in (replace(plain, count_include_pad=False), plain.along(before=0, after=0)):
        if not _can_average(g):
            continue
        x = np.full(g.input_shape, 3, case.x.dtype)
        _same("average_of_a_constant_is_the_constant", pool(x, g), np.full(g.output_shape, 3, case.x.dtype), rtol)


def max_gradient_keeps_its_mass(max_grad: PoolGrad, case: PoolCase, rtol: float = 0.0) -> None:
    """Max pooling hands on all of its gradient, image by image and channel by channel, where no window lies wholly in padding."""
    g = case.geometry
    if not holds_data_everywhere(g):
        return
    dx = max_grad(case.x, case.grad, g)
    if dx.shape != case.x.shape:
        raise PropertyError(message("max_gradient_keeps_its_mass", f"shape {case.x.shape}", f"shape {dx.shape}"))
    found, wanted = (a.sum(tuple(range(2, a.ndim))) for a in (dx, case.grad))
    _same("max_gradient_keeps_its_mass", found, wanted, rtol)


def average_pooling_is_adjoint_to_its_gradient(pool: Pool, pool_grad: PoolGrad, case: PoolCase, rtol: float = 0.0) -> None:
    """<pool(x), g> = <x, pool_grad(g)>."""
    g = case.geometry.along(dilation=1)
    if not _can_average(g):
        return
    # multiples of every divisor that can occur: then the means are integers too
    common = math.prod(int(np.lcm.reduce(range(1, k + 1))) for k in g.kernel)
    dtype = np.float64 if common > 144 else case.x.dtype  # sums stay exact
    x, grad = case.x.astype(dtype) * common, np.resize(case.grad, g.output_shape).astype(dtype) * common
    y, dx = pool(x, g), pool_grad(x, grad, g)
    _number("average_pooling_is_adjoint_to_its_gradient", _dot(x, dx), _dot(y, grad), rtol, _dot(np.abs(y), np.abs(grad)))


POOL_PROPERTIES: tuple[Callable[..., None], ...] = (
    pool_counts_windows,
    pooling_leaves_channels_alone,
    pool_batches_are_independent,
    pool_ignores_the_layout,
)
"""Those that take (pool, case), of maxima or averages."""


# -- adaptive pooling --------------------------------------------------------------------------------------------------------
def _windows(size: int, count: int) -> list[range]:
    """Per window the places that it covers, by the definition in exact fractions."""
    found = []
    for o in range(count):
        first, last = Fraction(o * size, count), Fraction((o + 1) * size, count)
        found.append(range(math.floor(first), math.ceil(last)))
    return found


def adaptive_average_of_a_constant_is_the_constant(adaptive: Adaptive, case: AdaptiveCase) -> None:
    """Every window's divisor is the number of its pixels."""
    x = np.full(case.x.shape, 3, case.x.dtype)
    _same("adaptive_average_of_a_constant_is_the_constant", adaptive(x, case.geometry), np.full_like(case.grad, 3))


def adaptive_windows_that_divide_are_plain_windows(adaptive: Adaptive, pool: Pool, case: AdaptiveCase, rtol: float = 1e-6) -> None:
    """Where the windows divide an axis it is an average pooling with stride."""
    g = case.geometry
    kernel = (2, 3, 2)[: len(g.sizes)]
    x = np.resize(case.x, (g.n, g.c, *(o * k for o, k in zip(g.outputs, kernel)))).astype(case.x.dtype)
    wanted = pool(x, PoolGeometry.of(x.shape, kernel))
    found = adaptive(x, replace(g, sizes=x.shape[2:]))
    _same("adaptive_windows_that_divide_are_plain_windows", found, wanted, rtol)


def adaptive_pooling_is_adjoint_to_its_gradient(adaptive: Adaptive, grad: AdaptiveGrad, case: AdaptiveCase) -> None:
    """<pool(x), g> = <x, grad(g)>."""
    g = case.geometry
    # a multiple of every divisor: the means are integers too
    common = math.prod(int(np.lcm.reduce([len(w) for w in _windows(*axis)])) for axis in zip(g.sizes, g.outputs))
    dtype = np.float64 if common > 100 else case.x.dtype
    x, dy = case.x.astype(dtype) * common, case.grad.astype(dtype) * common
    y, dx = adaptive(x, g), grad(dy, g)
    if dx.shape != x.shape:
        raise PropertyError(message("adaptive_pooling_is_adjoint_to_its_gradient", f"shape {x.shape}", f"shape {dx.shape}"))
    _number("adaptive_pooling_is_adjoint_to_its_gradient", _dot(x, dx), _dot(y, dy), 0.0, _dot(np.abs(y), np.abs(dy)))


# -- batch normalisation: of x (N, C, ...), at least one example -------------------------------------------------------------
NORM_EPS = 1e-3


def normalised_channels_have_mean_0_and_variance_1(norm: Norm, x: np.ndarray, rtol: float = 1e-5) -> None:
    """The variance is var / (var + eps), to be exact."""
    wide, y = x.astype(np.float64), norm(x, NORM_EPS).astype(np.float64)
    var = wide.var((0, 2, 3))
    name = "normalised_channels_have_mean_0_and_variance_1"
    _same(name, y.mean((0, 2, 3)) + 1, np.ones(x.shape[1]), rtol)
    _same(name, y.var((0, 2, 3)) + 1, var / (var + NORM_EPS) + 1, rtol)


def normalisation_ignores_shift_and_scale(norm: Norm, x: np.ndarray, rtol: float = 1e-5) -> None:
    """norm(4 x + 64) with 16 times the eps is norm(x)."""
    _same("normalisation_ignores_shift_and_scale", norm(4 * x + x.dtype.type(64), 16 * NORM_EPS), norm(x, NORM_EPS), rtol)


def normalisation_leaves_channels_alone(norm: Norm, x: np.ndarray, rtol: float = 1e-5) -> None:
    """Each channel gives what it gives alone."""
    y = norm(x, NORM_EPS)
    for c in range(x.shape[1]):
        _same("normalisation_leaves_channels_alone", y[:, c : c + 1], norm(x[:, c : c + 1], NORM_EPS), rtol)


def normalisation_mixes_the_batch_evenly(norm: Norm, x: np.ndarray, rtol: float = 1e-5) -> None:
    """All pixels moved on by one, from image to image too, give the same moved on by one."""
    n, c, h, w = x.shape

    def moved(a: np.ndarray) -> np.ndarray:
        return np.moveaxis(np.roll(np.moveaxis(a, 1, -1).reshape(-1, c), 1, 0).reshape(n, h, w, c), -1, 1)

    _same("normalisation_mixes_the_batch_evenly", norm(moved(x), NORM_EPS), moved(norm(x, NORM_EPS)), rtol)


def normalisation_ignores_the_layout(norm: Norm, x: np.ndarray, rtol: float = 0.0) -> None:
    """The order of memory is not part of the meaning, bit for bit."""
    _same("normalisation_ignores_the_layout", norm(x, NORM_EPS), norm(np.ascontiguousarray(x), NORM_EPS), rtol)


NORM_PROPERTIES: tuple[Callable[..., None], ...] = (
    normalised_channels_have_mean_0_and_variance_1,
    normalisation_ignores_shift_and_scale,
    normalisation_leaves_channels_alone,
    normalisation_mixes_the_batch_evenly,
    normalisation_ignores_the_layout,
)
"""Those that take (norm, x)."""
