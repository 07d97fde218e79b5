"""Pictures in memory, what turns its bytes into floats, and the digits that need no download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np

from .. import random
from ..arguments import integer
from ..errors import DTypeError, ShapeError, message
from ..extras import import_extra
from ..signatures import judged, shown
from .dataset import Dataset

__all__ = ["ImageDataset", "background", "digits", "looks_drawn", "per_channel", "shuffled", "stratified_split", "to_float"]

DIGITS_TEST_IMAGES = 360
DARK, BRIGHT = 85, 170  # medians of bytes below and above which a border is one or the other
GREY, NEAR, INK = 24, 32, 96  # bytes: channels that differ less are grey; values that differ less are the background; more is ink
SPLIT_SEED = 20_240  # which images are the test images of a fixed split; changing it changes every published accuracy


@judged
@dataclass(frozen=True, eq=False, repr=False)
class ImageDataset(Dataset[Any]):
    """Labelled pictures in memory: one array of bytes and one of labels.

    Args:
        images: uint8, shape (N, H, W, C), channels last; kept C-contiguous.
        labels: any integer type, shape (N,), each in 0 .. len(classes) - 1; kept as int64.
        classes: the names of the classes, in the order of their labels.
        name: what to call the set in reports.
        mean, std: C numbers, or one for all channels, on the scale where a white pixel is 1.0; kept as C floats. A float batch is
            ``(images / 255 - mean) / std``; the default, 0 and 1, only divides by 255.
        files: where the pictures come from, N names, if they come from files. A part of the set keeps those of its pictures.

    Raises:
        ShapeError, DTypeError, ValueError: where the arrays do not have this form.

    >>> data = ImageDataset(np.zeros((3, 8, 8, 1), np.uint8), np.array([0, 1, 1]), ("cat", "dog"))
    >>> len(data), data.input_shape, len(data[data.labels == 1])
    (3, (1, 8, 8), 2)
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    name: str = "dataset"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    files: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check_arrays(self.images, self.labels, len(self.classes))
        channels = self.images.shape[3]
        normal = {
            "images": np.ascontiguousarray(self.images),
            "labels": np.ascontiguousarray(self.labels, dtype=np.int64),
            "classes": tuple(str(name) for name in self.classes),
            "mean": per_channel("ImageDataset", "mean", self.mean, channels),
            "std": per_channel("ImageDataset", "std", self.std, channels),
            "files": _names(self.files, len(self.images)),
        }
        for field, value in normal.items():
            object.__setattr__(self, field, value)  # the class is frozen for everyone else

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one picture, as a model is told it."""
        _, height, width, channels = self.images.shape
        return channels, height, width

    def __len__(self) -> int:
        return len(self.images)

    @judged
    @overload
    def __getitem__(self, index: int) -> tuple[np.ndarray, int]: ...

    @judged
    @overload
    def __getitem__(self, index: slice | Sequence[int] | np.ndarray) -> ImageDataset: ...

    @judged
    def __getitem__(self, index: Any) -> ImageDataset | tuple[np.ndarray, int]:
        """A slice, an index array or a mask gives an ImageDataset (a slice shares memory); one int gives (picture (H, W, C), label)."""
        if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
            if not -len(self) <= index < len(self):
                raise IndexError(message("ImageDataset", f"an index from {-len(self)} to {len(self) - 1}", str(index)))
            return self.images[index], int(self.labels[index])
        if not isinstance(index, slice):
            index = self._positions(index)
        files = None if self.files is None else tuple(np.array(self.files, object)[index])
        return replace(self, images=self.images[index], labels=self.labels[index], files=files)

    def _positions(self, index: Any) -> np.ndarray:
        """An array of positions or a mask, judged."""
        try:
            found = np.asarray(index)
        except ValueError:  # lists of unequal lengths
            found = np.empty(0, object)
        found = found.astype(np.int64) if found.dtype.kind == "f" and not found.size else found  # [] selects nothing
        mask = found.dtype == np.bool_ and found.shape == (len(self),)
        if not mask and (found.dtype.kind not in "iu" or found.ndim != 1):
            raise IndexError(message("ImageDataset", f"a slice, positions (K,) or a mask ({len(self)},)", shown(index)))
        if not mask and found.size and not -len(self) <= found.min() <= found.max() < len(self):
            spread = f"{found.min()} to {found.max()}"
            raise IndexError(message("ImageDataset", f"positions from {-len(self)} to {len(self) - 1}", spread))
        return found

    def __repr__(self) -> str:
        n, height, width, channels = self.images.shape
        return f"ImageDataset({self.name!r}, {n:,} images {height} x {width} x {channels}, {len(self.classes)} classes)"


def _check_arrays(images: Any, labels: Any, classes: int) -> None:
    if not isinstance(images, np.ndarray) or images.ndim != 4:
        raise ShapeError(message("ImageDataset", "images (N, H, W, C)", f"images {_described(images)}", "grey images have C = 1"))
    if images.dtype != np.uint8:
        hint = "give arrays of floats to DataLoader"
        raise DTypeError(message("ImageDataset", "images of dtype uint8 (0 .. 255)", f"dtype {images.dtype}", hint))
    if not isinstance(labels, np.ndarray) or labels.shape != images.shape[:1]:
        raise ShapeError(message("ImageDataset", f"labels ({len(images)},), one for each image", f"labels {_described(labels)}"))
    if labels.dtype.kind not in "iu":
        raise DTypeError(message("ImageDataset", "labels of an integer dtype", f"dtype {labels.dtype}", "labels are class indices"))
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        spread = f"labels {labels.min()} .. {labels.max()}"
        raise ValueError(message("ImageDataset", f"labels 0 .. {classes - 1} for {classes} classes", spread, "name every class"))


def _names(files: Any, n: int) -> tuple[str, ...] | None:
    names = None if files is None else () if isinstance(files, str) else tuple(str(name) for name in files)
    if names is not None and len(names) != n:
        raise ShapeError(message("ImageDataset", f"files as {n} names, one for each image", f"{len(names)} names"))
    return names


def _described(value: Any) -> str:
    return str(value.shape) if isinstance(value, np.ndarray) else f"of type {type(value).__name__}"


def per_channel(op: str, field: str, value: float | Sequence[float], channels: int) -> tuple[float, ...]:
    """``value`` as one float for each channel; ShapeError for another count, ValueError for a std that can't divide."""
    numbers = tuple(float(v) for v in np.atleast_1d(np.asarray(value, dtype=np.float64)))
    if len(numbers) not in (1, channels):
        raise ShapeError(message(op, f"{field} with 1 or C = {channels} values", f"{len(numbers)} values"))
    if not np.isfinite(numbers).all() or (field == "std" and min(numbers) <= 0):
        wanted = "positive finite numbers" if field == "std" else "finite numbers"
        raise ValueError(message(op, f"{field} of {wanted}", f"{field} {numbers}"))
    return numbers * (channels // len(numbers))


@judged
def to_float(images: np.ndarray, mean: float | Sequence[float] = 0.0, std: float | Sequence[float] = 1.0) -> np.ndarray:
    """``(images / 255 - mean) / std`` in float32: uint8 (N, H, W, C) to a new C-contiguous array of the same shape.

    The one definition of preprocessing: the loader, evaluation and prediction all call it.

    >>> to_float(np.full((1, 1, 1, 1), 255, np.uint8), mean=0.5, std=0.25).item()
    2.0
    """
    if not isinstance(images, np.ndarray) or images.ndim != 4 or images.dtype.kind not in "biuf":
        raise ShapeError(message("to_float", "images (N, H, W, C) of numbers", shown(images)))
    scaled = images.astype(np.float32, order="C")
    scaled /= np.float32(255)  # a division is correctly rounded, a product with 1 / 255 is not
    means, stds = (per_channel("to_float", field, value, images.shape[3]) for field, value in (("mean", mean), ("std", std)))
    if any(means) or any(s != 1 for s in stds):
        pixels = images.shape[1] * images.shape[2]
        flat = scaled.reshape(len(images), pixels * images.shape[3])
        flat -= np.tile(np.array(means, np.float32), pixels)  # one long row: broadcasting over C alone is ten times slower
        flat /= np.tile(np.array(stds, np.float32), pixels)
    return scaled


def background(images: np.ndarray) -> str:
    """ "dark", "bright" or "mixed": the median of the pixels along the borders of pictures (N, H, W, C), bytes.

    >>> background(np.zeros((1, 8, 8, 1), np.uint8))
    'dark'
    """
    middle = float(np.median(_border(images)))
    return "dark" if middle < DARK else "bright" if middle > BRIGHT else "mixed"


def _border(images: np.ndarray) -> np.ndarray:
    """The pixels along the borders of pictures (N, H, W, C), as (N, pixels)."""
    return np.concatenate([edge.reshape(len(images), -1) for edge in (images[:, [0, -1]], images[:, :, [0, -1]])], axis=1)


@judged
def looks_drawn(images: np.ndarray) -> bool:
    """Whether pictures (N, H, W, C), bytes, look like drawn characters, whose mirror images are others: b and d, 2 and S.

    Three of four must be grey, dark on bright or bright on dark, with little but the background along the border and ink in strong
    contrast to it. Digits do, and so does one grey thing before an even background; photographs don't. 200 pictures are looked at.

    >>> page = np.full((1, 9, 9, 1), 255, np.uint8)
    >>> looks_drawn(page)
    False
    >>> page[0, 2:7, 4] = 0
    >>> looks_drawn(page)
    True
    """
    if not isinstance(images, np.ndarray) or images.ndim != 4 or images.dtype != np.uint8:
        raise ShapeError(message("looks_drawn", "images (N, H, W, C) of bytes", shown(images)))
    if not images.size:
        return False
    some = images[:: -(-len(images) // 200)].astype(np.int16)
    colour = some.max(3) - some.min(3)
    grey = some.mean(3, keepdims=True)
    border = _border(grey)
    paper = np.median(border, axis=1)
    ink = np.abs(grey[..., 0] - paper[:, None, None]).reshape(len(some), -1)
    drawn = np.quantile(colour.reshape(len(some), -1), 0.98, axis=1) < GREY
    drawn &= (paper < DARK) | (paper > BRIGHT)
    drawn &= (np.abs(border - paper[:, None]) < NEAR).mean(1) > 0.6
    drawn &= np.quantile(ink, 0.99, axis=1) > INK
    return bool(drawn.mean() >= 0.75)


def shuffled(n: int, key: Sequence[int]) -> np.ndarray:
    """A permutation of 0 .. n - 1 that depends on the two 64-bit numbers ``key`` alone, on every machine and with every NumPy."""
    return random.permutation(n, np.random.Generator(np.random.Philox(key=np.array(key, dtype=np.uint64))))


def stratified_split(labels: np.ndarray, test: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices ``(train, test)``, ascending, that share each class in proportion, with ``test`` indices in the second.

    Each class gives the whole part of its share; the classes with the largest remainders give one more. Equal labels give an equal split,
    on every machine and with every version of NumPy.

    >>> train, test = stratified_split(np.array([0] * 8 + [1] * 4), 3)
    >>> len(train), len(test)
    (9, 3)
    """
    counts = np.bincount(labels)
    whole, remainder = np.divmod(counts * test, len(labels))
    extra = np.argsort(-remainder, kind="stable")[: test - whole.sum()]
    whole[extra] += 1
    order = shuffled(len(labels), (SPLIT_SEED, 0))
    by_class = [order[labels[order] == label][:share] for label, share in enumerate(whole)]
    chosen = np.zeros(len(labels), bool)
    chosen[np.concatenate(by_class)] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


@judged
def digits(size: int = 28) -> tuple[ImageDataset, ImageDataset]:
    """1,797 real handwritten digits, 1,437 to train and 360 to test on; no download.

    They come with scikit-learn (the test part of "Optical Recognition of Handwritten Digits", E. Alpaydin and C. Kaynak, UCI 1998):
    8 x 8 pixels of 17 greys, here 0 .. 255. Any larger ``size`` enlarges them by linear interpolation. The split is fixed and
    stratified: the same 360 test images everywhere.

    Raises:
        ValueError: for a size below 8.
        ImportError: without scikit-learn.

    >>> train, test = digits()
    >>> train
    ImageDataset('digits', 1,437 images 28 x 28 x 1, 10 classes)
    """
    integer("digits", "size", size, least=8)  # the side of the original images
    raw = import_extra("digits", "sklearn.datasets", "scikit-learn").load_digits()
    greys, labels = raw.images, raw.target.astype(np.int64)
    if size > 8:
        from scipy.ndimage import zoom

        # grid_mode: pixels are little squares, so that the picture as a whole keeps its place
        greys = zoom(greys, (1, size / 8, size / 8), order=1, mode="nearest", grid_mode=True)
    images = np.rint(greys * (255 / 16)).astype(np.uint8)[..., None]
    whole = ImageDataset(images, labels, tuple("0123456789"), name="digits")
    train, test = stratified_split(labels, DIGITS_TEST_IMAGES)
    return whole[train], whole[test]
