"""The IDX format (Y. LeCun's MNIST files), and the two data sets that come in it.

A file is trusted in nothing: sizes are checked before memory is taken, compressed data is inflated no further than its header says,
and the length must be exact. So a damaged file gives a FormatError with its name, never half a data set.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np

from ..errors import FormatError, message
from ..files import open_file
from ..signatures import judged
from .download import RemoteFile, cache_folder, fetch
from .images import ImageDataset

__all__ = ["fashion_mnist", "local", "mnist", "read_idx", "read_pair"]

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMS = 8
CHUNK = 1 << 20
DAMAGED = "the file is damaged: delete it and get it anew"


@judged
def read_idx(path: str | os.PathLike[str], *, max_bytes: int = 1 << 30) -> np.ndarray:
    """The array in an IDX file, plain or gzip-compressed (told apart by content), as a new array in the machine's byte order.

    Args:
        path: the file.
        max_bytes: the most data to accept, in bytes after decompression.

    Raises:
        FormatError: for a truncated, corrupt, oversized or other file.
        FileNotFoundError: where there is none.
        OSError: where it can't be opened.

    >>> read_idx("t10k-labels-idx1-ubyte.gz").shape  # doctest: +SKIP
    (10000,)
    """
    with open_file("read_idx", "an IDX file", path) as file:
        source = _Source(file)
        dtype, shape = _header(source, max_bytes)
        size = dtype.itemsize * math.prod(shape)
        data = source.read(size)
        if len(data) < size:
            raise _error(path, f"{size} bytes of data for shape {shape}", f"only {len(data)}", DAMAGED)
        if source.read(1) or source.has_more():
            raise _error(path, f"nothing after the {size} bytes of data for shape {shape}", "more", DAMAGED)
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _error(path: str | os.PathLike[str], expected: str, received: str, hint: str = "") -> FormatError:
    return FormatError(message("read_idx", f"{os.fspath(path)} to hold {expected}", received, hint))


class _Source:
    """Bytes of an open file, through gzip where it is compressed; never holds more than was asked for and one chunk."""

    def __init__(self, file: BufferedReader) -> None:
        self.file = file
        self.gzip = zlib.decompressobj(wbits=31) if file.peek(2)[:2] == b"\x1f\x8b" else None

    def read(self, limit: int) -> bytearray:
        """Up to ``limit`` bytes: fewer only where the data end."""
        data = bytearray()
        while len(data) < limit and (piece := self._piece(limit - len(data))):
            data += piece
        return data

    def _piece(self, limit: int) -> bytes:
        if self.gzip is None:
            return self.file.read(min(limit, CHUNK))  # read(limit) would take that much memory at once
        while not self.gzip.eof:
            packed = self.gzip.unconsumed_tail or self.file.read(CHUNK)
            try:
                piece = self.gzip.decompress(packed, limit)
            except zlib.error as error:
                raise _error(self.file.name, "sound gzip data", str(error), DAMAGED) from error
            if piece:
                return piece
            if not packed:
                raise _error(self.file.name, "a whole gzip stream", "one that breaks off", DAMAGED)
        return b""

    def has_more(self) -> bool:
        """Whether bytes follow the (compressed) data: for gzip, a second stream would be read silently by other readers."""
        return bool(self.gzip and self.gzip.unused_data) or bool(self.file.read(1))


def _header(source: _Source, max_bytes: int) -> tuple[np.dtype, tuple[int, ...]]:
    path, magic = source.file.name, source.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        received = magic.hex(" ") or "an empty file"
        raise _error(path, "an IDX header: 00 00, a type and a number of dimensions", received, "it is no IDX file")
    if magic[2] not in DTYPES:
        raise _error(path, f"an IDX type out of {bytes(DTYPES).hex(' ')} (hex)", f"{magic[2]:02x}", DAMAGED)
    if not 1 <= magic[3] <= MAX_DIMS:
        raise _error(path, f"1 to {MAX_DIMS} dimensions", f"{magic[3]}", DAMAGED)
    sizes = source.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise _error(path, f"the sizes of {magic[3]} dimensions", f"{len(sizes)} bytes", DAMAGED)
    dtype, shape = np.dtype(DTYPES[magic[2]]), tuple(int(d) for d in np.frombuffer(sizes, ">u4"))
    size = dtype.itemsize * math.prod(max(d, 1) for d in shape)  # NumPy, too, judges an empty array by its other dimensions
    if size > max_bytes:
        received = f"a header for shape {shape}, {size} bytes"
        raise _error(path, f"at most {max_bytes} bytes of data", received, "pass max_bytes to allow more")
    return dtype, shape


@dataclass(frozen=True)
class _IdxSet:
    """A data set of four IDX files: images and labels, to train and to test on."""

    name: str
    classes: tuple[str, ...]
    mirrors: tuple[str, ...]
    files: tuple[RemoteFile, ...]
    first_labels: tuple[int, ...]  # of the training set: all sets of this family use the same four file names


MNIST = _IdxSet(
    "mnist",
    tuple("0123456789"),
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://sagemaker-sample-files.s3.amazonaws.com/datasets/image/MNIST/",
    ),
    (
        RemoteFile("train-images-idx3-ubyte.gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        RemoteFile("train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        RemoteFile("t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        RemoteFile("t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    (5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7, 2, 8, 6, 9),
)
FASHION_MNIST = _IdxSet(
    "fashion-mnist",
    ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    (
        RemoteFile("train-images-idx3-ubyte.gz", 26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        RemoteFile("train-labels-idx1-ubyte.gz", 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        RemoteFile("t10k-images-idx3-ubyte.gz", 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        RemoteFile("t10k-labels-idx1-ubyte.gz", 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    ),
    (9, 0, 0, 3, 0, 2, 7, 2, 5, 5, 0, 9, 5, 5, 7, 9, 1, 0, 6, 4),
)


def mnist() -> tuple[ImageDataset, ImageDataset]:
    """Handwritten digits: 60,000 to train and 10,000 to test on, 28 x 28 x 1 (LeCun, Cortes, Burges 1998).

    The four IDX files (``train-images-idx3-ubyte`` and so on, with or without ``.gz``) are looked for in ``$NUMBACNN_DATA/mnist``,
    ``$NUMBACNN_DATA`` and ``cache_folder()/mnist``; else they are downloaded to the last of these, 12 MB.

    Raises:
        FormatError: for files that are damaged or not these.
        ConnectionError: where they can't be downloaded.

    >>> train, test = mnist()  # doctest: +SKIP
    """
    return _load(MNIST, FASHION_MNIST)


def fashion_mnist() -> tuple[ImageDataset, ImageDataset]:
    """Pictures of clothes in ten classes: 60,000 to train and 10,000 to test on, 28 x 28 x 1 (Xiao, Rasul, Vollgraf 2017).

    Found or downloaded as for :func:`mnist`, with ``fashion-mnist`` as the sub folder, 31 MB.

    >>> train, test = fashion_mnist()  # doctest: +SKIP
    """
    return _load(FASHION_MNIST, MNIST)


def _load(wanted: _IdxSet, other: _IdxSet) -> tuple[ImageDataset, ImageDataset]:
    folder = cache_folder() / wanted.name
    hint = f"get the file by other means, put it into a folder and set NUMBACNN_DATA to that folder (or put it into {folder})"
    paths = local(wanted, other) or [fetch(file, wanted.mirrors, folder, hint=hint) for file in wanted.files]
    train, test = _pair(wanted, *paths[:2]), _pair(wanted, *paths[2:])
    if train.input_shape != test.input_shape:
        sizes = f"{train.input_shape[1:]} and {test.input_shape[1:]}"
        raise _unfit(wanted.name, f"equal image sizes (H, W) in {paths[0]} and {paths[2]}", sizes)
    if _is(other, train.labels):
        expected, hint = f"{paths[1]} to hold the labels of {wanted.name}", f"put {other.name} elsewhere"
        raise _unfit(wanted.name, expected, f"those of {other.name}", hint)
    return train, test


def _unfit(op: str, expected: str, received: str, hint: str = "") -> FormatError:
    return FormatError(message(op, expected, received, hint))


def _is(source: _IdxSet, labels: np.ndarray) -> bool:
    return tuple(labels[: len(source.first_labels)]) == source.first_labels


def local(wanted: _IdxSet, other: _IdxSet) -> list[Path] | None:
    """The four files from the first folder that has them, or None. Part of a set in the user's own folder is an error."""
    for folder in _own_folders(wanted):
        found = _found(folder, wanted)
        if any(found) and not all(found):
            missing = ", ".join(file.name for file, path in zip(wanted.files, found) if not path)
            raise _unfit(wanted.name, f"all four files in {folder}", f"no {missing}", "add what is missing, with or without .gz")
        paths = [path for path in found if path]
        # a folder given by itself may be the other set's, whose files have the same names: then look further
        if paths and (folder.name == wanted.name or not _is(other, read_idx(paths[1]))):
            return paths
    cached = [path for path in _found(cache_folder() / wanted.name, wanted) if path]
    return cached if len(cached) == len(wanted.files) else None


