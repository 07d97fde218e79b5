"""Compiled kernels called without Python: a thunk for each signature, which loads its arguments from memory, and one loop over them.

A thunk takes the address of a record: 64-bit slots, one for each leaf of the arguments in the order in which Numba flattens them. A table
of (thunk, record) pairs is a plan: another shape fills another table, and costs no code. One thunk more, of ``LOOPS``, runs loops of
NumPy's.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Iterable
from typing import Any

import llvmlite.ir as ir
import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

__all__ = ["AXES", "LOOPS", "OPERANDS", "Signature", "arguments", "array_slots", "loop_slots", "runner", "scalar_slots", "thunks"]

Signature = tuple[Any, tuple[Any, ...]]
"""A driver and the Numba types of its arguments."""

LOOPS: Signature = (None, ())
"""The signature of nests of NumPy's loops."""
AXES = 4
"""Those of a nest, the loop's own last."""
OPERANDS = 3
"""Those of a loop, at most."""

I8, I32, I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)

_known: dict[Signature, int] = {}
_libraries: list[Any] = []  # their machine code goes with them


def arguments(signature: Signature) -> tuple[Any, ...]:
    """The types that the compiled kernel takes; it is compiled, or loaded from the cache, where it is not there."""
    return () if signature is LOOPS else _overload(signature).fndesc.argtypes


def _overload(signature: Signature) -> Any:
    driver, kinds = signature
    if kinds not in driver.overloads:
        driver.compile(kinds)
    return driver.overloads[kinds]


def array_slots(ty: types.Array, address: int, shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int) -> list[int]:
    """An array: no owner and no parent, for kernels neither keep nor return arrays; elements, their size, the address at slot 4."""
    size = 1
    for n in shape:
        size *= n
    return [0, 0, size, itemsize, address, *shape, *strides]


def scalar_slots(ty: Any, value: Any) -> list[int]:
    """A number, or what carries no value at run time."""
    if isinstance(ty, types.Float):
        return [int(np.float64(value).view(np.int64)) if ty.bitwidth == 64 else int(np.float32(value).view(np.int32))]
    return [int(value) if isinstance(ty, (types.Integer, types.Boolean)) else 0]


def loop_slots(loop: tuple[int, int], shape: tuple[int, ...], operands: list[tuple[int, tuple[int, ...]]]) -> list[int]:
    """A nest of a loop, its data and its shape; each operand's address and strides follow from slot 2 + ``AXES`` on."""
    slots = [*loop, *shape]
    for start, strides in operands:
        slots += [start, *strides]
    return slots + [0] * (1 + AXES) * (OPERANDS - len(operands))


@global_compiler_lock
def thunks(wanted: Iterable[Signature]) -> list[int]:
    """The addresses of thunks for these signatures, which differ; each is made once a process."""
    wanted = list(wanted)
    new = [signature for signature in wanted if signature not in _known]
    if new:
        library, module = _library("numbacnn_thunks")
        for n, signature in enumerate(new):
            if signature is LOOPS:
                _loops_thunk(module, f"numbacnn_thunk_{n}")
            else:
                _thunk(module, f"numbacnn_thunk_{n}", _overload(signature))
        _finish(library, module)
        for n, signature in enumerate(new):
            _known[signature] = library.get_pointer_to_function(f"numbacnn_thunk_{n}")
    return [_known[signature] for signature in wanted]


def _library(name: str) -> tuple[Any, ir.Module]:
    library = cpu_target.target_context.codegen().create_library(name)
    return library, library.create_ir_module(name)


def _finish(library: Any, module: ir.Module) -> None:
    library.add_ir_module(module)
    library.finalize()
    _libraries.append(library)


