"""All that was observed of a cluster and a fleet, as model values: the one input of a plan beside the catalogue.

A snapshot can be saved and loaded; a bug report is a snapshot file. Its digest covers what a plan depends on and not
when it was taken. Everything in it is in a fixed order, so the order of files and objects does not matter.

The pattern pool of the last plan is in it too, so that a replay repeats a warm decision; it has a digest of its own,
because whether a cluster has changed is asked of what was observed, not of what a plan remembers.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from raypipe.model.alternatives import Alternatives
from raypipe.model.nodes import Buyable, Fact, Node, NodePool, Standby, Unavailable
from raypipe.model.plan import Excluded, Note
from raypipe.model.pods import BoundPods, DaemonSet, PodGroup
from raypipe.model.pool import Pool
from raypipe.model.requirements import Requirement
from raypipe.model.resources import Resources
from raypipe.model.workloads import Gang, RayObject
from raypipe.settings import Settings

SNAPSHOT_SCHEMA = "raypipe.snapshot/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSnapshot:
    """One cluster: what it wants, what it has, and what may be bought for it.

    Attributes:
        context: kubeconfig context, or None for files.
        capacity_types, zones, requirements, arch, gpu_slices (by canonical GPU name): what may be bought.
        limits: by resource (cpu in millicores, memory in bytes, ``nvidia.com/gpu``, ``nodes``, ``usdPerHour`` nanos).
        packing: joint, shared or dedicated; shared_node and dedicated_from belong to `shared`.
        nodes_backend: karpenter, kwok, node-groups or print.
        gangs: by name. ray_objects: Ray objects seen that can be suspended or resumed and make no gang here.
        alternatives: sets of worker groups, of which `demand` and `gangs` hold the division as it stands.
        facts: by name of a node. unavailable: sold out for now. learned: allocatable as nodes of a type really
            had it. These are what the controller's clocks and memory say; a plan from files has none of them.
        buyable: what the nodes' backend can buy, None where that is every offering. standby: nodes kept empty.
        pool: the pattern pool that the last plan handed on, or None for a cold start.
        resource_versions: of the Ray objects that the API server has given one, by ``Kind/namespace/name``: writes rely
            on them, and no plan depends on them (they change with every heartbeat), so no digest has them.
        error: why the cluster's input cannot be read (then everything else is empty), or None.
    """

    name: str
    context: str | None = None
    provider: str = "aws"
    region: str = "us-east-1"
    zones: tuple[str, ...] = ()
    capacity_types: tuple[str, ...] = ("spot", "on-demand")
    requirements: tuple[Requirement, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    packing: str = "joint"
    shared_node: Mapping[str, int] = field(default_factory=dict)
    dedicated_from: Mapping[str, int] = field(default_factory=dict)
    gpu_slices: Mapping[str, int] = field(default_factory=dict)
    arch: str = "amd64|arm64"
    nodes_backend: str = "print"
    node_class: Mapping[str, str] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    node_pools: tuple[NodePool, ...] = ()
    nodes: tuple[Node, ...] = ()
    daemonsets: tuple[DaemonSet, ...] = ()
    demand: tuple[PodGroup, ...] = ()
    bound: tuple[BoundPods, ...] = ()
    gangs: tuple[Gang, ...] = ()
    ray_objects: tuple[RayObject, ...] = ()
    alternatives: tuple[Alternatives, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    notes: tuple[Note, ...] = ()
    facts: Mapping[str, tuple[Fact, ...]] = field(default_factory=dict)
    unavailable: tuple[Unavailable, ...] = ()
    learned: Mapping[str, Resources] = field(default_factory=dict)
    buyable: tuple[Buyable, ...] | None = None
    standby: tuple[Standby, ...] = ()
    pool: Pool | None = None
    resource_versions: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSnapshot:
    """Clusters and the limits over all of them; `observed_at` is None for files and not part of the digest."""

    clusters: tuple[ClusterSnapshot, ...]
    limits: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    catalog: str | None = None
    observed_at: str | None = None
    schema: str = SNAPSHOT_SCHEMA

    def to_json(self) -> str:
        """The snapshot as text that `from_json` reads back to an equal value."""
        return msgspec.json.format(msgspec.json.encode(self, order="sorted"), indent=1).decode()

    @classmethod
    def from_json(cls, text: str | bytes) -> FleetSnapshot:
        """Read what `to_json` wrote; raise ValueError (msgspec.ValidationError) saying which field is wrong."""
        return msgspec.json.decode(text, type=cls)


def digest(value: Any) -> str:
    """``sha256:…`` of a value's canonical JSON: the same for equal values, whatever the order of their mappings."""
    return "sha256:" + hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def cluster_digest(cluster: ClusterSnapshot) -> str:
    """Digest of what was observed of the cluster; settings and pattern pool have digests of their own."""
    return digest(dataclasses.replace(cluster, settings=Settings(), pool=None, resource_versions={}))


def pool_digest(cluster: ClusterSnapshot) -> str | None:
    """Digest of the pattern pool that the cluster's plan starts from; None for a cold start."""
    return None if cluster.pool is None else digest(cluster.pool)


def pools_digest(clusters: Iterable[ClusterSnapshot]) -> str | None:
    """Digest over the pattern pools of a fleet's clusters, in their order; None where none has one."""
    digests = [pool_digest(cluster) for cluster in clusters]
    return digest(digests) if any(one is not None for one in digests) else None
