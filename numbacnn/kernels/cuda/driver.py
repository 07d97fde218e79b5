"""The one module that imports ``cuda``: Numba's own or numba-cuda's, on a GPU or in the simulator (``NUMBA_ENABLE_CUDASIM=1``)."""

from __future__ import annotations

import functools
import hashlib
import math
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numba
import numpy as np

if not hasattr(np, "row_stack"):  # gone in NumPy 2.5; numba-cuda 0.30 still asks for it at its first compilation
    np.row_stack = np.vstack  # type: ignore[attr-defined]

from numba import config
from numba import cuda as _numba_cuda

try:
    from numba.cuda.np.numpy_support import from_dtype  # numba-cuda's types are its own
except ImportError:
    from numba.np.numpy_support import from_dtype

from ... import recording
from ...errors import DeviceError, message
from .. import cache
from . import held

__all__ = [
    "POINTERS",
    "SIMULATED",
    "THREADS",
    "borrow",
    "cuda",
    "erf",
    "exp",
    "fmod",
    "from_dtype",
    "identity",
    "interface",
    "intrinsic",
    "is_kept",
    "is_kernel",
    "kernel",
    "launch",
    "launch_as_given",
    "launch_flat",
    "log",
    "log1p",
    "require_device",
    "sqrt",
    "tanh",
    "types",
]

SIMULATED = bool(config.ENABLE_CUDASIM)  # type: ignore[attr-defined]

cuda: Any = _numba_cuda
if SIMULATED:
    from numba.cuda.simulator.cudadrv.devicearray import FakeCUDAArray
    from numba.cuda.simulator.kernel import _get_kernel_context
    from numba.cuda.simulator.kernelapi import FakeCUDAShared, numpy_support
    from numba.cuda.simulator.kernelapi import types as _kinds

    _of_the_simulator = FakeCUDAShared.array

    def _shared(self: Any, shape: Any, dtype: Any) -> np.ndarray:
        """``cuda.shared.array`` of a line: one for the block. Of the simulator's own, two threads that come at once get one each."""
        if shape == 0:
            return _of_the_simulator(self, shape, dtype)
        line = sys._getframe(1).f_code.co_filename, sys._getframe(1).f_lineno
        kind = numpy_support.as_dtype(dtype) if isinstance(dtype, _kinds.Type) else dtype
        return self._allocations.setdefault(line, np.empty(shape, kind))

    FakeCUDAShared.array = _shared  # type: ignore[method-assign]

    class _Simulated:
        """``cuda`` as the running kernel means it.

        The simulator replaces the name in the kernel's own module for as long as the kernel runs, but in another module only while a
        device function of it runs: of two threads there, the first to leave takes it away from the second.
        """

        def __getattr__(self, name: str) -> Any:
            return getattr(_get_kernel_context() or _numba_cuda, name)

    cuda = _Simulated()

intrinsic: Any = None
types: Any = None
if not SIMULATED:
    from numba.cuda import types
    from numba.cuda.extending import intrinsic

    types = getattr(types, "types", types)  # numba-cuda has its own, while Numba's module here refers to the CPU's

THREADS = 256  # of a block of a kernel that has one thread per element


def _quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*values: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*values)

    return call


# The simulator runs kernels as Python, where math.exp(1000.0) and math.log(0.0) raise; on a GPU they give inf and -inf.
exp = _quiet(np.exp) if SIMULATED else math.exp
fmod = _quiet(np.fmod) if SIMULATED else math.fmod
log = _quiet(np.log) if SIMULATED else math.log
log1p = _quiet(np.log1p) if SIMULATED else math.log1p
sqrt = _quiet(np.sqrt) if SIMULATED else math.sqrt
tanh = _quiet(np.tanh) if SIMULATED else math.tanh
erf = math.erf


def why_unavailable() -> str:
    """Why no kernel can be launched, in one line; empty where one can."""
    if SIMULATED:
        return ""
    try:
        if cuda.is_available():
            return ""
        error = cuda.cuda_error() or "the CUDA compiler (NVVM) cannot be found"
    except Exception as failure:  # a broken driver raises whatever it likes
        error = failure
    return " ".join(str(error).split()).rstrip(".:")


def identity() -> dict[str, str]:
    """What decides, beside their sources, what kernels do here: card, driver, Numba. No context is made."""
    card, module = cuda.gpus[0], Path("/proc/driver/nvidia/version")
    name = getattr(card, "name", "simulated")
    version = "none" if SIMULATED else ".".join(map(str, cuda.cudadrv.driver.driver.get_version()))
    return {
        "card": name.decode() if isinstance(name, bytes) else name,
        "compute capability": ".".join(map(str, card.compute_capability)),
        "driver": f"{version} {module.read_text().splitlines()[0] if module.exists() else ''}".strip(),
        "numba": numba.__version__,
        "target": f"numba-cuda {metadata.version('numba-cuda')}" if "numba_cuda" in _numba_cuda.__file__ else "Numba's own",
    }


def require_device() -> None:
    """Raise a DeviceError that says what to do unless kernels can be launched."""
    reason = why_unavailable()
    if reason:
        hint = 'install an NVIDIA driver and run: pip install "numbacnn[cuda]" (or set NUMBA_ENABLE_CUDASIM=1 to simulate one, slowly)'
        raise DeviceError(message("device", "a CUDA device", f"none ({reason})", hint))


POINTERS = "pointers"
"""``(POINTERS, array, ...)`` as an argument is a tuple of arrays of which the kernel is given the addresses, as uint64."""


