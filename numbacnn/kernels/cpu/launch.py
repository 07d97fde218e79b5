"""The one door through which CPU kernels are made and launched.

``@kernel`` makes a parallel driver (called from Python only, through ``launch``); ``@inline`` makes a serial function that drivers
call. ``launch`` keeps the promises that Numba's threading layers do not: concurrent launches under ``workqueue`` wait for each other
(they would abort the process), and a child forked after OpenMP started runs the serial twin of a kernel (its threads are gone:
a parallel launch would hang or kill it).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
import types
from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba import njit
from numba.core import event
from numba.core.caching import NullCache
from numba.core.options import DefaultOptions
from numba.core.registry import CPUDispatcher

from ... import config, locks, recording
from ...signatures import judged
from .. import cache
from .compiler import pipeline
from .record import by_names

_numba: Any = numba.config
T = TypeVar("T")

__all__ = [
    "CONTRACT",
    "DOT",
    "ROUNDED",
    "call",
    "can_replay",
    "compute",
    "default_threads",
    "get_num_threads",
    "inline",
    "is_kernel",
    "kernel",
    "launch",
    "layer",
    "replay",
    "set_num_threads",
]

CONTRACT = frozenset({"contract"})
ROUNDED = frozenset[str]()
"""Flags for expressions like ``a * b + c * d``: which product is fused, and so the bits, LLVM would decide anew at each compilation."""
DOT = frozenset({"contract", "reassoc", "nsz"})
"""Flags for dot products, whose order LLVM may then choose: the same for every thread count, not for every processor."""

SMALL = 1 << 14
"""Under ``workqueue``, whose launch costs 0.1 ms, a kernel whose arrays hold fewer elements than this in all runs serially."""


def _sources() -> str:
    """A hash of all kernel sources: Numba's cache sees changes in a kernel's own file only."""
    here = Path(__file__)
    files = [*sorted(here.parent.glob("*.py")), here.parents[2] / "formulas.py"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:10]


SOURCES = _sources()


def _compile(function: Callable, parallel: bool, fastmath: frozenset[str], keep: bool = True) -> Any:
    # the name is part of the cache's key, the options and the other files are not
    function.__qualname__ = f"{function.__name__}_{'-'.join(sorted(fastmath))}_{SOURCES}"
    options: Any = {"parallel": parallel, "fastmath": set(fastmath), "error_model": "numpy", "nogil": True, "no_cfunc_wrapper": True}
    options["pipeline_class"] = pipeline()
    compiled = njit(**options)(function)
    if keep and not _numba.DISABLE_JIT:
        cache.keep(compiled)
    return compiled


def kernel(function: Callable | None = None, *, fastmath: frozenset[str] = CONTRACT, keep: bool = True) -> Any:
    """Make a parallel driver: a function with a ``prange``, or several in turn, launched from Python through :func:`launch`.

    ``keep``: on disk, where its name tells it from all others.
    """
    if function is None:
        return lambda f: kernel(f, fastmath=fastmath, keep=keep)
    compiled = _compile(function, True, fastmath, keep)
    KERNELS.append(compiled)
    return compiled


KERNELS: list[Any] = []
"""Every driver, in the order of definition."""


def inline(function: Callable | None = None, *, fastmath: frozenset[str] = CONTRACT, owns: bool = False, force: bool = False) -> Any:
    """Make a serial function for drivers to call; it is compiled into each of them, by ``force`` where LLVM would call it.

    ``owns``: it makes arrays, or returns one. Others do without counting references, for which Numba would call a function for each
    array that is handed on, where LLVM does not merge caller and callee: as much as a small loop takes.
    """
    if function is None:
        return lambda f: inline(f, fastmath=fastmath, owns=owns, force=force)
    options: Any = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": force}  # nobody but a driver calls it
    if hasattr(DefaultOptions, "_nrt"):  # Numba does not document it
        options["_nrt"] = owns
    return njit(fastmath=set(fastmath), error_model="numpy", **options)(function)


@functools.cache
def _serial(driver: Any) -> Any:
    """The twin of a driver whose ``prange`` is a ``range``: the same source, so the same bits."""
    f, options = driver.py_func, driver.targetoptions
    twin = types.FunctionType(f.__code__, f.__globals__, f"{f.__name__}_serial", f.__defaults__, f.__closure__)
    keep = not isinstance(driver._cache, NullCache)
    if driver in KERNELS:
        return _compile(twin, False, frozenset(options["fastmath"]), keep)
    # a user's own, with his own options
    twin.__qualname__ = f"{f.__qualname__}_serial"
    return numba.jit(cache=keep, **{**options, "parallel": False})(twin)  # type: ignore[call-overload]


# -- launching ---------------------------------------------------------------------------------------------------------
_lock = locks.lock()
_NOBODY_WAITS = contextlib.nullcontext()
_layer: str | None = None
_forked = False
_threads_now: Callable[[], int] = numba.get_num_threads
"""What the calling thread's setting is: Numba's function takes two locks each time, the one that it calls none."""
_set_threads: Callable[[int], None] = numba.set_num_threads
"""Sets it, to a number that is known to be right."""


def layer() -> str:
    """The threading layer that this process uses: "omp", "tbb" or "workqueue"; "none" without the compiler."""
    global _layer, _threads_now, _set_threads
    if _layer is None:
        if _numba.DISABLE_JIT:
            _layer = "none"
        else:
            numba.get_num_threads()  # starts the threads: the layer is not known before
            _layer = numba.threading_layer()
            _threads_now = getattr(numba.np.ufunc.parallel, "_get_num_threads", _threads_now)
            _set_threads = getattr(numba.np.ufunc.parallel, "_set_num_threads", _set_threads)
    return _layer


def launch(driver: Any, *args: Any) -> None:
    """Run a driver on its arguments with the threads that are set."""
    if recording.now.tape is not None:
        recording.now.tape.launch(driver, args)
    if _layer == "omp" and not _forked and _threads_now() == (config.threads or default_threads()):  # nearly always
        driver(*args)
        return
    if _forked and layer() == "omp":
        _serial(driver)(*args)
        return
    current = _layer or layer()
    if current == "none":
        with np.errstate(all="ignore"):  # compiled kernels do not warn either
            driver(*map(by_names, args))
        return
    if current == "workqueue" and sum(a.size for a in args if isinstance(a, np.ndarray)) < SMALL:
        _serial(driver)(*args)
        return
    found = _threads_now()
    numba.set_num_threads(config.threads or default_threads())
    try:
        with _lock if current == "workqueue" else _NOBODY_WAITS:
            driver(*args)
    finally:
        numba.set_num_threads(found)  # the setting is the user's too, for his own kernels in this thread


def is_kernel(value: Any) -> bool:
    """Whether a user may launch it: what ``@njit`` made, which without the compiler is the function itself."""
    return isinstance(value, types.FunctionType if _numba.DISABLE_JIT else CPUDispatcher)


def replay(run: Callable[..., T], *args: Any, threads: int | None = None) -> T:
    """Call what runs compiled kernels by itself, with what :func:`launch` promises: so many threads, by default those that are set."""
    current = _layer or layer()
    found, wanted = _threads_now(), threads or config.threads or default_threads()
    if wanted != found:
        (_set_threads if wanted <= _numba.NUMBA_NUM_THREADS else numba.set_num_threads)(wanted)
    try:
        with _lock if current == "workqueue" else _NOBODY_WAITS:
            return run(*args)
    finally:
        if wanted != found:
            _set_threads(found)


def can_replay() -> bool:
    """Whether compiled kernels may be run by :func:`replay`: not by Python alone, nor where their threads are gone."""
    return (_layer or layer()) != "none" and not (_forked and _layer == "omp")


def compute(function: Callable[..., Any], *args: Any) -> None:
    """The sibling of :func:`launch` for NumPy: call a function that writes into the memory of one of its arguments.

    Backends write to memory through these two only, so that who wants to know what a step does has two places to look. Infinities and
    NaNs are results here, not warnings.
    """
    if recording.now.tape is not None:
        recording.now.tape.compute(function, args)
    call(function, args)


def call(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Call a function of NumPy's that writes into one of its arguments: a ufunc into the last one."""
    with np.errstate(all="ignore"):
        if isinstance(function, np.ufunc):
            function(*args[:-1], out=args[-1])
        else:
            function(*args)