def _own_folders(wanted: _IdxSet) -> Iterator[Path]:
    if root := os.environ.get("NUMBACNN_DATA"):
        yield Path(root).expanduser() / wanted.name
        yield Path(root).expanduser()


def _found(folder: Path, wanted: _IdxSet) -> list[Path | None]:
    names = ((file.name, file.name.removesuffix(".gz")) for file in wanted.files)
    return [next((folder / name for name in pair if (folder / name).is_file()), None) for pair in names]


def _pair(wanted: _IdxSet, image_path: Path, label_path: Path) -> ImageDataset:
    images, labels = read_pair(wanted.name, len(wanted.classes), image_path, label_path)
    return ImageDataset(images[..., None], labels, wanted.classes, name=wanted.name)


def read_pair(op: str, classes: int, image_path: Path, label_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W) of bytes and their labels (N,), for a caller ``op`` who knows how many classes there are.

    Raises:
        FormatError: the files hold something else.
    """
    images, labels = read_idx(image_path), read_idx(label_path)
    if images.ndim != 3 or images.dtype != np.uint8 or not images.size:
        raise _unfit(op, f"{image_path} to hold images (N, H, W) of bytes", f"{images.shape} of {images.dtype}")
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise _unfit(op, f"{label_path} to hold labels (N,) of integers", f"{labels.shape} of {labels.dtype}")
    if len(images) != len(labels):
        raise _unfit(op, f"{label_path} to hold {len(images)} labels, one for each image of {image_path}", f"{len(labels)}")
    if labels.min() < 0 or labels.max() >= classes:
        raise _unfit(op, f"{label_path} to hold labels 0 .. {classes - 1}", f"{labels.min()} .. {labels.max()}", DAMAGED)
    return images, labels
