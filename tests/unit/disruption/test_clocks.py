"""Facts come from states that last: a clock starts at the first look, and anew each time that the state is over."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.disruption.clocks import Clocks, facts_of, next_due, ticked
from raypipe.model.nodes import Fact
from raypipe.model.pods import BoundPods
from raypipe.model.requirements import Taint
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.settings import Settings
from tests.unit.planner.builders import cluster, node, spec

MADE = "1970-01-01T00:16:40Z"
"""Second 1,000."""


def on(cpu: int, gib: int = 16, **fields: Any) -> BoundPods:
    return BoundPods(node="n", key="Deployment/d/web", spec=spec(cpu, gib), **fields)


def seen(*bound: BoundPods, **fields: Any) -> ClusterSnapshot:
    """One own node of 4 cores and 16 GiB, made at second 1,000."""
    of_node = {
        name: fields.pop(name) for name in ("uid", "leaving", "coming", "why_closed", "taints") if name in fields
    }
    one = node("n", **{"own": True, "created": MADE, **of_node})
    return cluster(**{"nodes": (one,), "bound": bound} | fields)


def facts_after(looks: list[tuple[float, ClusterSnapshot]]) -> tuple[Fact, ...]:
    """The facts about the node at the last of these looks, the first with no clocks."""
    clocks = Clocks()
    for now, one in looks:
        clocks = ticked(clocks, one, now)
    now, last = looks[-1]
    return facts_of(last, clocks, now).get("n", ())


EMPTY, BUSY = seen(), seen(on(3000))


@pytest.mark.parametrize(
    ("looks", "facts"),
    [
        pytest.param([(0, EMPTY)], (), id="the first look"),
        pytest.param([(0, EMPTY), (299, EMPTY)], (), id="a second too early"),
        pytest.param([(0, EMPTY), (300, EMPTY)], (Fact.EMPTY,), id="at five minutes"),
        pytest.param([(0, EMPTY), (200, BUSY), (400, EMPTY)], (), id="a pod came and went: the clock starts anew"),
        pytest.param([(0, EMPTY), (200, BUSY), (400, EMPTY), (700, EMPTY)], (Fact.EMPTY,), id="and runs out later"),
        pytest.param([(0, seen(uid="1")), (300, seen(uid="2"))], (), id="another node of that name"),
        pytest.param([(0, seen(coming=True)), (300, EMPTY)], (), id="it was on its way until now"),
        pytest.param(
            [(0, seen(on(100, daemonset="d", counted=False))), (300, seen(on(100, daemonset="d", counted=False)))],
            (Fact.EMPTY,),
            id="a DaemonSet is nothing",
        ),
        pytest.param(
            [(0, seen(on(100, counted=False, held="ignored"))), (300, seen(on(100, held="x")))], (), id="a pod"
        ),
    ],
)
def test_empty(looks: list[tuple[float, ClusterSnapshot]], facts: tuple[Fact, ...]) -> None:
    assert facts_after(looks) == facts


@pytest.mark.parametrize(
    ("packing", "bound", "under_used"),
    [
        pytest.param("joint", (on(100),), False, id="joint packing does not ask"),
        pytest.param("shared", (on(700),), True, id="under a fifth of the cpu, though all memory is taken"),
        pytest.param("shared", (on(800),), False, id="a fifth of it"),
        pytest.param("shared", (on(4000, 3),), True, id="or under a fifth of the memory"),
        pytest.param("shared", (on(100, count=8, gib=2),), False, id="pods add up"),
        pytest.param("shared", (on(2999),), False, id="a pod that shares"),
        pytest.param("shared", (on(3000, 11),), True, id="a large one has its node alone: three quarters"),
        pytest.param("shared", (on(700), on(900, daemonset="d", counted=False)), True, id="a DaemonSet does not count"),
        pytest.param("dedicated", (on(2900),), True, id="dedicated: under three quarters"),
        pytest.param("dedicated", (on(3000, 12),), False, id="dedicated: three quarters"),
        pytest.param("shared", (), False, id="empty is something else"),
    ],
)
def test_under_used(packing: str, bound: tuple[BoundPods, ...], under_used: bool) -> None:
    one = seen(*bound, packing=packing, dedicated_from={"cpu": 3000})
    assert facts_after([(0, one), (299, one)]) == ()
    assert (Fact.UNDER_USED in facts_after([(0, one), (300, one)])) is under_used


@pytest.mark.parametrize(
    ("fields", "now", "facts"),
    [
        pytest.param({}, 10**9, (), id="no age is too much by default"),
        pytest.param({"settings": Settings(expire_after_s=3600)}, 4599, (), id="a second too young"),
        pytest.param({"settings": Settings(expire_after_s=3600)}, 4600, (Fact.EXPIRED,), id="old enough"),
        pytest.param(
            {"taints": (Taint(key="aws-node-termination-handler/spot-itn", effect="NoSchedule"),)},
            0,
            (Fact.INTERRUPTED,),
            id="a spot notice",
        ),
        pytest.param({"why_closed": "being deleted"}, 0, (Fact.INTERRUPTED,), id="deleted by somebody else"),
        pytest.param({"why_closed": "being deleted", "leaving": True}, 0, (), id="deleted by us"),
        pytest.param({"taints": (Taint(key="mine", effect="NoSchedule"),)}, 0, (), id="another taint"),
        pytest.param(
            {"taints": (Taint(key="mine", effect="NoSchedule"),), "settings": Settings(interruption_taints=("mine",))},
            0,
            (Fact.INTERRUPTED,),
            id="a taint of the setting",
        ),
    ],
)
def test_age_and_notices(fields: dict[str, Any], now: float, facts: tuple[Fact, ...]) -> None:
    assert facts_after([(now, seen(on(3000), **fields))]) == facts


def test_when_to_look_again() -> None:
    one = seen(settings=Settings(expire_after_s=3600))
    clocks = ticked(Clocks(), one, 100)
    assert [next_due(one, clocks, now) for now in (100, 400, 5000)] == [400, 4600, None]
