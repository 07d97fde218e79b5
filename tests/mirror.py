"""What tests of files and downloads share: a server in this process, which can serve files well or badly, and nothing from outside."""

from __future__ import annotations

import contextlib
import functools
import http.server
import socketserver
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest


class Handler(http.server.BaseHTTPRequestHandler):
    """The first part of the path says how to serve ``content[name]``."""

    content: dict[str, bytes]
    log: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        _, how, name = self.path.split("/")
        wanted = self.headers["Range"]
        self.log.append((how, wanted))
        if how == "missing":
            self.send_error(404)
            return
        if how == "garbage":
            self.wfile.write(b"nonsense\r\n\r\n")
            return
        body = {"wrong": b"w" * len(self.content[name]), "login": b"<html>"}.get(how, self.content[name])
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and how != "norange" else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if how != "endless":
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        if how == "slow":
            time.sleep(0.3)
        end = {"cut": start + 100_000, "dead": start}.get(how, len(body))
        self.wfile.write(body[start:end] * (2 if how == "endless" else 1))

    def log_message(self, *_: object) -> None:
        pass


class Server(NamedTuple):
    url: str
    log: list[tuple[str, str | None]]  # how and Range of each request
    content: dict[str, bytes]


@contextlib.contextmanager
def serving(content: dict[str, bytes]) -> Iterator[Server]:
    """Serve these files at ``url/HOW/NAME``."""
    handler = type("Fresh", (Handler,), {"content": content, "log": []})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as tcp:
        tcp.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up early is no news
        thread = threading.Thread(target=functools.partial(tcp.serve_forever, poll_interval=0.01))
        thread.start()
        try:
            yield Server(f"http://127.0.0.1:{tcp.server_address[1]}", handler.log, handler.content)  # type: ignore[attr-defined]
        finally:
            tcp.shutdown()
            thread.join()


@contextlib.contextmanager
def raises(kind: type[BaseException], text: str) -> Iterator[None]:
    """The block raises exactly this kind with exactly this text."""
    with pytest.raises(kind) as caught:
        yield
    assert type(caught.value) is kind
    assert str(caught.value) == text


@pytest.fixture(autouse=True)
def nothing_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's own data or cache."""
    monkeypatch.delenv("NUMBACNN_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
