"""``numbacnn predict``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ..data.folder import picture_files
from ..data.picture import reason
from ..errors import FormatError, printable
from ..files import write_atomically
from ..predictor import BATCH, Prediction, Predictor
from .options import Commands, UsageError, machine_arguments, output, positive, use_threads
from .places import open_checkpoint
from .tables import as_csv, columns

__all__ = ["add"]

READERS = 4  # threads that decode pictures
STDOUT = "-"
Answer = tuple[str, Prediction]  # the file's name comes first


def add(commands: Commands) -> None:
    sub = commands.add_parser("predict", help="classify pictures")
    sub.add_argument("pictures", nargs="+", metavar="PICTURE", help="picture files of any kind and size, or folders: all pictures below")
    sub.add_argument("--checkpoint", help="a checkpoint or the folder of a run (default: the newest in runs/)")
    sub.add_argument("--top", type=positive, default=3, metavar="N", help="how many classes to name (default: %(default)s)")
    sub.add_argument("--csv", metavar="FILE", type=_place, help="write the table there; - prints it in place of the other")
    sub.add_argument("--json", metavar="FILE", type=_place, help="likewise as JSON, one object for each picture")
    machine_arguments(sub)
    sub.set_defaults(run=run)


def _place(text: str) -> str | Path:
    return text if text == STDOUT else output(text)


def run(args: argparse.Namespace) -> int:
    use_threads(args)
    if args.csv == args.json == STDOUT:
        raise UsageError("predict: --csv - and --json - would both be printed; name a file for one")
    path, saved = open_checkpoint(args.checkpoint)
    predictor = Predictor(saved, device=args.device)
    bad: dict[str, str] = {}
    answers = list(_answers(predictor, _files(args.pictures, bad), bad))
    texts = {args.csv: _as_csv, args.json: _as_json}
    for place, form in texts.items():
        if place not in (None, STDOUT):
            write_atomically(place, form(answers, args.top).encode())
    if STDOUT in texts:
        print(texts[STDOUT](answers, args.top), end="")
    elif answers:
        print("\n".join([f"{saved.model} from {path}", *_table(answers, args.top)]))
    if bad:
        lines = [f"{len(bad):,} of {len(bad) + len(answers):,} can't be read:", *(f"  {name}: {reason}" for name, reason in bad.items())]
        print("numbacnn: " + "\n".join(printable(line).replace("\n", " ") for line in lines), file=sys.stderr)
    return 1 if bad else 0


def _files(given: Sequence[str], bad: dict[str, str]) -> list[str]:
    """The files that are named, and in folders all pictures; an empty folder is bad."""
    found: list[str] = []
    for name in given:
        inside = [str(file) for file in picture_files("predict", Path(name))[0]] if Path(name).is_dir() else [name]
        found += inside
        if not inside:
            bad[name] = "a folder without pictures"
    return found


def _answers(predictor: Predictor, files: Sequence[str], bad: dict[str, str]) -> Iterator[Answer]:
    def read(file: str) -> np.ndarray | str:
        try:
            return predictor.prepared(file)
        except (FormatError, OSError) as error:
            return reason(error)

    with ThreadPoolExecutor(READERS, "numbacnn-pictures") as pool:
        for start in range(0, len(files), BATCH):
            names = files[start : start + BATCH]
            seen = list(zip(names, pool.map(read, names)))
            bad.update((name, picture) for name, picture in seen if isinstance(picture, str))
            good = [(name, picture) for name, picture in seen if not isinstance(picture, str)]
            found = predictor.answers([picture for _, picture in good])
            yield from ((name, answer) for (name, _), answer in zip(good, found))


def _table(answers: Sequence[Answer], top: int) -> list[str]:
    """A line for each picture: its file, then classes and probabilities."""
    rows = [[name, *(cell for label, p in found.top(top) for cell in (label, f"{p:.2%}"))] for name, found in answers]
    return columns(rows, lambda column: column > 0 and column % 2 == 0)


def _as_csv(answers: Sequence[Answer], top: int) -> str:
    """Comma-separated, with a header: the columns of the table by name."""
    count = min([top, *(len(found.probabilities) for _, found in answers)])
    header = ["file", "label", "probability", *(f"{what}_{k}" for k in range(2, count + 1) for what in ("label", "probability"))]
    rows = [[name, *(cell for label, p in found.top(count) for cell in (label, f"{p:.6f}"))] for name, found in answers]
    return as_csv([header, *rows])


def _as_json(answers: Sequence[Answer], top: int) -> str:
    rows: list[dict[str, Any]] = []
    for name, found in answers:
        classes = [{"label": printable(label), "probability": round(p, 6)} for label, p in found.top(top)]
        rows.append({"file": printable(name), **classes[0], "top": classes})
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"
