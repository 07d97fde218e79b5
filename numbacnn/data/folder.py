"""Pictures from a folder: one sub folder for each class."""

from __future__ import annotations

import math
import os
import warnings
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..arguments import flag, integer, number
from ..errors import FormatError, message, printable
from ..signatures import judged
from .images import ImageDataset, stratified_split
from .picture import MAX_PIXELS, Decoded, decode, image_shape, is_picture, reason

__all__ = ["ImageFolder", "Reading", "choose_size", "image_folder", "picture_files", "pictures"]

PARTS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
"""What the folder of each part may be called, in any case."""

VERBS = {"test": "test", "val": "validate"}
"""What the pictures of the parts do that shares are taken for, in the order in which they are taken."""

SAMPLE = 128  # pictures that are looked at before a size and channels are chosen
LEAST_SIDE = 16
COLOURED = 24  # levels between the channels of a pixel that noise does not make
LISTED = 10  # bad files that an error names
THREADS = 8

Item = tuple[Path, int]  # a picture file and its label
S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    """What a reader of folders has to say besides the pictures.

    Args:
        passed_over: how many files of each suffix are no pictures, or lie beside the folders of the classes, ``{".txt": 3}``.
        bad: the picture files that can't be read and are left out, with the reasons.
        full_scales: how many pictures of more than 8 bits have each full scale, ``{4095.0: 12}``; see :func:`read_image`.
    """

    passed_over: dict[str, int]
    bad: dict[str, str]
    full_scales: dict[float, int]

    @property
    def lines(self) -> list[str]:
        """The same in sentences, one line each, as a terminal may be given them."""
        lines = []
        if self.passed_over:
            lines.append(f"{sum(self.passed_over.values()):,} files are passed over: {_kinds(self.passed_over)}.")
        if self.full_scales:
            scales = ", ".join(f"{scale:g} in {count:,}" for scale, count in sorted(self.full_scales.items()))
            lines.append(f"Greys of more than 8 bits are scaled picture by picture; white is {scales} of them.")
        lines += [f"{file} is left out: {reason}." for file, reason in self.bad.items()]
        return [printable(line).replace("\n", " ") for line in lines]


@dataclass(frozen=True)
class ImageFolder:
    """The pictures of a folder: to learn from, to choose by, and to judge on; made by :func:`image_folder`.

    (The data set of torchvision's name, which reads a picture when it is asked for, is :class:`numbacnn.vision.datasets.ImageFolder`.)

    Args:
        train, val, test: the parts; None for one that the folder lacks and that no share is taken for.
        layout: one sentence that says where each part comes from.
        reading: what was passed over, left out and scaled.
    """

    train: ImageDataset
    val: ImageDataset | None
    test: ImageDataset | None
    layout: str
    reading: Reading


@judged
def image_folder(
    path: str | os.PathLike[str],
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    *,
    val_share: float = 0.2,
    test_share: float = 0.2,
    classes: Sequence[str] | None = None,
    skip_bad: bool = False,
    max_pixels: int = MAX_PIXELS,
    largest: int = 64,
) -> ImageFolder:
    """Data sets from ``FOLDER/class_name/picture.png``; needs pillow.

    Args:
        path: the folder. Where it holds a folder ``train`` and beside it ``val`` (``valid``, ``validation``) or ``test``, in any case, each
            with the folders of the classes, those are the parts.
        size: of the images, an int or (H, W); see :func:`read_image` for how pictures are brought to it. None takes the
            training pictures' own, where they all have one of 16 to ``largest`` pixels a side; else a square of the median of their shorter
            sides, rounded down to a multiple of 4 and kept within these bounds.
        channels: 1 for grey, 3 for red, green and blue. None takes 3 where at least a tenth of the training pictures have colour: more
            than 2 % of their area, seen at 32 x 32 pixels, whose channels differ by more than 24 of 255 levels.
        val_share, test_share: what part of every class is taken from the training pictures where the folder has no such part,
            0 <= share < 1: first to test, then from the rest to validate. 0 takes none. The choice depends on the sorted file names alone.
        classes: their names, where the labels must follow another run's; the folder may lack some. By default the sorted names of the
            folders with training pictures.
        skip_bad: leave files out that can't be read, which ``reading.bad`` then names.
        max_pixels: a file with more pixels is bad.
        largest: the longest side that is chosen, where size is None.

    The folder of a class may hold folders; hidden ones are passed over, and so are files that are no pictures, by their suffix and by
    their content.

    Raises:
        FormatError: where there are no classes, a class has no picture, or pictures can't be read; all of them are listed.
        ImportError: without pillow.

    >>> flowers = image_folder("flowers", size=64, channels=3)  # doctest: +SKIP
    >>> flowers.train, flowers.layout  # doctest: +SKIP
    (ImageDataset('flowers', 640 images 64 x 64 x 3, 5 classes), 'one folder a class; chosen by file names, 20% of the pictures test ...')
    """
    op = "image_folder"
    for name, share in (("val_share", val_share), ("test_share", test_share)):
        number(op, name, share, lambda v: 0 <= v < 1, "from 0 to below 1")
    reader = _Reader(op, Path(path), size, channels, skip_bad, max_pixels, largest)
    folders = _parts(op, reader.root)
    if folders and "train" not in folders:
        raise _error(op, f"a train folder in {reader.root}", f"{_listed(folders)} alone")
    if folders:
        reader.count(_entries(op, reader.root))
    train = folders.get("train", reader.root)
    names = _classes(op, train) if classes is None else tuple(classes)
    items = {part: reader.items(folder, names, part == "train") for part, folder in (folders or {"train": train}).items()}
    for part, share in (("test", test_share), ("val", val_share)):
        if share and part not in items:
            items["train"], items[part] = _split(op, reader.root, items["train"], part, share)
    found, reading = reader.read(items, names)
    if lost := [name for label, name in enumerate(names) if classes is None and label not in found["train"].labels]:
        raise _error(op, f"a picture in {train / lost[0]} that can be read", "bad ones alone", "repair or remove them")
    layout = _layout(folders, _entries(op, reader.root), {"test": test_share, "val": val_share})
    return ImageFolder(found["train"], found.get("val"), found.get("test"), layout, reading)


