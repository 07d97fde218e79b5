"""``numbacnn profile``."""

from __future__ import annotations

import argparse
from typing import Any

from .. import data, models, nn, plots, training
from ..dtypes import int64
from ..extras import import_extra
from ..tensor import inference_mode, randn, zeros
from .options import Commands, machine_arguments, network, output, positive, side, use_threads
from .pictures import SETS, Pictures, located

__all__ = ["add"]

CLASSES = 10  # of random pictures


def add(commands: Commands) -> None:
    sub = commands.add_parser("profile", help="where the time of a training step goes, layer by layer")
    sub.add_argument("--model", type=network, default="lenet-modern", help=f"{', '.join(models.registry)} (default: %(default)s)")
    sub.add_argument("--batch-size", type=positive, default=32, help="(default: %(default)s)")
    text = f"{', '.join(SETS)} or a folder of pictures, whose first batch is taken (default: random numbers)"
    sub.add_argument("--data", help=text)
    sub.add_argument("--size", type=side, metavar="N|HxW", help="pixels of a picture (default: the network's own, or those of the data)")
    sub.add_argument("--optimizer", choices=sorted(training.OPTIMIZERS), default="sgd", help="(default: %(default)s)")
    sub.add_argument("--inference", action="store_true", help="the network's answers in place of a training step")
    sub.add_argument("--kernels", action="store_true", help="list the kernels too, the slowest first")
    sub.add_argument("--out", metavar="FILE", type=output, help="draw the layers as a PNG")
    machine_arguments(sub)
    sub.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    from .. import plan  # which needs Numba

    if args.out:
        import_extra("profile", "matplotlib.figure", "matplotlib")
    use_threads(args)
    x, y, classes = _batch(args)
    models.check_input(args.model, x.shape[1:])
    net = models.get(args.model)(**models.arguments(args.model, classes, x.shape[1:])).to(args.device)
    if args.inference:
        net.eval().compile()
        with inference_mode():
            found = plan.profile(net, x)
    else:
        found = plan.profile(plan.compile(_step(net, args.optimizer)), x, y)
    work, threads = "answers to" if args.inference else "a training step of", f"{found.threads} thread{'s' * (found.threads > 1)}"
    title = f"{args.model}, {work} {'x'.join(map(str, x.shape))}, {threads}"
    print(f"{title}\n\n{found}")
    if args.kernels:
        print(f"\n{found.text('kernel')}")
    if args.out:
        plots.profile(found, args.out, title)


def _batch(args: argparse.Namespace) -> tuple[Any, Any, int]:
    """Pictures, labels, and how many classes there are."""
    if args.data is None:
        channels, *own = models.shapes[args.model]
        x = randn(args.batch_size, channels, *(args.size or own)).to(args.device)
        return x, zeros(len(x), dtype=int64).to(args.device), CLASSES
    train = Pictures(located(args.data), args.size).load(args.model).train
    x, y = next(iter(data.DataLoader(train, args.batch_size, device=args.device)))
    return x, y, len(train.classes)


def _step(net: nn.Module, optimizer: str) -> Any:
    made = training.OPTIMIZERS[optimizer](list(net.parameters()), 1e-3)

    def step(x: Any, y: Any) -> None:
        made.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        made.step()

    return step
