"""Kernels as implementations: the passes of a backend, or of the reference, on geometries that the keywords describe."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from ... import backends
from ...backends import choice
from ...errors import DTypeError, ShapeError, message
from ...geometry import AdaptivePoolGeometry, ConvGeometry, PoolGeometry
from ..trial import attribute

__all__ = ["from_passes", "passes"]

WIDE = {"channels": (16, 20), "groups": (1, 1), "size": 7, "batch": 2}
RANGES: dict[str, dict[str, Any]] = {
    "winograd": WIDE | {"kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1)},
    "few pixels": WIDE | {"channels": (16, 16), "size": 5},
    "depthwise": {"channels": (1, 1), "groups": (16, 20), "size": 7},
    "grouped": {"channels": (2, 2), "groups": (8, 9), "size": 7},
    "column sum": {"groups": (1, 1), "dilation": (1, 1)},
    "superpixels": {"groups": (1, 1), "dilation": (1, 1), "kernel": (2, 3), "stride": (1, 1), "outputs": 2},
}
"""What cases a way to convolve takes."""
AXES = {"winograd": (2,)}
"""Of so many axes, where not of all."""


def passes(device: str) -> list[Any]:
    """Each way of a device to convolve; the first of them has its other operations too.

    What a way declines the general one does: so laws compare the two, and their own cases are not refused.
    """
    xp, found = backends.get(device), []
    for place, way in enumerate(xp.algorithms):
        found.append(from_passes(xp, f"numbacnn {device} {way}", (way, xp.algorithms[-1]), convolutions_only=place > 0))
        if way in RANGES:  # larger ones are rows of windows far apart, which the general one takes
            found[-1].largest = 2**16
    return found


def _given_padding(padding: Any, axes: int) -> list[tuple[int, int]]:
    sides = padding if isinstance(padding, Sequence) else (padding,) * axes
    return [tuple(side) if isinstance(side, Sequence) else (side, side) for side in sides]  # type: ignore[misc]


def conv_geometry(
    x: Sequence[int], w: Sequence[int], stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> ConvGeometry:
    """The geometry of a convolution's keywords; ``padding`` may be pairs."""
    pads = _given_padding(padding, len(x) - 2)
    padded = (*x[:2], *(size + before + after for size, (before, after) in zip(x[2:], pads)))
    before, after = zip(*pads)
    return ConvGeometry.of(padded, w, stride, 0, dilation, groups).along(size=tuple(x[2:]), before=before, after=after)


def transposed_geometry(
    x: Sequence[int], w: Sequence[int], stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1
) -> ConvGeometry:
    """The convolution whose gradient a transposed one is."""
    axes = len(x) - 2
    strides, pads, spares, dilations = (
        tuple(v) if isinstance(v, Sequence) else (v,) * axes for v in (stride, padding, output_padding, dilation)
    )
    if x[1] != w[0] or x[1] % groups:
        raise ShapeError(message("conv_transpose", f"weight ({x[1]}, OC/groups, ...)", f"weight {tuple(w)}"))
    sizes = [(n - 1) * s + d * (k - 1) + 1 + spare - 2 * p for n, s, d, k, spare, p in zip(x[2:], strides, dilations, w[2:], spares, pads)]
    return ConvGeometry.of((x[0], w[1] * groups, *sizes), w, strides, pads, dilations, groups)


def _of(xp: Any) -> Callable[[np.ndarray], Any]:
    """Arrays of a device; no kernel is meant for other dtypes than these."""

    def to(a: np.ndarray) -> Any:
        if a.dtype not in (np.float32, np.float64):
            raise DTypeError(message("kernels", "float32 or float64", str(a.dtype)))
        return xp.from_numpy(a)

    return to


