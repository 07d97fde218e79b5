"""Activation layers."""

from __future__ import annotations

import operator
from typing import Literal

from ..arguments import flag, number, one_of
from ..errors import message
from ..signatures import judged, shown
from ..tensor import PointwiseFunction, Tensor
from . import functional as F
from .field import Field, unchanged
from .fusion import Absorbed
from .module import Module

__all__ = ["GELU", "Hardswish", "LogSoftmax", "Pointwise", "ReLU", "ReLU6", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh"]


class _Pointwise(Module):
    receptive_field = unchanged

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = flag(type(self).__name__, "inplace", inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


@judged
class ReLU(_Pointwise):
    """``max(x, 0)``, elementwise. ``inplace`` is taken for the sake of PyTorch's listings; the result is always a new tensor.

    >>> import numbacnn as nc
    >>> nc.nn.ReLU()(nc.tensor([-1.0, 2.0])).numpy()
    array([0., 2.], dtype=float32)
    """

    _fusion = Absorbed("activation", lambda layer, x: "relu")

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)


@judged
class ReLU6(_Pointwise):
    """``min(max(x, 0), 6)``, elementwise; ``inplace`` as for :class:`ReLU`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x)


@judged
class SiLU(_Pointwise):
    """``x * sigmoid(x)``, elementwise; ``inplace`` as for :class:`ReLU`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x)


@judged
class Hardswish(_Pointwise):
    """``x * relu6(x + 3) / 6``, elementwise; ``inplace`` as for :class:`ReLU`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.hardswish(x)


@judged
class Pointwise(Module):
    """A function of your own as a layer: ``function(x)``, elementwise, of what :func:`numbacnn.pointwise` made.

    >>> import numbacnn as nc
    >>> cube = nc.pointwise(lambda x: x * x * x, lambda x: 3 * x * x)
    >>> nc.nn.Pointwise(cube)(nc.tensor([-1.0, 2.0])).tolist()
    [-1.0, 8.0]
    """

    receptive_field = unchanged

    def __init__(self, function: PointwiseFunction) -> None:
        super().__init__()
        if not isinstance(function, PointwiseFunction):
            raise TypeError(message("Pointwise", "a function that numbacnn.pointwise() made", shown(function)))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)

    def extra_repr(self) -> str:
        return repr(self.function)


@judged
class Softplus(Module):
    """``log(1 + exp(beta * x)) / beta``, elementwise; ``x`` itself where ``beta * x`` is greater than ``threshold``.

    Raises:
        ValueError: where ``beta`` or ``threshold`` is no finite number, or ``beta`` is 0.

    >>> import numbacnn as nc
    >>> nc.nn.Softplus(beta=2.0)
    Softplus(beta=2.0, threshold=20.0)
    """

    receptive_field = unchanged

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        number("Softplus", "beta", beta, lambda v: v != 0, "other than 0")
        number("Softplus", "threshold", threshold, lambda v: True, "that is finite")
        self.beta, self.threshold = float(beta), float(threshold)

    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


@judged
class GELU(Module):
    """``x`` times the normal distribution function of ``x``, elementwise; ``approximate`` is 'none' or 'tanh'.

    Raises:
        ValueError: where ``approximate`` is neither.

    >>> import numbacnn as nc
    >>> nc.nn.GELU(approximate="tanh")
    GELU(approximate='tanh')
    """

    receptive_field = unchanged

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        super().__init__()
        one_of("GELU", "approximate", approximate, ("none", "tanh"))
        self.approximate: Literal["none", "tanh"] = approximate

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


@judged
class Sigmoid(Module):
    """``1 / (1 + exp(-x))``, elementwise."""

    receptive_field = unchanged

    _fusion = Absorbed("activation", lambda layer, x: "sigmoid")

    def forward(self, x: Tensor) -> Tensor:
        return F.sigmoid(x)


@judged
class Tanh(Module):
    """``tanh(x)``, elementwise."""

    receptive_field = unchanged

    _fusion = Absorbed("activation", lambda layer, x: "tanh")

    def forward(self, x: Tensor) -> Tensor:
        return F.tanh(x)


class _AlongDim(Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        try:
            self.dim = operator.index(dim)
        except TypeError:
            raise ValueError(message(type(self).__name__, "dim as an integer", repr(dim), "dim=1 is the classes' axis of (N, K)")) from None

    def receptive_field(self, field: Field) -> Field | None:
        """The field behind the layer: unchanged along the channels (N, C, H, W), everything along another axis."""
        return field if self.dim in (1, -3) else None

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


@judged
class Softmax(_AlongDim):
    """``exp(x)`` scaled to sum to 1 along ``dim``.

    >>> import numbacnn as nc
    >>> nc.nn.Softmax(dim=1)(nc.zeros(1, 2)).numpy()
    array([[0.5, 0.5]], dtype=float32)
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(x, self.dim)


@judged
class LogSoftmax(_AlongDim):
    """The logarithm of :class:`Softmax`, computed without overflow."""

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(x, self.dim)
