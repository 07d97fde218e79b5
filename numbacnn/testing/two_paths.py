"""What a device must compute alike on both of its paths, the safe and the fast one: a list of cases, and a process that runs them.

``backends.cuda.verdict`` starts such a process for each path and compares what they have written. Shapes are ragged: sizes that no block,
no tile and no 16 bytes divide.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import children, config, nn, optim
from ..data import DataLoader, ImageDataset
from ..nn import functional as F
from ..plan import compile
from ..random import manual_seed
from ..tensor import Tensor, cat, no_grad, tensor, where, zeros

__all__ = ["CASES", "Case", "main", "results"]

DEVICE = "cuda"
EXACT, FUSED, SUMS, TRAINED = 0.0, 3e-7, 2e-6, 2e-4
"""How far apart results may be, of the largest: not at all; where a compiler may round a product and a sum once; where sums are added up in
another order; and after steps with such sums."""


class Case(NamedTuple):
    """Computations in the device of the argument, and how far the paths may be apart."""

    run: Callable[[str], Iterable[Tensor]]
    bound: float


CASES: dict[str, Case] = {}


def case(name: str, bound: float = EXACT) -> Callable[[Callable[[str], Iterable[Tensor]]], Any]:
    """Put a function into the list."""

    def add(run: Callable[[str], Iterable[Tensor]]) -> Any:
        CASES[name] = Case(run, bound)
        return run

    return add


class Numbers:
    """Tensors of random numbers, the same for a seed."""

    def __init__(self, device: str, seed: int = 0) -> None:
        self.device, self.rng = device, np.random.default_rng(seed)

    def __call__(self, *shape: int, dtype: str = "float32", grad: bool = True) -> Tensor:
        values = self.rng.standard_normal(shape).astype(dtype)
        return tensor(values, device=self.device, requires_grad=grad)

    def whole(self, most: int, *shape: int, dtype: str = "int64") -> Tensor:
        """Integers from 0 to below ``most``."""
        return tensor(self.rng.integers(0, most, shape).astype(dtype), device=self.device)


def both(numbers: Numbers, y: Tensor, *inputs: Tensor | None) -> Iterator[Tensor]:
    """A result, and its gradient by each input that has one."""
    y.backward(numbers(*y.shape, dtype=str(y.dtype), grad=False))
    yield y
    for x in inputs:
        if x is not None and x.grad is not None:
            yield x.grad
            x.grad = None


@case("arguments of kernels")
def arguments(device: str) -> Iterator[Tensor]:
    """Every type of number, and views: turned, reversed, with steps, broadcast, with many axes."""
    numbers = Numbers(device)
    for dtype in ("float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool"):
        x = numbers.whole(2, 5, 7, 3, dtype=dtype)
        yield x.permute(2, 0, 1).flip((0, 2))[1:, ::2]
        yield x[1, 2:].expand(4, 5, 3).reshape(-1)
        yield where(x == x.flip((1,)), x, x.transpose(0, 2)[:1, :, :1].reshape(1, 7, 1))
        yield x.to("float32") * 2.5 + x.to("int64")
    x = numbers.whole(2, 2, 1, 3, 2, 1, 2, 3, 2)
    yield x.permute(7, 5, 3, 1, 0, 2, 4, 6) + 3
    yield zeros(0, 3, device=device) + 1.0


@case("reuse of memory")
def reuse(device: str) -> list[Tensor]:
    """What is kept does not change while memory beside it is made, dropped and made again."""
    kept = []
    for i in range(60):
        x = tensor(np.arange(97 * (i % 7 + 1), dtype=np.float32), device=device)
        y = x * float(i) + 1.0
        if i % 3 == 0:
            kept.append(y[i % 5 :])
        del x, y
        zeros(1000 + 331 * (i % 11), device=device).add_(float(i))
    return kept


@case("values from the host")
def uploads(device: str) -> Iterator[Tensor]:
    """More than is brought in one piece, while kernels use what came before; pictures, which come as bytes."""
    numbers = Numbers(device)
    total = zeros(1_300_003, device=device)
    for _ in range(3):
        total.add_(numbers(1_300_003, grad=False))
    yield total
    pictures = ImageDataset(
        np.arange(7 * 5 * 3 * 3, dtype=np.uint8).reshape(7, 5, 3, 3), np.arange(7), tuple("abcdefg"), mean=(0.4,), std=(0.3,)
    )
    for x, y in DataLoader(pictures, batch_size=3, device=device):
        yield from (x, y)


@case("pointwise functions", FUSED)
def pointwise(device: str) -> Iterator[Tensor]:
    numbers = Numbers(device)
    functions = (F.relu, F.leaky_relu, F.sigmoid, F.tanh, F.gelu, F.silu, F.softplus, F.hardswish, F.elu, Tensor.exp, Tensor.abs)
    for function in functions:
        for shape in ((3, 5, 7, 9), (1031,)):
            x = numbers(*shape)
            yield from both(numbers, function(x), x)
    x = numbers(37)
    with no_grad():
        x[::5], x[1::7], x[2::11] = float("nan"), float("inf"), -float("inf")
    yield from (function(x).detach() for function in functions)
    x = numbers(3, 5, dtype="float64")
    yield from both(numbers, F.relu(x) + F.tanh(x), x)


@case("pointwise with broadcasting", SUMS)
def broadcast(device: str) -> Iterator[Tensor]:
    numbers = Numbers(device)
    for a, b in (((3, 5, 7, 9), (5, 1, 1)), ((257, 33), (33,)), ((1, 31), (29, 1))):
        x, y = numbers(*a), numbers(*b)
        for z in (x + y, x * y, x - y, x / (y * y + 1), x.maximum(y)):
            yield from both(numbers, z, x, y)
        yield x < y


@case("reductions", SUMS)
def reductions(device: str) -> Iterator[Tensor]:
    numbers = Numbers(device)
    for shape, axes in (
        ((3, 5, 7, 9), (0, 2, 3)),
        ((1031,), (0,)),
        ((17, 300), (1,)),
        ((300, 17), (0,)),
        ((701, 36), (0,)),
        ((2, 3, 1), (2,)),
    ):
        for function in (Tensor.sum, Tensor.mean, Tensor.amax):
            x = numbers(*shape)
            yield from both(numbers, function(x, axes), x)
    x = numbers(33, 65, grad=False)
    yield x.argmax(1)
    yield x.max()
    yield numbers.whole(9, 33, 65).sum(0)


@case("softmax and losses", SUMS)
def losses(device: str) -> Iterator[Tensor]:
    numbers = Numbers(device)
    for n, classes in ((7, 10), (33, 1000), (257, 3)):
        labels = numbers.whole(classes, n)
        x = numbers(n, classes)
        yield from both(numbers, F.softmax(x, 1), x)
        yield from both(numbers, F.log_softmax(x, 1), x)
        yield from both(numbers, F.cross_entropy(x, labels, label_smoothing=0.1), x)
        yield from both(numbers, F.cross_entropy(x, labels), x)
        y = numbers(n, classes, grad=False)
        for loss in (F.mse_loss, F.smooth_l1_loss, F.binary_cross_entropy_with_logits):
            yield from both(numbers, loss(x, y), x)


@case("labels out of range")
def faults(device: str) -> list[Tensor]:
    try:
        F.cross_entropy(Numbers(device)(3, 4), tensor([0, 4, 1], device=device)).item()
    except ValueError as error:
        return [tensor(list(str(error).encode()))]
    raise RuntimeError("a label that is out of range is not noticed")


@case("convolutions", SUMS)
def convolutions(device: str) -> Iterator[Tensor]:
    numbers = Numbers(device)
    # n, c, h, w, out, kernel, stride, padding, dilation, groups
    for n, c, h, w, out, kernel, stride, padding, dilation, groups in (
        (3, 1, 11, 13, 6, 5, 1, 2, 1, 1),
        (2, 3, 9, 7, 70, 3, 1, 1, 1, 1),
        (5, 66, 5, 6, 34, 3, 2, 1, 1, 1),
        (2, 6, 12, 9, 8, 3, 1, 2, 2, 2),
        (2, 7, 8, 8, 7, 3, 1, 1, 1, 7),
        (3, 16, 6, 7, 40, 1, 2, 0, 1, 1),
        (1, 4, 33, 2, 4, 2, (3, 1), (0, 1), 1, 4),
        (3, 36, 9, 7, 36, 3, 2, 1, 1, 36),
    ):
        kernels = (kernel, kernel)
        x, weight, bias = numbers(n, c, h, w), numbers(out, c // groups, *kernels), numbers(out)
        y = F.conv2d(x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
        yield from both(numbers, y, x, weight, bias)
    x, weight = numbers(2, 3, 7, 5, dtype="float64"), numbers(5, 3, 3, 3, dtype="float64")
    yield from both(numbers, F.conv2d(x, weight, padding=1), x, weight)
    fused = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten()).to(device)
    start(fused, numbers)
    x = numbers(3, 3, 9, 8)
    yield from both(numbers, fused(x), x, *fused.parameters())


@case("pooling", SUMS)
def pooling(device: str) -> Iterator[Tensor]:
    numbers = Numbers(device)
    functions: tuple[Callable[[Tensor], Tensor], ...] = (
        lambda x: F.max_pool2d(x, 2),
        lambda x: F.max_pool2d(x, 3, 2, 1),
        lambda x: F.avg_pool2d(x, 2),
        lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
        lambda x: F.adaptive_avg_pool2d(x, 1),
        lambda x: F.adaptive_avg_pool2d(x, (3, 2)),
    )
    for function in functions:
        for shape in ((2, 3, 9, 7), (3, 36, 6, 5)):
            x = numbers(*shape)
            yield from both(numbers, function(x), x)


@case("batch norm", SUMS)
def norms(device: str) -> Iterator[Tensor]:
    numbers = Numbers(device)
    for shape in ((3, 5, 7, 9), (4, 64, 5, 6), (33, 10), (2, 131, 3, 1)):
        x, weight, bias = numbers(*shape), numbers(shape[1]), numbers(shape[1])
        mean, variance = zeros(shape[1], device=device), zeros(shape[1], device=device) + 1.0
        for training in (True, False):
            yield from both(numbers, F.batch_norm(x, mean, variance, weight, bias, training), x, weight, bias)
        yield from (mean, variance)


@case("linear layers", SUMS)
def linear(device: str) -> Iterator[Tensor]:
    numbers = Numbers(device)
    for rows, features, out in ((1, 7, 5), (33, 130, 67), (256, 84, 10)):
        x, weight, bias = numbers(rows, features), numbers(out, features), numbers(out)
        yield from both(numbers, F.linear(x, weight, bias), x, weight, bias)
    x, y = numbers(3, 5, 9), numbers(3, 9, 4)
    yield from both(numbers, x @ y, x, y)


@case("dropout")
def dropout(device: str) -> Iterator[Tensor]:
    numbers = Numbers(device)
    for shape in ((7, 5, 3, 3), (1031,)):
        manual_seed(3)
        x = numbers(*shape)
        yield from both(numbers, F.dropout(x, 0.3), x)


@case("indices, joins and borders", SUMS)
def indices(device: str) -> Iterator[Tensor]:
    numbers = Numbers(device)
    x, y = numbers(9, 5, 3), numbers(9, 2, 3)
    at = tensor([3, 0, 3, 8], device=device)
    yield from both(numbers, cat([x, y], 1), x, y)
    yield from both(numbers, x[at], x)
    yield from both(numbers, x[1:8:3, -2], x)
    z = numbers(9, 5, 3, grad=False)
    z[at] = 7.0
    z[:, 2] = z[:, 0] * 2
    yield z


@case("optimisers", SUMS)
def optimisers(device: str) -> Iterator[Tensor]:
    numbers = Numbers(device)
    for make in (
        lambda ps: optim.SGD(ps, lr=0.1),
        lambda ps: optim.SGD(ps, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
        lambda ps: optim.Adam(ps, lr=0.01, weight_decay=0.01),
        lambda ps: optim.AdamW(ps, lr=0.01),
    ):
        parameters = [nn.Parameter(numbers(*shape).detach()) for shape in ((7, 3, 5, 5), (7,), (131, 67), (1,))]
        optimiser = make(parameters)
        for _ in range(3):
            for p in parameters:
                p.grad = numbers(*p.shape, grad=False)
            optimiser.step()
        yield from parameters


def start(net: nn.Module, numbers: Numbers) -> None:
    """Small random parameters, drawn on the host."""
    with no_grad():
        for p in net.parameters():
            p.copy_(numbers(*p.shape, grad=False) * (0.5 / max(p.numel() // p.shape[0], 1) ** 0.5))


def trained(device: str, make: Callable[[], nn.Module], shape: tuple[int, ...], steps: int) -> Iterator[Tensor]:
    """A network's losses and state after some steps: the same bits run eagerly, and through ``compile`` as a list and as a graph."""
    found: dict[str, list[Tensor]] = {}
    for way in ("eager", "list", "graph"):
        config.cuda_graphs = way == "graph"
        manual_seed(5)
        numbers, net = Numbers(device), make().to(device)
        start(net, numbers)
        optimiser = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)

        def step(x: Tensor, y: Tensor, net: Any = net, optimiser: Any = optimiser) -> Tensor:
            optimiser.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimiser.step()
            return loss

        take = compile(step, disable=way == "eager", fullgraph=True)
        lost = [take(numbers(*shape, grad=False), numbers.whole(10, shape[0])).detach().clone() for _ in range(steps)]
        found[way] = [*lost, *net.state_dict().values()]
        for i, (eager, replayed) in enumerate(zip(found["eager"], found[way])):
            if eager.numpy().tobytes() != replayed.numpy().tobytes():
                what = f"loss {i}" if i < steps else f"state {i - steps}"
                raise RuntimeError(f"a step run as a {way} has other bits than an eager one ({what})")
    yield from found["eager"]


