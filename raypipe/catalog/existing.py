"""Nodes that exist, seen as if they were offerings: their facts and price from labels and catalogue.

The catalogue knows best; where it does not have the type, or the GPUs were attached to a type without any, the labels
tell (GKE's, Karpenter's, GPU feature discovery's). A price that nobody knows is None, never 0. A node on its way is
what its claim tells of it, and for the rest what the catalogue says of its type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from raypipe.catalog.market import as_learned
from raypipe.catalog.prices import running_usd_nanos
from raypipe.catalog.reserved import reserved_price
from raypipe.catalog.spot import with_estimates
from raypipe.catalog.tables import Catalog, Price
from raypipe.catalog.types import MIB, category_of, family_of
from raypipe.model.nodes import InstanceType, Node, Offering
from raypipe.model.requirements import (
    ARCH,
    CAPACITY_TYPE,
    DEPRECATED_LABELS,
    GKE_ACCELERATOR,
    INSTANCE_TYPE,
    NODEPOOL,
    REGION,
    ZONE,
    gpu_name,
)
from raypipe.model.resources import CPU, GPU, GPU_SHARED, MEMORY
from raypipe.model.snapshot import ClusterSnapshot

_OLD = {new: old for old, new in DEPRECATED_LABELS.items()}
_FAMILY_LABELS = ("karpenter.k8s.aws/instance-family", "cloud.google.com/machine-family")
_GPU_NAME_LABELS = ("nvidia.com/gpu.product", GKE_ACCELERATOR, "karpenter.k8s.aws/instance-gpu-name")
_GPU_MEMORY_LABELS = ("nvidia.com/gpu.memory", "karpenter.k8s.aws/instance-gpu-memory")
_GPU_COUNT_LABELS = ("nvidia.com/gpu.count", "karpenter.k8s.aws/instance-gpu-count")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingNode:
    """A node with its offering-like facts; prices are None where the catalogue does not know them.

    The offering's capacity is what limits count: the node's own, but physical GPUs where those are sliced.
    """

    node: Node
    offering: Offering
    usd_nanos_per_hour: int | None
    list_usd_nanos_per_hour: int | None


def existing_nodes(cluster: ClusterSnapshot, catalog: Catalog) -> tuple[ExistingNode, ...]:
    """The cluster's nodes, in their order."""
    prices = _Prices(cluster, catalog)
    return tuple(_existing(node, cluster, catalog, prices) for node in cluster.nodes)


class _Prices:
    """List prices of one cluster's nodes, in whatever region they are."""

    def __init__(self, cluster: ClusterSnapshot, catalog: Catalog) -> None:
        self._cluster = cluster
        self._catalog = catalog
        self._regions: dict[str, dict[str, list[Price]]] = {}

    def of(self, name: str, capacity_type: str, region: str, zone: str) -> int | None:
        """Nano-dollars an hour of a type there, or None; spot estimated where the settings say so."""
        if capacity_type == "reserved":
            return reserved_price(self._cluster.settings, name, zone)
        rows = with_estimates(self._in(region).get(name, ()), self._cluster.settings)
        known = {row.zone: row.usd_nanos_per_hour for row in rows if row.capacity_type == capacity_type}
        return known.get(zone, known.get(""))

    def _in(self, region: str) -> dict[str, list[Price]]:
        if region not in self._regions:
            by_type: dict[str, list[Price]] = {}
            for row in self._catalog.prices.get((self._cluster.provider, region), ()):
                by_type.setdefault(row.instance_type, []).append(row)
            self._regions[region] = by_type
        return self._regions[region]


