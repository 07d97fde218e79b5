"""A picture at another size, and blurred: each value is a weighted sum of a few values along one axis, then along the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ....arguments import flag, integer, number
from ....errors import ShapeError, message
from ....signatures import judged
from .convert import pil_to_tensor, to_pil_image
from .picture import (
    PILLOW,
    Interpolation,
    InterpolationMode,
    P,
    Size,
    check_mode,
    extents,
    get_dimensions,
    integers,
    interpolation_mode,
    is_picture,
    numbers,
    on_array,
)
from .window import crop

__all__ = ["computed", "gaussian_blur", "output_size", "resize", "resized_crop"]

FOR_TENSORS = ("nearest", "nearest-exact", "bilinear", "bicubic")
RADIUS = {"bilinear": 1, "bicubic": 2}


class Taps(NamedTuple):
    """For each value of a result along one axis: where its terms stand, and their weights; both (length, terms)."""

    places: np.ndarray
    weights: np.ndarray


@judged
def resize(
    img: P,
    size: Size,
    interpolation: Interpolation = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> P:
    """A picture at another size.

    Args:
        img: a Pillow picture or a Tensor (..., H, W).
        size: (height, width); one number is the shorter side, and the other follows.
        interpolation: how values between pixels are found.
        max_size: the most that the longer side may have, where one number is given; the shorter one follows.
        antialias: whether a smaller Tensor is smoothed, bilinear or bicubic. Pillow pictures always are.

    Integers are rounded. At its own size the picture itself is returned.

    >>> import numbacnn as nc
    >>> resize(nc.ones(3, 20, 30), 10).shape
    (3, 10, 15)
    """
    op = "resize"
    mode = interpolation_mode(op, interpolation)
    wanted = extents(op, "size", size)
    smooth = antialias is not None and flag(op, "antialias", antialias)
    _, height, width = get_dimensions(img)
    if not height * width:
        raise ShapeError(message(op, "a picture with pixels", f"{height} x {width}"))
    rows, columns = output_size(op, (height, width), wanted, max_size)
    if (rows, columns) == (height, width):
        return img
    if is_picture(op, img):
        picture: Any = img
        return picture.resize((columns, rows), PILLOW[mode.value])
    check_mode(op, mode, FOR_TENSORS)
    clip = mode.value == "bicubic"
    result: Any = on_array(op, img, lambda x: computed(x, lambda x: _resized(x, rows, columns, mode.value, smooth), clip))  # type: ignore[arg-type]
    return result


def output_size(op: str, have: tuple[int, int], size: Sequence[int], max_size: int | None) -> tuple[int, int]:
    """(height, width) of what comes out."""
    if max_size is not None:
        integer(op, "max_size", max_size)
        if len(size) == 2 or max_size <= size[0]:
            received = f"size {size[0] if len(size) == 1 else tuple(size)} and max_size {max_size}"
            raise ValueError(message(op, "max_size beside one number, and larger than it", received))
    if len(size) == 2:
        return size[0], size[1]
    short, long = size[0], int(size[0] * max(have) / min(have))
    if max_size is not None and long > max_size:
        short, long = int(max_size * short / long), max_size
    short = max(short, 1)
    return (long, short) if have[1] <= have[0] else (short, long)


def computed(x: np.ndarray, change: Any, clip: bool = False) -> np.ndarray:
    """``change`` of values as floats; what were integers are rounded. ``clip``: bytes are kept from wrapping around."""
    if x.dtype.kind == "f":
        return change(x)
    y = change(x.astype(np.float32))
    if clip and x.dtype == np.uint8:
        y = y.clip(0, 255)
    return (np.rint(y) if x.dtype.kind in "iu" else y).astype(x.dtype)


def _resized(x: np.ndarray, rows: int, columns: int, mode: str, smooth: bool) -> np.ndarray:
    for axis, length in ((-1, columns), (-2, rows)):
        if length != x.shape[axis]:
            x = _summed(x, axis, _taps(x.shape[axis], length, mode, smooth, x.dtype.type))
    return x


def _summed(x: np.ndarray, axis: int, taps: Taps) -> np.ndarray:
    """The weighted sums along one axis, term after term. (No place has to be clipped, but NumPy is faster where it may.)"""
    if not taps.weights.size:
        return x.take(taps.places[:, 0], axis, mode="clip")
    weights = taps.weights if axis == -1 else taps.weights[:, None, :]
    y = x.take(taps.places[:, 0], axis, mode="clip") * weights[..., 0]
    for k in range(1, taps.places.shape[1]):
        part = x.take(taps.places[:, k], axis, mode="clip")
        part *= weights[..., k]
        y += part
    return y


def _taps(have: int, wanted: int, mode: str, smooth: bool, real: Any) -> Taps:
    """The terms of a resize from ``have`` values to ``wanted``, computed in the picture's own precision, ``real``."""
    scale = real(have) / real(wanted)
    here = np.arange(wanted, dtype=real)
    if mode.startswith("nearest"):
        nearest = (here if mode == "nearest" else here + real(0.5)) * scale
        return Taps(np.minimum(nearest.astype(np.int64), have - 1)[:, None], np.empty(0, real))
    middle, radius = (here + real(0.5)) * scale, RADIUS[mode]
    if not smooth:
        middle -= real(0.5)
        places = np.floor(middle).astype(np.int64)[:, None] + np.arange(1 - radius, radius + 1)
        return Taps(places.clip(0, have - 1), _window((places - middle[:, None]).astype(real), mode, -0.75))
    stretch = max(scale, real(1))
    first = np.maximum((middle - radius * stretch + real(0.5)).astype(np.int64), 0)
    last = np.minimum((middle + radius * stretch + real(0.5)).astype(np.int64), have)
    places = first[:, None] + np.arange((last - first).max())
    inside = places < last[:, None]
    weights = _window(((places - middle[:, None] + real(0.5)) * (real(1) / stretch)).astype(real), mode, -0.5) * inside
    return Taps(np.minimum(places, last[:, None] - 1), weights / weights.sum(1, keepdims=True))


