"""Pickles of plain values, read and written without Python's ``pickle``: reading one imports nothing and calls nothing that it names.

A :class:`Reader` knows the opcodes that plain values need, and no other. A name in a pickle stands for what the reader's table holds
under it; one that the table lacks ends the reading. What comes out is judged: no value holds itself or lies deeper than ``DEPTH``, and
keys are such that no file can make a dict slow. Reading takes time and memory in proportion to the pickle.
"""

from __future__ import annotations

import argparse
import math
import pathlib
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any, NamedTuple

import numpy as np

__all__ = [
    "ARRAYS",
    "CALLS",
    "ELEMENTS",
    "LARGEST",
    "OBJECTS",
    "PLAIN",
    "Call",
    "Callee",
    "Given",
    "Misfit",
    "Name",
    "New",
    "Persistent",
    "Reader",
    "Writer",
    "judge",
]

LARGEST = 100_000_000  # bytes of one pickle, without the numbers of tensors, which lie elsewhere
DEPTH = 100  # of containers within each other
NUMBERS = (type(None), bool, int, float)
KEYS = (*NUMBERS, str, bytes)  # neither tuples nor complex numbers: many can be found that have one hash, and a tuple's hash recurses
PLAIN = (*NUMBERS, str, bytes, complex)
ELEMENTS = "b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 c8 c16".split()  # noqa: SIM905
"""The kinds of elements that NumPy's arrays may have, as pickles name them: none is an object."""
WITH_METADATA = {"_metadata"}  # an attribute of a state_dict: the versions of its modules


class Misfit(Exception):
    """A value that no pickle here may hold, and where it was found."""


class Callee(NamedTuple):
    """What a pickle may call: its name, and the function that makes the value of the arguments."""

    name: str
    make: Callable[..., Any]


class New(NamedTuple):
    """What a pickle may make an empty object of: its name, and the function that makes one."""

    name: str
    make: Callable[[], Any]


def _dotted(name: str) -> str:
    return name.replace(" ", ".", 1)[:100]


def key(value: Any) -> Any:
    """A key of a dict, or a member of a set."""
    if type(value) not in KEYS or (type(value) is int and abs(value) >= 1 << 63):
        raise Misfit("an integer of more than 64 bits as a key" if type(value) is int else f"a key of type {type(value).__name__}")
    return value


def _keys(items: Iterable[Any]) -> set[Any]:
    return {key(item) for item in items}


def _ordered(pairs: Iterable[tuple[Any, Any]] = ()) -> OrderedDict[Any, Any]:
    return OrderedDict((key(name), value) for name, value in pairs)


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError("bytes in an encoding other than latin1")
    return text.encode(encoding)


_MAKERS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": _ordered,
    "_codecs encode": _encoded,  # bytes, in protocol 2
    **{f"{module} bytes": lambda: b"" for module in ("__builtin__", "builtins")},
    **{f"{module} set": _keys for module in ("__builtin__", "builtins")},
    **{f"{module} complex": complex for module in ("__builtin__", "builtins")},
}
CALLS = {name: Callee(name, make) for name, make in _MAKERS.items()}
"""The calls by which pickles make plain values."""


# -- NumPy's arrays and numbers, and objects of Python's own ---------------------------------------------------------------------------
class _Elements:
    """What NumPy calls a dtype: the kind of an array's elements, and their byte order, which comes later."""

    def __init__(self, name: str, align: Any = False, copy: Any = True) -> None:
        if name not in ELEMENTS:
            raise Misfit(f"an array of dtype {name!r}")
        self.dtype = np.dtype(name)

    def fill(self, state: Any) -> None:
        """``state``: a version, the byte order, and what only other kinds have."""
        if type(state) is not tuple or len(state) != 8 or state[1] not in ("<", ">", "|") or any(part is not None for part in state[2:5]):
            raise ValueError("a dtype without a byte order")
        self.dtype = self.dtype.newbyteorder(state[1])


def _numbers(elements: Any, data: Any, size: int) -> bytes:
    """The bytes of so many elements."""
    data = data.encode("latin1") if type(data) is str else data  # Python 2 knew no bytes
    if type(elements) is not _Elements or type(data) is not bytes or size * elements.dtype.itemsize != len(data):
        raise ValueError("an array of another size than its shape says")
    return data


def _number(elements: Any, data: Any) -> Any:
    data = _numbers(elements, data, 1)
    return np.frombuffer(data, elements.dtype)[0].item()


