"""Batch normalisation in two launches a pass, which do the addition and the ReLU behind it too, forward and backward.

The launch that normalises waits for the next one (:mod:`numbacnn.kernels.cuda.held`). An addition or a ReLU of what it makes waits in its
place; when something else is launched, one kernel does them all, and what nobody refers to any more is never written. On the way
back the sum of two gradients and the mask of a ReLU wait, and the reduction of batch normalisation does their work.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ....kernels.cuda import held, views
from ....kernels.cuda.driver import launch
from ....kernels.cuda.fast import norm
from ....layout import channels_last
from ..arrays import CudaArray, Operand, ceil
from ..norm import Norm as SafeNorm
from ..reduce import WANTED_BLOCKS
from .held import Held

__all__ = ["Norm"]

COLUMNS = 5  # the bits of a warp's width: a block has no more columns beside each other


class _Chain(held.Held):
    """Launches of which each reads what the one before makes; the last makes ``out``.

    Args:
        kind: "normal", "added", "rectified": what a batch normalisation has come to; "sum", "masked": of gradients.
        out: the array that the last launch makes.
        launches: those that are new.
        whole: launches a kernel that does all in one, and needs memory for ``out`` alone; it may be given what is added, and a ReLU.
        operands: what a sum is made of; what a mask is made of, and of what.
        before: what waited so far, and goes on waiting as a part of this.
    """

    def __init__(
        self,
        kind: str,
        out: CudaArray,
        launches: Sequence[Callable[[], None]],
        whole: Callable[..., None] | None = None,
        operands: tuple[CudaArray, ...] = (),
        before: _Chain | None = None,
    ) -> None:
        super().__init__()
        self.kind, self.out, self.whole, self.operands = kind, out, whole, operands
        self.launches: list[Callable[[], None]] = [*launches]
        self.between: list[Callable[[], Any]] = []
        if before is not None:
            self.launches = [*before.launches, *launches]
            self.between = [*before.between, weakref.ref(before.out)]

    @property
    def is_alone(self) -> bool:
        """Whether nobody refers to an array that is made on the way."""
        return all(array() is None for array in self.between)

    def makes(self, array: Any) -> bool:
        return array is self.out or any(known() is array for known in self.between)

    def run(self) -> None:
        if self.whole is not None and self.is_alone:
            self.whole(self.out.buffer)
        else:
            for make in self.launches:
                make()


def _waits_for(waiting: held.Held | None, x: CudaArray, *kinds: str) -> _Chain | None:
    """What waits, where it is one of these kinds and makes this array."""
    return waiting if isinstance(waiting, _Chain) and waiting.kind in kinds and waiting.out is x else None


def _is_plain(x: CudaArray) -> bool:
    """Whether it lies in memory as an activation does."""
    return views.is_dense(x.view, channels_last(x.ndim))


class Norm(Held, SafeNorm):
    """Statistics of channels, what is made of them, and what follows that."""

    def _wait(self, chain: _Chain, before: _Chain | None = None) -> CudaArray:
        """Have the launches wait, if they may, and give what they make. ``before``: what has waited so far, of which they are a part."""
        if before is not None:
            held.now.held = chain
        elif self._may_wait():
            held.hold(chain)
        else:
            chain.run()
        return chain.out

    def unary(self, name: str, x: CudaArray) -> CudaArray:
        with held.claim() as waiting:
            before = _waits_for(waiting, x, "normal", "added") if name == "relu" else None
            if before is None or before.whole is None:
                return super().unary(name, x)
            with held.catching() as caught:
                out = super().unary(name, x)
            whole = functools.partial(before.whole, rectified=True)
            return self._wait(_Chain("rectified", out, caught, whole, before=before), before)

    def binary(self, name: str, a: Operand, b: Operand) -> CudaArray:
        if name != "add" or not (isinstance(a, CudaArray) and isinstance(b, CudaArray) and a.shape == b.shape and a.dtype.kind == "f"):
            return super().binary(name, a, b)
        if not (_is_plain(a) and _is_plain(b) and a.size):
            return super().binary(name, a, b)
        with held.claim() as waiting:
            before = _waits_for(waiting, a, "normal") or _waits_for(waiting, b, "normal")
            with held.catching() as caught:
                out = super().binary(name, a, b)
            if before is None or before.whole is None:
                return self._wait(_Chain("sum", out, caught, operands=(a, b)))
            whole = functools.partial(before.whole, added=b if before.out is a else a)
            return self._wait(_Chain("added", out, caught, whole, before=before), before)

    def unary_backward(self, name: str, grad: CudaArray, saved: CudaArray) -> CudaArray:
        if name != "relu" or not (_is_plain(grad) and _is_plain(saved) and grad.size):
            return super().unary_backward(name, grad, saved)
        with held.claim() as waiting:
            before = _waits_for(waiting, grad, "sum")
            with held.catching() as caught:
                out = super().unary_backward(name, grad, saved)
            operands = (saved, *((grad,) if before is None else before.operands))
            return self._wait(_Chain("masked", out, caught, operands=operands, before=before), before)

    @staticmethod
    def _cut(rows: int, cols: int) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
        """The blocks for (rows, cols), and the sizes that kernels are given: rows, columns, rows of a slice, bits of a block's columns."""
        shift = min(COLUMNS, (cols - 1).bit_length(), norm.THREADS.bit_length() - 1)
        across, step = ceil(cols, 1 << shift), (norm.THREADS >> shift) * norm.ROWS
        chunk = ceil(ceil(rows, max(1, WANTED_BLOCKS // across)), step) * step
        return (across, ceil(rows, chunk)), (rows, cols, chunk, shift)

    def batch_norm_forward(
        self,
        x: CudaArray,
        weight: CudaArray | None,
        bias: CudaArray | None,
        running_mean: CudaArray | None,
        running_var: CudaArray | None,
        training: bool,
        momentum: float | None,
        eps: float,
        tracked: CudaArray | None = None,
    ) -> tuple[CudaArray, CudaArray, CudaArray]:
        if not x.size:
            return super().batch_norm_forward(x, weight, bias, running_mean, running_var, training, momentum, eps, tracked)
        cols, real = x.shape[1], x.dtype.type
        grid, sizes = self._cut(x.size // cols, cols)
        memory, out = self.flat(self.channels_last(x)), self.empty(x.shape, x.dtype, channels_last(x.ndim))
        mean, invstd = self.empty((cols,), x.dtype), self.empty((cols,), x.dtype)
        running = [] if running_mean is None or running_var is None else [running_mean, running_var]
        dense = [self.contiguous(r) for r in running]
        moved = [self.flat(r) for r in dense] or [mean.buffer, mean.buffer]
        count = self.flat(self._operand(0, np.int64) if tracked is None else tracked)
        parts, moves = (mean.buffer, mean.buffer, 0), 0
        if training:
            means, squares = (self.empty((grid[1], cols), x.dtype).buffer for _ in range(2))
            launch(norm.moments, grid, norm.THREADS, memory, means, squares, count, int(tracked is not None), *sizes)
            parts, moves = (means, squares, grid[1]), 0 if not running else 2 if momentum is None and tracked is not None else 1
        share = real(1 if momentum is None else momentum)
        factors = (*self.optional(weight, mean), *self.optional(bias, mean))
        given = (memory, *parts, real(eps), mean.buffer, invstd.buffer, *moved, moves, share, count, *factors)

        def whole(into: Any, added: CudaArray | None = None, rectified: bool = False) -> None:
            more = (into, 0) if added is None else (self.flat(added), 1)
            launch(norm.normalise, grid, norm.THREADS, *given, *more, int(rectified), into, *sizes)

        out = self._wait(_Chain("normal", out, [functools.partial(whole, out.buffer)], whole))
        for r, changed in zip(running, dense):
            if moves and changed is not r:
                self.assign(r, changed)
        return out, mean, invstd

    def batch_norm_backward(
        self,
        grad: CudaArray,
        x: CudaArray,
        weight: CudaArray | None,
        mean: CudaArray,
        invstd: CudaArray,
        training: bool,
        needs: tuple[bool, ...],
    ) -> tuple[CudaArray | None, CudaArray | None, CudaArray | None]:
        if not grad.size or not (training or needs[1] or needs[2]):
            return super().batch_norm_backward(grad, x, weight, mean, invstd, training, needs)
        rows, cols = grad.size // grad.shape[1], grad.shape[1]
        grid, sizes = self._cut(rows, cols)
        memory, factor, center = self.flat(self.channels_last(x)), self.optional(weight, mean), self.flat(mean)
        totals, products = (self.empty((grid[1], cols), grad.dtype).buffer for _ in range(2))
        dx = self.empty(grad.shape, grad.dtype, channels_last(grad.ndim)) if needs[0] else grad
        dw, db = self.empty((cols,), grad.dtype), self.empty((cols,), grad.dtype)
        sources = self._sources(grad)
        launch(norm.grad_moments, grid, norm.THREADS, *sources, memory, center, totals, products, *sizes)
        g = self.flat(self.channels_last(grad))
        given = (g, memory, center, self.flat(invstd), *factor, totals, products, grid[1], int(training), dx.buffer, int(needs[0]))
        launch(norm.grad_input, grid if needs[0] else (grid[0], 1), norm.THREADS, *given, dw.buffer, db.buffer, *sizes)
        return dx if needs[0] else None, dw if needs[1] else None, db if needs[2] else None

    def _sources(self, grad: CudaArray) -> tuple[Any, ...]:
        """What ``grad_moments`` makes a gradient of: of the sum and the mask that wait, or of itself."""
        with held.claim() as waiting:
            masked = _waits_for(waiting, grad, "masked")
            if masked is None:
                g = self.flat(self.channels_last(grad))
                return g, g, 0, g, 0, g
            held.now.held = None
        y, *parts = masked.operands
        if not masked.is_alone:  # somebody has the sum
            masked.launches[0]()
            parts = [array for known in masked.between if (array := known()) is not None]
        return self.flat(parts[0]), self.flat(parts[-1]), len(parts) - 1, self.flat(y), 1, grad.buffer
