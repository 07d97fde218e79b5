"""A SIMD vector as a Numba value: ``load``, ``put``, ``zeros`` and the operators ``+``, ``-`` and ``*`` (a number may come first).

    v = TWO * load(x, i) + load(x, j)
    put(v, y, k)                                  # y[k : k + lanes(y)] = v
    move(8, x, i, y, k)                           # y[k : k + 8] = x[i : i + 8], at once
    m = greater(v, m)                             # lane by lane: v where it is greater or NaN, else m
    t = where_greater(v, m, n, t)                 # the number n in those lanes, else t
    w = full(x, n)                                # n in all lanes
    prefetch(x, i)                                # ask for the cache line of x[i], without waiting

It serves loops that LLVM would leave scalar, or could not prove free of overlaps: few channels, and transforms that read and write a
dozen places at once. Arrays are flat, C-contiguous memory and nothing is checked: a vector reads and writes all its lanes.
With NUMBA_DISABLE_JIT=1 a vector is a small NumPy array.
"""

from __future__ import annotations

import operator

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from .launch import inline
from .tile import _FLOAT, _SIZE, FMA, I64, LANES, _address

__all__ = ["full", "greater", "lanes", "load", "move", "move_few", "prefetch", "put", "where_greater", "zeros"]


if numba.config.DISABLE_JIT:

    def lanes(x):
        return LANES * 4 // x.itemsize

    def load(x, i):
        return x[i : i + lanes(x)].copy()

    def zeros(x):
        return np.zeros(lanes(x), x.dtype)

    def full(x, n):
        return np.full(lanes(x), n, x.dtype)

    def put(v, y, i):
        y[i : i + v.size] = v

    def move(n, x, i, y, k):
        y[k : k + n] = x[i : i + n]

    def prefetch(x, i):
        pass

    def greater(v, m):
        return np.where((v > m) | (v != v), v, m)

    def where_greater(v, m, n, t):
        return np.where((v > m) | (v != v), t.dtype.type(n), t)

