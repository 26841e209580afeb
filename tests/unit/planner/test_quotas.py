"""Quotas of the cloud account: rows of the plan that count some kinds of node alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog
from raypipe.model.nodes import NodePool
from raypipe.model.plan import Admission, ClusterPlan, FleetPlan, Scope, Status
from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.model.workloads import Gang
from raypipe.settings import Settings
from tests.unit.planner.builders import OFFERINGS, TYPES, catalog_in, cluster, node, planned, planned_fleet, pods, spec

MORE_TYPES = (
    TYPES
    + "aws,c5.xlarge,c5,amd64,4,8192,,,0,,4000,8192,50\naws,g5.xlarge,g5,amd64,4,16384,nvidia,a10g,1,24576,\
4000,16384,50\n"
)
MORE_OFFERINGS = (
    OFFERINGS
    + "aws,us-east-1,c5.xlarge,on-demand,0.3\naws,us-east-1,m5.xlarge,spot,0.1\n\
aws,us-east-1,g5.xlarge,on-demand,1.0\n"
)
"""A core costs 0.05 $/h on m5, 0.025 on its spot, 0.075 on c5; a GPU 0.5 on g4dn (t4), 1.0 on g5 (a10g)."""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path, MORE_TYPES, MORE_OFFERINGS)


def quotas(*entries: dict[str, Any]) -> Settings:
    return Settings(quotas=entries)


M5 = {"name": "standard", "resource": "cpu", "amount": 8, "families": ["m5"]}


def under(catalog: Catalog, entry: dict[str, Any], *demand: PodGroup, **fields: Any) -> ClusterPlan:
    return planned(catalog, *demand, settings=quotas(entry), **fields)


def cores(plan: ClusterPlan) -> dict[str, int]:
    """Cores bought of each family, on demand unless said."""
    bought: Counter[str] = Counter()
    for one in plan.nodes:
        if not one.existing:
            family, _, size = one.instance_type.partition(".")
            name = family if one.capacity_type == "on-demand" else f"{family} {one.capacity_type}"
            bought[name] += {"xlarge": 4, "2xlarge": 8}[size]
    return dict(bought)


def left_out(plan: ClusterPlan | FleetPlan) -> list[tuple[str, int, str, str | None]]:
    return [(entry.pods, entry.count, entry.reason, entry.limit) for entry in plan.unplaced]


def notes(plan: ClusterPlan | FleetPlan, kind: str) -> list[tuple[str, int, str]]:
    return [(note.subject, note.count, note.message) for note in plan.notes if note.kind == kind]


FORCED: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "none": ({**M5, "amount": 1000}, {"m5": 12}),
    "a family that is full": ({**M5, "amount": 0}, {"c5": 12}),
    "a family with room for exactly two nodes": (M5, {"m5": 8, "c5": 4}),
    "a family short of a millicore for the second": (
        {**M5, "amount": "7999m"}, {"m5": 4, "c5": 8},
    ),
    "what others use already": (
        {**M5, "amount": 10, "used": 6}, {"m5": 4, "c5": 8},
    ),
    "a category in capital letters": (
        {"resource": "cpu", "amount": 4, "categories": ["M", "R"]}, {"m5": 4, "c5": 8},
    ),
    "nodes": (
        {"resource": "nodes", "amount": 1, "families": ["m5"]}, {"m5": 8, "c5": 4},
    ),
    "dollars": (
        {"resource": "usdPerHour", "amount": "$0.2/h", "families": ["m5"]},
        {"m5": 4, "c5": 8},
    ),
    "the place of the cluster": (
        {**M5, "amount": 0, "region": "us-east-1", "provider": "aws"}, {"c5": 12},
    ),
    "another region": ({**M5, "amount": 0, "region": "eu-west-1"}, {"m5": 12}),
    "another provider": ({**M5, "amount": 0, "provider": "gcp"}, {"m5": 12}),
    "another capacity type": (
        {**M5, "amount": 0, "capacityType": "spot"}, {"m5": 12},
    ),
    "one of two capacity types": (
        {**M5, "amount": 0, "capacityType": ["reserved", "on-demand"]}, {"c5": 12},
    ),
    "nodes in both of two lists": (
        {"resource": "cpu", "amount": 0, "families": ["m5"], "gpuKinds": ["t4"]},
        {"m5": 12},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORCED)
def test_a_quota_forces_another_family(name: str, catalog: Catalog) -> None:
    """Three pods of four cores. GPU nodes are the dearest; c5 is the second best."""
    entry, bought = FORCED[name]
    plan = under(catalog, entry, pods("x", 4000, 3))
    assert (cores(plan), plan.unplaced, plan.admission) == (bought, (), Admission.EXACT)


def test_spot_and_on_demand_have_quotas_of_their_own(catalog: Catalog) -> None:
    """Spot is the cheapest, then m5 on demand, then c5."""
    both = [{**M5, "name": kind, "amount": 4, "capacityType": kind} for kind in ("spot", "on-demand")]
    plan = planned(catalog, pods("x", 4000, 3), settings=quotas(*both), capacity_types=("spot", "on-demand"))
    assert cores(plan) == {"m5 spot": 4, "m5": 4, "c5": 4}


@pytest.mark.parametrize(
    ("kind", "bought"),
    [("t4", {"g4dn": 4, "g5": 4}),
     ("nvidia-tesla-t4", {"g4dn": 4, "g5": 4}),
     ("NVIDIA-A10G", {"g4dn": 8})],
)  # fmt: skip
def test_a_quota_on_gpus_of_a_kind_forces_another_kind(kind: str, bought: dict[str, int], catalog: Catalog) -> None:
    entry = {"resource": "nvidia.com/gpu", "amount": 1, "gpuKinds": [kind]}
    assert cores(under(catalog, entry, pods("x", 1000, 2, gpus=1))) == bought


def test_a_sliced_gpu_counts_as_the_one_that_it_is(catalog: Catalog) -> None:
    """Eight slices of two GPUs, one of which is within the quota."""
    requests = {**spec(100).requests, "nvidia.com/gpu.shared": 1}
    sliced = PodGroup(key="Deployment/d/x", spec=PodSpec(requests=requests), count=8)
    entry = {"name": "T4", "resource": "nvidia.com/gpu", "amount": 1}
    plan = under(catalog, entry, sliced, gpu_slices={"t4": 4})
    assert cores(plan) == {"g4dn": 4}
    assert left_out(plan) == [("Deployment/d/x", 4, "limit", "quota/T4/nvidia.com/gpu")]


def test_a_pod_that_a_quota_keeps_out_is_told_its_name(catalog: Catalog) -> None:
    plan = under(catalog, {**M5, "families": [], "used": 3}, pods("x", 4000, 3))
    (entry,) = plan.unplaced
    assert left_out(plan) == [("Deployment/d/x", 2, "limit", "quota/standard/cpu")]
    assert entry.message == (
        "limit: quota/standard/cpu is 8; within the 5 that existing nodes leave there is no plan for it beside the "
        "pods that come before it"
    )
    assert entry.filters[-1].filter == "limit"
    assert entry.filters[-1].left == 0


def test_a_gang_that_a_quota_cannot_hold_whole_is_kept_out_whole(catalog: Catalog) -> None:
    """Three GPUs for two; the pod that comes after it takes one."""
    gang = Gang(name="RayJob/d/g", minimum={"Deployment/d/a": 3})
    entry = {"name": "GPUs", "resource": "nvidia.com/gpu", "amount": 2}
    demand = pods("a", 1000, 3, gpus=1, gang=gang.name), pods("b", 1000, gpus=1)
    plan = under(catalog, entry, *demand, gangs=(gang,))
    assert left_out(plan) == [("Deployment/d/a", 3, "limit", "quota/GPUs/nvidia.com/gpu")]
    assert cores(plan) == {"g4dn": 4}
    assert plan.unplaced[0].message.endswith("(RayJob/d/g is placed whole or not at all)")


EXISTING: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "of the family": ({"kind": "m5.xlarge"}, {"m5": 4, "c5": 4}),
    "of another": ({"kind": "c5.xlarge"}, {"m5": 8}),
    "of the family in another region": (
        {"labels": {"node.kubernetes.io/instance-type": "m5.xlarge", "topology.kubernetes.io/region": "eu-west-1"}},
        {"m5": 8},
    ),
    "of a type of the family that the catalogue has not": (
        {"kind": "m5.huge"}, {"m5": 4, "c5": 4},
    ),
    "of the family and closed": (
        {"kind": "m5.xlarge", "open": False}, {"m5": 4, "c5": 4},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXISTING)
def test_existing_nodes_count(name: str, catalog: Catalog) -> None:
    """Four cores exist of eight; two pods want as much again, and have no room there."""
    fields, bought = EXISTING[name]
    exists = node("n", 4000, gib=0, **fields)
    plan = under(catalog, {**M5, "region": "us-east-1"}, pods("x", 4000, 2), nodes=(exists,))
    assert (cores(plan), plan.unplaced) == (bought, ())


def test_existing_nodes_above_a_quota_are_one_note_and_nothing_more_is_bought_of_it(catalog: Catalog) -> None:
    plan = under(catalog, {**M5, "used": 5}, pods("x", 4000), nodes=(node("n", 4000, gib=0, kind="m5.xlarge"),))
    assert cores(plan) == {"c5": 4}
    assert notes(plan, "limit-exceeded") == [
        (
            "quota/standard/cpu",
            1,
            "existing nodes count 9 of 8: nothing that counts against it is bought, and nothing is removed for it",
        )
    ]


def test_scope_whole_counts_no_node_that_exists_but_what_others_use(catalog: Catalog) -> None:
    one = cluster(pods("x", 4000, 2), settings=quotas({**M5, "used": 4}), nodes=(node("n", kind="m5.xlarge"),))
    plan = planned_fleet(catalog, one, scope=Scope.WHOLE).clusters[0]
    assert cores(plan) == {"m5": 4, "c5": 4}


def test_nodes_of_every_pool_count(catalog: Catalog) -> None:
    pools = tuple(NodePool(name=name, labels={"team": name}) for name in ("a", "b"))
    demand = [
        PodGroup(key=f"Deployment/d/{name}", spec=spec(4000, node_selector={"team": name}), count=2)
        for name in ("a", "b")
    ]
    plan = under(catalog, M5, *demand, node_pools=pools)
    assert cores(plan) == {"m5": 8, "c5": 8}
    assert plan.unplaced == ()


def test_a_quota_that_binds_has_a_price(catalog: Catalog) -> None:
    """Four cores more would move a pod from c5 to m5: 0.1 $/h for four cores."""
    plan = under(catalog, {**M5, "amount": 4}, pods("x", 4000, 3))
    assert plan.bound.prices == {"quota/standard/cpu": pytest.approx(0.025)}


IDLE: dict[str, tuple[dict[str, Any], str]] = {
    "a family misspelt": ({"families": ["m5x"]}, "quota/m5x/cpu: {} (no m5x; did you mean 'm5'?){}"),
    "a category that is none": ({"categories": ["zz"]}, "quota/zz/cpu: {} (no zz){}"),
    "a kind of GPU misspelt": ({"gpuKinds": ["t44"]}, "quota/t44/cpu: {} (no t44; did you mean 't4'?){}"),
    "a capacity type that is not bought": ({"capacityType": "spot"}, "quota/spot/cpu: {} (no spot){}"),
    "lists that no node is in together": (
        {"families": ["m5"], "gpuKinds": ["t4"]}, "quota/m5 t4/cpu: {}{}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", IDLE)
def test_a_quota_that_nothing_counts_against_is_a_note(name: str, catalog: Catalog) -> None:
    entry, words = IDLE[name]
    plan = under(catalog, {"resource": "cpu", "amount": 0, **entry}, pods("x", 4000))
    told = words.format("nothing that can be bought counts against it", ", so it keeps nothing out")
    assert [message for _, _, message in notes(plan, "quota-counts-nothing")] == [told]


def test_quotas_for_places_where_no_cluster_is_are_one_note(catalog: Catalog) -> None:
    lost = [{**M5, "region": "us-esat-1"}, {**M5, "name": "N2", "provider": "gcp"}, {**M5, "region": "us-east-1"}]
    plan = planned_fleet(catalog, cluster(pods("x", 4000), settings=quotas(*lost)))
    assert notes(plan, "quota-elsewhere") == [
        (
            "quota/standard/cpu",
            2,
            "quotas for places where no cluster is bind nothing: gcp, us-esat-1 (did you mean 'us-east-1'?)",
        )
    ]
    assert notes(plan.clusters[0], "quota-counts-nothing") == []


def test_a_wrong_entry_is_the_error_of_its_cluster_and_the_others_are_planned(catalog: Catalog) -> None:
    """As in a snapshot that was written by hand: nothing else lets such settings through."""
    both = cluster(name="a", settings=quotas({"resource": "cores", "amount": 1})), cluster(pods("x", 4000), name="b")
    broken, plan = planned_fleet(catalog, *both).clusters
    assert broken.error == (
        "settings.quotas: found 'cores' at [0].resource, expected one of cpu, nvidia.com/gpu, nodes, usdPerHour "
        "(did you mean 'nodes'?)"
    )
    assert cores(plan) == {"m5": 4}


def two(*, first: Settings, second: Settings, **fields: Any) -> tuple[ClusterSnapshot, ClusterSnapshot]:
    """Two clusters that each want two nodes of m5.xlarge."""
    demand = pods("x", 4000, 2)
    return cluster(demand, name="a", settings=first), cluster(demand, name="b", settings=second, **fields)


def test_clusters_that_share_a_quota_take_another_family_where_it_is_spent(catalog: Catalog) -> None:
    """16 cores are wanted of 12: somebody takes c5, which costs 0.1 more, whoever it is."""
    shared = quotas({**M5, "amount": 12})
    plan = planned_fleet(catalog, *two(first=shared, second=shared))
    bought = Counter[str]()
    for one in plan.clusters:
        bought.update(cores(one))
    assert bought == {"m5": 12, "c5": 4}
    assert plan.unplaced == ()
    assert [one.bound.prices for one in plan.clusters] == [{"quota/standard/cpu": pytest.approx(0.025)}] * 2
    assert plan.status is Status.OPTIMAL


def test_a_pod_that_a_shared_quota_keeps_out_is_told_what_all_have_of_it(catalog: Catalog) -> None:
    """The later of two clusters, where all else is equal."""
    shared = quotas({**M5, "amount": 12, "families": []})
    plan = planned_fleet(catalog, *two(first=shared, second=shared))
    (entry,) = plan.unplaced
    assert left_out(plan) == [("Deployment/d/x", 1, "limit", "quota/standard/cpu")]
    assert plan.clusters[1].unplaced == plan.unplaced
    assert entry.message == (
        "limit: within the 12 that existing nodes leave of quota/standard/cpu to all clusters there is no plan for it "
        "beside the pods that come before it"
    )
    assert plan.admission is Admission.EXACT


def test_nodes_of_a_later_cluster_count_for_the_first(catalog: Catalog) -> None:
    """They exist, so nothing can be given away that they hold."""
    shared = quotas({**M5, "amount": 12, "used": 1})
    exists = (node("n", 8000, gib=0, kind="m5.2xlarge"),)
    plan = planned_fleet(catalog, *two(first=shared, second=shared, nodes=exists))
    assert [cores(one) for one in plan.clusters] == [{"c5": 8}, {"c5": 8}]
    above = quotas({**M5, "amount": 8, "used": 1})
    told = notes(planned_fleet(catalog, *two(first=above, second=above, nodes=exists)), "limit-exceeded")
    assert [(subject, message.partition(":")[0]) for subject, _, message in told] == [
        ("quota/standard/cpu", "existing nodes count 9 of 8")
    ]


APART: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "accounts with names of their own": ({"name": "one"}, {"name": "other"}),
    "a quota that only one is under": ({}, {"provider": "gcp"}),
    "regions": ({"region": "us-east-1"}, {"region": "eu-west-1"}),
}


@pytest.mark.parametrize("name", APART)
def test_clusters_under_different_quotas_leave_each_other_alone(name: str, catalog: Catalog) -> None:
    first, second = (quotas({**M5, **entry}) for entry in APART[name])
    plan = planned_fleet(catalog, *two(first=first, second=second))
    assert [cores(one) for one in plan.clusters] == [{"m5": 8}] * 2
    alone = [planned_fleet(catalog, one).clusters[0].decision_id for one in two(first=first, second=second)]
    assert [one.decision_id for one in plan.clusters] == alone


def test_one_name_for_two_quotas_of_one_place_is_an_error_of_the_later_cluster(catalog: Catalog) -> None:
    plan = planned_fleet(catalog, *two(first=quotas(M5), second=quotas({**M5, "amount": 16})))
    first, second = plan.clusters
    assert cores(first) == {"m5": 8}
    assert second.error == (
        "settings.quotas: found quota/standard/cpu of 16 here, another of 8 in a, expected one entry for both, or a "
        "name for each account"
    )


def test_a_quota_that_counts_in_one_cluster_is_not_said_to_count_nothing_in_another(catalog: Catalog) -> None:
    spot = quotas({**M5, "capacityType": "spot"})
    both = two(first=spot, second=spot, capacity_types=("spot", "on-demand"))
    assert [notes(one, "quota-counts-nothing") for one in planned_fleet(catalog, *both).clusters] == [[], []]
    neither = two(first=spot, second=spot)
    told = [notes(one, "quota-counts-nothing") for one in planned_fleet(catalog, *neither).clusters]
    assert [len(one) for one in told] == [1, 1]


def test_a_shared_quota_and_a_limit_of_the_fleet_both_hold(catalog: Catalog) -> None:
    """The quota gives b one m5 and so a c5; the limit on nodes of all leaves it only one of the two."""
    shared = quotas({**M5, "amount": 12})
    plan = planned_fleet(catalog, *two(first=shared, second=shared), limits={"nodes": 2})
    assert [cores(one) for one in plan.clusters] == [{"m5": 8}, {"m5": 4}]
    assert left_out(plan) == [("Deployment/d/x", 1, "limit", "fleet/nodes")]
