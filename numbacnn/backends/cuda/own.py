"""A user's kernel in place of a built-in one: how it meets the memory of this device."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import message
from ...geometry import ConvGeometry, PoolGeometry
from ...kernels.cuda import driver
from ...layout import channels_last
from ..choice import Algorithm, DType
from ..own import Kernel, name_of
from .arrays import CudaArray, ceil
from .pointwise import Pointwise

__all__ = ["Own"]


class _Filler:
    """Runs a kernel on device arrays in the layout that it wants: ``order`` is that of the axes (N, C, H, W) in memory."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.name = kernel, f"{kernel.name} (own)"
        self.order = tuple(range(4)) if kernel.layout == "nchw" else channels_last(4)

    def reason(self, op: str, g: Any, dtype: DType) -> str:
        return self.kernel.reason(op, g, dtype)

    def make(
        self, xp: Pointwise, which: str, ins: Sequence[CudaArray], g: Any, shape: tuple[int, ...], *dtypes: Any, plain: Sequence[int] = ()
    ) -> tuple[CudaArray, ...]:
        """Activations of this shape, one for each dtype, that it has filled; ``plain`` are the places of weights among its arrays."""
        orders = [range(4) if i in plain else self.order for i in range(len(ins) + len(dtypes))]
        outs = tuple(xp.empty(shape, dtype, order) for dtype, order in zip(dtypes, orders[len(ins) :]))
        if self.kernel.guarded:
            for out in outs:
                xp.assign(out, xp.full((), np.nan if out.dtype.kind == "f" else -1, out.dtype))
        dense = [xp.ordered(a, order) for a, order in zip((*ins, *outs), orders)]
        memory = [xp.flat(a).reshape([a.shape[axis] for axis in order]) for a, order in zip(dense, orders)]
        self.kernel.run(which, self._launch, memory[: len(ins)], g, memory[len(ins) :])
        return outs

    def _launch(self, function: Any, *args: Any) -> None:
        """A thread for each element of what is filled, unless the user says how many blocks."""
        out, block = args[-1], self.kernel.block
        threads = math.prod(block) if isinstance(block, tuple) else block
        grid = (ceil(out.size, threads),) if self.kernel.grid is None else self.kernel.grid(tuple(out.shape))
        driver.launch_as_given(function, (grid,) if isinstance(grid, int) else grid, block, *args)


class _Conv(_Filler, Algorithm):
    def forward(self, xp: Pointwise, x: CudaArray, w: CudaArray, b: CudaArray | None, activation: str, g: ConvGeometry) -> CudaArray:
        (out,) = self.make(xp, "forward", (x, w), g, g.output_shape, x.dtype, plain=(1,))
        return xp.activated(out if b is None else xp.binary("add", out, xp.reshape(b, (g.oc, 1, 1))), activation)

    def grad_input(self, xp: Pointwise, grad: CudaArray, w: CudaArray, g: ConvGeometry) -> CudaArray:
        return self.make(xp, "grad_input", (grad, w), g, g.input_shape, grad.dtype, plain=(1,))[0]

    def grad_weight(self, xp: Pointwise, grad: CudaArray, x: CudaArray, g: ConvGeometry) -> CudaArray:
        return self.make(xp, "grad_weight", (grad, x), g, g.weight_shape, x.dtype, plain=(2,))[0]


class _Pool(_Filler):
    def forward(self, xp: Pointwise, x: CudaArray, g: PoolGeometry, *dtypes: Any) -> tuple[CudaArray, ...]:
        return self.make(xp, "forward", (x,), g, g.output_shape, *dtypes)

    def grad_input(self, xp: Pointwise, given: Sequence[CudaArray], g: PoolGeometry) -> CudaArray:
        return self.make(xp, "grad_input", given, g, g.input_shape, given[0].dtype)[0]


class Own(Pointwise):
    """Makes a user's kernel one of this device."""

    def own(self, kernel: Kernel) -> Any:
        for which, function in kernel.functions().items():
            if not hasattr(function, "__getitem__"):
                raise TypeError(message("use_kernel", f"{which} as a @cuda.jit kernel for this device", name_of(function)))
        return _Conv(kernel) if kernel.op.startswith("conv") else _Pool(kernel)
