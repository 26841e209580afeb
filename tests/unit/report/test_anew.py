"""What live clusters cost now and anew, and the first steps there, in words."""

from __future__ import annotations

import dataclasses

import pytest

from raypipe.model.plan import ClusterPlan, Consolidation, Cost, Excluded, FleetPlan, Unplaced
from raypipe.report.anew import anew
from raypipe.report.text import Telling, render
from tests.unit.report.plans import DEMO, SUSPEND, WEB, cluster, fleet_plan, node


def kept(name: str, before: float, *, saved: float = 0.0, **fields: object) -> ClusterPlan:
    """A cluster as it is kept: one node with pods, one without."""
    busy = node("busy", existing=True, added={})
    idle = node("idle", existing=True, pods={}, added={}, usd_per_hour=0.1)
    moving = Consolidation(usd_per_hour_saved=saved, actions=3) if saved else Consolidation()
    cost = Cost(before=before, after=before, lower_bound=before)
    made = {"nodes": (busy, idle), "actions": (), "unplaced": (), "consolidation": moving, "usd_per_hour": cost}
    return dataclasses.replace(cluster(), name=name, unpriced_nodes=0, **made | fields)  # type: ignore[arg-type]


def fleet(*clusters: ClusterPlan, cost: Cost, **fields: object) -> FleetPlan:
    made = {"usd_per_hour": cost, "unpriced_nodes": 0} | fields
    return dataclasses.replace(fleet_plan(), clusters=clusters, **made)  # type: ignore[arg-type]


NOW, ANEW = Cost(before=2.0, after=2.0, lower_bound=2.0), Cost(before=2.0, after=1.5, lower_bound=1.4)
WHOLE = fleet(cost=ANEW)


def test_one_cluster_that_moving_makes_cheaper() -> None:
    assert anew(fleet(kept("prod", 2.0, saved=0.4), cost=NOW), WHOLE) == [
        "prod costs $2.00/h ($1,460 a month) now, on 2 nodes. "
        "The same pods, planned anew, would cost $1.50/h, 25 % less; no plan for them costs less than $1.40/h.",
        "  first steps    give back 1 node that holds no pods (idle: $0.10/h), "
        "then move pods to fewer or cheaper ones: $0.40/h less in 3 actions",
    ]


def test_pods_that_wait_are_bought_for_first_and_every_cluster_is_named() -> None:
    bought = (node("new", pods={WEB: 7, DEMO: 1}),)
    one = kept("prod", 2.0, nodes=bought, actions=(SUSPEND,))
    two = kept("staging", 1.0, nodes=(node("busy", existing=True, added={}),), saved=0.2)
    lines = anew(fleet(one, two, cost=NOW), WHOLE)
    assert "The same pods and 8 that wait, planned anew, would cost" in lines[0]
    assert lines[1:] == [
        "  first steps    prod: suspend RayJob/ml/late that is kept out by a limit",
        f"                 prod: buy 1 × m7g.2xlarge spot for 8 pods that wait: ${one.bought.usd_per_hour:.4f}/h more",
        "                 staging: move pods to fewer or cheaper nodes: $0.20/h less in 3 actions",
    ]


def test_pods_that_karpenter_buys_for_wait_too() -> None:
    left = Excluded(pods=WEB, count=3, reason="karpenter")
    lines = anew(fleet(kept("prod", 2.0, excluded=(left,)), cost=NOW), WHOLE)
    assert "The same pods and 3 that wait, planned anew," in lines[0]
    assert lines[1:] == ["  first steps    wait for Karpenter, which buys for 3 pods that wait"]


def test_what_is_not_counted_is_said() -> None:
    broken = ClusterPlan(name="gone", error="gone: no answer")
    left = dataclasses.replace(cluster(), unplaced=(Unplaced(pods=WEB, count=3, reason="no-offering-fits"),))
    lines = anew(fleet(kept("prod", 2.0), broken, cost=NOW, unpriced_nodes=4), fleet(left, cost=ANEW))
    assert lines[0].endswith("3 pods have no place in that plan.")
    assert lines[1:] == [
        "  not counted    gone: could not be read",
        "  not counted    4 nodes without a known price",
        "  first steps    none: nothing waits, and moving pods would save nothing",
    ]
    assert anew(fleet(broken, cost=NOW), WHOLE) == []


@pytest.mark.parametrize("then", [2.0, 3.0])
def test_what_is_no_cheaper_is_not_called_less(then: float) -> None:
    lines = anew(fleet(kept("prod", 2.0), cost=NOW), fleet(cost=Cost(before=2.0, after=then, lower_bound=1.0)))
    assert f"planned anew, would cost ${then:.2f}/h; no plan for them costs less than $1.00/h." in lines[0]


def test_the_table_begins_with_it_and_keeps_to_the_terminal() -> None:
    text = render(fleet(kept("prod", 2.0, saved=0.4), cost=NOW), Telling(whole=WHOLE, width=80))
    assert text.startswith("prod costs $2.00/h")
    assert max(map(len, text.splitlines())) <= 80
