"""Several libraries in processes of their own that take turns.

In one process their thread pools would spin against each other. Each side is a worker that reads a request a line and answers with
its times; the parent asks one, then the other, round after round, so that a change in the machine's speed meets all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from numbacnn.testing.timing import timed

SIDES = {
    "numbacnn": ("numbacnn",),
    "compiled": ("numbacnn",),
    "optimized": ("numbacnn",),
    "torch": ("torch",),
    "inductor": ("torch",),
    "jax": ("jax",),
    "onnxruntime": ("onnxruntime", "onnx"),
}
"""The sides, ours first, and the packages that each needs, its library first."""

SETTLED = 12
"""Calls after which a compiled step has its plan, and has chosen how many threads run it."""

Case = dict[str, Any]
Ways = list[Callable[[], object]]
Makers = Mapping[str, Callable[[Case], Ways]]
"""For each side, what turns a case into the ways to run it; the quickest way counts."""


class Unavailable(Exception):
    """Why a side can't run a case here, raised by what makes its ways: its column is empty, and the reason stands below the table."""


def arguments(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each side")
    parser.add_argument("--rounds", type=int, default=4, help="turns of each side")
    parser.add_argument("--seconds", type=float, default=0.3, help="of one turn")
    parser.add_argument("--out", type=Path, help="a folder for the rows (JSON) and the table (Markdown)")
    parser.add_argument("--worker", choices=SIDES, help=argparse.SUPPRESS)
    return parser


def environment(threads: int, **more: str) -> dict[str, str]:
    """A child's environment: so many threads, how they wait left to each library, and no word about compiling."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_", "MKL_"))}
    counts = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "NPROC"), str(threads))  # JAX reads the last
    return kept | counts | {"NUMBACNN_QUIET": "1"} | more


# -- the parent --------------------------------------------------------------------------------------------------------------
class Worker:
    """One side, in a process of its own."""

    def __init__(self, module: str, side: str, threads: int) -> None:
        self.name = f"{module}, {side}, {threads} threads"
        command = [sys.executable, "-m", module, "--worker", side, "--threads", str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(threads))

    def ask(self, **request: Any) -> Any:
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError(f"the worker has no pipes: {self.name}")
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise RuntimeError(f"the worker stopped: {self.name}")
        return json.loads(answer)

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()
        self.process.wait()


def available(makers: Iterable[str]) -> list[str]:
    """The sides whose packages are installed."""
    return [side for side in makers if all(map(importlib.util.find_spec, SIDES[side]))]


def compare(
    module: str, makers: Makers, cases: Iterable[Case], args: argparse.Namespace, threads: Iterable[int] = ()
) -> list[dict[str, Any]]:
    """Ask all sides for every case, ``args.rounds`` times in turn; a row a case with the best and the median of each side.

    With ``threads``, every side runs once with each number of them, and its name in the row is "numbacnn 2".
    """
    sides = available(makers)
    if threads:
        workers = {f"{side} {n}": Worker(module, side, n) for side in sides for n in threads}
    else:
        workers = {side: Worker(module, side, args.threads) for side in sides}
    rows = []
    for case in cases:
        times: dict[str, list[float]] = {name: [] for name in workers}
        row = dict(case)
        for _ in range(args.rounds):
            for name, worker in workers.items():
                answer = worker.ask(case=case, seconds=args.seconds)
                if isinstance(answer, str):
                    row[f"{name}_reason"] = answer
                else:
                    times[name] += answer
        for name, found in times.items():
            if found:
                row[f"{name}_best"], row[f"{name}_median"] = min(found), statistics.median(found)
        rows.append(row)
        print(row, file=sys.stderr, flush=True)
    for worker in workers.values():
        worker.close()
    return rows


def peaks(threads: int) -> dict[str, float]:
    """What ``benchmarks.peak`` finds, in a process of its own: ``gflops`` and ``gb_s``."""
    command = [sys.executable, "-m", "benchmarks.peak", "--threads", str(threads)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment(threads)).stdout)


# -- a worker ----------------------------------------------------------------------------------------------------------------
def work(makers: Makers, args: argparse.Namespace, least: int = 3) -> None:
    """Answer the parent's requests with the times of the quickest way, ``least`` or more, or with the reason why there is none.

    Cases with ``mode="inference"`` run in inference mode.
    """
    set_threads(args.worker, args.threads)
    held: Case | None = None
    ways: Ways = []
    reason = ""
    for line in sys.stdin:
        request = json.loads(line)
        if request["case"] != held:
            ways, reason = [], ""  # the last case's arrays go before the next one's come
            held = request["case"]
            try:
                ways = makers[args.worker](held)
            except Unavailable as error:
                reason = str(error)
        with mode(args.worker, held):
            found = min((timed(way, request["seconds"], least) for way in ways), key=min) if ways else reason
        print(json.dumps(found), flush=True)


def settled(ways: Ways, case: Case) -> Ways:
    """Ours that are compiled, called until they have their plans, and have chosen how many threads run them."""
    with mode("compiled", case):
        for way in ways:
            for _ in range(SETTLED):
                way()
    return ways


def set_threads(side: str, threads: int) -> None:
    """Where the environment does not say it already."""
    library = SIDES[side][0]
    if library == "numbacnn":
        import numbacnn

        numbacnn.set_num_threads(threads)
    elif library == "torch":
        import torch

        torch.set_num_threads(threads)


def mode(side: str, case: Case) -> Any:
    """The side's context for the case; it is entered once a turn, so what is prepared in it is prepared by the warm-up."""
    if case.get("mode") != "inference":
        return contextlib.nullcontext()
    library = SIDES[side][0]
    if library == "numbacnn":
        import numbacnn

        return numbacnn.inference_mode()
    if library == "torch":
        import torch

        return torch.inference_mode()
    return contextlib.nullcontext()
