"""Each example runs, as a reader would run it, and leaves a picture that shows something. Its own asserts judge its numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
SECTIONS = sorted((ROOT / "examples").glob("s6*.py"))
EXAMPLES = [*SECTIONS, *(ROOT / "examples" / f"{name}.py" for name in ("regression", "segmentation"))]
SECONDS = 300  # one takes 2 to 5 with compiled kernels, and up to 30 where it has to compile them


def test_every_section_of_the_chapter_has_an_example() -> None:
    assert {path.name[:3] for path in SECTIONS} == {"s61", "s62", "s63", "s64", "s65", "s66"}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path: Path, tmp_path: Path) -> None:
    # one thread: the results are the same bits, and a child beside other work does not spin at barriers; NUMBA_CACHE_DIR is the suite's
    environment = os.environ | {"MPLBACKEND": "Agg", "NUMBA_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-W", "error", str(path), "--out", str(tmp_path / "pictures")]
    child = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", timeout=SECONDS)
    assert child.returncode == 0, child.stdout + child.stderr
    assert len(child.stdout.splitlines()) > 3, child.stdout  # it says what it shows
    assert [found.name for found in tmp_path.rglob("*") if found.is_file()] == [f"{path.stem}.png"]

    with Image.open(tmp_path / "pictures" / f"{path.stem}.png") as picture:
        picture.load()
        pixels = np.asarray(picture.convert("RGB"))
    height, width, _ = pixels.shape
    assert min(height, width) > 250
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20
    ink = pixels.min(axis=2) < 200
    assert 0.01 < ink.mean() < 0.9
    assert not ink[[0, -1]].any() and not ink[:, [0, -1]].any()  # nothing is cut off by the border
