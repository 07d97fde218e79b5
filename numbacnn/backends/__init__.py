"""Devices by name. A backend is imported when it is first asked for, so that importing the package imports no kernel."""

from __future__ import annotations

import importlib

from ..errors import DeviceError, message
from ..names import ACTIVATIONS
from .base import Array, Backend

__all__ = ["ACTIVATIONS", "Array", "Backend", "device", "empty_cache", "get"]

_MODULES = {"cpu": ".cpu", "cuda": ".cuda"}
_loaded: dict[str, Backend] = {}


def get(device: str) -> Backend:
    """The backend of ``"cpu"`` or ``"cuda"``.

    Raises:
        DeviceError: where the name is unknown, or the device cannot be used; the message says what to do.
    """
    backend = _loaded.get(device)
    if backend is None:
        if device not in _MODULES:
            raise DeviceError(message("device", "one of 'cpu' and 'cuda'", repr(device)))
        backend = _loaded[device] = importlib.import_module(_MODULES[device], __name__).create()
    return backend


def device(name: str) -> str:
    """The name of a device, checked: ``x.to(device("cuda"))``. "cuda:0" is "cuda": one GPU is used.

    Raises:
        DeviceError: where it is unknown or cannot be used.
    """
    return get("cuda" if name == "cuda:0" else name).name


def empty_cache() -> None:
    """Give the memory that backends keep for later back to the system."""
    for backend in _loaded.values():
        backend.empty_cache()
