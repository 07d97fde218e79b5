"""The kernels on disk: whatever happens to their files, results are right and a program goes on."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from numbacnn import config
from numbacnn.kernels import cache
from numbacnn.kernels.cpu import launch, tile

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")


def made() -> Any:
    """A dispatcher as another process would make it."""

    def rows(t, x):
        x[0] = tile.row_count(t) + x[1]

    return launch._compile(rows, False, frozenset())


def right(dispatcher: Any, m: int = 3) -> bool:
    """Whether it computes what it should for a tile of m rows."""
    x = np.array([0.0, 0.5])
    dispatcher(tile.Tile(m, 1), x)
    return x[0] == m + 0.5


def hits(dispatcher: Any) -> int:
    return sum(dispatcher.stats.cache_hits.values())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test, about which nothing was said yet."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))  # Numba may read it again at any time
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cache, "unkept", None)
    monkeypatch.setattr(config, "quiet", False)
    return Path(made().stats.cache_path)


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def test_a_kernel_is_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = made()
    assert right(first) and right(first, 4) and hits(first) == 0
    assert len(files(folder)) == 2 and {file.suffix for file in files(folder)} == {cache.SUFFIX}
    second = made()
    assert right(second) and right(second, 4) and hits(second) == 2
    second.recompile()  # Numba's way to be rid of it
    assert right(made(), 4)
    assert capsys.readouterr().err == ""


# -- damaged files ---------------------------------------------------------------------------------------------------------------
def _rewritten(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        file.write_bytes(change(file.read_bytes()))

    return damage


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


HEALED = {
    "gone": Path.unlink,
    "empty": _rewritten(lambda data: b""),
    "half": _rewritten(lambda data: data[: len(data) // 2]),
    "one byte short": _rewritten(lambda data: data[:-1]),
    "one byte changed": _rewritten(lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]),
    "garbage": _rewritten(lambda data: bytes(range(256)) * 40),
    "another pickle": _rewritten(lambda data: pickle.dumps({"a": 1})),
    "no pickle with a true checksum": _rewritten(lambda data: data[:32] + cache._digest(data[:32], b"x") + b"x"),
    "not a kernel with a true checksum": _rewritten(lambda data: data[:32] + cache._digest(data[:32], pickle.dumps(5)) + pickle.dumps(5)),
    "unreadable": lambda file: file.chmod(0),
    "dangling link": lambda file: (file.unlink(), file.symlink_to("nowhere")),
}


@pytest.mark.parametrize("kind", HEALED)
def test_a_damaged_file_is_as_good_as_none(kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert right(made())
    for file in files(folder):
        HEALED[kind](file)
    assert right(made())
    again = made()
    assert right(again) and hits(again) == 1  # it was kept anew
    assert capsys.readouterr().err == ""


def test_files_of_two_signatures_that_change_places(folder: Path) -> None:
    one, other = made(), made()
    assert right(one, 3)
    a = files(folder)[0]
    content = a.read_bytes()
    assert right(other, 4)
    b = next(file for file in files(folder) if file != a)
    a.write_bytes(b.read_bytes())
    b.write_bytes(content)
    again = made()
    assert right(again, 3) and right(again, 4) and hits(again) == 0


def test_files_of_another_version_or_source_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert right(made())
    monkeypatch.setattr(numba, "__version__", "0.0")
    monkeypatch.setattr(pickle, "loads", None)  # another version's kernels may not be unpickled at all
    again = made()
    assert right(again) and hits(again) == 0
    assert len(files(folder)) == 1  # it takes the place of the other


# -- what cannot be saved --------------------------------------------------------------------------------------------------------
def _no_space(folder: Path, patch: pytest.MonkeyPatch) -> None:
    opened = open

    def full(path: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        file = opened(path, mode, *args, **options)
        if Path(path).parent == folder:

            class Full:
                def __enter__(self) -> Any:
                    return self

                def __exit__(self, *_: object) -> None:
                    file.close()

                def write(self, data: bytes) -> None:
                    file.write(data[:10])
                    raise OSError(errno.ENOSPC, "No space left on device")

            return Full()
        return file

    patch.setattr("builtins.open", full)


def _sticky(folder: Path, patch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    patch.setattr(os, "replace", refuse)


def _file_for_folder(folder: Path, patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(folder)
    folder.touch()


def _folders_for_files(folder: Path, patch: pytest.MonkeyPatch) -> None:
    assert right(made()) and right(made(), 4)
    for file in files(folder):
        _folder(file)


def _not_picklable(folder: Path, patch: pytest.MonkeyPatch) -> None:
    def raises(*_: object) -> bytes:
        raise pickle.PicklingError("no")

    patch.setattr("numba.core.compiler.CompileResult._reduce", raises)


FAILURES = {
    _no_space: "No space left on device",
    _sticky: "Operation not permitted",
    _file_for_folder: os.strerror(errno.EEXIST),
    _folders_for_files: os.strerror(errno.EISDIR),
    _not_picklable: "no",
}


@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("quiet", [False, True])
def test_what_cannot_be_saved_is_said_once(
    failure: Callable, quiet: bool, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(config, "quiet", quiet)
    with monkeypatch.context() as patch:
        dispatchers = [made(), made()]
        failure(folder, patch)
        before = files(folder) if folder.is_dir() else []
        for dispatcher in dispatchers:
            assert right(dispatcher) and right(dispatcher, 4)
        assert before == (files(folder) if folder.is_dir() else [])  # nothing half-written stays
    reason = FAILURES[failure] if os.name != "nt" else r".*"
    said = f"numbacnn: kernels cannot be kept in {folder} ({reason}): each process compiles them; `numbacnn doctor` says more\n"
    assert capsys.readouterr().err == ("" if quiet else said)


def test_no_folder_at_all_is_said_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    assert right(made()) and right(made())
    said = "numbacnn: kernels cannot be kept (no folder for them can be written): each process compiles them; `numbacnn doctor` says more\n"
    assert capsys.readouterr().err == said


def test_without_what_it_builds_on_numbas_own_cache_is_guarded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cache, "HOOKS", ("_impl.renamed",))
    assert right(made())
    assert {file.suffix for file in files(folder)} == {".nbi", ".nbc"}
    again = made()
    assert right(again) and hits(again) == 1
    for file in files(folder):
        file.write_bytes(b"")
    assert right(made())
    assert capsys.readouterr().err.count("kernels cannot be kept") == 1


# -- two processes at once -------------------------------------------------------------------------------------------------------
AT_ONCE = """
    import itertools, os, sys, time
    import numpy as np
    from pathlib import Path
    from numbacnn.kernels.cpu import launch, tile

    me, m, room = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    steps, replace = itertools.count(), os.replace

    def wait(name):
        end = time.monotonic() + 60
        while not (room / name).exists() and time.monotonic() < end:
            time.sleep(0.005)

    def in_turn(source, target):
        step = next(steps)
        (room / f"{me}-comes-{step}").touch()
        for name in {("a", 0): ["b-comes-0"], ("b", 0): ["a-was-0"], ("a", 1): ["b-ends"]}.get((me, step), []):
            wait(name)
        replace(source, target)
        (room / f"{me}-was-{step}").touch()

    def rows(t, x):
        x[0] = tile.row_count(t)

    if me in "ab":
        os.replace = in_turn
    kernel, x = launch._compile(rows, False, frozenset()), np.zeros(1)
    for m in range(m, m + (1 if me in "ab" else 2)):
        kernel(tile.Tile(m, 1), x)
        print(int(x[0]), sum(kernel.stats.cache_hits.values()))
    (room / f"{me}-ends").touch()
