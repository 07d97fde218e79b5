"""The colours of a picture: brightness, contrast, saturation, hue, and what follows from its histogram."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ....arguments import integer, number
from ....dtypes import float32
from ....errors import DTypeError, ShapeError, message
from ....signatures import judged
from .convert import rescaled
from .picture import P, by_kind, largest, pillow

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "autocontrast",
    "equalize",
    "invert",
    "posterize",
    "rgb_to_grayscale",
    "solarize",
    "to_grayscale",
]

Change = Callable[[np.ndarray], np.ndarray]


def _colored(op: str, img: P, on_picture: Callable[[Any], Any], change: Change, bytes_only: bool = False) -> P:
    """``on_picture`` of a Pillow picture, or ``change`` of the values (..., C, H, W) of a Tensor of 1 or 3 channels."""

    def judge(x: np.ndarray) -> np.ndarray:
        if not x.size or (x.ndim > 2 and x.shape[-3] not in (1, 3)):
            raise ShapeError(message(op, "a Tensor (..., C, H, W) with C 1 or 3, and pixels", f"shape {x.shape}"))
        if bytes_only and x.dtype != np.uint8:
            raise DTypeError(message(op, "a Tensor of uint8", str(x.dtype), "call convert_image_dtype first"))
        return change(x) if x.ndim > 2 else change(x[None])[0]

    return by_kind(op, img, on_picture, judge)


def _in_mode(op: str, work: Callable[[], Any], picture: Any) -> Any:
    """What Pillow makes of a picture, or the error that says that it does not in this mode."""
    try:
        return work()
    except (OSError, ValueError, NotImplementedError, KeyError) as error:
        wanted, hint = "a Pillow picture in a mode that pillow can change so", "call convert('RGB') first"
        raise ValueError(message(op, wanted, f"mode {picture.mode}: {error}", hint)) from error


# -- between the picture and another ----------------------------------------------------------------------------------
def _blended(x: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """``share`` of the picture and the rest of ``other``, cut at black and white; what were integers are cut off, not rounded."""
    real = x.dtype.type if x.dtype.kind == "f" else np.float32
    mixed = real(share) * x.astype(real) + real(1.0 - share) * other.astype(real)
    return mixed.clip(0, largest(x.dtype)).astype(x.dtype)


def _enhanced(op: str, img: P, name: str, factor: float, enhancer: str, other: Change) -> P:
    """``factor`` times the picture, and the rest of ``other``: Pillow's enhancer of that name does the same."""
    number(op, name, factor)
    return _colored(
        op,
        img,
        lambda p: _in_mode(op, lambda: getattr(pillow(op, "ImageEnhance"), enhancer)(p).enhance(float(factor)), p),
        lambda x: _blended(x, other(x), float(factor)) if other is not _grey or x.shape[-3] > 1 else x,
    )


@judged
def adjust_brightness(img: P, brightness_factor: float) -> P:
    """A picture so many times as bright: 0 is black, 1 the picture itself.

    >>> import numbacnn as nc
    >>> adjust_brightness(nc.ones(1, 1, 1) * 0.5, 0.5).item()
    0.25
    """
    return _enhanced("adjust_brightness", img, "brightness_factor", brightness_factor, "Brightness", np.zeros_like)


@judged
def adjust_contrast(img: P, contrast_factor: float) -> P:
    """A picture with so many times the contrast: 0 is its mean grey, 1 the picture itself."""
    return _enhanced("adjust_contrast", img, "contrast_factor", contrast_factor, "Contrast", _mean_grey)


def _mean_grey(x: np.ndarray) -> np.ndarray:
    mean = _grey(x).mean((-3, -2, -1), np.float64, keepdims=True)
    return mean.astype(x.dtype if x.dtype.kind == "f" else np.float32)


@judged
def adjust_saturation(img: P, saturation_factor: float) -> P:
    """A picture with so many times the colour: 0 is grey, 1 the picture itself. Grey Tensors stay as they are."""
    return _enhanced("adjust_saturation", img, "saturation_factor", saturation_factor, "Color", _grey)


@judged
def adjust_sharpness(img: P, sharpness_factor: float) -> P:
    """A picture so many times as sharp: 0 is blurred, 1 the picture itself."""
    return _enhanced("adjust_sharpness", img, "sharpness_factor", sharpness_factor, "Sharpness", _smooth)


