"""What the benchmarks compute beside times: ratios, tables, floors of work; and that both sides do the same. Speed is not tested."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
sys.path.append(str(ROOT))  # the benchmarks are not installed

from benchmarks import alternate, bandwidth, conv, folders, gpu, lenet, loader, readme, scaling, serve, startup, tables, train  # noqa: E402

ROW = {"numbacnn_best": 2.0, "numbacnn_median": 4.0, "torch_best": 3.0, "torch_median": 5.0}


def test_both_loaders_are_given_the_same_pictures(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    loader.write(tmp_path, 3)
    found = []
    for tensor in (lambda values: values.transpose(2, 0, 1), lambda values: torch.from_numpy(values).permute(2, 0, 1).contiguous()):
        loader.random.seed(1)
        found.append([loader.Pictures(str(tmp_path), tensor)[i][0] for i in range(3)])
    assert all((ours == theirs.numpy()).all() and ours.shape == (3, 224, 224) for ours, theirs in zip(*found))


# -- figures and tables --------------------------------------------------------------------------------------------------------
def test_a_ratio_above_one_is_a_win() -> None:
    assert tables.ratio(ROW) == 1.5
    assert tables.ratio(ROW, "median") == 1.25
    assert tables.ratios(ROW) == "1.50 (1.25)"


def test_without_pytorch_there_is_no_ratio() -> None:
    alone = {"numbacnn_best": 2.0, "numbacnn_median": 4.0}
    assert math.isnan(tables.ratio(alone))
    assert tables.ratios(alone) == "-"


def test_ratios_of_other_sides() -> None:
    row = ROW | {"compiled_best": 0.5, "compiled_median": 1.0, "jax_best": 1.0, "jax_median": 1.5}
    assert tables.ratio(row, side="compiled") == 6 and tables.ratio(row, "median", "compiled", "jax") == 1.5
    assert tables.ratios(row, "compiled", "jax") == "2.00 (1.50)"
    assert tables.ratios(row, "optimized") == tables.ratios(row, "compiled", "onnxruntime") == "-"


def test_a_side_that_cannot_run_has_an_empty_column_and_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [ROW | {"inductor_reason": "no compiler"}, ROW | {"jax_best": 1.0, "jax_median": 2.0, "inductor_reason": "no compiler"}]
    assert tables.present(rows) == ["numbacnn", "torch", "inductor", "jax"]
    assert [tables.cell(rows[0], side, "{:.1f}".format) for side in tables.present(rows)] == ["2.0 (4.0)", "3.0 (5.0)", "-", "-"]
    tables.report("name", "A title", [["a"], ["1"]], rows, {}, argparse.Namespace(threads=1, out=None))
    assert capsys.readouterr().out.count("torch.compile: no compiler.\n") == 1


def test_geometric_mean() -> None:
    assert tables.geometric_mean([0.5, 2, 8]) == pytest.approx(2)
    assert tables.geometric_mean(iter([3.0])) == pytest.approx(3)
    assert math.isnan(tables.geometric_mean([]))


def test_pivot_keeps_the_order_and_marks_gaps() -> None:
    rows = [
        {"op": op, "pass": p, "t": t} for op, p, t in (("b", "forward", 1), ("b", "backward", 2), ("a", "step", 3), ("a", "forward", 4))
    ]
    table = tables.pivot(rows, "op", "pass", lambda row: str(row["t"]))
    assert table == [["op", "forward", "backward", "step"], ["b", "1", "2", "-"], ["a", "4", "-", "3"]]


def test_markdown() -> None:
    assert tables.markdown([["a", "b"], ["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_a_report_says_what_it_depends_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "folder"
    args = argparse.Namespace(threads=3, out=out)
    tables.report("name", "A title", [["a"], ["1"]], [ROW], {"worst": 0.516, "without a peer": math.nan}, args)
    text = (out / "name.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out == text + "\n"
    title, table, summary, facts = text.rstrip("\n").split("\n\n")
    assert (title, table, summary) == ("**A title**", "| a |\n| --- |\n| 1 |", "worst: 0.52")
    found = json.loads((out / "name.json").read_text(encoding="utf-8"))
    assert found["rows"] == [ROW]
    assert found["summary"] == {"worst": 0.516}
    assert found["machine"]["threads"] == "3"
    assert found["machine"]["numpy"] == np.__version__
    assert all(f"{key} {value}" in facts for key, value in found["machine"].items())


def test_without_a_folder_a_report_only_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tables.report("name", "A title", [["a"], ["1"]], [ROW], {}, argparse.Namespace(threads=1, out=None))
    assert capsys.readouterr().out.startswith("**A title**\n\n| a |")
    assert not list(tmp_path.iterdir())


def test_the_readme_takes_the_tables_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text("new\n")
    text = "before\n<!-- one.md -->\nold\n<!-- end -->\nbetween\n<!-- two.md -->\nkept\n<!-- end -->\nafter\n"
    wanted = text.replace("old", "new")
    assert readme.filled(text, tmp_path) == wanted
    assert readme.filled(wanted, tmp_path) == wanted


def test_every_table_has_one_place() -> None:
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in readme.FILES]
    front, all_tables = ([Path(place[1]) for place in readme.PLACE.finditer(text)] for text in texts)
    assert front == [readme.RESULTS / "summary.md"]
    found = {path.relative_to(ROOT) for path in (ROOT / readme.RESULTS).glob("*.md")} - set(front)
    assert len(all_tables) == len(found) and set(all_tables) == found
    modules = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert all(path.stem.split("_")[0] in modules for path in all_tables)


def test_the_pages_show_the_results_that_are_there() -> None:
    again = "run python -m benchmarks.readme"
    assert readme.summary(ROOT / readme.RESULTS) == (ROOT / readme.RESULTS / "summary.md").read_text(encoding="utf-8"), again
    for name in readme.FILES:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert readme.filled(text, ROOT) == text, again


def results(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    (folder / f"{name}.json").write_text(json.dumps({"machine": {"threads": "2"}, "rows": rows}))


def test_the_summary_says_losses_as_plainly_as_wins(tmp_path: Path) -> None:
    times = {"numbacnn_best": 2.0, "torch_best": 1.0, "onnxruntime_best": 0.5}
    lenets = [{"model": "lenet", "batch": 1} | times | {"compiled_best": 0.25}, {"model": "lenet", "batch": 256} | times]
    lenets[1]["torch_best"] = 16.0
    results(tmp_path, "lenet_inference", lenets)
    results(tmp_path, "train", [{"net": "alone", "numbacnn_best": 1.0}])  # PyTorch was not there
    results(tmp_path, "memory", [{"net": "LeNet", "ratio": 1.5}, {"net": "other", "ratio": math.nan}])
    results(tmp_path, "startup", [{"what": w, "best": s} for w, s in (("cold cache", 8.0), ("warm cache", 0.5), ("PyTorch", 2.0))])
    results(tmp_path, "bandwidth", [{"operation": "ReLU", "pass": p} | times for p in ("forward", "forward", "step")])
    assert readme.summary(tmp_path).splitlines() == [
        "| beside PyTorch's CPU | geometric mean | worst | cases below 1 |",
        "| --- | --- | --- | --- |",
        "| LeNet, inference | 2.00 | 0.50 (lenet, batch 1) | 1 of 2 |",
        "| the same, compiled | 4.00 | 4.00 (lenet, batch 1) | 0 of 1 |",
        "| LeNet, inference, beside onnxruntime | 0.25 | 0.25 (lenet, batch 1) | 2 of 2 |",
        "| the same, compiled | 2.00 | 2.00 (lenet, batch 1) | 0 of 1 |",
        "| pooling, activations, losses, batch norm: forward | 0.50 | 0.50 (ReLU) | 2 of 2 |",
        "| optimiser steps | 0.50 | 0.50 (ReLU) | 1 of 1 |",
        "| peak memory of a training step | 1.50 | 1.50 (LeNet) | 0 of 1 |",
        "| process start to the end of a first LeNet step, kernels on disk | 4.00 | 4.00 (0.5 s) | 0 of 1 |",
        "| the same, kernels compiled for the first time | 0.25 | 0.25 (8.0 s) | 1 of 1 |",
        "",
        "<sub>threads 2</sub>",
    ]


def test_the_command_fills_both_pages(tmp_path: Path) -> None:
    folder = tmp_path / readme.RESULTS
    folder.mkdir(parents=True)
    results(folder, "memory", [{"net": "LeNet", "ratio": 1.5}])
    (folder / "memory.md").write_text("the table\n", encoding="utf-8")
    for name, table in zip(readme.FILES, ("summary", "memory")):
        (tmp_path / name).write_text(f"<!-- {readme.RESULTS.as_posix()}/{table}.md -->\n<!-- end -->\n", encoding="utf-8")
    readme.main(tmp_path)
    assert "| 1.50 (LeNet) |" in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "-->\nthe table\n<!--" in (tmp_path / "benchmarks" / "README.md").read_text(encoding="utf-8")


# -- how much work there is ------------------------------------------------------------------------------------------------------
def test_the_layers() -> None:
    assert len(conv.LAYERS) >= 16
    assert [name for name, layer in conv.LAYERS.items() if layer.plain_3x3] == [
        "64 @ 224, 3x3",
        "64 @ 56, 3x3",
        "128 @ 28, 3x3",
        "256 @ 14, 3x3",
    ]
    assert conv.LAYERS["LeNet 1 > 6 @ 28, 5x5"].gflop == pytest.approx(2e-9 * 256 * 28 * 28 * 6 * 25)
    assert conv.LAYERS["128 @ 56, 3x3, depthwise, stride 2"].gflop == pytest.approx(2e-9 * 8 * 28 * 28 * 128 * 9)
    assert conv.layer({"layer": "64 @ 56, 3x3", "batch": 16}).n == 16


def test_the_summary_names_the_worst() -> None:
    plain, other = "64 @ 56, 3x3", "512 @ 7, 3x3"
    rows = [
        {"layer": layer, "pass": "forward", "numbacnn_best": 1.0, "torch_best": t}
        for layer, t in ((plain, 2.0), ("128 @ 28, 3x3", 8.0), (other, 0.5))
    ]
    found = conv.summary(rows)
    assert found["geometric mean"] == pytest.approx(2)
    assert found["worst"] == 0.5
    assert found["3x3 stride 1, 64 to 256 channels, forward"] == pytest.approx(4)
    assert found["its worst, forward"] == 2


def test_bytes() -> None:
    n = 32 * 64 * 56 * 56
    for name, direction, wanted in (
        ("ReLU, 64 @ 56", "forward", 8 * n),  # read, write
        ("ReLU, 64 @ 56", "backward", 12 * n),  # the gradient and the output read, written
        ("batch norm, 64 @ 56", "forward", 12 * n),
        ("average pool 2x2, 64 @ 56", "backward", 5 * n),
        ("bias gradient, 64 @ 56", "backward", 4 * n),
    ):
        assert bandwidth.gigabytes({"operation": name, "pass": direction}) == pytest.approx(1e-9 * wanted)
    step = {"operation": "Adam, LeNet", "pass": "step", "optimiser": "Adam", "size": "LeNet"}
    assert bandwidth.gigabytes(step) == pytest.approx(1e-9 * 28 * 61706)


def test_an_epoch_has_at_least_twenty_steps() -> None:
    found = [lenet.images({"batch": n, "mode": "training"}) for n in (256, 32, 1)]
    assert found == [5120, 640, 256]
    assert lenet.images({"batch": 256, "mode": "inference"}) == 256


# -- the processes -----------------------------------------------------------------------------------------------------------------
def test_a_child_gets_the_threads_and_no_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    found = alternate.environment(3, NUMBA_CACHE_DIR="there")
    assert "OMP_WAIT_POLICY" not in found
    assert (found["OMP_NUM_THREADS"], found["NUMBA_NUM_THREADS"], found["NUMBA_CACHE_DIR"]) == ("3", "3", "there")


def test_timed_warms_up_and_runs_often_enough() -> None:
    runs: list[None] = []
    assert len(alternate.timed(lambda: runs.append(None), 0.0, least=4)) == 4
    assert len(runs) == 5


def test_a_worker_answers_and_one_that_stopped_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    worker = alternate.Worker("benchmarks.lenet", "numbacnn", 1)
    try:
        times = worker.ask(case={"model": "lenet", "batch": 1, "mode": "inference"}, seconds=0)
        assert len(times) >= 3 and min(times) > 0
        with pytest.raises(RuntimeError, match=r"^the worker stopped: benchmarks\.lenet, numbacnn, 1 threads$"):
            worker.ask(case={"model": "none", "batch": 1, "mode": "inference"}, seconds=0)
    finally:
        worker.close()


def test_the_quickest_way_counts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def ways(case: alternate.Case) -> alternate.Ways:
        asked.append(case)
        return [lambda: time.sleep(0.05), lambda: None]

    lines = [json.dumps({"case": {"at": n}, "seconds": 0}) for n in (1, 1, 2)]
    monkeypatch.setattr(sys, "stdin", lines)
    alternate.work({"onnxruntime": ways}, argparse.Namespace(worker="onnxruntime", threads=1))
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 3 and max(map(min, answers)) < 0.05
    assert asked == [{"at": 1}, {"at": 2}]  # made once for turns that follow each other


def test_a_worker_says_why_it_cannot(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def ways(case: alternate.Case) -> alternate.Ways:
        if case["at"] == 1:
            raise alternate.Unavailable("no compiler")
        return [lambda: None]

    lines = [json.dumps({"case": {"at": n}, "seconds": 0}) for n in (1, 1, 2)]
    monkeypatch.setattr(sys, "stdin", lines)
    alternate.work({"jax": ways}, argparse.Namespace(worker="jax", threads=1))
    first, again, other = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == again == "no compiler" and len(other) == 3


class Asked:
    """A worker whose answers are there already."""

    def __init__(self, module: str, side: str, threads: int) -> None:
        self.answers = iter([[3.0, 1.0], [2.0, 4.0]] if side == "numbacnn" else ["no compiler"] * 2)

    def ask(self, **request: Any) -> Any:
        return next(self.answers)

    def close(self) -> None:
        pass


def test_rows_have_times_or_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alternate, "Worker", Asked)
    args = argparse.Namespace(threads=1, rounds=2, seconds=0)
    (row,) = alternate.compare("benchmarks.x", {"numbacnn": list, "compiled": list}, [{"at": 1}], args)
    assert row == {"at": 1, "numbacnn_best": 1.0, "numbacnn_median": 2.5, "compiled_reason": "no compiler"}


# -- more cores ------------------------------------------------------------------------------------------------------------------
def test_tasks_are_laid_out() -> None:
    seconds = [1.0, 1.0, 4.0, 2.0]
    assert [scaling.longest_first(seconds, n) for n in (1, 2, 3, 8)] == [8, 4, 4, 4]
    assert [scaling.in_order(seconds, n) for n in (1, 2, 3, 8)] == [8, 6, 4, 4]
    launch = {"tasks": [seconds, [1.0]], "outside": 0.5}
    assert scaling.alone(launch) == 9.5
    assert scaling.laid_out(launch, 2, 0.25) == 0.5 + 4 + 1 + 2 * 0.25
    assert scaling.efficiency([launch, launch], 2, 0.0) == pytest.approx(9.5 / 2 / 5.5)
    assert [scaling.counts(phases) for phases in ([], [[1.0]], [[1.0] * 3] * 2, [[1.0] * 28, [1.0] * 36])] == [
        "none",
        "1",
        "2 x 3",
        "2 x 28-36",
    ]


def test_a_barrier_grows_with_the_logarithm() -> None:
    assert scaling.waits(1e-6, 0.0, 2) == pytest.approx({2: 1e-6, 4: 2e-6, 8: 3e-6, 16: 4e-6, 32: 5e-6})
    assert scaling.waits(3e-6, 1e-6, 8) == pytest.approx({2: 1e-6, 4: 2e-6, 8: 3e-6, 16: 12e-6, 32: 29e-6})
    assert scaling.waits(0.0, 0.0, 1)[32] == 0


def test_the_launches_that_lose_most_come_first() -> None:
    def launch(layer: str, *phases: list[float]) -> dict[str, Any]:
        return {"pass": "forward", "layer": layer, "kernel": "k", "tasks": list(phases), "outside": 0.0}

    launches = [launch("a", [1.0] * 16), launch("b", [2.0]), launch("c", [2.0]), launch("d", [1.0] * 8)]
    row = {"step": "LeNet", "batch": 1, "waits": {str(n): 0.0 for n in scaling.THREADS}, "launches": launches}
    lines = scaling.worst_table([row], 2)[1:]
    assert [line[4:8] for line in lines] == [["1", "b and 1 more", "4e+03", "0.06"], ["8", "d", "8e+03", "0.50"]]
    assert lines[0][8] == f"{3.75 / 4.25:.0%}"
    steps = scaling.steps_table([row | {"measured": {"1": [28.0], "2": [20.0]}}])
    assert steps[1][:7] == ["LeNet", "1", "4", "4", "4", "2.8e+04", "2.8e+04"] and steps[1][-1] == "0.70"


ALONE = """
import json
import numpy as np
import numbacnn as nc
from benchmarks import scaling
timer = scaling.OneByOne()
x, w = (nc.tensor(np.random.default_rng(i).standard_normal(shape, np.float32)) for i, shape in enumerate(((3, 16, 30, 30), (7, 16, 3, 3))))
timer.clear()
y = nc.nn.functional.conv2d(x, w).numpy()
phases, whole = timer.read()
scaling.OneByOne = lambda: timer
print(json.dumps([y.tobytes().hex(), phases, whole, scaling.tasks(scaling.LENET, 1)]))
"""


def test_every_task_of_a_step_is_timed() -> None:
    """The loop that runs tasks one by one does what Numba's does, and hears of as many as the kernels cut."""
    environment = alternate.environment(1)
    found = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300)
    assert found.returncode == 0, found.stderr
    data, phases, whole, rows = json.loads(found.stdout)
    import numbacnn as nc

    shapes = (3, 16, 30, 30), (7, 16, 3, 3)
    x, w = (nc.tensor(np.random.default_rng(i).standard_normal(shape, np.float32)) for i, shape in enumerate(shapes))
    assert data == nc.nn.functional.conv2d(x, w).numpy().tobytes().hex()
    assert whole >= sum(map(sum, phases)) > 0
    assert {row["pass"] for row in rows} == {"forward", "backward", "optimizer"}
    assert all(seconds >= 0 for row in rows for phase in row["tasks"] for seconds in phase)
    images = max(len(phase) for row in rows for phase in row["tasks"] if row["kernel"] == "avg_forward")
    assert images == 256 and sum(map(scaling.alone, rows)) > 0


