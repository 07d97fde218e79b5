"""The command line, command by command, with its texts and exit codes."""

from __future__ import annotations

import csv
import dataclasses
import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
import numpy as np
import pytest

import numbacnn as nc
from numbacnn import checkpoint, extras, plots, training
from numbacnn.checkpoint import Checkpoint, Preprocessing
from numbacnn.cli import doctor, main, pictures, summary, warmup
from numbacnn.kernels import cache
from numbacnn.kernels.cpu import compiler, launch

PIL = pytest.importorskip("PIL.Image", reason='needs pillow: pip install "numbacnn[demo]"')
Run = Callable[..., tuple[int, str, str]]
NOTES = {"pictures": pictures.Pictures("digits").notes(), "augment": None, "flip": None}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and fewer digits."""
    train, test = nc.data.digits()
    monkeypatch.setitem(pictures.SETS, "digits", lambda: (train[:128], test[:60]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run("train", "--epochs", "1")`` -> (exit code, stdout, stderr)."""
    monkeypatch.setattr(nc.config, "quiet", True)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(nc.config, "threads", 1)  # quicker than two on a machine that others use
        code = main(words)
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that knows the digits."""
    out = tmp_path_factory.mktemp("trained") / "run"
    train, test = nc.data.digits()
    arguments = {**training.recipe("digits", "lenet-modern"), "transform": None, "epochs": 5, "threads": 1}
    training.fit("lenet-modern", train, test=test, **arguments, out=out, progress=False, notes=NOTES)
    return out


def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("curve", "kernels", "predictions", "confusion"):
        monkeypatch.setattr(plots, name, lambda *args: None)


# -- train -----------------------------------------------------------------------------------------------------------------------
def test_train_writes_a_run(run: Run, folder: Path) -> None:
    code, out, err = run("train", "--epochs", "2")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "digits: 28x28 grey, 10 classes, 128 + 60 pictures to learn from, to judge on"
    work = (
        r"lenet-modern, 2 epochs of batches of 64 = 4 steps, about \d+ (s|min); "
        r"adamw, rate 0.01 \(one-cycle\), augmentation, seed 0 -> (.+)"
    )
    assert (found := re.fullmatch(work, lines[1])) and Path(found[2]) == Path("runs") / "digits-lenet-modern"
    assert [line[:24] for line in lines[2:5]] == ["epoch   1   train loss 2", "epoch   2   train loss 2", f"test    {lines[4][8:24]}"]
    weights = r"^test accuracy 0\.\d{4}, with the weights of epoch \d \(training accuracy 0\.\d{4}\), in \d+\.\d s$"
    assert "training accuracy" in lines and re.search(weights, out, re.M)
    assert lines[-1] == f"next: numbacnn predict --checkpoint {Path('runs') / 'digits-lenet-modern'} PICTURE"
    files = ["best.safetensors", "confusion.png", "curve.png", "kernels.png", "last.safetensors", "log.jsonl", "predictions.png"]
    written = folder / "runs" / "digits-lenet-modern"
    assert sorted(file.name for file in written.iterdir()) == files
    for name in ("confusion.png", "curve.png", "kernels.png", "predictions.png"):
        with PIL.open(written / name) as picture:
            assert picture.width > 500 and len(set(picture.convert("L").tobytes())) > 20


def test_a_second_run_gets_a_folder_of_its_own(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_pictures(monkeypatch)
    for _ in range(3):
        assert run("train", "--epochs", "1")[0] == 0
    assert sorted(file.name for file in (folder / "runs").iterdir()) == [f"digits-lenet-modern{n}" for n in ("", "-2", "-3")]


def test_two_commands_at_once_take_folders_of_their_own(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_pictures(monkeypatch)
    fitted = training.fit

    def meanwhile(*args: Any, **options: Any) -> training.History:
        monkeypatch.setattr(training, "fit", fitted)
        assert main(["train", "--epochs", "1"]) == 0
        return fitted(*args, **options)

    monkeypatch.setattr(training, "fit", meanwhile)
    assert run("train", "--epochs", "1")[0] == 0
    assert sorted(file.name for file in (folder / "runs").iterdir()) == ["digits-lenet-modern", "digits-lenet-modern-2"]


def test_a_run_that_fails_leaves_no_folder(run: Run, folder: Path) -> None:
    assert run("train", "--data", str(folder))[0] == 1
    assert not list((folder / "runs").glob("*"))


def test_pictures_of_somebody_else_are_not_overwritten(run: Run, folder: Path) -> None:
    for name in ("kernels.png", "predictions.png", "confusion.png", "curve.png"):
        (folder / name).write_bytes(b"mine")
        code, _, err = run("train", "--epochs", "1", "--out", str(folder))
        assert code in (1, 2) and str(folder / name) in err
        assert [(file.name, file.read_bytes()) for file in folder.iterdir()] == [(name, b"mine")]
        (folder / name).unlink()


def test_the_options_reach_the_run(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    no_pictures(monkeypatch)
    chosen: list[int] = []
    monkeypatch.setattr(launch, "set_num_threads", chosen.append)
    options = "--model lenet --epochs 1 --batch-size 32 --lr 0.5 --optimizer sgd --schedule constant --seed 4 --out here --threads 1"
    assert run("train", *options.split())[0] == 0
    assert chosen == [1]
    found = checkpoint.load("here/last.safetensors").run["options"]
    wanted = {"model": "lenet", "epochs": 1, "batch_size": 32, "lr": 0.5, "optimizer": "sgd", "schedule": None, "seed": 4}
    assert wanted.items() <= found.items()


def test_ctrl_c_and_resume(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    no_pictures(monkeypatch)
    assert run("train", "--epochs", "2", "--out", "runs/whole")[0] == 0
    update, steps = nc.optim.Optimizer.step, 0

    def interrupted(self: Any) -> None:
        nonlocal steps
        steps += 1
        update(self)
        if steps == 3:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(nc.optim.Optimizer, "step", interrupted)
        code, _, err = run("train", "--epochs", "2", "--out", "runs/part")
    assert code == 130
    stopped = "numbacnn: stopped after step 3, in epoch 2 of 2; saved. Go on with: numbacnn train --resume runs/part\n"
    assert err == "\nstopping after this step (Ctrl-C again: at once) ...\n" + stopped.replace("/", os.sep)
    assert run("train", "--resume")[0] == 0  # the newest
    whole, part = (checkpoint.load(f"runs/{name}/last.safetensors") for name in ("whole", "part"))
    assert all((part.weights[name] == w).all() for name, w in whole.weights.items())
    assert run("train", "--resume", "runs/whole")[0] == 0


def test_divergence(run: Run) -> None:
    code, _, err = run("train", "--lr", "1e30", "--optimizer", "sgd", "--epochs", "3")
    assert code == 1
    assert re.fullmatch(
        r"numbacnn: \[fit\] expected a finite loss; received \S+ in epoch 1, step \d .*, look for wild values in the data\.\n", err
    )


@pytest.mark.skipif(sys.platform == "win32", reason="needs a Ctrl-C for one process alone, which Windows lacks")
def test_the_first_ctrl_c_in_a_process_of_its_own(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(nc.__file__).parents[1]), *sys.path]), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "numbacnn", "train", "--epochs", "500", "--threads", "1"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("epoch   1 "):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert re.search(r"^numbacnn: stopped after step \d+, in epoch \d+ of 500; saved\. Go on with: numbacnn train --resume \S+$", err, re.M)
    assert "Traceback" not in err


# -- evaluate, predict, summary --------------------------------------------------------------------------------------------------
def test_evaluate(run: Run, trained: Path) -> None:
    code, out, err = run("evaluate", str(trained))
    assert (code, err) == (0, "")
    mind, head, *matrix, columns, _, _, _, _, _, _, _, _, _, _, _, total = out.splitlines()
    rows = out.splitlines()[-12:-2]
    assert mind.startswith("Mind: the pictures have changed since the run began: ")  # these digits are fewer
    assert matrix[0] == "confusion, a row for each true class" and len(matrix) == 13
    assert head == f"{trained / 'best.safetensors'} on the 60 test images of digits"
    assert columns.split() == ["class", "images", "precision", "recall", "mistaken", "for"] and len(rows) == 10
    assert re.fullmatch(r"loss \d\.\d{4}, accuracy 0\.\d{4} \(\d\d of 60\)", total)


@pytest.fixture
def pages(folder: Path) -> list[str]:
    """A folder with a test picture, its negative on a larger page, and files that are no pictures."""
    image = nc.data.digits()[1].images[0].squeeze()
    (folder / "pages" / "more").mkdir(parents=True)
    PIL.fromarray(image).save("pages/plain.png")
    PIL.fromarray(255 - np.pad(image, 2)).convert("RGB").resize((300, 300)).save("pages/more/paper.jpg")
    (folder / "pages" / "notes.txt").write_text("no picture")
    (folder / "pages" / "broken.png").write_text("no picture")
    return [f"pages{os.sep}{name}" for name in ("broken.png", f"more{os.sep}paper.jpg", "plain.png")]


def test_predict(run: Run, trained: Path, pages: list[str]) -> None:
    """Folders too; what can't be read comes last, and the others are answered."""
    broken, paper, plain = pages
    network = checkpoint.load(trained).network()
    (found,) = training.predict(network, nc.data.digits()[1][:1])
    code, out, err = run("predict", "--checkpoint", str(trained), "--top", "2", "pages", "missing.png")
    head, *rows = out.splitlines()
    assert (code, head) == (1, f"lenet-modern from {trained / 'best.safetensors'}")
    assert [row.split()[0] for row in rows] == [paper, plain]
    first, second = np.argsort(-found)[:2]
    assert rows[1].split()[1:] == [str(first), f"{found[first]:.2%}", str(second), f"{found[second]:.2%}"]
    assert rows[0].split()[1] == str(first)
    reasons = {broken: "content of no format that pillow reads by itself", "missing.png": "no such file"}
    assert err.splitlines() == ["numbacnn: 2 of 4 can't be read:", *(f"  {name}: {why}" for name, why in reasons.items())]
    assert run("predict", "--checkpoint", str(trained), plain)[::2] == (0, "")