@judged
def pictures(
    path: str | os.PathLike[str],
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    *,
    classes: Sequence[str] | None = None,
    skip_bad: bool = False,
    max_pixels: int = MAX_PIXELS,
    largest: int = 64,
) -> tuple[ImageDataset, Reading]:
    """All pictures of ``FOLDER/class_name/picture.png`` as one data set to judge a network on, and what there is to say about them.

    Args:
        path: the folder. Where it holds the parts that :func:`image_folder` knows, the test pictures are taken, or else those of val.
        size, channels, classes, skip_bad, max_pixels, largest: as for :func:`image_folder`.

    Raises:
        FormatError: where there are no pictures, a folder is none of the classes, or pictures can't be read.
        ImportError: without pillow.

    >>> held_out, reading = pictures("held-out", 64, 3, classes=("rose", "tulip"))  # doctest: +SKIP
    """
    op = "pictures"
    reader = _Reader(op, Path(path), size, channels, skip_bad, max_pixels, largest)
    folders = _parts(op, reader.root)
    folder = next((folders[part] for part in ("test", "val", "train") if part in folders), reader.root)
    names = _classes(op, folder) if classes is None else tuple(classes)
    found, reading = reader.read({"train": reader.items(folder, names, classes is None)}, names)
    return found["train"], reading


