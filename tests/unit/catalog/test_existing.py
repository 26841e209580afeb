"""Nodes that exist: facts and price from the catalogue, else from their labels; unknown is not 0."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from raypipe.catalog import Catalog, ExistingNode, Filters, existing_nodes
from raypipe.catalog.existing import capacity_type_of
from raypipe.model.nodes import Node
from raypipe.model.requirements import Taint
from raypipe.model.resources import CPU, GPU, GPU_SHARED, MEMORY, PODS
from tests.unit.catalog.builders import GIB, OFFERINGS, TYPES, cluster, pod, small

NAME = "node.kubernetes.io/instance-type"
CAPACITY = "karpenter.sh/capacity-type"
REGION = "topology.kubernetes.io/region"
ZONE = "topology.kubernetes.io/zone"

BURSTABLE_TYPES = TYPES + "aws,t3.xlarge,t3,amd64,4,16384,,,,\naws,t1.micro,t1,amd64,1,627,,,,\n"
BURSTABLE = OFFERINGS + "aws,us-east-1,t3.xlarge,on-demand,0.16,\naws,us-east-1,t1.micro,on-demand,0.02,\n"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return small(tmp_path, BURSTABLE_TYPES, BURSTABLE)


def node(labels: Mapping[str, str], **fields: Any) -> Node:
    room = {CPU: 3900, MEMORY: 14 * GIB, PODS: 58}
    return Node(**{"name": "n", "labels": labels, "capacity": {**room, CPU: 4000}, "allocatable": room} | fields)


def seen(catalog: Catalog, labels: Mapping[str, str], *, node_fields: Any = None, **fields: Any) -> ExistingNode:
    """A node as the catalogue and its labels tell it."""
    (found,) = existing_nodes(cluster(nodes=(node(labels, **(node_fields or {})),), **fields), catalog)
    return found


def usd(one: ExistingNode) -> float | None:
    return None if one.usd_nanos_per_hour is None else one.usd_nanos_per_hour / 1e9


@pytest.mark.parametrize(
    ("labels", "price"),
    [
        ({NAME: "m5.large"}, 0.096),
        ({NAME: "m5.large", CAPACITY: "on-demand"}, 0.096),
        ({NAME: "m5.large", CAPACITY: "spot"}, 0.04),
        ({"beta.kubernetes.io/instance-type": "m5.large"}, 0.096),
        ({NAME: "m5.large", "eks.amazonaws.com/capacityType": "SPOT"}, 0.04),
        ({NAME: "m6g.large", CAPACITY: "spot"}, None),
        ({NAME: "m5.large", REGION: "mars-1"}, None),
        ({NAME: "m99.large"}, None),
        ({}, None),
    ],
    ids=lambda value: " ".join(value.values()) or "no label" if isinstance(value, dict) else None,
)
def test_the_price_is_the_catalogues_by_type_capacity_type_and_place(
    catalog: Catalog, labels: dict[str, str], price: float | None
) -> None:
    found = seen(catalog, labels)
    assert usd(found) == price
    assert (found.list_usd_nanos_per_hour is None) == (price is None)


def test_a_row_with_the_nodes_zone_wins(tmp_path: Path) -> None:
    lines = ["provider,region,instance_type,capacity_type,usd_per_hour,zone"]
    lines += ["aws,us-east-1,m5.large,on-demand,0.1,", "aws,us-east-1,m5.large,on-demand,0.2,b"]
    catalog = small(tmp_path, TYPES, "\n".join(lines) + "\n")
    prices = [usd(seen(catalog, {NAME: "m5.large", ZONE: zone})) for zone in "ab"]
    assert prices == [0.1, 0.2]


@pytest.mark.parametrize(
    ("burstable", "t3", "t1"), [("sustained", 0.16 + 2.4 * 0.05, 0.02), ("list", 0.16, 0.02), ("exclude", 0.28, 0.02)]
)
def test_a_burstable_node_costs_what_it_costs_whether_such_are_bought_or_not(
    catalog: Catalog, burstable: str, t3: float, t1: float
) -> None:
    """t1 has no unlimited mode: nothing is billed beside its list price."""
    for name, price in (("t3.xlarge", t3), ("t1.micro", t1)):
        found = seen(catalog, {NAME: name}, settings={"burstable": burstable})
        assert usd(found) == pytest.approx(price, abs=1e-9)


def test_the_multiplier_holds_for_existing_nodes(catalog: Catalog) -> None:
    found = seen(catalog, {NAME: "m5.large"}, settings={"price_multiplier": 0.5})
    assert (found.usd_nanos_per_hour, found.list_usd_nanos_per_hour) == (48_000_000, 96_000_000)


def test_spot_is_estimated_as_for_what_is_bought(catalog: Catalog) -> None:
    found = seen(catalog, {NAME: "m6g.large", CAPACITY: "spot"}, settings={"spot_price_ratio_estimate": 0.3})
    assert usd(found) == pytest.approx(0.077 * 0.3, abs=1e-9)


@pytest.mark.parametrize(("zone", "price"), [("a", 0.01), ("b", None)])
def test_a_reserved_node_costs_what_was_agreed(catalog: Catalog, zone: str, price: float | None) -> None:
    entry = {"instanceType": "m5.large", "zone": "a", "count": 1, "usdPerHour": "0.01"}
    settings = {"reserved": (entry,), "price_multiplier": 3.0}
    assert usd(seen(catalog, {NAME: "m5.large", CAPACITY: "reserved", ZONE: zone}, settings=settings)) == price


def test_a_wrong_reservation_is_told_where_nodes_are_bought(catalog: Catalog) -> None:
    """Fleet-wide sums read existing nodes of every cluster: one wrong setting must not stop the others."""
    settings = {"reserved": ({"instanceType": "m5.large", "zone": "a", "usdPerHour": "much"},)}
    assert usd(seen(catalog, {NAME: "m5.large", CAPACITY: "reserved", ZONE: "a"}, settings=settings)) is None


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({CAPACITY: "spot"}, "spot"),
        ({CAPACITY: "reserved"}, "reserved"),
        ({"eks.amazonaws.com/capacityType": "ON_DEMAND"}, "on-demand"),
        ({"cloud.google.com/gke-spot": "true"}, "spot"),
        ({"kubernetes.azure.com/scalesetpriority": "spot"}, "spot"),
        ({"kubernetes.azure.com/scalesetpriority": "regular"}, "on-demand"),
        ({}, "on-demand"),
    ],
)
def test_the_capacity_type_by_whichever_label_says_it(labels: dict[str, str], expected: str) -> None:
    assert capacity_type_of(labels) == expected


def test_a_node_on_its_way_is_what_its_claim_says_and_for_the_rest_its_type(catalog: Catalog) -> None:
    labels = {NAME: "m5.large", CAPACITY: "spot", ZONE: "a", "team": "x"}
    bare = {"coming": True, "capacity": {}, "allocatable": {}}
    kind = catalog.type_of("aws", "m5.large", "published")
    assert kind is not None
    one = seen(catalog, labels, node_fields=bare)
    assert (one.node.allocatable, one.offering.allocatable) == (kind.allocatable, kind.allocatable)
    assert one.node.capacity == {CPU: kind.vcpu_millicores, MEMORY: kind.memory_bytes}
    assert one.node.labels == {REGION: "us-east-1", **kind.labels, **labels}
    assert usd(one) == 0.04
    promised = {**bare, "capacity": {CPU: 2000}, "allocatable": {CPU: 1900}}
    assert seen(catalog, labels, node_fields=promised).node.allocatable == {CPU: 1900}
    unknown = seen(catalog, {NAME: "m99.large"}, node_fields=bare)
    assert (unknown.node.allocatable, unknown.usd_nanos_per_hour) == ({}, None)


def test_facts_are_the_catalogues(catalog: Catalog) -> None:
    one = seen(catalog, {NAME: "g4dn.xlarge", ZONE: "a"}).offering
    assert (one.family, one.category, one.arch, one.zone) == ("g4dn", "g", "amd64", "a")
    assert (one.gpu_name, one.gpu_count, one.gpu_memory_bytes) == ("t4", 1, 16 * GIB)


def test_room_labels_and_taints_are_the_nodes_own(catalog: Catalog) -> None:
    taints = (Taint(key="k"),)
    labels = {NAME: "m5.large", "team": "red", "karpenter.sh/nodepool": "p"}
    found = seen(catalog, labels, node_fields={"taints": taints})
    one = found.offering
    assert (one.labels, one.taints, one.pool) == (labels, taints, "p")
    assert (one.capacity, one.allocatable) == (found.node.capacity, found.node.allocatable)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"nvidia.com/gpu.product": "Tesla-T4", "nvidia.com/gpu.memory": "15360"}, ("t4", 2, 15 * GIB)),
        ({"nvidia.com/gpu.product": "Tesla-T4-SHARED", "nvidia.com/gpu.count": "1"}, ("t4", 1, 0)),
        ({"cloud.google.com/gke-accelerator": "nvidia-tesla-t4"}, ("t4", 2, 0)),
        ({"karpenter.k8s.aws/instance-gpu-name": "l4", "karpenter.k8s.aws/instance-gpu-memory": "x"}, ("l4", 2, 0)),
        ({}, ("", 2, 0)),
    ],
    ids=["feature discovery", "time-sliced", "GKE", "Karpenter", "no label"],
)
@pytest.mark.parametrize("name", ["m99.large", "m5.large"], ids=["unknown type", "attached GPUs"])
def test_gpus_that_the_catalogue_does_not_know_are_told_by_labels(
    catalog: Catalog, name: str, labels: dict[str, str], expected: tuple[str, int, int]
) -> None:
    one = seen(catalog, {NAME: name, **labels}, node_fields={"capacity": {CPU: 4000, GPU: 2}}).offering
    assert (one.gpu_name, one.gpu_count, one.gpu_memory_bytes) == expected


@pytest.mark.parametrize(
    ("labels", "capacity", "gpus"),
    [
        ({NAME: "g4dn.xlarge"}, {GPU: 1}, 1),
        ({NAME: "g4dn.xlarge"}, {GPU_SHARED: 4}, 1),
        ({NAME: "g4dn.xlarge"}, {GPU: 4}, 1),
        ({NAME: "g4dn.xlarge"}, {}, 1),
        ({NAME: "m99.large", "nvidia.com/gpu.count": "2"}, {GPU: 8}, 2),
        ({NAME: "m99.large"}, {GPU: 8}, 8),
        ({NAME: "inf2.xlarge"}, {"aws.amazon.com/neuron": 1}, None),
        ({NAME: "m5.large"}, {}, None),
    ],
    ids=[
        "whole",
        "slices under a name of their own",
        "slices under the name of whole GPUs",
        "driver not up yet",
        "type unknown, sliced, counted by its label",
        "type unknown",
        "another accelerator",
        "no GPU",
    ],
)
def test_limits_count_physical_gpus(
    catalog: Catalog, labels: dict[str, str], capacity: dict[str, int], gpus: int | None
) -> None:
    one = seen(catalog, labels, node_fields={"capacity": {CPU: 4000, **capacity}}).offering
    assert one.capacity.get(GPU) == gpus


@pytest.mark.parametrize(
    ("labels", "family", "category"),
    [
        ({NAME: "m99.large"}, "m99", "m"),
        ({NAME: "odd", "karpenter.k8s.aws/instance-family": "c9"}, "c9", "c"),
        ({}, "", ""),
    ],
)
def test_the_family_of_an_unknown_type(catalog: Catalog, labels: dict[str, str], family: str, category: str) -> None:
    one = seen(catalog, labels).offering
    assert (one.family, one.category) == (family, category)


def test_nodes_keep_their_order(catalog: Catalog) -> None:
    nodes = tuple(node({NAME: "m5.large"}, name=name) for name in "cab")
    assert [one.node.name for one in existing_nodes(cluster(nodes=nodes), catalog)] == ["c", "a", "b"]


def test_who_may_use_a_node_that_exists(catalog: Catalog) -> None:
    """What is never bought and the architecture mode are about buying; an unknown price fails a maximum."""
    labels = [{NAME: "inf2.xlarge"}, {NAME: "m6g.large", "kubernetes.io/arch": "arm64"}, {NAME: "m99.large"}]
    nodes = tuple(node(one, name=f"n{number}") for number, one in enumerate(labels))
    snapshot = cluster(nodes=nodes, arch="amd64")
    existing = existing_nodes(snapshot, catalog)
    offerings = [dataclasses.replace(one.offering) for one in existing]
    priced = [one.usd_nanos_per_hour is not None for one in existing]
    filters = Filters(offerings, snapshot, existing=True, priced=priced)
    assert filters.mask(pod(1, 1)).tolist() == [True, True, True]
    assert filters.mask(pod(1, 1, max_usd_nanos_per_hour=10**9)).tolist() == [True, True, False]
    assert filters.mask(pod(1, 1, family_exclusions=("m99",))).tolist() == [True, True, False]
