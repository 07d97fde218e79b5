"""Launches of compiled kernels at the price of a driver's call: Numba's own way takes fifty times as long.

The arguments of a launch lie one behind the other in a buffer, as the kernel's signature says, and the driver copies it. A flat array is
seven numbers of eight bytes there. A kernel of the library reads one of them, the address, for it indexes flat memory without
a sign; so an array costs a launch one number, and the others are zeros.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import types

from ...recording import Numbers
from . import api, memory
from .driver import POINTERS, from_dtype
from .memory import Buffer

__all__ = ["HEAD", "Launcher", "Packed", "format_of"]

ARRAY = "0q32xQ16x"
"""An array's owner, its parent, its elements, their size, *the address*, its shape and its strides; '0q' aligns it."""
CODES = {
    "boolean": "?",
    "bool": "?",
    "float32": "f",
    "float64": "d",
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "q",
    "uint8": "B",
    "uint32": "I",
    "uint64": "Q",
}
"""The codes of ``struct`` for Numba's types of numbers."""

HEAD = "6I32xQ"
"""What the driver is told of a launch: blocks and threads along three axes, no attributes; and the size of the arguments."""
AT, SIZE = struct.calcsize(f"@{HEAD}"), struct.calcsize("@6I32x")
"""Where the arguments begin behind the head, and where their size is written in it."""
ROOM = 4096
"""Bytes of the arguments of a launch: what every device takes."""
POINTER, LENGTH, END = 1, 2, 0
"""How the driver calls what follows: the address of the arguments, that of their size, nothing more."""


def format_of(signature: Sequence[Any]) -> str:
    """The code of ``struct`` for the arguments of a kernel that was compiled for these Numba types. '@' aligns as CUDA does."""
    return "@" + "".join(map(_code, signature))


def _code(ty: Any) -> str:
    if hasattr(ty, "layout"):  # asked of what they have, for numba-cuda's classes of types are not Numba's
        return ARRAY
    return "".join(map(_code, ty)) if hasattr(ty, "count") else CODES[str(ty)]


class _Compiled(NamedTuple):
    """A kernel for one signature."""

    pack: Any
    """Writes a launch into a buffer: its head and its arguments."""
    handle: int
    size: int
    kernel: Any
    """Numba's, whose machine code goes with it."""


def _numba_type(value: Any) -> Any:
    kind = type(value)
    if kind is Buffer:
        return from_dtype(value.dtype)[::1]
    if kind is tuple and value and value[0] is POINTERS:
        return types.UniTuple(types.uint64, len(value) - 1)
    if kind is tuple:
        return types.UniTuple(types.int32 if isinstance(value[0], int) else _numba_type(value[0]), len(value))
    return types.uint32 if isinstance(value, int) else from_dtype(np.dtype(kind))


def _compiled(kernel: Any, values: Sequence[Any]) -> _Compiled:
    """Numba compiles it, or loads it from disk."""
    signature = tuple(map(_numba_type, values))
    with api.translated(f"a driver that loads {kernel.__name__}"):
        made = kernel.compile(signature)
        handle = made._codelibrary.get_cufunc().handle
    if isinstance(handle, ctypes.c_void_p):  # Numba's own target
        number = handle.value
    else:  # numba-cuda: a kernel, of which the driver gives the function in this context, or that function
        number = int(handle)
        if type(handle).__name__ == "CUkernel":
            found = ctypes.c_void_p()
            api.call("cuKernelGetFunction", ctypes.byref(found), number)
            number = found.value
    packer = struct.Struct(f"@{HEAD}{format_of(signature)[1:]}")
    return _Compiled(packer.pack_into, number, packer.size - AT, made)  # type: ignore[arg-type]


class Packed:
    """A buffer for launches, as the driver takes it."""

    def __init__(self, size: int = ROOM) -> None:
        self.buffer = ctypes.create_string_buffer(AT + size)
        self.head = ctypes.addressof(self.buffer)
        self._extra = (ctypes.c_void_p * 5)(POINTER, self.head + AT, LENGTH, self.head + SIZE, END)
        self.extra = ctypes.addressof(self._extra)

    def write(self, compiled: _Compiled, grid: Sequence[int], block: int, numbers: Sequence[Any]) -> None:
        """Pack a launch."""
        x, y, z = (*grid, 1, 1)[:3]
        compiled.pack(self.buffer, 0, x, y, z, block, 1, 1, compiled.size, *numbers)

    @property
    def extent(self) -> tuple[int, ...]:
        """Blocks and threads, along three axes each."""
        return struct.unpack_from("@6I", self.buffer)


class Launcher:
    """``launcher(kernel, grid, block, arguments)``: flat arrays are Buffers, an int is a uint32 and one in a tuple an int32."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], _Compiled] = {}
        self._here = threading.local()
        self._launch = api.function("cuLaunchKernelEx")

    def __call__(self, kernel: Any, grid: Sequence[int], block: int, values: Sequence[Any]) -> None:
        try:
            room = self._here.room
        except AttributeError:
            room = self._enter()
        compiled, numbers = self.prepare(kernel, values)
        room.write(compiled, grid, block, numbers)
        error = self._launch(room.head, compiled.handle, None, room.extra)
        if error == api.OUT_OF_MEMORY:  # a kernel's first launch may bring its code to the device
            memory.empty()
            error = self._launch(room.head, compiled.handle, None, room.extra)
        if error:
            raise api.error_of(f"the launch of {kernel.__name__}", error)

    def launch_again(self, rooms: Sequence[Packed], handles: Sequence[int]) -> None:
        """Launch what was packed before, in order."""
        api.enter()
        for room, handle in zip(rooms, handles):
            error = self._launch(room.head, handle, None, room.extra)
            if error:
                raise api.error_of("a launch", error)

    def prepare(self, kernel: Any, values: Sequence[Any]) -> tuple[_Compiled, list[Any]]:
        """The kernel for arguments of these types, and the numbers that they are to the driver."""
        key: list[Any] = [kernel]
        numbers: list[Any] = []
        for value in values:
            kind = value.__class__
            if kind is Buffer:
                key.append(value.tag)
                numbers.append(value.address)
            elif kind is tuple and value and value[0] is POINTERS:
                key += POINTERS, len(value)
                numbers += [array.address for array in value[1:]]
            elif kind is tuple:
                key += value[0].__class__, len(value)
                numbers += value
            elif kind is Numbers:
                return self.prepare(kernel, [v for a in values for v in (a() if isinstance(a, Numbers) else (a,))])
            else:
                key.append(kind)
                numbers.append(value)
        found = tuple(key)
        compiled = self._known.get(found)
        if compiled is None:
            compiled = self._known[found] = _compiled(kernel, values)
        return compiled, numbers

    def _enter(self) -> Packed:
        """This thread's buffer: between a launch's packing and its call another thread may launch."""
        api.enter()
        self._here.room = Packed()
        return self._here.room
