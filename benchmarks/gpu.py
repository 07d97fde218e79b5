"""What a CUDA device makes of the library, within six minutes: ``python -m benchmarks.gpu``.

Parts, the most important first, each in a process of its own that may crash and has a limit: versions, the comparison of the two paths,
the tests for CUDA, compute-sanitizer, what a launch and memory cost the host, training steps of LeNet and ResNet-18 (eager, as a list of
launches, as a graph; the safe path; PyTorch eager and as a graph, TF32 off and on), convolutions beside cuDNN, kernels that memory
bounds, and the start of a process. Each result is a line of JSON, on standard output and in a file of ``benchmarks/results``, as it comes.

A driver that runs no kernel (``tests/fake_driver.c``) marks its lines ``"driver": "fake"``: there only what the host does counts.
"""

from __future__ import annotations

import argparse
import ctypes
import glob
import hashlib
import itertools
import json
import math
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from numbacnn import children

from . import bandwidth as memory_bound
from .lenet import _data as pictures
from .train import LENET, NETS, batch

ROOT = Path(__file__).parents[1]
BUDGET = 360.0
PACKAGES = ("numbacnn", "numpy", "numba", "numba-cuda", "llvmlite", "cuda-bindings", "nvidia-nvvm", "torch")
RESNET = NETS["ResNet-18, 32x32, 3x3 stem"]
STEPS = 12  # after which a compiled step has its plan
WAITING = {"LeNet": 12, "ResNet-18": 3}  # steps whose launches wait in the device's queue without the host having to
CASES = ("arguments of kernels", "reuse of memory", "softmax and losses", "convolutions", "pooling", "batch norm", "optimisers")
CONVS = {  # batch, channels, height and width, channels out, kernel, stride
    "64 @ 32, 3x3": (64, 64, 32, 64, 3, 1),
    "128 @ 16, 3x3": (64, 128, 16, 128, 3, 1),
    "256 @ 8, 3x3": (64, 256, 8, 256, 3, 1),
    "512 @ 4, 3x3": (64, 512, 4, 512, 3, 1),
    "64 @ 32, 3x3, stride 2": (64, 64, 32, 128, 3, 2),
    "64 @ 56, 3x3": (64, 64, 56, 64, 3, 1),
    "256 @ 14, 1x1": (64, 256, 14, 1024, 1, 1),
    "3 @ 32, 3x3": (64, 3, 32, 64, 3, 1),
}
DIRECTIONS = ("forward", "input gradient", "weight gradient")
TIMES = 16  # as many times are the arrays larger than those of the CPU's benchmark, so that no cache holds them

Rows = Iterator[dict[str, Any]]


class Part(NamedTuple):
    """What is measured, the seconds it may take, and the environment of its process."""

    rows: Callable[[], Rows]
    seconds: float
    environment: Mapping[str, str] = MappingProxyType({})


# -- what is there, and whether it is right ----------------------------------------------------------------------------------------
def fake() -> bool:
    """Whether the driver is the one that runs no kernel."""
    try:
        return hasattr(ctypes.CDLL("libcuda.so.1"), "fake_launch")
    except OSError:
        return False


def versions() -> Rows:
    from numbacnn.kernels.cuda import driver

    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    yield {**driver.identity(), "python": sys.version.split()[0], "processors": os.cpu_count(), "versions": found}
    query = "name,driver_version,clocks.max.sm,clocks.max.mem,clocks.sm,memory.total,power.limit,mig.mode.current"
    tool = shutil.which("nvidia-smi")
    if tool:
        asked = subprocess.run([tool, f"--query-gpu={query}", "--format=csv,noheader"], capture_output=True, text=True, timeout=20)
        yield dict(zip(query.split(","), asked.stdout.strip().split(", ")))
    yield {"what": "PyTorch", "cuda": _cuda_of_torch()}


def _cuda_of_torch() -> str:
    """CUDA's version, where PyTorch can use it; else why not."""
    try:
        import torch
    except ImportError:
        return "not installed"
    return f"{torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}" if torch.cuda.is_available() else "no CUDA"


def check() -> Rows:
    """The comparison of both paths, which compiles most kernels for the parts that follow."""
    from numbacnn.backends.cuda import verdict

    lines: list[str] = []
    found = verdict.judge(tell=lines.append)
    yield {"what": "verdict", "good": not found.reason, **found._asdict()}
    yield {"what": "parts", "lines": lines}


