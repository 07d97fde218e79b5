"""From the start of a process to the end of its first LeNet training step: ``python -m benchmarks.startup``."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from .alternate import arguments, available, environment
from .tables import report

OURS = """
import numbacnn as nc
net = nc.models.get("lenet")()
x, y = nc.zeros(256, 1, 28, 28), nc.zeros(256, dtype=nc.int64)
optimiser = nc.optim.SGD(net.parameters(), lr=0.1)
nc.nn.functional.cross_entropy(net(x), y).backward()
optimiser.step()
"""
THEIRS = """
import torch
from torch import nn
net = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2, 2), nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2, 2),
    nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10))
x, y = torch.zeros(256, 1, 28, 28), torch.zeros(256, dtype=torch.int64)
optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
nn.functional.cross_entropy(net(x), y).backward()
optimiser.step()
"""


def seconds(script: str, cache: str, threads: int) -> float:
    """Wall time of a process that runs the script; it leaves at once, so the time is that of its work."""
    env = environment(threads, NUMBA_CACHE_DIR=cache)
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", script + "\nimport os; os._exit(0)"], check=True, env=env)
    return time.perf_counter() - start


def main() -> None:
    args: argparse.Namespace = arguments(__doc__.splitlines()[0]).parse_args()
    times: dict[str, list[float]] = {"cold cache": [], "warm cache": [], "import numbacnn": [], "PyTorch": []}
    peer = "torch" in available(["torch"])
    with tempfile.TemporaryDirectory() as cache:
        times["cold cache"].append(seconds(OURS, cache, args.threads))
        for _ in range(max(3, args.rounds)):
            times["warm cache"].append(seconds(OURS, cache, args.threads))
            times["import numbacnn"].append(seconds("import numbacnn", cache, args.threads))
            if peer:
                times["PyTorch"].append(seconds(THEIRS, cache, args.threads))
    rows: list[dict[str, Any]] = [{"what": name, "best": min(t), "median": statistics.median(t)} for name, t in times.items() if t]
    lines = [["", "s, best", "median"]] + [[row["what"], f"{row['best']:.2f}", f"{row['median']:.2f}"] for row in rows]
    summary = {"PyTorch's over ours, warm": min(times["PyTorch"]) / min(times["warm cache"])} if peer else {}
    report("startup", "Process start to the end of the first LeNet training step", lines, rows, summary, args)


if __name__ == "__main__":
    main()
