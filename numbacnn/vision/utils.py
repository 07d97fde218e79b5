"""Pictures made of Tensors: several in one, and to a file."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..arguments import flag, integer, number
from ..errors import DTypeError, ShapeError, message
from ..extras import import_extra
from ..files import write_atomically
from ..signatures import judged, shown
from ..tensor import Tensor, from_array

__all__ = ["make_grid", "save_image"]

LEAST_RANGE = 1e-5  # what a picture of one colour is divided by


@judged
def make_grid(
    tensor: Tensor | Sequence[Tensor],
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Pictures beside each other, as one Tensor (C, H, W) of their dtype and device.

    Args:
        tensor: pictures (N, C, H, W), or a list of pictures of one size; one picture (C, H, W) or (H, W) alone is returned without a frame.
            Grey pictures get three channels.
        nrow: how many stand in a row.
        padding: pixels between pictures, and around them.
        normalize: whether to bring the values to 0 .. 1.
        value_range: (low, high), which become 0 and 1; what is beyond is cut. None: the least and the largest value.
        scale_each: whether to look for these in each picture, not in all of them.
        pad_value: the value between the pictures.

    Raises:
        ShapeError: there is no picture, or they have other axes.
        DTypeError: integers are to be normalised.

    >>> import numbacnn as nc
    >>> make_grid(nc.ones(10, 1, 4, 4), nrow=5).shape
    (3, 14, 32)
    """
    op = "make_grid"
    nrow, padding = integer(op, "nrow", nrow), integer(op, "padding", padding, 0)
    number(op, "pad_value", pad_value, lambda v: True, "that is finite")
    pictures, device = _pictures(op, tensor)
    if flag(op, "normalize", normalize):
        if pictures.dtype.kind != "f":
            raise DTypeError(message(op, "pictures of floats where normalize is set", f"dtype {pictures.dtype}"))
        bounds = None if value_range is None else _bounds(op, value_range)
        each = flag(op, "scale_each", scale_each)
        pictures = np.stack([_scaled(p, bounds) for p in pictures]) if each else _scaled(pictures, bounds)
    return from_array(pictures[0] if len(pictures) == 1 else _grid(pictures, nrow, padding, pad_value), device)


def _pictures(op: str, tensor: Any) -> tuple[np.ndarray, str]:
    """Pictures (N, C, H, W), C at least 3 or as it was, and their device."""
    members = list(tensor) if isinstance(tensor, (list, tuple)) else [tensor]
    if not members or not all(isinstance(member, Tensor) for member in members):
        wrong = next((member for member in members if not isinstance(member, Tensor)), tensor)
        raise TypeError(message(op, "a Tensor or a list of Tensors", shown(wrong)))
    if len({member.shape for member in members}) > 1:
        raise ShapeError(message(op, "pictures of one shape", ", ".join(sorted({f"{member.shape}" for member in members}))))
    arrays = [np.asarray(member.detach()) for member in members]
    array = np.stack(arrays) if isinstance(tensor, (list, tuple)) else arrays[0]
    if array.ndim not in (2, 3, 4) or 0 in array.shape:
        raise ShapeError(message(op, "pictures (N, C, H, W), or one (C, H, W) or (H, W)", f"shape {array.shape}"))
    array = array.reshape((1,) * (4 - array.ndim) + array.shape)
    return array.repeat(3, axis=1) if array.shape[1] == 1 else array, members[0].device


def _bounds(op: str, value_range: Any) -> tuple[float, float]:
    if not isinstance(value_range, tuple) or len(value_range) != 2:
        raise TypeError(message(op, "value_range as a tuple (low, high)", shown(value_range)))
    for name, bound in zip(("low", "high"), value_range):
        number(op, f"{name} of value_range", bound, lambda v: True, "that is finite")
    return float(value_range[0]), float(value_range[1])


