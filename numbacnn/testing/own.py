"""A kernel of one's own in place of a built-in one, judged first."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal

from .. import backends
from ..arguments import flag, integer, one_of
from ..backends.choice import Changed, in_front
from ..backends.own import LAYOUTS, PASSES, Kernel, name_of
from ..errors import message
from ..signatures import judged, shown
from .own_judge import judge_kernel
from .trial import ROUNDING

__all__ = ["judged_on", "kernel_of", "use_kernel"]


@judged
def use_kernel(
    op: Literal["conv2d", "max_pool2d", "avg_pool2d"],
    forward: Callable[..., Any] | None = None,
    grad_input: Callable[..., Any] | None = None,
    grad_weight: Callable[..., Any] | None = None,
    *,
    device: str = "cpu",
    layout: Literal["nchw", "nhwc"] = "nchw",
    takes: Callable[[Any], Any] | None = None,
    block: int | tuple[int, ...] = 256,
    grid: Callable[[tuple[int, ...]], Any] | None = None,
    rounding: Literal["exact", "sums", "winograd", "fft"] = "exact",
    check: bool = True,
) -> Changed:
    """Let kernels of your own do the work of an operation, in layers and in training: ``with nc.use_kernel("conv2d", forward=mine): ...``.

    A kernel is a function of Python or Numba that fills memory and returns nothing. By operation and pass its arguments are:

    ============  ==============================  ===========================  =========================
    op            forward                         grad_input                   grad_weight
    ============  ==============================  ===========================  =========================
    "conv2d"      ``(x, w, g, out)``              ``(grad, w, g, out)``        ``(grad, x, g, out)``
    "max_pool2d"  ``(x, g, out, index)``          ``(grad, index, g, out)``
    "avg_pool2d"  ``(x, g, out)``                 ``(grad, g, out)``
    ============  ==============================  ===========================  =========================

    All arrays are C-contiguous, float32 or float64: x (N, C, H, W), w (OC, C/groups, KH, KW), and grad has the shape of the forward's
    result. ``out`` comes uninitialised and has the shape of the result, or of what the gradient is of. ``index`` (int32) holds the
    place of each maximum among the H * W pixels of its image: of equal ones the first in the order of rows, and NaN is larger than any
    number. Each window sees a pixel: the layers refuse others. ``g`` is a named tuple of numbers, which Numba's kernels take too:
    ``kernel_h`` and ``kernel_w``, likewise ``stride``, ``padding`` (in front) and ``dilation``, then ``groups`` and
    ``count_include_pad``. The library adds bias and activation behind a forward. Passes left out, other numbers of axes and empty
    batches stay with the built-in kernels.

    A kernel is judged first, mostly on small integers, by the laws of its operation in ``numbacnn.testing``: what it does must be right
    for every stride, padding, dilation and group, in float32 and float64, for NaN too, unless ``takes`` says which sizes it is for; it
    must fill ``out``, keep to it, and leave its inputs alone. That takes seconds, once in a process.

    It holds for the thread that enters it, and for a backward pass only inside. Inside another ``use_kernel`` the inner one comes first.

    Args:
        op: the operation.
        forward, grad_input, grad_weight: the kernels. An ``@njit`` kernel, ``parallel`` or not, is launched as the library's own are (so
            many threads, a lock where the threading layer wants one); a Python function is called.
        device: "cpu" or "cuda", where kernels are ``@cuda.jit`` ones.
        layout: how activations lie in memory: "nchw", or "nhwc" for arrays (N, H, W, C). Memory is "nhwc" everywhere in the library: with
            "nchw" each activation is copied before and after a kernel, with "nhwc" none is. Weights are (OC, C/groups, KH, KW) in both.
        takes: a function of the :class:`numbacnn.geometry.ConvGeometry` or ``PoolGeometry`` that says whether the kernels are meant for it,
            as ``lambda g: g.stride == (1, 1) and g.groups == 1``; others stay with the built-in kernels. Its ``g`` is not the kernel's:
            it has tuples ``sizes``, ``outputs``, ``kernel``, ``stride``, ``dilation``, ``before`` as (3, 3), ``padding`` as ((1, 1),
            (1, 1)), before and after, the numbers ``n`` and ``c``, and of a convolution ``oc`` and ``groups``.
        block: threads of a block on CUDA.
        grid: blocks on CUDA, a function of the shape of ``out`` in memory; by default there is a thread for each of its elements, and
            ``cuda.grid(1)`` is its place.
        rounding: how far results may be off on small integers, a row of ``numbacnn.testing.trial.ROUNDING``: "exact" for sums of products,
            "winograd" or "fft" for kernels that round the terms as well.
        check: False takes the kernels unjudged.

    Returns:
        What ``with`` enters; it also decorates a function.

    Raises:
        numbacnn.testing.LawBroken: the kernels break a law; the message has the law and the smallest case that was found.
        TypeError, ValueError: an argument is no kernel of this device, or takes other arguments than the table says.
        DeviceError: the device is unknown or can't be used.
        ImportError: Hypothesis, which draws the cases, is not installed: ``pip install "numbacnn[test]"``, or ``check=False``.
        RuntimeError: from inside, where a kernel fails; the message says on which shapes.

    >>> import numbacnn as nc
    >>> def subsampled(x, g, out):
    ...     out[...] = x[:, :, ::2, ::2]
    >>> only_points = lambda g: g.kernel == (1, 1) and g.stride == (2, 2) and g.before == (0, 0)
    >>> with nc.use_kernel("avg_pool2d", subsampled, takes=only_points, check=False):
    ...     nc.nn.functional.avg_pool2d(nc.arange(4.0).reshape(1, 1, 2, 2), 1, stride=2).item()
    0.0
    """
    kernel = kernel_of("use_kernel", op, layout, takes, block, grid, forward=forward, grad_input=grad_input, grad_weight=grad_weight)
    device = judged_on(kernel, "use_kernel", device, rounding, check)
    given = ", ".join(f"{which}={name_of(function)}" for which, function in kernel.functions().items())
    return in_front(device, op, backends.get(device).own(kernel), f"use_kernel({op!r}, {given}, device={device!r})")


def kernel_of(op: str, name: str, layout: str, takes: Any, block: Any, grid: Any, **functions: Any) -> Kernel:
    """Judge the arguments; ``op`` is what the user called, ``name`` the operation."""
    one_of(op, "op", name, PASSES)
    one_of(op, "layout", layout, LAYOUTS)
    given = {which: function for which, function in functions.items() if function is not None}
    if not given:
        raise ValueError(message(op, f"at least one of {', '.join(PASSES[name])} of {name}", "none"))
    for which, function in given.items():
        _judge_function(op, name, which, function)
    for argument, value in {"takes": takes, "grid": grid}.items():
        if value is not None and not callable(value):
            raise TypeError(message(op, f"{argument} as a function or None", shown(value)))
    for argument, value in {**given, "takes": takes, "grid": grid}.items():
        try:
            hash(value)  # what was judged is remembered
        except TypeError as error:
            raise TypeError(message(op, f"{argument} as a function that can be hashed", f"{shown(value)}: {error}")) from None
    blocks = block if isinstance(block, tuple) else (block,)
    if not 1 <= len(blocks) <= 3:
        raise ValueError(message(op, "block as an integer or a tuple of one to three", repr(block)))
    for threads in blocks:
        integer(op, "block", threads)
    return Kernel(name, layout=layout, takes=takes, block=block, grid=grid, **given)


def _judge_function(op: str, name: str, which: str, function: Any) -> None:
    if which not in PASSES[name]:
        raise ValueError(message(op, f"no {which}, which {name} does not have", shown(function)))
    if not callable(function):
        raise TypeError(message(op, f"{which} as a function or a kernel of Numba's", shown(function)))
    wanted = PASSES[name][which]
    try:
        signature = inspect.signature(getattr(function, "py_func", function))
    except (TypeError, ValueError):  # one that does not tell
        return
    names = tuple(signature.parameters)
    meant = next((other for other, passes in PASSES.items() if names in passes.values()), name)
    if meant != name or not _binds(signature, wanted):
        expected = f"{which} of {name} as a function of ({', '.join(wanted)})"
        hint = f"these are the arguments of op={meant!r}" if meant != name else f"op is one of {', '.join(map(repr, PASSES))}"
        raise TypeError(message(op, expected, f"{name_of(function)}({', '.join(names)})", hint))


def _binds(signature: inspect.Signature, names: tuple[str, ...]) -> bool:
    try:
        signature.bind(*names)
    except TypeError:
        return False
    return True


def judged_on(kernel: Kernel, op: str, device: str, rounding: str, check: bool) -> str:
    """Judge a kernel for a device, by the laws where ``check``; the device's name."""
    device = backends.device(device, op)
    backends.get(device).own(kernel)  # which refuses those of another device
    one_of(op, "rounding", rounding, ROUNDING)
    if flag(op, "check", check):
        judge_kernel(kernel, device, rounding)
    return device
