"""Python's side of ``fake_driver.c``: it is compiled, a child process runs on it, and there ``Driver`` counts, logs and breaks things.

A parent: ``run(library(folder), script, home)`` with what the script prints last, as JSON. A child: ``Driver()``.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
OUT_OF_MEMORY, NO_DEVICE, ILLEGAL_ADDRESS, LAUNCH_FAILED = 2, 100, 700, 719
WAITS = ("CtxSynchronize", "StreamSynchronize", "EventSynchronize", "MemcpyHtoD", "MemcpyDtoH", "MemFree", "copy of pageable memory")
"""Calls for which the host waits until the device has done what was asked before: a copy from pageable memory, and freeing, are some."""


def compiler() -> str | None:
    """What compiles the library, where there is one."""
    return shutil.which("gcc") or shutil.which("cc")


def library(folder: Path) -> Path:
    """The driver's library, under its own name in a folder."""
    made = folder / "libcuda.so.1"
    command = [str(compiler()), "-shared", "-fPIC", "-O1", "-Wl,-soname,libcuda.so.1", str(HERE / "fake_driver.c"), "-o", str(made)]
    subprocess.run([*command, "-ldl", "-lpthread"], check=True)
    (folder / "libcuda.so").symlink_to(made)
    return made


def run(script: str, environment: Mapping[str, str], *, driver: Path | None, home: Path, seconds: float = 300) -> Any:
    """What ``script`` prints last, as JSON, in a process that has this driver (None: no driver) and a CUDA toolkit at ``home``."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FAKE_CUDA", "NUMBA_CUDA", "PYTEST_")) and k != "NUMBA_ENABLE_CUDASIM"}
    path = os.pathsep.join([str(HERE.parent), str(HERE), kept.get("PYTHONPATH", "")])
    kept |= {"PYTHONPATH": path, "CUDA_HOME": str(home), "NUMBACNN_CUDA_CHECK": "0"}
    kept |= {"LD_LIBRARY_PATH": str(driver.parent)} if driver else {"NUMBA_CUDA_DRIVER": "0"}
    command = [sys.executable, "-c", script]
    child = subprocess.run(command, env=kept | dict(environment), capture_output=True, text=True, timeout=seconds)
    assert child.returncode == 0, child.stdout + child.stderr
    return json.loads(child.stdout.splitlines()[-1])


class _Launch(ctypes.Structure):
    _fields_ = (
        ("kernel", ctypes.c_void_p),
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared", ctypes.c_uint),
        ("stream", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("bytes", ctypes.c_void_p),
    )


_Runner = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(_Launch))


@dataclass(frozen=True)
class Launch:
    """A kernel that was launched, with its arguments as the driver packed them."""

    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    arguments: bytes
    ptx: str = field(default="", repr=False)

    @property
    def kernel(self) -> str:
        """Where the function is, of its mangled name, without the number of its source: ``numbacnn.kernels.cuda.simt.conv.gather``."""
        names, at = [], self.name.find("N") + 1
        while found := re.match(r"\d+", self.name[at:]):
            size, at = int(found[0]), at + found.end()
            names.append(self.name[at : at + size])
            at += size
        return unnumbered(".".join(names).removeprefix("cudapy."))

    @property
    def numbers(self) -> bytes:
        """The arguments without what has eight bytes: addresses, mostly. Nothing where the image is not PTX: its layout isn't known."""
        return b"".join(self.arguments[at : at + size] for at, size in parameters(self.ptx) if size != 8) if self.ptx else b""


def unnumbered(name: str) -> str:
    """A kernel's name without what says of which source it was made."""
    return re.sub(r"_[0-9a-f]{10}$", "", name)


