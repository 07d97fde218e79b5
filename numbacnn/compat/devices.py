"""``torch.cuda``, ``torch.backends`` and ``torch.amp``: questions about devices, and switches for what the library has one way of doing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from .. import backends
from .. import cuda as gpu
from ..data import Sampler
from ..errors import OutOfMemoryError, message
from ..nn import Module
from .modules import Missing, missing
from .tensors import CUDA_TYPES, Accepted, device, say_once, unchanged

__all__ = ["GradScaler", "autocast"]


class autocast(Accepted):
    """Accepted; what is within is computed in float32 and float64, as everywhere. It says so once."""

    def __init__(self, device_type: Any = "cuda", dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None) -> None:
        self.enabled = device_type if isinstance(device_type, bool) else enabled  # torch.cuda.amp.autocast(True)

    def __enter__(self) -> Any:
        if self.enabled:
            say_once("autocast: float32 is computed in float32 here; half precision is not used")
        return self


class GradScaler:
    """Loss scaling for half precision, which is not used: the scale is 1, and a step is the optimiser's step."""

    def __init__(self, device: Any = "cuda", *args: Any, enabled: bool = True, **options: Any) -> None:
        self._enabled = enabled

    def is_enabled(self) -> bool:
        return self._enabled

    def scale(self, outputs: Any) -> Any:
        return outputs

    def step(self, optimizer: Any, *args: Any, **options: Any) -> Any:
        return optimizer.step(*args, **options)

    def _nothing(self, *args: Any, **options: Any) -> None:
        """There is no scale to find, to take away or to keep."""

    unscale_ = update = load_state_dict = _nothing

    def get_scale(self) -> float:
        return 1.0

    def state_dict(self) -> dict[str, Any]:
        return {}


def _of_gpu(name: str) -> Any:
    """The name of the one GPU, and the like.

    Raises:
        DeviceError: there is none.
    """
    from ..kernels.cuda import driver

    gpu.synchronize()
    found = getattr(driver.cuda.get_current_device(), name)
    return found.decode() if isinstance(found, bytes) else found


def _of_memory(name: str) -> Callable[..., Any]:
    """A function that asks after the memory of the one GPU, and finds none in use where there is none."""
    return lambda device=None: getattr(gpu, name)() if gpu.is_available() else 0


def _always(answer: Any) -> Callable[..., Any]:
    return lambda *args, **options: answer


amp = SimpleNamespace(autocast=autocast, GradScaler=GradScaler)
accelerator = SimpleNamespace(
    current_accelerator=lambda check_available=False: device("cuda") if gpu.is_available() else None,
    current_device_index=lambda: _of_gpu("id"),
    device_count=gpu.device_count,
    is_available=gpu.is_available,
    set_device_index=unchanged("set_device_index", 0),
    synchronize=lambda device=None: gpu.synchronize() if gpu.is_available() else None,
)
cuda = SimpleNamespace(
    **CUDA_TYPES,
    OutOfMemoryError=OutOfMemoryError,
    current_device=lambda: _of_gpu("id"),
    device=lambda device: contextlib.nullcontext(),
    empty_cache=backends.empty_cache,
    **{name: _of_memory(name) for name in ("memory_allocated", "memory_reserved", "max_memory_allocated", "reset_peak_memory_stats")},
    get_device_capability=lambda device=None: _of_gpu("compute_capability"),
    get_device_name=lambda device=None: _of_gpu("name"),
    init=_always(None),
    is_initialized=gpu.is_available,
    manual_seed=_always(None),  # one generator on the host draws for every device: torch.manual_seed governs it
    manual_seed_all=_always(None),
    set_device=_always(None),
    synchronize=lambda device=None: gpu.synchronize(),
)
cudnn = SimpleNamespace(
    allow_tf32=False, benchmark=False, deterministic=True, enabled=True, is_available=_always(False), version=_always(None)
)
matmul = SimpleNamespace(allow_tf32=False)
distributed = SimpleNamespace(is_available=_always(False), is_initialized=_always(False))
multiprocessing = SimpleNamespace(set_sharing_strategy=_always(None))
mps = SimpleNamespace(is_available=_always(False), is_built=_always(False))
xpu = SimpleNamespace(is_available=_always(False), device_count=_always(0))
version = SimpleNamespace(cuda=None, hip=None, __version__="2.13.0")


class DistributedSampler(Sampler):
    """The places of all examples, for the one process there is; shuffled ones come in another order each epoch."""

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas not in (None, 1):
            raise ValueError(message("DistributedSampler", "num_replicas = 1", f"{num_replicas}", "there is one process"))
        self.dataset, self.shuffle, self.seed, self.epoch = dataset, shuffle, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.dataset)

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self)) if self.shuffle else np.arange(len(self))
        return iter(order.tolist())


distributed_data = SimpleNamespace(DistributedSampler=DistributedSampler)


class ScriptModule(Module):
    """What no module is; there are no programs."""

    def __init__(self, *args: Any, **options: Any) -> None:
        raise Missing(missing("torch.jit.ScriptModule"))


def script(obj: Any, *args: Any, **options: Any) -> Any:
    """A function as it is; a module is not made a program."""
    if isinstance(obj, Module):
        raise Missing(missing("torch.jit.script"))
    return obj


def checkpoint(function: Callable[..., Any], *args: Any, use_reentrant: Any = None, preserve_rng_state: bool = True, **options: Any) -> Any:
    """What the function gives. Nothing is thrown away and computed again for the gradient."""
    return function(*args, **options)


def _as_it_is(function: Any = None, **options: Any) -> Any:
    return function if callable(function) else _as_it_is


jit = SimpleNamespace(
    Final=Any,
    ScriptModule=ScriptModule,
    _overload_method=_as_it_is,
    export=_as_it_is,
    ignore=_as_it_is,
    is_scripting=_always(False),
    is_tracing=_always(False),
    script=script,
    unused=_as_it_is,
)
checkpoints = SimpleNamespace(checkpoint=checkpoint)
