"""A register tile as a Numba value: explicit SIMD that still reads as Python.

A tile is m x n vectors that LLVM keeps in registers. A few operations are enough for every dense kernel of a CNN:

    acc = zero(tile)                              # or start(tile, bias, o): every row holds bias[o : o + columns]
    for q in range(Q):
        acc = outer(acc, x, at, t, q, w, j)       # acc[r, :] += x[at[t + r] + q] * w[j : j + columns]
    store(acc, y, to, t, o)                       # y[to[t + r] + o : ... + columns] = acc[r, :]
    add_block(acc, part, o, ld)                   # part[o + r * ld : ... + columns] += acc[r, :]

``at`` and ``to`` are tables of offsets: row r of the tile may be any pixel, so one kernel serves every stride, dilation,
padding and image border, and no tile is wasted on narrow images. LLVM lifts the table's loads out of the loop.

``tile`` is an ordinary argument, ``Tile(6, 2)``; its shape and element type are part of its Numba type. So one kernel source
serves them all, and Numba's disk cache, whose key is the signature, keeps the variants apart. A compiled kernel refuses other tiles than
its own.

Contract: arrays are C-contiguous and are addressed as flat memory; nothing is checked. ``outer`` reads ``columns`` elements at
``w[j]`` and one element a row from ``x``; ``store`` writes all ``columns``. Ragged ends are the kernel's business.

With NUMBA_DISABLE_JIT=1 the same names are plain NumPy functions, so that every kernel can be stepped through.
"""

from __future__ import annotations

import operator
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, intrinsic, models, register_model, unbox

from ...errors import message

_numba: Any = numba.config

__all__ = [
    "FMA",
    "LANES",
    "REGISTERS",
    "Tile",
    "add_block",
    "add_groups",
    "columns",
    "inner",
    "move_row",
    "opaque",
    "outer",
    "outer_groups",
    "row_count",
    "start",
    "store",
    "store_block",
    "zero",
]


def _features() -> tuple[set[str], str]:
    """The features that Numba compiles for, and the architecture."""
    triple = llvm.get_default_triple()
    if _numba.CPU_FEATURES is not None:
        wanted = _numba.CPU_FEATURES.split(",")
        return {f[1:] for f in wanted if f.startswith("+")}, triple
    return {name for name, on in llvm.get_host_cpu_features().items() if on}, triple


def _target() -> tuple[int, int, bool]:
    """(float32 lanes of a vector, vector registers, fused multiply-add)."""
    features, triple = _features()
    if triple.startswith(("aarch64", "arm64")):
        return 4, 32, True
    if "avx512f" in features:
        return 16, 32, True
    if "avx2" in features or "avx" in features:
        return 8, 16, "fma" in features
    return 4, 16, "fma" in features


LANES, REGISTERS, FMA = _target()

I64 = ir.IntType(64)
_FLOAT = {"float32": ir.FloatType(), "float64": ir.DoubleType()}
_SIZE = {"float32": 4, "float64": 8}


class Tile:
    """The shape of a register tile: m rows of n vectors. m*n + n + 1 vectors must fit the register file.

    ``run``: so many rows at a time read elements of ``outer``'s ``a`` that lie side by side, and only the first of them is looked up in
    ``at``, whose entries must say so. There are too few integer registers for all rows' addresses: one vector wide, a tile would load one
    for every multiplication.
    """

    __slots__ = ("_numba_type_", "code", "columns", "dtype", "m", "n", "run")

    def __init__(self, m: int, n: int, dtype: str = "float32", run: int = 1) -> None:
        self.m, self.n, self.dtype, self.run = operator.index(m), operator.index(n), str(dtype), operator.index(run)
        self._numba_type_ = TileShape(self.m, self.n, self.dtype, self.run)  # where Numba's dispatcher looks for it
        self.code = self._numba_type_.code  # where a compiled kernel looks for it
        self.columns = self.n * self._numba_type_.lanes  # elements of a row


class _Shaped(types.Type):
    """What the two Numba types below share: the tile's shape and element type."""

    def __init__(self, m: int, n: int, dtype: str, run: int) -> None:
        self.m, self.n, self.dtype, self.run = m, n, dtype, run
        self.size = _SIZE[dtype]
        self.lanes = LANES * 4 // self.size
        super().__init__(name=f"{type(self).__name__}_{m}x{n}x{self.lanes}_{run}_{dtype}{'' if FMA else '_nofma'}")

    @property
    def code(self) -> int:
        """One number for all of this."""
        return self.m | self.n << 8 | self.run << 16 | self.lanes << 24 | self.size << 32

    @property
    def vector(self) -> ir.VectorType:
        return ir.VectorType(_FLOAT[self.dtype], self.lanes)


