"""Kernels on disk: Numba's cache with a file a signature, in which nothing that goes wrong ends a program.

Numba numbers the files of a function and keeps an index of them. Two processes that save at once can take one number, and then the index
leads to another signature's code; a damaged file, or one that cannot be written, raises. Here a file's name comes from its signature, so
there is no index, and processes that save at once can only replace a file by its equal. A file begins with what it is for and a checksum:
one that does not match counts as absent, and the kernel is compiled and kept in its place. What cannot be kept is said once.

The checksum finds damage, not malice: a cached kernel is code, and whoever may write to the folder decides what runs.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import os
import pickle
import sys
import types
import uuid
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

from .. import config

__all__ = ["SUFFIX", "damage", "folder", "keep", "made_of", "reason", "try_out", "unkept"]

SUFFIX = ".nbk"
SIZE = hashlib.sha256().digest_size

HOOKS = ("_cache_file.flush", "_cache_file.load", "_cache_file.save", "_impl.filename_base", "_impl.locator.get_source_stamp")
"""What Numba does not document and this cache builds on; where it is not there, Numba's own files are used."""

unkept: str | None = None
"""What was said about the first kernel that could not be kept."""


def _digest(*parts: bytes) -> bytes:
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.digest()


class _Files:
    """What Numba asks of its index and numbered files. A file: for what it is (a digest), a checksum of the whole, the pickled kernel."""

    def __init__(self, folder: str, base: str, stamp: Any) -> None:
        self.stem, self.source = os.path.join(folder, base), (numba.__version__, stamp)

    def _path(self, key: Any) -> str:
        return f"{self.stem}.{_digest(repr(key).encode()).hex()[:16]}{SUFFIX}"

    def _identity(self, key: Any) -> bytes:
        return _digest(repr((self.source, key)).encode())

    def load(self, key: Any) -> Any:
        """The kernel; None where there is no whole one for this key."""
        try:
            content = Path(self._path(key)).read_bytes()
        except OSError:
            return None
        return pickle.loads(content[2 * SIZE :]) if content[:SIZE] == self._identity(key) and _is_whole(content) else None

    def save(self, key: Any, data: Any) -> None:
        path, identity, data = self._path(key), self._identity(key), dumps(data)
        temporary = f"{path}.{uuid.uuid4().hex[:16]}"  # not from tempfile, whose files are nobody else's to read
        try:
            with open(temporary, "xb") as file:
                file.write(identity + _digest(identity, data) + data)
            os.replace(temporary, path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            # Windows does not replace a file that another process reads or replaces now: the same kernel
            if not isinstance(error, OSError) or self.load(key) is None:
                raise

    def flush(self) -> None:
        for path in glob.glob(f"{glob.escape(self.stem)}.*{SUFFIX}"):
            with contextlib.suppress(OSError):
                os.unlink(path)


def _is_whole(content: bytes) -> bool:
    return content[SIZE : 2 * SIZE] == _digest(content[:SIZE], content[2 * SIZE :])


def damage(path: Path) -> str:
    """Why this file of the cache cannot be used; empty where it is whole."""
    try:
        return "" if _is_whole(path.read_bytes()) else "damaged"
    except OSError as error:
        return reason(error)


def reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


_Numbas: Any = object  # a class of caches


class _Cache(_Numbas):
    """The cache of one kernel, on top of a class of Numba's: ``made_of`` makes one."""

    def __init__(self, function: Callable) -> None:
        super().__init__(function)
        with contextlib.suppress(AttributeError):
            *_, base, stamp = attrgetter(*HOOKS)(self)
            self._cache_file = _Files(self.cache_path, base, (stamp(), self.version))

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling raises anything
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except Exception as error:
            _say(f"in {self.cache_path} ({reason(error)})")

    def _guard_against_spurious_io_errors(self) -> Any:
        return contextlib.nullcontext()  # Numba's passes over errors on Windows


@functools.cache
def made_of(numbas: type, version: str = "") -> Any:
    """The class of caches that writes what this class of Numba's does. ``version``: of what compiles beside Numba itself."""
    return type("_Cache", (_Cache, numbas), {"version": version})


def _say(where: str) -> None:
    global unkept
    if unkept is None:
        unkept = f"kernels cannot be kept {where}: each process compiles them; `numbacnn doctor` says more"
        if not config.quiet:
            print(f"numbacnn: {unkept}", file=sys.stderr, flush=True)


def keep(dispatcher: Any, numbas: type = FunctionCache, version: str = "") -> None:
    """Have what this dispatcher compiles kept on disk, if there is a folder that can be written: see :func:`made_of`."""
    try:
        if hasattr(dispatcher, "_cache"):
            dispatcher._cache = made_of(numbas, version)(dispatcher.py_func)
        else:
            dispatcher.enable_caching()
    except (RuntimeError, OSError):
        _say("(no folder for them can be written)")


def _sample(x):
    return x + x


def _beside(function: Any) -> Any:
    """A small function as if it stood in the file of another one."""
    return types.FunctionType(_sample.__code__.replace(co_filename=function.__code__.co_filename), globals(), "sample")


def folder(function: Any) -> str | None:
    """Where kernels are kept that stand in the file of this function; None where no folder can be written."""
    try:
        return made_of(FunctionCache)(_beside(function)).cache_path
    except (RuntimeError, OSError):
        return None


def try_out(function: Any) -> None:
    """Compile a small kernel, save it where :func:`folder` says, and load it again.

    Raises:
        Exception: whatever keeps kernels from being saved or loaded.
    """
    sample = _beside(function)
    sample.__qualname__ = f"sample_{os.getpid()}"  # its file is nobody else's
    dispatcher, cache, sig = njit(sample), made_of(FunctionCache)(sample), (numba.int64,)
    dispatcher.compile(sig)
    try:
        FunctionCache.save_overload(cache, sig, dispatcher.overloads[sig])
        if FunctionCache.load_overload(cache, sig, dispatcher.targetctx) is None:
            raise OSError("a kernel that was saved is not found again")
    finally:
        cache.flush()
