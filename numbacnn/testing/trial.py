"""A trial: one law's look at one implementation.

An **implementation** is any object with some of these attributes; arrays in and out are NumPy's, of (N, C, ...) with one to three axes:

| attribute | call |
| --- | --- |
| ``name``, ``version`` | text |
| ``conv1d``, ``conv2d``, ``conv3d`` | (x, w, b=None, *, stride, padding, dilation, groups) -> y |
| ``conv_transpose1d``, ... | (x, w, b=None, *, stride, padding, output_padding, groups, dilation) -> y |
| ``max_pool1d``, ... | (x, kernel_size, *, stride, padding, dilation, ceil_mode) -> y |
| ``max_pool1d_with_indices``, ... | the same -> (y, places in the flattened axes of each image) |
| ``avg_pool1d``, ... | (x, kernel_size, *, stride, padding, ceil_mode, count_include_pad, divisor_override) -> y |
| ``adaptive_avg_pool1d``, ``adaptive_max_pool1d``, ... | (x, output_size) -> y |
| ``pad`` | (x, pad, mode) -> y; pad as PyTorch's: before and after, the last axis first |
| ``batch_norm`` | (x, *, eps) -> x normalised by its own statistics |
| each of them with ``_grad`` behind | (grad, *the same) -> a gradient for each array that was given, None for one it lacks |
| ``output_shape`` | (name, shapes, *the rest of the call) -> the shape, without the memory |
| ``set_num_threads`` | (number) -> None; 0 stands for as many as at first |
| ``set_compiled`` | (flag) -> None: whether calls run compiled, where they are not at first |
| ``rounding`` | a row of ``ROUNDING``; "exact" where there is none |
| ``ranges`` | for a family of operations, what ``strategies`` draw from: {"conv": {"groups": (1, 1)}} |
| ``largest`` | the most numbers that an array of a call may have, where it is slow; larger ones are not tried |
| ``same_bits`` | True: it promises the same bits for any number of threads, any order of memory, and compiled |
| ``first_of_equals`` | True: it promises that of equal maxima the first in the order of rows gets the gradient |

Names and defaults are PyTorch's, and an option that has its default is left out of a call. Sizes come as tuples, a number for each
axis; a ``padding`` that is not the same on both sides as pairs. What an implementation lacks is "not offered"; a call that
raises is "refused". Neither breaks a law. What comes back must be arrays of numbers, or what ``np.asarray`` makes one of.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arguments import one_of
from ..geometry import AdaptivePoolGeometry, ConvGeometry, PoolGeometry
from .cases import AdaptiveCase, Case, ConvCase, NormCase, PadCase, PoolCase

__all__ = ["ROUNDING", "Call", "Crashed", "LawBroken", "NotOffered", "Refused", "Trial", "as_arrays", "attribute", "name_of"]

ROUNDING = {"exact": 0.0, "sums": 1.0, "winograd": 4.0, "fft": 4.0}
"""How far a result may be off: so many times n * eps * s, where a sum has n terms, whose magnitudes add up to s at most.

