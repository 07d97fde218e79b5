"""Memory by its address: a kernel of many arrays is given eight bytes for each, where an array of Numba's takes 56.

``array_at`` has a twin for the simulator, whose addresses are the host's.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from ..driver import SIMULATED, intrinsic, types

__all__ = ["array_at"]

if SIMULATED:

    def array_at(address, n, like):
        """The n elements from an address on, of the type of ``like``, as a flat array."""
        memory = (ctypes.c_char * (int(n) * like.dtype.itemsize)).from_address(int(address))
        return np.frombuffer(memory, like.dtype)

else:
    from llvmlite import ir

    @intrinsic
    def array_at(typingctx: Any, address: Any, n: Any, like: Any) -> Any:
        """The n elements from an address on, of the type of ``like``, as a flat array."""
        made, long = types.Array(like, 1, "C"), ir.IntType(64)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            array, element = context.make_array(made)(context, builder), context.get_data_type(like)
            length, size = builder.zext(args[1], long), long(context.get_abi_sizeof(element))
            axis = ir.Constant(ir.ArrayType(long, 1), ir.Undefined)
            place = builder.inttoptr(args[0], element.as_pointer(addrspace=1))  # global memory, which ptxas then knows
            array.data = builder.addrspacecast(place, element.as_pointer())
            array.nitems, array.itemsize = length, size
            array.shape, array.strides = (builder.insert_value(axis, v, 0) for v in (length, size))
            for owner in ("meminfo", "parent"):
                setattr(array, owner, ir.Constant(getattr(array, owner).type, None))
            return array._getvalue()

        return made(types.uint64, types.uint32, like), codegen
