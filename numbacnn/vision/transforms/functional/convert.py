"""From one kind of picture to another, and what is done to Tensors alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ....arguments import flag, integer
from ....dtypes import DType, as_dtype, float32, is_floating
from ....errors import DTypeError, ShapeError, message
from ....signatures import judged, shown
from ....tensor import Tensor, from_array
from .picture import is_picture, largest, on_array, only_tensor, pillow

__all__ = ["convert_image_dtype", "erase", "normalize", "pil_to_tensor", "to_pil_image", "to_tensor"]

ARRAYS: dict[str, type] = {"I": np.int32, "I;16": np.int16, "F": np.float32, "1": np.bool_}
"""What the pixels of a mode of Pillow are, where they are not bytes."""
GREYS = {"uint8": "L", "int16": "I;16", "int32": "I", "float32": "F"}
MODES = {2: ("LA",), 3: ("RGB", "YCbCr", "HSV"), 4: ("RGBA", "CMYK", "RGBX")}
"""What a picture of so many channels of bytes can be; the first is the usual one."""


@judged
def to_tensor(pic: Any) -> Tensor:
    """A Pillow picture or an array (H, W, C) or (H, W) as a Tensor (C, H, W). Bytes become float32, 0 .. 1; other types stay.

    Raises:
        TypeError: it is neither.
        ShapeError: an array of other axes.

    >>> to_tensor(np.full((4, 5, 3), 255, np.uint8)).shape
    (3, 4, 5)
    """
    if isinstance(pic, np.ndarray):
        if pic.ndim not in (2, 3):
            raise ShapeError(message("to_tensor", "an array (H, W, C) or (H, W)", f"shape {pic.shape}"))
        pixels = np.atleast_3d(pic)
    else:
        pixels = _pixels("to_tensor", pic)
        if pixels.dtype == np.bool_:
            pixels = pixels * np.uint8(255)
    planes = pixels.transpose(2, 0, 1).astype(np.float32 if pixels.dtype == np.uint8 else pixels.dtype, order="C")
    if pixels.dtype == np.uint8:
        planes /= np.float32(255)  # a division is correctly rounded, a product with 1 / 255 is not
    return from_array(planes)


def _pixels(op: str, pic: Any) -> np.ndarray:
    """The pixels (H, W, C) of a Pillow picture."""
    if isinstance(pic, Tensor) or not is_picture(op, pic):
        raise TypeError(message(op, "a Pillow picture or an array (H, W, C)", "a Tensor", "it is one already"))
    return np.atleast_3d(np.asarray(pic).astype(ARRAYS.get(pic.mode, np.uint8), copy=False))


@judged
def pil_to_tensor(pic: Any) -> Tensor:
    """The pixels of a Pillow picture as they are, as a Tensor (C, H, W). Greys of 16 bits become int32.

    >>> from PIL import Image
    >>> pil_to_tensor(Image.new("RGB", (5, 4))).shape
    (3, 4, 5)
    """
    pixels = _pixels("pil_to_tensor", pic)
    if pic.mode.startswith("I;16"):
        pixels = np.atleast_3d(np.asarray(pic).astype(np.int32))
    return from_array(pixels.transpose(2, 0, 1).copy(order="C"))


@judged
def to_pil_image(pic: Tensor | np.ndarray, mode: str | None = None) -> Any:
    """A Tensor (C, H, W) or (H, W), or an array (H, W, C) or (H, W), as a Pillow picture. Floats 0 .. 1 become bytes.

    Args:
        pic: 1 to 4 channels; several channels are bytes or floats, one channel may be int16 or int32 too.
        mode: of Pillow. None: L, LA, RGB or RGBA by the number of channels; of integers I;16 and I. "F" keeps floats as they are.

    Raises:
        ShapeError: other axes, or more channels.
        ValueError: a mode that does not go with the channels or the dtype.
        DTypeError: a dtype that no mode of Pillow has.

    >>> import numbacnn as nc
    >>> to_pil_image(nc.ones(3, 4, 5)).getpixel((0, 0))
    (255, 255, 255)
    """
    op = "to_pil_image"
    pixels = np.asarray(pic)
    if isinstance(pic, Tensor) and pixels.ndim == 3:
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim not in (2, 3) or not 1 <= np.atleast_3d(pixels).shape[2] <= 4 or not pixels.size:
        raise ShapeError(message(op, "a Tensor (C, H, W) or an array (H, W, C), C from 1 to 4", f"shape {pic.shape}"))
    pixels = np.atleast_3d(pixels)
    if pixels.dtype.kind == "f" and mode != "F":
        with np.errstate(invalid="ignore", over="ignore"):
            pixels = (pixels * 255).astype(np.uint8)
    channels = pixels.shape[2]
    grey = GREYS.get(str(pixels.dtype))
    known = MODES.get(channels, (grey,)) if channels == 1 or pixels.dtype == np.uint8 else (None,)
    if known[0] is None:
        raise DTypeError(message(op, "bytes or floats, or one channel of int16 or int32", f"{channels} channels of {pixels.dtype}"))
    if mode is not None and mode not in known:
        wanted = f"mode {' or '.join(map(str, known))} for {channels} channels of {pixels.dtype}"
        raise ValueError(message(op, wanted, shown(mode)))
    height, width = pixels.shape[:2]
    return pillow(op).frombytes(mode or known[0], (width, height), np.ascontiguousarray(pixels).tobytes())


@judged
def convert_image_dtype(image: Tensor, dtype: DType = float32) -> Tensor:
    """A Tensor in another dtype, with its values scaled: white is 1 in floats, and the largest number in integers.

    Raises:
        RuntimeError: from float32 to int32 or int64, and from float64 to int64: such floats do not know all these integers.

    >>> import numbacnn as nc
    >>> convert_image_dtype(nc.tensor([[0.0, 0.5, 1.0]]), nc.uint8).tolist()
    [[0, 127, 255]]
    """
    op = "convert_image_dtype"
    before = only_tensor(op, image).dtype
    wanted = as_dtype(op, dtype)
    if is_floating(before) and not is_floating(wanted) and largest(wanted) >= 2 ** (31 if before == float32 else 63) - 1:
        raise RuntimeError(message(op, f"a dtype whose integers all are numbers of {before}", str(wanted), "convert to int16"))
    return on_array(op, image, lambda x: rescaled(x, wanted))


def rescaled(x: np.ndarray, wanted: DType) -> np.ndarray:
    """Values in another dtype, as :func:`convert_image_dtype` scales them."""
    if x.dtype == wanted:
        return x
    if is_floating(x.dtype):
        with np.errstate(invalid="ignore"):
            return x.astype(wanted) if is_floating(wanted) else (x * (largest(wanted) + 1.0 - 1e-3)).astype(wanted)
    if is_floating(wanted):
        return x.astype(wanted) / wanted.type(largest(x.dtype))
    have, want = largest(x.dtype) + 1, largest(wanted) + 1
    if have > want:
        return (x // (have // want)).astype(wanted)
    return (x.astype(wanted) * wanted.type(want // have)).astype(wanted)


@judged
def normalize(tensor: Tensor, mean: float | Sequence[float], std: float | Sequence[float], inplace: bool = False) -> Tensor:
    """``(tensor - mean) / std`` for each channel.

    Args:
        tensor: floats (..., C, H, W).
        mean: C numbers, or one.
        std: likewise, none of them zero.
        inplace: whether to write into ``tensor``.

    >>> import numbacnn as nc
    >>> normalize(nc.ones(1, 2, 2), [0.5], [0.25])[0, 0, 0].item()
    2.0
    """
    op = "normalize"
    x = only_tensor(op, tensor)
    if not is_floating(x.dtype):
        raise DTypeError(message(op, "a Tensor of floats", str(x.dtype), "call ToTensor or ConvertImageDtype first"))
    if x.ndim < 3:
        raise ShapeError(message(op, "a Tensor (..., C, H, W)", f"shape {x.shape}"))
    shift, scale = (_per_channel(op, name, value, x) for name, value in (("mean", mean), ("std", std)))
    if not scale.all():
        raise ValueError(message(op, f"std of numbers that are not zero in {x.dtype}", shown(std)))
    result = np.subtract(x, shift)
    result /= scale
    return _written(tensor, result, flag(op, "inplace", inplace))


def _per_channel(op: str, name: str, value: Any, x: np.ndarray) -> np.ndarray:
    try:
        found = np.asarray(value).astype(x.dtype)
    except (TypeError, ValueError):
        found = np.empty((0, 0))
    if found.ndim > 1 or found.size not in (1, x.shape[-3]):
        raise ShapeError(message(op, f"{name} of 1 or C = {x.shape[-3]} numbers", shown(value)))
    return found.reshape(-1, 1, 1)


def _written(tensor: Tensor, result: np.ndarray, inplace: bool) -> Tensor:
    """The result as a Tensor: a new one, or the one given."""
    found = from_array(result, tensor.device)
    if not inplace:
        return found
    tensor.detach().copy_(found)
    return tensor


@judged
def erase(img: Tensor, i: int, j: int, h: int, w: int, v: Tensor | float, inplace: bool = False) -> Tensor:
    """A Tensor (..., C, H, W) whose pixels in a rectangle are ``v``.

    Args:
        img: the picture.
        i: the first row.
        j: the first column.
        h: the number of rows.
        w: the number of columns.
        v: a number, or values (C, 1, 1) or (C, h, w).
        inplace: whether to write into ``img``.

    >>> import numbacnn as nc
    >>> erase(nc.ones(1, 3, 3), 0, 0, 2, 3, 0.0).sum().item()
    3.0
    """
    op = "erase"
    x = only_tensor(op, img)
    top, left, height, width = (integer(op, name, value, 0) for name, value in (("i", i), ("j", j), ("h", h), ("w", w)))
    result = x.copy()
    part = result[..., top : top + height, left : left + width]
    try:
        values = np.broadcast_to(np.asarray(v, dtype=None if isinstance(v, Tensor) else np.float64), part.shape)
    except ValueError:
        raise ShapeError(message(op, f"v as a number or a Tensor that fits {part.shape}", shown(v))) from None
    with np.errstate(invalid="ignore"):
        part[...] = values
    return _written(img, result, flag(op, "inplace", inplace))
