"""numbacnn's compiled steps: each call is recorded twice, and its replay is what the laws see."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from .numbacnn import OPERATIONS

__all__ = ["implementations"]


def implementations() -> list[Any]:
    """The library's operations, replayed; what has no plan is refused."""
    from ...nn import functional
    from ...plan import compile
    from ...tensor import Tensor, from_array, no_grad
    from ...version import __version__

    def tensors(args: Any) -> list[Any]:
        return [from_array(a).requires_grad_() if isinstance(a, np.ndarray) else a for a in args]

    def replayed(call: Any, *args: Any) -> Any:
        step: Any = compile(call, fullgraph=True)  # an error where there is no plan
        return [step(*args) for _ in range(3)][-1]

    def forward(f: Any) -> Any:
        def call(*args: Any, **options: Any) -> np.ndarray:
            with no_grad():
                return replayed(lambda *given: f(*given, **options), *tensors(args)).numpy()  # type: ignore[no-any-return]

        return call

    def gradients(f: Any) -> Any:
        def call(grad: np.ndarray, *args: Any, **options: Any) -> Any:
            given = tensors(args)
            wanted = [x for x in given if isinstance(x, Tensor)]

            def step(g: Tensor, *given: Any) -> None:
                for x in given:
                    if isinstance(x, Tensor):
                        x.grad = None
                f(*given, **options).backward(g)

            replayed(step, from_array(grad), *given)
            return tuple(x.grad.numpy() for x in wanted if x.grad is not None)

        return call

    made = SimpleNamespace(name="numbacnn, compiled", version=__version__, same_bits=True, first_of_equals=True)
    for name in OPERATIONS:
        f = getattr(functional, name)
        vars(made).update({name: forward(f), f"{name}_grad": gradients(f)})
    return [made]
