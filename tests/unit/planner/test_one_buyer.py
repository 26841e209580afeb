"""One buyer in a live cluster: pods that an open NodePool of Karpenter's admits are left to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.errors import InvalidPlanError
from raypipe.fleet import plan_fleet
from raypipe.model.nodes import Node, NodePool
from raypipe.model.plan import ClusterPlan, Scope
from raypipe.model.pods import PodGroup
from raypipe.model.requirements import Operator, Requirement, Taint
from raypipe.model.snapshot import FleetSnapshot
from raypipe.model.workloads import Gang
from raypipe.validation import check_plan
from tests.unit.planner.builders import catalog_in, cluster, planned, planned_fleet, pods, spec

KINDS = "node.kubernetes.io/instance-type"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path)


def pool(name: str, *types: str, **fields: Any) -> NodePool:
    """A NodePool, of these types where some are given."""
    wanted = (Requirement(key=KINDS, operator=Operator.IN, values=types),) if types else ()
    return NodePool(name=name, requirements=wanted, **fields)


OPEN = pool("theirs", "m5.xlarge", "m5.2xlarge")
OURS = pool("ours", managed=True, open=False)
SMALL, GPU = pods("small", 1000, 3), pods("gpu", 1000, gpus=1)


def told(plan: ClusterPlan) -> tuple[dict[str, int], list[str | None], dict[str, str]]:
    """Pods left to Karpenter, the pools bought through, and what is unplaced."""
    left = {one.pods: one.count for one in plan.excluded if one.reason == "karpenter"}
    bought = [node.pool for node in plan.nodes if not node.existing]
    return left, bought, {one.pods: one.reason for one in plan.unplaced}


@pytest.mark.parametrize(
    ("pools", "expected"),
    [
        pytest.param((), ({}, [None, None], {}), id="no pool: raypipe buys, without one"),
        pytest.param(
            (OPEN,),
            ({SMALL.key: 3}, [], {GPU.key: "no-offering-fits"}),
            id="an open pool alone: what it admits is Karpenter's, and nobody buys the rest",
        ),
        pytest.param(
            (OPEN, OURS),
            ({SMALL.key: 3}, ["ours"], {}),
            id="beside it a managed one: raypipe buys what the open one does not admit",
        ),
        pytest.param((OURS,), ({}, ["ours", "ours"], {}), id="managed alone: all is raypipe's"),
        pytest.param(
            (pool("theirs", taints=(Taint(key="batch", value="", effect="NoSchedule"),)), OURS),
            ({}, ["ours", "ours"], {}),
            id="an open pool whose taints nobody tolerates admits nobody",
        ),
        pytest.param(
            (pool("static", dynamic=False, open=False),),
            ({}, [None, None], {}),
            id="a static pool buys for nobody",
        ),
        pytest.param(
            (pool("silenced", open=False, limits={"cpu": 0}), OURS),
            ({}, ["ours", "ours"], {}),
            id="a pool with a limit of 0 admits nobody",
        ),
    ],
)
def test_who_buys_for_whom(
    catalog: Catalog, pools: tuple[NodePool, ...], expected: tuple[dict[str, int], list[str | None], dict[str, str]]
) -> None:
    plan = planned(catalog, SMALL, GPU, context="prod", node_pools=pools)
    left, bought, unplaced = told(plan)
    assert (left, sorted(set(bought), key=str), unplaced) == (
        expected[0],
        sorted(set(expected[1]), key=str),
        expected[2],
    )


def test_of_files_nobody_else_buys_and_the_whole_shows_everything(catalog: Catalog) -> None:
    from_files = planned(catalog, SMALL, context=None, node_pools=(OPEN,))
    assert told(from_files) == ({}, ["theirs"], {})
    fleet = planned_fleet(catalog, cluster(SMALL, context="prod", node_pools=(OPEN,)), scope=Scope.WHOLE)
    assert told(fleet.clusters[0]) == ({}, ["theirs"], {})


def test_karpenter_does_not_read_the_words_of_raypipe(catalog: Catalog) -> None:
    dear = PodGroup(key="Deployment/d/dear", spec=spec(1000, max_usd_nanos_per_hour=1), count=1)
    plan = planned(catalog, dear, context="prod", node_pools=(OPEN, OURS))
    assert told(plan) == ({dear.key: 1}, [], {})
    assert plan.excluded[0].message == "NodePool theirs admits it and is open, so Karpenter buys for it"


def test_a_pod_too_large_for_karpenters_pool_is_raypipes(catalog: Catalog) -> None:
    large, theirs = pods("large", 7000), pool("theirs", "m5.xlarge")
    plan = planned(catalog, SMALL, large, context="prod", node_pools=(theirs, OURS))
    assert told(plan) == ({SMALL.key: 3}, ["ours"], {})


def test_the_second_opinion_keeps_pods_apart(catalog: Catalog) -> None:
    nowhere = {"topology.kubernetes.io/zone": "nowhere"}
    kinds = [
        PodGroup(key=f"Deployment/d/p{n:02}", spec=spec(1000, node_selector={} if n % 3 else nowhere), count=1)
        for n in range(30)
    ]
    plan = planned(catalog, *kinds, context="prod", node_pools=(OPEN, OURS))
    assert [one.pods for one in plan.excluded] == [kind.key for n, kind in enumerate(kinds) if n % 3]


def test_a_gang_goes_on_without_the_members_that_are_left_to_karpenter(catalog: Catalog) -> None:
    head = PodGroup(key="RayCluster/d/r/head", spec=spec(1000), count=1, gang="RayCluster/d/r")
    worker = PodGroup(key="RayCluster/d/r/worker/g", spec=spec(1000, gpus=1), count=2, gang="RayCluster/d/r")
    gang = Gang(name="RayCluster/d/r", minimum={head.key: 1, worker.key: 2})
    plan = planned(catalog, head, worker, context="prod", node_pools=(OPEN, OURS), gangs=(gang,))
    assert told(plan) == ({head.key: 1}, ["ours", "ours"], {})


def test_without_a_pool_of_its_own_raypipe_says_how_to_give_it_one(catalog: Catalog) -> None:
    plan = planned(catalog, GPU, context="prod", node_pools=(OPEN,))
    (note,) = [note.message for note in plan.notes if note.kind == "one-buyer"]
    assert note.startswith("NodePool theirs: Karpenter's own, so nothing is bought beside it; raypipe.io/managed")


def test_the_second_opinion_refuses_a_plan_that_buys_twice_or_for_nobody(catalog: Catalog) -> None:
    live = FleetSnapshot(clusters=(cluster(SMALL, context="prod", node_pools=(OPEN, OURS)),))
    alone = FleetSnapshot(clusters=(cluster(SMALL, context="prod", node_pools=(OURS,)),))
    with pytest.raises(InvalidPlanError, match="Deployment/d/small is planned, and Karpenter buys for it"):
        check_plan(plan_fleet(alone, catalog), live, catalog)
    with pytest.raises(InvalidPlanError, match="Deployment/d/small is left to Karpenter, which buys nothing for it"):
        check_plan(plan_fleet(live, catalog), alone, catalog)
    unowned = FleetSnapshot(clusters=(cluster(GPU, context="prod"),))
    with pytest.raises(InvalidPlanError, match="nodes are bought through no pool, which is not raypipe's"):
        check_plan(
            plan_fleet(unowned, catalog),
            FleetSnapshot(clusters=(cluster(GPU, context="prod", node_pools=(OPEN, OURS)),)),
            catalog,
        )


@pytest.mark.parametrize(
    ("own", "wanted", "reason"),
    [
        pytest.param(True, 1, "is on its way: its free room costs nothing more", id="ours takes what fits"),
        pytest.param(True, 0, "is on its way", id="ours with nothing to take"),
        pytest.param(False, 0, "is on its way and takes no demand: bought by another", id="another's"),
    ],
)
def test_a_node_on_its_way_has_its_price_and_says_what_it_is(
    catalog: Catalog, own: bool, wanted: int, reason: str
) -> None:
    labels = {KINDS: "m5.xlarge", "topology.kubernetes.io/zone": "us-east-1a"}
    why_closed = "" if own else "on its way, bought by another"
    coming = Node(
        name="n", labels=labels, capacity={}, allocatable={}, own=own, coming=True, open=own, why_closed=why_closed
    )
    demand = [pods("web", 1000, wanted)] if wanted else []
    plan = planned(catalog, *demand, context="prod", nodes=(coming,))
    (node,) = plan.nodes
    assert (node.existing, node.usd_per_hour, node.reason) == (True, 0.2, reason)
    assert node.allocatable["cpu"] == "4"