def _fill_array(array: np.ndarray, state: Any) -> None:
    """``state``: a version, the shape, the dtype, whether the first axis runs fastest, and the bytes."""
    if type(state) is not tuple or len(state) != 5:
        raise ValueError("an array without a state")
    _, shape, elements, columns_first, data = state
    if type(shape) is not tuple or len(shape) > 32 or not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("an array without a shape")
    data = _numbers(elements, data, math.prod(shape))
    array.__setstate__((1, shape, elements.dtype, columns_first is True, bytes(memoryview(data))))  # type: ignore[arg-type] # its own


def _path(kind: Any) -> Callable[..., pathlib.PurePath]:
    def make(*parts: Any) -> pathlib.PurePath:
        if not all(type(part) is str for part in parts):
            raise ValueError("a path of other parts than texts")
        return kind(*parts)

    return make


def _no_call(*_: Any) -> Any:
    raise Misfit("a pickle that calls numpy.ndarray")


_CORES = [f"numpy.{core}.multiarray" for core in ("core", "_core")]
ARRAYS = {
    **{f"{core} _reconstruct": Callee(f"{core} _reconstruct", lambda kind, shape, code: np.empty(0, np.uint8)) for core in _CORES},
    **{f"{core} scalar": Callee(f"{core} scalar", _number) for core in _CORES},
    "numpy ndarray": Callee("numpy ndarray", _no_call),  # named only
    "numpy dtype": Callee("numpy dtype", _Elements),
}
"""The names by which pickles make NumPy's arrays, and its numbers, which become Python's."""

_PATHS = {"Posix": pathlib.Path, "Windows": pathlib.Path, "PurePosix": pathlib.PurePosixPath, "PureWindows": pathlib.PureWindowsPath}
OBJECTS = {
    **{
        f"{module} {name}Path": Callee(f"{module} {name}Path", _path(kind))
        for module in ("pathlib", "pathlib._local")
        for name, kind in _PATHS.items()
    },
    "argparse Namespace": New("argparse Namespace", argparse.Namespace),
}
"""The names by which pickles make paths, and what ``argparse`` gives."""