@case("LeNet's training", TRAINED)
def lenet(device: str) -> Iterator[Tensor]:
    def make() -> nn.Module:
        features = [nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2)]
        return nn.Sequential(
            *features, nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10)
        )

    yield from trained(device, make, (5, 1, 28, 28), 6)


@case("training with residuals and batch norm", TRAINED)
def residual(device: str) -> Iterator[Tensor]:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.way = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6))

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.way(x) + x)

    def make() -> nn.Module:
        first = [nn.Conv2d(2, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2)]
        return nn.Sequential(*first, Block(), nn.Dropout(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10))

    yield from trained(device, make, (3, 2, 7, 6), 6)


# -- the process -----------------------------------------------------------------------------------------------------------------
def results(names: Sequence[str], say: Callable[..., None]) -> dict[str, np.ndarray]:
    """Run these cases, or all, once, which compiles, and once more; results by case and number.

    Raises:
        RuntimeError: the second round has other bits than the first.
    """

    def run(name: str) -> list[np.ndarray]:
        say(begins=name)
        began = time.perf_counter()
        found = [np.asarray(t.detach()) for t in list(CASES[name].run(DEVICE))]
        say(case=name, bound=CASES[name].bound, seconds=round(time.perf_counter() - began, 3))
        return found

    first = {name: run(name) for name in names or CASES}
    say(again=True)
    second = {name: run(name) for name in first}
    for name, arrays in first.items():
        if [a.tobytes() for a in arrays] != [a.tobytes() for a in second[name]]:
            raise RuntimeError(f"{name}: other bits when it is run again")
    return {f"{name}/{i}": a for name, arrays in second.items() for i, a in enumerate(arrays)}


def main() -> None:
    """A process: write the results of cases into a file, the first argument; the others name cases.

    A line of JSON says that a case begins, and one how long it took; one that says "again" stands between the two rounds.
    """
    children.end_with_parent()
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is printed is no answer

    def say(**what: Any) -> None:
        print(json.dumps(what), file=lines, flush=True)

    arrays: Any = results(sys.argv[2:], say)
    np.savez(sys.argv[1], **arrays)
