"""Pictures from a folder: one sub folder for each class."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..arguments import number
from ..errors import FormatError, message
from ..signatures import judged
from .dataset import Dataset, stratified_split
from .picture import image_shape, read_image

__all__ = ["image_folder"]

SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
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
    image_shape("image_folder", size, channels)
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

    images = np.empty((len(items), *image_shape("image_folder", size, channels)), np.uint8)
    for image, (file, _) in zip(images, tqdm(items, desc=name, unit="images", leave=False, disable=None)):
        image[:] = read_image(file, size, channels)
    return Dataset(images, np.array([label for _, label in items]), classes, name=name)