Any order of a sum keeps to 1. On small integers sums are exact ("exact"), TF32's too: their bits suffice for the factors.
Winograd's and Fourier transforms round the terms as well. float16 is never exact here, but "sums".
"""


def name_of(implementation: Any) -> str:
    """What an implementation is called."""
    return str(getattr(implementation, "name", type(implementation).__name__))


def attribute(name: str, axes: int) -> str:
    """An operation's name for a number of axes: max_pool_grad is max_pool2d_grad.

    >>> attribute("max_pool_with_indices", 3), attribute("pad_grad", 2), attribute("set_num_threads", 1)
    ('max_pool3d_with_indices', 'pad_grad', 'set_num_threads')
    """
    for tail in ("_grad", "_with_indices", ""):
        stem = name.removesuffix(tail)
        if name.endswith(tail):
            return f"{stem}{axes}d{tail}" if stem == "conv" or stem.startswith("conv_") or stem.endswith("_pool") else name
    return name


NORM = 2e-5
"""How far normalised numbers may be off."""


class LawBroken(AssertionError):
    """A law does not hold; ``found`` and ``wanted`` are the two results, where there are such."""

    def __init__(self, text: str, found: Any = None, wanted: Any = None) -> None:
        super().__init__(text)
        self.found, self.wanted = found, wanted


class Crashed(LawBroken):
    """The process of an implementation died in a call, or did not come back."""


class NotOffered(Exception):
    """The implementation lacks an operation."""


class Refused(Exception):
    """The implementation raised an error."""


def as_arrays(result: Any) -> Any:
    """What a call gave as NumPy's arrays: one, or a tuple of them and None.

    Raises:
        LawBroken: it is something else.
    """
    if isinstance(result, (tuple, list)):
        return tuple(None if part is None else _as_array(part) for part in result)
    return _as_array(result)


def _as_array(value: Any) -> np.ndarray:
    received = type(value).__name__
    try:
        array = np.asarray(value)
    except Exception as error:
        raise LawBroken(f"expected an array; received {received}, and np.asarray says {type(error).__name__}: {error}") from error
    if array.dtype.kind not in "biuf":
        raise LawBroken(f"expected an array of numbers; received {received} of {array.dtype}")
    return array


@dataclass(frozen=True)
class Call:
    """A call of the implementation and what came back."""

    name: str
    arrays: tuple[np.ndarray | None, ...]
    sizes: tuple[Any, ...]
    options: dict[str, Any]
    result: Any


class Trial:
    """An implementation, called by cases and geometries; remembers the calls."""

    def __init__(self, implementation: Any) -> None:
        self.implementation = implementation
        rounding = getattr(implementation, "rounding", "exact")
        one_of(name_of(implementation), "rounding", rounding, ROUNDING)
        self.factor = ROUNDING[rounding]
        self.same_bits = getattr(implementation, "same_bits", False)
        self.first_of_equals = getattr(implementation, "first_of_equals", False)
        self.largest = getattr(implementation, "largest", math.inf)
        self.calls: list[Call] = []
        self.bound = 0.0
        self.error = 0.0
        self.refused = ""
        """What the implementation said, where it refused the case."""

    # -- calls ---------------------------------------------------------------------------------------------------------------
    def offers(self, name: str) -> bool:
        return callable(getattr(self.implementation, name, None))

    def call(self, name: str, *arrays: np.ndarray | None, sizes: tuple[Any, ...] = (), **options: Any) -> Any:
        """One call; arrays that it gives are NumPy's."""
        if not self.offers(name):
            raise NotOffered(name)
        while arrays and arrays[-1] is None:
            arrays = arrays[:-1]
        if any(a is not None and a.size > self.largest for a in arrays):
            raise Refused(f"{name}: more than {self.largest} numbers")
        try:
            result = self._ask(name, *arrays, *sizes, **options)
            gives = as_arrays(result)
        except LawBroken as fault:
            self.calls.append(Call(name, arrays, sizes, options, fault))
            raise
        self.calls.append(Call(name, arrays, sizes, options, gives))
        return gives

    def _ask(self, name: str, *args: Any, **options: Any) -> Any:
        try:
            return getattr(self.implementation, name)(*args, **options)
        except LawBroken:
            raise
        except Exception as error:
            raise Refused(f"{name}: {type(error).__name__}: {error}") from error

    @contextlib.contextmanager
    def switched(self, switch: str, value: Any, usual: Any) -> Iterator[None]:
        """Calls inside run with another ``set_num_threads`` or ``set_compiled``."""
        self._ask(switch, value)
        try:
            yield
        finally:
            self._ask(switch, usual)

    def _bear(self, shape: Sequence[int]) -> None:
        """Refuse what would give more numbers than a slow implementation can."""
        if math.prod(shape) > self.largest:
            raise Refused(f"more than {self.largest} numbers")

    def gradients(self, name: str, grad: np.ndarray, *arrays: np.ndarray | None, sizes: tuple[Any, ...] = (), **options: Any) -> Any:
        """The gradients of an operation's arrays, None for those that it lacks; a lone one is the first array's."""
        found = self.call(f"{name}_grad", grad, *arrays, sizes=sizes, **options)
        found = found if isinstance(found, tuple) else (found,)
        if len(found) > len(arrays):
            raise LawBroken(f"expected at most {len(arrays)} gradients, one for each array; received {len(found)}")
        if all(part is None for part in found):
            raise NotOffered(f"{name}_grad")
        return (*found, *(None,) * (len(arrays) - len(found)))

    def shape_of(self, name: str, shapes: Sequence[tuple[int, ...]], *sizes: Any, **options: Any) -> tuple[int, ...]:
        """The shape of a call's result, without the memory."""
        return tuple(int(size) for size in self.call("output_shape", sizes=(name, tuple(shapes), *sizes), **options))

    def _expect(self, x: np.ndarray, terms: float, largest: float) -> None:
        """Note how far results of this size may be off."""
        factor = max(self.factor, 1.0) if x.dtype == np.float16 else self.factor
        if factor and x.size:
            self.bound = max(self.bound, factor * terms * float(np.finfo(x.dtype).eps) * largest * float(np.abs(x).max()))

    def conv(self, x: np.ndarray, w: np.ndarray, g: ConvGeometry, b: np.ndarray | None = None) -> np.ndarray:
        self._expect(x, w[0].size + 1, float(np.abs(w).sum(tuple(range(1, w.ndim))).max()))
        return self.call(f"conv{len(g.axes)}d", x, w, b, **conv_options(g))  # type: ignore[no-any-return]

    def conv_grad(self, grad: np.ndarray, x: np.ndarray, w: np.ndarray, g: ConvGeometry, b: np.ndarray | None = None) -> Any:
        self._expect(grad, w[:, 0].size, float(np.abs(w).sum()))
        self._expect(grad, grad[:, 0].size, float(np.abs(x).sum()))
        return self.gradients(f"conv{len(g.axes)}d", grad, x, w, b, **conv_options(g))

    def conv_transpose(self, x: np.ndarray, w: np.ndarray, g: ConvGeometry, b: np.ndarray | None = None) -> np.ndarray:
        """The gradient of the convolution ``g`` as an operation of its own: x (N, OC, ...) -> (N, C, ...), the sizes of ``g``'s input."""
        self._bear(g.input_shape)
        self._expect(x, w[:, 0].size + 1, float(np.abs(w).sum(axis=(0, *range(2, w.ndim))).max()))
        return self.call(f"conv_transpose{len(g.axes)}d", x, w, b, **transposed_options(g))  # type: ignore[no-any-return]

    def conv_transpose_grad(self, grad: np.ndarray, x: np.ndarray, w: np.ndarray, g: ConvGeometry) -> Any:
        return self.gradients(f"conv_transpose{len(g.axes)}d", grad, x, w, **transposed_options(g))

    def max_pool(self, x: np.ndarray, g: PoolGeometry) -> np.ndarray:
        return self.call(f"max_pool{len(g.axes)}d", x, sizes=(g.kernel,), **pool_options(g))  # type: ignore[no-any-return]

    def avg_pool(self, x: np.ndarray, g: PoolGeometry, divisor: int | None = None) -> np.ndarray:
        self._expect(x, _taps(g), float(_taps(g)) / divisor if divisor else 1.0)
        return self.call(f"avg_pool{len(g.axes)}d", x, sizes=(g.kernel,), **pool_options(g, divisor))  # type: ignore[no-any-return]

    def avg_pool_grad(self, grad: np.ndarray, x: np.ndarray, g: PoolGeometry, divisor: int | None = None) -> Any:
        self._expect(grad, _taps(g), float(_taps(g)))
        return self.gradients(f"avg_pool{len(g.axes)}d", grad, x, sizes=(g.kernel,), **pool_options(g, divisor))[0]

    def max_pool_grad(self, grad: np.ndarray, x: np.ndarray, g: PoolGeometry) -> Any:
        self._expect(grad, _taps(g), float(_taps(g)))
        return self.gradients(f"max_pool{len(g.axes)}d", grad, x, sizes=(g.kernel,), **pool_options(g))[0]

    def adaptive(self, kind: str, x: np.ndarray, g: AdaptivePoolGeometry) -> np.ndarray:
        """``kind``: "avg" or "max"."""
        self._bear(g.output_shape)
        if kind == "avg":
            self._expect(x, float(np.prod(g.sizes)), 1.0)
        return self.call(f"adaptive_{kind}_pool{len(g.sizes)}d", x, sizes=(g.outputs,))  # type: ignore[no-any-return]

    def adaptive_grad(self, kind: str, grad: np.ndarray, x: np.ndarray, g: AdaptivePoolGeometry) -> Any:
        self._expect(grad, float(np.prod(g.outputs)), float(np.prod(g.outputs)))
        return self.gradients(f"adaptive_{kind}_pool{len(g.sizes)}d", grad, x, sizes=(g.outputs,))[0]

    def pad(self, x: np.ndarray, pads: Sequence[tuple[int, int]], mode: str) -> np.ndarray:
        return self.call("pad", x, sizes=(_flat(pads),), mode=mode)  # type: ignore[no-any-return]

    def pad_grad(self, grad: np.ndarray, x: np.ndarray, pads: Sequence[tuple[int, int]], mode: str) -> Any:
        return self.gradients("pad", grad, x, sizes=(_flat(pads),), mode=mode)[0]

    def _rounds(self, x: np.ndarray, bound: float) -> None:
        if x.dtype == np.float32:
            self.bound = max(self.bound, bound)

    def batch_norm(self, x: np.ndarray, eps: float) -> np.ndarray:
        """Its sums round, whatever the implementation says."""
        self._rounds(x, max(NORM, float(np.finfo(np.float32).eps) * x[:, :1].size))  # n eps, for statistics of n numbers
        return self.call("batch_norm", x, eps=eps)  # type: ignore[no-any-return]

    def batch_norm_grad(self, grad: np.ndarray, x: np.ndarray, eps: float) -> Any:
        """Gradients are as large as 1 / sqrt(eps)."""
        self._rounds(x, NORM / eps**0.5)
        return self.gradients("batch_norm", grad, x, eps=eps)[0]

    # -- results -------------------------------------------------------------------------------------------------------------
    def same(self, found: Any, wanted: Any, atol: float = 0.0) -> None:
        """Break the law unless the two are equal, or as close as this implementation's sums come (or ``atol``)."""
        found, wanted = _alike(found, wanted)
        unequal = (found != wanted) & ~(np.isnan(found) & np.isnan(wanted))
        if not unequal.any():
            return
        with np.errstate(invalid="ignore"):
            off = np.where(unequal, np.abs(found.astype(np.float64) - wanted), 0.0)
        _break_where(unequal & ~(off <= max(self.bound, atol)), found, wanted)
        self.error = max(self.error, float(off.max()) / max(float(np.abs(wanted).max()), 1.0))

    def rounds(self) -> None:
        """The numbers are no small integers: sums of them round."""
        self.factor = max(self.factor, ROUNDING["sums"])

    def equal(self, found: Any, wanted: Any) -> None:
        """Break the law unless the two have the same bits: those of -0 are not those of 0."""
        found, wanted = _alike(found, wanted)
        if found.dtype != wanted.dtype:
            raise LawBroken(f"expected {wanted.dtype}; received {found.dtype}", found, wanted)
        _break_where((_bytes(found) != _bytes(wanted)).any(-1), found, wanted)

    # -- whatever the case is ------------------------------------------------------------------------------------------------
    def run(self, family: str, case: Case) -> list[Any]:
        """All results of a family's operation on a case: what it gives, and the gradients, None or nothing for those that it doesn't."""
        forward, backward = getattr(self, f"_{family}")(case)
        found = [forward()]
        with contextlib.suppress(NotOffered, Refused):  # what comes out is judged all the same
            found += backward()
        return found

    def _conv(self, case: ConvCase) -> Any:
        g = case.geometry
        return lambda: self.conv(case.x, case.w, g, case.b), lambda: self.conv_grad(case.grad, case.x, case.w, g, case.b)

    def _conv_transpose(self, case: ConvCase) -> Any:
        rest = case.grad, case.w, case.geometry
        return lambda: self.conv_transpose(*rest), lambda: self.conv_transpose_grad(case.x, *rest)

    def _max_pool(self, case: PoolCase) -> Any:
        return lambda: self.max_pool(case.x, case.geometry), lambda: [self.max_pool_grad(case.grad, case.x, case.geometry)]

    def _avg_pool(self, case: PoolCase) -> Any:
        rest = case.geometry, case.divisor
        return lambda: self.avg_pool(case.x, *rest), lambda: [self.avg_pool_grad(case.grad, case.x, *rest)]

    def _adaptive_avg_pool(self, case: AdaptiveCase, kind: str = "avg") -> Any:
        g = case.geometry
        return lambda: self.adaptive(kind, case.x, g), lambda: [self.adaptive_grad(kind, case.grad, case.x, g)]

    def _adaptive_max_pool(self, case: AdaptiveCase) -> Any:
        return self._adaptive_avg_pool(case, "max")

    def _pad(self, case: PadCase) -> Any:
        rest = case.geometry, case.mode
        return lambda: self.pad(case.x, *rest), lambda: [self.pad_grad(case.grad, case.x, *rest)]

    def _batch_norm(self, case: NormCase) -> Any:
        return lambda: self.batch_norm(case.x, case.geometry), lambda: [self.batch_norm_grad(case.grad, case.x, case.geometry)]


