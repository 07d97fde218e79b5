"""Broken implementations of the kinds that public reports of frameworks and kernels describe, each a few lines around a sound one.

``FAULTS`` has a row for each: a sentence, and what stands in for the sound operations. A faulty implementation offers the operations that
it names and the forward of a faulty gradient, nothing else: a framework that derives its gradients would have the same fault in both, and
a comparison of the two would see nothing. ``caught`` says after how many examples a law sees it.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from numbacnn.geometry import AdaptivePoolGeometry, PoolGeometry
from numbacnn.testing import LAWS, Law, LawBroken, Trial, adapters
from numbacnn.testing.judge import offered_axes
from numbacnn.testing.strategies import cases
from numbacnn.testing.trial import NotOffered, Refused, attribute

Operation = Callable[..., Any]
ALL: Any = slice(None)
F64, F32, F16 = np.float64, np.float32, np.float16


# -- a sound implementation of everything, in NumPy ------------------------------------------------------------------------------
(REFERENCE,) = adapters.implementations("reference")


def _of(name: str) -> Operation:
    """An operation of the reference, whatever the number of axes."""
    return lambda *args, **options: getattr(REFERENCE, attribute(name, args[0].ndim - 2))(*args, **options)


conv, _conv_grad, _conv_transpose = map(_of, ("conv", "conv_grad", "conv_transpose"))
max_pool, max_pool_grad, max_pool_with_indices = map(_of, ("max_pool", "max_pool_grad", "max_pool_with_indices"))
adaptive_avg_pool, adaptive_avg_pool_grad = map(_of, ("adaptive_avg_pool", "adaptive_avg_pool_grad"))


def places(x: np.ndarray) -> tuple[int, ...]:
    """All axes but that of the channels."""
    return (0, *range(2, x.ndim))


def column(b: np.ndarray, axes: int) -> np.ndarray:
    """A number for each channel, to be added to images."""
    return b.reshape(-1, *(1,) * axes)


def tuples(axes: int, *values: Any) -> list[tuple[int, ...]]:
    return [tuple(v) if isinstance(v, Sequence) else (v,) * axes for v in values]


def conv_grad(grad: np.ndarray, x: np.ndarray, w: np.ndarray, b: Any = None, **options: Any) -> Any:
    return (*_conv_grad(grad, x, w, **options), *(() if b is None else (grad.sum(places(grad)),)))


def conv_transpose(x: np.ndarray, w: np.ndarray, b: Any = None, **options: Any) -> np.ndarray:
    y = _conv_transpose(x, w, **options)
    return y if b is None else y + column(b, x.ndim - 2)


def conv_transpose_grad(grad: np.ndarray, x: np.ndarray, w: np.ndarray, *, output_padding: Any = 0, **options: Any) -> Any:
    return conv(grad, w, **options), _conv_grad(x, grad, w, **options)[1]


@dataclass
class Window:
    """A place of the output, the pixels that its window sees, and how many it would with the padding, and with what sticks out."""

    place: tuple[int, ...]
    cells: list[tuple[int, ...]]
    padded: int
    full: int


def windows(x: np.ndarray, kernel_size: Any, **options: Any) -> Iterator[Window]:
    """The windows of an average pooling."""
    g = PoolGeometry.of(x.shape, kernel_size, **options)
    for place in np.ndindex(*g.outputs):
        starts = [o * axis.stride - axis.before for o, axis in zip(place, g.axes)]
        seen = [range(max(at, 0), min(at + axis.kernel, axis.size)) for at, axis in zip(starts, g.axes)]
        inside = [min(axis.kernel, axis.size + axis.after - at) for at, axis in zip(starts, g.axes)]
        yield Window(place, list(itertools.product(*seen)), math.prod(inside), math.prod(g.kernel))


def divided_by(window: Window, counted: bool, override: int | None) -> int:
    """By what the sum of a window is divided."""
    return override or (window.padded if counted else len(window.cells))


def averages(divisor: Callable[[Window, bool, int | None], float] = divided_by, total: Any = F32) -> Operation:
    """An average pooling with this divisor; sums are kept in ``total`` at least."""

    def avg_pool(x: np.ndarray, kernel_size: Any, *, count_include_pad: bool = True, divisor_override: Any = None, **rest: Any) -> Any:
        y = np.zeros((*x.shape[:2], *PoolGeometry.of(x.shape, kernel_size, **rest).outputs), np.result_type(x, total))
        for window in windows(x, kernel_size, **rest):
            sums = sum((x[(..., *cell)].astype(y.dtype) for cell in window.cells), np.zeros(x.shape[:2], y.dtype))
            y[(..., *window.place)] = sums / y.dtype.type(divisor(window, count_include_pad, divisor_override))
        return y.astype(x.dtype)

    return avg_pool


def shares(divisor: Callable[[Window, bool, int | None], float] = divided_by, adds: bool = True) -> Operation:
    """The gradient of an average pooling with this divisor; without ``adds`` the last window counts."""

    def grads(
        grad: np.ndarray, x: np.ndarray, kernel_size: Any, *, count_include_pad: bool = True, divisor_override: Any = None, **rest: Any
    ) -> Any:
        dx: Any = np.zeros(x.shape, grad.dtype)
        for window in windows(x, kernel_size, **rest):
            share = grad[(..., *window.place)] / grad.dtype.type(divisor(window, count_include_pad, divisor_override))
            for cell in window.cells:
                dx[(..., *cell)] = share + dx[(..., *cell)] * adds
        return dx

    return grads


def adaptive_windows(x: np.ndarray, output_size: Any) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    g = AdaptivePoolGeometry.of(x.shape, output_size)
    for place in np.ndindex(*g.outputs):
        yield place, tuple(slice(o * size // n, -(-(o + 1) * size // n)) for o, size, n in zip(place, g.sizes, g.outputs))


def adaptively(reduce: Operation, seen: Operation = adaptive_windows) -> Operation:
    """An adaptive pooling by this reduction of each window."""

    def pool(x: np.ndarray, output_size: Any) -> Any:
        y = np.zeros((*x.shape[:2], *output_size), x.dtype)
        for place, window in seen(x, output_size):
            y[(..., *place)] = reduce(x[(..., *window)], tuple(range(2, x.ndim)))
        return y

    return pool


def adaptive_max_pool_grad(grad: np.ndarray, x: np.ndarray, output_size: Any, adds: bool = True, ties: bool = False) -> np.ndarray:
    dx = np.zeros(x.shape, grad.dtype)
    for place, window in adaptive_windows(x, output_size):
        for n, c in np.ndindex(*x.shape[:2]):
            part, into = x[(n, c, *window)], dx[(n, c, *window)]
            at = part == part.max() if ties else np.unravel_index(int(part.argmax()), part.shape)
            into[at] = grad[(n, c, *place)] + into[at] * adds
    return dx


NUMPY = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def widths(x: np.ndarray, pads: Sequence[int]) -> list[tuple[int, int]]:
    return [(0, 0), (0, 0), *zip(pads[-2::-2], pads[::-2])]


def pad(x: np.ndarray, pads: Sequence[int], mode: str) -> np.ndarray:
    return np.pad(x, widths(x, pads), mode=NUMPY[mode])  # type: ignore[call-overload,no-any-return]


def pad_grad(grad: np.ndarray, x: np.ndarray, pads: Sequence[int], mode: str, adds: bool = True) -> np.ndarray:
    """Each place of the padded image came from a pixel, or from none."""
    origin = pad(np.arange(1, math.prod(x.shape[2:]) + 1).reshape(1, 1, *x.shape[2:]), pads, mode).reshape(-1)
    dx = np.zeros((*x.shape[:2], 1 + math.prod(x.shape[2:])), grad.dtype)
    flat = grad.reshape(*grad.shape[:2], -1)
    if adds:
        np.add.at(dx, (ALL, ALL, origin), flat)
    else:
        dx[:, :, origin] = flat
    return dx[:, :, 1:].reshape(x.shape)


def normalised(x: np.ndarray, eps: float, axes: tuple[int, ...], ddof: int = 0) -> Any:
    wide = x.astype(F64)
    return (wide - wide.mean(axes, keepdims=True)) / np.sqrt(wide.var(axes, keepdims=True, ddof=ddof) + eps)


def batch_norm(x: np.ndarray, *, eps: float) -> np.ndarray:
    return normalised(x, eps, places(x)).astype(x.dtype)  # type: ignore[no-any-return]


def batch_norm_grad(grad: np.ndarray, x: np.ndarray, *, eps: float, mean: bool = True, variance: bool = True) -> np.ndarray:
    axes, g = places(x), grad.astype(F64)
    y = normalised(x, eps, axes)
    centred = g - mean * g.mean(axes, keepdims=True) - variance * y * (g * y).mean(axes, keepdims=True)
    return (centred / np.sqrt(x.astype(F64).var(axes, keepdims=True) + eps)).astype(grad.dtype)  # type: ignore[no-any-return]


SOUND: dict[str, Operation] = {
    "conv": conv,
    "conv_grad": conv_grad,
    "conv_transpose": conv_transpose,
    "conv_transpose_grad": conv_transpose_grad,
    "max_pool": max_pool,
    "max_pool_with_indices": max_pool_with_indices,
    "max_pool_grad": max_pool_grad,
    "avg_pool": averages(),
    "avg_pool_grad": shares(),
    "adaptive_avg_pool": adaptive_avg_pool,
    "adaptive_avg_pool_grad": adaptive_avg_pool_grad,
    "adaptive_max_pool": adaptively(np.max),
    "adaptive_max_pool_grad": adaptive_max_pool_grad,
    "pad": pad,
    "pad_grad": pad_grad,
    "batch_norm": batch_norm,
    "batch_norm_grad": batch_norm_grad,
    "output_shape": REFERENCE.output_shape,
    "set_num_threads": lambda count: None,
    "set_compiled": lambda flag: None,
}


def implementation(operations: dict[str, Operation], name: str = "sound") -> Any:
    made = {attribute(op, axes): f for op, f in operations.items() for axes in (1, 2, 3)}
    same_bits = any(op.startswith("set_") for op in operations)
    promises = {"same_bits": same_bits, "first_of_equals": "max_pool_with_indices" in operations}
    return SimpleNamespace(name=name, version="", rounding="exact", **promises, **made)


# -- faults ------------------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Fault:
    """What is wrong, in a sentence, and what stands in for the sound operations: a function of the sound one and the call."""

    sentence: str
    changed: dict[str, Operation]
    beside: tuple[str, ...] = ()
    """Sound operations that are offered too."""

    def implementation(self, name: str) -> Any:
        sound = {op.removesuffix("_grad"): SOUND[op.removesuffix("_grad")] for op in self.changed} | {op: SOUND[op] for op in self.beside}
        return implementation(sound | {op: functools.partial(f, SOUND[op]) for op, f in self.changed.items()}, name)


FAULTS: dict[str, Fault] = {}


def fault(name: str, sentence: str, beside: tuple[str, ...] = (), /, **changed: Operation) -> None:
    FAULTS[name] = Fault(sentence, changed, beside)


def options_of(axes: int, o: dict[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...], list[tuple[int, int]], int]:
    """Strides, dilation, padding in pairs and groups of a convolution's keywords."""
    stride, dilation, padding = tuples(axes, o.get("stride", 1), o.get("dilation", 1), o.get("padding", 0))
    pairs = [p if isinstance(p, tuple) else (p, p) for p in padding]
    return stride, dilation, pairs, o.get("groups", 1)