def from_passes(xp: Any, name: str, ways: Sequence[str] = (), convolutions_only: bool = False) -> Any:
    """``xp``'s passes as an implementation; ``ways``: those to convolve that it may use, the one that it is about first."""
    to, back = (_of(xp), xp.to_numpy) if hasattr(xp, "from_numpy") else (np.asarray, np.asarray)
    narrowed = functools.partial(choice.only, *ways) if ways else contextlib.nullcontext
    way = ways[0] if ways else ""

    def conv(x: np.ndarray, w: np.ndarray, b: Any = None, **options: Any) -> np.ndarray:
        g = conv_geometry(x.shape, w.shape, **options)
        if b is not None and b.shape != (g.oc,):
            raise ShapeError(message("conv", f"bias ({g.oc},)", f"bias {b.shape}"))
        with narrowed():
            return back(xp.conv_forward(to(x), to(w), None if b is None else to(b), g))  # type: ignore[no-any-return]

    def conv_grad(grad: np.ndarray, x: np.ndarray, w: np.ndarray, b: Any = None, **options: Any) -> Any:
        g = conv_geometry(x.shape, w.shape, **options)
        with narrowed():
            return back(xp.conv_grad_input(to(grad), to(w), g)), back(xp.conv_grad_weight(to(grad), to(x), g))

    def conv_transpose(x: np.ndarray, w: np.ndarray, **options: Any) -> np.ndarray:
        g = transposed_geometry(x.shape, w.shape, **options)
        behind = [outputs - size for outputs, size in zip(g.outputs, x.shape[2:])]  # output padding of strides: as pixels of 0
        x = np.pad(x, [(0, 0), (0, 0), *((0, more) for more in behind)]) if any(behind) else x
        with narrowed():
            return back(xp.conv_grad_input(to(x), to(w), g))  # type: ignore[no-any-return]

    def max_pool(x: np.ndarray, kernel_size: Any, **options: Any) -> Any:
        return back(xp.max_pool_forward(to(x), PoolGeometry.of(x.shape, kernel_size, **options))[0])

    def max_pool_with_indices(x: np.ndarray, kernel_size: Any, **options: Any) -> Any:
        return tuple(map(back, xp.max_pool_forward(to(x), PoolGeometry.of(x.shape, kernel_size, **options))))

    def max_pool_grad(grad: np.ndarray, x: np.ndarray, kernel_size: Any, **options: Any) -> Any:
        g = PoolGeometry.of(x.shape, kernel_size, **options)
        return back(xp.max_pool_backward(to(grad), xp.max_pool_forward(to(x), g)[1], g))

    def avg_pool(x: np.ndarray, kernel_size: Any, **options: Any) -> Any:
        return back(xp.avg_pool_forward(to(x), PoolGeometry.of(x.shape, kernel_size, **options)))

    def avg_pool_grad(grad: np.ndarray, x: np.ndarray, kernel_size: Any, **options: Any) -> Any:
        return back(xp.avg_pool_backward(to(grad), PoolGeometry.of(x.shape, kernel_size, **options)))

    def adaptive_avg_pool(x: np.ndarray, output_size: Any) -> Any:
        return back(xp.adaptive_avg_pool_forward(to(x), AdaptivePoolGeometry.of(x.shape, output_size)))

    def adaptive_avg_pool_grad(grad: np.ndarray, x: np.ndarray, output_size: Any) -> Any:
        return back(xp.adaptive_avg_pool_backward(to(grad), AdaptivePoolGeometry.of(x.shape, output_size)))

    def output_shape(operation: str, shapes: Any, *sizes: Any, **options: Any) -> tuple[int, ...]:
        if operation.startswith("conv"):
            return conv_geometry(*shapes, **options).output_shape
        return PoolGeometry.of(*shapes, *sizes, **options).output_shape

    operations = [conv, conv_grad, conv_transpose]
    if not convolutions_only:
        operations += [max_pool, max_pool_with_indices, max_pool_grad, avg_pool, avg_pool_grad, adaptive_avg_pool, adaptive_avg_pool_grad]
    made = {attribute(f.__name__, axes): f for f in operations for axes in AXES.get(way, (1, 2, 3))}
    ranges = {family: RANGES.get(way, {}) for family in ("conv", "conv_transpose")} | {"avg_pool": {"divisors": (None,)}}
    rounding = "winograd" if way == "winograd" else "exact"
    promises = {"same_bits": True, "first_of_equals": True}
    return SimpleNamespace(name=name, rounding=rounding, ranges=ranges, output_shape=output_shape, **promises, **made)
