"""Methods of tensors and modules take what old code gives them."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from .. import backends, nn, optim
from ..errors import ShapeError, message
from ..tensor import Tensor, empty
from ..tensor.operands import as_sizes
from ..tensor.tape import Node
from .arguments import NUMBERS, ignoring, number_last, with_keywords
from .layers import LAYERS, with_device
from .modules import Missing, missing
from .table import LEFT_OUT, OF_MODULES
from .tensors import OLD_TYPES, Size, device, old_type

__all__ = ["adapt"]


@functools.cache
def adapt() -> None:
    """Let the methods of tensors and modules take what old code gives them, and ``x.device`` be an object."""
    slot = inspect.getattr_static(Tensor, "device")
    devices = {name: device(name) for name in backends.names()}
    setattr(Tensor, "device", property(lambda x: devices[slot.__get__(x)], slot.__set__))  # noqa: B010
    setattr(Tensor, "shape", property(lambda x: Size(x.array.shape), doc=Tensor.shape.__doc__))  # noqa: B010
    for kind in (Tensor, nn.Module):
        for name in ("clone", "contiguous", "copy_", "is_contiguous"):
            if hasattr(kind, name):
                setattr(kind, name, ignoring(getattr(kind, name), "memory_format", "non_blocking"))
        setattr(kind, "to", _to(kind.to))  # noqa: B010
        setattr(kind, "cuda", _numbered(kind.cuda))  # noqa: B010
        setattr(kind, "type", _type)  # noqa: B010
    setattr(Tensor, "__setitem__", _casting(Tensor.__setitem__))  # noqa: B010
    for name, factor in NUMBERS.items():
        setattr(Tensor, name, number_last(getattr(Tensor, name), factor))
    for layer in LAYERS:
        layer.__init__ = with_device(layer.__init__)  # type: ignore[method-assign]
    nn.Conv2d.padding_mode = "zeros"  # type: ignore[attr-defined]
    nn.Conv2d._conv_forward = _conv_forward  # type: ignore[attr-defined]
    for optimizer in _classes(optim, optim.Optimizer):
        optimizer.__init__ = ignoring(optimizer.__init__, "foreach", "fused", "capturable")
    optim.lr_scheduler.LRScheduler._get_lr_called_within_step = True  # type: ignore[attr-defined] # which a get_lr of the user's own asks
    for schedule in _classes(optim.lr_scheduler, optim.lr_scheduler.LRScheduler):
        schedule.__init__ = ignoring(schedule.__init__, "verbose")
    for name in ("is_mps", "is_quantized", "is_sparse", "is_xpu"):
        setattr(Tensor, name, False)
    Tensor.data_ptr = _address  # type: ignore[attr-defined]
    Tensor.is_cpu = property(lambda x: not x.is_cuda)  # type: ignore[attr-defined]
    Tensor.is_complex = lambda x: False  # type: ignore[attr-defined]
    Tensor.grad_fn = property(lambda x: None if x._node is None else GradFn(x._node))  # type: ignore[attr-defined]
    Tensor.resize_ = _resize  # type: ignore[attr-defined]
    Tensor.resize_as_ = lambda x, other, memory_format=None: _resize(x, other.shape)  # type: ignore[attr-defined]
    Tensor.new = _new  # type: ignore[attr-defined]
    Tensor.__getattr__ = _unknown  # type: ignore[attr-defined]
    nn.Module._get_name = lambda module: type(module).__name__  # type: ignore[attr-defined]
    nn.Module.register_backward_hook = nn.Module.register_full_backward_hook  # type: ignore[attr-defined]
    nn.Module.__getattr__ = _unknown_of_modules(nn.Module.__getattr__)  # type: ignore[method-assign]


def _classes(module: Any, base: type) -> list[Any]:
    """The library's own classes of a kind."""
    return [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, base)]


def _conv_forward(self: nn.Conv2d, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The layer with other weights, which layers of the user's own standardise or mask."""
    return nn.functional.conv2d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)