def strided(o: dict[str, Any]) -> bool:
    return "stride" in o and set(np.ravel(o["stride"]).tolist()) != {1}


def shaped(y: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Cut to a shape, or filled with zeros."""
    out = np.zeros(shape, y.dtype)
    part = tuple(slice(min(a, b)) for a, b in zip(y.shape, shape))
    out[part] = y[part]
    return out


def conv_by(**change: Operation) -> Operation:
    """A convolution whose keywords are misread, its result cut to the right shape."""

    def broken(f: Operation, x: np.ndarray, w: np.ndarray, b: Any = None, **o: Any) -> Any:
        y = f(x, w, b, **o)
        wrong = o | {name: value(o[name]) for name, value in change.items() if name in o}
        try:
            return shaped(f(x, w, b, **wrong), y.shape)
        except ValueError:
            return y  # the misread call is refused: nobody would have kept that

    return broken


def flip(w: np.ndarray, axes: tuple[int, ...] | None = None) -> np.ndarray:
    return np.flip(w, axes or tuple(range(2, w.ndim)))


def roll_groups(x: np.ndarray, groups: int) -> np.ndarray:
    return np.roll(x, x.shape[1] // groups, 1) if groups > 1 else x


# kernels and groups
fault(
    "conv: kernel flipped",
    "The kernel is flipped: it convolves, and does not correlate.",
    conv=lambda f, x, w, *b, **o: f(x, flip(w), *b, **o),
)
fault("conv: last axis flipped", "The kernel is flipped along its last axis.", conv=lambda f, x, w, *b, **o: f(x, w[..., ::-1], *b, **o))
fault(
    "conv: kernel transposed",
    "A square kernel is read column by column.",
    conv=lambda f, x, w, *b, **o: f(x, np.swapaxes(w, -1, -2) if w.ndim > 3 and w.shape[-1] == w.shape[-2] else w, *b, **o),
)
fault(
    "conv: groups rolled",
    "A group reads the channels of the group before it.",
    conv=lambda f, x, w, *b, **o: f(roll_groups(x, o.get("groups", 1)), w, *b, **o),
)
fault(
    "conv: first group read",
    "Every group reads the channels of the first.",
    conv=lambda f, x, w, *b, **o: f(np.concatenate([x[:, : w.shape[1]]] * o.get("groups", 1), 1), w, *b, **o),
)


def shuffled(f: Operation, x: np.ndarray, w: np.ndarray, b: Any = None, **o: Any) -> Any:
    y = f(x, w, **o)
    groups = o.get("groups", 1)
    y = y.reshape(y.shape[0], groups, -1, *y.shape[2:]).swapaxes(1, 2).reshape(y.shape)
    return y if b is None else y + column(b, x.ndim - 2)


fault("conv: groups interleaved", "The outputs of groups are interleaved.", conv=shuffled)
fault(
    "conv: strided groups",
    "Groups are mixed where there is a stride too.",
    conv=lambda f, x, w, *b, **o: f(roll_groups(x, o.get("groups", 1)) if strided(o) else x, w, *b, **o),
)
fault(
    "conv: depthwise multiplier",
    "A depthwise convolution with several outputs a channel takes the kernels in another order.",
    conv=lambda f, x, w, *b, **o: f(
        x, w.reshape(-1, o["groups"], *w.shape[1:]).swapaxes(0, 1).reshape(w.shape) if w.shape[1] == 1 and "groups" in o else w, *b, **o
    ),
)
# strides and dilation
first, back = (lambda v: (v[0],) * len(v)), (lambda v: tuple(reversed(v)))
fault("conv: first stride", "The first axis's stride is used for all.", conv=conv_by(stride=first))
fault("conv: strides reversed", "Strides are read in the order of (width, height).", conv=conv_by(stride=back))
fault("conv: first dilation", "The first axis's dilation is used for all.", conv=conv_by(dilation=first))
fault("conv: dilation reversed", "Dilation is read in the order of (width, height).", conv=conv_by(dilation=back))


def swapped(f: Operation, x: np.ndarray, w: np.ndarray, b: Any = None, **o: Any) -> Any:
    wrong = {k: v for k, v in o.items() if k not in ("stride", "dilation")}
    wrong |= {k: o[other] for k, other in (("stride", "dilation"), ("dilation", "stride")) if other in o}
    return f(x, w, b, **wrong)


fault("conv: stride and dilation swapped", "Stride and dilation are taken for each other.", conv=swapped)


def from_the_end(f: Operation, x: np.ndarray, w: np.ndarray, b: Any = None, **o: Any) -> Any:
    axes = x.ndim - 2
    stride, dilation, padding, _ = options_of(axes, o)
    rest = [(s + sum(p) - d * (k - 1) - 1) % t for s, p, d, k, t in zip(x.shape[2:], padding, dilation, w.shape[2:], stride)]
    y = f(x, w, b, **{k: v for k, v in o.items() if k != "stride"})
    return y[(ALL, ALL, *(slice(r, None, s) for r, s in zip(rest, stride)))]


fault("conv: strides from the end", "Strided windows are aligned to the end of the image.", conv=from_the_end)


def rounded_up(f: Operation, x: np.ndarray, w: np.ndarray, b: Any = None, **o: Any) -> Any:
    axes = x.ndim - 2
    stride, dilation, padding, _ = options_of(axes, o)
    room = [s + sum(p) - d * (k - 1) - 1 for s, p, d, k in zip(x.shape[2:], padding, dilation, w.shape[2:])]
    y = f(x, w, b, **o)
    return shaped(y, (*y.shape[:2], *(-(-r // s) + 1 for r, s in zip(room, stride))))


fault("conv: size rounded up", "The output's size is rounded up where the stride leaves a rest.", conv=rounded_up)
fault(
    "conv: dilation without stride",
    "Dilation is forgotten where there is a stride too.",
    conv=lambda f, x, w, *b, **o: conv_by(dilation=lambda v: (1,) * len(v))(f, x, w, *b, **o) if strided(o) else f(x, w, *b, **o),
)


def gaps_repeat(f: Operation, x: np.ndarray, w: np.ndarray, b: Any = None, **o: Any) -> Any:
    _, dilation, _, _ = options_of(x.ndim - 2, o)
    wide = w
    for axis, d in enumerate(dilation):
        wide = np.repeat(wide, d, axis + 2)[(ALL,) * (axis + 2) + (slice(1 - d or None) if d > 1 else ALL,)]
    return f(x, wide, b, **{k: v for k, v in o.items() if k != "dilation"})


fault("conv: dilated gaps repeat", "The gaps of a dilated kernel hold the tap before them.", conv=gaps_repeat)


# padding
def padded_by(how: Callable[[np.ndarray, list[tuple[int, int]], tuple[int, ...]], Any]) -> Operation:
    """A convolution of an image that was padded like this (by a function of it, the pairs, and the kernel's extent)."""

    def broken(f: Operation, x: np.ndarray, w: np.ndarray, b: Any = None, **o: Any) -> Any:
        _, dilation, pairs, _ = options_of(x.ndim - 2, o)
        y = f(x, w, b, **o)
        try:
            wide = how(x, pairs, tuple(d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:])))
            return shaped(f(wide, w, b, **{k: v for k, v in o.items() if k != "padding"}), y.shape)
        except ValueError:
            return y

    return broken


def zeros(x: np.ndarray, pairs: Any, **mode: Any) -> np.ndarray:
    return np.pad(x, [(0, 0), (0, 0), *pairs], **mode)


fault("conv: padding repeats the edge", "Padding repeats the edge.", conv=padded_by(lambda x, pairs, _: zeros(x, pairs, mode="edge")))
fault("conv: padding in front", "All padding goes in front.", conv=padded_by(lambda x, pairs, _: zeros(x, [(a + b, 0) for a, b in pairs])))


def padded_once(f: Operation, x: np.ndarray, w: np.ndarray, *b: Any, **o: Any) -> Any:
    _, _, pairs, _ = options_of(x.ndim - 2, o)
    return f(zeros(x, [(before, 0) for before, _ in pairs]), w, *b, **{k: v for k, v in o.items() if k != "padding"})


fault("conv: padding once", "Padding is counted once, in front.", conv=padded_once)


fault(
    "conv: sides swapped",
    "Padding in front and behind are taken for each other.",
    conv=padded_by(lambda x, p, _: zeros(x, [q[::-1] for q in p])),
)
fault(
    "conv: front padding twice",
    "The padding in front is used behind too.",
    conv=padded_by(lambda x, pairs, _: zeros(x, [(a, a) for a, _ in pairs])),
)
fault(
    "conv: padding reversed", "Padding is read in the order of (width, height).", conv=padded_by(lambda x, pairs, _: zeros(x, pairs[::-1]))
)
fault(
    "conv: first padding",
    "The first axis's padding is used for all.",
    conv=padded_by(lambda x, pairs, _: zeros(x, [pairs[0]] * len(pairs))),
)
fault(
    "conv: 1x1 not padded",
    "A kernel of one tap forgets its padding.",
    conv=lambda f, x, w, *b, **o: padded_by(lambda x, pairs, extent: x if max(extent) == 1 else zeros(x, pairs))(f, x, w, *b, **o),
)
fault(
    "conv: padding clamped",
    "Padding of a kernel's extent or more is cut to less.",
    conv=padded_by(lambda x, pairs, extent: zeros(x, [(min(a, e - 1), min(b, e - 1)) for (a, b), e in zip(pairs, extent)])),
)


# images, channels, tiles
fault(
    "conv: images mixed",
    "An image gets a share of the one before it.",
    conv=lambda f, x, *a, **o: f(x + np.roll(x, 1, 0) * (len(x) > 1), *a, **o),
)
fault(
    "conv: neighbours swapped",
    "Images are swapped in pairs.",
    conv=lambda f, x, *a, **o: f(x[[i ^ 1 if i ^ 1 < len(x) else i for i in range(len(x))]], *a, **o),
)


def only_first(count: int, axis: int) -> Operation:
    """What lies behind the first ``count`` places of an axis is lost."""

    def broken(f: Operation, *args: Any, **options: Any) -> Any:
        y = f(*args, **options).copy()
        y[(ALL,) * axis + (slice(count, None),)] = 0
        return y

    return broken


