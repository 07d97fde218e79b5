"""Which path work takes to a CUDA device: judged by processes, of which some fail here, and kept in a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numbacnn import children, config
from numbacnn.backends import cuda
from numbacnn.backends.cuda import verdict
from numbacnn.cli import main
from numbacnn.kernels import cache
from numbacnn.kernels.cuda import driver
from numbacnn.testing import two_paths

pytestmark = pytest.mark.skipif(driver.SIMULATED, reason="the simulator needs no verdict")

PROCESS = """
import json, os, shutil, sys, time

def say(**what):
    print(json.dumps(what), flush=True)

path = os.environ["NUMBACNN_CUDA_PATH"]
fast = path == "fast"
say(begins="sums")
{first}
say(case="sums", bound={bound}, seconds=0.0)
say(again=True)
say(begins="sums")
{second}
shutil.copy({folder!r} + "/" + path, sys.argv[1])
"""
"""What ``two_paths.main`` does, with places for faults."""

SUMS = np.float32([1, 2, 4])

Processes = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """A machine with a GPU that nobody has used, as far as the choice is concerned."""
    found = {"card": "one", "compute capability": "9.0", "driver": "13.0", "numba": "0.68", "target": "Numba's own"}
    monkeypatch.setattr(driver, "identity", lambda: dict(found))
    monkeypatch.setattr(driver, "why_unavailable", lambda: "")
    for name in ("CudaBackend", "FastBackend"):
        monkeypatch.setattr(cuda, name, type(name, (), {}))
    monkeypatch.setattr(cache, "folder", lambda function: str(tmp_path))
    monkeypatch.setattr(config, "cuda_path", "auto")
    monkeypatch.setattr(config, "quiet", True)
    monkeypatch.setattr(config, "cuda_graphs", True)  # which cases change
    monkeypatch.setattr(verdict, "_warned", False)
    monkeypatch.delenv("NUMBACNN_CUDA_CHECK", raising=False)
    return found


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Processes:
    """Has processes of this kind started for the check; the list of those that were."""

    def plant(first: str = "", second: str = "", fast: Any = SUMS, bound: float = 0.0) -> list[str]:
        started: list[str] = []
        folder = tmp_path_factory.mktemp("results")
        for path, results in (("safe", SUMS), ("fast", fast)):
            with open(folder / path, "wb") as file:
                np.savez(file, **{"sums/0": results})
        script = PROCESS.format(first=first, second=second, bound=bound, folder=str(folder))

        def command(module: str, function: str, *args: str) -> list[str]:
            started.append(f"{module}.{function}")
            return [sys.executable, "-I", "-S", "-c", script, *args]

        monkeypatch.setattr(children, "command", command)
        return started

    return plant


def warned(path: str = "safe") -> list[str]:
    """The warnings of the choice, which is made twice, as a process may do."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        kinds = {type(cuda.create()).__name__ for _ in range(2)}
    assert kinds == {"FastBackend" if path == "fast" else "CudaBackend"}
    return [str(each.message) for each in found]


def test_a_good_verdict_is_found_once(processes: Processes, tmp_path: Path) -> None:
    started = processes()
    assert warned("fast") == []
    assert started == ["numbacnn.testing.two_paths.main"] * 2
    assert warned("fast") == [] and len(started) == 2  # a later process finds the file
    (file,) = tmp_path.iterdir()
    data = json.loads(file.read_bytes())
    assert data["reason"] == "" and data["key"]["card"] == "one" and data["seconds"] >= 0
    known = verdict.stored()
    assert known is not None and known.text.startswith("fast, the same as the safe one (found on 20")