def _existing(node: Node, cluster: ClusterSnapshot, catalog: Catalog, prices: _Prices) -> ExistingNode:
    name = _label(node.labels, INSTANCE_TYPE)
    kind = catalog.type_of(cluster.provider, name, cluster.settings.reserve)
    if node.coming and kind is not None:
        node = _as_promised(node, kind, cluster)
    labels = node.labels
    zone, region = _label(labels, ZONE), _label(labels, REGION) or cluster.region
    capacity_type = capacity_type_of(labels)
    listed = prices.of(name, capacity_type, region, zone)
    price = listed
    if listed is not None and kind is not None and capacity_type != "reserved":
        price = running_usd_nanos(listed, kind, cluster.settings)
    family = kind.family if kind else _first(labels, _FAMILY_LABELS) or family_of(cluster.provider, name)
    gpu, gpu_count, gpu_memory = _gpus(node, kind)
    physical = gpu_count if _is_nvidia(node, kind) else 0
    return ExistingNode(
        node=node,
        offering=Offering(
            provider=cluster.provider,
            region=region,
            zone=zone,
            instance_type=name,
            family=family,
            category=kind.category if kind else category_of(cluster.provider, family),
            arch=kind.arch if kind else _label(labels, ARCH),
            capacity_type=capacity_type,
            labels=labels,
            capacity={**node.capacity, GPU: physical} if physical else node.capacity,
            allocatable=node.allocatable,
            list_usd_nanos_per_hour=listed or 0,
            usd_nanos_per_hour=price or 0,
            taints=node.taints,
            pool=labels.get(NODEPOOL),
            gpu_name=gpu,
            gpu_count=gpu_count,
            gpu_memory_bytes=gpu_memory,
        ),
        usd_nanos_per_hour=price,
        list_usd_nanos_per_hour=listed,
    )


def _as_promised(node: Node, kind: InstanceType, cluster: ClusterSnapshot) -> Node:
    """A node on its way, with what only its instance type tells yet, and other nodes of the type have shown."""
    return replace(
        node,
        labels={REGION: cluster.region, **kind.labels, **node.labels},
        capacity=node.capacity or {CPU: kind.vcpu_millicores, MEMORY: kind.memory_bytes, **_extended(kind)},
        allocatable=node.allocatable or as_learned(kind.allocatable, cluster.learned.get(kind.name, {})),
    )


def _extended(kind: InstanceType) -> dict[str, int]:
    return {name: amount for name, amount in kind.allocatable.items() if "/" in name}


def _is_nvidia(node: Node, kind: InstanceType | None) -> bool:
    """Whether the node's GPUs are those that limits on ``nvidia.com/gpu`` count, whole or sliced."""
    if kind is not None and kind.gpu_count:
        return kind.gpu_manufacturer == "nvidia"
    return any(name in node.capacity for name in (GPU, GPU_SHARED))


def _gpus(node: Node, kind: InstanceType | None) -> tuple[str, int, int]:
    """Name, number and bytes a GPU: as the catalogue has them, else as the labels say."""
    if kind is not None and kind.gpu_count:
        return kind.gpu_name, kind.gpu_count, kind.gpu_memory_bytes
    name = _first(node.labels, _GPU_NAME_LABELS).removesuffix("-SHARED")  # so called where it is time-sliced
    count = _number(node.labels, _GPU_COUNT_LABELS) or node.capacity.get(GPU, 0)
    memory = _number(node.labels, _GPU_MEMORY_LABELS) * MIB
    if kind is not None:  # a type with a part of a GPU
        return gpu_name(name) or kind.gpu_name, count, memory or kind.gpu_memory_bytes
    return gpu_name(name), count, memory


def _first(labels: Mapping[str, str], keys: tuple[str, ...]) -> str:
    return next((labels[key] for key in keys if labels.get(key)), "")


def _number(labels: Mapping[str, str], keys: tuple[str, ...]) -> int:
    """A whole number from a label, 0 where there is none; labels are free text."""
    text = _first(labels, keys)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0


def _label(labels: Mapping[str, str], key: str) -> str:
    return labels.get(key) or labels.get(_OLD.get(key, ""), "")


def capacity_type_of(labels: Mapping[str, str]) -> str:
    """spot, on-demand or reserved, by Karpenter's label, else by the clouds' own; on-demand where none says.

    >>> capacity_type_of({"eks.amazonaws.com/capacityType": "SPOT"}), capacity_type_of({})
    ('spot', 'on-demand')
    """
    if CAPACITY_TYPE in labels:
        return labels[CAPACITY_TYPE]
    own = labels.get("eks.amazonaws.com/capacityType", "").lower().replace("_", "-")
    own = own or labels.get("kubernetes.azure.com/scalesetpriority", "")
    if labels.get("cloud.google.com/gke-spot") == "true" or own == "spot":
        return "spot"
    return "on-demand"
