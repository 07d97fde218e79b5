"""Tensor, and reverse-mode differentiation over a tape of operations.

``apply(op, *tensors)`` runs an operation's forward and, where a gradient is wanted, leaves a node of the :mod:`tape` on the result.
``core`` says what a tensor is. Each family of methods is a class on top of it, in a module of its own; :class:`Tensor` joins them.
"""

from __future__ import annotations

from .convert import Convert
from .core import Operand, Scalar, TensorBase, apply, from_array, tensor
from .create import arange, empty, eye, full, normal, ones, ones_like, rand, randn, zeros, zeros_like
from .dense import Dense
from .exchange import Exchange, from_dlpack
from .function import Context, Function, PointwiseFunction
from .index import Index
from .join import cat, stack
from .pointwise import Pointwise, maximum, minimum, where
from .reduce import MinMax, Reduce
from .shape import Shape
from .tape import inference_mode, is_grad_enabled, no_grad

__all__ = [
    "Context",
    "Function",
    "MinMax",
    "Operand",
    "PointwiseFunction",
    "Scalar",
    "Tensor",
    "apply",
    "arange",
    "cat",
    "empty",
    "eye",
    "from_array",
    "from_dlpack",
    "full",
    "inference_mode",
    "is_grad_enabled",
    "maximum",
    "minimum",
    "no_grad",
    "normal",
    "ones",
    "ones_like",
    "rand",
    "randn",
    "stack",
    "tensor",
    "where",
    "zeros",
    "zeros_like",
]


class Tensor(Dense, Reduce, Pointwise, Index, Convert, Shape, Exchange):
    """An n-dimensional array on a device, which remembers how it was made. Make one with :func:`tensor`, ``zeros``, ``randn`` ...

    >>> import numbacnn as nc
    >>> x = nc.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __slots__ = ()


TensorBase._new = Tensor
