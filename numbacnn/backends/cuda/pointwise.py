"""Operations on each element by itself, of arrays with any strides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba.core.errors import NumbaError

from ...errors import message
from ...formulas import UNARY as table
from ...kernels.cuda import views
from ...kernels.cuda.simt import pointwise, rows
from ...names import BINARY, COMPARISON, FLOOR, UNARY
from .arrays import Arrays, CudaArray, Operand

__all__ = ["Pointwise"]


GELU = ("gelu", "gelu_tanh")


class Pointwise(Arrays):
    """Some kernels serve several operations: they get an operation's place in its tuple. Others are made from the table."""

    def _elementwise(self, kernel: Any, code: tuple[int, ...], operands: Sequence[CudaArray], dtype: Any) -> CudaArray:
        """As ``_each``, into a new array, which lies as the first operand of its shape does."""
        shape = np.broadcast_shapes(*(x.shape for x in operands))
        like = next((x for x in operands if x.shape == shape and not views.repeats(x.view)), None)
        order = tuple(range(len(shape))) if like is None else views.memory_order(like.view)
        out = self.empty(shape, dtype, order)
        wide = [views.transpose(views.broadcast(x.view, shape), order) for x in operands]
        sizes, *strides = views.collapse([shape[a] for a in order], *(v.strides for v in wide))
        self._each(kernel, out.size, code, sizes, tuple(zip(operands, strides)), out.buffer)
        return out

    def _operands(self, *values: Operand) -> list[CudaArray]:
        dtype = next((v.dtype for v in values if isinstance(v, CudaArray)), None) or np.result_type(*values)
        return [self._operand(v, dtype) for v in values]

    @staticmethod
    def _numbers(operands: Sequence[CudaArray]) -> list[CudaArray]:
        """Booleans as the 0 and 1 that they are in memory."""
        return [CudaArray(x.buffer.view(np.uint8), x.view, np.uint8) if x.dtype == np.bool_ else x for x in operands]

    def unary(self, name: str, x: CudaArray) -> CudaArray:
        if name not in UNARY and name not in table:
            return self.by_numpy(getattr(np, name), (x,), x.shape, x.dtype)
        (number,) = self._numbers([x])
        dtype = np.dtype(bool) if name == "logical_not" else number.dtype
        kernel, code = _choose(name, (pointwise.unary, UNARY), (pointwise.gelu, GELU), rows.forward)
        out = self._of_row(name, kernel, code, [number], dtype)
        return out if name == "logical_not" or number is x else self.astype(out, x.dtype)

    def unary_backward(self, name: str, grad: CudaArray, saved: CudaArray) -> CudaArray:
        by_code = (pointwise.activation_backward, pointwise.BACKWARD), (pointwise.gelu_backward, GELU)
        return self._of_row(name, *_choose(name, *by_code, rows.backward), [grad, saved], saved.dtype)

    def _of_row(self, name: str, kernel: Any, code: tuple[int, ...], operands: Sequence[CudaArray], dtype: Any) -> CudaArray:
        """As ``_elementwise``; says which function of a user's is not compiled for CUDA."""
        try:
            return self._elementwise(kernel, code, operands, dtype)
        except NumbaError as error:
            if name not in table or not table[name].title:
                raise
            first = str(error).strip().splitlines()[0]
            raise TypeError(message(table[name].title, "a function that Numba compiles for CUDA too", first)) from error

    def binary(self, name: str, a: Operand, b: Operand) -> CudaArray:
        operands = self._operands(a, b)
        if name not in BINARY:
            shape = np.broadcast_shapes(*(x.shape for x in operands))
            return self.by_numpy(getattr(np, name), operands, shape, operands[0].dtype)
        numbers = self._numbers(operands)
        if name in FLOOR:
            kernel = pointwise.floor_real if numbers[0].dtype.kind == "f" else pointwise.floor_whole
            return self._elementwise(kernel, (FLOOR.index(name),), numbers, numbers[0].dtype)
        out = self._elementwise(pointwise.binary, (BINARY.index(name),), numbers, numbers[0].dtype)
        return out if numbers[0] is operands[0] else self.astype(out, operands[0].dtype)

    def compare(self, name: str, a: Operand, b: Operand) -> CudaArray:
        numbers = self._numbers(self._operands(a, b))
        return self._elementwise(pointwise.compare, (COMPARISON.index(name),), numbers, bool)

    def where(self, condition: CudaArray, a: Operand, b: Operand) -> CudaArray:
        operands = self._operands(a, b)
        return self._elementwise(pointwise.where, (), [condition, *operands], operands[0].dtype)

    def activated(self, x: CudaArray, activation: str) -> CudaArray:
        return x if activation == "none" else self.unary(activation, x)


def _choose(name: str, *kernels: Any) -> tuple[Any, tuple[int, ...]]:
    """A kernel for this function and the code that it is told: the first (kernel, names) that knows the name, or one made of a row."""
    *by_code, of_row = kernels
    return next(((kernel, (names.index(name),)) for kernel, names in by_code if name in names), None) or (of_row(name), ())
