"""Tensor, and reverse-mode differentiation over a tape of operations.

``apply(op, *tensors)`` runs an operation's forward and, where a gradient is wanted, leaves a node of the :mod:`tape` on the result.
``core`` says what a tensor is. Each family of methods is a class on top of it, in a module of its own; :class:`Tensor` joins them.
"""

from __future__ import annotations

from .autograd import grad
from .core import Operand, Scalar, TensorBase, apply, from_array, is_tensor, tensor
from .create import (
    Create,
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    logspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from .dense import Dense
from .draw import Draw, bernoulli, multinomial, normal, rand, rand_like, randint, randint_like, randn, randn_like, randperm
from .einsum import einsum
from .exchange import Exchange, from_dlpack
from .function import Context, Function, PointwiseFunction
from .join import atleast_1d, atleast_2d, atleast_3d, cat, concat, dstack, hstack, meshgrid, stack, vstack
from .operands import result_type
from .order import Order
from .pointwise import maximum, minimum, where
from .reduce import MinMax
from .tape import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled

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
    "as_tensor",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "bernoulli",
    "cat",
    "concat",
    "dstack",
    "einsum",
    "empty",
    "empty_like",
    "enable_grad",
    "eye",
    "from_array",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "grad",
    "hstack",
    "inference_mode",
    "is_grad_enabled",
    "is_tensor",
    "linspace",
    "logspace",
    "maximum",
    "meshgrid",
    "minimum",
    "multinomial",
    "no_grad",
    "normal",
    "ones",
    "ones_like",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "result_type",
    "set_grad_enabled",
    "stack",
    "tensor",
    "vstack",
    "where",
    "zeros",
    "zeros_like",
]


class Tensor(Dense, Order, Draw, Create, Exchange):
    """An n-dimensional array on a device, which remembers how it was made. Make one with :func:`tensor`, ``zeros``, ``randn`` ...

    >>> import numbacnn as nc
    >>> x = nc.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __slots__ = ()


TensorBase._new = Tensor
