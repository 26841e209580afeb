"""The server that tells whoever watches the loop: real requests over the loopback interface."""

from __future__ import annotations

import re
import socket
from http.client import HTTPConnection

import pytest

from raypipe.controller.endpoints import Endpoints
from raypipe.controller.health import Health
from raypipe.controller.metrics import Metrics
from raypipe.errors import InputError
from tests.unit.controller.tellings import NOON, cluster, fleet


def ask(port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_the_server_tells_figures_and_health() -> None:
    now = [0.0]
    metrics, health = Metrics(), Health(limit_s=60, clock=lambda: now[0])
    with Endpoints("0", metrics, health) as endpoints:
        assert ask(endpoints.port, "/healthz") == (200, "ok: heard of 0 s ago, at most 60 s are expected\n")
        assert ask(endpoints.port, "/readyz") == (503, "not ok: no cluster has been looked at yet\n")
        for told in (metrics, health):
            told.observed(NOON, fleet(cluster()), {})
        now[0] = 61
        assert ask(endpoints.port, "/healthz?verbose")[0] == 503
        assert ask(endpoints.port, "/readyz") == (200, "ok: 1 of 1 clusters seen\n")
        status, text = ask(endpoints.port, "/metrics")
        assert (status, 'raypipe_pending_pods{cluster="research"} 3.0' in text) == (200, True)
        assert ask(endpoints.port, "/etc/passwd")[0] == 404


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = str(taken.getsockname()[1])
        with pytest.raises(InputError, match=re.escape(f"--listen {address}: found Address already in use")):
            Endpoints(address, Metrics(), Health())
