"""Files from the network: several mirrors, resumed after a break, checked, and moved into place whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import FormatError, message

__all__ = ["RemoteFile", "cache_folder", "fetch", "locked"]

CHUNK = 1 << 16
ATTEMPTS = 50  # on one mirror, each of which must get further than the last


@dataclass(frozen=True)
class RemoteFile:
    """What a download must be: its name below each mirror, its size in bytes and its SHA-256 in hex.

    Where only the beginning of the SHA-256 is known, that is compared; a size of None is what the server says.
    """

    name: str
    size: int | None
    sha256: str


def cache_folder() -> Path:
    """Where downloads are kept: ``numbacnn`` in $XDG_CACHE_HOME or ~/.cache; on Windows in %LOCALAPPDATA%. It need not exist."""
    variable, default = ("LOCALAPPDATA", "AppData/Local") if sys.platform == "win32" else ("XDG_CACHE_HOME", ".cache")
    base = os.environ.get(variable, "")
    return (Path(base) if os.path.isabs(base) else Path.home() / default) / "numbacnn"


def fetch(file: RemoteFile, mirrors: Sequence[str], folder: Path, *, timeout: float = 30.0, hint: str = "") -> Path:
    """The path of ``file`` in ``folder``, downloaded if it is not there yet, or if what is there has another size or checksum.

    The mirrors are tried in order. What has arrived lies in ``NAME.part``: a break, also of
    the whole program, is continued from there, on the same mirror or another. Only a file with the right size and checksum gets its
    name, in one step. Processes and threads that want the same file wait for the first.

    Args:
        file: what it must be.
        mirrors: URLs to which its name is added.
        folder: where it is kept, made where there is none.
        timeout: seconds without any data.
        hint: what helps where no mirror does.

    Raises:
        ConnectionError: naming every mirror and its reason.
        OSError: where the folder can't be written.

    >>> fetch(RemoteFile("words.gz", 1234, "9f86d0..."), ["https://example.org/data/"], cache_folder())  # doctest: +SKIP
    """
    path = folder / file.name
    if _is(file, path):
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f".{file.name}.lock"):
        if not _is(file, path):  # another process may have brought it while we waited
            _from_any_mirror(file, mirrors, path, timeout, hint or f"get the file by other means and put it into {folder}")
    return path


def _is(file: RemoteFile, path: Path) -> bool:
    return path.exists() and file.size in (None, _size(path)) and _digest(path).startswith(file.sha256)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process (or thread) at a time. The system frees the lock when its holder ends, however it ends."""
    with path.open("ab") as file:
        if sys.platform == "win32":
            import msvcrt

            while True:
                with contextlib.suppress(OSError):  # it gives up after ten seconds
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
        else:
            import fcntl

            with contextlib.suppress(OSError):  # a network folder without locks: the checksum still keeps out what is corrupt
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _from_any_mirror(file: RemoteFile, mirrors: Sequence[str], path: Path, timeout: float, hint: str) -> None:
    part = path.with_name(path.name + ".part")
    failures = []
    for mirror in mirrors:
        try:
            _from_mirror(mirror + file.name, file, part, timeout)
        except (OSError, FormatError) as error:
            failures.append(f"{mirror + file.name} ({error})")
        else:
            os.replace(part, path)
            return
    raise ConnectionError(message("fetch", f"to download {file.name} from one of {len(mirrors)} mirrors", ", ".join(failures), hint))


def _from_mirror(url: str, file: RemoteFile, part: Path, timeout: float) -> None:
    """Completes and checks ``part``; raises where this mirror can't."""
    for _ in range(ATTEMPTS):
        before = _size(part)
        try:
            _receive(url, file, part, timeout)
        except OSError:
            if _size(part) > before:
                continue  # a break on the way, but it got further: go on from there
            raise
        if _digest(part).startswith(file.sha256):
            return
        received = f"{_size(part)} bytes with SHA-256 {_digest(part)}"
        part.unlink()
        if before == 0:  # otherwise the old beginning may have been at fault: once more from the start
            wanted = "" if file.size is None else f"{file.size} bytes with "
            raise FormatError(message("fetch", f"{file.name}: {wanted}SHA-256 {file.sha256}", received))
    raise ConnectionError(f"it broke off {ATTEMPTS} times")


def _receive(url: str, file: RemoteFile, part: Path, timeout: float) -> None:
    """One request for what ``part`` lacks; OSError, of which urllib's errors are kinds, where it fails or breaks off."""
    import http.client  # here, since with urllib it would make up a tenth of the time in which numbacnn is imported

    try:
        _request(url, file, part, timeout)
    except http.client.HTTPException as error:
        raise ConnectionError(f"{type(error).__name__}: {str(error).strip()}") from error


def _request(url: str, file: RemoteFile, part: Path, timeout: float) -> None:
    """Appends to ``part``, or writes it anew where the server does not do ranges."""
    import urllib.request

    from tqdm import tqdm

    start = _size(part)
    if file.size is not None and start >= file.size:
        return
    headers = {"User-Agent": "numbacnn"} | ({"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=timeout) as response:
        resumed = start > 0 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        have = start if resumed else 0
        announced = response.headers.get("Content-Length", "")
        offered = have + int(announced) if announced.isdigit() else file.size
        if file.size not in (None, offered):  # a log-in page, say; keep what we have
            raise ConnectionError(f"it offers {offered} bytes instead of {file.size}")
        bar = tqdm(total=offered, initial=have, desc=file.name, unit="B", unit_scale=True, leave=False, disable=None)
        with part.open("ab" if resumed else "wb") as out, bar:
            while chunk := response.read(CHUNK if offered is None else min(CHUNK, offered + 1 - have)):  # at most one byte too many
                out.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
    if offered is not None and have < offered:
        raise ConnectionError(f"it broke off after {have} of {offered} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
