"""Training the book's LeNet, loader included, in images per second beside PyTorch's CPU: ``python -m benchmarks.lenet``.

Both sides draw batches of 256 from 8-bit images in shuffled order, convert them to float, run forward, cross-entropy, backward and a
step of SGD. PyTorch gets the quickest loader we know: whole batches by indexing a tensor, not its DataLoader's sample by sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .alternate import arguments, compare, ratio, report, serve, timed

MODELS = ("lenet", "lenet-modern")
IMAGES = 256 * 20


def _images() -> tuple[np.ndarray, np.ndarray]:
    """uint8 images (N, 28, 28, 1) and labels: random, since speed does not depend on what they show."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (IMAGES, 28, 28, 1), np.uint8), rng.integers(0, 10, IMAGES)


def _ours(model: str, batch: int) -> Callable[[], object]:
    import numbacnn as nc

    images, labels = _images()
    data = nc.data.Dataset(images, labels, tuple(map(str, range(10))))
    loader = nc.data.DataLoader(data, batch, shuffle=True, drop_last=True)
    net = nc.models.get(model)()
    optimiser = nc.optim.SGD(net.parameters(), lr=0.01)

    def epoch() -> None:
        for x, y in loader:
            optimiser.zero_grad()
            nc.nn.functional.cross_entropy(net(x), y).backward()
            optimiser.step()

    return epoch


def _theirs(model: str, batch: int) -> Callable[[], object]:
    import torch
    from torch import nn

    images, labels = (torch.from_numpy(a) for a in _images())
    images = images.permute(0, 3, 1, 2).contiguous()
    act, pool = (nn.Sigmoid, nn.AvgPool2d) if model == "lenet" else (nn.ReLU, nn.MaxPool2d)
    features = [nn.Conv2d(1, 6, 5, padding=2), act(), pool(2, 2), nn.Conv2d(6, 16, 5), act(), pool(2, 2), nn.Flatten()]
    net = nn.Sequential(*features, nn.Linear(400, 120), act(), nn.Linear(120, 84), act(), nn.Linear(84, 10))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)

    def epoch() -> None:
        order = torch.randperm(IMAGES)
        for first in range(0, IMAGES - batch + 1, batch):
            at = order[first : first + batch]
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(images[at].float() / 255), labels[at]).backward()
            optimiser.step()

    return epoch


def work(side: str, threads: int) -> None:
    if side == "torch":
        import torch

        torch.set_num_threads(threads)
        make = _theirs
    else:
        import numbacnn

        numbacnn.set_num_threads(threads)
        make = _ours
    made: dict[tuple[str, int], Callable[[], object]] = {}

    def answer(request: dict[str, Any]) -> list[float]:
        key = request["case"]["model"], request["case"]["batch"]
        if key not in made:
            made[key] = make(*key)
        return timed(made[key], request["seconds"], least=2)

    serve(answer)


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="*", default=[256])
    args = parser.parse_args()
    if args.worker:
        work(args.worker, args.threads)
        return
    rows = compare("benchmarks.lenet", [{"model": m, "batch": b} for m in MODELS for b in args.batch], args)
    header = ["model", "batch", "images/s, best", "median", "PyTorch images/s, best", "median", "ratio of bests", "of medians"]
    report("LeNet training, loader included", header, [_line(row) for row in rows], rows, args)


def _line(row: dict[str, Any]) -> list[str]:
    images = IMAGES // row["batch"] * row["batch"]
    keys = [f"{side}_{of}" for side in ("numbacnn", "torch") for of in ("best", "median")]
    rates = [f"{images / row[key]:,.0f}" if key in row else "-" for key in keys]
    return [row["model"], str(row["batch"]), *rates, f"{ratio(row):.2f}", f"{ratio(row, 'median'):.2f}"]


if __name__ == "__main__":
    main()
