"""Two libraries in two processes that take turns.

In one process their thread pools would spin against each other. Each side is a worker that reads a request a line and answers with
its times; the parent asks one, then the other, round after round, so that a change in the machine's speed meets both.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

SIDES = ("numbacnn", "torch")


class Worker:
    """One side, in a process of its own."""

    def __init__(self, module: str, side: str, threads: int) -> None:
        env = dict(os.environ, OMP_NUM_THREADS=str(threads), NUMBA_NUM_THREADS=str(max(threads, os.cpu_count() or 1)), NUMBACNN_QUIET="1")
        command = [sys.executable, "-m", module, "--worker", side, "--threads", str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)

    def ask(self, **request: Any) -> Any:
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the worker has no pipes")
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise RuntimeError("the worker stopped")
        return json.loads(answer)

    def close(self) -> None:
        if self.process.stdin:
            self.process.stdin.close()
        self.process.wait()


def serve(answer: Callable[[dict[str, Any]], Any]) -> None:
    """The worker's loop."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def timed(run: Callable[[], object], seconds: float, least: int = 3) -> list[float]:
    """Seconds of each run, for about so long; one run to warm up first."""
    run()
    times: list[float] = []
    stop = time.perf_counter() + seconds
    while len(times) < least or time.perf_counter() < stop:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def compare(module: str, cases: Iterable[dict[str, Any]], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Ask both sides for every case, ``args.rounds`` times in turn; a row a case with the best and the median of each side."""
    sides = [side for side in SIDES if side == "numbacnn" or importlib.util.find_spec(side)]
    workers = {side: Worker(module, side, args.threads) for side in sides}
    rows = []
    for case in cases:
        times: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(args.rounds):
            for side, worker in workers.items():
                times[side] += worker.ask(case=case, seconds=args.seconds)
        row = dict(case)
        for side in sides:
            row[f"{side}_best"], row[f"{side}_median"] = min(times[side]), statistics.median(times[side])
        rows.append(row)
    for worker in workers.values():
        worker.close()
    return rows


def ratio(row: dict[str, Any], of: str = "best") -> float:
    """PyTorch's time over ours; NaN without PyTorch."""
    return row.get(f"torch_{of}", math.nan) / row[f"numbacnn_{of}"]


def geometric_mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.exp(sum(map(math.log, found)) / len(found))


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of both sides")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each side")
    parser.add_argument("--seconds", type=float, default=0.3, help="of one turn")
    parser.add_argument("--json", type=Path, help="write the rows into this file")
    parser.add_argument("--worker", choices=SIDES, help=argparse.SUPPRESS)
    return parser


def machine() -> dict[str, str]:
    """What the figures depend on."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "processor": _processor()}
    for package in ("numpy", "numba", "llvmlite", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    import llvmlite.binding as llvm

    return f"{llvm.get_host_cpu_name()}, {os.cpu_count()} CPUs"


def report(title: str, header: list[str], lines: list[list[str]], rows: list[dict[str, Any]], args: argparse.Namespace) -> None:
    """Print a Markdown table, and write the rows as JSON where asked."""
    facts = machine()
    print(f"## {title}\n\n" + ", ".join(f"{k} {v}" for k, v in facts.items()) + f", {args.threads} threads\n")
    print("| " + " | ".join(header) + " |\n|" + " --- |" * len(header))
    for line in lines:
        print("| " + " | ".join(line) + " |")
    if args.json:
        args.json.write_text(json.dumps({"title": title, "machine": facts, "threads": args.threads, "rows": rows}, indent=1))
