"""Four neighbours at once: 16 bytes of float32 in one access, of float64 in two.

``load4`` and ``store4`` want an array that starts at a multiple of 16 bytes and a place that is a multiple of 4. Both are the caller's to
know: memory of the library starts so, and so does borrowed memory as the fast path sees it (``backends.cuda.fast.wide``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import uint32

from ..driver import SIMULATED, cuda, intrinsic, types

__all__ = ["add4", "load4", "read4", "store4", "write4"]

U = uint32

if SIMULATED:

    def _judge(x, i):
        """A GPU stops at an address that is no multiple of 16 bytes; so does this."""
        array = x if isinstance(x, np.ndarray) else x._item._ary  # what ``pointer.array_at`` makes is NumPy's
        if (array.ctypes.data + int(i) * array.itemsize) % min(16, 4 * array.itemsize):
            raise ValueError("misaligned address")

    def load4(x, i):
        """x[i : i + 4] as a tuple."""
        _judge(x, i)
        return x[i], x[i + 1], x[i + 2], x[i + 3]

    def store4(y, i, a, b, c, d):
        """y[i : i + 4] = a, b, c, d."""
        _judge(y, i)
        y[i], y[i + 1], y[i + 2], y[i + 3] = a, b, c, d

else:
    from llvmlite import ir

    def _four(context: Any, builder: Any, array_type: Any, array: Any, i: Any) -> tuple[Any, Any, Any, int]:
        """What an element is in memory, four as a vector, a pointer to them and its alignment in bytes."""
        model = context.data_model_manager[array_type.dtype]
        vector = ir.VectorType(model.get_data_type(), 4)
        first = builder.gep(context.make_array(array_type)(context, builder, array).data, [builder.zext(i, ir.IntType(64))])
        return model, vector, builder.bitcast(first, vector.as_pointer()), min(16, 4 * context.get_abi_sizeof(model.get_data_type()))

    @intrinsic
    def load4(typingctx, x, i):
        """x[i : i + 4] as a tuple."""

        def codegen(context, builder, signature, args):
            model, _, pointer, align = _four(context, builder, signature.args[0], *args)
            four = builder.load(pointer, align=align)
            found = [model.from_data(builder, builder.extract_element(four, ir.Constant(ir.IntType(32), k))) for k in range(4)]
            return context.make_tuple(builder, signature.return_type, found)

        return types.UniTuple(x.dtype, 4)(x, types.uint32), codegen

    @intrinsic
    def store4(typingctx, y, i, a, b, c, d):
        """y[i : i + 4] = a, b, c, d."""

        def codegen(context, builder, signature, args):
            model, vector, pointer, align = _four(context, builder, signature.args[0], *args[:2])
            four = ir.Constant(vector, ir.Undefined)
            for k, value in enumerate(args[2:]):
                four = builder.insert_element(four, model.as_data(builder, value), ir.Constant(ir.IntType(32), k))
            builder.store(four, pointer, align=align)
            return context.get_dummy_value()

        return types.void(y, types.uint32, *(y.dtype,) * 4), codegen


@cuda.jit(device=True, inline=True)
def add4(a, b):
    """The sums of four and four."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]


@cuda.jit(device=True, inline=True)
def read4(x, i, step, left):
    """The elements at i and after it, of which ``left`` exist; where ``step`` is 0, the one at i four times."""
    if step == 0:
        a = b = c = d = x[i]
    elif left >= U(4):
        a, b, c, d = load4(x, i)
    else:  # the ragged end: what does not exist is read from where something does
        a = x[i]
        b = x[U(i + U(1))] if left > U(1) else a
        c = x[U(i + U(2))] if left > U(2) else a
        d = a
    return a, b, c, d


@cuda.jit(device=True, inline=True)
def write4(y, i, left, a, b, c, d):
    """y[i], y[i + 1], ... = a, b, c, d: the first ``left`` of them."""
    if left >= U(4):
        store4(y, i, a, b, c, d)
    else:
        y[i] = a
        if left > U(1):
            y[U(i + U(1))] = b
        if left > U(2):
            y[U(i + U(2))] = c
