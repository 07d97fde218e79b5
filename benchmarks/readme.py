"""Put the tables of ``benchmarks/results`` into the README: ``python -m benchmarks.readme``.

A table stands between ``<!-- benchmarks/results/NAME.md -->`` and ``<!-- end -->``; one whose file is not there stays as it is.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACE = re.compile(r"<!-- (\S+\.md) -->\n.*?<!-- end -->", re.DOTALL)


def filled(text: str, root: Path) -> str:
    """The text with each table that there is a file for."""

    def table(place: re.Match[str]) -> str:
        path = root / place[1]
        return f"<!-- {place[1]} -->\n{path.read_text(encoding='utf-8')}<!-- end -->" if path.exists() else place[0]

    return PLACE.sub(table, text)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(filled(readme.read_text(encoding="utf-8"), ROOT), encoding="utf-8")
