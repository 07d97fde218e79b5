"""numbacnn: what users call, of two axes, and each of a device's ways to convolve by itself, of one to three."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ._passes import passes

__all__ = ["implementations"]

OPERATIONS = ("conv2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d")


def implementations(device: str = "cpu") -> list[Any]:
    """The library as it is called on a device, and its ways to convolve."""
    import numbacnn as nc

    def run(f: Any, args: Any, options: Any) -> Any:
        given = [nc.from_array(a).to(device).requires_grad_() if isinstance(a, np.ndarray) else a for a in args]
        return given, f(*given, **options)

    def forward(f: Any) -> Any:
        return lambda *args, **options: run(f, args, options)[1].detach().cpu().numpy()

    def gradients(f: Any) -> Any:
        def call(grad: np.ndarray, *args: Any, **options: Any) -> Any:
            given, y = run(f, args, options)
            y.backward(nc.from_array(grad).to(device))
            return tuple(x.grad.cpu().numpy() for x in given if hasattr(x, "grad"))

        return call

    default = nc.get_num_threads()
    users = SimpleNamespace(name="numbacnn", version=nc.__version__, set_num_threads=lambda n: nc.set_num_threads(n or default))
    functions = {name: getattr(nc.nn.functional, name) for name in OPERATIONS}
    functions["batch_norm"] = lambda x, eps: nc.nn.functional.batch_norm(x, None, None, training=True, eps=eps)
    for name, f in functions.items():
        vars(users).update({name: forward(f), f"{name}_grad": gradients(f)})
    return [users, *passes(device)]
