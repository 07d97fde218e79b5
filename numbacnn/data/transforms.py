"""Random changes to whole batches: no Python work per image.

A transform is a callable ``t(batch, generator) -> batch`` on arrays (N, H, W, C), uint8 or float, which leaves its argument as it is
and draws only from the ``numpy.random.Generator`` it is given. Any function of that form will do for ``DataLoader(transform=...)``.
It keeps the scale of the values: the pictures of an ImageDataset are 0 .. 255 before it and after it, as bytes or as floats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ..arguments import integer, one_of, pair, probability
from ..errors import ShapeError, message
from ..signatures import judged
from .images import per_channel, to_float

__all__ = ["ColorJitter", "Compose", "Normalise", "Normalize", "RandomCrop", "RandomErase", "RandomFlip", "Transform"]

Transform = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _check_batch(op: str, batch: np.ndarray) -> None:
    if batch.ndim != 4:
        raise ShapeError(message(op, "a batch (N, H, W, C)", f"shape {batch.shape}", "transforms work on whole batches, channels last"))


@judged
@dataclass(frozen=True)
class Compose:
    """Several transforms, one after the other.

    >>> augment = Compose([RandomCrop(padding=2), RandomFlip()])
    >>> augment(np.zeros((4, 8, 8, 1), np.uint8), np.random.default_rng(0)).shape
    (4, 8, 8, 1)
    """

    transforms: Sequence[Transform]

    @property
    def rescales(self) -> bool:
        """Whether one of them changes the scale of the values."""
        return any(getattr(transform, "rescales", False) for transform in self.transforms)

    @judged
    def __call__(self, batch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        for transform in self.transforms:
            batch = transform(batch, generator)
        return batch


@judged
@dataclass(frozen=True)
class Normalise:
    """``(x - mean) / std`` per channel, in float32; bytes are divided by 255 first. ``mean`` and ``std``: a number, or C of them.

    It is for pairs (X, y). An ImageDataset has a ``mean`` and ``std`` of its own, which evaluation and prediction apply too.

    >>> Normalise(0.5, 0.5)(np.zeros((1, 1, 1, 1), np.uint8), np.random.default_rng(0)).item()
    -1.0
    """

    mean: float | Sequence[float]
    std: float | Sequence[float]
    rescales: ClassVar[bool] = True

    @judged
    def __call__(self, batch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        _check_batch("Normalise", batch)
        if batch.dtype == np.uint8:
            return to_float(batch, self.mean, self.std)
        mean, std = (per_channel("Normalise", name, getattr(self, name), batch.shape[3]) for name in ("mean", "std"))
        return (batch.astype(np.float32) - np.array(mean, np.float32)) / np.array(std, np.float32)


Normalize = Normalise


@judged
@dataclass(frozen=True)
class RandomCrop:
    """A window of ``size`` at a random place of each image, after a border of ``padding`` pixels on all four sides.

    Args:
        size: an int or (height, width); the image's own size by default.
        padding: pixels; 4 by default, 0 where a size is given.
        padding_mode: "constant" makes the border of zeros, "edge" of the nearest pixel, "reflect" and "symmetric" of the mirror image,
            without and with the pixel at the edge.

    All places are equally likely.

    Raises:
        ShapeError, ValueError: for sizes and padding that make no sense.
        ShapeError: when it is called, where the window is larger than the padded image.

    >>> RandomCrop(24)(np.zeros((2, 28, 28, 1), np.uint8), np.random.default_rng(0)).shape
    (2, 24, 24, 1)
    """

    size: int | tuple[int, int] | None = None
    padding: int | None = None
    padding_mode: Literal["constant", "edge", "reflect", "symmetric"] = "constant"

    def __post_init__(self) -> None:
        one_of("RandomCrop", "padding_mode", self.padding_mode, ("constant", "edge", "reflect", "symmetric"))
        if self.padding is None:
            object.__setattr__(self, "padding", 4 if self.size is None else 0)
        if self.size is not None:
            pair("RandomCrop", "size", self.size, 1)
        integer("RandomCrop", "padding", self.padding, least=0)

    @judged
    def __call__(self, batch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        _check_batch("RandomCrop", batch)
        n, height, width, _ = batch.shape
        border = self.padding or 0
        size = (height, width) if self.size is None else pair("RandomCrop", "size", self.size, 1)
        mode = self.padding_mode if batch.size else "constant"  # an empty picture has no edge
        padded = np.pad(batch, ((0, 0), (border, border), (border, border), (0, 0)), mode)
        if size[0] > padded.shape[1] or size[1] > padded.shape[2]:
            wanted, received = f"a padded image of at least {size[0]} x {size[1]}", f"{padded.shape[1]} x {padded.shape[2]}"
            raise ShapeError(message("RandomCrop", wanted, received, "lower size or raise padding"))
        # every window is a view (N, top, left, C, h, w); picking one for each image copies just those
        windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
        top, left = (generator.integers(0, places, n) for places in windows.shape[1:3])
        return windows[np.arange(n), top, left]


@judged
@dataclass(frozen=True)
class RandomFlip:
    """Each image mirrored left to right with probability ``p``.

    >>> RandomFlip(1.0)(np.array([[[[1], [2]]]], np.uint8), np.random.default_rng(0)).ravel().tolist()
    [2, 1]
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        probability("RandomFlip", "p", self.p)

    @judged
    def __call__(self, batch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        _check_batch("RandomFlip", batch)
        chosen = generator.random(len(batch)) < self.p
        flipped = batch.copy()
        flipped[chosen] = batch[chosen, :, ::-1]
        return flipped


@judged
@dataclass(frozen=True)
class ColorJitter:
    """Brightness and contrast of each image changed at random, brightness first.

    Args:
        brightness: the values are multiplied by a factor drawn from ``1 - brightness .. 1 + brightness``, or from (low, high).
        contrast: their distances from the image's mean grey likewise.

    The grey of a colour is 0.299 red + 0.587 green + 0.114 blue, as in torchvision; other numbers of channels have their plain mean.
    Values are held within 0 .. 255 after each change, and bytes are rounded.

    >>> ColorJitter(brightness=(2, 2))(np.array([[[[3], [200]]]], np.uint8), np.random.default_rng(0)).ravel().tolist()
    [6, 255]
    """

    brightness: float | tuple[float, float] = 0.0
    contrast: float | tuple[float, float] = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast"):
            _factors(name, getattr(self, name))

    @judged
    def __call__(self, batch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        _check_batch("ColorJitter", batch)
        each = (len(batch), 1, 1, 1)
        brightness, contrast = (
            generator.uniform(*_factors(name, getattr(self, name)), each).astype(np.float32) for name in ("brightness", "contrast")
        )
        bright = (batch * brightness).clip(0, 255)
        grey = (bright.mean((1, 2), keepdims=True) * _grey(batch.shape[3])).sum(3, keepdims=True)
        changed = ((bright - grey) * contrast + grey).clip(0, 255)
        return (np.rint(changed) if batch.dtype.kind in "iu" else changed).astype(batch.dtype)


def _factors(name: str, value: float | tuple[float, float]) -> tuple[float, float]:
    """(low, high) of what an image is multiplied by."""
    low, high = value if isinstance(value, (tuple, list)) else (max(0.0, 1 - value), 1 + value)
    if not 0 <= low <= high < math.inf:
        raise ValueError(message("ColorJitter", f"{name} of at least 0, or (low, high) with 0 <= low <= high", f"{value}"))
    return float(low), float(high)


def _grey(channels: int) -> np.ndarray:
    return np.array((0.299, 0.587, 0.114) if channels == 3 else [1 / channels] * channels, np.float32)


@judged
@dataclass(frozen=True)
class RandomErase:
    """A rectangle of each image overwritten with ``value``, with probability ``p`` (Z. Zhong et al., "Random Erasing", 2017).

    Args:
        p: probability for each image.
        scale: range of the rectangle's area, as a fraction of the image; uniform.
        ratio: range of height / width; uniform in the logarithm.
        value: what to write, on the scale of the batch (0 .. 255 for bytes).

    A side longer than the image's is cut to it, and none is shorter than a pixel; all places are equally likely.

    >>> RandomErase(1.0, scale=(1, 1), ratio=(1, 1), value=7)(np.zeros((1, 2, 2, 1), np.uint8), np.random.default_rng(0)).ravel().tolist()
    [7, 7, 7, 7]
    """

    p: float = 0.5
    scale: tuple[float, float] = (0.02, 0.33)
    ratio: tuple[float, float] = (0.3, 3.3)
    value: float = 0.0

    def __post_init__(self) -> None:
        probability("RandomErase", "p", self.p)
        if not 0 <= self.scale[0] <= self.scale[1] <= 1 or not 0 < self.ratio[0] <= self.ratio[1]:
            wanted = "scale within 0 .. 1 and ratio above 0, each (low, high)"
            raise ValueError(message("RandomErase", wanted, f"scale {self.scale}, ratio {self.ratio}"))

    @judged
    def __call__(self, batch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        _check_batch("RandomErase", batch)
        n, height, width, channels = batch.shape
        chosen = generator.random(len(batch)) < self.p
        area = generator.uniform(*self.scale, n) * (height * width)
        ratio = np.exp(generator.uniform(math.log(self.ratio[0]), math.log(self.ratio[1]), n))
        rows = self._inside(np.sqrt(area * ratio), height, generator)
        columns = self._inside(np.sqrt(area / ratio), width, generator)
        rows &= chosen[:, None]
        columns = np.repeat(columns, channels, axis=1)  # W * C is one long axis: five times quicker than to broadcast over C
        result = batch.copy()
        flat = result.reshape(n, height, width * channels)
        np.copyto(flat, batch.dtype.type(self.value), where=rows[:, :, None] & columns[:, None, :])
        return result

    @staticmethod
    def _inside(length: np.ndarray, side: int, generator: np.random.Generator) -> np.ndarray:
        """Which of the ``side`` positions lie in an interval of ``length`` at a random place: bool (N, side)."""
        whole = np.clip(np.rint(length), 1, side).astype(np.int64)[:, None]
        start = generator.integers(0, side - whole + 1)
        position = np.arange(side)
        return (position >= start) & (position < start + whole)
