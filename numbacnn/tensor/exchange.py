"""A tensor's memory for other hands: arrays that Numba's kernels take, and other libraries' arrays that share it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from .. import backends
from ..arguments import one_of
from ..dtypes import as_dtype
from ..errors import DTypeError, in_form, message
from ..layout import channels_last
from ..recording import handed
from ..signatures import judged, shown
from .core import TensorBase
from .tape import mode

if TYPE_CHECKING:
    from . import Tensor

__all__ = ["Exchange", "Layout", "from_dlpack", "memory_order"]

Layout = Literal["nchw", "nhwc"]


def memory_order(op: str, layout: str, ndim: int) -> tuple[int, ...]:
    """The axes in the order of memory: "nhwc" has the channels of three to five axes last, "nchw" is plain C order."""
    one_of(op, "layout", layout, ("nchw", "nhwc"))
    return channels_last(ndim) if layout == "nhwc" else tuple(range(ndim))


class Exchange(TensorBase):
    """The methods that show a tensor's memory as it is."""

    __slots__ = ()

    @judged
    def numba(self, layout: Layout = "nchw", copy: bool | None = None) -> Any:
        """The values as the array that a Numba kernel takes: C-contiguous, of NumPy on the CPU and of ``numba.cuda`` on CUDA.

        It shares the tensor's memory where that lies in this order, and is a copy elsewhere. What layers return lies channels last:
        "nhwc" costs nothing there, "nchw" a pass over memory. Parameters, their gradients, what ``zeros``, ``randn`` or ``from_array`` make
        lie in C order: "nchw" costs nothing. On CUDA weights of convolutions and their gradients lie with the output channels last, which
        is neither; a weight that is asked for with ``copy=False`` lies in C order from then on, unless there are views of it.
        Tensors of other than three to five axes have one order only.

        What a kernel writes to must be no copy: give ``copy=False`` there, and make the tensor by :func:`numbacnn.empty`. The autograd does
        not see what a kernel does; call it inside a :class:`Function`.

        Args:
            layout: "nchw", an array of the tensor's shape (N, C, ...); or "nhwc", of shape (N, ..., C).
            copy: None: where it must be; True: always; False: never.

        Raises:
            ValueError: ``layout`` is neither; or ``copy=False``, and the memory lies in another order.
            RuntimeError: gradients are recorded; call ``detach()`` first.

        >>> import numbacnn as nc
        >>> y = nc.nn.Conv2d(1, 8, 3)(nc.zeros(2, 1, 6, 5)).detach()
        >>> y.numba("nhwc", copy=False).shape, y.numba().shape
        ((2, 4, 3, 8), (2, 8, 4, 3))
        """
        order = memory_order("numba", layout, self.ndim)
        if mode.grad and self.requires_grad:
            raise RuntimeError(message("numba", "a tensor without a gradient", "one that requires it", "call detach().numba()"))
        xp = backends.get(self.device)
        xp.unlock(self.array)
        if copy is False:
            xp.lay(self.array, order)
        dense = xp.is_dense(self.array, order)
        if copy is False and not dense:
            received, hint = "memory in another order", f"make it by empty(..., layout={layout!r})"
            raise ValueError(message("numba", f"memory in the order {layout!r}", received, hint))
        return handed(xp.memory(xp.copy(self.array) if copy and dense else self.array, order))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """The memory of a tensor on CUDA, as Numba, CuPy and PyTorch take it; tensors elsewhere have no such attribute."""
        describe = getattr(backends.get(self.device), "interface", None)
        if describe is None:
            raise AttributeError(message("__cuda_array_interface__", "a tensor on a CUDA device", f"one on {self.device!r}"))
        if self.requires_grad:
            received = "one that requires it"
            raise RuntimeError(message("__cuda_array_interface__", "a tensor without a gradient", received, "call detach() first"))
        return describe(self.array)

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's numbers for the device: (1, 0) on the CPU, (2, n) on GPU n."""
        return backends.get(self.device).dlpack_device()

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A DLPack capsule of the memory, for ``from_dlpack`` of another library: ``torch.from_dlpack(x)``.

        Raises:
            BufferError: it requires a gradient, repeats elements and no version tells so, or ``dl_device`` is another one.
        """
        if self.requires_grad:
            raise BufferError(message("__dlpack__", "a tensor without a gradient", "one that requires it", "call detach() first"))
        if dl_device is not None and tuple(dl_device) != self.__dlpack_device__():
            received = f"{tuple(dl_device)}"
            raise BufferError(message("__dlpack__", f"dl_device {self.__dlpack_device__()}", received, "move the tensor with .to()"))
        xp = backends.get(self.device)
        xp.unlock(self.array)
        return xp.dlpack(xp.copy(self.array) if copy else self.array, stream, max_version, bool(copy))


@judged
def from_dlpack(x: Any) -> Tensor:
    """A Tensor of another library's array, on the device where that lies, without a copy: what offers ``__dlpack__`` and its device.

    Memory that can't be written to is copied.

    Raises:
        TypeError: ``x`` offers no DLPack.
        DTypeError: its elements are none that the library knows, or that its own library lends.
        DeviceError: it lies neither in the host's memory nor on a CUDA device.

    >>> import numbacnn as nc, numpy as np
    >>> a = np.zeros(2, np.float32)
    >>> x = nc.from_dlpack(a)
    >>> a[0] = 1
    >>> x
    tensor([1., 0.])
    """
    if not (hasattr(x, "__dlpack__") and hasattr(x, "__dlpack_device__")):
        raise TypeError(message("from_dlpack", "an array that offers __dlpack__", shown(x)))
    device = backends.lender("from_dlpack", int(x.__dlpack_device__()[0]))
    try:
        array = backends.get(device, "from_dlpack").from_dlpack(x)
    except (BufferError, RuntimeError) as error:  # of its library, or of NumPy
        if in_form(error):
            raise
        raise DTypeError(message("from_dlpack", "an array that its library can lend", f"{error}".rstrip("."))) from error
    as_dtype("from_dlpack", array.dtype)
    return TensorBase._new(array, device)
