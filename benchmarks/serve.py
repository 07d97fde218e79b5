"""One request to a server beside PyTorch's CPU: ``python -m benchmarks.serve``.

A request enters ``inference_mode``, runs the network on one picture, and leaves. "In one block" is the same without entering and
leaving: what an endless loop inside the mode would take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .alternate import Case, Makers, Ways, arguments, compare, inference_mode, work
from .tables import Row, geometric_mean, ratio, ratios, report
from .train import Net, batch

NETS = {
    "LeNet, 28x28": Net("lenet", {}, (1, 1, 28, 28)),
    "ResNet-18, 64x64": Net("resnet18", {"stem": "imagenet"}, (1, 3, 64, 64)),
    "ResNet-18, 224x224": Net("resnet18", {"stem": "imagenet"}, (1, 3, 224, 224)),
}


def request(side: str, model: Any, x: Any) -> Callable[[], object]:
    def serve() -> object:
        with inference_mode(side):
            return model(x)

    return serve


def way(side: str, case: Case, model: Any, x: Any) -> Callable[[], object]:
    """A request, or the bare call where the worker is in the mode already."""
    return (lambda: model(x)) if case["mode"] == "inference" else request(side, model, x)


def ours(case: Case) -> Ways:
    import numbacnn as nc

    net = NETS[case["net"]]
    model = getattr(nc.models, net.name)(classes=10, **net.arguments).eval()
    return [way("numbacnn", case, model, nc.from_array(batch(net.shape)[0]))]


def theirs(case: Case) -> Ways:
    import torch

    from . import torch_nets

    net, found = NETS[case["net"]], []
    for memory in (torch.contiguous_format, torch.channels_last):
        model = getattr(torch_nets, net.name)(**net.arguments).eval().to(memory_format=memory)
        x = torch.from_numpy(batch(net.shape)[0]).contiguous(memory_format=memory)
        found.append(way("torch", case, model, x))
    return found


MAKERS: Makers = {"numbacnn": ours, "torch": theirs}


def table(rows: list[Row]) -> list[list[str]]:
    lines = [["network", "call", "numbacnn, ms", "PyTorch, ms", "ratio"]]
    for row in rows:
        times = [f"{1e3 * row[f'{s}_best']:.3g} ({1e3 * row[f'{s}_median']:.3g})" if f"{s}_best" in row else "-" for s in MAKERS]
        lines.append([row["net"], "in one block" if row["mode"] == "inference" else "a request", *times, ratios(row)])
    return lines


def main() -> None:
    args = arguments(__doc__.splitlines()[0]).parse_args()
    if args.worker:
        work(MAKERS, args)
        return
    rows = compare("benchmarks.serve", MAKERS, [{"net": net, "mode": mode} for net in NETS for mode in ("request", "inference")], args)
    requests, blocks = ([row for row in rows if row["mode"] == mode] for mode in ("request", "inference"))
    summary = {
        "geometric mean of requests": geometric_mean(map(ratio, requests)),
        "a request over a call in one block, at most": max(r["numbacnn_best"] / b["numbacnn_best"] for r, b in zip(requests, blocks)),
    }
    report("serve", "A request of one picture: best (median)", table(rows), rows, summary, args)


if __name__ == "__main__":
    main()
