"""Transforms that change the colours of a picture, and its sharpness."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

from ...arguments import integer, number
from ...errors import message
from ...random import generator
from ...signatures import judged, shown
from ...tensor import Tensor, from_array
from . import functional as F
from .functional.picture import P, Size
from .functional.resample import odd_sizes
from .transform import Sometimes, Transform, span, uniform

__all__ = [
    "ColorJitter",
    "GaussianBlur",
    "Grayscale",
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomEqualize",
    "RandomGrayscale",
    "RandomInvert",
    "RandomPosterize",
    "RandomSolarize",
]

Range = tuple[float, float]
JITTERS = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue)
"""What ColorJitter does, in the order of its arguments."""


@judged
class ColorJitter(Transform):
    """Random changes of a picture's brightness, contrast, saturation and hue, in a random order.

    Args:
        brightness: (low, high) of the factor; a number b is (1 - b, 1 + b), not below 0.
        contrast: likewise.
        saturation: likewise.
        hue: (low, high) within -0.5 .. 0.5, of the circle of colours; a number h is (-h, h).

    >>> import numbacnn as nc
    >>> ColorJitter(brightness=(0.5, 0.5))(nc.ones(3, 1, 1)).flatten().tolist()
    [0.5, 0.5, 0.5]
    """

    _shown = ("brightness", "contrast", "saturation", "hue")

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
    ) -> None:
        super().__init__()
        self.brightness = _factors("brightness", brightness)
        self.contrast = _factors("contrast", contrast)
        self.saturation = _factors("saturation", saturation)
        self.hue = _factors("hue", hue, 0.0, -0.5, 0.5)

    @staticmethod
    def get_params(
        brightness: Range | None, contrast: Range | None, saturation: Range | None, hue: Range | None
    ) -> tuple[Tensor, float | None, float | None, float | None, float | None]:
        """The order of the four changes, as a Tensor of their numbers 0 .. 3, and the factor of each; None leaves one out."""
        order = from_array(generator().permutation(4))
        one, two, three, four = (None if bounds is None else uniform(*bounds) for bounds in (brightness, contrast, saturation, hue))
        return order, one, two, three, four

    @judged
    def forward(self, img: P) -> P:
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        for which in order.tolist():
            if factors[which] is not None:
                img = JITTERS[which](img, factors[which])
        return img


def _factors(name: str, value: Any, center: float = 1.0, least: float = 0.0, most: float = float("inf")) -> Range | None:
    """(low, high) of a factor, None where it can only be the one that changes nothing."""
    if isinstance(value, Real):
        number("ColorJitter", name, value)
        spread = float(value)
        value = (center - spread if center == 0 else max(center - spread, 0.0), center + spread)
    low, high = span("ColorJitter", name, value, least, most)
    return None if low == high == center else (low, high)


@judged
class Grayscale(Transform):
    """The grey of a picture, in 1 channel or in 3 equal ones.

    >>> import numbacnn as nc
    >>> Grayscale()(nc.ones(3, 4, 5)).shape
    (1, 4, 5)
    """

    _shown = ("num_output_channels",)

    def __init__(self, num_output_channels: int = 1) -> None:
        super().__init__()
        if num_output_channels not in (1, 3):
            raise ValueError(message("Grayscale", "num_output_channels 1 or 3", shown(num_output_channels)))
        self.num_output_channels = num_output_channels

    @judged
    def forward(self, img: P) -> P:
        return F.rgb_to_grayscale(img, self.num_output_channels)


@judged
class RandomGrayscale(Sometimes):
    """The grey of a picture, in as many channels as it has, with probability ``p``.

    >>> import numbacnn as nc
    >>> RandomGrayscale(p=1.0)(nc.ones(3, 4, 5)).shape
    (3, 4, 5)
    """

    def __init__(self, p: float = 0.1) -> None:
        super().__init__(p)

    def _changed(self, img: Any) -> Any:
        return F.rgb_to_grayscale(img, F.get_image_num_channels(img))


@judged
class GaussianBlur(Transform):
    """A picture blurred by a bell of random width.

    Args:
        kernel_size: pixels that take part, odd: a number or (horizontal, vertical).
        sigma: (low, high) of the standard deviation, or a number.

    >>> import numbacnn as nc
    >>> GaussianBlur(3)(nc.ones(3, 8, 8)).shape
    (3, 8, 8)
    """

    _shown = ("kernel_size", "sigma")

    def __init__(self, kernel_size: Size, sigma: float | Sequence[float] = (0.1, 2.0)) -> None:
        super().__init__()
        sizes = odd_sizes("GaussianBlur", kernel_size)
        self.kernel_size: Any = kernel_size if isinstance(kernel_size, Sequence) and len(kernel_size) == 2 else sizes
        self.sigma: Any = sigma if isinstance(sigma, Sequence) else (sigma, sigma)
        if span("GaussianBlur", "sigma", self.sigma, 0)[0] == 0:
            raise ValueError(message("GaussianBlur", "sigma above 0", shown(sigma)))

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """A standard deviation."""
        return uniform(sigma_min, sigma_max)

    @judged
    def forward(self, img: P) -> P:
        return F.gaussian_blur(img, self.kernel_size, self.get_params(*self.sigma))


@judged
class RandomInvert(Sometimes):
    """The negative of a picture, with probability ``p``.

    >>> import numbacnn as nc
    >>> RandomInvert(p=1.0)(nc.ones(1, 1, 1)).item()
    0.0
    """

    def _changed(self, img: Any) -> Any:
        return F.invert(img)


@judged
class RandomAutocontrast(Sometimes):
    """A picture whose darkest value becomes black and whose lightest becomes white, with probability ``p``.

    >>> import numbacnn as nc
    >>> RandomAutocontrast(p=1.0)(nc.tensor([[[0.25, 0.5]]])).tolist()
    [[[0.0, 1.0]]]
    """

    def _changed(self, img: Any) -> Any:
        return F.autocontrast(img)


@judged
class RandomEqualize(Sometimes):
    """A picture of bytes whose values are spread so that all are about equally frequent, with probability ``p``.

    >>> import numbacnn as nc
    >>> RandomEqualize(p=1.0)(nc.zeros(1, 4, 4, dtype=nc.uint8)).max().item()
    0
    """

    def _changed(self, img: Any) -> Any:
        return F.equalize(img)


@judged
class RandomPosterize(Sometimes):
    """A picture of bytes of which only the first ``bits`` bits are kept, with probability ``p``.

    >>> import numbacnn as nc
    >>> RandomPosterize(1, p=1.0)(nc.tensor([[[255]]], dtype=nc.uint8)).item()
    128
    """

    _shown, _comma = ("bits", "p"), ","

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.bits = integer("RandomPosterize", "bits", bits, 0, 8)

    def _changed(self, img: Any) -> Any:
        return F.posterize(img, self.bits)


@judged
class RandomSolarize(Sometimes):
    """A picture whose values from ``threshold`` on are inverted, with probability ``p``.

    >>> import numbacnn as nc
    >>> RandomSolarize(0.5, p=1.0)(nc.tensor([[[0.25, 0.75]]])).tolist()
    [[[0.25, 0.25]]]
    """

    _shown, _comma = ("threshold", "p"), ","

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        number("RandomSolarize", "threshold", threshold, lambda v: True, "that is finite")
        self.threshold = threshold

    def _changed(self, img: Any) -> Any:
        return F.solarize(img, self.threshold)


@judged
class RandomAdjustSharpness(Sometimes):
    """A picture ``sharpness_factor`` times as sharp, with probability ``p``: 0 is blurred, 1 the picture itself.

    >>> import numbacnn as nc
    >>> RandomAdjustSharpness(2.0)(nc.ones(3, 4, 4)).shape
    (3, 4, 4)
    """

    _shown, _comma = ("sharpness_factor", "p"), ","

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p)
        number("RandomAdjustSharpness", "sharpness_factor", sharpness_factor)
        self.sharpness_factor = sharpness_factor

    def _changed(self, img: Any) -> Any:
        return F.adjust_sharpness(img, self.sharpness_factor)
