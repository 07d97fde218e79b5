"""A kernel of the user's in place of a built-in one: which passes there are, what a kernel is told, and how it is run.

A kernel gets plain C-contiguous arrays, the windows, and memory to fill. The library allocates, copies into the layout that the kernel
wants, launches, and adds bias and activation. ``backends.get(device).own(kernel)`` makes of it what ``choice.in_front`` takes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..errors import message
from ..geometry import ConvGeometry, PoolGeometry
from .choice import DType

__all__ = ["LAYOUTS", "PASSES", "Kernel", "KernelError", "Windows", "told"]

PASSES: dict[str, dict[str, tuple[str, ...]]] = {
    "conv2d": {
        "forward": ("x", "w", "g", "out"),
        "grad_input": ("grad", "w", "g", "out"),
        "grad_weight": ("grad", "x", "g", "out"),
    },
    "max_pool2d": {"forward": ("x", "g", "out", "index"), "grad_input": ("grad", "index", "g", "out")},
    "avg_pool2d": {"forward": ("x", "g", "out"), "grad_input": ("grad", "g", "out")},
}
"""The passes of each operation that a kernel can take over, and its arguments."""

LAYOUTS = ("nchw", "nhwc")

GUARD = 64
"""Elements on each side of an array that show whether a kernel leaves it."""


class KernelError(RuntimeError):
    """A user's kernel raised an error, or did what no kernel may."""


class Windows(NamedTuple):
    """What a kernel is told, its ``g``: plain numbers, since Numba hands nothing else of a tuple on to the body of a ``prange``.

    Padding is in front of the first row and column; what is behind the last ones follows from the size of the output, and sizes are
    those of the kernel's arrays. ``groups`` is 1 for a pooling, and ``count_include_pad`` concerns averages.
    """

    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    padding_h: int
    padding_w: int
    dilation_h: int
    dilation_w: int
    groups: int
    count_include_pad: bool


@functools.lru_cache(maxsize=1024)
def told(g: ConvGeometry | PoolGeometry) -> Windows:
    """The windows of a geometry with two axes.

    >>> told(ConvGeometry.of((1, 3, 8, 8), (4, 3, 3, 5), padding=1)).kernel_w
    5
    """
    flags = getattr(g, "groups", 1), getattr(g, "count_include_pad", True)
    return Windows._make((*g.kernel, *g.stride, *g.before, *g.dilation, *flags))


@dataclass(frozen=True)
class Kernel:
    """Functions for some passes of an operation; ``guarded``: watch what they do to memory, which costs copies."""

    op: str
    forward: Callable[..., Any] | None = None
    grad_input: Callable[..., Any] | None = None
    grad_weight: Callable[..., Any] | None = None
    layout: str = "nchw"
    takes: Callable[[Any], Any] | None = None
    block: int | tuple[int, ...] = 256
    grid: Callable[[tuple[int, ...]], Any] | None = None
    guarded: bool = False

    def functions(self) -> dict[str, Callable[..., Any]]:
        """The passes that it takes over."""
        return {which: getattr(self, which) for which in PASSES[self.op] if getattr(self, which) is not None}

    @property
    def name(self) -> str:
        return " and ".join(dict.fromkeys(map(name_of, self.functions().values())))

    def reason(self, which: str, g: ConvGeometry | PoolGeometry, dtype: DType) -> str:
        """Why it does not take a pass; empty where it does."""
        if which not in self.functions():
            return f"no {which} was given"
        if not g.n:
            return "no example"
        return "" if self.admits(g) else "takes() says no"

    def admits(self, g: ConvGeometry | PoolGeometry) -> bool:
        """Whether the user means it for a geometry."""
        try:
            return self.takes is None or bool(self.takes(g))
        except Exception as error:
            raise self._failure("takes", self.takes, error, f"to judge {g}") from error

    def run(self, which: str, launch: Callable[..., Any], ins: Sequence[Any], g: ConvGeometry | PoolGeometry, outs: Sequence[Any]) -> None:
        """Launch the function of a pass."""
        function = getattr(self, which)
        try:
            launch(function, *ins, told(g), *outs)
        except KernelError:
            raise
        except Exception as error:
            shapes = ", ".join(f"{name} {tuple(a.shape)}" for name, a in zip(self._arrays(which), (*ins, *outs)))
            hint = "" if self.guarded else "pass takes= to use_kernel if it is not meant for such sizes"
            raise self._failure(which, function, error, f"to run on {shapes}", hint) from error

    def run_guarded(
        self, which: str, launch: Callable[..., Any], ins: Sequence[np.ndarray], g: ConvGeometry | PoolGeometry, outs: Sequence[np.ndarray]
    ) -> None:
        """The same in rooms of its own: inputs must stay as they are, outputs be filled, and what lies around them be left alone.

        Of inputs with NaN a kernel may make NaN; else that is an output that it has left out.

        Raises:
            KernelError: where one of these does not hold.
        """
        names = self._arrays(which)
        filled = [np.full(out.shape, _unset(out.dtype), out.dtype) for out in outs]
        rooms = [_room(a) for a in (*ins, *filled)]
        arrays, before = [_inner(room, a.shape) for room, a in zip(rooms, (*ins, *filled))], [room.copy() for room in rooms]
        self.run(which, launch, arrays[: len(ins)], g, arrays[len(ins) :])
        may_be_nan = any(np.isnan(a).any() for a in ins)
        for place, (name, room, old, array) in enumerate(zip(names, rooms, before, arrays)):
            size, is_input = array.size, place < len(ins)
            edges = np.r_[:GUARD, GUARD + size : len(room)]
            if not _equal(room[edges], old[edges]):
                raise self._fault(which, f"to keep to {name} {array.shape}", "values written beside it")
            if is_input and not _equal(room, old):
                raise self._fault(which, f"to leave {name} as it is", "other values in it")
            unset = np.isnan(array) & (not may_be_nan) if array.dtype.kind == "f" else array == _unset(array.dtype)
            if not is_input and unset.any():
                empty = int(unset.sum())
                raise self._fault(which, f"to fill {name} {array.shape} with numbers", f"{empty} of {size} elements unset or NaN")
        for out, made in zip(outs, arrays[len(ins) :]):
            out[...] = made

    def _arrays(self, which: str) -> list[str]:
        return [name for name in PASSES[self.op][which] if name != "g"]

    def _failure(self, which: str, function: Any, error: Exception, task: str, hint: str = "") -> KernelError:
        said = " ".join(str(error).split()).rstrip(".")
        short = said if len(said) < 300 else f"{said[:300]} ..."
        expected = f"{which}={name_of(function)} {task}"
        return KernelError(message(f"use_kernel {self.op}", expected, f"{type(error).__name__}: {short}", hint))

    def _fault(self, which: str, task: str, received: str) -> KernelError:
        return KernelError(message(f"use_kernel {self.op}", f"{which}={name_of(getattr(self, which))} {task}", received))


def name_of(function: Any) -> str:
    """What a user calls a function or a kernel."""
    return getattr(function, "__name__", type(function).__name__)


def _unset(dtype: Any) -> Any:
    """What no kernel writes."""
    return np.nan if np.dtype(dtype).kind == "f" else np.iinfo(dtype).min


def _room(a: np.ndarray) -> np.ndarray:
    """Flat memory with a copy of an array, and room around it."""
    room = np.full(a.size + 2 * GUARD, _unset(a.dtype), a.dtype)
    _inner(room, a.shape)[...] = a
    return room


def _inner(room: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return room[GUARD : len(room) - GUARD].reshape(shape)


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
