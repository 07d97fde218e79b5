"""Layers that take their sizes from the first batch."""

from __future__ import annotations

from typing import ClassVar

from ..recording import changed
from .parameter import Parameter, UninitializedParameter

__all__ = ["LazyModule"]


class LazyModule:
    """What a lazy layer has beside its ordinary class: it learns its number of inputs from the first batch, and becomes that class."""

    materialized_class: ClassVar[type]
    """The ordinary class."""
    size_from: str = "weight"
    """The entry of a state that says how many inputs there are."""
    _parameters: dict[str, Parameter | None]

    def parameter_shapes(self, size: int) -> dict[str, tuple[int, ...]]:
        """The shapes of the parameters, and of the buffers if there are any, for ``size`` inputs."""
        raise NotImplementedError

    def size_of(self, shape: tuple[int, ...]) -> int:
        """The number of inputs of a layer whose entry ``size_from`` has this shape."""
        raise NotImplementedError

    def materialize(self, size: int, reset: bool = True) -> None:
        """Give the parameters their shapes, draw them if ``reset``, and become the ordinary class."""
        self._set_size(size)
        for name, shape in self.parameter_shapes(size).items():
            parameter = self._parameters.get(name)
            if isinstance(parameter, UninitializedParameter):
                parameter.materialize(shape)
        changed()
        self.__class__ = self.materialized_class  # type: ignore[assignment]
        if reset:
            self.reset_parameters()

    def _set_size(self, size: int) -> None:
        """Judge and note the number of inputs."""
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Draw the parameters."""
        raise NotImplementedError
