"""How a training step would run on more cores: ``python -m benchmarks.scaling``.

A kernel is one ``prange`` or several in turn, each over tasks that are cut by shape. Here every task of every launch of a LeNet and a
ResNet-18 step is timed by itself: the loop that Numba hands the tasks of a ``prange`` to (``numba_parallel_for``) is replaced by one that
runs them one after the other, with ``numba.set_parallel_chunksize(1)``, in a process of one thread. A task's time is the best of several
runs, less what timing nothing takes. Then the tasks are laid out for more threads, the longest first, each to the thread that is free
first, and a barrier is added for each ``prange``. What a launch takes outside its loops stays as it is: small products, tables, the call.

A cell is the efficiency: the time of all tasks over that of the layout and the number of threads. In brackets: the same where each thread
gets as many tasks, in their order, which is how Numba deals them out. Beside them stands what is measured, where there are so many cores.

What this takes for granted: a task is as quick beside others as alone (in truth they share the memory's bandwidth and caches, and the
clock falls), and what NumPy does is not shared out. A barrier is measured with as many threads as there are cores, and taken to grow with
the logarithm of their number, and by what Numba takes to deal tasks out to each of them. "One thread" is the step as it runs, beside
"all", the sum of what was timed piece by piece. A plan takes one thread where that is quicker, as LeNet's at batch 1 does; here it has
all of them.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from numbacnn.testing.timing import timed

from .alternate import SETTLED, arguments, environment, set_threads
from .tables import Row, report
from .train import LENET, NETS, Net, our_step

STEPS: dict[str, Net] = {"LeNet": LENET, "ResNet-18, 32x32": NETS["ResNet-18, 32x32, 3x3 stem"]}
THREADS = (2, 4, 8, 16, 32)
WORST = 16
"""Threads for which the launches that lose most are listed."""
Phases = list[list[float]]
"""The seconds of the tasks of each ``prange`` of a launch, one after the other."""


# -- a child: a step whose launches are timed ------------------------------------------------------------------------------------
class Watched:
    """A step's plan, run launch by launch with all threads."""

    def __init__(self, net: Net) -> None:
        import numbacnn as nc

        step, x, y = our_step(net)
        self.step, self.batch = nc.compile(step), (x, y)
        for _ in range(SETTLED):
            self.step(x, y)
        self.plan, seconds = self.step.timed(self.batch, {})
        if self.plan is None:
            raise RuntimeError(f"there is no plan: {nc.explain(self.step)}")
        threads = nc.get_num_threads()
        self.plan.forward._threads[threads] = threads  # not one, where that is quicker
        self.best = [math.inf] * len(seconds)

    def run(self) -> None:
        _, seconds = self.step.timed(self.batch, {})
        self.best = list(map(min, self.best, seconds))

    def rows(self) -> list[Row]:
        return [
            {"pass": row.part[0], "layer": row.part[1] or "other", "kernel": row.name, "seconds": seconds}
            for row, seconds in zip(self.plan.tape.rows, self.best)
        ]


class OneByOne:
    """The loop that runs tasks one after the other and notes the nanoseconds of each, in the place of Numba's.

    Kernels that are loaded in this process from now on call it. It is compiled, so that it takes little, and no recorder sees it.
    """

    def __init__(self) -> None:
        import llvmlite.binding as llvm
        import numba

        numba.get_num_threads()  # Numba's own loop is there now, and is not put there again
        numba.set_parallel_chunksize(1)
        self.notes = np.zeros(1 << 20, np.int64)
        self.loop = _loop(self.notes.ctypes.data, len(self.notes))
        llvm.add_symbol("numba_parallel_for", self.loop.address)

    def clear(self) -> None:
        self.notes[0] = 1

    def read(self) -> tuple[Phases, float]:
        """The seconds of the tasks of each ``prange`` that ran since :meth:`clear`, and of all these loops with what timing took."""
        found, whole, notes = [], 0.0, self.notes[1 : self.notes[0]].tolist()
        while notes:
            count = notes[0]
            found.append([1e-9 * ns for ns in notes[1 : count + 1]])
            whole += 1e-9 * notes[count + 1]
            notes = notes[count + 2 :]
        return found, whole


