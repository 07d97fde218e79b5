"""MLX: its convolutions, pooling layers and ``pad``, with gradients by ``mx.vjp``. Its images and weights are channels-last."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...extras import import_extra

MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}


def implementations() -> list[Any]:
    """MLX on the CPU."""
    mx, nn = import_extra("implementations", "mlx.core", "mlx"), import_extra("implementations", "mlx.nn", "mlx")
    mx.set_default_device(mx.cpu)
    last, first = partial(mx.moveaxis, source=1, destination=-1), partial(mx.moveaxis, source=-1, destination=1)

    def conv(x, w, b=None, *, padding=0, dilation=1, **options):
        sides = tuple(zip(*padding)) if padding and isinstance(padding[0], tuple) else padding
        y = mx.conv_general(last(x), last(w), padding=sides, kernel_dilation=dilation, **options)
        return first(y if b is None else y + b.reshape(y.shape[-1]))

    def conv_transpose(f, x, w, b=None, *, groups=1, **options):
        parts = w.reshape(groups, -1, *w.shape[1:]).swapaxes(1, 2)  # (groups, OC/groups, C/groups, ...)
        options = {name: sizes if len(sizes) > 1 else sizes[0] for name, sizes in options.items()}  # of one axis it takes a number
        y = f(last(x), last(parts.reshape(-1, *parts.shape[2:])), groups=groups, **options)
        return first(y if b is None else y + b.reshape(y.shape[-1]))

    def pool(layer, x, size, **options):
        return first(layer(size, **options)(last(x)))

    def pad(x, pad, mode):
        return mx.pad(x, [(0, 0), (0, 0), *zip(pad[-2::-2], pad[::-2])], MODES[mode])

    def batch_norm(x, eps):
        return first(nn.BatchNorm(x.shape[1], eps, affine=False)(last(x)))

    def array(a):
        return mx.array(a, getattr(mx, a.dtype.name)) if isinstance(a, np.ndarray) else a  # else float64 becomes float32

    def forward(f, *args, **options):
        return np.array(f(*map(array, args), **options))

    def gradients(f, grad, *args, **options):
        arrays = [array(a) for a in args if isinstance(a, np.ndarray)]
        found = mx.vjp(lambda *given: f(*given, *args[len(given) :], **options), arrays, [array(grad)])[1]
        return tuple(np.array(a) for a in found)

    functions: dict[str, Any] = {"pad": pad, "batch_norm": batch_norm}
    for n in (1, 2, 3):
        pools = {f"{kind}_pool{n}d": partial(pool, getattr(nn, f"{kind.title()}Pool{n}d")) for kind in ("max", "avg")}
        functions |= {f"conv{n}d": conv, f"conv_transpose{n}d": partial(conv_transpose, getattr(mx, f"conv_transpose{n}d")), **pools}
    calls = {f"{name}{tail}": partial(call, f) for name, f in functions.items() for tail, call in (("", forward), ("_grad", gradients))}
    return [SimpleNamespace(name="MLX", version=mx.__version__, **calls)]
