"""The CUDA driver's own functions, called by ``ctypes``; an error of theirs is a DeviceError."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

import numpy as np

from ...errors import DeviceError, OutOfMemoryError, message
from .driver import cuda

__all__ = [
    "OUT_OF_MEMORY",
    "call",
    "enter",
    "error_of",
    "event",
    "function",
    "is_over",
    "name_of",
    "page_locked",
    "require",
    "translated",
    "wait_for",
]

NO_TIMING = 2
NOT_READY = 600

OUT_OF_MEMORY = 2
LOST = "the device's work is lost: start the process anew"
HINTS = {
    2: "make the batch smaller, or drop tensors",
    3: "CUDA cannot be used in a forked process: start it by spawn",
    700: f"a kernel has left its memory, and {LOST}",
    719: f"a kernel has failed, and {LOST}",
}

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "cuCtxSynchronize": (),
    "cuEventCreate": (c_void_p, c_uint),
    "cuEventQuery": (c_void_p,),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuEventSynchronize": (c_void_p,),
    "cuGetErrorName": (c_int, c_void_p),
    "cuGraphAddKernelNode_v2": (c_void_p, c_void_p, c_void_p, c_size_t, c_void_p),
    "cuGraphCreate": (c_void_p, c_uint),
    "cuGraphDestroy": (c_void_p,),
    "cuGraphExecDestroy": (c_void_p,),
    "cuGraphExecKernelNodeSetParams_v2": (c_void_p, c_void_p, c_void_p),
    "cuGraphInstantiateWithFlags": (c_void_p, c_void_p, c_uint64),
    "cuGraphLaunch": (c_void_p, c_void_p),
    "cuKernelGetFunction": (c_void_p, c_void_p),
    "cuLaunchKernelEx": (c_void_p,) * 4,
    "cuMemAlloc_v2": (c_void_p, c_size_t),
    "cuMemFree_v2": (c_uint64,),
    "cuMemHostAlloc": (c_void_p, c_size_t, c_uint),
    "cuMemcpyDtoH_v2": (c_void_p, c_uint64, c_size_t),
    "cuMemcpyDtoHAsync_v2": (c_void_p, c_uint64, c_size_t, c_void_p),
    "cuMemcpyHtoDAsync_v2": (c_uint64, c_void_p, c_size_t, c_void_p),
    "cuStreamCreate": (c_void_p, c_uint),
    "cuStreamWaitEvent": (c_void_p, c_void_p, c_uint),
}
"""The functions that are called, and the types of their arguments. The newest came with CUDA 12."""


@functools.cache
def _library() -> ctypes.CDLL:
    """The driver that Numba has loaded too: its variable names another file."""
    return ctypes.CDLL(os.environ.get("NUMBA_CUDA_DRIVER") or ("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"))


@functools.cache
def function(name: str) -> Callable[..., int]:
    """A function of the driver, which returns an error's number or 0."""
    # made of the prototype, it is called in half the time that an attribute of the library takes
    return ctypes.CFUNCTYPE(c_int, *ARGUMENTS[name])((name, _library()))


def require() -> None:
    """Raise a DeviceError unless the driver has all these functions."""
    try:
        for name in ARGUMENTS:
            function(name)
    except (AttributeError, OSError) as error:
        raise DeviceError(message("cuda", "a driver of CUDA 12 or newer", str(error), "update it, or take the safe path")) from None


def call(name: str, *arguments: Any) -> None:
    """Call a function of the driver.

    Raises:
        DeviceError: where it fails.
    """
    enter()
    error = function(name)(*arguments)
    if error:
        raise error_of(name, error)


def error_of(name: str, error: int) -> DeviceError:
    """What there is to raise where a function has failed with this number."""
    kind = OutOfMemoryError if error == OUT_OF_MEMORY else DeviceError
    return kind(message("cuda", f"{name} to succeed", f"{name_of(error)} ({error})", HINTS.get(error, "")))


def name_of(error: int) -> str:
    """The driver's name for an error."""
    found = c_char_p()
    function("cuGetErrorName")(error, byref(found))
    return (found.value or b"an error without a name").decode()


def event() -> c_void_p:
    """An event, which is over when what was launched before it was recorded is."""
    made = c_void_p()
    call("cuEventCreate", byref(made), NO_TIMING)
    return made


def is_over(event: c_void_p) -> bool:
    """Whether that is so now."""
    enter()
    error = function("cuEventQuery")(event)
    if error not in (0, NOT_READY):
        raise error_of("cuEventQuery", error)
    return not error


def wait_for(event: c_void_p) -> None:
    """Wait until it is so."""
    if not is_over(event):
        call("cuEventSynchronize", event)


def page_locked(size: int) -> np.ndarray:
    """Bytes of the host that the device copies to and from while the host goes on."""
    address = c_void_p()
    call("cuMemHostAlloc", byref(address), size, 0)
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address.value or 0))


_here = threading.local()


def enter() -> None:
    """Make the device's context this thread's, once: Numba asks the driver at every launch whose it is."""
    if not hasattr(_here, "entered"):
        with translated("a context of the device"):
            cuda.current_context()
        _here.entered = True


@contextlib.contextmanager
def translated(expected: str) -> Iterator[None]:
    """What Numba says of the driver's errors inside is said as the library says them."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(("numba.cuda", "cuda.")):
            raise
        received = " ".join(str(error).split()).rstrip(".").replace(";", ",")
        hint = "update the driver of the GPU" if "PTX_VERSION" in received else "look with nvidia-smi at who uses the GPU"
        raise DeviceError(message("cuda", expected, received, hint)) from error
