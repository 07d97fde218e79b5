"""Reductions. NumPy's order depends on the strides, so these are made the same first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import recording
from ...formulas import LARGE
from ...kernels.cpu import reduce, softmax
from ...kernels.cpu.launch import compute, launch
from .arrays import Array, Arrays, c_ordered, filled, memory_axis, to_channels_first, to_channels_last
from .buffers import Buffers, plain

__all__ = ["Reduce", "channel_sum"]

SERIAL_SUM_LIMIT = 64  # numbers that may be added one after the other, at a loss of 4e-7


def channel_sum(buffers: Buffers, code: int, grad: Array, y: Array, pixels: Array, window: Array = reduce.NO_WINDOW) -> Array:
    """The sums (C,) of pixels (P, C).

    With an activation or a ``window`` they are filled first, with the gradient of what that made y of: see ``reduce.channel_sum``.
    """
    partial = buffers.empty(reduce.channel_sum_scratch(*pixels.shape), pixels.dtype)
    total = plain((pixels.shape[1],), pixels.dtype)
    launch(reduce.channel_sum, grad.reshape(-1), y.reshape(-1), code, window, pixels, partial, total)
    return total


def _drop_axes(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """What was reduced along axes, which have size 1 now, without these unless they are kept."""
    return x if keepdims else x.reshape([s for i, s in enumerate(x.shape) if i not in axes])


class Reduce(Arrays):
    """Sums, maxima, softmax."""

    def sum(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        places = sorted(memory_axis(a, x.ndim) for a in axes)
        terms = math.prod(x.shape[a] for a in axes)
        if not x.size or x.dtype != np.float32 or terms <= SERIAL_SUM_LIMIT or places == [*range(x.ndim - len(places), x.ndim)]:
            return self._reduce(np.add.reduce, x, axes, keepdims)
        # NumPy adds pairwise along the end of memory only; along other axes one after the other, where digits get lost
        if places == [*range(len(places))] and x.size >= LARGE:
            return _drop_axes(self._sum_of_rows(x, len(places)), axes, keepdims)
        return self.astype(self._reduce(np.add.reduce, self.astype(x, np.float64), axes, keepdims), x.dtype)

    def _sum_of_rows(self, x: Array, count: int) -> Array:
        """The sum along the first ``count`` axes in memory, which are kept."""
        memory = self.contiguous(x)
        kept = memory.shape[count:]
        pixels = memory.reshape(-1, math.prod(kept))
        total = channel_sum(self.buffers, 0, pixels, pixels, pixels)
        return to_channels_first(total.reshape((1,) * count + kept))

    def max(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        return self._reduce(np.maximum.reduce, x, axes, keepdims)

    def min(self, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        return self._reduce(np.minimum.reduce, x, axes, keepdims)

    def _reduce(self, function: Any, x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
        if recording.now.tape is None and x.ndim == 1 == len(axes) and x.flags.c_contiguous:
            with np.errstate(all="ignore"):
                return np.asarray(function(x, keepdims=keepdims))
        memory, places = to_channels_last(x), tuple(sorted(memory_axis(a, x.ndim) for a in axes))
        memory = memory if memory.flags.c_contiguous else c_ordered(memory)
        out = plain([1 if i in places else size for i, size in enumerate(memory.shape)], x.dtype)
        compute(function, memory, places, None, out, True)
        return _drop_axes(to_channels_first(out), axes, keepdims)

    def argmax(self, x: Array, axis: int) -> Array:
        return self._place(np.argmax, x, axis)

    def argmin(self, x: Array, axis: int) -> Array:
        return self._place(np.argmin, x, axis)

    def _place(self, function: Callable[..., Any], x: Array, axis: int) -> Array:
        out = plain(x.shape[:axis] + x.shape[axis + 1 :], np.int64)
        if recording.now.tape is None or x.dtype.kind == "b" or not out.size:
            compute(function, x, axis, out)
            return out
        # channels that lie last in memory are the place of C-ordered pixels
        last = axis == 1 and not x.flags.c_contiguous and to_channels_last(x).flags.carray
        memory, step = (to_channels_last(x), 1) if last else (c_ordered(x), math.prod(x.shape[axis + 1 :]))
        launch(reduce.place, memory.reshape(-1), x.shape[axis], step, int(function is np.argmin), out.reshape(-1))
        return out

    def channel_sum(self, grad: Array) -> Array:
        memory = self.contiguous(grad)
        if not memory.size:
            return filled(memory.shape[-1:], 0, memory.dtype)
        return channel_sum(self.buffers, 0, memory, memory, memory.reshape(-1, memory.shape[-1]))

    def softmax(self, x: Array, axis: int) -> Array:
        return self._rows(softmax.softmax, axis, x)

    def softmax_backward(self, grad: Array, y: Array, axis: int) -> Array:
        return self._rows(softmax.softmax_backward, axis, grad, y)

    def log_softmax(self, x: Array, axis: int) -> Array:
        return self._rows(softmax.log_softmax, axis, x)

    def log_softmax_backward(self, grad: Array, y: Array, axis: int) -> Array:
        return self._rows(softmax.log_softmax_backward, axis, grad, y)

    def _rows(self, kernel: Any, axis: int, *arrays: Array) -> Array:
        """A kernel over rows (R, K) along one axis."""
        if not arrays[0].ndim:
            return self._rows(kernel, axis, *(a.reshape(1) for a in arrays)).reshape(())
        last = [c_ordered(np.moveaxis(a, axis, -1)) for a in arrays]
        out = plain(last[0].shape, last[0].dtype)
        if out.size:
            launch(kernel, *(a.reshape(-1, a.shape[-1]) for a in (*last, out)))
        return np.moveaxis(out, -1, axis)
