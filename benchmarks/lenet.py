"""The book's LeNet in images per second beside PyTorch's CPU: ``python -m benchmarks.lenet``.

Training, loader included: all sides draw batches from 8-bit images in shuffled order, convert them to float, run forward,
cross-entropy, backward and a step of SGD. Ours run as they are and through ``nc.compile``; PyTorch's as they are and through
``torch.compile``, with the quickest loader we know (whole batches by indexing a tensor, not its DataLoader's sample by sample) and the
better of its two memory formats; JAX's under ``jit``, where it is installed, batches drawn inside. ``--inference``: the network alone on
one batch of floats, in inference mode, beside onnxruntime too, where it is installed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .alternate import Case, Makers, Unavailable, Ways, arguments, compare, mode, settled, work
from .tables import NAMES, Row, cell, present, ratio, ratios, report

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


def ours(case: Case, compile: bool = False) -> Ways:
    import numbacnn as nc

    net = nc.models.get(case["model"])()
    if case["mode"] == "inference":
        net.eval()
        if compile:
            net.compile()
        x = nc.tensor(_batch(case))
        return settled([lambda: net(x)], case)
    data = nc.data.ImageDataset(*_data(case), tuple(map(str, range(10))))
    loader = nc.data.DataLoader(data, case["batch"], shuffle=True, drop_last=True)
    optimiser = nc.optim.SGD(net.parameters(), lr=0.01)

    def step(x: Any, y: Any) -> None:
        optimiser.zero_grad()
        nc.nn.functional.cross_entropy(net(x), y).backward()
        optimiser.step()

    take = nc.compile(step, disable=not compile)

    def epoch() -> None:
        for x, y in loader:
            take(x, y)

    return [epoch]


def theirs(case: Case) -> Ways:
    return _theirs(case, lambda function: function)


def inductor(case: Case) -> Ways:
    """The same through ``torch.compile``, which needs a C++ compiler."""
    import torch

    torch.compiler.reset()  # it gives up on a function of which it has compiled eight variants
    ways = _theirs(case, torch.compile)
    try:
        with mode("inductor", case):
            for way in ways:
                way()
    except Exception as error:
        raise Unavailable(f"{type(error).__name__}: {str(error).strip().splitlines()[0]}") from error
    return ways


def _theirs(case: Case, compile: Callable[[Any], Any]) -> Ways:
    import torch

    return [_in_format(case, memory, compile) for memory in (torch.contiguous_format, torch.channels_last)]


def _in_format(case: Case, memory: Any, compile: Callable[[Any], Any]) -> Callable[[], object]:
    import torch

    from .torch_nets import lenet

    net = lenet(case["model"]).to(memory_format=memory)
    if case["mode"] == "inference":
        net.eval()
        x, answer = torch.from_numpy(_batch(case)).contiguous(memory_format=memory), compile(net)
        return lambda: answer(x)
    data, labels = map(torch.from_numpy, _data(case))
    data = data.permute(0, 3, 1, 2).contiguous(memory_format=memory)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)

    @compile
    def step(x: Any, y: Any) -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(x.float() / 255), y).backward()
        optimiser.step()

    def epoch() -> None:
        for at in torch.randperm(len(data)).split(case["batch"]):
            step(data[at], labels[at])

    return epoch


def jit(case: Case) -> Ways:
    """JAX's. Images and kernels are channels-last, which XLA's CPU likes."""
    import jax

    net, weights = partial(jax_lenet, case["model"]), jax_weights()
    if case["mode"] == "inference":
        x, answer = jax.numpy.asarray(_batch(case).transpose(0, 2, 3, 1)), jax.jit(net)
        return [lambda: answer(weights, x).block_until_ready()]
    data, labels = map(jax.numpy.asarray, _data(case))

    def loss(weights: Any, x: Any, y: Any) -> Any:
        return -jax.nn.log_softmax(net(weights, x))[jax.numpy.arange(len(y)), y].mean()

    @jax.jit
    def step(weights: Any, data: Any, labels: Any, at: Any) -> Any:
        slopes = jax.grad(loss)(weights, data[at].astype("float32") / 255, labels[at])
        return [w - 0.01 * slope for w, slope in zip(weights, slopes)]

    def epoch() -> None:
        nonlocal weights
        for at in np.random.permutation(len(data)).reshape(-1, case["batch"]):
            weights = step(weights, data, labels, at)
        jax.block_until_ready(weights)

    return [epoch]


SHAPES = ((5, 5, 1, 6), (6,), (5, 5, 6, 16), (16,), (400, 120), (120,), (120, 84), (84,), (84, 10), (10,))


def jax_weights() -> list[Any]:
    import jax

    rng = np.random.default_rng(0)
    return [jax.numpy.asarray(0.1 * rng.standard_normal(shape, np.float32)) for shape in SHAPES]


def jax_lenet(model: str, weights: Any, x: Any) -> Any:
    """(N, 28, 28, 1) -> (N, 10)."""
    import jax

    lax = jax.lax
    act = jax.nn.sigmoid if model == "lenet" else jax.nn.relu
    w1, b1, w2, b2, *dense = weights
    for w, b, padding in ((w1, b1, "SAME"), (w2, b2, "VALID")):
        x = act(lax.conv_general_dilated(x, w, (1, 1), padding, dimension_numbers=("NHWC", "HWIO", "NHWC")) + b)
        half = (1, 2, 2, 1), (1, 2, 2, 1), "VALID"
        x = lax.reduce_window(x, 0.0, lax.add, *half) / 4 if model == "lenet" else lax.reduce_window(x, -np.inf, lax.max, *half)
    x = x.reshape(len(x), -1)
    for w, b in zip(dense[:-2:2], dense[1:-2:2]):
        x = act(x @ w + b)
    return x @ dense[-2] + dense[-1]


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


TRAINING: Makers = {"numbacnn": ours, "compiled": partial(ours, compile=True), "torch": theirs, "inductor": inductor, "jax": jit}
INFERENCE: Makers = TRAINING | {"onnxruntime": onnx}


# -- what the times come to --------------------------------------------------------------------------------------------------------
def table(rows: list[Row]) -> list[list[str]]:
    """Images per second of each side (the best, in brackets the median), and PyTorch's times over ours, and over ours compiled."""
    sides = present(rows)
    lines = [["model", "batch", *(f"{NAMES[side]}, images/s" for side in sides), "ratio", "ratio, compiled"]]
    for row in rows:
        rates = [cell(row, side, lambda seconds, row=row: f"{images(row) / seconds:,.0f}") for side in sides]
        lines.append([row["model"], str(row["batch"]), *rates, ratios(row), ratios(row, "compiled")])
    return lines


