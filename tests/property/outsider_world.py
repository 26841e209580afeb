"""What an outsider reads of a question: pods of manifests, places of the catalogue, and no word of raypipe's.

Only what `tests.property.outsider_cases` writes is understood: Deployments that select an arch, a capacity type or
kinds of GPU, DaemonSets without selectors, nodes with pods bound to them, limits of a cluster and quotas by capacity
type. Allocatable is the catalogue's own, and no type is burstable. Cores, GiB (bytes where limits count), $/h.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

type Row = Mapping[str, str]
type Amounts = dict[str, float]

ARCH, CAPACITY_TYPE = "kubernetes.io/arch", "karpenter.sh/capacity-type"
INSTANCE_TYPE = "node.kubernetes.io/instance-type"
GPU, GPU_SKUS = "nvidia.com/gpu", "raypipe.io/instance-gpu-skus"
SUFFIXES = {"m": 1e-3, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}
GIB = 2.0**30
KNOWN = {"Deployment", "DaemonSet", "Node", "Pod"}


@dataclass(frozen=True)
class Pods:
    """Pods of one key: how many, what each requests, and what it asks of a node's labels."""

    key: str
    count: int
    requests: Amounts
    selector: Mapping[str, str]
    gpu_skus: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """A sort of node: what pods may request of it, its price, and what it counts against each limit.

    There is no end of what can be bought; `exists` says that there is one, which costs nothing more.
    """

    labels: Mapping[str, str]
    gpu_name: str
    room: Amounts
    price: float
    counts: Mapping[str, float]
    exists: bool = False

    def holds(self, pods: Pods) -> bool:
        """Whether one such pod may go there."""
        if any(self.labels.get(name) != value for name, value in pods.selector.items()):
            return False
        if pods.gpu_skus and self.gpu_name not in pods.gpu_skus:
            return False
        return all(amount <= self.room.get(name, 0.0) for name, amount in pods.requests.items())


@dataclass(frozen=True)
class World:
    """A question: who wants a place, where there are places, what kept nodes leave of limits, and what those cost."""

    pods: tuple[Pods, ...]
    places: tuple[Place, ...]
    left: Mapping[str, float]
    kept_usd_per_hour: float


