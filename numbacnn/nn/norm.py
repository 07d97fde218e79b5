"""Batch normalisation layers."""

from __future__ import annotations

from typing import ClassVar

from ..arguments import flag, integer, number, probability
from ..errors import ShapeError, message
from ..signatures import judged
from ..tensor import Tensor, ones, tensor, zeros
from . import functional as F
from . import init
from .field import unchanged
from .functional.norm import tracked_batch_norm
from .lazy import LazyModule
from .module import Module
from .parameter import Parameter, UninitializedParameter

__all__ = ["BatchNorm1d", "BatchNorm2d", "LazyBatchNorm1d", "LazyBatchNorm2d"]


class _BatchNorm(Module):
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    _shapes: ClassVar[dict[int, str]]
    _may_lack = ("num_batches_tracked",)  # as files from before PyTorch 0.4.1, torchvision's weights among them

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        op = type(self).__name__
        self.num_features = integer(op, "num_features", num_features)
        number(op, "eps", eps)
        if momentum is not None:
            probability(op, "momentum", momentum)
        self.eps, self.momentum = eps, momentum
        self.affine = flag(op, "affine", affine)
        self.track_running_stats = flag(op, "track_running_stats", track_running_stats)
        bias = flag(op, "bias", bias)
        for name, wanted in (("weight", affine), ("bias", affine and bias)):
            self.register_parameter(name, Parameter.zeros((self.num_features,)) if wanted else None)
        self.register_buffer("running_mean", zeros(self.num_features) if track_running_stats else None)
        self.register_buffer("running_var", ones(self.num_features) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", tensor(0) if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, and no batch seen."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and no batch seen."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    @judged
    def forward(self, x: Tensor) -> Tensor:
        self._judge_axes(x)
        if x.shape[1] != self.num_features:
            raise ShapeError(message(type(self).__name__, f"input with C = {self.num_features} channels", f"input {x.shape}"))
        batch = self.training or self.running_mean is None
        if not (self.training and self.track_running_stats):
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, batch, 0.0, self.eps)
        momentum = 1.0 if self.momentum is None and self.num_batches_tracked is None else self.momentum
        given = (x, self.running_mean, self.running_var, self.weight, self.bias, batch, momentum, self.eps, self.num_batches_tracked)
        return tracked_batch_norm(*given)

    def _judge_axes(self, x: Tensor) -> None:
        if x.ndim not in self._shapes:
            raise ShapeError(message(type(self).__name__, f"input {' or '.join(self._shapes.values())}", f"input {x.shape}"))

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


@judged
class BatchNorm2d(_BatchNorm):
    """Batch normalisation of (N, C, H, W): each channel with mean 0 and variance 1 over N, H and W, times ``weight``, plus ``bias``.

    In training the statistics are the batch's, and running ones follow them by the share ``momentum`` (None: the average of all
    batches), the variance without bias; in evaluation the running ones are used. After Ioffe and Szegedy (2015).

    ``weight`` (start 1) and ``bias`` (start 0) are absent without ``affine``, and the latter with ``bias=False``. The buffers
    ``running_mean``, ``running_var`` and ``num_batches_tracked`` are absent without ``track_running_stats``: evaluation then uses the
    batch's statistics too.

    Raises:
        ShapeError: where the input is not (N, C, H, W), or has one value per channel in training.

    >>> import numbacnn as nc
    >>> nc.nn.BatchNorm2d(16)
    BatchNorm2d(16, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    receptive_field = unchanged

    _shapes: ClassVar[dict[int, str]] = {4: "(N, C, H, W)"}


@judged
class BatchNorm1d(_BatchNorm):
    """As :class:`BatchNorm2d`, for (N, C) or (N, C, L).

    >>> import numbacnn as nc
    >>> nc.nn.BatchNorm1d(4)(nc.rand(8, 4)).shape
    (8, 4)
    """

    _shapes: ClassVar[dict[int, str]] = {2: "(N, C)", 3: "(N, C, L)"}


class _LazyBatchNorm(_BatchNorm, LazyModule):
    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(1, eps, momentum, affine, track_running_stats, bias=bias)
        self.num_features = 0
        self.size_from = "weight" if affine else "running_mean"
        for name in ("weight", "bias"):
            if self._parameters[name] is not None:
                self.register_parameter(name, UninitializedParameter())

    def reset_parameters(self) -> None:
        """Nothing to set yet."""

    def parameter_shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        return {**dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (size,)), "num_batches_tracked": ()}

    def size_of(self, shape: tuple[int, ...]) -> int:
        return shape[0] if len(shape) == 1 else 1

    def materialize(self, size: int, reset: bool = True) -> None:
        super().materialize(size)  # draws nothing: what a state lacks has its first values

    def _set_size(self, size: int) -> None:
        self.num_features = integer(type(self).__name__, "channels C of the input", size)
        for buffer in (self.running_mean, self.running_var):
            if buffer is not None:
                buffer.array = zeros(size, dtype=buffer.dtype, device=buffer.device).array

    @judged
    def forward(self, x: Tensor) -> Tensor:
        self._judge_axes(x)
        self.materialize(x.shape[1])
        return _BatchNorm.forward(self, x)


@judged
class LazyBatchNorm2d(_LazyBatchNorm, BatchNorm2d):
    """A :class:`BatchNorm2d` that takes its channels from the first batch, and becomes a ``BatchNorm2d`` then.

    >>> import numbacnn as nc
    >>> layer = nc.nn.LazyBatchNorm2d()
    >>> _ = layer(nc.rand(2, 16, 3, 3)); layer
    BatchNorm2d(16, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)
    """

    materialized_class = BatchNorm2d


@judged
class LazyBatchNorm1d(_LazyBatchNorm, BatchNorm1d):
    """A :class:`BatchNorm1d` that takes its channels from the first batch, and becomes a ``BatchNorm1d`` then.

    >>> import numbacnn as nc
    >>> nc.nn.LazyBatchNorm1d()(nc.rand(8, 4)).shape
    (8, 4)
    """

    materialized_class = BatchNorm1d
