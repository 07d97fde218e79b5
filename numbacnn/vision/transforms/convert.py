"""Transforms from one kind of picture to another, and of Tensors alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...arguments import flag, probability
from ...dtypes import DType, as_dtype
from ...errors import ShapeError, message
from ...random import generator
from ...signatures import judged, shown
from ...tensor import Tensor, from_array
from . import functional as F
from .functional.picture import numbers, only_tensor
from .transform import Transform, chance, place, span, uniform

__all__ = ["ConvertImageDtype", "Normalize", "PILToTensor", "RandomErasing", "ToPILImage", "ToTensor"]

TRIES = 10
"""How often a rectangle is drawn until one fits into the picture."""


class ToTensor(Transform):
    """A Pillow picture or an array (H, W, C) as a Tensor (C, H, W). Bytes become float32, 0 .. 1; other types stay.

    >>> import numpy as np
    >>> ToTensor()(np.full((4, 5, 3), 255, np.uint8)).max().item()
    1.0
    """

    @judged
    def forward(self, pic: Any) -> Tensor:
        return F.to_tensor(pic)


class PILToTensor(Transform):
    """The pixels of a Pillow picture as they are, as a Tensor (C, H, W).

    >>> from PIL import Image
    >>> PILToTensor()(Image.new("L", (5, 4), 7)).max().item()
    7
    """

    @judged
    def forward(self, pic: Any) -> Tensor:
        return F.pil_to_tensor(pic)


@judged
class ToPILImage(Transform):
    """A Tensor (C, H, W) or an array (H, W, C) as a Pillow picture, in a ``mode`` of Pillow's or the usual one.

    >>> import numbacnn as nc
    >>> ToPILImage()(nc.ones(1, 4, 5)).mode
    'L'
    """

    _shown = ("mode",)
    _unsaid = {"mode": None}  # noqa: RUF012

    def __init__(self, mode: str | None = None) -> None:
        super().__init__()
        self.mode = mode

    @judged
    def forward(self, pic: Any) -> Any:
        return F.to_pil_image(pic, self.mode)


@judged
class ConvertImageDtype(Transform):
    """A Tensor in another dtype, with its values scaled.

    >>> import numbacnn as nc
    >>> ConvertImageDtype(nc.uint8)(nc.ones(1, 1, 1)).item()
    255
    """

    def __init__(self, dtype: DType) -> None:
        super().__init__()
        self.dtype = as_dtype("ConvertImageDtype", dtype)

    @judged
    def forward(self, image: Tensor) -> Tensor:
        return F.convert_image_dtype(image, self.dtype)


@judged
class Normalize(Transform):
    """``(picture - mean) / std`` for each channel of a Tensor of floats.

    Args:
        mean: C numbers, or one.
        std: likewise, none of them zero.
        inplace: whether to write into the Tensor given.

    >>> import numbacnn as nc
    >>> Normalize([0.5], [0.25])(nc.ones(1, 1, 1)).item()
    2.0
    """

    _shown = ("mean", "std")

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float], inplace: bool = False) -> None:
        super().__init__()
        self.mean, self.std = mean, std
        self.inplace = flag("Normalize", "inplace", inplace)

    @judged
    def forward(self, tensor: Tensor) -> Tensor:
        return F.normalize(tensor, self.mean, self.std, self.inplace)


@judged
class RandomErasing(Transform):
    """A Tensor in which the pixels of a random rectangle are replaced (Zhong et al. 2017, https://arxiv.org/abs/1708.04896).

    Args:
        p: how likely it is.
        scale: the least and the largest part of the picture.
        ratio: the least and the largest height of the rectangle divided by its width.
        value: a number, C of them, or "random": numbers of a normal distribution.
        inplace: whether to write into the Tensor given.

    >>> import numbacnn as nc
    >>> erased = RandomErasing(p=1.0, scale=(0.25, 0.25), ratio=(1.0, 1.0))(nc.ones(1, 8, 8))
    >>> erased.sum().item()
    48.0
    """

    _shown = ("p", "scale", "ratio", "value", "inplace")

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float | str | Sequence[float] = 0,
        inplace: bool = False,
    ) -> None:
        super().__init__()
        op = "RandomErasing"
        probability(op, "p", p)
        span(op, "scale", scale, 0, 1)
        check_ratio(op, ratio)
        if isinstance(value, str) and value != "random":
            raise ValueError(message(op, "value as a number, a sequence of them or 'random'", repr(value)))
        if not isinstance(value, str):
            numbers(op, "value", value if isinstance(value, Sequence) else (value,), range(1, 1 << 16))
        self.p, self.scale, self.ratio, self.value = p, scale, ratio, value
        self.inplace = flag(op, "inplace", inplace)

    @staticmethod
    def get_params(
        img: Tensor, scale: Sequence[float], ratio: Sequence[float], value: Sequence[float] | None = None
    ) -> tuple[int, int, int, int, Tensor]:
        """(i, j, h, w, v) for ``functional.erase``; ``value`` None draws v anew. Where no rectangle fits, all of the picture itself."""
        channels, height, width = F.get_dimensions(img)
        for _ in range(TRIES):
            area, aspect = height * width * uniform(*scale), log_uniform(ratio)
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if h < height and w < width:
                v = generator().standard_normal((channels, h, w)) if value is None else np.reshape(value, (-1, 1, 1))
                return place(0, height - h), place(0, width - w), h, w, from_array(v.astype(np.float32), img.device)
        return 0, 0, height, width, img

    @judged
    def forward(self, img: Tensor) -> Tensor:
        channels = only_tensor("RandomErasing", img).shape[-3:][0]
        value: Any = None if isinstance(self.value, str) else self.value if isinstance(self.value, Sequence) else [self.value]
        if value is not None and len(value) not in (1, channels):
            raise ShapeError(message("RandomErasing", f"value of 1 or C = {channels} numbers", shown(value)))
        if not chance(self.p):
            return img
        return F.erase(img, *self.get_params(img, self.scale, self.ratio, value), self.inplace)


def check_ratio(op: str, ratio: Sequence[float]) -> None:
    """Judge the least and the largest ratio of two sides."""
    if span(op, "ratio", ratio, 0)[0] == 0:
        raise ValueError(message(op, "ratio as (low, high) above 0", shown(ratio)))


def log_uniform(ratio: Sequence[float]) -> float:
    """A ratio between two, as likely as its inverse between their inverses."""
    return math.exp(uniform(math.log(ratio[0]), math.log(ratio[1])))