def _alike(found: Any, wanted: Any) -> tuple[np.ndarray, np.ndarray]:
    """The two as arrays; of different shapes they break the law."""
    found, wanted = np.asarray(found), np.asarray(wanted)
    if found.shape != wanted.shape:
        raise LawBroken(f"expected shape {wanted.shape}; received shape {found.shape}", found, wanted)
    return found, wanted


def _break_where(wrong: np.ndarray, found: np.ndarray, wanted: np.ndarray) -> None:
    """Break the law where a place is wrong."""
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        count = f"{int(wrong.sum())} of {wrong.size} elements differ"
        raise LawBroken(f"expected {wanted[at]} at {at}; received {found[at]}; {count}", found, wanted)


def _bytes(a: np.ndarray) -> np.ndarray:
    """The bytes of each number, along an axis more."""
    return np.ascontiguousarray(a).reshape(*a.shape, 1).view(np.uint8)


def _taps(g: PoolGeometry) -> int:
    return int(np.prod(g.kernel))


def _flat(pads: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    return tuple(side for pair in reversed(pads) for side in pair)


def _without(options: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    """The options that differ from their defaults; a number of the defaults stands for every axis."""

    def plain(name: str, value: Any) -> bool:
        default = defaults[name]
        return bool(value == default or (isinstance(value, tuple) and set(value) == {default}))

    return {name: value for name, value in options.items() if not plain(name, value)}


def _padding(g: ConvGeometry | PoolGeometry) -> tuple[Any, ...]:
    """A number for each axis, or pairs."""
    symmetric = all(before == after for before, after in g.padding)
    return g.before if symmetric else g.padding


def conv_options(g: ConvGeometry) -> dict[str, Any]:
    """The keywords of a convolution."""
    options = {"stride": g.stride, "padding": _padding(g), "dilation": g.dilation, "groups": g.groups}
    return _without(options, stride=1, padding=0, dilation=1, groups=1)


def transposed_options(g: ConvGeometry) -> dict[str, Any]:
    """The keywords of the transposed convolution, the gradient of the convolution ``g``."""
    spare = tuple(axis.padded - axis.extent - (axis.outputs - 1) * axis.stride for axis in g.axes)
    options = conv_options(g) | {"output_padding": spare}
    return _without(options, stride=1, padding=0, output_padding=0, dilation=1, groups=1)


def pool_options(g: PoolGeometry, divisor: int | None = None) -> dict[str, Any]:
    """The keywords of a pooling, beside the kernel's size."""
    options = {"stride": g.stride, "padding": _padding(g), "dilation": g.dilation, "ceil_mode": any(axis.ceil for axis in g.axes)}
    options |= {"count_include_pad": g.count_include_pad, "divisor_override": divisor}
    found = _without(options, stride=1, padding=0, dilation=1, ceil_mode=False, count_include_pad=True, divisor_override=None)
    found.pop("stride", None)
    return found if g.stride == g.kernel else {"stride": g.stride, **found}