# -- reading -----------------------------------------------------------------------------------------------------------------------
class Reader:
    """Reads one pickle from a stream, up to its end.

    Args:
        known: what each "module name" in a pickle stands for; a :class:`Callee` may be called. None: there are no names.
        persistent: makes the value of a persistent id, which points out of the pickle. None: there are none.
        largest: how many bytes a pickle may have.
    """

    def __init__(
        self, known: Mapping[str, Any] | None = None, persistent: Callable[[Any], Any] | None = None, largest: int = LARGEST
    ) -> None:
        self.known, self.persistent, self.largest = known or {}, persistent, largest
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # the stacks under each mark
        self.memo: dict[int, Any] = {}
        self.given = 0  # the lengths of all arguments of calls

    def read(self, stream: IO[bytes]) -> Any:
        """The value of the pickle.

        Raises:
            Misfit: it names what is not known.
            ValueError, LookupError, TypeError: it is damaged.
        """
        for op, argument, position in pickletools.genops(stream):
            if (position or 0) > self.largest:
                raise ValueError(f"a pickle of more than {self.largest} bytes")
            if op.name == "STOP":
                if self.below or len(self.stack) != 1:
                    raise ValueError("a pickle of no one value")
                return self.stack[0]
            if op.name not in _STEPS:
                raise Misfit(f"a pickle with the opcode {op.name}")
            _STEPS[op.name](self, argument)
            if self.given > (position or 0):  # in an honest pickle each argument is written for its call
                raise ValueError("a pickle that hands the same values to calls over and over")
        raise ValueError("a pickle without an end")

    def _push(self, value: Any) -> None:
        self.stack.append(value)

    def _mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def _marked(self) -> list[Any]:
        found, self.stack = self.stack, self.below.pop()
        return found

    def _top(self, kinds: Any) -> Any:
        if type(self.stack[-1]) not in kinds:
            raise ValueError(f"a pickle that fills a {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    def _tuple(self, size: int) -> None:
        self._push(tuple([self.stack.pop() for _ in range(size)][::-1]))

    def _extend(self, items: list[Any]) -> None:
        self._top((list,)).extend(items)

    def _update(self, items: list[Any]) -> None:
        found = self._top((dict, OrderedDict))
        if len(items) % 2:
            raise ValueError("a pickle with a key without a value")
        for name, value in zip(items[::2], items[1::2]):
            found[key(name)] = value

    def _add(self, items: list[Any]) -> None:
        self._top((set,)).update(_keys(items))

    def _put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def _find(self, name: str) -> None:
        if name not in self.known:
            raise Misfit(f'a pickle of "{_dotted(name)}"')
        self._push(self.known[name])

    def _find_in_stack(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not type(name) is type(module) is str:
            raise ValueError("a pickle with a name that is no text")
        self._find(f"{module} {name}")

    def _reduce(self, _: Any) -> None:
        arguments, callee = self.stack.pop(), self.stack.pop()
        if type(callee) is not Callee:
            raise Misfit(f"a pickle that calls a {type(callee).__name__}")
        if type(arguments) is not tuple:
            raise ValueError("a pickle with a call without arguments")
        self.given += sum(len(value) for value in arguments if isinstance(value, (str, bytes, list, tuple, dict, set)))
        try:
            self._push(callee.make(*arguments))
        except TypeError:
            raise ValueError(f'a pickle that calls "{_dotted(callee.name)}" with other arguments') from None

    def _new(self, _: Any) -> None:
        arguments, kind = self.stack.pop(), self.stack.pop()
        if type(kind) is not New:
            raise Misfit(f"a pickle that makes an object of a {type(kind).__name__}")
        if type(arguments) is not tuple or arguments:
            raise ValueError("a pickle that makes an object of arguments")
        self._push(kind.make())

    def _point(self, _: Any) -> None:
        if self.persistent is None:
            raise ValueError("a pickle that points out of itself")
        self._push(self.persistent(self.stack.pop()))

    def _build(self, _: Any) -> None:
        state = self.stack.pop()
        made = self.stack[-1]
        if type(made) is _Elements:
            made.fill(state)
        elif type(made) is np.ndarray:
            _fill_array(made, state)
        elif type(made) is argparse.Namespace and type(state) is dict and all(type(name) is str for name in state):
            vars(made).update(state)
        elif type(made) is not OrderedDict or type(state) is not dict or not set(state) <= WITH_METADATA:
            raise Misfit(f"a pickle that sets attributes of type {type(made).__name__}")


_STEPS: dict[str, Callable[[Reader, Any], None]] = {
    "PROTO": lambda self, _: None,
    "FRAME": lambda self, _: None,
    "MARK": Reader._mark,
    "NONE": lambda self, _: self._push(None),
    "NEWTRUE": lambda self, _: self._push(True),
    "NEWFALSE": lambda self, _: self._push(False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"), Reader._push),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"), Reader._push),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), Reader._push),
    "EMPTY_TUPLE": lambda self, _: self._tuple(0),
    "TUPLE1": lambda self, _: self._tuple(1),
    "TUPLE2": lambda self, _: self._tuple(2),
    "TUPLE3": lambda self, _: self._tuple(3),
    "TUPLE": lambda self, _: self._push(tuple(self._marked())),
    "EMPTY_LIST": lambda self, _: self._push([]),
    "APPEND": lambda self, _: self._extend([self.stack.pop()]),
    "APPENDS": lambda self, _: self._extend(self._marked()),
    "EMPTY_DICT": lambda self, _: self._push({}),
    "SETITEM": lambda self, _: self._update([self.stack.pop(), self.stack.pop()][::-1]),
    "SETITEMS": lambda self, _: self._update(self._marked()),
    "EMPTY_SET": lambda self, _: self._push(set()),
    "ADDITEMS": lambda self, _: self._add(self._marked()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), Reader._put),
    "MEMOIZE": lambda self, _: self._put(len(self.memo)),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda self, index: self._push(self.memo[index])),
    "GLOBAL": Reader._find,
    "STACK_GLOBAL": Reader._find_in_stack,
    "REDUCE": Reader._reduce,
    "NEWOBJ": Reader._new,
    "BUILD": Reader._build,
    "BINPERSID": Reader._point,
}
"""What each opcode does, and by that which there are: none that makes an object of a class that the table lacks, or asks a registry."""


