"""JAX: convolutions and windows of ``jax.lax``, gradients by ``jax.vjp``. It has no ceil_mode, no indices and no adaptive pooling."""

from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from ...extras import import_extra

ONES, ZEROS = (1, 1, 1), (0, 0, 0)
MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def implementations() -> list[Any]:
    """JAX on the CPU; it is told to keep float64."""
    jax = import_extra("implementations", "jax", "jax")
    jax.config.update("jax_enable_x64", True)
    lax, jnp = jax.lax, jax.numpy
    pairs = lambda sides: [side if isinstance(side, tuple) else (side, side) for side in sides]

    def conv(x, w, b=None, *, stride=ONES, padding=ZEROS, dilation=ONES, groups=1):
        n = x.ndim - 2
        y = lax.conv_general_dilated(x, w, stride[:n], pairs(padding[:n]), None, dilation[:n], feature_group_count=groups)
        return y if b is None else y + b.reshape(y.shape[1], *ONES[:n])

    def conv_transpose(x, w, b=None, *, stride=ONES, padding=ZEROS, output_padding=ZEROS, dilation=ONES):
        n = x.ndim - 2  # the padding is that of the image with gaps in it
        sides = [(d * (k - 1) - p, d * (k - 1) - p + more) for k, d, p, more in zip(w.shape[2:], dilation, padding, output_padding)]
        names = tuple(name + "DHW"[:n] for name in ("NC", "OI", "NC"))
        y = lax.conv_transpose(x, w, stride[:n], sides, dilation[:n], names, transpose_kernel=True)
        return y if b is None else y + b.reshape(y.shape[1], *ONES[:n])

    def window(f, start, x, size, *, stride=None, padding=ZEROS, dilation=ONES):
        n, whole = x.ndim - 2, lambda sizes: (1, 1, *sizes)
        sides = pairs((0, 0, *padding[:n]))
        return lax.reduce_window(x, np.array(start, x.dtype), f, whole(size), whole(stride or size), sides, None, whole(dilation[:n]))

    def avg_pool(x, size, *, count_include_pad=True, divisor_override=None, **options):
        total = partial(window, lax.add, 0, size=size, **options)
        return total(x) / (divisor_override or (int(np.prod(size)) if count_include_pad else total(jnp.ones_like(x))))

    def forward(f, *args, **options):
        return np.asarray(f(*(jnp.asarray(a) if isinstance(a, np.ndarray) else a for a in args), **options))

    def gradients(f, grad, *args, **options):
        arrays = [jnp.asarray(a) for a in args if isinstance(a, np.ndarray)]
        return tuple(map(np.asarray, jax.vjp(lambda *given: f(*given, *args[len(given) :], **options), *arrays)[1](jnp.asarray(grad))))

    def output_shape(name, shapes, *sizes, **options):
        arrays = [jax.ShapeDtypeStruct(shape, "float32") for shape in shapes]
        return jax.eval_shape(lambda *given: functions[name](*given, *sizes, **options), *arrays).shape

    stems = {"conv": conv, "conv_transpose": conv_transpose, "max_pool": partial(window, lax.max, -np.inf), "avg_pool": avg_pool}
    functions = {f"{stem}{n}d": f for stem, f in stems.items() for n in (1, 2, 3)}
    functions["pad"] = lambda x, pad, mode: jnp.pad(x, [*pairs((0, 0)), *zip(pad[-2::-2], pad[::-2])], MODES[mode])
    functions["batch_norm"] = lambda x, eps: jax.nn.standardize(x, (0, *range(2, x.ndim)), epsilon=eps)
    calls = {f"{name}{tail}": partial(call, f) for name, f in functions.items() for tail, call in (("", forward), ("_grad", gradients))}
    return [SimpleNamespace(name="JAX", version=jax.__version__, output_shape=output_shape, **calls)]
