"""STL-10: few labelled pictures and many without labels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...arguments import flag, integer, one_of
from ...data.download import RemoteFile
from ...errors import FormatError, message
from ...signatures import judged
from .vision import PublishedDataset, Source, Transform

__all__ = ["STL10"]

SHAPE = (3, 96, 96)
FOLDS = 10


@judged
class STL10(PublishedDataset):
    """Photographs in ten classes, 96 x 96, in colour, most of them without a label (Coates, Lee, Ng 2011).

    An example is a Pillow picture in RGB and its label, -1 where there is none. ``data`` is an array (N, 3, 96, 96) of bytes, ``labels``
    one (N,) of int64. The files lie in ``root/stl10_binary``.

    Args:
        root: the folder with the folder ``stl10_binary``.
        split: "train" (5,000 pictures), "test" (8,000), "unlabeled" (100,000) or "train+unlabeled".
        folds: 0 to 9 takes one of the ten published parts of 1,000 training pictures; None takes all.
        transform: a function of the picture.
        target_transform: a function of the label.
        download: whether to download the files where they are missing, 2.6 GB.

    Raises:
        RuntimeError: the files are missing, or others than those published, and ``download`` is False.
        ConnectionError: the files can't be downloaded.

    >>> train = STL10("data", split="train", download=True)  # doctest: +SKIP
    """

    _source = Source(
        ("http://ai.stanford.edu/~acoates/stl10/",),
        (RemoteFile("stl10_binary.tar.gz", 2640397119, "f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866"),),
        1 << 32,
    )
    _label_field = "labels"
    _channels_first = True
    base_folder = "stl10_binary"
    splits = ("train", "train+unlabeled", "unlabeled", "test")
    checksums: ClassVar[dict[str, str]] = {
        "train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
        "train_y.bin": "5a34089d4802c674881badbb80307741",
        "unlabeled_X.bin": "5242ba1fed5e4be9e1e742405eb56ca4",
        "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
        "test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
    }

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        folds: int | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        one_of("STL10", "split", split, self.splits)
        self.split = split
        self.folds = None if folds is None else integer("STL10", "folds", folds, 0, FOLDS - 1)
        self._find(flag("STL10", "download", download))
        parts = [self._part(name) for name in split.split("+")]
        self.data = parts[0][0] if len(parts) == 1 else np.concatenate([images for images, _ in parts])
        self.labels = np.concatenate([labels for _, labels in parts])
        names = self._place() / "class_names.txt"
        if names.is_file():
            self.classes = names.read_text().splitlines()

    def extra_repr(self) -> str:
        return f"Split: {self.split}"

    def _place(self) -> Path:
        return self._folder() / self.base_folder

    def _needed(self) -> Mapping[Path, str]:
        parts = self.split.split("+")
        return {self._place() / name: md5 for name, md5 in self.checksums.items() if name.split("_")[0] in parts}

    def _part(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Pictures, stored column by column, and labels, stored from 1."""
        images = np.fromfile(self._place() / f"{name}_X.bin", np.uint8).reshape(-1, *SHAPE).transpose(0, 1, 3, 2)
        if name == "unlabeled":
            return images, np.full(len(images), -1, np.int64)
        labels = np.fromfile(self._place() / f"{name}_y.bin", np.uint8).astype(np.int64) - 1
        if name == "train" and self.folds is not None:
            chosen = self._fold(self.folds, len(images))
            return images[chosen], labels[chosen]
        return images, labels

    def _fold(self, fold: int, length: int) -> np.ndarray:
        """Which of so many pictures are those of a fold: a line of a file without a published checksum."""
        path = self._place() / "fold_indices.txt"
        try:
            chosen = np.array(path.read_text().splitlines()[fold].split(), np.int64)
        except (OSError, ValueError, IndexError) as error:
            raise FormatError(message("STL10", f"{path} to hold {FOLDS} lines of numbers", f"{error}", "get the archive anew")) from error
        if not len(chosen) or not 0 <= chosen.min() <= chosen.max() < length:
            raise FormatError(message("STL10", f"{path} to hold numbers below {length}", "others", "get the archive anew"))
        return chosen
