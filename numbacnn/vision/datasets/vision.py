"""What the data sets share: the place of their files, what is done with each example, and how they are shown."""

from __future__ import annotations

import hashlib
import operator
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...data import Dataset, transforms
from ...data.archive import SUFFIXES, unpack
from ...data.download import RemoteFile, fetch
from ...errors import message
from ...extras import import_extra
from ...signatures import judged, shown
from ...tensor import Tensor

__all__ = ["PublishedDataset", "Source", "StandardTransform", "VisionDataset", "position"]

Transform = Callable[[Any], Any]
WHOLE_BATCH = tuple(getattr(transforms, name) for name in transforms.__all__ if name != "Transform")


class StandardTransform:
    """One change to the picture and one to the label, as one function of both.

    >>> StandardTransform(target_transform=str)("picture", 3)
    ('picture', '3')
    """

    def __init__(self, transform: Transform | None = None, target_transform: Transform | None = None) -> None:
        self.transform, self.target_transform = transform, target_transform

    def __call__(self, input: Any, target: Any) -> tuple[Any, Any]:
        if self.transform is not None:
            input = self.transform(input)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return input, target

    def __repr__(self) -> str:
        lines = [type(self).__name__]
        for head, transform in (("Transform: ", self.transform), ("Target transform: ", self.target_transform)):
            if transform is not None:
                lines.append(head + repr(transform).replace("\n", "\n" + " " * len(head)))
        return "\n".join(lines)


@judged
class VisionDataset(Dataset[Any]):
    """A data set of pictures; one of one's own says ``__getitem__`` and ``__len__``.

    Args:
        root: the folder of the files.
        transforms: a function of the picture and the label that gives both; in place of the other two.
        transform: a function of the picture, such as those of torchvision's names; not one of :mod:`numbacnn.data`, which change
            whole batches.
        target_transform: a function of the label.

    Raises:
        TypeError: a transform is no function, or one for whole batches.
        ValueError: ``transforms`` is given beside the others.

    >>> class Squares(VisionDataset):
    ...     def __len__(self):
    ...         return 5
    ...     def __getitem__(self, index):
    ...         return self.transforms("picture", index**2)
    >>> data = Squares("squares", target_transform=str)
    >>> data[3]
    ('picture', '9')
    >>> data
    Dataset Squares
        Number of datapoints: 5
        Root location: squares
        StandardTransform
        Target transform: <class 'str'>
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        transforms: Callable[[Any, Any], tuple[Any, Any]] | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
    ) -> None:
        op = type(self).__name__
        for name, given in (("transforms", transforms), ("transform", transform), ("target_transform", target_transform)):
            if isinstance(given, WHOLE_BATCH):
                hint = "give it to the DataLoader of an ImageDataset"
                raise TypeError(message(op, f"{name} of one picture", f"{type(given).__name__} of numbacnn.data, of whole batches", hint))
            if given is not None and not callable(given):
                raise TypeError(message(op, f"{name} as a function or None", shown(given)))
        separate = transform is not None or target_transform is not None
        if transforms is not None and separate:
            raise ValueError(message(op, "transforms, or transform and target_transform", "both"))
        self.root = os.path.expanduser(root) if isinstance(root, str) else root
        self.transform, self.target_transform = transform, target_transform
        self.transforms = StandardTransform(transform, target_transform) if separate else transforms

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} has no __len__")

    def extra_repr(self) -> str:
        """More lines for ``repr``."""
        return ""

    def __repr__(self) -> str:
        lines = [f"Number of datapoints: {len(self)}"]
        lines += [] if self.root is None else [f"Root location: {self.root}"]
        lines += self.extra_repr().splitlines()
        lines += [] if self.transforms is None else repr(self.transforms).splitlines()
        return "\n    ".join([f"Dataset {type(self).__name__}", *lines])

    def _example(self, picture: Any, target: Any) -> tuple[Any, Any]:
        """What a user gets; he may have set other transforms since."""
        return StandardTransform(self.transform, self.target_transform)(picture, target)


def position(op: str, index: int, length: int) -> int:
    """An index as a number from 0; negative ones count from the end.

    Raises:
        IndexError: there is no such example; which ends a loop over the data set.

    >>> position("MNIST", -1, 5)
    4
    """
    at = operator.index(index)
    if not -length <= at < length:
        raise IndexError(message(op, f"an index from {-length} to {length - 1}", f"{at}"))
    return at % length


# -- data sets that somebody publishes -------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Source:
    """Where the files of a data set come from.

    Args:
        mirrors: URLs to which the name of a file is added.
        files: what there is; archives are unpacked.
        most: how many bytes an archive may hold.
    """

    mirrors: tuple[str, ...]
    files: tuple[RemoteFile, ...]
    most: int


class PublishedDataset(VisionDataset):
    """Labelled pictures in memory, whose files are published: one array of bytes, from which each picture is made when it is asked for."""

    _source: ClassVar[Source]
    _label_field: ClassVar[str] = "targets"
    _channels_first: ClassVar[bool] = False
    data: Any

    def _folder(self) -> Path:
        """Where downloads go."""
        return Path(os.fspath(self.root or ""))

    def _needed(self) -> Mapping[Path, str]:
        """The files that this part is read from, and the MD5 of each; "" for any."""
        raise NotImplementedError

    def _wanted(self) -> tuple[RemoteFile, ...]:
        """The files that are downloaded where one that is needed is missing."""
        return self._source.files

    def download(self) -> None:
        """Download and unpack the files to ``root``, unless they are there already.

        Raises:
            ConnectionError: no mirror has them; the message names each with its reason.
            FormatError: an archive can't be unpacked.
        """
        if not self._lack():
            return
        folder = self._folder()
        for file in self._wanted():
            path = fetch(file, self._source.mirrors, folder)
            if path.name.endswith(SUFFIXES):
                unpack(type(self).__name__, path, folder, self._source.most)

    def _lack(self) -> str:
        """What is missing, or other than it should be; "" for nothing."""
        for path, md5 in self._needed().items():
            if not path.is_file():
                return f"no {path.name}"
            if md5 and (found := _md5(path)) != md5:
                return f"{path.name} with MD5 {found} instead of {md5}"
        return ""

    def _find(self, download: bool) -> None:
        """Judge that the files are there, downloaded where they are not and may be.

        Raises:
            RuntimeError: they are not.
        """
        if download:
            self.download()
        if lack := self._lack():
            folder = next(iter(self._needed())).parent
            hint = "use download=True to download it"
            raise RuntimeError(message(type(self).__name__, f"the files of {type(self).__name__} in {folder}", lack, hint))

    def __len__(self) -> int:
        return len(self.data)

    @judged
    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The picture, a Pillow picture or what ``transform`` makes of it, and its label."""
        at = position(type(self).__name__, index, len(self))
        pil, pixels = import_extra(type(self).__name__, "PIL.Image", "pillow"), np.asarray(_member(self.data, at))
        picture = pil.fromarray(pixels.transpose(1, 2, 0) if self._channels_first else pixels)
        return self._example(picture, int(_member(getattr(self, self._label_field), at)))


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _member(values: Any, at: int) -> Any:
    """One of the values, which may be a Tensor, an array or a list: users set ``data`` and ``targets`` to parts of them."""
    return values.numpy()[at] if isinstance(values, Tensor) else values[at]