def _scaled(values: np.ndarray, bounds: tuple[float, float] | None) -> np.ndarray:
    low, high = (float(values.min()), float(values.max())) if bounds is None else bounds
    kind = values.dtype.type
    return (np.minimum(np.maximum(values, kind(low)), kind(high)) - kind(low)) / kind(max(high - low, LEAST_RANGE))


def _grid(pictures: np.ndarray, nrow: int, padding: int, pad_value: float) -> np.ndarray:
    count, channels, height, width = pictures.shape
    columns = min(nrow, count)
    rows = -(-count // columns)
    step = height + padding, width + padding
    grid = np.full((channels, rows * step[0] + padding, columns * step[1] + padding), pad_value).astype(pictures.dtype)
    for n, picture in enumerate(pictures):
        top, left = padding + n // columns * step[0], padding + n % columns * step[1]
        grid[:, top : top + height, left : left + width] = picture
    return grid


@judged
def save_image(tensor: Tensor | Sequence[Tensor], fp: str | os.PathLike[str] | IO[bytes], format: str | None = None, **kwargs: Any) -> None:
    """Write pictures, as :func:`make_grid` puts them together, to a file; needs pillow. A path is written to in one step.

    Args:
        tensor: pictures of floats, 0 black and 1 white; what is beyond is cut, and NaN is black.
        fp: a path, or a file that is open to write bytes.
        format: as Pillow calls it, such as "png"; None: by the suffix of the path.
        kwargs: further arguments of :func:`make_grid`.

    Raises:
        DTypeError: the pictures are integers.
        ShapeError: they have neither 1, 3 nor 4 channels, or are none.
        ValueError: the format is unknown, or not told.
        ImportError: without pillow.

    >>> import numbacnn as nc
    >>> save_image(nc.rand(16, 3, 8, 8), "samples.png", nrow=4)
    """
    op = "save_image"
    grid = np.asarray(make_grid(tensor, **kwargs))
    if grid.dtype.kind != "f":
        raise DTypeError(message(op, "pictures of floats, 0 .. 1", f"dtype {grid.dtype}", "write x.float() / 255 for bytes"))
    if len(grid) not in (3, 4):
        raise ShapeError(message(op, "pictures (N, C, H, W) with C 1, 3 or 4", f"C = {len(grid)}"))
    kind = _format(op, fp, format)
    with np.errstate(over="ignore", invalid="ignore"):
        levels = np.nan_to_num((grid * grid.dtype.type(255) + grid.dtype.type(0.5)).clip(0, 255))
    picture = import_extra(op, "PIL.Image", "pillow").fromarray(np.ascontiguousarray(levels.astype(np.uint8).transpose(1, 2, 0)))
    encoded = io.BytesIO()
    try:
        picture.save(encoded, format=kind)
    except (OSError, ValueError) as error:  # JPEG has no transparency, an icon is small
        raise ValueError(message(op, f"pictures that {kind} can hold", f"{error}")) from error
    if isinstance(fp, (str, os.PathLike)):
        write_atomically(fp, encoded.getvalue())
    else:
        fp.write(encoded.getvalue())


def _format(op: str, fp: Any, format: str | None) -> str:
    """Pillow's name of the format to write."""
    path = isinstance(fp, (str, os.PathLike))
    if not path and (isinstance(fp, io.TextIOBase) or not callable(getattr(fp, "write", None))):
        raise TypeError(message(op, "fp as a path or as a file that is open to write bytes", shown(fp)))
    pil = import_extra(op, "PIL.Image", "pillow")
    pil.init()
    suffix = Path(os.fsdecode(fp)).suffix.lower() if path else ""
    found = pil.EXTENSION.get(suffix, "") if format is None else f"{format}".upper()
    found = {"JPG": "JPEG", "TIF": "TIFF"}.get(found, found)
    if found not in pil.SAVE:
        name = f"a name with the suffix {suffix!r}" if path else "a file without a format"
        received = name if format is None else f"format {format!r}"
        raise ValueError(message(op, "a format that Pillow writes", received, 'pass format="png"'))
    return found
