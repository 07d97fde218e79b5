"""Memory that is kept for the next array, and values that go to the device while it works."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from .... import config, recording
from ....kernels.cuda import api, driver, memory
from ....kernels.cuda.flags import Flags
from ....kernels.cuda.graph import Launches
from ....kernels.cuda.launcher import Launcher
from ....kernels.cuda.uploads import Uploads
from ....locks import lock
from ....recording import Numbers
from .. import arrays
from ..arrays import CudaArray

__all__ = ["Arrays"]


class _Sequence:
    """Launches of a plan that are packed once: again only those whose arrays lie elsewhere now, or whose numbers may have changed."""

    def __init__(self, calls: list[Any]) -> None:
        self._calls, self._launches = calls, Launches(driver.launcher, len(calls), config.cuda_graphs)
        self._kernels = [call.function.args[0] for call in calls]
        self._always = [i for i, call in enumerate(calls) if any(isinstance(value, Numbers) for value in call.values)]
        self._given: dict[int, list[int]] = {}
        for i, call in enumerate(calls):
            for region in call.regions:
                self._given.setdefault(region, []).append(i)
        self._bases: dict[int, int] = {}

    def __call__(self, bases: list[int]) -> None:
        moved = [region for region in self._given if self._bases.get(region) != bases[region]]
        for i in sorted({i for region in moved for i in self._given[region]}.union(self._always)):
            grid, block, *values = self._calls[i].values_at(bases)
            self._launches.set(i, self._kernels[i], grid, block, values)
        self._bases.update((region, bases[region]) for region in moved)
        self._launches.run()


class _Recorded(arrays.Recorded):
    """On a GPU launches that follow each other are one."""

    def join(self, calls: list[Any]) -> list[Any]:
        if driver.SIMULATED:
            return calls
        joined: list[Any] = []
        for ours, group in itertools.groupby(calls, lambda call: call.function.func is driver.launch):
            some = list(group)
            joined += [_Sequence(some)] if ours else some
        return joined


class Arrays(arrays.Arrays):
    """Where flat arrays come from. On a GPU it lets all kernels of the library be launched without Numba, from the first instance on."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded = _Recorded(self)
        self._making = lock()
        self._flags: Flags[tuple[Callable[[CudaArray], Exception], CudaArray]] | None = None
        if not driver.SIMULATED:
            api.require()
            api.enter()
            self._uploads = Uploads()
            driver.launcher = driver.launcher or Launcher()

    @property
    def account(self) -> Any:
        return memory.account

    def allocate(self, size: int, dtype: np.dtype) -> Any:
        return memory.allocate(size, dtype)

    def upload(self, values: np.ndarray) -> Any:
        return super().upload(values) if driver.SIMULATED else self._uploads(values)

    def wait(self) -> None:
        memory.wait()

    def lend(self, owner: Any, found: dict[str, Any]) -> Any:
        if driver.SIMULATED or len(found["shape"]) != 1 or found.get("strides"):
            return super().lend(owner, found)
        return memory.Buffer(owner, found["data"][0], found["shape"][0], np.dtype(found["typestr"]))

    def watch(self, fault: CudaArray, error: Callable[[CudaArray], Exception], given: CudaArray) -> None:
        if driver.SIMULATED:
            super().watch(fault, error, given)
            return
        if recording.now.tape is not None:
            recording.now.tape.watches(fault, error, given)
        with self._making:
            self._flags = self._flags or Flags(arrays.WATCHED)
        self._flags.add(self.flat(fault), (error, given))

    def move_watched(self, moved: Callable[[CudaArray], CudaArray]) -> None:
        super().move_watched(moved)
        if self._flags is not None:
            self._flags.replace(lambda about: (about[0], moved(about[1])))

    def judge(self) -> None:
        super().judge()
        found = self._flags and self._flags.first_set()
        if found:
            error, given = found
            raise error(given)

    def empty_cache(self) -> None:
        """Give what is kept back to the driver."""
        memory.empty()