def _smooth(x: np.ndarray) -> np.ndarray:
    """Each inner pixel five times, and its eight neighbours, over 13; the border as it is."""
    real = x.dtype.type if x.dtype.kind == "f" else np.float32
    result, height, width = x.copy(), *x.shape[-2:]
    if height < 3 or width < 3:
        return result
    wide = x.astype(real)
    parts = [wide[..., i : height - 2 + i, j : width - 2 + j] * real((5 if i == j == 1 else 1) / 13) for i in range(3) for j in range(3)]
    total = sum(parts[1:], parts[0])
    result[..., 1:-1, 1:-1] = total if x.dtype.kind == "f" else np.rint(total)
    return result


# -- grey -------------------------------------------------------------------------------------------------------------
def _grey(x: np.ndarray) -> np.ndarray:
    """The grey (..., 1, H, W) of a picture; what were integers are cut off."""
    if x.shape[-3] == 1:
        return x
    real = x.dtype.type if x.dtype.kind == "f" else np.float32
    red, green, blue = (x[..., i : i + 1, :, :].astype(real) * real(share) for i, share in enumerate((0.2989, 0.587, 0.114)))
    return (red + green + blue).astype(x.dtype)


@judged
def rgb_to_grayscale(img: P, num_output_channels: int = 1) -> P:
    """The grey of a picture, in 1 channel or in 3 equal ones.

    >>> import numbacnn as nc
    >>> rgb_to_grayscale(nc.ones(3, 4, 5)).shape
    (1, 4, 5)
    """
    op = "rgb_to_grayscale"
    if num_output_channels not in (1, 3):
        raise ValueError(message(op, "num_output_channels 1 or 3", repr(num_output_channels)))

    def grey(picture: Any) -> Any:
        one = _in_mode(op, lambda: picture.convert("L"), picture)
        return one if num_output_channels == 1 else pillow(op).merge("RGB", (one, one, one))

    return _colored(op, img, grey, lambda x: np.repeat(_grey(x), num_output_channels, -3))


@judged
def to_grayscale(img: P, num_output_channels: int = 1) -> P:
    """:func:`rgb_to_grayscale`, by its other name."""
    return rgb_to_grayscale(img, num_output_channels)


# -- hue and gamma ----------------------------------------------------------------------------------------------------
@judged
def adjust_hue(img: P, hue_factor: float) -> P:
    """A picture whose hues are moved around the circle of colours, by ``hue_factor`` of it.

    Args:
        img: a Pillow picture or a Tensor (..., C, H, W); grey ones stay as they are.
        hue_factor: from -0.5 to 0.5.

    >>> import numbacnn as nc
    >>> red = nc.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    >>> adjust_hue(red, 0.5).flatten().tolist()
    [0.0, 1.0, 1.0]
    """
    op = "adjust_hue"
    number(op, "hue_factor", hue_factor, lambda v: -0.5 <= v <= 0.5, "from -0.5 to 0.5")
    return _colored(op, img, lambda p: _in_mode(op, lambda: _turned_picture(op, p, hue_factor), p), lambda x: _turned(x, float(hue_factor)))


def _turned_picture(op: str, picture: Any, turn: float) -> Any:
    if picture.mode in ("L", "1", "I", "F"):
        return picture
    hue, saturation, value = picture.convert("HSV").split()
    moved = (np.asarray(hue) + int(turn * 255) % 256).astype(np.uint8)
    pil = pillow(op)
    return pil.merge("HSV", (pil.frombytes("L", picture.size, moved.tobytes()), saturation, value)).convert(picture.mode)


def _turned(x: np.ndarray, turn: float) -> np.ndarray:
    if x.shape[-3] == 1:
        return x
    hue, saturation, value = _hsv(rescaled(x, float32))
    return rescaled(_rgb((hue + np.float32(turn)) % np.float32(1), saturation, value), x.dtype)