def whole_blocks(size: int, axis: int, block: int) -> Operation:
    """A tail that fills no block is lost, once there is a block."""

    def broken(f: Operation, *args: Any, **options: Any) -> Any:
        y = f(*args, **options).copy()
        if y.shape[axis] > size:
            y[(ALL,) * axis + (slice(y.shape[axis] // block * block, None),)] = 0
        return y

    return broken


fault("conv: images beyond 32", "Images beyond the 32nd are left at 0.", conv=only_first(32, 0))
fault("conv: kernels beyond 32", "Output channels beyond the 32nd are left at 0.", conv=only_first(32, 1))
fault("conv: tail of kernels", "Output channels that fill no block of 8 are left at 0, once there are 16.", conv=whole_blocks(16, 1, 8))
fault(
    "conv: channels beyond 32",
    "Input channels beyond the 32nd are not read by kernels of several taps.",
    conv=lambda f, x, w, *b, **o: (
        f(x[:, :32], w[:, :32], *b, **o) if x.shape[1] == w.shape[1] and math.prod(w.shape[2:]) > 1 else f(x, w, *b, **o)
    ),
)
fault(
    "conv: channels beyond 64",
    "Input channels beyond the 64th are not read by kernels of several taps.",
    conv=lambda f, x, w, *b, **o: (
        f(x[:, :64], w[:, :64], *b, **o) if x.shape[1] == w.shape[1] and math.prod(w.shape[2:]) > 1 else f(x, w, *b, **o)
    ),
)
fault(
    "conv: 1x1 beyond 128",
    "A kernel of one tap reads 128 channels at most.",
    conv=lambda f, x, w, *b, **o: f(x[:, :128], w[:, :128], *b, **o) if x.shape[1] == w.shape[1] else f(x, w, *b, **o),
)
fault(
    "conv: columns beyond 64",
    "Columns of the output beyond the 64th are left at 0.",
    conv=lambda f, x, *a, **o: only_first(64, x.ndim - 1)(f, x, *a, **o),
)
fault(
    "conv: tail of columns",
    "Columns that fill no vector of 16 are left at 0, once there are 32.",
    conv=lambda f, x, *a, **o: whole_blocks(32, x.ndim - 1, 16)(f, x, *a, **o),
)
# bias
fault(
    "conv: bias by group",
    "A group's outputs take the biases of the first.",
    conv=lambda f, x, w, b=None, **o: f(x, w, b if b is None else np.resize(b[: len(b) // o.get("groups", 1)], b.shape), **o),
)
fault(
    "conv: bias per group",
    "The bias is added once for each group.",
    conv=lambda f, x, w, b=None, **o: f(x, w, b if b is None else b * b.dtype.type(o.get("groups", 1)), **o),
)
fault(
    "conv: bias along the row",
    "The bias is added along the row where that is as long.",
    conv=lambda f, x, w, b=None, **o: y + b if b is not None and (y := f(x, w, **o)).shape[-1] == len(b) else f(x, w, b, **o),
)
fault(
    "conv: padded bias",
    "The bias is forgotten where the padding is 1 all round.",
    conv=lambda f, x, w, b=None, **o: f(x, w, None if "padding" in o and o["padding"] == (1,) * (x.ndim - 2) else b, **o),
)


# numbers
fault(
    "conv: saturates",
    "The input is kept within float16's range.",
    conv=lambda f, x, *a, **o: f(np.clip(x, -65504, 65504).astype(x.dtype), *a, **o),
)
fault(
    "conv: weights in float16",
    "The weights are kept in float16.",
    conv=lambda f, x, w, *b, **o: f(x, w.astype(F16).astype(w.dtype), *b, **o),
)


def bfloat16(a: np.ndarray) -> np.ndarray:
    bits = np.ascontiguousarray(a, F32).view(np.uint32)
    return ((bits + 0x8000) & 0xFFFF0000).astype(np.uint32).view(F32)


def tf32(a: np.ndarray) -> np.ndarray:
    bits = np.ascontiguousarray(a, F32).view(np.uint32)
    return ((bits + 0x1000) & 0xFFFFE000).astype(np.uint32).view(F32)


def only_float32(a: np.ndarray) -> None:
    if a.dtype != F32:
        raise TypeError("no float64 or float16 here")


def short(cut: Operation) -> Operation:
    def broken(f: Operation, x: np.ndarray, w: np.ndarray, *b: Any, **o: Any) -> Any:
        only_float32(x)
        return f(cut(x), cut(w), *b, **o)

    return broken


fault("conv: bfloat16", "Products are those of bfloat16, without a word; there is no float64.", conv=short(bfloat16))
fault("conv: TF32", "Products are those of TF32, without a word; there is no float64.", conv=short(tf32))
fault(
    "conv_grad: weight in bfloat16",
    "The gradient of the weight is rounded to bfloat16's bits.",
    conv_grad=lambda f, *a, **o: (lambda found: (found[0], bfloat16(found[1]).astype(found[1].dtype), *found[2:]))(f(*a, **o)),
)
fault("conv: NaN as zero", "A pixel that is NaN counts as 0.", conv=lambda f, x, *a, **o: f(np.nan_to_num(x, nan=0.0), *a, **o))
fault(
    "conv: sums of 16 bits",
    "Sums are kept in integers of 16 bits.",
    conv=lambda f, *a, **o: (y := f(*a, **o)).astype(np.int16).astype(y.dtype),
)


# what should be refused, and sizes
def zero_as_one(o: dict[str, Any], name: str) -> dict[str, Any]:
    return {k: v for k, v in o.items() if k != name or 0 not in np.ravel(v)}


fault("conv: stride 0", "A stride of 0 counts as 1.", conv=lambda f, *a, **o: f(*a, **zero_as_one(o, "stride")))
fault("conv: dilation 0", "A dilation of 0 counts as 1.", conv=lambda f, *a, **o: f(*a, **zero_as_one(o, "dilation")))
fault(
    "conv: longer bias", "A bias that is too long is cut.", conv=lambda f, x, w, b=None, **o: f(x, w, b if b is None else b[: len(w)], **o)
)
fault(
    "conv: more channels",
    "A kernel of too many channels is cut.",
    conv=lambda f, x, w, *b, **o: f(x, w[:, : max(x.shape[1] // o.get("groups", 1), 1)], *b, **o),
)


def beyond(f: Operation, x: np.ndarray, w: np.ndarray, *b: Any, **o: Any) -> Any:
    _, dilation, pairs, _ = options_of(x.ndim - 2, o)
    lacks = [max(d * (k - 1) + 1 - s - sum(p), 0) for d, k, s, p in zip(dilation, w.shape[2:], x.shape[2:], pairs)]
    return f(zeros(x, [(0, n) for n in lacks]), w, *b, **o)


fault("conv: kernel beyond the image", "A kernel that is larger than the image reads zeros behind it.", conv=beyond)


def sized(make: Operation) -> Operation:
    """The output's size along the last axis is computed by ``make`` of the room and the stride."""

    def broken(f: Operation, x: np.ndarray, w: np.ndarray, *b: Any, **o: Any) -> Any:
        stride, dilation, pairs, _ = options_of(x.ndim - 2, o)
        y = f(x, w, *b, **o)
        room = x.shape[-1] + sum(pairs[-1]) - dilation[-1] * (w.shape[-1] - 1) - 1
        return shaped(y, (*y.shape[:-1], max(int(make(room, stride[-1])), 0)))

    return broken


fault("conv: sizes of 16 bits", "Sizes are kept in 16 bits.", conv=sized(lambda room, stride: room % 65536 // stride + 1))
fault(
    "conv: sizes by reciprocals",
    "The output's size is computed by a product with 1 / stride in float32.",
    conv=sized(lambda room, stride: F32(room) * (F32(1) / F32(stride)) + F32(1)),
)


def shapes_in(kind: Any, family: str) -> Operation:
    def broken(f: Operation, name: str, *args: Any, **options: Any) -> Any:
        shape = f(name, *args, **options)
        return tuple(int(np.array(size, np.int64).astype(kind)) for size in shape) if name.startswith(family) else shape

    return broken


for family in ("conv", "max_pool", "avg_pool"):
    fault(
        f"{family}: shapes in 32 bits", "The shapes of results wrap around at 2**31.", (family,), output_shape=shapes_in(np.int32, family)
    )
    fault(f"{family}: shapes in float32", "The shapes of results are computed in float32.", (family,), output_shape=shapes_in(F32, family))


# one to three axes
def only_in(axes: int, broken: Operation) -> Operation:
    return lambda f, *args, **options: broken(f, *args, **options) if args[0].ndim == axes + 2 else f(*args, **options)


def first_slice(f: Operation, x: np.ndarray, w: np.ndarray, *b: Any, **o: Any) -> Any:
    return f(x, w * (np.arange(w.shape[2]) == 0).reshape(-1, 1, 1).astype(w.dtype), *b, **o)


fault(
    "conv: 1-D flipped",
    "A signal is convolved with the kernel flipped, an image is right.",
    conv=only_in(1, lambda f, x, w, *b, **o: f(x, flip(w), *b, **o)),
)
fault("conv: 3-D first slice", "A volume's kernel is its first slice.", conv=only_in(3, first_slice))
fault(
    "conv: 3-D strides reversed",
    "A volume's strides are read in the order of (width, height, depth).",
    conv=only_in(3, conv_by(stride=back)),
)
fault(
    "conv: 3-D padding of depth",
    "A volume is not padded along its depth.",
    conv=only_in(3, padded_by(lambda x, p, _: zeros(x, [(0, 0), *p[1:]]))),
)


# -- gradients of a convolution
def gradients(place: int, change: Operation) -> Operation:
    """One of the gradients is changed: a function of the sound gradients' function and the call."""

    def broken(f: Operation, *args: Any, **options: Any) -> Any:
        found = list(f(*args, **options))
        if place < len(found):
            found[place] = change(f, *args, **options)
        return tuple(found)

    return broken


def of_input(change: Operation) -> Operation:
    return gradients(0, change)


def of_weight(change: Operation) -> Operation:
    return gradients(1, change)


def of_bias(change: Operation) -> Operation:
    return gradients(2, change)


def overwritten(f: Operation, grad: np.ndarray, x: np.ndarray, w: np.ndarray, *b: Any, **o: Any) -> Any:
    """Of the taps that see a pixel the last one wins."""
    return last_tap(lambda grad, w: f(grad, x, w, **o)[0], grad, w)


def last_tap(scatter: Operation, grad: np.ndarray, w: np.ndarray) -> Any:
    out = np.zeros_like(scatter(grad, w))
    for tap in np.ndindex(*w.shape[2:]):
        one = np.zeros_like(w)
        one[(..., *tap)] = w[(..., *tap)]
        out = np.where(scatter(np.ones_like(grad), (one != 0).astype(w.dtype)) > 0, scatter(grad, one), out)
    return out


def without(name: str, condition: Operation = lambda o: True) -> Operation:
    """The input's gradient forgets a keyword."""

    def change(f: Operation, grad: np.ndarray, x: np.ndarray, w: np.ndarray, *b: Any, **o: Any) -> Any:
        found = f(grad, x, w, *b, **o)[0]
        return _scatter(grad, w, found, {k: v for k, v in o.items() if k != name}) if name in o and condition(o) else found

    return change


def _scatter(grad: np.ndarray, w: np.ndarray, like: np.ndarray, o: dict[str, Any]) -> Any:
    """The transposed convolution of a gradient by these keywords, cut to a shape."""
    given = {k: v for k, v in o.items() if k != "padding"}
    whole = _conv_transpose(grad, w, **given)
    _, _, pairs, _ = options_of(grad.ndim - 2, o)
    return shaped(whole[(ALL, ALL, *(slice(before, None) for before, _ in pairs))], like.shape)


def each_group(change: Callable[[np.ndarray], np.ndarray]) -> Operation:
    """The input's gradient with the groups of the output's gradient changed."""
    return lambda f, grad, *a, **o: f(change(grad) if "groups" in o else grad, *a, **o)[0]


G = "conv_grad"
fault(f"{G}: overwritten", "The input's gradient of overlapping windows is overwritten, not added up.", conv_grad=of_input(overwritten))
fault(
    f"{G}: groups rolled",
    "The input's gradient mixes the groups.",
    conv_grad=of_input(lambda f, g, *a, **o: roll_groups(f(g, *a, **o)[0], o.get("groups", 1))),
)
fault(
    f"{G}: strided groups",
    "The input's gradient mixes the groups where there is a stride too.",
    conv_grad=of_input(lambda f, g, *a, **o: roll_groups(f(g, *a, **o)[0], o.get("groups", 1) if strided(o) else 1)),
)
fault(
    f"{G}: kernel flipped",
    "The input's gradient takes the kernel as it is, not flipped.",
    conv_grad=of_input(lambda f, g, x, w, *b, **o: f(g, x, flip(w), *b, **o)[0]),
)
fault(f"{G}: padding kept", "The input's gradient is that of the padded image, from its corner.", conv_grad=of_input(without("padding")))
fault(f"{G}: dilation forgotten", "The input's gradient forgets dilation.", conv_grad=of_input(without("dilation")))
fault(
    f"{G}: strided dilation",
    "The input's gradient forgets dilation where there is a stride too.",
    conv_grad=of_input(without("dilation", strided)),
)
fault(f"{G}: stride forgotten", "The input's gradient forgets the stride.", conv_grad=of_input(without("stride")))


def short_gradient(f: Operation, grad: np.ndarray, x: np.ndarray, w: np.ndarray, *b: Any, **o: Any) -> Any:
    stride, dilation, pairs, _ = options_of(x.ndim - 2, o)
    found = f(grad, x, w, *b, **o)[0]
    ends = [(n - 1) * s + d * (k - 1) + 1 - p[0] for n, s, d, k, p in zip(grad.shape[2:], stride, dilation, w.shape[2:], pairs)]
    return found[(ALL, ALL, *(slice(max(min(end, size), 1)) for end, size in zip(ends, x.shape[2:])))]


fault(f"{G}: pixels behind", "The input's gradient lacks the pixels behind the last window.", conv_grad=of_input(short_gradient))
fault(
    f"{G}: channels beyond 32",
    "The input's gradient is summed over 32 output channels.",
    conv_grad=of_input(
        lambda f, g, x, w, *b, **o: f(np.where(column(np.arange(g.shape[1]) < 32, x.ndim - 2), g, 0).astype(g.dtype), x, w, *b, **o)[0]
    ),
)
fault(
    f"{G}: weight's groups",
    "The weight's gradient pairs a group's outputs with another group's channels.",
    conv_grad=of_weight(lambda f, g, x, *a, **o: f(g, roll_groups(x, o.get("groups", 1)), *a, **o)[1]),
)
fault(
    f"{G}: strided depthwise weight",
    "The weight's gradient of a strided depthwise convolution is that of the first group.",
    conv_grad=of_weight(
        lambda f, g, x, w, *b, **o: (
            np.repeat((d := f(g, x, w, *b, **o)[1])[:1], len(d), 0)
            if strided(o) and w.shape[1] == 1 and "groups" in o
            else f(g, x, w, *b, **o)[1]
        )
    ),
)


def spread_weight(f: Operation, grad: np.ndarray, x: np.ndarray, w: np.ndarray, *b: Any, **o: Any) -> Any:
    """Strides and dilation swapped, as where the gradient is written as a convolution and the two aren't exchanged."""
    stride, dilation, pairs, groups = options_of(x.ndim - 2, o)
    found = f(grad, x, w, *b, **o)[1]
    if groups > 1 or stride == dilation:
        return found
    wide = np.moveaxis(zeros(x, pairs), 0, 1)
    try:
        y = conv(wide, np.moveaxis(grad, 0, 1), stride=stride, dilation=dilation)
    except ValueError:
        return found
    return shaped(np.moveaxis(y, 0, 1), found.shape)


fault(f"{G}: weight's stride and dilation", "The weight's gradient swaps stride and dilation.", conv_grad=of_weight(spread_weight))
fault(
    f"{G}: last image's weight",
    "The weight's gradient is that of the last image.",
    conv_grad=of_weight(lambda f, g, x, *a, **o: f(g[-1:], x[-1:], *a, **o)[1]),
)
fault(
    f"{G}: mean weight",
    "The weight's gradient is the mean over the images.",
    conv_grad=of_weight(lambda f, g, *a, **o: f(g, *a, **o)[1] / g.dtype.type(max(len(g), 1))),
)
fault(f"{G}: weight flipped", "The weight's gradient comes out flipped.", conv_grad=of_weight(lambda f, *a, **o: flip(f(*a, **o)[1])))
fault(
    f"{G}: weight without padding",
    "The weight's gradient reads the image's edge where there is padding.",
    conv_grad=of_weight(
        lambda f, g, x, w, *b, **o: f(
            g, zeros(x, options_of(x.ndim - 2, o)[2], mode="edge"), w, *b, **{k: v for k, v in o.items() if k != "padding"}
        )[1]
    ),
)
fault(
    f"{G}: weight's last column",
    "The weight's gradient leaves out the last column of outputs where the stride leaves a rest.",
    conv_grad=of_weight(lambda f, g, x, w, *b, **o: f(_last_column_out(g, x, w, o), x, w, *b, **o)[1]),
)


def _last_column_out(grad: np.ndarray, x: np.ndarray, w: np.ndarray, o: dict[str, Any]) -> np.ndarray:
    stride, dilation, pairs, _ = options_of(x.ndim - 2, o)
    grad = grad.copy()
    if (x.shape[-1] + sum(pairs[-1]) - dilation[-1] * (w.shape[-1] - 1) - 1) % stride[-1]:
        grad[..., -1] = 0
    return grad


fault(
    f"{G}: weight beyond 32",
    "The weight's gradient is left at 0 beyond 32 output channels.",
    conv_grad=of_weight(lambda f, *a, **o: only_first(32, 0)(lambda *a, **o: f(*a, **o)[1], *a, **o)),
)
fault(
    f"{G}: first image's bias",
    "The bias's gradient is that of the first image.",
    conv_grad=of_bias(lambda f, g, *a, **o: g[:1].sum(places(g))),
)
fault(f"{G}: mean bias", "The bias's gradient is a mean over the places.", conv_grad=of_bias(lambda f, g, *a, **o: g.mean(places(g))))
fault(
    f"{G}: bias of a row",
    "The bias's gradient is summed over the last axis alone.",
    conv_grad=of_bias(lambda f, g, *a, **o: g.sum((0, g.ndim - 1)).reshape(g.shape[1], -1)[:, 0]),
)
fault(
    f"{G}: gradient misread",
    "A gradient that is not contiguous is read as if it were.",
    conv_grad=lambda f, g, *a, **o: f(g.ravel("K").reshape(g.shape), *a, **o),
)
fault(
    f"{G}: empty weights",
    "The weight's gradient of no images is not set.",
    conv_grad=of_weight(lambda f, g, *a, **o: f(g, *a, **o)[1] + (len(g) == 0)),
)
fault(f"{G}: gradient in float32", "Gradients of float64 are computed in float32.", conv_grad=lambda f, *a, **o: _as(F32, f, a, o))


def _as(kind: Any, f: Operation, args: Any, options: Any) -> Any:
    """A call in another type, its result cast back."""
    wide = args[0].dtype
    found = f(*(a.astype(kind) if isinstance(a, np.ndarray) else a for a in args), **options)
    return tuple(a.astype(wide) for a in found) if isinstance(found, tuple) else found.astype(wide)


# -- transposed convolution
T = "conv_transpose"
fault(f"{T}: kernel flipped", "The kernel is flipped.", conv_transpose=lambda f, x, w, *b, **o: f(x, flip(w), *b, **o))
fault(
    f"{T}: groups mixed",
    "The groups of the output are rolled.",
    conv_transpose=lambda f, x, w, *b, **o: roll_groups(f(x, w, *b, **o), o.get("groups", 1)),
)


def spare_in_front(f: Operation, x: np.ndarray, w: np.ndarray, *b: Any, **o: Any) -> Any:
    y = f(x, w, *b, **o)
    return np.roll(y, tuple(np.ravel(tuples(x.ndim - 2, o.get("output_padding", 0))).tolist()), tuple(range(2, x.ndim)))


def spare_zero(f: Operation, x: np.ndarray, w: np.ndarray, *b: Any, **o: Any) -> Any:
    return shaped(f(x, w, *b, **{k: v for k, v in o.items() if k != "output_padding"}), f(x, w, *b, **o).shape)


def spare_beyond_lost(f: Operation, x: np.ndarray, w: np.ndarray, *b: Any, **o: Any) -> Any:
    """Where there is more output padding than a stride, as dilation allows, the last places are lost."""
    y = f(x, w, *b, **o)
    stride, spare = tuples(x.ndim - 2, o.get("stride", 1), o.get("output_padding", 0))
    if any(more >= step for more, step in zip(spare, stride)):
        y[..., -1] = 0
    return y


fault(f"{T}: output padding of a stride", "Output padding of a stride or more is zeros.", conv_transpose=spare_beyond_lost)
fault(f"{T}: output padding in front", "The output padding goes in front.", conv_transpose=spare_in_front)
fault(f"{T}: output padding zero", "The output padding is zeros, though windows reach it, and has no bias.", conv_transpose=spare_zero)
fault(
    f"{T}: no output padding",
    "The output padding is forgotten.",
    conv_transpose=lambda f, x, w, *b, **o: f(x, w, *b, **{k: v for k, v in o.items() if k != "output_padding"}),
)


def transposed_overwrites(f: Operation, x: np.ndarray, w: np.ndarray, b: Any = None, **o: Any) -> Any:
    y = last_tap(lambda x, w: f(x, w, **o), x, w)
    return y if b is None else y + column(b, x.ndim - 2)


fault(f"{T}: overwritten", "Where kernels overlap the last one wins.", conv_transpose=transposed_overwrites)


def transposed_by(**change: Operation) -> Operation:
    """Keywords misread, the result cut to the right shape."""

    def broken(f: Operation, x: np.ndarray, w: np.ndarray, *b: Any, **o: Any) -> Any:
        y = f(x, w, *b, **o)
        try:
            return shaped(f(x, w, *b, **o | {name: value(o[name]) for name, value in change.items() if name in o}), y.shape)
        except ValueError:
            return y

    return broken


fault(f"{T}: dilation forgotten", "Dilation is forgotten.", conv_transpose=transposed_by(dilation=lambda v: (1,) * len(v)))
fault(
    f"{T}: size without dilation",
    "The output's size is computed without dilation.",
    conv_transpose=lambda f, x, w, *b, **o: (y := f(x, w, *b, **o))[
        ..., : max(y.shape[-1] - (tuples(x.ndim - 2, o.get("dilation", 1))[0][-1] - 1) * (w.shape[-1] - 1), 1)
    ],
)
fault(f"{T}: strides reversed", "Strides are read in the order of (width, height).", conv_transpose=transposed_by(stride=back))
fault(
    f"{T}: padding forgotten",
    "Padding is cut off behind, not on both sides.",
    conv_transpose=transposed_by(padding=lambda v: (0,) * len(v)),
)
fault(
    f"{T}: channels beyond 32",
    "Input channels beyond the 32nd are not read.",
    ("conv",),
    conv_transpose=lambda f, x, w, *b, **o: f(x[:, :32], w[:32], *b, **o) if "groups" not in o else f(x, w, *b, **o),
)
fault(
    f"{T}: sizes of 16 bits", "Sizes are kept in 16 bits.", conv_transpose=lambda f, *a, **o: (y := f(*a, **o))[..., : y.shape[-1] % 65536]
)
fault(
    f"{T}: bias of its input",
    "Only outputs that a kernel reaches get the bias.",
    conv_transpose=lambda f, x, w, b=None, **o: (
        (y := f(x, w, **o)) + (0 if b is None else column(b, x.ndim - 2) * (f(np.ones_like(x), np.ones_like(w), **o) != 0)).astype(y.dtype)
        if b is not None
        else f(x, w, **o)
    ),
)
fault(f"{T}: stride 0", "A stride of 0 counts as 1.", conv_transpose=lambda f, *a, **o: f(*a, **zero_as_one(o, "stride")))
fault(
    f"{T}: more channels", "A kernel of too many channels is cut.", conv_transpose=lambda f, x, w, *b, **o: f(x, w[: x.shape[1]], *b, **o)
)
fault(
    f"{T}_grad: weight flipped",
    "The weight's gradient comes out flipped.",
    conv_transpose_grad=of_weight(lambda f, *a, **o: flip(f(*a, **o)[1])),
)
fault(
    f"{T}_grad: groups mixed",
    "The input's gradient mixes the groups.",
    conv_transpose_grad=of_input(lambda f, *a, **o: roll_groups(f(*a, **o)[0], o.get("groups", 1))),
)
fault(
    f"{T}_grad: strided weight",
    "The weight's gradient forgets dilation where there is a stride.",
    conv_transpose_grad=of_weight(lambda f, g, x, w, **o: f(g, x, w, **o)[1] * (1 + (strided(o) and "dilation" in o))),
)


# -- maximum pooling
M = "max_pool"


def padded_maxima(value: float) -> Operation:
    """Padding takes part, as this number."""

    def broken(f: Operation, x: np.ndarray, kernel_size: Any, **o: Any) -> Any:
        y = f(x, kernel_size, **o)
        return np.where(_taps(x, kernel_size, **o) | np.isneginf(y), y, np.maximum(y, x.dtype.type(value))).astype(x.dtype)

    return broken


def _taps(x: np.ndarray, kernel_size: Any, **o: Any) -> np.ndarray:
    """Whether all taps of each window meet data."""
    g = PoolGeometry.of(x.shape, kernel_size, **o)
    whole = np.ones(g.outputs, bool)
    for place in np.ndindex(*g.outputs):
        whole[place] = all(len(axis.window(o)[1]) == axis.kernel for axis, o in zip(g.axes, place))
    return whole


def pooled_by(**change: Operation) -> Operation:
    """A pooling whose keywords are misread, its result cut to the right shape."""

    def broken(f: Operation, x: np.ndarray, kernel_size: Any, **o: Any) -> Any:
        y = f(x, kernel_size, **o)
        wrong = o | {name: value(o[name]) for name, value in change.items() if name in o}
        if max(x.shape) > 10_000:
            return y  # the other way round a long row has too many windows
        try:
            return shaped(f(x, kernel_size, **wrong), y.shape)
        except ValueError:
            return y

    return broken


fault(f"{M}: padding is 0", "Padding counts as 0: windows of negative pixels give 0.", max_pool=padded_maxima(0))
fault(
    f"{M}: empty windows are 0",
    "A window in padding gives 0.",
    max_pool=lambda f, *a, **o: np.where(np.isneginf(y := f(*a, **o)), y.dtype.type(0), y),
)
fault(
    f"{M}: empty windows are the least",
    "A window in padding gives the least finite number.",
    max_pool=lambda f, *a, **o: np.where(np.isneginf(y := f(*a, **o)), np.finfo(y.dtype).min, y),
)


def nan_lost(f: Operation, x: np.ndarray, *a: Any, **o: Any) -> Any:
    return f(np.where(np.isnan(x), x.dtype.type(-np.inf), x), *a, **o)


def nan_spreads(f: Operation, x: np.ndarray, *a: Any, **o: Any) -> Any:
    y = f(x, *a, **o)
    return np.where(np.isnan(x).any(tuple(range(2, x.ndim)), keepdims=True), y.dtype.type(np.nan), y)


def nan_first(f: Operation, x: np.ndarray, kernel_size: Any, **o: Any) -> Any:
    """NaN wins if it stands first: what follows is compared by >, which it loses."""
    lost = nan_lost(f, x, kernel_size, **o)
    g = PoolGeometry.of(x.shape, kernel_size, **o)
    for place in np.ndindex(*g.outputs):
        cell = tuple(start + taps[0][1] for start, taps in (axis.window(n) for axis, n in zip(g.axes, place)) if taps)
        if len(cell) == len(g.axes):
            lost[(..., *place)] = np.where(np.isnan(x[(..., *cell)]), x.dtype.type(np.nan), lost[(..., *place)])
    return lost


fault(f"{M}: NaN lost", "NaN is never the maximum.", max_pool=nan_lost)
fault(f"{M}: NaN spreads", "One NaN makes all of its channel NaN.", max_pool=nan_spreads)
fault(f"{M}: NaN at the start", "NaN is the maximum only if it stands first.", max_pool=nan_first)
fault(f"{M}: dilation forgotten", "Dilation is forgotten.", max_pool=pooled_by(dilation=lambda v: (1,) * len(v)))
fault(f"{M}: dilation reversed", "Dilation is read in the order of (width, height).", max_pool=pooled_by(dilation=back))
fault(f"{M}: strides reversed", "Strides are read in the order of (width, height).", max_pool=pooled_by(stride=back))
fault(f"{M}: padding reversed", "Padding is read in the order of (width, height).", max_pool=pooled_by(padding=back))
fault(
    f"{M}: stride 1",
    "The stride is 1 where none is given, not the window's size.",
    max_pool=lambda f, x, k, **o: f(x, k, **{"stride": (1,) * len(k)} | o),
)


def reversed_window(f: Operation, x: np.ndarray, kernel_size: Any, **o: Any) -> Any:
    y = f(x, kernel_size, **o)
    try:
        return shaped(f(x, kernel_size[::-1], **{"stride": kernel_size} | o), y.shape)
    except ValueError:
        return y


fault(f"{M}: windows reversed", "Windows are read in the order of (width, height).", max_pool=reversed_window)


def floored(f: Operation, x: np.ndarray, kernel_size: Any, **o: Any) -> Any:
    return f(x, kernel_size, **{k: v for k, v in o.items() if k != "ceil_mode"})


def always_one_more(fill: float) -> Operation:
    """ceil_mode keeps a window that starts behind the image."""

    def broken(f: Operation, x: np.ndarray, kernel_size: Any, **o: Any) -> Any:
        y = f(x, kernel_size, **o)
        if not o.get("ceil_mode"):
            return y
        g = PoolGeometry.of(x.shape, kernel_size, **o)
        more = [-(-(axis.padded - axis.extent) // axis.stride) + 1 for axis in g.axes]
        out = np.full((*y.shape[:2], *more), fill, y.dtype)
        out[tuple(slice(size) for size in y.shape)] = y
        return out

    return broken


fault(f"{M}: ceil_mode ignored", "ceil_mode is ignored.", max_pool=floored)
fault(
    f"{M}: window behind the image",
    "ceil_mode keeps a window that starts in the padding behind the image.",
    max_pool=always_one_more(-np.inf),
)
fault(f"{M}: stride 0", "A stride of 0 counts as 1.", max_pool=lambda f, x, k, **o: f(x, k, **zero_as_one(o, "stride")))
fault(f"{M}: no pixels", "A window of 0 pixels counts as one of 1.", max_pool=lambda f, x, k, **o: f(x, tuple(max(n, 1) for n in k), **o))
fault(
    f"{M}: larger window",
    "A window beyond the image is cut to it.",
    max_pool=lambda f, x, k, **o: f(
        x, tuple(min(n, s + 2 * p) for n, s, p in zip(k, x.shape[2:], tuples(len(k), o.get("padding", 0))[0])), **o
    ),
)
fault(
    f"{M}: channels mixed",
    "A channel gets the maximum of it and the one before.",
    max_pool=lambda f, x, *a, **o: f(np.maximum(x, np.roll(x, 1, 1)), *a, **o),
)
fault(f"{M}: channels beyond 32", "Channels beyond the 32nd are left at 0.", max_pool=only_first(32, 1))
fault(
    f"{M}: images mixed",
    "An image gets the maximum of it and the one before.",
    max_pool=lambda f, x, *a, **o: f(np.maximum(x, np.roll(x, 1, 0)), *a, **o),
)
fault(f"{M}: images beyond 32", "Images beyond the 32nd are left at 0.", max_pool=only_first(32, 0))


def pool_sizes(make: Operation) -> Operation:
    def broken(f: Operation, x: np.ndarray, kernel_size: Any, **o: Any) -> Any:
        y = f(x, kernel_size, **o)
        axis = PoolGeometry.of(
            x.shape, kernel_size, **{k: v for k, v in o.items() if k in ("stride", "padding", "dilation", "ceil_mode")}
        ).axes[-1]
        return y if axis.ceil else shaped(y, (*y.shape[:-1], max(int(make(axis.padded - axis.extent, axis.stride)), 0)))

    return broken


for family in ("max_pool", "avg_pool"):
    fault(
        f"{family}: sizes of 16 bits", "Sizes are kept in 16 bits.", **{family: pool_sizes(lambda room, stride: room % 65536 // stride + 1)}
    )
    fault(
        f"{family}: sizes by reciprocals",
        "The output's size is computed by a product with 1 / stride in float32.",
        **{family: pool_sizes(lambda room, stride: F32(room) * (F32(1) / F32(stride)) + F32(1))},
    )
    fault(
        f"{family}: columns beyond 64",
        "Columns of the output beyond the 64th are left at 0.",
        **{family: lambda f, x, *a, **o: only_first(64, x.ndim - 1)(f, x, *a, **o)},
    )


def indices(change: Callable[[np.ndarray, np.ndarray, PoolGeometry], np.ndarray]) -> Operation:
    """The places are changed: a function of them, the image and the geometry."""

    def broken(f: Operation, x: np.ndarray, kernel_size: Any, **o: Any) -> Any:
        y, where = f(x, kernel_size, **o)
        return y, change(where, x, PoolGeometry.of(x.shape, kernel_size, **o))

    return broken


def at(where: np.ndarray, g: PoolGeometry) -> list[np.ndarray]:
    """The places along each axis."""
    return list(np.unravel_index(np.maximum(where, 0), g.sizes))


def in_padded(where: np.ndarray, x: np.ndarray, g: PoolGeometry) -> np.ndarray:
    moved = [a + axis.before for a, axis in zip(at(where, g), g.axes)]
    return np.ravel_multi_index(moved, tuple(axis.padded for axis in g.axes))


def padded_column(where: np.ndarray, x: np.ndarray, g: PoolGeometry) -> np.ndarray:
    return where + g.axes[-1].before


def in_window(where: np.ndarray, x: np.ndarray, g: PoolGeometry) -> np.ndarray:
    starts = np.meshgrid(*(np.arange(axis.outputs) * axis.stride - axis.before for axis in g.axes), indexing="ij")
    moved = [(a - start) // axis.dilation for a, start, axis in zip(at(where, g), starts, g.axes)]
    return np.ravel_multi_index(moved, g.kernel)


def by_height(where: np.ndarray, x: np.ndarray, g: PoolGeometry) -> np.ndarray:
    places, row = at(where, g), g.sizes[-2] if len(g.sizes) > 1 else g.sizes[-1]
    return functools.reduce(lambda flat, a: flat * row + a, places[1:], places[0])


def summed_ties(where: np.ndarray, x: np.ndarray, g: PoolGeometry) -> np.ndarray:
    out = where.copy()
    for place in np.ndindex(*g.outputs):
        seen = [[start + shift for _, shift in taps] for start, taps in (axis.window(o) for o, axis in zip(place, g.axes))]
        cells = list(itertools.product(*seen))
        if cells:
            values = np.stack([x[(..., *cell)] for cell in cells])
            flat = np.array([np.ravel_multi_index(cell, g.sizes) for cell in cells]).reshape(-1, 1, 1)
            out[(..., *place)] = ((values == values.max(0)) * flat).sum(0)
    return out


I = "max_pool_with_indices"
fault(f"{I}: padded image", "Indices are places in the padded image.", max_pool_with_indices=indices(in_padded))
fault(f"{I}: padded column", "Indices count the padding in front of a row.", max_pool_with_indices=indices(padded_column))
fault(f"{I}: within the window", "Indices are places in the window.", max_pool_with_indices=indices(in_window))
fault(f"{I}: height for width", "Indices take the height for the width.", max_pool_with_indices=indices(by_height))
fault(f"{I}: ties summed", "Of equal maxima the index is the sum of theirs.", max_pool_with_indices=indices(summed_ties))
fault(f"{I}: 8 bits", "Indices are kept in 8 bits.", max_pool_with_indices=indices(lambda where, x, g: where % 256))
fault(
    f"{I}: dilation forgotten",
    "Indices forget dilation.",
    max_pool_with_indices=indices(lambda where, x, g: where - (in_window(where, x, g) > 0) * (g.axes[-1].dilation - 1)),
)


def max_scattered(adds: bool = True, ties: bool = False, last: bool = False, by_column: bool = False) -> Operation:
    """The gradient of a maximum pooling, window by window, to the first of equal maxima."""

    def broken(f: Operation, grad: np.ndarray, x: np.ndarray, kernel_size: Any, **o: Any) -> Any:
        g, dx = PoolGeometry.of(x.shape, kernel_size, **o), np.zeros(x.shape, grad.dtype)
        for place in np.ndindex(*g.outputs):
            seen = [[start + shift for _, shift in taps] for start, taps in (axis.window(n) for n, axis in zip(place, g.axes))]
            left = np.ones(x.shape[:2], bool)
            best = max_in(x, cells := list(itertools.product(*seen)))
            for cell in sorted(cells, key=lambda cell: cell[::-1] if by_column else cell, reverse=last):
                wins = (x[(..., *cell)] == best) & left
                left &= ~wins | ties
                dx[(..., *cell)] = np.where(wins, grad[(..., *place)] + dx[(..., *cell)] * adds, dx[(..., *cell)])
        return dx

    return broken


def max_in(x: np.ndarray, cells: list[tuple[int, ...]]) -> Any:
    return np.max([x[(..., *cell)] for cell in cells], 0) if cells else 0


def to_the_first(f: Operation, grad: np.ndarray, x: np.ndarray, kernel_size: Any, **o: Any) -> Any:
    falling = -np.arange(math.prod(x.shape[2:]), dtype=x.dtype).reshape(x.shape[2:]) + np.zeros_like(x)
    return f(grad, falling, kernel_size, **o)


fault(
    f"{M}_grad: overwritten", "The gradient of overlapping windows is overwritten, not added up.", max_pool_grad=max_scattered(adds=False)
)
fault(f"{M}_grad: all ties", "All equal maxima get the whole gradient.", max_pool_grad=max_scattered(ties=True))
fault(
    f"{M}_grad: last of equals",
    "Of equal maxima the last gets the gradient.",
    ("max_pool_with_indices",),
    max_pool_grad=max_scattered(last=True),
)
fault(
    f"{M}_grad: first column",
    "Of equal maxima the one in the first column gets the gradient.",
    ("max_pool_with_indices",),
    max_pool_grad=max_scattered(by_column=True),
)
fault(f"{M}_grad: first pixel", "The gradient goes to the first pixel of a window.", max_pool_grad=to_the_first)
fault(f"{M}_grad: channels mixed", "The gradient goes to the channel before.", max_pool_grad=lambda f, *a, **o: np.roll(f(*a, **o), 1, 1))
fault(
    f"{M}_grad: dilation forgotten",
    "The gradient forgets dilation.",
    max_pool_grad=lambda f, g, x, k, **o: _gradient_without(f, g, x, k, o),
)


def _gradient_without(f: Operation, grad: np.ndarray, x: np.ndarray, kernel_size: Any, o: dict[str, Any]) -> Any:
    wrong = {k: v for k, v in o.items() if k != "dilation"}
    return f(shaped(grad, (*x.shape[:2], *PoolGeometry.of(x.shape, kernel_size, **wrong).outputs)), x, kernel_size, **wrong)


# -- average pooling
A = "avg_pool"


def fault_in_divisor(name: str, sentence: str, divisor: Callable[[Window, bool, int | None], float]) -> None:
    fault(f"{A}: {name}", sentence, avg_pool=lambda f, *a, **o: averages(divisor)(*a, **o))
    fault(
        f"{A}_grad: {name}",
        f"In the gradient: {sentence[0].lower()}{sentence[1:]}",
        avg_pool_grad=lambda f, *a, **o: shares(divisor)(*a, **o),
    )


fault_in_divisor(
    "full window",
    "A window that sticks out is divided by the whole window's size.",
    lambda w, counted, over: over or (w.full if counted else len(w.cells)),
)
fault_in_divisor("never counted", "Padding never counts.", lambda w, counted, over: over or len(w.cells))
fault_in_divisor("always counted", "Padding always counts.", lambda w, counted, over: over or w.padded)
fault_in_divisor(
    "override forgotten",
    "divisor_override is forgotten where padding isn't counted.",
    lambda w, counted, over: divided_by(w, counted, over if counted else None),
)
fault_in_divisor(
    "override at the edge",
    "divisor_override holds for whole windows only.",
    lambda w, counted, over: divided_by(w, counted, over if len(w.cells) == w.full else None),
)
fault_in_divisor(
    "counted once",
    "Counted padding counts on one side only.",
    lambda w, counted, over: over or ((w.padded + len(w.cells) + 1) // 2 if counted else len(w.cells)),
)
fault(f"{A}: ceil_mode ignored", "ceil_mode is ignored.", avg_pool=floored)


def one_more_average(f: Operation, x: np.ndarray, kernel_size: Any, **o: Any) -> Any:
    rest = {k: v for k, v in o.items() if k in ("stride", "padding", "ceil_mode")}
    y = f(x, kernel_size, **o)
    wide = always_one_more(0)(max_pool, x, kernel_size, **rest)
    return shaped(y, wide.shape)


fault(f"{A}: window behind the image", "ceil_mode keeps a window that starts in the padding behind the image.", avg_pool=one_more_average)
fault(f"{A}: strides reversed", "Strides are read in the order of (width, height).", avg_pool=pooled_by(stride=back))
fault(f"{A}: padding reversed", "Padding is read in the order of (width, height).", avg_pool=pooled_by(padding=back))
fault(f"{A}: padding forgotten", "Padding is forgotten.", avg_pool=pooled_by(padding=lambda v: (0,) * len(v)))
fault(f"{A}: overflow", "float16 is summed in float16.", avg_pool=lambda f, *a, **o: averages(total=F16)(*a, **o))
fault(f"{A}: NaN as zero", "A pixel that is NaN counts as 0.", avg_pool=lambda f, x, *a, **o: f(np.nan_to_num(x, nan=0.0), *a, **o))
fault(
    f"{A}: channels mixed",
    "A channel gets a share of the one before it.",
    avg_pool=lambda f, x, *a, **o: f(x + np.roll(x, 1, 1) * (x.shape[1] > 1), *a, **o),
)
fault(f"{A}: channels beyond 32", "Channels beyond the 32nd are left at 0.", avg_pool=only_first(32, 1))
fault(f"{A}: tail of channels", "Channels that fill no block of 8 are left at 0, once there are 16.", avg_pool=whole_blocks(16, 1, 8))
fault(
    f"{A}: images mixed",
    "An image gets a share of the one before it.",
    avg_pool=lambda f, x, *a, **o: f(x + np.roll(x, 1, 0) * (len(x) > 1), *a, **o),
)
fault(f"{A}: images beyond 32", "Images beyond the 32nd are left at 0.", avg_pool=only_first(32, 0))
fault(f"{A}: stride 0", "A stride of 0 counts as 1.", avg_pool=lambda f, x, k, **o: f(x, k, **zero_as_one(o, "stride")))
fault(
    f"{A}_grad: overwritten",
    "The gradient of overlapping windows is overwritten, not added up.",
    avg_pool_grad=lambda f, *a, **o: shares(adds=False)(*a, **o),
)
fault(f"{A}_grad: channels mixed", "The gradient goes to the channel before.", avg_pool_grad=lambda f, *a, **o: np.roll(f(*a, **o), 1, 1))


# -- adaptive pooling
def floored_ends(x: np.ndarray, output_size: Any) -> Any:
    for place in np.ndindex(*output_size):
        yield (
            place,
            tuple(slice(s := o * size // n, max((o + 1) * size // n, s + 1)) for o, size, n in zip(place, x.shape[2:], output_size)),
        )


def even_windows(x: np.ndarray, output_size: Any) -> Any:
    """One stride and one size of windows for all."""
    stride = [max(size // n, 1) for size, n in zip(x.shape[2:], output_size)]
    kernel = [max(size - (n - 1) * s, 1) for size, n, s in zip(x.shape[2:], output_size, stride)]
    for place in np.ndindex(*output_size):
        starts = [min(o * s, size - 1) for o, s, size in zip(place, stride, x.shape[2:])]
        yield place, tuple(slice(a, a + k) for a, k in zip(starts, kernel))


def float_windows(x: np.ndarray, output_size: Any) -> Any:
    for place in np.ndindex(*output_size):
        scales = [F32(1) / F32(n) for n in output_size]
        spans = [(int(F32(o * size) * s), math.ceil(F32((o + 1) * size) * s)) for o, s, size in zip(place, scales, x.shape[2:])]
        yield place, tuple(slice(min(a, size - 1), max(b, a + 1)) for (a, b), size in zip(spans, x.shape[2:]))


def shared(count: Callable[[tuple[slice, ...], np.ndarray, Any], float], adds: bool = True) -> Operation:
    """The gradient of an adaptive average pooling, divided by ``count`` of the window."""

    def broken(f: Operation, grad: np.ndarray, x: np.ndarray, output_size: Any) -> Any:
        dx = np.zeros(x.shape, grad.dtype)
        for place, window in adaptive_windows(x, output_size):
            share = grad[(..., *place)] / grad.dtype.type(count(window, x, output_size))
            dx[(..., *window)] = share.reshape(*share.shape, *(1,) * len(window)) + dx[(..., *window)] * adds
        return dx

    return broken


def area(window: tuple[slice, ...], *_: Any) -> int:
    return math.prod(s.stop - s.start for s in window)


for kind, reduce in (("avg", np.mean), ("max", np.max)):
    D = f"adaptive_{kind}_pool"
    for label, sentence, seen in (
        ("ends floored", "The end of a window is rounded down.", floored_ends),
        ("even windows", "All windows have one size and one stride.", even_windows),
        ("float windows", "The bounds of windows are computed by a product with 1 / outputs in float32.", float_windows),
    ):
        fault(f"{D}: {label}", sentence, **{D: lambda f, *a, reduce=reduce, seen=seen: adaptively(reduce, seen)(*a)})
    fault(
        f"{D}: sizes reversed",
        "The output's size is read as (width, height).",
        **{D: lambda f, x, size: shaped(f(x, tuple(size)[::-1]), (*x.shape[:2], *size))},
    )
    fault(
        f"{D}: 1-D of 2",
        "A signal is halved whatever its output's size.",
        **{D: only_in(1, lambda f, x, size, reduce=reduce: shaped(f(x, (-(-x.shape[2] // 2),)), (*x.shape[:2], *size)))},
    )
D = "adaptive_avg_pool"
fault(
    f"{D}_grad: one divisor",
    "The gradient is divided by size / outputs, whatever the window.",
    adaptive_avg_pool_grad=shared(lambda window, x, size: math.prod(x.shape[2:]) / math.prod(size)),
)
fault(
    f"{D}_grad: overwritten",
    "The gradient of overlapping windows is overwritten, not added up.",
    adaptive_avg_pool_grad=shared(area, adds=False),
)
D = "adaptive_max_pool"
fault(
    f"{D}_grad: overwritten",
    "The gradient of overlapping windows is overwritten, not added up.",
    adaptive_max_pool_grad=lambda f, *a: f(*a, adds=False),
)
fault(f"{D}_grad: channels mixed", "The gradient goes to the channel before.", adaptive_max_pool_grad=lambda f, *a: np.roll(f(*a), 1, 1))


# -- padding and normalisation
fault(
    "pad: axes reversed",
    "The first pair is read as that of the first axis.",
    pad=lambda f, x, pads, mode: f(x, tuple(n for pair in widths(x, pads)[2:] for n in pair), mode),
)
fault(
    "pad: sides swapped",
    "Before and after are taken for each other.",
    pad=lambda f, x, pads, mode: f(x, tuple(pads[i ^ 1] for i in range(len(pads))), mode),
)
fault(
    "pad: reflects the edge",
    "Reflection repeats the pixel at the edge.",
    pad=lambda f, x, pads, mode: np.pad(x, widths(x, pads), mode="symmetric") if mode == "reflect" else f(x, pads, mode),
)
fault(
    "pad: replicates zeros",
    "Replication pads with zeros.",
    pad=lambda f, x, pads, mode: f(x, pads, "constant" if mode == "replicate" else mode),
)
fault(
    "pad: circle off by one",
    "A circle repeats the edge before it goes round.",
    pad=lambda f, x, pads, mode: np.pad(x, widths(x, pads), mode="symmetric") if mode == "circular" else f(x, pads, mode),
)
fault(
    "pad_grad: overwritten",
    "The gradient of a pixel that is repeated is overwritten, not added up.",
    pad_grad=lambda f, *a, **o: f(*a, **o, adds=False),
)
fault("pad_grad: middle", "The gradient of what was padded is lost.", pad_grad=lambda f, g, x, pads, mode: f(g, x, pads, "constant"))

fault(
    "batch_norm: unbiased",
    "The variance is over one less than the number.",
    batch_norm=lambda f, x, eps: normalised(x, eps, places(x), ddof=int(x[:, 0].size > 1)).astype(x.dtype),
)
fault(
    "batch_norm: each image",
    "Each image has statistics of its own.",
    batch_norm=lambda f, x, eps: normalised(x, eps, tuple(range(2, x.ndim))).astype(x.dtype),
)
fault(
    "batch_norm: all channels",
    "All channels have one mean and one variance.",
    batch_norm=lambda f, x, eps: normalised(x, eps, tuple(range(x.ndim))).astype(x.dtype),
)
fault(
    "batch_norm: eps outside",
    "eps is added to the deviation, not to the variance.",
    batch_norm=lambda f, x, eps: (
        (m := x.astype(F64) - x.astype(F64).mean(places(x), keepdims=True)) / (m.std(places(x), keepdims=True) + eps)
    ).astype(x.dtype),
)


def of_squares(f: Operation, x: np.ndarray, eps: float) -> Any:
    axes = places(x)
    mean = x.mean(axes, keepdims=True)
    return ((x - mean) / np.sqrt(np.maximum((x * x).mean(axes, keepdims=True) - mean * mean, 0) + x.dtype.type(eps))).astype(x.dtype)


fault(
    "batch_norm: mean of squares", "The variance is the mean of the squares less the square of the mean, in float32.", batch_norm=of_squares
)
fault(
    "batch_norm_grad: constant statistics",
    "The gradient takes mean and variance for constants.",
    batch_norm_grad=lambda f, g, x, eps: f(g, x, eps=eps, mean=False, variance=False),
)
fault(
    "batch_norm_grad: constant variance",
    "The gradient takes the variance for a constant.",
    batch_norm_grad=lambda f, g, x, eps: f(g, x, eps=eps, variance=False),
)


# -- what shows in large arrays alone
def columns(count: int) -> Operation:
    """Columns of the result beyond so many are left at 0."""
    return lambda f, *args, **options: only_first(count, args[0].ndim - 1)(f, *args, **options)


fault(f"{T}: columns beyond 64", "Columns of the output beyond the 64th are left at 0.", ("conv",), conv_transpose=columns(64))
for op in ("adaptive_avg_pool", "adaptive_max_pool", "pad", "batch_norm"):
    fault(f"{op}: columns beyond 64", "Columns of the output beyond the 64th are left at 0.", **{op: columns(64)})
for op in ("max_pool_grad", "avg_pool_grad", "adaptive_avg_pool_grad"):
    fault(f"{op}: columns beyond 64", "Columns of the input's gradient beyond the 64th are left at 0.", **{op: columns(64)})
for op in ("max_pool_grad", "avg_pool_grad", "adaptive_avg_pool", "batch_norm"):
    fault(f"{op}: channels beyond 32", "Channels beyond the 32nd are left at 0.", **{op: only_first(32, 1)})
fault(
    f"{G}: columns beyond 64",
    "Columns of the input's gradient beyond the 64th are left at 0.",
    conv_grad=of_input(lambda f, *a, **o: columns(64)(lambda *a, **o: f(*a, **o)[0], *a, **o)),
)
fault(
    f"{G}: weight's columns beyond 64",
    "The weight's gradient sees 64 columns of outputs.",
    conv_grad=of_weight(lambda f, g, *a, **o: f(columns(64)(np.array, g), *a, **o)[1]),
)
fault(
    f"{T}_grad: columns beyond 64",
    "Columns of the input's gradient beyond the 64th are left at 0.",
    conv_transpose_grad=of_input(lambda f, *a, **o: columns(64)(lambda *a, **o: f(*a, **o)[0], *a, **o)),
)
fault(
    "conv: groups beyond 32",
    "Groups beyond the 32nd are left at 0.",
    conv=lambda f, x, w, *b, **o: only_first(32 * len(w) // o["groups"], 1)(f, x, w, *b, **o) if "groups" in o else f(x, w, *b, **o),
)
fault(
    f"{G}: groups beyond 32",
    "The weight's gradient of groups beyond the 32nd is left at 0.",
    conv_grad=of_weight(
        lambda f, g, x, w, *b, **o: only_first(32 * len(w) // o.get("groups", len(w)), 0)(lambda *a, **o: f(*a, **o)[1], g, x, w, *b, **o)
    ),
)
fault(
    "conv: kernels of 6 columns",
    "Taps of a kernel beyond the fifth column are not read.",
    conv=lambda f, x, w, *b, **o: f(x, np.where(np.arange(w.shape[-1]) < 5, w, 0).astype(w.dtype), *b, **o),
)
fault(
    "conv: kernels of 12 columns",
    "Taps of a kernel beyond the eleventh column are not read.",
    conv=lambda f, x, w, *b, **o: f(x, np.where(np.arange(w.shape[-1]) < 11, w, 0).astype(w.dtype), *b, **o),
)
fault("conv: strides beyond 4", "A stride of more than 4 counts as 4.", conv=conv_by(stride=lambda v: tuple(min(s, 4) for s in v)))
fault("conv: columns beyond 512", "Columns of the output beyond the 512th are left at 0.", conv=columns(512))
fault(
    "conv: channels beyond 256",
    "Input channels beyond the 256th are not read.",
    conv=lambda f, x, w, *b, **o: f(x[:, :256], w[:, :256], *b, **o) if "groups" not in o else f(x, w, *b, **o),
)
fault(
    "avg_pool: windows beyond 64",
    "Windows of more than 64 pixels are divided by 64.",
    avg_pool=lambda f, *a, **o: averages(lambda w, counted, over: min(divided_by(w, counted, over), 64))(*a, **o),
)


# -- what can go wrong with any operation
FAMILIES = ("conv", "conv_transpose", "max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool", "pad", "batch_norm")
SEEN_IN_PART = ("conv", "max_pool", "avg_pool")
"""Families in which pixels may be part of no window."""


def contiguous(a: Any) -> Any:
    """What lies in memory, read as if it were in plain order."""
    return a.ravel("K").reshape(a.shape) if isinstance(a, np.ndarray) and a.ndim > 1 else a


def forwards(a: Any) -> Any:
    """An array with negative strides read from its first byte on."""
    return a[tuple(slice(None, None, -1) if s < 0 else ALL for s in a.strides)] if isinstance(a, np.ndarray) else a


def gaps_read(a: Any) -> Any:
    """A part of a larger array read as if it stood alone."""
    if not isinstance(a, np.ndarray) or a.base is None or a.size == 0 or a.flags.c_contiguous or min(a.strides) <= 0:
        return a
    return np.resize(a.base.ravel(), a.shape)


def reads(change: Operation) -> Operation:
    return lambda f, *args, **options: f(*map(change, args), **options)


CALLS = {"count": 0, "threads": 0, "compiled": 0}


def unsteady(which: str) -> Operation:
    """The last bits of what isn't whole depend on how often it was called, on the threads, or on whether it is compiled."""

    def broken(f: Operation, x: np.ndarray, *args: Any, **options: Any) -> Any:
        CALLS["count"] += 1
        y = f(x, *args, **options)
        odd = CALLS[which] % 2 and x.size and not (x == np.round(x))[~np.isnan(x)].all()
        return np.nextafter(y, np.inf, dtype=y.dtype) if odd else y

    return broken


def switch(which: str) -> Operation:
    return lambda f, value: CALLS.update({which: value})


def clamped(f: Operation, x: np.ndarray, *args: Any, **options: Any) -> Any:
    y = f(x.copy(), *args, **options)
    np.clip(x, -3, 3, out=x)
    return y


def unseen_zeroed(f: Operation, x: np.ndarray, *args: Any, **options: Any) -> Any:
    """Writes to pixels that no window saw."""
    y = f(x, *args, **options)
    if x.size and x.flags.writeable and x.dtype == F32:
        probe, ones = np.zeros_like(x), [np.ones_like(a) if isinstance(a, np.ndarray) else a for a in args]
        probe[..., -1] = 1  # a maximum or a sum shows it
        if not (f(probe, *ones, **options) > f(0 * probe, *ones, **options)).any():
            x[..., -1] = 0
    return y


def no_images(f: Operation, x: np.ndarray, *args: Any, **options: Any) -> Any:
    y = f(x, *args, **options)
    return y if len(x) else np.zeros((0, *x.shape[1:-1], x.shape[-1] + 1), x.dtype)


EVERY: tuple[tuple[str, str, tuple[str, ...], dict[str, Operation]], ...] = (
    ("memory order", "Arrays are read in the order of their memory.", FAMILIES, {"": reads(contiguous)}),
    ("reversed arrays", "Arrays with negative strides are read forwards.", FAMILIES, {"": reads(forwards)}),
    ("parts of arrays", "A part of a larger array is read as if it stood alone.", FAMILIES, {"": reads(gaps_read)}),
    ("unsteady", "Sums end in other bits with each call.", FAMILIES, {"": unsteady("count")}),
    (
        "threads",
        "Sums end in other bits with another number of threads.",
        FAMILIES,
        {"": unsteady("threads"), "set_num_threads": switch("threads")},
    ),
    (
        "compiled",
        "Sums end in other bits where they are compiled.",
        FAMILIES,
        {"": unsteady("compiled"), "set_compiled": switch("compiled")},
    ),
    ("float64 in float32", "float64 is computed in float32.", FAMILIES, {"": lambda f, *a, **o: _as(F32, f, a, o)}),
    (
        "float64 given as float32",
        "float64 comes back as float32.",
        FAMILIES,
        {"": lambda f, *a, **o: y.astype(F32) if (y := f(*a, **o)).dtype == F64 else y},
    ),
    (
        "float16 given as float32",
        "float16 comes back as float32.",
        FAMILIES,
        {"": lambda f, *a, **o: y.astype(F32) if (y := f(*a, **o)).dtype == F16 else y},
    ),
    ("scratch", "A last column that no window sees is set to 0 in place.", SEEN_IN_PART, {"": unseen_zeroed}),
    ("scratch", "The input is clamped in place.", tuple(f for f in FAMILIES if f not in SEEN_IN_PART), {"": clamped}),
    ("clamped in place", "The input is clamped in place.", SEEN_IN_PART, {"": clamped}),
    ("empty batch", "No images have a column too many.", FAMILIES[:-1], {"": no_images}),
    (
        "signals beyond 256",
        "Places of a signal beyond the 256th are left at 0; images are right.",
        FAMILIES[:-2],
        {"": only_in(1, only_first(256, 2))},
    ),
)
for label, sentence, families, changes in EVERY:
    for family in families:
        fault(f"{family}: {label}", sentence, **{op or family: change for op, change in changes.items()})


ONLY = {
    "adaptive_windows_cover_their_share": "{family}: ends floored",
    "adaptive_gradient_shares_evenly": "adaptive_avg_pool_grad: overwritten",
    "adaptive_max_gradient_goes_to_the_maximum": "adaptive_max_pool_grad: overwritten",
    "conv_counts_windows": "conv: sizes by reciprocals",
    "convolution_is_correlation_with_the_flipped_kernel": "conv: kernel flipped",
    "padding_is_a_border_of_zeros": "conv: padding repeats the edge",
    "stride_is_subsampling": "conv: strides from the end",
    "dilation_is_a_zero_stuffed_kernel": "conv: dilated gaps repeat",
    "groups_are_a_block_diagonal_weight": "conv: groups rolled",
    "channels_add_up": "conv: channels beyond 64",
    "kernels_are_independent": "conv: kernels beyond 32",
    "images_are_independent": "conv: images beyond 32",
    "bias_is_added_to_each_place": "conv: bias by group",
    "translation_equivariant": "conv: columns beyond 64",
    "linear_in_the_input": "conv: saturates",
    "linear_in_the_weight": "conv: weights in float16",
    "delta_is_the_identity": "conv: TF32",
    "pointwise_is_a_matrix_product": "conv: 1x1 beyond 128",
    "nan_comes_out": "conv: NaN as zero",
    "input_gradient_is_adjoint": "conv_grad: groups rolled",
    "weight_gradient_is_adjoint": "conv_grad: weight's stride and dilation",
    "bias_gradient_is_the_sum": "conv_grad: first image's bias",
    "the_order_of_memory_does_not_matter": "{family}: memory order",
    "calls_repeat_bit_for_bit": "{family}: unsteady",
    "inputs_are_left_alone": "{family}: scratch",
    "float64_gives_what_float32_gives": "{family}: float64 in float32",
    "float16_gives_what_float32_gives": "{family}: float16 given as float32",
    "an_empty_batch_gives_an_empty_batch": "{family}: empty batch",
    "a_unit_axis_changes_nothing": "{family}: signals beyond 256",
    "threads_change_nothing": "{family}: threads",
    "compiling_changes_nothing": "{family}: compiled",
    "channels_are_normalised": "batch_norm: unbiased",
    "normalisation_ignores_shift_and_scale": "batch_norm: mean of squares",
    "normalisation_gradient_goes_through_the_statistics": "batch_norm_grad: constant variance",
    "padding_modes_are_numpys": "pad: reflects the edge",
    "padding_is_adjoint_to_its_gradient": "pad_grad: overwritten",
    "pool_counts_windows": "{family}: sizes by reciprocals",
    "pooling_leaves_channels_alone": "{family}: channels beyond 32",
    "pooled_images_are_independent": "{family}: images beyond 32",
    "maximum_is_the_largest_of_its_window": "max_pool: padding is 0",
    "a_window_in_padding_is_minus_infinity": "max_pool: empty windows are 0",
    "nan_is_the_largest": "max_pool: NaN at the start",
    "indices_point_to_the_maxima": "max_pool_with_indices: 8 bits",
    "of_equal_maxima_the_index_is_in_the_window": "max_pool_with_indices: ties summed",
    "max_gradient_goes_to_the_maximum": "max_pool_grad: first pixel",
    "max_gradient_keeps_its_mass": "max_pool_grad: all ties",
    "of_equal_maxima_the_first_gets_the_gradient": "max_pool_grad: last of equals",
    "average_is_the_sum_over_the_divisor": "avg_pool: full window",
    "average_gradient_shares_evenly": "avg_pool_grad: full window",
    "average_of_a_constant_is_the_constant": "avg_pool: columns beyond 64",
    "average_with_nan_is_nan": "avg_pool: NaN as zero",
    "averages_do_not_overflow": "avg_pool: overflow",
    "sizes_of_large_convolutions": "conv: shapes in 32 bits",
    "sizes_of_large_poolings": "{family}: shapes in 32 bits",
    "nonsense_convolutions_are_refused": "conv: longer bias",
    "nonsense_poolings_are_refused": "{family}: stride 0",
    "nonsense_transposed_convolutions_are_refused": "conv_transpose: stride 0",
    "transposed_counts_places": "conv_transpose: sizes of 16 bits",
    "transposed_scatters_each_pixel": "conv_transpose: kernel flipped",
    "transposed_bias_is_added_to_each_place": "conv_transpose: bias of its input",
    "output_padding_stands_for_pixels_of_zero": "conv_transpose: output padding of a stride",
    "transposed_is_the_adjoint": "conv_transpose: channels beyond 32",
    "transposed_gradients_are_adjoint": "conv_transpose_grad: weight flipped",
}
"""For each law a fault that it catches and no other law does."""


# -- who catches what --------------------------------------------------------------------------------------------------------------
def laws_of(faulty: Any) -> list[tuple[Law, tuple[int, ...]]]:
    """The laws that an implementation can be held to, with the numbers of axes."""
    return [(law, axes) for law in LAWS if (axes := offered_axes(law, faulty))]


@functools.cache
def drawn(family: str, axes: tuple[int, ...], examples: int, seed: int) -> list[Any]:
    """The cases that a law is held to."""
    found: list[Any] = []

    @settings(max_examples=examples, deadline=None, database=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck))
    @seeded(seed)
    @given(case=cases(family, axes))
    def draw(case: Any) -> None:
        found.append(case)

    draw()
    return found


def caught(law: Law, faulty: Any, axes: tuple[int, ...], examples: int, seed: int = 0) -> tuple[int, LawBroken | None]:
    """How many examples were tried, and how the last of them broke the law."""
    tried = drawn(law.family, axes, examples, seed)
    for number, case in enumerate(tried, 1):
        try:
            law(Trial(faulty), case)
        except LawBroken as error:
            return number, error
        except (Refused, NotOffered):
            pass
    return len(tried), None
