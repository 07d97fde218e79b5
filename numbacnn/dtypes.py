"""Element types under PyTorch's names, and PyTorch's promotion rules."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import numpy as np

from .errors import DTypeError, message

__all__ = [
    "DType",
    "as_dtype",
    "bool_",
    "finfo",
    "float32",
    "float64",
    "iinfo",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_floating",
    "names_device",
    "promote",
    "uint8",
]

DType: TypeAlias = np.dtype[Any]

float32: DType = np.dtype("float32")
float64: DType = np.dtype("float64")
int8: DType = np.dtype("int8")
int16: DType = np.dtype("int16")
int32: DType = np.dtype("int32")
int64: DType = np.dtype("int64")
uint8: DType = np.dtype("uint8")
bool_: DType = np.dtype("bool")

SUPPORTED = (float32, float64, int8, int16, int32, int64, uint8, bool_)
_NAMES = ", ".join(str(d) for d in SUPPORTED)


def as_dtype(op: str, dtype: Any) -> DType:
    """``dtype`` (a name, a NumPy or Python type) as one of the supported element types. None is none of them.

    >>> as_dtype("tensor", "float32")
    dtype('float32')
    """
    try:
        found = np.dtype(dtype) if isinstance(dtype, (str, type, np.dtype)) else None  # of None, NumPy makes float64
    except (TypeError, ValueError):
        found = None
    if found is None or found not in SUPPORTED:
        raise DTypeError(message(op, f"one of the dtypes {_NAMES}", repr(dtype) if found is None else str(found)))
    return found  # type: ignore[return-value]


def names_device(target: Any) -> bool:
    """Whether a target of ``to`` is meant as a device: a text that is not the name of an element type, ours or another ("bfloat16").

    >>> names_device("cuda"), names_device("mps"), names_device("float32"), names_device(float32)
    (True, True, False, False)
    """
    if not isinstance(target, str) or re.fullmatch(r"[a-z]+\d+\w*", target):
        return False
    try:
        np.dtype(target)
    except TypeError:
        return True
    return False


def is_floating(dtype: DType) -> bool:
    return dtype.kind == "f"


KIND_RANK = {"b": 0, "u": 1, "i": 1, "f": 2}


def promote(a: tuple[DType, int], b: tuple[DType, int]) -> DType:
    """The dtype of an operation on two operands, each (dtype, rank): rank 2 a tensor, 1 a 0-d tensor, 0 a Python scalar.

    The higher kind wins (bool < integer < float); within a kind, tensors go before 0-d tensors before Python scalars.

    >>> promote((int64, 2), (float32, 2)), promote((float32, 2), (float64, 1)), promote((int64, 2), (float32, 0))
    (dtype('float32'), dtype('float32'), dtype('float32'))
    """
    (da, ra), (db, rb) = a, b
    ka, kb = KIND_RANK[da.kind], KIND_RANK[db.kind]
    if ka != kb:
        return da if ka > kb else db
    if ra != rb:
        return da if ra > rb else db
    return da if da == db else np.promote_types(da, db)


def finfo(dtype: Any = float32) -> Any:
    """The numbers that tell a floating-point dtype: ``eps``, ``max``, ``min``, ``tiny``, ``bits`` ..., as NumPy's ``finfo``.

    >>> float(finfo(float32).eps) == 2**-23
    True
    """
    return np.finfo(_of_kind("finfo", dtype, "f", "a floating-point dtype"))


def iinfo(dtype: Any) -> Any:
    """The numbers that tell an integer dtype: ``max``, ``min``, ``bits``, as NumPy's ``iinfo``.

    >>> iinfo(uint8).max
    255
    """
    return np.iinfo(_of_kind("iinfo", dtype, "iu", "an integer dtype"))


def _of_kind(op: str, dtype: Any, kinds: str, what: str) -> DType:
    found = as_dtype(op, dtype)
    if found.kind not in kinds:
        raise DTypeError(message(op, what, str(found)))
    return found
