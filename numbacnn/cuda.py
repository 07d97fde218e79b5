"""What the book asks of a CUDA device."""

from __future__ import annotations

from . import backends
from .errors import DeviceError

__all__ = ["device_count", "is_available", "synchronize"]


def is_available() -> bool:
    """Whether tensors can be put on ``"cuda"``."""
    try:
        backends.get("cuda")
    except DeviceError:
        return False
    return True


def device_count() -> int:
    """1 or 0: one CUDA device is used."""
    return int(is_available())


def synchronize() -> None:
    """Wait for all work on the CUDA device."""
    backends.get("cuda").synchronize()
