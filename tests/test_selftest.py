"""``numbacnn selftest``: findings, crashes, replays and what it prints, with frameworks that a test writes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numbacnn import backends, children
from numbacnn.backends import choice
from numbacnn.backends.cpu.conv import choose
from numbacnn.cli import main
from numbacnn.errors import FormatError
from numbacnn.plan.replay import Plan
from numbacnn.testing import Finding, adapters, child, judge
from numbacnn.testing.cases import LAYOUTS, Values, from_data, to_data
from numbacnn.testing.judge import choose_laws, hold
from numbacnn.testing.strategies import STRATEGIES, cases
from numbacnn.testing.trial import Crashed

Run = Callable[..., tuple[int, str, str]]

PADS = """
    import os, signal, sys, time
    from types import SimpleNamespace
    import numpy as np

    def pad(x, pad, mode="constant"):
        {fault}
        names = {{"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}}
        return np.pad(x, [(0, 0), (0, 0), *zip(pad[-2::-2], pad[::-2])], mode=names[mode])

    def implementations():
        print("a framework that prints")
        return [SimpleNamespace(name="mine", version="1.0", pad=pad)]
"""
SOUND = "pass"
WRONG = "x = x + 1 if max(pad) > 2 else x"
DIES = "max(pad) > 2 and (print('heap corrupted', file=sys.stderr, flush=True), os.kill(os.getpid(), signal.SIGABRT))"
ENDS = "max(pad) > 2 and os._exit(3)"
HANGS = "max(pad) > 2 and time.sleep(60)"
DIES_LATER = "max(pad) > 2 and __import__('threading').Timer(float(x.flat[0]), os.abort).start()"


@pytest.fixture
def framework(tmp_path: Path) -> Callable[[str], str]:
    """The path of a framework with a fault."""

    def write(fault: str) -> str:
        path = tmp_path / "mine.py"
        path.write_text(textwrap.dedent(PADS.format(fault=fault)))
        return str(path)

    return write


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*words: str) -> tuple[int, str, str]:
        code = main(["selftest", *words])
        return code, *capsys.readouterr()

    return call


def test_a_sound_framework(framework: Callable[[str], str], run: Run) -> None:
    code, out, err = run("--framework", framework(SOUND), "--examples", "5")
    assert (code, err) == (0, "")
    assert re.search(r"^pad +padding_modes_are_numpys +5 +0 +0 +\d+\.\d$", out, re.M)
    assert re.search(r"^no law broken: \d laws, 1 implementation, \d+ cases in \d+ s$", out, re.M)


def test_a_broken_law_is_told_kept_and_run_again(framework: Callable[[str], str], run: Run, tmp_path: Path) -> None:
    path, kept = framework(WRONG), tmp_path / "found.json"
    code, out, _ = run("--framework", path, "--ops", "pad", "--examples", "60", "--json", str(kept))
    assert code == 1 and "1 BROKEN" in out
    assert "mine 1.0 breaks a law: pad: padding_modes_are_numpys" in out
    assert "\n  constant, reflect, replicate and circular are NumPy's constant, reflect, edge and wrap" in out
    assert re.search(r"expected \S+ at \(.*\); received \S+; \d+ of \d+ elements differ", out)
    code, again, _ = run("--replay", str(kept))
    assert code == 1 and re.search(r"^([1-9]) of \1 laws? still broken$", again, re.M)
    framework(SOUND)
    code, mended, _ = run("--replay", str(kept))
    assert code == 0 and "mine keeps the law now: pad: padding_modes_are_numpys" in mended
    assert re.search(r"^0 of \d laws? still broken$", mended, re.M)


def test_the_lines_of_a_finding_run_and_show_the_fault(framework: Callable[[str], str]) -> None:
    (mine,) = adapters.implementations(framework(WRONG))
    finding = next(v.finding for v in judge(mine, choose_laws(["pad"]), examples=60) if v.finding)
    names = {"pad": mine.pad}
    exec(finding.code, names)
    assert str(names["y0"]) == finding.found
    case = from_data(json.loads(json.dumps(finding.case)))
    assert max(max(pair) for pair in case.geometry) == 3, "the smallest padding that shows the fault"
    assert Finding.from_json(json.loads(json.dumps(finding.to_json()))) == finding


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (DIES, "the process died of SIGABRT: heap corrupted"),
        (ENDS, "the process ended with status 3"),
    ],
)
def test_a_crash_is_a_finding_and_the_run_goes_on(framework: Callable[[str], str], run: Run, fault: str, text: str) -> None:
    code, out, _ = run("--framework", framework(fault), "--examples", "40")
    assert code == 1 and text in out
    assert re.search(r"^pad +inputs_are_left_alone .* BROKEN", out, re.M) and re.search(r"^pad +calls_repeat_bit_for_bit ", out, re.M)


def test_a_death_is_told_by_what_the_process_said_then(framework: Callable[[str], str]) -> None:
    (mine,) = child.isolated(framework("print('of long ago', file=sys.stderr, flush=True) if max(pad) < 3 else os._exit(3)"))
    x = np.zeros((1, 1, 9), np.float32)
    mine.pad(x, (1, 1))
    with pytest.raises(Crashed, match=r"^the process ended with status 3$"):
        mine.pad(x, (3, 3))


def test_a_child_outlives_the_thread_that_started_it(framework: Callable[[str], str]) -> None:
    with ThreadPoolExecutor(1) as pool:
        (mine,) = pool.submit(child.isolated, framework(SOUND)).result()
    time.sleep(0.2)
    assert mine.pad(np.zeros((1, 1, 9)), (1, 1)).shape == (1, 1, 11)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_call_ends_with_the_process_that_asked(framework: Callable[[str], str], tmp_path: Path) -> None:
    note = tmp_path / "life"
    path = framework(f"open({str(note)!r}, 'w').write(str(os.getpid())), time.sleep(60)")
    asks = f"import numpy as np; from numbacnn.testing import child; child.isolated({path!r})[0].pad(np.zeros((1, 1, 3)), (1, 1))"
    asking = subprocess.Popen([sys.executable, "-c", asks])
    try:
        _wait(lambda: note.exists() and note.read_text())
    finally:
        asking.kill()
        asking.wait()
    _wait(lambda: not _lives(int(note.read_text())))


def _wait(until: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.02)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")  # nobody may wait for it: then it stays as a zombie
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_limit_is_over_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer that fires while the answer comes must not end the process of the next question."""
    ended, began = [], threading.Event()

    def slowly(process: object) -> None:
        began.set()
        time.sleep(0.2)
        ended.append(process)

    monkeypatch.setattr(children, "kill", slowly)
    process: Any = object()
    with children.limit(process, 0.01) as late:
        began.wait()
    assert late.is_set() and ended == [process]


def test_what_a_child_writes_to_is_seen(framework: Callable[[str], str], run: Run) -> None:
    code, out, _ = run("--framework", framework("x = x.copy() if not x.flags.writeable else x; x[...] = 7"), "--examples", "10")
    assert code == 1 and re.search(r"^pad +inputs_are_left_alone .* BROKEN", out, re.M)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("return np.zeros(3)", "expected shape"),
        ("return np.array(['a'])", "expected an array of numbers; received ndarray of <U1"),
        ("return (x, None)", "expected "),
        ("return None", "expected an array of numbers; received NoneType of object"),
        ("return lambda: 0", "expected an array of numbers; received function of object"),
        ("return [[1], [2, 3]], 1", "expected an array; received list, and np.asarray says ValueError: "),
    ],
)
def test_results_of_another_form_break_a_law(framework: Callable[[str], str], run: Run, fault: str, text: str) -> None:
    code, out, _ = run("--framework", framework(fault), "--examples", "10")
    assert code == 1 and "BROKEN" in out and f"  {text}" in out and "the process" not in out


