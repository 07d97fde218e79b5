"""``numbacnn selftest``: hold this installation, or another framework, to the laws of convolution and pooling."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import backends, files
from ..errors import FormatError, message
from ..extras import import_extra
from ..testing import Finding, Verdict, adapters, child, judge
from ..testing.finding import environment
from ..testing.judge import choose_laws, merged, offered_axes
from ..testing.laws.every import FAMILIES
from .options import Commands, UsageError, natural, positive

__all__ = ["add"]

FIRST = 5
"""Examples of the first round where the time is given; each later round has twice as many."""


def add(commands: Commands) -> None:
    sub = commands.add_parser("selftest", help="hold this installation, or another framework, to the laws of convolution and pooling")
    whom = f"{', '.join(adapters.FRAMEWORKS)}, or a file of your own with a function implementations() (default: numbacnn, all its kernels)"
    sub.add_argument("--framework", default="numbacnn", metavar="NAME", help=whom)
    sub.add_argument("--device", choices=backends.names(), default=backends.DEFAULT, help="of numbacnn")
    sub.add_argument(
        "--ops", metavar="A,B", default="", help="conv, conv_transpose, max_pool, pool, pad, ...: a part of the name is enough"
    )
    sub.add_argument("--examples", type=positive, help="cases for each law and implementation (default: 25)")
    sub.add_argument("--seed", type=natural, default=0, help="the same seed draws the same cases (default: 0)")
    sub.add_argument("--time", type=_seconds, metavar="60s", help="draw cases, other ones in each round, until so much time is over")
    sub.add_argument("--json", metavar="FILE", help="write what was found, with the cases")
    sub.add_argument("--replay", metavar="FILE", help="run the broken cases of such a file again")
    sub.set_defaults(run=run)


def _seconds(text: str) -> float:
    number, unit = (text[:-1], text[-1]) if text[-1:] in ("s", "m") else (text, "s")
    if not number.isdecimal() or not int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is no time, such as 60s or 5m")
    return float(number) * (60 if unit == "m" else 1)


def run(args: argparse.Namespace) -> int:
    if args.time and args.examples:
        raise UsageError("selftest: expected --examples or --time; received both")
    if args.framework != "numbacnn" and args.device != backends.DEFAULT:
        raise UsageError("selftest: --device is of numbacnn; another framework is judged on its own")
    if args.json and not Path(args.json).absolute().parent.is_dir():  # before the work, not after it
        raise UsageError(f"selftest: expected --json in a folder that is there; received {args.json}")
    if args.replay:
        return _replay(Path(args.replay))
    import_extra("selftest", "hypothesis", "hypothesis")
    laws = choose_laws(args.ops.split(",") if args.ops else ())
    start = time.perf_counter()
    options = {"device": args.device} if args.framework == "numbacnn" else {}
    implementations = child.isolated(args.framework, **options)
    work = [(each, law) for each in implementations for law in laws if offered_axes(law, each)]
    if not work:
        raise UsageError(f"selftest: {args.framework} offers none of {args.ops}")
    verdicts, left = _judged(work, args)
    broken = [verdict for verdict in verdicts if verdict.finding]
    if args.json:
        files.write_atomically(args.json, json.dumps(_record(args, options, verdicts), indent=1).encode())
    print("\n".join([*_table(verdicts), ""]))
    for verdict in broken:
        print(f"{verdict.finding.text}\n")  # type: ignore[union-attr]
    print(_summary(verdicts, len(implementations), time.perf_counter() - start, left))
    if broken and args.json:
        print(f"again: numbacnn selftest --replay {args.json}")
    return 1 if broken else 0


def _judged(work: list[tuple[Any, Any]], args: argparse.Namespace) -> tuple[list[Verdict], int]:
    """The verdicts, and how many laws were not reached in the time."""
    from tqdm import tqdm

    found: list[Verdict] = []
    end = time.perf_counter() + args.time if args.time else float("inf")
    with tqdm(total=len(work), desc="laws", unit="", disable=None, leave=False) as bar:
        for examples, seed in _rounds(args):
            broken = {(str(v.law), v.name) for v in found if v.finding}
            bar.reset(len(work))
            bar.set_description(f"laws, {examples} cases each")
            for place, (implementation, law) in enumerate(work):
                if time.perf_counter() > end:
                    return merged(found), len(work) - place if seed == args.seed else 0
                found += judge(implementation, [law], examples=examples, seed=seed, skip=broken)
                bar.update()
    return merged(found), 0


def _rounds(args: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """(examples, seed) of each round."""
    yield (FIRST if args.time else args.examples or 25), args.seed
    number = 1
    while args.time:
        yield FIRST * 2**number, args.seed + number
        number += 1


def _table(verdicts: list[Verdict]) -> list[str]:
    """A line for each law, over all implementations, and one for each operation."""
    width = max(len(v.law.name) for v in verdicts)
    title = f"{'operation':<17} {'law':<{width}} {'cases':>7} {'refused':>7} {'worst error':>11} {'seconds':>7}"
    by_law, by_operation = [], []
    for family in FAMILIES:
        rows = [v for v in verdicts if v.law.family == family]
        laws = list(dict.fromkeys(v.law for v in rows))
        by_law += [_line(law.family, law.name, width, [v for v in rows if v.law == law]) for law in laws]
        by_operation += [_line(family, f"all {len(laws)}", width, rows)] if laws else []
    return [title, *by_law, "", *by_operation]


def _line(operation: str, law: str, width: int, rows: list[Verdict]) -> str:
    broken = sum(v.finding is not None for v in rows)
    error = f"{broken} BROKEN" if broken else f"{max(v.error for v in rows):.1g}"
    counts = f"{sum(v.cases for v in rows):>7,} {sum(v.refused for v in rows):>7,}"
    return f"{operation:<17} {law:<{width}} {counts} {error:>11} {sum(v.seconds for v in rows):>7.1f}"


def _summary(verdicts: list[Verdict], implementations: int, seconds: float, left: int) -> str:
    laws, cases = len({v.law for v in verdicts}), sum(v.cases for v in verdicts)
    broken = len({v.law for v in verdicts if v.finding})
    verdict = f"{broken} laws broken" if broken else "no law broken"
    unreached = f"; {left} were not reached in the time" if left else ""
    text = f"{verdict}: {laws} laws, {implementations} implementations, {cases:,} cases in {seconds:.0f} s{unreached}"
    return f"{text}\n{environment()}"


def _record(args: argparse.Namespace, options: dict[str, Any], verdicts: list[Verdict]) -> dict[str, Any]:
    rows = []
    for v in verdicts:
        numbers = {"cases": v.cases, "refused": v.refused, "error": v.error, "seconds": round(v.seconds, 3)}
        rows.append({"law": str(v.law), "implementation": v.name, **numbers, "finding": v.finding and v.finding.to_json()})
    return {"environment": environment(), "framework": args.framework, "options": options, "seed": args.seed, "verdicts": rows}


def _replay(path: Path) -> int:
    """Run the findings of a file again; 1 where a law is still broken."""
    with files.open_file("selftest", "a file of selftest --json", path) as file:
        text = file.read()
    try:
        data = json.loads(text)
        findings = [Finding.from_json(row["finding"]) for row in data["verdicts"] if row["finding"]]
        framework, options = data["framework"], data["options"]
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(message("selftest", "a file of selftest --json", f"{path}: {type(error).__name__}: {error}")) from error
    implementations = {each.name: each for each in child.isolated(framework, **options)}
    still = 0
    for finding in findings:
        if finding.implementation not in implementations:
            raise FormatError(message("selftest", f"one of {', '.join(implementations)}", finding.implementation))
        again = finding.replay(implementations[finding.implementation])
        still += again is not None
        print(again.text if again else f"{finding.implementation} keeps the law now: {finding.law}", end="\n\n")
    print(f"{still} of {len(findings)} laws are still broken")
    return 1 if still else 0
