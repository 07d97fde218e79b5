"""Data sets under torchvision's names, archives, and pictures made of Tensors; downloads come from a server in this process."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import pickle
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision_utils_values as values
from mirror import Server, raises, serving
from mirror import nothing_outside as nothing_outside  # a fixture for these tests too
from PIL import Image

import numbacnn as nc
from numbacnn.data import archive, idx
from numbacnn.data.download import RemoteFile
from numbacnn.errors import DTypeError, FormatError, ShapeError
from numbacnn.vision import datasets, utils
from numbacnn.vision.datasets import cifar as cifar_module
from numbacnn.vision.datasets import folder as folders
from numbacnn.vision.datasets.vision import Source

OWN_DATA = os.environ.get("NUMBACNN_DATA", "")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving({}) as found:
        yield found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def remote(name: str, content: bytes) -> RemoteFile:
    return RemoteFile(name, len(content), hashlib.sha256(content).hexdigest())


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def served(kind: type, server: Server, content: dict[str, bytes], most: int = 1 << 20, **members: Any) -> Any:
    """The class of a data set with other files, which lie on the server."""
    server.content.update(content)
    source = Source((f"{server.url}/missing/", f"{server.url}/good/"), tuple(remote(*item) for item in content.items()), most)
    return type(kind.__name__, (kind,), {"_source": source, **members})


def below(folder: Path) -> list[str]:
    """The files below a folder, without the locks."""
    paths = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if not path.is_dir())
    return [name for name in paths if not name.endswith(".lock")]


def pixels(picture: Any) -> np.ndarray:
    return np.asarray(picture)


# -- MNIST and its like ----------------------------------------------------------------------------------------------------------
NAMES = [file.name.removesuffix(".gz") for file in idx.MNIST.files]
PARTS = {"train": 12, "t10k": 5}


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx_files(pattern: str = "{part}-{name}-ubyte", labels: int = 10) -> tuple[dict[str, bytes], dict[str, np.ndarray]]:
    """The four files, and the arrays in them."""
    arrays = {}
    for part, count in PARTS.items():
        arrays[pattern.format(part=part, name="images-idx3")] = rng(count).integers(0, 256, (count, 6, 4), np.uint8)
        arrays[pattern.format(part=part, name="labels-idx1")] = (np.arange(count) % labels).astype(np.uint8)
    return {name: idx_bytes(array) for name, array in arrays.items()}, arrays


@pytest.mark.parametrize("kind", [datasets.MNIST, datasets.FashionMNIST, datasets.KMNIST], ids=lambda kind: kind.__name__)
def test_the_mnist_family(root: Path, server: Server, kind: Any) -> None:
    plain, arrays = idx_files()
    Small = served(kind, server, {f"{name}.gz": gzip.compress(data) for name, data in plain.items()})
    raw = f"{kind.__name__}/raw"
    with raises(RuntimeError, f"[{kind.__name__}] expected the files of {kind.__name__} in {root / raw}; received no {NAMES[0]}; "
                "use download=True to download it."):  # fmt: skip
        Small(root)
    train = Small(root, download=True)
    assert below(root) == sorted(f"{raw}/{name}{suffix}" for name in NAMES for suffix in ("", ".gz"))
    assert (root / raw / NAMES[0]).read_bytes() == plain[NAMES[0]], "as torchvision unpacks it"
    requests = len(server.log)
    test = Small(str(root), train=False, transform=pixels, target_transform=str, download=True)
    assert len(server.log) == requests, "what is there is not asked for again"
    for data, part in ((train, "train"), (test, "t10k")):
        images, labels = arrays[f"{part}-images-idx3-ubyte"], arrays[f"{part}-labels-idx1-ubyte"]
        assert isinstance(data.data, nc.Tensor) and data.data.dtype == np.uint8 and (data.data.numpy() == images).all()
        assert isinstance(data.targets, nc.Tensor) and data.targets.dtype == np.int64 and (data.targets.numpy() == labels).all()
        assert len(data) == PARTS[part]
    picture, label = train[3]
    assert (picture.mode, picture.size, label, type(label)) == ("L", (4, 6), 3, int)
    assert (pixels(picture) == arrays[NAMES[0]][3]).all()
    assert (test[-1][0] == arrays[NAMES[2]][4]).all() and test[nc.tensor(1)][1] == "1"
    assert len(list(test)) == 5 and len(train.classes) == 10 and train.class_to_idx[train.classes[7]] == 7
    with raises(IndexError, f"[{kind.__name__}] expected an index from -12 to 11; received 12."):
        train[12]
    with raises(TypeError, f"[{kind.__name__}] expected index as an integer; received slice."):
        train[:2]


def test_a_part_of_a_set_may_be_set(root: Path, server: Server) -> None:
    plain, arrays = idx_files()
    data = served(datasets.MNIST, server, {f"{name}.gz": gzip.compress(content) for name, content in plain.items()})(root, download=True)
    kept = data.targets == 3
    data.data, data.targets = data.data[kept], data.targets[kept]
    assert len(data) == 1 and data[0][1] == 3 and (pixels(data[0][0]) == arrays[NAMES[0]][3]).all()
    data.data, data.targets, data.transform = [arrays[NAMES[0]][0]], [7], pixels
    assert data[0][1] == 7 and (data[0][0] == arrays[NAMES[0]][0]).all()
    for old, new in (("train_data", "data"), ("test_data", "data"), ("train_labels", "targets"), ("test_labels", "targets")):
        with pytest.warns(UserWarning, match=f"{old} has been renamed {new}"):
            assert getattr(data, old) is getattr(data, new)


def test_files_that_the_library_knows_are_read_in_place(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, arrays = idx_files()
    for name, content in plain.items():
        (tmp_path / "mnist").mkdir(exist_ok=True)
        (tmp_path / "mnist" / name).write_bytes(content)
    monkeypatch.setenv("NUMBACNN_DATA", str(tmp_path))
    data = datasets.MNIST(root, train=False, download=True)
    assert (data.data.numpy() == arrays[NAMES[2]]).all() and pickle.loads(pickle.dumps(data))[3][1] == 3
    assert not root.exists()
    with pytest.raises(RuntimeError, match="download=True"):
        datasets.KMNIST(root)


@pytest.mark.skipif(not (Path(OWN_DATA) / "fashion-mnist").is_dir() or not OWN_DATA, reason="needs the real files: set NUMBACNN_DATA")
def test_the_real_fashion_mnist(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBACNN_DATA", OWN_DATA)
    test = datasets.FashionMNIST(root, train=False)
    assert len(test) == 10_000 and test.classes[test[0][1]] == "Ankle boot" and test[0][0].size == (28, 28)


def test_emnist(root: Path, server: Server) -> None:
    files: dict[str, bytes] = {}
    for split, labels in (("letters", 27), ("digits", 10)):
        plain, arrays = idx_files(f"emnist-{split}-" + "{part}-{name}-ubyte", labels)
        files |= {name.replace("t10k", "test"): content for name, content in plain.items()}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened:
        for name, content in files.items():
            opened.writestr(f"gzip/{name}.gz", gzip.compress(content))
    Small = served(datasets.EMNIST, server, {"gzip.zip": packed.getvalue()})
    data = Small(root, split="digits", train=False, download=True)
    assert (data.data.numpy() == arrays["emnist-digits-t10k-images-idx3-ubyte"]).all() and data.classes == list("0123456789")
    assert below(root / "EMNIST" / "raw") == sorted([*files, "gzip.zip"])
    (root / "EMNIST" / "raw" / "gzip").mkdir()
    letters = Small(root, "letters", download=True)
    assert (root / "EMNIST" / "raw" / "gzip").is_dir(), "nothing is done where nothing is missing"
    assert letters.classes[:2] == ["N/A", "a"] and letters.class_to_idx["z"] == 26 and len(letters) == 12
    assert [len(datasets.EMNIST.classes_split_dict[split]) for split in datasets.EMNIST.splits] == [62, 47, 47, 27, 10, 10]
    with pytest.raises(ValueError, match="split as 'byclass'"):
        Small(root, "all")


# -- CIFAR -----------------------------------------------------------------------------------------------------------------------
def python2(value: Any) -> bytes:
    """A pickle of protocol 2 as Python 2 wrote it, whose strings are bytes, without its end."""
    if isinstance(value, dict):
        return b"}(" + b"".join(python2(part) for item in value.items() for part in item) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(python2, value)) + b"e"
    if isinstance(value, str):
        return b"U" + bytes([len(value)]) + value.encode()
    if isinstance(value, int):
        return b"J" + struct.pack("<i", value)
    dtype = b"cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    shape = b"(" + b"".join(map(python2, value.shape)) + b"t"
    return empty + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<i", value.nbytes) + value.tobytes() + b"tb"


def as_python2(value: Any) -> bytes:
    return b"\x80\x02" + python2(value) + b"."


CLASSES = {"label_names": ["plane", "car", "bird"], "num_vis": 3072}
FINE = {"fine_label_names": ["apple", "bear", "boy"], "coarse_label_names": ["fruit"]}


def batch(seed: int, key: str = "labels") -> dict[str, Any]:
    return {"batch_label": "a batch", key: [seed % 3, 2], "data": rng(seed).integers(0, 256, (2, 3072), np.uint8), "filenames": ["a", "b"]}


def cifar(server: Server, kind: Any = datasets.CIFAR10, dumps: Callable[[Any], bytes] = as_python2, **replaced: bytes) -> Any:
    """The class with two pictures a file."""
    if kind is datasets.CIFAR10:
        files = {f"data_batch_{n}": dumps(batch(n)) for n in range(1, 6)} | {"test_batch": dumps(batch(6)), "batches.meta": dumps(CLASSES)}
    else:
        files = {"train": dumps(batch(1, "fine_labels")), "test": dumps(batch(6, "fine_labels")), "meta": dumps(FINE)}
    files |= replaced
    *train, test, meta = ([name, md5(content)] for name, content in files.items())
    lists = {"train_list": train, "test_list": [test], "meta": {**kind.meta, "md5": meta[1]}}
    packed = tar([(f"{kind.base_folder}/{name}", content) for name, content in [*files.items(), ("readme.html", b"hello")]])
    return served(kind, server, {kind._source.files[0].name: packed}, **lists)


def pictures(*seeds: int) -> np.ndarray:
    return np.concatenate([batch(seed)["data"].reshape(2, 3, 32, 32).transpose(0, 2, 3, 1) for seed in seeds])


def protocol(version: int) -> Callable[[Any], bytes]:
    return lambda value: pickle.dumps(value, version)


@pytest.mark.parametrize("dumps", [as_python2, protocol(2), protocol(4)], ids=["python2", "protocol 2", "protocol 4"])
def test_cifar10(root: Path, server: Server, dumps: Any) -> None:
    Small = cifar(server, dumps=dumps)
    train = Small(root, download=True)
    assert train.data.shape == (10, 32, 32, 3) and train.data.dtype == np.uint8 and (train.data == pictures(1, 2, 3, 4, 5)).all()
    assert train.targets == [1, 2, 2, 2, 0, 2, 1, 2, 2, 2] and type(train.targets) is list
    assert train.classes == CLASSES["label_names"] and train.class_to_idx == {"plane": 0, "car": 1, "bird": 2}
    picture, label = train[4]
    assert picture.mode == "RGB" and label == 0 and (pixels(picture) == train.data[4]).all()
    test = Small(root, train=False)
    assert (test.data == pictures(6)).all() and test.targets == [0, 2]
    assert repr(test) == f"Dataset CIFAR10\n    Number of datapoints: 2\n    Root location: {root}\n    Split: Test"
    assert {"cifar-10-batches-py/readme.html", "cifar-10-python.tar.gz"} <= set(below(root)) and len(below(root)) == 9


def test_cifar100(root: Path, server: Server) -> None:
    train = cifar(server, datasets.CIFAR100)(root, download=True)
    assert (train.data == pictures(1)).all() and train.targets == [1, 2] and train.classes == FINE["fine_label_names"]


def test_a_damaged_file_is_said_and_mended(root: Path, server: Server) -> None:
    Small = cifar(server)
    Small(root, download=True)
    path = root / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(b"x")
    with raises(RuntimeError, f"[CIFAR10] expected the files of CIFAR10 in {path.parent}; received data_batch_3 with MD5 {md5(b'x')} "
                f"instead of {Small.train_list[2][1]}; use download=True to download it."):  # fmt: skip
        Small(root)
    assert len(Small(root, train=False)) == 2, "the other part does not need it"
    requests = len(server.log)
    assert len(Small(root, download=True)) == 10 and len(server.log) == requests, "the archive is there"
    archive_path = root / "cifar-10-python.tar.gz"
    archive_path.write_bytes(archive_path.read_bytes()[:100])
    path.unlink()
    assert len(Small(root, download=True)) == 10 and len(server.log) > requests, "half an archive is fetched anew"


class Evil:
    """Its pickle calls something."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self) -> Any:
        return self.call, self.arguments