def tests() -> Rows:
    """Each failure as it comes, and now and then the counts, so that a run that is stopped has said something."""
    files = sorted(map(str, (ROOT / "tests").glob("test_cuda_*.py")))
    workers = str(min(8, max(1, (os.cpu_count() or 2) // 2)))
    command = [sys.executable, "-m", "pytest", "-v", "--tb=line", "-n", workers, "--maxfail=25", "-p", "no:cacheprovider", *files]
    environment = os.environ | {"NUMBACNN_TEST_CACHE": os.environ["NUMBA_CACHE_DIR"], "PYTHONUNBUFFERED": "1"}
    counts, last = Counter[str](), ""
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        for line in run.stdout or ():
            last = line.strip() or last
            if found := re.match(r"(?:\[gw\d+\] \[ *\d+%\] )(PASSED|FAILED|ERROR|SKIPPED) (.*)", line):
                counts[found[1]] += 1
                if found[1] in ("FAILED", "ERROR"):
                    yield {"what": found[1], "test": found[2]}
                if counts.total() % 100 == 0:
                    yield {"what": "until now", **counts}
            elif line.startswith(("FAILED", "ERROR")):
                yield {"what": "why", "line": line.strip()[:300]}
    yield {"what": "pytest", "status": run.returncode, "last": last, **counts}


def sanitizer() -> Rows:
    """Cases of the comparison under compute-sanitizer."""
    homes = [os.environ.get("CUDA_HOME", ""), *sorted(glob.glob("/usr/local/cuda*"), reverse=True)]
    tool = shutil.which("compute-sanitizer", path=os.pathsep.join([os.environ.get("PATH", ""), *(f"{home}/bin" for home in homes)]))
    if tool is None:
        yield {"what": "compute-sanitizer", "found": False}
        return
    environment = os.environ | {"NUMBACNN_CUDA_PATH": "fast"}
    for kind in ("memcheck", "racecheck"):
        with tempfile.TemporaryDirectory() as folder:
            command = children.command("numbacnn.testing.two_paths", "main", f"{folder}/results.npz", *CASES)
            began = time.perf_counter()
            run = subprocess.run([tool, "--tool", kind, "--error-exitcode", "9", *command], env=environment, capture_output=True, text=True)
        said = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("=========")]
        yield {"what": kind, "status": run.returncode, "seconds": time.perf_counter() - began, "said": said[:12] + said[12:][-1:]}


# -- what the host pays ------------------------------------------------------------------------------------------------------------
def launches() -> Rows:
    """Microseconds of the host, the device being drained outside the clock."""
    import numbacnn as nc
    from numbacnn import backends, config
    from numbacnn.kernels.cuda import driver
    from numbacnn.kernels.cuda.simt import copy

    xp: Any = backends.get("cuda")
    x = nc.zeros(4096, device="cuda")

    def row(what: str, run: Callable[[], object]) -> dict[str, Any]:
        run()
        times = []
        for _ in range(20):
            nc.cuda.synchronize()
            began = time.perf_counter()
            for _ in range(50):
                run()
            times.append((time.perf_counter() - began) / 50)
        return {"what": what, "path": config.cuda_path, "us": 1e6 * min(times), "median_us": 1e6 * statistics.median(times)}

    yield row("a launch of three arguments", lambda: driver.launch_flat(copy.fill, 4096, x.array.buffer, np.float32(1)))
    for size in (4096, 1 << 24):
        yield row(f"an array made and dropped, {size} bytes", lambda size=size: xp.empty((size // 4,), "float32"))  # type: ignore[misc]
    yield row("a Tensor times a number", lambda: x * 2.0)
    values = np.ones((256, 1, 28, 28), np.float32)
    yield row("a batch of 256 pictures brought to the device", lambda: nc.tensor(values, device="cuda"))


# -- training steps ------------------------------------------------------------------------------------------------------------------
def timed_steps(name: str, step: Callable[[], object], wait: Callable[[], object]) -> dict[str, float]:
    """Milliseconds of a step: of the host, while the device's queue has room, and in all; the best, and the median of all."""
    waiting = WAITING[name]
    host, whole = [], []
    end = time.perf_counter() + 2.0
    while len(whole) < 5 or (time.perf_counter() < end and len(whole) < 60):
        wait()
        began = time.perf_counter()
        for _ in range(waiting):
            step()
        host.append((time.perf_counter() - began) / waiting)
        wait()
        whole.append((time.perf_counter() - began) / waiting)
    return {"host_ms": 1e3 * min(host), "ms": 1e3 * min(whole), "median_ms": 1e3 * statistics.median(whole)}


def digest(arrays: Iterator[np.ndarray]) -> str:
    """Of bits."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def ways() -> list[str]:
    """How a step runs: the safe path has no graphs."""
    from numbacnn import config

    return ["eager", "list"] if config.cuda_path == "safe" else ["eager", "list", "graph"]


def made(name: str, way: str) -> tuple[Any, Callable[[Any, Any], None]]:
    """A network on the device and its step; the same seed each time."""
    import numbacnn as nc

    net = LENET if name == "LeNet" else RESNET
    nc.manual_seed(1)
    nc.config.cuda_graphs = way == "graph"
    model = getattr(nc.models, net.name)(classes=10, **net.arguments).to("cuda")
    optimiser = nc.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step(x: Any, y: Any) -> None:
        optimiser.zero_grad()
        nc.nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()

    return model, nc.compile(step, disable=way == "eager")


def state(model: Any) -> str:
    return digest(value.numpy() for value in model.state_dict().values())


def resnet() -> Rows:
    """One batch that stays."""
    import numbacnn as nc

    x, y = (nc.tensor(a, device="cuda") for a in batch(RESNET.shape))
    bits = {}
    for way in ways():
        model, step = made("ResNet-18", way)
        for _ in range(STEPS):
            step(x, y)
        bits[way] = state(model)
        row = {"what": "ResNet-18, 64 x 3 x 32 x 32", "side": nc.config.cuda_path, "way": way}
        yield {**row, **timed_steps("ResNet-18", partial(step, x, y), nc.cuda.synchronize)}
    yield {"what": "ResNet-18, bits", "side": nc.config.cuda_path, "same": len(set(bits.values())) == 1, "bits": bits}


def lenet() -> Rows:
    """The loader included: 8-bit pictures in shuffled order."""
    import numbacnn as nc

    data = nc.data.ImageDataset(*pictures({"mode": "training", "batch": 256}), tuple(map(str, range(10))))
    bits = {}
    for way in ways():
        model, step = made("LeNet", way)
        next_step = drawing(nc.data.DataLoader(data, 256, shuffle=True, drop_last=True, device="cuda", seed=3), step)
        for _ in range(STEPS):
            next_step()
        bits[way] = state(model)
        row = {"what": "LeNet, 256 x 1 x 28 x 28, loader included", "side": nc.config.cuda_path, "way": way}
        yield {**row, **timed_steps("LeNet", next_step, nc.cuda.synchronize)}
    yield {"what": "LeNet, bits", "side": nc.config.cuda_path, "same": len(set(bits.values())) == 1, "bits": bits}


def drawing(loader: Iterable[Any], step: Callable[[Any, Any], None]) -> Callable[[], None]:
    """A step with the loader's next batch, epoch after epoch."""
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    return lambda: step(*next(batches))


# -- kernels -------------------------------------------------------------------------------------------------------------------------
def seconds(run: Callable[[], object], wait: Callable[[], object], least: float = 0.1) -> float:
    """Of a call, whose launches wait in the device's queue: the best of five turns."""
    run()
    wait()
    began = time.perf_counter()
    run()
    wait()
    calls = max(2, min(200, int(least / 5 / (time.perf_counter() - began))))
    best = math.inf
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(calls):
            run()
        wait()
        best = min(best, (time.perf_counter() - began) / calls)
    return best


def rate(run: Callable[[], object], wait: Callable[[], object], products: int) -> dict[str, float]:
    """Microseconds of a call, and what they come to."""
    taken = seconds(run, wait)
    return {"us": 1e6 * taken, "tflops": 2e-12 * products / taken}


def convolutions() -> Rows:
    from numbacnn import backends, cuda
    from numbacnn.geometry import ConvGeometry

    xp: Any = backends.get("cuda")
    rng = np.random.default_rng(0)
    for name, (n, c, size, out, k, stride) in CONVS.items():
        geometry = ConvGeometry.of((n, c, size, size), (out, c, k, k), stride, k // 2, 1, 1)
        x = xp.channels_last(xp.from_numpy(rng.standard_normal((n, c, size, size), np.float32)))
        w = xp.parameter(xp.from_numpy(rng.standard_normal((out, c, k, k), np.float32)))
        y = xp.conv_forward(x, w, None, geometry)
        methods = ((xp.conv_forward, x, w, None), (xp.conv_grad_input, y, w), (xp.conv_grad_weight, y, x))
        runs = [partial(method, *arrays, geometry) for method, *arrays in methods]
        for direction, run in zip(DIRECTIONS, runs):
            yield {"conv": name, "direction": direction, "side": "numbacnn", **rate(run, cuda.synchronize, y.size * c * k * k)}


def ones(shape: Sequence[int]) -> Any:
    """On the device, pictures channels-last as networks hand them on."""
    import numbacnn as nc

    if len(shape) != 4:
        return nc.ones(*shape, device="cuda")
    n, c, h, w = shape
    return nc.ones(n, h, w, c, device="cuda").permute(0, 3, 1, 2).detach()


def bandwidth() -> Rows:
    """The fraction of the bandwidth of a copy, of arrays that no cache holds."""
    import numbacnn as nc

    x = nc.zeros(1 << 28, device="cuda")
    copied = 1e-9 * 8 * x.numel() / seconds(lambda: x.clone(), nc.cuda.synchronize)
    yield {"what": "copy", "gb_s": copied}
    for name, small in memory_bound.LAYERS.items():
        if "LeNet" in name or "256 x 10" in name:
            continue
        layer = replace(small, shape=(small.shape[0] * TIMES, *small.shape[1:]), output=small.output * (1 if small.output == 1 else TIMES))
        module: Any = getattr(nc.nn, layer.name)(*layer.arguments).to("cuda")
        x = ones(layer.shape).requires_grad_()
        more = [nc.zeros(layer.shape[0], dtype=nc.int64, device="cuda")] if layer.name == "CrossEntropyLoss" else []
        given = memory_bound._dropped(x)
        y = module(given, *more)
        grad = ones(y.shape)
        runs = {
            "forward": lambda m=module, g=given, more=more: m(g, *more),
            "backward": lambda y=y, g=grad: y.backward(g, retain_graph=True),
        }
        for direction, run in runs.items():
            rate = 4e-9 * layer.floats(direction) / seconds(run, nc.cuda.synchronize)
            yield {"what": name, "pass": direction, "gb_s": rate, "fraction": rate / copied}
    for name, (kind, options, arrays) in memory_bound.OPTIMISERS.items():
        parameters = [nc.nn.Parameter(nc.ones(*shape, device="cuda")) for shape in memory_bound.PARAMETERS["12 million"] * 4]
        for p in parameters:
            p.grad = nc.ones(*p.shape, device="cuda")
        rate = (
            4e-9
            * arrays
            * sum(p.numel() for p in parameters)
            / seconds(getattr(nc.optim, kind)(parameters, **options).step, nc.cuda.synchronize)
        )
        yield {"what": f"{name}, 48 million", "pass": "step", "gb_s": rate, "fraction": rate / copied}


FIRST = """
import numbacnn as nc
net = nc.models.get("lenet")().to("cuda")
x, y = nc.zeros(256, 1, 28, 28, device="cuda"), nc.zeros(256, dtype=nc.int64, device="cuda")
optimiser = nc.optim.SGD(net.parameters(), lr=0.1)
nc.nn.functional.cross_entropy(net(x), y).backward()
optimiser.step()
nc.cuda.synchronize()
import os; os._exit(0)
"""


def start() -> Rows:
    """From a process's start to the end of its first LeNet step; the first run compiles what no part before has."""
    for run in range(4):
        began = time.perf_counter()
        ended = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True)
        row = {"what": "a first LeNet step", "cache": "warm" if run else "as it was", "seconds": time.perf_counter() - began}
        yield row if not ended.returncode else {**row, "error": ended.stderr.strip()[-300:]}


def _of_torch(name: str) -> Callable[[], Rows]:
    """A part of PyTorch's, which is imported where it runs."""

    def rows() -> Rows:
        if not _cuda_of_torch()[:1].isdigit():
            yield {"skipped": "no PyTorch with CUDA here"}
            return
        from . import gpu_torch

        yield from getattr(gpu_torch, name)()

    return rows


SAFE, FAST = ({"NUMBACNN_CUDA_PATH": path, "NUMBACNN_CUDA_CHECK": "0"} for path in ("safe", "fast"))
PARTS = {
    "versions": Part(versions, 15),
    "check": Part(check, 100),
    "tests": Part(tests, 70, FAST),
    "sanitizer": Part(sanitizer, 40, FAST),
    "launches": Part(launches, 12, FAST),
    "launches, safe": Part(launches, 12, SAFE),
    "lenet": Part(lenet, 25, FAST),
    "resnet": Part(resnet, 25, FAST),
    "torch": Part(_of_torch("steps"), 35),
    "resnet, safe": Part(resnet, 20, SAFE),
    "convolutions": Part(convolutions, 15, FAST),
    "cudnn": Part(_of_torch("convolutions"), 20),
    "bandwidth": Part(bandwidth, 20, FAST),
    "start": Part(start, 15, FAST),
    "lenet, safe": Part(lenet, 15, SAFE),
}


# -- the parts, one after the other ----------------------------------------------------------------------------------------------------
class Report:
    """Lines of JSON."""

    def __init__(self, file: Any = None) -> None:
        self.began, self.file, self.driver = time.perf_counter(), file, {"driver": "fake"} if fake() else {}

    def say(self, part: str, **what: Any) -> None:
        """Print a line, and write it into the file."""
        shown = {key: float(f"{value:.4g}") if isinstance(value, float) and math.isfinite(value) else value for key, value in what.items()}
        line = json.dumps({"part": part, "t": round(time.perf_counter() - self.began, 1), **shown, **self.driver}, default=str)
        for stream in (sys.stdout, self.file):
            if stream is not None:
                print(line, file=stream, flush=True)


def command(name: str) -> list[str]:
    """The process of a part."""
    return [sys.executable, "-m", "benchmarks.gpu", "--part", name]


def run(name: str, limit: float, report: Report) -> None:
    """A part in its process, and the line of how it ended where it did not end well."""
    environment = os.environ | {"NUMBACNN_QUIET": "1", "NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS": "0"} | PARTS[name].environment
    with tempfile.TemporaryFile() as complaints:
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": complaints}
        process = subprocess.Popen(command(name), cwd=ROOT, env=environment, start_new_session=True, **pipes)
        try:
            with children.limit(process, limit) as late:
                for line in process.stdout or ():
                    try:
                        row = json.loads(line)
                    except ValueError:
                        continue  # what somebody prints
                    report.say(name, **row)
                process.wait()
        finally:
            children.end(process)
        if late.is_set():
            report.say(name, error=f"stopped after {limit:.0f} s")
        elif process.returncode:
            report.say(name, error=children.death(process.returncode, complaints))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--budget", type=float, default=BUDGET, metavar="SECONDS", help=f"of all parts together (default: {BUDGET:.0f})")
    parser.add_argument("--out", type=Path, help="a folder for the lines (default: benchmarks/results, for a driver that runs kernels)")
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        for row in PARTS[args.part].rows():
            print(json.dumps(row, default=str), flush=True)
        os._exit(0)  # to give gigabytes back takes seconds
    from numbacnn.kernels.cuda import driver

    reason = driver.why_unavailable() or ("the simulator is switched on" if driver.SIMULATED else "")
    if reason:
        sys.exit(f"benchmarks.gpu: no CUDA device: {reason}")
    os.environ.setdefault("NUMBA_CACHE_DIR", os.path.join(tempfile.gettempdir(), "numbacnn-gpu"))  # the tests take kernels from there too
    out = args.out or (None if fake() else ROOT / "benchmarks/results")
    if out is None:
        measure(args, Report())
        return
    out.mkdir(parents=True, exist_ok=True)
    with open(out / f"gpu-{time.strftime('%Y%m%d-%H%M%S')}.jsonl", "x", encoding="utf-8") as file:
        measure(args, Report(file))


def measure(args: argparse.Namespace, report: Report) -> None:
    """All parts, as long as there is time."""
    for name, part in PARTS.items():
        left = args.budget - (time.perf_counter() - report.began)
        if args.only and name not in args.only:
            continue
        if left < 5:
            report.say(name, skipped="no time left")
        else:
            run(name, min(part.seconds, left), report)
    report.say("end", seconds=time.perf_counter() - report.began)


if __name__ == "__main__":
    main()
