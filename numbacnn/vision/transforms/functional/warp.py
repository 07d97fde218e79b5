"""A picture turned, moved, stretched or seen from the side: each pixel of the result is looked up where it comes from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ....arguments import flag, number
from ....errors import ShapeError, message
from ....signatures import judged, shown
from .picture import (
    PILLOW,
    Fill,
    Interpolation,
    InterpolationMode,
    P,
    check_mode,
    get_dimensions,
    interpolation_mode,
    is_picture,
    numbers,
    on_array,
    pillow,
)
from .resample import computed
from .window import pillow_fill

__all__ = ["affine", "perspective", "rotate"]

FOR_TENSORS = ("nearest", "bilinear")
TOLERANCE = np.float32(1e-4)
"""By how much a turned corner may reach into a pixel without the result growing by it."""


@judged
def rotate(
    img: P,
    angle: float,
    interpolation: Interpolation = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: Fill = None,
) -> P:
    """A picture turned counter-clockwise by ``angle`` degrees.

    Args:
        img: a Pillow picture or a Tensor (..., H, W).
        angle: degrees.
        interpolation: NEAREST or BILINEAR; BICUBIC for a Pillow picture too.
        expand: whether the result grows so that nothing is cut off; for a turn about the middle.
        center: (x, y) in pixels from the upper left corner; the middle by default.
        fill: what comes in at the corners: a number, or one for each channel; zero by default.

    >>> import numbacnn as nc
    >>> rotate(nc.tensor([[[1.0, 2.0], [3.0, 4.0]]]), 90).tolist()
    [[[2.0, 4.0], [1.0, 3.0]]]
    """
    op = "rotate"
    mode = interpolation_mode(op, interpolation)
    number(op, "angle", angle, lambda v: True, "of degrees")
    grow = flag(op, "expand", expand)
    middle = None if center is None else numbers(op, "center", center, (2,))
    if is_picture(op, img):
        picture: Any = img
        return _by_pillow(op, mode, lambda how: picture.rotate(angle, how, grow, middle, fillcolor=pillow_fill(op, fill, picture)))
    return _warped(op, img, inverse(_from_middle(img, middle), -angle), mode, fill, grow)


@judged
def affine(
    img: P,
    angle: float,
    translate: Sequence[float],
    scale: float,
    shear: float | Sequence[float],
    interpolation: Interpolation = InterpolationMode.NEAREST,
    fill: Fill = None,
    center: Sequence[float] | None = None,
) -> P:
    """A picture turned, moved, scaled and sheared about its middle.

    Args:
        img: a Pillow picture or a Tensor (..., H, W).
        angle: degrees, clockwise.
        translate: (right, down), pixels.
        scale: a factor above 0.
        shear: degrees along x, or (along x, along y).
        interpolation: NEAREST or BILINEAR; BICUBIC for a Pillow picture too.
        fill: what comes in from outside: a number, or one for each channel; zero by default.
        center: (x, y) of the middle in pixels from the upper left corner.

    >>> import numbacnn as nc
    >>> affine(nc.tensor([[[1.0, 2.0], [3.0, 4.0]]]), 0, (1, 0), 1.0, 0.0).tolist()
    [[[0.0, 1.0], [0.0, 3.0]]]
    """
    op = "affine"
    mode = interpolation_mode(op, interpolation)
    number(op, "angle", angle, lambda v: True, "of degrees")
    number(op, "scale", scale, lambda v: v > 0, "above 0")
    move = numbers(op, "translate", translate, (2,))
    lean = numbers(op, "shear", shear, (1, 2)) if isinstance(shear, Sequence) else numbers(op, "shear", (shear, 0.0), (2,))
    middle = None if center is None else numbers(op, "center", center, (2,))
    if is_picture(op, img):
        picture: Any = img
        about = (picture.width * 0.5, picture.height * 0.5) if middle is None else middle
        matrix = inverse(about, angle, move, scale, (lean[0], lean[-1]))
        color = pillow_fill(op, fill, picture)
        way = pillow(op).Transform.AFFINE
        return _by_pillow(op, mode, lambda how: picture.transform(picture.size, way, matrix, how, fillcolor=color))
    return _warped(op, img, inverse(_from_middle(img, middle), angle, move, scale, (lean[0], lean[-1])), mode, fill)


@judged
def perspective(
    img: P,
    startpoints: Sequence[Sequence[int]],
    endpoints: Sequence[Sequence[int]],
    interpolation: Interpolation = InterpolationMode.BILINEAR,
    fill: Fill = None,
) -> P:
    """A picture seen from the side: the corners ``startpoints`` come to lie at ``endpoints``.

    Args:
        img: a Pillow picture or a Tensor (..., H, W).
        startpoints: four points (x, y): top left, top right, bottom right, bottom left.
        endpoints: where they go.
        interpolation: NEAREST or BILINEAR; BICUBIC for a Pillow picture too.
        fill: what comes in from outside: a number, or one for each channel; zero by default.

    >>> import numbacnn as nc
    >>> corners = [[0, 0], [3, 0], [3, 3], [0, 3]]
    >>> perspective(nc.ones(1, 4, 4), corners, corners).sum().item()
    16.0
    """
    op = "perspective"
    mode = interpolation_mode(op, interpolation)
    start, end = (_corners(op, name, points) for name, points in (("startpoints", startpoints), ("endpoints", endpoints)))
    rows = []
    for (x, y), (u, v) in zip(end, start):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    found = np.linalg.lstsq(np.array(rows), np.array(start).ravel())[0].astype(np.float32).tolist()
    if is_picture(op, img):
        picture: Any = img
        color, way = pillow_fill(op, fill, picture), pillow(op).Transform.PERSPECTIVE
        return _by_pillow(op, mode, lambda how: picture.transform(picture.size, way, found, how, fillcolor=color))
    return _warped(op, img, [*found, 1.0], mode, fill)


def _corners(op: str, name: str, points: Any) -> list[tuple[float, ...]]:
    if not isinstance(points, Sequence) or len(points) != 4:
        raise ValueError(message(op, f"{name} as four points (x, y)", shown(points)))
    return [numbers(op, f"{name}, each", point, (2,)) for point in points]


def _by_pillow(op: str, mode: InterpolationMode, warp: Any) -> Any:
    if mode.value not in ("nearest", "nearest-exact", "bilinear", "bicubic"):
        raise ValueError(message(op, "NEAREST, BILINEAR or BICUBIC for a Pillow picture", str(mode)))
    return warp(PILLOW[mode.value])


def _from_middle(img: Any, center: Sequence[float] | None) -> tuple[float, float]:
    """A point in pixels, counted from the middle of the picture."""
    _, height, width = get_dimensions(img)
    return (0.0, 0.0) if center is None else (center[0] - width * 0.5, center[1] - height * 0.5)


def inverse(
    center: Sequence[float], angle: float, move: Sequence[float] = (0, 0), scale: float = 1.0, shear: Sequence[float] = (0, 0)
) -> list[float]:
    """(a, b, c, d, e, f): the pixel (x, y) of the result comes from (a x + b y + c, d x + e y + f).

    The way forth shears along x, then along y, scales, turns about ``center`` and moves.

    >>> inverse((0, 0), 0, (3, 0), 2.0)
    [0.5, 0.0, -1.5, 0.0, 0.5, 0.0]
    """
    turn, along_x, along_y = (math.radians(degrees) for degrees in (angle, *shear))
    cosine, sine, lean = math.cos(turn - along_y), math.sin(turn - along_y), math.cos(along_y)
    across, down = -cosine * math.tan(along_x) / lean - math.sin(turn), -sine * math.tan(along_x) / lean + math.cos(turn)
    (x, y), (right, below) = center, move
    a, b, d, e = (v / scale for v in (down, -across, -sine / lean, cosine / lean))  # the determinant of the turn and the shears is 1
    return [a + 0.0, b + 0.0, a * (-x - right) + b * (-y - below) + x, d + 0.0, e + 0.0, d * (-x - right) + e * (-y - below) + y]


# -- on arrays --------------------------------------------------------------------------------------------------------
def _warped(op: str, img: Any, matrix: Sequence[float], mode: InterpolationMode, fill: Fill, grow: bool = False) -> Any:
    """A Tensor looked up where ``matrix`` says: of 6 numbers about the middle, of 9 (a perspective) from the corner."""
    check_mode(op, mode, FOR_TENSORS)
    channels, height, width = get_dimensions(img)
    color = None if fill is None else numbers(op, "fill", fill if isinstance(fill, Sequence) else (fill,), (1, channels))
    rows, columns = _grown(matrix, height, width) if grow else (height, width)
    if not height * width * rows * columns:
        raise ShapeError(message(op, "a picture with pixels", f"{height} x {width}"))

    def change(x: np.ndarray) -> np.ndarray:
        planes = x.reshape(-1, *((1,) + x.shape)[-3:])
        with np.errstate(all="ignore"):  # what comes from nowhere is outside the picture
            sources = _sources(matrix, height, width, rows, columns, x.dtype.type)
        seen = _looked_up(planes, sources, mode.value, color)
        return seen.reshape(*x.shape[:-2], rows, columns)

    return on_array(op, img, lambda x: computed(x, change))


def _grown(matrix: Sequence[float], height: int, width: int) -> tuple[int, int]:
    """The size that holds all of the picture after a turn."""
    turn = np.array(matrix, np.float32).reshape(2, 3)
    half = np.array([width, height], np.float32) / 2
    corners = np.array([[-1, -1, 1], [-1, 1, 1], [1, 1, 1], [1, -1, 1]], np.float32) * np.append(half, np.float32(1)) @ turn.T + 0
    least, most = (np.trunc((end + half) / TOLERANCE) * TOLERANCE for end in (corners.min(0), corners.max(0)))
    columns, rows = (np.ceil(most) - np.floor(least)).astype(int).tolist()
    return rows, columns


def _sources(matrix: Sequence[float], height: int, width: int, rows: int, columns: int, real: Any) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of the result comes from: (x, y) in pixels, each (rows, columns)."""
    a = np.array(matrix, real).reshape(-1, 3)
    start = (columns * 0.5, rows * 0.5) if len(a) == 2 else (0, 0)
    x, y = (np.arange(n, dtype=real) + real(0.5 - middle) for n, middle in zip((columns, rows), start))
    y = y[:, None]
    (xx, xy, x1), (yx, yy, y1) = (a[row] / real(0.5 * size) for row, size in ((0, width), (1, height)))
    found = x * xx + y * xy + x1, x * yx + y * yy + y1  # the picture reaches from -1 to 1, or from 0 to 2
    if len(a) == 3:
        depth = x * a[2, 0] + y * a[2, 1] + a[2, 2]
        found = found[0] / depth - 1, found[1] / depth - 1
    return (found[0] + 1) * real(width / 2) - real(0.5), (found[1] + 1) * real(height / 2) - real(0.5)


