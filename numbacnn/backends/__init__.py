"""Devices by name. A backend is imported when it is first asked for, so that importing the package imports no kernel."""

from __future__ import annotations

import importlib
import math
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..arguments import per_axis
from ..errors import DeviceError, ShapeError, in_form, message
from ..locks import lock
from ..names import ACTIVATIONS
from ..recording import given
from ..signatures import judged, shown
from .base import Array, Backend, NotFinite

__all__ = [
    "ACTIVATIONS",
    "DEFAULT",
    "Array",
    "Backend",
    "NotFinite",
    "device",
    "empty_cache",
    "get",
    "holder",
    "keeps",
    "launch",
    "lender",
    "names",
    "queued",
]


class _Device(NamedTuple):
    module: str
    queued: bool
    """Whether its work waits in a queue while Python goes on; to read a value is then to wait for all that came before."""
    marks: tuple[str, ...]
    """What arrays on it have, whatever library made them, and others have not."""
    dlpack: tuple[int, ...]
    """DLPack's numbers for memory that it can use."""


DEFAULT = "cpu"
_DEVICES = {
    "cpu": _Device(".cpu", queued=False, marks=(), dlpack=(1, 3)),
    "cuda": _Device(".cuda", queued=True, marks=("__cuda_array_interface__", "__cuda_ndarray__"), dlpack=(2, 13)),
}
_ALIASES = {"cuda:0": "cuda"}  # one GPU is used
_loaded: dict[str, Backend] = {}
_keepers: weakref.WeakSet[Any] = weakref.WeakSet()
_loading, _keeping = lock(reentrant=True), lock()


def names() -> tuple[str, ...]:
    """All devices that the library knows, whether this machine has them or not.

    >>> names()
    ('cpu', 'cuda')
    """
    return tuple(_DEVICES)


def get(device: str, op: str = "device") -> Backend:
    """The backend of a device.

    Raises:
        DeviceError: where the name is unknown, or the device cannot be used; the message says what to do.
    """
    backend = _loaded.get(device)
    if backend is None:
        if device not in _DEVICES:
            raise DeviceError(message(op, f"one of {' and '.join(map(repr, _DEVICES))}", repr(device)))
        with _loading:
            if device not in _loaded:
                _loaded[device] = importlib.import_module(_DEVICES[device].module, __name__).create()
        backend = _loaded[device]
    return backend


@judged
def device(name: str, op: str = "device") -> str:
    """The name of a device, checked: ``x.to(device("cuda"))``. "cuda:0" is "cuda": one GPU is used.

    Raises:
        DeviceError: where it is unknown or cannot be used.
    """
    return get(_ALIASES.get(name, name), op).name


def queued(device: str) -> bool:
    """Whether work on a device waits in a queue while Python goes on, so that to read a value is to wait."""
    return _DEVICES[device].queued


def holder(array: Any) -> str | None:
    """The device on which another library's array says that it lies; None for one that says nothing, as NumPy's."""
    return next((name for name, device in _DEVICES.items() if any(hasattr(array, mark) for mark in device.marks)), None)


def lender(op: str, number: int) -> str:
    """The device of DLPack's number for a kind of memory.

    Raises:
        DeviceError: where the library knows none.
    """
    found = next((name for name, device in _DEVICES.items() if number in device.dlpack), None)
    if found is None:
        raise DeviceError(message(op, "memory of the host or of a CUDA device", f"DLPack's device type {number}"))
    return found


