"""Which law catches which planted fault: ``python -m benchmarks.laws [WORD ...] [--examples N] [--seeds N]``.

Each of the broken implementations of ``tests/planted_faults.py`` (or those whose names have one of the words) is held to all laws of the
operations that it offers, each on as many examples as ``selftest --examples`` would draw. With a second seed and more, only those laws
that caught it with the first are asked again: a fault counts as caught if it is with every seed. ``--threads`` is the number of processes.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median

from .alternate import arguments
from .tables import Row, report

sys.path.append(str(Path(__file__).parent.parent / "tests"))  # neither the benchmarks nor the tests are installed


def judged(name: str, examples: int, seeds: int) -> Row:
    """The laws that catch a fault, and after how many examples."""
    import planted_faults

    fault = planted_faults.FAULTS[name]
    faulty, found = fault.implementation(name), {}
    for law, axes in planted_faults.laws_of(faulty):
        tried, error = planted_faults.caught(law, faulty, axes, examples)
        if error:
            found[law] = tried, str(error), axes
    again = [
        any(planted_faults.caught(law, faulty, axes, examples, seed)[1] for law, (_, _, axes) in found.items()) for seed in range(1, seeds)
    ]
    laws = {str(law): tried for law, (tried, _, _) in sorted(found.items(), key=lambda item: item[1][0])}
    said = next((said for _, said, _ in found.values()), "")
    return {"fault": name, "sentence": fault.sentence, "laws": laws, "said": said, "caught": bool(found) and all(again)}


def main() -> None:
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", metavar="WORD", help="parts of the faults' names (default: all)")
    parser.add_argument("--examples", type=int, default=200, help="cases a law")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    import planted_faults

    names = [name for name in planted_faults.FAULTS if not args.words or any(word in name for word in args.words)]
    if not names:
        parser.error(f"no fault is named like {', '.join(args.words)}")
    rows: list[Row] = []
    os.environ["NUMBA_NUM_THREADS"] = "1"  # of each process
    with ProcessPoolExecutor(args.threads) as pool:
        for row in pool.map(partial(judged, examples=args.examples, seeds=args.seeds), names):
            rows.append(row)
            print(f"{len(rows)} of {len(names)}: {row['fault']}, caught by {len(row['laws'])}", flush=True)
    write(rows, args)


def write(rows: list[Row], args: argparse.Namespace) -> None:
    """Report the faults with the laws that catch them."""
    table = [["fault", "what is wrong", "caught by (after so many examples)"]]
    for row in rows:
        laws = "; ".join(f"{law.partition(': ')[2]} ({tried})" for law, tried in row["laws"].items())
        table.append(
            [row["fault"], row["sentence"], (laws or "**nothing**") + ("" if row["caught"] or not laws else ", **not with every seed**")]
        )
    first = [min(row["laws"].values()) for row in rows if row["laws"]]
    summary = {
        "planted faults": len(rows),
        "caught, %": 100 * sum(row["caught"] for row in rows) / len(rows),
        "caught by one law alone": sum(len(row["laws"]) == 1 for row in rows),
        "laws that alone catch one": len({law for row in rows if len(row["laws"]) == 1 for law in row["laws"]}),
        "examples until a law catches a fault, median": median(first) if first else 0,
    }
    title = f"Planted faults and the laws that catch them, {args.examples} examples a law, {args.seeds} seeds"
    report("laws", title, table, rows, summary, args)


if __name__ == "__main__":
    main()
