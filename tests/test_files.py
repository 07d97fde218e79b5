"""Files written in one step, and folders that one run at a time holds."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from numbacnn import files

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs modes and symbolic links as POSIX has them")


@posix
@pytest.mark.parametrize("mode", [0o660, 0o600, 0o640, 0o777])
def test_a_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(mode)
    files.write_atomically(path, b"new")
    assert path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == mode


@posix
def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_atomically(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@posix
@pytest.mark.parametrize("there", [True, False])
def test_a_symbolic_link_stays_one(tmp_path: Path, there: bool) -> None:
    (tmp_path / "place").mkdir()
    target, link = tmp_path / "place" / "target", tmp_path / "link"
    if there:
        target.write_bytes(b"old")
    link.symlink_to(Path("place") / "target")
    files.write_atomically(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


KILLED = """
import os, sys
from numbacnn import files
os.fsync = lambda file: os._exit(9)
files.write_atomically(sys.argv[1], b"half")
"""


def test_what_a_killed_write_left_goes_with_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=_environment(), timeout=60, check=False)
    assert done.returncode == 9 and len(list(tmp_path.iterdir())) == 2 and path.read_bytes() == b"old"
    living, foreign = tmp_path / ".a.1.0123abcd", tmp_path / ".b.1.0123abcd"
    foreign.touch()
    with files._claim(living):
        files.write_atomically(path, b"new")
        assert sorted(tmp_path.iterdir()) == [living, foreign, path]
    files.write_atomically(path, b"newer")
    assert sorted(tmp_path.iterdir()) == [foreign, path] and path.read_bytes() == b"newer"


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(files.__file__).parents[1]), *sys.path])}


# -- folders -----------------------------------------------------------------------------------------------------------------------
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes, which Windows lacks")
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """A pipe stands for /dev/null, which a superuser would lose."""
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a pipe"), (tmp_path, "a folder")):
        with pytest.raises(FileExistsError, match=rf"^\[write\] expected a file {re.escape(str(path))}; received {kind}\.$"):
            files.write_atomically(path, b"new")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode) and len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name, kind, received in (("file", FileExistsError, "a file"), ("file/run", NotADirectoryError, "Not a directory")):
        wanted = f"[fit] expected a folder {tmp_path / name}; received {received}."
        with pytest.raises(kind, match=f"^{re.escape(wanted)}$"), files.held("fit", tmp_path / name):
            pass


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with files.held("fit", folder):
        holder = rf"{re.escape(str(folder))}, held by process {os.getpid()} on .* since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d"
        wanted = rf"\[fit\] expected a folder that no other run uses; received {holder}; wait for its end, or take another folder\."
        with pytest.raises(BlockingIOError, match=f"^{wanted}$"), files.held("fit", folder):
            pass
        (folder / "file").touch()
    assert [file.name for file in folder.iterdir()] == ["file"]
    with files.held("fit", folder):
        pass


def test_a_folder_that_stays_empty_goes_again(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "new"):
        with pytest.raises(ZeroDivisionError), files.held("fit", folder):
            raise ZeroDivisionError
    assert tmp_path.exists() and not list(tmp_path.iterdir())


HOLDS = """
import os, pathlib, sys
from numbacnn import files
with files.held("fit", pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
    os._exit(9)
"""


def test_the_lock_of_a_process_ends_with_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, env=_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None and process.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError, match=f"held by process {process.pid} on "), files.held("fit", tmp_path):
            pass
        process.stdin.close()
        assert process.wait(60) == 9
    assert [file.name for file in tmp_path.iterdir()] == [files.LOCK]  # it was killed
    with files.held("fit", tmp_path):
        pass
    assert not list(tmp_path.iterdir())


# -- a file that is read -----------------------------------------------------------------------------------------------------------
@posix
def test_what_the_system_refuses_is_said_in_the_house_s_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "secret").write_bytes(b"x")
    real = open

    def refuse(name: str, *args: object) -> object:
        if name.endswith("secret"):
            raise PermissionError(13, "Permission denied", name)
        return real(name, *args)  # type: ignore[call-overload]

    monkeypatch.setattr("builtins.open", refuse)
    for name, kind in (("loop", OSError), ("n" * 5000, OSError), ("secret", PermissionError)):
        with pytest.raises(kind, match=rf"^\[read\] expected a letter {re.escape(str(tmp_path))}/{name}; received [A-Z].*\.$") as error:
            files.open_file("read", "a letter", tmp_path / name)
        assert type(error.value) is kind


def test_a_name_in_bytes_is_said_as_text() -> None:
    with pytest.raises(FileNotFoundError, match=r"^\[read\] expected a letter none; received no such file\.$"):
        files.open_file("read", "a letter", b"none")  # type: ignore[arg-type]
