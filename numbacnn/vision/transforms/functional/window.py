"""Parts of a picture, borders around it, and its mirror images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ....arguments import integer, one_of
from ....errors import ShapeError, message
from ....signatures import judged, shown
from .picture import MOST, Fill, P, Size, by_kind, get_dimensions, integers, is_picture, on_array, pillow, window

__all__ = ["PaddingMode", "center_crop", "crop", "five_crop", "hflip", "pad", "pillow_fill", "ten_crop", "vflip"]

PaddingMode = Literal["constant", "edge", "reflect", "symmetric"]
PADDING_MODES = ("constant", "edge", "reflect", "symmetric")


@judged
def hflip(img: P) -> P:
    """The mirror image: left and right change places.

    >>> import numbacnn as nc
    >>> hflip(nc.tensor([[1, 2, 3]])).tolist()
    [[3, 2, 1]]
    """
    return by_kind("hflip", img, lambda p: p.transpose(pillow("hflip").Transpose.FLIP_LEFT_RIGHT), lambda x: x[..., ::-1])


@judged
def vflip(img: P) -> P:
    """The picture upside down: its mirror image at a horizontal line."""
    return by_kind("vflip", img, lambda p: p.transpose(pillow("vflip").Transpose.FLIP_TOP_BOTTOM), lambda x: x[..., ::-1, :])


@judged
def crop(img: P, top: int, left: int, height: int, width: int) -> P:
    """A part of a picture; what lies outside the picture is zero.

    Args:
        img: a Pillow picture or a Tensor (..., H, W).
        top: the first row, which may be negative.
        left: the first column, likewise.
        height: rows.
        width: columns.

    >>> import numbacnn as nc
    >>> crop(nc.ones(1, 2, 2), 1, 1, 2, 2).tolist()
    [[[1.0, 0.0], [0.0, 0.0]]]
    """
    op = "crop"
    top, left = integer(op, "top", top, -MOST, MOST), integer(op, "left", left, -MOST, MOST)
    height, width = integer(op, "height", height, 1, MOST), integer(op, "width", width, 1, MOST)
    return by_kind(op, img, lambda p: p.crop((left, top, left + width, top + height)), lambda x: _part(x, top, left, height, width))


def _part(x: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    bottom, right = top + height, left + width
    inside = x[..., max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    if inside.shape[-2:] == (height, width):
        return inside
    part = np.zeros((*x.shape[:-2], height, width), x.dtype)
    part[..., max(-top, 0) :, max(-left, 0) :][..., : inside.shape[-2], : inside.shape[-1]] = inside
    return part


@judged
def center_crop(img: P, output_size: Size) -> P:
    """The middle of a picture, of the size (height, width); zeros surround a picture that is smaller.

    >>> import numbacnn as nc
    >>> center_crop(nc.ones(3, 8, 9), 4).shape
    (3, 4, 4)
    """
    height, width = window("center_crop", "output_size", output_size)
    _, have_height, have_width = get_dimensions(img)
    return crop(img, _margin(have_height, height), _margin(have_width, width), height, width)


def _margin(have: int, wanted: int) -> int:
    """Where the middle part begins."""
    return round((have - wanted) / 2) if wanted <= have else -((wanted - have) // 2)


@judged
def five_crop(img: P, size: Size) -> tuple[P, P, P, P, P]:
    """The parts at the corners (top left, top right, bottom left, bottom right) and in the middle, each of the size (height, width).

    Raises:
        ShapeError: the picture is smaller.
    """
    op = "five_crop"
    height, width = window(op, "size", size)
    _, have_height, have_width = get_dimensions(img)
    if height > have_height or width > have_width:
        raise ShapeError(message(op, f"a picture of at least {height} x {width}", f"{have_height} x {have_width}"))
    corners = [(top, left) for top in (0, have_height - height) for left in (0, have_width - width)]
    one, two, three, four = (crop(img, top, left, height, width) for top, left in corners)
    return one, two, three, four, center_crop(img, (height, width))


@judged
def ten_crop(img: P, size: Size, vertical_flip: bool = False) -> tuple[P, ...]:
    """The five parts of :func:`five_crop`, and those of the mirror image.

    >>> import numbacnn as nc
    >>> len(ten_crop(nc.ones(3, 8, 9), (4, 5)))
    10
    """
    return five_crop(img, size) + five_crop(vflip(img) if vertical_flip else hflip(img), size)


@judged
def pad(img: P, padding: Size, fill: Fill = 0, padding_mode: PaddingMode = "constant") -> P:
    """A picture with a border around it.

    Args:
        img: a Pillow picture or a Tensor (..., H, W).
        padding: pixels on all sides; or (left and right, top and bottom); or (left, top, right, bottom). Negative ones cut off.
        fill: what a constant border is made of: a number, for a Pillow picture also one for each channel.
        padding_mode: "constant"; "edge" repeats the nearest pixel; "reflect" and "symmetric" are mirror images without and with the
            pixel at the edge.

    >>> import numbacnn as nc
    >>> pad(nc.ones(3, 4, 5), (1, 2)).shape
    (3, 8, 7)
    >>> pad(nc.tensor([[1, 2, 3]]), (2, 0), padding_mode="reflect").tolist()
    [[3, 2, 1, 2, 3, 2, 1]]
    """
    op = "pad"
    sides = four_sides(op, padding)
    one_of(op, "padding_mode", padding_mode, PADDING_MODES)
    _, height, width = get_dimensions(img)
    rows, columns = height + sides[1] + sides[3], width + sides[0] + sides[2]
    if min(rows, columns) < 1 or (padding_mode != "constant" and not height * width):
        raise ShapeError(message(op, "a picture of which something is left", f"{height} x {width} with padding {padding}"))
    if is_picture(op, img):
        return _padded_picture(img, sides, fill, padding_mode)
    if isinstance(fill, Sequence):
        raise TypeError(message(op, "fill as a number for a Tensor", shown(fill)))
    result: Any = on_array(op, img, lambda x: _padded(x, sides, fill or 0, padding_mode))  # type: ignore[arg-type]
    return result


def four_sides(op: str, padding: Size) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a padding."""
    found = integers(op, "padding", padding, (1, 2, 4))
    left, top, right, bottom = found * (4 // len(found))
    return left, top, right, bottom


def _padded_picture(img: Any, sides: tuple[int, int, int, int], fill: Fill, mode: PaddingMode) -> Any:
    if mode == "constant":
        color = pillow_fill("pad", fill, img)
        bordered = pillow("pad", "ImageOps").expand(img, border=sides, fill=color)
    else:
        pixels = np.asarray(img)
        planes = _padded(pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1), sides, 0, mode)
        bordered = pillow("pad").fromarray(np.ascontiguousarray(planes if pixels.ndim == 2 else planes.transpose(1, 2, 0)))
    if img.mode == "P":
        bordered.putpalette(img.getpalette())
    return bordered


def _padded(x: np.ndarray, sides: tuple[int, int, int, int], fill: float, mode: PaddingMode) -> np.ndarray:
    left, top, right, bottom = sides
    kept = x[..., max(-top, 0) : x.shape[-2] - max(-bottom, 0), max(-left, 0) : x.shape[-1] - max(-right, 0)]
    widths = [(0, 0)] * (x.ndim - 2) + [(max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
    if mode == "constant":
        return np.pad(kept, widths, constant_values=np.asarray(fill).astype(x.dtype))
    return np.pad(kept, widths, mode)


def pillow_fill(op: str, fill: Fill, img: Any) -> Any:
    """A colour as Pillow takes it: a number for each channel, integers but in mode F."""
    channels = len(img.getbands())
    several = tuple(fill) if isinstance(fill, Sequence) else (0 if fill is None else fill,)
    if len(several) not in (1, channels):
        raise ValueError(message(op, f"fill of 1 or {channels} numbers", shown(fill)))
    try:
        color = tuple(float(v) if img.mode == "F" else int(v) for v in several * (channels // len(several)))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(message(op, "fill of finite numbers", shown(fill))) from None
    return color if channels > 1 else color[0]
