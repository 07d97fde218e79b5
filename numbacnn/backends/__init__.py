"""Devices by name. A backend is imported when it is first asked for, so that importing the package imports no kernel."""

from __future__ import annotations

import importlib
from typing import NamedTuple

from ..errors import DeviceError, message
from ..names import ACTIVATIONS
from ..signatures import judged
from .base import Array, Backend, NotFinite

__all__ = ["ACTIVATIONS", "DEFAULT", "Array", "Backend", "NotFinite", "device", "empty_cache", "get", "names", "queued"]


class _Device(NamedTuple):
    module: str
    queued: bool
    """Whether its work waits in a queue while Python goes on; to read a value is then to wait for all that came before."""


DEFAULT = "cpu"
_DEVICES = {"cpu": _Device(".cpu", queued=False), "cuda": _Device(".cuda", queued=True)}
_ALIASES = {"cuda:0": "cuda"}  # one GPU is used
_loaded: dict[str, Backend] = {}


def names() -> tuple[str, ...]:
    """All devices that the library knows, whether this machine has them or not.

    >>> names()
    ('cpu', 'cuda')
    """
    return tuple(_DEVICES)


def get(device: str, op: str = "device") -> Backend:
    """The backend of a device.

    Raises:
        DeviceError: where the name is unknown, or the device cannot be used; the message says what to do.
    """
    backend = _loaded.get(device)
    if backend is None:
        if device not in _DEVICES:
            raise DeviceError(message(op, f"one of {' and '.join(map(repr, _DEVICES))}", repr(device)))
        backend = _loaded[device] = importlib.import_module(_DEVICES[device].module, __name__).create()
    return backend


@judged
def device(name: str, op: str = "device") -> str:
    """The name of a device, checked: ``x.to(device("cuda"))``. "cuda:0" is "cuda": one GPU is used.

    Raises:
        DeviceError: where it is unknown or cannot be used.
    """
    return get(_ALIASES.get(name, name), op).name


def queued(device: str) -> bool:
    """Whether work on a device waits in a queue while Python goes on, so that to read a value is to wait."""
    return _DEVICES[device].queued


def empty_cache() -> None:
    """Give the memory that backends keep for later back to the system."""
    for backend in _loaded.values():
        backend.empty_cache()
