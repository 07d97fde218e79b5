"""The notebooks hold what they print and draw, and their cells run; ``.ci/run`` executes them in a kernel as well. So do the scripts."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == kind]


def test_every_section_of_the_chapter_has_a_notebook() -> None:
    assert [path.stem[:3] for path in NOTEBOOKS] == ["6.1", "6.2", "6.3", "6.4", "6.5", "6.6"]


@each
def test_a_notebook_is_executed_in_order_and_small(path: Path) -> None:
    code = cells(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"execute_result", "display_data", "stream"}
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert path.stat().st_size < 512 * 1024


@each
def test_headings_are_in_two_languages(path: Path) -> None:
    lines = "".join("".join(cell["source"]) + "\n" for cell in cells(path, "markdown")).splitlines()
    headings = [line for line in lines if line.startswith("#")]
    assert len(headings) > 3
    for heading in headings:
        english, _, chinese = heading.partition(" · ")
        assert english.isascii() and any("\u4e00" <= letter <= "\u9fff" for letter in chinese), heading


@each
def test_pictures_show_something(path: Path) -> None:
    pictures = [
        data["image/png"]
        for cell in cells(path, "code")
        for data in (output.get("data", {}) for output in cell["outputs"])
        if "image/png" in data
    ]
    assert pictures
    for picture in pictures:
        assert_shows_something(io.BytesIO(base64.b64decode(picture)))


def assert_shows_something(file: Any) -> None:
    pixels = np.asarray(Image.open(file).convert("RGB"))
    ink = pixels.min(axis=2) < 200
    assert 0.01 < ink.mean() < 0.9
    assert not ink[[0, -1]].any() and not ink[:, [0, -1]].any()  # nothing is cut off by the border


@each
def test_the_cells_run(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.chdir(EXAMPLES)
    monkeypatch.setattr(plt, "show", lambda: None)
    names: dict[str, Any] = {}
    with plt.rc_context({"backend": "Agg"}):
        for number, cell in enumerate(cells(path, "code"), 1):
            exec(compile("".join(cell["source"]), f"{path.name}, cell {number}", "exec"), names)
        for figure in map(plt.figure, plt.get_fignums()):
            figure.canvas.draw()
        plt.close("all")


@pytest.mark.parametrize("name", ["own_layer", "regression", "segmentation"])  # own_kernel takes half a minute: .ci/run
def test_a_script_runs_and_leaves_a_picture(name: str, tmp_path: Path) -> None:
    # one thread: a child beside other work does not spin at barriers, and its own asserts judge the numbers
    environment = os.environ | {"MPLBACKEND": "Agg", "NUMBA_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py"), "--out", str(tmp_path / "pictures")]
    child = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", timeout=300)
    assert child.returncode == 0, child.stdout + child.stderr
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == [f"{name}.png"]
    assert_shows_something(tmp_path / "pictures" / f"{name}.png")
