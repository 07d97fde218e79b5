"""Receptive fields: what the units behind a layer see of the input.

After Araujo, Norris and Sim, "Computing Receptive Fields of Convolutional Neural Networks" (Distill, 2019).
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Field", "everything", "unchanged"]

Pair = tuple[int, int]


class Field(NamedTuple):
    """What the units of a layer see of the input, each entry as (height, width) in input pixels.

    Unit ``i`` along an axis sees the pixels from ``start + i * jump`` up to ``start + i * jump + size``, without the last;
    pixels below 0 or beyond the image are padding.
    """

    size: Pair = (1, 1)
    jump: Pair = (1, 1)
    start: Pair = (0, 0)

    def behind(self, kernel: Pair, stride: Pair, before: Pair, dilation: Pair) -> Field:
        """The field behind a layer with such windows; ``before`` is the padding above and to the left.

        >>> Field().behind((3, 3), (2, 2), (1, 1), (1, 1))
        Field(size=(3, 3), jump=(2, 2), start=(-1, -1))
        """
        axes = [
            (size + d * (k - 1) * jump, jump * s, start - b * jump)
            for size, jump, start, k, s, b, d in zip(*self, kernel, stride, before, dilation)
        ]
        return Field(*zip(*axes))  # type: ignore[arg-type]


def unchanged(layer: Any, field: Field) -> Field:
    """The ``receptive_field`` of a layer that acts on each pixel alone."""
    return field


def everything(layer: Any, field: Field) -> None:
    """The ``receptive_field`` of a layer whose units see the whole input."""