def _loop(notes: int, size: int) -> Any:
    """Numba's ``parallel_for`` on one thread.

    ``notes`` is the address of so many numbers: how many are used, then for each loop the number of its tasks, their times and its own.
    """
    import ctypes

    from llvmlite import ir
    from numba import carray, cfunc, types
    from numba.extending import intrinsic

    word, many, nothing = types.intp, types.CPointer(types.intp), types.void
    clock_gettime = ctypes.CDLL(None).clock_gettime
    clock_gettime.argtypes, clock_gettime.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_int
    monotonic = time.CLOCK_MONOTONIC

    @intrinsic
    def pointer(context, address):  # type: ignore[no-untyped-def]
        return many(word), lambda target, b, sig, args: b.inttoptr(args[0], target.get_value_type(many))

    @intrinsic
    def call(context, body, args, counts, steps, data):  # type: ignore[no-untyped-def]
        def code(target, b, sig, values):  # type: ignore[no-untyped-def]
            kind = ir.FunctionType(ir.VoidType(), [target.get_value_type(word)] * 4)
            b.call(b.inttoptr(values[0], kind.as_pointer()), values[1:])
            return target.get_dummy_value()

        return nothing(word, word, word, word, word), code

    @cfunc(nothing(word, many, many, word, word, word, word, word))
    def loop(body, args, counts, steps, data, inner, arrays, threads):  # type: ignore[no-untyped-def]
        note, time = carray(pointer(notes), (size,)), np.empty(6, np.int64)
        clock_gettime(monotonic, time[4:].ctypes)
        start, step = carray(args, (arrays,)), carray(pointer(steps), (arrays,))
        one, here = carray(counts, (inner + 1,)).copy(), np.empty(arrays, np.intp)
        tasks, one[0] = one[0], 1
        note[note[0]] = tasks
        for task in range(tasks):
            for k in range(arrays):
                here[k] = start[k] + task * step[k]
            clock_gettime(monotonic, time.ctypes)
            call(body, here.ctypes.data, one.ctypes.data, steps, data)
            clock_gettime(monotonic, time[2:].ctypes)
            note[note[0] + 1 + task] = 1000000000 * (time[2] - time[0]) + time[3] - time[1]
        clock_gettime(monotonic, time.ctypes)
        note[note[0] + 1 + tasks] = 1000000000 * (time[0] - time[4]) + time[1] - time[5]
        note[0] = (note[0] + 2 + tasks) % (size // 2)

    return loop


def tasks(net: Net, repeat: int) -> list[Row]:
    """The launches of a step in order, with the seconds of their tasks."""
    import numba

    timer = OneByOne()
    timer.clear()
    _phases()(np.zeros((1000, 1)), 10)
    overhead = float(np.median(timer.read()[0]))
    watched = Watched(net)
    part, run = watched.plan.forward, watched.plan.forward.table.run
    taken: list[tuple[Phases, float]] = []

    def watch(*args: Any) -> int:
        timer.clear()
        began = time.perf_counter()
        status = run(*args)
        spent = time.perf_counter() - began
        phases, whole = timer.read()
        taken.append((phases, spent - whole))
        return status

    part.table.run = watch

    def step(chunk: int) -> list[tuple[Phases, float]]:
        numba.set_parallel_chunksize(chunk)
        taken.clear()
        watched.run()
        return taken[-len(part.table.native) :]  # those before judge the labels

    best: list[tuple[Phases, float]] = []
    for _ in range(repeat):
        # what is outside the loops when one thread has all tasks at once: to deal out each by itself takes as long as a small task
        native = [(phases, outside) for (phases, _), (_, outside) in zip(step(1), step(0))]
        best = [_best(*pair) for pair in zip(best, native)] if best else native
    call = min(timed(lambda: run(0, 0, part._end), 0.01))
    launches, rows = iter(best), watched.rows()
    for i, row in enumerate(rows):
        seconds = row.pop("seconds")
        phases, outside = next(launches) if i in part.table.native else ([], seconds)
        row["tasks"], row["outside"] = [[max(0.0, s - overhead) for s in phase] for phase in phases], max(0.0, outside - call)
    return rows


def _best(one: tuple[Phases, float], other: tuple[Phases, float]) -> tuple[Phases, float]:
    return [list(map(min, *pair)) for pair in zip(one[0], other[0])], min(one[1], other[1])


def _phases() -> Callable[[np.ndarray, int], None]:
    """So many loops in turn whose tasks, the rows of an array, take next to nothing."""
    from numba import njit, prange

    @njit(parallel=True)
    def phases(out, count):  # type: ignore[no-untyped-def]
        for _ in range(count):
            for i in prange(len(out)):
                out[i, 0] += 1

    return phases


def barrier(threads: int) -> float:
    """Seconds that a ``prange`` takes beyond its work, where all threads are busy before and after it."""
    import numba

    phases = _phases()

    def seconds(n: int) -> float:
        numba.set_num_threads(n)
        out, found = np.zeros((n, 64)), []
        for _ in range(20):
            began = time.perf_counter()
            phases(out, 500)
            found.append((time.perf_counter() - began) / 500)
        return min(found[1:])

    return max(0.0, seconds(threads) - seconds(1)) if threads > 1 else 0.0


def dealing() -> float:
    """Seconds that it takes to deal out the tasks of a ``prange`` to one thread more."""
    import numba

    numba.set_num_threads(1)
    phases, out, best = _phases(), np.zeros((512, 1)), [math.inf, math.inf]
    for chunk in (0, 1) * 20:
        numba.set_parallel_chunksize(chunk)
        began = time.perf_counter()
        phases(out, 100)
        best[chunk] = min(best[chunk], (time.perf_counter() - began) / 100)
    return (best[1] - best[0]) / len(out)


def child(args: argparse.Namespace) -> None:
    """Print what the parent asked for, as JSON."""
    set_threads("numbacnn", args.threads)
    if args.child == "barrier":
        print(json.dumps([barrier(args.threads), dealing()]))
        return
    net = STEPS[args.step]
    net = replace(net, shape=(args.batch[0], *net.shape[1:]))
    if args.child == "tasks":
        print(json.dumps(tasks(net, args.rounds)))
        return
    watched = Watched(net)
    for _ in range(args.rounds):
        watched.run()
    print(json.dumps(watched.rows()))


def ask(what: str, threads: int, args: argparse.Namespace, *more: str) -> Any:
    """The answer of a child with so many threads."""
    command = [sys.executable, "-m", "benchmarks.scaling", "--child", what, "--threads", str(threads), "--rounds", str(args.rounds), *more]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment(threads)).stdout)


