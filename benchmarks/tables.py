"""From rows to figures and tables: ratios, means, Markdown and JSON."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Table = list[list[str]]
"""Lines of cells, the header first."""


NAMES = {
    "numbacnn": "numbacnn",
    "compiled": "compiled",
    "optimized": "optimised",
    "torch": "PyTorch",
    "inductor": "torch.compile",
    "jax": "JAX jit",
    "onnxruntime": "onnxruntime",
}
"""What tables call the sides."""


def ratio(row: Row, of: str = "best", side: str = "numbacnn", peer: str = "torch") -> float:
    """PyTorch's time, or another peer's, over ours; NaN where one of them has none."""
    return row.get(f"{peer}_{of}", math.nan) / row.get(f"{side}_{of}", math.nan)


def ratios(row: Row, side: str = "numbacnn", peer: str = "torch") -> str:
    """Both ratios as text, the medians' in brackets: "1.20 (1.15)"."""
    found = ratio(row, side=side, peer=peer)
    return "-" if math.isnan(found) else f"{found:.2f} ({ratio(row, 'median', side, peer):.2f})"


def present(rows: list[Row]) -> list[str]:
    """The sides that any row has times of, or a reason why not."""
    return [side for side in NAMES if any(f"{side}_best" in row or f"{side}_reason" in row for row in rows)]


def cell(row: Row, side: str, show: Callable[[float], str]) -> str:
    """A side's best time as ``show`` writes it, the median in brackets; "-" where it has none."""
    return f"{show(row[f'{side}_best'])} ({show(row[f'{side}_median'])})" if f"{side}_best" in row else "-"


def geometric_mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.exp(sum(map(math.log, found)) / len(found)) if found else math.nan


def pivot(rows: Iterable[Row], down: str, across: str, cell: Callable[[Row], str]) -> Table:
    """One line for each value of ``down``, one column for each of ``across``, in order of appearance; "-" where there is no row."""
    found = {(row[down], row[across]): cell(row) for row in rows}
    lines, columns = (list(dict.fromkeys(key[i] for key in found)) for i in (0, 1))
    return [[down, *map(str, columns)]] + [[str(line), *(found.get((line, column), "-") for column in columns)] for line in lines]


def markdown(table: Table) -> str:
    lines = ["| " + " | ".join(line) + " |" for line in table]
    return "\n".join([lines[0], "|" + " --- |" * len(table[0]), *lines[1:]])


def machine(threads: int) -> dict[str, str]:
    """What the figures depend on."""
    found = {"processor": _processor(), "threads": str(threads), "Python": platform.python_version()}
    for package in ("numpy", "numba", "llvmlite", "torch", "jax", "onnxruntime"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    import llvmlite.binding as llvm

    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{(names or [platform.processor()])[0]} ({llvm.get_host_cpu_name()}), {os.cpu_count()} CPUs"


def facts_line(facts: dict[str, str]) -> str:
    """What the figures of a table depend on, in small print."""
    return "<sub>" + ", ".join(f"{key} {value}" for key, value in facts.items()) + "</sub>"


def report(name: str, title: str, table: Table, rows: list[Row], summary: dict[str, float], args: argparse.Namespace) -> None:
    """Print the table and what it comes to; with ``--out`` write both into ``name.md``, and the rows into ``name.json``."""
    facts = machine(args.threads)
    summary = {what: value for what, value in summary.items() if not math.isnan(value)}  # no ratios without a peer
    parts = [f"**{title}**", markdown(table), "; ".join(f"{what}: {value:.2f}" for what, value in summary.items())]
    parts += dict.fromkeys(f"{NAMES[side]}: {row[key]}." for row in rows for side in NAMES if (key := f"{side}_reason") in row)
    parts.append(facts_line(facts))
    text = "\n\n".join(part for part in parts if part) + "\n"
    print(text)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / f"{name}.md").write_text(text, encoding="utf-8")
        found = {"title": title, "machine": facts, "summary": summary, "rows": rows}
        (args.out / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