# -- both sides do the same ----------------------------------------------------------------------------------------------------------
def same(found: Any, wanted: Any, rtol: float = 1e-4) -> None:
    found, wanted = (np.asarray(a.detach().numpy() if hasattr(a, "detach") else a) for a in (found, wanted))
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol * np.abs(wanted).max())


@pytest.mark.parametrize("direction", conv.PASSES)
@pytest.mark.parametrize("name", list(conv.LAYERS))
def test_convolutions_agree(name: str, direction: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: pip install torch==2.13.0")
    layer = conv.LAYERS[name]
    depthwise = layer.groups == layer.c > 1
    few = {"n": 1, "h": min(layer.h, 9), "c": min(layer.c, 8), "oc": min(layer.oc, 8), "groups": min(layer.groups, 8 if depthwise else 2)}
    monkeypatch.setitem(conv.LAYERS, name, replace(layer, **few))
    case = {"layer": name, "pass": direction}
    (mine,) = (way() for way in conv.ours(case))
    at = conv.PASSES[1:].index(direction) if direction != "forward" else None
    for way in conv.theirs(case):
        result: Any = way()
        same(mine, result if at is None else result[at])


@pytest.mark.parametrize("name", list(bandwidth.LAYERS))
def test_layers_bound_by_memory_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nn = pytest.importorskip("torch", reason="needs PyTorch: pip install torch==2.13.0").nn

    layer = bandwidth.LAYERS[name]
    assert hasattr(nn, layer.name)
    shape = (2, *layer.shape[1:]) if len(layer.shape) == 2 else (2, layer.shape[1], 14, 14)
    monkeypatch.setitem(bandwidth.LAYERS, name, replace(layer, shape=shape))
    case = {"operation": name, "pass": "forward"}
    (mine,) = (way() for way in bandwidth.ours(case))
    for way in bandwidth.theirs(case):
        same(mine, way())
    for way in bandwidth.ours({"operation": name, "pass": "backward"}) + bandwidth.theirs({"operation": name, "pass": "backward"}):
        way()  # can be repeated
        way()


@pytest.mark.parametrize("name", list(bandwidth.LAYERS))
def test_the_stated_output_is_the_layer_s(name: str) -> None:
    from numbacnn.geometry import PoolGeometry

    layer = bandwidth.LAYERS[name]
    if layer.name == "AdaptiveAvgPool2d":
        assert layer.output == math.prod(layer.shape[:2])
    elif "Pool" in layer.name:
        assert layer.output == math.prod(PoolGeometry.of(layer.shape, *layer.arguments).output_shape)
    elif layer.output > 1:
        assert layer.output == math.prod(layer.shape)


@pytest.mark.parametrize("model", lenet.MODELS)
def test_the_exported_lenet_is_ours(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason='needs ONNX Runtime: pip install -e ".[bench]"')
    pytest.importorskip("onnx")
    import numbacnn as nc

    net = nc.models.get(model)()
    monkeypatch.setattr(nc.models, "get", lambda name: lambda: net)
    session = onnxruntime.InferenceSession(lenet.exported(model), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)
    same(net(nc.tensor(x)), session.run(None, {"x": x})[0])


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason='needs JAX: pip install -e ".[bench]"')
def test_the_lenet_of_jax_is_ours() -> None:
    """In a process of its own: where JAX has been imported, its threads make a fork a danger."""
    command = [sys.executable, "-c", "import test_benchmarks as t; [t.compare_with_jax(model) for model in t.lenet.MODELS]"]
    child = subprocess.run(command, cwd=Path(__file__).parent, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr


def compare_with_jax(model: str) -> None:
    import numbacnn as nc

    weights = lenet.jax_weights()
    net = nc.models.get(model)()
    turned = [np.asarray(w) for w in weights]
    turned[4] = turned[4].reshape(5, 5, 16, 120).transpose(2, 0, 1, 3).reshape(400, 120)  # channels last to channels first
    with nc.no_grad():
        for p, w in zip(net.parameters(), turned):
            p.copy_(nc.tensor(np.ascontiguousarray(w.transpose(3, 2, 0, 1) if w.ndim == 4 else w.T)))
    x = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)
    same(net(nc.tensor(x)), lenet.jax_lenet(model, weights, x.transpose(0, 2, 3, 1)))
    (epoch,) = lenet.jit({"model": model, "batch": 64, "mode": "training"})
    epoch()


