"""Transforms that take a part of a picture, scale it, or mirror it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from ...arguments import flag, integer, one_of
from ...errors import ShapeError, message
from ...signatures import judged, shown
from . import functional as F
from .convert import TRIES, check_ratio, log_uniform
from .functional.picture import Fill, Interpolation, InterpolationMode, P, Size, extents, interpolation_mode, window
from .functional.window import PADDING_MODES, PaddingMode, four_sides
from .transform import Sometimes, Transform, check_fill, place, span, uniform

__all__ = [
    "CenterCrop",
    "FiveCrop",
    "Pad",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Resize",
    "TenCrop",
]


@judged
class Resize(Transform):
    """A picture at another size.

    Args:
        size: (height, width); one number is the shorter side, and the other follows.
        interpolation: how values between pixels are found.
        max_size: the most that the longer side may have, where one number is given.
        antialias: whether a smaller Tensor is smoothed. Pillow pictures always are.

    >>> import numbacnn as nc
    >>> Resize(10)(nc.ones(3, 20, 30)).shape
    (3, 10, 15)
    """

    _shown = ("size", "interpolation", "max_size", "antialias")

    def __init__(
        self,
        size: Size,
        interpolation: Interpolation = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        extents("Resize", "size", size)
        self.size, self.max_size, self.antialias = size, max_size, antialias
        self.interpolation = interpolation_mode("Resize", interpolation)
        if max_size is not None:
            integer("Resize", "max_size", max_size)

    @judged
    def forward(self, img: P) -> P:
        return F.resize(img, self.size, self.interpolation, self.max_size, self.antialias)


def _size(op: str, size: Size) -> Any:
    """A size as it is kept: a pair as it is given, one number as two."""
    height, width = window(op, "size", size)
    return size if isinstance(size, Sequence) and len(size) == 2 else (height, width)


class Cropped(Transform):
    """The base of transforms to a fixed size."""

    _shown: ClassVar[tuple[str, ...]] = ("size",)

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size: Any = _size(type(self).__name__, size)


@judged
class CenterCrop(Cropped):
    """The middle of a picture, of the size (height, width), or of a square; zeros surround a picture that is smaller.

    >>> import numbacnn as nc
    >>> CenterCrop(4)(nc.ones(3, 8, 9)).shape
    (3, 4, 4)
    """

    @judged
    def forward(self, img: P) -> P:
        return F.center_crop(img, self.size)


@judged
class FiveCrop(Cropped):
    """The parts of a picture at its corners (top left, top right, bottom left, bottom right) and in the middle: a tuple of five.

    >>> import numbacnn as nc
    >>> [part.shape for part in FiveCrop(4)(nc.ones(3, 8, 9))][4]
    (3, 4, 4)
    """

    @judged
    def forward(self, img: P) -> tuple[P, ...]:
        return F.five_crop(img, self.size)


@judged
class TenCrop(Cropped):
    """The five parts of :class:`FiveCrop`, and those of the mirror image.

    >>> import numbacnn as nc
    >>> len(TenCrop(4)(nc.ones(3, 8, 9)))
    10
    """

    _shown = ("size", "vertical_flip")

    def __init__(self, size: Size, vertical_flip: bool = False) -> None:
        super().__init__(size)
        self.vertical_flip = flag("TenCrop", "vertical_flip", vertical_flip)

    @judged
    def forward(self, img: P) -> tuple[P, ...]:
        return F.ten_crop(img, self.size, self.vertical_flip)


@judged
class Pad(Transform):
    """A picture with a border around it.

    Args:
        padding: pixels on all sides; or (left and right, top and bottom); or (left, top, right, bottom).
        fill: what a constant border is made of: a number, for a Pillow picture also one for each channel.
        padding_mode: "constant", "edge", "reflect" or "symmetric".

    >>> import numbacnn as nc
    >>> Pad(2)(nc.ones(3, 4, 5)).shape
    (3, 8, 9)
    """

    _shown = ("padding", "fill", "padding_mode")

    def __init__(self, padding: Size, fill: Fill = 0, padding_mode: PaddingMode = "constant") -> None:
        super().__init__()
        four_sides("Pad", padding)
        check_fill("Pad", fill)
        one_of("Pad", "padding_mode", padding_mode, PADDING_MODES)
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode

    @judged
    def forward(self, img: P) -> P:
        return F.pad(img, self.padding, self.fill, self.padding_mode)


@judged
class RandomCrop(Cropped):
    """A part of a picture at a random place, all equally likely.

    Args:
        size: (height, width), or the side of a square.
        padding: a border that the picture gets before, as for :class:`Pad`.
        pad_if_needed: whether a picture that is smaller gets a border that is wide enough, at both sides.
        fill: what a constant border is made of.
        padding_mode: "constant", "edge", "reflect" or "symmetric".

    Raises:
        ShapeError: when it is called, where the picture is smaller.

    >>> import numbacnn as nc
    >>> RandomCrop(32, padding=4)(nc.ones(3, 32, 32)).shape
    (3, 32, 32)
    """

    _shown = ("size", "padding")

    def __init__(
        self,
        size: Size,
        padding: Size | None = None,
        pad_if_needed: bool = False,
        fill: Fill = 0,
        padding_mode: PaddingMode = "constant",
    ) -> None:
        super().__init__(size)
        self.size = tuple(self.size)
        if padding is not None:
            four_sides("RandomCrop", padding)
        check_fill("RandomCrop", fill)
        one_of("RandomCrop", "padding_mode", padding_mode, PADDING_MODES)
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode
        self.pad_if_needed = flag("RandomCrop", "pad_if_needed", pad_if_needed)

    @staticmethod
    def get_params(img: Any, output_size: tuple[int, int]) -> tuple[int, int, int, int]:
        """(top, left, height, width) of a random part of ``output_size``."""
        height, width = window("RandomCrop", "output_size", output_size)
        _, have_height, have_width = F.get_dimensions(img)
        if height > have_height or width > have_width:
            hint = "give padding, or pad_if_needed=True"
            raise ShapeError(message("RandomCrop", f"a picture of at least {height} x {width}", f"{have_height} x {have_width}", hint))
        return place(0, have_height - height), place(0, have_width - width), height, width

    @judged
    def forward(self, img: P) -> P:
        if self.padding is not None:
            img = F.pad(img, self.padding, self.fill, self.padding_mode)
        _, height, width = F.get_dimensions(img)
        missing = max(self.size[1] - width, 0), max(self.size[0] - height, 0)
        if self.pad_if_needed and any(missing):
            img = F.pad(img, missing, self.fill, self.padding_mode)
        return F.crop(img, *self.get_params(img, self.size))


@judged
class RandomResizedCrop(Cropped):
    """A part of a picture of random area, shape and place, at a fixed size.

    Args:
        size: (height, width) of the result, or the side of a square.
        scale: the least and the largest part of the picture's area.
        ratio: the least and the largest width of the part divided by its height.
        interpolation: how values between pixels are found.
        antialias: whether a smaller Tensor is smoothed. Pillow pictures always are.

    >>> import numbacnn as nc
    >>> RandomResizedCrop(8)(nc.ones(3, 32, 20)).shape
    (3, 8, 8)
    """

    _shown = ("size", "scale", "ratio", "interpolation", "antialias")

    def __init__(
        self,
        size: Size,
        scale: Sequence[float] = (0.08, 1.0),
        ratio: Sequence[float] = (3 / 4, 4 / 3),
        interpolation: Interpolation = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__(size)
        if span("RandomResizedCrop", "scale", scale, 0)[1] == 0:
            raise ValueError(message("RandomResizedCrop", "scale as (low, high) above 0", shown(scale)))
        check_ratio("RandomResizedCrop", ratio)
        self.scale, self.ratio, self.antialias = scale, ratio, antialias
        self.interpolation = interpolation_mode("RandomResizedCrop", interpolation)

    @staticmethod
    def get_params(img: Any, scale: Sequence[float], ratio: Sequence[float]) -> tuple[int, int, int, int]:
        """(top, left, height, width) of a random part; the middle one of the nearest shape, where no draw fits into the picture."""
        _, height, width = F.get_dimensions(img)
        for _ in range(TRIES):
            area, aspect = height * width * uniform(*scale), log_uniform(ratio)
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                return place(0, height - h), place(0, width - w), h, w
        w, h = min(width, round(height * max(ratio))), min(height, round(width / min(ratio)))
        return (height - h) // 2, (width - w) // 2, h, w

    @judged
    def forward(self, img: P) -> P:
        return F.resized_crop(img, *self.get_params(img, self.scale, self.ratio), self.size, self.interpolation, self.antialias)

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(v, 4) for v in pair) for pair in (self.scale, self.ratio))
        said = f"scale={scale}, ratio={ratio}, interpolation={self.interpolation.value}, antialias={self.antialias}"
        return f"{type(self).__name__}(size={self.size}, {said})"


@judged
class RandomHorizontalFlip(Sometimes):
    """The mirror image, left and right exchanged, with probability ``p``.

    >>> import numbacnn as nc
    >>> RandomHorizontalFlip(p=1.0)(nc.tensor([[1, 2, 3]])).tolist()
    [[3, 2, 1]]
    """

    def _changed(self, img: Any) -> Any:
        return F.hflip(img)


@judged
class RandomVerticalFlip(Sometimes):
    """The picture upside down, with probability ``p``.

    >>> import numbacnn as nc
    >>> RandomVerticalFlip(p=1.0)(nc.tensor([[1], [2]])).tolist()
    [[2], [1]]
    """

    def _changed(self, img: Any) -> Any:
        return F.vflip(img)
