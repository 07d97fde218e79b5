"""What the command line tells about this machine, and the compilation of everything that a first run needs."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["EXTRAS", "diagnose", "warm_up"]

CORE = ("numpy", "numba", "llvmlite", "scipy", "safetensors", "tqdm")
EXTRAS = {
    "demo": ("scikit-learn", "matplotlib", "pillow"),
    "test": ("pytest", "hypothesis"),
    "cuda": ("numba-cuda",),
    "ptx": ("nvidia-nvvm", "nvidia-cuda-nvcc"),
}
"""The packages that each extra brings."""
ROOM = 20
"""Megabytes that should be free for compiled kernels; those of a network take one to five."""
FEATURES = ("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "neon", "sve")


def version(package: str) -> str | None:
    """The installed version; None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


# -- doctor ----------------------------------------------------------------------------------------------------------------------
def diagnose() -> tuple[str, bool]:
    """A report on this machine, with the line that mends what is missing, and whether CPU training can work.

    >>> text, healthy = diagnose()  # doctest: +SKIP
    """
    missing = [name for name in CORE if version(name) is None]
    sections = [("versions", _versions()), ("extras", _extras())]
    if not missing:
        sections += [("processor", _guarded(_processor)), ("threads", _guarded(_threads)), ("CUDA", _guarded(_cuda))]
    lines = []
    for title, rows in sections:
        lines += [title, *(f"  {name:<13} {value}" for name, value in rows), ""]
    broken = any(value.startswith("failed") for _, rows in sections for _, value in rows)
    verdict = f'to mend: pip install "{" ".join(missing)}"' if missing else "not healthy: see above" if broken else "all is well on the CPU"
    return "\n".join([*lines, verdict]), not missing and not broken


Rows = list[tuple[str, str]]


def _guarded(section: Callable[[], Rows]) -> Rows:
    """A broken installation fails in its own ways; the report goes on."""
    try:
        return section()
    except Exception as error:
        return [("", f"failed: {type(error).__name__}: {error}")]


def _versions() -> Rows:
    system = f"{platform.system()} {platform.machine()}"
    from . import __version__

    rows = [("numbacnn", __version__), ("python", f"{platform.python_version()} on {system}")]
    return rows + [(name, version(name) or f"missing: pip install {name}") for name in CORE]


def _extras() -> Rows:
    rows = []
    for extra, packages in EXTRAS.items():
        missing = [name for name in packages if version(name) is None]
        line = f'missing {", ".join(missing)}: pip install "numbacnn[{extra}]"'
        rows.append((extra, line if missing else ", ".join(f"{name} {version(name)}" for name in packages)))
    return rows


def _processor_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _processor() -> Rows:
    import llvmlite.binding as llvm

    from .kernels.cpu import tile

    on = llvm.get_host_cpu_features()
    fused = "fused multiply-add" if tile.FMA else "no fused multiply-add"
    return [
        ("name", f"{_processor_name()} (LLVM: {llvm.get_host_cpu_name()})"),
        ("features", " ".join(name for name in FEATURES if on.get(name)) or "none that matter here"),
        ("kernels use", f"{tile.LANES} float32 lanes, {tile.REGISTERS} vector registers, {fused}"),
    ]


def _threads() -> Rows:
    from . import backends
    from .kernels.cpu import launch

    backends.get("cpu")
    layer = launch.layer()
    slow = ": launches wait for each other; pip install tbb is quicker" if layer == "workqueue" else ""
    rows = [("layer", f"{layer}{slow}"), ("threads", f"{launch.get_num_threads()} of {os.cpu_count()}")]
    if layer == "none":
        return [*rows, ("kernels", "nothing is compiled (NUMBA_DISABLE_JIT)")]
    return [*rows, ("kernel cache", _cache()), ("compiler", _compiler())]


def _compiler() -> str:
    from .kernels.cpu import compiler

    if compiler.lazy():
        return "each kernel is optimised as a whole"
    return "Numba's own, at half the speed: ours is not tested with this version, or does not work with it"


def _cache() -> str:
    """Where kernels are kept and whether that works, tried with a small one."""
    import numba

    from .kernels.cpu import cache

    folder = cache.folder()
    if folder is None:
        return "none: kernels are compiled in every process; set NUMBA_CACHE_DIR to a folder that can be written"
    try:
        cache.try_out()
    except Exception as error:
        mend = "set NUMBA_CACHE_DIR to a folder with room that can be written"
        return f"failed: kernels cannot be kept in {folder} ({cache.reason(error)}); {mend}"
    free = shutil.disk_usage(folder).free / 1e6
    if free < ROOM:
        return f"failed: {folder} has room for {free:.1f} MB only; make room, or set NUMBA_CACHE_DIR to a folder with {ROOM} MB"
    files = sorted(Path(folder).glob(f"*{cache.SUFFIX}"))
    damaged = [(file.name, reason) for file in files if (reason := cache.damage(file))]
    if damaged:
        name, reason = damaged[0]
        return f"failed: {len(damaged)} of {len(files)} files in {folder} cannot be used, such as {name} ({reason}); delete them"
    size = sum(file.stat().st_size for file in files)
    wanted = getattr(numba.config, "CACHE_DIR", "")
    other = f"; NUMBA_CACHE_DIR={wanted} cannot be written" if wanted and not Path(folder).is_relative_to(wanted) else ""
    return f"{folder} (works, {size / 1e6:.1f} MB{other})"