def test_predict_writes_tables(run: Run, trained: Path, pages: list[str]) -> None:
    base = ("predict", "--checkpoint", str(trained), "--top", "2", *pages[1:])
    code, out, _ = run(*base, "--csv", "-", "--json", "answers.json")
    rows = list(csv.reader(out.splitlines()))
    assert code == 0 and rows[0] == ["file", "label", "probability", "label_2", "probability_2"]
    read = json.loads(Path("answers.json").read_text(encoding="utf-8"))
    assert [row[0] for row in rows[1:]] == [row["file"] for row in read] == pages[1:]
    for row, entry in zip(rows[1:], read):
        assert [entry["label"], entry["probability"]] == [row[1], float(row[2])]
        assert [(top["label"], top["probability"]) for top in entry["top"]] == [(row[1], float(row[2])), (row[3], float(row[4]))]
    assert run(*base, "--json", "-")[1] == Path("answers.json").read_text(encoding="utf-8")
    text = "numbacnn: predict: --csv - and --json - would both be printed; name a file for one\n"
    assert run(*base, "--json", "-", "--csv", "-") == (2, "", text)


def test_summary(run: Run, trained: Path) -> None:
    code, default, _ = run("summary")
    assert code == 0 and default.splitlines()[-1] == "parameters 61,706, multiply-adds 416,520"
    assert run("summary", str(trained)) == (0, default, "")
    assert "Sigmoid" in run("summary", "--model", "lenet")[1]
    assert run("summary", "--model", "resnet18")[1].splitlines()[-1] == "parameters 11,689,512, multiply-adds 1,814,073,344"


