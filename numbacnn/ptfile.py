"""``save`` and ``load``: PyTorch's own files (``.pt``, ``.pth``), written and read without PyTorch; reading one executes nothing.

Such a file is a zip archive: a pickle says what the values are, and a record for each storage holds the numbers of the tensors that show
it. Before PyTorch 1.6 it was one pickle after another, and the storages at the end. A checkpoint of this library is a safetensors
file instead: see :mod:`numbacnn.checkpoint`.
"""

from __future__ import annotations

import io
import os
import pathlib
import struct
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import IO, Any, NamedTuple

import numpy as np

from . import backends
from .arguments import flag
from .dtypes import SUPPORTED, bool_, float32, float64, int8, int16, int32, int64, uint8
from .errors import FormatError, message
from .files import open_file, write_atomically
from .nn import Parameter
from .pickles import (
    ARRAYS,
    CALLS,
    ELEMENTS,
    LARGEST,
    OBJECTS,
    PLAIN,
    Call,
    Callee,
    Given,
    Misfit,
    Name,
    New,
    Persistent,
    Reader,
    Writer,
    judge,
)
from .signatures import judged, shown
from .tensor import Tensor, from_array

__all__ = ["load", "save"]

VALUES = "Tensors, arrays, numbers, strings, bytes, paths and dtypes, in lists, tuples, dicts, sets and argparse's Namespaces"
OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the pickle of a number with which a file from before PyTorch 1.6 begins
ALIGNMENT = 64  # bytes; a record begins at a multiple, as in PyTorch's files
CHUNK = 1 << 20  # elements that are read at once
ORDERS = {b"little": "<", b"big": ">"}
NO_HOOKS = Call("collections OrderedDict", ())


class _Element(NamedTuple):
    """How the elements of a kind of storage lie in a file, and the dtype of the Tensors that are made of them; None: there is none."""

    name: str
    stored: str
    dtype: Any


_ELEMENTS = {
    "Float": _Element("float32", "f4", float32),
    "Double": _Element("float64", "f8", float64),
    "Long": _Element("int64", "i8", int64),
    "Int": _Element("int32", "i4", int32),
    "Short": _Element("int16", "i2", int16),
    "Char": _Element("int8", "i1", int8),
    "Byte": _Element("uint8", "u1", uint8),
    "Bool": _Element("bool", "u1", bool_),
    "Half": _Element("float16", "f2", float32),
    "BFloat16": _Element("bfloat16", "u2", float32),
    "ComplexFloat": _Element("complex64", "c8", None),
    "ComplexDouble": _Element("complex128", "c16", None),
    "QInt8": _Element("qint8", "i1", None),
    "QUInt8": _Element("quint8", "u1", None),
    "QInt32": _Element("qint32", "i4", None),
    "QUInt4x2": _Element("quint4x2", "u1", None),
    "QUInt2x4": _Element("quint2x4", "u1", None),
}
_KINDS = {element.dtype: kind for kind, element in reversed(_ELEMENTS.items()) if element.dtype is not None}
_OTHER_DTYPES = """
    float16 bfloat16 complex32 complex64 complex128 qint8 quint8 qint32 quint4x2 quint2x4 uint16 uint32 uint64
    float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu float4_e2m1fn_x2
""".split()  # noqa: SIM905


class _Foreign(NamedTuple):
    """What PyTorch has and this library has not; it is refused with its place among the values."""

    what: str


@dataclass(eq=False)
class _Storage:
    """The memory that tensors show: made with the pickle, filled after it."""

    element: _Element
    array: np.ndarray
    location: str

    def fill(self, record: IO[bytes], order: str) -> None:
        """Read the elements, in the byte order "<" or ">"; widened where the library has no dtype as narrow."""
        stored = np.dtype(order + self.element.stored)
        for start in range(0, self.array.size, CHUNK):
            part = self.array[start : start + CHUNK]
            data = record.read(part.size * stored.itemsize)
            if len(data) != part.size * stored.itemsize:
                raise ValueError("an end within the numbers")
            numbers = np.frombuffer(data, stored)
            if self.element.name == "bfloat16":  # the upper half of a float32
                numbers = (numbers.astype(np.uint32) << 16).view(np.float32)
            part[...] = numbers