def _after_fork() -> None:
    global _forked
    _forked = _layer is not None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# -- threads -----------------------------------------------------------------------------------------------------------
def _quota() -> float:
    """CPUs that the container's quota allows."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # no such file, or "max"
        return float("inf")


@functools.cache
def default_threads() -> int:
    """All CPUs that this process may use: Numba's choice, bounded by a container's quota."""
    threads = _numba.NUMBA_NUM_THREADS
    if "NUMBA_NUM_THREADS" in os.environ:
        return threads
    return max(1, int(min(threads, _quota())))


def get_num_threads() -> int:
    """How many threads CPU kernels use."""
    return config.threads or default_threads()


@judged
def set_num_threads(threads: int | None) -> None:
    """Let CPU kernels use this many threads (None: all). The results do not depend on it, bit for bit.

    Raises:
        ValueError: where it is not between 1 and the threads that Numba started with (``NUMBA_NUM_THREADS``).
    """
    limit = _numba.NUMBA_NUM_THREADS
    if threads is not None and (type(threads) is bool or not isinstance(threads, Integral) or not 1 <= threads <= limit):
        raise ValueError(
            f"[set_num_threads] expected 1 to {limit} threads; received {threads!r}; set the environment's NUMBA_NUM_THREADS for more."
        )
    config.threads = threads if threads is None else int(threads)


# -- a compile that keeps the user waiting says so -------------------------------------------------------------------------
class _Announcer(event.Listener):
    def __init__(self) -> None:
        self.said = False

    def on_start(self, event: Any) -> None:
        # only a real compilation comes here, not a load from the cache
        if not self.said and not config.quiet and event.data["dispatcher"] in KERNELS:
            self.said = True
            kept = "" if cache.unkept else "; they are kept on disk for the next run"
            with recording.pausing():  # the code of whoever stands in for stderr is no part of a step
                print(f"numbacnn: compiling kernels for this processor{kept} ...", file=sys.stderr, flush=True)

    def on_end(self, event: Any) -> None:
        pass


if not _numba.DISABLE_JIT:
    event.register("numba:compile", _Announcer())