def _looked_up(x: np.ndarray, sources: tuple[np.ndarray, np.ndarray], mode: str, color: tuple[float, ...] | None) -> np.ndarray:
    """The values (N, C, H, W) at these places; outside the picture they are 0, or ``color``."""
    if color is not None:  # one more channel, that says how much of the picture is seen
        x = np.concatenate([x, np.ones_like(x[:, :1])], 1)
    framed = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    beyond = -2.0, float(max(x.shape[-2:]) + 1)
    across, down = (np.nan_to_num(source, nan=-2.0).clip(*beyond) for source in sources)
    if mode == "nearest":
        seen = _taken(framed, np.rint(down), np.rint(across))
    else:
        left, top = np.floor(across), np.floor(down)
        right_share, lower_share = across - left, down - top
        seen = np.zeros((*x.shape[:2], *across.shape), x.dtype)
        for row, tall in ((top, 1 - lower_share), (top + 1, lower_share)):
            for column, wide in ((left, 1 - right_share), (left + 1, right_share)):
                seen += _taken(framed, row, column) * (wide * tall)
    if color is None:
        return seen
    values, known = seen[:, :-1], seen[:, -1:]
    rest = np.array(color, x.dtype).reshape(-1, 1, 1)
    return np.where(known > 0, values, rest) if mode == "nearest" else values * known + (1 - known) * rest


def _taken(framed: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The pixels at these rows and columns of a picture that has a frame of zeros, one pixel wide, for all that is outside."""
    height, width = framed.shape[-2:]
    places = (rows.clip(-1, height - 2) + 1).astype(np.intp) * width + (columns.clip(-1, width - 2) + 1).astype(np.intp)
    return framed.reshape(*framed.shape[:2], -1).take(places, -1, mode="clip")
