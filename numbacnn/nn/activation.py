"""Activation layers."""

from __future__ import annotations

import operator
from typing import Literal

from ..arguments import one_of
from ..errors import message
from ..signatures import judged
from ..tensor import Tensor
from . import functional as F
from .field import Field, unchanged
from .fusion import Absorbed
from .module import Module

__all__ = ["GELU", "LogSoftmax", "ReLU", "Sigmoid", "Softmax", "Tanh"]


@judged
class ReLU(Module):
    """``max(x, 0)``, elementwise. ``inplace`` is taken for the sake of PyTorch's listings; the result is always a new tensor.

    >>> import numbacnn as nc
    >>> nc.nn.ReLU()(nc.tensor([-1.0, 2.0])).numpy()
    array([0., 2.], dtype=float32)
    """

    receptive_field = unchanged

    _fusion = Absorbed("activation", lambda layer, x: "relu")

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = bool(inplace)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


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
