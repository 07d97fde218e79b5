"""Training: the loop, and runs that are interrupted in every way and end as if nothing had happened."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import checkpoint, data, files, nn, plots, training
from numbacnn.data import ImageDataset
from numbacnn.nn.functional import cross_entropy, mse_loss
from numbacnn.training import Epoch, Evaluation, History, Interrupted, evaluate, examples, fit, predict, task

STEPS = 9  # three epochs of three batches
PROGRAM = """
import os, signal, sys
import numpy as np
import numbacnn as nc
from numbacnn import nn
from numbacnn.data import ImageDataset, RandomCrop
from numbacnn.training import fit

def dataset(n, seed):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    images = rng.integers(0, 120, (n, 8, 8, 1), np.uint8)
    images[np.arange(n), 2 * labels + 1] += 120
    return ImageDataset(images, labels, ("a", "b", "c"), "stripes", 0.4, 0.3)

def network():
    nc.manual_seed(7)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(36, 3)
    )

def options(**more):
    return dict(epochs=3, batch_size=20, lr=0.02, transform=RandomCrop(padding=1), seed=3, threads=1, progress=False) | more

def run(out, **more):
    net = network()
    return net, fit(net, dataset(50, 0), dataset(12, 1), out=out, **options(**more))

if __name__ == "__main__":
    out, step, every, number = sys.argv[1], *map(int, sys.argv[2:])
    if number in (1, 15):
        signal.signal(number, signal.SIG_DFL)  # whoever runs the tests may ignore it, as nohup does
    from numbacnn import optim
    update, steps = optim.Optimizer.step, 0
    def deadly(self):
        global steps
        steps += 1
        if steps == step:
            os.kill(os.getpid(), number)
        update(self)
    optim.Optimizer.step = deadly
    run(out, checkpoint_every=every or None, resume=os.path.exists(out + "/last.safetensors"))
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """PROGRAM as a module; its path is what a subprocess runs."""
    path = tmp_path_factory.mktemp("program") / "program.py"
    path.write_text(PROGRAM)
    spec = importlib.util.spec_from_file_location("program", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def whole(program: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    program.run(folder)
    return folder


def state(path: Path) -> dict[str, Any]:
    """All of a checkpoint but the times."""
    found = vars(checkpoint.load(path))
    weights = {name: (value.dtype, value.shape, value.tobytes()) for name, value in found.pop("weights").items()}
    optimizer = found.pop("optimizer")
    moments = {key: {name: v.tobytes() for name, v in value.items()} for key, value in optimizer["state"].items()}
    found["run"].pop("time")
    found["progress"].pop("seconds")
    for epoch in found["progress"]["history"]:
        del epoch["seconds"], epoch["images_per_second"]
    return {**found, "weights": weights, "moments": moments, "groups": optimizer["param_groups"]}


def assert_same_run(folder: Path, whole: Path) -> None:
    assert state(folder / training.LAST) == state(whole / training.LAST)
    best = [checkpoint.load(path / training.BEST) for path in (folder, whole)]
    assert [b.optimizer for b in best] == [None, None] and best[0].run["epoch"]["epoch"] == best[1].run["epoch"]["epoch"]
    assert all((best[0].weights[name] == w).all() for name, w in best[1].weights.items())
    lines = [(path / training.LOG).read_text().splitlines() for path in (folder, whole)]
    assert len(lines[0]) == len(lines[1]) == 4
    assert not [file for file in folder.iterdir() if file.name.startswith(".")]


draw_curve = plots.curve


@pytest.fixture(autouse=True)
def no_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take longer than the training."""
    monkeypatch.setattr(plots, "curve", lambda history, path: None)


class Crash(Exception):
    pass


def crash_at(step: int, what: Any = None) -> Any:
    """An ``Optimizer.step`` that fails, or does ``what``, at its n-th call."""
    update, count = nc.optim.Optimizer.step, 0

    def step_or_crash(self: Any) -> None:
        nonlocal count
        count += 1
        if count == step and what is None:
            raise Crash
        update(self)
        if count == step:
            what()

    return step_or_crash


# -- resumed runs ----------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("every", [1, 2, None])
def test_a_crash_at_any_step(program: Any, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int | None) -> None:
    for step in range(1, STEPS + 1) if every == 2 else (1, 4, 6, STEPS):
        folder = tmp_path / str(step)
        with monkeypatch.context() as patch:
            patch.setattr(nc.optim.Optimizer, "step", crash_at(step))
            with pytest.raises(Crash):
                program.run(folder, checkpoint_every=every)
        resume = (folder / training.LAST).exists()
        assert resume == (step > (every or 3))  # before the first checkpoint nothing stands in the way of starting anew
        net, history = program.run(folder, checkpoint_every=every, resume=resume)
        assert_same_run(folder, whole)
        assert len(history) == 3
        last = checkpoint.load(folder / training.LAST).weights
        assert all((np.array(t) == last[name]).all() for name, t in net.state_dict().items())


def test_a_crash_at_any_write(program: Any, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, writes = files.write_atomically, 0

    def failing(path: Any, data: bytes) -> None:
        nonlocal writes
        writes -= 1
        if writes == 0:
            raise Crash
        write(path, data)

    for last in range(1, 11):
        folder, writes = tmp_path / str(last), last
        with monkeypatch.context() as patch:
            patch.setattr(files, "write_atomically", failing)
            with pytest.raises(Crash):
                program.run(folder)
        program.run(folder, resume=(folder / training.LAST).exists())
        assert_same_run(folder, whole)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL, which Windows lacks")
def test_killed_in_the_middle_of_an_epoch(program: Any, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for step, every in ((5, 1), (2, 2), (0, 0)):
        assert in_a_process(program, folder, step, every, signal.SIGKILL).returncode == (-signal.SIGKILL if step else 0)
    assert_same_run(folder, whole)


def in_a_process(program: Any, folder: Path, step: int, every: int, number: int) -> subprocess.CompletedProcess[str]:
    """Run PROGRAM, which sends itself the signal at this step."""
    command = [sys.executable, program.__file__, str(folder), *map(str, (step, every, int(number)))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_finished_run_is_left_as_it_is(program: Any, whole: Path, tmp_path: Path) -> None:
    _, history = program.run(tmp_path / "run")
    (tmp_path / "run" / training.LOG).unlink()
    _, again = program.run(tmp_path / "run", resume=True)
    assert again.epochs == history.epochs
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_bits_do_not_depend_on_threads(program: Any, whole: Path, tmp_path: Path, threads: int) -> None:
    import numba

    if threads > numba.config.NUMBA_NUM_THREADS:
        pytest.skip(f"needs the threading layer to have {threads} threads")
    before = nc.config.threads
    program.run(tmp_path / "run", threads=threads)
    assert nc.config.threads == before
    assert_same_run(tmp_path / "run", whole)


def test_resumed_by_path_into_another_folder(program: Any, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(nc.optim.Optimizer, "step", crash_at(8))
        program.run(tmp_path / "run", checkpoint_every=1)
    program.run(tmp_path / "new", resume=tmp_path / "run" / training.LAST, checkpoint_every=1)
    assert_same_run(tmp_path / "new", whole)
    _, history = program.run(None, resume=str(tmp_path / "new"))
    assert history.folder == tmp_path / "new"


def test_the_seconds_of_an_epoch_go_on(program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(nc.optim.Optimizer, "step", crash_at(5))
        program.run(tmp_path / "run", checkpoint_every=1)
    path = tmp_path / "run" / training.LAST
    saved = checkpoint.load(path)
    assert saved.progress["step"] == 4 and saved.progress["seconds"] > 0
    saved.progress["seconds"] += 1000
    path.write_bytes(checkpoint.encode(saved))
    history = program.run(tmp_path / "run", checkpoint_every=1, resume=True)[1]
    assert [epoch.seconds > 1000 for epoch in history] == [False, True, False]


def test_more_epochs_where_the_rate_is_constant(program: Any, tmp_path: Path) -> None:
    program.run(tmp_path / "a", schedule=None, epochs=2)
    program.run(tmp_path / "a", schedule=None, epochs=3, resume=True)
    program.run(tmp_path / "b", schedule=None, epochs=3)
    assert state(tmp_path / "a" / training.LAST) == state(tmp_path / "b" / training.LAST)


def test_a_resumed_run_must_be_the_same(program: Any, whole: Path) -> None:
    wanted = "[fit] expected the run as it began, with batch_size 20, seed 3; received batch_size 10, seed 4; "
    with pytest.raises(ValueError, match=f"^{re.escape(wanted)}resume with the same arguments .or more epochs., or start anew.$"):
        program.run(whole, batch_size=10, seed=4, resume=True)
    for schedule in ("one-cycle", None):
        with pytest.raises(ValueError, match=r"^\[fit\] expected the run as it began, with epochs 3.*; received epochs 2"):
            program.run(whole, epochs=2, schedule=schedule, resume=True)
    net = program.network()
    with pytest.raises(
        ValueError, match=r"with train '\(50, 8, 8, 1\) uint8, mean .* crc32 [0-9a-f]{8}'; received train '.* crc32 [0-9a-f]{8}'; resume"
    ):
        fit(net, program.dataset(50, 9), program.dataset(12, 1), out=whole, resume=True, **program.options())


@pytest.mark.parametrize("part", ["moments", "schedule"])
def test_a_damaged_checkpoint_leaves_the_model_as_it_was(program: Any, whole: Path, tmp_path: Path, part: str) -> None:
    saved = checkpoint.load(whole / training.LAST)
    assert saved.optimizer is not None and saved.schedule is not None
    if part == "moments":
        del saved.optimizer["state"][0]["exp_avg_sq"]
    else:
        saved.schedule["total_steps"] = 0
    checkpoint.save(tmp_path / training.LAST, saved)
    net = program.network()
    before = {name: np.array(t) for name, t in net.state_dict().items()}
    with pytest.raises(ValueError, match=r"^\[(AdamW|OneCycleLR).load_state_dict\] expected "):
        fit(net, program.dataset(50, 0), program.dataset(12, 1), out=tmp_path, resume=True, **program.options())
    for name, t in net.state_dict().items():
        np.testing.assert_array_equal(np.array(t), before[name])


@pytest.mark.parametrize(("path", "value", "wanted"), [
    ("generators.library", None, "a checkpoint's generators with library, loader; received loader"),
    ("generators.library", 7, "a checkpoint's generators.library as a dict; received 7"),
    ("generators.loader.position", "x", "a checkpoint's generators.loader.position as an integer; received 'x'"),
    ("generators.loader", [], "a checkpoint's generators.loader with seed, epoch, position; received list"),
    ("progress.step", -1, "a checkpoint's progress.step as an integer from 0 to 2\\^64 - 1; received -1"),
    ("progress.step", 2.5, "a checkpoint's progress.step as an integer; received 2.5"),
    ("progress.seconds", 10**400, "a checkpoint's progress.seconds as a number from 0 to 2\\^64 - 1; received 1" + "0" * 400),
    ("progress.meter", None, "a checkpoint's progress with step, seconds, waited, .*; received history, seconds, step, stopped, waited"),
    ("progress.meter.sums", [], "a checkpoint's progress.meter.sums as a dict; received \\[\\]"),
    ("progress.meter.sums", {"loss": 10**400}, "a checkpoint's progress.meter.sums.loss as a number from 0 .*; received 1" + "0" * 400),
    ("progress.history", {}, "a checkpoint's progress.history as a list; received dict"),
    ("progress.history", [{"epoch": 1}], "a checkpoint's progress.history with epoch, train_loss, .*; received epoch"),
])  # fmt: skip
def test_forged_checkpoints_leave_the_model_as_it_was(
    program: Any, whole: Path, tmp_path: Path, path: str, value: Any, wanted: str
) -> None:
    saved = checkpoint.load(whole / training.LAST)
    *parents, last = path.split(".")
    place: Any = vars(saved)
    for name in parents:
        place = place[name]
    place[last] = value
    if value is None:
        del place[last]
    checkpoint.save(tmp_path / training.LAST, saved)
    net = program.network()
    before = {name: np.array(t) for name, t in net.state_dict().items()}
    with pytest.raises(ValueError, match=rf"^\[fit\] expected {wanted}\.$"):
        fit(net, program.dataset(50, 0), program.dataset(12, 1), out=tmp_path, resume=True, **program.options())
    for name, t in net.state_dict().items():
        np.testing.assert_array_equal(np.array(t), before[name])


@pytest.mark.parametrize(
    "change", [{"state": 7}, {"bit_generator": []}, {"state": {"state": -1, "inc": 1}}, {"has_uint32": "x"}, {"uinteger": 2**70}]
)
def test_a_forged_generator(program: Any, whole: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    saved = checkpoint.load(whole / training.LAST)
    saved.generators["library"] |= change
    checkpoint.save(tmp_path / training.LAST, saved)
    with pytest.raises(ValueError, match=r"^\[set_rng_state\] expected a state that get_rng_state gave; received dict; "):
        program.run(tmp_path, resume=True)


def test_weights_for_use_only_are_no_run(program: Any, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / training.LAST, checkpoint.Checkpoint({}))
    wanted = "[fit] expected the checkpoint of a training run; received weights for use only; "
    wanted += "resume from last.safetensors, or start a run from these weights: init=path."
    with pytest.raises(ValueError, match=f"^{re.escape(wanted)}$"):
        program.run(tmp_path, resume=True)


def test_where_runs_may_be(program: Any, whole: Path, tmp_path: Path) -> None:
    wanted = (
        f"[fit] expected a folder without a run; received the run in {whole}; pass resume=True to go on with it, or take another folder."
    )
    with pytest.raises(FileExistsError, match=f"^{re.escape(wanted)}$"):
        program.run(whole)
    wanted = "[fit] expected out=folder with resume=True; received none; or give the checkpoint: resume=path."
    with pytest.raises(ValueError, match=f"^{re.escape(wanted)}$"):
        program.run(None, resume=True)
    wanted = f"[checkpoint] expected a file {tmp_path / training.LAST}; received no such file."
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(wanted)}$"):
        program.run(tmp_path, resume=True)


def test_a_run_is_not_resumed_into_the_folder_of_another(program: Any, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "other")
    before = (tmp_path / "other" / training.LAST).read_bytes()
    wanted = f"[fit] expected a folder without a run; received the run in {tmp_path / 'other'}; take another folder for the resumed run."
    for source in (whole, whole / training.LAST):
        with pytest.raises(FileExistsError, match=f"^{re.escape(wanted)}$"):
            program.run(tmp_path / "other", resume=source)
    assert (tmp_path / "other" / training.LAST).read_bytes() == before
    program.run(tmp_path / "other" / ".." / "other", resume=tmp_path / "other")  # its own folder by another name


@pytest.mark.parametrize("name", [training.BEST, training.LOG, training.CURVE])
def test_files_of_somebody_else_are_not_overwritten(program: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"mine")
    wanted = f"[fit] expected a folder without a run; received {tmp_path / name}; take another folder."
    with pytest.raises(FileExistsError, match=f"^{re.escape(wanted)}$"):
        program.run(tmp_path)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [(name, b"mine")]


def test_two_runs_do_not_share_a_folder(program: Any, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def another() -> None:
        drawn = nc.get_rng_state()
        for resume in (False, True):
            with pytest.raises(BlockingIOError, match=rf"held by process {os.getpid()} on "):
                program.run(tmp_path / "run", resume=resume)
        nc.set_rng_state(drawn)

    monkeypatch.setattr(nc.optim.Optimizer, "step", crash_at(5, another))
    program.run(tmp_path / "run")
    assert_same_run(tmp_path / "run", whole)


def _bad(what: str, program: Any) -> dict[str, Any]:
    train, test = program.dataset(50, 0), program.dataset(12, 1)
    x, y = np.zeros((30, 1, 8, 8), np.float32), np.arange(30) % 3

    def fails_later(images: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        if len(images) == 10:  # the last batch
            raise Crash
        return images

    return {
        "label": {"train": (x, np.where(y == 2, 3, y))},
        "val label": {"val": (x, y - 1)},
        "test label": {"test": (x, y - 1)},
        "test size": {"test": (x[:, :, :7], y)},
        "lengths": {"test": (x, y[1:])},
        "logits": {"model": nn.Sequential(nn.Conv2d(1, 4, 3))},
        "transform": {"train": train, "test": test, "transform": fails_later},
    }[what]


@pytest.mark.parametrize("what", ["label", "val label", "test label", "test size", "lengths", "logits", "transform"])
def test_a_run_that_fails_at_first_blocks_no_other(program: Any, tmp_path: Path, what: str) -> None:
    folder = tmp_path / "run"
    good = {"model": program.network(), "train": program.dataset(50, 0), "val": program.dataset(12, 1), "epochs": 1}
    options = {"batch_size": 20, "progress": False, "out": folder}
    with pytest.raises((ValueError, Crash)):
        fit(**{**good, **options, **_bad(what, program)})
    assert not folder.exists()
    assert len(fit(**good, **options)) == 1


# -- signals ---------------------------------------------------------------------------------------------------------------------
def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_saves(program: Any, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    folder, handler = tmp_path / "run", signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(nc.optim.Optimizer, "step", crash_at(5, interrupt))
        with pytest.raises(Interrupted) as stopped:
            program.run(folder)
    where = "stopped after step 5, in epoch 2 of 3"
    assert str(stopped.value) == f"[fit] {where}; saved in {folder}; go on with fit(..., out={str(folder)!r}, resume=True)."
    assert stopped.value.folder == folder
    assert capsys.readouterr().err == "\nstopping after this step (Ctrl-C again: at once) ...\n"
    assert signal.getsignal(signal.SIGINT) is handler
    assert checkpoint.load(folder / training.LAST).progress["step"] == 5
    program.run(folder, resume=True)
    assert_same_run(folder, whole)


def test_ctrl_c_without_a_folder(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nc.optim.Optimizer, "step", crash_at(1, interrupt))
    wanted = "[fit] stopped after step 1, in epoch 1 of 3; nothing is saved without out=folder."
    with pytest.raises(Interrupted, match=f"^{re.escape(wanted)}$"):
        program.run(None)


def test_ctrl_c_twice_stops_at_once(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice() -> None:
        interrupt()
        interrupt()

    monkeypatch.setattr(nc.optim.Optimizer, "step", crash_at(1, twice))
    with pytest.raises(KeyboardInterrupt) as stopped:
        program.run(None)
    assert not isinstance(stopped.value, Interrupted)


on_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals as POSIX has them")


@on_posix
def test_a_signal_that_ends_the_process_saves_first(program: Any, whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for number, step, kept in ((signal.SIGTERM, 5, 5), (signal.SIGHUP, 2, 7)):
        done = in_a_process(program, folder, step, 0, number)
        assert done.returncode == -number
        assert f"\nstopping after this step ({number.name}) ...\n[fit] stopped after step {kept}, in epoch " in done.stderr
        assert sorted(file.name for file in folder.iterdir()) == ["best.safetensors", "last.safetensors", "log.jsonl"]
        assert checkpoint.load(folder / training.LAST).progress["step"] == kept
    assert in_a_process(program, folder, 0, 0, 0).returncode == 0
    assert_same_run(folder, whole)


@on_posix
def test_the_program_s_own_handler_is_called_after_saving(program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []

    def handler(number: int, frame: Any) -> None:
        found.append(checkpoint.load(tmp_path / training.LAST).progress["step"])

    monkeypatch.setattr(nc.optim.Optimizer, "step", crash_at(5, lambda: signal.raise_signal(signal.SIGTERM)))
    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(Interrupted):
            program.run(tmp_path)
        assert found == [5] and signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)


@on_posix
def test_an_ignored_signal_stays_ignored(program: Any, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nc.optim.Optimizer, "step", crash_at(5, lambda: signal.raise_signal(signal.SIGHUP)))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        program.run(tmp_path / "run")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert_same_run(tmp_path / "run", whole)


def test_a_signal_in_the_last_evaluation_is_not_lost(program: Any, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def interrupted(*args: Any, **options: Any) -> Evaluation:
        nonlocal calls
        calls += 1
        if calls == 3:
            interrupt()
        return evaluate(*args, **options)

    monkeypatch.setattr(training.run, "evaluate", interrupted)
    with pytest.raises(Interrupted, match=r"^\[fit\] stopped after step 9, in epoch 3 of 3; saved in "):
        program.run(tmp_path / "run")
    assert_same_run(tmp_path / "run", whole)


def test_it_trains_in_another_thread(program: Any, whole: Path, tmp_path: Path) -> None:
    thread = threading.Thread(target=program.run, args=(tmp_path / "run",))
    thread.start()
    thread.join()
    assert_same_run(tmp_path / "run", whole)


# -- losses that are no longer finite --------------------------------------------------------------------------------------------
def test_nan_stops_and_keeps_the_last_good_checkpoint(program: Any, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    steps = 0

    def loss(logits: nc.Tensor, y: nc.Tensor) -> nc.Tensor:
        nonlocal steps
        steps += 1
        return cross_entropy(logits, y) * (float("nan") if steps == 8 else 1.0)  # two calls try it out, one evaluates

    hint = (
        f"try a learning rate of 0.002, look for wild values in the data, or go back to {folder / training.LAST}, the last good checkpoint"
    )
    received = "received nan in epoch 2, step 5 (learning rate 0.0141)"
    with pytest.raises(FloatingPointError, match=f"^{re.escape(f'[fit] expected a finite loss; {received}; {hint}.')}$"):
        program.run(folder, loss=loss, checkpoint_every=1)
    kept = checkpoint.load(folder / training.LAST)
    assert kept.progress["step"] == 4
    assert all(np.isfinite(w).all() for w in kept.weights.values())


def test_weights_that_are_not_finite_are_not_saved(program: Any, tmp_path: Path) -> None:
    def ruin(params: Any, lr: float) -> nc.optim.Optimizer:
        return nc.optim.SGD(params, 1e38)

    with pytest.raises(FloatingPointError, match=r"^\[fit\] expected a finite loss; received (nan|inf|-inf) in epoch 1, step \d+ "):
        program.run(tmp_path / "run", optimizer=ruin, schedule=None, checkpoint_every=1)
    assert all(np.isfinite(w).all() for w in checkpoint.load(tmp_path / "run" / training.LAST).weights.values())


def test_weights_are_judged_where_losses_are_still_finite(program: Any, tmp_path: Path) -> None:
    class Ruinous(nc.optim.SGD):
        steps = 0

        def step(self) -> None:
            self.steps += 1
            if self.steps == 3:
                self.param_groups[0]["params"][0].data[:] = np.nan

    with pytest.raises(FloatingPointError, match=r"^\[fit\] expected a finite loss; received nan in epoch \d+, step 3 "):
        program.run(tmp_path / "run", optimizer=lambda params, lr: Ruinous(params, lr), schedule=None, checkpoint_every=1)
    assert all(np.isfinite(w).all() for w in checkpoint.load(tmp_path / "run" / training.LAST).weights.values())


def test_losses_may_be_read_late(program: Any, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "steps_between_reads", lambda device: 4)
    program.run(tmp_path / "run")
    assert_same_run(tmp_path / "run", whole)


# -- what fit gives and writes ---------------------------------------------------------------------------------------------------
def test_the_files_of_a_run(program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(plots, "curve", draw_curve)
    folder = tmp_path / "run"
    _, history = program.run(folder, progress=True, notes={"why": "a test"})
    assert sorted(file.name for file in folder.iterdir()) == ["best.safetensors", "curve.png", "last.safetensors", "log.jsonl"]
    head, *lines = [json.loads(line) for line in (folder / training.LOG).read_text().splitlines()]
    assert (
        head["notes"] == {"why": "a test"}
        and head["parameters"] == 151
        and set(head["versions"]) == {"numbacnn", "python", "numpy", "numba"}
    )
    assert (
        head["options"]["model"] == "Sequential"
        and head["options"]["transform"] == "RandomCrop(size=None, padding=1, padding_mode='constant')"
    )
    assert [Epoch(**line) for line in lines] == history.epochs
    assert (folder / training.CURVE).read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out.splitlines()
    shape = r"epoch   \d   train loss \d\.\d{4} accuracy \d\.\d{4}   val loss \d\.\d{4} accuracy \d\.\d{4}   [\d,]+ images/s"
    assert len(out) == 3 and all(re.fullmatch(shape, line) for line in out)


def test_the_best_checkpoint_is_of_the_best_epoch(program: Any, whole: Path) -> None:
    history = checkpoint.load(whole / training.LAST).progress["history"]
    best = History([Epoch(**epoch) for epoch in history]).best.epoch
    saved = checkpoint.load(whole / training.BEST)
    assert saved.run["epoch"] == history[best - 1] and saved.optimizer is None and not saved.progress and not saved.generators
    assert saved.classes == ("a", "b", "c") and saved.preprocessing is not None
    net = program.network()
    net.load_state_dict(saved.weights)
    assert evaluate(net, program.dataset(12, 1)).loss == history[best - 1]["val_loss"]


@pytest.mark.smoke
def test_it_learns_and_the_last_weights_stay_in_the_model(program: Any) -> None:
    net, history = program.run(None, epochs=12)
    assert history.last.val_accuracy == 1.0 and history.column("train_loss")[0] > 2 * history.last.train_loss
    assert evaluate(net, program.dataset(12, 1)).accuracy == 1.0


def test_a_network_by_name_and_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 1, 28, 28)).astype(np.float32), np.arange(12) % 3
    options: dict[str, Any] = {"epochs": 1, "batch_size": 4, "seed": 5, "progress": False}
    history = fit("lenet-modern", (x, y), out=tmp_path / "a", **options)
    assert history.last.val_loss is None and str(history).endswith(" images/s") and "val" not in str(history)
    saved = checkpoint.load(tmp_path / "a" / training.BEST)
    assert saved.model_args == {"classes": 3, "in_channels": 1} and saved.preprocessing is None
    assert predict(saved.network(), x).shape == predict(saved.network(), nc.tensor(x)).shape == (12, 3)
    assert fit("lenet-modern", (nc.tensor(x), nc.tensor(y)), **options).last.train_loss == history.last.train_loss
    nc.manual_seed(5)
    net = nc.models.lenet_modern(3)
    fit(net, (nc.tensor(x), nc.tensor(y)), out=tmp_path / "b", **options)
    other = checkpoint.load(tmp_path / "b" / training.LAST)
    assert all((other.weights[name] == w).all() for name, w in saved.weights.items())
    assert other.model is None


def test_lazy_layers(program: Any) -> None:
    net = nn.Sequential(nn.LazyConv2d(2, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    fit(net, program.dataset(12, 0), epochs=1, progress=False)
    assert net[3].weight.shape == (3, 72)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "adamw", nc.optim.SGD])
@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", None, functools.partial(nc.optim.StepLR, gamma=0.5)])
def test_optimisers_and_schedules(program: Any, optimizer: Any, schedule: Any) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    history = fit(net, program.dataset(30, 0), epochs=2, lr=1e-3, optimizer=optimizer, schedule=schedule, progress=False)
    assert np.isfinite(history.last.train_loss)


def test_without_matplotlib(program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(plots, "curve", draw_curve)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    program.run(tmp_path / "run", epochs=1)
    said = capsys.readouterr().err
    assert said.startswith("no curve.png: [plots] expected matplotlib to be installed; received ")
    assert said.endswith('; run: pip install "numbacnn[demo]".\n') and said.count("\n") == 1
    assert not (tmp_path / "run" / training.CURVE).exists()


def test_the_best_of_epochs_with_one_accuracy_is_the_last() -> None:
    """A schedule's last rates are the lowest; the loss decides where there is no accuracy."""
    for accuracies, losses, best in (((0.9, 0.9, 0.8), (0.1, 0.2, 0.1), 2), ((None, None, None), (0.3, 0.1, 0.2), 2)):
        epochs = [Epoch(n, 1.0, a, loss, a, 0.1, 1.0, 1.0) for n, (a, loss) in enumerate(zip(accuracies, losses), 1)]
        assert History(epochs).best.epoch == best


def test_an_epoch_with_nan_is_no_best() -> None:
    def epoch(number: int, accuracy: float | None, loss: float | None) -> Epoch:
        return Epoch(number, 1.0, 0.5, loss, accuracy, 0.1, 1.0, 1.0)

    nan, inf = float("nan"), float("inf")
    for losses, best in (((nan, 2.0), 2), ((2.0, nan), 1), ((nan, nan), 2), ((inf, 3.0), 2), ((3.0, inf), 1), ((nan, inf), 2)):
        assert History([epoch(n, 0.1, loss) for n, loss in enumerate(losses, 1)]).best.epoch == best
    assert History([epoch(1, 0.9, nan), epoch(2, 0.1, 2.0)]).best.epoch == 2
    assert History([Epoch(1, nan, 0.5, None, None, 0.1, 1.0, 1.0), Epoch(2, 1.0, 0.5, None, None, 0.1, 1.0, 1.0)]).best.epoch == 2


# -- evaluate --------------------------------------------------------------------------------------------------------------------
class Given(nn.Module):
    """The logits (N, K) that it was made with, in order."""

    def __init__(self, logits: np.ndarray) -> None:
        super().__init__()
        self.logits, self.at = logits, 0

    def forward(self, x: nc.Tensor) -> nc.Tensor:
        assert not self.training and not nc.is_grad_enabled()
        self.at += len(x)
        return nc.from_array(self.logits[self.at - len(x) : self.at])


def evaluated() -> tuple[Given, ImageDataset, Evaluation]:
    logits = np.array([[5, 0, 0], [0, 5, 0], [0, 5, 0], [0, 0, 5], [5, 0, 0]], np.float32)
    data = ImageDataset(np.zeros((5, 2, 2, 1), np.uint8), np.array([0, 1, 1, 1, 2]), ("a", "b", "c"))
    net = Given(logits)
    return net, data, evaluate(net, data, batch_size=2)


def test_evaluate() -> None:
    net, data, found = evaluated()
    assert net.training
    assert found.confusion.dtype == np.int64 and found.confusion.tolist() == [[1, 0, 0], [0, 2, 1], [1, 0, 0]]
    assert found.accuracy == 0.6 and found.classes == ("a", "b", "c")
    shifted = net.logits - np.log(np.exp(net.logits).sum(1, keepdims=True))
    assert found.loss == pytest.approx(-shifted[np.arange(5), data.labels].mean(), rel=1e-6)


def test_a_list_of_two_arrays_is_a_pair() -> None:
    x, y = np.random.default_rng(0).random((8, 4), np.float32), np.arange(8) % 3
    found = []
    for pair in ((x, y), [x, y]):
        nc.manual_seed(0)
        net = nc.nn.Linear(4, 3)
        history = nc.fit(net, pair, val=pair, epochs=1, progress=False)
        found.append((history.last.val_loss, nc.evaluate(net, pair).loss))
    assert found[0] == found[1]


def test_report() -> None:
    _, _, found = evaluated()
    assert str(found) == f"loss {found.loss:.4f}, accuracy 0.6000 (3 of 5)"
    assert found.report() == "\n".join(
        [
            "class  images  precision  recall  mistaken for",
            "a           1     0.5000  1.0000  -",
            "b           3     1.0000  0.6667  c (1)",
            "c           1     0.0000  0.0000  a (1)",
            "",
            str(found),
        ]
    )


def test_a_report_steers_no_terminal() -> None:
    found = dataclasses.replace(evaluated()[2], classes=("a", "b\x1b[2J", "c"))
    assert "\x1b" not in found.report() and "b\\x1b[2J       3 " in found.report()


def test_evaluate_a_loader_and_no_data() -> None:
    net, data, found = evaluated()
    net.at = 0
    assert evaluate(net, nc.data.DataLoader(data, 3)).loss == pytest.approx(found.loss)
    with pytest.raises(ValueError, match=r"^\[evaluate\] expected at least one example; received none\.$"):
        evaluate(net, data[:0])


def test_predict() -> None:
    net, data, _ = evaluated()
    for x in (data, np.zeros((5, 1, 2, 2), np.float32), (nc.zeros(5, 1, 2, 2),)):
        net.at = 0
        found = predict(net, x, batch_size=2)
        assert found.shape == (5, 3) and found.sum(1) == pytest.approx(np.ones(5)) and (found.argmax(1) == net.logits.argmax(1)).all()
    net.at = 0
    assert (predict(net, data, probabilities=False, batch_size=2) == net.logits).all()


@pytest.mark.parametrize(("net", "x", "error", "text"), [
    (nn.Linear(3, 1), np.zeros((4, 3), np.float32), nc.ShapeError,
     "[predict] expected scores (N, K, ...) of K classes from the model; received shape (4, 1); pass probabilities=False."),
    (nn.Linear(3, 2), np.zeros((0, 3), np.float32), ValueError, "[predict] expected at least one example; received none."),
    (nn.Linear(3, 2), "picture.png", TypeError,
     "[predict] expected an ImageDataset, X (N, ...), or a tuple of arrays, one for each input; received 'picture.png'."),
    (nn.Linear(3, 2), (np.zeros((4, 3), np.float32), np.zeros(4)), TypeError,
     "[predict] expected for Linear the inputs x; received 2; a tuple holds one array for each."),
])  # fmt: skip
def test_what_predict_refuses(net: nn.Module, x: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        predict(net, x)


def test_labels_beyond_the_logits() -> None:
    with pytest.raises(ValueError, match=r"^\[evaluate\] expected labels 0 \.\. 1; received labels 0 \.\. 2\.$"):
        evaluate(nn.Linear(3, 2), (np.zeros((3, 3), np.float32), np.arange(3)), loss=lambda output, y: output.mean())


# -- modes -----------------------------------------------------------------------------------------------------------------------
def normalised() -> nn.Sequential:
    nc.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(144), nn.Linear(144, 3))


def modes(net: nn.Module) -> list[bool]:
    return [module.training for module in net.modules()]


def test_frozen_modules_stay_frozen(program: Any, tmp_path: Path) -> None:
    net = normalised()
    net[1].eval()
    net[1].requires_grad_(False)
    before, seen = modes(net), []
    net[1].register_forward_hook(lambda module, args, output: seen.append(module.training))
    data = program.dataset(40, 0), program.dataset(12, 1)
    fit(net, *data, epochs=2, batch_size=20, progress=False, out=tmp_path)
    assert modes(net) == before and not any(seen)
    assert (net[1].running_mean == 0).all() and (net[1].running_var == 1).all() and net[1].num_batches_tracked.item() == 0
    assert net[4].num_batches_tracked.item() == 4
    net[1].train()
    with pytest.raises(ValueError, match=r"expected the run as it began, with frozen '1'; received frozen None; "):
        fit(net, *data, epochs=2, batch_size=20, progress=False, out=tmp_path, resume=True)
    assert all(modes(net))


def test_a_network_in_evaluation_mode_trains_and_goes_back(program: Any) -> None:
    net = normalised().eval()
    fit(net, program.dataset(40, 0), epochs=1, batch_size=20, progress=False)
    assert net[1].num_batches_tracked.item() == 2 and not any(modes(net))
    with pytest.raises(nc.ShapeError):
        fit(net, (np.zeros((4, 1, 7, 7), np.float32), np.arange(4) % 3), epochs=1, progress=False)
    assert not any(modes(net))


def test_evaluations_at_once_give_the_modes_back(program: Any) -> None:
    """The second begins within the first and ends after it; both look at a part of the network too."""
    net, data = normalised(), program.dataset(12, 0)
    net[1].eval()
    before = modes(net)
    begun, ended = threading.Event(), threading.Event()

    def loss(logits: nc.Tensor, y: nc.Tensor) -> nc.Tensor:
        begun.set()
        assert ended.wait(60) and not any(modes(net))
        return cross_entropy(logits, y)

    thread = threading.Thread(target=evaluate, args=(net, data), kwargs={"loss": loss})

    def in_between(logits: nc.Tensor, y: nc.Tensor) -> nc.Tensor:
        thread.start()
        assert begun.wait(60)
        return cross_entropy(logits, y)

    evaluate(net, data, loss=in_between)
    ended.set()
    thread.join()
    assert modes(net) == before


def test_a_last_batch_of_one_and_batch_norm(program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, options = program.dataset(41, 0), {"epochs": 2, "batch_size": 20, "progress": False}
    history = fit(normalised(), data, out=tmp_path / "whole", **options)
    assert len(history) == 2 and checkpoint.load(tmp_path / "whole" / training.LAST).progress["step"] == 4
    with monkeypatch.context() as patch:
        patch.setattr(nc.optim.Optimizer, "step", crash_at(4))
        with pytest.raises(Crash):
            fit(normalised(), data, out=tmp_path / "part", checkpoint_every=1, **options)
    fit(normalised(), data, out=tmp_path / "part", resume=True, **options)
    assert state(tmp_path / "part" / training.LAST) == state(tmp_path / "whole" / training.LAST)
    frozen = normalised()
    frozen[1].eval()
    frozen[4].eval()
    for net in (frozen, program.network()):  # take the one image
        fit(net, data, out=tmp_path / "all", **options)
        assert checkpoint.load(tmp_path / "all" / training.LAST).progress["step"] == 6
        shutil.rmtree(tmp_path / "all")


# -- any task --------------------------------------------------------------------------------------------------------------------
def points(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).standard_normal((n, 3)).astype(np.float32)
    return x, x @ np.array([[1.0], [-2.0], [0.5]], np.float32)


def linear(*sizes: int) -> nn.Linear:
    nc.manual_seed(1)
    return nn.Linear(*sizes)


QUIET: dict[str, Any] = {"epochs": 3, "batch_size": 16, "lr": 0.05, "progress": False}


@pytest.mark.parametrize("flat", [False, True])
def test_regression(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flat: bool) -> None:
    monkeypatch.setattr(plots, "curve", draw_curve)
    x, y = points()
    net = nn.Sequential(linear(3, 1), nn.Flatten(0)) if flat else linear(3, 1)
    data = (x, y[:, 0]) if flat else (x, y)
    history = fit(net, data, data, test=data, loss=mse_loss, **{**QUIET, "epochs": 30, "lr": 0.2}, out=tmp_path)
    assert history.last.train_accuracy is history.last.val_accuracy is None and history.last.val_loss < 0.05
    assert "accuracy" not in str(history) and history.best is min(history, key=lambda epoch: epoch.val_loss)
    found = evaluate(net, data, loss=mse_loss)
    assert found.accuracy is found.confusion is None and str(found) == found.report() == f"loss {found.loss:.4f}"
    assert found.loss == pytest.approx(float(((predict(net, x, probabilities=False) - data[1]) ** 2).mean()), rel=1e-5)
    assert (tmp_path / training.CURVE).exists() and json.loads((tmp_path / training.LOG).read_text().splitlines()[0])["test"]["loss"] < 0.05


def test_integers_as_targets_of_a_regression_have_no_accuracy() -> None:
    x, _ = points()
    history = fit(linear(3, 1), (x, np.arange(40) % 7), loss=lambda output, y: ((output - y.float()[:, None]) ** 2).mean(), **QUIET)
    assert history.last.train_accuracy is None
    several = np.arange(120).reshape(40, 3) % 2  # of which none, or more than one, may hold
    assert fit(linear(3, 3), (x, several), loss=lambda output, y: ((output - y) ** 2).mean(), **QUIET).last.train_accuracy is None


def pixel_accuracy(output: nc.Tensor, y: nc.Tensor) -> nc.Tensor:
    return (output.argmax(1) == y).float().mean()


def shapes(n: int) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(n).random((n, 1, 6, 6), np.float32)
    return x, (x[:, 0] > 0.6).astype(np.int64)


@pytest.mark.parametrize("class_weight", [None, "balanced", [1.0, 2.0]])
def test_segmentation(class_weight: Any) -> None:
    nc.manual_seed(0)
    net = nn.Conv2d(1, 2, 1)
    metrics = {"pixels": pixel_accuracy}
    history = fit(net, shapes(40), shapes(10), metrics=metrics, class_weight=class_weight, **{**QUIET, "epochs": 20, "lr": 0.5})
    last = history.last
    assert set(last.metrics) == {"train_pixels", "val_pixels"} and last.metrics["val_pixels"] > 0.9 and last.val_accuracy is None
    assert history.column("val_pixels")[-1] == last.metrics["val_pixels"]
    assert re.search(r"train loss \d\.\d{4} pixels \d\.\d{4}   val loss \d\.\d{4} pixels \d\.\d{4}   [\d,]+ images/s$", str(last))
    assert predict(net, shapes(3)[0]).sum(1) == pytest.approx(np.ones((3, 6, 6)))


def test_an_autoencoder_whose_target_is_the_input() -> None:
    x, _ = points()
    net = linear(3, 3)
    history = fit(net, (x, x), loss=mse_loss, **{**QUIET, "epochs": 40})
    assert history.last.train_loss < 0.1 * history.epochs[0].train_loss


class Two(nn.Module):
    """Two inputs and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = linear(3, 1), linear(3, 2)

    def forward(self, x: nc.Tensor, z: nc.Tensor) -> tuple[nc.Tensor, nc.Tensor]:
        return self.a(x), self.b(z)


def both(output: Any, y: Any) -> nc.Tensor:
    return mse_loss(output[0], y[0]) + cross_entropy(output[1], y[1])


def test_several_inputs_outputs_and_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = points()
    data = (x, -x), (y, (x[:, 0] > 0).astype(np.int64))
    metrics = {"second": lambda output, y: pixel_accuracy(output[1], y[1])}
    nets = [Two() for _ in range(2)]
    for net, out in zip(nets, "ab"):
        with monkeypatch.context() as patch:
            if out == "b":
                patch.setattr(nc.optim.Optimizer, "step", crash_at(5))
                with pytest.raises(Crash):
                    fit(net, data, data, loss=both, metrics=metrics, out=tmp_path / out, checkpoint_every=1, **QUIET)
        history = fit(net, data, data, loss=both, metrics=metrics, out=tmp_path / out, checkpoint_every=1, resume=out == "b", **QUIET)
    assert state(tmp_path / "a" / training.LAST) == state(tmp_path / "b" / training.LAST)
    assert history.last.metrics["val_second"] == evaluate(nets[1], data, loss=both, metrics=metrics).metrics["second"]
    first, second = predict(nets[1], data[0], probabilities=False)
    assert first.shape == (40, 1) and second.shape == (40, 2)
    wanted = "[evaluate] expected for Two the inputs x, z; received 1; a tuple holds one array for each."
    with pytest.raises(TypeError, match=f"^{re.escape(wanted)}$"):
        evaluate(nets[1], (x, data[1]), loss=both)


def test_metrics_are_means_over_the_examples() -> None:
    x, y = points(5)
    seen: list[int] = []

    def size(output: nc.Tensor, y: nc.Tensor) -> float:
        assert not nc.is_grad_enabled() and not output.requires_grad
        seen.append(len(y))
        return float(len(y))

    history = fit(linear(3, 1), (x, y), loss=mse_loss, metrics={"size": size}, **{**QUIET, "epochs": 1, "batch_size": 4})
    assert seen == [2, 4, 1] and history.last.metrics == {"train_size": (4 * 4 + 1 * 1) / 5}
    assert evaluate(linear(3, 1), (x, y), loss=mse_loss, metrics={"size": size}, batch_size=3).metrics == {"size": (3 * 3 + 2 * 2) / 5}


def test_a_metric_named_accuracy_chooses_the_best() -> None:
    falling = iter(np.linspace(1, 0, 100))
    history = fit(linear(3, 1), points(), loss=mse_loss, metrics={"accuracy": lambda output, y: next(falling)}, **QUIET)
    assert history.best.epoch == 1 and history.best.train_accuracy > history.last.train_accuracy


# -- what chooses, and what judges -----------------------------------------------------------------------------------------------
def test_the_test_data_judge_once_with_the_best_weights(program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, judged = program.network(), []
    train, val, test = (program.dataset(n, seed) for n, seed in ((50, 0), (12, 1), (21, 2)))

    def counted(model: Any, data: Any, **options: Any) -> Evaluation:
        judged.append(data)
        return evaluate(model, data, **options)

    monkeypatch.setattr(training.run, "evaluate", counted)
    scores = iter([0.5, 0.9, 0.1])
    metrics = {"accuracy": lambda output, y: next(scores) if len(y) == 12 else 0.0}
    history = fit(net, train, val, test=test, metrics=metrics, **program.options(out=tmp_path))
    assert history.best.epoch == 2 and [data is test for data in judged] == [False, False, False, True]
    last, best = (checkpoint.load(tmp_path / name).weights for name in (training.LAST, training.BEST))
    assert all((np.array(t) == last[name]).all() for name, t in net.state_dict().items())
    assert history.model is net and all((history.checkpoint.weights[name] == w).all() for name, w in best.items())
    net.load_state_dict(best)
    assert history.test.loss == evaluate(net, test).loss
    net.load_state_dict(last)
    assert history.test.loss != evaluate(net, test).loss


def test_the_best_weights_of_before_come_along(program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {1: 0.9}  # the first epoch is the best
    options = program.options(metrics={"accuracy": lambda output, y: scores.get(len(seen), 0.1) if len(y) == 12 else 0.0})
    data, seen = (program.dataset(50, 0), program.dataset(12, 1)), []
    options["callbacks"] = [lambda history: seen.append(history.last.epoch)]
    seen.append(0)
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(nc.optim.Optimizer, "step", crash_at(8))
        fit(program.network(), *data, out=tmp_path / "a", checkpoint_every=1, **options)
    best = checkpoint.load(tmp_path / "a" / training.BEST)
    assert best.run["epoch"]["epoch"] == 1
    history = fit(program.network(), *data, out=tmp_path / "b", resume=tmp_path / "a", **options)
    assert history.best.epoch == 1 and (tmp_path / "b" / training.BEST).read_bytes() == (tmp_path / "a" / training.BEST).read_bytes()
    for out, change in (("c", {"time": "another"}), ("d", {"epoch": {**best.run["epoch"], "epoch": 9}})):  # of another run, or of later
        checkpoint.save(tmp_path / "a" / training.BEST, dataclasses.replace(best, run={**best.run, **change}))
        history = fit(program.network(), *data, out=tmp_path / out, resume=tmp_path / "a", **options)
        assert history.checkpoint is None and not (tmp_path / out / training.BEST).exists()


def test_early_stopping(program: Any, tmp_path: Path) -> None:
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.1])
    options = program.options(metrics={"accuracy": lambda output, y: next(scores) if len(y) == 12 else 0.0}, epochs=9, early_stopping=2)
    data = program.dataset(50, 0), program.dataset(12, 1)
    assert len(fit(program.network(), *data, out=tmp_path, **options)) == 4
    assert len(fit(program.network(), *data, out=tmp_path, resume=True, **options)) == 4  # it is over
    assert len(fit(program.network(), *data, out=tmp_path, resume=True, **{**options, "epochs": 10})) == 6


def test_callbacks_see_the_run_and_stop_it(program: Any, tmp_path: Path) -> None:
    seen: list[tuple[int, float]] = []

    def look(history: History) -> bool:
        assert history.model is net
        seen.append((history.last.epoch, history.last.val_loss))
        return len(history) == 2

    net = program.network()
    data, options = (program.dataset(50, 0), program.dataset(12, 1)), program.options(out=tmp_path, callbacks=[look, len])
    history = fit(net, *data, **options)
    assert len(history) == 2 and seen == [(epoch.epoch, epoch.val_loss) for epoch in history]
    assert len(fit(net, *data, resume=True, **options)) == 2 and len(seen) == 2


def test_a_callback_that_fails_loses_no_epoch(program: Any, whole: Path, tmp_path: Path) -> None:
    def fails(history: History) -> None:
        if len(history) == 2 and not done:
            done.append(True)
            raise Crash

    done: list[bool] = []
    with pytest.raises(Crash):
        program.run(tmp_path, callbacks=[fails])
    assert len(checkpoint.load(tmp_path / training.LAST).progress["history"]) == 2
    program.run(tmp_path, callbacks=[fails], resume=True)
    found, wanted = (checkpoint.load(folder / training.LAST).weights for folder in (tmp_path, whole))
    assert all((found[name] == w).all() for name, w in wanted.items())


# -- steps -----------------------------------------------------------------------------------------------------------------------
def one_step(x: np.ndarray, y: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray, History]:
    """The weight before and after one step of SGD, at the rate 1."""
    net = linear(3, 3)
    before = np.array(net.weight.detach())
    history = fit(
        net, (x, y), (x, y), **{**QUIET, "epochs": 1, "lr": 1.0, "optimizer": "sgd", "schedule": None, "batch_size": 40, **options}
    )
    return before, np.array(net.weight.detach()), history


def test_clip_grad() -> None:
    x, _ = points()
    nets = [linear(3, 3), linear(3, 3)]
    for net, most in zip(nets, (None, 0.25)):
        fit(
            net,
            (x, 9 * x),
            loss=mse_loss,
            clip_grad=most,
            **{**QUIET, "epochs": 1, "lr": 1.0, "optimizer": "sgd", "schedule": None, "batch_size": 40},
        )
    start = linear(3, 3)
    moved = [
        np.concatenate([(np.array(p.detach()) - np.array(q.detach())).ravel() for p, q in zip(net.parameters(), start.parameters())])
        for net in nets
    ]
    assert np.linalg.norm(moved[0]) > 1 and np.linalg.norm(moved[1]) == pytest.approx(0.25, rel=1e-4)
    np.testing.assert_allclose(moved[1] / 0.25, moved[0] / np.linalg.norm(moved[0]), rtol=1e-4, atol=1e-6)
    assert (one_step(x, np.arange(40) % 3, clip_grad=1e3)[1] == one_step(x, np.arange(40) % 3)[1]).all()  # small ones stay as they are


def test_weight_decay() -> None:
    x, y = points()[0], np.arange(40) % 3
    before, plain, _ = one_step(x, y)
    np.testing.assert_allclose(one_step(x, y, weight_decay=0.5)[1], plain - 0.5 * before, rtol=1e-5, atol=1e-6)

    class Plain(nc.optim.Optimizer):
        def __init__(self, params: Any, lr: float) -> None:
            super().__init__(params, {"lr": lr})

        def _check(self, op: str, group: Any) -> None:
            pass

    text = "[fit] expected an optimiser with weight decay; received Plain; pass weight_decay=None."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        one_step(x, y, weight_decay=0.5, optimizer=Plain)


def test_label_smoothing_and_class_weights_are_of_training_alone() -> None:
    x, y = points()[0], np.arange(40) % 3 % 2
    smoothed = functools.partial(cross_entropy, label_smoothing=0.2)
    assert (one_step(x, y, label_smoothing=0.2)[1] == one_step(x, y, loss=smoothed)[1]).all()
    weight = np.array([1.0, 3.0], np.float32)

    def weighted(output: nc.Tensor, y: nc.Tensor) -> nc.Tensor:
        w = nc.tensor(weight)[y]
        return (cross_entropy(output, y, reduction="none") * w).sum() / w.sum()

    assert (history := one_step(x, y, label_smoothing=0.2)[2]).last.val_loss == evaluate(history.model, (x, y)).loss
    history = one_step(x, y, class_weight=weight)[2]
    assert (one_step(x, y, class_weight=weight)[1] == one_step(x, y, loss=weighted)[1]).all()
    balanced = one_step(x, y, class_weight="balanced")[1]
    np.testing.assert_allclose(balanced, one_step(x, y, class_weight=1 / np.bincount(y))[1], rtol=1e-5, atol=1e-6)
    assert (balanced != one_step(x, y)[1]).any()
    assert history.last.val_loss == evaluate(history.model, (x, y)).loss


def test_a_batch_of_which_no_class_counts_teaches_nothing() -> None:
    before, after, history = one_step(points()[0], np.zeros(40, np.int64), class_weight=[0.0, 1.0, 1.0])
    assert (before == after).all() and history.last.train_loss == 0


def test_an_optimizer_must_be_one() -> None:
    with pytest.raises(TypeError, match=r"^\[fit\] expected an Optimizer from optimizer\(parameters, lr\); received None\.$"):
        one_step(points()[0], np.arange(40) % 3, optimizer=lambda parameters, lr: None)


def test_drop_last() -> None:
    x, y = points()[0], np.arange(40) % 3
    sizes: list[int] = []
    fit(linear(3, 3), (x, y), metrics={"size": lambda output, y: sizes.append(len(y)) or 0.0}, drop_last=True, **{**QUIET, "epochs": 1})
    assert sizes == [2, 16, 16]


# -- where a run starts ----------------------------------------------------------------------------------------------------------
def trunk(classes: int) -> nn.Sequential:
    nc.manual_seed(classes)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, classes))


def weights_of(net: nn.Module) -> dict[str, np.ndarray]:
    return {name: np.array(t) for name, t in net.state_dict().items()}


@pytest.mark.parametrize("kind", ["folder", "best", "last", "plain", "dict", "checkpoint"])
def test_weights_to_start_from(program: Any, tmp_path: Path, kind: str) -> None:
    history = fit(trunk(3), program.dataset(30, 0), out=tmp_path / "run", **{**QUIET, "epochs": 1})
    best = history.checkpoint
    checkpoint.save_weights(tmp_path / "plain.safetensors", best.weights)
    ways = {"folder": tmp_path / "run", "best": str(tmp_path / "run" / training.BEST), "last": tmp_path / "run" / training.LAST}
    init = {**ways, "plain": tmp_path / "plain.safetensors", "dict": best.weights, "checkpoint": best}[kind]
    starts: list[dict[str, np.ndarray]] = []

    def watched(params: Any, lr: float) -> nc.optim.Optimizer:
        starts.append(weights_of(net))
        return nc.optim.SGD(params, lr)

    net = trunk(5)
    net[4] = nn.Linear(144, 3)
    fit(net, program.dataset(30, 0), init=init, optimizer=watched, **{**QUIET, "epochs": 1})
    assert all((starts[0][name] == w).all() for name, w in best.weights.items())


def test_a_new_last_layer_and_a_frozen_rest(program: Any, tmp_path: Path, capsys: Any) -> None:
    old, net, data = trunk(5), trunk(3), program.dataset(30, 0)
    fresh, given = weights_of(net), weights_of(old)
    before = modes(net), [p.requires_grad for p in net.parameters()]
    options = {**QUIET, "epochs": 2, "progress": True, "weight_decay": 0.1}
    fit(net, data, init=given, freeze=True, out=tmp_path, **options)
    assert capsys.readouterr().out.startswith("the last layer, 4, is new: 3 classes in place of 5\nepoch   1 ")
    found = weights_of(net)
    assert all((found[name] == given[name]).all() for name in given if not name.startswith("4."))
    assert all((found[name] != fresh[name]).any() for name in ("4.weight", "4.bias"))
    assert (modes(net), [p.requires_grad for p in net.parameters()]) == before
    head = json.loads((tmp_path / training.LOG).read_text().splitlines()[0])
    assert head["options"]["init"] == "dict" and head["options"]["freeze"] is True
    fit(trunk(3), data, freeze=True, out=tmp_path, resume=True, **options)  # init is not asked for again


def test_what_fit_refuses_leaves_the_weights_as_they_were(program: Any) -> None:
    net, given = trunk(3), {name: w + 1 for name, w in weights_of(trunk(3)).items()}
    before = weights_of(net)
    for wrong in ({"optimizer": "x"}, {"schedule": "x"}, {"class_weight": [1.0]}):
        with pytest.raises(ValueError, match=r"^\[fit\] "):
            fit(net, program.dataset(30, 0), init=given, **wrong, **QUIET)
        assert all((before[name] == w).all() for name, w in weights_of(net).items())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"classes": ("c", "b", "a")}, "classes of train, ('a', 'b', 'c'); received ('c', 'b', 'a')"),
        ({"mean": (0.0,)}, "mean of train, (0.4,); received (0.0,)"),
        ({"std": (1.0,)}, "std of train, (0.3,); received (1.0,)"),
    ],
)
def test_judges_mean_the_same_as_train(program: Any, change: dict[str, Any], text: str) -> None:
    """Else accuracies would be those of other classes, or of other values, and nobody would know."""
    good = program.dataset(12, 1)
    for part in ("val", "test"):
        parts = {"val": good, "test": good, part: dataclasses.replace(good, **change)}
        with pytest.raises(ValueError, match=f"^{re.escape(f'[fit] expected {part} with the {text}.')}$"):
            fit(program.network(), program.dataset(30, 0), **parts, **QUIET)


def test_weights_that_do_not_fit(program: Any, tmp_path: Path) -> None:
    net, good = trunk(3), weights_of(trunk(3))
    before = weights_of(net)
    for change, text in [
        ({"0.weight": np.zeros((5, 1, 3, 3), np.float32)}, "0.weight (5, 1, 3, 3), not (4, 1, 3, 3)"),
        ({"4.weight": np.zeros((3, 9), np.float32)}, "4.weight (3, 9), not (3, 144)"),
        ({"5.weight": np.zeros(1, np.float32)}, "5.weight, which it does not have"),
        ({"0.bias": None}, "0.bias missing"),
    ]:
        given = {name: w for name, w in {**good, **change}.items() if w is not None}
        hint = "only a last layer with another number of classes may differ"
        wanted = f"[fit] expected init with the weights of Sequential; received {text}; {hint}."
        with pytest.raises(ValueError, match=f"^{re.escape(wanted)}$"):
            fit(net, program.dataset(30, 0), init=given, out=tmp_path / "run", **QUIET)
    assert all((before[name] == w).all() for name, w in weights_of(net).items()) and not (tmp_path / "run").exists()


# -- a run that goes on ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", functools.partial(nc.optim.LinearLR, start_factor=0.5)])
def test_more_epochs_begin_a_new_schedule(program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedule: Any) -> None:
    make = schedule if callable(schedule) else training.SCHEDULES[schedule]
    if callable(schedule):
        schedule = lambda optimizer, steps: make(optimizer, total_iters=steps)
    rates: list[float] = []
    step = nc.optim.Optimizer.step

    def watched(self: Any) -> None:
        rates.append(self.param_groups[0]["lr"])
        step(self)

    with monkeypatch.context() as patch:
        patch.setattr(nc.optim.Optimizer, "step", watched)
        program.run(tmp_path / "a", schedule=schedule, epochs=2)
        history = program.run(tmp_path / "a", schedule=schedule, epochs=5, resume=True)[1]
        program.run(None, schedule=schedule, epochs=3)
    assert len(history) == 5 and rates[6:15] == rates[15:]
    with monkeypatch.context() as patch, pytest.raises(Crash):  # and it is resumed exactly
        program.run(tmp_path / "b", schedule=schedule, epochs=2)
        patch.setattr(nc.optim.Optimizer, "step", crash_at(5))
        program.run(tmp_path / "b", schedule=schedule, epochs=5, resume=True, checkpoint_every=1)
    program.run(tmp_path / "b", schedule=schedule, epochs=5, resume=True)
    assert state(tmp_path / "a" / training.LAST) == state(tmp_path / "b" / training.LAST)


def test_moved_data_of_the_same_contents_go_on(program: Any, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(nc.optim.Optimizer, "step", crash_at(5))
        program.run(tmp_path)
    moved = [dataclasses.replace(program.dataset(n, seed), name="elsewhere") for n, seed in ((50, 0), (12, 1))]
    fit(program.network(), *moved, out=tmp_path, resume=True, **program.options())
    assert_same_run(tmp_path, whole)


# -- arguments -------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"epochs": 0}, ValueError, "[fit] expected epochs as an integer of at least 1; received 0."),
        ({"batch_size": 2.5}, ValueError, "[fit] expected batch_size as an integer of at least 1; received 2.5."),
        ({"checkpoint_every": True}, ValueError, "[fit] expected checkpoint_every as an integer of at least 1; received True."),
        ({"progress": "no"}, TypeError, "[fit] expected progress as True or False; received 'no'."),
        ({"optimizer": "x"}, ValueError, "[fit] expected optimizer as one of sgd, momentum, adam, adamw, or a function; received 'x'."),
        ({"schedule": "x"}, ValueError, "[fit] expected schedule as one of one-cycle, cosine, or a function; received 'x'."),
        (
            {"notes": {"a": {1}}},
            ValueError,
            "[fit] expected notes that JSON can hold; received Object of type set is not JSON serializable.",
        ),
        ({"weight_decay": -1}, ValueError, "[fit] expected weight_decay as a number of at least 0; received -1."),
        ({"clip_grad": 0}, ValueError, "[fit] expected clip_grad as a number above 0; received 0."),
        ({"label_smoothing": 2}, ValueError, "[fit] expected label_smoothing as a number from 0 to 1; received 2."),
        ({"early_stopping": 0}, ValueError, "[fit] expected early_stopping as an integer of at least 1; received 0."),
        ({"drop_last": 1}, TypeError, "[fit] expected drop_last as True or False; received 1."),
        ({"callbacks": [1]}, TypeError, "[fit] expected callbacks as a list of functions; received [1]."),
        ({"metrics": {"a": 1}}, TypeError, "[fit] expected metrics as a dict of functions by name; received 'a': 1."),
        ({"metrics": {"loss": len}}, ValueError, "[fit] expected another name for a metric; received 'loss'; the loss is reported anyway."),
        (
            {"metrics": {"a": lambda output, y: output}},
            TypeError,
            "[fit] expected the metric a as a number, or a Tensor with one element; received shape (2, 3).",
        ),
        (
            {"loss": lambda output, y: cross_entropy(output, y, reduction="none")},
            nc.ShapeError,
            "[fit] expected a loss with one element; received shape (2,); give its mean over the batch.",
        ),
        (
            {"loss": cross_entropy.__wrapped__, "label_smoothing": 0.1},  # type: ignore[attr-defined]
            ValueError,
            "[fit] expected label_smoothing with the default loss; received loss cross_entropy; let the loss see to it.",
        ),
        ({"class_weight": "even"}, ValueError, "[fit] expected class_weight as 'balanced', or a number for each class; received 'even'."),
        ({"class_weight": [1.0, 2.0]}, ValueError, "[fit] expected class_weight for 3 classes; received 2 numbers."),
        (
            {"class_weight": [-1.0]},
            ValueError,
            "[fit] expected class_weight as 'balanced', or a number of at least 0 for each class; received [-1.0].",
        ),
        ({"init": 7}, TypeError, "[fit] expected init as a path, a dict of weights or a Checkpoint; received int."),
        ({"model": 7}, TypeError, "[fit] expected a Module, or the name of one in numbacnn.models; received int."),
        (
            {"train": (np.zeros((2, 4)), np.zeros(2))},
            nc.DTypeError,
            "[fit] expected labels of an integer dtype; received float64; labels are class indices; for other targets pass a loss.",
        ),
        (
            {"model": nn.Identity()},
            nc.ShapeError,
            "[fit] expected logits (N, classes) from the model, N = 2; received shape (2, 1, 8, 8); "
            "end the model with Flatten and Linear, or pass another loss.",
        ),
    ],
)
def test_wrong_arguments(program: Any, options: dict[str, Any], error: type[Exception], text: str) -> None:
    if isinstance(options.get("model"), nn.Identity):
        options["model"].scale = nn.Parameter(nc.ones(1))
    arguments = {"model": program.network(), "train": program.dataset(12, 0), "progress": False, **options}
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        fit(**arguments)


def test_what_is_not_logits() -> None:
    text = "[evaluate] expected logits (N, classes) from the model, N = 2; received shape (2, 1, 8, 8); "
    with pytest.raises(nc.ShapeError, match=f"^{re.escape(text)}end the model with Flatten and Linear, or pass another loss.$"):
        evaluate(nn.Identity(), (np.zeros((2, 1, 8, 8), np.float32), np.zeros(2, np.int64)))


def test_no_data(program: Any) -> None:
    with pytest.raises(ValueError, match=r"^\[fit\] expected at least one example; received none\.$"):
        fit(program.network(), program.dataset(12, 0)[:0])


def test_numbers_of_numpy(program: Any, tmp_path: Path) -> None:
    """A checkpoint holds them as JSON's."""
    program.run(tmp_path, epochs=np.int64(1), batch_size=np.int32(20), lr=np.float32(0.5), seed=np.uint8(3), checkpoint_every=np.int64(2))
    options = checkpoint.load(tmp_path / training.LAST).run["options"]
    assert [options[name] for name in ("epochs", "batch_size", "lr", "seed")] == [1, 20, 0.5, 3]


def test_recipes() -> None:
    book = {"epochs": 10, "batch_size": 256, "lr": 0.9, "optimizer": "sgd", "schedule": None}
    assert training.recipe("fashion-mnist", "lenet") == training.recipe("mnist", "lenet") == book
    assert training.recipe("digits", "lenet-modern")["optimizer"] == "adamw"
    assert training.recipe("digits", "lenet_modern") == training.recipe("digits", "lenet-modern")


@pytest.mark.parametrize(
    ("pictures", "batch_size", "epochs"),
    [(1, 8, 240), (40, 8, 240), (64, 8, 150), (128, 16, 150), (320, 32, 120), (360, 32, 100), (10_000, 32, 10)],
)
def test_a_folder_gets_enough_steps(pictures: int, batch_size: int, epochs: int) -> None:
    chosen = training.folder_recipe(pictures)
    assert (chosen["batch_size"], chosen["epochs"]) == (batch_size, epochs)
    assert pictures < 40 or epochs * -(-pictures // batch_size) >= 1200


def test_what_looks_drawn_is_not_mirrored() -> None:
    mirrors = [
        any(isinstance(step, data.RandomFlip) for step in training.folder_recipe(300, 40, drawn)["transform"].transforms)
        for drawn in (False, True)
    ]
    assert mirrors == [True, False]
    shifts = [training.augmentation(size).transforms[0].padding for size in (1, 16, 40, 64)]  # type: ignore[attr-defined]
    assert shifts == [1, 2, 4, 6]


@pytest.mark.parametrize("model", nc.models.registry)
def test_every_network_has_a_recipe_for_folders(model: str) -> None:
    chosen = training.folder_recipe(300, model=model.replace("-", "_"))
    assert chosen["model"] == model and 0 < chosen["lr"] < 0.1
    side = training.folder_size(model.upper()) or training.LARGEST
    nc.models.check_input(model, (3, side, side))


def stripes(n: int, seed: int) -> ImageDataset:
    """Colour pictures of four kinds of stripes, narrow and wide, upright and level, of any two colours and at any place."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 4
    waves = (np.arange(16) + rng.integers(0, 8, (n, 1))) // np.where(labels % 2, 2, 4)[:, None] % 2
    level = np.broadcast_to(waves[:, :, None], (n, 16, 16)).copy()
    level[labels < 2] = level[labels < 2].transpose(0, 2, 1)
    colours = rng.integers(0, 256, (2, n, 1, 1, 3))
    images = np.where(level[..., None], colours[0], colours[1]) + rng.normal(0, 10, (n, 16, 16, 3))
    return ImageDataset(images.clip(0, 255).astype(np.uint8), labels, ("a", "b", "c", "d"), "stripes", 0.5, 0.25)


def test_the_default_for_a_folder_learns_from_few_pictures() -> None:
    """A quarter of its epochs suffice here. Ten epochs of one batch, as for the large sets, are no better than to guess."""
    train, test = stripes(80, 0), stripes(80, 1)
    chosen = training.folder_recipe(len(train), 16, data.images.looks_drawn(train.images))
    chosen["epochs"] //= 4
    assert fit(chosen.pop("model"), train, test, progress=False, **chosen).last.val_accuracy >= 0.9


@pytest.mark.parametrize("wrong", [[], (), (np.zeros((2, 4)),), (1, 2, 3)])
def test_data_that_are_no_pair(wrong: Any) -> None:
    good = np.zeros((4, 2), np.float32), np.arange(4) % 2
    for train, test in ((wrong, None), (good, wrong)):
        text = (
            f"[fit] expected an ImageDataset or a pair (X, y) of arrays; received a {type(wrong).__name__} of {len(wrong)}; write (X, y)."
        )
        with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
            fit(nn.Linear(2, 2), train, test, progress=False)


@pytest.mark.parametrize("order", ["C", "F"])
def test_fit_does_not_copy_a_memory_mapped_array(tmp_path: Path, order: str) -> None:
    np.save(tmp_path / "x.npy", np.zeros((2000, 3, 16, 16), np.float32, order=order))  # type: ignore[call-overload]
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    net = nn.Sequential(nn.Flatten(), nn.Linear(768, 2))
    fit(net, (x[:200], np.arange(200) % 2), epochs=1, batch_size=100, progress=False)  # imports and kernels
    same = nn.Identity()
    same.scale = nn.Parameter(nc.ones(1))

    def off(output: nc.Tensor, y: nc.Tensor) -> nc.Tensor:
        return (output * same.scale - y).abs().mean()

    fit(same, (x[:200], x[:200]), loss=off, epochs=1, batch_size=100, progress=False)
    tracemalloc.start()
    try:
        fit(net, (x, np.arange(2000) % 2), epochs=1, batch_size=100, progress=False, compile=False)
        fit(same, (x, x), loss=off, epochs=1, batch_size=100, progress=False, compile=False)
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 2
    finally:
        tracemalloc.stop()


def test_the_checksum_of_data_does_not_depend_on_their_order_in_memory() -> None:
    x, y = np.random.default_rng(0).random((3000, 2, 3)), np.arange(3000) % 2
    texts = {examples.described((a, y)) for a in (x, np.asfortranarray(x), x[::-1].copy()[::-1])}
    assert texts == {f"(3000, 2, 3) float64, crc32 {zlib.crc32(y.tobytes(), zlib.crc32(x.tobytes())):08x}"}