def judge(value: Any, misfit: Callable[[Any], str]) -> None:
    """Judge a value with all that it holds.

    Args:
        value: what was read, or is to be written.
        misfit: says what is wrong with a value that is neither plain nor a container; "" for nothing.

    Raises:
        Misfit: for the first that is wrong, with its place.
    """
    heights: dict[int, int] = {}

    def visit(value: Any, way: tuple[Any, ...], level: int) -> int:
        if type(value) in (list, dict, OrderedDict, argparse.Namespace) or _is_tuple(value):
            if id(value) not in heights:
                if level > DEPTH:
                    raise Misfit(f"more than {DEPTH} lists and dicts within each other")
                heights[id(value)] = DEPTH + 1  # of one that holds itself
                heights[id(value)] = 1 + max((visit(part, (way, name), level + 1) for name, part in _parts(value)), default=0)
            if level + heights[id(value)] > DEPTH + 1:
                raise Misfit(f"more than {DEPTH} lists and dicts within each other")
            return heights[id(value)]
        if type(value) is set:
            _keys(value)
        elif type(value) not in PLAIN and (wrong := misfit(value)):
            raise Misfit(wrong + _place(way))
        return 0

    visit(value, (), 1)


def _is_tuple(value: Any) -> bool:
    """A tuple, or one of a class that names no fields: the shape of a tensor under ``compat``."""
    return isinstance(value, tuple) and not hasattr(value, "_fields")


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    value = vars(value) if type(value) is argparse.Namespace else value
    return ((key(name), part) for name, part in value.items()) if isinstance(value, dict) else enumerate(value)


def _place(way: tuple[Any, ...]) -> str:
    names: list[str] = []
    while way:
        way, name = way
        names.insert(0, str(name))
    return f" at {'.'.join(names)[:200]}" if names else ""


# -- writing -----------------------------------------------------------------------------------------------------------------------
class Name(str):
    """A "module name", written as what it names."""


class Call(NamedTuple):
    """A call, by which a reader makes the value."""

    name: str
    arguments: tuple[Any, ...]


class Given(NamedTuple):
    """A call, and the state that what it makes is given then."""

    call: Call
    state: tuple[Any, ...]


class Persistent(NamedTuple):
    """A persistent id, which points out of the pickle."""

    content: tuple[Any, ...]


class Writer:
    """Writes pickles of protocol 2, which every version of PyTorch reads.

    ``describe`` says by what :class:`Name`, :class:`Call`, :class:`Given`, :class:`Persistent` or plain value another value is written. A
    value that occurs twice is written once.
    """

    def __init__(self, describe: Callable[[Any], Any]) -> None:
        self.describe = describe
        self.memo: dict[int, tuple[int, Any]] = {}

    def dumps(self, value: Any) -> bytes:
        """The pickle of a value that :func:`judge` has seen."""
        return b"\x80\x02" + self._written(value) + b"."

    def _written(self, value: Any) -> bytes:
        if id(value) in self.memo:
            return b"j" + _size(self.memo[id(value)][0])
        kind = type(value)
        if kind in NUMBERS:
            return pickle.dumps(value, 2)[2:-1]
        if kind is str:
            text = value.encode("utf-8", "surrogatepass")
            return b"X" + _size(len(text)) + text
        if kind is Name:
            return b"c" + value.replace(" ", "\n").encode() + b"\n"
        if kind is Call:
            return self._written(Name(value.name)) + self._tuple(value.arguments) + b"R"
        if kind is Given:
            return self._written(value.call) + self._tuple(value.state) + b"b"
        if kind is argparse.Namespace:
            return self._written(Name("argparse Namespace")) + b")\x81" + self._kept(value) + self._written(vars(value)) + b"b"
        if kind is Persistent:
            return self._tuple(value.content) + b"Q"
        if kind is bytes:
            return self._written(Call("_codecs encode", (value.decode("latin1"), "latin1")))
        if kind is complex:
            return self._written(Call("__builtin__ complex", (value.real, value.imag)))
        if _is_tuple(value):
            return self._tuple(value) + self._kept(value)
        if kind is list:
            return b"]" + self._kept(value) + b"(" + self._all(value) + b"e"
        if isinstance(value, dict):
            empty = b"}" if kind is dict else self._written(Call("collections OrderedDict", ()))
            return empty + self._kept(value) + b"(" + self._all(part for item in value.items() for part in item) + b"u"
        if kind is set:
            return self._written(Call("__builtin__ set", (list(value),))) + self._kept(value)
        return self._written(self.describe(value)) + self._kept(value)

    def _all(self, values: Iterable[Any]) -> bytes:
        return b"".join(map(self._written, values))

    def _tuple(self, values: tuple[Any, ...]) -> bytes:
        return b"(" + self._all(values) + b"t"

    def _kept(self, value: Any) -> bytes:
        """Note the value that was just written for its next time."""
        index = len(self.memo)
        self.memo[id(value)] = index, value  # it lives as long, so that no other gets its id
        return b"r" + _size(index)


def _size(number: int) -> bytes:
    return number.to_bytes(4, "little")
