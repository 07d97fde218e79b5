"""``numbacnn selftest``: findings, crashes, replays and what it prints, with frameworks that a test writes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numbacnn.cli import main
from numbacnn.errors import FormatError
from numbacnn.testing import Finding, adapters, child, judge
from numbacnn.testing.cases import LAYOUTS, Values, from_data, to_data
from numbacnn.testing.judge import choose_laws
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
    assert re.search(r"^no law broken: \d laws, 1 implementations, \d+ cases in \d+ s$", out, re.M)


def test_a_broken_law_is_told_kept_and_run_again(framework: Callable[[str], str], run: Run, tmp_path: Path) -> None:
    path, kept = framework(WRONG), tmp_path / "found.json"
    code, out, _ = run("--framework", path, "--ops", "pad", "--examples", "60", "--json", str(kept))
    assert code == 1 and "1 BROKEN" in out
    assert "mine 1.0 breaks a law: pad: padding_modes_are_numpys" in out
    assert "\n  constant, reflect, replicate and circular are NumPy's constant, reflect, edge and wrap" in out
    assert re.search(r"expected \S+ at \(.*\); received \S+; \d+ of \d+ elements differ", out)
    code, again, _ = run("--replay", str(kept))
    assert code == 1 and "laws are still broken" in again
    framework(SOUND)
    code, mended, _ = run("--replay", str(kept))
    assert code == 0 and "mine keeps the law now: pad: padding_modes_are_numpys" in mended
    assert re.search(r"^0 of \d laws are still broken$", mended, re.M)


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


def test_what_a_child_writes_to_is_seen(framework: Callable[[str], str], run: Run) -> None:
    code, out, _ = run("--framework", framework("x = x.copy() if not x.flags.writeable else x; x[...] = 7"), "--examples", "10")
    assert code == 1 and re.search(r"^pad +inputs_are_left_alone .* BROKEN", out, re.M)


@pytest.mark.parametrize("fault", ["return np.zeros(3)", "return np.array(['a'])", "return (x, None)"])
def test_results_of_another_form_break_a_law(framework: Callable[[str], str], run: Run, fault: str) -> None:
    code, out, _ = run("--framework", framework(fault), "--examples", "10")
    assert code == 1 and "BROKEN" in out


def test_a_framework_that_does_not_start_is_one_line(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "mine.py"
    for text in ("undefined", "import os; os._exit(3)", "def f(:"):
        path.write_text(text)
        code, out, err = run("--framework", str(path))
        assert (code, out) == (1, "") and "[implementations] expected a framework" in err and "Traceback" not in err


def test_a_call_that_hangs_is_a_finding(framework: Callable[[str], str]) -> None:
    (mine,) = child.isolated(framework(HANGS), patience=0.5)
    x = np.zeros((1, 1, 9), np.float32)
    with pytest.raises(Crashed, match=r"^no answer within 0\.5 s$"):
        mine.pad(x, (3, 3))
    assert mine.pad(x, (1, 1)).shape == (1, 1, 11), "a new process answers"


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
        assert (strides if x.size else x.strides, writeable) == (x.strides, x.flags.writeable)


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


def test_time_draws_rounds_until_it_is_over(framework: Callable[[str], str], run: Run) -> None:
    code, out, _ = run("--framework", framework(SOUND), "--time", "1s")
    assert code == 0
    drawn = int(re.search(r"([\d,]+) cases", out)[1].replace(",", ""))
    assert drawn > 5 * 6, "more than the first round"


ERRORS = [
    (("--time", "soon"), 2, "'soon' is no time, such as 60s or 5m"),
    (("--time", "5s", "--examples", "3"), 2, "selftest: expected --examples or --time; received both"),
    (("--ops", "convolve"), 1, "[selftest] expected ops among conv, "),
    (
        ("--framework", "caffe"),
        1,
        "[implementations] expected one of compiled, jax, mlx, numbacnn, onnxruntime, pytorch, reference, scipy, tinygrad, or ",
    ),
    (("--framework", "scipy", "--ops", "max_pool"), 2, "selftest: scipy offers none of max_pool"),
    (("--framework", "scipy", "--device", "cuda"), 2, "selftest: --device is of numbacnn; another framework is judged on its own"),
    (("--replay", "nothing.json"), 1, "nothing.json"),
    (("--json", "nowhere/found.json"), 2, "selftest: expected --json in a folder that is there; received nowhere/found.json"),
]


@pytest.mark.parametrize(("words", "code", "text"), ERRORS, ids=[" ".join(words) for words, *_ in ERRORS])
def test_errors(run: Run, words: tuple[str, ...], code: int, text: str) -> None:
    found, _, err = run(*words)
    assert found == code and text in err and "Traceback" not in err


def test_a_file_without_the_function_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.py"
    path.write_text("")
    with pytest.raises(ValueError, match=r"^\[implementations\] expected a function implementations\(\) in the file; received "):
        adapters.implementations(str(path))


@pytest.mark.parametrize(
    "text", ["", "[]", '{"framework": "scipy"}', '{"framework": "scipy", "options": {}, "verdicts": [{"finding": {"law": 1}}]}']
)
def test_damaged_files_are_refused(run: Run, tmp_path: Path, text: str) -> None:
    path = tmp_path / "found.json"
    path.write_text(text)
    code, _, err = run("--replay", str(path))
    assert code == 1 and "[selftest] expected a file of selftest --json; received " in err


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
