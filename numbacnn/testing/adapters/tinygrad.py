"""tinygrad: the methods of its Tensor, which take any number of axes, with gradients from its autograd."""

from functools import partial
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...extras import import_extra

METHODS = {"conv": "conv2d", "conv_transpose": "conv_transpose2d", "max_pool": "max_pool2d", "avg_pool": "avg_pool2d"}


def implementations() -> list[Any]:
    """tinygrad on the device that the environment names: DEV=CPU needs clang, DEV=PYTHON nothing, and is slow."""
    Tensor = import_extra("implementations", "tinygrad", "tinygrad").Tensor

    def tensor(a):
        return Tensor(np.ascontiguousarray(a)) if isinstance(a, np.ndarray) else a

    def call(f, args, options):
        if isinstance((options.get("padding") or (0,))[0], tuple):  # pairs: it takes them flat, the last axis first
            options = options | {"padding": tuple(side for pair in reversed(options["padding"]) for side in pair)}
        return f(*args, **options)

    def forward(f, *args, **options):
        y = call(f, map(tensor, args), options)
        return tuple(part.numpy() for part in y) if isinstance(y, tuple) else y.numpy()

    def gradients(f, grad, *args, **options):
        given = [tensor(a) for a in args]
        found = call(f, given, options).gradient(*(a for a in given if isinstance(a, Tensor)), gradient=tensor(grad))
        return tuple(a.numpy() for a in found)

    def batch_norm(x, eps):
        axes = (0, *range(2, x.ndim))
        return x.batchnorm(None, None, x.mean(axes), (x.var(axes, correction=0) + eps).rsqrt())

    functions = {f"{stem}{n}d": getattr(Tensor, method) for stem, method in METHODS.items() for n in (1, 2, 3)}
    functions |= {"pad": Tensor.pad, "batch_norm": batch_norm}
    calls = {f"{name}{tail}": partial(run, f) for name, f in functions.items() for tail, run in (("", forward), ("_grad", gradients))}
    calls |= {f"max_pool{n}d_with_indices": partial(forward, Tensor.max_pool2d, return_indices=True) for n in (1, 2, 3)}
    return [SimpleNamespace(name="tinygrad", version=version("tinygrad"), **calls)]