def choose_size(sizes: Sequence[tuple[int, int]], largest: int = 64) -> tuple[int, int]:
    """(H, W) for pictures of these sizes (H, W), by the rule at :func:`image_folder`.

    >>> choose_size([(480, 640), (50, 70)]), choose_size([(20, 30), (20, 30)]), choose_size([(50, 70), (51, 70)])
    ((64, 64), (20, 30), (48, 48))
    """
    if len(set(sizes)) == 1 and LEAST_SIDE <= min(sizes[0]) <= max(sizes[0]) <= largest:
        return sizes[0]
    middle = int(np.median([min(size) for size in sizes]))
    side = max(min(LEAST_SIDE, largest), min(middle // 4 * 4, largest))
    return side, side


def _kinds(counts: Mapping[str, int]) -> str:
    """How many files there are of each suffix."""
    return ", ".join(f"{count:,} {suffix or 'without a suffix'}" for suffix, count in sorted(counts.items()))


# -- what lies in a folder ----------------------------------------------------------------------------------------------------------
def _error(op: str, expected: str, received: str, hint: str = "") -> FormatError:
    return FormatError(message(op, expected, received, hint))


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _entries(op: str, folder: Path) -> list[Path]:
    """What a folder holds, sorted, without what is hidden or an archiver's own."""
    if not folder.is_dir():
        raise _error(op, f"a folder {folder}", "a file" if folder.exists() else "no such folder")
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith(".") and entry.name != "__MACOSX")
    except OSError as error:
        raise type(error)(message(op, f"a folder {folder}", error.strerror or type(error).__name__)) from None


def _folders(op: str, folder: Path) -> list[Path]:
    return [entry for entry in _entries(op, folder) if entry.is_dir()]


def _classes(op: str, folder: Path) -> tuple[str, ...]:
    names = tuple(entry.name for entry in _folders(op, folder))
    if not names:
        raise _error(op, f"sub folders in {folder}, one for each class", "none", "make FOLDER/class_name/picture.png")
    return names


def _parts(op: str, root: Path) -> dict[str, Path]:
    """The folders of the parts; none where such a name is that of a class, as ``train`` may be beside ``car`` and ``bus``."""
    found: dict[str, Path] = {}
    folders = _folders(op, root)
    for folder in folders:
        part = next((part for part, names in PARTS.items() if folder.name.lower() in names), None)
        if part is None or not _folders(op, folder):
            continue
        if part in found:
            raise _error(op, f"one {part} folder in {root}", f"{found[part].name} and {folder.name}")
        found[part] = folder
    return found if len(found) == len(folders) or ("train" in found and len(found) > 1) else {}


def picture_files(op: str, folder: Path) -> tuple[list[Path], Counter[str]]:
    """The sorted picture files in a folder and the folders in it, and how many files are passed over, by their suffixes."""
    found: list[Path] = []
    others: Counter[str] = Counter()
    pending = [folder]
    while pending:
        for entry in _entries(op, pending.pop()):
            if entry.is_dir() and entry.is_symlink():  # it may lead to the folder that it lies in, or to another class
                others["linked folders"] += 1
            elif entry.is_dir():
                pending.append(entry)
            elif is_picture(op, entry):
                found.append(entry)
            else:
                others[entry.suffix.lower()] += 1
    return sorted(found), others


def _split(op: str, root: Path, items: list[Item], part: str, share: float) -> tuple[list[Item], list[Item]]:
    count = max(1, round(len(items) * share))
    kept, taken = stratified_split(np.array([label for _, label in items]), count)
    labels = {items[i][1] for i in kept}
    chosen = [i for i in taken if items[i][1] in labels]  # a class keeps its only picture to train
    if not chosen:
        wanted, hint = f"enough pictures in {root} to train and {VERBS[part]}", f"add pictures or set {part}_share to 0"
        raise _error(op, wanted, f"{len(items)}", hint)
    return [items[i] for i in sorted({*range(len(items))}.difference(chosen))], [items[i] for i in chosen]


def _layout(folders: dict[str, Path], beside: list[Path], shares: dict[str, float]) -> str:
    """The sentence that says where each part comes from."""
    given = [part for part in PARTS if part in folders]
    of, taken = "the training pictures" if given else "the pictures", []
    for part in (part for part in VERBS if part not in given and shares[part]):
        taken.append(f"{shares[part]:.0%} of {of} {VERBS[part]}")
        of = "the others"
    start = f"{_listed(given)} folder{'s' * (len(given) > 1)}" if given else "one folder a class"
    clauses = [start, *([f"chosen by file names, {_listed(taken)}"] if taken else [])]
    unused = [entry.name for entry in beside if given and entry.is_dir() and entry not in folders.values()]
    return printable("; ".join([*clauses, *([f"{_shortly(unused)} passed over"] if unused else [])]))


# -- reading ------------------------------------------------------------------------------------------------------------------------
@dataclass
class _Reader:
    """How the pictures of one folder are read, and what there is to say about it."""

    op: str
    root: Path
    size: int | tuple[int, int] | None
    channels: int | None
    skip_bad: bool
    max_pixels: int
    largest: int
    passed_over: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        image_shape(self.op, 1 if self.size is None else self.size, 1 if self.channels is None else self.channels)
        flag(self.op, "skip_bad", self.skip_bad)
        integer(self.op, "max_pixels", self.max_pixels)
        integer(self.op, "largest", self.largest)

    def count(self, entries: list[Path]) -> None:
        """Files that lie beside the folders of classes are passed over, pictures too."""
        self.passed_over.update(entry.suffix.lower() for entry in entries if not entry.is_dir())

    def items(self, folder: Path, classes: tuple[str, ...], whole: bool) -> list[Item]:
        """Every picture with its label. Each class must have some where the folder is to be ``whole``."""
        entries = _entries(self.op, folder)
        self.count(entries)
        here = {entry.name: entry for entry in entries if entry.is_dir()}
        if unknown := [name for name in here if name not in classes]:
            wanted = f"the classes of {folder} to be among {_shortly(classes)}"
            raise _error(self.op, wanted, f"{_shortly(unknown)} besides", "remove the folders, or train with them")
        items: list[Item] = []
        for label, name in enumerate(classes):
            files, others = picture_files(self.op, here[name]) if name in here else ([], Counter())
            if whole and name in here and not files:
                raise _error(self.op, f"pictures in {here[name]}", _kinds(others) or "none", "add pictures or remove the folder")
            self.passed_over.update(others)
            items += [(file, label) for file in files]
        if not items:
            raise _error(self.op, f"pictures in {folder}", "none", "make FOLDER/class_name/picture.png")
        return items

    def read(self, parts: dict[str, list[Item]], classes: tuple[str, ...]) -> tuple[dict[str, ImageDataset], Reading]:
        """The parts, each a data set; the first that can't be read as a whole ends it, unless bad files are skipped."""
        items = [item for part in parts.values() for item in part]
        name = self.root.resolve().name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what pillow says about odd metadata
            images, bad, scales = self._decoded(items, self._shape(parts["train"]), name)
        if len(bad) == len(items) or (bad and not self.skip_bad):
            raise self._all_bad(bad, len(items))
        found, start = {}, 0
        for part, members in parts.items():
            good = [i for i, (file, _) in enumerate(members) if file not in bad]
            pixels = images[start : start + len(members)]
            files, labels = [str(members[i][0]) for i in good], np.array([members[i][1] for i in good], np.int64)
            found[part] = ImageDataset(pixels if len(good) == len(pixels) else pixels[good], labels, classes, name=name, files=tuple(files))
            start += len(members)
        return found, Reading(dict(self.passed_over), {str(file): reason for file, reason in bad.items()}, dict(scales))

    def _decoded(self, items: list[Item], shape: tuple[int, int, int], name: str) -> tuple[np.ndarray, dict[Path, str], Counter[float]]:
        """The pictures (N, H, W, C), which of them can't be read and why, and how many have each full scale."""
        from tqdm import tqdm

        images = np.zeros((len(items), *shape), np.uint8)
        bad: dict[Path, str] = {}
        scales: Counter[float] = Counter()
        results = _in_threads(lambda item: self._try(item[0], shape), items)
        with closing(results), tqdm(results, desc=name, total=len(items), unit="images", leave=False, disable=None) as bar:
            for image, (file, _), result in zip(images, items, bar):
                if isinstance(result, str):
                    bad[file] = result
                else:
                    image[:] = result.pixels
                    scales.update([] if result.full_scale is None else [result.full_scale])
        return images, bad, scales

    def _try(self, file: Path, shape: tuple[int, int, int]) -> Decoded | str:
        """The picture, or why it can't be read."""
        try:
            return decode(self.op, file, shape, self.max_pixels)
        except (FormatError, OSError) as error:
            return reason(error)

    def _all_bad(self, reasons: dict[Path, str], count: int) -> FormatError:
        lines = [f"{file}: {reason}" for file, reason in list(reasons.items())[:LISTED]]
        lines += [f"and {len(reasons) - LISTED:,} more"] if len(reasons) > LISTED else []
        hint = "\nrepair or remove them" + ("" if self.skip_bad else ", or leave them out with skip_bad")
        return _error(self.op, f"{count:,} pictures that can be read", f"{len(reasons):,} that can't:\n  " + ";\n  ".join(lines), hint)

    def _shape(self, items: list[Item]) -> tuple[int, int, int]:
        """(H, W, C), of which what is not given is chosen by a sample of the pictures."""
        size, channels = self.size, self.channels
        if size is None or channels is None:
            sample = [file for file, _ in items[:: math.ceil(len(items) / SAMPLE)]]
            seen = [look for look in _in_threads(self._look, sample) if look is not None]
            if size is None:
                size = choose_size([look[0] for look in seen] or [(self.largest, self.largest)], self.largest)
            if channels is None:
                channels = 3 if 10 * sum(coloured for _, coloured in seen) >= max(1, len(seen)) else 1
        return image_shape(self.op, size, channels)

    def _look(self, file: Path) -> tuple[tuple[int, int], bool] | None:
        """(H, W) of a picture, and whether it has colour; None for a bad one."""
        seen = self._try(file, (32, 32, 3))
        if isinstance(seen, str):
            return None
        pixels = seen.pixels.astype(np.int16)
        return seen.size, bool(np.mean(pixels.max(axis=2) - pixels.min(axis=2) > COLOURED) > 0.02)


def _shortly(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")


def _in_threads(work: Callable[[S], T], items: Sequence[S]) -> Generator[T, None, None]:
    """``work`` of each item, in their order; pillow decodes beside other threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(min(THREADS, cores), "numbacnn-pictures") as pool:
        yield from pool.map(work, items)
