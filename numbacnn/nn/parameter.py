"""Parameters: the tensors that a module trains."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import message
from ..recording import changed
from ..signatures import judged
from ..tensor import Tensor, from_array
from ..tensor.core import as_parameter

__all__ = ["FrozenParameter", "Parameter", "UninitializedParameter"]


class Parameter(Tensor):
    """A tensor that a module trains: assigned to an attribute of a :class:`Module`, it appears in ``parameters()``.

    It takes attributes of your own, which no copy of it has; a step that uses such a parameter is not compiled by ``nc.compile``.

    >>> import numbacnn as nc
    >>> nc.nn.Parameter(nc.ones(2, 3)).requires_grad
    True
    """

    __slots__ = ("__dict__",)
    is_parameter = True

    @judged
    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            raise TypeError(message("Parameter", "data as a Tensor", type(data).__name__, "wrap it in nc.tensor"))
        super().__init__(data.array, device=data.device, requires_grad=requires_grad)

    @staticmethod
    def zeros(shape: tuple[int, ...]) -> Parameter:
        """A float32 parameter of zeros on the CPU, in C order as all parameters are."""
        return Parameter(from_array(np.zeros(shape, np.float32)))

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()


class FrozenParameter(Parameter):
    """A parameter of a network that only answers: who writes to it is told so."""

    __slots__ = ()

    def check_writable(self, op: str) -> None:
        received = "one of a network that was optimised for inference"
        raise RuntimeError(message(op, "a parameter that can be written to", received, "write to the network that it was made of"))

    @property
    def data(self) -> Tensor:
        """A copy: the values are not to be changed."""
        return from_array(np.array(self), self.device)

    @data.setter
    def data(self, value: Tensor) -> None:
        self.check_writable("data")

    def _shown(self) -> np.ndarray:
        array = np.asarray(self, copy=True)
        array.flags.writeable = False
        return array


class UninitializedParameter(Parameter):
    """The parameter of a lazy layer, which has no shape before the layer's first forward; it becomes a :class:`Parameter` then."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(from_array(np.zeros(0, np.float32)))

    def _unknown(self) -> Any:
        received = "one of a lazy layer before its first forward"
        raise RuntimeError(message("UninitializedParameter", "a parameter that has a shape", received, "run one batch first"))

    shape = property(_unknown)
    ndim = property(_unknown)
    data = property(_unknown)

    def numel(self) -> int:
        return self._unknown()

    def materialize(self, shape: tuple[int, ...]) -> None:
        """Become a :class:`Parameter` of zeros, of this shape, on the device and of the dtype that the placeholder has.

        It stays the same object: an optimiser that holds it goes on with it.
        """
        device, dtype = self.device, self.dtype
        changed()
        self.__class__ = Parameter  # type: ignore[assignment]
        self.array = as_parameter(from_array(np.zeros(shape, dtype), device)).array

    def __repr__(self) -> str:
        return "<UninitializedParameter>"
