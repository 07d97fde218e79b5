"""Convolution layers."""

from __future__ import annotations

from typing import Any

from ..arguments import IntPair, flag, integer, pair
from ..errors import ShapeError, message
from ..geometry import ConvGeometry, Padding
from ..signatures import judged
from ..tensor import Tensor
from . import init
from .field import Field
from .functional.conv import fused_conv2d
from .fusion import Absorbs
from .lazy import LazyModule
from .module import Module
from .parameter import Parameter, UninitializedParameter

__all__ = ["Conv2d", "LazyConv2d"]


@judged
class Conv2d(Module):
    """A 2-d convolution (a cross-correlation, as everywhere in deep learning): (N, C, H, W) -> (N, OC, OH, OW).

    ``weight`` has the shape (OC, C/groups, KH, KW), ``bias`` (OC,). ``padding`` is an integer, a pair, 'same' or 'valid'.

    Raises:
        ValueError: where an argument makes no sense (ShapeError for sizes that do not fit each other).

    >>> import numbacnn as nc
    >>> nc.nn.Conv2d(1, 6, kernel_size=5, padding=2)
    Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1), padding=(2, 2))
    """

    _fusion = Absorbs(behind=("activation", "average"))
    weight: Parameter
    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: Padding = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        op = type(self).__name__
        self.groups = integer(op, "groups", groups)
        self.in_channels = integer(op, "in_channels", in_channels)
        self.out_channels = integer(op, "out_channels", out_channels)
        self.kernel_size = pair(op, "kernel_size", kernel_size, 1)
        self.stride = pair(op, "stride", stride, 1)
        self.padding: Padding = padding if isinstance(padding, str) else pair(op, "padding", padding, 0)
        self.dilation = pair(op, "dilation", dilation, 1)
        bias = flag(op, "bias", bias)
        self.geometry()
        self.weight = Parameter.zeros(self.parameter_shapes(self.in_channels)["weight"])
        self.register_parameter("bias", Parameter.zeros((self.out_channels,)) if bias else None)
        self.reset_parameters()

    def geometry(self, input_shape: tuple[int, ...] | None = None) -> ConvGeometry:
        """The geometry on an input (N, C, H, W), by default on the smallest that holds a window."""
        channels = self.in_channels or self.groups  # none yet in a lazy layer
        if input_shape is None:
            input_shape = (1, channels, *(d * (k - 1) + 1 for k, d in zip(self.kernel_size, self.dilation)))
        shape = self.parameter_shapes(channels)["weight"]
        return ConvGeometry.of(input_shape, shape, self.stride, self.padding, self.dilation, self.groups, type(self).__name__, axes=2)

    def parameter_shapes(self, in_channels: int) -> dict[str, tuple[int, ...]]:
        """The shapes of weight and bias for this number of input channels."""
        inputs = max(in_channels // self.groups, 1)  # channels that the groups do not divide are judged with the geometry
        return {"weight": (self.out_channels, inputs, *self.kernel_size), "bias": (self.out_channels,)}

    def reset_parameters(self) -> None:
        """Draw PyTorch's default values anew."""
        init.default_(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self._fused(x)

    def _fused(self, x: Tensor, **options: Any) -> Tensor:
        return fused_conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups, **options)

    def receptive_field(self, field: Field) -> Field:
        """The field behind the layer."""
        g = self.geometry()
        return field.behind(g.kernel, g.stride, g.before, g.dilation)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        parts += [f"padding={self.padding}"] if self.padding != (0, 0) else []
        parts += [f"dilation={self.dilation}"] if self.dilation != (1, 1) else []
        parts += [f"groups={self.groups}"] if self.groups != 1 else []
        parts += ["bias=False"] if self.bias is None else []
        return ", ".join(parts)


@judged
class LazyConv2d(Conv2d, LazyModule):
    """A :class:`Conv2d` that takes its input channels from the first batch, and becomes a ``Conv2d`` then.

    >>> import numbacnn as nc
    >>> layer = nc.nn.LazyConv2d(6, kernel_size=5)
    >>> _ = layer(nc.ones(1, 3, 8, 8)); layer
    Conv2d(3, 6, kernel_size=(5, 5), stride=(1, 1))
    """

    materialized_class = Conv2d

    def __init__(
        self,
        out_channels: int,
        kernel_size: IntPair,
        stride: IntPair = 1,
        padding: Padding = 0,
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__(groups, out_channels, kernel_size, stride, padding, dilation, groups, bias)
        self.in_channels = 0
        self.weight = UninitializedParameter()
        self.bias = UninitializedParameter() if bias else None

    def reset_parameters(self) -> None:
        """Nothing to draw yet."""

    def size_of(self, shape: tuple[int, ...]) -> int:
        return shape[1] * self.groups if len(shape) == 4 else self.groups

    def _set_size(self, size: int) -> None:
        if size < 1 or size % self.groups:
            raise ShapeError(message("LazyConv2d", f"input channels C that groups = {self.groups} divide", f"C = {size}"))
        self.in_channels = size

    @judged
    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in (3, 4):
            raise ShapeError(message("LazyConv2d", "input (N, C, H, W) or (C, H, W)", f"input {x.shape}"))
        self.materialize(x.shape[-3])
        return Conv2d.forward(self, x)
