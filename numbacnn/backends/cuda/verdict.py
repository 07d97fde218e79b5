"""Whether the fast path computes on this machine what the safe one does: found once, and kept beside the kernels.

Each path runs the same cases (``testing.two_paths``) in a process of its own, since an address that is none spoils a process's context,
and a hang must end; one after the other, since some machines let one process at a time to a card. Their results must be the same. The
verdict holds for a card, its driver, Numba and the sources of kernels and backend. A failure, a death, a process that takes too long, no
verdict: then work takes the safe path, which a warning says.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ... import children, config, files
from ...arguments import one_of
from ...kernels import cache
from ...kernels.cuda import driver
from ...locks import lock
from ...version import __version__

__all__ = ["Verdict", "is_fast", "judge", "stored", "trusted"]

PATHS = ("safe", "fast")
LIMITS = {"compiling": 300.0, "comparing": 60.0}
"""Seconds that both paths together may take for all cases the first time, and the second."""

CASES = "numbacnn.testing.two_paths"  # by name: it stands on a floor far above, and is imported by another process only
PACKAGE = Path(__file__).parents[2]
SOURCES = ("kernels/cuda", "backends/cuda", "plan", "testing/two_paths.py", "config.py", "formulas.py", "names.py", "recording.py")
AGAIN = "numbacnn doctor --check-cuda"

_deciding = lock()
_warned = False


class Verdict(NamedTuple):
    """What was found."""

    reason: str
    """Why the fast path is not taken; empty where it is right."""
    when: str
    seconds: float

    @property
    def text(self) -> str:
        """In one line."""
        found = f"found on {self.when} in {self.seconds:.0f} s"
        return f"safe, {self.reason} ({found}); {AGAIN} tries again" if self.reason else f"fast, the same as the safe one ({found})"


def is_fast() -> bool:
    """Whether work takes the fast path: as ``config.cuda_path`` says, and for "auto" where the verdict is good.

    Raises:
        ValueError: ``config.cuda_path`` is none of the three.
    """
    global _warned
    one_of("device", "config.cuda_path", config.cuda_path, ("auto", *PATHS))
    if config.cuda_path != "auto" or trusted():
        return config.cuda_path != "safe"
    with _deciding:
        verdict = stored()
        if verdict is None:
            if not config.quiet:
                print("numbacnn: comparing two ways to the CUDA device, once, for a minute or two ...", file=sys.stderr, flush=True)
            verdict = judge()
        if verdict.reason and not _warned:
            _warned = True
            text = f"CUDA takes its safe path, which is slower: {verdict.reason}; `{AGAIN}` tries again"
            warnings.warn(text, RuntimeWarning, stacklevel=2)
    return not verdict.reason


def trusted() -> bool:
    """Whether the fast path is taken unchecked: in the simulator, and where NUMBACNN_CUDA_CHECK is 0."""
    return driver.SIMULATED or os.environ.get("NUMBACNN_CUDA_CHECK") == "0"


# -- the file --------------------------------------------------------------------------------------------------------------------
def key() -> dict[str, str]:
    """What a verdict holds for."""
    digest = hashlib.sha256()
    for place in SOURCES:
        root = PACKAGE / place
        for source in [root] if root.is_file() else sorted(root.rglob("*.py")):
            digest.update(source.relative_to(PACKAGE).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    return {**driver.identity(), "numbacnn": __version__, "sources": digest.hexdigest()[:16]}


def _place(found: dict[str, str]) -> Path:
    """The file of the verdict; OSError where there is no folder for one."""
    folder = cache.folder(driver.identity)
    if folder is None:
        raise OSError("no folder for kernels can be written: set NUMBA_CACHE_DIR to one")
    return Path(folder, f"cuda-{hashlib.sha256(repr(found).encode()).hexdigest()[:16]}.json")


def stored() -> Verdict | None:
    """The verdict for this machine as it is now; None where there is none, or its file is damaged."""
    found = key()
    try:
        data = json.loads(_place(found).read_bytes())
        verdict = Verdict(str(data["reason"]), str(data["when"]), float(data["seconds"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return verdict if data.get("key") == found else None


# -- the check -------------------------------------------------------------------------------------------------------------------
def judge(*cases: str, tell: Callable[[str], object] = lambda line: None) -> Verdict:
    """Compare both paths in these cases, or all, and keep the verdict; nothing that goes wrong raises.

    Args:
        cases: names from ``testing.two_paths``.
        tell: is given a line for each part, as it ends.
    """
    began, when, found = time.perf_counter(), time.strftime("%Y-%m-%d %H:%M"), key()

    def verdict(reason: str) -> Verdict:
        return Verdict(reason, when, round(time.perf_counter() - began, 1))

    try:
        place = _place(found)
        files.write_atomically(place, b"")  # no verdict; where none can be kept, each process would check anew
        result = verdict(_difference(cases, tell))
        files.write_atomically(place, json.dumps({"key": found, **result._asdict()}, indent=1).encode())
        return result
    except OSError as error:
        return verdict(f"its verdict cannot be kept ({cache.reason(error)})")
    except Exception as error:
        return verdict(f"the check failed ({type(error).__name__}: {error})")


def _difference(cases: tuple[str, ...], tell: Callable[[str], object]) -> str:
    """What tells the fast path from the safe one, or why that can't be known; empty where they are the same."""
    left = dict(LIMITS)
    with tempfile.TemporaryDirectory() as folder:
        results: list[dict[str, np.ndarray]] = []
        for path in PATHS:
            file = Path(folder, f"{path}.npz")
            try:
                bounds = _run(path, cases, file, left, tell)
                with open(file, "rb") as content, np.load(content, allow_pickle=False) as arrays:
                    results.append(dict(arrays))
            except _Failed as failure:
                return str(failure)
            except Exception as error:  # damaged archives raise this and that
                return f"the {path} path left no results ({type(error).__name__})"
    safe, fast = results
    return _difference_of(safe, fast, bounds)


