"""One picture: from a file, bytes, a Pillow picture or an array to bytes (H, W, C)."""

from __future__ import annotations

import functools
import io
import math
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..arguments import integer, pair
from ..errors import DTypeError, FormatError, ShapeError, in_form, message
from ..extras import import_extra
from ..files import open_file
from ..signatures import judged, shown

__all__ = ["MAX_PIXELS", "decode", "formats", "image_shape", "is_picture", "opened", "read_image", "reason"]

MAX_PIXELS = 1 << 28
"""How many pixels a file may say that it has: up to a gigabyte in memory, and more than the 200 million of a telephone's camera."""

SIGNED = ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "JPEG2000", "AVIF", "BMP", "PSD", "QOI", "ICNS", "DDS"]
"""The formats of Pillow that are known by their first bytes."""

FORMATS = (*SIGNED, *["PPM", "ICO", "CUR", "SUN", "DCX", "PCX", "SGI", "DIB", "MSP", "XPM", "XBM", "TGA"])
"""All that are read, those with the weakest marks last. The decoders of the others start programs, as that of EPS does, open files of any
format inside theirs, or know no pictures of their own."""

FULL_SCALES = (1, 255, 1023, 4095, 16383, 65535)
"""What white usually is, by the bits of a sensor; 1 for floats."""

UNKNOWN = (SyntaxError, IndexError, TypeError, struct.error)
"""What a decoder of Pillow raises for a file of another format."""

