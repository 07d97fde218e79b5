"""``numbacnn train`` and ``evaluate`` on folders of pictures, and the options that choose them."""

from __future__ import annotations

import csv
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import checkpoint, plots
from numbacnn.cli import main, pictures

PIL = pytest.importorskip("PIL.Image", reason='needs pillow: pip install "numbacnn[demo]"')
Run = Callable[..., tuple[int, str, str]]
KINDS = {"dim": 40, "lit": 130, "red": None}


def shots(root: Path, count: int, seed: int = 0, kinds: dict[str, int | None] = KINDS) -> Path:
    """Noisy pictures of 20 x 30 pixels, told apart by their brightness, or by being red."""
    rng = np.random.default_rng(seed)
    for name, level in kinds.items():
        (root / name).mkdir(parents=True)
        for i in range(count):
            picture = rng.integers(level or 90, (level or 90) + 60, (20, 30, 3), np.uint8)
            picture[..., 1:] //= 1 if level else 3
            PIL.fromarray(picture).save(root / name / f"{i}.png")
    return root


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    train, test = nc.data.digits()
    monkeypatch.setitem(pictures.SETS, "digits", lambda: (train[:128], test[:60]))
    monkeypatch.chdir(tmp_path)
    for name in ("curve", "kernels", "predictions", "confusion"):
        monkeypatch.setattr(plots, name, lambda *args: None)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(nc.config, "quiet", True)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(nc.config, "threads", 1)
        code = main(words)
        return code, *capsys.readouterr()

    return call


def test_a_folder_by_its_defaults(run: Run, folder: Path) -> None:
    """Every choice is said; the folder's own evaluation and a held-out folder with a class less; the table of mistakes."""
    shots(folder / "shots", 15)
    (folder / "shots" / "dim" / "notes.txt").write_text("not a picture")
    code, out, err = run("train", "--data", "shots", "--epochs", "8")
    lines = out.splitlines()
    assert code == 0, err
    assert lines[0] == "shots: 20x30 colour, 3 classes, 29 + 7 + 9 pictures to learn from, to choose by, to judge on"
    assert lines[1].startswith("one folder a class; ") and lines[2] == "1 files are passed over: 1 .txt."
    work = r"small-resnet, 8 epochs of batches of 8 = 32 steps, about \d+ s; adamw, rate 0.01 \(one-cycle\), weight decay 0.05, "
    assert re.fullmatch(work + r"label smoothing 0.1, augmentation, seed 0 -> runs.shots-small-resnet", lines[3]), lines[3]
    assert lines[4] == "Mind: Fewer than 10 training pictures: dim (9)." or lines[4].startswith("Mind: ")
    best = checkpoint.load("runs/shots-small-resnet/best.safetensors")
    assert best.classes == ("dim", "lit", "red") and best.optimizer is None
    assert best.preprocessing is not None and best.preprocessing.input_shape == (3, 20, 30)
    assert min(best.preprocessing.std) > 0 and best.preprocessing.mean != (0.0, 0.0, 0.0)  # standardised

    tested = re.search(r"^test accuracy (\S+), with", out, re.M)
    code, out, err = run("evaluate")
    assert code == 0 and "on the 9 test images of shots" in out and tested is not None and f"accuracy {tested[1]} (" in out

    code, out, err = run("predict", "shots", "--top", "1")
    assert (code, err) == (0, "") and len(out.splitlines()) == 1 + 45

    shots(folder / "held", 4, 1, {"lit": 130, "red": None})
    code, out, err = run("evaluate", "--data", "held", "--csv", "table.csv")
    assert (code, err) == (0, "") and "on the 8 pictures of held" in out
    head, *rows = csv.reader(Path("table.csv").read_text(encoding="utf-8").splitlines())
    assert head == ["file", "label", "predicted", "probability", "probability of the label"] and len(rows) == 8
    shares = [float(row[4]) for row in rows]
    assert shares == sorted(shares) and {Path(row[0]).parent.name for row in rows} == {"lit", "red"}
    wrong = [row for row in rows if row[1] != row[2]]
    assert ("the most mistaken:" in out) == bool(wrong) and all(row[0] in out for row in wrong[:5])


def test_options_choose_the_pictures(run: Run, folder: Path) -> None:
    shots(folder / "shots", 10)
    words = "--data shots --size 16 --channels 1 --val-share 0 --test-share 0.5 --no-standardise --no-augment --model lenet_modern"
    code, out, err = run("train", *words.split(), "--size", "28x30", "--epochs", "1", "--batch-size", "5", "--weight-decay", "0")
    assert (code, err) == (0, "")
    assert out.startswith("shots: 28x30 grey, 3 classes, 15 + 15 pictures to learn from, to judge on\n") and "augmentation" not in out
    assert "weight decay" not in out and "-> runs/shots-lenet-modern\n" in out.replace("\\", "/")
    found = checkpoint.load("runs/shots-lenet-modern/last.safetensors")
    assert found.preprocessing is not None and found.preprocessing.mean == (0.0,)
    assert found.run["options"]["weight_decay"] == 0 and found.run["options"]["transform"] is None


