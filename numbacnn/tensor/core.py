"""What a tensor is, how an operation is applied to some, and how one is made of data."""

from __future__ import annotations

import functools
import math
import operator
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np

from .. import backends, ops, recording
from ..arguments import flag
from ..dtypes import DType, as_dtype, bool_, float32, int64, is_floating
from ..errors import DeviceError, DTypeError, ShapeError, message
from ..locks import lock
from ..signatures import judged
from .tape import Hook, Node, Version, check_order, hooked, mode, no_grad, walk
from .text import tensor_text

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Operand", "Scalar", "TensorBase", "apply", "as_parameter", "as_tensor", "check_fit", "from_array", "is_tensor", "tensor"]

Scalar: TypeAlias = int | float | bool
Operand: TypeAlias = "TensorBase | np.ndarray | Scalar"


def _nobody() -> None:
    """The base of a view that was detached: nobody whose gradient it could spoil."""


_accumulating = lock()  # threads may walk to one leaf at a time


class TensorBase:
    """What a tensor is, without the methods that compute: those come from a class for each family, and ``Tensor`` joins them."""

    __array_priority__ = 1000  # so that ndarray + tensor comes to us
    __slots__ = ("__weakref__", "_base", "_grad", "_hooks", "_node", "_requires_grad", "_seen", "_version", "_way", "array", "device")

    _new: ClassVar[type[Tensor]]
    """The class of all results. It stands above this one, and registers itself here."""
    array: Any
    """The device's own array: a ``numpy.ndarray`` on the CPU. Writes into it are not watched, and it is read-only where a layer keeps
    the weight packed; ``numpy()`` gives one to write to."""
    device: str
    """Where it lies: "cpu" or "cuda"."""
    is_parameter: ClassVar[bool] = False
    """Whether a module keeps it from call to call."""

    def __init__(self, array: Any, device: str = "cpu", requires_grad: bool = False) -> None:
        if not hasattr(array, "dtype"):
            raise DTypeError(message("Tensor", "an array of a backend", type(array).__name__, "make a Tensor of it with tensor()"))
        self.array, self.device = array, device
        self._grad: Tensor | None = None
        self._node: Node | None = None
        self._hooks: dict[int, Hook] | None = None  # of a leaf; other hooks are the node's
        self._base: Callable[[], TensorBase | None] | None = None  # of a view: a weak reference to the tensor whose memory it shows
        self._seen: int | None = None  # of a view: the recorded writes to its memory until it was made
        self._way: tuple[Any, ...] | None = None  # of a view: whose array, and the indices that lead from it; where such alone do
        self._version = Version()
        self._requires_grad = False
        if requires_grad is not False:
            self._set_requires_grad(requires_grad)

    # -- what it is
    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        return tuple(self.array.shape)

    @property
    def dtype(self) -> DType:
        """The element type: a NumPy dtype, as ``nc.float32``."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def dim(self) -> int:
        """The number of axes, as :attr:`ndim`."""
        return self.array.ndim

    def numel(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    nelement, ndimension = numel, dim

    @property
    def itemsize(self) -> int:
        """The bytes of an element."""
        return self.dtype.itemsize

    def element_size(self) -> int:
        """The bytes of an element, as :attr:`itemsize`."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """The bytes of all elements."""
        return self.numel() * self.dtype.itemsize

    def is_floating_point(self) -> bool:
        """Whether the elements are floating-point numbers."""
        return is_floating(self.dtype)

    @property
    def is_cuda(self) -> bool:
        """Whether the tensor lies on a GPU."""
        return self.device != backends.DEFAULT

    def get_device(self) -> int:
        """The GPU's number, 0; -1 for the CPU."""
        return 0 if self.is_cuda else -1

    @property
    def requires_grad(self) -> bool:
        """Whether operations on it are recorded; it can be set on leaves of a floating-point dtype."""
        return self._requires_grad or self._node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        before = self._requires_grad
        self._set_requires_grad(value)
        if self.is_parameter and self._requires_grad != before:
            recording.changed()

    def _set_requires_grad(self, value: bool) -> None:
        value = flag("requires_grad", "the value", value)
        if self._node is not None:
            if value:  # it does
                return
            raise RuntimeError(message("requires_grad", "a leaf", "the result of an operation", "use detach()"))
        if value and not is_floating(self.dtype):
            raise DTypeError(message("requires_grad", "a floating-point tensor", str(self.dtype)))
        self._requires_grad = value

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set :attr:`requires_grad`; returns the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def grad(self) -> Tensor | None:
        """The gradient that :meth:`backward` left on a leaf; None before."""
        if recording.now.tape is not None:
            recording.now.tape.reads_gradient(self)
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if recording.now.tape is not None:
            recording.now.tape.writes_gradient(self)
        self._grad = value

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made it: :meth:`backward` leaves gradients on leaves only."""
        return self._node is None

    @property
    def data(self) -> Tensor:
        """The same memory, detached; writes through it are not watched. Assigning replaces the contents."""
        return self._alias()

    @data.setter
    def data(self, value: Tensor) -> None:
        value = as_tensor(value, self.device)
        if value.shape != self.shape:
            raise ShapeError(message("data", f"a tensor of shape {self.shape}", f"shape {value.shape}"))
        if self._requires_grad and not is_floating(value.dtype):
            raise DTypeError(message("data", "floating-point values for a tensor with a gradient", str(value.dtype)))
        self.array, self.device = value.array, value.device

    def detach(self) -> Tensor:
        """The same memory without a history."""
        result = self._alias()
        result._version = self._version
        return result

    def detach_(self) -> Self:
        """Let go of its own history; a leaf needs no gradient any more. Returns the tensor.

        Raises:
            RuntimeError: it is a view, whose memory belongs to a tensor with a history.
        """
        if self._base is not None:
            raise RuntimeError(message("detach_", "a tensor that owns its memory", "a view", "use detach()"))
        recording.refuse("a tensor lets go of its history")
        self._node = None
        self.requires_grad = False
        return self

    def _alias(self) -> Tensor:
        """Another tensor of the same memory."""
        result = self._new(self.array, self.device)
        result._base = None if self._base is None else _nobody
        return result

    def _check_history(self, op: str) -> None:
        """Refuse a view whose gradient would miss later writes."""
        if self._seen is not None and self._seen != self._version.recorded and mode.grad:
            received = "a view from before a recorded in-place write"
            raise RuntimeError(message(op, "a view of the tensor as it is now", received, "make the view after the write"))

    def check_writable(self, op: str) -> None:
        """Raise RuntimeError where the memory can't be written to, in the name of the operation that would."""
        if not backends.get(self.device).writable(self.array):
            raise RuntimeError(message(op, "memory that can be written to", "a view that repeats elements", "write to a clone()"))

    def bump_version(self) -> None:
        """Say that the memory was written to by other means."""
        self._version.count += 1
        if recording.now.tape is not None:
            recording.now.tape.bumps(self._version)

    # -- to other worlds
    def numpy(self, *, force: bool = False) -> np.ndarray:
        """A NumPy array of the values; on the CPU it shares memory. With ``force`` gradients may be recorded.

        Raises:
            RuntimeError: where gradients are recorded; call ``detach()`` first.
        """
        if self.requires_grad and not force:
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

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Tensor:
        """What NumPy's own function made of this tensor's values, and of the other arguments in ``context``: no gradient is recorded."""
        op, given = (context[0].__name__, context[1]) if context else ("numpy", ())
        if array.dtype.kind == "f" and any(isinstance(x, TensorBase) and x.requires_grad for x in (self, *given)):
            raise RuntimeError(message(op, "tensors without a gradient", "one that requires it", "use the tensor's method, or detach()"))
        return from_array(array).to(self.device)

    def item(self) -> Any:
        """The value of a one-element tensor as a Python number."""
        if self.numel() != 1:
            raise ShapeError(message("item", "a tensor of one element", f"shape {self.shape}"))
        return backends.get(self.device).item(self.array)

    def tolist(self) -> Any:
        """The values as nested Python lists, or as a number where there is no axis."""
        return np.asarray(self).tolist()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
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
    def backward(self, gradient: Tensor | None = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add the gradient of this tensor to ``.grad`` of every leaf it was made from.

        Args:
            gradient: of this tensor's shape; may be left out for one element (it is 1 then).
            retain_graph: keep what the walk needs, so that it can be repeated.
            create_graph: False; gradients have no gradients.

        Raises:
            NotImplementedError: ``create_graph`` is True.
            RuntimeError: nothing to differentiate, a second walk, or a saved value that was overwritten.
            ShapeError: the gradient's shape is wrong.
        """
        check_order("backward", create_graph)
        seed = self._seed("backward", gradient)
        retain_graph = flag("backward", "retain_graph", retain_graph)
        if self._node is not None:
            walk(self._node, seed, retain_graph)
        else:
            self._accumulate(hooked(self, seed) if self._hooks else seed, owned=False)

    def _seed(self, op: str, gradient: Tensor | None) -> Any:
        """The array of this tensor's gradient, with which a walk back begins."""
        self._check_grad(op)
        self._check_history(op)
        if gradient is None:
            if self.numel() != 1:
                raise ShapeError(message(op, f"a gradient of shape {self.shape}", "none", "only one element can do without"))
            return backends.get(self.device).full(self.shape, 1, self.dtype)
        gradient = as_tensor(gradient, self.device)
        if gradient.shape != self.shape:
            raise ShapeError(message(op, f"a gradient of shape {self.shape}", f"shape {gradient.shape}"))
        if gradient.device != self.device:
            raise DeviceError(message(op, f"a gradient on {self.device!r}", repr(gradient.device), "move it with .to()"))
        return gradient.detach().to(self.dtype).array

    def _check_grad(self, op: str) -> None:
        if not self.requires_grad:
            raise RuntimeError(message(op, "a tensor that requires a gradient", "one that does not"))

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> recording.RemovableHandle:
        """Call ``hook(gradient)`` in each backward when all of this tensor's gradient has come; what it returns, if not None, replaces it.

        The hook must not write into the gradient. A step in which it is called is not compiled by ``nc.compile``.

        Raises:
            TypeError: ``hook`` is no function.
            RuntimeError: no gradient is recorded.

        >>> import numbacnn as nc
        >>> x = nc.ones(2, requires_grad=True)
        >>> handle = x.register_hook(lambda gradient: gradient * 10)
        >>> (x * 3).sum().backward(); handle.remove(); x.grad
        tensor([30., 30.])
        """
        if not callable(hook):
            raise TypeError(message("register_hook", "hook as a function", type(hook).__name__))
        self._check_grad("register_hook")
        recording.refuse("a hook of a tensor is registered")
        end: Any = self if self._node is None else self._node
        if end._hooks is None:
            end._hooks = {}
        return recording.RemovableHandle(end._hooks, functools.partial(_replaced, hook, self.device))

    def retain_grad(self) -> None:
        """Have each backward leave this tensor's gradient in ``.grad`` though it is no leaf.

        Raises:
            RuntimeError: no gradient is recorded.

        >>> import numbacnn as nc
        >>> y = nc.ones(2, requires_grad=True) * 3
        >>> y.retain_grad()
        >>> (y * y).sum().backward(); y.grad
        tensor([6., 6.])
        """
        self._check_grad("retain_grad")
        if self._node is not None:
            self._node.keep = functools.partial(_keep, weakref.ref(self))

    def _accumulate(self, gradient: Any, owned: bool) -> None:
        xp = backends.get(self.device)
        with _accumulating:
            if self.grad is not None:
                self.grad = self._new(xp.binary("add", self.grad.array, gradient), self.device)
            else:
                self.grad = self._new(gradient if owned else xp.copy(gradient), self.device)

    # -- as text and as a number
    def __repr__(self) -> str:
        empty = not self.numel()
        notes = [
            (f"device='{self.device}'", self.device != backends.DEFAULT),
            (f"size={self.shape}", empty and self.ndim != 1),
            (f"dtype={self.dtype}", self.dtype not in ((float32,) if empty else (float32, int64, bool_))),
            ("requires_grad=True", self.requires_grad),
        ]
        return tensor_text(np.asarray(self), [note for note, told in notes if told])

    def __format__(self, spec: str) -> str:
        if spec and self.ndim:
            raise TypeError(
                message("format", "a 0-d tensor for a format as this", f"{spec!r} and shape {self.shape}", "use item() or tolist()")
            )
        return format(self.item(), spec) if self.ndim == 0 else repr(self)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        return operator.index(self.item())

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise ShapeError(message("bool", "a tensor of one element", f"shape {self.shape}", "use .any() or .all()"))
        return bool(self.item())


def _replaced(hook: Callable[[Tensor], Tensor | None], device: str, gradient: Any) -> Any:
    """The array that a user's hook puts in a gradient's place, or None."""
    with no_grad():
        found = hook(TensorBase._new(gradient, device))
    if found is None:
        return None
    if not isinstance(found, TensorBase) or found.shape != tuple(gradient.shape) or found.device != device:
        received = f"shape {found.shape} on {found.device}" if isinstance(found, TensorBase) else type(found).__name__
        raise ShapeError(
            message("register_hook", f"None or a gradient of shape {tuple(gradient.shape)} on {device} from the hook", received)
        )
    return found.detach().to(gradient.dtype).array


def _keep(owner: Callable[[], TensorBase | None], gradient: Any) -> None:
    """Leave a gradient with a tensor that retains it, if that still lives."""
    t = owner()
    if t is not None:
        t._accumulate(gradient, owned=False)


def apply(op: ops.Op, *inputs: Any, device: str | None = None) -> Tensor:
    """Run an operation on Tensors, scalars and Nones (at least one Tensor), and record it where a gradient is wanted.

    ``device`` is the result's, where it differs from the inputs'.

    Raises:
        DeviceError: where the Tensors lie on different devices.
    """
    if recording.now.tape is not None:
        recording.now.tape.sees(inputs)
    grad = mode.grad
    first: TensorBase | None = None
    if op.weight is not None and inputs[op.weight].is_parameter:
        weight = inputs[op.weight]
        xp = backends.get(weight.device)
        if grad and weight._requires_grad:
            xp.unlock(weight.array)
        else:
            xp.lock(weight)  # before anybody else refers to its array
    arrays, needs = [], []
    for t in inputs:
        if isinstance(t, TensorBase):
            first = t if first is None else first
            if t.device != first.device:
                found = f"{first.device} and {t.device}"
                raise DeviceError(message(op.label, "tensors on one device", found, "move one with .to()"))
            if t._seen is not None:
                t._check_history(op.label)
            arrays.append(t.array)
            needs.append(grad and (t._requires_grad or t._node is not None))
        else:
            arrays.append(t)
            needs.append(False)
    if first is None:
        raise TypeError(message(op.label, "at least one Tensor", "none"))
    op.needs_grad, recorded = tuple(needs), True in needs
    xp = backends.get(first.device)
    result = first._new(op.forward(xp, *arrays), device or first.device)
    if op.view and xp.shares_memory(result.array, first.array):
        base = first._base
        result._version, result._base = first._version, weakref.ref(first) if base is None or base() is None else base
        result._seen = first._version.recorded if first._seen is None else first._seen
    if recorded and is_floating(result.dtype):
        result._node = Node(op, inputs, result)
    else:
        op.saved = ()
    if mode.watch is not None:
        mode.watch(op, inputs, result)
    return result


# -- made of data
@judged
def from_array(array: Any, device: str | None = None, requires_grad: bool = False) -> Tensor:
    """A Tensor of an array, which shares its memory where that lies on the device and can be written.

    Args:
        array: of NumPy, or what NumPy makes one of; or one that lies on a GPU and offers ``__cuda_array_interface__``.
        device: None: where the array lies.
        requires_grad: whether operations on the Tensor are recorded.

    Raises:
        DTypeError: its dtype is none of the library's.
        ShapeError: lists of unequal lengths.
        DeviceError: the device is unknown or missing.
    """
    held = None if isinstance(array, np.ndarray) else backends.holder(array)
    if held is not None:
        borrowed = backends.get(held, "from_array").borrow(array)
        if device is None or backends.device(device, "from_array") == held:
            return TensorBase._new(borrowed, held, requires_grad)
        array = backends.get(held).to_numpy(borrowed)
    try:
        array = np.asarray(array)
    except ValueError:
        raise ShapeError(message("from_array", "an array, or nested lists of equal lengths", "unequal ones")) from None
    as_dtype("tensor", array.dtype)
    if not array.flags.writeable:
        array = array.copy()
    device = backends.DEFAULT if device is None else device
    return TensorBase._new(backends.get(device).from_numpy(array), device, requires_grad)


@judged
def tensor(data: Any, *, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
    """A Tensor holding a copy of ``data``: numbers, nested lists, an array or a Tensor.

    Python floats become float32, integers int64; an array keeps its dtype.

    Raises:
        DTypeError: the data are not numbers of a supported dtype.
        ShapeError: nested lists of unequal lengths.
        ValueError: Python's numbers do not fit an integer dtype; those of an array wrap around.

    >>> tensor([[1.0, 2.0], [3.0, 4.0]]).shape
    (2, 2)
    """
    wanted = None if dtype is None else as_dtype("tensor", dtype)
    if isinstance(data, TensorBase):
        array = np.array(data)
    else:
        try:
            array = _joined(data) if _holds_tensors(data) else np.array(data)
        except ValueError:
            raise ShapeError(message("tensor", "nested lists of equal lengths", "unequal ones")) from None
        if not isinstance(data, (np.ndarray, np.generic)):
            if wanted is None and array.dtype == np.float64 and not _holds_tensors(data):
                wanted = float32
            check_fit("tensor", array, array.dtype if wanted is None else wanted)
    numbers = "biuf" if wanted is None or isinstance(data, np.ndarray) else "biufO"  # O: Python's integers of more than 64 bits
    if array.dtype.kind not in numbers:
        as_dtype("tensor", array.dtype)
    with np.errstate(all="ignore"):  # what does not fit is a result
        return from_array(array if wanted is None else array.astype(wanted, copy=False), device, requires_grad)


def check_fit(op: str, values: np.ndarray, dtype: DType) -> None:
    """Refuse Python's numbers that a dtype can't hold: in an integer one what is too large, too small or NaN. Fractions may go.

    Raises:
        DTypeError: they are not all numbers.
        ValueError: they do not fit.
    """
    huge = values.dtype.kind == "O"  # integers of more than 64 bits
    if huge and not all(isinstance(v, (int, float)) for v in values.flat):
        raise DTypeError(message(op, "numbers", ", ".join(sorted({type(v).__name__ for v in values.flat}))))
    if not values.size or values.dtype.kind not in "iufO" or dtype.kind not in ("iuf" if huge else "iu"):
        return
    bounds = np.finfo(dtype) if is_floating(dtype) else np.iinfo(dtype)
    low, high, least, most = (v.item() if isinstance(v, np.generic) else v for v in (values.min(), values.max(), bounds.min, bounds.max))
    if not (least - 1 < low and high < most + 1):  # NaN is in no order
        raise ValueError(message(op, f"numbers from {least} to {most} for {dtype}", f"{low} to {high}" if low < high else f"{low}"))


def is_tensor(obj: Any) -> bool:
    """Whether an object is a Tensor."""
    return isinstance(obj, TensorBase)


def as_tensor(value: Any, device: str) -> Any:
    """A Tensor as it is; other data as a Tensor on the device."""
    return value if isinstance(value, TensorBase) else tensor(value, device=device)


def as_parameter(t: TensorBase) -> Tensor:
    """The values as a parameter or a moment lies in memory on their device; a copy where they lie in another order."""
    return TensorBase._new(backends.get(t.device).parameter(t.array), t.device)


def _joined(data: Sequence[Any]) -> np.ndarray:
    """An array of Tensors, arrays and numbers; Python floats count as float32 here too."""
    parts = [d if isinstance(d, np.ndarray) else np.asarray(tensor(d)) for d in data]
    array = np.array(parts)
    return array if any(p.dtype == np.float64 for p in parts) or array.dtype != np.float64 else array.astype(np.float32)


def _holds_tensors(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and any(isinstance(d, (TensorBase, np.ndarray)) for d in data)


def _rebuild(cls: type[Tensor], array: np.ndarray, device: str, requires_grad: bool, grad: np.ndarray | None) -> Tensor:
    result = cls.__new__(cls)
    xp = backends.get(device)
    placed = xp.from_numpy(array)
    TensorBase.__init__(result, xp.parameter(placed) if cls.is_parameter else placed, device, requires_grad)
    if grad is not None:
        result.grad = from_array(grad, device)
    return result
