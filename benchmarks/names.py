"""How many of the names that people's networks use are here: ``python -m benchmarks.names``.

``names.txt`` lists names of torch and torchvision that 251 files of 41 public projects use and that numbacnn lacked on 2026-11-28, each
with the number of projects and of files. A name counts as here where ``compat`` has it, an argument where it is taken; a few rows say
more than a name, and are tried.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numbacnn.compat.torch as torch

from numbacnn.compat.check import takes
from numbacnn.compat.modules import Missing, find

from .tables import markdown

NAMES = Path(__file__).with_name("names.txt")
OBJECTS = {"Tensor": "torch.Tensor", "Module": "torch.nn.Module"}


class Squares(torch.utils.data.Dataset):
    """Anything with a length and an index."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> tuple[int, int]:
        return index, index**2


TRIED: dict[str, Callable[[], object]] = {
    "DataLoader over a map-style Dataset": lambda: list(torch.utils.data.DataLoader(Squares(), batch_size=2)),
    "torch.Tensor(data or sizes)": lambda: (torch.Tensor(2, 3), torch.Tensor([1])),
    "torch.device(...).type (device is a str)": lambda: torch.device("cpu").type,
    "torch.jit.ScriptModule": lambda: torch.jit.ScriptModule(),
    "torch.nn.functional.log_softmax(dim left out)": lambda: torch.nn.functional.log_softmax(torch.ones(2, 2)),
}


def is_here(row: str) -> bool:
    """Whether a row of the list works."""
    name, keyword = re.fullmatch(r"([\w.]+)(?:\((\w+)=\))?", row).groups() if row not in TRIED else (row, None)
    first, _, rest = name.partition(".")
    try:
        if row in TRIED:
            TRIED[row]()
            return True
        found = find(f"{OBJECTS[first]}.{rest}" if first in OBJECTS else name)
        return keyword is None or takes(found, keyword)
    except (Missing, TypeError):
        return False


def package(row: str) -> str:
    """The module of a name: the longest row of lower-case words before it."""
    words = re.match(r"[\w.]+", row)[0].split(".")
    return "torch.utils.data" if row.startswith("DataLoader") else ".".join(words[:-1]) or words[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", help="folder for names.md")
    args = parser.parse_args()
    rows = [line.split("\t") for line in NAMES.read_text().splitlines()]
    here = {name: is_here(name) for name, *_ in rows}
    all_, works, files = Counter(), Counter(), Counter()
    for name, _, count in rows:
        all_[package(name)] += 1
        works[package(name)] += here[name]
        files[package(name)] += int(count)
    table = [["module", "rows", "here", "files"]] + [[p, str(n), str(works[p]), str(files[p])] for p, n in all_.most_common()]
    table.append(["all", str(len(rows)), str(sum(works.values())), str(sum(files.values()))])
    text = f"{markdown(table)}\n\nNot here: {', '.join(name for name, there in here.items() if not there)}.\n"
    print(text)
    if args.out:
        Path(args.out, "names.md").write_text(text)


if __name__ == "__main__":
    main()