def _argument(value: Any) -> Any:
    # Few specialisations: every Python int is a uint32 and every tuple of integers one of int32 (strides may be negative).
    if isinstance(value, int):
        return np.uint32(value)
    if isinstance(value, tuple) and value and isinstance(value[0], (int, np.integer)):
        return tuple(np.int32(v) for v in value)
    return value


def _configure(kernel: Any, grid: tuple[int, ...], block: int | tuple[int, ...]) -> Any:
    with warnings.catch_warnings():
        # small layers have few blocks, and that is no mistake; with colorama installed the message begins with its colour
        warnings.filterwarnings("ignore", message=r"(\x1b\[\d+m)*Grid size")
        return kernel[grid, block]


# Numba itself keeps 128 configurations a kernel, which a deep net with several batch sizes outgrows.
# Not in the simulator, where kernel[...] changes the kernel.
_configured = _configure if SIMULATED else functools.lru_cache(maxsize=4096)(_configure)


def launch_as_given(kernel: Any, grid: Sequence[int], block: int | tuple[int, ...], *args: Any) -> None:
    """Launch ``kernel`` on ``grid`` blocks of ``block`` threads; an empty grid is no work."""
    if all(grid):
        if _waits(launch_as_given, kernel, grid, block, *args):
            return
        if recording.now.tape is not None:
            recording.now.tape.calls(launch_as_given, kernel, tuple(grid), block, *args)
        _configured(kernel, tuple(grid), block)(*_spread(args))


def _waits(function: Callable[..., None], *args: Any) -> bool:
    """Whether a launch is held back; else what was held back is launched first."""
    return (held.now.held is not None or held.mine.caught is not None) and held.takes(functools.partial(function, *args))


def _spread(args: tuple[Any, ...]) -> list[Any]:
    """The arguments, and in the place of ``recording.Numbers`` what they are now, in that of ``POINTERS`` addresses."""
    return [value for a in args for value in (map(_argument, a()) if isinstance(a, recording.Numbers) else (_pointers(a),))]


def _pointers(value: Any) -> Any:
    if isinstance(value, tuple) and value and value[0] is POINTERS:
        return tuple(np.uint64(interface(a)["data"][0]) for a in value[1:])
    return value


launcher: Any = None
"""What launches the library's kernels, where Numba does not."""


def launch(kernel: Any, grid: Sequence[int], block: int, *args: Any) -> None:
    """The same for a kernel of the library, whose integers have 32 bits."""
    if launcher is None:
        launch_as_given(kernel, grid, block, *[_argument(a) for a in args])
    elif all(grid) and not _waits(launch, kernel, grid, block, *args):
        if recording.now.tape is not None:
            recording.now.tape.calls(launch, kernel, tuple(grid), block, *map(_argument, args))
        launcher(kernel, grid, block, args)


def launch_flat(kernel: Any, n: int, *args: Any) -> None:
    """Launch ``kernel`` with at least ``n`` threads; ``n`` becomes its last argument."""
    launch(kernel, (-(-n // THREADS),), THREADS, *args, n)


def _sources() -> str:
    """A hash of all that kernels are made of: Numba's cache sees changes in a kernel's own file only."""
    here = Path(__file__).parent
    files = [*sorted(here.rglob("*.py")), *(here.parents[1] / f"{name}.py" for name in ("formulas", "names"))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:10]


SOURCES = _sources()


def kernel(function: Any) -> Any:
    """``cuda.jit`` for a kernel of the library: what it compiles to is kept on disk, under its name."""
    function.__qualname__ = f"{function.__name__}_{SOURCES}"  # a copy of a pattern has the pattern's
    made = cuda.jit(function)
    if not SIMULATED:
        from numba.cuda.dispatcher import CUDACache

        version = getattr(sys.modules.get("numba_cuda"), "__version__", "")  # of what compiles in Numba's stead, where it is installed
        cache.keep(made, CUDACache, version)
    return made


def is_kept(kernel: Any) -> bool:
    """Whether what a kernel compiles to is kept on disk."""
    return not SIMULATED and kernel._cache.cache_path is not None


def is_kernel(value: Any) -> bool:
    """Whether a user may launch it: what ``@cuda.jit`` made, for the host to call."""
    device = getattr(value, "_device", False) or getattr(value, "targetoptions", {}).get("device", False)
    return type(value) is type(cuda.jit(_nothing)) and not device


def _nothing() -> None:
    pass


# -- memory that other libraries know ---------------------------------------------------------------------------------------
def interface(array: Any) -> dict[str, Any]:
    """The ``__cuda_array_interface__`` of an array on the device; the simulator's arrays, which have none, get one of host memory."""
    if SIMULATED and isinstance(array, FakeCUDAArray):
        return {**array._ary.__array_interface__, "version": 3}
    return array.__cuda_array_interface__


class _Lent:
    """Memory that an owner lends: it lives as long as what is made of this."""

    def __init__(self, owner: Any, found: dict[str, Any]) -> None:
        self.owner = owner
        setattr(self, "__array_interface__" if SIMULATED else "__cuda_array_interface__", found)


def borrow(owner: Any, found: dict[str, Any]) -> Any:
    """A device array of Numba's over the memory that an interface describes; no copy."""
    lent = _Lent(owner, found)
    return FakeCUDAArray(np.asarray(lent)) if SIMULATED else cuda.as_cuda_array(lent)