else:

    class Vector(types.Type):
        """The type of a vector of elements of a float type."""

        def __init__(self, dtype: types.Float) -> None:
            self.dtype = dtype
            self.size = _SIZE[dtype.name]
            self.llvm = ir.VectorType(_FLOAT[dtype.name], LANES * 4 // self.size)
            super().__init__(name=f"Vector{self.llvm.count}_{dtype.name}{'' if FMA else '_nofma'}")

    @register_model(Vector)
    class _VectorModel(models.PrimitiveModel):
        def __init__(self, dmm, fe_type):
            super().__init__(dmm, fe_type, fe_type.llvm)

    def _splat(builder, vector, number):
        i32 = ir.IntType(32)
        undefined = ir.Constant(vector.llvm, ir.Undefined)
        first = builder.insert_element(undefined, number, ir.Constant(i32, 0))
        return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(i32, vector.llvm.count), [0] * vector.llvm.count))

    def _pointer(context, builder, vector, array_type, array, index):
        return builder.bitcast(_address(context, builder, array_type, array, index), vector.llvm.as_pointer())

    @intrinsic
    def lanes(typingctx, x):
        """Elements of a vector, as a compile-time constant."""
        return types.int64(x), lambda context, builder, sig, args: ir.Constant(I64, Vector(x.dtype).llvm.count)

    @intrinsic
    def load(typingctx, x, i):
        """x[i : i + lanes]."""
        vector = Vector(x.dtype)

        def codegen(context, builder, sig, args):
            # element alignment: NumPy guarantees no more; LLVM would assume the whole vector's and fault
            return builder.load(_pointer(context, builder, vector, sig.args[0], *args), align=vector.size)

        return vector(x, types.int64), codegen

    @intrinsic
    def zeros(typingctx, x):
        """A vector of zeros of x's type."""
        vector = Vector(x.dtype)
        return vector(x), lambda context, builder, sig, args: ir.Constant(vector.llvm, None)

    @intrinsic
    def full(typingctx, x, n):
        """A vector of n, a number of x's type."""
        vector = Vector(x.dtype)
        return vector(x, x.dtype), lambda context, builder, sig, args: _splat(builder, vector, args[1])

    @intrinsic
    def put(typingctx, v, y, i):
        """y[i : i + lanes] = v."""

        def codegen(context, builder, sig, args):
            builder.store(args[0], _pointer(context, builder, v, sig.args[1], *args[1:]), align=v.size)
            return context.get_dummy_value()

        return types.void(v, y, types.int64), codegen

    @intrinsic
    def prefetch(typingctx, x, i):
        """Ask for the cache line of x[i], without waiting for it."""

        def codegen(context, builder, sig, args):
            i32, byte = ir.IntType(32), ir.IntType(8).as_pointer()
            kind = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
            function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
            line = builder.bitcast(_address(context, builder, sig.args[0], *args), byte)
            builder.call(function, [line, *(ir.Constant(i32, k) for k in (0, 3, 1))])  # to read, into all levels, as data
            return context.get_dummy_value()

        return types.void(x, types.int64), codegen

    @intrinsic
    def greater(typingctx, v, m):
        """v where it is greater than m, or NaN; else m."""

        def codegen(context, builder, sig, args):
            return builder.select(_is_greater(builder, *args), *args)

        return v(v, m), codegen

    @intrinsic
    def where_greater(typingctx, v, m, n, t):
        """The number n where v is greater than m, or NaN; else t."""

        def codegen(context, builder, sig, args):
            return builder.select(_is_greater(builder, *args[:2]), _splat(builder, t, args[2]), args[3])

        return t(v, m, t.dtype, t), codegen

    def _is_greater(builder, v, m):
        return builder.or_(builder.fcmp_ordered(">", v, m), builder.fcmp_unordered("uno", v, v))

    @intrinsic(prefer_literal=True)
    def move(typingctx, n, x, i, y, k):
        """y[k : k + n] = x[i : i + n] for a literal n: LLVM need not ask whether they overlap."""
        count, size = n.literal_value, _SIZE[x.dtype.name]

        def codegen(context, builder, sig, args):
            _, x, i, y, k = args
            pointer = ir.VectorType(_FLOAT[sig.args[1].dtype.name], count).as_pointer()
            source = builder.bitcast(_address(context, builder, sig.args[1], x, i), pointer)
            target = builder.bitcast(_address(context, builder, sig.args[3], y, k), pointer)
            builder.store(builder.load(source, align=size), target, align=size)
            return context.get_dummy_value()

        return types.void(n, x, types.int64, y, types.int64), codegen

    @infer_global(operator.add)
    @infer_global(operator.sub)
    @infer_global(operator.mul)
    class _OfTwo(AbstractTemplate):
        def generic(self, args, kws):
            if len(args) == 2 and isinstance(args[1], Vector) and args[0] in (args[1], args[1].dtype):
                return signature(args[1], *args)
            return None

    FLAGS = ("contract",)  # a product that is added to something is one fused operation, where the processor has it

    @lower_builtin(operator.add, Vector, Vector)
    def _add(context, builder, sig, args):
        return builder.fadd(*args, flags=FLAGS)

    @lower_builtin(operator.sub, Vector, Vector)
    def _subtract(context, builder, sig, args):
        return builder.fsub(*args, flags=FLAGS)

    @lower_builtin(operator.mul, Vector, Vector)
    def _multiply(context, builder, sig, args):
        return builder.fmul(*args, flags=FLAGS)

    @lower_builtin(operator.mul, types.Float, Vector)
    def _scale(context, builder, sig, args):
        return builder.fmul(_splat(builder, sig.return_type, args[0]), args[1], flags=FLAGS)


@inline
def move_few(x, i, y, k, count):
    """y[k : k + count] = x[i : i + count], fewer than 32 elements: two moves, which may overlap."""
    if count >= 16:
        move(16, x, i, y, k)
        move(16, x, i + count - 16, y, k + count - 16)
    elif count >= 8:
        move(8, x, i, y, k)
        move(8, x, i + count - 8, y, k + count - 8)
    elif count >= 4:
        move(4, x, i, y, k)
        move(4, x, i + count - 4, y, k + count - 4)
    else:
        for v in range(count):
            y[np.uint64(k + v)] = x[np.uint64(i + v)]
