"""``numbacnn selftest``: hold this installation, or another framework, to the laws of convolution and pooling."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import backends, files
from ..errors import FormatError, message
from ..extras import import_extra
from ..testing import Finding, Law, Verdict, adapters, child
from ..testing.finding import environment
from ..testing.judge import choose_laws, hold, merged, offered_axes
from ..testing.laws.every import FAMILIES
from .options import Commands, UsageError, natural, output, positive

__all__ = ["add"]

FIRST = 5
"""Examples of the first round where the time is given; each later round has twice as many."""


def add(commands: Commands) -> None:
    whom = f"{', '.join(adapters.FRAMEWORKS)}, or a file of your own with a function implementations() (default: numbacnn, all its kernels)"
    sub = commands.add_parser(
        "selftest",
        help="hold this installation, or another framework, to the laws of convolution and pooling",
        epilog="exit status: 0 all laws hold, 1 a law is broken, 2 it could not judge, 130 Ctrl-C, after what was found until then",
    )
    sub.add_argument("--framework", metavar="NAME", help=whom)
    sub.add_argument("--device", choices=backends.names(), default=backends.DEFAULT, help="of numbacnn")
    sub.add_argument("--ops", metavar="A,B", help="conv, conv_transpose, max_pool, pool, pad, ...: a part of the name is enough")
    sub.add_argument("--examples", type=positive, help="cases for each law and implementation (default: 25)")
    sub.add_argument("--seed", type=natural, default=0, help="the same seed draws the same cases (default: 0)")
    over = "draw cases, other ones in each round, until so much time is over; a case that broke a law then is made smaller for 20 s"
    sub.add_argument("--time", type=_seconds, metavar="60s", help=over)
    sub.add_argument("--json", metavar="FILE", type=output, help="write what was found, with the cases")
    replay = "run the broken cases of such a file again, with its framework if --framework names no other"
    sub.add_argument("--replay", metavar="FILE", type=Path, help=replay)
    sub.set_defaults(run=run, failed=2, parser=sub)


def _seconds(text: str) -> float:
    number, unit = (text[:-1], text[-1]) if text[-1:] in ("s", "m") else (text, "s")
    if not number.isdecimal() or not int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is no time, such as 60s or 5m")
    return float(number) * (60 if unit == "m" else 1)


def run(args: argparse.Namespace) -> int:
    if args.replay:
        return _replay(args)
    if args.time and args.examples:
        raise UsageError("selftest: expected --examples or --time; received both")
    framework = _framework(args.framework or "numbacnn")
    if framework != "numbacnn" and args.device != backends.DEFAULT:
        raise UsageError("selftest: --device is of numbacnn; another framework is judged on its own")
    import_extra("selftest", "hypothesis", "hypothesis")
    laws = choose_laws(args.ops.split(",") if args.ops else ())
    start = time.perf_counter()
    options = {"device": args.device} if framework == "numbacnn" else {}
    implementations = child.isolated(framework, **options)
    work = [(each, law, axes) for each in implementations for law in laws if (axes := offered_axes(law, each))]
    if not work:
        raise UsageError(f"selftest: {framework} offers none of {args.ops or 'the operations that the laws judge'}")
    verdicts, left, stopped = _judged(work, args)
    try:
        print("\n".join([*_table(verdicts), ""]))
        for verdict in verdicts:
            if verdict.finding:
                print(f"{verdict.finding.text}\n")
        print(_summary(verdicts, len(implementations), time.perf_counter() - start, left))
    finally:
        if args.json:
            record = {"environment": environment(), "framework": framework, "options": options, "seed": args.seed}
            files.write_atomically(args.json, json.dumps(record | {"verdicts": [_row(v) for v in verdicts]}, indent=1).encode())
    broken = any(verdict.finding for verdict in verdicts)
    if broken and args.json:
        print(f"again: numbacnn selftest --replay {args.json}")
    if stopped:
        raise KeyboardInterrupt
    return 1 if broken else 0 if any(v.cases > v.refused for v in verdicts) else 2


def _framework(name: str) -> str:
    """The name, or the whole path of a file: a record is replayed in other folders too."""
    return str(Path(name).absolute()) if name.endswith(".py") else name


def _judged(work: list[tuple[Any, Law, tuple[int, ...]]], args: argparse.Namespace) -> tuple[list[Verdict], int, bool]:
    """The verdicts, how many laws were not reached in the time, and whether Ctrl-C came."""
    from tqdm import tqdm

    found: list[Verdict] = []
    end = time.perf_counter() + args.time if args.time else math.inf
    reached, stopped = 0, False
    with tqdm(total=len(work), desc="laws", unit="", disable=None, leave=False) as bar:
        try:
            for examples, seed in _rounds(args):
                broken = {(v.law, v.name) for v in found if v.finding}
                bar.reset(len(work))
                bar.set_description(f"laws, {examples} cases each")
                for implementation, law, axes in work:
                    if time.perf_counter() > end:
                        return merged(found), len(work) - reached, False
                    if (law, implementation.name) not in broken:
                        found.append(hold(law, implementation, axes, examples, seed, until=end))
                    reached = min(reached + 1, len(work))
                    bar.update()
        except KeyboardInterrupt:
            stopped = True
    return merged(found), len(work) - reached, stopped


def _rounds(args: argparse.Namespace) -> Iterator[tuple[int, int]]:
    """(examples, seed) of each round."""
    yield (FIRST if args.time else args.examples or 25), args.seed
    number = 1
    while args.time:
        yield FIRST * 2**number, args.seed + number
        number += 1


def _table(verdicts: list[Verdict]) -> list[str]:
    """A line for each law, over all implementations, and one for each operation."""
    width = max((len(v.law.name) for v in verdicts), default=0)
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
    cases, refused = sum(v.cases for v in rows), sum(v.refused for v in rows)
    worst = f"{broken} BROKEN" if broken else "not judged" if refused == cases else f"{max(v.error for v in rows):.1g}"
    return f"{operation:<17} {law:<{width}} {cases:>7,} {refused:>7,} {worst:>11} {sum(v.seconds for v in rows):>7.1f}"


def _summary(verdicts: list[Verdict], implementations: int, seconds: float, left: int) -> str:
    laws, judged = {v.law for v in verdicts}, {v.law for v in verdicts if v.finding or v.cases > v.refused}
    broken = len({v.law for v in verdicts if v.finding})
    text = f"{_count(broken, 'law') if broken else 'no law'} broken: {_count(len(laws), 'law')}, "
    text += f"{_count(implementations, 'implementation')}, {_count(sum(v.cases for v in verdicts), 'case')} in {seconds:.0f} s"
    text += f"; {left} not reached" if left else ""
    if laws - judged:
        (why, _), *_ = Counter(v.reason for v in verdicts if v.law not in judged).most_common(1)
        text += f"\n{_count(len(laws - judged), 'law')} not judged: every case was refused, most often by {why}"
    return f"{text}\n{environment()}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _row(v: Verdict) -> dict[str, Any]:
    numbers = {"cases": v.cases, "refused": v.refused, "reason": v.reason, "error": v.error, "seconds": round(v.seconds, 3)}
    return {"law": str(v.law), "implementation": v.name, **numbers, "finding": v.finding and v.finding.to_json()}


def _replay(args: argparse.Namespace) -> int:
    """Run the findings of a file again; 1 where a law is still broken."""
    for name in ("device", "ops", "examples", "seed", "time", "json"):
        if getattr(args, name) != args.parser.get_default(name):
            raise UsageError(f"selftest: --replay runs the cases of its file as they were drawn; received --{name} too")
    with files.open_file("selftest", "a file of selftest --json", args.replay) as file:
        text = file.read()
    try:
        data = json.loads(text)
        findings = [Finding.from_json(row["finding"]) for row in data["verdicts"] if row["finding"]]
        framework, options = data["framework"], data["options"]
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(message("selftest", "a file of selftest --json", f"{args.replay}: {type(error).__name__}: {error}")) from error
    if args.framework:
        framework, options = _framework(args.framework), {}
    implementations = {each.name: each for each in child.isolated(framework, **options)}
    still = 0
    for finding in findings:
        if finding.implementation not in implementations:
            raise FormatError(message("selftest", f"one of {', '.join(implementations)}", finding.implementation))
        again = finding.replay(implementations[finding.implementation])
        still += again is not None
        print(again.text if again else f"{finding.implementation} keeps the law now: {finding.law}", end="\n\n")
    print(f"{still} of {_count(len(findings), 'law')} still broken")
    return 1 if still else 0
