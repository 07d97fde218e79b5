"""The book's LeNet in images per second beside PyTorch's CPU: ``python -m benchmarks.lenet``.

Training, loader included: both sides draw batches from 8-bit images in shuffled order, convert them to float, run forward,
cross-entropy, backward and a step of SGD. PyTorch gets the quickest loader we know (whole batches by indexing a tensor, not its
DataLoader's sample by sample) and the better of its two memory formats. ``--inference``: the network alone on one batch of floats, in
inference mode, with onnxruntime for the record where it is installed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from .alternate import Case, Makers, Ways, arguments, compare, work
from .tables import Row, ratios, report

MODELS = ("lenet", "lenet-modern")
BOOK = 55_297  # images/s that the book prints for its GPU


def images(case: Case) -> int:
    """How many images one timed run sees: a batch, or an epoch of at least 20 steps."""
    return case["batch"] if case["mode"] == "inference" else case["batch"] * max(20, 256 // case["batch"])


def _data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images (N, 28, 28, 1) and labels: random, since speed does not depend on what they show."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (images(case), 28, 28, 1), np.uint8), rng.integers(0, 10, images(case))


def _batch(case: Case) -> np.ndarray:
    """float32 images (N, 1, 28, 28)."""
    return np.random.default_rng(0).random((case["batch"], 1, 28, 28), np.float32)


def ours(case: Case) -> Ways:
    import numbacnn as nc

    net = nc.models.get(case["model"])()
    if case["mode"] == "inference":
        net.eval()
        x = nc.tensor(_batch(case))
        return [lambda: net(x)]
    data = nc.data.Dataset(*_data(case), tuple(map(str, range(10))))
    loader = nc.data.DataLoader(data, case["batch"], shuffle=True, drop_last=True)
    optimiser = nc.optim.SGD(net.parameters(), lr=0.01)

    def epoch() -> None:
        for x, y in loader:
            optimiser.zero_grad()
            nc.nn.functional.cross_entropy(net(x), y).backward()
            optimiser.step()

    return [epoch]


def theirs(case: Case) -> Ways:
    import torch

    return [_theirs(case, memory) for memory in (torch.contiguous_format, torch.channels_last)]


def _theirs(case: Case, memory: Any) -> Callable[[], object]:
    import torch

    from .torch_nets import lenet

    net = lenet(case["model"]).to(memory_format=memory)
    if case["mode"] == "inference":
        net.eval()
        x = torch.from_numpy(_batch(case)).contiguous(memory_format=memory)
        return lambda: net(x)
    data, labels = map(torch.from_numpy, _data(case))
    data = data.permute(0, 3, 1, 2).contiguous(memory_format=memory)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)

    def epoch() -> None:
        for at in torch.randperm(len(data)).split(case["batch"]):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(net(data[at].float() / 255), labels[at]).backward()
            optimiser.step()

    return epoch


def onnx(case: Case) -> Ways:
    from os import environ

    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(environ["OMP_NUM_THREADS"])
    session = onnxruntime.InferenceSession(exported(case["model"]), options, providers=["CPUExecutionProvider"])
    x = {"x": _batch(case)}
    return [lambda: session.run(None, x)]


def exported(model: str) -> bytes:
    """A new network of ours as an ONNX model, from x (N, 1, 28, 28) to y (N, 10)."""
    import onnx
    from onnx import helper, numpy_helper

    import numbacnn as nc

    act, pool = ("Sigmoid", "AveragePool") if model == "lenet" else ("Relu", "MaxPool")
    half: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    dense: tuple[str, dict[str, Any]] = ("Gemm", {"transB": 1})
    layers = [("Conv", {"pads": [2] * 4}), (act, {}), (pool, half), ("Conv", {}), (act, {}), (pool, half), ("Flatten", {})]
    layers += [dense, (act, {}), dense, (act, {}), dense]
    nodes, value = [], "x"
    for i, (op, attributes) in enumerate(layers):
        weights = [f"{i}.weight", f"{i}.bias"] if op in ("Conv", "Gemm") else []
        result = "y" if i == len(layers) - 1 else f"y{i}"
        nodes.append(helper.make_node(op, [value, *weights], [result], **attributes))
        value = result
    floats = onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info("x", floats, ["N", 1, 28, 28])], [helper.make_tensor_value_info("y", floats, ["N", 10])]
    weights = [numpy_helper.from_array(np.ascontiguousarray(w.numpy()), name) for name, w in nc.models.get(model)().state_dict().items()]
    graph = helper.make_graph(nodes, model, *ends, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


TRAINING: Makers = {"numbacnn": ours, "torch": theirs}
INFERENCE: Makers = TRAINING | {"onnxruntime": onnx}


# -- what the times come to --------------------------------------------------------------------------------------------------------
def table(rows: list[Row]) -> list[list[str]]:
    """Images per second of each side (the best, in brackets the median), and PyTorch's times over ours."""
    sides = [side for side in INFERENCE if f"{side}_best" in rows[0]]
    lines = [["model", "batch", *(f"{side}, images/s" for side in sides), "ratio"]]
    for row in rows:
        rates = [f"{images(row) / row[f'{side}_best']:,.0f} ({images(row) / row[f'{side}_median']:,.0f})" for side in sides]
        lines.append([row["model"], str(row["batch"]), *rates, ratios(row)])
    return lines


def summary(rows: list[Row]) -> dict[str, float]:
    """How far beyond the book's GPU each network trains at batch 256."""
    large = [row for row in rows if row["batch"] == 256 and row["mode"] == "training"]
    return {f"{row['model']} over the book's {BOOK:,} images/s": images(row) / row["numbacnn_best"] / BOOK for row in large}


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="*", help="default: 256, 32 and 1; for inference 256 and 1")
    parser.add_argument("--inference", action="store_true", help="the network alone, in inference mode")
    args = parser.parse_args()
    if args.worker:
        work(INFERENCE, args)
        return
    run(args)


def run(args: argparse.Namespace) -> None:
    mode, makers, batches = ("inference", INFERENCE, [256, 1]) if args.inference else ("training", TRAINING, [256, 32, 1])
    cases = [{"model": model, "batch": n, "mode": mode} for model in MODELS for n in args.batch or batches]
    rows = compare("benchmarks.lenet", makers, cases, args)
    name, what = ("lenet_inference", "inference") if args.inference else ("lenet", "training, loader included")
    report(name, f"LeNet, {what}: best (median)", table(rows), rows, summary(rows), args)


if __name__ == "__main__":
    main()
