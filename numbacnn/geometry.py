"""Windows: where they lie, how many there are, and which sizes make no sense.

The only place where the shapes of convolution and pooling are judged. Pure integers: no arrays, no devices.
A geometry is frozen and hashable, so that kernels can cache what they derive from it.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .arguments import IntPair, pair
from .errors import ShapeError, message

__all__ = [
    "AdaptivePool2dGeometry",
    "AdaptiveSize",
    "Conv2dGeometry",
    "Padding",
    "Pool2dGeometry",
    "adaptive_size",
    "output_size",
]

AdaptiveSize: TypeAlias = int | Sequence[int | None] | None
Padding: TypeAlias = int | Sequence[int] | Literal["same", "valid"]


def output_size(size: int, kernel: int, stride: int, before: int, after: int, dilation: int = 1, ceil: bool = False) -> int:
    """How many windows fit along one axis; at most 0 where not even one does.

    ``(size + before + after - dilation * (kernel - 1) - 1) // stride + 1``; with ``ceil`` a last window may stick out,
    unless it would start in the padding behind the data (PyTorch's rule).

    >>> output_size(28, 5, 1, 2, 2), output_size(7, 2, 2, 0, 0, ceil=True)
    (28, 4)
    """
    room = size + before + after - dilation * (kernel - 1) - 1
    if not ceil:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + before else count


def _image(op: str, shape: Sequence[int]) -> tuple[int, int, int, int]:
    if len(shape) != 4:
        raise ShapeError(message(op, "input (N, C, H, W) or (C, H, W)", f"input {tuple(shape)}"))
    n, c, h, w = shape
    if min(c, h, w) < 1:
        raise ShapeError(message(op, "input (N, C, H, W) with C, H and W of at least 1", f"input {tuple(shape)}"))
    return n, c, h, w


_once: Callable[..., Any] = functools.lru_cache(maxsize=1024)(lambda cls, *sizes: cls(*sizes))
"""One object for equal sizes: what is looked up by it is then found without a comparison of all fields."""


@dataclass(frozen=True, slots=True)
class Conv2dGeometry:
    """A 2-d convolution: sizes in pixels and channels; ``padding`` is ((top, bottom), (left, right))."""

    n: int
    c: int
    h: int
    w: int
    oc: int
    kh: int
    kw: int
    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    oh: int = field(init=False, compare=False, repr=False)
    ow: int = field(init=False, compare=False, repr=False)
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        oh = output_size(self.h, self.kh, self.stride[0], *self.padding[0], self.dilation[0])
        ow = output_size(self.w, self.kw, self.stride[1], *self.padding[1], self.dilation[1])
        sizes = (self.n, self.c, self.h, self.w, self.oc, self.kh, self.kw, self.stride, self.padding, self.dilation, self.groups)
        for name, value in (("oh", oh), ("ow", ow), ("_hash", hash(sizes))):
            object.__setattr__(self, name, value)

    def __hash__(self) -> int:
        return self._hash

    @classmethod
    def of(
        cls,
        input_shape: Sequence[int],
        weight_shape: Sequence[int],
        stride: IntPair = 1,
        padding: Padding = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        op: str = "conv2d",
    ) -> Conv2dGeometry:
        """Judge the shapes of input (N, C, H, W) and weight (OC, C/groups, KH, KW).

        Raises:
            ShapeError: where they do not fit each other or no window fits the padded input.

        >>> Conv2dGeometry.of((8, 1, 28, 28), (6, 1, 5, 5), padding=2).output_shape
        (8, 6, 28, 28)
        """
        n, c, h, w = _image(op, input_shape)
        if len(weight_shape) != 4 or min(weight_shape) < 1:
            raise ShapeError(message(op, "weight (OC, C/groups, KH, KW) with sizes of at least 1", f"weight {tuple(weight_shape)}"))
        oc, cg, kh, kw = weight_shape
        sh, sw = pair(op, "stride", stride, 1)
        dh, dw = pair(op, "dilation", dilation, 1)
        if not isinstance(groups, int) or groups < 1 or c % groups or oc % groups:
            raise ShapeError(message(op, f"groups that divide C = {c} and OC = {oc}", f"groups = {groups!r}"))
        if cg * groups != c:
            match = f"to match input {tuple(input_shape)} and groups = {groups}"
            expected = f"weight (OC, C/groups, KH, KW) with C/groups = {c // groups} {match}"
            raise ShapeError(message(op, expected, f"weight {tuple(weight_shape)}"))
        pads = _padding(op, padding, (kh, kw), (sh, sw), (dh, dw))
        geometry: Conv2dGeometry = _once(cls, n, c, h, w, oc, kh, kw, (sh, sw), pads, (dh, dw), groups)
        if min(geometry.oh, geometry.ow) < 1:
            extent = (dh * (kh - 1) + 1, dw * (kw - 1) + 1)
            padded = (h + sum(pads[0]), w + sum(pads[1]))
            raise ShapeError(message(op, f"a padded input of at least the kernel's extent {extent}", f"padded input {padded}"))
        return geometry

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        return self.n, self.oc, self.oh, self.ow

    @property
    def macs(self) -> int:
        """Multiply-adds of one forward pass."""
        return self.n * self.oc * self.oh * self.ow * (self.c // self.groups) * self.kh * self.kw


def _padding(
    op: str, padding: Padding, kernel: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        if stride != (1, 1):
            raise ShapeError(message(op, "stride 1 with padding='same'", f"stride {stride}", "give the padding as numbers"))
        # an odd total puts the extra row or column behind, as PyTorch does
        totals = [d * (k - 1) for d, k in zip(dilation, kernel)]
        return (totals[0] // 2, totals[0] - totals[0] // 2), (totals[1] // 2, totals[1] - totals[1] // 2)
    if isinstance(padding, str):
        raise ShapeError(message(op, "padding as an integer, a pair, 'same' or 'valid'", repr(padding)))
    ph, pw = pair(op, "padding", padding, 0)
    return (ph, ph), (pw, pw)


@dataclass(frozen=True, slots=True)
class Pool2dGeometry:
    """A 2-d pooling. ``count_include_pad`` concerns averages only, ``dilation`` maxima only."""

    n: int
    c: int
    h: int
    w: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    ceil_mode: bool = False
    count_include_pad: bool = True
    oh: int = field(init=False, compare=False, repr=False)
    ow: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        for axis, (name, size) in enumerate((("oh", self.h), ("ow", self.w))):
            sizes = size, self.kernel[axis], self.stride[axis], self.padding[axis], self.padding[axis], self.dilation[axis]
            object.__setattr__(self, name, output_size(*sizes, self.ceil_mode))

    @classmethod
    def of(
        cls,
        input_shape: Sequence[int],
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        op: str = "max_pool2d",
    ) -> Pool2dGeometry:
        """Judge a pooling of input (N, C, H, W); ``stride`` defaults to ``kernel_size``.

        Raises:
            ShapeError: where the sizes make no sense, the padding exceeds half the kernel, or no window fits.

        >>> Pool2dGeometry.of((8, 6, 28, 28), 2).output_shape
        (8, 6, 14, 14)
        """
        n, c, h, w = _image(op, input_shape)
        kernel = pair(op, "kernel_size", kernel_size, 1)
        strides = kernel if stride is None else pair(op, "stride", stride, 1)
        pads = pair(op, "padding", padding, 0)
        dilations = pair(op, "dilation", dilation, 1)
        extent = (dilations[0] * (kernel[0] - 1) + 1, dilations[1] * (kernel[1] - 1) + 1)
        if pads[0] > kernel[0] // 2 or pads[1] > kernel[1] // 2:
            raise ShapeError(message(op, f"padding of at most half the kernel {kernel}", f"padding {pads}"))
        geometry: Pool2dGeometry = _once(cls, n, c, h, w, kernel, strides, pads, dilations, bool(ceil_mode), bool(count_include_pad))
        if min(geometry.oh, geometry.ow) < 1:
            padded = (h + 2 * pads[0], w + 2 * pads[1])
            raise ShapeError(message(op, f"a padded input of at least the window's extent {extent}", f"padded input {padded}"))
        return geometry

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        return self.n, self.c, self.oh, self.ow


@dataclass(frozen=True, slots=True)
class AdaptivePool2dGeometry:
    """A 2-d pooling to OH x OW windows of nearly equal sizes: window o covers the rows floor(o H / OH) to ceil((o + 1) H / OH)."""

    n: int
    c: int
    h: int
    w: int
    oh: int
    ow: int

    @classmethod
    def of(cls, input_shape: Sequence[int], output_size: AdaptiveSize, op: str = "adaptive_avg_pool2d") -> AdaptivePool2dGeometry:
        """Judge a pooling of input (N, C, H, W); None in ``output_size`` keeps an axis as it is.

        Raises:
            ShapeError: where the sizes make no sense.

        >>> AdaptivePool2dGeometry.of((8, 6, 7, 5), (1, None)).output_shape
        (8, 6, 1, 5)
        """
        n, c, h, w = _image(op, input_shape)
        oh, ow = adaptive_size(op, output_size)
        return cls(n, c, h, w, oh or h, ow or w)

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        return self.n, self.c, self.oh, self.ow


def adaptive_size(op: str, output_size: AdaptiveSize) -> tuple[int | None, int | None]:
    """``output_size`` as (height, width), each an integer of at least 1, or None for that of the input.

    >>> adaptive_size("adaptive_avg_pool2d", 7)
    (7, 7)
    """
    values = tuple(output_size) if isinstance(output_size, Sequence) and not isinstance(output_size, str) else (output_size,) * 2
    try:
        sizes = tuple(None if v is None else operator.index(v) for v in values)  # type: ignore[arg-type]
    except TypeError:
        sizes = ()
    if len(sizes) != 2 or any(v is not None and v < 1 for v in sizes):
        expected = "output_size as an integer of at least 1, None, or a pair (height, width) of such"
        raise ShapeError(message(op, expected, repr(output_size)))
    return sizes[0], sizes[1]