class _Content:
    """What a pickle of a file makes: tensors on storages that are still to be filled.

    ``size`` is the file's, in bytes: no more memory is taken for storages, whatever the pickle says. ``check`` judges the key and the
    bytes of each.
    """

    def __init__(self, size: int, check: Callable[[str, int], None]) -> None:
        self.left, self.check = size, check
        self.storages: dict[str, _Storage] = {}
        self.tensors: dict[int, tuple[Tensor, _Storage]] = {}
        makers: dict[str, Callable[..., Any]] = {
            **{f"torch._utils {name}": self.tensor for name in ("_rebuild_tensor", "_rebuild_tensor_v2")},
            "torch._utils _rebuild_tensor_v3": _without_kind,
            "torch._utils _rebuild_parameter": self.parameter,
            "torch Size": _sizes,
            "torch device": _device_name,
        }
        self.known: dict[str, Any] = {
            **CALLS,
            **ARRAYS,
            **OBJECTS,
            **{name: Callee(name, make) for name, make in makers.items()},
            **{f"{module} {kind}Storage": element for kind, element in _ELEMENTS.items() for module in ("torch", "torch.cuda")},
            "torch.storage UntypedStorage": _Element("", "u1", None),
            **{f"torch {dtype}": dtype for dtype in SUPPORTED},
            **{f"torch {name}": _Foreign(f"dtype {name}") for name in _OTHER_DTYPES},
        }

    def read(self, stream: IO[bytes]) -> Any:
        """The value of the pickle, judged."""
        value = Reader(self.known, self.storage).read(stream)
        judge(value, _unread)
        return value

    def storage(self, content: Any) -> _Storage:
        """The storage of a persistent id: ("storage", element, key, location, size), and a view of another, which is no more in use."""
        whole = type(content) is tuple and len(content) in (5, 6) and content[5:] in ((), (None,))
        if not whole or content[0] != "storage" or type(content[1]) is not _Element:
            raise Misfit("a pickle that points to something else than a storage")
        _, element, key, location, size, *_ = content
        if type(key) is not str or type(location) is not str or type(size) is not int or size < 0:
            raise ValueError("a storage without a key, a place or a size")
        if key not in self.storages:
            stored = size * np.dtype(element.stored).itemsize
            self.left -= stored
            if self.left < 0:
                raise ValueError("storages of more bytes than the file has")
            self.check(key, stored)
            self.storages[key] = _Storage(element, np.empty(0 if element.dtype is None else size, element.dtype), location)
        found = self.storages[key]
        if found.element != element or (element.dtype is not None and found.array.size != size):
            raise ValueError("a storage of two kinds")
        return found

    def tensor(
        self, storage: Any, offset: int, sizes: Any, strides: Any, requires_grad: bool = False, hooks: Any = None, metadata: Any = None
    ) -> Tensor | _Foreign:
        """A Tensor of elements of a storage; offset and strides are counted in elements."""
        if metadata:
            return _Foreign("a conjugated or negated view")
        if type(storage) is not _Storage or not _are_counts(sizes, strides, (offset,)) or len(sizes) != len(strides):
            raise ValueError("a tensor without sizes and strides")
        dtype = storage.element.dtype
        if dtype is None:
            return _Foreign(f"a tensor of dtype {storage.element.name}")
        end = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides)) + 1 if all(sizes) else offset
        if end > storage.array.size:
            raise ValueError(f"a tensor that ends at element {end} of a storage of {storage.array.size}")
        steps = [stride * dtype.itemsize for stride in strides]
        made = from_array(np.ndarray(sizes, dtype, storage.array, offset * dtype.itemsize, steps), requires_grad=requires_grad)
        self.tensors[id(made)] = made, storage
        return made

    def parameter(self, data: Any, requires_grad: bool, hooks: Any = None) -> Parameter | _Foreign:
        """A Parameter of a Tensor that was made before."""
        if type(data) is _Foreign:
            return data
        made = Parameter(data, requires_grad)
        self.tensors[id(made)] = made, self.tensors[id(data)][1]
        return made


