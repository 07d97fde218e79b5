"""Differentiable functions of the user's own: of each number by itself, and of any other form."""

from __future__ import annotations

import inspect
import itertools
import math
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from .. import backends, formulas, ops
from ..arguments import one_of
from ..dtypes import DType, float32, float64, is_floating
from ..errors import DeviceError, ShapeError, message
from ..ops import elementwise
from ..recording import refuse
from ..signatures import judged, shown
from .core import TensorBase, apply
from .create import zeros
from .operands import as_floating
from .tape import Node, mode, no_grad

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Context", "Function", "PointwiseFunction", "pointwise"]


class PointwiseFunction:
    """What :func:`pointwise` makes: a function of a Tensor, differentiable, on every device."""

    def __init__(self, f: Callable[..., Any], derivative: Callable[..., Any], of: Literal["x", "y"]) -> None:
        self._made_of = f, derivative, of
        self._rows = _rows(f, derivative, of)
        self.__name__, self.__doc__ = self._rows[float64].title, f.__doc__

    def __call__(self, input: Tensor) -> Tensor:
        """The function of each element; integers become float32."""
        if not isinstance(input, TensorBase):
            raise TypeError(message(self.__name__, "a Tensor", shown(input), "make one with tensor() or from_array()"))
        x = as_floating(input)
        return apply(elementwise.Pointwise(self._rows[x.dtype].name), x)

    def __repr__(self) -> str:
        return self.__name__

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return pointwise, self._made_of


@judged
def pointwise(f: Callable[..., Any], derivative: Callable[..., Any], of: Literal["x", "y"] = "x") -> PointwiseFunction:
    """A differentiable function of each element, made of two Python functions of one number: a kernel on the CPU, and one on a GPU.

    Both are compiled by Numba, here and now. They may call ``math``, NumPy's functions of numbers, functions under ``@njit``, and those of
    ``numbacnn.formulas`` (``exp``, ``tanh``, ``sigmoid``, ``erf``), which the CPU computes for a whole vector at a time where it calls
    ``math.exp`` for each number: ten times as fast. A name from outside, as a constant, has the value of now. The result has the input's
    dtype, and so has what is computed on the way: numbers as ``2`` or ``0.5`` are float32 beside a float32.

    Whether ``derivative`` is the derivative, :func:`numbacnn.testing.gradcheck` says: try it for each new function. The kernels are kept on
    disk, also of functions that were typed into a notebook. With NUMBA_DISABLE_JIT=1 and in CUDA's simulator the functions run as Python.

    Args:
        f: y of x, a number.
        derivative: dy/dx, of x; the library multiplies it by the gradient of y.
        of: "y" where ``derivative`` is written in y, as that of tanh is: 1 - y * y.

    Returns:
        A function of a Tensor (any shape; float32 or float64, and integers as float32) that gives a Tensor. ``nn.Pointwise`` makes a layer
        of it.

    Raises:
        TypeError: one is no function of one number, or Numba can't compile it; the message says in which line.
        ValueError: ``of`` is neither "x" nor "y".

    >>> import numbacnn as nc
    >>> from numbacnn.formulas import sigmoid
    >>> def swish2(x):
    ...     return x * sigmoid(2 * x)
    >>> def slope(x):
    ...     s = sigmoid(2 * x)
    ...     return s + 2 * x * s * (1 - s)
    >>> swish2 = nc.pointwise(swish2, slope)
    >>> swish2(nc.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1192,  0.0000,  0.8808])
    >>> nc.testing.gradcheck(swish2, nc.tensor([-1.0, 0.0, 1.0], dtype="float64", requires_grad=True))
    True
    """
    one_of("pointwise", "of", of, ("x", "y"))
    for what, function in (("f", f), ("derivative", derivative)):
        if not callable(function) or isinstance(function, (type, TensorBase)):
            raise TypeError(message("pointwise", f"{what} as a function of one number", shown(function)))
        if not _takes_one(function):
            called = f"{getattr(function, '__name__', what)}{inspect.signature(function)}"
            raise TypeError(message("pointwise", f"{what} as a function of one number", called))
    return PointwiseFunction(f, derivative, of)


def _rows(f: Callable[..., Any], derivative: Callable[..., Any], of: Literal["x", "y"]) -> dict[DType, formulas.Unary]:
    """The rows of the table for each element type, judged."""
    from ..kernels.cpu.pointwise import judge  # Numba is imported when it is needed

    wide = formulas.own_row(f, derivative, of, single=False)
    judge(wide, np.float64)
    single = formulas.own_row(f, derivative, of, single=True)
    try:
        judge(single, np.float32)
    except TypeError:  # some number has to be as it was written
        single = wide
        judge(wide, np.float32)
    return {float64: wide, float32: single}


