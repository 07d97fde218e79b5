"""PyTorch's side of ``benchmarks.gpu``: training steps, eager and as a CUDA graph, and convolutions by cuDNN, TF32 off and on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from . import gpu, torch_nets
from .lenet import _data as pictures
from .train import LENET, Net, batch

Rows = Iterator[dict[str, Any]]
synchronize = torch.cuda.synchronize


def steps() -> Rows:
    """One batch that stays; LeNet's eager steps draw theirs from 8-bit pictures that lie on the device."""
    for tf32 in (False, True):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        for name, net in (("LeNet", LENET), ("ResNet-18", gpu.RESNET)):
            for memory in (torch.contiguous_format, torch.channels_last):
                row = {"what": f"{name}, {' x '.join(map(str, net.shape))}", "side": "PyTorch", "tf32": tf32, "memory": str(memory)[6:]}
                x, y, step = made(net, memory)
                run = partial(step, x, y)
                for _ in range(gpu.STEPS):
                    run()
                if name == "LeNet":
                    drawn = gpu.drawing(drawn_batches(memory), step)
                    yield {**row, "way": "eager, loader included", **gpu.timed_steps(name, drawn, synchronize)}
                else:
                    yield {**row, "way": "eager", **gpu.timed_steps(name, run, synchronize)}
                try:
                    replay = captured(run)
                except Exception as error:
                    yield {**row, "way": "graph, one batch", "error": f"{type(error).__name__}: {error}"[:300]}
                else:
                    yield {**row, "way": "graph, one batch", **gpu.timed_steps(name, replay, synchronize)}


def made(net: Net, memory: Any) -> tuple[Any, Any, Callable[[Any, Any], None]]:
    """A batch on the device, and a step."""
    model = getattr(torch_nets, net.name)(**net.arguments).cuda().to(memory_format=memory)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    x, y = (torch.from_numpy(np.ascontiguousarray(a)).cuda() for a in batch(net.shape))

    def step(x: Any, y: Any) -> None:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()

    return x.contiguous(memory_format=memory), y, step


def drawn_batches(memory: Any) -> Iterator[Any]:
    """Batches without end, by indexing."""
    data, labels = (torch.from_numpy(a).cuda() for a in pictures({"mode": "training", "batch": 256}))
    data = data.permute(0, 3, 1, 2).contiguous(memory_format=memory)
    while True:
        for at in torch.randperm(len(data), device="cuda").split(256):
            yield data[at].float() / 255, labels[at]


def captured(run: Callable[[], object]) -> Callable[[], object]:
    """A CUDA graph of what a call does."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def convolutions() -> Rows:
    """Channels-last, cuDNN's choice of algorithm by its own benchmark."""
    torch.backends.cudnn.benchmark = True
    for tf32 in (False, True):
        torch.backends.cudnn.allow_tf32 = tf32
        for name, (n, c, size, out, k, stride) in gpu.CONVS.items():
            x, w = (torch.randn(*shape, device="cuda") for shape in ((n, c, size, size), (out, c, k, k)))
            x, w = (a.contiguous(memory_format=torch.channels_last) for a in (x, w))
            forward = partial(torch.nn.functional.conv2d, x, w, stride=stride, padding=k // 2)
            y = forward()
            back = partial(torch.ops.aten.convolution_backward, y, x, w, None, [stride] * 2, [k // 2] * 2, [1, 1], False, [0, 0], 1)
            runs = (forward, partial(back, [True, False, False]), partial(back, [False, True, False]))
            for direction, run in zip(gpu.DIRECTIONS, runs):
                yield {
                    "conv": name,
                    "direction": direction,
                    "side": "cuDNN",
                    "tf32": tf32,
                    **gpu.rate(run, synchronize, y.numel() * c * k * k),
                }
