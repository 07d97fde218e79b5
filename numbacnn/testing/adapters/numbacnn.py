"""numbacnn: what users call, of two axes, and each of a device's ways to convolve by itself, of one to three."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from ...backends import DEFAULT
from ...errors import message
from ..cases import laid, lies
from ._passes import passes

__all__ = ["implementations"]

OPERATIONS = ("conv2d", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d")


def implementations(device: str = DEFAULT) -> list[Any]:
    """The library as it is called on a device, and its ways to convolve."""
    from ...kernels.cpu.launch import get_num_threads, set_num_threads
    from ...kernels.cuda.driver import SIMULATED
    from ...nn import functional
    from ...plan import compile, explain
    from ...tensor import Tensor, from_array, no_grad
    from ...version import __version__
    from ..laws.every import FAMILIES
    from ..small_tiles import shrink

    compiled = False

    def set_compiled(flag: bool) -> None:
        nonlocal compiled
        compiled = flag

    def tensors(args: Any) -> list[Any]:
        return [from_array(a).to(device).requires_grad_() if isinstance(a, np.ndarray) else a for a in args]

    def run(step: Any, *args: Any) -> tuple[list[Any], Any]:
        """The arguments, and what the step gives; compiled, it is recorded with other numbers."""
        given = tensors(args)
        if not compiled:
            return given, step(*given)
        step = compile(step)
        for _ in range(3):  # the first one runs as it is
            step(*tensors(map(_other, args)))
        result = step(*given)
        if ": 4 calls, 1 replayed" not in explain(step):
            raise RuntimeError(message("compile", "a function of which there is a plan", step.reason or "none"))
        return given, result

    def forward(f: Any) -> Any:
        def call(*args: Any, **options: Any) -> np.ndarray:
            with no_grad():
                return run(lambda *given: f(*given, **options), *args)[1].cpu().numpy()  # type: ignore[no-any-return]

        return call

    def gradients(f: Any) -> Any:
        def step(grad: Tensor, given: Any, options: Any) -> None:
            for x in given:
                if isinstance(x, Tensor):
                    x.grad = None
            f(*given, **options).backward(grad)

        def call(*args: Any, **options: Any) -> Any:
            (_, *given), _ = run(lambda grad, *given: step(grad.detach(), given, options), *args)
            return tuple(x.grad.cpu().numpy() for x in given if isinstance(x, Tensor) and x.grad is not None)

        return call

    default = get_num_threads()
    promises = {"same_bits": True, "first_of_equals": True}
    users = SimpleNamespace(name="numbacnn", version=__version__, set_compiled=set_compiled, **promises)
    users.ranges = {"avg_pool": {"divisors": (None,)}}
    functions = {name: getattr(functional, name) for name in OPERATIONS}
    functions["batch_norm"] = lambda x, eps: functional.batch_norm(x, None, None, training=True, eps=eps)
    for name, f in functions.items():
        vars(users).update({name: forward(f), f"{name}_grad": gradients(f)})
    found = [users, *passes(device)]
    for each in found if device == DEFAULT else []:
        each.set_num_threads = lambda n: set_num_threads(n or default)
    if SIMULATED and device != DEFAULT:
        shrink()
        for each in found:
            each.largest, small = 150, {"size": 3, "batch": 2, "channels": (1, 2)}
            each.ranges = {family: each.ranges.get(family, {}) | small for family in FAMILIES}
    return found


def _other(a: Any) -> Any:
    """An array of other numbers that lies in memory as this one does; what is no array stays."""
    if not isinstance(a, np.ndarray):
        return a
    other = laid(*lies(a))
    other.flags.writeable = True
    other[...] = 1 - 2 * a
    other.flags.writeable = a.flags.writeable
    return other
