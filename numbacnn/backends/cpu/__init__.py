"""The CPU: a family of operations a module, on NumPy and on the kernels of ``kernels.cpu``."""

from __future__ import annotations

from .conv import Conv
from .dense import Dense
from .dropout import Dropout
from .index import Index
from .loss import Loss
from .norm import Norm
from .optim import Optim
from .own import Own

__all__ = ["CpuBackend", "create"]


class CpuBackend(Index, Conv, Dense, Norm, Dropout, Loss, Optim, Own):
    """See ``backends.base.Backend``. Each family inherits from those whose methods it calls: ``Arrays`` first of all."""

    name = "cpu"
    simulated = False


def create() -> CpuBackend:
    """The backend, for ``backends.get``."""
    return CpuBackend()
