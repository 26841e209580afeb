"""A round catalogue and small clusters, for plans that can be reckoned by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raypipe.catalog import Catalog, load
from raypipe.fleet import plan_fleet
from raypipe.model.nodes import Node
from raypipe.model.plan import ClusterPlan, FleetPlan, Scope
from raypipe.model.pods import PodGroup, PodSpec
from raypipe.model.snapshot import ClusterSnapshot, FleetSnapshot
from raypipe.validation import check_plan

GIB = 2**30
ZONE = "us-east-1a"
TYPES = """provider,instance_type,family,arch,vcpu,memory_mib,gpu_manufacturer,gpu_name,gpu_count,gpu_memory_mib,\
allocatable_cpu_m,allocatable_memory_mib,allocatable_pods
aws,m5.xlarge,m5,amd64,4,16384,,,0,,4000,16384,50
aws,m5.2xlarge,m5,amd64,8,32768,,,0,,8000,32768,50
aws,g4dn.xlarge,g4dn,amd64,4,16384,nvidia,t4,1,16384,4000,16384,50
"""
OFFERINGS = """provider,region,instance_type,capacity_type,usd_per_hour
aws,us-east-1,m5.xlarge,on-demand,0.2
aws,us-east-1,m5.2xlarge,on-demand,0.4
aws,us-east-1,g4dn.xlarge,on-demand,0.5
"""


def catalog_in(folder: Path, types: str = TYPES, offerings: str = OFFERINGS) -> Catalog:
    (folder / "instance_types.csv").write_text(types, encoding="utf-8")
    (folder / "offerings.csv").write_text(offerings, encoding="utf-8")
    return load(folder)


def spec(cpu: int, gib: int = 1, *, gpus: int = 0, **fields: Any) -> PodSpec:
    requests = {"cpu": cpu, "memory": gib * GIB, "pods": 1} | ({"nvidia.com/gpu": gpus} if gpus else {})
    return PodSpec(requests=requests, **fields)


def pods(name: str, cpu: int, count: int = 1, *, gib: int = 1, gpus: int = 0, **fields: Any) -> PodGroup:
    """`fields` are the group's own: gang, created."""
    return PodGroup(key=f"Deployment/d/{name}", spec=spec(cpu, gib, gpus=gpus), count=count, **fields)


def node(name: str, cpu: int = 4000, gib: int = 16, kind: str = "", **fields: Any) -> Node:
    """A node of that room; without a `kind` its price is not known."""
    room = {"cpu": cpu, "memory": gib * GIB, "pods": 50}
    labels = {"node.kubernetes.io/instance-type": kind, "topology.kubernetes.io/zone": ZONE} if kind else {}
    return Node(**{"name": name, "labels": labels, "capacity": room, "allocatable": room} | fields)


def cluster(*demand: PodGroup, **fields: Any) -> ClusterSnapshot:
    given: dict[str, Any] = {"name": "c", "zones": (ZONE,), "capacity_types": ("on-demand",)}
    return ClusterSnapshot(**given | {"demand": demand} | fields)


def planned_fleet(
    catalog: Catalog,
    *clusters: ClusterSnapshot,
    limits: dict[str, int] | None = None,
    scope: Scope = Scope.PENDING,
) -> FleetPlan:
    """The plan, valid by the second opinion."""
    fleet = FleetSnapshot(clusters=clusters, limits=limits or {})
    plan = plan_fleet(fleet, catalog, scope=scope)
    check_plan(plan, fleet, catalog)
    return plan


def planned(catalog: Catalog, *demand: PodGroup, **fields: Any) -> ClusterPlan:
    return planned_fleet(catalog, cluster(*demand, **fields)).clusters[0]
