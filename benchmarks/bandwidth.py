"""What memory bounds, beside PyTorch's CPU: ``python -m benchmarks.bandwidth``.

Pooling, activations, softmax, cross-entropy, batch norm, the gradient of a bias, steps of optimisers; forward as training runs it, and
the backward of that one operation. PyTorch gets the better of its two memory formats, and of its two optimiser implementations.

A cell is PyTorch's best time over ours (in brackets: the medians), GB/s, and their fraction of the bandwidth that ``benchmarks.peak``
finds in the same run. The bytes are those that a pass can't do without where nothing stays in the cache: batch norm reads its input
twice, since it needs the whole sum first. Arrays that do stay in the cache, as LeNet's, can exceed 100 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .alternate import Case, Makers, Ways, arguments, compare, peaks, work
from .tables import Row, geometric_mean, pivot, ratio, ratios, report

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """A module of ``nn`` by its name and arguments, its input's shape and output's size.

    ``forward`` and ``backward``: how often each pass moves an array of the input's size, and of the output's.
    """

    name: str
    arguments: tuple[Any, ...]
    shape: Shape
    output: int
    forward: tuple[int, int] = (1, 1)
    backward: tuple[int, int] = (1, 1)

    def floats(self, direction: str) -> int:
        """How many numbers a pass moves."""
        inputs, outputs = self.forward if direction == "forward" else self.backward
        return inputs * math.prod(self.shape) + outputs * self.output


def _map(name: str, shape: Shape, *arguments: Any) -> Layer:
    """An output of the input's size; backward reads the gradient and what was saved, and writes."""
    return Layer(name, arguments, shape, math.prod(shape), backward=(1, 2))


IMAGES, RESNET = (256, 6, 28, 28), (32, 64, 56, 56)
ACTIVATIONS = ("ReLU", "Sigmoid", "Tanh", "GELU")
LAYERS = {  # maximum pooling also moves the maxima's places
    "max pool 2x2, LeNet": Layer("MaxPool2d", (2, 2), IMAGES, 256 * 6 * 14 * 14, (1, 2), (1, 2)),
    "average pool 2x2, LeNet": Layer("AvgPool2d", (2, 2), IMAGES, 256 * 6 * 14 * 14),
    "max pool 3x3, stride 2, 64 @ 112": Layer("MaxPool2d", (3, 2, 1), (16, 64, 112, 112), 16 * 64 * 56 * 56, (1, 2), (1, 2)),
    "average pool 2x2, 64 @ 56": Layer("AvgPool2d", (2, 2), RESNET, 32 * 64 * 28 * 28),
    "global average pool, 512 @ 7": Layer("AdaptiveAvgPool2d", (1,), (256, 512, 7, 7), 256 * 512),
    **{f"{name}, LeNet": _map(name, IMAGES) for name in ACTIVATIONS},
    **{f"{name}, 64 @ 56": _map(name, RESNET) for name in ACTIVATIONS},
    "softmax, 256 x 10": _map("Softmax", (256, 10), 1),
    "softmax, 8192 x 1000": _map("Softmax", (8192, 1000), 1),
    "cross-entropy, 256 x 10": Layer("CrossEntropyLoss", (), (256, 10), 1, (2, 0), (2, 0)),
    "cross-entropy, 8192 x 1000": Layer("CrossEntropyLoss", (), (8192, 1000), 1, (2, 0), (2, 0)),
    "batch norm, 64 @ 56": Layer("BatchNorm2d", (64,), RESNET, 0, (3, 0), (5, 0)),
    "batch norm, 512 @ 7": Layer("BatchNorm2d", (512,), (64, 512, 7, 7), 0, (3, 0), (5, 0)),
}
BIASES: dict[str, Shape] = {"bias gradient, LeNet": IMAGES, "bias gradient, 64 @ 56": RESNET}
OPTIMISERS: dict[str, tuple[str, dict[str, Any], int]] = {  # its arguments, and how many arrays a step moves
    "SGD": ("SGD", {"lr": 1e-6}, 3),
    "SGD, momentum": ("SGD", {"lr": 1e-6, "momentum": 0.9}, 5),
    "Adam": ("Adam", {"lr": 1e-6}, 7),
}
PARAMETERS: dict[str, list[Shape]] = {
    "LeNet": [(6, 1, 5, 5), (6,), (16, 6, 5, 5), (16,), (120, 400), (120,), (84, 120), (84,), (10, 84), (10,)],
    "12 million": [(512, 512, 3, 3)] * 5,
}


def cases() -> Iterator[Case]:
    yield from ({"operation": name, "pass": direction} for name in LAYERS for direction in ("forward", "backward"))
    yield from ({"operation": name, "pass": "backward"} for name in BIASES)
    yield from (
        {"operation": f"{name}, {size}", "pass": "step", "optimiser": name, "size": size} for name in OPTIMISERS for size in PARAMETERS
    )


def gigabytes(case: Case) -> float:
    if case["pass"] == "step":
        return 4e-9 * OPTIMISERS[case["optimiser"]][2] * sum(map(math.prod, PARAMETERS[case["size"]]))
    name = case["operation"]
    return 4e-9 * (math.prod(BIASES[name]) if name in BIASES else LAYERS[name].floats(case["pass"]))