class TileShape(_Shaped):
    """Type of a Tile argument: carries the shape, holds no data."""


class Accumulators(_Shaped):
    """Type of the accumulators."""


register_model(TileShape)(models.OpaqueModel)


@unbox(TileShape)
def _unbox_tile(typ, obj, c):
    wrong = cgutils.alloca_once_value(c.builder, cgutils.true_bit)
    code = c.pyapi.object_getattr_string(obj, "code")
    with cgutils.if_likely(c.builder, cgutils.is_not_null(c.builder, code)):
        found = c.pyapi.long_as_longlong(code)
        c.pyapi.decref(code)
        c.builder.store(c.builder.icmp_signed("!=", found, ir.Constant(I64, typ.code)), wrong)
    is_error = c.builder.load(wrong)
    with cgutils.if_unlikely(c.builder, is_error):
        own = f"Tile({typ.m}, {typ.n}, {typ.dtype!r}, {typ.run})"
        c.pyapi.err_set_string("PyExc_TypeError", message("kernel", own, "another tile", "it was compiled for that one alone"))
    return NativeValue(c.context.get_dummy_value(), is_error=is_error)


@register_model(Accumulators)
class _AccumulatorsModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.ArrayType(fe_type.vector, fe_type.m * fe_type.n))


def _address(context, builder, array_type, array, index):
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def _at(builder, pointer, offset):
    return builder.gep(pointer, [ir.Constant(I64, offset) if isinstance(offset, int) else offset])


def _load_vector(builder, acc, pointer):
    # element alignment: NumPy guarantees no more; LLVM would assume the whole vector's and fault
    return builder.load(builder.bitcast(pointer, acc.vector.as_pointer()), align=acc.size)


def _store_vector(builder, acc, value, pointer):
    builder.store(value, builder.bitcast(pointer, acc.vector.as_pointer()), align=acc.size)


def _splat(builder, acc, pointer):
    i32 = ir.IntType(32)
    undefined = ir.Constant(acc.vector, ir.Undefined)
    first = builder.insert_element(undefined, builder.load(pointer, align=acc.size), ir.Constant(i32, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(i32, acc.lanes), [0] * acc.lanes))


def _member(builder, acc, vector, j, size):
    """Member j of each group of ``size`` lanes, in all lanes of the group."""
    mask = [lane // size * size + j for lane in range(acc.lanes)]
    return builder.shuffle_vector(
        vector, ir.Constant(acc.vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), acc.lanes), mask)
    )


def _multiply_add(builder, acc, x, y, z):
    if not FMA:  # llvm.fma would call libm, lane by lane
        return builder.fadd(builder.fmul(x, y), z)
    name = f"llvm.fma.v{acc.lanes}f{acc.size * 8}"
    return builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(acc.vector, [acc.vector] * 3), name), [x, y, z])


def _table_entry(context, builder, table_type, table, t, r):
    return builder.load(_at(builder, _address(context, builder, table_type, table, t), r))


