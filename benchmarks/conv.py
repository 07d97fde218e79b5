"""Convolution passes beside PyTorch's CPU convolution (the better of its two memory formats): ``python -m benchmarks.conv``.

Forward, input gradient and weight gradient, packing and padding included, as a training step pays them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .alternate import Worker, arguments, compare, geometric_mean, ratio, report, serve, timed

LAYERS = {  # N, C, H = W, OC, kernel, padding, stride
    "lenet.conv1": (256, 1, 28, 6, 5, 2, 1),
    "lenet.conv2": (256, 6, 14, 16, 5, 0, 1),
    "vgg 64@56": (4, 64, 56, 64, 3, 1, 1),
    "resnet 128@28": (4, 128, 28, 128, 3, 1, 1),
    "resnet 256@14": (8, 256, 14, 256, 3, 1, 1),
    "resnet 512@7": (16, 512, 7, 512, 3, 1, 1),
    "stem 7x7/2": (4, 3, 224, 64, 7, 3, 2),
    "1x1 256>64@56": (4, 256, 56, 64, 1, 0, 1),
    "3x3/2 128@56": (4, 128, 56, 128, 3, 1, 2),
}
PASSES = ("forward", "grad input", "grad weight")


def gflop(layer: str) -> float:
    """10^9 floating-point operations of one pass."""
    n, c, h, oc, k, p, s = LAYERS[layer]
    out = (h + 2 * p - k) // s + 1
    return 2e-9 * n * oc * out * out * c * k * k


def _arrays(layer: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Input (N, H, W, C), weight (OC, C, K, K), output gradient (N, OH, OW, OC)."""
    n, c, h, oc, k, p, s = LAYERS[layer]
    out = (h + 2 * p - k) // s + 1
    rng = np.random.default_rng(0)
    shapes = ((n, h, h, c), (oc, c, k, k), (n, out, out, oc))
    x, w, g = (rng.standard_normal(shape, dtype=np.float32) for shape in shapes)
    return x, w, g


@functools.lru_cache(maxsize=1)
def _ours(layer: str) -> dict[str, list[Callable[[], object]]]:
    from numbacnn import backends
    from numbacnn.geometry import Conv2dGeometry

    x, w, g = _arrays(layer)
    n, c, h, oc, k, p, s = LAYERS[layer]
    xp, geometry = backends.get("cpu"), Conv2dGeometry.of((n, c, h, h), (oc, c, k, k), s, p)
    x, g = x.transpose(0, 3, 1, 2), g.transpose(0, 3, 1, 2)
    return {
        "forward": [lambda: xp.conv2d_forward(x, w, None, geometry)],
        "grad input": [lambda: xp.conv2d_grad_input(g, w, geometry)],
        "grad weight": [lambda: xp.conv2d_grad_weight(g, x, geometry)],
    }


@functools.lru_cache(maxsize=1)
def _theirs(layer: str) -> dict[str, list[Callable[[], object]]]:
    import torch

    arrays = _arrays(layer)
    *_, oc, _, p, s = LAYERS[layer]
    backward = torch.ops.aten.convolution_backward
    found: dict[str, list[Callable[[], object]]] = {name: [] for name in PASSES}
    for memory in (torch.contiguous_format, torch.channels_last):
        x, w, g = (torch.from_numpy(a) for a in arrays)
        x, g = (t.permute(0, 3, 1, 2).contiguous(memory_format=memory) for t in (x, g))
        w = w.contiguous(memory_format=memory)

        def gradient(mask: list[bool], x: Any = x, w: Any = w, g: Any = g) -> object:
            return backward(g, x, w, [oc], [s, s], [p, p], [1, 1], False, [0, 0], 1, mask)

        found["forward"].append(lambda x=x, w=w: torch.nn.functional.conv2d(x, w, padding=p, stride=s))
        found["grad input"].append(lambda gradient=gradient: gradient([True, False, False]))
        found["grad weight"].append(lambda gradient=gradient: gradient([False, True, False]))
    return found


def work(side: str, threads: int) -> None:
    """Answer requests: the times of the side's best way."""
    if side == "torch":
        import torch

        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)
        runs = _theirs
    else:
        import numbacnn

        numbacnn.set_num_threads(threads)
        runs = _ours

    def answer(request: dict[str, Any]) -> Any:
        if request.get("peak"):
            from .peak import fma_peak

            return fma_peak(threads)
        case = request["case"]
        ways = [timed(run, request["seconds"]) for run in runs(case["layer"])[case["pass"]]]
        return min(ways, key=min)

    serve(answer)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--layers", nargs="*", choices=list(LAYERS), default=list(LAYERS))
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args.threads)
        return
    rows = compare("benchmarks.conv", [{"layer": layer, "pass": p} for layer in args.layers for p in PASSES], args)
    worker = Worker("benchmarks.conv", "numbacnn", args.threads)
    rate = worker.ask(peak=True)
    worker.close()
    for row in rows:
        row["gflops"] = gflop(row["layer"]) / row["numbacnn_best"]
        row["peak"] = row["gflops"] / rate
    ours, theirs = ["ms, best", "median", "GFLOP/s", "of the FMA peak"], ["PyTorch ms, best", "median"]
    header = ["layer", "pass", *ours, *theirs, "ratio of bests", "of medians"]
    report(f"Convolution, FMA peak {rate:.0f} GFLOP/s", header, [_line(row) for row in rows], rows, args)
    if "torch_best" in rows[0]:
        print(f"\ngeometric mean {geometric_mean(map(ratio, rows)):.2f}, worst {min(map(ratio, rows)):.2f}")


def _line(row: dict[str, Any]) -> list[str]:
    ours = [f"{row['numbacnn_best'] * 1e3:.3f}", f"{row['numbacnn_median'] * 1e3:.3f}", f"{row['gflops']:.0f}", f"{row['peak']:.0%}"]
    theirs = [f"{row['torch_best'] * 1e3:.3f}", f"{row['torch_median'] * 1e3:.3f}"] if "torch_best" in row else ["-", "-"]
    return [row["layer"], row["pass"], *ours, *theirs, f"{ratio(row):.2f}", f"{ratio(row, 'median'):.2f}"]


if __name__ == "__main__":
    main()
