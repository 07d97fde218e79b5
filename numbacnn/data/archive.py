"""Archives unpacked member by member: nothing is written above the folder, and no more than was allowed."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from ..errors import FormatError, message
from .download import locked

__all__ = ["SUFFIXES", "unpack"]

SUFFIXES = (".tar.gz", ".zip", ".gz")
CHUNK = 1 << 20
MOST_MEMBERS = 10_000
CONTRADICTIONS = (None, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)
"""Numbers of the system's errors that an archive causes by its content, such as a folder with the name of a file; None is gzip's own."""


def unpack(op: str, archive: Path, folder: Path, most: int) -> None:
    """Unpack a ``.tar.gz`` or ``.zip``, or the one file in a ``.gz``, into a folder; files that are there already are replaced.

    All of it is first written into a hidden folder beside, and then renamed file by file, so that no file is ever half there. Links,
    devices, and names that lead out of the folder are refused, wherever in the archive they stand. Modes and owners are not taken over.

    Args:
        op: who asks, for the error.
        archive: the file; its suffix says of what kind it is.
        folder: where to.
        most: how many bytes may come out of it.

    Raises:
        FormatError: the archive is damaged, too large, or holds what is refused; the folder is as it was.
        OSError: a file can't be written.

    >>> unpack("CIFAR10", Path("cifar-10-python.tar.gz"), Path("data"), 1 << 28)  # doctest: +SKIP
    """
    with locked(folder / f".{archive.name}.lock"):
        beside = folder / f".{archive.name}.unpacked"
        shutil.rmtree(beside, ignore_errors=True)  # what a process that was killed has left
        try:
            beside.mkdir()
            _write(archive, beside, most)
            for path in sorted(path for path in beside.rglob("*") if path.is_file()):
                target = folder / path.relative_to(beside)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, target)
        except Exception as error:  # the readers of archives raise nearly anything on damaged ones
            if isinstance(error, OSError) and error.errno not in CONTRADICTIONS:
                raise
            reason = f"{error}" if isinstance(error, _Refused) else f"{type(error).__name__}: {error}"
            wanted = f"{archive} to be a whole archive of files within one folder"
            raise FormatError(message(op, wanted, reason, "delete it and get it anew")) from error
        finally:
            shutil.rmtree(beside, ignore_errors=True)


class _Refused(Exception):
    """What the archive holds and may not hold."""


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Bounded:
    """A stream that ends in an error where more than ``most`` bytes are used, its own and those before it."""

    def __init__(self, stream: _Stream, most: int, used: int = 0) -> None:
        self.stream, self.most, self.used = stream, most, used

    def read(self, size: int) -> bytes:
        data = self.stream.read(min(size, self.most - self.used + 1))
        self.used += len(data)
        if self.used > self.most:
            raise _Refused(f"more than {self.most} bytes")
        return data


def _write(archive: Path, folder: Path, most: int) -> None:
    """Write all members below a folder that is empty."""
    used = 0
    for count, (name, content) in enumerate(_members(archive, most)):
        if count >= MOST_MEMBERS:
            raise _Refused(f"more than {MOST_MEMBERS} members")
        if name.startswith("/") or ".." in name.split("/") or any(mark in name for mark in "\\:"):
            raise _Refused(f"a member {name!r} outside it")
        if content is None:
            continue
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        stream = _Bounded(content, most, used)
        with target.open("xb") as file:
            while chunk := stream.read(CHUNK):
                file.write(chunk)
        used = stream.used


def _members(archive: Path, most: int) -> Iterator[tuple[str, _Stream | None]]:
    """The name of each member and its content; None for a folder."""
    if archive.name.endswith(".zip"):
        yield from _of_zip(archive)
    elif archive.name.endswith(".tar.gz"):
        yield from _of_tar(archive, most)
    else:
        with gzip.open(archive) as content:
            yield archive.name.removesuffix(".gz"), content


def _of_zip(archive: Path) -> Iterator[tuple[str, _Stream | None]]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the writer knows no kinds
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _Refused(f"a link or a device {info.filename!r}")
            if info.is_dir():
                yield info.filename, None
                continue
            with opened.open(info) as content:
                yield info.filename, content


def _of_tar(archive: Path, most: int) -> Iterator[tuple[str, _Stream | None]]:
    with gzip.open(archive) as stream, tarfile.open(fileobj=_Bounded(stream, most), mode="r|") as opened:  # type: ignore[call-overload]
        for member in opened:
            if not member.isdir() and not member.isreg():
                raise _Refused(f"a link or a device {member.name!r}")
            yield member.name, opened.extractfile(member)
