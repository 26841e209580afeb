"""The second opinion counts quotas by itself, and refuses what is above one, in one cluster or in several."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog, load
from raypipe.errors import InvalidPlanError
from raypipe.fleet import plan_fleet
from raypipe.model.nodes import Node
from raypipe.model.plan import FleetPlan
from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.settings import Settings
from raypipe.validation import check_plan

GIB = 2**30
NODE = Node(
    name="node-1",
    labels={
        "node.kubernetes.io/instance-type": "g4dn.xlarge",
        "topology.kubernetes.io/region": "us-east-1",
        "topology.kubernetes.io/zone": "us-east-1a",
        "karpenter.sh/capacity-type": "on-demand",
    },
    capacity={"cpu": 4000, "memory": 16 * GIB, "pods": 29, "nvidia.com/gpu": 1},
    allocatable={"cpu": 100, "memory": GIB, "pods": 29},
)


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load(None)


def cluster(name: str = "a", gpus: int = 3, **fields: Any) -> ClusterSnapshot:
    """So many pods with a GPU each, which go on g4dn.xlarge, where one exists that is full."""
    requests = {"cpu": 3000, "memory": 8 * GIB, "pods": 1, "nvidia.com/gpu": 1}
    demand = (PodGroup(key="Deployment/default/x", spec=PodSpec(requests=requests, gpu_skus=("t4",)), count=gpus),)
    given = {"zones": ("us-east-1a",), "capacity_types": ("on-demand",), "nodes": (NODE,)}
    return ClusterSnapshot(name=name, demand=demand, **given | fields)


@pytest.fixture(scope="module")
def fleet() -> FleetSnapshot:
    return FleetSnapshot(clusters=(cluster("a", 3), cluster("b", 1)))


@pytest.fixture(scope="module")
def plan(fleet: FleetSnapshot, catalog: Catalog) -> FleetPlan:
    """Four nodes of g4dn.xlarge beside two that exist, under no quota."""
    made = plan_fleet(fleet, catalog)
    bought = [node.instance_type for one in made.clusters for node in one.nodes if not node.existing]
    assert bought == ["g4dn.xlarge"] * 4
    return made


def refusals(plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog, *entries: dict[str, Any]) -> list[str]:
    """What is said of limits where every cluster has these quotas."""
    settings = Settings(quotas=entries)
    clusters = tuple(dataclasses.replace(one, settings=settings) for one in fleet.clusters)
    with pytest.raises(InvalidPlanError) as error:  # of other settings it never was
        check_plan(plan, dataclasses.replace(fleet, clusters=clusters), catalog)
    return [text for text in error.value.violations if text.startswith("limit ")]


KEPT: dict[str, dict[str, Any]] = {
    "cores of all": {"resource": "cpu", "amount": 24},
    "cores of a family": {"resource": "cpu", "amount": 24, "families": ["G4DN"]},
    "cores of another family": {"resource": "cpu", "amount": 0, "families": ["g5", "g6"]},
    "GPUs": {"resource": "nvidia.com/gpu", "amount": 7, "used": 1},
    "GPUs of another kind": {"resource": "nvidia.com/gpu", "amount": 0, "gpuKinds": ["A10G"]},
    "spot": {"resource": "nodes", "amount": 0, "capacityType": "spot"},
    "another region": {"resource": "nodes", "amount": 0, "region": "eu-west-1"},
    "another provider": {"resource": "nodes", "amount": 0, "provider": "gcp"},
    "dollars": {"resource": "usdPerHour", "amount": "3.156"},
}


@pytest.mark.parametrize("name", KEPT)
def test_a_plan_within_a_quota_passes(name: str, plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog) -> None:
    assert refusals(plan, fleet, catalog, {"name": "q", **KEPT[name]}) == []


EXCEEDED: dict[str, tuple[dict[str, Any], str]] = {
    "cores of all": ({"resource": "cpu", "amount": "23999m"}, "cpu is 23999 {} 8000 kept and 16000 bought"),
    "cores of a category": (
        {"resource": "cpu", "amount": 8, "categories": ["vt", "G"]}, "cpu is 8000 {} 8000 kept and 16000 bought",
    ),
    "less than is kept": (
        {"resource": "nodes", "amount": 1, "families": ["g4dn"]}, "nodes is 1 {} 2 kept and 4 bought",
    ),
    "GPUs by another spelling": (
        {"resource": "nvidia.com/gpu", "amount": 5, "gpuKinds": ["nvidia-tesla-t4"]},
        "nvidia.com/gpu is 5 {} 2 kept and 4 bought",
    ),
    "what others use": (
        {"resource": "nvidia.com/gpu", "amount": 7, "used": 2}, "nvidia.com/gpu is 5 {} 2 kept and 4 bought",
    ),
    "one of two capacity types": (
        {"resource": "nodes", "amount": 0, "capacityType": ["reserved", "on-demand"]},
        "nodes is 0 {} 2 kept and 4 bought",
    ),
    "its own place": (
        {"resource": "nodes", "amount": 5, "region": "us-east-1", "provider": "aws"},
        "nodes is 5 {} 2 kept and 4 bought",
    ),
    "dollars": (
        {"resource": "usdPerHour", "amount": "3.155"},
        "usdPerHour is 3155000000 {} 1052000000 kept and 2104000000 bought",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXCEEDED)
def test_a_plan_above_a_quota_is_refused(name: str, plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog) -> None:
    entry, words = EXCEEDED[name]
    told = words.format("for these clusters:")
    assert refusals(plan, fleet, catalog, {"name": "q", **entry}) == [f"limit quota/q/{told}"]


def test_accounts_of_two_names_are_counted_apart(plan: FleetPlan, fleet: FleetSnapshot, catalog: Catalog) -> None:
    """Of four nodes bought, three are of a; each account may have three."""
    quotas = [{"name": f"account-{name}", "resource": "nodes", "amount": 3} for name in ("a", "b")]
    clusters = tuple(
        dataclasses.replace(one, settings=Settings(quotas=(entry,)))
        for one, entry in zip(fleet.clusters, quotas, strict=True)
    )
    with pytest.raises(InvalidPlanError) as error:
        check_plan(plan, dataclasses.replace(fleet, clusters=clusters), catalog)
    assert [text for text in error.value.violations if text.startswith("limit ")] == [
        "limit quota/account-a/nodes is 3 for these clusters: 1 kept and 3 bought"
    ]


@pytest.mark.parametrize(("shared", "found"), [(False, True), (True, False)], ids=["alone", "shared"])
def test_a_pod_left_out_though_the_quota_has_room_is_found(shared: bool, found: bool, catalog: Catalog) -> None:
    """The quota has room for one more; what another cluster shares may be used up there."""
    settings = Settings(quotas=({"name": "q", "resource": "nvidia.com/gpu", "amount": 4},))
    both = (cluster("a", 4, settings=settings), cluster("b", 0, nodes=(), settings=settings))
    fleet = FleetSnapshot(clusters=both if shared else both[:1])
    content = json.loads(plan_fleet(fleet, catalog).to_json())
    first = content["clusters"][0]
    assert [(one["count"], one["limit"]) for one in first["unplaced"]] == [(1, "quota/q/nvidia.com/gpu")]
    first["nodes"] = [node for node in first["nodes"] if not node["name"].endswith("-0003")]
    first["unplaced"][0]["count"] = 2
    first["admission"] = "exact"
    with pytest.raises(InvalidPlanError) as error:
        check_plan(FleetPlan.from_json(json.dumps(content)), fleet, catalog)
    assert any("one more g4dn" in text and "within the limits" in text for text in error.value.violations) is found


def test_a_snapshot_with_quotas_survives_being_text(tmp_path: Path, catalog: Catalog) -> None:
    settings = Settings(quotas=({"resource": "nodes", "amount": 4, "families": ["g4dn"]},))
    fleet = FleetSnapshot(clusters=(cluster(settings=settings),))
    (tmp_path / "fleet.json").write_text(fleet.to_json(), encoding="utf-8")
    again = FleetSnapshot.from_json((tmp_path / "fleet.json").read_text(encoding="utf-8"))
    assert again == fleet
    assert plan_fleet(again, catalog).to_json() == plan_fleet(fleet, catalog).to_json()
