"""A small server on the loopback interface that answers as an API server would, faults included, in a given order.

Only for what a real one cannot be made to do on demand; everything else is shown on real ones (tests/e2e).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from kubernetes.client import Configuration

from raypipe.adapters.kubernetes.server import Patience, Server


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer; lines: of a watch, which stays open where `hold`. cut: bytes until the connection breaks."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    lines: Sequence[Mapping[str, Any]] | None = None
    cut: int | None = None
    hold: bool = False


def refused(status: int, message: str = "", **headers: str) -> Answer:
    """A refusal as Kubernetes words it."""
    body = {"kind": "Status", "status": "Failure", "message": message, "code": status}
    return Answer(status=status, body=body, headers={key.replace("_", "-"): text for key, text in headers.items()})


def watched(*events: tuple[str, str, str], hold: bool = False) -> Answer:
    """A watch that tells of (type, name, resourceVersion); an ERROR has its code for a name."""
    return Answer(lines=[_event(*event) for event in events], hold=hold)


def _event(kind: str, name: str, version: str) -> dict[str, Any]:
    if kind == "ERROR":
        return {"type": kind, "object": {"kind": "Status", "code": int(name), "message": "too old resource version"}}
    return {"type": kind, "object": {"metadata": {"name": name, "uid": name, "resourceVersion": version}}}


def page(*names: str, version: str = "1", following: str = "") -> Answer:
    """A page of a list of objects that have nothing but names."""
    metadata = {"resourceVersion": version} | ({"continue": following} if following else {})
    return Answer(body={"metadata": metadata, "items": [{"metadata": {"name": one, "uid": one}} for one in names]})


class ApiServer:
    """Answers each path by its own list of answers, the last one for ever; `asked`: path and query of each request."""

    def __init__(self, answers: Mapping[str, Sequence[Answer]]) -> None:
        self._answers = {path: list(given) for path, given in answers.items()}
        self._lock = threading.Lock()
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.tokens: list[str] = []
        self.closing = threading.Event()

    def answer(self, path: str, query: dict[str, str], token: str) -> Answer:
        with self._lock:
            self.asked.append((path, query))
            self.tokens.append(token)
            given = self._answers.get(path)
            if given is None:
                return refused(404, "the server could not find the requested resource")
            return given.pop(0) if len(given) > 1 else given[0]


@contextmanager
def serving(api: ApiServer) -> Iterator[str]:
    """The server's address while it runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            one = api.answer(asked.path, dict(parse_qsl(asked.query)), self.headers.get("Authorization", ""))
            if one.lines is not None:
                body = b"".join(json.dumps(line).encode() + b"\n" for line in one.lines)
            else:
                body = one.body if isinstance(one.body, bytes) else json.dumps(one.body).encode()
            self.send_response(one.status)
            for name, text in one.headers.items():
                self.send_header(name, text)
            self.send_header(*(("Connection", "close") if one.hold else ("Content-Length", str(len(body)))))
            self.end_headers()
            self.wfile.write(body[: one.cut])
            self.wfile.flush()
            if one.hold:
                api.closing.wait()
            if one.cut is not None:
                self.close_connection = True

        def log_message(self, format: str, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        api.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now, self.slept = 0.0, list[float]()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def patience(self, **more: Any) -> Patience:
        return Patience(sleep=self.sleep, clock=lambda: self.now, **more)


def client(address: str, clock: Clock, tokens: Sequence[str] = ("token",)) -> Server:
    """A client of the server; each time that credentials are read they are the next of `tokens`."""
    left = list(tokens)

    def configuration(_: str) -> Configuration:
        made = Configuration(host=address, retries=False)
        made.api_key["BearerToken"] = f"Bearer {left.pop(0) if len(left) > 1 else left[0]}"
        return made

    return Server("prod", clock.patience(), configuration)