def _cuda() -> Rows:
    from .kernels.cuda import driver

    reason = driver.why_unavailable()
    if driver.SIMULATED:
        return [("state", "simulated on the CPU (NUMBA_ENABLE_CUDASIM), for tests only")]
    if not reason:
        device = driver.cuda.get_current_device()
        name = device.name.decode() if isinstance(device.name, bytes) else device.name
        return [("state", f"{name}, compute capability {'.'.join(map(str, device.compute_capability))}")]
    return [("state", f"no usable GPU: {reason}"), ("to mend", 'install an NVIDIA driver, then: pip install "numbacnn[cuda]"')]


# -- warm-up ---------------------------------------------------------------------------------------------------------------------
class _Watch:
    """Hears of every kernel that is compiled or loaded from Numba's cache, and how long that took."""

    def __init__(self, heard: Callable[[str, float, bool], None]) -> None:
        from .kernels.cpu import launch

        self.kernels, self.heard, self.depth, self.began = launch.KERNELS, heard, 0, 0.0
        self.counts = self._counts()

    def _counts(self) -> list[tuple[int, int]]:
        return [(sum(k.stats.cache_hits.values()), sum(k.stats.cache_misses.values())) for k in self.kernels]

    # numba.core.event calls this for the compiler's lock, which is held around loading and compiling, and may be taken again inside
    def notify(self, event: Any) -> None:
        if event.is_start:
            self.depth += 1
            if self.depth == 1:
                self.began = time.perf_counter()
            return
        self.depth -= 1
        if self.depth:
            return
        before, self.counts = self.counts, self._counts()
        for kernel, (hits, misses), (old_hits, old_misses) in zip(self.kernels, self.counts, before):
            if (hits, misses) != (old_hits, old_misses):
                self.heard(kernel.py_func.__name__, time.perf_counter() - self.began, misses > old_misses)


@contextmanager
def _watching(heard: Callable[[str, float, bool], None]) -> Iterator[None]:
    from numba.core import event

    from . import backends
    from .kernels.cpu import launch

    backends.get("cpu")  # imports all kernels
    if launch.layer() == "none":  # NUMBA_DISABLE_JIT: there is nothing to compile
        yield
        return

    class Listener(event.Listener):
        watch = _Watch(heard)

        def on_start(self, event: Any) -> None:
            self.watch.notify(event)

        def on_end(self, event: Any) -> None:
            self.watch.notify(event)

    with event.install_listener("numba:compiler_lock", Listener()):
        yield


def warm_up(names: Sequence[str], verbose: bool = False) -> str:
    """Train and evaluate these networks for a few steps, so that their kernels for float32 lie in the cache; says what was done."""
    from tqdm import tqdm

    from . import config

    done: list[tuple[str, float, bool]] = []
    began, quiet = time.perf_counter(), config.quiet
    with tqdm(desc="kernels", unit="", disable=None, leave=False) as bar:

        def heard(name: str, seconds: float, compiled: bool) -> None:
            done.append((name, seconds, compiled))
            if verbose:
                tqdm.write(f"{'compiled' if compiled else 'loaded':<8}  {seconds * 1e3:8.1f} ms  {name}")
            bar.update()

        config.quiet = True  # the bar says it, and the last line
        try:
            with _watching(heard):
                for name in names:
                    bar.set_description(f"kernels for {name}")
                    _first_steps(name)
        finally:
            config.quiet = quiet
    compiled, loaded = ([seconds for _, seconds, fresh in done if fresh == wanted] for wanted in (True, False))
    parts = f"{len(compiled)} kernels compiled in {sum(compiled):.1f} s, {len(loaded)} loaded from the cache in {sum(loaded):.1f} s"
    from .kernels.cpu import cache

    return "; ".join([parts, f"{time.perf_counter() - began:.1f} s in all", *([cache.unkept] if cache.unkept else [])])


def _first_steps(name: str) -> None:
    """What ``numbacnn train`` does with this network, on noise: all its recipes, with a last batch of so few that other kernels take it."""
    from .data import Dataset
    from .training import fit, recipe

    noise = np.random.default_rng(0)
    for data in ("digits", "fashion-mnist"):
        arguments = recipe(data, name)
        images = noise.integers(0, 256, (arguments["batch_size"] + 5, 28, 28, 1), np.uint8)
        pictures = Dataset(images, np.arange(len(images)) % 10, tuple("0123456789"))
        fit(name, pictures, pictures, **{**arguments, "epochs": 1}, progress=False)
