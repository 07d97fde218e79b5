"""Convolution beside PyTorch's CPU convolution, the better of its two memory formats: ``python -m benchmarks.conv``.

Training: forward, input gradient and weight gradient, with packing, padding and transforms as a training step pays them.
``--inference``: forward at batch 1 and 16 in inference mode, where weights may be packed once. ``--scaling``: two threads over one.

A cell is PyTorch's best time over ours (in brackets: the medians), our best time, and the fraction of the peak rate of fused
multiply-adds that it comes to; Winograd's and other short cuts count as the direct convolution's multiply-adds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from numbacnn.geometry import ConvGeometry

from .alternate import Case, Makers, Ways, arguments, compare, peaks, work
from .tables import Row, geometric_mean, pivot, ratio, ratios, report


@dataclass(frozen=True)
class Layer:
    """A square convolution: batch, channels, height = width, output channels, kernel, padding, stride, dilation, groups."""

    n: int
    c: int
    h: int
    oc: int
    k: int
    p: int = 0
    s: int = 1
    d: int = 1
    groups: int = 1

    @property
    def geometry(self) -> ConvGeometry:
        weight = (self.oc, self.c // self.groups, self.k, self.k)
        return ConvGeometry.of((self.n, self.c, self.h, self.h), weight, self.s, self.p, self.d, self.groups)

    @property
    def gflop(self) -> float:
        """10^9 floating-point operations of one pass."""
        return 2e-9 * self.geometry.macs

    @property
    def plain_3x3(self) -> bool:
        """3x3 with stride 1, undilated and dense, 64 to 256 channels: the layers of most networks."""
        return (self.k, self.s, self.d, self.groups) == (3, 1, 1, 1) and min(self.c, self.oc) >= 64 and max(self.c, self.oc) <= 256


LAYERS = {
    "LeNet 1 > 6 @ 28, 5x5": Layer(256, 1, 28, 6, 5, 2),
    "LeNet 6 > 16 @ 14, 5x5": Layer(256, 6, 14, 16, 5),
    "64 @ 224, 3x3": Layer(1, 64, 224, 64, 3, 1),
    "64 @ 56, 3x3": Layer(4, 64, 56, 64, 3, 1),
    "128 @ 28, 3x3": Layer(4, 128, 28, 128, 3, 1),
    "256 @ 14, 3x3": Layer(8, 256, 14, 256, 3, 1),
    "512 @ 7, 3x3": Layer(16, 512, 7, 512, 3, 1),
    "128 @ 56, 3x3, stride 2": Layer(4, 128, 56, 128, 3, 1, 2),
    "256 @ 28, 3x3, dilation 2": Layer(4, 256, 28, 256, 3, 2, d=2),
    "3 > 64 @ 224, 7x7, stride 2": Layer(4, 3, 224, 64, 7, 3, 2),
    "64 > 192 @ 27, 5x5": Layer(8, 64, 27, 192, 5, 2),
    "256 > 64 @ 56, 1x1": Layer(4, 256, 56, 64, 1),
    "512 > 2048 @ 7, 1x1": Layer(16, 512, 7, 2048, 1),
    "2048 > 512 @ 7, 1x1": Layer(16, 2048, 7, 512, 1),
    "128 @ 56, 3x3, 32 groups": Layer(4, 128, 56, 128, 3, 1, groups=32),
    "128 @ 56, 3x3, depthwise": Layer(8, 128, 56, 128, 3, 1, groups=128),
    "128 @ 56, 3x3, depthwise, stride 2": Layer(8, 128, 56, 128, 3, 1, 2, groups=128),
}
PASSES = ("forward", "grad input", "grad weight")
BATCHES = (1, 16)


def layer(case: Case) -> Layer:
    return replace(LAYERS[case["layer"]], n=case["batch"]) if "batch" in case else LAYERS[case["layer"]]


def arrays(layer: Layer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input and output gradient in channels-last memory, as (N, C, H, W), and between them the weight (OC, C/groups, K, K)."""
    g, rng = layer.geometry, np.random.default_rng(0)
    shapes = ((g.n, *g.sizes, g.c), g.weight_shape, (g.n, *g.outputs, g.oc))
    x, w, grad = (rng.standard_normal(shape, dtype=np.float32) for shape in shapes)
    return x.transpose(0, 3, 1, 2), w, grad.transpose(0, 3, 1, 2)


def ours(case: Case) -> Ways:
    import numbacnn as nc
    from numbacnn import backends

    one = layer(case)
    x, w, grad = arrays(one)
    if case.get("mode") == "inference":
        net, images = nc.nn.Conv2d(*_arguments(one), bias=False), nc.from_array(x)
        return [lambda: net(images)]
    xp, g = backends.get("cpu"), one.geometry
    runs: dict[str, Callable[[], object]] = {
        "forward": lambda: xp.conv_forward(x, w, None, g),
        "grad input": lambda: xp.conv_grad_input(grad, w, g),
        "grad weight": lambda: xp.conv_grad_weight(grad, x, g),
    }
    return [runs[case["pass"]]]