def test_the_same_options_work_for_the_digits(run: Run) -> None:
    words = "--size 32 --channels 3 --val-share 0.25 --test-share 0.1 --standardise --augment --no-flip --model small-resnet --epochs 1"
    more = "--class-weight balanced --label-smoothing 0.1 --early-stopping 2 --batch-size 32"
    code, out, err = run("train", *words.split(), *more.split())
    assert (code, err) == (0, "")
    assert out.startswith("digits: 32x32 colour, 10 classes, 127 + 42 + 19 pictures to learn from, to choose by, to judge on\n")
    options = checkpoint.load("runs/digits-small-resnet/last.safetensors").run["options"]
    assert (options["class_weight"], options["label_smoothing"], options["early_stopping"]) == ("balanced", 0.1, 2)
    assert "RandomCrop" in options["transform"] and "RandomFlip" not in options["transform"]
    code, out, err = run("evaluate")
    assert code == 0 and "on the 19 test images of digits" in out


def test_what_a_network_cannot_take_is_said_before_anything_is_written(run: Run, folder: Path) -> None:
    shots(folder / "shots", 10)
    for model, size in (("vgg11", "28"), ("lenet", "64")):
        code, _, err = run("train", "--data", "shots", "--model", model, "--size", size)
        assert code == 1 and re.fullmatch(rf"numbacnn: \[{model}\] expected pictures of .*; take size \d+\.\n", err)
        assert not list((folder / "runs").glob("*"))


def test_a_run_goes_on_with_more_epochs_and_moved_pictures(run: Run, folder: Path) -> None:
    shots(folder / "shots", 10)
    assert run("train", "--data", "shots", "--epochs", "2", "--out", "a")[0] == 0
    shutil.move(folder / "shots", folder / "moved")
    code, _, err = run("train", "--resume", "a")
    assert code != 0 and "shots" in err
    code, out, err = run("train", "--resume", "a", "--data", "moved", "--epochs", "3")
    assert (code, err) == (0, "") and "epoch   3 " in out and "epoch   2 " not in out
    (folder / "moved" / "dim" / "0.png").unlink()
    code, _, err = run("train", "--resume", "a", "--data", "moved", "--epochs", "4")
    assert code == 1 and "with the same arguments" in err


def test_moved_pictures_are_found_from_then_on(run: Run, folder: Path) -> None:
    shots(folder / "shots", 10)
    assert run("train", "--data", "shots", "--epochs", "1", "--out", "a")[0] == 0
    shutil.move(folder / "shots", folder / "moved")
    assert run("train", "--resume", "a", "--data", "moved")[0] == 0
    for command in (("evaluate", "a"), ("train", "--resume", "a")):
        code, _, err = run(*command)
        assert (code, err) == (0, "")


