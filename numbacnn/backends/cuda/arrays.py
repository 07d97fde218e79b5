"""Arrays in flat device buffers with a strided view: memory, copies, layout, views.

Views are made on the host without touching the device. Elementwise kernels read any strides; the others get flat, dense memory:
channels-last for activations, C order for matrices and parameters. Nothing waits for the device but ``to_numpy`` and ``item``, and
what goes through them: an index that is an array, and functions that only NumPy has (``by_numpy``).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import dlpack, recording
from ...dtypes import as_dtype
from ...errors import DeviceError, DTypeError, message
from ...kernels.cuda import driver, held, views
from ...kernels.cuda.driver import launch_flat
from ...kernels.cuda.simt import copy
from ...kernels.cuda.views import View
from ...layout import channels_last
from ...signatures import shown

__all__ = ["Arrays", "CudaArray", "Operand", "Strided", "ceil"]

WATCHED = 256  # values that the device judges before somebody reads a result
LIMIT = 2**31 - 1  # elements of an array: kernels index with 32 bits


class CudaArray:
    """A strided view of a flat device buffer. ``shape`` has logical axes; ``view.strides`` count elements."""

    __slots__ = ("__weakref__", "buffer", "dtype", "view")

    def __init__(self, buffer: Any, view: View, dtype: Any) -> None:
        self.buffer, self.view, self.dtype = buffer, view, np.dtype(dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.view.shape

    @property
    def ndim(self) -> int:
        return len(self.view.shape)

    @property
    def size(self) -> int:
        return self.view.size

    @property
    def base(self) -> Any:
        """What holds the memory, under NumPy's name."""
        return self.buffer

    def viewed(self, view: View) -> CudaArray:
        """Another view of the same buffer: from then on others than who has this array may read it."""
        if held.now.held is not None:
            held.seen(self)
        return CudaArray(self.buffer, view, self.dtype)

    def __repr__(self) -> str:
        return f"CudaArray(shape={self.shape}, dtype={self.dtype})"


Operand = CudaArray | float | int | bool

Strided = tuple[CudaArray, tuple[int, ...]]
"""An operand of an elementwise kernel, and its strides along the axes that the kernel knows."""


