"""Files and folders that a crash, or a second process, must not spoil: written in one step, and held by one run at a time.

A lock is the operating system's, on an open file: it ends with its process however that dies, so that none is ever stale.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO

from .errors import message

__all__ = ["held", "open_file", "write_atomically"]

LOCK = ".lock"
HINT = "wait for its end, or take another folder"
MOVES_OPEN_FILES = sys.platform != "win32"  # whether a file that is open can be renamed and removed

if sys.platform == "win32":
    import msvcrt

    FAR = 1 << 30  # Windows locks bytes, which nobody else can read then: one beyond the contents

    def _lock(file: IO[bytes]) -> None:
        file.seek(FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _locked(file: IO[bytes]) -> bool:
    """Lock an open file; False where the file system knows no locks.

    Raises:
        BlockingIOError: somebody else holds it.
    """
    try:
        _lock(file)
    except (BlockingIOError, PermissionError):
        raise BlockingIOError from None
    except OSError:
        return False
    return True


def _claim(path: Path) -> IO[bytes]:
    """A file that this process alone holds, made where there is none; BlockingIOError where another holds it."""
    while True:
        file = open(path, "a+b")  # noqa: SIM115
        try:
            _locked(file)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        except FileNotFoundError:  # its last holder has removed it in between
            pass
        except BaseException:
            file.close()
            raise
        file.close()


# -- a file that is read -----------------------------------------------------------------------------------------------------
def open_file(op: str, what: str, path: str | os.PathLike[str]) -> BufferedReader:
    """A regular file, opened to be read; never a folder, a device, or a pipe that nobody writes to, which would hang.

    Args:
        op: who asks, for the error.
        what: what the file should be, "a picture file" for example.
        path: of the file; links are followed.

    Raises:
        FileNotFoundError: there is no regular file; the message says what there is.
        OSError: it can't be opened; the error is of the system's kind, as PermissionError.
    """
    name = os.fsdecode(path)
    try:
        mode = os.stat(name).st_mode
        if stat.S_ISREG(mode):
            return open(name, "rb")
    except (FileNotFoundError, NotADirectoryError):
        received = "a link to nothing" if os.path.islink(name) else "no such file"
    except ValueError:  # a zero byte in the name
        received = "no name of a file"
    except OSError as error:
        raise type(error)(message(op, f"{what} {name}", error.strerror or type(error).__name__)) from None
    else:
        received = _kind(mode)
    raise FileNotFoundError(message(op, f"{what} {name}", received))


def _kind(mode: int) -> str:
    """What lies there instead of a file."""
    return "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device"


# -- a file written in one step --------------------------------------------------------------------------------------------------
def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace a file by ``data`` in one step: neither a crash nor a power cut leaves part of it.

    The file keeps its mode, and a symbolic link stays one: the file that it leads to is replaced. What processes that were killed in
    the middle of such a write have left beside the file is removed.

    Raises:
        FileExistsError: a folder, a pipe or a device lies there, such as /dev/null, which a superuser would replace.
        OSError: the file can't be written; the error is the system's.
    """
    target = Path(os.path.realpath(path))
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(target).st_mode
        if not stat.S_ISREG(mode):
            raise FileExistsError(message("write", f"a file {os.fsdecode(path)}", _kind(mode)))
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    temporary, file = _temporary(target)
    try:
        with file:
            with contextlib.suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if MOVES_OPEN_FILES:  # while it is locked, and so no leftover
                os.replace(temporary, target)
        if not MOVES_OPEN_FILES:
            os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _temporary(target: Path) -> tuple[Path, IO[bytes]]:
    """A new file beside the target, locked."""
    while True:
        path = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
        with contextlib.suppress(BlockingIOError):  # another process looks whether it is a leftover
            return path, _claim(path)


def _remove_leftovers(target: Path) -> None:
    """Remove the temporary files of the target that nobody holds any more."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.\d+\.[0-9a-f]{{8}}")
    names: list[str] = []
    with contextlib.suppress(OSError):  # a folder may be written to and yet not be listed
        names = os.listdir(target.parent)
    for name in filter(pattern.fullmatch, names):
        leftover = target.with_name(name)
        with contextlib.suppress(OSError):
            with open(leftover, "r+b") as file:
                free = _locked(file)
                if free and MOVES_OPEN_FILES:
                    leftover.unlink()
            if free and not MOVES_OPEN_FILES:
                leftover.unlink()


# -- a folder held by one run ----------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def held(op: str, folder: Path | None) -> Iterator[None]:
    """Keep a folder, made where there is none, to one run at a time; one that was made and is empty at the end goes again.

    Raises:
        BlockingIOError: another run holds it; the message says which process.
    """
    if folder is None:
        yield
        return
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        received = "a file" if isinstance(error, FileExistsError) else error.strerror or type(error).__name__
        raise type(error)(message(op, f"a folder {folder}", received)) from None
    path = folder / LOCK
    try:
        file = _claim(path)
    except BlockingIOError:
        holder = path.read_text(errors="replace") or "another process"
        raise BlockingIOError(message(op, "a folder that no other run uses", f"{folder}, held by {holder}", HINT)) from None
    try:
        with file:
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}".encode())
            file.flush()
            try:
                yield
            finally:
                if MOVES_OPEN_FILES:  # while it is locked, so that it is not the next holder's
                    path.unlink(missing_ok=True)
    finally:
        with contextlib.suppress(OSError):
            if not MOVES_OPEN_FILES:
                path.unlink()
            if made:
                folder.rmdir()
