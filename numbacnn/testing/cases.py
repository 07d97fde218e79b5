"""Cases of convolution, pooling, padding and normalisation, as data: sizes, options and the seeds of their arrays.

A case is small, so that it can be printed, kept in a JSON file and run again; its arrays are made when they are asked for.
``strategies`` draws cases, the ``laws`` judge them.

>>> case = ConvCase.of((2, 3, 5, 5), (4, 3, 3, 3), padding=1)
>>> case.x.shape, case.w.shape, case.grad.shape, case.b.shape
((2, 3, 5, 5), (4, 3, 3, 3), (2, 4, 5, 5), (4,))
>>> from_data(to_data(case)).geometry == case.geometry
True
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

import numpy as np

from ..errors import FormatError, message
from ..geometry import AdaptivePoolGeometry, Axis, ConvGeometry, PoolGeometry

__all__ = [
    "LAYOUTS",
    "AdaptiveCase",
    "Case",
    "ConvCase",
    "NormCase",
    "PadCase",
    "PoolCase",
    "Values",
    "from_data",
    "laid",
    "lies",
    "relayout",
    "to_data",
]

LAYOUTS = ("C", "channels_last", "fortran", "reversed", "every_other", "cropped", "readonly")
"""Orders of memory that ``relayout`` knows."""


def relayout(a: np.ndarray, layout: str) -> np.ndarray:
    """The same values in another order of memory: see ``LAYOUTS``.

    >>> relayout(np.zeros((2, 3, 4, 5)), "channels_last").transpose(0, 2, 3, 1).flags.c_contiguous
    True
    """
    if layout == "C":
        return np.ascontiguousarray(a)
    if layout == "channels_last":
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1) if a.ndim > 1 else a
    if layout == "fortran":
        return np.asfortranarray(a)
    if layout == "reversed":
        back = (slice(None, None, -1),) * a.ndim
        return np.ascontiguousarray(a[back])[back]
    if layout in ("every_other", "cropped"):
        # what lies between is NaN, so that reading it shows
        step = 2 if layout == "every_other" else 1
        room = np.full([size * step + 2 for size in a.shape], np.nan, a.dtype)
        view = room[tuple(slice(1, 1 + size * step, step) for size in a.shape)]
        view[...] = a
        return view
    if layout == "readonly":
        out = a.copy()
        out.flags.writeable = False
        return out
    raise ValueError(message("relayout", f"one of {', '.join(LAYOUTS)}", repr(layout)))


def lies(a: np.ndarray) -> tuple[Any, ...]:
    """How an array lies in memory, and what is in the gaps: ``laid`` makes one of it that lies as this one does."""
    steps = [(size - 1) * stride for size, stride in zip(a.shape, a.strides)] if a.size else []
    before, after = -sum(min(step, 0) for step in steps), sum(max(step, 0) for step in steps)
    room = before + after + a.itemsize if a.size else 0
    memory = ctypes.string_at(a.ctypes.data - before, room) if room else b""
    return memory, a.shape, a.dtype.str, before, a.strides, a.flags.writeable


def laid(memory: bytes, shape: tuple[int, ...], dtype: str, offset: int, strides: tuple[int, ...], writeable: bool) -> np.ndarray:
    """The array of ``lies``.

    >>> laid(*lies(np.arange(6)[::-2])).strides
    (-16,)
    """
    a: np.ndarray = np.ndarray(shape, dtype, bytearray(memory), offset, strides) if memory else np.empty(shape, dtype)
    a.flags.writeable = writeable
    return a


KINDS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "integers": lambda rng, shape: rng.integers(-4, 5, shape),  # their sums are exact
    "distinct": lambda rng, shape: rng.permutation(int(np.prod(shape))).reshape(shape) - 5,  # no ties
    "normal": lambda rng, shape: rng.standard_normal(shape),  # their sums round
}
"""What an array of a case holds."""


@dataclass(frozen=True)
class Values:
    """An array as data."""

    shape: tuple[int, ...]
    seed: int = 0
    layout: str = "C"
    dtype: str = "float32"
    kind: str = "integers"

    @functools.cached_property
    def array(self) -> np.ndarray:
        return relayout(KINDS[self.kind](np.random.default_rng(self.seed), self.shape).astype(self.dtype), self.layout)


C = TypeVar("C", bound="Case")


def _input(place: int, doc: str) -> Any:
    return property(lambda self: self.inputs[place].array, doc=doc)


@dataclass(frozen=True, eq=False)
class Case:
    """A geometry and the arrays that fit it."""

    geometry: Any
    inputs: tuple[Values, ...]
    batched: ClassVar[tuple[int, ...]] = (0, 1)
    """Which of the arrays have an axis of examples."""

    def with_values(self: C, **changed: Any) -> C:
        """The same with these fields of all its arrays: ``kind``, ``dtype``, ``layout``."""
        return replace(self, inputs=tuple(replace(values, **changed) for values in self.inputs))

    @staticmethod
    def shapes(geometry: Any) -> tuple[tuple[int, ...], ...]:
        """The shapes of the arrays."""
        return geometry.input_shape, geometry.output_shape

    def on(self: C, geometry: Any) -> C:
        """The same on another geometry: arrays of its shapes."""
        arrays = zip(self.inputs, self.shapes(geometry))
        return replace(self, geometry=geometry, inputs=tuple(replace(values, shape=shape) for values, shape in arrays))

    @classmethod
    def fitting(
        cls: type[C], geometry: Any, shapes: Sequence[tuple[int, ...]] = (), seed: int = 0, dtype: Any = "float32", **rest: Any
    ) -> C:
        """Small integers of these shapes, by default those of the geometry."""
        name, found = np.dtype(dtype).name, shapes or cls.shapes(geometry)
        return cls(geometry, tuple(Values(tuple(shape), seed + i, dtype=name) for i, shape in enumerate(found)), **rest)


@dataclass(frozen=True, eq=False)
class ConvCase(Case):
    """A convolution. The transposed convolution takes ``grad`` for its input: it is the gradient of this one."""

    geometry: ConvGeometry
    batched = (0, 2)
    x = _input(0, "(N, C, ...)")
    w = _input(1, "(OC, C/groups, ...)")
    grad = _input(2, "(N, OC, ...)")
    b = _input(3, "(OC,)")

    @staticmethod
    def shapes(geometry: ConvGeometry) -> tuple[tuple[int, ...], ...]:
        return geometry.input_shape, geometry.weight_shape, geometry.output_shape, (geometry.oc,)

    @classmethod
    def of(cls, input_shape: Sequence[int], weight_shape: Sequence[int], seed: int = 0, dtype: Any = "float32", **options: Any) -> ConvCase:
        """A case of these shapes; ``options`` as for ``ConvGeometry.of``."""
        return cls.fitting(ConvGeometry.of(input_shape, weight_shape, **options), seed=seed, dtype=dtype)


@dataclass(frozen=True, eq=False)
class PoolCase(Case):
    """A maximum or average pooling."""

    geometry: PoolGeometry
    divisor: int | None = None
    x = _input(0, "(N, C, ...)")
    grad = _input(1, "(N, C, ...), of the outputs")

    @classmethod
    def of(
        cls,
        input_shape: Sequence[int],
        kernel_size: Any,
        seed: int = 0,
        dtype: Any = "float32",
        divisor: int | None = None,
        **options: Any,
    ) -> PoolCase:
        """A case of these sizes; ``options`` as for ``PoolGeometry.of``."""
        return cls.fitting(PoolGeometry.of(input_shape, kernel_size, **options), seed=seed, dtype=dtype, divisor=divisor)


@dataclass(frozen=True, eq=False)
class AdaptiveCase(Case):
    """An adaptive maximum or average pooling."""

    geometry: AdaptivePoolGeometry
    x = _input(0, "(N, C, ...)")
    grad = _input(1, "(N, C, ...), of the outputs")

    @classmethod
    def of(cls, input_shape: Sequence[int], output_size: Any, seed: int = 0, dtype: Any = "float32") -> AdaptiveCase:
        """A case of these sizes."""
        return cls.fitting(AdaptivePoolGeometry.of(input_shape, output_size), seed=seed, dtype=dtype)


@dataclass(frozen=True, eq=False)
class PadCase(Case):
    """A padding; the geometry is (before, after) of each axis."""

    geometry: tuple[tuple[int, int], ...]
    mode: str = "constant"
    x = _input(0, "(N, C, ...)")
    grad = _input(1, "(N, C, ...), padded")

    @classmethod
    def of(cls, input_shape: Sequence[int], pads: Sequence[tuple[int, int]], mode: str = "constant", seed: int = 0) -> PadCase:
        """A case of these sizes."""
        n, c, *sizes = input_shape
        return cls.fitting(tuple(pads), ((n, c, *sizes), (n, c, *(s + sum(p) for s, p in zip(sizes, pads)))), seed, mode=mode)


@dataclass(frozen=True, eq=False)
class NormCase(Case):
    """A batch normalisation; the geometry is the eps."""

    geometry: float = 1e-3
    inputs: tuple[Values, ...] = ()
    x = _input(0, "(N, C, ...)")
    grad = _input(1, "(N, C, ...)")

    @classmethod
    def of(cls, input_shape: Sequence[int], seed: int = 0) -> NormCase:
        """A case of this shape."""
        return cls.fitting(1e-3, (tuple(input_shape),) * 2, seed)


_KNOWN = {k.__name__: k for k in (ConvCase, PoolCase, AdaptiveCase, PadCase, NormCase, Values)} | {
    k.__name__: k for k in (Axis, ConvGeometry, PoolGeometry, AdaptivePoolGeometry)
}


def to_data(case: Any) -> Any:
    """A case as what JSON can hold."""
    if isinstance(case, tuple):
        return [to_data(part) for part in case]
    if type(case).__name__ not in _KNOWN:
        return case
    return {"is": type(case).__name__} | {f.name: to_data(getattr(case, f.name)) for f in fields(case) if f.init}


def from_data(data: Any) -> Any:
    """The case of ``to_data``.

    Raises:
        FormatError: where it is none.
    """
    if isinstance(data, list):
        return tuple(from_data(part) for part in data)
    if not isinstance(data, dict):
        return data
    parts = {name: from_data(part) for name, part in data.items() if name != "is"}
    try:
        return _KNOWN[data["is"]](**parts)
    except (KeyError, TypeError) as error:
        raise FormatError(message("from_data", "a case as to_data writes it", repr(data)[:200])) from error
