"""Full training steps of larger networks in images per second beside PyTorch's CPU: ``python -m benchmarks.train``.

Forward, cross-entropy, backward and a step of SGD with momentum, on one batch that stays; PyTorch's better memory format. Both sides
have the same layers and parameters, and images that lie as the side likes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .alternate import Case, Makers, Ways, arguments, compare, work
from .tables import Row, geometric_mean, ratio, ratios, report


@dataclass(frozen=True)
class Net:
    """A network by its name in ``numbacnn.models`` and ``torch_nets``, its arguments, and the batch (N, C, H, W)."""

    name: str
    arguments: dict[str, str]
    shape: tuple[int, int, int, int]


NETS = {
    "ResNet-18, 32x32, 3x3 stem": Net("resnet18", {"stem": "cifar"}, (64, 3, 32, 32)),
    "ResNet-18, 96x96, 7x7 stem": Net("resnet18", {"stem": "imagenet"}, (16, 3, 96, 96)),
    "VGG-11 with batch norm, 32x32": Net("vgg11_bn", {"head": "cifar"}, (64, 3, 32, 32)),
}
LENET = Net("lenet", {}, (256, 1, 28, 28))


def batch(shape: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Random images (N, C, H, W), channels-last in memory, and labels."""
    rng, (n, c, h, w) = np.random.default_rng(0), shape
    return rng.random((n, h, w, c), np.float32).transpose(0, 3, 1, 2), rng.integers(0, 10, n)


def our_step(net: Net) -> Callable[[], object]:
    import numbacnn as nc

    model = getattr(nc.models, net.name)(classes=10, **net.arguments)
    optimiser = nc.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = map(nc.from_array, batch(net.shape))

    def step() -> None:
        optimiser.zero_grad()
        nc.nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()

    return step


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
    return [our_step(NETS[case["net"]])]


def theirs(case: Case) -> Ways:
    import torch

    return [their_step(NETS[case["net"]], memory) for memory in (torch.contiguous_format, torch.channels_last)]


MAKERS: Makers = {"numbacnn": ours, "torch": theirs}


def table(rows: list[Row]) -> list[list[str]]:
    lines = [["network", "batch", "numbacnn, images/s", "PyTorch, images/s", "ratio"]]
    for row in rows:
        n = NETS[row["net"]].shape[0]
        rates = [f"{n / row[f'{side}_best']:,.1f} ({n / row[f'{side}_median']:,.1f})" if f"{side}_best" in row else "-" for side in MAKERS]
        lines.append([row["net"], str(n), *rates, ratios(row)])
    return lines


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--nets", nargs="*", choices=list(NETS), default=list(NETS), metavar="NET")
    args = parser.parse_args()
    if args.worker:
        work(MAKERS, args)
        return
    rows = compare("benchmarks.train", MAKERS, [{"net": name} for name in args.nets], args)
    summary = {"geometric mean": geometric_mean(map(ratio, rows)), "worst": min(map(ratio, rows))}
    report("train", "Training steps: best (median)", table(rows), rows, summary, args)


if __name__ == "__main__":
    main()
