"""Pooling layers."""

from __future__ import annotations

from ..arguments import IntPair, pair
from ..geometry import AdaptiveSize, PoolGeometry, adaptive_size
from ..signatures import judged
from ..tensor import Tensor
from . import functional as F
from .field import Field, everything
from .fusion import Absorbed
from .module import Module

__all__ = ["AdaptiveAvgPool2d", "AdaptiveMaxPool2d", "AvgPool2d", "MaxPool2d"]


class _Pool2d(Module):
    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.geometry()

    def geometry(self, input_shape: tuple[int, ...] | None = None) -> PoolGeometry:
        """The geometry on an input (N, C, H, W), by default on the smallest that holds a window."""
        op = type(self).__name__
        if input_shape is None:
            kernel = pair(op, "kernel_size", self.kernel_size, 1)
            dilation = pair(op, "dilation", self.dilation, 1)
            input_shape = (1, 1, *(d * (k - 1) + 1 for k, d in zip(kernel, dilation)))
        sizes = self.kernel_size, self.stride, self.padding, self.dilation
        return PoolGeometry.of(input_shape, *sizes, self.ceil_mode, self.count_include_pad, op, axes=2)

    def receptive_field(self, field: Field) -> Field:
        """The field behind the layer."""
        g = self.geometry()
        return field.behind(g.kernel, g.stride, g.before, g.dilation)


@judged
class MaxPool2d(_Pool2d):
    """The maximum of each window: (N, C, H, W) -> (N, C, OH, OW); ``stride`` is the kernel's size unless given.

    Raises:
        ShapeError: where an argument makes no sense.

    >>> import numbacnn as nc
    >>> nc.nn.MaxPool2d(2)
    MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    """

    def __init__(
        self, kernel_size: IntPair, stride: IntPair | None = None, padding: IntPair = 0, dilation: IntPair = 1, ceil_mode: bool = False
    ) -> None:
        super().__init__(kernel_size, stride, padding, dilation, ceil_mode)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


@judged
class AvgPool2d(_Pool2d):
    """The average of each window: (N, C, H, W) -> (N, C, OH, OW); ``count_include_pad``: padding counts as zeros.

    Raises:
        ShapeError: where an argument makes no sense.

    >>> import numbacnn as nc
    >>> nc.nn.AvgPool2d(2)
    AvgPool2d(kernel_size=2, stride=2, padding=0)
    """

    def __init__(
        self,
        kernel_size: IntPair,
        stride: IntPair | None = None,
        padding: IntPair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride, padding, 1, ceil_mode, count_include_pad)

    def _geometry(self, shape: tuple[int, ...]) -> PoolGeometry:
        sizes = self.kernel_size, self.stride, self.padding
        return PoolGeometry.of(shape, *sizes, 1, self.ceil_mode, self.count_include_pad, "avg_pool2d", axes=2)

    _fusion = Absorbed("average", lambda layer, x: layer._geometry)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _AdaptivePool2d(Module):
    receptive_field = everything

    def __init__(self, output_size: AdaptiveSize) -> None:
        super().__init__()
        adaptive_size(type(self).__name__, output_size, axes=2)
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


@judged
class AdaptiveAvgPool2d(_AdaptivePool2d):
    """The averages of ``output_size`` windows of nearly equal sizes: (N, C, H, W) -> (N, C, OH, OW), whatever H and W are.

    ``output_size`` is an integer, or a pair; None keeps an axis as it is. With 1 it is the mean over the pixels.

    Raises:
        ShapeError: where ``output_size`` makes no sense.

    >>> import numbacnn as nc
    >>> nc.nn.AdaptiveAvgPool2d((1, None))(nc.ones(2, 3, 5, 7)).shape
    (2, 3, 1, 7)
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, self.output_size)


@judged
class AdaptiveMaxPool2d(_AdaptivePool2d):
    """The largest values of ``output_size`` windows, as :class:`AdaptiveAvgPool2d` cuts them: (N, C, H, W) -> (N, C, OH, OW).

    Raises:
        ShapeError: where ``output_size`` makes no sense.

    >>> import numbacnn as nc
    >>> nc.nn.AdaptiveMaxPool2d(1)(nc.arange(8.0).reshape(1, 2, 2, 2)).flatten()
    tensor([3., 7.])
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_max_pool2d(x, self.output_size)
