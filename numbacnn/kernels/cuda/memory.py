"""Flat memory of the device, which is kept when it is dropped, for the next array of its size.

The driver's own allocation takes the time of ten launches, and its way to free memory waits for all work. What is dropped here goes to a
list by size instead. All work is in one stream, so what uses a block again is launched after what used it before.

Sizes are rounded up to steps of an eighth of a power of two: at most an eighth is lost, and there are few sizes.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from ...errors import OutOfMemoryError, message
from . import api
from .driver import SIMULATED, borrow

__all__ = ["Block", "Buffer", "Pool", "account", "allocate", "empty", "new", "pool"]

LEAST = 512
"""Bytes of the smallest block. All begin at multiples of 256, as what the driver gives does; kernels need 16."""


class _Account:
    """Bytes that arrays use now, and at the most since somebody last asked to begin anew."""

    in_use = peak = 0

    def add(self, size: int) -> None:
        self.in_use += size
        if self.in_use > self.peak:
            self.peak = self.in_use

    @property
    def kept(self) -> int:
        """Bytes that wait for an array of their size."""
        return sum(pool.kept for pool in Pool.all)

    @staticmethod
    def shown(size: float) -> str:
        """A number of bytes, for people."""
        units = ["bytes", "KiB", "MiB", "GiB"]
        while size >= 1024 and len(units) > 1:
            size, units = size / 1024, units[1:]
        return f"{size:.4g} {units[0]}"


account = _Account()
"""Of all pools together."""


class Block:
    """Memory that goes back to its pool with the last reference to it."""

    __slots__ = ("address", "pool", "size")

    def __init__(self, pool: Pool, address: int, size: int) -> None:
        self.pool, self.address, self.size = pool, address, size

    def __del__(self, account: _Account = account) -> None:  # at the interpreter's end the module has no names any more
        account.in_use -= self.size
        self.pool.dropped[self.size].append(self.address)


@functools.lru_cache(maxsize=4096)
def _rounded(size: int) -> int:
    step = max(LEAST, 1 << max(size.bit_length() - 4, 0))
    return max(-(-size // step), 1) * step


class Pool:
    """Blocks that were dropped, by size.

    Args:
        turns: whether a block is free from the next :meth:`turn` on, and not as soon as it is dropped.
    """

    all: ClassVar[list[Pool]] = []

    def __init__(self, turns: bool = False) -> None:
        self.free: dict[int, list[int]] = {}
        self.dropped: dict[int, list[int]] = {} if turns else self.free
        Pool.all.append(self)

    def take(self, size: int) -> Block:
        """A block of at least so many bytes.

        Raises:
            OutOfMemoryError: there is no memory, even after what is kept was given back.
        """
        size = _rounded(size)
        try:
            address = self.free[size].pop()
        except (KeyError, IndexError):
            for blocks in (self.free, self.dropped):
                blocks.setdefault(size, [])
            address = _new_or_kept(size)
        account.add(size)
        return Block(self, address, size)

    def turn(self) -> None:
        """What was dropped until now is free."""
        for size, address in self._taken(self.dropped):
            self.free[size].append(address)

    @staticmethod
    def _taken(blocks: dict[int, list[int]]) -> Iterator[tuple[int, int]]:
        for size, waiting in list(blocks.items()):
            with contextlib.suppress(IndexError):  # another thread may take the last one
                while True:
                    yield size, waiting.pop()

    @property
    def kept(self) -> int:
        """Bytes that wait."""
        lists = [*self.free.items(), *(self.dropped.items() if self.dropped is not self.free else ())]
        return sum(size * len(waiting) for size, waiting in lists)

    def empty(self) -> None:
        """Give back what waits, which nobody may still use."""
        for blocks in (self.free, self.dropped):
            for _, address in self._taken(blocks):
                give_back(address)


def _new_or_kept(size: int) -> int:
    """New memory; where there is none, all that is kept is given back first."""
    with contextlib.suppress(MemoryError):
        return new(size)
    empty()
    try:
        return new(size)
    except MemoryError as error:
        received = f"{error} with {account.shown(account.in_use)} in use"
        raise OutOfMemoryError(message("cuda", f"{account.shown(size)} of free memory", received, api.HINTS[api.OUT_OF_MEMORY])) from None


def empty() -> None:
    """Give all memory that is kept back to the driver."""
    if any(pool.kept for pool in Pool.all):
        wait()
        for pool in Pool.all:
            pool.empty()


# -- what the driver has; in the simulator it is the host ----------------------------------------------------------------------
_hosts: dict[int, np.ndarray] = {}


def new(size: int) -> int:
    """The address of new memory.

    Raises:
        MemoryError: there is none.
    """
    if SIMULATED:
        room = np.empty(size + LEAST, np.uint8)
        address = room.ctypes.data + -room.ctypes.data % LEAST
        _hosts[address] = room
        return address
    api.enter()
    found = ctypes.c_uint64()
    error = api.function("cuMemAlloc_v2")(ctypes.addressof(found), size)
    if error == api.OUT_OF_MEMORY:
        raise MemoryError(api.name_of(error))
    if error:
        raise api.error_of("cuMemAlloc_v2", error)
    return found.value


def give_back(address: int) -> None:
    """Free what :func:`new` gave."""
    if SIMULATED:
        del _hosts[address]
    else:
        api.call("cuMemFree_v2", address)


def wait() -> None:
    """Wait until all work that was launched is done."""
    if not SIMULATED:
        api.call("cuCtxSynchronize")


# -- arrays --------------------------------------------------------------------------------------------------------------------
class Buffer:
    """A flat array: where it begins, how many elements it has and of which type. ``owner`` keeps the memory alive."""

    __slots__ = ("__weakref__", "address", "dtype", "owner", "size", "tag")

    def __init__(self, owner: Any, address: int, size: int, dtype: np.dtype) -> None:
        self.owner, self.address, self.size, self.dtype, self.tag = owner, address, size, dtype, dtype.char

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> Buffer:
        """The elements from ``part.start`` to ``part.stop``, in the same memory."""
        start, stop, _ = part.indices(self.size)
        return Buffer(self.owner, self.address + start * self.dtype.itemsize, max(stop - start, 0), self.dtype)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def view(self, dtype: Any) -> Buffer:
        """The same bytes as elements of another type."""
        dtype = np.dtype(dtype)
        return Buffer(self.owner, self.address, self.nbytes // dtype.itemsize, dtype)

    def reshape(self, shape: list[int]) -> Any:
        """An array of Numba's in the same memory, for kernels that Numba launches."""
        return borrow(self, {**self.__cuda_array_interface__, "shape": tuple(shape)})

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": (self.size,),
            "typestr": self.dtype.str,
            "data": (self.address, False),
            "strides": None,
            "version": 3,
            "stream": None,
        }

    def copy_to_host(self) -> np.ndarray:
        """The values, when all work that was launched before is done."""
        out = np.empty(self.size, self.dtype)
        api.call("cuMemcpyDtoH_v2", out.ctypes.data, self.address, out.nbytes)
        return out


pool = Pool()
"""Memory of what kernels make."""


def allocate(size: int, dtype: np.dtype, pool: Pool = pool) -> Any:
    """A flat array of so many elements, uninitialised: a Buffer, or an array of the simulator's."""
    block = pool.take(size * dtype.itemsize)
    made = Buffer(block, block.address, size, dtype)
    return borrow(block, made.__cuda_array_interface__) if SIMULATED else made
