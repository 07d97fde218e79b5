"""Data sets, IDX files, downloads (from a server in this process; never the network), transforms and the loader."""

from __future__ import annotations

import copy
import doctest
import gzip
import hashlib
import os
import pickle
import struct
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mirror import Server, raises, serving
from mirror import nothing_outside as nothing_outside  # a fixture for these tests too

from numbacnn import random
from numbacnn.data import (
    ColorJitter,
    Compose,
    DataLoader,
    ImageDataset,
    Normalise,
    Normalize,
    RandomCrop,
    RandomErase,
    RandomFlip,
    cache_folder,
    digits,
    download,
    fashion_mnist,
    idx,
    loader,
    mnist,
    read_idx,
    read_image,
    to_float,
    transforms,
)
from numbacnn.data import (
    images as pictures,
)
from numbacnn.errors import DeviceError, DTypeError, FormatError, ShapeError
from numbacnn.tensor import from_array

OWN_DATA = os.environ.get("NUMBACNN_DATA", "")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def some(n: int = 10, height: int = 4, width: int = 3, channels: int = 1, **options: object) -> ImageDataset:
    images = rng().integers(0, 256, (n, height, width, channels), dtype=np.uint8)
    return ImageDataset(images, np.arange(n) % 3, ("a", "b", "c"), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("module", [pictures, loader, transforms, download], ids=lambda module: module.__name__)
def test_the_examples_in_the_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


# -- ImageDataset ---------------------------------------------------------------------------------------------------------------------


def test_dataset_is_normal_form() -> None:
    images = np.zeros((2, 3, 5, 4), np.uint8).transpose(0, 3, 1, 2)  # not contiguous: (2, 4, 3, 5)
    data = ImageDataset(images, np.array([1, 0], np.uint8), ["x", "y"], mean=0.5, std=[1, 2, 3, 4, 5])  # type: ignore[arg-type]
    assert data.images.flags.c_contiguous and data.labels.dtype == np.int64 and data.classes == ("x", "y")
    assert data.input_shape == (5, 4, 3) and data.mean == (0.5,) * 5 and data.std == (1.0, 2.0, 3.0, 4.0, 5.0)
    assert repr(data) == "ImageDataset('dataset', 2 images 4 x 3 x 5, 2 classes)"


def test_dataset_subsets() -> None:
    data = some(name="n", mean=0.25)
    for index in (slice(2, 5), [2, 3, 4], np.array([2, 3, 4]), np.isin(np.arange(10), [2, 3, 4])):
        part = data[index]
        assert isinstance(part, ImageDataset) and len(part) == 3
        assert (part.images == data.images[2:5]).all() and (part.labels == data.labels[2:5]).all()
        assert (part.name, part.mean, part.classes) == (data.name, data.mean, data.classes)
    image, label = data[4]
    assert (image == data.images[4]).all() and label == 1 and isinstance(label, int)
    assert len(list(data)) == 10  # type: ignore[call-overload]
    assert len(data[:0]) == 0


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (
            {"images": np.zeros((3, 4, 5), np.uint8)},
            ShapeError,
            "[ImageDataset] expected images (N, H, W, C); received images (3, 4, 5); grey images have C = 1.",
        ),
        ({"images": [1]}, ShapeError, "[ImageDataset] expected images (N, H, W, C); received images of type list; grey images have C = 1."),
        (
            {"images": np.zeros((3, 4, 5, 1))},
            DTypeError,
            "[ImageDataset] expected images of dtype uint8 (0 .. 255); received dtype float64; give arrays of floats to DataLoader.",
        ),
        ({"labels": np.arange(2)}, ShapeError, "[ImageDataset] expected labels (3,), one for each image; received labels (2,)."),
        (
            {"labels": np.zeros(3)},
            DTypeError,
            "[ImageDataset] expected labels of an integer dtype; received dtype float64; labels are class indices.",
        ),
        (
            {"labels": np.array([0, 2, 1])},
            ValueError,
            "[ImageDataset] expected labels 0 .. 1 for 2 classes; received labels 0 .. 2; name every class.",
        ),
        (
            {"labels": np.array([0, -1, 1])},
            ValueError,
            "[ImageDataset] expected labels 0 .. 1 for 2 classes; received labels -1 .. 1; name every class.",
        ),
        ({"mean": [1, 2, 3]}, ShapeError, "[ImageDataset] expected mean with 1 or C = 1 values; received 3 values."),
        ({"mean": float("nan")}, ValueError, "[ImageDataset] expected mean of finite numbers; received mean (nan,)."),
        ({"std": 0}, ValueError, "[ImageDataset] expected std of positive finite numbers; received std (0.0,)."),
    ],
)
def test_dataset_errors(change: dict[str, object], kind: type[Exception], text: str) -> None:
    good = {"images": np.zeros((3, 4, 5, 1), np.uint8), "labels": np.array([0, 1, 1]), "classes": ("a", "b")}
    with raises(kind, text):
        ImageDataset(**(good | change))  # type: ignore[arg-type]


@pytest.mark.parametrize("channels", [1, 3])
def test_to_float_is_the_formula_rounded_at_each_step(channels: int) -> None:
    images = np.arange(256, dtype=np.uint8).repeat(channels).reshape(4, 8, 8, channels)
    mean, std = np.float32([0.1, 0.5, 0.7])[:channels], np.float32([0.3, 1, 2])[:channels]
    assert (to_float(images) == (images / 255).astype(np.float32)).all()  # exact: correctly rounded
    assert to_float(images).dtype == np.float32 and to_float(images).flags.c_contiguous
    expected = (images.astype(np.float32) / np.float32(255) - mean) / std
    assert (to_float(images, mean.tolist(), std.tolist()) == expected).all()
    assert to_float(images[:0], 0.5, 0.5).shape == (0, 8, 8, channels)
    with raises(ShapeError, f"[to_float] expected std with 1 or C = {channels} values; received 2 values."):
        to_float(images, 0.0, [1.0, 2.0])


# -- digits ----------------------------------------------------------------------------------------------------------------------


def test_digits_split_is_fixed_and_stratified() -> None:
    train, test = digits(size=8)
    assert (len(train), len(test)) == (1437, 360) and train.input_shape == (1, 8, 8)
    assert train.images.min() == 0 and train.images.max() == 255
    counts = np.bincount(np.concatenate([train.labels, test.labels]))
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (np.abs(np.bincount(test.labels) - counts * 360 / 1797) < 1).all()
    # which images these are must never change: published accuracies are about them
    assert hashlib.sha256(test.images.tobytes() + test.labels.tobytes()).hexdigest()[:16] == "0d922f728daa3807"


def test_digits_enlarged() -> None:
    small, large = digits(size=8)[1], digits()[1]
    assert large.input_shape == (1, 28, 28) and (large.labels == small.labels).all() and large.images.max() == 255
    brightness = large.images.mean((1, 2, 3)) - small.images.mean((1, 2, 3))
    assert abs(brightness.mean()) < 3  # greys are kept on the whole ...
    middle = large.images[:, 1::7, 1::7] / 2 + large.images[:, 2::7, 2::7] / 2
    assert np.corrcoef(middle.ravel(), small.images[:, ::2, ::2].ravel())[0, 1] > 0.95  # ... and each where it was


@pytest.mark.parametrize(("value", "kind"), [(0, "dark"), (120, "mixed"), (250, "bright")])
def test_background(value: int, kind: str) -> None:
    images = np.full((2, 8, 8, 1), value, np.uint8)
    images[:, 1:-1, 1:-1] = 255 - value
    assert pictures.background(images) == kind


