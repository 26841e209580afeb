"""Nodes and NodePools."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.model.nodes import Node, NodePool
from raypipe.model.requirements import Operator, Requirement, Taint
from tests.unit.manifests.builders import Object, node, notes, problems, read, thing


def one_node(**more: Any) -> Node:
    (found,) = read(node(**more)).nodes
    return found


def test_a_node_is_what_its_status_says() -> None:
    found = one_node(labels={"a": "b"}, creationTimestamp="2026-01-05T08:00:00Z")
    assert (found.name, found.own, found.open, found.created) == ("node-1", False, True, "2026-01-05T08:00:00Z")
    assert found.capacity == {"cpu": 8000, "memory": 32 << 30, "pods": 58}
    assert found.allocatable == {"cpu": 7900, "memory": 32 << 30, "pods": 58}
    assert (found.labels["a"], found.labels["kubernetes.io/hostname"]) == ("b", "node-1")
    assert one_node(labels={"kubernetes.io/hostname": "other"}).labels["kubernetes.io/hostname"] == "other"


READY, NOT_READY = {"type": "Ready", "status": "True"}, {"type": "Ready", "status": "Unknown"}
OWN = {"raypipe.io/cluster": "c"}
CORDONED = {"raypipe.io/cordoned": "abc"}
TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("more", "why_closed"),
    [
        pytest.param({}, "", id="ready"),
        pytest.param({"conditions": []}, "", id="nothing said"),
        pytest.param({"conditions": [{"type": "DiskPressure", "status": "False"}, READY]}, "", id="other conditions"),
        pytest.param({"conditions": [NOT_READY]}, "not ready", id="not ready"),
        pytest.param({"spec": {"unschedulable": True}}, "cordoned", id="cordoned"),
        pytest.param({"spec": {"unschedulable": True}, "annotations": CORDONED}, "cordoned", id="not our node"),
        pytest.param(
            {"spec": {"unschedulable": True, "taints": [TAINT]}, "annotations": CORDONED, "labels": OWN},
            "",
            id="cordoned by raypipe, until its pods are bound",
        ),
        pytest.param({"deletionTimestamp": "2026-01-05T08:00:00Z"}, "being deleted", id="being deleted"),
    ],
)
def test_whether_a_node_takes_demand(more: Object, why_closed: str) -> None:
    found = one_node(**more)
    assert (found.open, found.why_closed) == (not why_closed, why_closed)
    assert found.taints == ()


def test_the_taint_of_starting_nodes_is_no_taint_on_our_own() -> None:
    taints = [{"key": "raypipe.io/starting", "effect": "NoSchedule"}, {"key": "b", "value": "v", "effect": "NoExecute"}]
    kept = Taint(key="b", value="v", effect="NoExecute")
    assert one_node(spec={"taints": taints}, labels=OWN).taints == (kept,)
    assert one_node(spec={"taints": taints}).taints == (kept, Taint(key="raypipe.io/starting"))


def test_nodes_that_are_refused() -> None:
    bad = node(spec={"taints": [{"key": "a", "effect": "NoSchedul"}, {}]})
    bad["status"]["capacity"]["cpu"] = "-4"
    assert [one.partition(": ")[2] for one in problems(bad)] == [
        "items[0].status.capacity.cpu: found '-4', expected a quantity that is not negative",
        "items[0].spec.taints[0].effect: found 'NoSchedul', expected one of NoSchedule, PreferNoSchedule, NoExecute "
        "(did you mean 'NoSchedule'?)",
        "items[0].spec.taints[1].key: found nothing, expected the key of a taint",
    ]


def one_pool(spec: Object, **more: Any) -> NodePool:
    (found,) = read(thing("NodePool", "p", spec, **more)).node_pools
    return found


TEMPLATE = {
    "metadata": {"labels": {"team": "a"}},
    "spec": {
        "requirements": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"], "minValues": 1}],
        "taints": [{"key": "t", "effect": "NoSchedule"}],
        "startupTaints": [{"key": "cilium", "effect": "NoExecute"}],
        "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
    },
}


def test_a_node_pool() -> None:
    spec = {
        "template": TEMPLATE,
        "weight": 7,
        "limits": {"cpu": "10", "memory": "4Gi", "nvidia.com/gpu": 2, "nodes": 3},
    }
    assert one_pool(spec) == NodePool(
        name="p",
        requirements=(Requirement(key="kubernetes.io/arch", operator=Operator.IN, values=("amd64",)),),
        labels={"team": "a"},
        taints=(Taint(key="t"),),
        weight=7,
        limits={"cpu": 10_000, "memory": 4 << 30, "nodes": 3, "nvidia.com/gpu": 2},
        node_class={"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
    )
    assert notes(read(thing("NodePool", "p", spec))) == [("unchecked-constraint", "NodePool//p", 1)]


def test_limits_of_a_managed_pool_are_its_annotations() -> None:
    managed = {"raypipe.io/managed": "true"}
    assert one_pool({"limits": {"cpu": 0}}, annotations=managed).limits == {}
    ours = managed | {"raypipe.io/limits": '{"cpu": "1000", "usdPerHour": "4.5"}'}
    pool = one_pool({"limits": {"cpu": 0}}, annotations=ours)
    assert (pool.limits, pool.managed) == ({"cpu": 1_000_000, "usdPerHour": 4_500_000_000}, True)
    assert one_pool({"limits": {"cpu": 1}}, annotations=ours | {"raypipe.io/managed": "false"}).limits == {"cpu": 1000}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cpu: 5", "expected a JSON mapping such as"),
        ("[1]", "annotations.raypipe.io/limits: found a list, expected a mapping"),
        ('{"cpu": -1}', "annotations.raypipe.io/limits.cpu: found -1, expected a quantity that is not negative"),
        ('{"cpus": 1}', "found an unknown resource 'cpus', expected a resource (did you mean 'cpu'?)"),
        ("[" * 5000, "expected a JSON mapping such as"),
    ],
)
def test_limits_that_are_refused(text: str, told: str) -> None:
    annotations = {"raypipe.io/managed": "true", "raypipe.io/limits": text}
    assert told in problems(thing("NodePool", "p", {}, annotations=annotations))[0]
