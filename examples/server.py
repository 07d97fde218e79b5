"""A trained network behind HTTP, with the standard library alone: ``python examples/server.py runs/photos --port 8000``.

GET / is a page to drop a picture on. POST a picture file to /predict, as it is, and JSON comes back::

    curl --data-binary @cat.jpg http://127.0.0.1:8000/predict
    {"label": "cat", "probability": 0.96, "top": [{"label": "cat", "probability": 0.96}, ...], "milliseconds": 4.1}

It listens on the loopback address: only programs on this machine reach it. For others, put a server with TLS and logins before it.
Ctrl-C or SIGTERM ends it, after the answers that are under way.

Statuses: 200; 400 no picture, or one that is too large when decoded; 404 another address; 405 another method; 408 it came too slowly;
411 no Content-Length; 413 too many bytes; 415 a form in place of the file; 500 the network failed. All but 200 come with
{"error": "why"}.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numbacnn as nc

LARGEST_BODY = 20 << 20  # bytes of a picture file
LARGEST_PICTURE = 25_000_000  # pixels, some 100 MB when decoded
CONNECTIONS = 8  # at once; more of them wait
SILENCE, LONGEST = 10, 30  # seconds that a connection may say nothing, and that it may take in all
TOP = 5
PATHS = {"/": "GET", "/predict": "POST"}
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src blob:; connect-src 'self'"

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>numbacnn</title>
<style>
  body { font: 16px/1.5 sans-serif; max-width: 34em; margin: 3em auto; padding: 0 1em; color: #1f2430 }
  label { display: block; padding: 3em 1em; border: 2px dashed #8fa3bf; border-radius: 8px; text-align: center; cursor: pointer }
  label.over { background: #eef2f8 }
  img { max-width: 100%; max-height: 16em }
  td { padding: .1em .8em .1em 0 } meter { width: 12em }
</style>
<h1>What is it?</h1>
<label id="drop">Drop a picture here, or choose one<br><input id="file" type="file" accept="image/*"></label>
<p><img id="seen" alt=""></p>
<p id="said" role="status"></p>
<table id="top"></table>
<script>
  const find = id => document.getElementById(id);
  async function ask(file) {
    find("said").textContent = "...";
    find("top").replaceChildren();
    URL.revokeObjectURL(find("seen").src);
    find("seen").src = URL.createObjectURL(file);
    try {
      const answer = await fetch("predict", {method: "POST", body: file});
      const found = await answer.json();
      if (!answer.ok) throw new Error(found.error);
      find("said").textContent = `${found.label}, in ${found.milliseconds} ms`;
      for (const {label, probability} of found.top) {
        const row = find("top").insertRow(), bar = document.createElement("meter");
        bar.value = probability;
        row.insertCell().textContent = label;
        row.insertCell().append(bar);
        row.insertCell().textContent = `${(100 * probability).toFixed(1)} %`;
      }
    } catch (error) {
      find("said").textContent = error.message;
    }
  }
  const drop = find("drop");
  find("file").onchange = event => event.target.files.length && ask(event.target.files[0]);
  drop.ondragover = event => { event.preventDefault(); drop.className = "over"; };
  drop.ondragleave = () => { drop.className = ""; };
  drop.ondrop = event => {
    event.preventDefault();
    drop.className = "";
    if (event.dataTransfer.files.length) ask(event.dataTransfer.files[0]);
  };
</script>
</html>
"""