def _takes_one(function: Callable[..., Any]) -> bool:
    if isinstance(function, np.ufunc):
        return (function.nin, function.nout) == (1, 1)
    try:
        inspect.signature(function).bind(0.5)
    except TypeError:
        return False
    except ValueError:  # some builtins have none
        return True
    return True


class Context:
    """What a :class:`Function` carries from its forward to its backward."""

    def __init__(self, needs: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs
        self._saved: tuple[tuple[Tensor | None, int], ...] = ()
        self._fixed: tuple[Tensor, ...] = ()
        self._dirty: tuple[Tensor, ...] = ()

    def mark_non_differentiable(self, *tensors: Tensor) -> None:
        """Of what forward returns these need no gradient; backward gets zeros for them. Integers and bools need no mark."""
        self._fixed = tensors

    def mark_dirty(self, *tensors: Tensor) -> None:
        """These arguments are written to, and returned: what is returned is the argument itself, with the history of this call.

        Raises:
            RuntimeError: a gradient is recorded, and one is a leaf with a gradient, or a view of another tensor.
        """
        for t in tensors if any(self.needs_input_grad) else ():
            if t._requires_grad or (t._base is not None and t._base() is not None):
                received = "a leaf with a gradient" if t._requires_grad else "a view"
                raise RuntimeError(message("mark_dirty", "a result that owns its memory", received, "write to a clone()"))
        self._dirty = tensors

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep tensors for backward, which finds them in :attr:`saved_tensors`."""
        self._saved = tuple((t, 0 if t is None else t._version.count) for t in tensors)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What :meth:`save_for_backward` kept.

        Raises:
            RuntimeError: where one was written to since.
        """
        if any(t is not None and t._version.count != count for t, count in self._saved):
            raise RuntimeError(
                message("backward", "the saved tensors", "tensors changed by an in-place write", "write to a clone() instead")
            )
        return tuple(t for t, _ in self._saved)


class Function:
    """A differentiable function of your own, with PyTorch's form.

    With kernels inside it is an operation like the library's own: :meth:`Tensor.numba` gives the arrays, :func:`numbacnn.empty` makes the
    result, :func:`numbacnn.launch` runs the kernel. ``examples/own_layer.py`` is a pooling of this kind, for both devices.

    >>> import numbacnn as nc
    >>> class Square(nc.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * grad
    >>> x = nc.tensor(3.0, requires_grad=True)
    >>> Square.apply(x).backward(); x.grad.item()
    6.0

    A step that applies it is not compiled by ``nc.compile``, unless the class says ``recordable = True``: all work on memory then goes
    through operations on Tensors or :func:`numbacnn.launch`, the same ones each time. A kernel that is called directly, or NumPy on an
    array that ``numba()`` gave, would be missing from a replay.
    """

    recordable: ClassVar[bool] = False
    """A subclass says True to promise that forward and backward do all their work on memory by the library's own operations and by
    :func:`numbacnn.launch`: no NumPy on the values, and nothing that depends on them. A step that holds it can then be recorded and
    replayed."""

    def __new__(cls, *args: Any, **options: Any) -> Any:
        """Without arguments an object that holds nothing: ``Square().apply(x)``, as some write, is ``Square.apply(x)``."""
        if args or options:
            raise TypeError(message(cls.__name__, f"{cls.__name__}.apply(...)", f"{cls.__name__}(...)", "a Function has no objects"))
        return super().__new__(cls)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Refused, as calling the class with arguments is."""
        return type(self)(*args, **options)

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """What the function computes, a Tensor or a tuple of them; each subclass writes its own.

        Where it has a static method ``setup_context(ctx, inputs, output)`` that is called afterwards, and ``forward`` is given no ``ctx``.
        """
        raise TypeError("[Function] expected a static method forward(ctx, ...); received none.")

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        """From a gradient for each result those of the arguments, a Tensor or None for each, in a tuple if there are several.

        Each subclass writes its own.

        As in PyTorch None adds nothing to a gradient: for an argument that is no Tensor or needs none, and for one whose gradient is zero
        everywhere. Further ones behind them may be None; any other number of gradients raises a ShapeError.
        """
        raise TypeError("[Function] expected a static method backward(ctx, grad); received none.")

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Call the function and record it."""
        if not cls.recordable:
            refuse(f"{cls.__name__} is a Function without `recordable = True`")
        needs = tuple(isinstance(a, TensorBase) and mode.grad and a.requires_grad for a in args)
        ctx = Context(needs)
        with no_grad():
            if hasattr(cls, "setup_context"):
                out = cls.forward(*args)
                cls.setup_context(ctx, args, out)
            else:
                out = cls.forward(ctx, *args)
        fixed, dirty, ctx._fixed, ctx._dirty = ctx._fixed, ctx._dirty, (), ()
        outs = out if isinstance(out, tuple) else (out,)
        if not outs or not all(isinstance(o, TensorBase) for o in outs):
            raise TypeError(message(cls.__name__, "a Tensor from forward, or a tuple of them", shown(out)))
        if any(needs) and any(all(d is not o for o in outs) for d in dirty):
            raise RuntimeError(message(cls.__name__, "forward to return what it marks as dirty", "an argument that it does not return"))
        results = [o if any(o is d for d in dirty) else _same(o, args) for o in outs]
        moving = [result for result, o in zip(results, outs) if is_floating(o.dtype) and all(o is not f for f in fixed)]
        if any(needs) and moving:
            op = _UserOp(cls, ctx, results, moving)
            op.needs_grad = needs
            if not isinstance(out, tuple):
                _recorded(results[0], Node(op, args, results[0]), dirty)
            else:
                line = SimpleNamespace(device=moving[0].device, dtype=moving[0].dtype, shape=(op.length,))
                line._node = Node(op, args, line)
                for start, result in zip(op.starts, moving):
                    _recorded(result, Node(_Piece(start, op.length), [line], result), dirty)
        return tuple(results) if isinstance(out, tuple) else results[0]


def _same(x: Any, args: tuple[Any, ...]) -> Tensor:
    """Another tensor of the same memory, without a history: a view, where it is an argument or a view of one."""
    result = TensorBase._new(x.array, x.device)
    result._version, result._base = x._version, weakref.ref(x) if x._base is None and any(x is a for a in args) else x._base
    result._seen = None if result._base is None else x._version.recorded
    return result


def _recorded(result: Any, node: Node, dirty: tuple[Tensor, ...]) -> None:
    """Give a result its history; one that was written to has another one then."""
    if any(result is d for d in dirty):
        result._record(node)
    else:
        result._node = node


class _Piece(ops.Op):
    """One of several results of a Function, which the tape has as one: all elements in a line."""

    needs_grad = (True,)

    def __init__(self, start: int, length: int) -> None:
        self.start, self.length = start, length

    def backward(self, xp: backends.Backend, grad: Any) -> tuple[Any, ...]:
        with no_grad():
            piece = TensorBase._new(grad, xp.name).reshape(-1)
            line = zeros(self.length, dtype=piece.dtype, device=xp.name)
            line[self.start : self.start + len(piece)] = piece
        return (line.array,)


class _UserOp(ops.Op):
    """The tape's view of a user's Function."""

    def __init__(self, function: type[Function], ctx: Context, results: list[Tensor], moving: list[Tensor]) -> None:
        self.function, self.ctx = function, ctx
        sizes = [math.prod(m.shape) for m in moving]
        *self.starts, self.length = itertools.accumulate(sizes, initial=0)
        places = {id(m): start for m, start in zip(moving, self.starts)}
        self.results = [(r.shape, r.dtype, places.get(id(r))) for r in results]

    @property
    def label(self) -> str:
        return self.function.__name__

    def backward(self, xp: backends.Backend, grad: Any) -> tuple[Any, ...]:
        with no_grad():
            found = self.function.backward(self.ctx, *self._of_results(TensorBase._new(grad, xp.name)))
        found = found if isinstance(found, tuple) else (found,)
        name = self.function.__name__
        while len(found) > len(self.needs_grad) and found[-1] is None:
            found = found[:-1]
        if len(found) != len(self.needs_grad):
            raise ShapeError(message(name, f"{len(self.needs_grad)} gradients from backward, one an argument", f"{len(found)}"))
        for gradient in found:
            if gradient is not None and (not isinstance(gradient, TensorBase) or gradient.device != xp.name):
                received = gradient.device if isinstance(gradient, TensorBase) else type(gradient).__name__
                kind: type[Exception] = DeviceError if isinstance(gradient, TensorBase) else TypeError
                raise kind(message(name, f"gradients as Tensors on {xp.name!r} from backward, or None", f"{received}"))
        return tuple(g.array if need and g is not None else None for g, need in zip(found, self.needs_grad))

    def _of_results(self, grad: Tensor) -> list[Tensor]:
        """The gradient of each result of forward."""
        if len(self.results) == 1:
            return [grad.reshape(self.results[0][0])]
        return [
            zeros(shape, dtype=dtype, device=grad.device)
            if start is None
            else grad[start : start + math.prod(shape)].reshape(shape).to(dtype)
            for shape, dtype, start in self.results
        ]
