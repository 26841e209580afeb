"""A small HTTP server for those who watch the loop: /metrics, /healthz and /readyz. It reads, and changes nothing.

It listens on the loopback interface unless it is told otherwise, because nobody is asked who he is.
"""

from __future__ import annotations

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET, AF_INET6
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Self

from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from raypipe.controller.health import Health
from raypipe.controller.metrics import Metrics
from raypipe.errors import InputError, Problem

LOOPBACK = "127.0.0.1"
_TEXT = "text/plain; charset=utf-8"


class Endpoints:
    """The server from `start` to `stop`; a context manager does both. `port` is the one that it listens on."""

    def __init__(self, address: str, metrics: Metrics, health: Health) -> None:
        """Listen at ``PORT`` or ``HOST:PORT`` (0: any free port); InputError where that is not possible."""
        host, port = parse_address(address)
        try:
            self._server = _Server(host, port, metrics, health)
        except OSError as error:
            raise _refused(address, error.strerror or "cannot be listened on", "a free port of this machine") from None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="endpoints", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of ``PORT`` (on the loopback interface), ``HOST:PORT`` or ``[HOST]:PORT``.

    >>> parse_address("9464"), parse_address("0.0.0.0:9464"), parse_address("[::1]:0")
    (('127.0.0.1', 9464), ('0.0.0.0', 9464), ('::1', 0))
    """
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 2**16):
        raise _refused(text, repr(text)[:60], "PORT or HOST:PORT, as 9464 or 0.0.0.0:9464")
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port)


def _refused(address: str, found: str, expected: str) -> InputError:
    return InputError(Problem(field=f"--listen {address}"[:80], found=found, expected=expected))


class _Server(ThreadingHTTPServer):
    def __init__(self, host: str, port: int, metrics: Metrics, health: Health) -> None:
        self.address_family = AF_INET6 if ":" in host else AF_INET
        self.metrics, self.health = metrics, health
        super().__init__((host, port), _Requests)

    def server_bind(self) -> None:
        """Bind without asking a name server what this machine is called, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


class _Requests(BaseHTTPRequestHandler):
    server: _Server
    timeout = 10

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                self._answer(HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(self.server.metrics.registry))
            case "/healthz":
                self._answer_state(*self.server.health.alive())
            case "/readyz":
                self._answer_state(*self.server.health.ready())
            case _:
                self._answer(HTTPStatus.NOT_FOUND, _TEXT, b"/metrics, /healthz or /readyz\n")

    def _answer_state(self, good: bool, words: str) -> None:
        status = HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, _TEXT, f"{'ok' if good else 'not ok'}: {words}\n".encode())

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a scrape every few seconds is no news."""
