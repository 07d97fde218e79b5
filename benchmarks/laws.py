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
    """Report the laws with the faults that they catch, and in ``laws/faults`` the faults with the laws that catch them."""
    import planted_faults

    caught: dict[str, list[Row]] = {name: [] for name in planted_faults.ONLY}
    for row in rows:
        for law in {law.partition(": ")[2] for law in row["laws"]}:
            caught[law].append(row)
    by_law = []
    for law, found in caught.items():
        alone = [row for row in found if len({law.partition(": ")[2] for law in row["laws"]}) == 1]
        by_law.append({"law": law, "catches": len(found), "alone": len(alone), "sentence": alone[0]["sentence"] if alone else "-"})
    title = f"The laws, and the planted faults that they catch in {args.examples} examples"
    table = [["law", "catches", "that no other law catches", "one of these"]]
    table += [[row["law"], str(row["catches"]), str(row["alone"]), row["sentence"]] for row in by_law]
    first = [min(row["laws"].values()) for row in rows if row["laws"]]
    summary = {
        "planted faults": len(rows),
        f"caught with every one of {args.seeds} seeds, %": 100 * sum(row["caught"] for row in rows) / len(rows),
        "examples until the first law catches a fault, median": median(first) if first else 0,
    }
    report("laws", title, table, by_law, summary, args)

    table = [["fault", "what is wrong", "caught by (after so many examples)"]]
    for row in rows:
        laws = "; ".join(f"{law.partition(': ')[2]} ({tried})" for law, tried in row["laws"].items())
        table.append(
            [row["fault"], row["sentence"], (laws or "**nothing**") + ("" if row["caught"] or not laws else ", **not with every seed**")]
        )
    if args.out:
        (args.out / "laws").mkdir(parents=True, exist_ok=True)
    report("laws/faults", f"The planted faults, and the laws that catch them in {args.examples} examples", table, rows, {}, args)


if __name__ == "__main__":
    main()
