"""PyTorch's files: round trips beside PyTorch, damaged files, and hostile ones, which execute nothing and take no more than they are."""

from __future__ import annotations

import argparse
import io
import os
import re
import struct
import tarfile
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import nn, ptfile
from numbacnn.errors import in_form
from numbacnn.pickles import Call, Given, Name, Persistent, Writer
from numbacnn.ptfile import OLD

HOLDS = (
    "to hold Tensors, arrays, numbers, strings, bytes, paths and dtypes, in lists, tuples, dicts, sets and argparse's Namespaces; received "
)
HINT = "; nothing of it was executed; in PyTorch save the state_dict(), or plain values."


def saved(value: Any) -> bytes:
    file = io.BytesIO()
    nc.save(value, file)
    return file.getvalue()


def loaded(data: bytes, *args: Any, **options: Any) -> Any:
    return nc.load(io.BytesIO(data), *args, **options)


def exactly(kind: type[BaseException], text: str) -> Any:
    return pytest.raises(kind, match="^" + re.escape(text) + "$")


def assert_same(a: Any, b: Any) -> None:
    """Equal values, types and dtypes, of this library or PyTorch."""
    if hasattr(b, "detach"):
        b, a = np.asarray(b.detach()), np.asarray(a.detach())
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(b, (list, tuple, dict)):
        assert len(a) == len(b) and isinstance(a, type(b)) | isinstance(b, type(a))
        for x, y in zip(*((c.items() if isinstance(c, dict) else c) for c in (a, b))):
            assert_same(x, y)
    else:
        assert type(a) is type(b) and a == b


DTYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool")
PLAIN: dict[str, Any] = {
    "none": [None, True, False, 0, 255, 65536, -1, 2**40, -(2**70), 1.5, -0.0, float("inf"), 1 + 2j],
    "texts": ["", "weight", "n\xe4\u2028\U0001f600", "\ud800", b"", b"\x00\xff", "x" * 300],
    "nested": (1, (2,), (), ((3, 4), [5, {6: {}}])),
    "ordered": OrderedDict(b=1, a=OrderedDict()),
    "keys": {1: 2, -3.5: 4, None: 5, b"k": 7, "": 8},
    "sets": [{1, "a"}, set()],
}


def values() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    tensors = [nc.tensor(rng.integers(0, 2, (2, 3)).astype(name)) for name in DTYPES]
    return {
        **PLAIN,
        "tensors": tensors,
        "parameters": [nn.Parameter(nc.ones(2)), nn.Parameter(nc.ones(2), requires_grad=False), nc.ones(1, requires_grad=True)],
        "shapes": [nc.zeros(0, 3), nc.tensor(2.5), nc.zeros(1, 1), nc.zeros(2, 3, 4, 5).permute(0, 3, 1, 2), nc.arange(6)[::2]],
    }


# -- what is written is read ---------------------------------------------------------------------------------------------------
def test_what_is_written_is_read() -> None:
    value = values()
    found = loaded(saved(value))
    assert_same(found, value)
    assert [type(p) for p in found["parameters"]] == [nn.Parameter, nn.Parameter, nc.Tensor]
    assert [p.requires_grad for p in found["parameters"]] == [True, False, True]
    assert saved(value) == saved(values())


def test_numbers_and_arrays_of_numpy_become_pythons_and_tensors() -> None:
    found = loaded(saved([np.float32(1.5), np.int64(3), np.bool_(True), np.str_("a"), np.arange(3.0), np.dtype("int8")]))
    assert_same(found, [1.5, 3, True, "a", nc.tensor(np.arange(3.0)), nc.int8])


def kept() -> dict[str, Any]:
    """What else a script keeps to go on from."""
    return {
        "args": argparse.Namespace(lr=0.1, dims=[1, 2], out=Path("runs/a")),
        "paths": [Path("a/b.pt"), Path(), Path("/"), PureWindowsPath("C:/a/b")],
        "generator": np.random.RandomState(0).get_state(),
        "arrays": [np.arange(6, dtype=dtype).reshape(2, 3) for dtype in ("u2", "u4", "u8", "f2", "c8", ">f4")],
        "empty": np.zeros((0, 3), np.uint32),
    }