# -- the layout --------------------------------------------------------------------------------------------------------------------
def longest_first(seconds: list[float], threads: int) -> float:
    """When the last of the threads is done, where each takes the longest task that is left."""
    ends = [0.0] * threads
    for s in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + s)
    return max(ends)


def in_order(seconds: list[float], threads: int) -> float:
    """The same where each has as many tasks, in their order."""
    return max(float(part.sum()) for part in np.array_split(seconds, threads))


def laid_out(launch: Row, threads: int, wait: float, layout: Callable[[list[float], int], float] = longest_first) -> float:
    """The seconds of a launch with so many threads."""
    return launch["outside"] + sum(layout(phase, threads) + wait for phase in launch["tasks"])


def waits(one: float, deal: float, cores: int) -> dict[int, float]:
    """The seconds of a barrier for each number of threads, from those with as many threads as cores, and from ``dealing``."""
    return {n: one * math.log2(n) / math.log2(max(2, cores)) + deal * max(0, n - cores) for n in THREADS}


def alone(launch: Row) -> float:
    """Those with one thread."""
    return launch["outside"] + sum(map(sum, launch["tasks"]))


# -- tables ------------------------------------------------------------------------------------------------------------------------
def efficiency(launches: list[Row], n: int, wait: float, layout: Callable[[list[float], int], float] = longest_first) -> float:
    """Of all launches together."""
    return sum(map(alone, launches)) / n / sum(laid_out(launch, n, wait, layout) for launch in launches)