def test_profile(run: Run, folder: Path) -> None:
    code, out, err = run("profile", "--batch-size", "3", "--kernels", "--out", "layers.png")
    assert (code, err) == (0, "") and (folder / "layers.png").read_bytes().startswith(b"\x89PNG")
    title, layers, kernels = out.split("\n\n")
    assert title == "lenet-modern, a training step of 3x1x28x28, 1 thread"
    rows = [line.split() for line in layers.splitlines()]
    assert rows[0] == ["pass", "layer", "ms", "share"] and rows[-1][0] == "all"
    assert {"forward", "backward", "optimizer"} == {row[0] for row in rows[1:-1]} and rows[-2][:2] == ["optimizer", "SGD"]
    named = {"0 Conv2d", "2 MaxPool2d", "3 Conv2d", "5 MaxPool2d", "7 Linear", "9 Linear", "11 Linear", "other"}
    assert named == {" ".join(row[1:-2]) for row in rows[1:-2]}
    listed = [line.split() for line in kernels.splitlines()]
    assert listed[0] == ["calls", "kernel", "ms", "share"] and listed[-1] == rows[-1]
    assert [float(row[2]) for row in listed[1:-1]] == sorted((float(row[2]) for row in listed[1:-1]), reverse=True)
    assert sum(float(row[3].rstrip("%")) for row in listed[1:-1]) == pytest.approx(100, abs=1)


