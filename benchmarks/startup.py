"""From a process's start to the end of its first LeNet training step, and the making of a plan: ``python -m benchmarks.startup``.

The plan is that of a ResNet-18 training step, made in a process whose kernels are compiled: the first needs a thunk for each signature of a
kernel, those of further shapes fill tables. ``--beside FOLDER``: another checkout of this library takes turns with this one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .alternate import arguments, available, environment
from .tables import report
from .train import NETS, batch, our_step

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


PLAN, SHAPE = "a plan of a ResNet-18 step, the first of a process", "one of a further shape"
BATCHES = (8, 7, 9)
"""The first of a process, and further shapes."""


def seconds(script: str, cache: str, threads: int, folder: str = ".") -> float:
    """Wall time of a process that runs the script in a folder; it leaves at once, so the time is that of its work."""
    env = environment(threads, NUMBA_CACHE_DIR=cache, PYTHONPATH="")
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", script + "\nimport os; os._exit(0)"], check=True, env=env, cwd=folder)
    return time.perf_counter() - start


def plans() -> list[float]:
    """Seconds in which the plans of a ResNet-18 step are made, one for each batch size: the first of the process foremost."""
    import numbacnn as nc
    from numbacnn.plan import compiled

    made, found = compiled.Plan, []

    def timed(*args: Any) -> Any:
        start = time.perf_counter()
        plan = made(*args)
        found.append(time.perf_counter() - start)
        return plan

    compiled.Plan = timed  # type: ignore[assignment, misc]
    step = nc.compile(our_step(NETS["ResNet-18, 32x32, 1 image"])[0])
    for i, n in enumerate(BATCHES):
        x, y = map(nc.from_array, batch((n, 3, 32, 32)))
        while len(found) == i:
            step(x, y)
    return found


def plan(cache: str, threads: int) -> list[float]:
    """:func:`plans` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.startup", "--plans"]
    env = environment(threads, NUMBA_CACHE_DIR=cache)
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env).stdout)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--beside", type=Path, help="another checkout of this library, timed in turn")
    parser.add_argument("--plans", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.plans:
        print(json.dumps(plans()))
        return
    peer = "torch" in available(["torch"])
    folders = {"": "."} | ({f", {args.beside}": str(args.beside)} if args.beside else {})
    times: dict[str, list[float]] = {}
    with ExitStack() as stack:
        caches = {name: stack.enter_context(tempfile.TemporaryDirectory()) for name in folders}
        for name, folder in folders.items():
            times[f"cold cache{name}"] = [seconds(OURS, caches[name], args.threads, folder)]
        plan(caches[""], args.threads)  # compiles the kernels
        for _ in range(max(3, args.rounds)):
            for name, folder in folders.items():
                for what, script in (("warm cache", OURS), ("import numbacnn", "import numbacnn")):
                    times.setdefault(what + name, []).append(seconds(script, caches[name], args.threads, folder))
            if peer:
                times.setdefault("PyTorch", []).append(seconds(THEIRS, caches[""], args.threads))
            first, *further = plan(caches[""], args.threads)
            times.setdefault(PLAN, []).append(first)
            times.setdefault(SHAPE, []).extend(further)
    rows: list[dict[str, Any]] = [{"what": name, "best": min(t), "median": statistics.median(t)} for name, t in times.items()]
    lines = [["", "s, best", "median"]] + [[row["what"], f"{row['best']:.3f}", f"{row['median']:.3f}"] for row in rows]
    summary = {"PyTorch's over ours, warm": min(times["PyTorch"]) / min(times["warm cache"])} if peer else {}
    report("startup", "Process start to the end of the first LeNet training step, and the making of a plan", lines, rows, summary, args)


if __name__ == "__main__":
    main()