def theirs(case: Case) -> Ways:
    import torch

    return [_theirs(case, memory) for memory in (torch.contiguous_format, torch.channels_last)]


def _theirs(case: Case, memory: Any) -> Callable[[], object]:
    import torch

    one = layer(case)
    x, w, grad = (torch.from_numpy(a).contiguous(memory_format=memory) for a in arrays(one))
    if case.get("mode") == "inference":
        net = torch.nn.Conv2d(*_arguments(one), bias=False).to(memory_format=memory)
        return lambda: net(x)
    window = ([one.s, one.s], [one.p, one.p], [one.d, one.d])
    if case["pass"] == "forward":
        return lambda: torch.nn.functional.conv2d(x, w, None, *window, one.groups)
    mask = [case["pass"] == "grad input", case["pass"] == "grad weight", False]
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(grad, x, w, None, *window, False, [0, 0], one.groups, mask)


def _arguments(one: Layer) -> tuple[int, ...]:
    """A Conv2d's: in_channels, out_channels, kernel_size, stride, padding, dilation, groups."""
    return one.c, one.oc, one.k, one.s, one.p, one.d, one.groups


MAKERS: Makers = {"numbacnn": ours, "torch": theirs}


# -- what the times come to ------------------------------------------------------------------------------------------------------
def cell(row: Row, peak: float) -> str:
    """As "1.20 (1.15), 0.35 ms, 80%"."""
    seconds = row["numbacnn_best"]
    return f"{ratios(row)}, {seconds * 1e3:.3g} ms, {layer(row).gflop / seconds / peak:.0%}"


def summary(rows: list[Row]) -> dict[str, float]:
    """The geometric mean and the least of all ratios, and those of the plain 3x3 layers in each pass."""
    found = {"geometric mean": geometric_mean(map(ratio, rows)), "worst": min(map(ratio, rows))}
    for name in dict.fromkeys(row["pass"] for row in rows):
        plain = [ratio(row) for row in rows if row["pass"] == name and LAYERS[row["layer"]].plain_3x3]
        if plain:
            found[f"3x3 stride 1, 64 to 256 channels, {name}"] = geometric_mean(plain)
            found[f"its worst, {name}"] = min(plain)
    return found


def compared(cases: list[Case], args: Any) -> None:
    rows = compare("benchmarks.conv", MAKERS, cases, args)
    peak = peaks(args.threads)["gflops"]
    for row in rows:
        row["gflops"] = layer(row).gflop / row["numbacnn_best"]
    name, what = ("conv_inference", "Convolution, inference") if args.inference else ("conv", "Convolution, training")
    title = f"{what}: PyTorch's time over ours; of the FMA peak, {peak:.0f} GFLOP/s"
    report(name, title, pivot(rows, "layer", "pass", lambda row: cell(row, peak)), rows, summary(rows), args)


def scaled(cases: list[Case], args: Any) -> None:
    """One thread's time over two threads', ours and PyTorch's; beside them the same of the bare multiply-adds."""
    rows = compare("benchmarks.conv", MAKERS, cases, args, threads=(1, 2))

    def speed_up(row: Row, side: str) -> float:
        return row.get(f"{side} 1_best", float("nan")) / row.get(f"{side} 2_best", float("nan"))

    found = {"FMA peak": peaks(2)["gflops"] / peaks(1)["gflops"]}
    for side in MAKERS:
        found[f"{side}, geometric mean"] = geometric_mean(speed_up(row, side) for row in rows)
        for name in PASSES:
            found[f"{side}, {name}"] = geometric_mean(speed_up(row, side) for row in rows if row["pass"] == name)
    table = pivot(rows, "layer", "pass", lambda row: f"{speed_up(row, 'numbacnn'):.2f} (PyTorch {speed_up(row, 'torch'):.2f})")
    report("conv_scaling", "Convolution, training: one thread's time over two threads'", table, rows, found, args)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--layers", nargs="*", choices=list(LAYERS), default=list(LAYERS), metavar="LAYER")
    parser.add_argument("--inference", action="store_true", help="forward at batch 1 and 16 in inference mode")
    parser.add_argument("--scaling", action="store_true", help="two threads over one, for both sides")
    args = parser.parse_args()
    if args.worker:
        work(MAKERS, args)
        return
    if args.inference:
        cases = [{"layer": name, "pass": f"batch {n}", "batch": n, "mode": "inference"} for name in args.layers for n in BATCHES]
    else:
        cases = [{"layer": name, "pass": p} for name in args.layers for p in PASSES]
    (scaled if args.scaling else compared)(cases, args)


if __name__ == "__main__":
    main()
