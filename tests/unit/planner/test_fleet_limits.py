"""Limits that clusters share: what is left of them is offered again, and one that is exceeded already buys nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.catalog import Catalog
from raypipe.model.plan import Admission
from raypipe.settings import Settings
from tests.unit.planner.builders import catalog_in, cluster, node, planned_fleet, pods

TYPES = """provider,instance_type,family,arch,vcpu,memory_mib,gpu_manufacturer,gpu_name,gpu_count,gpu_memory_mib,\
allocatable_cpu_m,allocatable_memory_mib,allocatable_pods
aws,m5.ten,m5,amd64,10,65536,,,0,,10000,65536,50
aws,m5.six,m5,amd64,6,65536,,,0,,6000,65536,50
aws,m5.four,m5,amd64,4,65536,,,0,,4000,65536,50
aws,r5.two,r5,amd64,2,131072,,,0,,2000,131072,50
aws,g4dn.pair,g4dn,amd64,2,65536,nvidia,t4,2,16384,2000,65536,50
"""
OFFERINGS = """provider,region,instance_type,capacity_type,usd_per_hour
aws,us-east-1,m5.ten,on-demand,10
aws,us-east-1,m5.six,on-demand,7
aws,us-east-1,m5.four,on-demand,5
aws,us-east-1,r5.two,on-demand,2.5
aws,us-east-1,g4dn.pair,on-demand,8.5
"""
ONE_LOOK = Settings(enumerate_patterns=0, admission_checks=1)
"""Clusters are packed anew once while the order is worked out."""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return catalog_in(tmp_path, TYPES, OFFERINGS)


@pytest.mark.parametrize(
    ("usd", "after", "cost", "out"),
    [
        pytest.param(12.9, {"last": 2000}, 12.5, ["gpu"], id="beside all others"),
        pytest.param(15.0, {"next": 4000, "last": 2000}, 15.0, ["last", "gpu"], id="in the place of one after them"),
    ],
)
def test_what_better_packings_leave_of_a_limit_is_offered_to_those_left_out(
    catalog: Catalog, usd: float, after: dict[str, int], cost: float, out: list[str]
) -> None:
    """Six and four cores are admitted one after the other for 7 + 5 $/h; together they cost 10. The last needs memory.

    The one look goes to the GPU, half a node of which would be within the limit.
    """
    demand = {"first": 6000, "third": 4000} | after
    one = cluster(
        *(
            pods(name, cpu, gib=100 if name == "last" else 1, created=f"2026-01-0{day}T00:00:00Z")
            for day, (name, cpu) in zip((1, 3, 4, 5), demand.items(), strict=False)
        ),
        name="a",
        settings=ONE_LOOK,
    )
    other = cluster(pods("gpu", 100, gpus=1, created="2026-01-02T00:00:00Z"), name="b", settings=ONE_LOOK)
    plan = planned_fleet(catalog, one, other, limits={"usdPerHour": round(usd * 1e9)})
    assert [(entry.pods, entry.limit) for entry in plan.unplaced] == [
        (f"Deployment/d/{name}", "fleet/usdPerHour") for name in out
    ]
    assert plan.usd_per_hour.after == cost
    assert plan.admission is Admission.HEURISTIC


@pytest.mark.parametrize(
    ("limits", "subject"),
    [
        pytest.param({"usdPerHour": 9_000_000_000}, "fleet/usdPerHour", id="dollars an hour"),
        pytest.param({"cpu": 9_000}, "fleet/cpu", id="cores"),
        pytest.param({"nodes": 1}, "fleet/nodes", id="nodes"),
    ],
)
def test_a_limit_that_the_fleet_exceeds_buys_nothing_and_removes_nothing(
    catalog: Catalog, limits: dict[str, int], subject: str
) -> None:
    """Free room goes on being used, in the order of admission; two nodes of 6 cores for 7 $/h stand already."""
    fleet = [
        cluster(pods("x", 4000, 2), name=name, nodes=(node("n", 6000, 64, "m5.six"),), settings=Settings())
        for name in ("a", "b")
    ]
    plan = planned_fleet(catalog, *fleet, limits=limits)
    assert [(note.kind, note.subject) for note in plan.notes if note.subject.startswith("fleet/")] == [
        ("limit-exceeded", subject)
    ]
    assert [(entry.pods, entry.count, entry.limit) for entry in plan.unplaced] == [("Deployment/d/x", 1, subject)] * 2
    assert [(one.existing, one.added) for part in plan.clusters for one in part.nodes] == [
        (True, {"Deployment/d/x": 1})
    ] * 2
    assert [action.kind for part in plan.clusters for action in part.actions] == []