def _thunk(module: ir.Module, name: str, compiled: Any) -> None:
    target = compiled.fndesc
    address = compiled.library.get_pointer_to_function(target.llvm_func_name)
    kind = cpu_target.target_context.call_conv.get_function_type(target.restype, target.argtypes)
    thunk = ir.Function(module, ir.FunctionType(I32, [I64.as_pointer()]), name)
    b = ir.IRBuilder(thunk.append_basic_block())
    results = [cgutils.alloca_once(b, kind.args[i].pointee) for i in (0, 1)]  # the value, which is None, and an exception
    slots = [b.gep(thunk.args[0], [ir.Constant(I64, k)]) for k in range(len(kind.args) - 2)]
    loaded = [b.load(b.bitcast(slot, ty.as_pointer())) for slot, ty in zip(slots, kind.args[2:])]
    b.ret(b.call(b.inttoptr(ir.Constant(I64, address), kind.as_pointer()), [*results, *loaded]))


def _loops_thunk(module: ir.Module, name: str) -> None:
    """Runs the nests of a record, which begins with how many there are: see ``loop_slots``."""
    thunk = ir.Function(module, ir.FunctionType(I32, [I64.as_pointer()]), name)
    b = ir.IRBuilder(thunk.append_basic_block())
    bytes_, numbers = I8.as_pointer(), I64.as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [bytes_.as_pointer(), numbers, numbers, bytes_]).as_pointer()
    places, strides = (b.bitcast(cgutils.alloca_once(b, ir.ArrayType(I64, OPERANDS)), numbers) for _ in range(2))
    width = 2 + AXES + OPERANDS * (1 + AXES)

    def slot(start: Any, k: int) -> Any:
        return b.gep(start, [ir.Constant(I64, k)])

    with cgutils.for_range(b, b.load(thunk.args[0])) as nest:
        first = b.gep(thunk.args[0], [b.add(b.mul(nest.index, ir.Constant(I64, width)), ir.Constant(I64, 1))])
        loop, data = b.inttoptr(b.load(first), kind), b.inttoptr(b.load(slot(first, 1)), bytes_)
        operands = [slot(first, 2 + AXES + (1 + AXES) * n) for n in range(OPERANDS)]
        for n, operand in enumerate(operands):
            b.store(b.load(slot(operand, AXES)), slot(strides, n))
        with contextlib.ExitStack() as stack:
            indices = [stack.enter_context(cgutils.for_range(b, b.load(slot(first, 2 + axis)))).index for axis in range(AXES - 1)]
            for n, operand in enumerate(operands):
                place = b.load(operand)
                for axis, index in enumerate(indices):
                    place = b.add(place, b.mul(index, b.load(slot(operand, 1 + axis))))
                b.store(place, slot(places, n))
            b.call(loop, [b.bitcast(places, bytes_.as_pointer()), slot(first, 1 + AXES), strides, data])
    b.ret(ir.Constant(I32, 0))


@functools.cache
@global_compiler_lock
def runner() -> Any:
    """``run(table, rows, ended)``: 0, or the number of the row that failed, from 1. Python's lock is open meanwhile.

    ``ended`` is the address of a number that is counted up where all rows have run: an interrupt may keep Python from being told.
    """
    library, module = _library("numbacnn_runner")
    run = ir.Function(module, ir.FunctionType(I64, [I64.as_pointer(), I64, I64.as_pointer()]), "numbacnn_run")
    b = ir.IRBuilder(run.append_basic_block())
    with cgutils.for_range(b, run.args[1]) as loop:
        row = b.gep(run.args[0], [b.mul(loop.index, ir.Constant(I64, 2))])
        thunk = b.inttoptr(b.load(row), ir.FunctionType(I32, [I64.as_pointer()]).as_pointer())
        record = b.inttoptr(b.load(b.gep(row, [ir.Constant(I64, 1)])), I64.as_pointer())
        status = b.call(thunk, [record])
        with b.if_then(b.icmp_signed("!=", status, ir.Constant(I32, 0)), likely=False):
            b.ret(b.add(loop.index, ir.Constant(I64, 1)))
    b.store(b.add(b.load(run.args[2]), ir.Constant(I64, 1)), run.args[2])
    b.ret(ir.Constant(I64, 0))
    _finish(library, module)
    return ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)(
        library.get_pointer_to_function("numbacnn_run")
    )