def _are_counts(*groups: Any) -> bool:
    return all(type(group) is tuple and all(type(value) is int and value >= 0 for value in group) for group in groups)


def _sizes(sizes: Any = ()) -> tuple[int, ...]:
    if not _are_counts(sizes):
        raise ValueError("a torch.Size of other values than sizes")
    return sizes


def _without_kind(storage: Any, offset: Any, sizes: Any, strides: Any, grad: Any, hooks: Any, dtype: Any, metadata: Any = None) -> _Foreign:
    """A tensor of a dtype that has no kind of storage; the library knows none of these."""
    if type(dtype) is not _Foreign:
        raise ValueError("a tensor of a storage without a kind")
    return _Foreign(f"a tensor of {dtype.what}")


def _device_name(kind: str, index: int | None = None) -> str:
    if type(kind) is not str or (index is not None and type(index) is not int):
        raise ValueError("a device without a name")
    return kind if index is None else f"{kind}:{index}"


def _unread(value: Any) -> str:
    """What is wrong with a value of a file that is not plain."""
    if isinstance(value, (Callee, New)):
        return f'a pickle of "{value.name.replace(" ", ".", 1)}"'
    if isinstance(value, (Tensor, np.ndarray, np.dtype, pathlib.PurePath)):
        return ""
    return value.what if type(value) is _Foreign else "a storage without a tensor" if type(value) is _Storage else "a dtype of NumPy"


# -- reading -----------------------------------------------------------------------------------------------------------------------
@judged
def load(
    f: str | os.PathLike[str] | IO[bytes],
    map_location: str | Mapping[str, str] | Callable[[Tensor, str], Tensor | None] | None = None,
    *,
    weights_only: bool = True,
) -> Any:
    """What a PyTorch file (``.pt``, ``.pth``) holds, whatever wrote it: :func:`save`, or ``torch.save``, also before PyTorch 1.6.

    A file holds Tensors and parameters, NumPy's arrays, numbers, strings, bytes, paths, dtypes and devices (strings here), in lists,
    tuples, dicts, sets and argparse's Namespaces; anything else is refused by its name, as whole modules are. Nothing that a file names is
    imported or called, whatever ``weights_only`` says. Tensors share memory as they did when they were saved; those of float16 and
    bfloat16 come as float32, with the same values. The versions of modules in PyTorch's ``state_dict`` are left out.

    Args:
        f: the path of the file, or a file that is open to read bytes.
        map_location: where the Tensors go: a device; a dict from the device they were saved on, as "cuda:0", to another; or a function
            of a storage's Tensor and its device, to whose result's device they go. They are on the CPU for None, and where it says
            nothing. Only there do they share memory.
        weights_only: taken as PyTorch's code gives it; both values mean the same.

    Raises:
        FormatError: the file is truncated, damaged or no PyTorch file, or holds what the library does not know; the message names it.
        FileNotFoundError: there is none.
        DeviceError: a device of ``map_location`` is unknown or missing.
        TypeError: ``f`` is neither a path nor a file of bytes.

    >>> import io, numbacnn as nc
    >>> file = io.BytesIO()
    >>> nc.save({"epoch": 3, "weight": nc.ones(2)}, file)
    >>> _ = file.seek(0)
    >>> nc.load(file)
    {'epoch': 3, 'weight': tensor([1., 1.])}
    """
    flag("load", "weights_only", weights_only)
    place = _placing(map_location)
    if isinstance(f, (str, os.PathLike)):
        with open_file("load", "a file", f) as file:
            value, tensors = _read(os.fsdecode(f), file)
    else:
        value, tensors = _read("the file", _seekable(f))
    devices = {storage: place(storage) for _, storage in tensors}
    for t, storage in tensors:
        t.array, t.device = t.detach().to(devices[storage]).array, devices[storage]
    return value