class Server(ThreadingHTTPServer):
    """A thread for each connection; the predictor serves them all."""

    daemon_threads = False  # closing waits for the answers that are under way

    def __init__(self, address: tuple[str, int], predictor: nc.Predictor) -> None:
        super().__init__(address, Handler)
        self.predictor = predictor
        self.places = threading.BoundedSemaphore(CONNECTIONS)
        self.open: set[socket.socket] = set()
        self.stopping = threading.Event()

    def process_request(self, request: Any, client_address: Any) -> None:
        while not self.places.acquire(timeout=0.1):
            if self.stopping.is_set():
                return self.shutdown_request(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        limit = threading.Timer(LONGEST, hang_up, (request, socket.SHUT_RDWR))
        limit.start()
        self.open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.open.discard(request)
            limit.cancel()
            self.places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # the other side has gone
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Take no new connection, and hear no more of those that are open; what they have asked is answered."""
        self.stopping.set()
        self.shutdown()
        for connection in list(self.open):
            hang_up(connection, socket.SHUT_RD)


def hang_up(connection: socket.socket, how: int) -> None:
    with suppress(OSError):  # it is closed
        connection.shutdown(how)


class Handler(BaseHTTPRequestHandler):
    """One connection; it is closed after one answer."""

    server: Server
    server_version = f"numbacnn/{nc.__version__}"
    protocol_version = "HTTP/1.1"  # a client may wait for "100 Continue"
    timeout = SILENCE
    error_content_type, error_message_format = "application/json", '{"error": "%(message)s"}'  # for what is no HTTP

    def do_GET(self) -> None:
        if self.is_allowed("GET"):
            self.answer(HTTPStatus.OK, PAGE.encode(), "text/html; charset=utf-8")

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        self.is_allowed(self.command)

    do_DELETE = do_OPTIONS = do_PATCH = do_PUT

    def do_POST(self) -> None:
        if not self.is_allowed("POST"):
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or "Transfer-Encoding" in self.headers:
            self.refuse(HTTPStatus.LENGTH_REQUIRED, "a Content-Length is needed")
        elif len(length) > 9 or int(length) > LARGEST_BODY:
            self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a picture file may have {LARGEST_BODY >> 20} MB")
        elif self.headers.get_content_maintype() == "multipart":
            self.refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "send the file as it is, not in a form: curl --data-binary @FILE")
        else:
            self.predict(int(length))

    def is_allowed(self, method: str) -> bool:
        """Whether the address has this method; it is refused where not."""
        known = PATHS.get(self.path.partition("?")[0])
        if known is None:
            self.refuse(HTTPStatus.NOT_FOUND, f"there are {' and '.join(PATHS)}")
        elif known != method:
            self.refuse(HTTPStatus.METHOD_NOT_ALLOWED, f"{known} is the method for this address", Allow=known)
        return known == method

    def predict(self, length: int) -> None:
        try:
            picture = self.rfile.read(length)
        except TimeoutError:
            picture = b""
        if len(picture) < length:
            self.refuse(HTTPStatus.REQUEST_TIMEOUT, "the picture did not come")
            return
        began = time.perf_counter()
        try:
            found = self.server.predictor(picture)
        except nc.FormatError as error:
            self.refuse(HTTPStatus.BAD_REQUEST, str(error))
        except Exception as error:
            self.log_error("%r", error)
            self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the network failed")
        else:
            top = [{"label": label, "probability": probability} for label, probability in found.top(TOP)]
            took = round(1e3 * (time.perf_counter() - began), 1)
            self.say(HTTPStatus.OK, {**top[0], "top": top, "milliseconds": took})

    def refuse(self, status: HTTPStatus, why: str, **headers: str) -> None:
        self.say(status, {"error": why}, **headers)
        hang_up(self.connection, socket.SHUT_WR)
        with suppress(OSError):  # hear the rest, or the other side finds the connection broken before it reads why
            for _ in range(2 * LARGEST_BODY >> 16):
                if not self.connection.recv(1 << 16):
                    break

    def say(self, status: HTTPStatus, answer: dict[str, Any], **headers: str) -> None:
        self.answer(status, json.dumps(answer).encode(), "application/json", **headers)

    def answer(self, status: HTTPStatus, body: bytes, kind: str, **headers: str) -> None:
        self.send_response(status)
        fixed = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
        fixed |= {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
        for name, value in {**fixed, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="the folder of a run, or a checkpoint")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s, this machine alone)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    args = parser.parse_args()
    try:
        predictor = nc.Predictor(args.run, max_pixels=LARGEST_PICTURE)
        predictor.warmup()
    except (OSError, ValueError) as error:
        sys.exit(str(error))
    try:
        server = Server((args.host, args.port), predictor)
    except (OSError, OverflowError) as error:
        sys.exit(f"{args.host}:{args.port}: {error}")
    with server:
        for number in (signal.SIGINT, signal.SIGTERM):
            # in another thread: stop() waits for serve_forever(), which this one runs
            signal.signal(number, lambda *_: threading.Thread(target=server.stop).start())
        print(f"http://{args.host}:{server.server_port}/ answers for {args.run}; Ctrl-C ends it", flush=True)
        server.serve_forever(poll_interval=0.1)
    print("stopped", flush=True)


if __name__ == "__main__":
    main()