def test_profile_of_answers_and_of_data(run: Run, folder: Path) -> None:
    code, out, _ = run("profile", "--model", "lenet", "--inference", "--batch-size", "2")
    assert code == 0 and out.startswith("lenet, answers to 2x1x28x28, 1 thread\n\n") and "backward" not in out
    code, out, _ = run("profile", "--data", "digits", "--batch-size", "5", "--optimizer", "adamw")
    assert code == 0 and out.startswith("lenet-modern, a training step of 5x1x28x28, ") and "optimizer  AdamW " in out
    for name in ("a", "b"):
        (folder / "own" / name).mkdir(parents=True)
        for i in range(4):
            PIL.fromarray(np.full((20, 24, 3), (60 * i, 0, 0), np.uint8)).save(folder / "own" / name / f"{i}.png")
    code, out, _ = run("profile", "--data", "own", "--model", "small-resnet", "--size", "16", "--batch-size", "2", "--inference")
    assert code == 0 and out.startswith("small-resnet, answers to 2x3x16x16, ") and "forward    3.conv1 Conv2d " in out


def test_profile_says_what_it_cannot_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("profile", "--data", "nowhere")[:2] == (2, "")
    text = "[vgg11] expected pictures of at least 32 x 32 pixels; received 28 x 28; take size 32."
    assert run("profile", "--model", "vgg11", "--size", "28") == (1, "", f"numbacnn: {text}\n")
    monkeypatch.setattr(nc.config, "compile", False)
    text = "[profile] expected a step of which there is a plan; received one without: nc.config.compile is False."
    assert run("profile", "--batch-size", "1") == (1, "", f"numbacnn: {text}\n")


# -- doctor and warmup -----------------------------------------------------------------------------------------------------------
@pytest.mark.smoke
def test_doctor(run: Run) -> None:
    code, out, err = run("doctor")
    assert (code, err) == (0, "") and out.endswith("all is well on the CPU; numbacnn selftest tries the kernels\n")
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("  ")}
    assert {"numbacnn", "python", "numpy", "numba", "llvmlite", "demo", "name", "features", "layer", "threads", "state"} <= rows.keys()
    assert re.search(r"kernels use +(16|8|4) float32 lanes, (16|32) vector registers, (no )?fused multiply-add", out)
    assert re.search(r"kernel cache +\S+ \(works, \d+\.\d MB\)", out)


def test_doctor_says_how_to_fix(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    version = doctor.version
    monkeypatch.setattr(doctor, "version", lambda name: None if name in ("matplotlib", "pillow") else version(name))
    assert '  demo          missing matplotlib, pillow: pip install "numbacnn[demo]"\n' in run("doctor")[1]
    monkeypatch.setattr(doctor, "version", lambda name: None if name in ("scipy", "tqdm") else version(name))
    code, out, _ = run("doctor")
    assert code == 1 and "  scipy         missing: pip install scipy\n" in out and out.endswith('fix: pip install "scipy tqdm"\n')


def test_doctor_survives_what_is_broken(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken() -> Any:
        raise OSError("libcuda is of another world")

    monkeypatch.setattr(doctor, "_cuda", broken)
    code, out, _ = run("doctor")
    assert code == 1 and "failed: OSError: libcuda is of another world\n" in out and out.endswith("not healthy: see above\n")


needs_compiler = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")


@needs_compiler
def test_doctor_and_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cache_dir(path: Path) -> None:
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(path))  # Numba may read it again at any time
        monkeypatch.setattr(numba.config, "CACHE_DIR", str(path))

    cache_dir(tmp_path / "kernels")
    folder = Path(cache.folder(launch.call) or "")
    assert folder.parent == tmp_path / "kernels"
    assert doctor._cache() == f"{folder} (works, 0.0 MB)"
    assert not list(folder.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", _full)
        mend = "set NUMBA_CACHE_DIR to a folder with room that can be written"
        assert doctor._cache() == f"failed: kernels cannot be kept in {folder} (No space left on device); {mend}"
    with monkeypatch.context() as patch:
        patch.setattr(cache._Files, "load", lambda files, key: None)
        assert "failed: kernels cannot be kept" in doctor._cache()
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=300_000))
        mend = "make room, or set NUMBA_CACHE_DIR to a folder with 20 MB"
        assert doctor._cache() == f"failed: {folder} has room for 0.3 MB only; {mend}"
    (folder / f"damaged{cache.SUFFIX}").touch()
    assert doctor._cache() == f"failed: 1 of 1 files in {folder} cannot be used, such as damaged{cache.SUFFIX} (damaged); delete them"
    (folder / f"a folder{cache.SUFFIX}").mkdir()
    assert doctor._cache().startswith(f"failed: 2 of 2 files in {folder} cannot be used, such as a folder{cache.SUFFIX} (")
    (tmp_path / "file").touch()
    cache_dir(tmp_path / "file")
    assert doctor._cache().endswith(f" MB; NUMBA_CACHE_DIR={tmp_path / 'file'} cannot be written)")
    monkeypatch.setattr("numba.core.caching.CacheImpl._locator_classes", [])
    assert doctor._cache().startswith("none: kernels are compiled in every process; set NUMBA_CACHE_DIR")


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@needs_compiler
def test_doctor_and_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._compiler() == "each kernel is optimised as a whole"
    monkeypatch.setattr(compiler, "TESTED", set())
    assert doctor._compiler() == "Numba's own, at half the speed: ours is not tested with this version, or does not work with it"