def characters(ink: tuple[int, ...], paper: tuple[int, ...]) -> np.ndarray:
    """Eight pictures with an upright and a bar, as letters have them."""
    images = np.full((8, 20, 16, len(ink)), paper, np.uint8)
    images[:, 3:17, 5:7], images[:, 10:12, 7:12] = ink, ink
    return images


def photographs(channels: int) -> np.ndarray:
    """Eight pictures of smooth colours that reach the borders."""
    small = rng().integers(0, 256, (8, 5, 4, channels), np.uint8)
    return small.repeat(4, axis=1).repeat(4, axis=2)


@pytest.mark.parametrize(
    ("images", "drawn"),
    [
        (characters((0,), (255,)), True),
        (characters((230,), (10,)), True),
        (characters((10, 20, 10), (240, 250, 245)), True),
        (np.concatenate([characters((0,), (255,)), photographs(1)[:2]]), True),
        (np.concatenate([characters((0,), (255,)), photographs(1)[:3]]), False),
        (characters((0,), (128,)), False),  # no paper
        (characters((200,), (255,)), False),  # no ink
        (characters((200, 0, 0), (255, 255, 255)), False),  # colour
        (photographs(1), False),
        (photographs(3), False),
        (np.full((3, 8, 8, 1), 255, np.uint8), False),  # nothing drawn
        (np.empty((0, 8, 8, 1), np.uint8), False),
    ],
)
def test_looks_drawn(images: np.ndarray, drawn: bool) -> None:
    assert pictures.looks_drawn(images) is drawn


def test_digits_look_drawn() -> None:
    assert pictures.looks_drawn(digits()[0].images) and pictures.looks_drawn(digits(8)[1].images)
    with raises(ShapeError, "[looks_drawn] expected images (N, H, W, C) of bytes; received an array of shape (8, 8) and dtype float64."):
        pictures.looks_drawn(np.zeros((8, 8)))


def test_digits_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with raises(ValueError, "[digits] expected size as an integer of at least 8; received 7."):
        digits(size=7)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    text = (
        "[digits] expected scikit-learn to be installed; received ModuleNotFoundError: import of sklearn.datasets halted; "
        'None in sys.modules; run: pip install "numbacnn[demo]".'
    )
    with raises(ImportError, text):
        digits()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.data())
@settings(max_examples=50, deadline=None)
def test_stratified_split_properties(labels: list[int], data: st.DataObject) -> None:
    test = data.draw(st.integers(0, len(labels)))
    values = np.array(labels)
    first, second = pictures.stratified_split(values, test)
    assert len(second) == test and sorted([*first, *second]) == list(range(len(labels)))
    share = np.bincount(values) * test / len(labels)
    assert (np.abs(np.bincount(values[second], minlength=len(share)) - share) < 1).all()


def test_the_order_of_an_epoch_is_fixed_for_ever() -> None:
    assert pictures.shuffled(10, (0, 0)).tolist() == [0, 2, 9, 1, 8, 5, 4, 3, 6, 7]
    assert pictures.shuffled(10, (1, 0)).tolist() == [3, 5, 2, 9, 7, 0, 8, 6, 1, 4]
    assert pictures.shuffled(0, (0, 0)).tolist() == []


# -- IDX -------------------------------------------------------------------------------------------------------------------------

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def as_idx(array: np.ndarray, dtype: str = "u1") -> bytes:
    header = bytes([0, 0, CODES[dtype], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(dtype).tobytes()


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (0, 7), (1, 1, 1, 1, 1, 1, 1, 1)])
@pytest.mark.parametrize("pack", [bytes, packed], ids=["plain", "gzip"])
def test_read_idx_all_types(tmp_path: Path, dtype: str, shape: tuple[int, ...], pack: object) -> None:
    array = (np.arange(np.prod(shape)).reshape(shape) * 3 - 20).astype(np.dtype(dtype).newbyteorder("="))
    path = tmp_path / "a"
    path.write_bytes(pack(as_idx(array, dtype)))  # type: ignore[operator]
    result = read_idx(path)
    assert result.shape == shape and result.dtype == array.dtype and result.dtype.isnative and (result == array).all()
    assert result.flags.writeable and result.flags.c_contiguous


GOOD = as_idx(np.arange(24).reshape(2, 3, 4))
DAMAGED = "the file is damaged: delete it and get it anew"
HUGE = bytes([0, 0, 8, 3]) + struct.pack(">3I", 1, 1 << 20, 1 << 20)


@pytest.mark.parametrize(
    ("content", "expected", "received"),
    [
        (b"", "an IDX header: 00 00, a type and a number of dimensions", "an empty file; it is no IDX file"),
        (b"\0\0", "an IDX header: 00 00, a type and a number of dimensions", "00 00; it is no IDX file"),
        (b"<htm", "an IDX header: 00 00, a type and a number of dimensions", "3c 68 74 6d; it is no IDX file"),
        (b"\0\0\x0a\1", "an IDX type out of 08 09 0b 0c 0d 0e (hex)", f"0a; {DAMAGED}"),
        (b"\0\0\x08\0", "1 to 8 dimensions", f"0; {DAMAGED}"),
        (b"\0\0\x08\x09", "1 to 8 dimensions", f"9; {DAMAGED}"),
        (GOOD[:9], "the sizes of 3 dimensions", f"5 bytes; {DAMAGED}"),
        (
            HUGE,
            "at most 1073741824 bytes of data",
            "a header for shape (1, 1048576, 1048576), 1099511627776 bytes; pass max_bytes to allow more",
        ),
        (GOOD[:-1], "24 bytes of data for shape (2, 3, 4)", f"only 23; {DAMAGED}"),
        (GOOD + b"x", "nothing after the 24 bytes of data for shape (2, 3, 4)", f"more; {DAMAGED}"),
        (packed(GOOD[:-1]), "24 bytes of data for shape (2, 3, 4)", f"only 23; {DAMAGED}"),
        (packed(GOOD + b"x"), "nothing after the 24 bytes of data for shape (2, 3, 4)", f"more; {DAMAGED}"),
        (packed(GOOD) + packed(b""), "nothing after the 24 bytes of data for shape (2, 3, 4)", f"more; {DAMAGED}"),
        (packed(GOOD) + b"\0", "nothing after the 24 bytes of data for shape (2, 3, 4)", f"more; {DAMAGED}"),
        (packed(GOOD)[:-1], "a whole gzip stream", f"one that breaks off; {DAMAGED}"),
        (packed(GOOD)[:-8] + bytes(8), "sound gzip data", f"Error -3 while decompressing data: incorrect data check; {DAMAGED}"),
    ],
)
def test_read_idx_errors(tmp_path: Path, content: bytes, expected: str, received: str) -> None:
    path = tmp_path / "some file"
    path.write_bytes(content)
    with raises(FormatError, f"[read_idx] expected {path} to hold {expected}; received {received}."):
        read_idx(path)


def test_read_idx_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        read_idx(tmp_path / "nothing-here")


