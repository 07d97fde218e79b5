"""Tensor, and reverse-mode differentiation over a tape of operations.

``apply(op, *tensors)`` runs an operation's forward and, where a gradient is wanted, leaves a ``Node`` on the result. ``backward``
walks the nodes from the newest to the oldest (no recursion: graphs may be any number of operations deep), frees each as it goes,
and leaves gradients on the leaves. Gradients are of first order.

In-place writes: tensors that share memory share a ``Version``, which every write through the Tensor API counts up. A node remembers
the versions of what its backward needs, and says so when they have changed. A recorded write gives a tensor a new history, which the
views made before do not have: they are not taken any more. (NumPy views obtained by ``numpy()`` are not watched.)
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import heapq
import itertools
import math
import operator
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np

from . import backends, ops, random
from .dtypes import DType, as_dtype, bool_, float32, int64, is_floating, names_device, promote
from .errors import DeviceError, DTypeError, ShapeError, message
from .indexing import ints_first
from .ops import elementwise, linear, reduce, shape

__all__ = [
    "Function",
    "Tensor",
    "apply",
    "arange",
    "cat",
    "from_array",
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

Scalar: TypeAlias = int | float | bool
Operand: TypeAlias = "Tensor | np.ndarray | Scalar"


# -- the tape ------------------------------------------------------------------------------------------------------------
class _Mode(threading.local):
    def __init__(self) -> None:
        self.grad = True
        self.outer: list[bool] = []  # of each no_grad that is open; here, so that one object can be entered again and by many threads


_mode = _Mode()


def is_grad_enabled() -> bool:
    """Whether operations are being recorded."""
    return _mode.grad


class no_grad(contextlib.ContextDecorator):
    """Record nothing inside: ``with no_grad(): ...`` or ``@no_grad()``."""

    def __enter__(self) -> None:
        _mode.outer.append(_mode.grad)
        _mode.grad = False

    def __exit__(self, *exc: object) -> None:
        if not _mode.outer:
            raise RuntimeError(message(type(self).__name__, "the thread that entered the mode to leave it", "another thread"))
        _mode.grad = _mode.outer.pop()

    def _recreate_cm(self) -> no_grad:
        return type(self)()


class inference_mode(no_grad):
    """:class:`no_grad` under PyTorch's other name: record nothing inside. Tensors made inside are ordinary ones.

    In both modes, on the CPU, a layer packs its weights for the kernels once and keeps them packed until the weights change: calls
    after the first are faster, to the same bits. A weight whose memory a NumPy array, a ``state_dict()`` or a recorded
    result also holds is packed at each call.

    >>> import numbacnn as nc
    >>> net = nc.nn.Linear(2, 3)
    >>> with nc.inference_mode():
    ...     y = net(nc.ones(1, 2))
    >>> y.requires_grad
    False
    """


class Version:
    """How often the memory that some tensors share has been written to, and how often that was recorded."""

    count = recorded = 0  # of the class: making one, for every tensor, is then half the work


class Node:
    """An operation on the tape: where its gradients go, and what must not have changed until then."""

    __slots__ = ("device", "dtype", "edges", "number", "op", "shape", "watched")
    _numbers = itertools.count()

    def __init__(self, op: ops.Op, inputs: Sequence[Any], result: Tensor) -> None:
        self.op: ops.Op | None = op
        self.device, self.shape, self.dtype = result.device, result.shape, result.dtype
        self.number = next(Node._numbers)  # creation order is a topological order
        self.edges = [(t if t._node is None else t._node) if need else None for t, need in zip(inputs, op.needs)]
        kept = [result if i < 0 else inputs[i] for i in op.kept]
        self.watched = [(t._version, t._version.count) for t in kept if isinstance(t, Tensor)]

    def gradients(self, grad: Any) -> tuple[Any, ...]:
        op = self.op
        if op is None:
            raise RuntimeError(
                message("backward", "a graph that was not walked yet", "one that was freed", "pass retain_graph=True to the first walk")
            )
        name = type(op).__name__
        for version, count in self.watched:
            if version.count != count:
                received = "values changed by an in-place write"
                raise RuntimeError(message("backward", f"the values that {name} saved", received, "write to a clone() instead"))
        gradients = op.backward(backends.get(self.device), grad)
        for edge, gradient in zip(self.edges, gradients):
            if edge is not None and gradient is not None and tuple(gradient.shape) != edge.shape:
                raise ShapeError(message("backward", f"a gradient of shape {edge.shape} from {name}", f"shape {tuple(gradient.shape)}"))
        return gradients

    def release(self) -> None:
        self.op, self.edges, self.watched = None, [], []


def apply(op: ops.Op, *inputs: Any, device: str | None = None) -> Tensor:
    """Run an operation on Tensors, scalars and Nones (at least one Tensor), and record it where a gradient is wanted.

    ``device`` is the result's, where it differs from the inputs'.

    Raises:
        DeviceError: where the Tensors lie on different devices.
    """
    grad = _mode.grad
    first: Tensor | None = None
    if op.weight is not None and inputs[op.weight].is_parameter:
        weight = inputs[op.weight]
        xp = backends.get(weight.device)
        if grad and weight._requires_grad:
            xp.unlock(weight.array)
        else:
            xp.lock(weight)  # before anybody else refers to its array
    arrays, needs = [], []
    for t in inputs:
        if isinstance(t, Tensor):
            first = t if first is None else first
            if t.device != first.device:
                found = f"{first.device} and {t.device}"
                raise DeviceError(message(type(op).__name__, "tensors on one device", found, "move one with .to()"))
            if t._seen is not None:
                t._check_history(type(op).__name__)
            arrays.append(t.array)
            needs.append(grad and (t._requires_grad or t._node is not None))
        else:
            arrays.append(t)
            needs.append(False)
    if first is None:
        raise TypeError(message(type(op).__name__, "at least one Tensor", "none"))
    op.needs, recorded = tuple(needs), True in needs
    xp = backends.get(first.device)
    result = Tensor(op.forward(xp, *arrays), device or first.device)
    if op.view and xp.shares_memory(result.array, first.array):
        result._version, result._base = first._version, first
        result._seen = first._version.recorded if first._seen is None else first._seen
    if recorded and is_floating(result.dtype):
        result._node = Node(op, inputs, result)
    else:
        op.saved = ()
    return result


def _walk(root: Node, grad: Any, retain: bool) -> None:
    """Carry the gradient from the root to the leaves."""
    grads: dict[Node, Any] = {root: grad}
    queue = [(-root.number, root)]
    while queue:
        _, node = heapq.heappop(queue)
        gradients, edges = node.gradients(grads.pop(node)), node.edges
        fresh = node.op is not None and node.op.fresh
        if not retain:
            node.release()
        for edge, gradient in zip(edges, gradients):
            if edge is None or gradient is None:
                continue
            if isinstance(edge, Tensor):
                edge._accumulate(gradient, fresh)
            elif edge in grads:
                grads[edge] = backends.get(edge.device).binary("add", grads[edge], gradient)
            else:
                grads[edge] = gradient
                heapq.heappush(queue, (-edge.number, edge))


# -- Tensor ----------------------------------------------------------------------------------------------------------------
class Extremes(NamedTuple):
    """What ``max(dim)`` gives."""

    values: Tensor
    indices: Tensor


class Tensor:
    """An n-dimensional array on a device, which remembers how it was made. Make one with :func:`tensor`, ``zeros``, ``randn`` ...

    >>> import numbacnn as nc
    >>> x = nc.tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4., 6.])
    """

    __array_ufunc__ = None  # so that ndarray + tensor comes to us
    __slots__ = ("__weakref__", "_base", "_node", "_requires_grad", "_seen", "_version", "array", "device", "grad")

    array: Any
    """The device's own array: a ``numpy.ndarray`` on the CPU. Writes into it are not watched, and it is read-only where a layer keeps
    the weight packed; ``numpy()`` gives one to write to."""
    is_parameter: ClassVar[bool] = False
    """Whether a module keeps it from call to call."""
    grad: Tensor | None

    def __init__(self, array: Any, device: str = "cpu", requires_grad: bool = False) -> None:
        if not hasattr(array, "dtype"):
            raise DTypeError(message("Tensor", "an array of a backend", type(array).__name__, "make a Tensor of it with tensor()"))
        self.array, self.device = array, device
        self.grad: Tensor | None = None
        self._node: Node | None = None
        self._base: Tensor | None = None
        self._seen: int | None = None  # of a view: the recorded writes to its memory until it was made
        self._version = Version()
        self._requires_grad = False
        if requires_grad:
            self.requires_grad = True

    # -- what it is
    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def dtype(self) -> DType:
        return self.array.dtype

    @property
    def ndim(self) -> int:
        return self.array.ndim

    def dim(self) -> int:
        return self.array.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one axis."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def requires_grad(self) -> bool:
        return self._requires_grad or self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self._node is not None:
            raise RuntimeError(message("requires_grad", "a leaf", "the result of an operation", "use detach()"))
        if value and not is_floating(self.dtype):
            raise DTypeError(message("requires_grad", "a floating-point tensor", str(self.dtype)))
        self._requires_grad = bool(value)

    def requires_grad_(self, value: bool = True) -> Tensor:
        self.requires_grad = value
        return self

    @property
    def is_leaf(self) -> bool:
        return self._node is None

    @property
    def data(self) -> Tensor:
        """The same memory, detached; writes through it are not watched. Assigning replaces the contents."""
        return Tensor(self.array, self.device)

    @data.setter
    def data(self, value: Tensor) -> None:
        value = _as_tensor(value, self.device)
        if value.shape != self.shape:
            raise ShapeError(message("data", f"a tensor of shape {self.shape}", f"shape {value.shape}"))
        self.array, self.device = value.array, value.device

    def detach(self) -> Tensor:
        """The same memory without a history."""
        result = Tensor(self.array, self.device)
        result._version, result._base = self._version, self
        return result

    def _check_history(self, op: str) -> None:
        """Refuse a view whose gradient would pass by what has been written since."""
        if self._seen is not None and self._seen != self._version.recorded and _mode.grad:
            received = "a view from before a recorded in-place write"
            raise RuntimeError(message(op, "a view of the tensor as it is now", received, "make the view after the write"))

    def check_writable(self, op: str) -> None:
        """Raise RuntimeError where the memory can't be written to, in the name of the operation that would."""
        if not backends.get(self.device).writable(self.array):
            raise RuntimeError(message(op, "memory that can be written to", "a view that repeats elements", "write to a clone()"))

    def bump_version(self) -> None:
        """Say that the memory was written to by other means."""
        self._version.count += 1

    # -- to other worlds
    def numpy(self) -> np.ndarray:
        """A NumPy array of the values; on the CPU it shares memory.

        Raises:
            RuntimeError: where gradients are recorded; call ``detach()`` first.
        """
        if self.requires_grad:
            raise RuntimeError(message("numpy", "a tensor without a gradient", "one that requires it", "call detach().numpy()"))
        return self._shown()

    def _shown(self) -> np.ndarray:
        """The values as an array that a user may write to."""
        xp = backends.get(self.device)
        xp.unlock(self.array)
        return xp.to_numpy(self.array)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        converted = dtype is not None and self.dtype != dtype
        if not converted and not copy:
            return self._shown()
        array = backends.get(self.device).to_numpy(self.array)
        return array.astype(dtype) if converted else array.copy()

    def item(self) -> Any:
        """The value of a one-element tensor as a Python number."""
        if self.numel() != 1:
            raise ShapeError(message("item", "a tensor of one element", f"shape {self.shape}"))
        return backends.get(self.device).item(self.array)

    def tolist(self) -> Any:
        return np.asarray(self).tolist()

    def to(self, *targets: Any, device: str | None = None, dtype: Any = None) -> Tensor:
        """On another device ("cpu", "cuda"), in another dtype, or both; the same tensor where nothing changes."""
        wanted = [*targets, *(t for t in (device, dtype) if t is not None)]
        return functools.reduce(Tensor._to, wanted, self)

    def _to(self, target: Any) -> Tensor:
        if isinstance(target, Tensor):
            return self.to(target.device).to(target.dtype)
        if names_device(target):
            device = backends.device(target, "to")
            return self if device == self.device else apply(_Move(self.device, device), self, device=device)
        dtype = as_dtype("to", target)
        return self if dtype == self.dtype else apply(elementwise.Cast(dtype), self)

    def cpu(self) -> Tensor:
        return self.to("cpu")

    def cuda(self) -> Tensor:
        return self.to("cuda")

    def type(self, dtype: Any) -> Tensor:
        return self.to(as_dtype("type", dtype))

    def float(self) -> Tensor:
        return self.to("float32")

    def double(self) -> Tensor:
        return self.to("float64")

    def long(self) -> Tensor:
        return self.to("int64")

    def int(self) -> Tensor:
        return self.to("int32")

    def bool(self) -> Tensor:
        return self.to("bool")

    def clone(self) -> Tensor:
        """A copy; gradients flow through it."""
        return apply(elementwise.Cast(self.dtype), self)

    def contiguous(self) -> Tensor:
        """The same tensor: memory order is not part of a tensor's meaning here."""
        return self

    def __deepcopy__(self, memo: dict[builtins.int, Any]) -> Tensor:
        memo[id(self)] = result = self._rebuilt()
        return result

    def _rebuilt(self) -> Tensor:
        rebuild, args = self.__reduce__()
        return rebuild(*args)

    def __reduce__(self) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
        if self._node is not None:
            raise RuntimeError(message("copy", "a leaf", "the result of an operation", "call detach() first"))
        grad = None if self.grad is None else np.array(self.grad)
        return _rebuild, (type(self), np.array(self), self.device, self._requires_grad, grad)

    # -- gradients
    def backward(self, gradient: Tensor | None = None, retain_graph: builtins.bool = False) -> None:
        """Add the gradient of this tensor to ``.grad`` of every leaf it was made from.

        Args:
            gradient: of this tensor's shape; may be left out for one element (it is 1 then).
            retain_graph: keep what the walk needs, so that it can be repeated.

        Raises:
            RuntimeError: nothing to differentiate, a second walk, or a saved value that was overwritten.
            ShapeError: the gradient's shape is wrong.
        """
        if not self.requires_grad:
            raise RuntimeError(message("backward", "a tensor that requires a gradient", "one that does not"))
        self._check_history("backward")
        xp = backends.get(self.device)
        if gradient is None:
            if self.numel() != 1:
                raise ShapeError(message("backward", f"a gradient of shape {self.shape}", "none", "only one element can do without"))
            seed = xp.full(self.shape, 1, self.dtype)
        else:
            gradient = _as_tensor(gradient, self.device)
            if gradient.shape != self.shape:
                raise ShapeError(message("backward", f"a gradient of shape {self.shape}", f"shape {gradient.shape}"))
            seed = gradient.detach().to(self.dtype).array
        if self._node is None:
            self._accumulate(seed, fresh=False)
        else:
            _walk(self._node, seed, retain_graph)

    def _accumulate(self, gradient: Any, fresh: builtins.bool) -> None:
        xp = backends.get(self.device)
        if self.grad is not None:
            self.grad = Tensor(xp.binary("add", self.grad.array, gradient), self.device)
        else:
            self.grad = Tensor(gradient if fresh else xp.copy(gradient), self.device)

    # -- arithmetic
    def __add__(self, other: Operand) -> Tensor:
        return _binary(elementwise.Add(), self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return _binary(elementwise.Add(), other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return _binary(elementwise.Subtract(), self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return _binary(elementwise.Subtract(), other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return _binary(elementwise.Multiply(), self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return _binary(elementwise.Multiply(), other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return _binary(elementwise.Divide(), self, other, floating=True)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return _binary(elementwise.Divide(), other, self, floating=True)

    def __floordiv__(self, other: Operand) -> Tensor:
        return _floored(elementwise.FloorDivide(), self, other)

    def __rfloordiv__(self, other: Operand) -> Tensor:
        return _floored(elementwise.FloorDivide(), other, self)

    def __mod__(self, other: Operand) -> Tensor:
        return _floored(elementwise.Remainder(), self, other)

    def __rmod__(self, other: Operand) -> Tensor:
        return _floored(elementwise.Remainder(), other, self)

    def __pow__(self, other: Operand) -> Tensor:
        return _binary(elementwise.Power(), self, other)

    def __rpow__(self, other: Operand) -> Tensor:
        return _binary(elementwise.Power(), other, self)

    def __neg__(self) -> Tensor:
        return apply(elementwise.Negative(), self)

    def __abs__(self) -> Tensor:
        return apply(elementwise.Absolute(), self)

    def __invert__(self) -> Tensor:
        if self.dtype != bool_:
            raise DTypeError(message("invert", "a bool tensor", str(self.dtype)))
        return Tensor(backends.get(self.device).unary("logical_not", self.array), self.device)

    def __matmul__(self, other: Operand) -> Tensor:
        return _matmul(self, _as_tensor(other, self.device))

    def __rmatmul__(self, other: Operand) -> Tensor:
        return _matmul(_as_tensor(other, self.device), self)

    def matmul(self, other: Tensor) -> Tensor:
        return self @ other

    mm = matmul

    def __iadd__(self, other: Operand) -> Tensor:
        return self._write(..., self + other)

    def __isub__(self, other: Operand) -> Tensor:
        return self._write(..., self - other)

    def __imul__(self, other: Operand) -> Tensor:
        return self._write(..., self._kept() * other)

    def __itruediv__(self, other: Operand) -> Tensor:
        return self._write(..., self._kept() / other)

    def _kept(self) -> Tensor:
        """Itself, or a copy for backward where operations are recorded: it is about to be overwritten."""
        return self.clone() if _mode.grad else self

    def add_(self, other: Operand) -> Tensor:
        return self.__iadd__(other)

    def sub_(self, other: Operand) -> Tensor:
        return self.__isub__(other)

    def mul_(self, other: Operand) -> Tensor:
        return self.__imul__(other)

    def div_(self, other: Operand) -> Tensor:
        return self.__itruediv__(other)

    def fill_(self, value: Scalar) -> Tensor:
        return self._write(..., value)

    def zero_(self) -> Tensor:
        return self._write(..., 0)

    def copy_(self, other: Tensor) -> Tensor:
        return self._write(..., other)

    # -- comparison: bool tensors
    def __eq__(self, other: object) -> Any:
        if other is None:
            return False
        return _compare("equal", self, other)

    def __ne__(self, other: object) -> Any:
        if other is None:
            return True
        return _compare("not_equal", self, other)

    def __lt__(self, other: Any) -> Tensor:
        return _compare("less", self, other)

    def __le__(self, other: Any) -> Tensor:
        return _compare("less_equal", self, other)

    def __gt__(self, other: Any) -> Tensor:
        return _compare("greater", self, other)

    def __ge__(self, other: Any) -> Tensor:
        return _compare("greater_equal", self, other)

    __hash__ = object.__hash__

    def all(self) -> Tensor:
        return Tensor(backends.get(self.device).from_numpy(np.asarray(np.asarray(self).all())), self.device)

    def any(self) -> Tensor:
        return Tensor(backends.get(self.device).from_numpy(np.asarray(np.asarray(self).any())), self.device)

    # -- indexing
    def __getitem__(self, index: Any) -> Tensor:
        try:
            return apply(shape.GetItem(ints_first(self.shape, _index(index))), self)
        except IndexError as error:
            raise _outside(self.shape, index, error) from None

    def __setitem__(self, index: Any, value: Operand) -> None:
        try:
            self._write(ints_first(self.shape, _index(index)), value)
        except IndexError as error:
            raise _outside(self.shape, index, error) from None

    def _write(self, index: Any, value: Operand) -> Tensor:
        """``self[index] = value``; where gradients are recorded they flow through what was written."""
        xp = backends.get(self.device)
        self.check_writable("write")
        if isinstance(value, (Tensor, np.ndarray, list, tuple)):
            value = _as_tensor(value, self.device)
            _check_cast(value.dtype, self.dtype)
            value = value.to(self.dtype)
        else:
            value = _scalar(value)
            _check_cast(_scalar_dtype(value), self.dtype)
        recorded = _mode.grad and (self.requires_grad or (isinstance(value, Tensor) and value.requires_grad))
        if isinstance(value, Tensor):
            value = self._fitting(index, value)
        if not recorded:
            xp.setitem(self.array, index, value.array if isinstance(value, Tensor) else value)
            self.bump_version()
            return self
        if self._requires_grad:
            raise RuntimeError(message("write", "a tensor that is not a leaf with a gradient", "such a leaf", "write under no_grad()"))
        if self._base is not None:
            expected, received = "a tensor that owns its memory", "a view, whose gradient is not recorded"
            raise RuntimeError(message("write", expected, received, "write to the tensor itself"))
        written = apply(shape.SetItem(index), self, value)
        self._node = written._node
        self._version.recorded += 1
        self.bump_version()
        return self

    def _fitting(self, index: Any, value: Tensor) -> Tensor:
        """``value`` without leading axes of size 1 that the place to be written does not have; ShapeError where it does not fit."""
        place = np.broadcast_to(np.empty((), np.bool_), self.shape)[index].shape
        while value.ndim > len(place) and value.shape[0] == 1:
            value = value.reshape(value.shape[1:])
        own = (1,) * (len(place) - value.ndim) + value.shape
        if len(own) != len(place) or any(o not in (1, p) for o, p in zip(own, place)):
            raise ShapeError(message("write", f"values that fit shape {place}", f"shape {value.shape}"))
        return value

    def __len__(self) -> builtins.int:
        if not self.ndim:
            raise TypeError(message("len", "a tensor with axes", "a 0-d tensor"))
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))

    # -- shape
    def reshape(self, *sizes: Any) -> Tensor:
        """The values in logical order with another shape; one size may be -1. A view where the memory allows it."""
        return apply(shape.Reshape(_resolve("reshape", self.shape, _sizes(sizes))), self)

    def view(self, *sizes: Any) -> Tensor:
        """As :meth:`reshape`: copies where PyTorch would raise."""
        return self.reshape(*sizes)

    def flatten(self, start_dim: builtins.int = 0, end_dim: builtins.int = -1) -> Tensor:
        if not self.ndim:
            return self.reshape(1)
        first, last = _axis("flatten", start_dim, self.ndim), _axis("flatten", end_dim, self.ndim)
        if first > last:
            raise ShapeError(message("flatten", "start_dim before end_dim", f"{start_dim} and {end_dim}"))
        return self.reshape(self.shape[:first] + (math.prod(self.shape[first : last + 1]),) + self.shape[last + 1 :])

    def permute(self, *axes: Any) -> Tensor:
        order = tuple(_axis("permute", a, self.ndim) for a in _sizes(axes))
        if sorted(order) != list(range(self.ndim)):
            raise ShapeError(message("permute", f"each of the {self.ndim} axes once", f"{_sizes(axes)}"))
        return apply(shape.Transpose(order), self)

    def transpose(self, dim0: builtins.int, dim1: builtins.int) -> Tensor:
        order = list(range(self.ndim))
        i, j = _axis("transpose", dim0, self.ndim), _axis("transpose", dim1, self.ndim)
        order[i], order[j] = order[j], order[i]
        return apply(shape.Transpose(tuple(order)), self)

    def t(self) -> Tensor:
        if self.ndim > 2:
            raise ShapeError(message("t", "a tensor of at most two axes", f"shape {self.shape}", "use transpose or permute"))
        return self.T

    @property
    def T(self) -> Tensor:
        return apply(shape.Transpose(tuple(reversed(range(self.ndim)))), self)

    def squeeze(self, dim: builtins.int | None = None) -> Tensor:
        """Without axes of size 1 (or without that one)."""
        drop = range(self.ndim) if dim is None else (_axis("squeeze", dim, self.ndim),)
        return self.reshape(tuple(size for i, size in enumerate(self.shape) if size != 1 or i not in drop))

    def unsqueeze(self, dim: builtins.int) -> Tensor:
        """With a new axis of size 1 before axis ``dim``."""
        at = _axis("unsqueeze", dim, self.ndim + 1)
        return self.reshape(self.shape[:at] + (1,) + self.shape[at:])

    def expand(self, *sizes: Any) -> Tensor:
        """Axes of size 1 repeated (-1: as it is); a view."""
        wanted = _sizes(sizes)
        own = (1,) * (len(wanted) - self.ndim) + self.shape
        target = tuple(o if w == -1 else w for o, w in zip(own, wanted))
        if len(own) != len(wanted) or any(o not in (1, w) for o, w in zip(own, target)):
            raise ShapeError(message("expand", f"sizes that shape {self.shape} can be repeated to", f"{wanted}"))
        return apply(shape.Broadcast(target), self)

    # -- reductions
    def sum(self, dim: Any = None, keepdim: builtins.bool = False, *, axis: Any = None, keepdims: builtins.bool = False) -> Tensor:
        """Over all axes, or over ``dim`` (an axis or a tuple). Integers and bools add up in int64."""
        axes = _axes("sum", dim if axis is None else axis, self.ndim)
        x = self if is_floating(self.dtype) else self.to(int64)
        return apply(reduce.Sum(axes, keepdim or keepdims), x)

    def mean(self, dim: Any = None, keepdim: builtins.bool = False, *, axis: Any = None, keepdims: builtins.bool = False) -> Tensor:
        if not is_floating(self.dtype):
            raise DTypeError(message("mean", "a floating-point tensor", str(self.dtype), "convert it with .float()"))
        return apply(reduce.Mean(_axes("mean", dim if axis is None else axis, self.ndim), keepdim or keepdims), self)

    def var(
        self,
        dim: Any = None,
        unbiased: builtins.bool = True,
        keepdim: builtins.bool = False,
        *,
        correction: builtins.float | None = None,
        axis: Any = None,
    ) -> Tensor:
        """The variance over all axes, or over ``dim``: squared distances from the mean, added up and divided by n - ``correction``.

        ``correction`` is 1 (Bessel's) unless it is given, or 0 with ``unbiased=False``; ``x.var(False)`` means that too.
        """
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if not is_floating(self.dtype):
            raise DTypeError(message("var", "a floating-point tensor", str(self.dtype), "convert it with .float()"))
        axes = _axes("var", dim if axis is None else axis, self.ndim)
        n = math.prod(self.shape[a] for a in axes)
        free = n - (unbiased if correction is None else correction)
        away = self - self.mean(axes, keepdim=True)
        return (away * away).sum(axes, keepdim) / builtins.float(builtins.max(free, 0))

    def std(
        self,
        dim: Any = None,
        unbiased: builtins.bool = True,
        keepdim: builtins.bool = False,
        *,
        correction: builtins.float | None = None,
        axis: Any = None,
    ) -> Tensor:
        """The standard deviation, the root of :meth:`var`; where that is 0 the gradient is 0."""
        return _root(self.var(dim, unbiased, keepdim, correction=correction, axis=axis))

    def max(self, dim: builtins.int | None = None, keepdim: builtins.bool = False) -> Any:
        """The largest element, or along an axis ``(values, indices)``; NaN counts as larger than all.

        Equal maxima share the gradient; along an axis the first of them, which ``indices`` names, takes it all.
        """
        if not self.numel():
            raise ShapeError(message("max", "a tensor with elements", f"shape {self.shape}"))
        if dim is None:
            return apply(reduce.Max(_axes("max", None, self.ndim), keepdim), self)
        axis, x = _axis("max", dim, self.ndim), self if self.ndim else self.reshape(1)
        op = reduce.MaxAlong(axis, keepdim and x is self)
        values = apply(op, x)
        return Extremes(values, Tensor(backends.get(self.device).copy(op.index), self.device).reshape(values.shape))

    def min(self, dim: builtins.int | None = None, keepdim: builtins.bool = False) -> Any:
        """The smallest element, or along an axis ``(values, indices)``; the gradient as in :meth:`max`."""
        found = self._turned().max(dim, keepdim)
        return (-found).to(self.dtype) if dim is None else Extremes((-found.values).to(self.dtype), found.indices)

    def _turned(self) -> Tensor:
        """Minus itself; wide enough for it, as minus would wrap around in unsigned integers."""
        return -(self if is_floating(self.dtype) else self.long())

    def argmax(self, dim: builtins.int | None = None, keepdim: builtins.bool = False, *, axis: builtins.int | None = None) -> Tensor:
        """int64 positions of the first maximum: in the flattened tensor, or along an axis."""
        return self._position("argmax", dim if axis is None else axis, keepdim)

    def argmin(self, dim: builtins.int | None = None, keepdim: builtins.bool = False, *, axis: builtins.int | None = None) -> Tensor:
        """int64 positions of the first minimum: in the flattened tensor, or along an axis."""
        return self._turned()._position("argmin", dim if axis is None else axis, keepdim)

    def _position(self, op: str, dim: builtins.int | None, keepdim: builtins.bool) -> Tensor:
        if not self.numel():
            raise ShapeError(message(op, "a tensor with elements", f"shape {self.shape}"))
        xp, axis = backends.get(self.device), 0 if dim is None else _axis(op, dim, self.ndim)
        array = self.array if dim is not None and self.ndim else xp.reshape(self.array, (self.numel(),))
        found = Tensor(xp.argmax(array, axis), self.device)
        return found.unsqueeze(axis) if keepdim and dim is not None and self.ndim else found

    def norm(self) -> Tensor:
        """The Euclidean norm of all elements; where it is 0 the gradient is 0."""
        return _root((self * self).sum())

    # -- functions
    def erf(self) -> Tensor:
        """The error function."""
        return apply(elementwise.Erf(), _floating(self))

    def exp(self) -> Tensor:
        return apply(elementwise.Exp(), _floating(self))

    def log(self) -> Tensor:
        return apply(elementwise.Log(), _floating(self))

    def log1p(self) -> Tensor:
        return apply(elementwise.Log1p(), _floating(self))

    def sqrt(self) -> Tensor:
        return apply(elementwise.Sqrt(), _floating(self))

    def abs(self) -> Tensor:
        return abs(self)

    def relu(self) -> Tensor:
        return apply(elementwise.Relu(), _floating(self))

    def sigmoid(self) -> Tensor:
        return apply(elementwise.Sigmoid(), _floating(self))

    def tanh(self) -> Tensor:
        return apply(elementwise.Tanh(), _floating(self))

    def softmax(self, dim: builtins.int) -> Tensor:
        return apply(reduce.Softmax(_axis("softmax", dim, self.ndim)), _floating(self))

    def log_softmax(self, dim: builtins.int) -> Tensor:
        return apply(reduce.LogSoftmax(_axis("log_softmax", dim, self.ndim)), _floating(self))

    def clamp(self, min: Operand | None = None, max: Operand | None = None) -> Tensor:
        """Bounded below and above; the gradient flows where a value is within its bounds, and on them."""
        if min is None and max is None:
            raise ValueError(message("clamp", "a bound, min or max", "neither"))
        x = self if min is None else where(self < min, min, self)
        return x if max is None else where(x > max, max, x)

    # -- as text and as a number
    def __repr__(self) -> str:
        values = np.asarray(self)
        body = np.array2string(values, precision=4, separator=", ", prefix="tensor(", suppress_small=True, floatmode="maxprec_equal")
        notes = "" if self.dtype in (float32, int64, bool_) else f", dtype={self.dtype}"
        notes += "" if self.device == backends.DEFAULT else f", device='{self.device}'"
        notes += ", requires_grad=True" if self.requires_grad else ""
        return f"tensor({body}{notes})"

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 else format(repr(self), spec)

    def __float__(self) -> builtins.float:
        return builtins.float(self.item())

    def __int__(self) -> builtins.int:
        return builtins.int(self.item())

    def __index__(self) -> builtins.int:
        return operator.index(self.item())

    def __bool__(self) -> builtins.bool:
        if self.numel() != 1:
            raise ShapeError(message("bool", "a tensor of one element", f"shape {self.shape}", "use .any() or .all()"))
        return builtins.bool(self.item())


def _rebuild(cls: type[Tensor], array: np.ndarray, device: str, requires_grad: bool, grad: np.ndarray | None) -> Tensor:
    result = cls.__new__(cls)
    Tensor.__init__(result, backends.get(device).from_numpy(array), device, requires_grad)
    if grad is not None:
        result.grad = from_array(grad, device)
    return result


class _Move(ops.Op):
    """The same values on another device."""

    def __init__(self, source: str, target: str) -> None:
        self.source, self.target = source, target

    def forward(self, xp: backends.Backend, x: Any) -> Any:
        return backends.get(self.target).from_numpy(xp.to_numpy(x))

    def backward(self, xp: backends.Backend, grad: Any) -> tuple[Any, ...]:
        return (backends.get(self.source).from_numpy(xp.to_numpy(grad)),)


# -- operands ----------------------------------------------------------------------------------------------------------------
def _as_tensor(value: Any, device: str) -> Tensor:
    return value if isinstance(value, Tensor) else tensor(value, device=device)


def _scalar(value: Any) -> Scalar:
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, (bool, int, float)):
        raise DTypeError(message("operand", "a Tensor, an array or a number", type(value).__name__))
    return value


def _scalar_dtype(value: Scalar) -> DType:
    return bool_ if isinstance(value, bool) else int64 if isinstance(value, int) else float32


def _floating(x: Tensor) -> Tensor:
    return x if is_floating(x.dtype) else x.to(float32)


def _check_cast(source: DType, target: DType) -> None:
    """In-place writes may widen or narrow within a kind, but not drop a fraction or an integer's value."""
    kinds = {"b": 0, "u": 1, "i": 1, "f": 2}
    if kinds[source.kind] > kinds[target.kind]:
        raise DTypeError(message("write", f"values that fit {target}", str(source), "convert them with .to()"))


def _operands(a: Any, b: Any, floating: bool = False) -> tuple[Any, Any]:
    """Two operands as Tensors of one dtype and device, or one of them as a plain number of the dtype's kind."""
    device = a.device if isinstance(a, Tensor) else b.device
    ranks = []
    values = []
    for value in (a, b):
        if isinstance(value, (Tensor, np.ndarray, list, tuple)):
            value = _as_tensor(value, device)
            ranks.append((value.dtype, 2 if value.ndim else 1))
        else:
            value = _scalar(value)
            ranks.append((_scalar_dtype(value), 0))
        values.append(value)
    dtype = promote(*ranks)
    if floating and not is_floating(dtype):
        dtype = float32
    number = float if is_floating(dtype) else bool if dtype == bool_ else int
    first, second = (v.to(dtype) if isinstance(v, Tensor) else number(v) for v in values)
    return first, second


def _broadcastable(op: str, a: Any, b: Any) -> None:
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape != b.shape:
        _broadcastable_shapes(op, a.shape, b.shape)


def _broadcastable_shapes(op: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    for m, n in zip(reversed(a), reversed(b)):
        if m != n and m != 1 and n != 1:
            raise ShapeError(message(op, "shapes that broadcast to each other", f"{a} and {b}"))


def _binary(op: ops.Op, a: Any, b: Any, floating: bool = False) -> Tensor:
    a, b = _operands(a, b, floating)
    _broadcastable(type(op).__name__.lower(), a, b)
    return apply(op, a, b)


def _floored(op: elementwise.FloorDivide | elementwise.Remainder, a: Any, b: Any) -> Tensor:
    a, b = _operands(a, b)
    dtype = a.dtype if isinstance(a, Tensor) else b.dtype
    if dtype == bool_:
        raise DTypeError(message(op.name, "numbers", "bool tensors", "convert them with .to()"))
    if not is_floating(dtype) and not (b.all() if isinstance(b, Tensor) else b):
        raise RuntimeError(message(op.name, "divisors of integers that are not 0", "a 0", "floating-point tensors give inf or nan"))
    return _binary(op, a, b)


def _compare(name: str, a: Tensor, b: Any) -> Tensor:
    first, second = _operands(a, b)
    _broadcastable(name, first, second)
    arrays = [v.array if isinstance(v, Tensor) else v for v in (first, second)]
    return Tensor(backends.get(a.device).compare(name, *arrays), a.device)


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    """As ``numpy.matmul``: vectors, matrices and stacks of matrices."""
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        raise ShapeError(message("matmul", "(..., M, K) @ (..., K, N)", f"{a.shape} @ {b.shape}"))
    a, b = _operands(a, b)
    if a.ndim == 1:
        return _matmul(a.unsqueeze(0), b).squeeze(-2 if b.ndim > 1 else 0)
    if b.ndim == 1:
        return _matmul(a, b.unsqueeze(1)).squeeze(-1)
    if b.ndim == 2:
        return apply(linear.Matmul(), a.reshape(math.prod(a.shape[:-1]), a.shape[-1]), b).reshape(*a.shape[:-1], b.shape[1])
    _broadcastable_shapes("matmul", a.shape[:-2], b.shape[:-2])
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    left = a.expand(*batch, *a.shape[-2:]).reshape(math.prod(batch), *a.shape[-2:])
    right = b.expand(*batch, *b.shape[-2:]).reshape(math.prod(batch), *b.shape[-2:])
    if not len(left):
        return (left.sum(2, True) + right.sum(1, True)).reshape(*batch, a.shape[-2], b.shape[-1])  # keeps what is recorded
    products = [apply(linear.Matmul(), left[i], right[i]) for i in range(len(left))]
    return stack(products).reshape(*batch, a.shape[-2], b.shape[-1])


def _root(squared: Tensor) -> Tensor:
    """The root, with the gradient 0 at 0."""
    zero = squared == 0
    return where(zero, 0.0, where(zero, 1.0, squared).sqrt())


def _index(index: Any) -> Any:
    """An index as the backends take it: Tensors, and sequences inside, become NumPy arrays."""
    return tuple(_part(i) for i in index) if isinstance(index, tuple) else _part(index)


def _part(part: Any) -> Any:
    if isinstance(part, (Tensor, list, tuple, range)):
        array = np.array(part)  # a copy: backward must see what forward saw
        return array.astype(np.int64) if not array.size else array
    return part


def _outside(source: tuple[int, ...], index: Any, error: IndexError) -> IndexError:
    """The error of an index that does not fit a shape; NumPy's words, which the devices share, say where."""
    shown = ", ".join(str(i) if isinstance(i, (int, slice, type(None), type(...))) else type(i).__name__ for i in _items(index))
    return IndexError(message("index", f"an index into shape {source}", shown, str(error)))


def _items(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _axis(op: str, axis: Any, ndim: int) -> int:
    if not isinstance(axis, (int, np.integer)) or not -max(ndim, 1) <= axis < max(ndim, 1):
        raise ShapeError(message(op, f"an axis of a tensor with {ndim} axes", repr(axis)))
    return int(axis) % max(ndim, 1)


def _axes(op: str, axes: Any, ndim: int) -> tuple[int, ...]:
    if axes is None:
        return tuple(range(ndim))
    found = tuple(_axis(op, a, ndim) for a in axes) if isinstance(axes, (tuple, list)) else (_axis(op, axes, ndim),)
    if len(set(found)) != len(found):
        raise ShapeError(message(op, "each axis once", f"{axes}"))
    return found if ndim else ()


def _sizes(sizes: tuple[Any, ...]) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` mean the same."""
    if len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = tuple(sizes[0])
    return tuple(operator.index(s) for s in sizes)


def _resolve(op: str, source: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The wanted shape with its -1 filled in."""
    total, known = math.prod(source), math.prod(s for s in wanted if s != -1)
    free = wanted.count(-1)
    if free == 1 and known and total % known == 0:
        wanted = tuple(total // known if s == -1 else s for s in wanted)
        free = 0
    if free or min(wanted, default=0) < 0 or math.prod(wanted) != total:
        raise ShapeError(message(op, f"a shape of {total} elements", f"{wanted} from {source}"))
    return wanted


# -- making tensors --------------------------------------------------------------------------------------------------------------
def from_array(array: Any, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A Tensor of a NumPy array; on the CPU it shares the array's memory where that can be written."""
    array = np.asarray(array)
    as_dtype("tensor", array.dtype)
    if not array.flags.writeable:
        array = array.copy()
    return Tensor(backends.get(device).from_numpy(array), device, requires_grad)


def tensor(data: Any, *, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A Tensor holding a copy of ``data``: numbers, nested lists, an array or a Tensor.

    Python floats become float32, integers int64; an array keeps its dtype.

    Raises:
        DTypeError: the data are not numbers of a supported dtype.
        ShapeError: nested lists of unequal lengths.

    >>> tensor([[1.0, 2.0], [3.0, 4.0]]).shape
    (2, 2)
    """
    if isinstance(data, Tensor):
        array = np.array(data)
    else:
        try:
            array = _joined(data) if _holds_tensors(data) else np.array(data)
        except ValueError:
            raise ShapeError(message("tensor", "nested lists of equal lengths", "unequal ones")) from None
        if not isinstance(data, (np.ndarray, np.generic)) and array.dtype == np.float64 and not _holds_tensors(data):
            array = array.astype(np.float32)
    array = array.astype(as_dtype("tensor", dtype if dtype is not None else array.dtype), copy=False)
    return from_array(array, device, requires_grad)


def _joined(data: Sequence[Any]) -> np.ndarray:
    """An array of Tensors, arrays and numbers; Python floats count as float32 here too."""
    parts = [d if isinstance(d, np.ndarray) else np.asarray(tensor(d)) for d in data]
    array = np.array(parts)
    return array if any(p.dtype == np.float64 for p in parts) or array.dtype != np.float64 else array.astype(np.float32)


def _holds_tensors(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and any(isinstance(d, (Tensor, np.ndarray)) for d in data)


def full(size: Sequence[int], value: Scalar, *, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A Tensor of this shape filled with a value; float32, int64 or bool as the value is, unless ``dtype`` says otherwise."""
    shape_ = _checked_sizes("full", (size,))
    found = _scalar_dtype(_scalar(value)) if dtype is None else as_dtype("full", dtype)
    return Tensor(backends.get(device).full(shape_, value, found), device, requires_grad)


def _checked_sizes(op: str, sizes: tuple[Any, ...]) -> tuple[int, ...]:
    found = _sizes(sizes)
    if min(found, default=0) < 0:
        raise ShapeError(message(op, "sizes of at least 0", f"{found}"))
    return found


def zeros(*sizes: Any, size: Any = None, dtype: Any = float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Zeros: ``zeros(2, 3)``, ``zeros((2, 3))`` or ``zeros(size=(2, 3))``."""
    return full(_checked_sizes("zeros", sizes if size is None else (size,)), 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones(*sizes: Any, size: Any = None, dtype: Any = float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Ones: ``ones(2, 3)``, ``ones((2, 3))`` or ``ones(size=(2, 3))``."""
    return full(_checked_sizes("ones", sizes if size is None else (size,)), 1, dtype=dtype, device=device, requires_grad=requires_grad)


def zeros_like(x: Tensor) -> Tensor:
    return zeros(x.shape, dtype=x.dtype, device=x.device)


def ones_like(x: Tensor) -> Tensor:
    return ones(x.shape, dtype=x.dtype, device=x.device)


def arange(*bounds: Scalar, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """``arange(stop)``, ``arange(start, stop)`` or ``arange(start, stop, step)``; int64 unless a bound is a float."""
    if not 1 <= len(bounds) <= 3:
        raise TypeError(message("arange", "stop; start and stop; or start, stop and step", f"{len(bounds)} arguments"))
    start, stop, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    if not all(map(math.isfinite, (start, stop, step))) or step == 0 or (stop - start) * step < 0:
        raise ValueError(message("arange", "finite numbers and a step, not 0, from start towards stop", f"{start}, {stop}, {step}"))
    found = (float32 if any(isinstance(b, float) for b in bounds) else int64) if dtype is None else as_dtype("arange", dtype)
    return from_array(np.arange(*bounds).astype(found), device, requires_grad)


def _drawn(op: str, size: tuple[Any, ...], draw: Callable[..., np.ndarray], dtype: Any, device: str, requires_grad: bool) -> Tensor:
    found = as_dtype(op, dtype)
    if not is_floating(found):
        raise DTypeError(message(op, "a floating-point dtype", str(found)))
    return from_array(np.asarray(draw(size=_checked_sizes(op, size), dtype=found)), device, requires_grad)


def rand(*sizes: Any, size: Any = None, dtype: Any = float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Uniform on [0, 1), from the library's generator."""
    return _drawn("rand", sizes if size is None else (size,), random.generator().random, dtype, device, requires_grad)


def randn(*sizes: Any, size: Any = None, dtype: Any = float32, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Standard normal, from the library's generator."""
    return _drawn("randn", sizes if size is None else (size,), random.generator().standard_normal, dtype, device, requires_grad)


def normal(mean: float, std: float, size: Sequence[int], *, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """Normal with this mean and standard deviation, float32."""
    if std < 0:
        raise ValueError(message("normal", "std of at least 0", f"{std}"))
    with no_grad():
        drawn = randn(size, device=device) * std + mean
    return drawn.requires_grad_(requires_grad)


# -- functions of several tensors ------------------------------------------------------------------------------------------------
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors one after another along an axis; their other sizes are equal."""
    if not tensors:
        raise ShapeError(message("cat", "at least one tensor", "none"))
    axis = _axis("cat", dim, tensors[0].ndim)
    shapes = [t.shape for t in tensors]
    if any(len(s) != len(shapes[0]) or not s or s[:axis] + s[axis + 1 :] != shapes[0][:axis] + shapes[0][axis + 1 :] for s in shapes):
        raise ShapeError(message("cat", f"shapes that are equal but for axis {axis}", ", ".join(map(str, shapes))))
    dtype = functools.reduce(lambda a, b: promote((a, 2), (b, 2)), (t.dtype for t in tensors))
    return apply(shape.Concatenate(axis), *(t.to(dtype) for t in tensors))


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    if not tensors:
        raise ShapeError(message("stack", "at least one tensor", "none"))
    if any(t.shape != tensors[0].shape for t in tensors):
        raise ShapeError(message("stack", "tensors of one shape", ", ".join(str(t.shape) for t in tensors)))
    axis = _axis("stack", dim, tensors[0].ndim + 1)
    return cat([t.unsqueeze(axis) for t in tensors], axis)


def maximum(a: Any, b: Any) -> Tensor:
    """The larger of two, elementwise; equal ones share the gradient."""
    return _binary(elementwise.Maximum(), a, b)


def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of two, elementwise; equal ones share the gradient."""
    return _binary(elementwise.Minimum(), a, b)


def where(condition: Tensor, a: Any, b: Any) -> Tensor:
    """``a`` where the condition holds, else ``b``."""
    if condition.dtype != bool_:
        raise DTypeError(message("where", "a bool condition", str(condition.dtype)))
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        a = _as_tensor(a, condition.device)
    a, b = _operands(a, b)
    return apply(elementwise.Where(backends.get(condition.device).copy(condition.array)), a, b)


# -- a user's own function ---------------------------------------------------------------------------------------------------------
class Context:
    """What a :class:`Function` carries from its forward to its backward."""

    def __init__(self, needs: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs
        self._saved: tuple[tuple[Tensor, int], ...] = ()

    def save_for_backward(self, *tensors: Tensor) -> None:
        self._saved = tuple((t, t._version.count) for t in tensors)

    @property
    def saved_tensors(self) -> tuple[Tensor, ...]:
        if any(t._version.count != count for t, count in self._saved):
            raise RuntimeError(
                message("backward", "the saved tensors", "tensors changed by an in-place write", "write to a clone() instead")
            )
        return tuple(t for t, _ in self._saved)


class Function:
    """A differentiable function of your own, with PyTorch's form.

    >>> class Square(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * grad
    >>> x = tensor(3.0, requires_grad=True)
    >>> Square.apply(x).backward(); x.grad.item()
    6.0
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Tensor:
        raise TypeError("[Function] expected a static method forward(ctx, ...); received none.")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        raise TypeError("[Function] expected a static method backward(ctx, grad); received none.")

    @classmethod
    def apply(cls, *args: Any) -> Tensor:
        """Call the function and record it."""
        needs = tuple(isinstance(a, Tensor) and _mode.grad and a.requires_grad for a in args)
        ctx = Context(needs)
        with no_grad():
            out = cls.forward(ctx, *args)
        if not isinstance(out, Tensor):
            raise TypeError(message(cls.__name__, "one Tensor from forward", type(out).__name__))
        result = Tensor(out.array, out.device)
        result._version = out._version  # it may be, or share memory with, an argument
        if any(needs):
            op = _UserOp(cls, ctx)
            op.needs = needs
            result._node = Node(op, args, result)
        return result


class _UserOp(ops.Op):
    """The tape's view of a user's Function."""

    def __init__(self, function: type[Function], ctx: Context) -> None:
        self.function, self.ctx = function, ctx

    def backward(self, xp: backends.Backend, grad: Any) -> tuple[Any, ...]:
        with no_grad():
            found = self.function.backward(self.ctx, Tensor(grad, xp.name))
        found = found if isinstance(found, tuple) else (found,)
        name = self.function.__name__
        if len(found) != len(self.needs):
            raise ShapeError(message(name, f"{len(self.needs)} gradients from backward, one an argument", f"{len(found)}"))
        return tuple(g.array if need and g is not None else None for g, need in zip(found, self.needs))