ABORTED = "the fast path failed in sums: the process " + ("ended with status 3" if os.name == "nt" else "died of SIGABRT")
FAULTS = [
    ("if fast: os.abort()", "", ABORTED),
    ("", "if fast: os.abort()", ABORTED),
    ("sys.exit('an illegal address')", "", "the safe path failed in sums: the process ended with status 1: an illegal address"),
    ("", "if fast: sys.exit(3)", "the fast path failed in sums: the process ended with status 3"),
    ("if fast: os._exit(0)", "", "the fast path left no results (FileNotFoundError)"),
    ("", "if fast: open(sys.argv[1], 'w').write('PK\\3\\4'); os._exit(0)", "the fast path left no results (BadZipFile)"),
    ("if fast: print('what?', flush=True)", "", "the fast path left no results (JSONDecodeError)"),
]
DIFFERENCES = [
    (np.float32([1, 2, np.nextafter(np.float32(4), np.float32(5))]), "1.2e-07 of the largest number apart, at most 0e+00 allowed"),
    (np.float32([1, np.nan, 4]), "nan of the largest number apart, at most 0e+00 allowed"),
    (SUMS[:2], "float32 (2,) in place of float32 (3,)"),
    (SUMS.astype(float), "float64 (3,) in place of float32 (3,)"),
]


@pytest.mark.parametrize(("first", "second", "reason"), FAULTS)
def test_a_fault_means_the_safe_path_and_one_warning(first: str, second: str, reason: str, processes: Processes) -> None:
    started = processes(first, second)
    assert warned() == [f"CUDA takes its safe path, which is slower: {reason}; `numbacnn doctor --check-cuda` tries again"]
    assert warned() == [] and len(started) == 1 + ("fast" in first + second)  # and it is kept
    known = verdict.stored()
    assert known is not None and known.reason == reason and known.text.startswith(f"safe, {reason} (found on ")


@pytest.mark.parametrize(("fast", "text"), DIFFERENCES)
def test_a_difference_means_the_safe_path_and_one_warning(fast: Any, text: str, processes: Processes) -> None:
    processes(fast=fast)
    reason = f"the paths differ in sums/0: {text}"
    assert warned() == [f"CUDA takes its safe path, which is slower: {reason}; `numbacnn doctor --check-cuda` tries again"]


def test_both_paths_must_have_run_the_same_cases() -> None:
    assert verdict._difference_of({"sums/0": SUMS}, {"means/0": SUMS}, {}) == "the paths have results of different cases"


