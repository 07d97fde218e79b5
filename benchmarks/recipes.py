"""What the recipes reach: ``python -m benchmarks.recipes [digits] [book] [modern] [--seeds N]``.

Each claim is trained from several seeds, and its mean over the seeds is held against the bounds that the project states. The figures do
not depend on the number of threads. Fashion-MNIST must be in ``$NUMBACNN_DATA`` or can be downloaded.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from statistics import mean
from typing import Any, cast

from numbacnn import data
from numbacnn.training import History, fit, recipe


@dataclass(frozen=True)
class Claim:
    """A data set, a network, how many seeds, and the bounds of what counts: a column -> (low, high) of the mean over the seeds."""

    data: str
    model: str
    seeds: int
    bounds: dict[str, tuple[float, float]]


CLAIMS = {
    "digits": Claim("digits", "lenet-modern", 5, {"test_accuracy": (0.98, 1.0)}),
    "book": Claim("fashion-mnist", "lenet", 5, {"train_loss": (0.455, 0.485), "train_accuracy": (0.815, 0.832)}),
    "modern": Claim("fashion-mnist", "lenet-modern", 3, {"test_accuracy": (0.90, 1.0)}),
}
SETS = {"digits": data.digits, "fashion-mnist": data.fashion_mnist}
COLUMNS = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds")  # of the last epoch, and of the test


def _row(name: str, values: list[float]) -> str:
    return f"{name:<10}" + "".join(f"{value:>16.4f}" for value in values)


def _values(history: History) -> list[float]:
    last, test = cast(Any, history.last), cast(Any, history.test)  # of classes, and there is a test
    return [last.train_loss, last.train_accuracy, test.loss, test.accuracy, last.seconds]


def run(claim: Claim, seeds: int, threads: int | None, progress: bool) -> bool:
    """Train, print a table, and say whether the means lie within the bounds."""
    train, test = SETS[claim.data]()
    print(f"\n{claim.model} on {claim.data}: {recipe(claim.data, claim.model)}")
    print(f"{'seed':<10}" + "".join(f"{name:>16}" for name in (*COLUMNS[:-1], "seconds/epoch")), flush=True)
    rows = []
    for seed in range(seeds):
        history = fit(claim.model, train, test=test, **recipe(claim.data, claim.model), seed=seed, threads=threads, progress=progress)
        rows.append(_values(history))
        print(_row(str(seed), rows[-1]), flush=True)
    means = [mean(column) for column in zip(*rows)]
    print(_row("mean", means))
    verdicts = []
    for name, (low, high) in claim.bounds.items():
        found = means[COLUMNS.index(name)]
        verdicts.append(low <= found <= high)
        print(f"{name} {found:.4f} in {low} .. {high}: {'yes' if verdicts[-1] else 'NO'}")
    return all(verdicts)


def main() -> int:
    """Run the chosen claims; 1 where one does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", nargs="*", metavar="CLAIM", help=f"out of {', '.join(CLAIMS)} (default: all)")
    parser.add_argument("--seeds", type=int, help="how many seeds, in place of each claim's own number")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--progress", action="store_true", help="a line for each epoch")
    args = parser.parse_args()
    if unknown := set(args.claims) - set(CLAIMS):
        parser.error(f"unknown claim {', '.join(sorted(unknown))}")
    chosen = [CLAIMS[name] for name in args.claims or CLAIMS]
    held = [run(claim, args.seeds or claim.seeds, args.threads, args.progress) for claim in chosen]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