def test_warmup_says_what_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmup, "_first_steps", lambda name: cache._say("in /full (No space left on device)"))
    monkeypatch.setattr(cache, "unkept", None)
    reason = "kernels cannot be kept in /full (No space left on device): each process compiles them; `numbacnn doctor` says more"
    assert warmup.warm_up(["lenet"]).endswith(f" s in all; {reason}")


def test_the_extras_are_those_of_the_package() -> None:
    path = Path(nc.__file__).parents[1] / "pyproject.toml"
    if not path.exists():
        pytest.skip("needs the source folder: there is no pyproject.toml beside an installed package")
    declared = tomllib.loads(path.read_text())["project"]["optional-dependencies"]
    for name, packages in extras.EXTRAS.items():
        stated = {re.split(r"[\[>=<]", package)[0] for package in declared[name] if not package.startswith("numbacnn")}
        assert stated == set(packages)


def test_warmup_of_a_run(run: Run, trained: Path) -> None:
    code, out, err = run("warmup", str(trained))
    assert (code, err) == (0, "") and re.fullmatch(r"\d+ kernels compiled in .+ s in all\n", out)
    assert run("warmup", str(trained), "--model", "lenet") == (2, "", "numbacnn: warmup: expected a run or --model; received both\n")


def test_warmup(run: Run) -> None:
    code, out, err = run("warmup", "--model", "lenet-modern", "--verbose")
    assert (code, err) == (0, "")
    *kernels, total = out.splitlines()
    assert all(re.fullmatch(r"(compiled|loaded  )  +\d+\.\d ms  \w+", line) for line in kernels)
    summary = r"\d+ kernels compiled in \d+\.\d s, \d+ loaded from the cache in \d+\.\d s; \d+\.\d s in all"
    assert re.fullmatch(summary, total)


def test_a_network_may_be_spelt_with_an_underscore(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warmup, "_first_steps", lambda name: print(name))
    assert run("warmup", "--model", "lenet_modern")[1].startswith("lenet-modern\n")
    assert run("summary", "--model", "lenet_modern") == run("summary", "--model", "lenet-modern")


