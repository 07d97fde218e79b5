"""DLPack's capsules, read and written by ctypes: memory that goes from one library to another without a copy.

NumPy does this for memory of the host; a GPU's memory is described here. The structures are those of ``dlpack.h``, versions 0.8 and 1.0.
"""

from __future__ import annotations

import ctypes
import weakref
from ctypes import POINTER, c_char_p, c_int, c_int32, c_int64, c_uint8, c_uint16, c_uint32, c_uint64, c_void_p, py_object, pythonapi
from typing import Any

import numpy as np

from .errors import DTypeError, message

__all__ = ["Taken", "lend"]

DELETER = ctypes.CFUNCTYPE(None, c_void_p)
DESTRUCTOR = ctypes.PYFUNCTYPE(None, c_void_p)
READ_ONLY, COPIED = 1, 2
CODES = {"i": 0, "u": 1, "f": 2, "b": 6}


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", c_void_p),
        ("device", c_int32 * 2),
        ("ndim", c_int32),
        ("code", c_uint8),
        ("bits", c_uint8),
        ("lanes", c_uint16),
        ("shape", POINTER(c_int64)),
        ("strides", POINTER(c_int64)),  # in elements; none in C order
        ("offset", c_uint64),  # in bytes
    )


class _Plain(ctypes.Structure):
    _fields_ = (("tensor", _Tensor), ("context", c_void_p), ("deleter", DELETER))


class _Versioned(ctypes.Structure):
    _fields_ = (("version", c_uint32 * 2), ("context", c_void_p), ("deleter", DELETER), ("flags", c_uint64), ("tensor", _Tensor))


KINDS: dict[bytes, type[_Plain | _Versioned]] = {b"dltensor": _Plain, b"dltensor_versioned": _Versioned}
"""The structure in a capsule, by the capsule's name."""

USED = {name: b"used_" + name for name in KINDS}
"""What a capsule is called from then on."""

_new = ctypes.PYFUNCTYPE(py_object, c_void_p, c_char_p, DESTRUCTOR)(("PyCapsule_New", pythonapi))
_is_valid = ctypes.PYFUNCTYPE(c_int, c_void_p, c_char_p)(("PyCapsule_IsValid", pythonapi))
_pointer = ctypes.PYFUNCTYPE(c_void_p, c_void_p, c_char_p)(("PyCapsule_GetPointer", pythonapi))
_rename = ctypes.PYFUNCTYPE(c_int, c_void_p, c_char_p)(("PyCapsule_SetName", pythonapi))


# -- lent to others ----------------------------------------------------------------------------------------------------------
_lent: dict[int, tuple[Any, ...]] = {}
"""What memory needs that was lent, by the address of its structure, until it is given back."""


@DELETER
def _give_back(address: int) -> None:
    _lent.pop(address, None)


@DESTRUCTOR
def _forget(capsule: int) -> None:
    """Give back the memory of a capsule that nobody used. It has no references any more: ctypes must see its address alone."""
    for name in KINDS:
        if _is_valid(capsule, name):
            _lent.pop(_pointer(capsule, name), None)


def lend(owner: Any, found: dict[str, Any], device: tuple[int, int], versioned: bool, copied: bool) -> Any:
    """A capsule of the memory that an array interface describes; the owner lives until it is given back."""
    name = b"dltensor_versioned" if versioned else b"dltensor"
    made, dtype, ndim = KINDS[name](), np.dtype(found["typestr"]), len(found["shape"])
    axes = c_int64 * max(ndim, 1)
    shape, strides = axes(*found["shape"]), axes(*(s // dtype.itemsize for s in found["strides"]))
    made.tensor = _Tensor(found["data"][0], device, ndim, CODES[dtype.kind], 8 * dtype.itemsize, 1, shape, strides, 0)
    made.deleter = _give_back
    if isinstance(made, _Versioned):
        made.version, made.flags = (1, 0), COPIED * copied
    address = ctypes.addressof(made)
    _lent[address] = owner, made, shape, strides
    return _new(address, name, _forget)


# -- lent by others -----------------------------------------------------------------------------------------------------------
class Taken:
    """Memory that another library lends, as an array with an interface; it is given back with the last reference to this.

    Raises:
        DTypeError: where its elements are no numbers of one of the usual types.
    """

    __cuda_array_interface__: dict[str, Any]

    def __init__(self, source: Any, stream: int | None) -> None:
        try:
            capsule = source.__dlpack__(stream=stream, max_version=(1, 0))
        except TypeError:  # a library from before versions
            capsule = source.__dlpack__(stream=stream)
        at = id(capsule)
        name = next(name for name in KINDS if _is_valid(at, name))
        address = _pointer(at, name)
        made: Any = KINDS[name].from_address(address)
        t, kind = made.tensor, {code: kind for kind, code in CODES.items()}.get(made.tensor.code, "")
        if not kind or t.lanes != 1:
            raise DTypeError(message("from_dlpack", "integers, floats or bools", f"DLPack's type ({t.code}, {t.bits}, {t.lanes})"))
        dtype = np.dtype(f"{kind}{t.bits // 8}")
        strides = tuple(s * dtype.itemsize for s in t.strides[: t.ndim]) if t.strides else None
        read_only = isinstance(made, _Versioned) and bool(made.flags & READ_ONLY)
        self.__cuda_array_interface__ = {
            "shape": tuple(t.shape[: t.ndim]),
            "typestr": dtype.str,
            "data": ((t.data or 0) + t.offset, read_only),
            "strides": strides,
            "version": 3,
        }
        _rename(at, USED[name])
        if made.deleter:
            weakref.finalize(self, made.deleter, address)
