"""What a picture is, and what all functions of pictures share: its kind, its sizes, and how an argument is judged."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, TypeAlias, TypeVar

import numpy as np

from ....arguments import MOST, number
from ....errors import ShapeError, message
from ....extras import import_extra
from ....signatures import judged, shown
from ....tensor import Tensor, from_array

__all__ = [
    "Fill",
    "Interpolation",
    "InterpolationMode",
    "P",
    "Size",
    "by_kind",
    "extents",
    "get_dimensions",
    "get_image_num_channels",
    "get_image_size",
    "integers",
    "interpolation_mode",
    "is_picture",
    "largest",
    "numbers",
    "on_array",
    "only_tensor",
    "pillow",
    "window",
]

P = TypeVar("P")
"""A Pillow picture or a Tensor; the result is of the same kind."""
Size: TypeAlias = int | Sequence[int]
Fill: TypeAlias = float | Sequence[float] | None


class InterpolationMode(Enum):
    """How values between pixels are found. Tensors know the first four; a warp of a Tensor NEAREST and BILINEAR."""

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


Interpolation: TypeAlias = InterpolationMode | int
PILLOW = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5, "nearest-exact": 0}
"""Pillow's constant for each mode, which callers may also give."""


def pillow(op: str, module: str = "Image") -> Any:
    """A module of Pillow."""
    return import_extra(op, f"PIL.{module}", "pillow")


def is_picture(op: str, img: Any) -> bool:
    """Whether ``img`` is a Pillow picture; False for a Tensor, TypeError for anything else."""
    if isinstance(img, Tensor):
        return False
    if isinstance(img, pillow(op).Image):
        return True
    hint = "ToTensor or ToPILImage makes one of an array" if isinstance(img, np.ndarray) else ""
    raise TypeError(message(op, "a Pillow picture or a Tensor (..., C, H, W)", shown(img), hint))


def only_tensor(op: str, img: Any) -> np.ndarray:
    """The values of a picture that has to be a Tensor."""
    if is_picture(op, img):
        raise TypeError(message(op, "a Tensor (..., C, H, W)", "a Pillow picture", "call to_tensor or pil_to_tensor first"))
    return _values(op, img)


def _values(op: str, img: Tensor) -> np.ndarray:
    if img.ndim < 2:
        raise ShapeError(message(op, "a picture (H, W) or (..., C, H, W)", f"shape {img.shape}"))
    return np.asarray(img)


def on_array(op: str, img: Tensor, change: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """A Tensor whose values ``change`` makes of those of ``img``, on the same device; no gradient flows through it."""
    before = _values(op, img)
    after = change(before)
    return img if after is before else from_array(np.ascontiguousarray(after), img.device)


def by_kind(op: str, img: P, on_picture: Callable[[Any], Any], change: Callable[[np.ndarray], np.ndarray]) -> P:
    """``on_picture`` of a Pillow picture, or ``change`` of the values (..., H, W) of a Tensor."""
    result: Any = on_picture(img) if is_picture(op, img) else on_array(op, img, change)  # type: ignore[arg-type]
    return result


# -- sizes ------------------------------------------------------------------------------------------------------------
@judged
def get_dimensions(img: Any) -> list[int]:
    """[C, H, W] of a picture.

    >>> import numbacnn as nc
    >>> get_dimensions(nc.zeros(3, 4, 5))
    [3, 4, 5]
    """
    if is_picture("get_dimensions", img):
        return [len(img.getbands()), img.height, img.width]
    shape = _values("get_dimensions", img).shape
    return [*((1,) + shape)[-3:]]


@judged
def get_image_size(img: Any) -> list[int]:
    """[W, H] of a picture: the width comes first."""
    return get_dimensions(img)[:0:-1]


@judged
def get_image_num_channels(img: Any) -> int:
    """The number of channels of a picture."""
    return get_dimensions(img)[0]


def largest(dtype: np.dtype[Any]) -> int:
    """What white is in pictures of a dtype: the largest integer, 1 for floats and bools."""
    return int(np.iinfo(dtype).max) if dtype.kind in "iu" else 1


# -- arguments --------------------------------------------------------------------------------------------------------
def integers(op: str, name: str, value: Any, lengths: Sequence[int], least: int = -MOST) -> tuple[int, ...]:
    """``value`` as a tuple of integers: an integer alone stands for one of them."""
    several = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
    try:
        found = tuple(operator.index(v) for v in several if not isinstance(v, bool))
    except TypeError:
        found = ()
    if len(found) != len(several) or len(found) not in lengths or not least <= min(found) <= max(found) <= MOST:
        bounds = f" of at least {least}" if least > -MOST else ""
        raise ValueError(message(op, f"{name} as {_counted('integer', lengths)}{bounds}", shown(value)))
    return found


def numbers(op: str, name: str, value: Any, lengths: Sequence[int]) -> tuple[float, ...]:
    """``value``, a sequence of finite numbers, as floats."""
    several = tuple(value) if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str) else ()
    if len(several) not in lengths:
        raise ValueError(message(op, f"{name} as {_counted('number', lengths)}", shown(value)))
    for v in several:
        number(op, f"{name}, each", v, lambda v: True, "that is finite")
    return tuple(float(v) for v in several)


def _counted(what: str, lengths: Sequence[int]) -> str:
    """
    >>> _counted("integer", (1, 2, 4))
    'an integer or a sequence of 1, 2 or 4'
    """
    *most, last = map(str, lengths)
    count = f"{', '.join(most)} or {last}" if most else last
    return f"an integer or a sequence of {count}" if what == "integer" else f"a sequence of {count} {what}s"


def extents(op: str, name: str, value: Size) -> tuple[int, ...]:
    """A size as it is given: (shorter side,) or (height, width)."""
    return integers(op, name, value, (1, 2), 1)


def window(op: str, name: str, value: Size) -> tuple[int, int]:
    """A size as (height, width); one number is both."""
    found = extents(op, name, value)
    return found[0], found[-1]


def interpolation_mode(op: str, value: Any) -> InterpolationMode:
    """A mode, also by Pillow's constant."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = next((InterpolationMode(name) for name, constant in PILLOW.items() if constant == value), value)
    if not isinstance(value, InterpolationMode):
        raise TypeError(message(op, "interpolation as an InterpolationMode, or a constant of Pillow", shown(value)))
    return value


def check_mode(op: str, mode: InterpolationMode, known: Sequence[str]) -> None:
    """Judge that Tensors can be interpolated so."""
    if mode.value not in known:
        names = ", ".join(name.upper().replace("-", "_") for name in known)
        raise ValueError(message(op, f"one of the modes {names} for a Tensor", str(mode)))