def test_read_idx_trailing_data_at_a_chunk_boundary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pieces in which a file is read are of no account."""
    path = tmp_path / "a"
    for chunk in (1, 2, 3, 7, len(packed(GOOD))):
        monkeypatch.setattr(idx, "CHUNK", chunk)
        for pack in (bytes, packed):
            path.write_bytes(pack(GOOD))
            assert read_idx(path).sum() == 276
            path.write_bytes(pack(GOOD) + b"x")
            with pytest.raises(FormatError):
                read_idx(path)


@pytest.mark.parametrize("pack", [bytes, packed], ids=["plain", "gzip"])
def test_a_lying_header_takes_no_memory(tmp_path: Path, pack: object) -> None:
    path = tmp_path / "a"
    path.write_bytes(pack(bytes([0, 0, 8, 1]) + struct.pack(">I", 1 << 30) + b"few"))  # type: ignore[operator]
    tracemalloc.start()
    with pytest.raises(FormatError, match="only 3"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def test_a_gzip_bomb_is_not_inflated(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(packed(GOOD + bytes(64 << 20)))
    tracemalloc.start()
    with pytest.raises(FormatError, match="nothing after the 24 bytes"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20


def read_back(content: bytes) -> np.ndarray | None:
    """The array in a file with this content, None for a FormatError; anything else comes out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(content)
        try:
            return read_idx(path)
        except FormatError as error:
            assert str(error).startswith(f"[read_idx] expected {path} to hold ")
            return None


@given(st.integers(0, 10_000), st.integers(1, 255), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_flipped_byte_is_noticed_or_harmless(place: int, mask: int, compressed: bool) -> None:
    content = bytearray(packed(GOOD) if compressed else GOOD)
    content[place % len(content)] ^= mask
    result = read_back(bytes(content))
    if result is None:
        return
    if compressed:  # gzip has a checksum
        assert result.shape == (2, 3, 4) and (result.ravel() == np.arange(24)).all()
    else:
        assert result.nbytes == 24


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=100, deadline=None)
def test_every_truncation_is_noticed(length: int, compressed: bool) -> None:
    content = packed(GOOD) if compressed else GOOD
    assert read_back(content[: length % len(content)]) is None


@given(st.binary(max_size=64))
@settings(max_examples=100, deadline=None)
def test_any_bytes_give_an_array_or_a_format_error(content: bytes) -> None:
    for start in (b"", b"\0\0\x08\1", b"\x1f\x8b\x08\0"):
        result = read_back(start + content)
        assert result is None or isinstance(result, np.ndarray)


# -- MNIST and Fashion-MNIST -----------------------------------------------------------------------------------------------------

NAMES = [file.name for file in idx.FASHION_MNIST.files]


def four_files(
    folder: Path, first: tuple[int, ...] = (), pack: object = packed, suffix: str = ".gz", **replaced: np.ndarray
) -> dict[str, np.ndarray]:
    """Writes a small set of four IDX files into ``folder``; ``first`` are the first training labels."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {
        "train_images": rng(1).integers(0, 256, (30, 5, 4)),
        "train_labels": np.array([*first, *range(10), *range(10), *range(10)][:30]),
        "t10k_images": rng(2).integers(0, 256, (10, 5, 4)),
        "t10k_labels": np.arange(10),
    } | replaced
    for name, array in zip(NAMES, arrays.values()):
        (folder / name.replace(".gz", suffix)).write_bytes(pack(as_idx(array)))  # type: ignore[operator]
    return arrays


@pytest.mark.parametrize("place", ["NUMBACNN_DATA/mnist", "NUMBACNN_DATA", "cache"])
@pytest.mark.parametrize(("pack", "suffix"), [(packed, ".gz"), (bytes, ""), (bytes, ".gz")])
def test_mnist_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, pack: object, suffix: str) -> None:
    monkeypatch.setenv("NUMBACNN_DATA", str(tmp_path / "own"))
    folder = {"NUMBACNN_DATA/mnist": tmp_path / "own/mnist", "NUMBACNN_DATA": tmp_path / "own", "cache": cache_folder() / "mnist"}[place]
    arrays = four_files(folder, pack=pack, suffix=suffix)
    train, test = mnist()
    assert repr(train) == "ImageDataset('mnist', 30 images 5 x 4 x 1, 10 classes)" and len(test) == 10
    assert (train.images[..., 0] == arrays["train_images"]).all() and (train.labels == arrays["train_labels"]).all()
    assert (test.images[..., 0] == arrays["t10k_images"]).all() and (test.labels == arrays["t10k_labels"]).all()


def test_a_folder_of_the_other_set_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sets use the same four file names: a folder with Fashion-MNIST must not pass for MNIST."""
    monkeypatch.setenv("NUMBACNN_DATA", str(tmp_path))
    four_files(tmp_path, first=idx.FASHION_MNIST.first_labels)
    four_files(cache_folder() / "mnist", first=idx.MNIST.first_labels)
    assert mnist()[0].labels[0] == 5
    assert fashion_mnist()[0].labels[0] == 9


def test_the_other_sets_labels_under_the_wrong_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBACNN_DATA", str(tmp_path))
    four_files(tmp_path / "mnist", first=idx.FASHION_MNIST.first_labels)
    path = tmp_path / "mnist" / NAMES[1]
    text = f"[mnist] expected {path} to hold the labels of mnist; received those of fashion-mnist; put fashion-mnist elsewhere."
    with raises(FormatError, text):
        mnist()


@pytest.mark.parametrize(
    ("replaced", "expected", "received"),
    [
        ({"train_images": np.zeros((30, 5))}, "{0} to hold images (N, H, W) of bytes", "(30, 5) of uint8"),
        ({"train_images": np.zeros((0, 5, 4))}, "{0} to hold images (N, H, W) of bytes", "(0, 5, 4) of uint8"),
        ({"train_labels": np.zeros((30, 1))}, "{1} to hold labels (N,) of integers", "(30, 1) of uint8"),
        ({"t10k_labels": np.arange(9)}, "{3} to hold 10 labels, one for each image of {2}", "9"),
        ({"t10k_labels": np.arange(1, 11)}, "{3} to hold labels 0 .. 9", f"1 .. 10; {DAMAGED}"),
        ({"t10k_images": np.zeros((10, 5, 5))}, "equal image sizes (H, W) in {0} and {2}", "(5, 4) and (5, 5)"),
    ],
)
def test_files_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replaced: dict[str, np.ndarray], expected: str, received: str
) -> None:
    monkeypatch.setenv("NUMBACNN_DATA", str(tmp_path))
    four_files(tmp_path, **replaced)  # type: ignore[arg-type]
    expected = expected.format(*(tmp_path / name for name in NAMES))
    with raises(FormatError, f"[fashion-mnist] expected {expected}; received {received}."):
        fashion_mnist()


def test_part_of_a_set_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBACNN_DATA", str(tmp_path))
    four_files(tmp_path)
    (tmp_path / NAMES[3]).unlink()
    hint = "add what is missing, with or without .gz"
    with raises(FormatError, f"[mnist] expected all four files in {tmp_path}; received no {NAMES[3]}; {hint}."):
        mnist()


def test_pinned_files() -> None:
    for source in (idx.MNIST, idx.FASHION_MNIST):
        assert [file.name for file in source.files] == NAMES and len(source.mirrors) >= 2
        assert all(len(file.sha256) == 64 for file in source.files) and all(url.endswith("/") for url in source.mirrors)


