"""Files in a folder for each class, read one by one when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...arguments import flag
from ...data.picture import opened
from ...errors import message
from ...signatures import judged, shown
from .vision import Transform, VisionDataset, position

__all__ = [
    "IMG_EXTENSIONS",
    "DatasetFolder",
    "ImageFolder",
    "default_loader",
    "find_classes",
    "has_file_allowed_extension",
    "is_image_file",
    "make_dataset",
    "pil_loader",
]

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
Extensions = str | Sequence[str]
Loader = Callable[[str], Any]
Judge = Callable[[str], bool]


@judged
def has_file_allowed_extension(filename: str, extensions: Extensions) -> bool:
    """Whether a name ends in one of the extensions, in any case.

    >>> has_file_allowed_extension("cat.JPG", (".jpg", ".png"))
    True
    """
    return filename.lower().endswith(extensions if isinstance(extensions, str) else tuple(extensions))


@judged
def is_image_file(filename: str) -> bool:
    """Whether a name ends as that of a picture.

    >>> is_image_file("notes.txt")
    False
    """
    return has_file_allowed_extension(filename, IMG_EXTENSIONS)


@judged
def pil_loader(path: str | os.PathLike[str]) -> Any:
    """A file as a Pillow picture in RGB, decoded; the camera's orientation is not applied.

    Raises:
        FormatError: it is no picture, is damaged, or has more pixels than :data:`numbacnn.data.picture.MAX_PIXELS`.
        FileNotFoundError: there is none.
        ImportError: without pillow.

    >>> pil_loader("cat.jpg").mode  # doctest: +SKIP
    'RGB'
    """
    with opened("pil_loader", path) as picture:
        return picture.convert("RGB")


default_loader = pil_loader


@judged
def find_classes(directory: str | os.PathLike[str]) -> tuple[list[str], dict[str, int]]:
    """The sorted names of the folders in a folder, and the label of each.

    Raises:
        FileNotFoundError: there are none.

    >>> find_classes("flowers")  # doctest: +SKIP
    (['rose', 'tulip'], {'rose': 0, 'tulip': 1})
    """
    return _classes("find_classes", directory)


def _classes(op: str, directory: str | os.PathLike[str]) -> tuple[list[str], dict[str, int]]:
    folder = Path(os.path.expanduser(os.fspath(directory)))
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        received = "a file" if os.path.exists(folder) else "no such folder"
        raise FileNotFoundError(message(op, f"a folder {folder}", received)) from None
    except OSError as error:
        raise type(error)(message(op, f"a folder {folder}", error.strerror or type(error).__name__)) from None
    if not names:
        wanted = f"folders in {folder}, one for each class"
        raise FileNotFoundError(message(op, wanted, "none", "make FOLDER/class_name/picture.png"))
    return names, {name: label for label, name in enumerate(names)}


@judged
def make_dataset(
    directory: str | os.PathLike[str],
    class_to_idx: dict[str, int] | None = None,
    extensions: Extensions | None = None,
    is_valid_file: Judge | None = None,
    allow_empty: bool = False,
) -> list[tuple[str, int]]:
    """The path and the label of each file in the folders of the classes, and in the folders within them, sorted.

    Args:
        directory: the folder of the folders.
        class_to_idx: the label of each class; None: as :func:`find_classes` has it. A class may lack its folder only with ``allow_empty``.
        extensions: what the names of the files end in, in any case; or
        is_valid_file: a function that says of a path whether to take it.
        allow_empty: whether a class may have no file.

    Raises:
        FileNotFoundError: a class has no file.
        ValueError: not just one of ``extensions`` and ``is_valid_file`` is given, or there are no classes.

    >>> make_dataset("flowers", extensions=".jpg")  # doctest: +SKIP
    [('flowers/rose/1.jpg', 0), ('flowers/tulip/7.jpg', 1)]
    """
    return _samples("make_dataset", directory, class_to_idx, extensions, is_valid_file, allow_empty)


def _samples(
    op: str,
    directory: str | os.PathLike[str],
    class_to_idx: dict[str, int] | None,
    extensions: Extensions | None,
    is_valid_file: Judge | None,
    allow_empty: bool,
) -> list[tuple[str, int]]:
    if (extensions is None) == (is_valid_file is None):
        raise ValueError(message(op, "one of extensions and is_valid_file", "neither" if extensions is None else "both"))
    root = os.path.expanduser(os.fspath(directory))
    labels = _classes(op, root)[1] if class_to_idx is None else class_to_idx
    if not labels:
        raise ValueError(message(op, "a class in class_to_idx", "none"))
    flag(op, "allow_empty", allow_empty)

    def valid(path: str) -> bool:
        return is_valid_file(path) if is_valid_file else has_file_allowed_extension(path, extensions or ())

    samples: list[tuple[str, int]] = []
    empty = []
    for name in sorted(labels):
        found = [path for path in _files(os.path.join(root, name)) if valid(path)]
        samples += [(path, labels[name]) for path in found]
        empty += [] if found else [name]
    if empty and not allow_empty:
        kinds = f" with names in {extensions if isinstance(extensions, str) else ', '.join(extensions)}" if extensions else ""
        wanted = f"a file{kinds} for each class in {root}"
        raise FileNotFoundError(message(op, wanted, f"none for {', '.join(empty)}", "add files, or pass allow_empty=True"))
    return samples


def _files(folder: str) -> list[str]:
    """All files below a folder; links are followed, but to the folders that they lie in."""
    found = []
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place) + os.sep
        folders[:] = [name for name in folders if not real.startswith(os.path.realpath(os.path.join(place, name)) + os.sep)]
        found.append((place, [os.path.join(place, name) for name in sorted(names)]))
    return [path for _, paths in sorted(found) for path in paths]


@judged
class DatasetFolder(VisionDataset):
    """Files of any kind in ``root/class_name/...``, read by a function of the user's.

    ``classes`` are the sorted names of the folders, ``class_to_idx`` their labels, ``samples`` the paths with their labels, ``targets``
    the labels. A subclass may say ``find_classes`` and ``make_dataset`` anew.

    Args:
        root: the folder of the folders.
        loader: a function that reads a file by its path.
        extensions: what the names of the files end in, in any case; or
        transform: a function of what was read.
        target_transform: a function of the label.
        is_valid_file: a function that says of a path whether to take it.
        allow_empty: whether a class may have no file.

    Raises:
        FileNotFoundError: there are no folders, or one has no file.
        ValueError: not just one of ``extensions`` and ``is_valid_file`` is given.

    >>> signals = DatasetFolder("signals", np.load, extensions=".npy")  # doctest: +SKIP
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        loader: Loader,
        extensions: Extensions | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        is_valid_file: Judge | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        if not callable(loader):
            raise TypeError(message(type(self).__name__, "loader as a function", shown(loader)))
        place: Any = self.root
        self.classes, self.class_to_idx = self.find_classes(place)
        self.samples = self.make_dataset(place, self.class_to_idx, extensions, is_valid_file, allow_empty)
        self.loader, self.extensions = loader, extensions
        self.targets = [label for _, label in self.samples]

    def find_classes(self, directory: str | os.PathLike[str]) -> tuple[list[str], dict[str, int]]:
        """The names of the classes and the label of each; see :func:`find_classes`."""
        return _classes(type(self).__name__, directory)

    @classmethod
    def make_dataset(
        cls,
        directory: str | os.PathLike[str],
        class_to_idx: dict[str, int],
        extensions: Extensions | None = None,
        is_valid_file: Judge | None = None,
        allow_empty: bool = False,
    ) -> list[tuple[str, int]]:
        """The path and the label of each file; see :func:`make_dataset`."""
        return _samples(cls.__name__, directory, class_to_idx, extensions, is_valid_file, allow_empty)

    def __len__(self) -> int:
        return len(self.samples)

    @judged
    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """What the file holds, changed by ``transform``, and its label."""
        path, label = self.samples[position(type(self).__name__, index, len(self))]
        return self._example(self.loader(path), label)


@judged
class ImageFolder(DatasetFolder):
    """Pictures in ``root/class_name/...``, read one by one when they are asked for; needs pillow.

    An example is a Pillow picture in RGB, of its own size, and its label. (:func:`numbacnn.data.image_folder` reads all of them at once
    to one size, splits them, and returns another ``ImageFolder``.) ``imgs`` is another name of ``samples``.

    Args:
        root: the folder of the folders.
        transform: a function of the picture.
        target_transform: a function of the label.
        loader: a function that reads a file by its path.
        is_valid_file: a function that says of a path whether to take it; None: the usual suffixes of pictures.
        allow_empty: whether a class may have no picture.

    Raises:
        FileNotFoundError: there are no folders, or one has no picture.

    >>> flowers = ImageFolder("flowers", transform=lambda picture: picture.resize((32, 32)))  # doctest: +SKIP
    >>> flowers.classes  # doctest: +SKIP
    ['rose', 'tulip']
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        loader: Loader = default_loader,
        is_valid_file: Judge | None = None,
        allow_empty: bool = False,
    ) -> None:
        extensions = IMG_EXTENSIONS if is_valid_file is None else None
        super().__init__(root, loader, extensions, transform, target_transform, is_valid_file, allow_empty)
        self.imgs = self.samples
