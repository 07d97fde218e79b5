"""A user's kernel in place of a built-in one: how it meets the memory of this device."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from ... import recording
from ...errors import message
from ...geometry import ConvGeometry, PoolGeometry
from ...kernels.cpu import pointwise
from ...kernels.cpu.launch import compute, launch
from ...names import ACTIVATIONS
from ..choice import DType
from ..own import Kernel, KernelError, name_of
from .arrays import Array, c_ordered, to_channels_first, to_channels_last
from .buffers import Buffers
from .conv.algorithm import Algorithm
from .run import Weights

__all__ = ["Own"]


def _run(function: Any, *args: Any) -> None:
    """Launch a kernel of Numba's; call a function of Python's."""
    if hasattr(function, "py_func"):
        launch(function, *args)
    else:
        recording.refuse(f"{name_of(function)} is a kernel of your own that Python runs")
        compute(_filling, function, *args)


def _filling(function: Callable[..., Any], *args: Any) -> None:
    found = function(*args)
    if found is not None:
        hint = "write into out, as out[...] = y"
        raise KernelError(message("use_kernel", f"{name_of(function)} to fill out and return nothing", f"{type(found).__name__}", hint))


class _Filler:
    """Runs a kernel on arrays (N, ..., C), in the layout that it wants."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel, self.name = kernel, f"{kernel.name} (own)"

    def reason(self, op: str, g: Any, dtype: DType) -> str:
        return self.kernel.reason(op, g, dtype)

    def laid(self, buffers: Buffers, x: Array) -> Array:
        """An activation (N, ..., C) as the kernel takes it."""
        if self.kernel.layout == "nhwc":
            return x
        out = self._room(buffers, x)
        compute(np.copyto, out, to_channels_first(x))
        return out

    def _room(self, buffers: Buffers, out: Array) -> Array:
        return out if self.kernel.layout == "nhwc" else buffers.empty(to_channels_first(out).shape, out.dtype)

    def make(self, buffers: Buffers, which: str, ins: Sequence[Array], g: Any, *outs: Array) -> None:
        """Have it fill activations (N, ..., C)."""
        made = [self._room(buffers, out) for out in outs]
        self.write(which, ins, g, made)
        for out, filled in zip(outs, made):
            if filled is not out:
                compute(np.copyto, out, to_channels_last(filled))

    def write(self, which: str, ins: Sequence[Array], g: Any, outs: Sequence[Array]) -> None:
        """Have it fill these very arrays."""
        run = self.kernel.run_guarded if self.kernel.guarded else self.kernel.run
        run(which, _run, ins, g, outs)


class _Conv(_Filler, Algorithm):
    """Weights are C-ordered in either layout."""

    def layout(self, g: ConvGeometry, dtype: DType) -> Hashable:
        return "own"

    def pack(self, buffers: Buffers, w: Array, g: ConvGeometry) -> Array:
        return np.array(w, order="C")  # one that a kernel takes: a locked weight is read-only

    def forward(self, buffers: Buffers, x: Array, w: Weights, bias: Array | None, code: int, g: ConvGeometry, out: Array) -> None:
        weight, packed = w
        self.make(buffers, "forward", (self.laid(buffers, x), c_ordered(weight) if packed is None else packed), g, out)
        if bias is not None:
            compute(np.add, out, bias, out)
        if code:
            launch(pointwise.forward(ACTIVATIONS[code]), out.reshape(-1), out.reshape(-1))

    def grad_input(self, buffers: Buffers, grad: Array, w: Array, g: ConvGeometry, out: Array) -> None:
        self.make(buffers, "grad_input", (self.laid(buffers, grad), w), g, out)

    def grad_weight(self, buffers: Buffers, grad: Array, x: Array, g: ConvGeometry, out: Array) -> None:
        self.write("grad_weight", (self.laid(buffers, grad), self.laid(buffers, x)), g, (out,))


class _Pool(_Filler):
    """Arrays (N, ..., C)."""

    def forward(self, buffers: Buffers, x: Array, g: PoolGeometry, *outs: Array) -> None:
        self.make(buffers, "forward", (self.laid(buffers, x),), g, *outs)

    def grad_input(self, buffers: Buffers, given: Sequence[Array], g: PoolGeometry, out: Array) -> None:
        self.make(buffers, "grad_input", [self.laid(buffers, a) for a in given], g, out)


class Own:
    """Makes a user's kernel one of this device."""

    def own(self, kernel: Kernel) -> Any:
        for which, function in kernel.functions().items():
            if hasattr(function, "__getitem__"):
                expected = f"{which} as a function or an @njit kernel for this device"
                raise TypeError(message("use_kernel", expected, f"{name_of(function)}, a @cuda.jit kernel", "pass device='cuda'"))
        return _Conv(kernel) if kernel.op.startswith("conv") else _Pool(kernel)
