"""Put the tables of ``benchmarks/results`` into ``benchmarks/README.md``, and one summary of them into the README.

``python -m benchmarks.readme`` makes ``results/summary.md`` from the JSON files and fills both. A table stands between
``<!-- benchmarks/results/NAME.md -->`` and ``<!-- end -->``; one whose file is not there stays as it is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

from .tables import Row, facts_line, geometric_mean, markdown, ratio

ROOT = Path(__file__).parent.parent
RESULTS = Path("benchmarks/results")
FILES = ("README.md", "benchmarks/README.md")
PLACE = re.compile(r"<!-- (\S+\.md) -->\n.*?<!-- end -->", re.DOTALL)


# -- the summary -----------------------------------------------------------------------------------------------------------------
Ratios = list[tuple[str, float]]
"""Cases by name, and the peer's time (or memory) over ours in each: above 1 is a win."""


def beside(case: str, peer: str = "torch", side: str = "numbacnn", **only: str) -> Callable[[list[Row]], Ratios]:
    """The cases of the rows with these values, named like "{layer}, {pass}"; none without the peer, or without our side."""

    def found(rows: list[Row]) -> Ratios:
        chosen = [row for row in rows if all(row[key] == value for key, value in only.items())]
        ratios = [(case.format(**row), ratio(row, side=side, peer=peer)) for row in chosen]
        return [(name, value) for name, value in ratios if not math.isnan(value)]

    return found


def started(what: str) -> Callable[[list[Row]], Ratios]:
    """PyTorch's start over ours, named by our time."""

    def found(rows: list[Row]) -> Ratios:
        best = {row["what"]: row["best"] for row in rows}
        return [(f"{best[what]:.1f} s", best["PyTorch"] / best[what])] if "PyTorch" in best else []

    return found


def memory(rows: list[Row]) -> Ratios:
    return [(row["net"], row["ratio"]) for row in rows if row["ratio"] == row["ratio"]]  # NaN without PyTorch


LINES: list[tuple[str, str, Callable[[list[Row]], Ratios]]] = [
    ("convolution layers, training", "conv", beside("{layer}, {pass}")),
    ("convolution layers, inference", "conv_inference", beside("{layer}, {pass}")),
    ("LeNet, training, loader included", "lenet", beside("{model}, batch {batch}")),
    ("the same, compiled", "lenet", beside("{model}, batch {batch}", side="compiled")),
    ("LeNet, inference", "lenet_inference", beside("{model}, batch {batch}")),
    ("the same, compiled", "lenet_inference", beside("{model}, batch {batch}", side="compiled")),
    ("LeNet, inference, beside onnxruntime", "lenet_inference", beside("{model}, batch {batch}", "onnxruntime")),
    ("the same, compiled", "lenet_inference", beside("{model}, batch {batch}", "onnxruntime", "compiled")),
    ("ResNet-18 and VGG-11, training", "train", beside("{net}")),
    ("the same, compiled", "train", beside("{net}", side="compiled")),
    ("one picture a call, optimised for inference", "serve", beside("{net}", side="optimized", mode="request")),
    ("the same, beside onnxruntime", "serve", beside("{net}", "onnxruntime", "optimized", mode="request")),
    ("pooling, activations, losses, batch norm: forward", "bandwidth", beside("{operation}", **{"pass": "forward"})),
    ("the same: backward", "bandwidth", beside("{operation}", **{"pass": "backward"})),
    ("optimiser steps", "bandwidth", beside("{operation}", **{"pass": "step"})),
    ("peak memory of a training step", "memory", memory),
    ("process start to the end of a first LeNet step, kernels on disk", "startup", started("warm cache")),
    ("the same, kernels compiled for the first time", "startup", started("cold cache")),
]
"""What a line of the summary says, the results that it comes from, and which of their rows."""


def summary(folder: Path) -> str:
    """One line for all cases of a kind: the geometric mean, the worst of them, and how many are slower (or larger) than the peer's."""
    table = [["beside PyTorch's CPU", "geometric mean", "worst", "cases below 1"]]
    machines = []
    for what, name, pick in LINES:
        path = folder / f"{name}.json"
        found = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": []}
        cases = pick(found["rows"])
        if not cases:
            continue
        case, worst = min(cases, key=lambda pair: pair[1])
        below = sum(ratio < 1 for _, ratio in cases)
        table.append([what, f"{geometric_mean(r for _, r in cases):.2f}", f"{worst:.2f} ({case})", f"{below} of {len(cases)}"])
        machines.append(facts_line(found["machine"]))
    return "\n\n".join([markdown(table), *dict.fromkeys(machines)]) + "\n"


# -- the files -------------------------------------------------------------------------------------------------------------------
def filled(text: str, root: Path) -> str:
    """The text with each table that there is a file for."""

    def table(place: re.Match[str]) -> str:
        path = root / place[1]
        return f"<!-- {place[1]} -->\n{path.read_text(encoding='utf-8')}<!-- end -->" if path.exists() else place[0]

    return PLACE.sub(table, text)


def main(root: Path = ROOT) -> None:
    (root / RESULTS / "summary.md").write_text(summary(root / RESULTS), encoding="utf-8")
    for name in FILES:
        text = (root / name).read_text(encoding="utf-8")
        (root / name).write_text(filled(text, root), encoding="utf-8")


if __name__ == "__main__":
    main()