def _difference_of(safe: dict[str, np.ndarray], fast: dict[str, np.ndarray], bounds: dict[str, float]) -> str:
    """The first difference between the paths' results, by case and number; empty where there is none."""
    if safe.keys() != fast.keys():
        return "the paths have results of different cases"
    differences = (_apart(safe[name], fast[name], bounds.get(name.rpartition("/")[0], 0.0)) for name in safe)
    return next((f"the paths differ in {name}: {text}" for name, text in zip(safe, differences) if text), "")


def _apart(safe: np.ndarray, fast: np.ndarray, bound: float) -> str:
    """How results differ; empty where they have the same bits, or lie no further apart than ``bound`` of the largest number."""
    if (safe.shape, safe.dtype) != (fast.shape, fast.dtype):
        return f"{fast.dtype} {fast.shape} in place of {safe.dtype} {safe.shape}"
    if safe.tobytes() == fast.tobytes():
        return ""
    with np.errstate(all="ignore"):
        error = float(np.abs(safe.astype(float) - fast).max() / np.abs(safe.astype(float)).max())
    return "" if error <= bound else f"{error:.1e} of the largest number apart, at most {bound:.0e} allowed"  # NaN is not at most


class _Failed(Exception):
    """A process came to no end, or to none that counts."""


def _run(path: str, cases: tuple[str, ...], results: Path, left: dict[str, float], tell: Callable[[str], object]) -> dict[str, float]:
    """Run the cases in a process whose work takes this path; the bound of each. ``left`` are the seconds of each limit, less each run's."""
    environment = os.environ | {"NUMBACNN_CUDA_PATH": path, "NUMBACNN_CUDA_CHECK": "0", "NUMBACNN_QUIET": "1"}
    bounds: dict[str, float] = {}
    case = "its start"
    with tempfile.TemporaryFile() as complaints:
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": complaints}
        process = subprocess.Popen(children.command(CASES, "main", str(results), *cases), env=environment, start_new_session=True, **pipes)
        try:
            for limit in LIMITS:
                began = time.perf_counter()
                with children.limit(process, left[limit]) as late:
                    for line in iter(process.stdout.readline, b""):  # type: ignore[union-attr]
                        part = json.loads(line)
                        if "again" in part:
                            break
                        case = part.get("begins", case)
                        if "case" in part:
                            bounds[case] = part["bound"]
                            tell(f"{path}, {limit}: {case}, {part['seconds']:.2f} s")
                    else:
                        process.wait()
                left[limit] -= time.perf_counter() - began
                if late.is_set():
                    raise _Failed(f"the {path} path did not end {limit} within {LIMITS[limit]:g} s (in {case})")
        finally:
            children.end(process)
        if process.returncode:
            raise _Failed(f"the {path} path failed in {case}: {children.death(process.returncode, complaints)}")
    return bounds