def summary(rows: list[Row]) -> dict[str, float]:
    """How far beyond the book's GPU each network trains at batch 256, and what compiling gains beside who compiles too."""
    large = [row for row in rows if row["batch"] == 256 and row["mode"] == "training"]
    found = {f"{row['model']} over the book's {BOOK:,} images/s": images(row) / row["compiled_best"] / BOOK for row in large}
    for peer in ("inductor", "jax", "onnxruntime"):
        name = "compiled over {peer}, {model}, batch {batch}"
        found |= {name.format(peer=NAMES[peer], **row): ratio(row, side="compiled", peer=peer) for row in rows}
    return found


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="*", help="default: 256, 32 and 1")
    parser.add_argument("--inference", action="store_true", help="the network alone, in inference mode")
    args = parser.parse_args()
    if args.worker:
        work(INFERENCE, args)
        return
    run(args)


def run(args: argparse.Namespace) -> None:
    mode, makers = ("inference", INFERENCE) if args.inference else ("training", TRAINING)
    cases = [{"model": model, "batch": n, "mode": mode} for model in MODELS for n in args.batch or (256, 32, 1)]
    rows = compare("benchmarks.lenet", makers, cases, args)
    name, what = ("lenet_inference", "inference") if args.inference else ("lenet", "training, loader included")
    report(name, f"LeNet, {what}: best (median)", table(rows), rows, summary(rows), args)


if __name__ == "__main__":
    main()