@judged
def launch(kernel: Any, *args: Any, grid: int | Sequence[int] | None = None, block: int | Sequence[int] | None = None) -> None:
    """Run a kernel of your own, in the way in which the library runs its own.

    On the CPU a kernel is a function under ``@numba.njit``; with ``parallel=True`` and ``numba.prange`` it runs on as many threads as
    :func:`numbacnn.set_num_threads` says. Called in this way it is safe in several threads at once and in forked children, where
    Numba's threads are not. On CUDA it is a function under ``@cuda.jit``, and ``grid`` and ``block`` say how many blocks of how many
    threads run; nothing waits for the device. A grid with a 0 in it is no work.

    A kernel writes its results into arrays. :meth:`Tensor.numba` gives those of tensors, :func:`numbacnn.empty` makes tensors to fill.
    A :class:`Function` that launches kernels makes a differentiable operation of them.

    Args:
        kernel: what ``@numba.njit`` or ``@cuda.jit`` made.
        args: arrays as Numba takes them, and numbers.
        grid: for CUDA, the number of blocks, or one for each of up to three axes.
        block: for CUDA, the number of threads of a block, at most 1024, or one for each axis.

    Raises:
        TypeError: the kernel is none, an argument is a Tensor or lies on the other device, or Numba does not compile the kernel for them.
        ShapeError: ``grid`` or ``block`` are no numbers of blocks and threads.
        DeviceError: there is no CUDA device.

    >>> import numbacnn as nc, numba
    >>> @numba.njit(parallel=True)
    ... def double(x, y):
    ...     for i in numba.prange(x.size):
    ...         y[i] = 2 * x[i]
    >>> x, y = nc.arange(3.0), nc.empty(3)
    >>> nc.launch(double, x.numba(), y.numba(copy=False))
    >>> y
    tensor([0., 2., 4.])
    """
    counts = _counts("grid", grid, 0), _counts("block", block, 1)
    if (grid is None) != (block is None):
        raise ShapeError(message("launch", "both grid and block, or neither", "grid" if block is None else "block"))
    if math.prod(counts[1]) > 1024:
        raise ShapeError(message("launch", "a block of at most 1024 threads", f"{block}"))
    name = next(name for name, device in _DEVICES.items() if device.queued == (grid is not None))
    for value in args:
        if isinstance(value, (list, dict, set)) or hasattr(value, "requires_grad"):
            raise TypeError(message("launch", "arrays, numbers and tuples", shown(value), "x.numba() is the array of a Tensor"))
        lies = DEFAULT if isinstance(value, np.ndarray) else holder(value)
        if lies not in (None, name) and grid is None:
            raise TypeError(message("launch", f"grid and block for a kernel on arrays of {lies!r}", "neither"))
        if lies not in (None, name):
            raise TypeError(message("launch", f"arrays on {name!r}", f"one on {lies!r}", "grid and block are for @cuda.jit kernels"))
    backend = get(name, "launch")
    given(args)
    try:
        backend.launch(kernel, args, *counts)
    except Exception as error:
        refused = "" if in_form(error) else _refused([value for value in args if holder(value) is None], error)
        if not refused:
            raise
        raise TypeError(message("launch", "arguments for which Numba compiles the kernel", refused)) from error


def _refused(args: Sequence[Any], error: Exception) -> str:
    """What Numba refused before a kernel ran; empty where the kernel itself raised."""
    import numba  # which the backend has imported

    for value in args:
        try:
            numba.typeof(value)
        except Exception:  # Numba raises this and that
            return f"{shown(value)}, which Numba does not know"
    words = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Failed in")]
    numbas = isinstance(error, NotImplementedError) or type(error).__module__ == numba.core.errors.__name__
    return " ".join(words[:2]) if numbas else ""


def _counts(name: str, value: int | Sequence[int] | None, least: int) -> tuple[int, ...]:
    """Blocks or threads along one to three axes."""
    axes = len(value) if isinstance(value, (tuple, list)) and 1 <= len(value) <= 3 else 1
    return () if value is None else per_axis("launch", name, value, least, axes)


def keeps(keeper: Any) -> None:
    """Have :func:`empty_cache` call ``keeper.let_go()`` for as long as the object lives, which gives back what nobody uses."""
    with _keeping:
        _keepers.add(keeper)


def empty_cache() -> None:
    """Give the memory that backends, and functions under :func:`numbacnn.compile`, keep for later back to the system."""
    with _keeping:
        keepers = list(_keepers)
    for keeper in keepers:
        keeper.let_go()
    for backend in _loaded.values():
        backend.empty_cache()