@pytest.mark.skipif(
    not (Path(OWN_DATA) / "fashion-mnist" / NAMES[0]).is_file() or not OWN_DATA,
    reason="needs the real files: set NUMBACNN_DATA to a folder that holds fashion-mnist/train-images-idx3-ubyte.gz and the other three",
)
def test_the_real_fashion_mnist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBACNN_DATA", OWN_DATA)
    train, test = fashion_mnist()
    assert (len(train), len(test), train.input_shape) == (60_000, 10_000, (1, 28, 28))
    assert np.bincount(train.labels).tolist() == [6000] * 10 and np.bincount(test.labels).tolist() == [1000] * 10
    assert abs(train.images.mean() / 255 - 0.2860) < 1e-4 and train.classes[train.labels[0]] == "Ankle boot"
    published = ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe")
    published += ("bef4ecab320f06d8554ea6380940ec79", "bb300cfdad3c16e7a12a480ee83cd310")
    for file, md5 in zip(idx.FASHION_MNIST.files, published):
        content = (Path(OWN_DATA) / "fashion-mnist" / file.name).read_bytes()
        assert hashlib.md5(content).hexdigest() == md5, "these are not the published archives"
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)


# -- download --------------------------------------------------------------------------------------------------------------------

BODY = bytes(rng(3).integers(0, 256, 300_000, dtype=np.uint8))
FILE = download.RemoteFile("words.bin", len(BODY), hashlib.sha256(BODY).hexdigest())


@pytest.fixture
def server() -> Iterator[Server]:
    with serving({FILE.name: BODY}) as found:
        yield found


def fetched(url: str, hows: str, folder: Path) -> bytes:
    path = download.fetch(FILE, [f"{url}/{how}/" for how in hows.split()], folder, timeout=5)
    assert path == folder / FILE.name
    assert not list(folder.glob("*.part"))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("hows", "log"),
    [
        ("good", [("good", None)]),
        ("missing good", [("missing", None), ("good", None)]),
        ("login good", [("login", None), ("good", None)]),
        ("wrong good", [("wrong", None), ("good", None)]),
        ("endless good", [("endless", None), ("good", None)]),
        ("cut", [("cut", None), ("cut", "bytes=100000-"), ("cut", "bytes=200000-")]),
        ("dead good", [("dead", None), ("good", None)]),
    ],
)
def test_fetch(tmp_path: Path, server: Server, hows: str, log: list[object]) -> None:
    assert fetched(server.url, hows, tmp_path / "new" / "folder") == BODY
    assert server.log == log
    assert fetched(server.url, hows, tmp_path / "new" / "folder") == BODY
    assert server.log == log, "a file that is there is not asked for again"


@pytest.mark.parametrize(
    ("part", "hows", "log"),
    [
        (BODY[:1000], "good", [("good", "bytes=1000-")]),
        (BODY[:1000], "norange", [("norange", "bytes=1000-")]),
        (BODY[:1000], "missing good", [("missing", "bytes=1000-"), ("good", "bytes=1000-")]),
        (BODY, "good", []),
        (b"x" * 1000, "good", [("good", "bytes=1000-"), ("good", None)]),  # a bad beginning: once more from the start
        (b"x" * (len(BODY) + 1), "good", [("good", None)]),
    ],
)
def test_fetch_goes_on_after_a_break(tmp_path: Path, server: Server, part: bytes, hows: str, log: list[object]) -> None:
    (tmp_path / "words.bin.part").write_bytes(part)
    assert fetched(server.url, hows, tmp_path) == BODY
    assert server.log == log


def test_fetch_says_what_it_tried(tmp_path: Path, server: Server) -> None:
    url = server.url
    wrong = hashlib.sha256(b"w" * FILE.size).hexdigest()
    text = (
        "[fetch] expected to download words.bin from one of 5 mirrors; received "
        f"{url}/garbage/words.bin (BadStatusLine: nonsense), "
        f"{url}/missing/words.bin (HTTP Error 404: Not Found), "
        f"{url}/login/words.bin (it offers 6 bytes instead of 300000), "
        f"{url}/dead/words.bin (it broke off after 0 of 300000 bytes), "
        f"{url}/wrong/words.bin ([fetch] expected words.bin: 300000 bytes with SHA-256 {FILE.sha256}; "
        f"received 300000 bytes with SHA-256 {wrong}.); "
        f"get the file by other means and put it into {tmp_path}."
    )
    with raises(ConnectionError, text):
        fetched(url, "garbage missing login dead wrong", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".words.bin.lock"], "neither the file nor a bad part of it"


def test_mnist_says_where_its_files_may_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idx, "MNIST", replace(idx.MNIST, mirrors=()))
    with pytest.raises(ConnectionError, match=r"set NUMBACNN_DATA to that folder \(or put it into .*mnist\)\.$"):
        mnist()


@pytest.mark.parametrize("wrong", [BODY[:-1], BODY[:-1] + b"x", b""])
def test_a_file_of_the_name_with_other_content_is_fetched_anew(tmp_path: Path, server: Server, wrong: bytes) -> None:
    (tmp_path / FILE.name).write_bytes(wrong)
    with pytest.raises(ConnectionError):
        fetched(server.url, "missing", tmp_path)
    assert (tmp_path / FILE.name).read_bytes() == wrong, "it stays until there is a better one"
    assert fetched(server.url, "good", tmp_path) == BODY


def test_fetch_does_not_try_for_ever(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "ATTEMPTS", 2)
    with pytest.raises(ConnectionError, match=r"/cut/words.bin \(it broke off 2 times\)"):
        fetched(server.url, "cut", tmp_path)
    assert (tmp_path / "words.bin.part").read_bytes() == BODY[:200_000], "what arrived is kept for the next time"


