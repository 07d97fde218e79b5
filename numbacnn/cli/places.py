"""Where runs and checkpoints are found."""

from __future__ import annotations

import os
from pathlib import Path

from .. import checkpoint, training
from ..checkpoint import Checkpoint, Preprocessing
from ..errors import message
from .options import UsageError

__all__ = ["RUNS", "newest_run", "open_checkpoint", "preprocessing_of"]

RUNS = Path("runs")


def newest_run() -> Path:
    runs = [file for file in RUNS.glob(f"*/{training.LAST}") if file.is_file()]
    if not runs:
        raise UsageError(f"no run in {RUNS}{os.sep}: name a checkpoint, or train a network first with: numbacnn train")
    return max(runs, key=lambda file: file.stat().st_mtime).parent


def open_checkpoint(given: str | None) -> tuple[Path, Checkpoint]:
    """The checkpoint of a path, of a run (its best), or of the newest run."""
    path = checkpoint.file_of(newest_run() if given is None else given)
    return path, checkpoint.load(path)


def preprocessing_of(path: Path, saved: Checkpoint) -> Preprocessing:
    if saved.preprocessing is None:
        hint = "train on an ImageDataset, not on bare arrays"
        raise ValueError(message("checkpoint", f"{path} to say what its pictures went through", "a checkpoint without preprocessing", hint))
    return saved.preprocessing