def read_world(catalogue: Path, folder: Path) -> World:
    """Read the only cluster of a fleet file and its manifests."""
    cluster = json.loads((folder / "fleet.json").read_text())["clusters"][0]
    objects = [one for name in cluster["manifests"] for one in json.loads((folder / name).read_text())["items"]]
    unknown = {one["kind"] for one in objects} - KNOWN
    if unknown:
        raise ValueError(f"{folder}: objects that nobody here understands: {', '.join(sorted(unknown))}")
    of_kind = {kind: [one for one in objects if one["kind"] == kind] for kind in KNOWN}
    reserve: Amounts = {}
    for one in of_kind["DaemonSet"]:
        reserve = _sum(reserve, _requests(one["spec"]["template"]["spec"]))
    types = _rows(catalogue / "instance_types.csv", cluster["provider"])
    limits = list(_limits(cluster))
    offers = [_offer(types[row["instance_type"]], row, reserve, limits) for row in _offered(catalogue, cluster)]
    nodes = [_node(node, of_kind["Pod"], reserve) for node in of_kind["Node"]]
    kept = [_twin(node, offers) for node in of_kind["Node"]]
    used = {name: sum(one.counts[name] for one in kept) for name, *_ in limits}
    return World(
        pods=tuple(_pods(one) for one in of_kind["Deployment"]),
        places=(*_distinct(offers), *nodes),
        left={name: max(0.0, amount - used[name]) for name, _, amount, _ in limits},
        kept_usd_per_hour=sum(one.price for one in kept),
    )


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number.

    >>> quantity("250m"), quantity("2"), quantity("1Ki")
    (0.25, 2.0, 1024.0)
    """
    for suffix, factor in SUFFIXES.items():
        if text.endswith(suffix):
            return float(text.removesuffix(suffix)) * factor
    return float(text)


def _amount(name: str, text: str) -> float:
    """GiB of memory, else the number itself."""
    return quantity(text) / GIB if name == "memory" else quantity(text)


def _sum(one: Amounts, other: Amounts, sign: int = 1) -> Amounts:
    return {name: one.get(name, 0.0) + sign * other.get(name, 0.0) for name in one.keys() | other.keys()}


def _requests(spec: Mapping[str, Any]) -> Amounts:
    """What a pod of plain containers requests, its slot among it."""
    total: Amounts = {"pods": 1.0}
    for container in spec["containers"]:
        asked = container.get("resources", {}).get("requests", {})
        total = _sum(total, {name: _amount(name, text) for name, text in asked.items()})
    return total


def _pods(deployment: Mapping[str, Any]) -> Pods:
    meta, template = deployment["metadata"], deployment["spec"]["template"]
    skus = template["metadata"].get("annotations", {}).get(GPU_SKUS, "")
    return Pods(
        key=f"Deployment/{meta['namespace']}/{meta['name']}",
        count=deployment["spec"]["replicas"],
        requests=_requests(template["spec"]),
        selector=template["spec"].get("nodeSelector", {}),
        gpu_skus=tuple(skus.split(",")) if skus else (),
    )


def _rows(file: Path, provider: str) -> dict[str, Row]:
    with file.open(newline="") as opened:
        return {row["instance_type"]: row for row in csv.DictReader(opened) if row["provider"] == provider}


def _offered(catalogue: Path, cluster: Mapping[str, Any]) -> Iterator[Row]:
    """What may be bought; none of it is of one zone alone."""
    with (catalogue / "offerings.csv").open(newline="") as opened:
        for row in csv.DictReader(opened):
            here = row["provider"] == cluster["provider"] and row["region"] == cluster["region"]
            if here and row["capacity_type"] in cluster["capacityTypes"]:
                yield row


type LimitRow = tuple[str, str, float, str]
"""Name, what is counted, how much, and the capacity type that alone is counted ("": any)."""


def _limits(cluster: Mapping[str, Any]) -> Iterator[LimitRow]:
    for resource, text in cluster.get("limits", {}).items():
        yield f"cluster/{cluster['name']}/{resource}", resource, quantity(str(text)), ""
    for quota in cluster.get("settings", {}).get("quotas", []):
        name, resource = quota["name"], quota["resource"]
        yield f"quota/{name}/{resource}", resource, float(quota["amount"]), quota["capacityType"]


def _offer(kind: Row, row: Row, reserve: Amounts, limits: list[LimitRow]) -> Place:
    """A type at one price."""
    allocatable = {
        "cpu": float(kind["allocatable_cpu_m"]) / 1000,
        "memory": float(kind["allocatable_memory_mib"]) / 1024,
        "pods": float(kind["allocatable_pods"]),
        GPU: float(kind["gpu_count"] or 0),
    }
    price = float(row["usd_per_hour"])
    whole = {
        "cpu": float(kind["vcpu"]),
        "memory": float(kind["memory_mib"]) * SUFFIXES["Mi"],
        GPU: float(kind["gpu_count"] or 0),
        "nodes": 1.0,
        "usdPerHour": price,
    }
    labels = {ARCH: kind["arch"], CAPACITY_TYPE: row["capacity_type"], INSTANCE_TYPE: kind["instance_type"]}
    counts = {name: whole[what] if only in ("", row["capacity_type"]) else 0.0 for name, what, _, only in limits}
    return Place(labels, kind["gpu_name"].lower(), _sum(allocatable, reserve, -1), price, counts)


def _twin(node: Mapping[str, Any], offers: list[Place]) -> Place:
    """What a node that exists would be bought as."""
    labels = node["metadata"]["labels"]
    told = {name: labels[name] for name in (ARCH, CAPACITY_TYPE, INSTANCE_TYPE)}
    return next(one for one in offers if one.labels == told)


def _node(node: Mapping[str, Any], pods: list[Any], reserve: Amounts) -> Place:
    """A node that exists, with the room that its pods leave."""
    room = {name: _amount(name, text) for name, text in node["status"]["allocatable"].items()}
    room = _sum(room, reserve, -1)
    for one in pods:
        if one["spec"]["nodeName"] == node["metadata"]["name"]:
            room = _sum(room, _requests(one["spec"]), -1)
    return Place(node["metadata"]["labels"], "", room, 0.0, {}, exists=True)


def _distinct(offers: list[Place]) -> list[Place]:
    """Places without those that another beats in everything and at its price."""
    kept: list[Place] = []
    for one in sorted(offers, key=lambda place: place.price):
        if not any(_beats(other, one) for other in kept):
            kept.append(one)
    return kept


def _beats(other: Place, one: Place) -> bool:
    """Whether no pod has a reason to prefer `one`; instance types are no reason, since nobody selects them."""
    same = all(other.labels[name] == one.labels[name] for name in (ARCH, CAPACITY_TYPE))
    if not same or (one.gpu_name and one.gpu_name != other.gpu_name):
        return False
    more = all(amount <= other.room.get(name, 0.0) for name, amount in one.room.items())
    return more and all(other.counts[name] <= amount for name, amount in one.counts.items())


def placed(world: World, counts: Mapping[str, int]) -> World:
    """The world in which so many pods of each key want a place."""
    pods = [replace(one, count=counts.get(one.key, 0)) for one in world.pods]
    return replace(world, pods=tuple(one for one in pods if one.count))