def test_fetch_at_the_same_time(tmp_path: Path, server: Server) -> None:
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(fetched(server.url, "slow", tmp_path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [BODY] * 4 and len(server.log) == 1


def test_a_download_is_the_data_set(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = four_files(tmp_path)
    content = {name: (tmp_path / name).read_bytes() for name in NAMES}
    files = tuple(download.RemoteFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in content.items())
    monkeypatch.setattr(idx, "MNIST", replace(idx.MNIST, mirrors=(f"{server.url}/missing/", f"{server.url}/good/"), files=files))
    server.content.update(content)
    train, _ = mnist()
    assert (train.images[..., 0] == arrays["train_images"]).all()
    assert sorted(path.name for path in (cache_folder() / "mnist").iterdir() if path.suffix == ".gz") == sorted(NAMES)


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "numbacnn"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # to be ignored, says the XDG specification
    assert cache_folder() == Path.home() / ".cache" / "numbacnn"
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert cache_folder() == tmp_path / "local" / "numbacnn"


# -- read_image ------------------------------------------------------------------------------------------------------------------


def picture(path: Path, pixels: np.ndarray, **options: object) -> Path:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def grey(level: int, height: int = 6, width: int = 6) -> np.ndarray:
    return np.full((height, width), level, np.uint8)


def test_read_image_kinds(tmp_path: Path) -> None:
    wide = np.concatenate([grey(0), grey(90), grey(0)], axis=1)  # 6 x 18: the middle is what is taken
    assert (read_image(picture(tmp_path / "wide.png", wide), 6) == 90).all()
    colour = np.zeros((4, 4, 3), np.uint8) + np.uint8([10, 20, 30])
    assert read_image(picture(tmp_path / "c.png", colour), 4, channels=3)[0, 0].tolist() == [10, 20, 30]
    assert read_image(picture(tmp_path / "c.png", colour), (2, 3)).shape == (2, 3, 1)
    ink = np.zeros((4, 4, 4), np.uint8)
    ink[:2, :, 3] = 255  # black above, nothing below
    assert read_image(picture(tmp_path / "ink.png", ink), 4)[:, 0, 0].tolist() == [0, 0, 255, 255]
    deep = np.full((4, 4), 0x8012, np.uint16)
    assert (read_image(picture(tmp_path / "deep.png", deep), 4) == 0x80).all()


def test_read_image_turns_as_the_camera_says(tmp_path: Path) -> None:
    from PIL import Image

    pixels = np.concatenate([grey(0, 8, 8), grey(255, 8, 8)])  # black above white
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    path = picture(tmp_path / "x.png", pixels, exif=exif)
    assert read_image(path, (16, 8))[[0, -1], 0, 0].tolist() == [255, 0]


def test_read_image_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import PIL.Image

    def text(reason: str) -> str:
        return f"[read_image] expected {path} to be a picture; received {reason}; repair or remove the file."

    path = tmp_path / "no.png"
    for content in (b"no picture", b""):
        path.write_bytes(content)
        with raises(FormatError, text("content of no format that pillow reads by itself")):
            read_image(path)
    path = picture(tmp_path / "whole.png", rng().integers(0, 256, (50, 50), dtype=np.uint8))
    whole = path.read_bytes()
    for length in (20, 60, 200, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match=r"whole\.png to be a picture"):
            read_image(path)
    path.write_bytes(whole)
    wanted = f"[read_image] expected {path} to have at most 2,499 pixels; received 50 x 50"
    with raises(FormatError, f"{wanted}; make it smaller, or raise max_pixels."):
        read_image(path, max_pixels=2499)
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)  # pillow's own limit, of which a large photograph is no attack
    assert read_image(path, 50, max_pixels=2500).shape == (50, 50, 1)
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.png")
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    missing = "ModuleNotFoundError: import of PIL.Image halted; None in sys.modules"
    wanted = "[read_image] expected pillow to be installed"
    with raises(ImportError, f'{wanted}; received {missing}; run: pip install "numbacnn[demo]".'):
        read_image(path)


# -- transforms ------------------------------------------------------------------------------------------------------------------

BATCH = rng(5).integers(1, 256, (7, 6, 5, 3), dtype=np.uint8)
ALL = [
    Normalise(0.5, 0.25),
    RandomCrop(),
    RandomCrop(3),
    RandomCrop(padding=2, padding_mode="edge"),
    RandomFlip(),
    RandomErase(),
    ColorJitter(0.3, 0.3),
    Compose([RandomCrop(padding=1), RandomFlip()]),
]


@pytest.mark.parametrize("transform", ALL, ids=str)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_transforms_are_functions_of_batch_and_generator(transform: transforms.Transform, dtype: type) -> None:
    batch = BATCH.astype(dtype)
    batch.flags.writeable = False  # they leave their argument alone
    first, again, other = (transform(batch, rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == (np.float32 if isinstance(transform, Normalise) else dtype)
    assert (first == again).all() and len(first) == 7
    assert isinstance(transform, Normalise) or (first != other).any()
    assert transform(batch[:0], rng()).shape == (0, *first.shape[1:])
    assert repr(pickle.loads(pickle.dumps(transform))) == repr(transform)


def test_normalise() -> None:
    mean, std = [0.1, 0.2, 0.3], [0.5, 1.0, 2.0]
    expected = to_float(BATCH, mean, std)
    assert (Normalise(mean, std)(BATCH, rng()) == expected).all()
    assert np.allclose(Normalise(mean, std)(BATCH / 255, rng()), expected, atol=1e-6)
    assert Normalize is Normalise
    with raises(ShapeError, "[Normalise] expected mean with 1 or C = 3 values; received 2 values."):
        Normalise([1, 2], 1)(BATCH / 255, rng())


def test_random_crop_takes_windows_of_the_padded_image() -> None:
    padded = np.pad(BATCH, ((0, 0), (2, 2), (2, 2), (0, 0)))
    result = RandomCrop((4, 3), padding=2)(BATCH, rng())
    for image, source in zip(result, padded):
        windows = [source[i : i + 4, j : j + 3] for i in range(7) for j in range(7)]
        assert any((image == window).all() for window in windows)
    assert result.shape == (7, 4, 3, 3) and result.flags.writeable
    assert (RandomCrop(padding=0)(BATCH, rng()) == BATCH).all()
    assert RandomCrop().padding == 4 and RandomCrop(24).padding == 0


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_the_border_of_a_crop(mode: str) -> None:
    padded = np.pad(BATCH, ((0, 0), (3, 3), (3, 3), (0, 0)), mode)  # type: ignore[call-overload]
    for image, source in zip(RandomCrop(padding=3, padding_mode=mode)(BATCH, rng()), padded):  # type: ignore[arg-type]
        assert any((image == source[i : i + 6, j : j + 5]).all() for i in range(7) for j in range(7))
    assert RandomCrop(padding=1, padding_mode=mode)(np.empty((2, 0, 3, 1), np.uint8), rng()).shape == (2, 0, 3, 1)  # type: ignore[arg-type]


def test_random_crop_reaches_every_place() -> None:
    many = np.broadcast_to(np.arange(9, dtype=np.uint8).reshape(1, 3, 3, 1), (500, 3, 3, 1))
    corners = RandomCrop(2)(many, rng())[:, 0, 0, 0]
    assert sorted(set(corners.tolist())) == [0, 1, 3, 4] and np.bincount(corners)[[0, 1, 3, 4]].min() > 90


def test_random_flip() -> None:
    assert (RandomFlip(0.0)(BATCH, rng()) == BATCH).all()
    assert (RandomFlip(1.0)(BATCH, rng()) == BATCH[:, :, ::-1]).all()
    many = np.zeros((1000, 1, 2, 1), np.uint8)
    many[:, :, 0] = 1
    assert 400 < RandomFlip()(many, rng())[:, 0, 1, 0].sum() < 600


def test_color_jitter() -> None:
    """torchvision's formulas: x times the factor, then factor * x + (1 - factor) * mean grey, each held within the bytes."""
    assert (ColorJitter()(BATCH, rng()) == BATCH).all()
    floats = BATCH.astype(np.float32)
    assert (ColorJitter(brightness=(0.5, 0.5))(BATCH, rng()) == np.rint(floats / 2)).all()
    assert (ColorJitter(brightness=(2, 2))(BATCH, rng()) == np.minimum(2.0 * floats, 255)).all()
    mean = (floats @ np.float32([0.299, 0.587, 0.114])).mean((1, 2))[:, None, None, None]
    np.testing.assert_allclose(ColorJitter(contrast=(3, 3))(floats, rng()), np.clip(3 * floats - 2 * mean, 0, 255), atol=1e-3)
    assert np.ptp(ColorJitter(contrast=(0, 0))(BATCH, rng()), axis=(1, 2, 3)).max() == 0
    one = BATCH[:, :, :, :1]
    np.testing.assert_allclose(ColorJitter(contrast=(0, 0))(one / 1.0, rng())[:, 0, 0, 0], one.mean((1, 2, 3)), rtol=1e-5)
    many = ColorJitter(brightness=0.5)(np.full((1000, 1, 1, 1), 100, np.uint8), rng())
    assert 50 <= many.min() < 55 and 145 < many.max() <= 150 and abs(many.mean() - 100) < 3
    assert ColorJitter(brightness=5.0)(np.full((100, 1, 1, 1), 10, np.uint8), rng()).max() < 61


def test_random_erase() -> None:
    assert (RandomErase(0.0)(BATCH, rng()) == BATCH).all()
    assert (RandomErase(1.0, scale=(1, 1), ratio=(1, 1), value=9)(BATCH[:, :5], rng()) == 9).all()
    big = np.ones((200, 40, 30, 3), np.float32)
    erased = RandomErase(1.0, scale=(0.1, 0.2), ratio=(0.5, 2))(big, rng()) == 0
    assert (erased.all(3) == erased.any(3)).all()  # all channels alike
    rows, columns = erased[..., 0].any(2), erased[..., 0].any(1)
    assert (erased[..., 0] == rows[:, :, None] & columns[:, None, :]).all()  # a rectangle ...
    assert (np.abs(np.diff(rows.astype(int), axis=1)).sum(1) <= 2).all()  # ... in one piece
    area = erased[..., 0].mean((1, 2))
    assert area.min() > 0.08 and area.max() < 0.22 and area.std() > 0.02
    ratio = rows.sum(1) / columns.sum(1)
    assert ratio.min() > 0.45 and ratio.max() < 2.2
    half = RandomErase(0.5)(big, rng()).min((1, 2, 3)) == 0
    assert 70 < half.sum() < 130


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RandomFlip(1.5), "[RandomFlip] expected p as a number from 0 to 1; received 1.5."),
        (lambda: RandomErase(-1), "[RandomErase] expected p as a number from 0 to 1; received -1."),
        (
            lambda: RandomErase(scale=(0.5, 0.1)),
            "[RandomErase] expected scale within 0 .. 1 and ratio above 0, each (low, high); received scale (0.5, 0.1), ratio (0.3, 3.3).",
        ),
        (
            lambda: RandomErase(scale=(0.5, 1.5)),
            "[RandomErase] expected scale within 0 .. 1 and ratio above 0, each (low, high); received scale (0.5, 1.5), ratio (0.3, 3.3).",
        ),
        (lambda: RandomCrop(padding=-1), "[RandomCrop] expected padding as an integer of at least 0; received -1."),
        (
            lambda: RandomCrop(padding_mode="wrap"),  # type: ignore[arg-type]
            "[RandomCrop] expected padding_mode as 'constant', 'edge', 'reflect' or 'symmetric'; received 'wrap'.",
        ),
        (
            lambda: ColorJitter(-0.1),
            "[ColorJitter] expected brightness of at least 0, or (low, high) with 0 <= low <= high; received -0.1.",
        ),
        (
            lambda: ColorJitter(contrast=(1.5, 0.5)),
            "[ColorJitter] expected contrast of at least 0, or (low, high) with 0 <= low <= high; received (1.5, 0.5).",
        ),
        (
            lambda: ColorJitter(contrast=float("nan")),
            "[ColorJitter] expected contrast of at least 0, or (low, high) with 0 <= low <= high; received nan.",
        ),
        (lambda: RandomFlip("1"), "[RandomFlip] expected p as a number from 0 to 1; received '1'."),
    ],
)
def test_transform_argument_errors(make: object, text: str) -> None:
    with raises(ValueError, text):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("size", [0, (4, 4, 4), "4"])
def test_the_size_of_a_crop(size: object) -> None:
    with raises(ShapeError, f"[RandomCrop] expected size as an integer or a pair (height, width) of at least 1; received {size!r}."):
        RandomCrop(size)  # type: ignore[arg-type]


@pytest.mark.parametrize("transform", ALL[:-1], ids=str)
def test_transforms_want_batches(transform: object) -> None:
    op = type(transform).__name__
    hint = "transforms work on whole batches, channels last"
    with raises(ShapeError, f"[{op}] expected a batch (N, H, W, C); received shape (6, 5, 3); {hint}."):
        transform(BATCH[0], rng())  # type: ignore[operator]


def test_a_crop_larger_than_the_image() -> None:
    text = "[RandomCrop] expected a padded image of at least 9 x 3; received 8 x 7; lower size or raise padding."
    with raises(ShapeError, text):
        RandomCrop((9, 3), padding=1)(BATCH, rng())


# -- DataLoader ------------------------------------------------------------------------------------------------------------------


def taken(batches: object) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(X.numpy().copy(), y.numpy().copy()) for X, y in batches]  # type: ignore[attr-defined]