"""


def test_two_processes_that_save_two_signatures_at_once(tmp_path: Path) -> None:
    """a and b make their files ready, a puts its first into place, b all of its own, a the rest."""
    script, environment = tmp_path / "script.py", {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    script.write_text(textwrap.dedent(AT_ONCE))

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(script), *words, str(tmp_path)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    def finish(*children: subprocess.Popen[str]) -> list[tuple[str, str]]:
        return [child.communicate(timeout=120) for child in children]

    assert finish(start("a", "2"), start("b", "3")) == [("2 0\n", ""), ("3 0\n", "")]
    assert finish(start("later", "2")) == [("2 1\n3 2\n", "")]


# -- what a compiled kernel takes -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("other", [tile.Tile(4, 1), tile.Tile(3, 2), tile.Tile(3, 1, "float64"), tile.Tile(3, 1, run=3), "no tile"])
def test_a_compiled_kernel_refuses_other_tiles(other: Any) -> None:
    dispatcher = made()
    assert right(dispatcher)
    compiled, x = dispatcher.overloads[dispatcher.signatures[0]].entry_point, np.zeros(2)
    compiled(tile.Tile(3, 1), x)
    with pytest.raises(TypeError) as error:
        compiled(other, x)
    wanted = "[kernel] expected Tile(3, 1, 'float32', 1); received another tile; it was compiled for that one alone."
    assert str(error.value) == wanted


def test_cuda_kernels_of_one_pattern_have_files_of_their_own() -> None:
    from numbacnn.kernels.cuda.fast.pointwise import wide
    from numbacnn.kernels.cuda.simt import pointwise, rows

    made = [rows.forward("silu"), rows.forward("elu"), rows.backward("elu")]
    made += [wide(made[0]), wide(made[1]), wide(pointwise.unary, 8), wide(pointwise.unary, 9), wide(pointwise.gelu, 0)]
    assert len({kernel._cache._impl.filename_base for kernel in made}) == len(made)
