"""``examples/server.py`` in a process of its own: answers, refusals, limits, and a clean stop."""

from __future__ import annotations

import http.client
import importlib.util
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import numbacnn as nc
from numbacnn import checkpoint
from numbacnn.checkpoint import Checkpoint, Preprocessing

PIL = pytest.importorskip("PIL.Image", reason='needs pillow: pip install "numbacnn[demo]"')
SERVER = Path(__file__).parent.parent / "examples" / "server.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    nc.manual_seed(0)
    network = nc.models.small_resnet(classes=3)
    weights = {name: np.asarray(t) for name, t in network.state_dict().items()}
    seen = Preprocessing((3, 24, 24), (0.5,) * 3, (0.25,) * 3)
    saved = Checkpoint(weights, "small-resnet", {"classes": 3}, classes=("ape", "<b>bee</b>", "cow"), preprocessing=seen)
    checkpoint.save(folder / checkpoint.BEST, saved)
    return folder


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(SERVER.parents[1]), *sys.path]), "NUMBA_NUM_THREADS": "1"}


def start(run: Path) -> tuple[subprocess.Popen[str], int]:
    child = subprocess.Popen(
        [sys.executable, str(SERVER), str(run), "--port", "0"], env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line.startswith("http://127.0.0.1:"):
        child.kill()
        raise AssertionError(line + child.communicate()[1])
    return child, int(line.split(":")[2].partition("/")[0])


@pytest.fixture(scope="module")
def port(run: Path) -> Iterator[int]:
    child, port = start(run)
    try:
        yield port
    finally:
        child.kill()
        child.communicate()


def asked(port: int, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def png(seed: int, size: tuple[int, int] = (40, 30)) -> bytes:
    content = io.BytesIO()
    PIL.fromarray(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)).save(content, "PNG")
    return content.getvalue()


def test_answers_are_the_predictors(run: Path, port: int) -> None:
    """Eight clients at once."""
    predictor = nc.Predictor(run)
    found: dict[int, Any] = {}
    threads = [threading.Thread(target=lambda k=k: found.update({k: asked(port, "POST", "/predict", png(k))})) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(8):
        status, headers, body = found[k]
        answer, wanted = json.loads(body), predictor(png(k))
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert (answer["label"], answer["probability"]) == (wanted.label, wanted.probability)
        assert [(entry["label"], entry["probability"]) for entry in answer["top"]] == wanted.top(5)


def test_the_page(port: int) -> None:
    status, headers, body = asked(port, "GET", "/?from=here")
    page = body.decode()
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8" and page.startswith("<!doctype html>")
    assert "http:" not in page and "https:" not in page and "innerHTML" not in page  # nothing from elsewhere, no name as markup
    status, headers, body = asked(port, "HEAD", "/")
    assert (status, body) == (200, b"") and int(headers["Content-Length"]) == len(page.encode())


def refusal(port: int, *request: Any, **headers: str) -> tuple[int, str, str | None]:
    status, found, body = asked(port, *request, **headers)
    assert found["Content-Type"] == "application/json"
    return status, json.loads(body)["error"], found.get("Allow")


def test_refusals(port: int) -> None:
    wanted = "[Predictor] expected the bytes given to be a picture; received content of no format that pillow reads by itself"
    for body in (b"no picture", b"", png(0)[:40]):
        status, why, _ = refusal(port, "POST", "/predict", body)
        assert status == 400 and why.startswith("[Predictor] expected the bytes given to be a picture; received ")
    assert refusal(port, "POST", "/predict", b"no picture")[1].startswith(wanted)
    assert refusal(port, "GET", "/favicon.ico") == (404, "there are / and /predict", None)
    assert refusal(port, "POST", "/other", png(0)) == (404, "there are / and /predict", None)
    assert refusal(port, "GET", "/predict") == (405, "POST is the method for this address", "POST")
    assert refusal(port, "POST", "/", png(0)) == (405, "GET is the method for this address", "GET")
    assert refusal(port, "DELETE", "/") == (405, "GET is the method for this address", "GET")
    assert refusal(port, "POST", "/predict", iter([png(0)]))[:2] == (411, "a Content-Length is needed")
    form = {"Content_Type": "multipart/form-data; boundary=x"}
    assert refusal(port, "POST", "/predict", b"--x--", **form)[:2] == (
        415, "send the file as it is, not in a form: curl --data-binary @FILE"
    )  # fmt: skip
    assert asked(port, "NONSENSE", "/")[0] == 501


def test_too_large(port: int) -> None:
    """In bytes, also where the client sends all before it reads; and in pixels."""
    assert refusal(port, "POST", "/predict", bytes((20 << 20) + 1))[:2] == (413, "a picture file may have 20 MB")
    assert refusal(port, "POST", "/predict", b"x", Content_Length="9" * 5000)[0] == 413
    content = io.BytesIO()
    PIL.new("1", (6000, 5000)).save(content, "PNG")
    status, why, _ = refusal(port, "POST", "/predict", content.getvalue())
    assert status == 400 and "to have at most 25,000,000 pixels; received 6,000 x 5,000" in why


def test_what_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that is silent, one that goes away, and one that takes too long in all."""
    spec = importlib.util.spec_from_file_location("server", SERVER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.Handler, "timeout", 0.2)
    monkeypatch.setattr(module, "LONGEST", 0.6)
    with module.Server(("127.0.0.1", 0), nc.Predictor.of(nc.nn.Flatten())) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            with socket.create_connection(server.server_address, timeout=10) as silent:
                silent.sendall(b"POST /predict HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
                assert silent.recv(1 << 16).startswith(b"HTTP/1.1 408 ")
            with socket.create_connection(server.server_address, timeout=10) as slow:
                began = time.monotonic()
                slow.sendall(b"POST /predict HTTP/1.1\r\nContent-Length: 1000\r\n\r\n")
                with pytest.raises(OSError):
                    while time.monotonic() < began + 8:
                        slow.sendall(b"x")
                        time.sleep(0.05)
                assert time.monotonic() - began < 7
            assert asked(server.server_port, "POST", "/predict", b"x")[0] == 500  # this network takes no pictures
        finally:
            server.stop()
            thread.join()
        assert not server.open


def test_what_keeps_it_from_starting(run: Path, tmp_path: Path, port: int) -> None:
    """One line says it: there is no such run, or the address is taken."""
    for words, told in (
        ((str(tmp_path),), f"[checkpoint] expected a file {tmp_path / checkpoint.BEST}; received no such file."),
        ((str(run), "--port", str(port)), f"127.0.0.1:{port}: "),
    ):
        done = subprocess.run([sys.executable, str(SERVER), *words], env=environment(), capture_output=True, text=True)
        assert done.returncode == 1 and done.stdout == "" and done.stderr.startswith(told) and done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals for one process alone, which Windows lacks")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops(run: Path, number: int) -> None:
    """At once, whatever connections are open."""
    child, port = start(run)
    try:
        with socket.create_connection(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)) as half:
            half.sendall(b"POST /predict HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
            assert asked(port, "POST", "/predict", png(1))[0] == 200
            child.send_signal(number)
            out, err = child.communicate(timeout=8)
    finally:
        child.kill()
    assert (child.returncode, out) == (0, "stopped\n") and "Traceback" not in err
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
