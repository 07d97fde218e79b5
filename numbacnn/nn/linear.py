"""Linear layers, and the layers that only reshape or pass on."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from ..arguments import flag, integer
from ..errors import ShapeError, message
from ..signatures import judged
from ..tensor import Tensor
from . import init
from .field import everything, unchanged
from .functional.dense import fused_linear
from .fusion import Absorbed, Absorbs
from .lazy import LazyModule
from .module import Module
from .parameter import Parameter, UninitializedParameter

__all__ = ["Flatten", "Identity", "LazyLinear", "Linear", "Unflatten"]


@judged
class Linear(Module):
    """``x @ weight.T + bias``: (..., in_features) -> (..., out_features). ``weight`` has the shape (out, in), ``bias`` (out,).

    Raises:
        ValueError: where a size is not a positive integer.

    >>> import numbacnn as nc
    >>> nc.nn.Linear(400, 120)
    Linear(in_features=400, out_features=120, bias=True)
    """

    receptive_field = everything

    _fusion = Absorbs(before=("flat",), behind=("activation",))
    weight: Parameter
    bias: Parameter | None

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features = integer(type(self).__name__, "in_features", in_features)
        self.out_features = integer(type(self).__name__, "out_features", out_features)
        bias = flag(type(self).__name__, "bias", bias)
        self.weight = Parameter.zeros((self.out_features, self.in_features))
        self.register_parameter("bias", Parameter.zeros((self.out_features,)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw PyTorch's default values anew."""
        init.default_(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self._fused(x)

    def _fused(self, x: Tensor, **options: Any) -> Tensor:
        return fused_linear(x, self.weight, self.bias, **options)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


@judged
class LazyLinear(Linear, LazyModule):
    """A :class:`Linear` that takes its input features from the first batch, and becomes a ``Linear`` then.

    >>> import numbacnn as nc
    >>> layer = nc.nn.LazyLinear(10)
    >>> _ = layer(nc.ones(2, 84)); layer
    Linear(in_features=84, out_features=10, bias=True)
    """

    materialized_class = Linear

    def __init__(self, out_features: int, bias: bool = True) -> None:
        super().__init__(1, out_features, bias)
        self.in_features = 0
        self.weight = UninitializedParameter()
        self.bias = UninitializedParameter() if bias else None

    def reset_parameters(self) -> None:
        """Nothing to draw yet."""

    def parameter_shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        return {"weight": (self.out_features, size), "bias": (self.out_features,)}

    def size_of(self, shape: tuple[int, ...]) -> int:
        return shape[1] if len(shape) == 2 else 1

    def _set_size(self, size: int) -> None:
        self.in_features = size

    @judged
    def forward(self, x: Tensor) -> Tensor:
        if not x.ndim or x.shape[-1] < 1:
            raise ShapeError(message("LazyLinear", "input (..., features) with at least one feature", f"input {x.shape}"))
        self.materialize(x.shape[-1])
        return Linear.forward(self, x)


@judged
class Flatten(Module):
    """Join the axes from ``start_dim`` to ``end_dim``: by default (N, C, H, W) -> (N, C*H*W), in logical order.

    >>> import numbacnn as nc
    >>> nc.nn.Flatten()(nc.ones(2, 3, 4, 5)).shape
    (2, 60)
    """

    receptive_field = everything

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        try:
            self.start_dim, self.end_dim = operator.index(start_dim), operator.index(end_dim)
        except TypeError:
            raise ValueError(message("Flatten", "start_dim and end_dim as integers", f"{start_dim!r} and {end_dim!r}")) from None

    def _flat(self, x: Any) -> bool | None:
        """True where x is images that become rows."""
        return ((self.start_dim, self.end_dim) == (1, -1) and isinstance(x, Tensor) and x.ndim == 4) or None

    _fusion = Absorbed("flat", _flat)

    @judged
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


@judged
class Unflatten(Module):
    """One axis cut into several, whose sizes are given; one of them may be -1.

    >>> import numbacnn as nc
    >>> nc.nn.Unflatten(1, (2, -1))(nc.ones(5, 6)).shape
    (5, 2, 3)
    """

    receptive_field = everything

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = operator.index(dim)
        self.unflattened_size = tuple(operator.index(size) for size in unflattened_size)

    @judged
    def forward(self, x: Tensor) -> Tensor:
        x.size(self.dim)
        at = self.dim % x.ndim
        sizes, known = list(self.unflattened_size), math.prod(s for s in self.unflattened_size if s != -1)
        if sizes.count(-1) == 1 and known > 0:
            sizes[sizes.index(-1)] = x.shape[at] // known
        if math.prod(sizes) != x.shape[at] or min(sizes, default=0) < 0:
            expected = f"sizes that make {x.shape[at]}, which axis {self.dim} of {x.shape} has"
            raise ShapeError(message("Unflatten", expected, f"{self.unflattened_size}"))
        return x.reshape(x.shape[:at] + tuple(sizes) + x.shape[at + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


@judged
class Identity(Module):
    """The input, unchanged; takes and ignores any arguments.

    >>> import numbacnn as nc
    >>> nc.nn.Identity()(3)
    3
    """

    receptive_field = unchanged

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Any) -> Any:
        return x