def _placing(map_location: Any) -> Callable[[_Storage], str]:
    """The device of a storage, by what the user says."""
    if map_location is None:
        return lambda storage: backends.DEFAULT
    if isinstance(map_location, str):
        device = backends.device(map_location, "load")
        return lambda storage: device
    if isinstance(map_location, Mapping):
        devices = {name: backends.device(device, "load") for name, device in map_location.items()}
        return lambda storage: devices.get(storage.location, backends.DEFAULT)
    if not callable(map_location):
        raise TypeError(message("load", "map_location as a device, a dict of devices or a function", shown(map_location)))
    return lambda storage: getattr(map_location(from_array(storage.array), storage.location), "device", backends.DEFAULT)


def _seekable(f: Any) -> IO[bytes]:
    """A file of the user's where it stands, or a copy in memory of one that can't go back."""
    start = f.read(0) if callable(getattr(f, "read", None)) else None
    if not isinstance(start, bytes):
        received = shown(f) if start is None else "a file of text"
        raise TypeError(message("load", "f as a path or as a file that is open to read bytes", received))
    return f if callable(getattr(f, "seekable", None)) and f.seekable() else io.BytesIO(f.read())


def _read(name: str, file: IO[bytes]) -> tuple[Any, list[tuple[Tensor, _Storage]]]:
    """The value of a file, and its tensors with their storages.

    Raises:
        FormatError: for whatever is wrong with it.
    """
    try:
        start = file.tell()
        head = file.read(512)
        size = file.seek(0, io.SEEK_END) - start
        file.seek(start)
        if head.startswith(b"PK"):
            return _read_zip(file, size)
        if head.startswith(OLD):
            return _read_old(file, size)
        other, hint = _other(head) if head or not start else ("the end of it", "call seek(0) first")
    except Misfit as error:
        hint = "nothing of it was executed; in PyTorch save the state_dict(), or plain values"
        raise FormatError(message("load", f"{name} to hold {VALUES}", f"{error}", hint)) from None
    except MemoryError:
        raise
    except Exception as error:  # zipfile and pickletools have many kinds
        reason = "a pickle with gaps" if isinstance(error, LookupError) else " ".join(f"{error}".split()).rstrip(".")[:200]
        raise FormatError(message("load", f"{name} to be a whole PyTorch file", reason, "take another copy of it")) from error
    raise FormatError(message("load", f"{name} to be a PyTorch file", other, hint))


def _other(head: bytes) -> tuple[str, str]:
    """What a file is instead, by how it begins, and what to do."""
    if head[257:262] == b"ustar":
        return "a tar archive, the form of the first versions of PyTorch", "load and save it with a PyTorch that reads it"
    if head[8:9] == b"{":
        return "a safetensors file", "checkpoint.load_weights reads it"
    if head.startswith(b"\x80"):
        return "a pickle that torch.save did not write", "in PyTorch save a state_dict(), or plain values"
    return f"one that begins with {head[:8]!r}" if head else "an empty file", ""