def test_warmup_for_each_network(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is given pictures that it can take, as training gives them."""
    shapes: dict[str, list[tuple[int, ...]]] = {}
    monkeypatch.setattr(warmup, "fit", lambda model, train, **rest: shapes.setdefault(model, []).append(train.input_shape))
    for name in nc.models.registry:
        code, _, err = run("warmup", "--model", name)
        assert (code, err) == (0, "")
        for shape in shapes[name]:
            nc.models.check_input(name, shape)
    assert shapes["lenet"] == [(1, 28, 28)] * 2 and shapes["small-resnet"] == [(3, 40, 40)]
    shapes.clear()
    assert run("warmup")[0] == 0 and set(shapes) == {"lenet", "lenet-modern", "small-resnet"}


# -- mistakes --------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("words", "text"), [
    ("train --data nowhere", "--data: expected one of digits, mnist, fashion-mnist, or a folder of pictures; received 'nowhere'"),
    ("train --resume x --epochs 3 --lr 1 --no-flip",
     "train --resume takes its options from the run, but for --epochs and --data; received --lr, --no-flip"),
    ("train --freeze", "--freeze trains the last layer alone: say where the others' weights come from, --init RUN"),
    ("train --resume", f"no run in runs{os.sep}: name a checkpoint, or train a network first with: numbacnn train"),
    ("predict x.png", f"no run in runs{os.sep}: name a checkpoint, or train a network first with: numbacnn train"),
    ("summary x --model lenet", "summary: expected a checkpoint or --model; received both"),
])  # fmt: skip
def test_wrong_usage(run: Run, words: str, text: str) -> None:
    assert run(*words.split()) == (2, "", f"numbacnn: {text}\n")


@pytest.mark.parametrize(("words", "text"), [
    ("", "the following arguments are required: COMMAND"),
    ("train --lr -1", "argument --lr: '-1' is not a positive number"),
    ("train --epochs 0", "argument --epochs: '0' is not a whole number of at least 1"),
    ("train --seed x", "argument --seed: 'x' is not a whole number of at least 0"),
    ("train --seed -1", "argument --seed: '-1' is not a whole number of at least 0"),
    ("train --size 32x", "argument --size: '32x' is not N or HxW, whole numbers of at least 1"),
    ("train --size 1x2x3", "argument --size: '1x2x3' is not N or HxW, whole numbers of at least 1"),
    ("train --lr nan", "argument --lr: 'nan' is not a positive number"),
])  # fmt: skip
def test_what_argparse_refuses(run: Run, words: str, text: str) -> None:
    code, out, err = run(*words.split())
    assert (code, out) == (2, "") and err.endswith(f"error: {text}\n")


@pytest.mark.parametrize("words", ["profile --out", "evaluate --csv", "evaluate --picture", "predict x.png --csv", "predict x.png --json"])
def test_files_are_judged_before_the_work(run: Run, folder: Path, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was said when all was done."""
    no_pictures(monkeypatch)
    (folder / "file").write_text("")
    (folder / "inner").mkdir()
    option = words.split()[-1]
    for place, why in (
        ("inner", "'inner' is a folder"),
        (os.devnull, f"{os.devnull!r} is no file"),
        ("file/x", f"'file/x' can't be written: {folder.resolve() / 'file'} is no folder"),
    ):
        code, out, err = run(*words.split(), place)
        assert (code, out) == (2, "") and err.endswith(f"error: argument {option}: {why}\n")
    monkeypatch.setattr(os, "access", lambda *args: False)
    code, out, err = run(*words.split(), "new/x")
    assert (code, out) == (2, "") and err.endswith(f"'new/x' can't be written: {folder.resolve()} can't be written to\n")
    assert sorted(os.listdir(folder)) == ["file", "inner"]


@pytest.mark.parametrize("words", ["profile --out", "evaluate --picture"])
def test_a_picture_needs_matplotlib_before_the_work(run: Run, folder: Path, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, out, err = run(*words.split(), "x.png")
    op = words.split()[0]
    assert (code, out) == (1, "") and err.startswith(f"numbacnn: [{op}] expected matplotlib to be installed; received ")


def test_failures_are_one_line(run: Run, trained: Path, folder: Path) -> None:
    (folder / "text").write_text("no picture")
    code, out, err = run("predict", "--checkpoint", str(trained), "text")
    assert (code, out) == (1, "") and err.startswith("numbacnn: 1 of 1 can't be read:\n  text: content of no format ")
    (folder / "empty").mkdir()
    wanted = "numbacnn: 1 of 1 can't be read:\n  empty: a folder without pictures\n"
    assert run("predict", "--checkpoint", str(trained), "empty") == (1, "", wanted)
    code, out, err = run("evaluate", "text")
    assert code == 1 and err.startswith("numbacnn: [checkpoint] expected text to be a whole safetensors file; received ")
    assert (
        run("evaluate", str(folder))[2] == f"numbacnn: [checkpoint] expected a file {folder / 'best.safetensors'}; received no such file.\n"
    )


def test_a_folder_that_holds_a_run(run: Run, trained: Path) -> None:
    wanted = f"numbacnn: --out: {trained} holds a run already; go on with it: numbacnn train --resume {trained}\n"
    assert run("train", "--out", str(trained)) == (2, "", wanted)


def test_checkpoints_that_other_programs_wrote(run: Run) -> None:
    checkpoint.save("a", Checkpoint({}))
    hint = "train on an ImageDataset, not on bare arrays"
    text = f"[checkpoint] expected a to say what its pictures went through; received a checkpoint without preprocessing; {hint}."
    assert run("evaluate", "a") == (1, "", f"numbacnn: {text}\n")
    checkpoint.save("b", Checkpoint({}, preprocessing=Preprocessing((1, 8, 8), (0.0,), (1.0,))))
    assert run("evaluate", "b") == (2, "", "numbacnn: evaluate b: the checkpoint does not say what it was trained on; pass --data\n")
    text = "[train] expected a run of this command; received b of fit; resume it in Python: fit(..., resume=path)."
    assert run("train", "--resume", "b") == (1, "", f"numbacnn: {text}\n")


def test_names_that_the_terminal_has_no_letters_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(summary, "run", lambda args: print("猫 and dog", flush=True))
    assert main(["summary", "--model", "lenet"]) == 0
    assert stream.buffer.getvalue() == b"\\u732b and dog\n"


@pytest.mark.parametrize("words", ["train --resume forged", "evaluate forged", "predict --checkpoint forged plain.png", "summary forged"])
def test_forged_checkpoints(run: Run, trained: Path, words: str) -> None:
    """Names that would steer the terminal, and notes and options of other types: one line, in the house's form."""
    PIL.fromarray(np.zeros((28, 28), np.uint8)).save("plain.png")
    evil = "\x1b]0;evil\x07\x1b[2J\u202e\x9b"
    good = checkpoint.load(trained / "best.safetensors")
    noted = NOTES["pictures"]
    for change in ({"data": 7}, {"data": evil}, {"channels": evil}, {"size": [evil, 3]}, {"size": [-1, 0]}, {evil: 1}, {"val_share": 7.0}):
        notes = {**NOTES, "pictures": {**noted, **change}}
        for options in (
            {},
            {"model": evil},
            good.run["options"],
            {**good.run["options"], "lr": "x"},
            {**good.run["options"], "model": evil},
        ):
            forged = dataclasses.replace(
                good, classes=(evil,) * 10, model=options.get("model", evil), run={"notes": notes, "options": options}
            )
            checkpoint.save("forged", forged)
            code, out, err = run(*words.split())
            assert not set(out + err) & set(evil) - set("0evil2];[J")
            assert code == 0 or re.fullmatch(r"numbacnn: .+\n", err)
            assert code == 0 or err.startswith("numbacnn: [") or "--data" in err


def test_class_names_are_printed_as_escapes(run: Run, trained: Path) -> None:
    PIL.fromarray(np.zeros((28, 28), np.uint8)).save("plain.png")
    good = checkpoint.load(trained / "best.safetensors")
    checkpoint.save("forged", dataclasses.replace(good, classes=tuple(f"{n}\x1b[2J\u202e" for n in range(10))))
    code, out, _ = run("predict", "--checkpoint", "forged", "plain.png")
    assert code == 0 and len(re.findall(r"  \d\\x1b\[2J\\u202e  ", out)) == 3
    checkpoint.save("forged", dataclasses.replace(good, classes=()))
    code, out, _ = run("predict", "--checkpoint", "forged", "plain.png")
    assert code == 0 and len(re.findall(r"  \d  ", out)) == 3


def test_data_of_another_kind(run: Run, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, test = (dataclasses.replace(part, classes=tuple("abcdefghij")) for part in nc.data.digits(8))  # brought to the run's size
    monkeypatch.setitem(pictures.SETS, "digits", lambda: (train, test))
    wanted, received = ", ".join("0123456789"), ", ".join("abcdefghij")
    wanted = f"data with pictures (C, H, W) = (1, 28, 28) and classes {wanted}; received (1, 28, 28) and {received}"
    assert run("evaluate", str(trained)) == (1, "", f"numbacnn: [evaluate] expected {wanted}.\n")


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_help(run: Run, word: str) -> None:
    code, out, err = run(word)
    assert (code, err) == (0, "") and "numbacnn" in out
