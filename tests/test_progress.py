"""What a run shows: on terminals of several widths, on a pipe, and on a busy machine."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import config, nn, plots, training
from numbacnn.errors import printable
from numbacnn.kernels.cpu.launch import default_threads
from numbacnn.training import progress
from numbacnn.training.progress import BusyMachine

PROGRAM = """
import sys
import numpy as np
import numbacnn as nc
from numbacnn import nn
rng = np.random.default_rng(0)
x, y = rng.standard_normal((60, 1, 4, 4)).astype(np.float32), np.arange(60) % 3
net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
for columns in map(int, sys.argv[1:]):
    if columns:
        import fcntl, struct, termios
        fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    print(f"columns {columns}", flush=True)
    nc.training.fit(net, (x, y), epochs=12, batch_size=20, threads=1)
"""
LINE = r"epoch +\d+   train loss \d\.\d{4} accuracy \d\.\d{4}   [\d,]+ images/s"


def on_a_terminal(*columns: int, **more: str) -> str:
    """What the program writes to a terminal that has so many columns, and then so many."""
    pty = pytest.importorskip("pty", reason="needs a pseudo terminal")
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment |= {"TQDM_MININTERVAL": "0", "NUMBACNN_QUIET": "1", **more}  # the bar is drawn at each step
    ours, its = pty.openpty()
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, *map(str, columns)], stdin=its, stdout=its, stderr=its, env=environment)
    os.close(its)
    written = b""
    try:
        while piece := os.read(ours, 1 << 16):
            written += piece
    except OSError:  # Linux's way to say that the child is gone
        pass
    finally:
        os.close(ours)
        assert child.wait(60) == 0
    return written.decode()


def test_the_bar_on_terminals() -> None:
    written = on_a_terminal(80, 40, 20)
    assert "\x1b" not in written  # no colours, and so nothing that NO_COLOR could forbid
    parts = re.split(r"columns \d+\r\n", written)[1:]
    for columns, text in zip((80, 40, 20), parts):
        shown = [line for line in re.split(r"[\r\n]+", text) if line.strip()]
        epochs = [line for line in shown if line.startswith("epoch") and "train" in line]
        assert len(epochs) == 12 and all(re.fullmatch(LINE, line) for line in epochs)
        bars = [line.rstrip() for line in shown if line not in epochs]
        assert max(map(len, bars)) <= columns
        bars = [line for line in bars if "loss" in line]
        wanted = {
            80: r"epoch \d+/12 +\d+%\|[^|]{3,}\| loss \d\.\d{4}, accuracy \d\.\d{4} \[\d\d:\d\d<\d\d:\d\d(, +[\d.]+k? images/s)?\]",
            40: r"\d+/12 +\d+% loss \d\.\d{4}, accuracy \d\.\d{4}",
            20: r" *\d+% loss \d\.\d{4}",
        }[columns]
        assert len(bars) >= 12 and all(re.fullmatch(wanted, line) for line in bars), bars[0]


def test_the_bar_in_ascii() -> None:
    written = on_a_terminal(80, PYTHONIOENCODING="ascii", NO_COLOR="1")
    assert written.isascii() and "\x1b" not in written and "|####" in written


def test_a_pipe_gets_a_line_an_epoch() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, "0"], capture_output=True, text=True, env=os.environ | {"NUMBACNN_QUIET": "1"})
    lines = done.stdout.split("\n")
    assert done.stderr == "" and "\r" not in done.stdout
    assert lines[0] == "columns 0" and lines[-1] == "" and len(lines) == 14 and all(re.fullmatch(LINE, line) for line in lines[1:-1])


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (None, "epoch 3/120  50%|#####     | loss 0.5000, accuracy 0.2500, top-5 1.0000 [00:00<?, ? images/s]"),
        (80, "epoch 3/120  50%|####5    | loss 0.5000, accuracy 0.2500, top-5 1.0000 [00:00<?]"),
        (60, "epoch 3/120  50% loss 0.5000, accuracy 0.2500, top-5 1.0000"),
        (50, " 50% loss 0.5000, accuracy 0.2500, top-5 1.0000"),
        (40, "3/120  50% loss 0.5000, accuracy 0.2500"),
        (30, "epoch 3/120  50% loss 0.5000"),
        (10, "3/120  50%"),
        (2, " 5"),
    ],
)
def test_what_the_bar_keeps(columns: int | None, text: str) -> None:
    meter = {"n": 10, "total": 20, "elapsed": 0, "ncols": columns, "prefix": "epoch 3/120", "ascii": True, "unit": " images"}
    assert progress.fitted(meter, [("loss", 0.5), ("accuracy", 0.25), ("top-5", 1.0)]) == text


def test_letters_that_the_terminal_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    progress.Progress(True, "cpu").line("猫 0.5")
    progress.Progress(False, "cpu").line("nothing")
    assert stream.buffer.getvalue() == b"\\u732b 0.5\n"
    assert printable("é\x1b", "latin-1") == "é\\x1b"


# -- a busy machine --------------------------------------------------------------------------------------------------------------
class Machine:
    """Steps on a clock that this moves: ``seconds(step, alone)`` is what each takes."""

    def __init__(self, seconds: Callable[[int, bool], float], crowded: bool = True, threads: int = 2) -> None:
        self.now, self.made, self.alone, self.seconds = 0.0, 0, list[bool](), seconds
        self.said: list[str] = []
        self.looks = 0

        def look() -> bool:
            self.looks += 1
            return crowded

        self.machine = BusyMachine(threads, self.said.append, lambda: self.now, look)

    def epoch(self, steps: int) -> None:
        assert list(self.machine.steps(self._steps(steps))) == [7] * steps

    def _steps(self, steps: int) -> Iterator[int]:
        for _ in range(steps):
            self.alone.append(config.threads == 1)
            self.now += self.seconds(self.made, self.alone[-1])
            self.made += 1
            yield 7


def test_a_busy_machine_is_told_once() -> None:
    found = Machine(lambda step, alone: 0.012 if alone else 0.32)
    found.epoch(4)  # a trial goes on from epoch to epoch
    assert found.looks == 0
    for _ in range(50):
        found.epoch(4)
    line = "numbacnn: this machine is busy: a step takes 320.0 ms with 2 threads and 12.0 ms with one; use --threads 1, in Python threads=1"
    assert found.said == [line] and found.looks == 1 and config.threads is None
    assert found.alone[:17] == [False] * 5 + [True, False] * 5 + [False] * 2 and sum(found.alone) == 5


@pytest.mark.parametrize(
    ("seconds", "crowded", "threads", "trials"),
    [
        (lambda step, alone: 0.01 if alone else 5.0, False, 2, 0),  # a quiet machine
        (lambda step, alone: 0.01 if alone else 5.0, True, 1, 0),  # one thread anyway
        (lambda step, alone: 0.2 if alone else 0.1, True, 2, 4),  # two threads still help
        (lambda step, alone: 0.1 if alone else 0.14, True, 2, 4),  # or cost little
        (lambda step, alone: 5.0 if step in (6, 8) else 0.1, True, 2, 4),  # a few steps are slow
    ],
)
def test_nothing_to_tell(seconds: Any, crowded: bool, threads: int, trials: int) -> None:
    found = Machine(seconds, crowded, threads)
    while found.now < 110:
        found.epoch(13)
    assert found.said == [] and sum(found.alone) == 5 * trials


def test_it_is_noticed_when_others_come_later() -> None:
    found = Machine(lambda step, alone: 0.1 if alone or step < 1000 else 0.3)
    while not found.said:
        found.epoch(100)
    assert 100 < found.now < 200 and "300.0 ms with 2 threads and 100.0 ms with one" in found.said[0]
    assert Machine(lambda step, alone: 3.0).epoch(12) is None
    assert progress._duration(3.04) == "3.0 s"


def test_the_load_opens_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    for load, wanted in ((0.1, False), (1.0, False), (2.2, False), (3.6, True), (9.0, True)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0, 0), raising=False)
        assert progress.crowded() is wanted
    monkeypatch.delattr(os, "getloadavg")  # Windows
    assert progress.crowded() is False


def test_the_threads_come_back_where_a_step_fails() -> None:
    def failing() -> Iterator[int]:
        yield from [1] * 5
        assert config.threads == 1
        raise KeyboardInterrupt

    machine = BusyMachine(2, print, crowded=lambda: True)
    with pytest.raises(KeyboardInterrupt):
        list(machine.steps(failing()))
    assert config.threads is None


@pytest.mark.skipif(default_threads() < 2, reason="needs two threads")
def test_a_trial_changes_no_bit(monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Any) -> None:
    monkeypatch.setattr(plots, "curve", lambda history, path: None)
    rng = np.random.default_rng(0)
    data = rng.standard_normal((40, 1, 10, 10)).astype(np.float32), np.arange(40) % 3
    weights, alone, end = [], list[bool](), BusyMachine._end
    monkeypatch.setattr(BusyMachine, "_end", lambda self, seconds, one: (alone.append(one), end(self, seconds, one))[1])
    for load in (0.0, 1000.0):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load, 0, 0), raising=False)
        nc.manual_seed(0)
        net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(256, 3))
        training.fit(net, data, epochs=3, batch_size=8, threads=2, out=tmp_path / str(load))
        weights.append([p.numpy().tobytes() for p in net.state_dict().values()])
    assert weights[0] == weights[1] and config.threads is None
    assert (len(alone), sum(alone[:15]), sum(alone[15:])) == (30, 0, 5)
    assert len(capsys.readouterr().out.splitlines()) == 6
