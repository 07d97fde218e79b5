"""PyTorch: ``torch.nn.functional``, with gradients from its autograd."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...extras import import_extra

STEMS = ("conv", "conv_transpose", "max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool")


def implementations() -> list[Any]:
    """PyTorch on the CPU."""
    torch = import_extra("implementations", "torch", "torch")
    F, threads = torch.nn.functional, torch.get_num_threads()

    def tensor(a):
        if not isinstance(a, np.ndarray):
            return a
        return torch.from_numpy(a if a.flags.writeable and min(a.strides) >= 0 else a.copy("K"))  # it takes no others

    def forward(f, *args, **options):
        y = f(*map(tensor, args), **options)
        return y.numpy() if isinstance(y, torch.Tensor) else tuple(part.numpy() for part in y)

    def gradients(f, grad, *args, **options):
        given = [a.requires_grad_() if isinstance(a, torch.Tensor) else a for a in map(tensor, args)]
        f(*given, **options).backward(tensor(grad))
        return tuple(a.grad.numpy() for a in given if isinstance(a, torch.Tensor))

    def output_shape(name, shapes, *sizes, **options):
        arrays = (torch.empty(shape, device="meta") for shape in shapes)
        return tuple(functions[name](*arrays, *sizes, **options).shape)

    functions = {f"{stem}{n}d": getattr(F, f"{stem}{n}d") for stem in STEMS for n in (1, 2, 3)}
    functions |= {"pad": F.pad, "batch_norm": partial(F.batch_norm, running_mean=None, running_var=None, training=True)}
    calls = {f"{name}{tail}": partial(call, f) for name, f in functions.items() for tail, call in (("", forward), ("_grad", gradients))}
    calls |= {f"max_pool{n}d_with_indices": partial(forward, functions[f"max_pool{n}d"], return_indices=True) for n in (1, 2, 3)}
    numbers = SimpleNamespace(output_shape=output_shape, set_num_threads=lambda n: torch.set_num_threads(n or threads))
    return [SimpleNamespace(name="PyTorch", version=torch.__version__, **vars(numbers), **calls)]
