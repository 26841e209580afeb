"""Alive and ready, and where that is said."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from raypipe.controller.endpoints import parse_address
from raypipe.controller.health import Health
from raypipe.controller.telling import Mode
from raypipe.errors import InputError
from tests.unit.controller.tellings import NOON, cluster, cluster_plan, fleet, fleet_plan

TELL: dict[str, Callable[[Health], None]] = {
    "observed": lambda health: health.observed(NOON, fleet(), {}),
    "decided": lambda health: health.decided(NOON, fleet_plan(), 0.1),
    "acted": lambda health: health.acted(NOON, cluster_plan(), Mode.ACTING, []),
    "waiting": lambda health: health.waiting(NOON, "research", []),
}


@pytest.mark.parametrize("told", TELL)
def test_a_loop_lives_that_was_heard_of(told: str) -> None:
    now = [0.0]
    health = Health(limit_s=60, clock=lambda: now[0])
    now[0] = 61
    assert health.alive() == (False, "heard of 61 s ago, at most 60 s are expected")

    TELL[told](health)

    now[0] = 121
    assert health.alive() == (True, "heard of 60 s ago, at most 60 s are expected")


@pytest.mark.parametrize(
    ("clusters", "ready"),
    [
        pytest.param((), (False, "no cluster has been looked at yet"), id="nothing was looked at"),
        pytest.param((cluster(),), (True, "1 of 1 clusters seen"), id="the one is seen"),
        pytest.param(
            (cluster(), cluster(name="b", error="no answer\nfrom its server")),
            (True, "1 of 2 clusters seen\nb: no answer"),
            id="one of two is seen, and the other told",
        ),
        pytest.param(
            (cluster(error="no answer"),), (False, "0 of 1 clusters seen\nresearch: no answer"), id="none is seen"
        ),
    ],
)
def test_a_loop_is_of_use_that_sees_a_cluster(clusters: tuple, ready: tuple[bool, str]) -> None:
    health = Health()
    health.observed(NOON, fleet(*clusters), {})
    assert health.ready() == ready


@pytest.mark.parametrize("address", ["", "http", "1:2:", ":70000", "127.0.0.1:-1", "9464 "])
def test_a_wrong_address_is_refused(address: str) -> None:
    with pytest.raises(InputError, match=r"expected PORT or HOST:PORT, as 9464 or 0\.0\.0\.0:9464"):
        parse_address(address)