def parameters(ptx: str) -> list[tuple[int, int]]:
    """Where each parameter of the one kernel in a PTX text lies in the packed arguments, and its bytes."""
    head = re.search(r"\.entry[^(]*\(([^)]*)\)", ptx)
    assert head, "no kernel"
    found, end = [], 0
    for align, bits, many in re.findall(r"\.param (?:\.align (\d+) )?\.[a-z](\d+) \w+(?:\[(\d+)\])?", head[1]):
        size = int(bits) // 8 * int(many or 1)
        step = int(align or int(bits) // 8)
        at = -(-end // step) * step
        found.append((at, size))
        end = at + size
    return found


class Driver:
    """The driver of this process."""

    def __init__(self) -> None:
        self._lib = lib = ctypes.CDLL("libcuda.so.1")
        lib.fake_launch.restype, lib.fake_launch.argtypes = ctypes.POINTER(_Launch), [ctypes.c_size_t]
        lib.fake_blocks.restype = ctypes.c_size_t
        for name in ("fake_name", "fake_ptx"):
            getattr(lib, name).restype, getattr(lib, name).argtypes = ctypes.c_char_p, [ctypes.c_void_p]

    def reset(self, log: bool = True) -> None:
        """Count anew, and log launches from now on or not."""
        self._lib.fake_reset(int(log))

    def counts(self) -> dict[str, int]:
        """How often each function was called since then, without the ``cu`` and the version."""
        name, count, out = ctypes.c_char_p(), ctypes.c_uint64(), dict[str, int]()
        i = 0
        while self._lib.fake_call(i, ctypes.byref(name), ctypes.byref(count)):
            i += 1
            if count.value and name.value:
                short = re.sub(r"^cu(?=[A-Z])|_v\d$", "", name.value.decode())
                out[short] = out.get(short, 0) + count.value
        return out

    def log(self) -> list[Launch]:
        """Every kernel that was launched since then, those of graphs too."""
        out: list[Launch] = []
        while row := self._lib.fake_launch(len(out)):
            out.append(self._launch(row.contents))
        return out

    def _launch(self, l: _Launch) -> Launch:
        name, ptx = (f(l.kernel) or b"" for f in (self._lib.fake_name, self._lib.fake_ptx))
        given = ctypes.string_at(l.bytes, l.size) if l.bytes else b""
        return Launch(name.decode(), tuple(l.grid), tuple(l.block), given, ptx.decode())

    def run(self, kernel: Callable[[Launch], int]) -> None:
        """Let ``kernel`` do what is launched from now on; it returns an error's number or 0."""

        def run(row: Any) -> int:
            watch = sys.getprofile()
            sys.setprofile(None)
            try:
                return kernel(self._launch(row.contents))
            finally:
                sys.setprofile(watch)

        # a plan that is recorded looks at all code but the library's: this is none of the step's
        run.__code__ = run.__code__.replace(co_filename=str(HERE.parent / "numbacnn" / "device"))
        self._runner = _Runner(run)
        self._lib.fake_run(self._runner)

    def blocks(self) -> list[tuple[int, int]]:
        """Where each block of the device's memory begins, and its bytes."""
        n = self._lib.fake_blocks(None, None, ctypes.c_size_t(0))
        starts, sizes = ((ctypes.c_uint64 * n)() for _ in range(2))
        self._lib.fake_blocks(starts, sizes, ctypes.c_size_t(n))
        return sorted(zip(starts, sizes))

    def memory(self) -> tuple[int, int]:
        """Bytes of the device's memory that are taken now, and the most since the counts began."""
        now, most = ctypes.c_size_t(), ctypes.c_size_t()
        self._lib.fake_memory(ctypes.byref(now), ctypes.byref(most))
        return now.value, most.value

    def limit(self, size: int) -> None:
        """The device has so many bytes."""
        self._lib.fake_limit(ctypes.c_size_t(size))

    def fail(self, name: str, error: int, at: int = 1, times: int = -1) -> None:
        """From the at-th call from now on, so many (-1: all) of ``name`` ("*": of any) give this error."""
        self._lib.fake_fail(name.encode(), ctypes.c_long(at), ctypes.c_long(times), error)

    def heal(self) -> None:
        """Nothing fails any more."""
        self._lib.fake_heal()
