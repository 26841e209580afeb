"""Nodes that exist, seen as if they were offerings: their facts and price from labels and catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raypipe.catalog.prices import usd_nanos
from raypipe.catalog.tables import Catalog
from raypipe.model.nodes import InstanceType, Node, Offering
from raypipe.model.requirements import (
    ARCH,
    CAPACITY_TYPE,
    DEPRECATED_LABELS,
    INSTANCE_TYPE,
    NODEPOOL,
    REGION,
    ZONE,
)
from raypipe.model.resources import GPU
from raypipe.model.snapshot import ClusterSnapshot
from raypipe.quantities import parse_usd_per_hour

_OLD = {new: old for old, new in DEPRECATED_LABELS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExistingNode:
    """A node with its offering-like facts; prices are None where the catalogue does not know them."""

    node: Node
    offering: Offering
    usd_nanos_per_hour: int | None
    list_usd_nanos_per_hour: int | None


def existing_nodes(cluster: ClusterSnapshot, catalog: Catalog) -> tuple[ExistingNode, ...]:
    """The cluster's nodes, in their order."""
    prices: dict[tuple[str, str], dict[tuple[str, str, str], int]] = {}
    return tuple(_existing(node, cluster, catalog, prices) for node in cluster.nodes)


def _existing(
    node: Node,
    cluster: ClusterSnapshot,
    catalog: Catalog,
    prices: dict[tuple[str, str], dict[tuple[str, str, str], int]],
) -> ExistingNode:
    labels = node.labels
    name = _label(labels, INSTANCE_TYPE)
    region = _label(labels, REGION) or cluster.region
    zone, capacity_type = _label(labels, ZONE), capacity_type_of(labels)
    kind = catalog.type_of(cluster.provider, name, cluster.settings.reserve)
    place = (cluster.provider, region)
    if place not in prices:
        rows = catalog.prices.get(place, ())
        prices[place] = {(row.instance_type, row.capacity_type, row.zone): row.usd_nanos_per_hour for row in rows}
    known = prices[place]
    listed = known.get((name, capacity_type, zone), known.get((name, capacity_type, "")))
    price = None if listed is None or kind is None else _priced(listed, kind, cluster)
    if capacity_type == "reserved":
        listed = price = _reserved_price(cluster, name, zone)
    return ExistingNode(
        node=node,
        offering=Offering(
            provider=cluster.provider,
            region=region,
            zone=zone,
            instance_type=name,
            family=kind.family if kind else "",
            category=kind.category if kind else "",
            arch=kind.arch if kind else _label(labels, ARCH),
            capacity_type=capacity_type,
            labels=labels,
            capacity=node.capacity,
            allocatable=node.allocatable,
            list_usd_nanos_per_hour=listed or 0,
            usd_nanos_per_hour=price or 0,
            taints=node.taints,
            pool=labels.get(NODEPOOL),
            gpu_name=kind.gpu_name if kind else "",
            gpu_count=kind.gpu_count if kind else node.capacity.get(GPU, 0),
            gpu_memory_bytes=kind.gpu_memory_bytes if kind else 0,
        ),
        usd_nanos_per_hour=price,
        list_usd_nanos_per_hour=listed if price is not None else None,
    )


def _priced(listed: int, kind: InstanceType, cluster: ClusterSnapshot) -> int | None:
    return usd_nanos(listed, kind, cluster.settings)


def _reserved_price(cluster: ClusterSnapshot, name: str, zone: str) -> int | None:
    for entry in cluster.settings.reserved:
        if entry.get("instanceType") == name and entry.get("zone", zone) == zone and "usdPerHour" in entry:
            return parse_usd_per_hour(entry["usdPerHour"])
    return None


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