def numbers(shape: Shape, seed: int = 0) -> np.ndarray:
    """float32; four axes are channels-last in memory."""
    rng = np.random.default_rng(seed)
    if len(shape) != 4:
        return rng.standard_normal(shape, np.float32)
    n, c, h, w = shape
    return rng.standard_normal((n, h, w, c), np.float32).transpose(0, 3, 1, 2)


def labels(shape: Shape) -> np.ndarray:
    return np.random.default_rng(0).integers(0, shape[1], shape[0])


# -- ours ----------------------------------------------------------------------------------------------------------------------
def ours(case: Case) -> Ways:
    import numbacnn as nc
    from numbacnn import backends

    if case["pass"] == "step":
        kind, options, _ = OPTIMISERS[case["optimiser"]]
        parameters = [nc.nn.Parameter(nc.tensor(np.ascontiguousarray(numbers(shape)))) for shape in PARAMETERS[case["size"]]]
        for i, p in enumerate(parameters):
            p.grad = nc.tensor(np.ascontiguousarray(numbers(p.shape, i)))
        return [getattr(nc.optim, kind)(parameters, **options).step]
    if case["operation"] in BIASES:
        grad, xp = numbers(BIASES[case["operation"]]), backends.get("cpu")
        return [lambda: xp.channel_sum(grad)]
    layer = LAYERS[case["operation"]]
    module: Callable[..., Any] = getattr(nc.nn, layer.name)(*layer.arguments)
    more = [nc.tensor(labels(layer.shape))] if layer.name == "CrossEntropyLoss" else []
    x = _dropped(nc.from_array(numbers(layer.shape), requires_grad=True))
    if case["pass"] == "forward":
        return [lambda: module(x, *more)]
    y = module(x, *more)
    grad = nc.from_array(numbers(y.shape, 1))
    return [lambda: y.backward(grad, retain_graph=True)]


def _dropped(x: Any) -> Any:
    """x itself, with a gradient that is let go: what a leaf does with its own (it may copy) is not the operation's time."""
    import numbacnn as nc

    class Drop(nc.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x

        @staticmethod
        def backward(ctx: Any, grad: Any) -> None:
            return None

    return Drop.apply(x)


# -- PyTorch's -------------------------------------------------------------------------------------------------------------------
def theirs(case: Case) -> Ways:
    import torch

    if case["pass"] == "step":
        return [_step(case, fused) for fused in (False, True)]
    return [_theirs(case, memory) for memory in (torch.contiguous_format, torch.channels_last)]


def _step(case: Case, fused: bool) -> Callable[[], object]:
    import torch

    kind, options, _ = OPTIMISERS[case["optimiser"]]
    parameters = [torch.nn.Parameter(torch.from_numpy(numbers(shape)).contiguous()) for shape in PARAMETERS[case["size"]]]
    for i, p in enumerate(parameters):
        p.grad = torch.from_numpy(numbers(tuple(p.shape), i)).contiguous()
    return getattr(torch.optim, kind)(parameters, **options, fused=fused).step


def _theirs(case: Case, memory: Any) -> Callable[[], object]:
    import torch

    def laid_out(a: np.ndarray) -> Any:
        t = torch.from_numpy(a)
        return t.contiguous(memory_format=memory) if t.ndim == 4 else t

    if case["operation"] in BIASES:
        grad = laid_out(numbers(BIASES[case["operation"]]))
        return lambda: grad.sum((0, 2, 3))
    layer = LAYERS[case["operation"]]
    module = getattr(torch.nn, layer.name)(*layer.arguments)
    more = [torch.from_numpy(labels(layer.shape))] if layer.name == "CrossEntropyLoss" else []
    x = laid_out(numbers(layer.shape)).requires_grad_()
    if case["pass"] == "forward":
        return lambda: module(x, *more)
    y = module(x, *more)
    grad = laid_out(np.asarray(numbers(tuple(y.shape), 1)))
    wanted = [x, *module.parameters()]
    return lambda: torch.autograd.grad(y, wanted, grad, retain_graph=True)


MAKERS: Makers = {"numbacnn": ours, "torch": theirs}


# -- what the times come to --------------------------------------------------------------------------------------------------------
def summary(rows: list[Row]) -> dict[str, float]:
    """The geometric mean and the least ratio of each pass."""
    found = {}
    for name in dict.fromkeys(row["pass"] for row in rows):
        values = [ratio(row) for row in rows if row["pass"] == name]
        found |= {f"{name}, geometric mean": geometric_mean(values), f"{name}, worst": min(values)}
    return found


def main() -> None:
    args = arguments(__doc__.splitlines()[0]).parse_args()
    if args.worker:
        work(MAKERS, args)
        return
    rows = compare("benchmarks.bandwidth", MAKERS, cases(), args)
    peak = peaks(args.threads)["gb_s"]
    for row in rows:
        row["gb_s"] = gigabytes(row) / row["numbacnn_best"]
    table = pivot(rows, "operation", "pass", lambda row: f"{ratios(row)}, {row['gb_s']:.3g} GB/s, {row['gb_s'] / peak:.0%}")
    report("bandwidth", f"Bound by memory: PyTorch's time over ours; of {peak:.1f} GB/s", table, rows, summary(rows), args)


if __name__ == "__main__":
    main()