if _numba.DISABLE_JIT:

    def zero(tile):
        return np.zeros((tile.m, tile.columns), tile.dtype)

    def start(tile, b, j):
        return np.tile(b.reshape(-1)[j : j + tile.columns], (tile.m, 1))

    def row_count(tile):
        return tile.m

    def columns(tile):
        return tile.columns

    def move_row(tile, x, i, y, j):
        y[j : j + tile.m] = x[i : i + tile.m]

    def opaque(i):
        return i

    def outer(acc, a, at, t, q, b, j):
        return acc + np.outer(a.reshape(-1)[at[t : t + acc.shape[0]] + q], b.reshape(-1)[j : j + acc.shape[1]])

    def inner(acc, a, i, lda, b, j, ldb):
        lanes, result = LANES * 4 // acc.itemsize, acc.copy()
        for r in range(len(acc)):
            for c in range(acc.shape[1] // lanes):
                result[r, c * lanes : (c + 1) * lanes] += a[i + r * lda : i + r * lda + lanes] * b[j + c * ldb : j + c * ldb + lanes]
        return result

    def outer_groups(acc, group, x, at, t, q, w, k, ld):
        size, result = group.m, acc.copy()
        for r in range(len(acc)):
            row = x[at[t + r] + q : at[t + r] + q + acc.shape[1]].reshape(-1, size)
            for j in range(size):
                result[r] += np.repeat(row[:, j], size) * w[k + j * ld : k + j * ld + acc.shape[1]]
        return result

    def add_groups(acc, x, i, d, k):
        rows = x[i : i + acc.shape[1]].reshape(-1, len(acc))
        return acc + np.repeat(rows.T, len(acc), axis=1) * d[k : k + acc.shape[1]]

    def store(acc, out, to, t, o):
        for r, row in enumerate(acc):
            out.reshape(-1)[to[t + r] + o : to[t + r] + o + row.size] = row

    def store_block(acc, out, o, ld):
        for r, row in enumerate(acc):
            out.reshape(-1)[o + r * ld : o + r * ld + row.size] = row

    def add_block(acc, out, o, ld):
        for r, row in enumerate(acc):
            out.reshape(-1)[o + r * ld : o + r * ld + row.size] += row

else:

    @intrinsic
    def zero(typingctx, tile):
        """Accumulators of zeros."""
        acc = Accumulators(tile.m, tile.n, tile.dtype, tile.run)

        def codegen(context, builder, sig, args):
            return ir.Constant(ir.ArrayType(acc.vector, acc.m * acc.n), None)

        return acc(tile), codegen

    @intrinsic
    def start(typingctx, tile, b, j):
        """Accumulators whose rows all hold b[j : j + columns]."""
        acc = Accumulators(tile.m, tile.n, tile.dtype, tile.run)

        def codegen(context, builder, sig, args):
            first = _address(context, builder, sig.args[1], args[1], args[2])
            vectors = [_load_vector(builder, acc, _at(builder, first, c * acc.lanes)) for c in range(acc.n)]
            value = ir.Constant(ir.ArrayType(acc.vector, acc.m * acc.n), ir.Undefined)
            for i in range(acc.m * acc.n):
                value = builder.insert_value(value, vectors[i % acc.n], i)
            return value

        return acc(tile, b, types.int64), codegen

    @intrinsic
    def row_count(typingctx, tile):
        """m, as a compile-time constant."""
        return types.int64(tile), lambda context, builder, sig, args: ir.Constant(I64, tile.m)

    @intrinsic
    def columns(typingctx, tile):
        """n * lanes, as a compile-time constant."""
        return types.int64(tile), lambda context, builder, sig, args: ir.Constant(I64, tile.n * tile.lanes)

    @intrinsic
    def move_row(typingctx, tile, x, i, y, j):
        """y[j : j + m] = x[i : i + m], at once: LLVM need not ask whether they overlap."""
        row = ir.VectorType(_FLOAT[tile.dtype], tile.m)

        def codegen(context, builder, sig, args):
            _, x, i, y, j = args
            source, target = (_address(context, builder, sig.args[k], a, at) for k, a, at in ((1, x, i), (3, y, j)))
            value = builder.load(builder.bitcast(source, row.as_pointer()), align=tile.size)
            builder.store(value, builder.bitcast(target, row.as_pointer()), align=tile.size)
            return context.get_dummy_value()

        return types.void(tile, x, types.int64, y, types.int64), codegen

    @intrinsic
    def opaque(typingctx, i):
        """i, of which LLVM does not know where it comes from.

        As the ``q`` of ``outer`` in a loop: all rows then share the one index. LLVM would give each row a pointer of its own to count up,
        more of them than there are registers.
        """

        def codegen(context, builder, sig, args):
            return builder.asm(ir.FunctionType(I64, [I64]), "", "=r,0", args, side_effect=False)

        return types.int64(types.int64), codegen

    @intrinsic
    def outer(typingctx, acc, a, at, t, q, b, j):
        """acc[r, :] += a[at[t + r] + q] * b[j : j + columns]."""

        def codegen(context, builder, sig, args):
            value, a, at, t, q, b, j = args
            b0 = _address(context, builder, sig.args[5], b, j)
            vectors = [_load_vector(builder, acc, _at(builder, b0, c * acc.lanes)) for c in range(acc.n)]
            for r in range(acc.m):
                entry = _table_entry(context, builder, sig.args[2], at, t, r - r % acc.run)
                row = _address(context, builder, sig.args[1], a, entry)
                x = _splat(builder, acc, _at(builder, _at(builder, row, q), r % acc.run))
                for c in range(acc.n):
                    i = r * acc.n + c
                    value = builder.insert_value(value, _multiply_add(builder, acc, x, vectors[c], builder.extract_value(value, i)), i)
            return value

        return acc(acc, a, at, types.int64, types.int64, b, types.int64), codegen

    @intrinsic
    def inner(typingctx, acc, a, i, lda, b, j, ldb):
        """Vector c of acc[r, :] += a[i + r * lda : ... + lanes] * b[j + c * ldb : ... + lanes]: lane by lane, parts of a dot product."""

        def codegen(context, builder, sig, args):
            value, a, i, lda, b, j, ldb = args

            def line(place, array, first, step, row):
                index = builder.add(first, builder.mul(step, ir.Constant(I64, row)))
                return _load_vector(builder, acc, _address(context, builder, sig.args[place], array, index))

            vectors = [line(4, b, j, ldb, c) for c in range(acc.n)]
            for r in range(acc.m):
                x = line(1, a, i, lda, r)
                for c in range(acc.n):
                    k = r * acc.n + c
                    value = builder.insert_value(value, _multiply_add(builder, acc, x, vectors[c], builder.extract_value(value, k)), k)
            return value

        return acc(acc, a, types.int64, types.int64, b, types.int64, types.int64), codegen

    @intrinsic
    def outer_groups(typingctx, acc, group, x, at, t, q, w, k, ld):
        """acc[r, :] += the sum over j of member j of each group in x[at[t + r] + q : ...], for all of the group, times w[k + j * ld : ...].

        Rows are one vector; ``group`` is a Tile of as many rows as a group has members.
        """

        def codegen(context, builder, sig, args):
            value, _, x, at, t, q, w, k, ld = args
            w0 = _address(context, builder, sig.args[6], w, k)
            weights = [_load_vector(builder, acc, _at(builder, w0, builder.mul(ld, ir.Constant(I64, j)))) for j in range(group.m)]
            for r in range(acc.m):
                row = _address(context, builder, sig.args[2], x, _table_entry(context, builder, sig.args[3], at, t, r))
                seen = _load_vector(builder, acc, _at(builder, row, q))
                total = builder.extract_value(value, r)
                for j in range(group.m):
                    total = _multiply_add(builder, acc, _member(builder, acc, seen, j, group.m), weights[j], total)
                value = builder.insert_value(value, total, r)
            return value

        return acc(acc, group, x, at, types.int64, types.int64, w, types.int64, types.int64), codegen

    @intrinsic
    def add_groups(typingctx, acc, x, i, d, k):
        """acc[j, :] += member j of each group in x[i : ...], for all of the group, times d[k : ...]; acc has a row a member."""

        def codegen(context, builder, sig, args):
            value, x, i, d, k = args
            seen = _load_vector(builder, acc, _address(context, builder, sig.args[1], x, i))
            factor = _load_vector(builder, acc, _address(context, builder, sig.args[3], d, k))
            for j in range(acc.m):
                total = _multiply_add(builder, acc, _member(builder, acc, seen, j, acc.m), factor, builder.extract_value(value, j))
                value = builder.insert_value(value, total, j)
            return value

        return acc(acc, x, types.int64, d, types.int64), codegen

    @intrinsic
    def store(typingctx, acc, out, to, t, o):
        """out[to[t + r] + o : ... + columns] = acc[r, :], row after row (a later row may overwrite an earlier one's end)."""

        def codegen(context, builder, sig, args):
            value, out, to, t, o = args
            for r in range(acc.m):
                row = _at(builder, _address(context, builder, sig.args[1], out, _table_entry(context, builder, sig.args[2], to, t, r)), o)
                for c in range(acc.n):
                    _store_vector(builder, acc, builder.extract_value(value, r * acc.n + c), _at(builder, row, c * acc.lanes))
            return context.get_dummy_value()

        return types.void(acc, out, to, types.int64, types.int64), codegen

    def _block_store(accumulate):
        def typing(typingctx, acc, out, o, ld):
            def codegen(context, builder, sig, args):
                value, out, o, ld = args
                first = _address(context, builder, sig.args[1], out, o)
                for r in range(acc.m):
                    row = _at(builder, first, builder.mul(ld, ir.Constant(I64, r)))
                    for c in range(acc.n):
                        pointer = _at(builder, row, c * acc.lanes)
                        result = builder.extract_value(value, r * acc.n + c)
                        if accumulate:
                            result = builder.fadd(result, _load_vector(builder, acc, pointer))
                        _store_vector(builder, acc, result, pointer)
                return context.get_dummy_value()

            return types.void(acc, out, types.int64, types.int64), codegen

        return typing

    store_block = intrinsic(_block_store(False))
    add_block = intrinsic(_block_store(True))
