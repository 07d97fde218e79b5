"""The pictures of a run: where they lie, how they are brought to the network, and which of them train, choose and judge."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from .. import data, training
from ..data import ImageDataset
from ..data.images import stratified_split
from ..data.picture import MAX_PIXELS
from ..signatures import fits
from .options import UsageError, positive, share, side

__all__ = ["PICTURE_OPTIONS", "SETS", "Parts", "Pictures", "located", "picture_arguments"]

SETS = {"digits": data.digits, "mnist": data.mnist, "fashion-mnist": data.fashion_mnist}
FOLDER_SHARE = 0.2  # of a folder's pictures, to choose by and to judge on


def picture_arguments(sub: argparse.ArgumentParser) -> None:
    group = sub.add_argument_group("pictures", "How they are brought to the network; the defaults are chosen from the pictures.")
    group.add_argument("--size", type=side, metavar="N|HxW", help="pixels of a picture as the network sees it")
    group.add_argument("--channels", type=int, choices=(1, 3), help="1 grey, 3 colour (default: colour where the pictures have colour)")
    group.add_argument("--val-share", type=share, metavar="S", help="part of the training pictures that chooses the best epoch")
    group.add_argument("--test-share", type=share, metavar="S", help="part of all pictures that judges, once, at the end")
    text = "bring each channel to mean 0 and deviation 1 (default for a folder)"
    group.add_argument("--standardise", action=argparse.BooleanOptionalAction, help=text)
    group.add_argument("--skip-bad", action="store_true", default=None, help="go on without the files that can't be read")
    group.add_argument("--max-pixels", type=positive, metavar="N", help="of a picture file; more is an error")


@dataclass(frozen=True)
class Parts:
    """What a network learns from, is chosen by and is judged on; ``lines`` say where they come from and what was passed over."""

    train: ImageDataset
    val: ImageDataset | None
    test: ImageDataset | None
    lines: list[str]

    def each(self, change: Callable[[ImageDataset], ImageDataset]) -> Parts:
        """The same with all data sets changed."""
        val, test = (None if part is None else change(part) for part in (self.val, self.test))
        return Parts(change(self.train), val, test, self.lines)

    def __str__(self) -> str:
        """As "40x40 colour, 8 classes, 286 + 72 + 90 pictures to learn from, to choose by and to judge on"."""
        channels, height, width = self.train.input_shape
        roles = {"to learn from": self.train, "to choose by": self.val, "to judge on": self.test}
        given = {role: len(part) for role, part in roles.items() if part is not None}
        names = ", ".join(given)
        counts = " + ".join(f"{count:,}" for count in given.values())
        kind = "colour" if channels == 3 else "grey"
        return f"{self.train.name}: {height}x{width} {kind}, {len(self.train.classes):,} classes, {counts} pictures {names}"


@dataclass(frozen=True)
class Pictures:
    """What decides the pictures of a run; its checkpoints note it. None is the default of the data set or folder."""

    data: str
    size: tuple[int, int] | None = None
    channels: int | None = None
    val_share: float | None = None
    test_share: float | None = None
    standardise: bool | None = None
    skip_bad: bool = False
    max_pixels: int = MAX_PIXELS

    @classmethod
    def of(cls, args: argparse.Namespace, name: str) -> Pictures:
        """Those of the command's options; UsageError where there are no such data."""
        given = {option: getattr(args, option) for option in PICTURE_OPTIONS if getattr(args, option) is not None}
        return cls(located(name), **given)

    @classmethod
    def noted(cls, notes: Any) -> Pictures | None:
        """Those that :meth:`notes` gave; None for anything else."""
        if not isinstance(notes, Mapping) or notes.keys() != {field.name for field in fields(cls)}:
            return None
        size = notes["size"]
        values = {**notes, "size": tuple(size) if isinstance(size, list) else size}
        hints = get_type_hints(cls)
        return cls(**values) if all(fits(value, hints[name]) for name, value in values.items()) else None

    def notes(self) -> dict[str, Any]:
        """For a checkpoint."""
        return asdict(self) | {"size": None if self.size is None else list(self.size)}

    @property
    def folder(self) -> bool:
        return self.data not in SETS

    def load(self, model: str) -> Parts:
        """The parts, for a network of this name."""
        parts = self._from_folder(model) if self.folder else self._from_set()
        if not (self.folder if self.standardise is None else self.standardise):
            return parts
        pixels = parts.train.images.reshape(-1, parts.train.images.shape[-1])
        mean, std = tuple(pixels.mean(0) / 255), tuple(np.maximum(pixels.std(0) / 255, 1 / 255))
        return parts.each(lambda part: replace(part, mean=mean, std=std))

    def _from_folder(self, model: str) -> Parts:
        found = data.image_folder(
            self.data,
            self.size or training.folder_size(model),
            self.channels,
            val_share=FOLDER_SHARE if self.val_share is None else self.val_share,
            test_share=FOLDER_SHARE if self.test_share is None else self.test_share,
            skip_bad=self.skip_bad,
            max_pixels=self.max_pixels,
            largest=training.LARGEST,
        )
        return Parts(found.train, found.val, found.test, [found.layout, *found.reading.lines])

    def _from_set(self) -> Parts:
        rest, own = SETS[self.data]()
        test: ImageDataset | None = own
        if self.test_share is not None:
            images, labels = np.concatenate([rest.images, own.images]), np.concatenate([rest.labels, own.labels])
            rest, test = _split(replace(rest, images=images, labels=labels), self.test_share)
        return Parts(*_split(rest, self.val_share or 0.0), test, []).each(self._scaled)

    def _scaled(self, part: ImageDataset) -> ImageDataset:
        _, height, width, channels = part.images.shape
        size, channels = self.size or (height, width), self.channels or channels
        if (*size, channels) == part.images.shape[1:]:
            return part
        return replace(
            part, images=np.stack([data.read_image(picture, size, channels) for picture in part.images]), mean=(0.0,), std=(1.0,)
        )


PICTURE_OPTIONS = tuple(field.name for field in fields(Pictures) if field.name != "data")
"""The options of a command that choose the pictures, as :func:`picture_arguments` adds them."""


def located(name: str) -> str:
    """A data set by its name, or a folder by its whole path; UsageError where there is neither."""
    if name in SETS:
        return name
    if not Path(name).is_dir():
        raise UsageError(f"--data: expected one of {', '.join(SETS)}, or a folder of pictures; received {name!r}")
    return str(Path(name).resolve())


def _split(whole: ImageDataset, part: float) -> tuple[ImageDataset, ImageDataset | None]:
    """The rest, and a share of every class; None for a share of 0."""
    if not part:
        return whole, None
    rest, taken = stratified_split(whole.labels, max(1, round(part * len(whole))))
    return whole[rest], whole[taken]
