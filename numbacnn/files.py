"""Files that are read."""

from __future__ import annotations

import os
import stat
from io import BufferedReader

from .errors import message

__all__ = ["open_file"]


def open_file(op: str, what: str, path: str | os.PathLike[str]) -> BufferedReader:
    """A regular file, opened to be read; never a folder, a device, or a pipe that nobody writes to, which would hang.

    Args:
        op: who asks, for the error.
        what: what the file should be, "a picture file" for example.
        path: of the file; links are followed.

    Raises:
        FileNotFoundError: there is no regular file; the message says what there is.
        OSError: it can't be opened.
    """
    name = os.fspath(path)
    try:
        mode = os.stat(name).st_mode
    except (FileNotFoundError, NotADirectoryError):
        received = "a link to nothing" if os.path.islink(name) else "no such file"
    except ValueError:  # a zero byte in the name
        received = "no name of a file"
    else:
        if stat.S_ISREG(mode):
            return open(name, "rb")
        received = "a folder" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device"
    raise FileNotFoundError(message(op, f"{what} {name}", received))
