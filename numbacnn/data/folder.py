"""Pictures from a folder: one sub folder for each class."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ..arguments import number, pair
from ..errors import FormatError, message
from ..extras import import_extra
from ..files import open_file
from ..signatures import judged
from .dataset import Dataset, stratified_split

__all__ = ["image_folder", "read_image"]

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What the content of such a file may be: other decoders of pillow start programs, as the one of EPS does."""
Item = tuple[Path, int]  # a picture file and its label


@judged
def image_folder(
    path: str | os.PathLike[str], size: int | tuple[int, int] = 28, channels: int = 1, test_fraction: float = 0.2
) -> tuple[Dataset, Dataset]:
    """A data set from ``FOLDER/class_name/picture.png``, as ``(train, test)``; needs pillow.

    Args:
        path: the folder. Where it holds both ``train`` and ``test``, each with the folders of the classes, that split is taken.
        size: of the images, an int or (H, W); see :func:`read_image` for how pictures are brought to it.
        channels: 1 for grey, 3 for red, green and blue.
        test_fraction: the share of the test set, 0 < f < 1, of every class; the split depends on the sorted file names alone.

    Classes are numbered in the order of their sorted names. Hidden files and files that are no pictures by their suffix are passed over.

    Raises:
        FormatError: where there are no classes, a class has no picture, or a picture can't be read.
        ImportError: without pillow.

    >>> train, test = image_folder("flowers", size=64, channels=3)  # doctest: +SKIP
    """
    _shape("image_folder", size, channels)
    number("image_folder", "test_fraction", test_fraction, lambda v: 0 < v < 1, "between 0 and 1")
    root = Path(path)
    parts = [root / "train", root / "test"]
    if all(part.is_dir() for part in parts):
        classes = _classes(parts[0])
        if unknown := [name for name in _classes(parts[1]) if name not in classes]:
            raise _error(f"the classes of {parts[1]} to be among those of {parts[0]}", f"{', '.join(unknown)} besides")
        split = [_pictures(part, classes) for part in parts]
    else:
        classes = _classes(root)
        split = _split(_pictures(root, classes), test_fraction)
    train, test = (_read_all(items, classes, root.resolve().name, size, channels) for items in split)
    return train, test


def _shape(op: str, size: int | tuple[int, int], channels: int) -> tuple[int, int, int]:
    """(H, W, C) of what is asked for."""
    if channels not in (1, 3):
        raise ValueError(message(op, "channels 1 (grey) or 3 (colour)", f"{channels}"))
    return *pair(op, "size", size, 1), channels


def _error(expected: str, received: str, hint: str = "") -> FormatError:
    return FormatError(message("image_folder", expected, received, hint))


def _visible(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))


def _classes(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise _error(f"a folder {folder}", "a file" if folder.exists() else "no such folder")
    names = tuple(entry.name for entry in _visible(folder) if entry.is_dir())
    if not names:
        raise _error(f"sub folders in {folder}, one for each class", "none", "make FOLDER/class_name/picture.png")
    return names


def _pictures(folder: Path, classes: tuple[str, ...]) -> list[Item]:
    """Every picture with its label. A test folder may lack a class; a folder that is there must not be empty."""
    items: list[Item] = []
    for label, name in enumerate(classes):
        if not (folder / name).is_dir():
            continue
        files = [file for file in _visible(folder / name) if file.suffix.lower() in SUFFIXES]
        if not files:
            raise _error(f"pictures in {folder / name}", "none", f"known suffixes are {' '.join(sorted(SUFFIXES))}")
        items += [(file, label) for file in files]
    return items


def _split(items: list[Item], test_fraction: float) -> list[list[Item]]:
    test = max(1, round(len(items) * test_fraction))
    chosen = stratified_split(np.array([label for _, label in items]), test)
    train_labels = {items[i][1] for i in chosen[0]}
    if lost := [file.parent for file, label in items if label not in train_labels]:
        wanted, hint = f"enough pictures in {lost[0]} for training and testing", "add pictures or lower test_fraction"
        raise _error(wanted, f"{lost.count(lost[0])}", hint)
    return [[items[i] for i in part] for part in chosen]


def _read_all(items: list[Item], classes: tuple[str, ...], name: str, size: int | tuple[int, int], channels: int) -> Dataset:
    from tqdm import tqdm

    images = np.empty((len(items), *_shape("image_folder", size, channels)), np.uint8)
    for image, (file, _) in zip(images, tqdm(items, desc=name, unit="images", leave=False, disable=None)):
        image[:] = read_image(file, size, channels)
    return Dataset(images, np.array([label for _, label in items]), classes, name=name)


@judged
def read_image(path: str | os.PathLike[str], size: int | tuple[int, int] = 28, channels: int = 1) -> np.ndarray:
    """One picture file (BMP, GIF, JPEG, PNG, PPM, TIFF or WebP, told by content), as uint8 (H, W, C).

    The camera's orientation is applied, transparent parts become white, and the largest centred part with the right aspect is scaled to
    ``size`` (an int or (H, W), pixels), bilinear with smoothing. 16-bit greys keep their upper 8 bits.

    Raises:
        FormatError: for a file that is no picture, is damaged, or is unreasonably large.
        FileNotFoundError: where there is none.

    >>> read_image("cat.jpg", size=64, channels=3).shape  # doctest: +SKIP
    (64, 64, 3)
    """
    height, width, _ = shape = _shape("read_image", size, channels)
    pil = import_extra("read_image", "PIL.Image", "pillow")
    fit = import_extra("read_image", "PIL.ImageOps", "pillow")
    with open_file("read_image", "a picture file", path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", pil.DecompressionBombWarning)
        try:
            picture = _flat(fit.exif_transpose(pil.open(file, formats=FORMATS)), pil, "L" if channels == 1 else "RGB")
            pixels = np.asarray(fit.fit(picture, (width, height), pil.Resampling.BILINEAR))
        except Exception as error:  # decoders raise nearly anything on damaged data
            wanted, hint = f"{os.fspath(path)} to be a picture", "repair or remove the file"
            raise FormatError(message("read_image", wanted, f"{type(error).__name__}: {error}", hint)) from error
    return pixels.reshape(shape)


def _flat(picture: Any, pil: Any, mode: str) -> Any:
    """The picture in ``mode``, L or RGB, without transparency."""
    if picture.mode.startswith("I"):  # 16-bit greys, which convert() would clip to white
        picture = pil.fromarray((np.asarray(picture) // 256).clip(0, 255).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        white = pil.new("RGBA", picture.size, "white")
        picture = pil.alpha_composite(white, picture.convert("RGBA"))
    return picture.convert(mode)