def _window(distance: np.ndarray, mode: str, a: float) -> np.ndarray:
    """What a pixel counts for at a distance: a triangle, or Keys' cubic with the parameter ``a``."""
    x = np.abs(distance)
    if mode == "bilinear":
        return (1 - x).clip(0)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0)).astype(distance.dtype)


@judged
def resized_crop(
    img: P,
    top: int,
    left: int,
    height: int,
    width: int,
    size: Size,
    interpolation: Interpolation = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> P:
    """The part of a picture that :func:`crop` takes, at the size of :func:`resize`.

    >>> import numbacnn as nc
    >>> resized_crop(nc.ones(3, 20, 30), 2, 3, 10, 10, 5).shape
    (3, 5, 5)
    """
    mode, wanted = interpolation_mode("resized_crop", interpolation), extents("resized_crop", "size", size)
    return resize(crop(img, top, left, height, width), wanted, mode, antialias=antialias)


@judged
def gaussian_blur(img: P, kernel_size: Size, sigma: float | Sequence[float] | None = None) -> P:
    """A blurred picture; at the border it is continued by its mirror image.

    Args:
        img: a Pillow picture or a Tensor (..., H, W).
        kernel_size: pixels that take part, odd: a number or (horizontal, vertical).
        sigma: the standard deviation of the bell, likewise; 0.15 times the kernel size plus 0.35 by default.

    Raises:
        ShapeError: the kernel reaches beyond the mirror image.

    >>> import numbacnn as nc
    >>> gaussian_blur(nc.ones(3, 8, 8), 3, 1.0).shape
    (3, 8, 8)
    """
    op = "gaussian_blur"
    sizes = odd_sizes(op, kernel_size)
    if sigma is None:
        bells: tuple[float, ...] = tuple(0.15 * k + 0.35 for k in sizes)
    else:
        bells = numbers(op, "sigma", sigma if isinstance(sigma, Sequence) else (sigma,), (1, 2)) * 2
    for bell in bells:
        number(op, "sigma", bell, lambda v: v > 0, "above 0")
    if is_picture(op, img):
        picture: Any = img
        return to_pil_image(gaussian_blur(pil_to_tensor(img), sizes, bells[:2]), picture.mode)
    _, height, width = get_dimensions(img)
    if sizes[0] // 2 >= width or sizes[1] // 2 >= height:
        raise ShapeError(message(op, f"a picture larger than half the kernel {sizes}", f"{height} x {width}"))
    kernels = [(axis, _bell(size, bell)) for axis, size, bell in zip((-1, -2), sizes, bells)]
    result: Any = on_array(op, img, lambda x: computed(x, lambda x: _blurred(x, kernels)))  # type: ignore[arg-type]
    return result


def odd_sizes(op: str, kernel_size: Size) -> tuple[int, int]:
    """The sides of a kernel, judged."""
    sizes = integers(op, "kernel_size", kernel_size, (1, 2), 1)
    if not all(k % 2 for k in sizes):
        raise ValueError(message(op, "kernel_size of odd numbers", str(kernel_size)))
    return sizes[0], sizes[-1]


def _bell(size: int, sigma: float) -> np.ndarray:
    heights = np.array([math.exp(-0.5 * ((i - (size - 1) / 2) / sigma) ** 2) for i in range(size)])
    return heights / heights.sum()


def _blurred(x: np.ndarray, kernels: list[tuple[int, np.ndarray]]) -> np.ndarray:
    for axis, kernel in kernels:
        length, reach = x.shape[axis], len(kernel) // 2
        places = np.pad(np.arange(length), reach, "reflect")[np.arange(length)[:, None] + np.arange(len(kernel))]
        x = _summed(x, axis, Taps(places, np.broadcast_to(kernel.astype(x.dtype), places.shape)))
    return x