def steps_table(rows: list[Row]) -> list[list[str]]:
    """A line a step."""
    measured = sorted({int(n) for row in rows for n in row["measured"]} - {1})
    head = [
        "step",
        "batch",
        "launches",
        "loops",
        "tasks a loop, median",
        "all, ms",
        "one thread, ms",
        *(f"{n} threads" for n in THREADS),
    ]
    lines = [[*head, *(f"measured, {n}" for n in measured)]]
    for row in rows:
        launches, single = row["launches"], sum(row["measured"]["1"])
        counts = [len(phase) for launch in launches for phase in launch["tasks"]]
        cells = [row["step"], str(row["batch"]), str(len(launches)), str(len(counts)), f"{np.median(counts):.0f}"]
        cells += [f"{1e3 * sum(map(alone, launches)):.3g}", f"{1e3 * single:.3g}"]
        for n in THREADS:
            found = [efficiency(launches, n, row["waits"][str(n)], layout) for layout in (longest_first, in_order)]
            cells.append(f"{found[0]:.2f} ({found[1]:.2f})")
        lines.append(cells + [f"{single / n / sum(row['measured'][str(n)]):.2f}" for n in measured])
    return lines


def counts(phases: Phases) -> str:
    """As "20 x 28-36": loops, and the tasks of the smallest and the largest."""
    if not phases:
        return "none"
    numbers = sorted({len(phase) for phase in phases})
    span = str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"
    return span if len(phases) == 1 else f"{len(phases)} x {span}"


def worst_table(rows: list[Row], most: int) -> list[list[str]]:
    """What loses most beside the ideal, with ``WORST`` threads: launches of one kernel and as many tasks in a line."""
    lines = [["step", "batch", "pass", "kernel", "tasks", "layers", "ms", f"efficiency at {WORST}", "of what is lost"]]
    for row in rows:
        wait = row["waits"][str(WORST)]
        kinds: dict[tuple[str, ...], list[Row]] = {}
        for launch in row["launches"]:
            kinds.setdefault((launch["pass"], launch["kernel"], counts(launch["tasks"])), []).append(launch)
        lost = {kind: sum(laid_out(launch, WORST, wait) - alone(launch) / WORST for launch in found) for kind, found in kinds.items()}
        for kind in sorted(kinds, key=lambda kind: -lost[kind])[:most]:
            found = kinds[kind]
            layers = f"{found[0]['layer']}{f' and {len(found) - 1} more' if len(found) > 1 else ''}"
            cells = [row["step"], str(row["batch"]), *kind, layers, f"{1e3 * sum(map(alone, found)):.3g}"]
            lines.append([*cells, f"{efficiency(found, WORST, wait):.2f}", f"{lost[kind] / sum(lost.values()):.0%}"])
    return lines


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--step", choices=STEPS, help="only this one")
    parser.add_argument("--batch", type=int, nargs="*", default=[1, 64])
    parser.add_argument("--worst", type=int, default=6, help="kinds of launches to list of each step")
    parser.add_argument("--child", choices=("tasks", "rows", "barrier"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args)
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wait = waits(*ask("barrier", cores, args), cores)
    rows = []
    for step in [args.step] if args.step else STEPS:
        for n in args.batch:
            case = "--step", step, "--batch", str(n)
            measured = {t: [row["seconds"] for row in ask("rows", t, args, *case)] for t in (1, *THREADS) if t <= cores}
            found = {"step": step, "batch": n, "waits": wait, "measured": measured, "launches": ask("tasks", 1, args, *case)}
            rows.append(json.loads(json.dumps(found)))
            print(step, n, file=sys.stderr, flush=True)
    summary = {f"a barrier of {n} threads, us": 1e6 * seconds for n, seconds in wait.items()}
    report(
        "scaling", "A training step on more cores: efficiency, laid out (as Numba deals tasks out)", steps_table(rows), rows, summary, args
    )
    report("scaling_worst", f"The launches that lose most with {WORST} threads", worst_table(rows, args.worst), [], {}, args)


if __name__ == "__main__":
    main()
