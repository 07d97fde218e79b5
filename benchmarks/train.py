"""Full training steps of larger networks in images per second beside PyTorch's CPU: ``python -m benchmarks.train``.

Forward, cross-entropy, backward and a step of SGD with momentum, on one batch that stays; ours as it is and through ``nc.compile``, in
PyTorch's better memory format. Both have the same layers and parameters, and images that lie as the side likes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from .alternate import Case, Makers, Ways, arguments, compare, settled, work
from .tables import NAMES, Row, cell, geometric_mean, present, ratio, ratios, report


@dataclass(frozen=True)
class Net:
    """A network by its name in ``numbacnn.models`` and ``torch_nets``, its arguments, and the batch (N, C, H, W)."""

    name: str
    arguments: dict[str, str]
    shape: tuple[int, int, int, int]


NETS = {
    "ResNet-18, 32x32, 3x3 stem": Net("resnet18", {"stem": "cifar"}, (64, 3, 32, 32)),
    "ResNet-18, 32x32, 8 images": Net("resnet18", {"stem": "cifar"}, (8, 3, 32, 32)),
    "ResNet-18, 32x32, 1 image": Net("resnet18", {"stem": "cifar"}, (1, 3, 32, 32)),
    "ResNet-18, 96x96, 7x7 stem": Net("resnet18", {"stem": "imagenet"}, (16, 3, 96, 96)),
    "VGG-11 with batch norm, 32x32": Net("vgg11_bn", {"head": "cifar"}, (64, 3, 32, 32)),
}
LENET = Net("lenet", {}, (256, 1, 28, 28))


def batch(shape: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Random images (N, C, H, W), channels-last in memory, and labels."""
    rng, (n, c, h, w) = np.random.default_rng(0), shape
    return rng.random((n, h, w, c), np.float32).transpose(0, 3, 1, 2), rng.integers(0, 10, n)


def our_step(net: Net) -> tuple[Callable[[Any, Any], None], Any, Any]:
    """A step, and the batch to call it with."""
    import numbacnn as nc

    model = getattr(nc.models, net.name)(classes=10, **net.arguments)
    optimiser = nc.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = map(nc.from_array, batch(net.shape))

    def step(x: Any, y: Any) -> None:
        optimiser.zero_grad()
        nc.nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()

    return step, x, y


def their_step(net: Net, memory: Any) -> Callable[[], object]:
    import torch

    from . import torch_nets

    model = getattr(torch_nets, net.name)(**net.arguments).to(memory_format=memory)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = map(torch.from_numpy, batch(net.shape))
    x = x.contiguous(memory_format=memory)

    def step() -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()

    return step


def ours(case: Case) -> Ways:
    return [partial(*our_step(NETS[case["net"]]))]


def compiled(case: Case) -> Ways:
    import numbacnn as nc

    step, x, y = our_step(NETS[case["net"]])
    return settled([partial(nc.compile(step), x, y)], case)


def theirs(case: Case) -> Ways:
    import torch

    return [their_step(NETS[case["net"]], memory) for memory in (torch.contiguous_format, torch.channels_last)]


MAKERS: Makers = {"numbacnn": ours, "compiled": compiled, "torch": theirs}


def table(rows: list[Row]) -> list[list[str]]:
    sides = present(rows)
    lines = [["network", "batch", *(f"{NAMES[side]}, images/s" for side in sides), "ratio", "ratio, compiled"]]
    for row in rows:
        n = NETS[row["net"]].shape[0]
        rates = [cell(row, side, lambda seconds, n=n: f"{n / seconds:,.1f}") for side in sides]
        lines.append([row["net"], str(n), *rates, ratios(row), ratios(row, "compiled")])
    return lines


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="*", choices=list(NETS), default=list(NETS), metavar="NET")
    args = parser.parse_args()
    if args.worker:
        work(MAKERS, args)
        return
    rows = compare("benchmarks.train", MAKERS, [{"net": name} for name in args.nets], args)
    summary = {}
    for side, name in (("numbacnn", ""), ("compiled", ", compiled")):
        found = [ratio(row, side=side) for row in rows]
        summary |= {f"geometric mean{name}": geometric_mean(found), f"worst{name}": min(found)}
    report("train", "Training steps: best (median)", table(rows), rows, summary, args)


if __name__ == "__main__":
    main()