def assert_kept(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert found["args"] == wanted["args"] and type(found["args"]) is argparse.Namespace
    assert found["paths"] == wanted["paths"] and [*map(type, found["paths"])] == [*map(type, wanted["paths"])]
    pairs = [(found[name], wanted[name]) for name in ("arrays", "generator")] + [([found["empty"]], [wanted["empty"]])]
    for a, b in ((a, b) for pair in pairs for a, b in zip(*pair, strict=True)):
        assert type(a) is type(b) and getattr(a, "dtype", float) == np.dtype(getattr(b, "dtype", float)).newbyteorder("=")
        np.testing.assert_array_equal(a, b)


def test_what_a_script_keeps_is_read() -> None:
    found = loaded(saved(kept()))
    assert_kept(found, kept())
    np.random.RandomState(1).set_state(found["generator"])
    found["arrays"][0][0, 0] = 7  # it can be written to
    same = np.ones(3, np.uint16)
    a, b = loaded(saved([same, same]))
    assert a is b


class Device(str):
    """A string of a class of its own."""


def test_strings_of_other_classes_are_strings() -> None:
    assert_same(loaded(saved(argparse.Namespace(device=Device("cpu")))).device, "cpu")


def test_tensors_that_show_one_memory_share_it_again() -> None:
    x = nc.tensor(np.arange(6.0).reshape(2, 3))
    same = [1, 2]
    a, b, c, d, first, second = loaded(saved([x, x.detach(), x.T, x[0], same, same]))
    a[0, 2] = 9.0
    assert b[0, 2].item() == c[2, 0].item() == 9 and d[2].item() == 2
    assert first is second
    # and whatever PyTorch wrote that shows parts of a storage
    a, b = loaded(archive([tensor(0, (2, 3), (3, 1)), tensor(1, (2,), (3,))], {"0": bytes(24)}))
    a[1, 1] = 7.0
    assert b.tolist() == [0, 7]


def test_paths_and_files(tmp_path: Path) -> None:
    path = tmp_path / "below" / "net.pt"
    nc.save({"a": 1}, path)
    nc.save({"a": 2}, str(path))
    assert nc.load(path) == nc.load(str(path)) == {"a": 2} and os.listdir(path.parent) == ["net.pt"]
    with open(path, "rb") as file:
        assert nc.load(file, weights_only=False) == {"a": 2}

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = io.BytesIO(path.read_bytes())

        def readable(self) -> bool:
            return True

        def readinto(self, into: Any) -> int:
            return self.data.readinto(into)

    assert nc.load(io.BufferedReader(Pipe())) == {"a": 2}


@pytest.mark.parametrize(("value", "text"), [
    (object(), "a value of type object"),
    ({"net": {"layers": [nn.Linear(2, 2)]}}, "a value of type Linear at net.layers.0"),
    ([np.array(["a"])], "dtype <U1 at 0"),
    (argparse.Namespace(net=nn.ReLU()), "a value of type ReLU at net"),
    ([np.dtype(">f4")], "dtype >f4 at 0"),
    (np.datetime64("2020"), "a number of dtype datetime64[Y]"),
    ({(1, 2): 3}, "a key of type tuple"),
    ({np.int64(1): 3}, "a key of type int64"),
    ({1j}, "a key of type complex"),
    ({2**63: 1}, "an integer of more than 64 bits as a key"),
    (len, "a value of type builtin_function_or_method"),
])  # fmt: skip
def test_what_is_not_written(value: Any, text: str, tmp_path: Path) -> None:
    expected = f"[save] expected {HOLDS.removeprefix('to hold ')}"
    with exactly(TypeError, f"{expected}{text}; save the state_dict() of a module or an optimiser."):
        nc.save(value, tmp_path / "x.pt")
    assert not os.listdir(tmp_path)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def test_lists_in_lists_have_an_end() -> None:
    assert loaded(saved(nested(100))) == nested(100)
    loop: list[Any] = []
    loop.append({"again": (loop,)})
    for deep in (nested(101), nested(100_000), loop, [nested(60), [nested(99)]]):
        with pytest.raises(TypeError, match="received more than 100 lists and dicts within each other"):
            saved(deep)


@pytest.mark.parametrize(("f", "received"), [(3, "3"), (None, "None"), (io.StringIO(), "StringIO")])
def test_other_targets(f: Any, received: str) -> None:
    with exactly(TypeError, f"[save] expected f as a path or as a file that is open to write bytes; received {received}."):
        nc.save(1, f)


@pytest.mark.parametrize(("f", "received"), [(3, "3"), (None, "None"), (io.StringIO(), "a file of text")])
def test_other_sources(f: Any, received: str) -> None:
    with exactly(TypeError, f"[load] expected f as a path or as a file that is open to read bytes; received {received}."):
        nc.load(f)


def test_a_file_that_was_just_written() -> None:
    file = io.BytesIO()
    nc.save([1], file)
    with exactly(nc.FormatError, "[load] expected the file to be a PyTorch file; received the end of it; call seek(0) first."):
        nc.load(file)
    file.seek(0)
    assert nc.load(file) == [1]


def test_missing_files_and_wrong_options(tmp_path: Path) -> None:
    with exactly(FileNotFoundError, f"[load] expected a file {tmp_path}; received a folder."):
        nc.load(tmp_path)
    with exactly(TypeError, "[load] expected weights_only as True or False; received 1."):
        loaded(saved(1), weights_only=1)
    with exactly(TypeError, "[load] expected map_location as a device, a dict of devices or a function; received 5."):
        loaded(saved(1), 5)
    for place in ("gpu", {"cpu": "gpu"}):
        with pytest.raises(nc.DeviceError, match=r"^\[load\] expected one of 'cpu' and 'cuda'; received 'gpu'\.$"):
            loaded(saved(1), place)


def test_map_location() -> None:
    """A storage of a GPU goes to the CPU, unless the user says otherwise."""
    data = archive([tensor(storage=storage(place="cuda:1"))], {"0": bytes(16)})
    for place in (None, "cpu", {"cuda:1": "cpu"}, {}, lambda memory, location: memory, lambda memory, location: None):
        assert loaded(data, place)[0].device == "cpu"
    seen = []
    loaded(data, lambda memory, location: seen.append((memory.tolist(), location)))
    assert seen == [([0, 0, 0, 0], "cuda:1")]


# -- files made by hand --------------------------------------------------------------------------------------------------------
def storage(kind: str = "torch FloatStorage", key: Any = "0", place: Any = "cpu", size: Any = 4, *more: Any) -> Persistent:
    return Persistent(("storage", Name(kind), key, place, size, *more))


def tensor(offset: Any = 0, sizes: Any = (2, 2), strides: Any = (2, 1), storage: Any = None, grad: Any = False) -> Call:
    from_storage = Persistent(("storage", Name("torch FloatStorage"), "0", "cpu", 6 if sizes == (2, 3) or strides == (3,) else 4))
    return Call("torch._utils _rebuild_tensor_v2", (storage or from_storage, offset, sizes, strides, grad, None))


def pickled(value: Any) -> bytes:
    """The pickle of a value; a pickle as it is."""
    return value if isinstance(value, bytes) else Writer(lambda value: value).dumps(value)


def archive(content: Any, storages: dict[str, bytes] | None = None, **more: bytes) -> bytes:
    """A file with this pickle, or the pickle of this value."""
    file = io.BytesIO()
    records = {f"data/{key}": data for key, data in (storages or {}).items()}
    with zipfile.ZipFile(file, "w") as out:
        for name, data in {"data.pkl": pickled(content), **records, **more}.items():
            out.writestr(f"net/{name}", data)
    return file.getvalue()


def old(content: Any, storages: dict[str, bytes], width: int = 4, keys: Any = None) -> bytes:
    """A file in the form from before PyTorch 1.6."""
    head = OLD + pickled(1001) + pickled({"little_endian": True}) + pickled(content)
    tail = b"".join(struct.pack("<q", len(data) // width) + data for data in storages.values())
    return head + pickled(list(storages) if keys is None else keys) + tail


ONES = np.ones(4, "<f4").tobytes()


def test_a_file_from_before_pytorch_1_6() -> None:
    first, second = (storage(key=key) for key in "ab")
    content = {"x": tensor(storage=first), "y": Call("torch._utils _rebuild_parameter", (tensor(storage=second), True, None))}
    found = loaded(old(content, {"a": ONES, "b": 2 * ONES[:8]}))
    assert_same(found, {"x": nc.ones(2, 2), "y": nn.Parameter(nc.ones(2, 2))})


def test_two_old_files_one_after_the_other() -> None:
    file = io.BytesIO(old(tensor(), {"0": ONES}) + old([5], {}))
    assert nc.load(file).tolist() == [[1, 1], [1, 1]] and nc.load(file) == [5]


def test_byte_orders_and_narrow_floats() -> None:
    numbers = np.array([1.5, -2.0, 2.0**-24, 65504.0])
    assert loaded(archive(tensor(), {"0": numbers.astype(">f4").tobytes()}, byteorder=b"big")).flatten().tolist() == numbers.tolist()
    half = tensor(storage=storage("torch HalfStorage"))
    assert_same(loaded(archive(half, {"0": numbers.astype("<f2").tobytes()})), nc.tensor(numbers.reshape(2, 2).astype("f4")))
    bits = np.array([0x3FC0, 0xC000, 0x7F80, 0x0001], ">u2")  # of 1.5, -2, infinity and the smallest
    brain = tensor(storage=storage("torch.cuda BFloat16Storage", place="cuda:0"))
    found = loaded(archive(brain, {"0": bits.tobytes()}, byteorder=b"big"))
    assert found.dtype == nc.float32 and found.flatten().tolist() == [1.5, -2.0, float("inf"), 2.0**-133]
    flags = tensor(storage=storage("torch BoolStorage"))
    assert loaded(old(flags, {"0": b"\x00\x01\x02\xff"}, width=1)).flatten().numpy().view(np.uint8).tolist() == [0, 1, 1, 1]


def test_storages_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ptfile, "CHUNK", 3)
    numbers = np.arange(10.0)
    for stored in ("<f4", "<f2"):
        kind = {"<f4": "Float", "<f2": "Half"}[stored]
        made = tensor(0, (10,), (1,), storage(f"torch {kind}Storage", size=10))
        assert loaded(archive(made, {"0": numbers.astype(stored).tobytes()})).tolist() == numbers.tolist()


def test_records_begin_where_memory_can_be_mapped() -> None:
    data = saved([nc.ones(3), nc.ones(5), nc.ones(1)])
    for info in zipfile.ZipFile(io.BytesIO(data)).infolist():
        name, extra = struct.unpack_from("<HH", data, info.header_offset + 26)
        assert (info.header_offset + 30 + name + extra) % 64 == 0


def test_checksums_that_were_not_kept() -> None:
    data = bytearray(archive([1], {}))
    for place in (data.index(b"PK\x03\x04") + 14, data.index(b"PK\x01\x02") + 16):
        data[place : place + 4] = bytes(4)
    assert loaded(bytes(data)) == [1]


def test_what_python_2_wrote() -> None:
    items = [["weight", tensor()], ["n", 3]]
    found = loaded(archive(Call("collections OrderedDict", (items,)), {"0": ONES}))
    assert list(found) == ["weight", "n"]
    assert loaded(archive(b"\x80\x02}U\x01aK\x01s.")) == {"a": 1}


def test_versions_of_modules_are_left_out() -> None:
    state = b"\x80\x02ccollections\nOrderedDict\n)RX\x01\x00\x00\x00wK\x01s}X\x09\x00\x00\x00_metadata}sb."
    assert_same(loaded(archive(state)), OrderedDict(w=1))


# -- files of others -----------------------------------------------------------------------------------------------------------
def rebuilt(*arguments: Any, version: int = 2) -> Call:
    return Call(f"torch._utils _rebuild_tensor_v{version}", arguments)


def other_files() -> dict[str, tuple[bytes, str]]:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as out:
        out.addfile(tarfile.TarInfo("storages"))
    be, whole = "to be a PyTorch file; received ", "to be a whole PyTorch file; received "
    first = "a tar archive, the form of the first versions of PyTorch; load and save it with a PyTorch that reads it."
    files = {
        "tar": (tar.getvalue(), be + first),
        "safetensors": (struct.pack("<q", 2) + b"{}", be + "a safetensors file; checkpoint.load_weights reads it."),
        "pickle": (b"\x80\x04K\x01.", be + "a pickle that torch.save did not write; in PyTorch save a state_dict(), or plain values."),
        "text": (b"version https://git-lfs", be + "one that begins with b'version '."),
        "empty": (b"", be + "an empty file."),
        "zip": (archive([1])[:20], whole + "File is not a zip file; take another copy of it."),
    }
    complex_ = tensor(storage=storage("torch ComplexFloatStorage"))
    short = rebuilt(storage("torch.storage UntypedStorage"), 0, (2,), (1,), False, None, Name("torch uint16"), version=3)
    held = {
        "torchscript": (archive([1], {}, **{"constants.pkl": b"x"}), "a TorchScript module"),
        "complex": (archive({"a": {"w": complex_}}, {"0": bytes(32)}), "a tensor of dtype complex64 at a.w"),
        "old complex": (
            old([Call("torch._utils _rebuild_parameter", (complex_, True, None))], {"0": bytes(32)}, 8),
            "a tensor of dtype complex64 at 0",
        ),
        "uint16": (archive(short, {"0": bytes(4)}), "a tensor of dtype uint16"),
        "dtype": (archive({"dtype": Name("torch bfloat16")}), "dtype bfloat16 at dtype"),
        "conjugated": (
            archive(rebuilt(storage(), 0, (2,), (1,), False, None, {"conj": True}), {"0": ONES}),
            "a conjugated or negated view",
        ),
        "sparse": (archive(Name("torch._utils _rebuild_sparse_tensor")), 'a pickle of "torch._utils._rebuild_sparse_tensor"'),
        "module": (archive(Name("__main__ Net")), 'a pickle of "__main__.Net"'),
        "numpy": (archive(Name("numpy.core.multiarray scalar")), 'a pickle of "numpy.core.multiarray.scalar"'),
    }
    return {**files, **{name: (data, HOLDS + text + HINT) for name, (data, text) in held.items()}}


@pytest.mark.parametrize("name", other_files())
def test_other_files_are_named(name: str, tmp_path: Path) -> None:
    data, text = other_files()[name]
    path = tmp_path / "net.pt"
    path.write_bytes(data)
    with exactly(nc.FormatError, f"[load] expected {path} {text}"):
        nc.load(path)


# -- hostile files -------------------------------------------------------------------------------------------------------------
def body(data: bytes) -> bytes:
    return archive(b"\x80\x02" + data + b".")


def global_(name: str) -> bytes:
    return b"c" + name.replace(" ", "\n").encode() + b"\n"


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def of(pickle: Any, *storages: bytes) -> bytes:
    return archive(pickle, dict(zip("0123456789", storages or [ONES])))


def with_names(*names: str, data: bytes = b"\x80\x02K\x01.", **options: Any) -> bytes:
    file = io.BytesIO()
    with (
        pytest.warns() if len(set(names)) < len(names) else zipfile.ZipFile(io.BytesIO(), "w"),
        zipfile.ZipFile(file, "w", **options) as out,
    ):
        for name in names:
            out.writestr(name, data)
    return file.getvalue()


def overlapping() -> bytes:
    """Fifty entries of the table that all point to one record."""
    data = archive([storage(key=f"{k}", size=1000) for k in range(50)], {"0": bytes(4000)})
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[data.index(b"PK\x01\x02", start + 1) : end]
    entries = data[start : start + data[start:].index(b"PK\x01\x02", 1)] + entry * 1
    entries += b"".join(entry.replace(b"net/data/0", f"net/data/{k}".encode()) for k in range(1, 10))
    return data[:start] + entries + struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 11, 11, len(entries), start, 0)


def sized(data: bytes, name: bytes, size: int) -> bytes:
    """An archive whose table says that a record has so many bytes."""
    found, at = bytearray(data), data.rindex(name)
    found[at - 26 : at - 18] = struct.pack("<II", size, size)
    return bytes(found)


def flipped(data: bytes, where: bytes, by: int = 0) -> bytes:
    found = bytearray(data)
    found[data.index(where) + by] ^= 1
    return bytes(found)


CALLED = """
    posix.system nt.system os.system builtins.eval __builtin__.eval builtins.exec builtins.__import__ builtins.getattr builtins.open
    builtins.print builtins.globals builtins.bytearray builtins.frozenset subprocess.Popen subprocess.check_output pickle.loads
    numpy.load numpy.core.multiarray._reconstruct torch.load torch.hub.load numbacnn.load operator.attrgetter functools.partial
    importlib.import_module collections.defaultdict torch._utils._rebuild_tensor_v2.__globals__ collections.OrderedDict.__init__
""".split()  # noqa: SIM905
TENSORS = [
    *((0, (2, 2), (-2, 1)), (-1, (2, 2), (2, 1)), (1, (2, 2), (2, 1)), (0, (2, 2), (4, 1)), (0, (2, 2), (2,)), (0, (-2, -2), (2, 1))),
    *((0, (2.0, 2), (2, 1)), (0, [2, 2], [2, 1]), (0, (True, 2), (2, 1)), ("0", (2, 2), (2, 1)), (0, (2, 2), (2, 1), [1, 2]), (0, 4, 1)),
    *((0, (2**62, 2), (0, 2**62)), (2**70, (2,), (1,)), (5, (0,), (1,)), (0, (2**70, 0), (1, 1)), (0, (1,) * 65, (1,) * 65)),
    *((0, (1, 1), (2**70, 1)), (0, (2, 2), (2, 1), None, 1)),
]
STACKS = {
    **{"empty": b"", "two values": b"NN", "tuple": b"\x87", "append": b"a", "appends": b"e", "setitem": b"}K\x01s", "setitems": b"}(Nu"},
    **{
        "memo": b"h\x05",
        "put": b"q\x01",
        "append to a tuple": b")K\x01a",
        "set items of a list": b"]K\x01K\x02s",
        "add to a list": b"](N\x90",
    },
    **{"fill a tuple": b")](NNe\x86a", "pop": b"N0", "pop mark": b"(N1", "dup": b"N2", "dict": b"(d", "list": b"(l", "string": b"S'x'\n"},
    **{"unicode": b"Vx\n", "float": b"F1.5\n", "int": b"I1\n", "get": b"g1\n", "next buffer": b"\x97", "readonly buffer": b"N\x98"},
    **{"no opcode": b"\xff", "zero": b"\x00", "reduce": b"R", "build": b"b", "persistent": b"Q", "frozenset": b"(\x91", "mark": b"N(N"},
}
LONG = "x" * 1000


PAIRS = b"".join(text(chr(97 + k // 20) + chr(97 + k % 20)) + b"N" for k in range(300))  # as keys, of two letters each


def laughs(first: int, layers: int = 30) -> bytes:
    """A list that stands for 10**layers ones, by places of the memo from ``first`` on."""
    places = range(first, first + layers)
    return b"](](K\x01eq%c" % first + b"".join(b"](" + b"h%c" % n * 10 + b"eq%c" % (n + 1) for n in places) + b"e"


def calls(name: str, *arguments: Any) -> bytes:
    return of(Call(name, arguments))


def repeated(name: str, value: bytes, more: bytes = b"\x85") -> bytes:
    """A list of 300 calls with one value."""
    return body(b"](" + global_(name) + value + b"q\x01" + more + b"R" + (global_(name) + b"h\x01" + more + b"R") * 300 + b"e")


def numbers(start: bytes, end: bytes) -> bytes:
    return start + b"K\x01" * 300 + end


def collisions() -> bytes:
    """Integers that have one hash, for keys."""
    return b"".join(b"\x8a\x0a" + ((2**61 - 1) * (k << 9)).to_bytes(10, "little") + b"N" for k in range(9))


ORDER = (3, "<", None, None, None, -1, -1, 0)
DOUBLE = Given(Call("numpy dtype", ("f8", False, True)), ORDER)


def array_of(kind: str, shape: tuple[int, ...], data: Any) -> bytes:
    """The part of a pickle that makes an array of NumPy's."""
    elements = Given(Call("numpy dtype", (kind, False, True)), ORDER)
    made = Call("numpy.core.multiarray _reconstruct", (Name("numpy ndarray"), (0,), b"b"))
    return pickled(Given(made, (1, shape, elements, False, data)))[2:-1]


def hostile(command: str) -> dict[str, bytes]:
    argument = b"(" + text(command) + b"t"
    made = b"\x80\x02" + pickled(tensor())[2:-1]
    return {
        # calls of what a file may not name
        **{f"call {name}": calls(" ".join(name.rsplit(".", 1)), command) for name in CALLED},
        "call nothing": calls("  ", command),
        "system by STACK_GLOBAL": body(text("posix") + text("system") + b"\x93" + argument + b"R"),
        "STACK_GLOBAL of numbers": body(b"K\x01K\x02\x93"),
        "STACK_GLOBAL of laughs": body(laughs(1) + laughs(2) + b"\x93"),
        "system by INST": body(b"(" + text(command) + b"iposix\nsystem\n"),
        "system by OBJ": body(b"(" + global_("posix system") + text(command) + b"o"),
        "system by NEWOBJ": body(global_("posix system") + argument + b"\x81"),
        "NEWOBJ of what is known": body(global_("collections OrderedDict") + b")\x81"),
        "OBJ of what is known": body(b"(" + global_("collections OrderedDict") + b"o"),
        "NEWOBJ_EX": body(global_("collections OrderedDict") + b")}\x92"),
        "EXT1": body(b"\x82\x01"),
        "EXT2": body(b"\x83\x01\x00"),
        "EXT4": body(b"\x84\x01\x00\x00\x00"),
        "call of a string": body(text("system") + argument + b"R"),
        "call of a tensor": of(made + b")R."),
        "call without a tuple": body(global_("collections OrderedDict") + b"]R"),
        "call of a dtype": body(global_("torch float32") + b")R"),
        "too many arguments": body(global_("builtins set") + b"]]\x86R"),
        "bytes of a size": calls("builtins bytes", 10**12),
        "complex of a text": calls("builtins complex", "1" * 1000 + "j" * 5),
        "bytes in another encoding": calls("_codecs encode", "x", "zlib"),
        "attributes of a dict": body(b"}}b"),
        "attributes of a tensor": of(made + b"}" + text("array") + b"K\x01sb."),
        "attributes of an OrderedDict": body(global_("collections OrderedDict") + b")R}" + text("items") + b"K\x01sb"),
        "a class for a value": body(b"](" + global_("collections OrderedDict") + b"e"),
        "a class for a key": body(b"}" + global_("collections OrderedDict") + b"K\x01s"),
        # storages
        "persistent number": body(b"K\x01Q"),
        "persistent text": body(b"P0\n"),
        "persistent of another word": of(Persistent(("module", Name("torch FloatStorage"), "0", "cpu", 4))),
        "persistent too short": of(Persistent(("storage", Name("torch FloatStorage"), "0"))),
        "storage of no kind": of(tensor(storage=Persistent(("storage", "torch FloatStorage", "0", "cpu", 4)))),
        "storage of a number": of(tensor(storage=storage(key=0))),
        "storage nowhere": of(tensor(storage=storage(place=None))),
        "storage of less than nothing": of(tensor(storage=storage(size=-4))),
        "storage of True": of(tensor(storage=storage(size=True))),
        "storage of a text": of(tensor(storage=storage(size="4"))),
        "storage beyond the file": of(tensor(storage=storage(size=10**6))),
        "storage beyond all": of(tensor(storage=storage(size=2**70))),
        "storage without a record": of(tensor(storage=storage(key="1"))),
        "storage above the archive": of(tensor(storage=storage(key="../data.pkl"))),
        "storage longer than its record": of(tensor(storage=storage(size=5))),
        "storage shorter than its record": of(tensor(storage=storage(size=3))),
        "storage of two kinds": of([tensor(), tensor(storage=storage("torch IntStorage"))]),
        "storage of two sizes": of([tensor(), tensor(storage=storage(size=2))]),
        "storage as a view": of(tensor(storage=storage("torch FloatStorage", "0", "cpu", 4, ("1", 0, 2)))),
        "storage alone": of(storage()),
        "storage as a key": of(b"\x80\x02}" + pickled(storage())[2:-1] + b"K\x01s."),
        # tensors
        **{f"tensor {arguments}"[:40]: of(tensor(*arguments)) for arguments in TENSORS},
        "integers with a gradient": of(tensor(storage=storage("torch IntStorage"), grad=True)),
        "parameter of a number": of(Call("torch._utils _rebuild_parameter", (3, True, None))),
        "parameter with half a gradient": of(Call("torch._utils _rebuild_parameter", (tensor(), "yes", None))),
        "tensor of no arguments": of(rebuilt()),
        "tensor without a kind": of(rebuilt(storage(), 0, (2,), (1,), False, None, Name("torch float32"), version=3)),
        "device of a list": calls("torch device", [1]),
        "device of a float": calls("torch device", "cuda", 1.5),
        # more than the file is
        "sets of one list": repeated("builtins set", numbers(b"](", b"e")),
        "OrderedDicts of one list": repeated("collections OrderedDict", b"](" + b"](K\x00K\x01e" * 300 + b"e"),
        "bytes of one text": repeated("_codecs encode", text(LONG), text("latin1") + b"\x86"),
        "sizes of one tuple": repeated("torch Size", numbers(b"(", b"t")),
        "sizes of a list": calls("torch Size", [1]),
        "sizes of a wide tensor": of(Call("torch Size", (tensor(0, (10**9, 4), (0, 1)),))),
        "OrderedDicts of one dict": repeated("collections OrderedDict", b"}(" + PAIRS + b"u"),
        "OrderedDict of a wide tensor": of(Call("collections OrderedDict", (tensor(0, (10**9, 2), (0, 1)),))),
        "set of a wide tensor": of(Call("builtins set", (tensor(0, (10**9, 4), (0, 1)),))),
        "a text of 4 GB": body(b"X\xff\xff\xff\xff"),
        "bytes without end": body(b"\x8e" + struct.pack("<Q", 2**60)),
        "a text without end": body(b"\x8d" + struct.pack("<Q", 2**63 - 1)),
        "a bytearray without end": body(b"\x96" + struct.pack("<Q", 2**40)),
        "an integer of 2 GB": body(b"\x8b\xff\xff\xff\x7f"),
        "an integer of less than nothing": body(b"\x8b\xff\xff\xff\xff"),
        "an integer in digits": body(b"I" + b"9" * 100_000 + b"\n"),
        "a long in digits": body(b"L" + b"9" * 100_000 + b"L\n"),
        "lists in lists": body(b"]" * 20_000 + b"a" * 19_999),
        "tuples in tuples": body(b")" + b"\x85" * 20_000),
        "tuples in tuples as a key": body(b"})" + b"\x85" * 20_000 + b"K\x01s"),
        "tuples in tuples in a set": body(b"\x8f()" + b"\x85" * 20_000 + b"\x90"),
        "marks in marks": body(b"(" * 20_000),
        "a list that holds itself": body(b"]q\x01h\x01a"),
        "a dict that holds itself": body(b"}q\x01K\x01h\x01s"),
        "keys of one hash": body(b"}(" + collisions() + b"u"),
        "complex keys": body(b"}" + global_("builtins complex") + b"K\x01K\x02\x86RK\x01s"),
        "a list for a key": body(b"}]K\x01s"),
        # a machine without what it needs
        **{f"stack {name}": body(data) for name, data in STACKS.items()},
        "no end": archive(b"\x80\x02N"),
        "nothing": archive(b""),
        # archives
        "two pickles": with_names("a/data.pkl", "b/data.pkl"),
        "one name twice": with_names("a/data.pkl", "a/data.pkl"),
        "no pickle": with_names("a/data"),
        "a pickle above": with_names("../data.pkl"),
        "a pickle at the root": with_names("/data.pkl"),
        "a record above": with_names("a/data.pkl", "a/../../etc"),
        "a record at the root": with_names("a/data.pkl", "/etc/passwd"),
        "compressed": with_names("a/data.pkl", compression=zipfile.ZIP_DEFLATED),
        "a compressed bomb": with_names("a/data.pkl", data=bytes(10**6), compression=zipfile.ZIP_DEFLATED),
        "encrypted": flipped(archive([1]), b"PK\x01\x02", 8),
        "overlapping": overlapping(),
        "a pickle of 4 GB": sized(archive([1]), b"net/data.pkl", 2**32 - 2),
        "a storage of 4 GB": sized(of(tensor(storage=storage(size=2**30 - 1))), b"net/data/0", 2**32 - 4),
        "a record that was changed": flipped(of(tensor()), ONES),
        "a pickle that was changed": flipped(of([LONG]), b"xxxx"),
        "another byte order": archive(tensor(), {"0": ONES}, byteorder=b"middle"),
        "a long byte order": archive(tensor(), {"0": ONES}, byteorder=b"little" * 1000),
        # what NumPy and argparse make
        "ndarray that is called": body(global_("numpy ndarray") + b"K\x02\x85R"),
        "an array of objects": body(array_of("O8", (1,), b"x" * 8)),
        "an array of texts": body(array_of("U1", (1,), b"x" * 4)),
        "an array of more than there is": body(array_of("f8", (10**9,), bytes(8))),
        "an array of less than there is": body(array_of("f8", (1,), bytes(16))),
        "an array of less than nothing": body(array_of("f8", (-1, -1), bytes(8))),
        "an array of many axes": body(array_of("f8", (1,) * 100, bytes(8))),
        "an array without numbers": body(array_of("f8", (1,), None)),
        "an array that gets a dict": body(array_of("f8", (1,), bytes(8)) + b"}b"),
        "an array that is a key": body(b"}" + array_of("f8", (1,), bytes(8)) + b"Ns"),
        "a dtype of ours that is given a byte order": body(global_("torch float32") + pickled(ORDER)[2:-1] + b"b"),
        "a dtype without a byte order": body(pickled(Given(Call("numpy dtype", ("f8",)), (3,)))[2:-1]),
        "a dtype with fields": body(pickled(Given(Call("numpy dtype", ("f8",)), (*ORDER[:3], ("a",), *ORDER[4:])))[2:-1]),
        "a dtype of numbers": body(pickled(Call("numpy dtype", (8,)))[2:-1]),
        "a dtype of lists": body(pickled(Call("numpy dtype", ([],)))[2:-1]),
        "a number of two": body(pickled(Call("numpy.core.multiarray scalar", (DOUBLE, bytes(16))))[2:-1]),
        "a number of objects": body(pickled(Call("numpy.core.multiarray scalar", (Call("numpy dtype", ("O8",)), b"x" * 8)))[2:-1]),
        "a number without a dtype": body(pickled(Call("numpy.core.multiarray scalar", ("f8", bytes(8))))[2:-1]),
        "a path of numbers": body(pickled(Call("pathlib PosixPath", (1,)))[2:-1]),
        "a path of lists": body(pickled(Call("pathlib PosixPath", (["a"],)))[2:-1]),
        "a Namespace that is called": body(pickled(Call("argparse Namespace", ()))[2:-1]),
        "a Namespace of arguments": body(global_("argparse Namespace") + b"K\x01\x85\x81"),
        "a Namespace of numbers": body(global_("argparse Namespace") + b")\x81}K\x01K\x02sb"),
        "a Namespace without a dict": body(global_("argparse Namespace") + b")\x81K\x01b"),
        "a Namespace in itself": body(global_("argparse Namespace") + b")\x81q\x00}" + text("a") + b"h\x00sb"),
        "a Namespace that is a key": body(b"}" + global_("argparse Namespace") + b")\x81Ns"),
        "Namespace itself": body(global_("argparse Namespace")),
        # the old form
        "old without more": OLD,
        "old that calls": old(Call("posix system", (command,)), {}),
        "old that calls first": OLD + pickled(Call("posix system", (command,))),
        "old with keys that call": old([], {}, keys=Call("posix system", (command,))),
        "old with a storage too many": old([], {"0": ONES}),
        "old with a storage too few": old(tensor(), {}),
        "old with keys of numbers": old(tensor(), {"0": ONES}, keys=[0]),
        "old with keys that laugh": old([], {}, keys=b"\x80\x02](" + laughs(1) + laughs(60) + b"e."),
        "old with a key twice": old(tensor(), {"0": ONES}, keys=["0", "0"]),
        "old with a storage of another size": old(tensor(), {"0": ONES * 2}),
        "old with half a storage": old(tensor(), {"0": ONES})[:-8],
        "old beyond the file": old(tensor(storage=storage(size=2**40)), {"0": ONES}),
    }


HOSTILE = hostile("")


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_do_nothing(name: str, tmp_path: Path) -> None:
    target = tmp_path / "executed"
    data = hostile(f"echo > {target}")[name] if "call" in name or "system" in name else HOSTILE[name]
    for weights_only in (True, False):
        with pytest.raises(nc.FormatError) as error:
            loaded(data, weights_only=weights_only)
        assert in_form(error.value) and len(str(error.value)) < 500
    assert not target.exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_take_no_more_than_they_are(name: str) -> None:
    data = HOSTILE[name]
    tracemalloc.start()
    try:
        with pytest.raises(nc.FormatError):
            loaded(data)
        assert tracemalloc.get_traced_memory()[1] < 100_000 + 100 * len(data)  # an empty list is one byte in a pickle, and 64 in memory
    finally:
        tracemalloc.stop()


def test_what_looks_hostile_and_is_not() -> None:
    """Few bytes that stand for much take as little here."""
    assert loaded(body(b"Nr\xff\xff\xff\xff")) is None  # the last place of a memo, which Python's unpickler makes room for
    many = loaded(body(laughs(1)))
    assert len(many) == 31 and many[30][0] is many[30][9] is many[29] and len(saved(many)) < 10_000
    assert loaded(body(b"\x8b" + struct.pack("<I", 1000) + b"\x01" * 1000)) == int.from_bytes(b"\x01" * 1000, "little")
    wide = loaded(archive(tensor(0, (10**9, 4), (0, 1)), {"0": ONES}))
    assert wide.shape == (10**9, 4) and wide[10**9 - 1].tolist() == [1, 1, 1, 1]


def test_a_thousand_damaged_files() -> None:
    """Each is read as it was, or refused; the old form has no checksums, and may be read as something else."""
    value = {"state": OrderedDict(w=nc.ones(2, 2), b=nn.Parameter(nc.zeros(3))), "n": [1, 2.5, "text", b"bytes", (None, True)], "s": {1, 2}}
    files = [
        saved(value),
        old({"x": tensor(), "n": [1, "a", (2.5, None)]}, {"0": ONES}),
        archive([tensor()], {"0": ONES}, byteorder=b"little"),
    ]
    whole = [loaded(data) for data in files]
    rng = np.random.default_rng(0)
    outcomes = {"read": 0, "refused": 0}
    tracemalloc.start()
    try:
        for n in range(1000):
            data = bytearray(files[n % 3])
            if n % 5 == 0:
                del data[rng.integers(len(data)) :]
            for _ in range(rng.integers(0 if n % 5 == 0 else 1, 4)):
                if data:
                    data[rng.integers(len(data))] ^= 1 << rng.integers(8)
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            try:
                found = loaded(bytes(data))
            except nc.FormatError as error:
                assert in_form(error), error
                outcomes["refused"] += 1
            else:
                outcomes["read"] += 1
                if n % 3 != 1:
                    assert_same(found, whole[n % 3])
            assert tracemalloc.get_traced_memory()[1] - before < 100_000 + 20 * len(data)
    finally:
        tracemalloc.stop()
    assert min(outcomes.values()) > 100, outcomes


# -- beside PyTorch ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="needs PyTorch: pip install torch==2.13.0")


FORMS: list[dict[str, Any]] = [
    {},
    {"_use_new_zipfile_serialization": False},
    {"pickle_protocol": 4},
    {"pickle_protocol": 5},
]


def torchs(torch: Any, value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_pytorch_s_files_are_read(torch: Any, form: dict[str, Any]) -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    value = {
        **PLAIN,
        "tensors": [torch.tensor([[1, 0], [0, 1]]).to(getattr(torch, name)) for name in DTYPES],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "shapes": [torch.zeros(0, 3), torch.tensor(2.5), torch.arange(6)[1::2], torch.ones(2, 1).expand(2, 3)],
        "last": torch.arange(24.0).reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
        "shared": [shared, shared[1], shared.T, shared[:, 1:]],
        "narrow": [torch.tensor([1.5, -(2.0**-24)]).half(), torch.tensor([1.5, -3e38, float("nan")]).bfloat16()],
    }
    others = {"size": torch.Size([1, 2]), "devices": [torch.device("cuda", 1), torch.device("cpu")], "dtype": [torch.float32, torch.bool]}
    found = loaded(torchs(torch, {**value, **others}, **form))
    assert_same({name: found.pop(name) for name in others}, {"size": (1, 2), "devices": ["cuda:1", "cpu"], "dtype": [nc.float32, nc.bool]})
    value["narrow"] = [t.float() for t in value["narrow"]]
    assert_same(found, value)
    assert type(found["parameter"]) is nn.Parameter and found["parameter"].requires_grad
    x, row, transposed, part = found["shared"]
    x[1, 2] = 9.0
    assert row[2].item() == transposed[2, 1].item() == part[1, 1].item() == 9


def test_pytorch_reads_what_is_written(torch: Any) -> None:
    value = {**values(), "dtypes": [nc.float32, nc.bool, nc.int64], "tied": [nc.ones(2, 3)] * 2}
    value["tied"].append(value["tied"][0].T)
    file = io.BytesIO(saved(value))
    found = torch.load(file, weights_only=True)
    assert found.pop("dtypes") == [torch.float32, torch.bool, torch.int64]
    del value["dtypes"]
    assert_same(value, found)
    assert [type(p) for p in found["parameters"]] == [torch.nn.Parameter] * 2 + [torch.Tensor]
    assert [p.requires_grad for p in found["parameters"]] == [True, False, True]
    a, b, c = found["tied"]
    assert a is b and c.data_ptr() == a.data_ptr() and c.stride() == (1, 3)


@pytest.mark.parametrize("form", FORMS[:3], ids=str)
def test_what_a_script_keeps_goes_both_ways(torch: Any, form: dict[str, Any]) -> None:
    theirs = loaded(torchs(torch, kept() | {"best": np.float64(0.9), "n": [np.int64(3), np.bool_(True), np.float16(0.5)]}, **form))
    assert_kept(theirs, kept())
    assert_same([theirs["best"], theirs["n"]], [0.9, [3, True, 0.5]])
    assert_kept(torch.load(io.BytesIO(saved(kept())), weights_only=False), kept())
    columns = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    found = loaded(torchs(torch, {"a": columns, "b": columns[:, 1:]}, **form))
    assert type(found["a"]) is np.ndarray and found["a"].flags.f_contiguous
    np.testing.assert_array_equal(found["a"], columns)
    np.testing.assert_array_equal(found["b"], columns[:, 1:])


@pytest.mark.filterwarnings("ignore")
def test_what_pytorch_has_and_we_have_not(torch: Any) -> None:
    attribute = torch.ones(1)
    attribute.note = 1
    for value, text in (
        ({"w": torch.ones(2, dtype=torch.complex64)}, "a tensor of dtype complex64 at w"),
        ([torch.ones(2, dtype=torch.uint16)], "a tensor of dtype uint16 at 0"),
        (torch.ones(2).to(torch.float8_e5m2), "a tensor of dtype float8_e5m2"),
        (torch.ones(2).to_sparse(), 'a pickle of "torch._utils._rebuild_sparse_tensor"'),
        (torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8), 'a pickle of "torch._utils._rebuild_qtensor"'),
        (torch.FloatStorage(2), "a storage without a tensor"),
        (attribute, 'a pickle of "torch._tensor._rebuild_from_type_v2"'),
        (torch.nn.ReLU(), 'a pickle of "torch.nn.modules.activation.ReLU"'),
        (np.array(["a"]), "an array of dtype 'U1'"),
        ({"dtype": np.dtype("f4")}, "a dtype of NumPy at dtype"),
    ):
        with exactly(nc.FormatError, f"[load] expected the file {HOLDS}{text}{HINT}"):
            loaded(torchs(torch, value))


def test_pytorch_s_files_without_checksums(torch: Any) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        data = torchs(torch, {"w": torch.ones(3)})
    finally:
        torch.serialization.set_crc32_options(True)
    assert loaded(data)["w"].tolist() == [1, 1, 1]


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1},
    "SGD momentum": {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
    "Adam": {"lr": 0.01, "weight_decay": 0.1},
    "AdamW": {"lr": 0.01, "weight_decay": 0.1},
    "AdamW amsgrad": {"lr": 0.01, "amsgrad": True},
    "NAdam": {"lr": 0.01},
    "RMSprop": {"lr": 0.01},
    "RMSprop centered": {"lr": 0.01, "centered": True, "momentum": 0.9},
    "Adagrad": {"lr": 0.01, "lr_decay": 0.1},
    "Adadelta": {"lr": 0.1},
}


def run(library: Any, name: str) -> tuple[Any, Any]:
    net = library.nn.Sequential(library.nn.Linear(4, 8), library.nn.BatchNorm1d(8), library.nn.ReLU(), library.nn.Linear(8, 3))
    groups = [{"params": list(net[0].parameters()), "lr": 0.02}, {"params": [p for layer in net[1:] for p in layer.parameters()]}]
    return net, getattr(library.optim, name.split()[0])(groups, **OPTIMIZERS[name])


def train(library: Any, net: Any, optimizer: Any, steps: range) -> list[float]:
    losses = []
    for step in steps:
        rng = np.random.default_rng(step)
        x, y = library.tensor(rng.standard_normal((6, 4)).astype(np.float32)), library.tensor(rng.integers(0, 3, 6))
        optimizer.zero_grad()
        loss = library.nn.CrossEntropyLoss()(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("theirs", [False, True], ids=["ours to theirs", "theirs to ours"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_goes_on_in_the_other_library(torch: Any, name: str, theirs: bool, tmp_path: Path) -> None:
    first, second = (torch, nc) if theirs else (nc, torch)
    net, optimizer = run(first, name)
    loss = train(first, net, optimizer, range(3))[-1]
    state = {"epoch": 3, "model_state_dict": net.state_dict(), "optimizer_state_dict": optimizer.state_dict(), "loss": loss}
    first.save(state, tmp_path / "checkpoint.pth")

    other, taken = run(second, name)
    checkpoint = second.load(tmp_path / "checkpoint.pth")
    other.load_state_dict(checkpoint["model_state_dict"])
    taken.load_state_dict(checkpoint["optimizer_state_dict"])
    assert (checkpoint["epoch"], checkpoint["loss"]) == (3, loss)
    assert taken.param_groups[0]["lr"] == 0.02
    found, wanted = train(second, other, taken, range(3, 7)), train(first, net, optimizer, range(3, 7))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    # and back again
    second.save({"net": other.state_dict(), "optimizer": taken.state_dict()}, tmp_path / "back.pt")
    back = first.load(tmp_path / "back.pt")
    again, resumed = run(first, name)
    again.load_state_dict(back["net"])
    resumed.load_state_dict(back["optimizer"])
    np.testing.assert_allclose(train(first, again, resumed, range(7, 9)), train(first, net, optimizer, range(7, 9)), rtol=1e-5)


def test_our_steps_are_taken_by_every_form_of_theirs(torch: Any) -> None:
    p = nc.zeros(2, requires_grad=True)
    optimizer = nc.optim.Adam([p])
    p.grad = nc.ones(2)
    optimizer.step()
    for options in ({"foreach": True}, {"fused": True}, {}):
        q = torch.zeros(2, requires_grad=True)
        other = torch.optim.Adam([q], **options)
        state = torch.load(io.BytesIO(saved(optimizer.state_dict())))
        for group in state["param_groups"]:
            group.update(options)
        other.load_state_dict(state)
        q.grad = torch.ones(2)
        other.step()
        assert other.state[q]["step"].item() == 2


def test_keys_of_data_parallel(torch: Any) -> None:
    theirs = torch.nn.DataParallel(torch.nn.Sequential(torch.nn.Linear(2, 3)))
    state = loaded(torchs(torch, theirs.state_dict()))
    net = nn.Sequential(nn.Linear(2, 3))
    with pytest.raises(ValueError, match="the keys are those of DataParallel; pass") as error:
        net.load_state_dict(state)
    advised = str(error.value).split("pass ")[1].rstrip(".")
    net.load_state_dict(eval(advised, {"state_dict": state}))
    np.testing.assert_array_equal(net[0].weight.detach().numpy(), theirs.module[0].weight.detach().numpy())
