"""Transforms that turn a picture, move it, stretch it, or show it from the side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...arguments import flag, number
from ...errors import message
from ...signatures import judged, shown
from . import functional as F
from .functional.picture import Fill, Interpolation, InterpolationMode, P, interpolation_mode, numbers
from .transform import Sometimes, Transform, check_fill, place, span, uniform

__all__ = ["RandomAffine", "RandomPerspective", "RandomRotation"]


def _angles(op: str, name: str, value: Any, lengths: Sequence[int] = (2,)) -> list[float]:
    """Degrees as [low, high]; a number is what they may be at most, to both sides."""
    if not isinstance(value, Sequence):
        number(op, name, value)
        return [0.0 - value, float(value)]
    return list(numbers(op, name, value, lengths))


def _uniform(bounds: Sequence[float]) -> float:
    return uniform(min(bounds), max(bounds))


@judged
class RandomRotation(Transform):
    """A picture turned by a random angle.

    Args:
        degrees: (low, high); a number d is (-d, d).
        interpolation: NEAREST or BILINEAR; BICUBIC for Pillow pictures too.
        expand: whether the result grows so that nothing is cut off.
        center: (x, y) in pixels from the upper left corner; the middle by default.
        fill: what comes in at the corners: a number, or one for each channel.

    >>> import numbacnn as nc
    >>> RandomRotation((90, 90))(nc.tensor([[[1.0, 2.0], [3.0, 4.0]]])).tolist()
    [[[2.0, 4.0], [1.0, 3.0]]]
    """

    _shown = ("degrees", "interpolation", "expand", "center", "fill")
    _unsaid = {"center": None}  # noqa: RUF012

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: Interpolation = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: Fill = 0,
    ) -> None:
        super().__init__()
        op = "RandomRotation"
        self.degrees = _angles(op, "degrees", degrees)
        self.interpolation = interpolation_mode(op, interpolation)
        self.expand = flag(op, "expand", expand)
        if center is not None:
            numbers(op, "center", center, (2,))
        self.center, self.fill = center, check_fill(op, fill)

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """An angle."""
        return _uniform(degrees)

    @judged
    def forward(self, img: P) -> P:
        angle = self.get_params(self.degrees)
        return F.rotate(img, angle, self.interpolation, self.expand, self.center, self.fill)


@judged
class RandomAffine(Transform):
    """A picture turned, moved, scaled and sheared at random, about its middle.

    Args:
        degrees: (low, high) of the angle; a number d is (-d, d).
        translate: by how much it moves at most, as parts of its width and of its height.
        scale: (low, high) of the factor.
        shear: degrees along x: a number s is (-s, s), or (low, high); four numbers are those along x and those along y.
        interpolation: NEAREST or BILINEAR; BICUBIC for Pillow pictures too.
        fill: what comes in from outside: a number, or one for each channel.
        center: (x, y) of the middle in pixels from the upper left corner.

    >>> import numbacnn as nc
    >>> RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1))(nc.ones(3, 8, 8)).shape
    (3, 8, 8)
    """

    _shown = ("degrees", "translate", "scale", "shear", "interpolation", "fill", "center")
    _unsaid = {  # noqa: RUF012
        **dict.fromkeys(("translate", "scale", "shear", "center")),
        "interpolation": InterpolationMode.NEAREST,
        "fill": 0,
    }

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: Interpolation = InterpolationMode.NEAREST,
        fill: Fill = 0,
        center: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        op = "RandomAffine"
        self.degrees = _angles(op, "degrees", degrees)
        if translate is not None and not all(0 <= part <= 1 for part in numbers(op, "translate", translate, (2,))):
            raise ValueError(message(op, "translate as two numbers from 0 to 1", shown(translate)))
        if scale is not None and span(op, "scale", scale, 0)[0] == 0:
            raise ValueError(message(op, "scale as (low, high) above 0", shown(scale)))
        self.translate, self.scale = translate, scale
        self.shear = None if shear is None else _angles(op, "shear", shear, (2, 4))
        self.interpolation = interpolation_mode(op, interpolation)
        if center is not None:
            numbers(op, "center", center, (2,))
        self.fill, self.center = check_fill(op, fill), center

    @staticmethod
    def get_params(
        degrees: Sequence[float],
        translate: Sequence[float] | None,
        scale_ranges: Sequence[float] | None,
        shears: Sequence[float] | None,
        img_size: Sequence[int],
    ) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
        """(angle, (right, down), scale, (shear along x, along y)) for ``functional.affine``; ``img_size`` is (width, height)."""
        angle = _uniform(degrees)
        most = (0.0, 0.0) if translate is None else (translate[0] * img_size[0], translate[1] * img_size[1])
        right, down = (round(uniform(-part, part)) for part in most)
        scale = 1.0 if scale_ranges is None else _uniform(scale_ranges)
        along_x = 0.0 if shears is None else _uniform(shears[:2])
        along_y = 0.0 if shears is None or len(shears) == 2 else _uniform(shears[2:])
        return angle, (right, down), scale, (along_x, along_y)

    @judged
    def forward(self, img: P) -> P:
        drawn = self.get_params(self.degrees, self.translate, self.scale, self.shear, F.get_image_size(img))
        return F.affine(img, *drawn, interpolation=self.interpolation, fill=self.fill, center=self.center)


@judged
class RandomPerspective(Sometimes):
    """A picture seen from a random side, with probability ``p``.

    Args:
        distortion_scale: how far the corners move inwards at most, as a part of half the width and half the height.
        p: how likely it is.
        interpolation: NEAREST or BILINEAR; BICUBIC for Pillow pictures too.
        fill: what comes in from outside: a number, or one for each channel.

    >>> import numbacnn as nc
    >>> RandomPerspective(p=1.0)(nc.ones(3, 8, 8)).shape
    (3, 8, 8)
    """

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: Interpolation = InterpolationMode.BILINEAR,
        fill: Fill = 0,
    ) -> None:
        super().__init__(p)
        number("RandomPerspective", "distortion_scale", distortion_scale, lambda v: 0 <= v <= 1, "from 0 to 1")
        self.distortion_scale = distortion_scale
        self.interpolation = interpolation_mode("RandomPerspective", interpolation)
        self.fill = check_fill("RandomPerspective", fill)

    @staticmethod
    def get_params(width: int, height: int, distortion_scale: float) -> tuple[list[list[int]], list[list[int]]]:
        """The corners of the picture, and where they go: top left, top right, bottom right, bottom left, each [x, y]."""
        across, down = int(distortion_scale * (width // 2)), int(distortion_scale * (height // 2))
        ends: list[list[int]] = []
        for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)):
            right, below = x * (width - 1 - across), y * (height - 1 - down)
            ends.append([place(right, right + across), place(below, below + down)])
        return [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], ends

    def _changed(self, img: Any) -> Any:
        width, height = F.get_image_size(img)
        start, end = self.get_params(width, height, self.distortion_scale)
        return F.perspective(img, start, end, self.interpolation, self.fill)