@pytest.mark.parametrize(("first", "second", "limit"), [("time.sleep(99)", "", "compiling"), ("", "time.sleep(99)", "comparing")])
def test_a_process_that_hangs_is_ended(first: str, second: str, limit: str, processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    processes(first, second)
    monkeypatch.setitem(verdict.LIMITS, limit, 0.5)
    (text,) = warned()
    assert text.startswith(f"CUDA takes its safe path, which is slower: the safe path did not end {limit} within 0.5 s (in ")


def test_the_limits_are_for_both_paths(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    processes(second="time.sleep(99 if fast else 0.5)")
    monkeypatch.setitem(verdict.LIMITS, "comparing", 1.5)
    given: list[float] = []
    limit = children.limit
    monkeypatch.setattr(children, "limit", lambda process, seconds: (given.append(seconds), limit(process, seconds))[1])
    assert verdict.judge().reason in [f"the {path} path did not end comparing within 1.5 s (in sums)" for path in ("safe", "fast")]
    assert given[1] == 1.5 and all(seconds < 1.1 for seconds in given[3:])


def test_where_the_order_of_sums_differs_a_bound_is_allowed(processes: Processes) -> None:
    for apart, reason in ((3e-6, ""), (6e-6, "1.5e-06"), (np.inf, "inf")):
        processes(fast=SUMS + np.float32([0, apart, 0]), bound=1e-6)
        wanted = reason and f"the paths differ in sums/0: {reason} of the largest number apart, at most 1e-06 allowed"
        assert verdict.judge().reason == wanted


OTHER = b'{"reason": "", "when": "today", "seconds": 1, "key": {"card": "two"}}'


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[]", b"{}", OTHER])
def test_a_damaged_verdict_counts_as_none(content: bytes, processes: Processes, tmp_path: Path) -> None:
    started = processes()
    assert verdict.judge().reason == ""
    (file,) = tmp_path.iterdir()
    file.write_bytes(content)
    assert verdict.stored() is None
    assert warned("fast") == [] and len(started) == 4


def test_a_verdict_holds_for_one_machine_and_one_source(
    machine: dict[str, str], processes: Processes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started = processes()
    verdict.judge()
    for name, old in machine.items():
        machine[name] = "another"
        assert verdict.stored() is None, name
        machine[name] = old
    assert verdict.stored() is not None
    for place in verdict.SOURCES:
        assert (verdict.PACKAGE / place).exists(), place
    sources = tmp_path / "package/kernels/cuda/simt"
    sources.mkdir(parents=True)
    monkeypatch.setattr(verdict, "PACKAGE", tmp_path / "package")
    for text in ("x = 1", "x = 2"):
        (sources / "copy.py").write_text(text)
        assert verdict.stored() is None
        verdict.judge()
        assert verdict.stored() is not None
    assert len(started) == 6


def test_where_a_verdict_cannot_be_kept_nothing_is_checked(processes: Processes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For each process would do so anew."""
    started = processes()
    monkeypatch.setattr(cache, "folder", lambda function: None)
    (text,) = warned()
    assert "its verdict cannot be kept (no folder for kernels can be written: set NUMBA_CACHE_DIR to one)" in text
    (tmp_path / "file").touch()
    monkeypatch.setattr(cache, "folder", lambda function: str(tmp_path / "file"))
    assert verdict.judge().reason.startswith("its verdict cannot be kept (")
    assert started == []


def test_a_disk_that_is_full_at_the_end(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    started = processes()
    write, written = verdict.files.write_atomically, []

    def once(path: Path, data: bytes) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(path)
        write(path, data)

    monkeypatch.setattr(verdict.files, "write_atomically", once)
    assert verdict.judge().reason == "its verdict cannot be kept (No space left on device)"
    assert len(started) == 2 and verdict.stored() is None


def test_nothing_that_goes_wrong_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "command", lambda *args: ["/no/such/python"])
    assert verdict.judge().reason == "the safe path left no results (FileNotFoundError)"
    monkeypatch.setattr(verdict.tempfile, "TemporaryDirectory", lambda: 1 / 0)
    assert verdict.judge().reason == "the check failed (ZeroDivisionError: division by zero)"


def test_two_at_once_leave_one_verdict(processes: Processes, tmp_path: Path) -> None:
    processes()
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(verdict.judge())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.reason for each in found] == [""] * 3
    assert verdict.stored() in found and len(list(tmp_path.iterdir())) == 1


def test_who_says_which_path_is_not_checked(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    started = processes("os.abort()")
    for path in ("safe", "fast"):
        monkeypatch.setattr(config, "cuda_path", path)
        assert warned(path) == []
    monkeypatch.setattr(config, "cuda_path", "auto")
    monkeypatch.setenv("NUMBACNN_CUDA_CHECK", "0")
    assert warned("fast") == [] and started == []
    monkeypatch.setattr(config, "cuda_path", "quick")
    with pytest.raises(ValueError) as error:
        cuda.create()
    assert str(error.value) == "[device] expected config.cuda_path as 'auto', 'safe' or 'fast'; received 'quick'."


def test_the_first_use_says_that_it_takes_time(
    processes: Processes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    processes()
    monkeypatch.setattr(config, "quiet", False)
    cuda.create()
    cuda.create()
    assert capsys.readouterr().err == "numbacnn: comparing two ways to the CUDA device, once, for a minute or two ...\n"


# -- doctor ----------------------------------------------------------------------------------------------------------------------
@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def run(*args: str) -> tuple[int, str]:
        code = main(["doctor", *args])
        return code, capsys.readouterr().out

    return run


def test_doctor_prints_the_verdict(doctor: Any, processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    from numbacnn.cli.doctor import _cuda

    def path() -> str:
        return dict(_cuda())["path"]

    assert path() == "not chosen: its first use compares both, or numbacnn doctor --check-cuda"
    processes(fast=SUMS + 1)
    code, text = doctor("--check-cuda")
    lines = text.splitlines()
    each = [f"{path}, {limit}: sums, 0.00 s" for path in ("safe", "fast") for limit in ("compiling",)]
    assert code == 1 and lines[:2] == each
    assert lines[2].startswith("safe, the paths differ in sums/0: ") and path() == lines[2]
    assert f"  path          {lines[2]}\n" in doctor()[1]
    processes()
    code, text = doctor("--check-cuda")
    assert code == 0 and text.splitlines()[2].startswith("fast, the same as the safe one (found on 20")
    assert path() == text.splitlines()[2]
    monkeypatch.setenv("NUMBACNN_CUDA_CHECK", "0")
    assert path() == "fast, unchecked, as NUMBACNN_CUDA_CHECK=0 says"
    monkeypatch.setattr(config, "cuda_path", "safe")
    assert path() == "safe, as config.cuda_path or NUMBACNN_CUDA_PATH says"


def test_doctor_says_that_there_is_no_gpu(doctor: Any, processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    started = processes()
    monkeypatch.setattr(driver, "why_unavailable", lambda: "no driver")
    assert doctor("--check-cuda") == (1, "no usable GPU: no driver\n") and started == []


# -- the cases -------------------------------------------------------------------------------------------------------------------
FEW = """
import sys
from numbacnn import backends, config, tensor
from numbacnn.testing import two_paths

def doubled(device):
    print("what is printed is no answer")
    with open({file!r}, "a") as file:
        print(config.cuda_path, type(backends.get(device)).__name__, file=file)
    yield tensor([1.0, 2.0, 3.0], device=device) * 2.0

two_paths.CASES = {{"doubled": two_paths.Case(doubled, 0.0)}}
main = two_paths.main
"""


def test_each_path_runs_the_cases_twice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the simulator."""
    (tmp_path / "few.py").write_text(FEW.format(file=str(tmp_path / "runs")))
    for name, value in {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_CACHE_DIR": tmp_path / "cache", "PYTHONPATH": tmp_path}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(verdict, "CASES", "few")
    lines: list[str] = []
    assert verdict.judge(tell=lines.append).reason == ""
    assert (tmp_path / "runs").read_text().splitlines() == ["safe CudaBackend"] * 2 + ["fast FastBackend"] * 2
    ways = [line.rpartition(",")[0] for line in lines]
    assert ways == [f"{path}, {limit}: doubled" for path in ("safe", "fast") for limit in ("compiling", "comparing")]


def test_results_must_be_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([1.0, 1.0, 1.0, 2.0])
    monkeypatch.setattr(two_paths, "DEVICE", "cpu")
    monkeypatch.setattr(two_paths, "CASES", {"next": two_paths.Case(lambda device: [two_paths.tensor(next(values))], 0.0)})
    said: list[dict[str, Any]] = []
    assert two_paths.results((), lambda **what: said.append(what)) == {"next/0": np.float32(1)}
    assert [list(what) for what in said] == [["begins"], ["case", "bound", "seconds"], ["again"], ["begins"], ["case", "bound", "seconds"]]
    with pytest.raises(RuntimeError, match=r"^next: other bits when it is run again$"):
        two_paths.results(("next",), lambda **what: None)


def test_a_process_ends_with_the_one_that_started_it() -> None:
    leaf = "from numbacnn import children; children.end_with_parent(); print('up', flush=True); import time; time.sleep(99)"
    script = f"import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', {leaf!r}]); os.read(0, 1); os._exit(0)"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as parent:
        assert parent.stdout.readline() == b"up\n"  # type: ignore[union-attr]
        assert parent.communicate(b"x", timeout=30) == (b"", None)  # the other end of its output is closed: nobody is left


def run_case(name: str) -> list[bytes]:
    return [np.asarray(t.detach()).tobytes() for t in two_paths.CASES[name].run("cpu")]


QUICK = ("arguments of kernels", "reuse of memory", "labels out of range", "dropout")


@pytest.mark.parametrize("name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.long) for name in two_paths.CASES])
def test_a_case_gives_the_same_bits_again(name: str) -> None:
    found = run_case(name)
    assert len(b"".join(found)) > 80 and run_case(name) == found


def test_a_compiled_step_of_other_bits_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def off(step: Callable[..., Any], disable: bool, fullgraph: bool) -> Callable[..., Any]:
        return lambda x, y: step(x if disable else x * 1.001, y)

    monkeypatch.setattr(two_paths, "compile", off)
    with pytest.raises(RuntimeError, match=r"^a step run as a list has other bits than an eager one \(loss 0\)$"):
        list(two_paths.trained("cpu", lambda: two_paths.nn.Sequential(two_paths.nn.Linear(3, 10)), (2, 3), 1))


def test_a_label_that_nobody_notices_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two_paths.F, "cross_entropy", lambda x, y: x.sum())
    with pytest.raises(RuntimeError, match=r"^a label that is out of range is not noticed$"):
        two_paths.faults("cpu")
