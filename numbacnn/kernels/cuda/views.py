"""Strided views as pure integers: where the elements of an array lie in its flat buffer. No devices, no arrays."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import ShapeError, message

__all__ = [
    "View",
    "broadcast",
    "collapse",
    "dense",
    "diagonal",
    "index",
    "is_basic",
    "is_dense",
    "memory_order",
    "repeats",
    "reshape",
    "transpose",
]

RANKS = (1, 4, 8)  # kernels are compiled for these; NumPy's limit of 64 axes is nobody's need


@dataclass(frozen=True, slots=True)
class View:
    """The first element's place, the sizes, and the distances between neighbours along each axis, in elements."""

    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def dense(shape: Sequence[int], order: Sequence[int]) -> View:
    """A view without gaps whose axes lie in memory in ``order``, slowest first."""
    return _dense(tuple(shape), tuple(order))


@functools.lru_cache(maxsize=4096)  # a step asks for few shapes, and for each again and again
def _dense(shape: tuple[int, ...], order: tuple[int, ...]) -> View:
    strides, step = [0] * len(shape), 1
    for axis in reversed(order):
        strides[axis] = step
        step *= max(shape[axis], 1)
    return View(0, shape, tuple(strides))


def is_dense(view: View, order: Sequence[int]) -> bool:
    """Whether the axes lie in memory in ``order`` without gaps. The stride of an axis of one element says nothing."""
    wanted = dense(view.shape, order).strides
    if view.strides == wanted or view.size == 0:
        return True
    return all(n == 1 or s == w for n, s, w in zip(view.shape, view.strides, wanted))


def memory_order(view: View) -> tuple[int, ...]:
    """The axes from the longest stride to the shortest; axes of equal stride keep their order."""
    return tuple(sorted(range(len(view.shape)), key=lambda axis: -abs(view.strides[axis])))


def transpose(view: View, axes: Sequence[int]) -> View:
    return View(view.start, tuple(view.shape[a] for a in axes), tuple(view.strides[a] for a in axes))


def diagonal(view: View, offset: int) -> View:
    """The diagonal of the first two axes as the last one."""
    (rows, columns, *shape), (down, right, *strides) = view.shape, view.strides
    length = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    start = view.start + (max(offset, 0) * right - min(offset, 0) * down if length else 0)
    return View(start, (*shape, length), (*strides, down + right))


def broadcast(view: View, shape: Sequence[int]) -> View:
    """The view repeated along axes of one element and along new axes in front.

    Raises:
        ShapeError: where the sizes do not fit; a kernel would read beyond the array.
    """
    new = len(shape) - len(view.shape)
    if new < 0 or any(n not in (1, size) for n, size in zip(view.shape, shape[new:])):
        raise ShapeError(message("broadcast_to", f"a shape that broadcasts to {tuple(shape)}", f"shape {view.shape}"))
    strides = [0 if n == 1 else s for n, s in zip(view.shape, view.strides)]
    return View(view.start, tuple(shape), (0,) * new + tuple(strides))


def repeats(view: View) -> bool:
    """Whether one place in memory serves several elements."""
    return any(s == 0 and n > 1 for n, s in zip(view.shape, view.strides))


def is_basic(item: Any) -> bool:
    """Whether one item of an index only moves and shortens: an integer, a slice, None or Ellipsis (but not True or False)."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return True
    return hasattr(item, "__index__") and not isinstance(item, bool) and getattr(item, "ndim", 0) == 0 and not hasattr(item, "__len__")


def index(view: View, items: tuple[Any, ...]) -> View:
    """``view[items]`` for basic items, as NumPy has it.

    Raises:
        IndexError: for an integer out of bounds or more items than axes.
    """
    ndim = len(view.shape)
    used = sum(item is not None and item is not Ellipsis for item in items)
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    if used > ndim or len(dots) > 1:
        raise IndexError(f"too many indices for array: array is {ndim}-dimensional, but {used} were indexed, with {len(dots)} ellipses")
    at = dots[0] if dots else len(items)
    items = items[:at] + (slice(None),) * (ndim - used) + items[at + 1 :]
    start, shape, strides, axis = view.start, [], [], 0
    for item in items:
        if item is None:
            shape.append(1)
            strides.append(0)
            continue
        n, stride = view.shape[axis], view.strides[axis]
        if isinstance(item, slice):
            first, stop, step = item.indices(n)
            length = len(range(first, stop, step))
            start += first * stride if length else 0
            shape.append(length)
            strides.append(stride * step)
        else:
            i = operator.index(item)
            if not -n <= i < n:
                raise IndexError(f"index {i} is out of bounds for axis {axis} with size {n}")
            start += i % n * stride
        axis += 1
    return View(start, tuple(shape), tuple(strides))


def _runs(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """Neighbouring axes joined where every set of strides allows it, axes of one element dropped."""
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for axis, n in enumerate(shape):
        here = [s[axis] for s in strides]
        if n == 1:
            continue
        if sizes and all(step[-1] == s * n for step, s in zip(steps, here)):
            sizes[-1] *= n
            for step, s in zip(steps, here):
                step[-1] = s
        else:
            sizes.append(n)
            for step, s in zip(steps, here):
                step.append(s)
    return sizes, steps


def collapse(shape: Sequence[int], *strides: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """The same elements in the same order with the fewest axes, brought to one of RANKS: (shape, strides, ...).

    >>> collapse((2, 3, 4), (12, 4, 1), (0, 4, 1))
    ((1, 1, 2, 12), (0, 0, 12, 1), (0, 0, 0, 1))
    """
    sizes, steps = _runs(shape, strides)
    extra = next((rank for rank in RANKS if rank >= len(sizes)), len(sizes)) - len(sizes)
    return (1,) * extra + tuple(sizes), *((0,) * extra + tuple(step) for step in steps)


def reshape(view: View, shape: Sequence[int]) -> View | None:
    """The view with another shape in logical C order; None where the strides do not allow it."""
    if view.size == 0:
        return View(view.start, tuple(shape), dense(shape, range(len(shape))).strides)
    sizes, (steps,) = _runs(view.shape, [view.strides])
    strides, run, left = [], -1, 1
    for n in shape:
        if left == 1 and n > 1:
            run += 1
            left = sizes[run]
        if left % n:
            return None
        left //= n
        strides.append(left * steps[run] if n > 1 else 0)
    return View(view.start, tuple(shape), tuple(strides))
