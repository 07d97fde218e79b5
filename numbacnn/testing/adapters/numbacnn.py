"""numbacnn: what users call, of two axes, and each of a device's ways to convolve by itself, of one to three."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ...backends import DEFAULT
from ._passes import passes

__all__ = ["implementations"]

OPERATIONS = ("conv2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d")


def implementations(device: str = DEFAULT) -> list[Any]:
    """The library as it is called on a device, and its ways to convolve."""
    from ...kernels.cpu.launch import get_num_threads, set_num_threads
    from ...kernels.cuda.driver import SIMULATED
    from ...nn import functional
    from ...tensor import Tensor, from_array
    from ...version import __version__
    from ..laws.every import FAMILIES
    from ..small_tiles import shrink

    def run(f: Any, args: Any, options: Any) -> Any:
        given = [from_array(a).to(device).requires_grad_() if isinstance(a, np.ndarray) else a for a in args]
        return given, f(*given, **options)

    def forward(f: Any) -> Any:
        return lambda *args, **options: run(f, args, options)[1].detach().cpu().numpy()

    def gradients(f: Any) -> Any:
        def call(grad: np.ndarray, *args: Any, **options: Any) -> Any:
            given, y = run(f, args, options)
            y.backward(from_array(grad).to(device))
            return tuple(x.grad.cpu().numpy() for x in given if isinstance(x, Tensor) and x.grad is not None)

        return call

    default = get_num_threads()
    promises = {"same_bits": True, "first_of_equals": True}
    users = SimpleNamespace(name="numbacnn", version=__version__, set_num_threads=lambda n: set_num_threads(n or default), **promises)
    functions = {name: getattr(functional, name) for name in OPERATIONS}
    functions["batch_norm"] = lambda x, eps: functional.batch_norm(x, None, None, training=True, eps=eps)
    for name, f in functions.items():
        vars(users).update({name: forward(f), f"{name}_grad": gradients(f)})
    found = [users, *passes(device)]
    if SIMULATED and device != DEFAULT:
        shrink()
        for each in found:
            each.largest, each.ranges = 150, {family: {"size": 3, "batch": 2, "channels": (1, 2)} for family in FAMILIES}
    return found
