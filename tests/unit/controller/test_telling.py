"""Whoever is told hears the same, in the same order."""

from __future__ import annotations

from raypipe.controller.telling import Everybody, Mode, Telling, Wait
from tests.unit.controller.tellings import NOON, Recorder, buy, cluster, cluster_plan, fleet, fleet_plan, result, seen


def test_everybody_is_told_everything_in_order() -> None:
    first, second = Recorder(), Recorder()
    everybody: Telling = Everybody(first, second)
    wait = Wait(object="NodeClaim//research-3f9a1c0b77-0001", words="it is launched")
    plan = cluster_plan([buy()])

    everybody.observed(NOON, fleet(cluster()), seen())
    everybody.supplied(NOON, 2)
    everybody.decided(NOON, fleet_plan(plan), 0.5)
    everybody.acted(NOON, plan, Mode.ACTING, [result(buy())])
    everybody.waiting(NOON, "research", [wait])

    assert first.told == [
        ("observed", NOON, fleet(cluster()), seen()),
        ("supplied", NOON, 2),
        ("decided", NOON, fleet_plan(plan), 0.5),
        ("acted", NOON, plan, Mode.ACTING, [result(buy())]),
        ("waiting", NOON, "research", [wait]),
    ]
    assert second.told == first.told
