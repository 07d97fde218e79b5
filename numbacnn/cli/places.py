"""Where data, runs and checkpoints are found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from .. import checkpoint, data, training
from ..checkpoint import Checkpoint, Preprocessing
from ..data import Dataset
from ..errors import message
from .options import UsageError

__all__ = ["RUNS", "SETS", "check_data", "load_data", "newest_run", "open_checkpoint", "preprocessing_of"]

RUNS = Path("runs")
SETS = {"digits": data.digits, "mnist": data.mnist, "fashion-mnist": data.fashion_mnist}


def newest_run() -> Path:
    runs = [file for file in RUNS.glob(f"*/{training.LAST}") if file.is_file()]
    if not runs:
        raise UsageError(f"no run in {RUNS}{os.sep}: name a checkpoint, or train a network first with: numbacnn train")
    return max(runs, key=lambda file: file.stat().st_mtime).parent


def open_checkpoint(given: str | None) -> tuple[Path, Checkpoint]:
    """The checkpoint of a path, of a run (its best), or of the newest run."""
    path = checkpoint.file_of(newest_run() if given is None else given)
    return path, checkpoint.load(path)


def load_data(name: str, channels: int = 1, size: tuple[int, int] = (28, 28)) -> tuple[Dataset, Dataset]:
    if name in SETS:
        return SETS[name]()
    check_data(name)
    found = data.image_folder(name, size=size, channels=channels, val_share=0)
    return found.train, cast(Dataset, found.test)  # there is one: a share of the training pictures, if no folder


def check_data(name: str) -> None:
    if name not in SETS and not Path(name).is_dir():
        raise UsageError(f"--data: expected one of {', '.join(SETS)}, or a folder of pictures; received {name!r}")


def preprocessing_of(path: Path, saved: Checkpoint) -> Preprocessing:
    if saved.preprocessing is None:
        hint = "train on a Dataset, not on bare arrays"
        raise ValueError(message("checkpoint", f"{path} to say what its pictures went through", "a checkpoint without preprocessing", hint))
    return saved.preprocessing