def ceil(a: int, b: int) -> int:
    return -(-a // b)


class Recorded:
    """What a plan asks of the device: where arrays lie, those that kernels are given too, and arrays of addresses."""

    device = "cuda"

    def __init__(self, xp: Arrays) -> None:
        self._xp = xp

    def is_array(self, value: Any) -> bool:
        """Whether a plan knows it as memory of the device."""
        return isinstance(value, CudaArray) or hasattr(value, "__cuda_array_interface__") or hasattr(value, "__cuda_ndarray__")

    def base(self, x: Any) -> Any:
        """What holds the memory."""
        return x.buffer if isinstance(x, CudaArray) else x

    def address(self, x: Any) -> int:
        """Where the first element lies."""
        start = x.view.start * x.dtype.itemsize if isinstance(x, CudaArray) else 0
        return driver.interface(self.base(x))["data"][0] + start

    def bounds(self, x: Any) -> tuple[int, int]:
        """The first byte of what holds an array, which kernels are given as a whole, and the one after the last."""
        base = self.base(x)
        shape, strides, dtype, _ = self.told(base)
        low = high = self.address(base)
        low += sum(s * (n - 1) for n, s in zip(shape, strides) if s < 0)
        return low, high + sum(s * (n - 1) for n, s in zip(shape, strides) if s > 0) + dtype.itemsize

    def told(self, x: Any) -> tuple[tuple[int, ...], tuple[int, ...], np.dtype, bool]:
        """Shape, strides in bytes, dtype, and whether it can be written to."""
        if isinstance(x, CudaArray):
            return x.shape, tuple(s * x.dtype.itemsize for s in x.view.strides), x.dtype, True
        found = driver.interface(x)
        shape, dtype = tuple(found["shape"]), np.dtype(found["typestr"])
        strides = found.get("strides") or tuple(s * dtype.itemsize for s in views.dense(shape, range(len(shape))).strides)
        return shape, tuple(strides), dtype, True

    def meet(self, x: CudaArray, y: CudaArray) -> bool:
        """Whether two arrays may share memory."""
        (low, high), (first, last) = self.bounds(x), self.bounds(y)
        return low < last and first < high

    def like(self, x: CudaArray) -> tuple[Any, ...]:
        """What kernels' other arguments were made of: two arrays that agree can stand for each other."""
        return x.shape, x.view.strides, x.dtype, (self.device, x.view.start, len(x.buffer))

    def memory(self, size: int, dtype: Any = np.uint8) -> Any:
        """So many bytes, uninitialised, as elements of this type."""
        return self._xp.allocate(max(size // np.dtype(dtype).itemsize, 1), np.dtype(dtype))

    def whole(self, x: CudaArray) -> Any:
        """What holds the memory, as what :meth:`shaped` takes."""
        return x.buffer

    def shaped(self, like: Any, memory: Any, place: int = 0) -> CudaArray:
        """An array in this memory, at this place of it in bytes: of an operand's shape, strides, dtype and offset."""
        dtype = like.dtype
        if memory.dtype != dtype:  # bytes that several may share
            end = like.offset + sum((n - 1) * s for n, s in zip(like.shape, like.strides)) + dtype.itemsize
            memory = memory[place : place + end].view(dtype)
        strides = tuple(s // dtype.itemsize for s in like.strides)
        return CudaArray(memory, View(like.offset // dtype.itemsize, like.shape, strides), dtype)

    def at(self, like: Any, address: int) -> Any:
        """An operand as a kernel is given it, at this address."""
        dense = tuple(s * like.dtype.itemsize for s in views.dense(like.shape, range(len(like.shape))).strides)
        found = {"shape": like.shape, "typestr": like.dtype.str, "strides": None if like.strides == dense else like.strides}
        return self._xp.lend(None, {**found, "data": (address, False), "version": 3})

    def join(self, calls: list[Any]) -> list[Any]:
        """What runs these launches: they themselves, or others that do several."""
        return calls

    def alike(self, x: CudaArray, like: Any) -> bool:
        """Whether an array lies in memory as an operand does."""
        return self.told(x)[1:3] == (like.strides, like.dtype) and not self.address(x) % self._xp.alignment

    def zeros_like(self, x: CudaArray) -> CudaArray:
        """Zeros that lie in memory as an array does."""
        order = views.memory_order(x.view)
        with recording.pausing():
            zeros = self._xp.full([x.shape[a] for a in order], 0, x.dtype)
        return self._xp.transpose(zeros, np.argsort(order).tolist())

    def assign(self, out: CudaArray, x: CudaArray) -> None:
        """out[...] = x."""
        self._xp.assign(out, x)

    def watch(self, fault: CudaArray, error: Callable[[CudaArray], Exception], given: CudaArray) -> None:
        """As ``Arrays.watch``."""
        self._xp.watch(fault, error, given)

    def settle(self) -> None:
        """Launch what waits for the next launch."""
        held.settle()

    def again(self, x: CudaArray) -> CudaArray:
        """Another array that is the same."""
        return x.viewed(x.view)

    def move_watched(self, left: Any) -> None:
        """What is judged later is the step's too."""
        self._xp.move_watched(lambda x: left(x) if left.concerns(x) else x)

    def wait(self) -> None:
        """Wait for all launched work."""
        self._xp.wait()


class Arrays:
    """Memory, and what looks at it."""

    alignment = 1
    """Of how many bytes the place of memory is a multiple that this device's kernels are given."""

    def __init__(self) -> None:
        self._faults: list[tuple[CudaArray, Callable[[CudaArray], Exception], CudaArray]] = []
        self.recorded = Recorded(self)
        self._constant = functools.lru_cache(maxsize=256)(self._make_constant)

    @property
    def account(self) -> Any:
        """The bytes that arrays use."""
        hint = 'nc.config.cuda_path = "fast", before the device is used'
        raise DeviceError(message("cuda", "the fast path, which keeps an account of memory", "the safe one", hint))

    # what a flat array is
    def allocate(self, size: int, dtype: np.dtype) -> Any:
        """So many elements, uninitialised."""
        return driver.cuda.device_array(size, dtype)

    def upload(self, values: np.ndarray) -> Any:
        """Flat values of the host, which may change as soon as this returns."""
        return driver.cuda.to_device(values)

    def wait(self) -> None:
        """Wait for all launched work."""
        driver.cuda.synchronize()

    def lend(self, owner: Any, found: dict[str, Any]) -> Any:
        """Memory that an interface describes and an owner keeps alive, for kernels of the library."""
        return driver.borrow(owner, found)

    def empty(self, shape: Sequence[int], dtype: Any, order: Sequence[int] | None = None) -> CudaArray:
        """Uninitialised; the axes lie in memory in ``order``, slowest first (C order by default)."""
        size = math.prod(shape)
        if size > LIMIT:
            raise DeviceError(message("cuda", f"arrays of at most {LIMIT} elements", f"shape {tuple(shape)}", "split the batch"))
        buffer = self.allocate(max(size, 1), np.dtype(dtype))
        if recording.now.tape is not None:
            recording.now.tape.makes(self.recorded, buffer)
        return CudaArray(buffer, views.dense(shape, range(len(shape)) if order is None else order), dtype)

    def flat(self, x: CudaArray) -> Any:
        """The memory of a dense array as a flat device array."""
        start, size = x.view.start, x.size
        return x.buffer if size in (0, len(x.buffer)) else x.buffer[start : start + size]

    def assign(self, x: CudaArray, value: CudaArray) -> None:
        """x[...] = value, which broadcasts; they share no memory."""
        surplus = value.ndim - x.ndim  # axes of one element, which NumPy lets pass
        if surplus > 0:
            value = self.reshape(value, value.shape[surplus:])
        value_view = views.broadcast(value.view, x.shape)
        shape, x_strides, strides = views.collapse(x.shape, x.view.strides, value_view.strides)
        self._each(copy.copy, x.size, (), shape, ((value, strides), (x, x_strides)))

    def _block(self, kernel: Any, threads: int, arrays: Sequence[CudaArray], cols: int = 0) -> tuple[Any, int]:
        """A kernel and the threads of its block, or another that does the same to these dense arrays; ``cols``: if of columns."""
        return kernel, threads

    def _each(self, kernel: Any, n: int, code: tuple[int, ...], shape: tuple[int, ...], operands: Sequence[Strided], *out: Any) -> None:
        """Launch ``kernel(*code, shape, (operand, start, strides)..., *out, n)``, a thread for each of n elements."""
        arguments = (arg for x, strides in operands for arg in (x.buffer, np.int32(x.view.start), strides))
        launch_flat(kernel, n, *code, shape, *arguments, *out)

    def ordered(self, x: CudaArray, order: Sequence[int]) -> CudaArray:
        """``x`` with its axes in memory in ``order``; a copy only where they are not."""
        if views.is_dense(x.view, order):
            return x
        out = self.empty(x.shape, x.dtype, order)
        self.assign(out, x)
        return out

    def contiguous(self, x: CudaArray) -> CudaArray:
        """``x`` in C order; a copy only where it is not."""
        return self.ordered(x, range(x.ndim))

    def channels_last(self, x: CudaArray) -> CudaArray:
        """``x`` (N, C, ...) in memory order (N, ..., C); a copy only where it is not."""
        return self.ordered(x, channels_last(x.ndim))

    def _make_constant(self, data: bytes, dtype: Any) -> CudaArray:
        with recording.pausing():
            out = self.empty((), dtype)
            self._fill(out, np.frombuffer(data, dtype)[0])
        recording.constant(out.buffer)
        return out

    def _operand(self, value: Operand, dtype: Any) -> CudaArray:
        """A scalar as a 0-d array; the last ones stay on the device. Their bits are the key: 0.0 and -0.0 are equal but not the same."""
        if isinstance(value, CudaArray):
            return value
        return self._constant(np.array(value, dtype).tobytes(), np.dtype(dtype))

    def optional(self, x: CudaArray | None, other: CudaArray) -> tuple[Any, int]:
        """Flat memory and whether it counts; where there is none, any memory of that type."""
        return (other.buffer, 0) if x is None else (self.flat(self.contiguous(x)), 1)

    def dense(self, shape: Sequence[int], dtype: Any, order: Sequence[int]) -> CudaArray:
        return self.empty(shape, dtype, order)

    def memory(self, x: CudaArray, order: Sequence[int]) -> Any:
        x = self.transpose(self.ordered(x, order), order)
        return driver.borrow(x.buffer, {**self._described(x), "strides": None})

    def interface(self, x: CudaArray) -> dict[str, Any]:
        """The ``__cuda_array_interface__`` of an array."""
        recording.refuse("memory is shown to another library")
        return self._described(x)

    @staticmethod
    def _described(x: CudaArray) -> dict[str, Any]:
        found, size = driver.interface(x.buffer), x.dtype.itemsize
        place, strides = found["data"][0] + x.view.start * size, tuple(s * size for s in x.view.strides)
        described = {"shape": x.shape, "typestr": x.dtype.str, "data": (place, False), "strides": strides}
        return {**described, "version": 3, "stream": found.get("stream")}

    def borrow(self, array: Any) -> CudaArray:
        found = driver.interface(array)
        dtype, shape = as_dtype("from_array", np.dtype(found["typestr"])), tuple(found["shape"])
        size = dtype.itemsize
        strides = found.get("strides") or tuple(s * size for s in views.dense(shape, range(len(shape))).strides)
        if found.get("mask") is not None or any(s % size for s in strides):
            raise DTypeError(message("from_array", "an array of whole elements without a mask", f"strides {strides} of {dtype}"))
        if 0 in shape:
            return self.empty(shape, dtype)
        before = sum(s * (n - 1) for n, s in zip(shape, strides) if s < 0)
        length = sum(abs(s) * (n - 1) for n, s in zip(shape, strides)) // size + 1
        if length > LIMIT:
            raise DeviceError(message("from_array", f"an array within {LIMIT} elements of memory", f"shape {shape}"))
        flat = {**found, "shape": (length,), "strides": None, "data": (found["data"][0] + before, False)}
        borrowed = CudaArray(self.lend(array, flat), View(-before // size, shape, tuple(s // size for s in strides)), dtype)
        return self.copy(borrowed) if found["data"][1] else borrowed

    def launch(self, kernel: Any, args: Sequence[Any], grid: tuple[int, ...], block: tuple[int, ...]) -> None:
        if not driver.is_kernel(kernel):
            raise TypeError(message("launch", "a kernel under @cuda.jit", shown(kernel), "one under @numba.njit takes no grid and block"))
        driver.launch_as_given(kernel, grid, block, *args)

    def dlpack_device(self) -> tuple[int, int]:
        return (1, 0) if driver.SIMULATED else (2, driver.cuda.get_current_device().id)

    def dlpack(self, x: CudaArray, stream: int | None, version: tuple[int, int] | None, copied: bool) -> Any:
        if stream not in (None, -1, 1):  # work of the library is in the default stream, which is 1
            self.wait()
        return dlpack.lend(x.buffer, self.interface(x), self.dlpack_device(), version is not None and version[0] >= 1, copied)

    def from_dlpack(self, source: Any) -> CudaArray:
        return self.borrow(dlpack.Taken(source, None if driver.SIMULATED else 1))

    def from_numpy(self, a: np.ndarray) -> CudaArray:
        recording.refuse("values are brought to the device: pass it as an argument that is there")
        order = views.memory_order(View(0, a.shape, a.strides))
        if a.size == 0:
            return self.empty(a.shape, a.dtype, order)
        if a.size > LIMIT:
            raise DeviceError(message("cuda", f"arrays of at most {LIMIT} elements", f"shape {a.shape}", "split the batch"))
        memory = np.ascontiguousarray(a.transpose(order)).reshape(-1)
        return CudaArray(self.upload(memory), views.dense(a.shape, order), a.dtype)

    def watch(self, fault: CudaArray, error: Callable[[CudaArray], Exception], given: CudaArray) -> None:
        """Raise ``error(given)`` at the next point that reads a result, if ``fault`` () is not 0 then."""
        if recording.now.tape is not None:
            recording.now.tape.watches(fault, error, given)
        self._faults.append((fault, error, given))
        if len(self._faults) > WATCHED:
            self.judge()

    def move_watched(self, moved: Callable[[CudaArray], CudaArray]) -> None:
        """Put other arrays in the place of those that are still to be judged."""
        self._faults = [(moved(fault), error, moved(given)) for fault, error, given in self._faults]

    def judge(self) -> None:
        """Wait for the device, and raise the first error that it has found."""
        faults, self._faults = self._faults, []
        for fault, error, given in faults:
            if fault.buffer.copy_to_host()[0]:
                raise error(given)

    def to_numpy(self, x: CudaArray) -> np.ndarray:
        recording.refuse("values are read")
        self.judge()
        order = views.memory_order(x.view)
        if x.size == 0:
            return np.empty(x.shape, x.dtype)
        memory = self.flat(self.ordered(x, order)).copy_to_host()
        return memory.reshape([x.shape[a] for a in order]).transpose(np.argsort(order))

    def by_numpy(self, function: Callable[..., Any], args: Sequence[Any], shape: Sequence[int], dtype: Any) -> CudaArray:
        out = np.empty(shape, dtype)
        with np.errstate(all="ignore"):
            function(*(self.to_numpy(a) if isinstance(a, CudaArray) else a for a in args), out)
        return self.from_numpy(out)

    def full(self, shape: Sequence[int], value: float, dtype: Any) -> CudaArray:
        out = self.empty(shape, dtype)
        self._fill(out, np.array(value, dtype)[()])
        return out

    def _fill(self, out: CudaArray, value: Any) -> None:
        launch_flat(copy.fill, out.size, out.buffer, value)

    def copy(self, x: CudaArray) -> CudaArray:
        return self.astype(x, x.dtype)

    def astype(self, x: CudaArray, dtype: Any) -> CudaArray:
        out = self.empty(x.shape, dtype, views.memory_order(x.view))
        self.assign(out, x)
        return out

    def item(self, x: CudaArray) -> Any:
        return self.to_numpy(x).item()

    def reshape(self, x: CudaArray, shape: Sequence[int]) -> CudaArray:
        view = views.reshape(x.view, shape)
        if view is None:
            x = self.contiguous(x)
            view = View(x.view.start, tuple(shape), views.dense(shape, range(len(shape))).strides)
        return x.viewed(view)

    def transpose(self, x: CudaArray, axes: Sequence[int]) -> CudaArray:
        return x.viewed(views.transpose(x.view, axes))

    def broadcast_to(self, x: CudaArray, shape: Sequence[int]) -> CudaArray:
        return x.viewed(views.broadcast(x.view, shape))

    def diagonal(self, x: CudaArray, offset: int) -> CudaArray:
        return x.viewed(views.diagonal(x.view, offset))

    def shares_memory(self, x: CudaArray, y: CudaArray) -> bool:
        return x.buffer is y.buffer

    def is_dense(self, x: CudaArray, order: Sequence[int]) -> bool:
        return views.is_dense(x.view, order)

    def parameter(self, x: CudaArray) -> CudaArray:
        return x

    def lay(self, x: CudaArray, order: Sequence[int]) -> None:
        """All lie as they are wanted."""

    def lock(self, holder: Any) -> None:
        """Nothing is kept, so nothing can become stale."""

    def unlock(self, x: CudaArray) -> None:
        """Nothing is locked."""

    def writable(self, x: CudaArray) -> bool:
        return True

    def empty_cache(self) -> None:
        """Nothing is kept: a buffer is freed with the last array that refers to it."""

    def synchronize(self) -> None:
        recording.refuse("the device is waited for")
        self.wait()
        self.judge()
