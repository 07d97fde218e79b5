"""One axis of a convolution or a pooling, and what the geometries made of axes have in common."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

from ..errors import ShapeError, message

__all__ = ["NAMES", "Axis", "Taps", "Windows", "axes_of", "in_front", "judge_input", "of_each", "once", "output_size"]

NAMES = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}
"""What the axes are called, by their number."""

Taps: TypeAlias = tuple[tuple[int, int], ...]
"""(tap, distance from the window's start) of those taps of a window that meet data."""

once: Callable[..., Any] = functools.lru_cache(maxsize=1024)(lambda cls, *sizes: cls(*sizes))
"""One object for equal sizes: what is looked up by it is then found without a comparison of all fields."""


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


@dataclass(frozen=True, slots=True)
class Axis:
    """Windows of ``kernel`` taps along one axis, which is padded ``before`` and ``after``; ``ceil``: the last one may stick out.

    >>> Axis(5, kernel=3, before=1, after=1).outputs
    5
    """

    size: int
    kernel: int = 1
    stride: int = 1
    before: int = 0
    after: int = 0
    dilation: int = 1
    ceil: bool = False
    outputs: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        outputs = output_size(self.size, self.kernel, self.stride, self.before, self.after, self.dilation, self.ceil)
        object.__setattr__(self, "outputs", outputs)

    @property
    def extent(self) -> int:
        """From a window's first tap to its last."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def padded(self) -> int:
        """The size with the padding."""
        return self.size + self.before + self.after

    def window(self, output: int) -> tuple[int, Taps]:
        """Where the window of an output starts, before the data where there is padding, and its taps.

        >>> Axis(5, kernel=3, before=1, after=1).window(0)
        (-1, ((1, 1), (2, 2)))
        """
        start = output * self.stride - self.before
        return start, tuple((k, k * self.dilation) for k in range(self.kernel) if 0 <= start + k * self.dilation < self.size)

    def grad_window(self, place: int) -> tuple[int, Taps]:
        """Of which outputs a place of the input gets gradients, and by which tap, the last tap first: a start, and the taps.

        >>> Axis(4, kernel=2, stride=2).grad_window(3)
        (1, ((1, 0),))
        """
        start, taps = (place + self.before) // self.stride, []
        for k in reversed(range(self.kernel)):
            output, rest = divmod(place + self.before - k * self.dilation, self.stride)
            if rest == 0 and 0 <= output < self.outputs:
                taps.append((k, output - start))
        return start, tuple(taps)


A = TypeVar("A")


def in_front(axes: Sequence[A], unit: A, count: int = 3) -> tuple[A, ...]:
    """``axes`` as ``count`` of them, the first of which are ``unit``: a signal is an image of one row, an image a volume of one slice.

    >>> in_front((28, 28), 1)
    (1, 28, 28)
    """
    return (unit,) * (count - len(axes)) + tuple(axes)


def of_each(name: str) -> Any:
    """A property: this field of each axis."""
    return property(lambda self: tuple(getattr(axis, name) for axis in self.axes), doc=f"``{name}`` of each axis.")


G = TypeVar("G", bound="Windows")


@dataclass(frozen=True, slots=True)
class Windows:
    """A batch of ``n``, ``c`` channels, and windows along one to three axes."""

    n: int
    c: int
    axes: tuple[Axis, ...]
    sizes: tuple[int, ...] = field(init=False, compare=False, repr=False)
    outputs: tuple[int, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sizes", tuple(axis.size for axis in self.axes))
        object.__setattr__(self, "outputs", tuple(axis.outputs for axis in self.axes))

    kernel = of_each("kernel")
    stride = of_each("stride")
    dilation = of_each("dilation")
    before = of_each("before")

    @property
    def padding(self) -> tuple[tuple[int, int], ...]:
        """(before, after) of each axis."""
        return tuple((axis.before, axis.after) for axis in self.axes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.n, self.c, *self.sizes

    def along(self: G, **fields: Any) -> G:
        """The same with these fields of the axes changed: a value for each axis, or one for all.

        >>> Windows(1, 1, (Axis(5, 3), Axis(6, 3))).along(size=(7, 8), stride=2).outputs
        (3, 3)
        """
        many = {name: value if isinstance(value, tuple) else (value,) * len(self.axes) for name, value in fields.items()}
        axes = (replace(axis, **{name: values[i] for name, values in many.items()}) for i, axis in enumerate(self.axes))
        return replace(self, axes=tuple(axes))


def axes_of(op: str, shape: Sequence[int]) -> int:
    """How many axes an input (N, C, ...) has after the channels."""
    if len(shape) - 2 not in NAMES:
        raise ShapeError(message(op, "input (N, C, L), (N, C, H, W) or (N, C, D, H, W)", f"input {tuple(shape)}"))
    return len(shape) - 2


def judge_input(op: str, shape: Sequence[int], axes: int) -> None:
    """Judge an input (N, C, ...) with so many axes after the channels."""
    names = ", ".join(NAMES[axes])
    if len(shape) != axes + 2:
        raise ShapeError(message(op, f"input (N, C, {names}) or (C, {names})", f"input {tuple(shape)}"))
    if min(shape[1:]) < 1:
        counted = " and ".join(", ".join(("C", *NAMES[axes])).rsplit(", ", 1))
        raise ShapeError(message(op, f"input (N, C, {names}) with {counted} of at least 1", f"input {tuple(shape)}"))