def _read_zip(file: IO[bytes], size: int) -> tuple[Any, list[tuple[Tensor, _Storage]]]:
    with zipfile.ZipFile(file) as archive:
        records = {info.filename: info for info in archive.infolist()}
        for info in records.values():
            if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 1:
                raise ValueError(f"the record {info.filename} compressed or encrypted")
            if info.filename.startswith("/") or ".." in info.filename.split("/"):
                raise ValueError(f"a record {info.filename} outside the archive")
            if not info.CRC:  # not kept, at the writer's wish
                info.CRC = None  # type: ignore[assignment]
        roots = [name.removesuffix("/data.pkl") for name in records if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(records) != len(archive.infolist()) or len(roots) != 1:
            raise ValueError("records that occur twice" if roots else "a zip archive of another kind")
        if f"{roots[0]}/constants.pkl" in records:
            raise Misfit("a TorchScript module")

        def record(name: str, most: int) -> bytes:
            found = records[f"{roots[0]}/{name}"]
            if found.file_size > min(size, most):
                raise ValueError(f"a record {name} of {found.file_size} bytes")
            return archive.read(found)

        def check(key: str, stored: int) -> None:
            found = records.get(f"{roots[0]}/data/{key}")
            if found is None or found.file_size != stored:
                raise ValueError(f"no record data/{key} of {stored} bytes")

        order = record("byteorder", 16) if f"{roots[0]}/byteorder" in records else b"little"
        if order not in ORDERS:
            raise ValueError(f"the byte order {order!r}")
        content = _Content(size, check)
        value = content.read(io.BytesIO(record("data.pkl", LARGEST)))
        for key, storage in content.storages.items():
            with archive.open(records[f"{roots[0]}/data/{key}"]) as opened:
                storage.fill(opened, ORDERS[order])
    return value, list(content.tensors.values())


def _read_old(file: IO[bytes], size: int) -> tuple[Any, list[tuple[Tensor, _Storage]]]:
    """A file from before PyTorch 1.6: five pickles (a number, the version, the machine, the values, the keys) and the storages."""
    start, content = file.tell(), _Content(size, lambda key, stored: None)
    head = io.BytesIO(file.read(min(size, LARGEST)))
    for _ in range(3):
        Reader().read(head)
    value, keys = content.read(head), Reader().read(head)
    if type(keys) is not list or not all(type(key) is str for key in keys) or sorted(keys) != sorted(content.storages):
        raise ValueError("other storages than those of the tensors")
    file.seek(start + head.tell())
    for storage in map(content.storages.__getitem__, keys):
        if int.from_bytes(file.read(8), "little") != storage.array.size:
            raise ValueError("a storage of another size")
        storage.fill(file, ORDERS[b"little"])
    return value, list(content.tensors.values())


# -- writing -----------------------------------------------------------------------------------------------------------------------
@judged
def save(obj: Any, f: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write values to a PyTorch file, which ``torch.load`` and :func:`load` read; equal values give equal files.

    NumPy's numbers are written as Python's; its arrays as Tensors, or as arrays where no Tensor has such a dtype; all Tensors as lying on
    the CPU. Tensors that show the same memory, as tied weights do, share it again when they are read; those that show parts of others'
    memory have their own. PyTorch reads arrays, paths and Namespaces only with ``weights_only=False``.

    Args:
        obj: Tensors, parameters, arrays, numbers, strings, bytes, paths and dtypes, alone or in lists, tuples, dicts, sets and argparse's
            Namespaces: a ``state_dict()`` of a network or an optimiser, or a dict of such.
        f: a path, which is at every moment the old file or the new one, whole; or a file that is open to write bytes.

    Raises:
        TypeError: ``obj`` holds something else; or ``f`` is neither a path nor a file of bytes.
        OSError: the file can't be written.

    >>> import numbacnn as nc
    >>> net = nc.nn.Linear(2, 3)
    >>> nc.save({"epoch": 3, "model_state_dict": net.state_dict()}, "checkpoint.pt")  # doctest: +SKIP
    """
    try:
        judge(obj, _unwritten)
    except Misfit as error:
        raise TypeError(message("save", VALUES, f"{error}", "save the state_dict() of a module or an optimiser")) from None
    if isinstance(f, (str, os.PathLike)):
        write_atomically(f, _encoded(obj))
    elif isinstance(f, io.TextIOBase) or not callable(getattr(f, "write", None)):
        raise TypeError(message("save", "f as a path or as a file that is open to write bytes", shown(f)))
    else:
        f.write(_encoded(obj))


def _unwritten(value: Any) -> str:
    """What is wrong with a value to be saved that is not plain."""
    if isinstance(value, np.generic):
        return "" if type(value.item()) in PLAIN else f"a number of dtype {value.dtype}"
    if isinstance(value, np.dtype):
        return "" if value in SUPPORTED else f"dtype {value}"
    if type(value) is np.ndarray:
        return "" if value.dtype.str[1:] in ELEMENTS else f"dtype {value.dtype}"
    return "" if isinstance(value, (Tensor, str, pathlib.PurePath)) else f"a value of type {type(value).__name__}"


class _Storages:
    """The memory of the tensors that are written, each once."""

    def __init__(self) -> None:
        self.arrays: dict[Any, tuple[int, np.ndarray]] = {}

    def describe(self, value: Any) -> Any:
        """What a value that is not plain is written by."""
        if isinstance(value, np.dtype):
            return Name(f"torch {value}")
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, str):
            return str.__str__(value)  # of a class of its own, as a device is under ``compat``
        if isinstance(value, pathlib.PurePath):
            kind = "Windows" if isinstance(value, pathlib.PureWindowsPath) else "Posix"
            return Call(f"pathlib {'Pure' * (not isinstance(value, pathlib.Path))}{kind}Path", value.parts)
        if isinstance(value, np.ndarray) and value.dtype not in SUPPORTED:
            return _array(value)
        if isinstance(value, Parameter):
            return Call("torch._utils _rebuild_parameter", (self.tensor(value, False), value.requires_grad, NO_HOOKS))
        return self.tensor(value, isinstance(value, Tensor) and value.requires_grad)

    def tensor(self, value: Tensor | np.ndarray, requires_grad: bool) -> Call:
        """The call that makes a tensor, whose axes lie in memory as those of the array do."""
        array = np.asarray(value.detach() if isinstance(value, Tensor) else value)
        order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
        memory = np.ascontiguousarray(array.transpose(order))
        strides, step = [0] * array.ndim, 1
        for axis in reversed(order):
            strides[axis], step = step, step * max(array.shape[axis], 1)
        same = memory.ctypes.data, memory.nbytes, memory.dtype
        number, _ = self.arrays.setdefault(same, (len(self.arrays), memory))  # it lives on, so that no other gets its address
        storage = Persistent(("storage", Name(f"torch {_KINDS[memory.dtype]}Storage"), f"{number}", backends.DEFAULT, memory.size))
        return Call("torch._utils _rebuild_tensor_v2", (storage, 0, array.shape, tuple(strides), requires_grad, NO_HOOKS))


def _array(array: np.ndarray) -> Given:
    """How NumPy's array is written: by the names of NumPy 1, which NumPy 2 knows too."""
    order, name = array.dtype.str[0], array.dtype.str[1:]
    elements = Given(Call("numpy dtype", (name, False, True)), (3, order, None, None, None, -1, -1, 0))
    made = Call("numpy.core.multiarray _reconstruct", (Name("numpy ndarray"), (0,), b"b"))
    return Given(made, (1, array.shape, elements, False, array.tobytes()))


def _encoded(obj: Any) -> bytes:
    """The bytes of a file."""
    storages, file = _Storages(), io.BytesIO()
    content = Writer(storages.describe).dumps(obj)
    records: Iterable[tuple[str, Any]] = [
        ("data.pkl", content),
        ("byteorder", sys.byteorder.encode()),
        *((f"data/{number}", array.reshape(-1).view(np.uint8)) for number, array in storages.arrays.values()),
        ("version", b"3\n"),
    ]
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in records:
            info = zipfile.ZipInfo(f"archive/{name}")
            padding = -(file.tell() + 30 + len(info.filename) + 4) % ALIGNMENT
            info.extra = struct.pack("<HH", 0x4246, padding) + bytes(padding)
            archive.writestr(info, memoryview(data))
    return file.getvalue()