def _hsv(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue, saturation and value, each (..., H, W), all from 0 to 1."""
    one = np.float32(1)
    red, green, blue = x[..., 0, :, :], x[..., 1, :, :], x[..., 2, :, :]
    most, least = x.max(-3), x.min(-3)
    grey, spread = most == least, most - least
    saturation = spread / np.where(grey, one, most)
    from_red, from_green, from_blue = ((most - color) / np.where(grey, one, spread) for color in (red, green, blue))
    hue = np.where(most == red, from_blue - from_green, np.where(most == green, 2 + from_red - from_blue, 4 + from_green - from_red))
    return np.fmod(hue / np.float32(6) + one, one), saturation, most


def _rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """The colours (..., 3, H, W) again."""
    sixth = np.floor(hue * 6)
    rest = hue * 6 - sixth
    low, falling, rising = ((value * (1 - saturation * share)).clip(0, 1) for share in (np.float32(1), rest, 1 - rest))
    which = sixth.astype(np.int64) % 6
    rows = ((value, falling, low, low, rising, value), (rising, value, value, falling, low, low), (low, low, rising, value, value, falling))
    return np.stack([np.choose(which, row) for row in rows], -3)


@judged
def adjust_gamma(img: P, gamma: float, gain: float = 1) -> P:
    """``gain * picture ** gamma``, where white is 1: above 1 the shadows become darker, below 1 lighter.

    >>> import numbacnn as nc
    >>> adjust_gamma(nc.ones(1, 1, 1) * 0.5, 2.0).item()
    0.25
    """
    op = "adjust_gamma"
    number(op, "gamma", gamma)
    number(op, "gain", gain, lambda v: True, "that is finite")
    curve = [min(max(int(255.999 * gain * (level / 255) ** gamma), 0), 255) for level in range(256)] * 3
    return _colored(
        op,
        img,
        lambda p: _in_mode(op, lambda: p.convert("RGB").point(curve).convert(p.mode), p),
        lambda x: rescaled(_curved(rescaled(x, float32) if x.dtype.kind != "f" else x, gamma, gain), x.dtype),
    )


def _curved(x: np.ndarray, gamma: float, gain: float) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        return (x.dtype.type(gain) * x ** x.dtype.type(gamma)).clip(0, 1)


# -- levels -----------------------------------------------------------------------------------------------------------
def _by_image_ops(op: str, img: P, change: Change, *args: Any, bytes_only: bool = False) -> P:
    """What the function of Pillow's ImageOps that has the same name does."""
    return _colored(op, img, lambda p: _in_mode(op, lambda: getattr(pillow(op, "ImageOps"), op)(p, *args), p), change, bytes_only)


@judged
def invert(img: P) -> P:
    """The negative: black becomes white."""
    return _by_image_ops("invert", img, _negative)


def _negative(x: np.ndarray) -> np.ndarray:
    return ~x if x.dtype == np.bool_ else x.dtype.type(largest(x.dtype)) - x


@judged
def posterize(img: P, bits: int) -> P:
    """A picture of bytes of which only the first ``bits`` bits are kept.

    >>> import numbacnn as nc
    >>> posterize(nc.tensor([[[255, 130]]], dtype=nc.uint8), 2).tolist()
    [[[192, 128]]]
    """
    kept = integer("posterize", "bits", bits, 0, 8)
    return _by_image_ops("posterize", img, lambda x: x & np.uint8(256 - 2 ** (8 - kept) & 255), kept, bytes_only=True)


@judged
def solarize(img: P, threshold: float) -> P:
    """A picture whose values from ``threshold`` on are inverted."""
    number("solarize", "threshold", threshold, lambda v: True, "that is finite")
    return _by_image_ops("solarize", img, lambda x: np.where(x >= threshold, _negative(x), x), threshold)


@judged
def autocontrast(img: P) -> P:
    """A picture whose darkest value becomes black and whose lightest becomes white, for each channel."""
    return _by_image_ops("autocontrast", img, _stretched)


def _stretched(x: np.ndarray) -> np.ndarray:
    real = x.dtype.type if x.dtype.kind == "f" else np.float32
    low, high = x.min((-2, -1), keepdims=True).astype(real), x.max((-2, -1), keepdims=True).astype(real)
    flat = low == high
    scale = np.where(flat, real(1), real(1) / np.where(flat, real(1), high - low) * real(largest(x.dtype)))
    return ((x.astype(real) - np.where(flat, real(0), low)) * scale).clip(0, largest(x.dtype)).astype(x.dtype)


@judged
def equalize(img: P) -> P:
    """A picture of bytes whose values are spread so that all are about equally frequent, for each channel."""
    return _by_image_ops("equalize", img, _equalized, bytes_only=True)


def _equalized(x: np.ndarray) -> np.ndarray:
    return np.stack([_equal_plane(plane) for plane in x.reshape(-1, *x.shape[-2:])]).reshape(x.shape)


def _equal_plane(plane: np.ndarray) -> np.ndarray:
    counts = np.bincount(plane.ravel(), minlength=256)
    step = counts[counts > 0][:-1].sum() // 255
    if not step:
        return plane
    levels = (np.cumsum(counts) + step // 2) // step
    return np.append(0, levels[:-1]).clip(0, 255).astype(np.uint8)[plane]
