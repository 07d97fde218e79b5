"""Devices by number; one GPU is used."""

from __future__ import annotations

from .. import cuda
from ..backends import device
from ..signatures import judged

__all__ = ["cpu", "gpu", "num_gpus", "try_all_gpus", "try_gpu"]


def cpu() -> str:
    """The CPU."""
    return device("cpu")


@judged
def gpu(i: int = 0) -> str:
    """GPU number ``i``.

    Raises:
        DeviceError: where there is none of that number.
    """
    return device(f"cuda:{i}", "gpu")


def num_gpus() -> int:
    """How many GPUs there are."""
    return cuda.device_count()


@judged
def try_gpu(i: int = 0) -> str:
    """GPU number ``i`` where there is one, else the CPU.

    >>> try_gpu(7)
    'cpu'
    """
    return gpu(i) if 0 <= i < num_gpus() else cpu()


def try_all_gpus() -> list[str]:
    """All GPUs, or the CPU where there is none."""
    return [gpu(i) for i in range(num_gpus())] or [cpu()]
