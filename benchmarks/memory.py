"""Memory that a training step takes above what the imports take, PyTorch's over ours: ``python -m benchmarks.memory``. Linux only.

Each measurement is a process of its own. It first makes the same network and runs its step on a batch of two, so that everything that
is imported, loaded or compiled on first use is there; lets all of that network go, gives freed memory back to the system, and takes
the resident memory as the base. Then it makes the network and the whole batch and runs six steps: of a compiled one the first runs as it
is, two are recorded, and the others replayed. The peak of resident memory (VmHWM, reset at the base) less the base is what parameters,
gradients, momentum, activations, buffers and the batch itself need at once.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from .alternate import arguments, available, environment, set_threads
from .tables import report
from .train import LENET, NETS, Net, our_step, their_step

SIZES: dict[str, Net] = {"LeNet": LENET, "ResNet-18, 32x32": NETS["ResNet-18, 32x32, 3x3 stem"]}
STEPS = 6
WAYS = ("numbacnn", "compiled", "torch", "torch, channels last")


def resident(field: str) -> int:
    """Kilobytes: "VmRSS" is now, "VmHWM" the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])


def step(way: str, net: Net) -> Callable[[], object]:
    if way == "numbacnn":
        return partial(*our_step(net))
    if way == "compiled":
        import numbacnn as nc

        run, x, y = our_step(net)
        return partial(nc.compile(run), x, y)
    import torch

    return their_step(net, torch.channels_last if way.endswith("last") else torch.contiguous_format)


def settle(way: str) -> None:
    """Free what nobody uses, and give it back to the system."""
    gc.collect()
    if way in ("numbacnn", "compiled"):
        import numbacnn

        numbacnn.empty_cache()
    ctypes.CDLL(None).malloc_trim(0)


def measure(way: str, net: Net) -> int:
    """Kilobytes at the peak of some steps, above the base."""
    run = step(way, replace(net, shape=(2, *net.shape[1:])))
    for _ in range(STEPS):
        run()
    del run
    settle(way)
    base = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    run = step(way, net)
    for _ in range(STEPS):
        run()
    return resident("VmHWM") - base


def asked(way: str, name: str, threads: int) -> int:
    command = [sys.executable, "-m", "benchmarks.memory", "--way", way, "--net", name, "--threads", str(threads)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment(threads)).stdout)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--net", choices=SIZES, help="only this one")
    args = parser.parse_args()
    if args.way:
        set_threads(args.way.split(",")[0], args.threads)
        print(measure(args.way, SIZES[args.net]))
        return
    ways = [way for way in WAYS if way.split(",")[0] in available(["numbacnn", "compiled", "torch"])]
    rows, lines, summary = [], [["network", "batch", *(f"{way}, MB" for way in ways), "ratio"]], {}
    for name in [args.net] if args.net else SIZES:
        asked("numbacnn", name, args.threads)  # fills the cache of kernels
        found = {way: [asked(way, name, args.threads) / 1024 for _ in range(args.rounds)] for way in ways}
        middle = {way: statistics.median(values) for way, values in found.items()}
        ratio = min((middle[way] for way in ways if way.startswith("torch")), default=float("nan")) / middle["numbacnn"]
        rows.append({"net": name, "megabytes": found, "ratio": ratio})
        lines.append([name, str(SIZES[name].shape[0]), *(f"{value:.1f}" for value in middle.values()), f"{ratio:.2f}"])
        summary[name] = ratio
    report(
        "memory", "Peak memory of a training step above the imports', median; the lesser of PyTorch's over ours", lines, rows, summary, args
    )


if __name__ == "__main__":
    main()
