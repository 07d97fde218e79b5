"""A differentiable function of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .. import backends, ops
from ..errors import DeviceError, ShapeError, message
from ..recording import refuse
from .core import TensorBase
from .tape import Node, mode, no_grad

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Context", "Function"]


class Context:
    """What a :class:`Function` carries from its forward to its backward."""

    def __init__(self, needs: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs
        self._saved: tuple[tuple[Tensor, int], ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Keep tensors for backward, which finds them in :attr:`saved_tensors`."""
        self._saved = tuple((t, t._version.count) for t in tensors)

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]:
        """What :meth:`save_for_backward` kept.

        Raises:
            RuntimeError: where one was written to since.
        """
        if any(t._version.count != count for t, count in self._saved):
            raise RuntimeError(
                message("backward", "the saved tensors", "tensors changed by an in-place write", "write to a clone() instead")
            )
        return tuple(t for t, _ in self._saved)


class Function:
    """A differentiable function of your own, with PyTorch's form.

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

    A step that applies it is not compiled by ``nc.compile``, unless the class says ``recordable = True``: forward and backward then do
    nothing but call operations on Tensors, the same ones each time.
    """

    recordable: ClassVar[bool] = False

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        """What the function computes; each subclass writes its own."""
        raise TypeError("[Function] expected a static method forward(ctx, ...); received none.")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """The gradient of each argument of forward, None for those without; each subclass writes its own."""
        raise TypeError("[Function] expected a static method backward(ctx, grad); received none.")

    @classmethod
    def apply(cls, *args: Any) -> Tensor:
        """Call the function and record it."""
        if not cls.recordable:
            refuse(f"{cls.__name__} is a Function without `recordable = True`")
        needs = tuple(isinstance(a, TensorBase) and mode.grad and a.requires_grad for a in args)
        ctx = Context(needs)
        with no_grad():
            out = cls.forward(ctx, *args)
        if not isinstance(out, TensorBase):
            raise TypeError(message(cls.__name__, "one Tensor from forward", type(out).__name__))
        result = TensorBase._new(out.array, out.device)
        result._version, result._base = out._version, out._base  # it may be, or share memory with, an argument
        if any(needs):
            op = _UserOp(cls, ctx)
            op.needs_grad = needs
            result._node = Node(op, args, result)
        return result


class _UserOp(ops.Op):
    """The tape's view of a user's Function."""

    def __init__(self, function: type[Function], ctx: Context) -> None:
        self.function, self.ctx = function, ctx

    def backward(self, xp: backends.Backend, grad: Any) -> tuple[Any, ...]:
        with no_grad():
            found = self.function.backward(self.ctx, TensorBase._new(grad, xp.name))
        found = found if isinstance(found, tuple) else (found,)
        name = self.function.__name__
        if len(found) != len(self.needs_grad):
            raise ShapeError(message(name, f"{len(self.needs_grad)} gradients from backward, one an argument", f"{len(found)}"))
        for gradient in found:
            if gradient is not None and (not isinstance(gradient, TensorBase) or gradient.device != xp.name):
                received = gradient.device if isinstance(gradient, TensorBase) else type(gradient).__name__
                kind: type[Exception] = DeviceError if isinstance(gradient, TensorBase) else TypeError
                raise kind(message(name, f"gradients as Tensors on {xp.name!r} from backward, or None", f"{received}"))
        return tuple(g.array if need and g is not None else None for g, need in zip(found, self.needs_grad))