@pytest.mark.parametrize("module", [lenet, train])
def test_a_compiled_step_is_replayed(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column of compiled steps must not be one of eager ones."""
    import numbacnn as nc

    made = []
    real = nc.compile
    monkeypatch.setattr(nc, "compile", lambda *args, **options: made.append(real(*args, **options)) or made[-1])
    monkeypatch.setitem(train.NETS, "LeNet", replace(train.LENET, shape=(2, 1, 28, 28)))
    (way,) = (
        module.MAKERS["compiled"]({"net": "LeNet"})
        if module is train
        else lenet.ours({"model": "lenet", "batch": 64, "mode": "training"}, True)
    )
    way()
    assert sum(entry.replays for entry in made[0]._entries.values()) >= 8


def test_a_plan_is_timed_as_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    from numbacnn.plan import compiled

    monkeypatch.setattr(compiled, "Plan", compiled.Plan)  # it is put back
    monkeypatch.setitem(train.NETS, "ResNet-18, 32x32, 1 image", train.Net("small_resnet", {}, (1, 3, 32, 32)))
    found = startup.plans()
    assert len(found) == len(startup.BATCHES) and min(found) > 0


NETS = [*train.NETS.values(), train.LENET, *serve.NETS.values()]


@pytest.mark.parametrize("net", NETS, ids=lambda net: f"{net.name}-{net.shape}")
def test_networks_have_the_same_parameters(net: train.Net) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: pip install torch==2.13.0")
    import numbacnn as nc
    from benchmarks import torch_nets

    mine = getattr(nc.models, net.name)(classes=10, **net.arguments)
    other = getattr(torch_nets, net.name)(**net.arguments)
    assert [tuple(p.shape) for p in mine.parameters()] == [tuple(p.shape) for p in other.parameters()]


@pytest.mark.parametrize("mode", list(serve.CALLS))
def test_a_request_has_the_same_shape_on_all_sides(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="needs PyTorch: pip install torch==2.13.0")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    case = {"net": "LeNet, 28x28", "mode": mode}
    with_onnx = "onnxruntime" in alternate.available(serve.MAKERS)
    optimized = serve.ours(case, optimize=True) if mode != "inference" else []  # it has no gradient in any mode
    for way in optimized + serve.ours(case) + serve.theirs(case) + (serve.onnx(case) if with_onnx and mode != "inference" else []):
        result: Any = way()
        if mode == "inference":  # the worker is in the mode already
            assert tuple(result.shape) == (1, 10) and result.requires_grad
        else:
            answers = [result] if mode == "request" else result
            assert len(answers) == (8 if mode == "clients" else 1)
            assert all(answer.shape == (10,) and answer.sum() == pytest.approx(1, abs=1e-5) for answer in answers)


@pytest.mark.parametrize("side", ["torch", "onnxruntime"])
def test_what_a_side_writes_it_reads(side: str, tmp_path: Path) -> None:
    if side not in serve.sides():
        pytest.skip(f"needs PyTorch and {side}: pip install -e .[bench] torch==2.13.0")
    import torch

    net = serve.NETS["LeNet, 28x28"]
    torch.manual_seed(0)
    serve.write(side, net, tmp_path / "net")
    torch.manual_seed(0)
    wanted = serve.their_request(serve.their_network(net), torch.contiguous_format)(serve.picture(net))
    same(serve.read(side, net, tmp_path / "net", 1)(serve.picture(net)), wanted)


def test_what_we_write_we_read(tmp_path: Path) -> None:
    import numbacnn as nc

    net = serve.NETS["LeNet, 28x28"]
    nc.manual_seed(0)
    serve.write("numbacnn", net, tmp_path / "net")
    nc.manual_seed(0)
    wanted = nc.predict(serve.our_network(net), serve.picture(net))[0]
    assert np.array_equal(serve.read("numbacnn", net, tmp_path / "net", 1)(serve.picture(net)), wanted)


def test_histograms_of_colours() -> None:
    images = np.zeros((2, 1, 4, 3), np.uint8)
    images[1, 0, 1:] = 255
    found = folders.histograms(folders.ImageDataset(images, np.array([0, 1]), ("a", "b")))
    assert found.shape == (2, 512) and found[0, 0] == 1 and found[1, 0] == 0.5
    assert found[1, 511] == pytest.approx(math.sqrt(0.75)) and (found > 0).sum() == 3


def test_the_drawn_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each character for training and for testing, in other fonts, and the same pictures each time."""
    monkeypatch.setattr(folders, "TRAIN", 2)
    monkeypatch.setattr(folders, "TEST", 1)
    for folder in ("one", "two"):
        folders.write("drawn", tmp_path / folder)
    train, test, again = (folders.read(tmp_path / part, 40, 1) for part in ("one/train", "one/test", "two/train"))
    assert (len(train), len(test), len(train.classes)) == (24, 12, 12) and train.classes == test.classes
    assert folders.looks_drawn(train.images) and (train.images == again.images).all()
    assert not set(folders.TRAIN_FONTS) & set(folders.TEST_FONTS)


# -- a GPU's ---------------------------------------------------------------------------------------------------------------------
def parts_of(monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Parts of the GPU's benchmark that are these scripts, of at most two seconds each."""
    monkeypatch.setattr(gpu, "PARTS", {name: gpu.Part(lambda: iter(()), 2.0, {"PART": name}) for name in scripts})
    monkeypatch.setattr(gpu, "command", lambda name: [sys.executable, "-I", "-S", "-c", scripts[name]])
    monkeypatch.setattr(gpu, "fake", lambda: False)


def measured(capsys: pytest.CaptureFixture[str], **options: Any) -> list[dict[str, Any]]:
    gpu.measure(argparse.Namespace(**{"only": None, "budget": 60.0} | options), gpu.Report())
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(row.pop("t") >= 0 for row in rows) and rows[-1].pop("seconds") >= 0 and rows.pop() == {"part": "end"}
    return rows


def test_a_part_that_dies_or_hangs_is_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    good = """import os; print('{"us": 1.23456}', flush=True); print('a word'); print('{"name": "' + os.environ['PART'] + '"}')"""
    dies = good + "; import sys; sys.stdout.flush(); sys.exit('an illegal address')"
    parts_of(monkeypatch, good=good, dies=dies, hangs="import time; time.sleep(99)", last=good)
    rows = measured(capsys)
    assert rows == [
        {"part": "good", "us": 1.235},
        {"part": "good", "name": "good"},
        {"part": "dies", "us": 1.235},
        {"part": "dies", "name": "dies"},
        {"part": "dies", "error": "the process ended with status 1: an illegal address"},
        {"part": "hangs", "error": "stopped after 2 s"},
        {"part": "last", "us": 1.235},
        {"part": "last", "name": "last"},
    ]


def test_parts_that_are_not_asked_for_or_come_too_late(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    parts_of(monkeypatch, one="", two="print('{}')")
    assert measured(capsys, only=["two"]) == [{"part": "two"}]
    assert measured(capsys, budget=4.0) == [{"part": name, "skipped": "no time left"} for name in ("one", "two")]


def test_a_gpus_figures_are_kept_and_a_fake_ones_marked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from numbacnn.kernels.cuda import driver

    parts_of(monkeypatch, one="print('{}')")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))  # which is set otherwise
    monkeypatch.setattr(driver, "why_unavailable", lambda: "")
    monkeypatch.setattr(driver, "SIMULATED", False)
    monkeypatch.setattr(sys, "argv", ["gpu", "--out", str(tmp_path)])
    gpu.main()
    (file,) = tmp_path.iterdir()
    assert file.match("gpu-*.jsonl") and file.read_text() == capsys.readouterr().out
    assert [json.loads(line)["part"] for line in file.read_text().splitlines()] == ["one", "end"]
    monkeypatch.setattr(gpu, "fake", lambda: True)
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    gpu.main()
    assert [json.loads(line)["driver"] for line in capsys.readouterr().out.splitlines()] == ["fake", "fake"]
    assert list(tmp_path.iterdir()) == [file]


def test_without_a_driver_the_gpus_benchmark_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from numbacnn.kernels.cuda import driver

    monkeypatch.setattr(driver, "why_unavailable", lambda: "no driver")
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit, match=r"^benchmarks.gpu: no CUDA device: no driver$"):
        gpu.main()


def test_a_networks_steps_end_in_the_same_bits_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU, where there is no graph."""
    import numbacnn as nc

    monkeypatch.setattr(nc.nn.Module, "to", lambda self, device: self)
    monkeypatch.setattr(nc.config, "cuda_graphs", True)
    x, y = map(nc.from_array, train.batch((2, 1, 28, 28)))
    found = []
    for way in ("eager", "list"):
        model, step = gpu.made("LeNet", way)
        for _ in range(5):
            step(x, y)
        found.append(gpu.state(model))
    assert found[0] == found[1]
    model.state_dict()["0.bias"].add_(1e-3)
    assert gpu.state(model) != found[1]