def same(first: list[tuple[np.ndarray, np.ndarray]], second: list[tuple[np.ndarray, np.ndarray]]) -> bool:
    return len(first) == len(second) and all(np.array_equal(a, c) and np.array_equal(b, d) for (a, b), (c, d) in zip(first, second))


@pytest.mark.parametrize("prefetch", [0, 1, 2, 20])
@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [4, 4, 2]), (True, [4, 4])])
def test_batches(prefetch: int, drop_last: bool, sizes: list[int]) -> None:
    data = some(channels=3, mean=[0.1, 0.2, 0.3], std=2.0)
    batches = DataLoader(data, 4, drop_last=drop_last, prefetch=prefetch)
    assert len(batches) == len(sizes)
    start = 0
    for (X, y), n in zip(batches, sizes, strict=True):
        rows = slice(start, start := start + n)
        assert X.shape == (n, 3, 4, 3) and X.numpy().dtype == np.float32 and y.numpy().dtype == np.int64
        assert X.numpy().transpose(0, 2, 3, 1).flags.c_contiguous
        assert (X.numpy().transpose(0, 2, 3, 1) == to_float(data.images[rows], data.mean, data.std)).all()
        assert (y.numpy() == data.labels[rows]).all()


def numbered(n: int = 20, **options: object) -> DataLoader:
    return DataLoader((np.arange(n, dtype=np.float32), np.arange(n)), **options)  # type: ignore[arg-type]


def test_every_epoch_has_its_own_order() -> None:
    batches = numbered(50, batch_size=8, shuffle=True, seed=3)
    epochs = [np.concatenate([y for _, y in taken(batches)]) for _ in range(3)]
    assert all(sorted(order) == list(range(50)) for order in epochs)
    assert len({tuple(order) for order in epochs}) == 3
    again = numbered(50, batch_size=7, shuffle=True, seed=3)
    assert (np.concatenate([y for _, y in taken(again)]) == epochs[0]).all()
    other = numbered(50, batch_size=8, shuffle=True, seed=4)
    assert (np.concatenate([y for _, y in taken(other)]) != epochs[0]).any()


@pytest.mark.parametrize("shape", [(10,), (10, 3), (10, 3, 4, 5), (10, 2, 3, 4, 5)])
@pytest.mark.parametrize("tensors", [False, True])
def test_pairs_pass_unchanged(shape: tuple[int, ...], tensors: bool) -> None:
    x, y = rng().normal(size=shape), rng().normal(size=(10, 2)).astype(np.float32)
    pair = (from_array(x), from_array(y)) if tensors else (x, y)
    batches = DataLoader(pair, 4, shuffle=True, seed=0)
    order = pictures.shuffled(10, (0, 0))
    results = taken(batches)
    assert (np.concatenate([X for X, _ in results]) == x[order]).all() and results[0][0].dtype == x.dtype
    assert (np.concatenate([t for _, t in results]) == y[order]).all() and results[0][1].dtype == y.dtype


def test_a_batch_does_not_share_memory_with_the_data() -> None:
    x = np.zeros((4, 2), np.float32)
    for X, _ in DataLoader((x, np.arange(4)), 2):
        X.numpy()[:] = 1
    assert (x == 0).all()


@pytest.mark.parametrize("shape", [(4, 2), (4, 1, 3, 2), (4, 3, 3, 2), (4, 2, 3, 2, 2)])
@pytest.mark.parametrize("form", ["array", "reversed", "Tensor"])
def test_a_batch_sees_what_was_written_to_the_data_before(shape: tuple[int, ...], form: str) -> None:
    x, y = np.zeros(shape, np.float32), np.arange(4)
    x = x[..., ::-1] if form == "reversed" else x
    batches = DataLoader((from_array(x) if form == "Tensor" else x, y), 2)
    x[2:], y[2:] = 5, 7
    (first, labels), (second, others) = taken(batches)
    assert (first == 0).all() and (labels == [0, 1]).all() and (second == 5).all() and (others == 7).all()


