"""CUDA: a family of operations a module, on the kernels of ``kernels.cuda``."""

from __future__ import annotations

from ...kernels.cuda import driver
from .arrays import CudaArray
from .conv import Conv
from .dense import Dense
from .dropout import Dropout
from .fast.arrays import Arrays as FastArrays
from .fast.conv import Conv as FastConv
from .fast.dense import Dense as FastDense
from .fast.norm import Norm as FastNorm
from .fast.optim import Optim as FastOptim
from .fast.pictures import Pictures
from .fast.pool import Pool as FastPool
from .fast.wide import Wide
from .index import Index
from .loss import Loss
from .norm import Norm
from .optim import Optim
from .own import Own
from .verdict import is_fast

__all__ = ["CudaArray", "CudaBackend", "FastBackend", "create", "is_available"]


class CudaBackend(Index, Conv, Dense, Norm, Dropout, Loss, Optim, Own):
    """See ``backends.base.Backend``. Each family inherits from those whose methods it calls: ``Arrays`` first of all."""

    name = "cuda"
    simulated = driver.SIMULATED


class FastBackend(FastConv, FastOptim, FastDense, Wide, FastPool, FastNorm, Pictures, FastArrays, CudaBackend):
    """The same with fewer launches: what ``fast`` has of a family comes first."""


def is_available() -> bool:
    """Whether kernels can be launched here, on a GPU or in the simulator."""
    return not driver.why_unavailable()


def create() -> CudaBackend:
    """The backend.

    Raises:
        DeviceError: where there is no GPU, driver or compiler; the message says what to do.
    """
    driver.require_device()
    return FastBackend() if is_fast() else CudaBackend()