def test_what_numpy_makes_an_array_of_is_one(framework: Callable[[str], str]) -> None:
    """A framework's own type is not known on the other side."""
    (mine,) = child.isolated(framework("return type('Own', (), {'__array__': lambda self, *_, **__: x})()"))
    np.testing.assert_array_equal(mine.pad(np.arange(3.0), (0, 0)), np.arange(3.0))


def test_a_framework_that_does_not_start_is_one_line(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "mine.py"
    for text in ("undefined", "import os; os._exit(3)", "def f(:"):
        path.write_text(text)
        code, out, err = run("--framework", str(path))
        assert (code, out) == (2, "") and "[implementations] expected a framework" in err and "Traceback" not in err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_death_within_an_answer_is_told_at_once(framework: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of the answer is in the pipe, and what follows must not be taken for the rest of it."""
    (mine,) = child.isolated(framework("max(pad) > 2 and __import__('threading').Timer(0.2, os.abort).start()"), patience=5)
    load = child.pickle.load

    def late(stream: object) -> object:
        time.sleep(0.6)  # the answer is larger than the pipe: it waits for its reader
        return load(stream)

    x = np.zeros((1, 1, 1_000_000), np.float32)
    with monkeypatch.context() as patch:
        patch.setattr(child.pickle, "load", late)
        with pytest.raises(Crashed, match=r"^the process died of SIGABRT$"):
            mine.pad(x, (3, 3))
    assert mine.pad(x, (1, 1)).shape == (1, 1, 1_000_002)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.05])
def test_a_death_after_the_answer_leaves_the_answers_in_order(framework: Callable[[str], str], seconds: float) -> None:
    """Memory that a call has spoilt kills the process some time later: with a question half read, or between two."""
    (mine,) = child.isolated(framework(DIES_LATER))
    deaths = 0
    for i in range(12):
        x = np.full((1, 1, (9, 100_000)[i % 2]), seconds, np.float32)
        for wide in (3, 1, 2):
            try:
                assert mine.pad(x, (wide, wide)).shape == (1, 1, x.size + 2 * wide)
            except Crashed:
                deaths += 1
            time.sleep(0.02)
    assert deaths


def test_a_call_that_hangs_is_a_finding(framework: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    (mine,) = child.isolated(framework(HANGS), patience=0.5)
    x = np.zeros((1, 1, 9), np.float32)
    with pytest.raises(Crashed, match=r"^no answer within 0\.5 s$"):
        mine.pad(x, (3, 3))
    assert mine.pad(x, (1, 1)).shape == (1, 1, 11), "a new process answers"
    monkeypatch.setattr(child, "HURRY", 0.2)
    for patience in (0.5, 0.2):
        with pytest.raises(Crashed, match=rf"^no answer within {patience} s$"):
            mine.pad(x, (3, 3))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_reach_a_framework_as_they_lie(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from types import SimpleNamespace\n"
        "def implementations():\n"
        "    return [SimpleNamespace(name='mine', pad=lambda x: (x, x.strides, x.flags.writeable))]\n"
    )
    (mine,) = child.isolated(str(path))
    for shape in ((2, 3, 4, 5), (1, 2, 1, 2), (0, 3, 2), (3, 1, 1)):
        x = Values(shape, layout=layout).array
        same, strides, writeable = mine.pad(x)
        np.testing.assert_array_equal(same, x)
        assert (tuple(strides) if x.size else x.strides, writeable) == (x.strides, x.flags.writeable)


def test_a_file_of_the_folder_hides_no_library(framework: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But the framework's own modules beside it are found."""
    monkeypatch.chdir(tmp_path)
    for name in ("pickle", "numpy", "random"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('hidden')")
    (tmp_path / "beside_mine.py").write_text("")
    (mine,) = child.isolated(framework("import random, beside_mine"))
    assert mine.pad(np.zeros((1, 1, 9)), (1, 1)).shape == (1, 1, 11)


def test_what_a_framework_raises_comes_back(framework: Callable[[str], str]) -> None:
    (mine,) = child.isolated(framework(SOUND))
    with pytest.raises(KeyError, match="mirror"):
        mine.pad(np.zeros((1, 1, 3)), (1, 1), mode="mirror")


def test_an_unstable_fault_is_told(framework: Callable[[str], str]) -> None:
    """A framework that is wrong now and then: the finding stands though the case may hold when it is tried again."""
    (mine,) = adapters.implementations(framework(SOUND))
    calls, plain = [], mine.pad

    def pad(x: np.ndarray, *rest: object, **options: object) -> np.ndarray:
        calls.append(0)
        return plain(x, *rest, **options) + (len(calls) % 7 == 0)

    mine.pad = pad
    findings = [v.finding for v in judge(mine, choose_laws(["pad"]), examples=40) if v.finding]
    assert any("; not every time: the law held when the case was tried again" in finding.difference for finding in findings)


def test_it_leaves_no_files(tmp_path: Path) -> None:
    """Hypothesis keeps notes in the folder where it starts."""
    words = [sys.executable, "-m", "numbacnn", "selftest", "--framework", "reference", "--ops", "avg_pool", "--examples", "2"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    assert list(tmp_path.iterdir()) == []


def test_the_time_is_kept_inside_a_law(framework: Callable[[str], str]) -> None:
    (mine,) = adapters.implementations(framework("time.sleep(0.1)"))
    law, *_ = choose_laws(["pad"])
    assert 0 < hold(law, mine, (2,), 100, 0, until=time.perf_counter() + 0.5).cases < 10


def test_ctrl_c_shows_and_keeps_what_was_found(
    framework: Callable[[str], str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tqdm.tqdm.update", lambda bar: signal.raise_signal(signal.SIGINT))  # after the first law
    kept, unstable = tmp_path / "found.json", "x = x + time.perf_counter_ns() % 97"
    code, out, err = run("--framework", framework(unstable), "--examples", "60", "--json", str(kept))
    assert (code, err) == (130, "numbacnn: stopped\n")
    assert "1 BROKEN" in out and "mine 1.0 breaks a law: pad" in out and "; 6 not reached" in out
    (row,) = json.loads(kept.read_text())["verdicts"]
    assert row["finding"]["implementation"] == "mine"


def test_a_replay_finds_its_framework_from_any_folder_or_takes_another(
    framework: Callable[[str], str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    framework(WRONG)
    monkeypatch.chdir(tmp_path)
    assert run("--framework", "mine.py", "--examples", "60", "--json", "found.json")[0] == 1
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert run("--replay", "../found.json")[0] == 1
    Path("mended.py").write_text(textwrap.dedent(PADS.format(fault=SOUND)))
    assert run("--replay", "../found.json", "--framework", "mended.py")[0] == 0


def test_a_law_whose_cases_are_all_refused_is_not_judged(framework: Callable[[str], str], run: Run) -> None:
    code, out, _ = run("--framework", framework("raise NotImplementedError"), "--examples", "5")
    assert code == 2 and "\n7 laws not judged: every case was refused, most often by pad: NotImplementedError: \n" in out
    assert re.search(r"^pad +padding_modes_are_numpys +5 +5 +not judged ", out, re.M)


def test_time_draws_rounds_until_it_is_over(framework: Callable[[str], str], run: Run) -> None:
    code, out, _ = run("--framework", framework(SOUND), "--time", "1s")
    assert code == 0
    drawn = int(re.search(r"([\d,]+) cases", out)[1].replace(",", ""))
    assert drawn > 5 * 6, "more than the first round"


ERRORS = [
    (("--time", "soon"), 2, "'soon' is no time, such as 60s or 5m"),
    (("--time", "5s", "--examples", "3"), 2, "selftest: expected --examples or --time; received both"),
    (("--ops", "convolve"), 2, "[selftest] expected ops among conv, "),
    (
        ("--framework", "caffe"),
        2,
        "[implementations] expected one of compiled, jax, mlx, numbacnn, onnxruntime, pytorch, reference, scipy, tinygrad, or ",
    ),
    (("--framework", "scipy", "--ops", "max_pool"), 2, "selftest: scipy offers none of max_pool"),
    (("--ops", "pad"), 2, "selftest: numbacnn offers none of pad"),
    (("--framework", "scipy", "--device", "cuda"), 2, "selftest: --device is of numbacnn; another framework is judged on its own"),
    (("--replay", "nothing.json"), 2, "nothing.json"),
    (("--replay", "a.json", "--ops", "pad"), 2, "selftest: --replay runs the cases of its file as they were drawn; received --ops too"),
    (("--json", "."), 2, "argument --json: '.' is a folder"),
]


@pytest.mark.parametrize(("words", "code", "text"), ERRORS, ids=[" ".join(words) for words, *_ in ERRORS])
def test_errors(run: Run, words: tuple[str, ...], code: int, text: str) -> None:
    found, _, err = run(*words)
    assert found == code and text in err and "Traceback" not in err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes, which Windows lacks")
def test_a_json_that_is_no_file_is_refused_before_the_work(run: Run, tmp_path: Path) -> None:
    """A pipe stands for a device."""
    os.mkfifo(tmp_path / "pipe")
    code, _, err = run("--json", str(tmp_path / "pipe"))
    assert code == 2 and f"argument --json: {str(tmp_path / 'pipe')!r} is no file" in err


def test_the_laws_see_what_is_replayed_and_not_what_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call has a plan, recorded with other numbers; what has none is refused."""
    replays, run = [], Plan.run
    monkeypatch.setattr(Plan, "run", lambda plan, *rest: (replays.append(plan), run(plan, *rest))[1])
    (compiled,), (eager, *_) = adapters.implementations("compiled"), adapters.implementations("numbacnn")
    x, w, b, grad = (Values((2, 3, 6, 6), 1).array, Values((4, 3, 3, 3), 2).array, Values((4,), 3).array, Values((2, 4, 4, 4), 4).array)
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [("conv2d", (x, w, b), {}), ("conv2d_grad", (grad, x, w, b), {})]
    adaptive = ("adaptive_avg_pool2d", (4, 5)), ("adaptive_max_pool2d", (3, 2)), ("adaptive_max_pool2d", (4, 5))
    for name, kernel in (("max_pool2d", (2, 3)), ("avg_pool2d", (2, 3)), *adaptive):
        calls += [(name, (x, kernel), {}), (f"{name}_grad", (getattr(eager, name)(x, kernel), x, kernel), {})]
    calls += [("batch_norm", (x,), {"eps": 1e-3}), ("batch_norm_grad", (x[::-1].copy(), x), {"eps": 1e-3})]
    for i, (name, args, options) in enumerate(calls, 1):
        found, wanted = (getattr(each, name)(*args, **options) for each in (compiled, eager))
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b, name)
        assert len(replays) == i, name
    monkeypatch.setattr("numbacnn.config.compile", False)
    with pytest.raises(RuntimeError, match=r"^\[compile\] expected a function of which there is a plan; received "):
        compiled.max_pool2d(x[:1], (3, 3))


@pytest.mark.parametrize("family", ["conv", "conv_transpose"])
@pytest.mark.parametrize("way", backends.get("cpu").algorithms)
def test_most_cases_that_are_drawn_for_a_way_are_its_own(way: str, family: str) -> None:
    """A way is judged by itself, and not by what takes the place of what it declines."""
    mine = next(each for each in adapters.implementations("numbacnn") if each.name == f"numbacnn cpu {way}")
    axes = tuple(n for n in (1, 2, 3) if hasattr(mine, f"conv{n}d"))
    taken = []

    @settings(max_examples=60)
    @given(case=cases(family, axes, **mine.ranges[family]))
    def look(case: Any) -> None:
        with choice.only(way), contextlib.suppress(choice.Declined):
            taken.append(choose("grad_input" if way == "column sum" else "forward", case.geometry, "float32"))

    look()
    assert len(taken) >= 48


def test_a_file_without_the_function_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.py"
    path.write_text("")
    with pytest.raises(ValueError, match=r"^\[implementations\] expected a function implementations\(\) in the file; received "):
        adapters.implementations(str(path))


@pytest.mark.parametrize(("gives", "received"), [("[]", r"\[\]"), ("7", "7"), ("None", "None"), ("'mine'", "'mine'")])
def test_what_is_no_list_of_implementations_is_refused(tmp_path: Path, gives: str, received: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"def implementations():\n    return {gives}\n")
    with pytest.raises(ValueError, match=rf"^\[implementations\] expected a list of implementations; received {received}\.$"):
        adapters.implementations(str(path))


def test_implementations_of_one_name_are_numbered_and_run_again_by_that(framework: Callable[[str], str], run: Run, tmp_path: Path) -> None:
    """The last is broken: the others keep the law, in the replay too."""
    path, kept = Path(framework(SOUND)), tmp_path / "found.json"
    made = [f"SimpleNamespace(name='mine{tail}', pad={pad})" for tail, pad in (("-2", "pad"), ("", "pad"), ("", "lambda x, *_, **__: x"))]
    path.write_text(path.read_text().replace("return [", f"return [{', '.join(made)}] or ["))
    assert [each.name for each in child.isolated(str(path))] == ["mine-2", "mine", "mine-3"]
    assert run("--framework", str(path), "--ops", "pad", "--examples", "5", "--json", str(kept))[0] == 1
    found = json.loads(kept.read_text())["verdicts"]
    assert {row["implementation"] for row in found} == {"mine-2", "mine", "mine-3"}
    assert {row["implementation"] for row in found if row["finding"]} == {"mine-3"}
    assert run("--replay", str(kept))[0] == 1


@pytest.mark.parametrize(
    "text", ["", "[]", '{"framework": "scipy"}', '{"framework": "scipy", "options": {}, "verdicts": [{"finding": {"law": 1}}]}']
)
def test_damaged_files_are_refused(run: Run, tmp_path: Path, text: str) -> None:
    path = tmp_path / "found.json"
    path.write_text(text)
    code, _, err = run("--replay", str(path))
    assert code == 2 and "[selftest] expected a file of selftest --json; received " in err


@given(data=st.data())
def test_cases_are_data(data: st.DataObject) -> None:
    for family in STRATEGIES:
        case = data.draw(cases(family))
        again = from_data(json.loads(json.dumps(to_data(case))))
        assert repr(again) == repr(case), family


def test_what_is_no_case_is_refused() -> None:
    with pytest.raises(FormatError, match=r"^\[from_data\] expected a case as to_data writes it; received "):
        from_data({"is": "Popen", "args": ["ls"]})


def test_the_replay_of_an_unknown_law_is_refused(framework: Callable[[str], str]) -> None:
    (mine,) = adapters.implementations(framework(WRONG))
    finding = next(v.finding for v in judge(mine, choose_laws(["pad"]), examples=60) if v.finding)
    data = finding.to_json() | {"law": "pad: never"}
    with pytest.raises(FormatError, match=r"^\[replay\] expected a law of this version; received 'pad: never'\.$"):
        Finding.from_json(data).replay(mine)