def _unknown(x: Tensor, name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise Missing(missing(f"torch.Tensor.{name}"))


def _unknown_of_modules(look_up: Callable[..., Any]) -> Callable[..., Any]:
    """Says of PyTorch's methods that they are missing; other attributes are the user's own affair."""

    @functools.wraps(look_up)
    def __getattr__(self: nn.Module, name: str) -> Any:
        try:
            return look_up(self, name)
        except AttributeError:
            full = f"torch.nn.Module.{name}"
            if full in LEFT_OUT or name in OF_MODULES:
                raise Missing(missing(full)) from None
            raise

    return __getattr__


def _casting(write: Callable[..., None]) -> Callable[..., None]:
    """``x[index] = value`` in the dtype of ``x``: PyTorch drops a tensor's fractions, which the library refuses."""

    @functools.wraps(write)
    def __setitem__(self: Tensor, index: Any, value: Any) -> None:
        write(self, index, value.to(self.dtype) if isinstance(value, Tensor) else value)

    return __setitem__


def _new(x: Tensor, *args: Any) -> Tensor:
    """Another tensor of the dtype, on the device: of these sizes, or of these values."""
    kind = next(kind for kind in OLD_TYPES.values() if kind.dtype == x.dtype)
    return cast(Tensor, kind(*args, device=x.device))


def _address(x: Tensor) -> int:
    """Where the first element lies in memory."""
    array = x.array
    return array.ctypes.data if isinstance(array, np.ndarray) else backends.get(x.device).interface(array)["data"][0]  # type: ignore[attr-defined]


def _resize(x: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """The tensor itself in another shape: its first values stay, those that are new are to be filled."""
    shape = as_sizes("resize_", sizes)
    if math.prod(shape) == x.numel():
        return x._become("resize_", x.detach().reshape(shape))
    if x._base is not None:
        raise ShapeError(message("resize_", f"as many elements as there are: {x.numel()}", str(shape), "another tensor has its memory too"))
    made, count = empty(shape, dtype=x.dtype, device=x.device), min(math.prod(shape), x.numel())
    made.view(-1)[:count] = x.detach().reshape(-1)[:count]
    return x._become("resize_", made)


def _to(to: Callable[..., Any]) -> Callable[..., Any]:
    """``x.to(0)``, ``x.to("cpu", torch.float64, True)``: the bools say how PyTorch copies."""

    @functools.wraps(to)
    def call(self: Any, *targets: Any, copy: bool = False, **options: Any) -> Any:
        found = to(self, *(device(t) if type(t) is int else t for t in targets if not isinstance(t, bool)), **options)
        return found.clone() if copy and found is self else found

    return ignoring(with_keywords(call, "copy"), "memory_format", "non_blocking")


def _numbered(cuda: Callable[..., Any]) -> Callable[..., Any]:
    """``x.cuda(0)``, ``x.cuda("cuda:0")``, ``x.cuda(non_blocking=True)``: there is one GPU."""

    def call(self: Any, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Any:
        return cuda(self)

    call.__name__, call.__doc__ = cuda.__name__, cuda.__doc__
    return call


class GradFn:
    """The place of a tensor in the graph of its gradients: an operation, or a leaf."""

    def __init__(self, end: Any) -> None:
        self._end = end

    def name(self) -> str:
        if not isinstance(self._end, Node):
            return "AccumulateGrad"
        return "Backward" if self._end.op is None else f"{self._end.op.label}Backward"

    @property
    def next_functions(self) -> tuple[tuple[GradFn | None, int], ...]:
        ends = sorted(getattr(self._end, "edges", ()), key=lambda end: end is None)  # PyTorch's numbers stand behind tensors
        return tuple((None if end is None else GradFn(end), 0) for end in ends)

    @property
    def variable(self) -> Tensor:
        """The leaf."""
        if isinstance(self._end, Node):
            raise AttributeError("variable")
        return self._end

    def __repr__(self) -> str:
        return f"<{self.name()} object at {id(self._end):#x}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and other._end is self._end

    def __hash__(self) -> int:
        return id(self._end)


def _type(x: Any, dtype: Any = None, non_blocking: bool = False) -> Any:
    """In a dtype, and on the GPU for ``torch.cuda.FloatTensor``; without one, the name of the tensor's class of old."""
    if dtype is None:
        return f"torch.{'cuda.' * x.is_cuda}{next(name for name, kind in OLD_TYPES.items() if kind.dtype == x.dtype)}"
    kind = old_type(dtype)
    return x.to(dtype) if kind is None else x.to(dtype=kind.dtype, device=kind.device or "cpu")
