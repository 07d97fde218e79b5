"""``numbacnn warmup``: the kernels that a first run needs, or the answers of a trained one, compiled before it."""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import backends, config, models
from ..data import ImageDataset
from ..predictor import Predictor
from ..training import LARGEST, fit, folder_recipe, folder_size, recipe
from .options import Commands, UsageError, network
from .places import open_checkpoint

__all__ = ["add"]

FEW = 300  # pictures of a folder
FIRST = ("lenet", "lenet-modern", "small-resnet")  # the book's network, and what ``train`` takes unless told otherwise


def add(commands: Commands) -> None:
    sub = commands.add_parser("warmup", help="compile the kernels that a first run, or the use of a trained network, needs")
    sub.add_argument("checkpoint", nargs="?", metavar="RUN", help="a checkpoint or the folder of a run: for its answers to pictures")
    sub.add_argument("--model", type=network, help=f"for this network alone: {', '.join(models.registry)}")
    sub.add_argument("--verbose", action="store_true", help="list each kernel with the time it took")
    sub.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    if args.checkpoint and args.model:
        raise UsageError("warmup: expected a run or --model; received both")
    if args.checkpoint:
        path, saved = open_checkpoint(args.checkpoint)
        print(_compiled({str(path): Predictor(saved).warmup}, args.verbose))
        return
    print(warm_up([args.model] if args.model else FIRST, args.verbose))


class _Watch:
    """Hears of every kernel that is compiled or loaded from Numba's cache, and how long that took."""

    def __init__(self, heard: Callable[[str, float, bool], None]) -> None:
        from ..kernels.cpu import launch

        self.kernels, self.heard, self.depth, self.began = launch.KERNELS, heard, 0, 0.0
        self.counts = self._counts()

    def _counts(self) -> list[tuple[int, int]]:
        return [(sum(k.stats.cache_hits.values()), sum(k.stats.cache_misses.values())) for k in self.kernels]

    # numba.core.event calls this for the compiler's lock, which is held around loading and compiling, and may be taken again inside
    def notify(self, event: Any) -> None:
        if event.is_start:
            self.depth += 1
            if self.depth == 1:
                self.began = time.perf_counter()
            return
        self.depth -= 1
        if self.depth:
            return
        before, self.counts = self.counts, self._counts()
        for kernel, (hits, misses), (old_hits, old_misses) in zip(self.kernels, self.counts, before):
            if (hits, misses) != (old_hits, old_misses):
                self.heard(kernel.py_func.__name__, time.perf_counter() - self.began, misses > old_misses)


@contextmanager
def _watching(heard: Callable[[str, float, bool], None]) -> Iterator[None]:
    from numba.core import event

    from ..kernels.cpu import launch

    backends.get("cpu")  # imports all kernels
    if launch.layer() == "none":  # NUMBA_DISABLE_JIT: there is nothing to compile
        yield
        return

    class Listener(event.Listener):
        watch = _Watch(heard)

        def on_start(self, event: Any) -> None:
            self.watch.notify(event)

        def on_end(self, event: Any) -> None:
            self.watch.notify(event)

    with event.install_listener("numba:compiler_lock", Listener()):
        yield


def warm_up(names: Sequence[str], verbose: bool = False) -> str:
    """Train and evaluate these networks for a few steps, so that their kernels for float32 lie in the cache; says what was done."""
    return _compiled({name: functools.partial(_first_steps, name) for name in names}, verbose)


def _compiled(work: Mapping[str, Callable[[], object]], verbose: bool) -> str:
    """Do the work that is named, and say which kernels it needed."""
    from tqdm import tqdm

    done: list[tuple[str, float, bool]] = []
    began, quiet = time.perf_counter(), config.quiet
    with tqdm(desc="kernels", unit="", disable=None, leave=False) as bar:

        def heard(name: str, seconds: float, compiled: bool) -> None:
            done.append((name, seconds, compiled))
            if verbose:
                tqdm.write(f"{'compiled' if compiled else 'loaded':<8}  {seconds * 1e3:8.1f} ms  {name}")
            bar.update()

        config.quiet = True  # the bar says it, and the last line
        try:
            with _watching(heard):
                for name, do in work.items():
                    bar.set_description(f"kernels for {name}")
                    do()
        finally:
            config.quiet = quiet
    compiled, loaded = ([seconds for _, seconds, fresh in done if fresh == wanted] for wanted in (True, False))
    parts = f"{len(compiled)} kernels compiled in {sum(compiled):.1f} s, {len(loaded)} loaded from the cache in {sum(loaded):.1f} s"
    from ..kernels import cache

    return "; ".join([parts, f"{time.perf_counter() - began:.1f} s in all", *([cache.unkept] if cache.unkept else [])])


def _first_steps(name: str) -> None:
    """What ``numbacnn train`` does with this network, on noise: all its recipes, with a last batch of so few that other kernels take it.

    A network that does not take the digits as they are is trained as on a folder of colour pictures.
    """
    noise, drawn = np.random.default_rng(0), models.shapes[name] == (1, 28, 28)
    side, channels = (28, 1) if drawn else (folder_size(name) or LARGEST, 3)
    recipes = [recipe(data, name) for data in ("digits", "fashion-mnist")] if drawn else [folder_recipe(FEW, side, model=name)]
    for arguments in recipes:
        images = noise.integers(0, 256, (arguments["batch_size"] + 5, side, side, channels), np.uint8)
        pictures = ImageDataset(images, np.arange(len(images)) % 10, tuple("0123456789"))
        fit(train=pictures, val=pictures, **{"model": name, **arguments, "epochs": 1}, progress=False)
