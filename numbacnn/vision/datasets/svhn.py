"""SVHN: house numbers, in MATLAB's files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...arguments import flag, one_of
from ...data.download import RemoteFile
from ...errors import FormatError, message
from ...signatures import judged
from .vision import PublishedDataset, Source, Transform

__all__ = ["SVHN"]


@judged
class SVHN(PublishedDataset):
    """Digits cut out of photographs of house numbers, 32 x 32, in colour (Netzer and others 2011).

    An example is a Pillow picture in RGB and its label; a 0 has the label 0. ``data`` is an array (N, 3, 32, 32) of bytes, ``labels``
    one (N,) of int64. The files lie in ``root``.

    Args:
        root: the folder of the files.
        split: "train" (73,257 digits), "test" (26,032) or "extra" (531,131 easier ones).
        transform: a function of the picture.
        target_transform: a function of the label.
        download: whether to download the file where it is missing: 182 MB, 64 MB or 1.3 GB.

    Raises:
        RuntimeError: the file is missing, or another than that published, and ``download`` is False.
        ConnectionError: the file can't be downloaded.

    >>> test = SVHN("data", split="test", download=True)  # doctest: +SKIP
    """

    _source = Source(
        ("http://ufldl.stanford.edu/housenumbers/",),
        (
            RemoteFile("train_32x32.mat", 182040794, "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8"),
            RemoteFile("test_32x32.mat", 64275384, "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b"),
            RemoteFile("extra_32x32.mat", 1329278602, "a133a4beb38a00fcdda90c9489e0c04f900b660ce8a316a5e854838379a71eb3"),
        ),
        0,
    )
    _label_field = "labels"
    _channels_first = True
    split_list: ClassVar[dict[str, str]] = {
        "train": "e26dedcc434d2e4c54c9b2d4a06d8373",
        "test": "eb5a983be6a315427106f1b164d9cef3",
        "extra": "a93ce644f1a588dc4d68dda5feec44a7",
    }

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        one_of("SVHN", "split", split, self.split_list)
        self.split = split
        self._find(flag("SVHN", "download", download))
        (path,) = self._needed()
        self.data, self.labels = _read(path)

    def extra_repr(self) -> str:
        return f"Split: {self.split}"

    def _needed(self) -> Mapping[Path, str]:
        return {self._folder() / f"{self.split}_32x32.mat": self.split_list[self.split]}

    def _wanted(self) -> tuple[RemoteFile, ...]:
        return tuple(file for file in self._source.files if file.name.startswith(self.split))


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, 3, 32, 32), a view of the memory in MATLAB's order, and labels (N,)."""
    from scipy.io import loadmat

    try:
        found = loadmat(path, variable_names=("X", "y"))
        images, labels = found["X"], found["y"].reshape(-1)
    except Exception as error:  # SciPy's reader raises nearly anything on damaged files
        wanted = f"{path} to be a MATLAB file with X and y"
        raise FormatError(message("SVHN", wanted, f"{type(error).__name__}: {error}", "delete it and get it anew")) from error
    fits = images.ndim == 4 and images.shape[:3] == (32, 32, 3) and images.dtype == np.uint8 and labels.dtype.kind in "iu"
    if not fits or len(labels) != images.shape[3] or not np.isin(labels, range(1, 11)).all():
        wanted = f"{path} to hold X (32, 32, 3, N) of bytes and y (N, 1) from 1 to 10"
        raise FormatError(message("SVHN", wanted, f"X {images.shape} of {images.dtype} and y {found['y'].shape} of {labels.dtype}"))
    return images.transpose(3, 2, 0, 1), labels.astype(np.int64) % 10  # 10 stands for the digit 0