@pytest.mark.parametrize("shape", [(1000, 3, 32, 32), (1000, 3072)])
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_memory_mapped_array_is_not_copied(tmp_path: Path, shape: tuple[int, ...], mode: str) -> None:
    np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, shape)[:] = 1
    mapped = np.load(tmp_path / "x.npy", mmap_mode=mode)
    tracemalloc.start()
    try:
        for X, _ in DataLoader((mapped, np.arange(1000)), 10, shuffle=True, seed=0):
            assert X.shape == (10, *shape[1:])
            break
        assert tracemalloc.get_traced_memory()[1] < mapped.nbytes / 10
    finally:
        tracemalloc.stop()


def test_without_a_seed_the_library_s_generator_decides() -> None:
    def orders() -> list[list[int]]:
        loaders = (numbered(50, batch_size=50, shuffle=True) for _ in range(2))
        return [y.tolist() for loader in loaders for _, y in taken(loader)]

    random.manual_seed(3)
    first = orders()
    assert first[0] != first[1] and sorted(first[0]) == list(range(50))
    random.manual_seed(3)
    assert orders() == first
    random.manual_seed(4)
    assert orders() != first
    state = random.get_rng_state()
    numbered(shuffle=True, seed=0), numbered()
    with pytest.raises(TypeError):
        numbered(shuffle=True, transform=3)
    assert random.get_rng_state() == state  # nothing to decide, or decided, or refused
    numbered(transform=AUGMENT)
    assert random.get_rng_state() != state
    kept = numbered(50, batch_size=50, shuffle=True)
    other = numbered(50, batch_size=50, shuffle=True)
    other.load_state_dict(kept.state_dict())
    assert same(taken(other), taken(kept))


AUGMENT = Compose([RandomCrop(padding=1), RandomFlip(), RandomErase()])


def test_prefetch_changes_nothing() -> None:
    options = {"batch_size": 3, "shuffle": True, "seed": 5, "transform": AUGMENT}
    plain, ahead = (DataLoader(some(20), prefetch=prefetch, **options) for prefetch in (0, 3))  # type: ignore[arg-type]
    for _ in range(2):
        assert same(taken(plain), taken(ahead))


def test_two_loops_over_one_loader() -> None:
    """Each sees its own epoch whole; the state is that of the loop that began last."""
    batches = numbered(9, batch_size=3, shuffle=True, seed=1)
    first = iter(batches)
    begun = [next(first)]
    second = iter(batches)
    next(second)
    begun += [next(first), next(first)]
    assert batches.state_dict() == {"seed": 1, "epoch": 1, "position": 1}
    assert list(first) == [] and batches.state_dict() == {"seed": 1, "epoch": 1, "position": 1}
    assert same([(x.numpy(), y.numpy()) for x, y in begun], taken(numbered(9, batch_size=3, shuffle=True, seed=1)))


def test_what_the_transform_sees_and_returns() -> None:
    seen = []

    def spy(batch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        seen.append((batch.dtype, batch.shape, int(generator.integers(1 << 60))))
        return batch

    data = some(6, channels=3, mean=0.5)
    plain = taken(DataLoader(data, 4, prefetch=0))
    for _ in range(2):
        assert same(taken(DataLoader(data, 4, seed=0, transform=spy, prefetch=0)), plain)
    assert seen[0][:2] == (np.uint8, (4, 4, 3, 3)) and seen[1][:2] == (np.uint8, (2, 4, 3, 3))
    assert seen[:2] == seen[2:] and seen[0][2] != seen[1][2]  # draws depend on (seed, epoch, batch) alone
    # floats on the scale of bytes are scaled as bytes are: evaluation scales too
    for kind in (np.float64, np.float32, np.int16):
        same_values = taken(DataLoader(data, 4, transform=lambda batch, _, kind=kind: batch.astype(kind), prefetch=0))
        assert same(same_values, plain)
    four = taken(DataLoader((np.ones((2, 3, 4, 5), np.float32), np.arange(2)), 2, transform=RandomCrop(2), prefetch=0))
    assert four[0][0].shape == (2, 3, 2, 2)


def test_a_transform_keeps_the_scale_of_a_dataset() -> None:
    data = some(6, channels=3)
    with raises(
        ValueError,
        "[DataLoader] expected the transform to keep the scale of bytes, 0 .. 255; received values of at most 1; "
        "leave the division by 255 to the loader.",
    ):
        data.images[0, 0, 0, 0] = 255
        taken(DataLoader(data, 6, transform=lambda batch, _: batch / 255.0, prefetch=0))
    for transform in (Normalise(0.5, 0.5), Compose([RandomFlip(), Normalise(0.5, 0.5)])):
        with raises(
            ValueError,
            f"[DataLoader] expected a transform that keeps the scale 0 .. 255 of an ImageDataset; received {transform!r}; "
            "give mean and std to the ImageDataset: evaluation needs them too.",
        ):
            DataLoader(data, 6, transform=transform)
    DataLoader((data.images, data.labels), 6, transform=Normalise(0.5, 0.5))  # a pair has no scale of its own


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("stop", range(6))
def test_resume_goes_on_exactly(prefetch: int, stop: int) -> None:
    def make(seed: int = 9) -> DataLoader:
        return DataLoader(some(13), 3, shuffle=True, seed=seed, transform=AUGMENT, prefetch=prefetch)

    whole = make()
    expected = [taken(whole) for _ in range(3)]
    first = make()
    taken(first)
    running = iter(first)
    before = [next(running) for _ in range(stop)]
    state = first.state_dict()
    assert state == {"seed": 9, "epoch": 1, "position": stop}
    second = make(seed=0)
    second.load_state_dict(state)
    assert second.state_dict() == state
    assert same(taken(before) + taken(second), expected[1])
    assert second.state_dict() == {"seed": 9, "epoch": 2, "position": 0}
    assert same(taken(second), expected[2])


def test_a_loop_left_early_is_followed_by_the_next_epoch() -> None:
    batches = numbered(batch_size=5, shuffle=True, seed=0)
    peek = next(iter(batches))[1].numpy()
    assert batches.state_dict() == {"seed": 0, "epoch": 0, "position": 1}
    whole = taken(batches)
    assert len(whole) == 4 and (whole[0][1] != peek).any()
    assert batches.state_dict() == {"seed": 0, "epoch": 2, "position": 0}
    iter(batches)  # nothing taken: no epoch used
    assert batches.state_dict() == {"seed": 0, "epoch": 2, "position": 0}


def prefetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "numbacnn-prefetch"]


def wait_for_no_threads() -> None:
    deadline = time.monotonic() + 5
    while prefetch_threads() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert not prefetch_threads()


def test_threads_end() -> None:
    batches = numbered(1000, prefetch=2)
    for _ in batches:
        break
    wait_for_no_threads()
    running = iter(batches)
    assert not prefetch_threads(), "a loop that has not begun has no thread"
    next(running)
    assert len(prefetch_threads()) == 1
    del running
    wait_for_no_threads()
    taken(batches)
    wait_for_no_threads()


