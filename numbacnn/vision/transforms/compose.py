"""Transforms made of others, and of functions of one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ...arguments import probability
from ...errors import message
from ...random import generator
from ...signatures import judged, shown
from .functional.picture import numbers
from .transform import Transform, chance

__all__ = ["Compose", "Lambda", "RandomApply", "RandomChoice", "RandomOrder"]

Change = Callable[..., Any]


def _listed(op: str, transforms: Any) -> Any:
    """The transforms, judged: a list, a tuple or a ModuleList of functions."""
    if isinstance(transforms, (str, dict)) or not isinstance(transforms, Iterable) or not hasattr(transforms, "__len__"):
        raise TypeError(message(op, "transforms as a list of functions", shown(transforms)))
    wrong = [transform for transform in transforms if not callable(transform)]
    if wrong:
        raise TypeError(message(op, "transforms as a list of functions", f"{shown(wrong[0])} among them"))
    return transforms


class Composed(Transform):
    """The base of transforms that are lists of others."""

    def __init__(self, transforms: Sequence[Change]) -> None:
        super().__init__()
        self.transforms: Any = _listed(type(self).__name__, transforms)

    def __repr__(self) -> str:
        return "\n    ".join([f"{type(self).__name__}(", *self._head(), *map(str, self.transforms)]) + "\n)"

    def _head(self) -> list[str]:
        return []


@judged
class Compose(Composed):
    """Several transforms, one after the other.

    >>> import numbacnn as nc
    >>> from numbacnn.vision.transforms import CenterCrop, Normalize
    >>> Compose([CenterCrop(4), Normalize(0.5, 0.5)])(nc.ones(3, 8, 8)).shape
    (3, 4, 4)
    """

    def forward(self, img: Any) -> Any:
        for transform in self.transforms:
            img = transform(img)
        return img


@judged
class RandomApply(Composed):
    """Several transforms, one after the other, with probability ``p``; else the picture stays as it is.

    >>> import numbacnn as nc
    >>> from numbacnn.vision.transforms import CenterCrop
    >>> RandomApply([CenterCrop(4)], p=1.0)(nc.ones(3, 8, 8)).shape
    (3, 4, 4)
    """

    def __init__(self, transforms: Sequence[Change], p: float = 0.5) -> None:
        super().__init__(transforms)
        probability("RandomApply", "p", p)
        self.p = p

    def forward(self, img: Any) -> Any:
        if chance(self.p):
            for transform in self.transforms:
                img = transform(img)
        return img

    def _head(self) -> list[str]:
        return [f"p={self.p}"]


@judged
class RandomOrder(Composed):
    """Several transforms in a random order.

    >>> import numbacnn as nc
    >>> from numbacnn.vision.transforms import CenterCrop, Grayscale
    >>> RandomOrder([CenterCrop(4), Grayscale()])(nc.ones(3, 8, 8)).shape
    (1, 4, 4)
    """

    def forward(self, img: Any) -> Any:
        for i in generator().permutation(len(self.transforms)).tolist():
            img = self.transforms[i](img)
        return img


@judged
class RandomChoice(Composed):
    """One of several transforms.

    Args:
        transforms: what is chosen from.
        p: how likely each is, relative to the others; all equally by default.

    >>> import numbacnn as nc
    >>> from numbacnn.vision.transforms import CenterCrop
    >>> RandomChoice([CenterCrop(4), CenterCrop(5)], p=[0, 1])(nc.ones(3, 8, 8)).shape
    (3, 5, 5)
    """

    def __init__(self, transforms: Sequence[Change], p: Sequence[float] | None = None) -> None:
        super().__init__(transforms)
        if not len(self.transforms):
            raise ValueError(message("RandomChoice", "transforms to choose from", "none"))
        if p is not None:
            weights = numbers("RandomChoice", "p", p, (len(self.transforms),))
            if min(weights) < 0 or not 0 < sum(weights) < float("inf"):
                raise ValueError(message("RandomChoice", "p of numbers of at least 0, not all of them 0", shown(p)))
        self.p = p

    def forward(self, *args: Any) -> Any:
        weights = None if self.p is None else np.array(self.p, np.float64) / sum(self.p)
        return self.transforms[int(generator().choice(len(self.transforms), p=weights))](*args)

    def __repr__(self) -> str:
        return f"{super().__repr__()}(p={self.p})"


@judged
class Lambda(Transform):
    """A function of one's own as a transform. Processes can only be given one that stands in a module, no ``lambda``.

    >>> Lambda(len)("four")
    4
    """

    def __init__(self, lambd: Change) -> None:
        super().__init__()
        if not callable(lambd):
            raise TypeError(message("Lambda", "lambd as a function", shown(lambd)))
        self.lambd = lambd

    def forward(self, img: Any) -> Any:
        return self.lambd(img)
