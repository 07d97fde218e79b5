"""The speed of a kernel of one's own beside the built-in one's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from .. import backends, reference
from ..arguments import number, one_of
from ..backends import Backend
from ..backends.choice import in_front
from ..backends.own import PASSES
from ..errors import message
from ..geometry import ConvGeometry
from ..signatures import fits, judged, shown
from .cases import ConvCase, PoolCase
from .own import judged_on, kernel_of
from .timing import timed

__all__ = ["compare"]

Shape: TypeAlias = tuple[Any, ...]
"""(input shape, weight shape or kernel size, options)."""

POOLS: tuple[Shape, ...] = (((32, 6, 28, 28), 2), ((4, 64, 56, 56), 3, {"stride": 2, "padding": 1}))
SHAPES: dict[str, tuple[Shape, ...]] = {
    "conv2d": (
        ((32, 1, 28, 28), (6, 1, 5, 5), {"padding": 2}),
        ((32, 6, 14, 14), (16, 6, 5, 5)),
        ((1, 64, 28, 28), (64, 64, 3, 3), {"padding": 1}),
    ),
    "max_pool2d": POOLS,
    "avg_pool2d": POOLS,
}
"""LeNet's, and those of a larger network."""


@judged
def compare(
    kernel: Callable[..., Any],
    op: Literal["conv2d", "max_pool2d", "avg_pool2d"] = "conv2d",
    which: Literal["forward", "grad_input", "grad_weight"] = "forward",
    shapes: Sequence[Shape] | None = None,
    *,
    device: str = "cpu",
    layout: Literal["nchw", "nhwc"] = "nchw",
    takes: Callable[[Any], Any] | None = None,
    block: int | tuple[int, ...] = 256,
    grid: Callable[[tuple[int, ...]], Any] | None = None,
    rounding: Literal["exact", "sums", "winograd", "fft"] = "exact",
    check: bool = True,
    seconds: float = 0.3,
) -> list[dict[str, Any]]:
    """Time a kernel of your own beside the built-in one and the reference in NumPy, in float32, and print a table.

    It runs as in a layer, so with ``layout="nchw"`` the copies from and to the library's memory count. The best time is shown, the rate
    that it comes to (a multiply-add of a direct convolution counts two, an element of a pooling's window one), and the fraction of
    the rate of bare multiply-adds on registers, which is measured in the same run with the threads that are set.

    Args:
        kernel: one pass of an operation, as for :func:`numbacnn.use_kernel`.
        op, which: the operation and the pass.
        shapes: (input shape, weight shape, options) of convolutions, (input shape, kernel size, options) of poolings; the options, as
            ``{"padding": 1}``, may be left out. By default LeNet's layers and one of a larger network.
        device, layout, takes, block, grid, rounding, check: as for :func:`numbacnn.use_kernel`; with ``check`` it is judged first.
        seconds: for each time.

    Returns:
        A dict for each line: ``shape``, ``kernel``, ``ms``, ``gflops``, and ``of_peak``, None where the peak is not known: on a GPU, and
        without the compiler.

    Raises:
        numbacnn.testing.LawBroken: the kernel breaks a law.
        ValueError: shapes that make no sense, or that the kernel does not take.
        TypeError, DeviceError, ImportError, RuntimeError: as for :func:`numbacnn.use_kernel`.

    >>> def points(x, g, out):
    ...     out[...] = x[:, :, ::2, ::2]
    >>> rows = compare(points, "avg_pool2d", shapes=[((8, 4, 6, 6), 1, {"stride": 2})], check=False)  # doctest: +SKIP
    avg_pool2d forward on cpu, 2 threads, peak 216 GFLOP/s
    (8, 4, 6, 6), 1, stride 2
      points             0.013 ms     0.02 GFLOP/s    0.0 %
      built-in           0.009 ms     0.03 GFLOP/s    0.0 %
      reference          0.098 ms     0.00 GFLOP/s    0.0 %
    """
    one_of("compare", "op", op, PASSES)
    one_of("compare", "which", which, PASSES[op])
    number("compare", "seconds", seconds)
    made = kernel_of("compare", op, layout, takes, block, grid, **{which: kernel})
    cases = {_title(op, shape): (shape, _case(op, shape)) for shape in (SHAPES[op] if shapes is None else shapes)}
    for title, (_, case) in cases.items():
        if reason := made.reason(which, case.geometry, "float32"):
            raise ValueError(message("compare", f"shapes that {made.name} takes", title, reason))
    device = judged_on(made, "compare", device, rounding, check)
    xp, peak, rows = backends.get(device), _peak(device), []
    print(f"{op} {which} on {device}{_conditions(xp, peak)}")
    for title, (shape, case) in cases.items():
        print(title)
        run, operations = _run(op, which, case, xp), _count(case.geometry)
        ways = {made.name: in_front(device, op, xp.own(made))(run), "built-in": run, "reference": _run(op, which, case)}
        for name, way in ways.items():
            best = min(timed(way, seconds))
            gflops = operations / best / 1e9
            rows.append({"shape": shape, "kernel": name, "ms": best * 1e3, "gflops": gflops, "of_peak": gflops / peak if peak else None})
            print(_line(rows[-1]))
    return rows


