"""Memory that is kept for the next array, and values that go to the device while it works."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....kernels.cuda import driver, memory
from ....kernels.cuda.launcher import Launcher
from ....kernels.cuda.uploads import Uploads
from .. import arrays

__all__ = ["Arrays"]


class Arrays(arrays.Arrays):
    """Where flat arrays come from. On a GPU it lets all kernels of the library be launched without Numba, from the first instance on."""

    account = memory.account

    def __init__(self) -> None:
        super().__init__()
        if not driver.SIMULATED:
            self._uploads = Uploads()
            driver.launcher = driver.launcher or Launcher()

    def allocate(self, size: int, dtype: np.dtype) -> Any:
        return memory.allocate(size, dtype)

    def upload(self, values: np.ndarray) -> Any:
        return super().upload(values) if driver.SIMULATED else self._uploads(values)

    def lend(self, owner: Any, found: dict[str, Any]) -> Any:
        if driver.SIMULATED or len(found["shape"]) != 1 or found.get("strides"):
            return super().lend(owner, found)
        return memory.Buffer(owner, found["data"][0], found["shape"][0], np.dtype(found["typestr"]))

    def empty_cache(self) -> None:
        """Give what is kept back to the driver."""
        memory.empty()
