"""What a live cluster has shown reaches the plan, and the second opinion knows it, too."""

from __future__ import annotations

import dataclasses

import pytest

import raypipe
from raypipe.errors import InvalidPlanError
from raypipe.model.nodes import Node, Unavailable
from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.requirements import CAPACITY_TYPE, INSTANCE_TYPE, ZONE, Operator, Requirement
from raypipe.model.resources import CPU, MEMORY, PODS
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot

GIB = 2**30
WEB = "Deployment/default/web"
ONE_TYPE = Requirement(key=INSTANCE_TYPE, operator=Operator.IN, values=("m7i.xlarge",))
SIZE = {CPU: 3_000, MEMORY: 10 * GIB, PODS: 58}


def cluster(count: int = 3, **fields: object) -> ClusterSnapshot:
    """Pods of 1 CPU in one zone of AWS us-east-1, where m7i.xlarge alone may be bought."""
    spec = PodSpec(requests={CPU: 1_000, MEMORY: 2 * GIB, PODS: 1})
    given: dict[str, object] = {
        "name": "c",
        "zones": ("us-east-1a",),
        "requirements": (ONE_TYPE,),
        "demand": (PodGroup(key=WEB, spec=spec, count=count),),
    }
    return ClusterSnapshot(**{**given, **fields})  # type: ignore[arg-type]


def bought(snapshot: ClusterSnapshot) -> list[tuple[str, int]]:
    """Capacity type of each node bought, and how many pods it gets."""
    plan = raypipe.plan(FleetSnapshot(clusters=(snapshot,)))
    return [(node.capacity_type, sum(node.added.values())) for node in plan.clusters[0].nodes if not node.existing]


def sold_out(*capacity_types: str) -> tuple[Unavailable, ...]:
    return tuple(
        Unavailable(instance_type="m7i.xlarge", zone="us-east-1a", capacity_type=one) for one in sorted(capacity_types)
    )


def test_what_is_sold_out_is_bought_as_another_offering() -> None:
    assert bought(cluster()) == [("spot", 3)]
    assert bought(cluster(unavailable=sold_out("spot"))) == [("on-demand", 3)]


def test_where_everything_is_sold_out_pods_wait_for_that_reason() -> None:
    plan = raypipe.plan(FleetSnapshot(clusters=(cluster(unavailable=sold_out("spot", "on-demand")),)))
    assert [(one.pods, one.count, one.reason) for one in plan.unplaced] == [(WEB, 3, "unavailable")]
    assert plan.actions == ()


def test_a_node_is_filled_as_full_as_its_like_really_were() -> None:
    assert bought(cluster(count=3)) == [("spot", 3)]
    assert bought(cluster(count=3, learned={"m7i.xlarge": {**SIZE, CPU: 2_000}})) == [("spot", 2), ("spot", 1)]


def test_a_node_on_its_way_that_says_nothing_has_the_size_of_its_like() -> None:
    labels = {INSTANCE_TYPE: "m7i.xlarge", ZONE: "us-east-1a", CAPACITY_TYPE: "spot"}
    coming = Node(name="n", labels=labels, capacity={}, allocatable={}, own=True, coming=True)
    assert bought(cluster(count=3, nodes=(coming,))) == []
    assert bought(cluster(count=3, nodes=(coming,), learned={"m7i.xlarge": {**SIZE, CPU: 2_000}})) == [("spot", 1)]


@pytest.mark.parametrize(
    ("what", "shown"),
    [
        ("it is sold out", {"unavailable": sold_out("spot")}),
        ("its nodes are smaller", {"learned": {"m7i.xlarge": {**SIZE, CPU: 2_000}}}),
    ],
)
def test_a_plan_that_does_not_know_is_refused(what: str, shown: dict[str, object]) -> None:
    unaware = cluster()
    plan = raypipe.plan(FleetSnapshot(clusters=(unaware,)))
    aware = dataclasses.replace(unaware, **shown)  # type: ignore[arg-type]
    with pytest.raises(InvalidPlanError):
        raypipe.validate(plan, FleetSnapshot(clusters=(aware,)))
    assert what
