"""What all transforms share: how they are shown, and how they draw."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, ClassVar

from ...arguments import number, probability
from ...errors import message
from ...nn import Module
from ...random import generator
from ...signatures import judged, shown
from .functional.picture import P, numbers

__all__ = ["Sometimes", "Transform", "chance", "check_fill", "place", "span", "uniform"]


class Transform(Module):
    """A change to one picture, a Pillow picture or a Tensor (..., C, H, W). It draws from the library's generator, or the loader's.

    A module without parameters, so that ``nn.Sequential`` and ``nn.ModuleList`` hold transforms too.
    """

    _shown: ClassVar[tuple[str, ...]] = ()
    _unsaid: ClassVar[dict[str, Any]] = {}
    """The attributes that ``repr`` shows, and the values that some of them may have without being shown."""
    _comma: ClassVar[str] = ", "

    def __repr__(self) -> str:
        pairs = [(name, getattr(self, name)) for name in self._shown]
        said = [f"{name}={_value(value)}" for name, value in pairs if not (name in self._unsaid and value == self._unsaid[name])]
        return f"{type(self).__name__}({self._comma.join(said)})"


def _value(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


class Sometimes(Transform):
    """The base of transforms that change a picture with probability ``p``, and leave it as it is else."""

    _shown: ClassVar[tuple[str, ...]] = ("p",)

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        probability(type(self).__name__, "p", p)
        self.p = p

    @judged
    def forward(self, img: P) -> P:
        return self._changed(img) if chance(self.p) else img

    def _changed(self, img: Any) -> Any:
        raise NotImplementedError


# -- drawing ----------------------------------------------------------------------------------------------------------
def chance(p: float) -> bool:
    """True with probability ``p``."""
    return bool(generator().random() < p)


def uniform(low: float, high: float) -> float:
    """A number between two, all equally likely."""
    return float(generator().uniform(low, high))


def place(low: int, high: int) -> int:
    """An integer from ``low`` to ``high``, both included."""
    return int(generator().integers(low, high, endpoint=True))


# -- arguments --------------------------------------------------------------------------------------------------------
def span(op: str, name: str, value: Any, least: float, most: float = float("inf")) -> tuple[float, float]:
    """``value`` as (low, high), judged."""
    low, high = numbers(op, name, value, (2,))
    if not least <= low <= high <= most:
        bounds = f"at least {least:g}" if most == float("inf") else f"{least:g} to {most:g}"
        raise ValueError(message(op, f"{name} as (low, high) of {bounds}", shown(value)))
    return low, high


def check_fill(op: str, fill: Any) -> Any:
    """A fill of the right form; None is 0."""
    if fill is None:
        return 0
    if isinstance(fill, Sequence):
        numbers(op, "fill", fill, range(1, 5))
    else:
        number(op, "fill", fill, lambda v: True, "or one for each channel")
    return fill
