"""A server of one network beside PyTorch's CPU and onnxruntime: ``python -m benchmarks.serve``.

A request is one picture, an array as the network takes it, and its answer the probabilities of the classes as an array: through a
``Predictor``, which compiles its network, and one of what ``optimize_for_inference`` makes of it; or as each library does it. "In one
block" is the bare network in a mode that is never left: what an endless loop would take. With 8 clients so many threads ask at once; the
time is that of one request of them all. ``--start``: from the start of a process that reads the weights from a file to its first answer,
with kernels that lie in the cache and, ours, with an empty one; and what of memory the process holds then, and after 50 answers more
(Linux only).
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .alternate import SIDES, Case, Makers, Ways, arguments, available, compare, environment, set_threads, settled, work
from .memory import resident
from .tables import NAMES, Row, cell, geometric_mean, present, ratio, ratios, report
from .train import Net, batch

NETS = {
    "LeNet, 28x28": Net("lenet", {}, (1, 1, 28, 28)),
    "ResNet-18, 64x64": Net("resnet18", {"stem": "imagenet"}, (1, 3, 64, 64)),
    "ResNet-18, 224x224": Net("resnet18", {"stem": "imagenet"}, (1, 3, 224, 224)),
}
CALLS = {"request": "a request", "clients": "a request of 8 clients", "inference": "in one block"}
CLIENTS, MORE = 8, 50
Request = Callable[[np.ndarray], np.ndarray]
"""From a picture (1, C, H, W) to probabilities (K,)."""


# -- a side's network: made, written and read -----------------------------------------------------------------------------------
def our_network(net: Net) -> Any:
    import numbacnn as nc

    return getattr(nc.models, net.name)(classes=10, **net.arguments).eval()


def their_network(net: Net) -> Any:
    from . import torch_nets

    return getattr(torch_nets, net.name)(**net.arguments).eval()


def exported(network: Any, shape: tuple[int, ...]) -> bytes:
    """A network of PyTorch's as an ONNX model, with its batch normalisations folded into the convolutions."""
    import torch

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the newer exporter needs one more package
        torch.onnx.export(network, (torch.zeros(shape),), file, dynamo=False, opset_version=17, input_names=["x"], output_names=["y"])
    return file.getvalue()


def write(side: str, net: Net, path: Path) -> None:
    """The weights of a new network, as the side would read them."""
    if side == "numbacnn":
        from numbacnn import checkpoint

        weights = {name: np.asarray(tensor) for name, tensor in our_network(net).state_dict().items()}
        checkpoint.save(path, checkpoint.Checkpoint(weights, net.name, {"classes": 10, **net.arguments}))
    elif side == "torch":
        import torch

        torch.save(their_network(net).state_dict(), path)
    else:
        path.write_bytes(exported(their_network(net), net.shape))


def our_request(predictor: Any) -> Request:
    return lambda x: predictor(x[0]).probabilities


def their_request(network: Any, memory: Any) -> Request:
    import torch

    def serve(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(x).contiguous(memory_format=memory)).softmax(1)[0].numpy()

    return serve


def onnx_request(model: bytes, threads: int) -> Request:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def serve(x: np.ndarray) -> np.ndarray:
        (scores,) = session.run(None, {"x": x})
        shares = np.exp(scores[0] - scores[0].max())
        return shares / shares.sum()

    return serve


def read(side: str, net: Net, path: Path, threads: int) -> Request:
    """What :func:`write` has written, ready to answer."""
    if side == "numbacnn":
        import numbacnn as nc

        return our_request(nc.Predictor(path))
    if side == "torch":
        import torch

        network = their_network(net)
        network.load_state_dict(torch.load(path))
        return their_request(network.to(memory_format=torch.channels_last), torch.channels_last)
    return onnx_request(path.read_bytes(), threads)


# -- requests -------------------------------------------------------------------------------------------------------------------
def picture(net: Net) -> np.ndarray:
    return np.ascontiguousarray(batch(net.shape)[0])


def way(case: Case, request: Request, bare: Callable[[], object]) -> Callable[[], object]:
    """A request, so many of them at once, or the bare call where the worker is in the mode already."""
    x = picture(NETS[case["net"]])
    if case["mode"] == "inference":
        return bare
    if case["mode"] == "request":
        return lambda: request(x)
    pool = ThreadPoolExecutor(CLIENTS)
    return lambda: list(pool.map(request, [x] * CLIENTS))


def ours(case: Case, optimize: bool = False) -> Ways:
    import numbacnn as nc

    net = NETS[case["net"]]
    model, x = our_network(net), nc.from_array(batch(net.shape)[0])
    if optimize:
        model = nc.optimize_for_inference(model, x)
    return settled([way(case, our_request(nc.Predictor.of(model)), lambda: model(x))], case)


def theirs(case: Case) -> Ways:
    import torch

    net, found = NETS[case["net"]], []
    for memory in (torch.contiguous_format, torch.channels_last):
        model = their_network(net).to(memory_format=memory)
        x = torch.from_numpy(picture(net)).contiguous(memory_format=memory)
        found.append(way(case, their_request(model, memory), lambda model=model, x=x: model(x)))
    return found


