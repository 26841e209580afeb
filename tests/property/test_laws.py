"""Laws that hold for every plan, on seeded random workloads."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

from raypipe.catalog import Catalog, load
from raypipe.fleet import plan_fleet
from raypipe.model.nodes import Node
from raypipe.model.plan import FleetPlan, Status
from raypipe.model.pods import BoundPods, PodGroup, PodSpec
from raypipe.model.requirements import CAPACITY_TYPE, INSTANCE_TYPE, REGION, ZONE
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.validation import check_plan
from tests.property.cases import catalogue, random_case, snapshot

GIB = 2**30


@pytest.fixture(scope="module")
def shipped() -> Catalog:
    return load(None)


def random_workload(seed: int) -> ClusterSnapshot:
    """A few Deployments, small and large, with and without GPUs."""
    draw = random.Random(seed)
    demand = []
    for number in range(draw.randint(1, 6)):
        gpu = draw.random() < 0.15
        requests = {
            "cpu": draw.choice((100, 250, 700, 1500, 3000, 6000)),
            "memory": draw.randint(1, 12) * GIB,
            "pods": 1,
        }
        requests |= {"nvidia.com/gpu": 1} if gpu else {}
        selector = {CAPACITY_TYPE: "on-demand"} if draw.random() < 0.3 else {}
        demand.append(
            PodGroup(
                key=f"Deployment/default/d{number}",
                spec=PodSpec(requests=requests, node_selector=selector, instance_annotation=draw.random() < 0.1),
                count=draw.randint(1, 9),
            )
        )
    return ClusterSnapshot(
        name="mixed",
        zones=("us-east-1a", "us-east-1b"),
        arch=draw.choice(("amd64", "amd64+arm64")),
        shared_node={"cpu": draw.choice((4000, 8000)), "memory": draw.choice((16, 32)) * GIB},
        dedicated_from={"cpu": 3000, "memory": 12 * GIB},
        demand=tuple(demand),
    )


def planned(cluster: ClusterSnapshot, catalog: Catalog) -> FleetPlan:
    """A plan that passed the second opinion."""
    fleet = FleetSnapshot(clusters=(cluster,))
    plan = plan_fleet(fleet, catalog)
    check_plan(plan, fleet, catalog)
    assert plan.usd_per_hour.lower_bound <= plan.usd_per_hour.after + 1e-9
    return plan


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_joint_is_never_dearer_than_shared_or_dedicated(first: int, shipped: Catalog) -> None:
    for seed in range(first, first + 50):
        cluster = random_workload(seed)
        cost = {
            packing: planned(dataclasses.replace(cluster, packing=packing), shipped).usd_per_hour.after
            for packing in ("joint", "shared", "dedicated")
        }
        assert cost["joint"] <= min(cost.values()) + 1e-9, (seed, cost)


def test_the_order_of_demand_does_not_matter(shipped: Catalog) -> None:
    for seed in range(20):
        cluster = random_workload(seed)
        turned = dataclasses.replace(cluster, demand=tuple(reversed(cluster.demand)))
        nodes, other = (planned(one, shipped).clusters[0].nodes for one in (cluster, turned))
        assert [dataclasses.replace(node, name="") for node in nodes] == [
            dataclasses.replace(node, name="") for node in other
        ]


def test_a_saved_snapshot_gives_the_same_bytes(shipped: Catalog) -> None:
    for seed in range(10):
        fleet = FleetSnapshot(clusters=(random_workload(seed),))
        again = FleetSnapshot.from_json(fleet.to_json())
        assert plan_fleet(fleet, shipped).to_json() == plan_fleet(again, shipped).to_json()


def test_planning_after_applying_buys_nothing(shipped: Catalog) -> None:
    for seed in range(20):
        cluster = random_workload(seed)
        specs = {group.key: group.spec for group in cluster.demand}
        nodes = planned(cluster, shipped).clusters[0].nodes
        types = {node.instance_type: shipped.type_of("aws", node.instance_type) for node in nodes}
        applied = dataclasses.replace(
            cluster,
            demand=(),
            nodes=tuple(
                Node(
                    name=node.name,
                    labels={
                        **kind.labels,
                        INSTANCE_TYPE: node.instance_type,
                        REGION: node.region,
                        ZONE: node.zone,
                        CAPACITY_TYPE: node.capacity_type,
                    },
                    capacity=kind.allocatable,
                    allocatable=kind.allocatable,
                )
                for node in nodes
                if (kind := types[node.instance_type]) is not None
            ),
            bound=tuple(
                BoundPods(node=node.name, key=key, spec=specs[key], count=count)
                for node in nodes
                for key, count in sorted(node.pods.items())
            ),
        )
        again = planned(applied, shipped)
        assert again.actions == ()
        assert again.usd_per_hour.before == again.usd_per_hour.after


def test_one_more_offering_never_raises_an_optimum_and_a_tighter_limit_never_lowers_it(tmp_path: Path) -> None:
    compared = 0
    for seed in range(1, 120):
        case = random_case(seed)
        if len(case.kinds) < 2 or case.limits:
            continue
        fewer = dataclasses.replace(case, kinds=case.kinds[:-1], nodes=())
        more = dataclasses.replace(case, nodes=())
        plans = [
            plan_fleet(snapshot(one), catalogue(one, tmp_path / f"{seed}-{len(one.kinds)}")) for one in (fewer, more)
        ]
        if any(plan.unplaced or plan.status is not Status.OPTIMAL for plan in plans):
            continue
        compared += 1
        assert plans[1].usd_per_hour.after <= plans[0].usd_per_hour.after
        fleet = snapshot(more)
        limited = dataclasses.replace(fleet.clusters[0], limits={"nodes": sum(1 for _ in plans[1].clusters[0].nodes)})
        tight = plan_fleet(FleetSnapshot(clusters=(limited,)), load(tmp_path / f"{seed}-{len(more.kinds)}"))
        assert tight.unplaced == ()
        assert tight.usd_per_hour.after >= plans[1].usd_per_hour.after
    assert compared > 10
