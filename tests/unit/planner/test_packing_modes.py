"""`packing: shared` and `dedicated`: who shares a node and who gets his own (S6, L4), and time-slices (S9)."""

from __future__ import annotations

import dataclasses

import pytest

from raypipe.catalog import Catalog, load
from raypipe.fleet import plan_fleet
from raypipe.model.nodes import Node
from raypipe.model.plan import ClusterPlan
from raypipe.model.pods import BoundPods, PodGroup, PodSpec
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.validation import check_plan

GIB = 2**30


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load(None)


def planned(cluster: ClusterSnapshot, catalog: Catalog) -> ClusterPlan:
    fleet = FleetSnapshot(clusters=(cluster,))
    plan = plan_fleet(fleet, catalog)
    check_plan(plan, fleet, catalog)
    return plan.clusters[0]


def group(cpu: int, memory: int, count: int, *, gpus: int = 0, annotated: bool = False, name: str = "a") -> PodGroup:
    requests = {"cpu": cpu, "memory": memory, "pods": 1} | ({"nvidia.com/gpu": gpus} if gpus else {})
    spec = PodSpec(requests=requests, instance_annotation=annotated)
    return PodGroup(key=f"Deployment/default/{name}", spec=spec, count=count)


def shared(*groups: PodGroup) -> ClusterSnapshot:
    return ClusterSnapshot(
        name="small",
        zones=("us-east-1a",),
        packing="shared",
        shared_node={"cpu": 8000, "memory": 32 * GIB},
        dedicated_from={"cpu": 3000, "memory": 12 * GIB},
        demand=groups,
    )


@pytest.mark.parametrize(
    ("pods", "nodes"),
    [
        (group(2999, GIB, 2), 1),
        (group(3000, GIB, 2), 2),
        (group(3001, GIB, 2), 2),
        (group(100, 12 * GIB - 1, 2), 1),
        (group(100, 12 * GIB, 2), 2),
        (group(100, 12 * GIB + 1, 2), 2),
        (group(2999, 12 * GIB - 1, 2), 1),
        (group(100, GIB, 2, gpus=1), 2),
        (group(100, GIB, 2, annotated=True), 2),
        (group(0, 0, 2), 1),
    ],
    ids=[
        "cpu just below",
        "cpu at the threshold",
        "cpu just above",
        "memory just below",
        "memory at the threshold",
        "memory just above",
        "both just below",
        "a GPU",
        "an instance annotation",
        "nothing requested",
    ],
)
def test_pods_at_or_above_a_threshold_get_nodes_of_their_own(pods: PodGroup, nodes: int, catalog: Catalog) -> None:
    assert len(planned(shared(pods), catalog).nodes) == nodes


def test_small_pods_share_the_cheapest_type_of_at_least_the_configured_size(catalog: Catalog) -> None:
    plan = planned(shared(group(1000, 2 * GIB, 14)), catalog)
    kinds = {node.instance_type for node in plan.nodes}
    assert len(kinds) == 1
    kind = catalog.type_of("aws", kinds.pop())
    assert kind is not None
    assert kind.vcpu_millicores >= 8000
    assert kind.memory_bytes >= 32 * GIB


def test_a_small_pod_that_fits_no_node_of_the_size_gets_the_cheapest_that_takes_it(catalog: Catalog) -> None:
    small = group(1000, GIB, 2)
    picky = dataclasses.replace(small.spec, node_selector={"node.kubernetes.io/instance-type": "m5.xlarge"})
    plan = planned(shared(dataclasses.replace(small, spec=picky)), catalog)
    assert [(node.instance_type, node.pods) for node in plan.nodes] == [("m5.xlarge", {small.key: 2})]


def test_two_hundred_small_pods_use_few_nodes_more_than_arithmetic_needs(catalog: Catalog) -> None:
    plan = planned(shared(group(700, 2 * GIB, 120), group(250, GIB, 80, name="b")), catalog)
    assert sum(sum(node.pods.values()) for node in plan.nodes) == 200
    kind = catalog.type_of("aws", plan.nodes[0].instance_type)
    assert kind is not None
    least = -(-(120 * 700 + 80 * 250) // kind.allocatable["cpu"])
    assert len(plan.nodes) <= least * 1.15 + 1


def test_dedicated_gives_each_pod_its_own_node(catalog: Catalog) -> None:
    cluster = ClusterSnapshot(name="own", zones=("us-east-1a",), packing="dedicated", demand=(group(500, GIB, 4),))
    plan = planned(cluster, catalog)
    assert [sum(node.pods.values()) for node in plan.nodes] == [1, 1, 1, 1]


@pytest.mark.parametrize(("pods", "gpus"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3), (16, 4)])
def test_slices_need_ceil_of_n_over_k_gpus_from_the_first_purchase(pods: int, gpus: int, catalog: Catalog) -> None:
    requests = {"cpu": 100, "memory": GIB, "pods": 1, "nvidia.com/gpu.shared": 1}
    cluster = ClusterSnapshot(
        name="slices",
        zones=("us-east-1a",),
        gpu_slices={"t4": 4},
        demand=(PodGroup(key="Deployment/default/infer", spec=PodSpec(requests=requests), count=pods),),
    )
    nodes = planned(cluster, catalog).nodes
    slices = sum(int(node.allocatable["nvidia.com/gpu.shared"]) for node in nodes)
    assert slices == 4 * gpus


def test_the_reason_of_a_node_is_that_of_the_mode(catalog: Catalog) -> None:
    """Smaller types are cheaper, and not of the size that small pods share: no limit has a part in that."""
    small, large = group(100, GIB, 2), group(3000, GIB, 1, name="large")
    nodes = planned(shared(small, large), catalog).nodes
    reasons = {key: node.reason for node in nodes for key in node.pods}
    assert reasons[small.key] == "the cheapest kind of node of the size that small pods share"
    assert reasons[large.key].startswith("the cheapest of ")


def test_an_existing_node_with_a_large_pod_is_no_room_for_small_ones_though_another_like_it_is(
    catalog: Catalog,
) -> None:
    """Both nodes have 2 free cores; one holds a pod of 2 cores, which shares, the other one of 3, which does not."""
    nodes = tuple(existing(name, cpu) for name, cpu in (("n1", 4000), ("n2", 5000)))
    bound = tuple(
        BoundPods(node=name, key=f"Pod/default/{name}", spec=group(cpu, GIB, 1).spec)
        for name, cpu in (("n1", 2000), ("n2", 3000))
    )
    cluster = dataclasses.replace(shared(group(1500, GIB, 2)), nodes=nodes, bound=bound)
    plan = planned(cluster, catalog)
    assert {node.name: dict(node.added) for node in plan.nodes if node.existing} == {
        "n1": {"Deployment/default/a": 1},
        "n2": {},
    }


def existing(name: str, cpu: int) -> Node:
    room = {"cpu": cpu, "memory": 16 * GIB, "pods": 50}
    return Node(name=name, labels={}, capacity=room, allocatable=room)