WHOLE = batch(1)
HOSTILE = {
    "a call": (pickle.dumps(Evil(os.mkdir, "/tmp/numbacnn-was-here"), 2), f'a pickle of "{os.mkdir.__module__}.mkdir"'),
    "eval": (pickle.dumps({"data": Evil(eval, "1/0"), "labels": []}, 4), 'a pickle of "builtins.eval"'),
    "ndarray called": (b"\x80\x02cnumpy\nndarray\n(K\x02tR.", "a pickle that calls numpy.ndarray"),
    "an array of objects": (pickle.dumps({"data": np.array([None]), "labels": []}, 2), "an array of dtype 'O8'"),
    "a list": (as_python2([1]), "a list"),
    "no labels": (as_python2({"data": WHOLE["data"]}), "no labels"),
    "cut": (as_python2(WHOLE)[:5000], None),
    "a size too large": (as_python2(WHOLE).replace(struct.pack("<i", 3072), struct.pack("<i", 3073)), "an array of another size"),
    "text": (b"hello", None),
    "nothing": (b"", None),
    "state of a list": (b"\x80\x02](K\x01eb.", "a pickle"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_pickle_is_refused(root: Path, server: Server, name: str) -> None:
    content, reason = HOSTILE[name]
    Small = cifar(server, test_batch=content)
    with pytest.raises(FormatError) as caught:
        Small(root, train=False, download=True)
    text = str(caught.value)
    assert text.startswith(f"[CIFAR10] expected {root}/cifar-10-batches-py/test_batch to be a pickle of CIFAR; received ")
    assert text.endswith("; nothing of it was executed; delete it and get it anew.")
    assert reason is None or f"received {reason}" in text
    assert not Path("/tmp/numbacnn-was-here").exists()


def test_a_damaged_pickle_gives_nothing_but_its_error(tmp_path: Path) -> None:
    content, path, draw = as_python2(WHOLE), tmp_path / "batch", rng(5)
    places = [*range(70), *range(len(content) - 70, len(content))]  # the pictures' own bytes are any
    outcomes = set()
    for _ in range(300):
        changed = bytearray(content)
        for at in draw.choice(places, draw.integers(1, 4)):
            changed[at] = draw.integers(256)
        path.write_bytes(bytes(changed))
        try:
            found, labels = cifar_module._batch("CIFAR10", path, "labels", 3)
            outcomes.add((found.shape, len(labels)))
        except FormatError as error:
            assert "batch to" in str(error)
            outcomes.add("refused")
    assert outcomes == {((2, 32, 32, 3), 2), "refused"}


@pytest.mark.parametrize(("changes", "expected"), [
    ({"data": np.zeros((2, 5), np.uint8)}, "pictures (N, 3072) of bytes"),
    ({"data": [1, 2]}, "pictures (N, 3072) of bytes"),
    ({"labels": [1]}, "one label below 3 for each picture"),
    ({"labels": [1, 3]}, "one label below 3 for each picture"),
    ({"labels": [1, "a"]}, "one label below 3 for each picture"),
])  # fmt: skip
def test_a_pickle_of_other_things(root: Path, server: Server, changes: dict[str, Any], expected: str) -> None:
    Small = cifar(server, test_batch=as_python2({**WHOLE, **changes}))
    path = root / "cifar-10-batches-py" / "test_batch"
    with raises(FormatError, f"[CIFAR10] expected {path} to hold {expected}; received something else; delete it and get it anew."):
        Small(root, train=False, download=True)


def test_the_published_checksums() -> None:
    kinds = (datasets.KMNIST, datasets.EMNIST, datasets.CIFAR10, datasets.CIFAR100, datasets.SVHN, datasets.STL10)
    for kind in kinds:
        assert all(len(file.sha256) == 64 and file.size > 1000 for file in kind._source.files)
        assert all(url.endswith("/") for url in kind._source.mirrors)
    sums = [md5 for kind in kinds[2:4] for _, md5 in [*kind.train_list, *kind.test_list, ("meta", kind.meta["md5"])]]
    sums += [*datasets.SVHN.split_list.values(), *datasets.STL10.checksums.values()]
    assert len(set(sums)) == len(sums) == 18 and {len(found) for found in sums} == {32}


# -- SVHN and STL-10 -------------------------------------------------------------------------------------------------------------
def test_svhn(root: Path, server: Server) -> None:
    from scipy.io import savemat

    images, labels = rng().integers(0, 256, (32, 32, 3, 11), np.uint8), np.arange(1, 12, dtype=np.uint8) % 11
    labels[labels == 0] = 10
    contents, sums = {}, {}
    for split, keys in (("train", ("X", "y")), ("test", ("X", "z"))):
        file = io.BytesIO()
        savemat(file, {keys[0]: images, keys[1]: labels[:, None]}, do_compression=True)
        contents[f"{split}_32x32.mat"], sums[split] = file.getvalue(), md5(file.getvalue())
    Small = served(datasets.SVHN, server, contents, split_list={**sums, "extra": md5(b"")})
    data = Small(root, download=True)
    assert below(root) == ["train_32x32.mat"], "the other parts are not asked for"
    assert data.data.shape == (11, 3, 32, 32) and (data.data == images.transpose(3, 2, 0, 1)).all()
    assert data.labels.dtype == np.int64 and data.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0]
    assert (pixels(data[2][0]) == images[..., 2]).all() and data[9][1] == 0 and "Split: train" in repr(data)
    with pytest.raises(FormatError, match=r"test_32x32\.mat to be a MATLAB file with X and y; received KeyError"):
        Small(root, split="test", download=True)
    with raises(ValueError, "[SVHN] expected split as 'train', 'test' or 'extra'; received 'all'."):
        datasets.SVHN(root, split="all")


def test_stl10(root: Path, server: Server) -> None:
    counts = {"train": 4, "test": 2, "unlabeled": 3}
    arrays = {f"{part}_X.bin": rng(n).integers(0, 256, (n, 3, 96, 96), np.uint8) for part, n in counts.items()}
    arrays |= {f"{part}_y.bin": np.arange(1, n + 1, dtype=np.uint8) for part, n in counts.items() if part != "unlabeled"}
    files = {name: array.tobytes() for name, array in arrays.items()}
    others = {"class_names.txt": b"plane\nbird\n", "fold_indices.txt": b"0 2 \n3 \n9 \n"}
    packed = tar([(f"stl10_binary/{name}", content) for name, content in [*files.items(), *others.items()]])
    sums = {name: md5(content) for name, content in files.items()}
    Small = served(datasets.STL10, server, {"stl10_binary.tar.gz": packed}, checksums=sums)
    train = Small(root, download=True)
    assert (train.data == arrays["train_X.bin"].transpose(0, 1, 3, 2)).all() and train.labels.tolist() == [0, 1, 2, 3]
    assert train.classes == ["plane", "bird"]
    assert (pixels(train[1][0]) == arrays["train_X.bin"][1].transpose(2, 1, 0)).all() and train[1][1] == 1
    assert Small(root, split="test").labels.tolist() == [0, 1] and Small(root, "unlabeled")[2][1] == -1
    both = Small(root, "train+unlabeled", folds=0)
    assert both.data.shape == (5, 3, 96, 96) and both.labels.tolist() == [0, 2, -1, -1, -1]
    assert Small(root, folds=1).labels.tolist() == [3]
    with pytest.raises(FormatError, match=r"fold_indices.txt to hold numbers below 4"):
        Small(root, folds=2)
    with pytest.raises(FormatError, match=r"fold_indices.txt to hold 10 lines"):
        Small(root, folds=3)
    (root / "stl10_binary" / "unlabeled_X.bin").unlink()
    assert len(Small(root, "test")) == 2, "a part needs its own files alone"


# -- noise -----------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_fake_data(channels: int, mode: str) -> None:
    data = datasets.FakeData(20, (channels, 5, 7), 4, transform=None, random_offset=3)
    labels = [label for _, label in data]
    assert len(labels) == 20 and set(labels) == {0, 1, 2, 3}
    assert data[0][0].mode == mode and data[0][0].size == (7, 5)
    assert (pixels(data[2][0]) == pixels(datasets.FakeData(6, (channels, 5, 7))[-1][0])).all(), "of the index and the offset alone"
    assert not (pixels(data[2][0]) == pixels(data[3][0])).all()
    with raises(ShapeError, "[FakeData] expected image_size (C, H, W) with C 1, 3 or 4; received (2, 5, 7)."):
        datasets.FakeData(image_size=(2, 5, 7))


# -- folders ---------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    folder = tmp_path / "flowers"
    for n, name in enumerate(("tulip/b.png", "tulip/a.PNG", "rose/deep/er/c.png", "rose/z.png", "rose/notes.txt", "rose/d/a.jpg")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("words")
        else:
            Image.new("L" if n else "RGBA", (3 + n, 2), n).save(path)
    (folder / "list.csv").write_text("beside the classes")
    return folder


def test_image_folder(flowers: Path) -> None:
    data = datasets.ImageFolder(flowers)
    assert data.classes == ["rose", "tulip"] and data.class_to_idx == {"rose": 0, "tulip": 1}
    names = [("rose/z.png", 0), ("rose/d/a.jpg", 0), ("rose/deep/er/c.png", 0), ("tulip/a.PNG", 1), ("tulip/b.png", 1)]
    assert data.samples == data.imgs == [(str(flowers / name), label) for name, label in names]
    assert data.targets == [0, 0, 0, 1, 1] and len(data) == 5 and len(list(data)) == 5
    assert all(picture.mode == "RGB" for picture, _ in data) and data[-1][0].size == (3, 2)
    text = datasets.ImageFolder(str(flowers), is_valid_file=lambda path: path.endswith(".txt"), allow_empty=True, loader=Path)
    assert [(path.read_text(), label) for path, label in text] == [("words", 0)]
    assert datasets.ImageFolder(flowers, pixels, str)[0][1] == "0"


def test_dataset_folder(flowers: Path) -> None:
    data = datasets.DatasetFolder(flowers, lambda path: Path(path).suffix, (".png", ".jpg"), target_transform=lambda label: -label)
    assert [label for _, label in data] == [0, 0, 0, -1, -1] and {suffix for suffix, _ in data} == {".png", ".PNG", ".jpg"}

    class Tulips(datasets.ImageFolder):
        def find_classes(self, directory: Any) -> tuple[list[str], dict[str, int]]:
            return ["tulip"], {"tulip": 5}

    assert Tulips(flowers).targets == [5, 5]
    assert folders.make_dataset(flowers, {"tulip": 1}, ".png") == [(str(flowers / "tulip" / name), 1) for name in ("a.PNG", "b.png")]
    assert folders.find_classes(flowers) == (["rose", "tulip"], {"rose": 0, "tulip": 1})


def test_links_are_followed_but_not_in_circles(flowers: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Image.new("L", (2, 2)).save(tmp_path / "elsewhere" / "e.png")
    (flowers / "tulip" / "more").symlink_to(tmp_path / "elsewhere")
    (flowers / "tulip" / "again").symlink_to(flowers)
    assert [Path(path).name for path, label in datasets.ImageFolder(flowers).samples if label] == ["a.PNG", "b.png", "e.png"]


def test_folders_that_do_not_fit(flowers: Path, tmp_path: Path) -> None:
    (flowers / "lily").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        datasets.ImageFolder(flowers)
    assert str(caught.value) == (
        f"[ImageFolder] expected a file with names in {', '.join(folders.IMG_EXTENSIONS)} for each class in {flowers}; "
        "received none for lily; add files, or pass allow_empty=True."
    )
    assert datasets.ImageFolder(flowers, allow_empty=True).targets == [1, 1, 1, 2, 2]
    with raises(FileNotFoundError, f"[ImageFolder] expected folders in {flowers / 'lily'}, one for each class; received none; "
                "make FOLDER/class_name/picture.png."):  # fmt: skip
        datasets.ImageFolder(flowers / "lily")
    with raises(FileNotFoundError, f"[ImageFolder] expected a folder {tmp_path / 'no'}; received no such folder."):
        datasets.ImageFolder(tmp_path / "no")
    for given, found in (({}, "neither"), ({"extensions": ".png", "is_valid_file": bool}, "both")):
        with raises(ValueError, f"[DatasetFolder] expected one of extensions and is_valid_file; received {found}."):
            datasets.DatasetFolder(flowers, Path, **given)
    bad = flowers / "rose" / "z.png"
    bad.write_bytes(b"no picture")
    with pytest.raises(FormatError, match=rf"^\[pil_loader\] expected .*{bad}"):
        datasets.ImageFolder(flowers, allow_empty=True)[0]
    with raises(TypeError, "[DatasetFolder] expected loader as a function; received 'png'."):
        datasets.DatasetFolder(flowers, "png", ".png")  # type: ignore[arg-type]


# -- what all share --------------------------------------------------------------------------------------------------------------
def test_transforms_of_whole_batches_are_refused() -> None:
    text = "received RandomFlip of numbacnn.data, of whole batches; give it to the DataLoader of an ImageDataset."
    for name in ("transform", "target_transform"):
        with raises(TypeError, f"[FakeData] expected {name} of one picture; {text}"):
            datasets.FakeData(**{name: nc.data.RandomFlip()})
    with raises(TypeError, "[FakeData] expected transform as a function or None; received 3."):
        datasets.FakeData(transform=3)  # type: ignore[arg-type]
    with raises(ValueError, "[VisionDataset] expected transforms, or transform and target_transform; received both."):
        datasets.VisionDataset("x", transforms=max, transform=pixels)


def test_a_data_set_is_shown_with_its_transforms(tmp_path: Path) -> None:
    class Twice:
        def __repr__(self) -> str:
            return "Twice(\n    a\n)"

        def __call__(self, picture: Any) -> Any:
            return picture

    data = datasets.FakeData(3, transform=Twice(), target_transform=Twice())
    lines = ["Dataset FakeData", "Number of datapoints: 3", "StandardTransform", "Transform: Twice(", "               a", "           )"]
    lines += ["Target transform: Twice(", "                      a", "                  )"]
    assert repr(data) == "\n    ".join(lines)
    assert isinstance(data, nc.data.Dataset)


# -- archives --------------------------------------------------------------------------------------------------------------------
def tar(members: list[tuple[Any, bytes]]) -> bytes:
    """A ``.tar.gz`` of names, or of TarInfos, and contents."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as opened:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content) if info.isreg() else 0
            opened.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped(members: list[tuple[Any, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w", compression) as opened:
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, content in members:
            opened.writestr(name, content)
    return packed.getvalue()


def linked(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info


def sparse() -> bytes:
    """A tar whose one member says that it is much larger than what is stored of it."""
    info = tarfile.TarInfo("a/hole")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:410] = b"%011o\0%011o\0" % (0, 512)
    header[483:495] = b"%011o\0" % (1 << 30)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return gzip.compress(bytes(header) + bytes(512) + bytes(1024))


MOST = 100_000
BOMB = bytes(MOST + 1)
PAX = tarfile.TarInfo("a/x")
PAX.pax_headers = {"comment": "c" * 5 * MOST}
REFUSED = {
    "above.tar.gz": (tar([("a/b", b"1"), ("a/../../c", b"2")]), "a member 'a/../../c' outside it"),
    "root.tar.gz": (tar([("/etc/c", b"2")]), "a member '/etc/c' outside it"),
    "drive.tar.gz": (tar([("C:c", b"2")]), "a member 'C:c' outside it"),
    "back.tar.gz": (tar([("..\\c", b"2")]), "a member '..\\\\c' outside it"),
    "link.tar.gz": (tar([(special("a", tarfile.SYMTYPE, "/tmp"), b""), ("a/c", b"2")]), "a link or a device 'a'"),
    "hard.tar.gz": (tar([(special("a", tarfile.LNKTYPE, "../outside"), b"")]), "a link or a device 'a'"),
    "device.tar.gz": (tar([(special("a", tarfile.CHRTYPE), b"")]), "a link or a device 'a'"),
    "pipe.tar.gz": (tar([(special("a", tarfile.FIFOTYPE), b"")]), "a link or a device 'a'"),
    "folder.tar.gz": (tar([(special("../a", tarfile.DIRTYPE), b"")]), "a member '../a' outside it"),
    "bomb.tar.gz": (tar([("a", b"1"), ("b", BOMB)]), "more than 100000 bytes"),
    "sum.tar.gz": (tar([("a", BOMB[: MOST // 2]), ("b", BOMB[: MOST // 2 + 1])]), "more than 100000 bytes"),
    "sparse.tar.gz": (sparse(), "more than 100000 bytes"),
    "pax.tar.gz": (tar([(PAX, b"1")]), "more than 100000 bytes"),
    "many.tar.gz": (tar([(f"{n}", b"") for n in range(120)]), "more than 100 members"),
    "twice.tar.gz": (tar([("a", b"1"), ("a", b"2")]), "FileExistsError"),
    "both.tar.gz": (tar([("a", b"1"), ("a/b", b"2")]), "Error"),
    "cut.tar.gz": (tar([("a", rng().bytes(50_000))])[:20_000], "Error"),
    "none.tar.gz": (b"hello", "BadGzipFile"),
    "above.zip": (zipped([("a/b", b"1"), ("../c", b"2")]), "a member '../c' outside it"),
    "root.zip": (zipped([("/c", b"2")]), "a member '/c' outside it"),
    "link.zip": (zipped([(linked("a"), b"/tmp"), ("a/c", b"2")]), "a link or a device 'a'"),
    "bomb.zip": (zipped([("a", BOMB)]), "more than 100000 bytes"),
    "sum.zip": (zipped([(f"{n}", BOMB[: MOST // 3]) for n in range(4)]), "more than 100000 bytes"),
    "twice.zip": (zipped([("a", b"1"), ("a", b"2")]), "FileExistsError"),
    "cut.zip": (zipped([("a", b"1" * 100)])[:-30], "BadZipFile"),
    "changed.zip": (zipped([("a", b"0123456789")], zipfile.ZIP_STORED).replace(b"0123456789", b"0123456780"), "BadZipFile"),
    "bomb.gz": (gzip.compress(BOMB), "more than 100000 bytes"),
    "cut.gz": (gzip.compress(rng().bytes(1000))[:500], "EOFError"),
    "none.gz": (b"hello", "BadGzipFile"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_archive_is_refused(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_MEMBERS", 100)
    content, reason = REFUSED[name]
    root.mkdir()
    (root / name).write_bytes(content)
    (root.parent / "outside").write_text("before")
    with pytest.raises(FormatError) as caught:
        archive.unpack("CIFAR10", root / name, root, MOST)
    text = str(caught.value)
    wanted = f"[CIFAR10] expected {root / name} to be a whole archive of files within one folder; received "
    assert text.startswith(wanted) and text.endswith("; delete it and get it anew.") and reason in text.removeprefix(wanted)
    assert below(root.parent) == [f"data/{name}", "outside"] and (root.parent / "outside").read_text() == "before"
    assert not [path for path in root.iterdir() if path.is_dir()]


@pytest.mark.parametrize("pack", [tar, zipped])
def test_an_archive_is_unpacked(root: Path, pack: Any) -> None:
    name = "x.zip" if pack is zipped else "x.tar.gz"
    root.mkdir()
    (root / name).write_bytes(pack([("./a/b", b"1"), ("c", bytes(MOST // 2)), ("a/d/e", b"")]))
    (root / "a").mkdir()
    (root / "a" / "b").write_bytes(b"old")
    (root / "a" / "kept").write_bytes(b"kept")
    (root / f".{name}.unpacked" / "a").mkdir(parents=True)
    (root / f".{name}.unpacked" / "a" / "left").write_bytes(b"by a process that was killed")
    archive.unpack("x", root / name, root, MOST)
    assert below(root) == sorted(["a/b", "a/d/e", "a/kept", "c", name]) and (root / "a" / "b").read_bytes() == b"1"
    assert (root / "a" / "kept").read_bytes() == b"kept"


def test_a_full_disk_is_no_fault_of_the_archive(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    root.mkdir()
    (root / "x.gz").write_bytes(gzip.compress(b"1"))
    monkeypatch.setattr(archive.os, "replace", full)
    with pytest.raises(OSError, match="No space left") as caught:
        archive.unpack("x", root / "x.gz", root, 10)
    assert not isinstance(caught.value, FormatError) and below(root) == ["x.gz"]


# -- pictures made of Tensors ----------------------------------------------------------------------------------------------------
STORED = json.loads(values.FILE.read_text())


def test_grids_and_files_are_torchvisions() -> None:
    for seed, found in enumerate(STORED):
        case = values.drawn(seed)
        tensors = [nc.tensor(a) for a in case.arrays]
        tensor = tensors if case.as_list else tensors[0]
        made = [values.digest(utils.make_grid(tensor, **case.options).numpy())]
        if len(found) > 1:
            made.append(values.digest(values.saved(utils, tensor, case.options)))
        assert made == found, f"case {seed}"
        assert all((t.numpy() == a).all() for t, a in zip(tensors, case.arrays)), "the argument stays as it is"


def test_the_stored_values_are_of_many_kinds() -> None:
    cases = [values.drawn(seed) for seed in range(len(STORED))]
    assert len(cases) == values.CASES and sum(len(found) > 1 for found in STORED) > 80
    for option in ("normalize", "scale_each", "value_range"):
        assert sum(bool(case.options.get(option)) for case in cases) > 20, option


@pytest.mark.parametrize(("tensor", "options", "kind", "text"), [
    (nc.ones(0, 3, 2, 2), {}, ShapeError, "expected pictures (N, C, H, W), or one (C, H, W) or (H, W); received shape (0, 3, 2, 2)."),
    (nc.ones(5), {}, ShapeError, "expected pictures (N, C, H, W), or one (C, H, W) or (H, W); received shape (5,)."),
    ([nc.ones(3, 2, 2), nc.ones(3, 2, 3)], {}, ShapeError, "expected pictures of one shape; received (3, 2, 2), (3, 2, 3)."),
    ([], {}, TypeError, "expected a Tensor or a list of Tensors; received []."),
    (np.ones((3, 2, 2)), {}, TypeError,
     "expected a Tensor or a list of Tensors; received an array of shape (3, 2, 2) and dtype float64."),
    (nc.ones(2, 3, 2, 2), {"nrow": 0}, ValueError, "expected nrow as an integer of at least 1; received 0."),
    (nc.ones(2, 3, 2, 2), {"padding": -1}, ValueError, "expected padding as an integer of at least 0; received -1."),
    (nc.ones(2, 3, 2, 2), {"pad_value": float("nan")}, ValueError, "expected pad_value as a number that is finite; received nan."),
    (nc.ones(2, 3, 2, 2), {"normalize": True, "value_range": [0, 1]}, TypeError,
     "expected value_range as a tuple (low, high); received [0, 1]."),
    (nc.ones(2, 3, 2, 2).to("uint8"), {"normalize": True}, DTypeError,
     "expected pictures of floats where normalize is set; received dtype uint8."),
])  # fmt: skip
def test_grids_that_cannot_be(tensor: Any, options: dict[str, Any], kind: type, text: str) -> None:
    with raises(kind, f"[make_grid] {text}"):
        utils.make_grid(tensor, **options)


def test_save_image_to_a_file(tmp_path: Path) -> None:
    noise = nc.tensor(rng().random((5, 1, 4, 4), np.float32)).requires_grad_()
    for name, kind in (("a.png", "PNG"), ("b.JPG", "JPEG"), ("c.bmp", "BMP")):
        utils.save_image(noise, tmp_path / name, nrow=2, padding=1)
        with Image.open(tmp_path / name) as picture:
            assert (picture.format, picture.size, picture.mode) == (kind, (11, 16), "RGB")
    utils.save_image(noise, str(tmp_path / "d.x"), format="jpg")
    with Image.open(tmp_path / "d.x") as picture:
        assert picture.format == "JPEG"
    odd = nc.tensor([[[float("nan"), float("inf"), -float("inf"), 2.0, -1.0, 0.5]]] * 3)
    utils.save_image(odd, tmp_path / "odd.png")
    with Image.open(tmp_path / "odd.png") as picture:
        assert np.asarray(picture)[0, :, 0].tolist() == [0, 255, 0, 255, 0, 128]


def test_pictures_that_cannot_be_saved(tmp_path: Path) -> None:
    picture = nc.ones(3, 2, 2)
    hint = 'pass format="png"'
    for fp, options, received in (
        (tmp_path / "a", {}, "a name with the suffix ''"),
        (tmp_path / "a.xyz", {}, "a name with the suffix '.xyz'"),
        (tmp_path / "a.png", {"format": "cat"}, "format 'cat'"),
        (io.BytesIO(), {}, "a file without a format"),
    ):
        with raises(ValueError, f"[save_image] expected a format that Pillow writes; received {received}; {hint}."):
            utils.save_image(picture, fp, **options)  # type: ignore[arg-type]
    hint = "write x.float() / 255 for bytes"
    with raises(DTypeError, f"[save_image] expected pictures of floats, 0 .. 1; received dtype uint8; {hint}."):
        utils.save_image(picture.to("uint8"), tmp_path / "a.png")
    with raises(ShapeError, "[save_image] expected pictures (N, C, H, W) with C 1, 3 or 4; received C = 2."):
        utils.save_image(nc.ones(2, 2, 2), tmp_path / "a.png")
    with raises(TypeError, "[save_image] expected fp as a path or as a file that is open to write bytes; received 3."):
        utils.save_image(picture, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"^\[save_image\] expected pictures that JPEG can hold; received "):
        utils.save_image(nc.ones(4, 2, 2), tmp_path / "a.jpg")
    with pytest.raises(TypeError, match=r"^\[make_grid\] expected the arguments tensor, nrow"):
        utils.save_image(picture, tmp_path / "a.png", rows=3)
    assert below(tmp_path) == []
