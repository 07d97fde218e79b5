"""Tables, as columns of letters and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence

from ..errors import printable

__all__ = ["as_csv", "columns"]


def columns(rows: Sequence[Sequence[str]], right: Callable[[int], bool]) -> list[str]:
    """A line for each row; the columns whose number is ``right`` are set to the right.

    >>> columns([["cat", "7"], ["giraffe", "12"]], lambda column: column == 1)
    ['cat       7', 'giraffe  12']
    """
    shown = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown)]
    return ["  ".join(f"{c:>{w}}" if right(i) else f"{c:<{w}}" for i, (c, w) in enumerate(zip(row, widths))).rstrip() for row in shown]


def as_csv(rows: Iterable[Sequence[object]]) -> str:
    r"""Comma-separated; what UTF-8 can't hold, as in the name of a file, is written as an escape.

    >>> as_csv([["cat, or not", 7], ["\udcff.png", 12]])
    '"cat, or not",7\n\\udcff.png,12\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([printable(str(cell)) for cell in row] for row in rows)
    return text.getvalue()
