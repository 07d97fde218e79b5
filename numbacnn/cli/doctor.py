"""``numbacnn doctor``: what this machine has, and what fixes what it lacks."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from .. import backends, config
from ..extras import EXTRAS
from ..testing.finding import processor
from ..version import __version__
from .options import Commands

__all__ = ["add", "diagnose"]

CORE = ("numpy", "numba", "llvmlite", "scipy", "safetensors", "tqdm")
ROOM = 20
"""Megabytes that should be free for compiled kernels; those of a network take one to five."""
FEATURES = ("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "neon", "sve")


def version(package: str) -> str | None:
    """The installed version; None where there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def add(commands: Commands) -> None:
    sub = commands.add_parser("doctor", help="versions, processor, threads, CUDA, and how to fix what is missing")
    check = "compare the two ways to the CUDA device anew, part by part, and keep the verdict"
    sub.add_argument("--check-cuda", action="store_true", help=check)
    sub.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.check_cuda:
        return _check_cuda()
    text, healthy = diagnose()
    print(text)
    return 0 if healthy else 1


def diagnose() -> tuple[str, bool]:
    """A report on this machine, with the command that fixes what is missing, and whether CPU training can work.

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
    verdict = (
        f'fix: pip install "{" ".join(missing)}"'
        if missing
        else "not healthy: see above"
        if broken
        else "all is well on the CPU; numbacnn selftest tries the kernels"
    )
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
    rows = [("numbacnn", __version__), ("python", f"{platform.python_version()} on {system}")]
    return rows + [(name, version(name) or f"missing: pip install {name}") for name in CORE]


def _extras() -> Rows:
    rows = []
    for extra, packages in EXTRAS.items():
        missing = [name for name in packages if version(name) is None]
        line = f'missing {", ".join(missing)}: pip install "numbacnn[{extra}]"'
        rows.append((extra, line if missing else ", ".join(f"{name} {version(name)}" for name in packages)))
    return rows


def _processor() -> Rows:
    import llvmlite.binding as llvm

    from ..kernels.cpu import tile

    on = llvm.get_host_cpu_features()
    fused = "fused multiply-add" if tile.FMA else "no fused multiply-add"
    return [
        ("name", f"{processor()} (LLVM: {llvm.get_host_cpu_name()})"),
        ("features", " ".join(name for name in FEATURES if on.get(name)) or "none that matter here"),
        ("kernels use", f"{tile.LANES} float32 lanes, {tile.REGISTERS} vector registers, {fused}"),
    ]


def _threads() -> Rows:
    from ..kernels.cpu import launch

    backends.get("cpu")
    layer = launch.layer()
    slow = ": launches wait for each other; pip install tbb is quicker" if layer == "workqueue" else ""
    rows = [("layer", f"{layer}{slow}"), ("threads", f"{launch.get_num_threads()} of {os.cpu_count()}")]
    if layer == "none":
        return [*rows, ("kernels", "nothing is compiled (NUMBA_DISABLE_JIT)")]
    return [*rows, ("kernel cache", _cache()), ("compiler", _compiler())]


def _compiler() -> str:
    from ..kernels.cpu import compiler

    if compiler.lazy():
        return "each kernel is optimised as a whole"
    return "Numba's own, at half the speed: ours is not tested with this version, or does not work with it"


def _cache() -> str:
    """Where kernels are kept and whether that works, tried with a small one."""
    import numba

    from ..kernels import cache
    from ..kernels.cpu import launch

    folder = cache.folder(launch.call)
    if folder is None:
        return "none: kernels are compiled in every process; set NUMBA_CACHE_DIR to a folder that can be written"
    try:
        cache.try_out(launch.call)
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
    from ..kernels.cuda import driver

    reason = driver.why_unavailable()
    if driver.SIMULATED:
        return [("state", "simulated on the CPU (NUMBA_ENABLE_CUDASIM), for tests only")]
    if reason:
        return [("state", f"no usable GPU: {reason}"), ("fix", 'install an NVIDIA driver, then: pip install "numbacnn[cuda]"')]
    found = driver.identity()
    state = f"{found['card']}, compute capability {found['compute capability']}"
    return [("state", state), ("driver", found["driver"]), ("compiler", found["target"]), ("path", _path())]


def _path() -> str:
    """The path that work takes to the CUDA device, and why."""
    from ..backends.cuda import verdict

    if config.cuda_path != "auto":
        return f"{config.cuda_path}, as config.cuda_path or NUMBACNN_CUDA_PATH says"
    if verdict.trusted():
        return "fast, unchecked, as NUMBACNN_CUDA_CHECK=0 says"
    known = verdict.stored()
    return known.text if known else f"not chosen: its first use compares both, or {verdict.AGAIN}"


def _check_cuda() -> int:
    """Compare both paths; 1 where the fast one is not right, or there is no GPU."""
    from ..backends.cuda import verdict
    from ..kernels.cuda import driver

    reason = driver.why_unavailable()
    if reason:
        print(f"no usable GPU: {reason}")
        return 1
    found = verdict.judge(tell=lambda line: print(line, flush=True))
    print(found.text)
    return 1 if found.reason else 0
