"""The library's exceptions, and the one form in which they speak.

Every message reads ``[op] expected ...; received ...; hint.``: what was wanted with its axis names, what came, and what to do.
Errors are raised before any work is done.
"""

from __future__ import annotations

import re

__all__ = ["DTypeError", "DeviceError", "FormatError", "OutOfMemoryError", "ShapeError", "in_form", "message", "printable"]

# control characters but the line's end, those that turn the direction of writing, and halves of characters
_UNPRINTABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_FORM = re.compile(r"\[[^\]]+\] expected .+; received .+\.", re.DOTALL)


class ShapeError(ValueError, RuntimeError):
    """The sizes of the arguments do not fit each other; a RuntimeError too, as PyTorch's is."""


class DTypeError(TypeError):
    """An argument has an element type that the operation does not take."""


class DeviceError(RuntimeError):
    """A device is missing, or the arguments lie on different ones."""


class OutOfMemoryError(DeviceError, MemoryError):
    """A device has no memory left; what it holds stays as it is."""


class FormatError(ValueError):
    """A file is truncated, corrupt, oversized, or not what it should be."""


def message(op: str, expected: str, received: str, hint: str = "") -> str:
    """The text of an error.

    >>> message("conv2d", "input (N, C, H, W)", "input (28, 28)", "add a batch and a channel axis")
    '[conv2d] expected input (N, C, H, W); received input (28, 28); add a batch and a channel axis.'
    """
    parts = [f"expected {expected}", f"received {received}", hint]
    return printable(f"[{op}] " + "; ".join(part for part in parts if part) + ".")


def printable(text: str, encoding: str | None = None) -> str:
    r"""Text from a file as a terminal may be given it: what could steer the terminal, or is not in its encoding, is written as an escape.

    >>> printable("cat\x1b[2J")
    'cat\\x1b[2J'
    >>> printable("na\xefve", "ascii")
    'na\\xefve'
    """
    text = _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
    return text if encoding is None else text.encode(encoding, "backslashreplace").decode(encoding)


def in_form(error: BaseException) -> bool:
    """Whether an error speaks in the form of :func:`message`."""
    text = error.args[0] if isinstance(error, KeyError) and error.args else error  # str() of a KeyError has quotes
    return _FORM.fullmatch(str(text)) is not None