OPTIONS = {
    "conv2d": ("stride", "padding", "dilation", "groups"),
    "max_pool2d": ("stride", "padding", "dilation", "ceil_mode"),
    "avg_pool2d": ("stride", "padding", "ceil_mode", "count_include_pad"),
}


def _title(op: str, shape: Shape) -> str:
    """The shape in words, once it is known to be one."""
    conv = op == "conv2d"
    if not fits(shape, tuple) or len(shape) not in (2, 3) or not all(map(fits, shape, HINTS[conv])):
        form = f"(input shape, {'weight shape' if conv else 'kernel size'}"
        raise ValueError(message("compare", f"shapes as tuples {form}) or {form}, options)", shown(shape)))
    options = shape[2] if len(shape) == 3 else {}
    if unknown := [name for name in options if name not in OPTIONS[op]]:
        raise ValueError(message("compare", f"options of {op} among {', '.join(OPTIONS[op])}", ", ".join(map(repr, unknown))))
    return ", ".join([str(shape[0]), str(shape[1]), *(f"{name} {value}" for name, value in options.items())])


HINTS = {True: (Sequence[int], Sequence[int], dict), False: (Sequence[int], int | Sequence[int], dict)}


def _case(op: str, shape: Shape) -> Any:
    make: Any = ConvCase if op == "conv2d" else PoolCase
    return make.of(shape[0], shape[1], axes=2, op=op, **(shape[2] if len(shape) == 3 else {}))


def _peak(device: str) -> float | None:
    """GFLOP/s of the CPU, for work that does not go to another processor."""
    if backends.queued(device):
        return None
    from ..kernels.cpu import launch  # it imports Numba

    if launch.layer() == "none":
        return None
    from .peak import fma_peak

    return fma_peak(launch.get_num_threads())


def _conditions(xp: Backend, peak: float | None) -> str:
    if xp.simulated:
        return ", simulated: the times mean nothing"
    if peak is None:
        return ""
    from ..kernels.cpu import launch

    return f", {launch.get_num_threads()} threads, peak {peak:.0f} GFLOP/s"


RUNS: dict[tuple[str, str], Callable[..., Any]] = {
    ("conv2d", "forward"): lambda ops, g, x, grad, w: ops.conv_forward(x, w, None, g),
    ("conv2d", "grad_input"): lambda ops, g, x, grad, w: ops.conv_grad_input(grad, w, g),
    ("conv2d", "grad_weight"): lambda ops, g, x, grad, w: ops.conv_grad_weight(grad, x, g),
    ("max_pool2d", "forward"): lambda ops, g, x, grad, index: ops.max_pool_forward(x, g),
    ("max_pool2d", "grad_input"): lambda ops, g, x, grad, index: ops.max_pool_backward(grad, index, g),
    ("avg_pool2d", "forward"): lambda ops, g, x, grad: ops.avg_pool_forward(x, g),
    ("avg_pool2d", "grad_input"): lambda ops, g, x, grad: ops.avg_pool_backward(grad, g),
}
"""A pass by a device or by the reference, whose functions have the same names."""


def _run(op: str, which: str, case: Any, xp: Backend | None = None) -> Callable[[], None]:
    """A pass by a device on arrays as its layers have them, or by the reference."""
    ops: Any = xp or reference
    g = case.geometry
    arrays = [_channels_last(case.x), _channels_last(case.grad)] if xp else [case.x, case.grad]
    arrays += [case.w] if op == "conv2d" else []
    given = [xp.from_numpy(a) for a in arrays] if xp else arrays
    if op == "max_pool2d":
        given.append(ops.max_pool_forward(given[0], g)[1])

    def run() -> None:
        RUNS[op, which](ops, g, *given)
        if xp:
            xp.synchronize()

    return run


def _channels_last(a: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)


def _count(g: Any) -> int:
    """Floating-point operations of a pass."""
    return 2 * g.macs if isinstance(g, ConvGeometry) else math.prod(g.output_shape) * math.prod(g.kernel)


def _line(row: dict[str, Any]) -> str:
    share = "" if row["of_peak"] is None else f"  {row['of_peak']:7.1%}"
    return f"  {row['kernel']:<24} {row['ms']:10.3f} ms {row['gflops']:10.2f} GFLOP/s{share}"
