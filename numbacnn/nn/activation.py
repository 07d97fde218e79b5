"""Activation layers."""

from __future__ import annotations

import operator
from typing import Literal

from ..arguments import flag, integer, number, one_of
from ..errors import ShapeError, message
from ..signatures import judged, shown
from ..tensor import PointwiseFunction, Tensor, full
from . import functional as F
from .field import Field, unchanged
from .functional.activation import check_bounds
from .fusion import Absorbed
from .module import Module
from .parameter import Parameter

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "Pointwise",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]


class _Pointwise(Module):
    receptive_field = unchanged

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = flag(type(self).__name__, "inplace", inplace)

    def extra_repr(self) -> str:
        return ", ".join(self._shown() + ["inplace=True"] * self.inplace)

    def _shown(self) -> list[str]:
        return []


class _WithNumbers(_Pointwise):
    """One that is called with finite numbers, which it keeps under their names."""

    def __init__(self, inplace: bool = False, **numbers: float) -> None:
        super().__init__(inplace)
        for name, value in numbers.items():
            number(type(self).__name__, name, value, lambda v: True, "that is finite")
            setattr(self, name, value)
        self._names = tuple(numbers)

    def _shown(self) -> list[str]:
        return [f"{name}={getattr(self, name)}" for name in self._names]


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


@judged
class LeakyReLU(_WithNumbers):
    """``x`` above 0, ``negative_slope * x`` elsewhere; ``inplace`` as for :class:`ReLU`.

    >>> import numbacnn as nc
    >>> nc.nn.LeakyReLU(0.2)
    LeakyReLU(negative_slope=0.2)
    """

    negative_slope: float

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace, negative_slope=negative_slope)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.negative_slope)


@judged
class ELU(_WithNumbers):
    """``x`` above 0, ``alpha * (exp(x) - 1)`` elsewhere; ``inplace`` as for :class:`ReLU`."""

    alpha: float

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace, alpha=alpha)

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(x, self.alpha)


@judged
class CELU(_WithNumbers):
    """``x`` above 0, ``alpha * (exp(x / alpha) - 1)`` elsewhere; ``inplace`` as for :class:`ReLU`."""

    alpha: float

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace, alpha=alpha)
        number("CELU", "alpha", alpha, lambda v: v > 0, "above 0")

    def forward(self, x: Tensor) -> Tensor:
        return F.celu(x, self.alpha)


@judged
class SELU(_Pointwise):
    """:class:`ELU`, scaled so that normal numbers stay so; ``inplace`` as for :class:`ReLU`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.selu(x)


@judged
class Hardtanh(_WithNumbers):
    """``x`` between ``min_val`` and ``max_val``, which bound it; ``inplace`` as for :class:`ReLU`."""

    min_val: float
    max_val: float

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace, min_val=min_val, max_val=max_val)
        check_bounds("Hardtanh", min_val=min_val, max_val=max_val)

    def forward(self, x: Tensor) -> Tensor:
        return F.hardtanh(x, self.min_val, self.max_val)


@judged
class Threshold(_WithNumbers):
    """``x`` above ``threshold``, ``value`` elsewhere; ``inplace`` as for :class:`ReLU`."""

    threshold: float
    value: float

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace, threshold=threshold, value=value)

    def forward(self, x: Tensor) -> Tensor:
        return F.threshold(x, self.threshold, self.value)


@judged
class Hardsigmoid(_Pointwise):
    """``relu6(x + 3) / 6``, elementwise; ``inplace`` as for :class:`ReLU`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.hardsigmoid(x)


@judged
class Mish(_Pointwise):
    """``x * tanh(log(1 + exp(x)))``, elementwise; ``inplace`` as for :class:`ReLU`."""

    def forward(self, x: Tensor) -> Tensor:
        return F.mish(x)


@judged
class Hardshrink(_WithNumbers):
    """``x`` further from 0 than ``lambd``, 0 elsewhere."""

    lambd: float

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__(lambd=lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"

    def forward(self, x: Tensor) -> Tensor:
        return F.hardshrink(x, self.lambd)


@judged
class Softshrink(_WithNumbers):
    """``x`` brought nearer to 0 by ``lambd``, as far as 0."""

    lambd: float

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__(lambd=lambd)
        number("Softshrink", "lambd", lambd)

    def extra_repr(self) -> str:
        return f"{self.lambd}"

    def forward(self, x: Tensor) -> Tensor:
        return F.softshrink(x, self.lambd)


@judged
class LogSigmoid(_WithNumbers):
    """The logarithm of :class:`Sigmoid`, computed without overflow."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return F.logsigmoid(x)


@judged
class Softsign(_WithNumbers):
    """``x / (1 + abs(x))``, elementwise."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return F.softsign(x)


@judged
class Tanhshrink(_WithNumbers):
    """``x - tanh(x)``, elementwise."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return F.tanhshrink(x)


@judged
class RReLU(_WithNumbers):
    """:class:`LeakyReLU` with a slope for each element that is drawn from [lower, upper) in training, and their middle in evaluation."""

    lower: float
    upper: float

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__(inplace, lower=lower, upper=upper)
        check_bounds("RReLU", lower=lower, upper=upper)

    def forward(self, x: Tensor) -> Tensor:
        return F.rrelu(x, self.lower, self.upper, self.training)


@judged
class PReLU(Module):
    """:class:`LeakyReLU` with slopes that are learned: one, or one for each channel of (N, C, ...). After He et al. (2015).

    Raises:
        ValueError: where ``num_parameters`` is below 1.

    >>> import numbacnn as nc
    >>> nc.nn.PReLU()(nc.tensor([-1.0, 1.0]))
    tensor([-0.2500,  1.0000], requires_grad=True)
    """

    receptive_field = unchanged
    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        super().__init__()
        self.num_parameters = integer("PReLU", "num_parameters", num_parameters)
        number("PReLU", "init", init, lambda v: True, "that is finite")
        self.init = init
        self.weight = Parameter(full((self.num_parameters,), float(init)))

    def forward(self, x: Tensor) -> Tensor:
        return F.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


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


@judged
class Softmin(_AlongDim):
    """:class:`Softmax` of ``-x``."""

    def forward(self, x: Tensor) -> Tensor:
        return F.softmin(x, self.dim)


@judged
class GLU(_AlongDim):
    """The first half along ``dim`` times the :class:`Sigmoid` of the second. After Dauphin and others (2017)."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__(dim)

    def forward(self, x: Tensor) -> Tensor:
        return F.glu(x, self.dim)


@judged
class Softmax2d(Module):
    """:class:`Softmax` over the channels of images (N, C, H, W) or (C, H, W)."""

    receptive_field = unchanged

    @judged
    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in (3, 4):
            raise ShapeError(message("Softmax2d", "input (N, C, H, W) or (C, H, W)", f"input {x.shape}"))
        return F.softmax(x, -3)