HINT = "repair or remove the file"
ORIENTATION = 0x0112  # the EXIF tag, which the camera writes; what undoes each of its values
TURNS = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_270", 7: "TRANSVERSE", 8: "ROTATE_90"}
SIDEWAYS = ("TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
TRANSPARENT = {"LA", "PA", "RGBA", "RGBa"}


@judged
def read_image(source: Any, size: int | tuple[int, int] = 28, channels: int = 1, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """One picture as uint8 (H, W, C).

    Args:
        source: the path of a file, its bytes, a file opened to read bytes, a Pillow picture, or an array (H, W) or (H, W, C) with 1, 3
            or 4 channels. Files are of any format that Pillow reads without starting another program, told by their content.
        size: of the result, an int or (H, W), pixels.
        channels: 1 for grey, 3 for red, green and blue.
        max_pixels: a file with more pixels is refused, before it is decoded.

    The camera's orientation is applied, transparent parts become white, and the largest centred part with the right aspect is scaled to
    ``size``, bilinear with smoothing. A JPEG is decoded at an eighth, a quarter or half of its size where that is still twice the size
    asked for: on photographs, the mean difference from the whole decoded is below 1 of 255 levels.

    Greys of more than 8 bits, and arrays that are not uint8, are divided by their full scale: the first of 1, 255, 1,023, 4,095, 16,383
    and 65,535 that none of the values exceeds, or the next power of 2 where that is larger or would leave less than a sixteenth in use.
    Values below zero move zero to the middle grey. The rule looks at one picture alone.

    Raises:
        FormatError: for what is no picture, is damaged, or is too large.
        FileNotFoundError: where there is no such file.
        ShapeError, TypeError: for a source of another form.
        ImportError: without pillow.

    >>> read_image("cat.jpg", size=64, channels=3).shape  # doctest: +SKIP
    (64, 64, 3)
    >>> read_image(np.eye(2), size=2).ravel().tolist()
    [255, 0, 0, 255]
    """
    return decode("read_image", source, image_shape("read_image", size, channels), max_pixels).pixels


def image_shape(op: str, size: int | tuple[int, int], channels: int) -> tuple[int, int, int]:
    """(H, W, C) of what is asked for, judged."""
    if channels not in (1, 3):
        raise ValueError(message(op, "channels 1 (grey) or 3 (colour)", f"{channels}"))
    return *pair(op, "size", size, 1), channels


@dataclass(frozen=True)
class Decoded:
    """The bytes of a picture, uint8 (H, W, C).

    Args:
        pixels: the bytes.
        size: (H, W) of the whole picture, upright.
        full_scale: of a picture that was not bytes before.
    """

    pixels: np.ndarray
    size: tuple[int, int]
    full_scale: float | None


def decode(op: str, source: Any, shape: tuple[int, int, int], max_pixels: int = MAX_PIXELS) -> Decoded:
    """:func:`read_image`, for a caller ``op`` who has judged the shape (H, W, C)."""
    height, width, channels = shape
    pil = import_extra(op, "PIL.Image", "pillow")
    with opened(op, source, max_pixels) as picture:
        whole, side = picture.size, 2 * max(height, width)  # the picture may lie on its side
        draft = None if _is_picture(source) else picture.draft(None, (side, side))  # the caller's own stays as it is
        picture.load()
        turn = None if picture.format == "TIFF" else TURNS.get(picture.getexif().get(ORIENTATION, 1))  # load() turns a TIFF
        sideways = turn in SIDEWAYS
        extent = draft[1][2:] if draft else picture.size  # an eighth of a JPEG, say, need not end with a pixel
        picture, full_scale = _plain(op, picture, "L" if channels == 1 else "RGB")
        picture = _fitted(picture, extent, (height, width) if sideways else (width, height), pil.Resampling.BILINEAR)
        pixels = np.asarray(picture if turn is None else picture.transpose(pil.Transpose[turn]))
    seen = whole if draft else extent
    return Decoded(pixels.reshape(shape), seen if sideways else seen[::-1], full_scale)


def reason(error: Exception) -> str:
    """Why :func:`decode` refused a picture, where a list says which."""
    return str(error).partition("; received ")[2].removesuffix(".").removesuffix(f"; {HINT}") or str(error)


def _fitted(picture: Any, extent: tuple[float, float], size: tuple[int, int], filter: Any) -> Any:
    """The largest centred part with the aspect of ``size`` (W, H), out of the first ``extent`` (W, H) of a picture, at that size."""
    zoom = min(have / wanted for have, wanted in zip(extent, size))
    left, top = (max(0.0, (have - wanted * zoom) / 2) for have, wanted in zip(extent, size))
    return picture.resize(size, filter, box=(left, top, extent[0] - left, extent[1] - top))


@contextmanager
def opened(op: str, source: Any, max_pixels: int = MAX_PIXELS) -> Iterator[Any]:
    """A Pillow picture that is not decoded yet. What goes wrong with it in the block is a FormatError that names the source."""
    integer(op, "max_pixels", max_pixels)
    pil = import_extra(op, "PIL.Image", "pillow")
    with _file(op, source) as file:
        name = os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else f"the {type(source).__name__} given"
        wanted = f"{name} to be a picture"
        try:
            picture = source if _is_picture(source) else _identified(file, pil) if file else pil.fromarray(_array(op, source))
            if picture is None:
                raise FormatError(message(op, wanted, "content of no format that pillow reads by itself", HINT))
            width, height = picture.size
            if width * height > max_pixels:
                most, received = f"{name} to have at most {max_pixels:,} pixels", f"{width:,} x {height:,}"
                raise FormatError(message(op, most, received, "make it smaller, or raise max_pixels"))
            yield picture
        except Exception as error:  # decoders raise nearly anything on damaged data
            if in_form(error):
                raise
            raise FormatError(message(op, wanted, f"{type(error).__name__}: {error}", HINT)) from error


def _file(op: str, source: Any) -> AbstractContextManager[IO[bytes] | None]:
    """What a path, bytes or an open file are read from; None for what is no file."""
    if isinstance(source, (str, os.PathLike)):
        return open_file(op, "a picture file", source)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source)
    if callable(getattr(source, "read", None)):
        return io.BytesIO(source.read())
    if not isinstance(source, np.ndarray) and not _is_picture(source):
        wanted = "a path, bytes, a file opened to read bytes, a Pillow picture or an array (H, W, C)"
        raise TypeError(message(op, wanted, shown(source)))
    return nullcontext()


def _is_picture(source: Any) -> bool:
    return isinstance(source, import_extra("read_image", "PIL.Image", "pillow").Image)


def formats(pil: Any, among: Sequence[str] = FORMATS) -> tuple[str, ...]:
    """Those formats that the pillow at hand can read."""
    pil.init()
    return tuple(name for name in among if name in pil.OPEN)


@functools.cache
def suffixes(op: str) -> frozenset[str]:
    """What the names of such files end in, in small letters."""
    pil = import_extra(op, "PIL.Image", "pillow")
    known = {*formats(pil), "MPO"}  # which is a JPEG with more JPEGs behind it
    return frozenset(suffix for suffix, name in pil.registered_extensions().items() if name in known)


def is_picture(op: str, path: Path) -> bool:
    """Whether a file is meant to be a picture by its suffix, or is one by its content."""
    if path.suffix.lower() in suffixes(op):
        return True
    with suppress(Exception):  # decoders raise nearly anything on what is no picture
        if path.is_file():  # no pipe
            with open(path, "rb") as file:
                return _identified(file, import_extra(op, "PIL.Image", "pillow"), SIGNED) is not None
    return False


def _identified(file: IO[bytes], pil: Any, among: Sequence[str] = FORMATS) -> Any:
    """The picture in a file, opened by the first format that takes it; None where none does.

    ``Image.open`` would do, but for its limit on pixels, which is one for all threads and can't be raised for one call.
    """
    prefix = file.read(16)
    for name in formats(pil, among):
        factory, accepts = pil.OPEN[name]
        with suppress(*UNKNOWN):
            taken = accepts is None or accepts(prefix)
            if taken and not isinstance(taken, str):  # a text says what this pillow lacks
                file.seek(0)
                return factory(file, "")
    return None


# -- arrays, and greys of more than 8 bits --------------------------------------------------------------------------------------
def _array(op: str, array: np.ndarray) -> np.ndarray:
    """An array as bytes (H, W) or (H, W, 3 or 4)."""
    flat = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if not (flat.ndim == 2 or (flat.ndim == 3 and flat.shape[2] in (3, 4))) or not flat.size:
        hint = "write transpose(1, 2, 0)" if array.ndim == 3 and array.shape[0] in (1, 3, 4) else ""
        raise ShapeError(message(op, "an array (H, W) or (H, W, C) with C 1, 3 or 4", f"shape {array.shape}", hint))
    if flat.dtype.kind not in "biuf":
        raise DTypeError(message(op, "an array of numbers", f"dtype {array.dtype}"))
    return flat if flat.dtype == np.uint8 else to_bytes(flat)[0]


def to_bytes(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Numbers of any range as bytes, and the full scale that they were divided by; the rule stands at :func:`read_image`."""
    values = values.astype(np.float64 if values.itemsize > 4 else np.float32)
    finite = values[np.isfinite(values)]
    least, most = finite.min(initial=0.0), finite.max(initial=0.0)
    scale = full_scale(float(max(most, -least)))
    share = np.nan_to_num(values / scale, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
    return np.rint((share if least == 0 else (share + 1) / 2).clip(0, 1) * 255).astype(np.uint8), scale


def full_scale(most: float) -> float:
    """What counts as white in a picture whose largest value is ``most``.

    >>> full_scale(0.9), full_scale(200), full_scale(3000), full_scale(12), full_scale(2.0**20 + 1)
    (1.0, 255.0, 4095.0, 16.0, 2097152.0)
    """
    usual = next((float(scale) for scale in FULL_SCALES if most <= scale), math.inf)
    return usual if most == 0 or most * 16 >= usual else 2.0 ** math.ceil(math.log2(most))


def _plain(op: str, picture: Any, mode: str) -> tuple[Any, float | None]:
    """The picture in ``mode``, L or RGB, without transparency; and its full scale, if it has not one of bytes."""
    pil = import_extra(op, "PIL.Image", "pillow")
    scale = None
    if picture.mode[0] in "IF":  # convert() would clip them to white, or to black
        pixels, scale = to_bytes(np.asarray(picture))
        picture = pil.fromarray(pixels)
    if picture.mode in TRANSPARENT or "transparency" in picture.info:
        white = pil.new("RGBA", picture.size, "white")
        picture = pil.alpha_composite(white, picture.convert("RGBA"))
    if picture.mode == "LAB":  # which goes to RGB alone
        picture = picture.convert("RGB")
    return picture.convert(mode), scale
