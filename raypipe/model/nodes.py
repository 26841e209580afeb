"""Nodes that exist, kinds of node that can be bought, and the pools they are bought through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from raypipe.model.pods import DaemonSet
from raypipe.model.requirements import Requirement, Taint
from raypipe.model.resources import Resources, total


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType:
    """A machine shape of one provider; the same in every region.

    Attributes:
        vcpu_millicores, memory_bytes: node capacity, which cpu and memory limits count.
        allocatable: what pods may request (cpu, memory, pods, ephemeral-storage, GPUs), DaemonSets not yet taken off.
        labels: well-known labels that every node of the type carries (no region, zone, capacity type).
        category: letters before the generation on AWS (``c`` of ``c7g``), the family elsewhere.
    """

    provider: str
    name: str
    family: str
    category: str
    arch: str
    vcpu_millicores: int
    memory_bytes: int
    allocatable: Resources
    labels: Mapping[str, str]
    gpu_manufacturer: str = ""
    gpu_name: str = ""
    gpu_count: int = 0
    gpu_memory_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Offering:
    """A kind of node that one cluster may buy: instance type x zone x capacity type (x NodePool, x sliced or whole).

    Attributes:
        pool: NodePool whose labels and taints the node takes, or None. pool_weight: breaks ties of price.
        labels, taints: what the node carries once it is up.
        capacity: what limits count of one such node: cpu (millicores), memory (bytes), ``nvidia.com/gpu`` (physical).
        allocatable: what pods may request, DaemonSets not yet taken off. A sliced node has ``nvidia.com/gpu.shared``
            and no ``nvidia.com/gpu``.
        list_usd_nanos_per_hour: the catalogue's price; usd_nanos_per_hour: with multiplier and surcharge.
        gpu_slices: slices a GPU, 0 where GPUs are whole.
        arch_replaced: an arch requirement of cluster or pool replaces the cluster's `arch` mode here.
        opened: the category is excluded by default and only pods that name category, family or type may use it (False).
        max_count: most nodes of it (reserved capacity, room of node groups), or None.
        unavailable: sold out for now.
    """

    provider: str
    region: str
    zone: str
    instance_type: str
    family: str
    category: str
    arch: str
    capacity_type: str
    labels: Mapping[str, str]
    capacity: Resources
    allocatable: Resources
    list_usd_nanos_per_hour: int
    usd_nanos_per_hour: int
    taints: tuple[Taint, ...] = ()
    pool: str | None = None
    pool_weight: int = 0
    gpu_name: str = ""
    gpu_count: int = 0
    gpu_memory_bytes: int = 0
    gpu_slices: int = 0
    interruption_bucket: int | None = None
    arch_replaced: bool = False
    opened: bool = True
    max_count: int | None = None
    unavailable: bool = False

    @property
    def order(self) -> tuple[str, str, str, str, int]:
        """The order among equals: instance type, zone, capacity type, pool, whole before sliced."""
        return (self.instance_type, self.zone, self.capacity_type, self.pool or "", self.gpu_slices)


BEING_DELETED = "being deleted"
"""Why a node is closed that somebody has deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node that exists.

    `open` is False where it keeps its pods and its price but takes no demand (cordoned by others, NotReady, being
    deleted, on its way for another). `own` nodes carry the label ``raypipe.io/cluster``. `coming`: a claim is made and
    the node is not up; what its claim does not tell of labels, capacity and allocatable is its instance type's.
    `filling`: raypipe keeps it closed to others until the pods that it was bought for are there.
    `leaving`: raypipe is emptying it in order to give it back, so its pods want a place elsewhere already.
    """

    name: str
    labels: Mapping[str, str]
    capacity: Resources
    allocatable: Resources
    uid: str | None = None
    taints: tuple[Taint, ...] = ()
    open: bool = True
    why_closed: str = ""
    own: bool = False
    created: str | None = None
    coming: bool = False
    filling: bool = False
    leaving: bool = False


class Fact(StrEnum):
    """What has been true of a node for long enough, or was announced of it; the clocks are the controller's."""

    EMPTY = "empty"
    UNDER_USED = "under-used"
    EXPIRED = "expired"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Unavailable:
    """An offering that could not be had a moment ago."""

    instance_type: str
    zone: str
    capacity_type: str


KARPENTER, KWOK, NODE_GROUPS, PRINT = "karpenter", "kwok", "node-groups", "print"
"""The backends of nodes (`ClusterSnapshot.nodes_backend`): by claims, by Node objects that are simulated, by groups of
like nodes that grow, and by a person who is shown what to buy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Buyable:
    """A group of like nodes that may grow by so many: all that such a backend of nodes can buy.

    size: nodes that the group is to have as things stand, whether they are up or not; a purchase relies on it.
    """

    group: str
    instance_type: str
    zone: str
    capacity_type: str
    count: int
    size: int = 0

    @property
    def kind(self) -> tuple[str, str, str]:
        """Instance type, zone and capacity type."""
        return self.instance_type, self.zone, self.capacity_type


@dataclass(frozen=True, slots=True, kw_only=True)
class Standby:
    """Nodes that wait for pods to come: so many of this kind without any pod."""

    instance_type: str
    capacity_type: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePool:
    """A Karpenter NodePool: what may be bought through it, and what its nodes carry.

    `limits` are those that bind raypipe: ``spec.limits``, or ``raypipe.io/limits`` where the pool is `managed`.
    `dynamic`: Karpenter may buy through it for pods that wait (no ``spec.replicas``, not being deleted). `open`: and
    nobody has silenced it (``raypipe.io/managed``, or a limit of 0).
    """

    name: str
    requirements: tuple[Requirement, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    weight: int = 0
    limits: Mapping[str, int] = field(default_factory=dict)
    managed: bool = False
    node_class: Mapping[str, str] = field(default_factory=dict)
    dynamic: bool = True
    open: bool = True


def daemonset_reserve(
    labels: Mapping[str, str], taints: tuple[Taint, ...], daemonsets: Iterable[DaemonSet], bound: Iterable[str] = ()
) -> dict[str, int]:
    """What DaemonSets request on a node with `labels` and `taints`, those in `bound` (already running there) left out.

    The DaemonSet controller adds tolerations for not-ready, unreachable, pressure and unschedulable taints by itself;
    manifests/ writes them into the DaemonSet's spec.
    """
    present = set(bound)
    return total(
        daemonset.spec.requests
        for daemonset in daemonsets
        if daemonset.key not in present and daemonset.spec.may_run_on(labels, taints)
    )
