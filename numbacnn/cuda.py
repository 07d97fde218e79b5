"""What the book asks of a CUDA device, and what its memory is used for."""

from __future__ import annotations

from typing import Any

from . import backends
from .errors import DeviceError

__all__ = [
    "device_count",
    "is_available",
    "max_memory_allocated",
    "memory_allocated",
    "memory_reserved",
    "memory_summary",
    "reset_peak_memory_stats",
    "synchronize",
]


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


def _account() -> Any:
    return backends.get("cuda").account  # type: ignore[attr-defined]


def memory_allocated() -> int:
    """Bytes of device memory that arrays use now.

    Raises:
        DeviceError: there is no CUDA device, or ``config.cuda_path`` is ``"safe"``, where Numba has the memory. So do the others.
    """
    return _account().in_use


def max_memory_allocated() -> int:
    """The most bytes that arrays used at one time, since the start or since :func:`reset_peak_memory_stats`."""
    return _account().peak


def memory_reserved() -> int:
    """Bytes that the library has of the device: what arrays use, and what is kept for the next ones until :func:`numbacnn.empty_cache`."""
    account = _account()
    return account.in_use + account.kept


def reset_peak_memory_stats() -> None:
    """Let :func:`max_memory_allocated` begin anew."""
    account = _account()
    account.peak = account.in_use


def memory_summary() -> str:
    """The three figures in one line, for people.

    >>> import numbacnn as nc
    >>> print(nc.cuda.memory_summary()) if nc.cuda.is_available() else None  # doctest: +SKIP
    11.2 MiB in use, 19.5 MiB at the most; 20 MiB reserved
    """
    account = _account()
    used, most, reserved = map(account.shown, (account.in_use, account.peak, account.in_use + account.kept))
    return f"{used} in use, {most} at the most; {reserved} reserved"