def test_only_batches_with_a_transform_are_made_ahead_by_default() -> None:
    for transform, threads in ((None, 0), (lambda batch, _: batch, 1)):
        running = iter(numbered(1000, transform=transform))  # type: ignore[arg-type]
        next(running)
        assert len(prefetch_threads()) == threads
        del running
        wait_for_no_threads()


def test_prefetch_is_bounded() -> None:
    made: list[int] = []
    batches = numbered(100, prefetch=3, transform=lambda batch, _: made.append(1) or batch)  # type: ignore[func-returns-value]
    running = iter(batches)
    for taken_now in range(1, 5):
        next(running)
        time.sleep(0.05)
        assert len(made) <= taken_now + 3
    assert batches.state_dict()["position"] == 4


@pytest.mark.parametrize("prefetch", [0, 2])
def test_errors_come_out_of_the_loop_in_their_place(prefetch: int) -> None:
    def fail(batch: np.ndarray, _: np.random.Generator) -> np.ndarray:
        if 2 in batch:
            raise ZeroDivisionError("of the user's own")
        return batch

    batches = numbered(transform=fail, prefetch=prefetch)
    running = iter(batches)
    assert [float(next(running)[0].numpy()[0]) for _ in range(2)] == [0.0, 1.0]
    with raises(ZeroDivisionError, "of the user's own"):
        next(running)
    assert batches.state_dict()["position"] == 2
    wait_for_no_threads()


def test_pickle_and_deepcopy_in_the_middle_of_an_epoch() -> None:
    batches = DataLoader(some(20), 3, shuffle=True, seed=0, transform=AUGMENT)
    running = iter(batches)
    next(running), next(running)
    rest = taken(running)
    running = iter(batches)
    next(running)
    for twin in (copy.deepcopy(batches), pickle.loads(pickle.dumps(batches))):
        assert twin.state_dict() == {"seed": 0, "epoch": 1, "position": 1}
        twin.load_state_dict({"seed": 0, "epoch": 0, "position": 2})
        assert same(taken(twin), rest)


SCRIPT = """
import os, sys
import numpy as np
from numbacnn.data import DataLoader

loader = DataLoader((np.arange(1000), np.arange(1000)), batch_size=2, prefetch=2)
running = iter(loader)
next(running)
if hasattr(os, "fork"):
    child = os.fork()
    if child == 0:
        try:
            next(running)
        except RuntimeError as error:
            print(error)
        del running
        print(len(list(loader)), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
print("parent", next(running)[1].numpy().tolist())
"""  # and ends with a loop, and so a thread, still alive


def test_fork_and_exit_never_hang() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "parent [2, 3]" and not done.stderr
    if hasattr(os, "fork"):
        hint = "begin a new loop over the loader in the child"
        assert lines[0] == f"[DataLoader] expected the loop to go on in the process that began it; received a forked child; {hint}."
        assert lines[1] == "500"


PAIR = (np.zeros((3, 2), np.float32), np.arange(3))
DTYPES = "one of the dtypes float32, float64, int8, int16, int32, int64, uint8, bool"


def test_a_transform_may_bring_data_to_a_dtype() -> None:
    batches = DataLoader((np.ones((4, 2), ">f4"), np.arange(4)), 2, transform=lambda batch, _: batch.astype(np.float32))
    assert [X.dtype for X, _ in taken(batches)] == [np.float32] * 2


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        (
            {"dataset": (PAIR[0], PAIR[0], PAIR[1])},
            TypeError,
            "[DataLoader] expected an ImageDataset or a pair (X, y) of arrays; received a tuple of 3; write (X, y).",
        ),
        (
            {"dataset": (1, np.arange(3))},
            ShapeError,
            "[DataLoader] expected X (N, ...) and y (N, ...); received X () and y (3,).",
        ),
        (
            {"dataset": (PAIR[0], np.arange(2))},
            ShapeError,
            "[DataLoader] expected as many labels as examples; received 3 examples and 2 labels.",
        ),
        ({"batch_size": 0}, ValueError, "[DataLoader] expected batch_size as an integer of at least 1; received 0."),
        (
            {"batch_size": 4, "drop_last": True},
            ValueError,
            "[DataLoader] expected at least one batch of 4 examples; received 3 examples with drop_last; "
            "lower batch_size or keep the last.",
        ),
        ({"batch_size": 2.5}, ValueError, "[DataLoader] expected batch_size as an integer of at least 1; received 2.5."),
        ({"batch_size": True}, ValueError, "[DataLoader] expected batch_size as an integer of at least 1; received True."),
        ({"seed": -1}, ValueError, f"[DataLoader] expected seed as an integer from 0 to {2**64 - 1}; received -1."),
        ({"prefetch": -1}, ValueError, "[DataLoader] expected prefetch as an integer of at least 0; received -1."),
        ({"device": "gpu"}, DeviceError, "[DataLoader] expected one of 'cpu' and 'cuda'; received 'gpu'."),
        (
            {"dataset": ([[1], [2, 3]], [0, 1])},
            ShapeError,
            "[DataLoader] expected X (N, ...) and y (N, ...); received X of members with several shapes.",
        ),
        ({"dataset": (PAIR[0], np.zeros(3, "float16"))}, DTypeError, f"[DataLoader] expected {DTYPES}; received float16."),
        ({"dataset": (PAIR[0].astype(">f4"), PAIR[1])}, DTypeError, f"[DataLoader] expected {DTYPES}; received >f4."),
    ],
)
def test_loader_argument_errors(arguments: dict[str, object], kind: type[Exception], text: str) -> None:
    with raises(kind, text):
        DataLoader(**({"dataset": PAIR} | arguments))  # type: ignore[arg-type]


def test_loader_state_errors() -> None:
    batches = DataLoader(PAIR, 2)
    good = {"seed": 0, "epoch": 0, "position": 0}
    changes = ({"position": 3}, {"epoch": -1}, {"seed": 2**64}, {"seed": 1.5}, {"seed": "1"}, {"epoch": None}, {"position": True})
    for state in ({"seed": 0, "epoch": 0}, [1, 2], *(good | change for change in changes)):
        text = f"[DataLoader] expected seed and epoch >= 0 and position 0 .. 2; received state {state}; "
        with raises(ValueError, text + "use the batch size and data of the saved run."):
            batches.load_state_dict(state)


def test_a_transform_that_loses_examples() -> None:
    batches = DataLoader(PAIR, 2, transform=lambda batch, _: batch[:1])
    text = "[DataLoader] expected the transform to return 2 examples with 2 axes, as it was given; received shape (1, 2)."
    with raises(ShapeError, text):
        taken(batches)


def test_an_empty_data_set() -> None:
    assert len(DataLoader(some()[:0], 4)) == 0 and taken(DataLoader(some()[:0], 4, shuffle=True)) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes, which Windows lacks")
@pytest.mark.parametrize("read", [read_image, read_idx])
def test_only_regular_files_are_opened(read: Callable[..., object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    for name, received in (("pipe", "a pipe"), ("folder", "a folder"), ("link", "a link to nothing"), ("none", "no such file")):
        with pytest.raises(FileNotFoundError, match=rf"^\[{read.__name__}\] expected an? .* file .*{name}\.png; received {received}\.$"):
            read(tmp_path / f"{name}.png")


def test_no_picture_starts_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []
    monkeypatch.setattr("subprocess.Popen", lambda *args, **options: started.append(args))
    monkeypatch.setattr("subprocess.check_call", lambda *args, **options: started.append(args))
    (tmp_path / "x.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(FormatError, match="to be a picture"):
        read_image(tmp_path / "x.png")
    assert not started