def test_the_run_s_own_pictures_are_judged_by_its_test_pictures(run: Run, folder: Path) -> None:
    """Those that it has learned from would flatter it: by whatever name the folder is given, and where it has changed it is said."""
    shots(folder / "shots", 10)
    assert run("train", "--data", "shots", "--epochs", "1", "--out", "a")[0] == 0
    code, out, err = run("evaluate", "a", "--data", str(folder / "shots"))
    assert (code, err) == (0, "") and "on the 6 test images of shots" in out and "Mind: " not in out
    (folder / "shots" / "dim" / "new.png").write_bytes((folder / "shots" / "dim" / "0.png").read_bytes())
    code, out, err = run("evaluate", "a")
    assert (code, err) == (0, "")
    assert out.startswith("Mind: the pictures have changed since the run began: it may have learned from some of these.\n")
    (folder / "shots" / "dim" / "new.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert run("evaluate", "a")[0] == 1 and run("evaluate", "a", "--skip-bad")[0] == 0


def test_a_share_of_a_set_is_judged_by_what_the_run_kept(run: Run) -> None:
    assert run("train", "--epochs", "1", "--test-share", "0.1", "--out", "a")[0] == 0
    assert "on the 19 test images of digits" in run("evaluate", "a", "--data", "digits")[1]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text elsewhere")
def test_a_name_that_is_no_utf_8_is_written_as_an_escape(run: Run, folder: Path) -> None:
    shots(folder / "shots", 10)
    assert run("train", "--data", "shots", "--epochs", "1", "--out", "a")[0] == 0
    (folder / "held" / "dim").mkdir(parents=True)
    shutil.copy(folder / "shots" / "dim" / "0.png", os.fsencode(folder / "held" / "dim") + b"/\xff.png")
    for command in (("evaluate", "a", "--data", "held"), ("predict", "held", "--checkpoint", "a")):
        code, _, err = run(*command, "--csv", "table.csv")
        assert (code, err) == (0, "") and "/dim/\\udcff.png," in Path("table.csv").read_text(encoding="utf-8")


def test_one_class_is_nothing_to_tell_apart(run: Run, folder: Path) -> None:
    """It is said, and the run ends as any other."""
    shots(folder / "photos" / "shots", 4)
    code, out, err = run("train", "--data", "photos", "--epochs", "2")
    assert (code, err) == (0, "") and "\nMind: One class alone, shots: there is nothing to tell apart.\n" in out
    assert re.search(r"^test loss \S+, with the weights of epoch \d \(validation loss", out, re.M)
    code, out, err = run("evaluate")
    assert (code, err) == (0, "") and out.splitlines()[-1].startswith("loss ")
    code, out, err = run("predict", "photos", "--top", "1")
    assert (code, err) == (0, "") and out.splitlines()[-1].endswith("shots  100.00%")


def test_a_run_that_goes_on_takes_no_options_of_pictures(run: Run, folder: Path) -> None:
    for option in ("--max-pixels", "--val-share"):
        code, _, err = run("train", "--resume", "a", option, "0.5" if "share" in option else "5")
        assert code == 2 and err.endswith(f"; received {option}\n")


def test_a_run_starts_from_another_s_weights(run: Run, folder: Path) -> None:
    shots(folder / "three", 10)
    shots(folder / "two", 10, 1, {"dim": 40, "lit": 130})
    assert run("train", "--data", "three", "--epochs", "1", "--out", "a")[0] == 0
    code, out, err = run("train", "--data", "two", "--epochs", "1", "--init", "a", "--freeze", "--out", "b")
    assert (code, err) == (0, "") and "is new: 2 classes in place of 3" in out
    a, b = (checkpoint.load(f"{name}/best.safetensors").weights for name in "ab")
    changed = {name.rpartition(".")[0] for name, value in a.items() if value.shape != b[name].shape or (value != b[name]).any()}
    assert len(changed) == 1


def test_a_run_brings_its_network_and_its_channels_along(run: Run, folder: Path) -> None:
    shots(folder / "shots", 10)
    assert run("train", "--epochs", "1", "--out", "a")[0] == 0  # the digits: grey, lenet-modern
    code, out, err = run("train", "--data", "shots", "--epochs", "1", "--init", "a", "--out", "b")
    assert (code, err) == (0, "") and "is new: 3 classes in place of 10" in out
    assert out.startswith("shots: 28x28 grey, ") and "\nlenet-modern, 1 epoch" in out
    code, out, err = run("train", "--data", "shots", "--init", "nowhere")
    assert (code, out, err) == (1, "", "numbacnn: [checkpoint] expected a file nowhere; received no such file.\n")


def test_bad_pictures_can_be_passed_over(run: Run, folder: Path) -> None:
    shots(folder / "shots", 10)
    for name in ("x.png", "y.png"):
        (folder / "shots" / "lit" / name).write_bytes(b"\x89PNG\r\n\x1a\n broken")
    code, _, err = run("train", "--data", "shots", "--epochs", "1")
    files = [folder / "shots" / "lit" / name for name in ("x.png", "y.png")]
    reason = "content of no format that pillow reads by itself"
    wanted = "".join(f"{file}: {reason}; " for file in files) + "repair or remove them, or leave them out with --skip-bad.\n"
    assert code == 1 and err == f"numbacnn: [image_folder] expected 32 pictures that can be read; received 2 that can't: {wanted}"
    code, out, err = run("train", "--data", "shots", "--epochs", "1", "--skip-bad")
    assert (code, err) == (0, "") and out.count("is left out: ") == 2


def test_the_confusion_matrix_is_printed_where_it_fits(run: Run) -> None:
    assert run("train", "--epochs", "1")[0] == 0
    code, out, _ = run("evaluate")
    lines = out.splitlines()
    assert code == 0 and lines[1] == "confusion, a row for each true class"
    assert lines[2].split() == list("0123456789") and [line.split()[0] for line in lines[3:13]] == list("0123456789")
    assert sum(int(cell) for line in lines[3:13] for cell in line.split()[1:] if cell != ".") == 60