def onnx(case: Case) -> Ways:
    from os import environ

    net = NETS[case["net"]]
    request, x = onnx_request(exported(their_network(net), net.shape), int(environ["OMP_NUM_THREADS"])), picture(net)
    return [way(case, request, lambda: request(x))]


MAKERS: Makers = {"numbacnn": ours, "optimized": partial(ours, optimize=True), "torch": theirs, "onnxruntime": onnx}


def sides() -> list[str]:
    """Those that are installed; PyTorch exports what onnxruntime runs."""
    found = available(MAKERS)
    return found if "torch" in found else ["numbacnn", "optimized"]


def table(rows: list[Row]) -> list[list[str]]:
    names, over = present(rows), ("PyTorch's over ours", "over optimised", "onnxruntime's over optimised")
    lines = [["network", "call", *(f"{NAMES[side]}, ms" for side in names), *over]]
    for row in rows:
        count = CLIENTS if row["mode"] == "clients" else 1
        times = [cell(row, side, lambda seconds, count=count: f"{1e3 * seconds / count:.3g}") for side in names]
        found = ratios(row), ratios(row, "optimized"), ratios(row, "optimized", "onnxruntime")
        lines.append([row["net"], CALLS[row["mode"]], *times, *found])
    return lines


def requests(args: argparse.Namespace) -> None:
    cases = [{"net": net, "mode": mode} for net in NETS for mode in CALLS]
    rows = compare("benchmarks.serve", {side: MAKERS[side] for side in sides()}, cases, args)
    alone, blocks = ([row for row in rows if row["mode"] == mode] for mode in ("request", "inference"))
    summary = {
        "geometric mean of requests": geometric_mean(map(ratio, alone)),
        "the same, optimised": geometric_mean(ratio(row, side="optimized") for row in alone),
        "the same, optimised, beside onnxruntime": geometric_mean(ratio(row, side="optimized", peer="onnxruntime") for row in alone),
        "a request over a call in one block, at most": max(r["numbacnn_best"] / b["numbacnn_best"] for r, b in zip(alone, blocks)),
    }
    report("serve", "A request of one picture: best (median)", table(rows), rows, summary, args)


# -- from the start of a process ---------------------------------------------------------------------------------------------------
def answer_first(side: str, net: Net, path: Path, threads: int) -> None:
    """Print a line after the first answer and one after many, each the megabytes that the process holds."""
    set_threads(side, threads)
    request, x = read(side, net, path, threads), picture(net)
    for count in (1, MORE):
        for _ in range(count):
            request(x)
        print(resident("VmRSS") / 1024, flush=True)


def started(side: str, net: str, path: Path, threads: int, cache: str) -> tuple[float, float, float]:
    """Seconds to the first answer of a new process, and megabytes after it and after many."""
    command = [sys.executable, "-m", "benchmarks.serve", "--first", str(path), "--net", net, "--side", side, "--threads", str(threads)]
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(threads, NUMBA_CACHE_DIR=cache)) as child:
        if child.stdout is None:
            raise RuntimeError("the child has no pipe")
        first = child.stdout.readline()
        seconds = time.perf_counter() - began
        lines = [first, child.stdout.readline()]
    if child.returncode:
        raise RuntimeError(f"the process ended with {child.returncode}: {' '.join(command)}")
    return seconds, float(lines[0]), float(lines[1])


def start(args: argparse.Namespace) -> None:
    rows: list[dict[str, Any]] = []
    lines = [["network", "", "first answer, s", "memory then, MB", f"after {MORE} more, MB"]]
    with tempfile.TemporaryDirectory() as folder:
        for net in [args.net] if args.net else NETS:
            kinds = {side: side for side in sides() if side != "optimized"} | {"numbacnn, cold cache": "numbacnn"}
            for number, (kind, side) in enumerate(kinds.items()):
                path, warm = Path(folder) / f"{side}-{NETS[net].name}", str(Path(folder) / "kernels")
                write(side, NETS[net], path)
                cold = kind != side
                if not cold:
                    started(side, net, path, args.threads, warm)  # fills the caches, the system's of files too
                rounds = 1 if cold else max(3, args.rounds)
                found = []
                for _ in range(rounds):
                    with tempfile.TemporaryDirectory() if cold else contextlib.nullcontext(warm) as cache:
                        found.append(started(side, net, path, args.threads, cache))
                seconds, then, after = (list(column) for column in zip(*found))
                rows.append({"net": net, "kind": kind, "seconds": seconds, "megabytes": then, "megabytes_after": after})
                shown = [f"{min(seconds):.2f} ({statistics.median(seconds):.2f})", *(f"{statistics.median(m):.0f}" for m in (then, after))]
                lines.append([net if not number else "", kind, *shown])
                print(rows[-1], file=sys.stderr, flush=True)
    report("serve_start", "From the start of a process to its first answer: best (median)", lines, rows, {}, args)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--start", action="store_true", help="from the start of a process to its first answer, and memory")
    parser.add_argument("--net", choices=NETS, help="with --start: only this one")
    parser.add_argument("--first", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(MAKERS, args)
    elif args.first:
        answer_first(args.side, NETS[args.net], args.first, args.threads)
    elif args.start:
        start(args)
    else:
        requests(args)


if __name__ == "__main__":
    main()
